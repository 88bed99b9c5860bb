// Owns the kind of recording that has every helper call: events.bin, and bid.bin with what the map held afterwards.
import { viewOf } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import { decodeStacks } from "../dump/decode.ts";
import { BPF_F_SKIP_FIELD_MASK, BPF_F_STACK_BUILD_ID } from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { fileOf, inFile, objectOf, type RecordingFiles, shortText, wholeNumber } from "./archive_fields.ts";
import type { StackRecording } from "./recording.ts";

/** Bytes of a call, and where in it is what bpf_get_stackid returned for the map of build IDs: an s64. */
const EVENT_BYTES = 1056;
const EVENT_ID = 16;

const MOST_DEPTH = 0x1_0000;

/** Reads what a symbolizer needs of it. @throws {FormatError} For what is missing or malformed. */
export function readEventRecording(recording: RecordingFiles): StackRecording {
  const { meta, files } = recording;
  const depth = wholeNumber(meta, "depthBuildId", 1, MOST_DEPTH);
  const layout = { valueSize: depth * SIZEOF_BPF_STACK_BUILD_ID, mapFlags: BPF_F_STACK_BUILD_ID };
  return {
    name: shortText(meta.name, "name"),
    kernel: shortText(meta.kernel, "kernel"),
    layout,
    skipped: wholeNumber(meta, "helperFlags", 0, 0xffff_ffff) & BPF_F_SKIP_FIELD_MASK,
    stacks: inFile("bid.bin", () => decodeStacks(fileOf(recording, "bid.bin"), layout)),
    counts: countEvents(fileOf(recording, "events.bin")),
    files: copies(meta.files, files),
    pids: new Uint32Array(0),
    processes: new Map(),
    lost: { user: new Map(), kernel: new Map(), uncounted: 0 },
    binaries: new Map(),
  };
}

function countEvents(events: Uint8Array): Map<number, number> {
  const rest = events.length % EVENT_BYTES;
  if (rest !== 0) {
    throw new FormatError(`is no whole number of ${EVENT_BYTES}-byte records`, {
      offset: events.length - rest,
      field: "events.bin",
      value: events.length,
    });
  }
  const view = viewOf(events);
  const counts = new Map<number, number>();
  for (let at = EVENT_ID; at < events.length; at += EVENT_BYTES) {
    // An id has 31 bits, an error is small: the lower half is the number.
    const low = view.getInt32(at, true);
    const high = view.getInt32(at + 4, true);
    if (high !== low >> 31) {
      throw new FormatError("is neither a stack id nor an error", {
        offset: at,
        field: "events.bin id_bid",
        value: view.getBigInt64(at, true),
      });
    }
    counts.set(low, (counts.get(low) ?? 0) + 1);
  }
  return counts;
}

// Copies of files by mapped path. Names that are not in the archive are left out: a copy is a help, no need.
function copies(listed: unknown, files: ReadonlyMap<string, Uint8Array>): Map<string, Uint8Array> {
  const out = new Map<string, Uint8Array>();
  if (listed === undefined) return out;
  for (const [path, name] of Object.entries(objectOf(listed, "files"))) {
    const bytes = typeof name === "string" ? files.get(name) : undefined;
    if (bytes !== undefined) out.set(path, bytes);
  }
  return out;
}
