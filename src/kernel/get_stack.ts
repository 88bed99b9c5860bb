// Owns bpf_get_stack(): a stack into the caller's buffer, with no map.
import { BPF_F_SKIP_FIELD_MASK, BPF_F_USER_BUILD_ID, BPF_F_USER_STACK } from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { ERRNO, KernelError } from "../uapi/errno.ts";
import { BuildIdTranslator } from "./build_id_offset.ts";
import type { CallContext } from "./call_context.ts";
import { DEFAULT_KERNEL, kernelProfile, type KernelRelease } from "./profile.ts";
import { PERF_MAX_STACK_DEPTH } from "./stack_map.ts";
import { copyWords, requireLittleEndianHost, WordView } from "./words.ts";

const FLAGS = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID;
const translators = new Map<KernelRelease, BuildIdTranslator>();
const source = new WordView();
const target = new WordView();

/**
 * `bpf_get_stack()`: copies a stack into `buf`, as addresses or, with `BPF_F_USER_BUILD_ID`, as
 * `struct bpf_stack_build_id`. What `buf` has over is zeroed; on an error all of it is.
 *
 * @param ips The whole trace as unwound, innermost frame first; only read.
 * @param buf The caller's buffer, in the memory order of a little-endian kernel.
 * @param flags `BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID`.
 * @param context The situation; no address space stands for a task without `mm`.
 * @param options The release, `"6.18"` if absent, and `kernel.perf_event_max_stack`, 127 if absent.
 * @returns Bytes written; `-EINVAL` for unknown flags, build IDs of a kernel stack, or a buffer that is no whole
 * number of frames; `-EFAULT` if fewer frames are there than are skipped.
 * @throws {KernelError} In a release without the helper (before 4.18), where the program would not load.
 * @throws {RangeError} If `flags` is not a whole number.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BPF_F_USER_STACK, getStack } from "@bpf/stackmap";
 *
 * const buf = new Uint8Array(64);
 * assertEquals(getStack(new BigUint64Array([0x401136n, 0x401190n]), buf, BPF_F_USER_STACK | 1), 8);
 * assertEquals(new BigUint64Array(buf.buffer)[0], 0x401190n);
 * ```
 */
export function getStack(
  ips: BigUint64Array,
  buf: Uint8Array,
  flags: number,
  context: CallContext = {},
  options: { kernel?: KernelRelease; perfEventMaxStack?: number } = {},
): number {
  requireLittleEndianHost();
  const { kernel = DEFAULT_KERNEL, perfEventMaxStack = PERF_MAX_STACK_DEPTH } = options;
  const profile = kernelProfile(kernel);
  if (!profile.getStack) {
    throw new KernelError("EINVAL", `${kernel} has no bpf_get_stack: the verifier refuses the program`);
  }
  if (!Number.isInteger(flags)) throw new RangeError(`flags must be a whole number, not ${flags}`);
  const user = (flags & BPF_F_USER_STACK) !== 0;
  const buildId = (flags & BPF_F_USER_BUILD_ID) !== 0;
  const frameSize = buildId ? SIZEOF_BPF_STACK_BUILD_ID : 8;
  if (
    (flags & ~FLAGS) !== 0 || flags !== (flags | 0) || (buildId && !user) || buf.length % frameSize !== 0
  ) {
    context.trace?.add("bpf_get_stack", "flags or size are not allowed: -EINVAL");
    buf.fill(0);
    return -ERRNO.EINVAL;
  }
  const skip = flags & BPF_F_SKIP_FIELD_MASK;
  const walked = Math.min(ips.length, buf.length / frameSize + skip, perfEventMaxStack);
  if (walked < skip) {
    context.trace?.add("bpf_get_stack", `fewer frames (${walked}) than are skipped (${skip}): -EFAULT`);
    buf.fill(0);
    return -ERRNO.EFAULT;
  }
  const depth = walked - skip;
  const used = depth * frameSize;
  const from = source.of(ips) + 2 * skip;
  const to = target.of(buf);
  // A buffer that does not start at a word of its own is filled through an aligned one.
  const records = to >= 0 ? target.words : new Uint32Array(used / 4);
  const at = to >= 0 ? to : 0;
  if (!buildId) {
    copyWords(source.words, from, records, at, 2 * depth);
  } else {
    let translator = translators.get(kernel);
    if (translator === undefined) translators.set(kernel, translator = new BuildIdTranslator(profile));
    const { addressSpace, nmi = false, irqWorkBusy = false, mmapLocked = false, trace } = context;
    const fallback = translator.wholeFallback(user, addressSpace, nmi, irqWorkBusy, mmapLocked);
    translator.fill(fallback, records, at, source.words, from, depth, addressSpace, trace);
  }
  if (to < 0) buf.set(new Uint8Array(records.buffer));
  buf.fill(0, used);
  return used;
}
