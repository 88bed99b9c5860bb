// Owns what bpf(BPF_MAP_CREATE) checks for a stack map and how much memory the kernel says that the map takes.
import { BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_STACK_BUILD_ID, BPF_F_WRONLY } from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { KernelError } from "../uapi/errno.ts";
import { PAGE_SIZE } from "../memory/mapped_file.ts";
import type { KernelProfile } from "./profile.ts";

const CREATE_FLAGS = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_STACK_BUILD_ID;
const SIZEOF_BUCKET = 16; // struct stack_map_bucket: fnode, hash, nr
const KEY_SIZE = 4;
const U32_MAX = 0xffff_ffff;

/** What a stack map is created with: the fields of `union bpf_attr` for `BPF_MAP_CREATE`. */
export interface StackMapAttr {
  /** `key_size` in bytes; 4, which is the only one allowed, if absent. */
  keySize?: number;
  /** `value_size` in bytes: 8 a frame, or 32 with `BPF_F_STACK_BUILD_ID`. */
  valueSize: number;
  /** `max_entries`: number of elements. The hash table has the next power of two of buckets. */
  maxEntries: number;
  /** `map_flags`: {@linkcode BPF_F_STACK_BUILD_ID} and its like; 0 if absent. */
  mapFlags?: number;
}

// What 4.17 charges: the bucket table and as many elements as buckets.
function charge(profile: KernelProfile, nBuckets: number, valueSize: number): number {
  return profile.sizeofStackMap + nBuckets * (8 + SIZEOF_BUCKET + valueSize);
}

/** Bytes that a map is said to take: see {@linkcode KernelProfile.memUsage}. */
export function mapMemUsage(
  maxEntries: number,
  nBuckets: number,
  valueSize: number,
  profile: KernelProfile,
): number {
  const pages = (bytes: number) => Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
  switch (profile.memUsage) {
    case "pages-of-buckets":
      return pages(charge(profile, nBuckets, valueSize));
    case "pages-of-entries":
      return pages(maxEntries * Math.ceil((KEY_SIZE + valueSize) / 8) * 8);
    case "bytes-of-entries":
      return profile.sizeofStackMap + 8 * nBuckets + maxEntries * (SIZEOF_BUCKET + valueSize);
  }
}

/** The checks of stack_map_alloc() and, for the flags, of map_create(); returns the number of buckets. */
export function checkMapCreate(
  attr: Required<StackMapAttr>,
  perfEventMaxStack: number,
  profile: KernelProfile,
): number {
  const { keySize, valueSize, maxEntries, mapFlags } = attr;
  for (const [name, value] of Object.entries({ keySize, valueSize, maxEntries, mapFlags })) {
    if (!(Number.isInteger(value) && value >= 0 && value <= U32_MAX)) {
      throw new RangeError(`${name} is a u32, not ${value}`);
    }
  }
  const refuse = (reason: string) => new KernelError("EINVAL", reason);
  if ((mapFlags & ~CREATE_FLAGS) !== 0) throw refuse(`map_flags 0x${mapFlags.toString(16)} has unknown bits`);
  if ((mapFlags & BPF_F_RDONLY) !== 0 && (mapFlags & BPF_F_WRONLY) !== 0) {
    throw refuse("map_flags has both BPF_F_RDONLY and BPF_F_WRONLY");
  }
  if (maxEntries === 0) throw refuse("max_entries is 0");
  if (keySize !== KEY_SIZE) throw refuse(`key_size is ${keySize}, a stack id has 4 bytes`);
  const frameSize = (mapFlags & BPF_F_STACK_BUILD_ID) !== 0 ? SIZEOF_BPF_STACK_BUILD_ID : 8;
  if (valueSize < 8 || valueSize % frameSize !== 0) {
    throw refuse(`value_size ${valueSize} is no multiple of a frame's ${frameSize} bytes`);
  }
  if (valueSize / frameSize > perfEventMaxStack) {
    throw refuse(
      `value_size ${valueSize} is ${valueSize / frameSize} frames, perf_event_max_stack is ${perfEventMaxStack}`,
    );
  }
  const nBuckets = 2 ** Math.ceil(Math.log2(maxEntries));
  const tooBig = profile.createLimit === "charge-of-4GiB"
    ? charge(profile, nBuckets, valueSize) >= U32_MAX - PAGE_SIZE
    : maxEntries > 2 ** 31;
  if (tooBig) throw new KernelError("E2BIG", `max_entries ${maxEntries} with value_size ${valueSize} is too big`);
  return nBuckets;
}
