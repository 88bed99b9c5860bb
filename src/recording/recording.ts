// Owns recordings as a symbolizer needs them: stacks, how often each occurred, and copies of files; by kind.
import { FormatError } from "../base/format_error.ts";
import type { StackColumns, StackMapLayout } from "../dump/columns.ts";
import { readEventRecording } from "./event_recording.ts";
import { gunzip, readTar } from "./tar.ts";

/** Stacks that were recorded, and what was recorded with them. */
export interface StackRecording {
  /** What the recording is called. */
  name: string;
  /** Release of the kernel that wrote the stacks, such as "6.18". */
  kernel: string;
  /** How the map was created that the stacks are from. */
  layout: StackMapLayout;
  /**
   * Frames that the helper left out, innermost first; above 0 even the first frame of a stack is a return address.
   */
  skipped: number;
  /** The stacks. They refer to no memory of the archive. */
  stacks: StackColumns;
  /**
   * How often the helper returned each stack id, in the order of first appearance; as {@linkcode foldStacks} takes
   * it. Ids that the map no longer held at the end are in it, and errors too: -17 for -EEXIST.
   */
  counts: Map<number, number>;
  /** Copies of mapped files by their mapped path, whole or only their start. Views of the unpacked archive. */
  files: Map<string, Uint8Array>;
}

/** Fields of meta.json, and the archive's files. */
export interface RecordingFiles {
  meta: Record<string, unknown>;
  files: ReadonlyMap<string, Uint8Array>;
}

/** A kind of recording: whether meta.json is of it, and how it is read. The first that says yes reads. */
interface RecordingKind {
  is(meta: Record<string, unknown>): boolean;
  read(recording: RecordingFiles): StackRecording;
}

const KINDS: readonly RecordingKind[] = [
  // Helper calls in order, and what both maps held afterwards. It is older than versions, and has none.
  { is: (meta) => meta.version === undefined && meta.depthBuildId !== undefined, read: readEventRecording },
];

/** Most bytes that an archive may unpack to, unless told otherwise. */
const MOST_BYTES = 1 << 28;

/**
 * Reads a recording: an archive in tar's ustar format, packed with gzip or not, with a `meta.json` that says what
 * the other files are. Today there is one kind, that of testdata/linux-6.18; testdata/README.md describes it.
 *
 * @param archive Told by its first bytes to be gzip or tar. Owned by the caller; an unpacked archive is not copied,
 *   and the result's `files` are views of it.
 * @param options `maxBytes`: most bytes that it may unpack to; 256 MiB by default.
 * @throws {FormatError} For what is no such archive, is damaged or cut short; `field` begins with the file's name.
 * @throws {RangeError} Over `maxBytes`.
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
  options: { maxBytes?: number } = {},
): Promise<StackRecording> {
  const { maxBytes = MOST_BYTES } = options;
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
  return kind.read({ meta, files });
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function readMeta(files: ReadonlyMap<string, Uint8Array>): Record<string, unknown> {
  const bytes = files.get("meta.json");
  if (bytes === undefined) throw new FormatError("is missing", { offset: 0, field: "meta.json" });
  let meta: unknown;
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
