// Owns writing of recordings of samples: what a recorder found, to an archive that carries what its frames need.
import { viewOf } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import type { StackColumns } from "../dump/columns.ts";
import { decodeStacks } from "../dump/decode.ts";
import { BPF_F_STACK_BUILD_ID } from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { KALLSYMS, mapsFile, neededKallsyms, neededLines, perfMapFile } from "./frame_names.ts";
import type { SampledStacks, SampleRecording } from "./sample_recording.ts";
import { COUNT_BYTES, MOST_DEPTH, SAMPLES_FORMAT, SAMPLES_VERSION } from "./sample_reader.ts";
import { gzip, writeTar } from "./tar_writer.ts";

const encoder = new TextEncoder();

/**
 * Writes samples as a recording, which {@linkcode readRecording} reads anywhere: a `.tar.gz`; docs/recording.md
 * describes it. Of the texts with names it holds the lines that the stacks need and no others. The same samples
 * give the same archive, packed by the runtime's own gzip.
 *
 * @param recording Owned by the caller; not changed.
 * @returns The bytes of the file.
 * @throws {RangeError} If columns differ in length, a stack's number is of none, or a number is out of its range.
 * @throws {FormatError} If a dump is cut short, or its stacks are not numbered from 0 on.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { encodeRecording, foldStacks, readRecording } from "@bpf/stackmap";
 *
 * const kernelStacks = new Uint8Array(4 + 8); // number 0, then one address
 * new DataView(kernelStacks.buffer).setBigUint64(4, 0xffff_ffff_8100_0010n, true);
 * const stacks = {
 *   depth: 127,
 *   userDepth: 1, // frames of a value in the dumps
 *   kernelDepth: 1,
 *   userStacks: new Uint8Array(0),
 *   kernelStacks,
 *   pid: Uint32Array.of(7),
 *   userStack: Int32Array.of(-14), // no user stack
 *   kernelStack: Int32Array.of(0),
 *   count: Float64Array.of(3),
 *   uncounted: 0,
 * };
 * const file = await encodeRecording({
 *   name: "all",
 *   kernel: "6.18.0",
 *   machine: "x86_64",
 *   started: "2026-01-02T03:04:05Z",
 *   seconds: 1,
 *   frequency: 99,
 *   nrCpus: 2,
 *   stacks,
 *   processes: [{ pid: 7, comm: "kworker" }],
 *   kallsyms: "ffffffff81000000 T schedule\n",
 *   binaries: {},
 * });
 * const recording = await readRecording(file);
 * assertEquals([...foldStacks(recording.stacks, () => undefined, recording.counts)], [["schedule", 3]]);
 * ```
 */
export async function encodeRecording(recording: SampleRecording): Promise<Uint8Array> {
  const seconds = Math.floor(Date.parse(recording.started) / 1000);
  return await gzip(writeTar(recordingFiles(recording), seconds >= 0 && seconds < 2 ** 33 ? seconds : 0));
}

/** The files of the archive by name. */
function recordingFiles(recording: SampleRecording): Map<string, Uint8Array> {
  const { stacks } = recording;
  checkDepth("depth", stacks.depth, MOST_DEPTH);
  checkDepth("userDepth", stacks.userDepth, stacks.depth);
  checkDepth("kernelDepth", stacks.kernelDepth, stacks.depth);
  const user = decodeStacks(stacks.userStacks, {
    valueSize: stacks.userDepth * SIZEOF_BPF_STACK_BUILD_ID,
    mapFlags: BPF_F_STACK_BUILD_ID,
  });
  const kernel = decodeStacks(stacks.kernelStacks, { valueSize: stacks.kernelDepth * 8 });
  checkNumbers(user, "userStacks");
  checkNumbers(kernel, "kernelStacks");
  const stacksOfProcess = checkCounts(stacks, user.ids.length, kernel.ids.length);
  const userDepth = deepest(user), kernelDepth = deepest(kernel);
  const meta = encoder.encode(`${JSON.stringify(metaOf(recording, userDepth, kernelDepth), undefined, 1)}\n`);
  const files = new Map<string, Uint8Array>([["meta.json", meta]]);
  files.set("user.bin", cutValues(stacks.userStacks, SIZEOF_BPF_STACK_BUILD_ID, stacks.userDepth, userDepth));
  files.set("kernel.bin", cutValues(stacks.kernelStacks, 8, stacks.kernelDepth, kernelDepth));
  files.set("counts.bin", encodeCounts(stacks));
  const text = (name: string, lines: string) => lines !== "" && files.set(name, encoder.encode(lines));
  text(KALLSYMS, neededKallsyms(kernel, recording.kallsyms));
  for (const one of recording.processes) {
    const needed = neededLines(user, stacksOfProcess.get(one.pid) ?? [], one);
    text(mapsFile(one.pid), needed.maps);
    text(perfMapFile(one.pid), needed.perfMap);
  }
  return files;
}

function checkDepth(name: string, depth: number, most: number): void {
  if (!(Number.isInteger(depth) && depth >= 1 && depth <= most)) throw new RangeError(`${name} is ${depth}`);
}

function metaOf(recording: SampleRecording, userDepth: number, kernelDepth: number): Record<string, unknown> {
  const { name, kernel, machine, started, seconds, frequency, nrCpus, stacks, processes, binaries } = recording;
  for (const [key, value] of Object.entries({ seconds, frequency, uncounted: stacks.uncounted })) {
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) throw new RangeError(`${key} is ${value}`);
  }
  for (const [key, value] of Object.entries({ nrCpus, uncounted: stacks.uncounted })) {
    if (!Number.isInteger(value)) throw new RangeError(`${key} is ${value}`);
  }
  if (nrCpus < 1) throw new RangeError(`nrCpus is ${nrCpus}`);
  for (const { pid } of processes) {
    if (pid !== pid >>> 0) throw new RangeError(`${pid} is no process id`);
  }
  const ids = Object.keys(binaries).sort();
  for (const id of ids) {
    if (!/^[0-9a-f]{40}$/.test(id)) throw new RangeError(`${id} is not a build ID of 40 hexadecimal digits`);
  }
  return {
    format: SAMPLES_FORMAT,
    version: SAMPLES_VERSION,
    name,
    kernel,
    machine,
    started,
    seconds,
    frequency,
    nrCpus,
    depth: stacks.depth,
    userDepth,
    kernelDepth,
    uncounted: stacks.uncounted,
    processes: processes.map(({ pid, comm }) => ({ pid, comm })),
    binaries: Object.fromEntries(ids.map((id) => [id, binaries[id]])),
  };
}

function checkNumbers({ ids }: StackColumns, field: string): void {
  const at = ids.findIndex((id, i) => id !== i);
  if (at < 0) return;
  throw new FormatError(`is not the number of stack ${at}, counted from 0`, { offset: 0, field, value: ids[at] });
}

/** Frames of the deepest stack, at least 1. */
function deepest({ first }: StackColumns): number {
  let most = 1;
  for (let s = 0; s + 1 < first.length; s++) most = Math.max(most, first[s + 1] - first[s]);
  return most;
}

/** A dump with values of fewer frames: those of a map are as long as its depth, and mostly zeros. */
function cutValues(dump: Uint8Array, frameSize: number, depth: number, kept: number): Uint8Array {
  if (kept === depth) return dump;
  const from = 4 + frameSize * depth, to = 4 + frameSize * kept;
  const count = dump.length / from;
  const out = new Uint8Array(count * to);
  for (let i = 0; i < count; i++) out.set(dump.subarray(i * from, i * from + to), i * to);
  return out;
}

/** Checks the columns of counts; returns the user stacks of each process. */
function checkCounts(stacks: SampledStacks, userStacks: number, kernelStacks: number): Map<number, Set<number>> {
  const { pid, userStack, kernelStack, count } = stacks;
  const rows = pid.length;
  if (userStack.length !== rows || kernelStack.length !== rows || count.length !== rows) {
    throw new RangeError(
      `columns of ${rows}, ${userStack.length}, ${kernelStack.length} and ${count.length} elements`,
    );
  }
  const ofProcess = new Map<number, Set<number>>();
  let sum = 0;
  for (let i = 0; i < rows; i++) {
    if (userStack[i] >= userStacks) throw new RangeError(`user stack ${userStack[i]} of ${userStacks}`);
    if (kernelStack[i] >= kernelStacks) throw new RangeError(`kernel stack ${kernelStack[i]} of ${kernelStacks}`);
    if (Math.min(userStack[i], kernelStack[i]) < -4095) throw new RangeError(`row ${i} has what is no errno`);
    if (!(Number.isInteger(count[i]) && count[i] >= 0)) throw new RangeError(`row ${i} counts ${count[i]}`);
    sum += count[i];
    if (userStack[i] < 0) continue;
    const set = ofProcess.get(pid[i]);
    if (set === undefined) ofProcess.set(pid[i], new Set([userStack[i]]));
    else set.add(userStack[i]);
  }
  if (sum > Number.MAX_SAFE_INTEGER) throw new RangeError(`the sum of counts is ${sum}`);
  return ofProcess;
}

function encodeCounts({ pid, userStack, kernelStack, count }: SampledStacks): Uint8Array {
  const out = new Uint8Array(pid.length * COUNT_BYTES);
  const view = viewOf(out);
  for (let i = 0, at = 0; i < pid.length; i++, at += COUNT_BYTES) {
    view.setUint32(at, pid[i], true);
    view.setInt32(at + 4, userStack[i], true);
    view.setInt32(at + 8, kernelStack[i], true);
    view.setUint32(at + 16, count[i] % 0x1_0000_0000, true);
    view.setUint32(at + 20, Math.floor(count[i] / 0x1_0000_0000), true);
  }
  return out;
}
