// Owns Symbolizer: files in, asynchronously; for a build id plus file offset functions, files and lines out.
import { attempt } from "../base/format_error.ts";
import { checkLimits } from "../base/limits.ts";
import { demangle } from "../demangle/demangle.ts";
import { readDebugAltLink, readDebugLink } from "../elf/debug_links.ts";
import { ElfFile } from "../elf/elf_file.ts";
import type { Phdr } from "../elf/headers.ts";
import { GsymReader, isGsym } from "../gsym/gsym_reader.ts";
import { lookupOf } from "../gsym/lookup.ts";
import { RangedGsym } from "../gsym/ranged_gsym.ts";
import type { BinaryRecord, IndexedBinary } from "./binary.ts";
import { type FoundFrames, lookUpAll, lookUpAndFetch } from "./batch.ts";
import { addKnownSegments, type AddResult, BuildIdIndex, noSymbolReason } from "./build_id_index.ts";
import {
  appendFrames,
  type FrameNames,
  FrameRows,
  MISSING,
  problemAt,
  type SymbolizedFrame,
} from "./frame_rows.ts";
import {
  type FrameColumns,
  innermostRows,
  RESOLVE_REASONS,
  type ResolvedColumns,
  type ResolveReason,
} from "./resolution.ts";
import { Programs } from "./programs.ts";
import type { Symbolization, SymbolizerAddResult, SymbolizerOptions } from "./symbolization.ts";
import { type SymbolizedColumns, symbolizedColumns } from "./symbolized_columns.ts";

/** Most bytes that the compressed sections of one file may unpack to, where nothing else is said. */
const MOST_SECTION_BYTES = 1 << 30;

/**
 * Answers which function, file and line a frame is in, inlined calls included, from the files it was given: programs,
 * libraries, separate debug files, split DWARF, each alone or several for one build id, in any order.
 *
 * {@linkcode Symbolizer.add} is asynchronous, because compressed sections are unpacked by the platform; lookups are
 * not, and read what they need of a file's DWARF when they first need it: the unit with the address, no other. Only
 * {@linkcode Symbolizer.symbolize} is, since it fetches what GSYM files that are read by ranges lack.
 * docs/symbolization.md has the cost of each step.
 *
 * The bytes of a file with uncompressed DWARF are kept, not copied: they must not change. Names are those that
 * llvm-symbolizer prints.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Symbolizer } from "@bpf/stackmap";
 *
 * const symbolizer = new Symbolizer({ maxBytes: 256 << 20 });
 * // await symbolizer.add(await Deno.readFile("/usr/bin/bash"), { name: "/usr/bin/bash" });
 * const { frames, reason } = symbolizer.lookup(new Uint8Array(20).fill(7), 0x1136n);
 * assertEquals(frames, []);
 * assertEquals(reason, "no-such-binary");
 * ```
 */
export class Symbolizer {
  readonly #index: BuildIdIndex;
  readonly #programs: Programs;
  readonly #maxSectionBytes: number;
  /** The frames of one address, before they become objects. */
  readonly #rows = new FrameRows(8);

  /**
   * A symbolizer without binaries.
   *
   * @throws {RangeError} If an option is none that can be.
   */
  constructor(options: SymbolizerOptions = {}) {
    const { pageSize = 4096, maxBytes = Infinity, maxSectionBytes = MOST_SECTION_BYTES } = options;
    checkLimits({ maxBytes, maxSectionBytes });
    this.#index = new BuildIdIndex({ pageSize });
    this.#programs = new Programs(this.#index, maxBytes);
    this.#maxSectionBytes = maxSectionBytes;
  }

  /** All binaries, in the order of addition, those that were let go of included. */
  get binaries(): readonly IndexedBinary[] {
    return this.#index.binaries;
  }

  /** The binary with a build id, given as in the file or padded to 20 bytes. */
  binary(buildId: Uint8Array): IndexedBinary | undefined {
    return this.#index.binary(buildId);
  }

  /**
   * Takes in one ELF file: an executable, a library, a separate debug file, a .dwo file or a .dwp package; or one GSYM
   * file, whole or by ranges. Files of one build id complement each other; of two with DWARF the first counts, unless
   * only the second has its `alternate`; of two GSYM files the first. DWARF is asked before GSYM.
   *
   * @param file The whole file. Kept where it is GSYM or its DWARF is not compressed, and must not change then.
   * @param options `name` for reports, such as the path. `buildId`: what the id has to be, where it is known from
   *   elsewhere; .dwo files and .dwp packages have none and need it. `alternate`: the file that the result of an
   *   earlier call has as `debugAltLink`, whole; its id is compared.
   * @returns What became of it. Malformed parts are in `problems`; the others were taken.
   * @throws {FormatError} If `file` is neither ELF nor GSYM, or ends inside its header.
   * @throws {RangeError} If `options.buildId` is empty.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { ELFCLASS64, ELFDATA2LSB, encodeEhdr, Symbolizer } from "@bpf/stackmap";
   *
   * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
   * const symbolizer = new Symbolizer();
   * const { status, debugInfo } = await symbolizer.add(encodeEhdr({ e_ident }), { buildId: Uint8Array.of(1, 2) });
   * assertEquals([status, debugInfo], ["added", false]); // a header alone: no DWARF, no symbols
   * ```
   */
  async add(
    file: Uint8Array | RangedGsym,
    options: { name?: string; buildId?: Uint8Array; alternate?: Uint8Array } = {},
  ): Promise<SymbolizerAddResult> {
    if (file instanceof RangedGsym) return this.#addGsym(file, options);
    if (!(file instanceof Uint8Array)) throw new TypeError("a file is a Uint8Array or a RangedGsym");
    return isGsym(file) ? this.#addGsym(new GsymReader(file), options) : await this.#addElf(file, options);
  }

  #addGsym(gsym: GsymReader | RangedGsym, options: { name?: string; buildId?: Uint8Array }): SymbolizerAddResult {
    if (options.buildId?.length === 0) throw new RangeError("buildId is empty");
    const { uuid, segments = [], problem } = gsym;
    const added = addKnownSegments(this.#index, uuid.length === 0 ? undefined : uuid, segments, options);
    const problems = problem === undefined ? added.problems : [...added.problems, problem];
    const result: SymbolizerAddResult = { ...added, problems, debugInfo: false };
    if (added.binary === undefined || added.status === "conflict") return result;
    const program = this.#programs.make(added.binary.index);
    program.lastUsed = this.#programs.begin();
    if (program.gsym === undefined) {
      program.gsym = lookupOf(gsym);
      this.#brought(result, options.name);
    }
    this.#programs.keepLimit();
    return result;
  }

  /** A file that brought neither symbols nor segments brought debug information. */
  #brought(result: SymbolizerAddResult, name: string = ""): void {
    result.debugInfo = true;
    if (result.status !== "duplicate") return;
    result.status = "merged";
    (result.binary as BinaryRecord).files.push(name);
  }

  /**
   * Takes the PT_LOAD segments of an executable, where its first pages are all that is at hand, for debug information
   * that has none of its own: a separate debug file, a GSYM file of another tool.
   *
   * @param segments Program headers of the executable; others than PT_LOAD are passed over.
   * @param options `buildId` of the executable; `name` for reports.
   * @throws {RangeError} If `options.buildId` is empty.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { PF_X, PT_LOAD, Symbolizer } from "@bpf/stackmap";
   *
   * const symbolizer = new Symbolizer();
   * const buildId = Uint8Array.of(0xab, 0xcd);
   * const text = { p_type: PT_LOAD, p_flags: PF_X, p_offset: 0x1000n, p_vaddr: 0x401000n, p_paddr: 0n };
   * symbolizer.addSegments([{ ...text, p_filesz: 0x200n, p_memsz: 0x200n, p_align: 0x1000n }], { buildId });
   * assertEquals(symbolizer.lookup(buildId, 0x1136n).address, 0x401136n);
   * ```
   */
  addSegments(segments: readonly Phdr[], options: { buildId: Uint8Array; name?: string }): AddResult {
    if (options.buildId.length === 0) throw new RangeError("buildId is empty");
    return addKnownSegments(this.#index, undefined, segments, options);
  }

  async #addElf(
    bytes: Uint8Array,
    options: { name?: string; buildId?: Uint8Array; alternate?: Uint8Array },
  ): Promise<SymbolizerAddResult> {
    const file = new ElfFile(bytes);
    const added = this.#index.add(bytes, options);
    const problems = [...added.problems];
    const result: SymbolizerAddResult = { ...added, problems, debugInfo: false };
    const { binary, status } = added;
    if (binary === undefined || status === "conflict") return result;
    const debugLink = attempt(problems, () => readDebugLink(file));
    const debugAltLink = attempt(problems, () => readDebugAltLink(file));
    if (debugLink !== undefined) result.debugLink = debugLink;
    if (debugAltLink !== undefined) result.debugAltLink = debugAltLink;
    const program = this.#programs.make(binary.index);
    program.lastUsed = this.#programs.begin();
    const { alternate } = options;
    program.adding++;
    program.addingSince = performance.now();
    try {
      const limit = this.#maxSectionBytes;
      const used = await program.add(file, { link: debugAltLink, alternate, limit, problems });
      if (used) this.#brought(result, options.name);
    } finally {
      program.adding--;
    }
    program.lastUsed = this.#programs.begin();
    this.#programs.keepLimit();
    return result;
  }

  /**
   * Symbolizes one frame.
   *
   * @param buildId As in the kernel's struct (20 bytes, zero-padded) or as in the file.
   * @param fileOffset File offset in bytes, unsigned 64 bits.
   * @param options `returnAddress`: the frame is not the innermost of its stack. Then it points after a call, and is
   *   looked up one byte earlier; `address` is still that of the frame.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Symbolizer } from "@bpf/stackmap";
   *
   * const build_id = new Uint8Array(20).fill(7);
   * assertEquals(new Symbolizer().lookup(build_id, 0x1136n), { frames: [], reason: "no-such-binary" });
   * ```
   */
  lookup(buildId: Uint8Array, fileOffset: bigint, options: { returnAddress?: boolean } = {}): Symbolization {
    const { binary, address, reconstructed, reason } = this.#index.resolve(buildId, fileOffset, options);
    const found: Symbolization = { frames: [] };
    if (binary !== undefined) found.binary = binary;
    if (reconstructed !== undefined) found.reconstructed = reconstructed;
    if (address === undefined || reason === "not-an-executable-mapping") {
      return { ...found, ...(address === undefined ? {} : { address }), reason: reason! };
    }
    return {
      ...found,
      address,
      ...this.#at(binary!, options.returnAddress === true ? address - 1n : address, reason),
    };
  }

  /**
   * Symbolizes a virtual address of a binary's file, as `nm` prints and `addr2line` takes them.
   *
   * @param address Unsigned 64 bits; any other is outside every segment.
   * @param options `returnAddress`: look one byte earlier, as in {@linkcode Symbolizer.lookup}.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Symbolizer } from "@bpf/stackmap";
   *
   * const { reason } = new Symbolizer().lookupAddress(Uint8Array.of(0xab, 0xcd), 0x401136n);
   * assertEquals(reason, "no-such-binary");
   * ```
   */
  lookupAddress(buildId: Uint8Array, address: bigint, options: { returnAddress?: boolean } = {}): Symbolization {
    const binary = this.#index.binary(buildId);
    if (binary === undefined) return { frames: [], reason: "no-such-binary" };
    if (binary.evicted) return { frames: [], binary, reason: "evicted" };
    if (address !== BigInt.asUintN(64, address)) return { frames: [], binary, reason: "outside-every-segment" };
    return {
      binary,
      address,
      ...this.#at(binary, options.returnAddress === true ? address - 1n : address, undefined),
    };
  }

  #at(
    binary: IndexedBinary,
    address: bigint,
    reason: ResolveReason | undefined,
  ): Pick<Symbolization, "frames" | "reason" | "problem"> {
    const programs = this.#programs;
    const names = programs.names(binary.index, programs.begin());
    const before = programs.isLimited ? programs.bytesOf(binary) : 0;
    const rows = this.#rows;
    rows.length = 0;
    const hi = Number(address >> 32n);
    const lo = Number(address & 0xffff_ffffn);
    const symbol = binary.symbols?.lookup(hi, lo) ?? -1;
    const found = appendFrames(rows, 0, names, hi, lo, symbol);
    if (programs.isLimited && programs.bytesOf(binary) !== before) programs.keepLimit();
    if (found === MISSING) return { frames: [], reason: "not-loaded" };
    const malformed = problemAt(names, hi, lo);
    if (rows.length > 0) {
      const frames: SymbolizedFrame[] = [];
      for (let row = 0; row < rows.length; row++) frames.push(rows.frame(row, names, demangle));
      return malformed === undefined ? { frames } : { frames, problem: malformed };
    }
    if (malformed !== undefined) return { frames: [], reason: "malformed-debug-info", problem: malformed };
    if (names.gsym !== undefined) return { frames: [], reason: "no-symbol-here" };
    const why = reason ?? noSymbolReason(binary);
    // Where no unit has the address, what is malformed elsewhere may be why.
    const problem = names.dwarf?.problems[0] ?? (why === "malformed-symbols" ? binary.problems[0] : undefined);
    return { frames: [], reason: why, ...(problem === undefined ? {} : { problem }) };
  }

  /**
   * Symbolizes many frames, in columns: without an allocation for each, and equal ones once.
   *
   * @param frames What `decodeStacks()` returns, or the same columns from elsewhere.
   * @throws {RangeError} If columns differ in length.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Symbolizer } from "@bpf/stackmap";
   *
   * const answer = new Symbolizer().lookupColumns({
   *   idIndex: Int32Array.of(0),
   *   offsetHi: Uint32Array.of(0),
   *   offsetLo: Uint32Array.of(0x1136),
   *   buildIds: new Uint8Array(20).fill(7),
   * });
   * assertEquals(answer.frames(0), []);
   * assertEquals(answer.reason(0), "no-such-binary");
   * ```
   */
  lookupColumns(frames: FrameColumns): SymbolizedColumns {
    const resolved = this.#index.resolveColumns(frames);
    return this.#atColumns(resolved, innermostRows(frames, resolved.reason.length));
  }

  /**
   * {@linkcode Symbolizer.lookupColumns} that fetches what GSYM files read by ranges lack, a few addresses at a time:
   * memory stays within their limits. Files that are here whole are answered as there.
   *
   * @param options `signal` ends it: the promise rejects with its reason, and nothing is fetched any more.
   * @returns Where fetching failed, addresses have the reason `not-loaded`, and `failures` of the answer says why.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Symbolizer } from "@bpf/stackmap";
   *
   * const answer = await new Symbolizer().symbolize({
   *   idIndex: Int32Array.of(0),
   *   offsetHi: Uint32Array.of(0),
   *   offsetLo: Uint32Array.of(0x1136),
   *   buildIds: new Uint8Array(20).fill(7),
   * });
   * assertEquals(answer.reason(0), "no-such-binary");
   * ```
   */
  async symbolize(
    frames: FrameColumns,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<SymbolizedColumns> {
    options.signal?.throwIfAborted();
    const resolved = this.#index.resolveColumns(frames);
    const innermost = innermostRows(frames, resolved.reason.length);
    const found = await lookUpAndFetch(resolved, innermost, this.#programsOf(), options.signal);
    return this.#answer(found, resolved);
  }

  /**
   * Symbolizes many virtual addresses of one binary's file, in columns; see {@linkcode Symbolizer.lookupAddress}.
   *
   * @param addresses Upper and lower 32 bits of each. @param options `returnAddress`: all are.
   * @throws {RangeError} If the columns differ in length.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Symbolizer } from "@bpf/stackmap";
   *
   * const addresses = { hi: Uint32Array.of(0), lo: Uint32Array.of(0x401136) };
   * const answer = new Symbolizer().lookupAddresses(Uint8Array.of(0xab, 0xcd), addresses);
   * assertEquals(answer.reason(0), "no-such-binary");
   * ```
   */
  lookupAddresses(
    buildId: Uint8Array,
    addresses: { hi: Uint32Array; lo: Uint32Array },
    options: { returnAddress?: boolean } = {},
  ): SymbolizedColumns {
    const count = addresses.lo.length;
    if (addresses.hi.length !== count) {
      throw new RangeError(`columns of ${addresses.hi.length} and ${count} elements`);
    }
    const binary = this.#index.binary(buildId);
    const back = options.returnAddress === true;
    const known = binary === undefined ? "no-such-binary" : binary.evicted ? "evicted" : noSymbolReason(binary);
    const resolved: ResolvedColumns = {
      binary: new Int32Array(count).fill(binary?.index ?? -1),
      symbol: new Int32Array(count).fill(-1),
      addressHi: addresses.hi.slice(),
      addressLo: addresses.lo.slice(),
      reason: new Uint8Array(count).fill(RESOLVE_REASONS.indexOf(known)),
    };
    const symbols = binary?.symbols;
    for (let i = 0; symbols !== undefined && i < count; i++) {
      const lo = addresses.lo[i];
      const hi = addresses.hi[i];
      resolved.symbol[i] = back ? symbols.lookup(lo === 0 ? hi - 1 : hi, (lo - 1) >>> 0) : symbols.lookup(hi, lo);
    }
    return this.#atColumns(resolved, new Uint8Array(count).fill(back ? 0 : 1));
  }

  #atColumns(resolved: ResolvedColumns, innermost: Uint8Array): SymbolizedColumns {
    return this.#answer(lookUpAll(resolved, innermost, this.#programsOf()), resolved);
  }

  /** What is known of a binary, for a call that begins. */
  #programsOf(): (index: number) => FrameNames {
    const call = this.#programs.begin();
    return (index) => this.#programs.names(index, call);
  }

  #answer(found: FoundFrames, resolved: ResolvedColumns): SymbolizedColumns {
    this.#programs.keepLimit();
    return symbolizedColumns(found, resolved);
  }

  /**
   * Bytes kept, without the engine's own overhead: symbols, the DWARF sections of all files (also where they are part
   * of the caller's bytes), and what lookups have made of them.
   */
  get retainedBytes(): number {
    return this.#programs.retainedBytes;
  }

  /**
   * Paths of the .dwo files that lookups in a binary have missed so far, as the compiler named them: below the directory
   * it ran in. Without them functions are named by symbols, and lines are there, but inlined calls are not.
   */
  missingSplits(buildId: Uint8Array): readonly string[] {
    return this.#programs.get(this.#index.binary(buildId)?.index ?? -1)?.dwarf?.missingSplits ?? [];
  }

  /** Lets go of a binary: its frames are answered with `evicted` until its files are added again. */
  evict(buildId: Uint8Array): boolean {
    return this.#programs.evict(buildId);
  }
}
