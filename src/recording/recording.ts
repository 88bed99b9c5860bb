// Owns recordings as a symbolizer needs them: stacks, how often each occurred, and copies of files; by kind.
import { FormatError } from "../base/format_error.ts";
import type { StackColumns, StackMapLayout } from "../dump/columns.ts";
import type { RecordingFiles } from "./archive_fields.ts";
import { readEventRecording } from "./event_recording.ts";
import { isSampleRecording, readSampleRecording } from "./sample_reader.ts";
import { gunzip, readTar } from "./tar.ts";

/** A process that was recorded. */
export interface RecordedProcess {
  /** Process id, as in the recorder's PID namespace; 0 stands for all processes of others. */
  pid: number;
  /** Its name, that of its first thread: up to 15 bytes. */
  comm: string;
}

/** Samples of which there is no stack, or only one where there should be two. */
export interface LostSamples {
  /**
   * Samples without a user stack, by what the helper answered instead: -17 for `-EEXIST`. `-EFAULT`, -14, alone on
   * one side is no loss: threads of the kernel have no user stack, samples in user mode no kernel stack. It is
   * counted, on both sides, for samples that have neither.
   */
  user: Map<number, number>;
  /** Samples without a kernel stack, likewise. */
  kernel: Map<number, number>;
  /** Samples that no map had room to count; they are in no count. */
  uncounted: number;
}

/** How samples were taken. */
export interface SamplingInfo {
  /** Machine, as `uname -m` prints it. */
  machine: string;
  /** When it began: ISO 8601, UTC. */
  started: string;
  /** How long it was recorded, in seconds. */
  seconds: number;
  /** Samples a second and CPU that were asked for. */
  frequency: number;
  /** CPUs that were online. */
  nrCpus: number;
  /** Most frames of a user stack, and of a kernel stack: one with as many may have had more. */
  depth: number;
}

/** Stacks that were recorded, and what was recorded with them. */
export interface StackRecording {
  /** What the recording is called. */
  name: string;
  /** Release of the kernel that wrote the stacks, such as "6.18". */
  kernel: string;
  /** A map that can hold the stacks: the one that they are from, or twice as deep where two stacks were joined. */
  layout: StackMapLayout;
  /**
   * Frames that the helper left out, innermost first; above 0 even the first frame of a stack is a return address.
   */
  skipped: number;
  /**
   * The stacks. They refer to no memory of the archive. Of samples a stack is that of the kernel and, behind it,
   * that of the process; names from the recording's own tables are with the frames that have no build ID, and a
   * sample that has neither is a stack without frames, with a name that says what was lost.
   */
  stacks: StackColumns;
  /**
   * How often the helper returned each stack id, in the order of first appearance; as {@linkcode foldStacks} takes
   * it. Ids that the map no longer held at the end are in it, and errors too: -17 for -EEXIST. Of samples an id is
   * a row of the recording; all rows are stacks.
   */
  counts: Map<number, number>;
  /** Copies of mapped files by their mapped path, whole or only their start. Views of the unpacked archive. */
  files: Map<string, Uint8Array>;
  /** Process of each stack, by the stack's position; empty where the recording is of one process. */
  pids: Uint32Array;
  /** What is known of the processes in `pids`, by process id. */
  processes: Map<number, RecordedProcess>;
  /** Samples that lack a stack; nothing where helper calls were recorded: `counts` has their errors. */
  lost: LostSamples;
  /** Where the recording machine had binaries: path by build ID, 40 hexadecimal digits, zero-padded. */
  binaries: Map<string, string>;
  /** How samples were taken; absent where helper calls were recorded. */
  sampling?: SamplingInfo;
}

/** A kind of recording: whether meta.json is of it, and how it is read. The first that says yes reads. */
interface RecordingKind {
  is(meta: Record<string, unknown>): boolean;
  read(recording: RecordingFiles, maxFrames: number): StackRecording;
}

const KINDS: readonly RecordingKind[] = [
  // Samples of processes, as `record` writes them.
  { is: isSampleRecording, read: readSampleRecording },
  // Helper calls in order, and what both maps held afterwards. It is older than versions, and has none.
  { is: (meta) => meta.version === undefined && meta.depthBuildId !== undefined, read: readEventRecording },
];

/** Most bytes that an archive may unpack to, unless told otherwise. */
export const MOST_BYTES: number = 1 << 28;
/** Most frames that samples may have, unless told otherwise: some 400 MB of columns. */
export const MOST_FRAMES: number = 1 << 24;
/** Most objects and lists in meta.json: each costs some 80 bytes, for one character. */
const MOST_OBJECTS = 1 << 19;

/**
 * Reads a recording: an archive in tar's ustar format, packed with gzip or not, with a `meta.json` that says what
 * the other files are: samples, as {@linkcode encodeRecording} writes them and docs/recording.md describes them,
 * or helper calls, as testdata/linux-* has them and testdata/README.md describes them.
 *
 * @param archive Told by its first bytes to be gzip or tar. Owned by the caller; an unpacked archive is not copied,
 *   and the result's `files` are views of it.
 * @param options `maxBytes`: most bytes that it may unpack to; 256 MiB by default. `maxFrames`: most frames of all
 *   stacks of samples, which share them in the file, and most counts; 16,777,216 by default.
 * @throws {FormatError} For what is no such archive, is damaged or cut short; `field` begins with the file's name.
 * @throws {RangeError} Over `maxBytes` or `maxFrames`; over 4,194,304 lines of texts, or 524,288 objects and lists in
 *   meta.json.
 * @example
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { FormatError, readRecording } from "@bpf/stackmap";
 *
 * // const { stacks, counts } = await readRecording(await Deno.readFile("basic.tar.gz"));
 * await assertRejects(() => readRecording(new Uint8Array(0)), FormatError, "meta.json");
 * ```
 */
export async function readRecording(
  archive: Uint8Array,
  options: { maxBytes?: number; maxFrames?: number } = {},
): Promise<StackRecording> {
  const { maxBytes = MOST_BYTES, maxFrames = MOST_FRAMES } = options;
  const tar = isGzip(archive) ? await gunzip(archive, maxBytes) : archive;
  if (tar.length > maxBytes) throw new RangeError(`has more than ${maxBytes} bytes`);
  const files = readTar(tar);
  const meta = readMeta(files);
  const kind = KINDS.find((one) => one.is(meta));
  if (kind === undefined) {
    const version = meta.version;
    throw new FormatError("is no kind of recording that is known", {
      offset: 0,
      field: "meta.json version",
      ...(typeof version === "number" || typeof version === "string" ? { value: version } : {}),
    });
  }
  return kind.read({ meta, files }, maxFrames);
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function readMeta(files: ReadonlyMap<string, Uint8Array>): Record<string, unknown> {
  const bytes = files.get("meta.json");
  if (bytes === undefined) throw new FormatError("is missing", { offset: 0, field: "meta.json" });
  let meta: unknown;
  let objects = 0;
  for (const bracket of [0x5b, 0x7b]) {
    for (let at = bytes.indexOf(bracket); at >= 0; at = bytes.indexOf(bracket, at + 1)) {
      if (++objects > MOST_OBJECTS) throw new RangeError(`has more than ${MOST_OBJECTS} objects in meta.json`);
    }
  }
  try {
    meta = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new FormatError("is not JSON", { offset: 0, field: "meta.json" });
  }
  if (typeof meta !== "object" || meta === null || Array.isArray(meta)) {
    throw new FormatError("is not an object", { offset: 0, field: "meta.json" });
  }
  return meta as Record<string, unknown>;
}
