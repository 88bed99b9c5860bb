// Owns encoding: stacks or columns back to the bytes of a raw dump.
import { viewOf } from "../base/bytes.ts";
import { BPF_STACK_BUILD_ID_IP } from "../uapi/bpf.ts";
import { encodeStackBuildId, SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { frameSizeOf, listStacks, type StackColumns, type StackMapLayout } from "./columns.ts";

/** A stack to encode: like {@linkcode Stack}, with frames that name only what they have. */
export interface StackInput {
  /** The map's key, 0 to 2^32 − 1. */
  id: number;
  /** Frames, innermost first; `ip` stands in where `offset` is absent. */
  frames: Iterable<{ status: number; build_id?: Uint8Array; offset?: bigint; ip?: bigint }>;
}

/**
 * Encodes stacks, or the columns of {@linkcode decodeStacks}, as a raw dump: `u32` key and value, repeated, every
 * value zero-filled after its last frame as the kernel does it.
 *
 * Decoding the result gives the stacks back. A dump that a kernel wrote comes back byte for byte, except for what
 * 4.17 left in the `build_id` of IP frames.
 *
 * @throws {RangeError} If a stack is deeper than the value, a number does not fit its field, or a frame cannot be
 * told from the end of the trace: status 0, or in a map without build IDs another status than IP or address 0.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { encodeStacks } from "@bpf/stackmap";
 *
 * const dump = encodeStacks([{ id: 1, frames: [{ status: 2, ip: 0x401136n }] }], { valueSize: 16 });
 * assertEquals([...dump], [1, 0, 0, 0, 0x36, 0x11, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
 * ```
 */
export function encodeStacks(stacks: Iterable<StackInput> | StackColumns, layout: StackMapLayout): Uint8Array {
  const frameSize = frameSizeOf(layout);
  const { valueSize, littleEndian = true } = layout;
  const list = Symbol.iterator in stacks ? [...stacks] : listStacks(stacks);
  const dump = new Uint8Array(list.length * (4 + valueSize));
  const view = viewOf(dump);
  let at = 0;
  for (const { id, frames } of list) {
    if (id !== id >>> 0) throw new RangeError(`a key is a __u32, not ${id}`);
    view.setUint32(at, id, littleEndian);
    at += 4;
    const end = at + valueSize;
    for (const frame of frames) {
      if (at === end) throw new RangeError(`stack ${id} has more than ${valueSize / frameSize} frames`);
      if (frameSize === SIZEOF_BPF_STACK_BUILD_ID) {
        if (frame.status === 0) throw new RangeError(`stack ${id} has a frame with status 0, which would end it`);
        encodeStackBuildId(frame, littleEndian, dump, at);
      } else {
        const ip = frame.ip ?? frame.offset ?? 0n;
        if (frame.status !== BPF_STACK_BUILD_ID_IP) {
          throw new RangeError(`stack ${id} has a frame with status ${frame.status} in a map without build IDs`);
        }
        if (ip === 0n || ip !== BigInt.asUintN(64, ip)) throw new RangeError(`stack ${id} has address ${ip}`);
        view.setBigUint64(at, ip, littleEndian);
      }
      at += frameSize;
    }
    at = end;
  }
  return dump;
}
