// Owns telling apart values with build IDs and plain ones where nobody recorded the map's flags.
import { viewOf } from "../base/bytes.ts";
import { BPF_STACK_BUILD_ID_IP } from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";

/**
 * Whether a raw dump looks like one of a map with `BPF_F_STACK_BUILD_ID`: the value size is a multiple of 32, every
 * status up to the end of each trace is one that the UAPI defines, and only zeros follow. A plain map's first
 * address would have to be 1 or 2 in its low 32 bits to pass. A dump without any frame passes too.
 *
 * For tools that are given a dump and no more; one that knows how the map was created should say so instead.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BPF_F_STACK_BUILD_ID, encodeStacks, looksLikeBuildIds } from "@bpf/stackmap";
 *
 * const stacks = [{ id: 3, frames: [{ status: 2, ip: 0x401136n }] }];
 * assertEquals(looksLikeBuildIds(encodeStacks(stacks, { valueSize: 64 }), 64), false);
 * const layout = { valueSize: 64, mapFlags: BPF_F_STACK_BUILD_ID };
 * assertEquals(looksLikeBuildIds(encodeStacks(stacks, layout), 64), true);
 * ```
 */
export function looksLikeBuildIds(dump: Uint8Array, valueSize: number, littleEndian: boolean = true): boolean {
  if (!(valueSize > 0) || valueSize % SIZEOF_BPF_STACK_BUILD_ID !== 0) return false;
  const view = viewOf(dump);
  for (let value = 4; value + valueSize <= dump.length; value += valueSize + 4) {
    const end = value + valueSize;
    let at = value;
    for (; at < end; at += SIZEOF_BPF_STACK_BUILD_ID) {
      const status = view.getInt32(at, littleEndian);
      if (status < 0 || status > BPF_STACK_BUILD_ID_IP) return false;
      if (status === 0) break;
    }
    for (; at < end; at += 4) if (view.getInt32(at, littleEndian) !== 0) return false;
  }
  return true;
}
