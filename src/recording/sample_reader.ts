// Owns reading of recordings of samples: two dumps, counts, and texts with names, to stacks that carry their names.
import { viewOf } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import type { StackColumns } from "../dump/columns.ts";
import { decodeStacks } from "../dump/decode.ts";
import { BPF_F_STACK_BUILD_ID, BPF_STACK_BUILD_ID_IP } from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { errnoName } from "../uapi/errno.ts";
import {
  fileOf,
  inFile,
  metaError,
  objectOf,
  type RecordingFiles,
  shortText,
  wholeNumber,
} from "./archive_fields.ts";
import { kernelNames, nameTable, ProcessNames } from "./frame_names.ts";
import type { LostSamples, RecordedProcess, SamplingInfo, StackRecording } from "./recording.ts";

/** What `format` in meta.json says. */
export const SAMPLES_FORMAT = "stackmap recording";
/** The version that is read and written here. */
export const SAMPLES_VERSION = 1;
/** Bytes of a row of counts.bin: u32 process, s32 user stack, s32 kernel stack, u32 0, u64 samples. */
export const COUNT_BYTES = 24;
/** Most frames of a map's stacks. */
export const MOST_DEPTH = 0x1_0000;

const EFAULT = -14;
/** Numbers below this are no errors. */
const LEAST_ERRNO = -4095;
/** Frames with a status that nobody knows: each takes room in a table. */
const MOST_OTHER_STATUS = 1 << 20;

/** Whether meta.json is that of samples, of whatever version. */
export function isSampleRecording(meta: Record<string, unknown>): boolean {
  return meta.format === SAMPLES_FORMAT;
}

/**
 * Reads a recording of samples.
 *
 * @throws {FormatError} For what is missing or malformed, and for a version to come.
 * @throws {RangeError} If there are more than `maxFrames` frames, each stack taken as often as it is referred to.
 */
export function readSampleRecording(recording: RecordingFiles, maxFrames: number): StackRecording {
  const { meta } = recording;
  checkVersion(meta.version);
  const sampling = samplingInfo(meta);
  const userLayout = {
    valueSize: SIZEOF_BPF_STACK_BUILD_ID * wholeNumber(meta, "userDepth", 1, sampling.depth),
    mapFlags: BPF_F_STACK_BUILD_ID,
  };
  const kernelLayout = { valueSize: 8 * wholeNumber(meta, "kernelDepth", 1, sampling.depth) };
  const user = numbered("user.bin", () => decodeStacks(fileOf(recording, "user.bin"), userLayout));
  const kernel = numbered("kernel.bin", () => decodeStacks(fileOf(recording, "kernel.bin"), kernelLayout));
  const rows = new CountRows(fileOf(recording, "counts.bin"), user.ids.length, kernel.ids.length);
  const joined = new JoinedStacks(recording, user, kernel, rows, maxFrames);
  return {
    name: shortText(meta.name, "name"),
    kernel: shortText(meta.kernel, "kernel"),
    layout: { valueSize: 2 * sampling.depth * SIZEOF_BPF_STACK_BUILD_ID, mapFlags: BPF_F_STACK_BUILD_ID },
    skipped: 0,
    stacks: joined.columns(),
    counts: joined.counts,
    files: new Map(),
    pids: rows.pid,
    processes: processes(meta.processes),
    lost: { ...joined.lost, uncounted: wholeNumber(meta, "uncounted", 0, Number.MAX_SAFE_INTEGER) },
    binaries: binaries(meta.binaries),
    sampling,
  };
}

function checkVersion(version: unknown): void {
  if (version === SAMPLES_VERSION) return;
  if (typeof version === "number" && version > SAMPLES_VERSION) {
    throw metaError(
      `version ${version} is newer than this reader, which reads ${SAMPLES_VERSION}`,
      "version",
      version,
    );
  }
  throw metaError("is no version of a recording", "version", version);
}

function samplingInfo(meta: Record<string, unknown>): SamplingInfo {
  const number = (key: string): number => {
    const value = meta[key];
    if (typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER) return value;
    throw metaError("is not a number from 0 to 2^53 - 1", key, value);
  };
  return {
    machine: shortText(meta.machine, "machine"),
    started: shortText(meta.started, "started"),
    seconds: number("seconds"),
    frequency: number("frequency"),
    nrCpus: wholeNumber(meta, "nrCpus", 1, Number.MAX_SAFE_INTEGER),
    depth: wholeNumber(meta, "depth", 1, MOST_DEPTH),
  };
}

function processes(listed: unknown): Map<number, RecordedProcess> {
  if (!Array.isArray(listed)) throw metaError("is not a list", "processes");
  const out = new Map<number, RecordedProcess>();
  listed.forEach((one: unknown, i) => {
    const entry = objectOf(one, `processes[${i}]`);
    const pid = wholeNumber(entry, "pid", 0, 0xffff_ffff, `processes[${i}].pid`);
    out.set(pid, { pid, comm: shortText(entry.comm, `processes[${i}].comm`) });
  });
  return out;
}

function binaries(listed: unknown): Map<string, string> {
  const out = new Map<string, string>();
  for (const [id, path] of Object.entries(objectOf(listed, "binaries"))) {
    if (!/^[0-9a-f]{40}$/.test(id)) throw metaError("has a key that is not 40 hexadecimal digits", "binaries");
    if (typeof path !== "string") throw metaError("is not a string", `binaries.${id}`);
    out.set(id, path);
  }
  return out;
}

/** Stacks that have to be numbered from 0 on. */
function numbered(name: string, read: () => StackColumns): StackColumns {
  const columns = inFile(name, read);
  for (let i = 0; i < columns.ids.length; i++) {
    if (columns.ids[i] === i) continue;
    throw new FormatError(`is not the number of stack ${i}, counted from 0`, {
      offset: 0,
      field: `${name} number`,
      value: columns.ids[i],
    });
  }
  return columns;
}

/** The rows of counts.bin, checked. */
class CountRows {
  readonly length: number;
  readonly pid: Uint32Array;
  readonly userStack: Int32Array;
  readonly kernelStack: Int32Array;
  readonly count: Float64Array;

  constructor(bytes: Uint8Array, userStacks: number, kernelStacks: number) {
    const error = (problem: string, offset: number, field: string, value: number | bigint) =>
      new FormatError(problem, { offset, field: `counts.bin${field}`, value });
    const rest = bytes.length % COUNT_BYTES;
    if (rest !== 0) {
      throw error(`is no whole number of ${COUNT_BYTES}-byte rows`, bytes.length - rest, "", bytes.length);
    }
    const view = viewOf(bytes);
    const length = this.length = bytes.length / COUNT_BYTES;
    this.pid = new Uint32Array(length);
    this.userStack = new Int32Array(length);
    this.kernelStack = new Int32Array(length);
    this.count = new Float64Array(length);
    let sum = 0;
    for (let i = 0, at = 0; i < length; i++, at += COUNT_BYTES) {
      const user = view.getInt32(at + 4, true);
      const kernel = view.getInt32(at + 8, true);
      const count = view.getUint32(at + 16, true) + view.getUint32(at + 20, true) * 0x1_0000_0000;
      if (user >= userStacks || user < LEAST_ERRNO) {
        throw error(`is neither one of ${userStacks} user stacks nor an error`, at + 4, " user", user);
      }
      if (kernel >= kernelStacks || kernel < LEAST_ERRNO) {
        throw error(`is neither one of ${kernelStacks} kernel stacks nor an error`, at + 8, " kernel", kernel);
      }
      if (view.getUint32(at + 12, true) !== 0) {
        throw error("is reserved, and not 0", at + 12, " reserved", view.getUint32(at + 12, true));
      }
      sum += count;
      if (sum > Number.MAX_SAFE_INTEGER) {
        throw error("brings the sum over 2^53 - 1", at + 16, " count", view.getBigUint64(at + 16, true));
      }
      this.pid[i] = view.getUint32(at, true);
      this.userStack[i] = user;
      this.kernelStack[i] = kernel;
      this.count[i] = count;
    }
  }
}

/** Puts a kernel stack and a user stack together for each row, with their names. */
class JoinedStacks {
  readonly counts = new Map<number, number>();
  readonly lost: Omit<LostSamples, "uncounted"> = { user: new Map(), kernel: new Map() };
  readonly #recording: RecordingFiles;
  readonly #user: StackColumns;
  readonly #kernel: StackColumns;
  readonly #rows: CountRows;
  readonly #frames: number;

  constructor(
    recording: RecordingFiles,
    user: StackColumns,
    kernel: StackColumns,
    rows: CountRows,
    maxFrames: number,
  ) {
    this.#recording = recording;
    this.#user = user;
    this.#kernel = kernel;
    this.#rows = rows;
    if (rows.length > maxFrames) throw new RangeError(`has more than ${maxFrames} counts`);
    let frames = 0;
    for (let i = 0; i < rows.length; i++) {
      this.#countLost(i);
      frames += depthOf(user, rows.userStack[i]) + depthOf(kernel, rows.kernelStack[i]);
      if (frames > maxFrames) throw new RangeError(`has more than ${maxFrames} frames`);
      this.counts.set(i, rows.count[i]);
    }
    this.#frames = frames;
  }

  #countLost(row: number): void {
    const { userStack, kernelStack, count } = this.#rows;
    const user = userStack[row], kernel = kernelStack[row];
    const neither = user === EFAULT && kernel === EFAULT;
    if (user < 0 && (user !== EFAULT || neither)) addTo(this.lost.user, user, count[row]);
    if (kernel < 0 && (kernel !== EFAULT || neither)) addTo(this.lost.kernel, kernel, count[row]);
  }

  columns(): StackColumns {
    const rows = this.#rows;
    const names = nameTable(this.#recording);
    const ofKernel = kernelNames(this.#kernel, this.#recording, names);
    const stacks = rows.length;
    const out = {
      ids: new Uint32Array(stacks).map((_, s) => s),
      first: new Uint32Array(stacks + 1),
      status: new Uint8Array(this.#frames),
      idIndex: new Int32Array(this.#frames),
      offsetLo: new Uint32Array(this.#frames),
      offsetHi: new Uint32Array(this.#frames),
      buildIds: this.#user.buildIds,
      otherStatus: new Map<number, number>(),
      innermost: new Uint8Array(this.#frames),
      nameIndex: new Int32Array(this.#frames).fill(-1),
      emptyIndex: new Int32Array(stacks).fill(-1),
    };
    const ofProcess = new Map<number, ProcessNames>();
    let row = 0;
    for (let s = 0; s < stacks; s++) {
      out.first[s] = row;
      const kernelStack = rows.kernelStack[s];
      const userStack = rows.userStack[s];
      if (kernelStack < 0 && userStack < 0) {
        out.emptyIndex[s] = names.intern(lostName(userStack, kernelStack)) - 1;
        continue;
      }
      if (kernelStack >= 0) {
        const end = append(out, row, this.#kernel, kernelStack);
        const from = this.#kernel.first[kernelStack];
        for (let k = 0; row + k < end; k++) out.nameIndex[row + k] = ofKernel[from + k];
        row = end;
      }
      if (userStack >= 0) {
        const end = append(out, row, this.#user, userStack);
        const pid = rows.pid[s];
        let texts = ofProcess.get(pid);
        if (texts === undefined) ofProcess.set(pid, texts = new ProcessNames(pid, this.#recording, names));
        texts.name(out, row, end, userStack);
        row = end;
      }
    }
    out.first[stacks] = row;
    return { ...out, names: names.names.slice(1) };
  }
}

/**
 * What a sample without any stack is called. The error that is not the usual absence of a stack tells more; where
 * both are that, there was none of the kind that was asked for.
 */
function lostName(user: number, kernel: number): string {
  const error = user === EFAULT ? kernel : user;
  return error === EFAULT ? "[no stack]" : `[lost stack: ${errnoName(error) ?? `errno ${-error}`}]`;
}

function depthOf({ first }: StackColumns, stack: number): number {
  return stack < 0 ? 0 : first[stack + 1] - first[stack];
}

/** Copies the frames of a stack to `row` and on; returns the row after them. */
function append(
  out: StackColumns & { innermost: Uint8Array },
  row: number,
  from: StackColumns,
  stack: number,
): number {
  const start = from.first[stack];
  const end = from.first[stack + 1];
  if (start < end) out.innermost[row] = 1;
  for (let at = start; at < end; at++, row++) {
    out.status[row] = from.status[at];
    out.idIndex[row] = from.idIndex[at];
    out.offsetLo[row] = from.offsetLo[at];
    out.offsetHi[row] = from.offsetHi[at];
    if (from.status[at] > BPF_STACK_BUILD_ID_IP) {
      if (out.otherStatus.size === MOST_OTHER_STATUS) {
        throw new RangeError(`has more than ${MOST_OTHER_STATUS} frames of a status that is not known`);
      }
      out.otherStatus.set(row, from.otherStatus.get(at)!);
    }
  }
  return row;
}

function addTo(counts: Map<number, number>, key: number, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}
