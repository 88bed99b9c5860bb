// Owns `symbolize`: the user's own dump and binaries to folded stacks.
import { toHex } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import { parseBpftoolDump } from "../dump/bpftool.ts";
import type { StackColumns } from "../dump/columns.ts";
import { decodeStacks } from "../dump/decode.ts";
import { looksLikeBuildIds } from "../dump/detect.ts";
import { readBuildIdFrom } from "../elf/build_id.ts";
import { GsymReader, isGsym } from "../gsym/gsym_reader.ts";
import { MOST_BYTES, MOST_FRAMES, readRecording, type StackRecording } from "../recording/recording.ts";
import { BinaryLoader } from "../store/binary_loader.ts";
import { debuginfodStore } from "../store/debuginfod_store.ts";
import type { BinaryStore } from "../store/store.ts";
import type { IndexedBinary } from "../symbolize/binary.ts";
import { Symbolizer } from "../symbolize/symbolizer.ts";
import { BPF_BUILD_ID_SIZE, BPF_F_STACK_BUILD_ID } from "../uapi/bpf.ts";
import {
  type Command,
  EXIT_FAILED,
  EXIT_OK,
  inFile,
  naming,
  type ParsedArgs,
  UsageError,
  wholeNumber,
} from "./command.ts";
import { addWithDebugFiles } from "./debug_files.ts";
import { type DumpedStacks, endsEarly } from "./fold_dump.ts";
import { accountOf, stacksOf } from "./fold_recording.ts";
import { type Host, walk } from "./host.ts";
import { checkOutputs, OUTPUT_OPTIONS, outputHelp, writeStacks } from "./outputs.ts";

/** Options that say what a dump does not. */
const OF_DUMPS = ["value-size", "counts", "addresses", "skipped", "big-endian"];

/** `symbolize (--dump FILE | --recording FILE) [--elf FILE|DIR]…`. */
export const command: Command = {
  summary: "turn a dump of a stack map, or a recording, into folded stacks, a pprof profile or a flame graph",
  help: `usage: stackmap symbolize (--dump FILE | --recording FILE) [--elf FILE|DIR]… [option]…

Prints folded stacks, "outermost;…;innermost COUNT" (of a recording below the name of the process), which flame graph
tools read, with inlined functions where there is DWARF, or writes them, a pprof profile or a flame graph to files; then, on standard error, how many frames were resolved,
kept as IP, and unknown.

  --dump FILE        what "bpftool map dump -j" printed, or raw records: u32 id, then the value
  --recording FILE   what "record --output" wrote; it has its own counts, and names for the kernel's frames
  --elf FILE|DIR     a binary, separate debug file or GSYM file, or a directory to search for those that the dump names;
                     as often as needed
  --debuginfod URL   a debuginfod server to ask for what is still missing; as often as needed
${outputHelp(21)}  --counts FILE      how often each id occurred: lines "ID COUNT"; each stack counts 1 without it
  --value-size N     size of a value of a raw dump in bytes (4064, which is 127 frames with build IDs)
  --addresses        the map holds addresses, not build IDs (else found out from the values)
  --debug-root DIR   where the .build-id tree of debug files is (/usr/lib/debug); as often as needed
  --linkage-names    names as the linker has them, not demangled
  --max-frames N     most frames of a recording, each stack taken as often as samples refer to it (16777216); the
                     archive may have 64 bytes for each, and 256 MiB in any case
  --skipped          the helper skipped frames: the first frame of a stack is a return address, too
  --big-endian       the dump is of a big-endian machine

exit code: 0, or 1 if a file can't be read or is not what it should be
`,
  flags: ["addresses", "linkage-names", "skipped", "big-endian"],
  options: [
    "dump",
    "recording",
    "elf",
    "debuginfod",
    "debug-root",
    "counts",
    "value-size",
    "max-frames",
    ...OUTPUT_OPTIONS,
  ],
  run,
};

async function run(host: Host, parsed: ParsedArgs): Promise<number> {
  if (parsed.operands.length > 0) {
    throw new UsageError(`what is ${parsed.operands[0]}? Binaries are named with --elf`);
  }
  await checkOutputs(parsed, { inputs: ["dump", "recording", "counts", "elf"] });
  const dumps = parsed.values.get("dump") ?? [];
  const recordings = parsed.values.get("recording") ?? [];
  if (dumps.length + recordings.length !== 1) throw new UsageError("symbolize needs one --dump or --recording");
  return dumps.length === 1
    ? await symbolizeDump(host, dumps[0], parsed)
    : await symbolizeRecording(host, recordings[0], parsed);
}

async function symbolizeDump(host: Host, dump: string, parsed: ParsedArgs): Promise<number> {
  if (parsed.values.has("max-frames")) throw new UsageError("--max-frames is about a recording");
  const valueSize = wholeNumber(parsed, "value-size", 8, 4064);
  if (valueSize % 8 !== 0) {
    throw new UsageError(`--value-size is a multiple of a frame's 8 bytes, not ${valueSize}`);
  }
  const littleEndian = !parsed.flags.has("big-endian");
  const addresses = parsed.flags.has("addresses");
  const columns = inFile(dump, () => readDump(host.readFile(dump), valueSize, littleEndian, addresses));
  const countsFile = parsed.values.get("counts")?.at(-1);
  const counts = countsFile === undefined
    ? undefined
    : inFile(countsFile, () => parseCounts(new TextDecoder().decode(host.readFile(countsFile))));
  const skipped = parsed.flags.has("skipped");
  return await fold(host, parsed, { title: dump, columns, counts, skipped });
}

async function symbolizeRecording(host: Host, path: string, parsed: ParsedArgs): Promise<number> {
  for (const name of OF_DUMPS) {
    if (parsed.flags.has(name) || parsed.values.has(name)) {
      throw new UsageError(`--${name} is about a dump; a recording says it itself`);
    }
  }
  const maxFrames = wholeNumber(parsed, "max-frames", 1, MOST_FRAMES);
  // A frame has 32 bytes in the archive; stacks of few frames take the room of many.
  const maxBytes = Math.max(MOST_BYTES, 64 * maxFrames);
  let recording: StackRecording;
  try {
    recording = await readRecording(host.readFile(path), { maxBytes, maxFrames });
  } catch (error) {
    const isLimit = error instanceof RangeError && /more than \d+ (?:frames|counts|bytes)/.test(error.message);
    throw naming(path, isLimit ? new RangeError(`${error.message}: raise --max-frames`) : error);
  }
  return await fold(host, parsed, stacksOf(recording), accountOf(recording));
}

/** Finds the binaries of stacks, and writes what they are. */
async function fold(host: Host, parsed: ParsedArgs, stacks: DumpedStacks, account = ""): Promise<number> {
  const { columns } = stacks;
  const symbolizer = new Symbolizer();
  const cut = new Set<IndexedBinary>();
  const problems = await addBinaries(host, symbolizer, cut, parsed, columns) +
    await addFromServers(host, symbolizer, parsed, columns);
  const isWhole = await writeStacks(host, parsed, stacks, symbolizer, { cut, account });
  return problems === 0 && isWhole ? EXIT_OK : EXIT_FAILED;
}

function readDump(bytes: Uint8Array, valueSize: number, littleEndian: boolean, addresses: boolean): StackColumns {
  let dump = bytes;
  // A raw dump that starts with an id of 0x5b and ids like it could look like JSON; four such bytes in a row are text.
  const text = /^[\s\ufeff]*[[{n]/.test(new TextDecoder().decode(bytes.subarray(0, 64))) &&
    isText(bytes.subarray(0, 64));
  if (text) ({ dump, valueSize } = parseBpftoolDump(bytes, { littleEndian }));
  if (dump.length === 0) valueSize = 32;
  const buildIds = !addresses && looksLikeBuildIds(dump, valueSize, littleEndian);
  const mapFlags = buildIds ? BPF_F_STACK_BUILD_ID : 0;
  return decodeStacks(dump, { valueSize, mapFlags, littleEndian });
}

function isText(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d));
}

/** Lines "ID COUNT" to counts by id. Throws `FormatError` for any other line. */
export function parseCounts(text: string): Map<number, number> {
  const counts = new Map<number, number>();
  let offset = 0;
  for (const [i, line] of text.split("\n").entries()) {
    const match = /^\s*(-?[0-9]{1,15})[\s,:]+([0-9]{1,15})\s*$/.exec(line);
    if (match !== null) {
      const id = Number(match[1]);
      counts.set(id, (counts.get(id) ?? 0) + Number(match[2]));
    } else if (line.trim() !== "") {
      throw new FormatError('is not "ID COUNT"', { offset, field: `line ${i + 1}`, value: line.slice(0, 80) });
    }
    offset += line.length + 1;
  }
  return counts;
}

// Adds the binaries named, and of directories those that the dump asks for; returns how many could not be used. Those
// of which only the start is there go to `cut`, too.
async function addBinaries(
  host: Host,
  symbolizer: Symbolizer,
  cut: Set<IndexedBinary>,
  parsed: ParsedArgs,
  columns: StackColumns,
): Promise<number> {
  const paths = parsed.values.get("elf") ?? [];
  const roots = parsed.values.get("debug-root");
  let problems = 0;
  const complain = (path: string, problem: string) => {
    host.writeError(`${path}: ${problem}\n`);
    problems++;
  };
  const wanted = new Set(buildIdsOf(columns).map(toHex));
  const add = async (path: string) => {
    const bytes = host.readFile(path);
    const added = await addWithDebugFiles(host, symbolizer, path, bytes, { roots });
    const { status, binary, problems: parts, kernelReports } = added;
    if (status === "no-build-id") complain(path, "has no build ID: no frame can name it");
    else if (status === "conflict") complain(path, "has the build ID of another program; it was left out");
    else if (!kernelReports) complain(path, "has a build ID of more than 20 bytes, which no kernel reports");
    if (binary !== undefined && status !== "conflict" && !isGsym(bytes) && endsEarly(bytes)) cut.add(binary);
    for (const part of parts) host.writeError(`${path}: ${part.message}\n`);
  };
  for (const path of paths) {
    const kind = host.kind(path);
    if (kind === undefined) {
      complain(path, "there is no such file or directory");
    } else if (kind !== "directory") {
      try {
        await add(path);
      } catch (error) {
        complain(path, (error as Error).message);
      }
    } else {
      let seen = 0;
      for (const found of walk(host, path, (at, error) => complain(at, error.message))) {
        if (host.interactive() && ++seen % 500 === 0) host.writeError(`\r${path}: ${seen} files …`);
        try {
          if (isWanted(host, found, wanted)) await add(found);
        } catch (error) {
          // Below a directory most files are no ELF files, and that is no failure.
          if (!(error instanceof FormatError)) complain(found, (error as Error).message);
        }
      }
      if (host.interactive() && seen >= 500) host.writeError("\r\x1b[K");
    }
  }
  return problems;
}

/** Asks debuginfod servers for what is missing; returns how many build IDs could not be had for another reason. */
async function addFromServers(
  host: Host,
  symbolizer: Symbolizer,
  parsed: ParsedArgs,
  columns: StackColumns,
): Promise<number> {
  const servers = parsed.values.get("debuginfod");
  if (servers === undefined) return 0;
  let store: BinaryStore;
  try {
    store = debuginfodStore({ servers });
  } catch (error) {
    throw new UsageError(`--debuginfod: ${(error as Error).message}`);
  }
  const loader = new BinaryLoader(symbolizer, store, { maxFileBytes: Infinity });
  const missing = buildIdsOf(columns).filter((id) => symbolizer.binary(id) === undefined);
  if (host.interactive() && missing.length > 0) host.writeError(`asking for ${missing.length} binaries …`);
  const problems = await loader.load(missing);
  if (host.interactive() && missing.length > 0) host.writeError("\r\x1b[K");
  for (const { message } of problems) host.writeError(`${message}\n`);
  // What no server has is no failure: its frames are counted as unknown.
  return problems.filter(({ reason }) => reason !== "not-found").length;
}

function buildIdsOf({ buildIds }: StackColumns): Uint8Array[] {
  return Array.from(
    { length: buildIds.length / BPF_BUILD_ID_SIZE },
    (_, i) => buildIds.subarray(i * BPF_BUILD_ID_SIZE, (i + 1) * BPF_BUILD_ID_SIZE),
  );
}

function isWanted(host: Host, path: string, wanted: Set<string>): boolean {
  const file = host.open(path);
  try {
    const buildId = isGsym(file.read(0, 4) ?? new Uint8Array(0))
      ? new GsymReader(host.readFile(path)).uuid
      : readBuildIdFrom((offset, length) => file.read(offset, length));
    return buildId !== undefined && wanted.has(toHex(buildId).padEnd(2 * BPF_BUILD_ID_SIZE, "0"));
  } finally {
    file.close();
  }
}
