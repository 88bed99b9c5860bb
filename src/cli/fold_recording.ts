// Owns what the command line shows of a recording: its stacks, and an account of what was sampled and lost.
import { cameName, type StackColumns } from "../dump/columns.ts";
import { isKernelAddress } from "../profile/pprof_pages.ts";
import type { StackRecording } from "../recording/recording.ts";
import { BPF_STACK_BUILD_ID_IP } from "../uapi/bpf.ts";
import { ERRNO, errnoName } from "../uapi/errno.ts";
import type { DumpedStacks } from "./fold_dump.ts";

/** The stacks of a recording, each with its process where that is known. */
export function stacksOf(
  { name, stacks, counts, skipped, pids, processes, sampling }: StackRecording,
): DumpedStacks {
  return {
    title: name,
    columns: stacks,
    counts,
    skipped: skipped > 0,
    processOf: (s) => pids.length === 0 ? undefined : { pid: pids[s], comm: processes.get(pids[s])?.comm },
    sampling,
  };
}

/** What was sampled and what was lost, a line each, with what helps. */
export function accountOf({ counts, sampling, lost, stacks, pids }: StackRecording): string {
  if (sampling === undefined) return "";
  let samples = 0;
  for (const count of counts.values()) samples += count;
  const seen = new Set(pids);
  // 0 stands for any number of processes.
  const others = seen.delete(0) ? " and other PID namespaces" : "";
  let text =
    `${plural(samples + lost.uncounted, "sample")} of ${seen.size} process${
      seen.size === 1 ? "" : "es"
    }${others} in ` +
    `${sampling.seconds.toFixed(1)} s at ${sampling.frequency} Hz\n`;
  for (const [kind, errors] of [["user", lost.user], ["kernel", lost.kernel]] as const) {
    for (const [error, count] of errors) {
      if (error === -ERRNO.EFAULT) continue;
      text += `${plural(count, "sample")} lost the ${kind} stack: -${errnoName(error) ?? -error}${
        adviceFor(error)
      }\n`;
    }
  }
  const none = lost.user.get(-ERRNO.EFAULT) ?? 0;
  if (none > 0) text += `${plural(none, "sample")} had no stack of the kind that was asked for: -EFAULT\n`;
  if (lost.uncounted > 0) text += `${plural(lost.uncounted, "sample")} not counted: raise --entries\n`;
  if (kernelHasNoNames(stacks)) {
    text += "no frame of the kernel has a name: kernel addresses were hidden: kernel.kptr_restrict\n";
  }
  const full = deepStacks(stacks.first, stacks.innermost, sampling.depth);
  if (full > 0) {
    text +=
      `${plural(full, "stack")} of ${sampling.depth} frames may have more: raise --depth, and for more than ` +
      "kernel.perf_event_max_stack that with sysctl\n";
  }
  return text;
}

/**
 * Upper half of the lowest address that the kernel of x86-64 has, with page tables of five levels; that of AArch64 is
 * higher. Where a user stack was followed without frame pointers any number may be there, but hardly one above.
 */
const LOWEST_KERNEL_HI = 0xff00_0000;

/** Whether there are frames in the kernel, and none has a name: nothing but hidden addresses leaves it so. */
function kernelHasNoNames(columns: StackColumns): boolean {
  const { status, offsetHi, offsetLo } = columns;
  let frames = 0;
  for (let row = 0; row < status.length; row++) {
    const isKernel = offsetHi[row] >= LOWEST_KERNEL_HI && isKernelAddress(offsetHi[row], offsetLo[row]);
    if (status[row] !== BPF_STACK_BUILD_ID_IP || !isKernel) continue;
    if (cameName(columns, row) !== undefined) return false;
    frames++;
  }
  return frames > 0;
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function adviceFor(error: number): string {
  switch (-error) {
    case ERRNO.EEXIST:
      return " (another stack was in its place: raise --entries)";
    case ERRNO.ENOMEM:
      return " (the map was full: raise --entries)";
    case ERRNO.ENOSPC:
      return " (the recording held as many as it can: record for a shorter time)";
    default:
      return "";
  }
}

/** Stacks as deep as could be: a user or a kernel stack begins at each row that is innermost. */
function deepStacks(first: Uint32Array, innermost: Uint8Array | undefined, depth: number): number {
  let full = 0;
  for (let s = 0; s + 1 < first.length; s++) {
    let from = first[s];
    let deep = false;
    for (let row = from; row <= first[s + 1]; row++) {
      if (row < first[s + 1] && (row === from || innermost?.[row] !== 1)) continue;
      deep ||= row - from >= depth;
      from = row;
    }
    if (deep) full++;
  }
  return full;
}
