// Owns elfToGsym(): an ELF file with DWARF, or with symbols alone, to a GSYM file.
import { bytesEqual } from "../base/bytes.ts";
import { attempt, FormatError } from "../base/format_error.ts";
import { readDebugAltLink } from "../elf/debug_links.ts";
import { ElfFile } from "../elf/elf_file.ts";
import { GsymBuilder, type GsymCreatorOptions } from "../gsym/creator_builder.ts";
import { GSYM_MAX_UUID_SIZE, GSYM_VERSION_1 } from "../gsym/format.ts";
import { BinaryRecord, readParts } from "../symbolize/binary.ts";
import { codeBounds } from "../symbolize/debug_sections.ts";
import { Program } from "../symbolize/program.ts";
import { MAX_SEGMENTS } from "../symbolize/segments.ts";
import { ET_REL, PT_LOAD } from "../uapi/elf.ts";
import { cutPieces } from "./pieces.ts";
import { symbolSpans } from "./symbol_spans.ts";
import { UnitFunctions } from "./unit_functions.ts";

/** Most bytes that compressed sections may unpack to, where nothing else is said. */
const MOST_SECTION_BYTES = 1 << 30;
/** Milliseconds of work after which others get a turn. */
const TURN = 50;

/** How {@linkcode elfToGsym} converts. */
export interface GsymConvertOptions extends Pick<GsymCreatorOptions, "version" | "layout"> {
  /** Byte order of the GSYM file; the program's own by default. */
  littleEndian?: boolean;
  /**
   * The executable, whole, where `bytes` are its separate debug file: it has the segments, and may have symbols.
   */
  executable?: Uint8Array;
  /** The file that `.gnu_debugaltlink` names (dwz), whole. Without it some names and inlined calls are missing. */
  alternate?: Uint8Array;
  /** .dwo files and .dwp packages of the program, whole. */
  splits?: readonly Uint8Array[];
  /** Most bytes that the compressed sections of one file may unpack to; 1 GiB by default. */
  maxSectionBytes?: number;
  /** Is told after some units how many are done, and of how many. */
  onProgress?: (done: number, total: number) => void;
  /** Ends the conversion; its reason is thrown. */
  signal?: AbortSignal;
}

/** What became of a conversion. */
export interface GsymConvertReport {
  /** Functions in the file: each a contiguous stretch of code. */
  functions: number;
  /** Those that the DWARF knows something of, */
  fromDwarf: number;
  /** and those that symbols alone know. */
  fromSymbols: number;
  /** Symbols farther than 2^52 from the first address, which are left out. */
  droppedSymbols: number;
  /** Ranges of inlined calls left out because they are nested more than 126 deep, or because there are too many. */
  droppedCalls: number;
  /** Paths of .dwo files that are missing, as the compiler named them: without them there are no inlined calls. */
  missingSplits: readonly string[];
  /** Whether the file has segments, so that it alone can be asked for file offsets. */
  segments: boolean;
  /** What was malformed, the first 64 of each part; the rest was taken. */
  problems: readonly FormatError[];
}

/** A GSYM file that is ready to be written. */
export interface GsymConversion {
  /** Size of the file in bytes. */
  size: number;
  /** What became of it, and what was malformed. */
  report: GsymConvertReport;
  /** The file, in pieces of some 256 KiB; can be asked for again. */
  chunks(): Generator<Uint8Array<ArrayBuffer>, void, undefined>;
}

/**
 * Converts a program to GSYM, so that looking an address up in the file answers as {@linkcode Symbolizer} does from
 * the program, but without columns, without the bare file names that symbol tables may have, and without lines of
 * padding behind functions.
 *
 * Reads unit by unit, and lets go of each before the next: besides the input, memory is of the order of the output.
 * Gives way to other work now and then.
 *
 * @param bytes An executable, library or separate debug file, whole; must not change meanwhile.
 * @throws {FormatError} If `bytes` or `executable` are not ELF, or `bytes` are an object file or kernel module, whose
 *   code has no addresses yet. Malformed parts are reported, and the others converted.
 * @throws {RangeError} If `executable` is of another program, or the result is too large for its version.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ELFCLASS64, ELFDATA2LSB, elfToGsym, encodeEhdr } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
 * const { report, size, chunks } = await elfToGsym(encodeEhdr({ e_ident })); // a header alone
 * assertEquals(report.functions, 0);
 * let written = 0;
 * for (const chunk of chunks()) written += chunk.length; // or write them to a file
 * assertEquals(written, size);
 * ```
 */
export async function elfToGsym(bytes: Uint8Array, options: GsymConvertOptions = {}): Promise<GsymConversion> {
  const { signal, version = GSYM_VERSION_1, layout = "ranged" } = options;
  signal?.throwIfAborted();
  const problems: FormatError[] = [];
  const file = new ElfFile(bytes);
  const { e_type } = file.ehdr;
  if (e_type === ET_REL) {
    throw new FormatError("is an object file, whose code has no addresses yet", {
      offset: 16,
      field: "e_type",
      value: e_type,
    });
  }
  const executable = options.executable === undefined ? undefined : new ElfFile(options.executable);
  const files = executable === undefined ? [file] : [executable, file];
  const record = recordOf(files);
  const { program, source } = await programOf(file, executable, options, problems);
  signal?.throwIfAborted();
  const { dwarf } = program;
  const { baseHi } = codeBounds(source);
  const segments = files.map((one) => attempt([], () => one.segments(PT_LOAD, MAX_SEGMENTS)) ?? [])
    .find((loads) => loads.length > 0) ?? [];
  const uuid = record.buildId;
  const builder = new GsymBuilder({
    version,
    layout,
    littleEndian: options.littleEndian ?? file.littleEndian,
    segments,
    // Readers of version 1 can't be told a longer one.
    uuid: version === GSYM_VERSION_1 && uuid.length > GSYM_MAX_UUID_SIZE ? new Uint8Array(0) : uuid,
  });
  const { symbols } = record;
  const spans = symbolSpans(symbols, files, baseHi);
  const pieces = cutPieces(spans, dwarf?.units);
  const inputBytes = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const functions = new UnitFunctions(builder, dwarf, baseHi, inputBytes);
  const order = pieces.byUnit();
  const { unit, low, high, symbol } = pieces;
  let turn = Date.now();
  for (let i = 0; i < order.length;) {
    const one = unit[order[i]];
    functions.enter(one);
    for (; i < order.length && unit[order[i]] === one; i++) {
      const at = order[i];
      if (symbol[at] < 0) functions.addUnnamed(low[at], high[at]);
      else functions.addNamed(low[at], high[at], symbols!.name(symbol[at]));
    }
    functions.enter(-1);
    if (one >= 0) dwarf!.forget(one);
    if (Date.now() - turn < TURN) continue;
    options.onProgress?.(i, order.length);
    await new Promise((resolve) => setTimeout(resolve, 0));
    signal?.throwIfAborted();
    turn = Date.now();
  }
  const plan = builder.plan();
  const report: GsymConvertReport = {
    functions: plan.count,
    fromDwarf: functions.fromDwarf,
    fromSymbols: functions.fromSymbols,
    droppedSymbols: spans.far,
    droppedCalls: functions.droppedCalls,
    missingSplits: dwarf?.missingSplits ?? [],
    segments: segments.length > 0,
    problems: [...problems, ...record.problems, ...(dwarf?.problems ?? [])],
  };
  return { size: plan.size, report, chunks: () => plan.write() };
}

/** Symbols and build ID of the files together, by the symbolizer's rules. */
function recordOf(files: readonly ElfFile[]): BinaryRecord {
  const ids = files.map((file) => attempt([], () => file.buildId));
  const [first = new Uint8Array(0), second] = ids.filter((id) => id !== undefined);
  if (second !== undefined && !bytesEqual(first, second)) {
    throw new RangeError("executable: has another build ID than the file to convert");
  }
  const [one, other] = files.map((file) => readParts(file, 4096));
  const record = new BinaryRecord(0, first, "", one);
  if (other !== undefined) {
    if (record.contradicts(other)) {
      throw new RangeError("executable: is of another program than the file to convert");
    }
    record.merge("", other);
  }
  return record;
}

/** The DWARF of the file, else of its executable; and which it is from. */
async function programOf(
  file: ElfFile,
  executable: ElfFile | undefined,
  { alternate, splits = [], maxSectionBytes: limit = MOST_SECTION_BYTES }: GsymConvertOptions,
  problems: FormatError[],
): Promise<{ program: Program; source: ElfFile }> {
  const program = new Program();
  let source = file;
  const link = attempt(problems, () => readDebugAltLink(file));
  await program.add(file, { link, alternate, limit, problems });
  if (executable !== undefined && program.dwarf === undefined) {
    await program.add(executable, { link: undefined, alternate: undefined, limit, problems });
    if (program.dwarf !== undefined) source = executable;
  }
  for (const split of splits) {
    await program.add(new ElfFile(split), { link: undefined, alternate: undefined, limit, problems });
  }
  return { program, source };
}
