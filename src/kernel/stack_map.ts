// Owns the stack map: BPF_MAP_TYPE_STACK_TRACE and bpf_get_stackid() (kernel/bpf/stackmap.c).
import {
  BPF_F_FAST_STACK_CMP,
  BPF_F_REUSE_STACKID,
  BPF_F_SKIP_FIELD_MASK,
  BPF_F_STACK_BUILD_ID,
  BPF_F_USER_STACK,
} from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { ERRNO, errnoName, KernelError } from "../uapi/errno.ts";
import { BUILD_ID_WORDS, BuildIdTranslator } from "./build_id_offset.ts";
import type { CallContext } from "./call_context.ts";
import type { CallTrace } from "./call_trace.ts";
import { CpuSchedule, type ScheduleRates } from "./cpu_schedule.ts";
import { jhashWords } from "./jhash.ts";
import { checkMapCreate, mapMemUsage, type StackMapAttr } from "./map_create.ts";
import { PcpuFreelist } from "./pcpu_freelist.ts";
import { DEFAULT_KERNEL, type KernelProfile, kernelProfile, type KernelRelease } from "./profile.ts";
import { copyWords, requireLittleEndianHost, sameWords, WordView } from "./words.ts";

/** The machine a {@linkcode StackMap} lives on. */
export interface StackMapOptions {
  /** The release to behave as; `"6.18"` if absent. */
  kernel?: KernelRelease;
  /** Number of possible CPUs; 1 if absent. */
  nrCpus?: number;
  /** Seed of the schedule that chooses what the caller leaves open; 0 if absent. */
  seed?: number;
  /** How often the schedule chooses what; never if absent. */
  rates?: ScheduleRates;
  /** `kernel.perf_event_max_stack`; 127 if absent. */
  perfEventMaxStack?: number;
}

const HELPER_FLAGS = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID;

/** The kernel's default of `kernel.perf_event_max_stack`. */
export const PERF_MAX_STACK_DEPTH = 127;

/**
 * A `BPF_MAP_TYPE_STACK_TRACE` map, bit for bit as a kernel keeps it: ids, collisions, errors, recycling of elements
 * and the bytes that a look-up copies out.
 *
 * Values are in the memory order of a little-endian kernel. A map allocates what the kernel would preallocate:
 * `max_entries` elements and the bucket table.
 *
 * Kernel: 4.17, 6.1, 6.12 and 6.18, kernel/bpf/stackmap.c; see {@linkcode KernelProfile} for what differs.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BPF_F_USER_STACK, StackMap } from "@bpf/stackmap";
 *
 * const map = new StackMap({ valueSize: 127 * 8, maxEntries: 1024 }, { kernel: "6.18" });
 * const ips = new BigUint64Array([0x401136n, 0x401190n, 0x7f0000001000n]);
 * const id = map.getStackid(ips, BPF_F_USER_STACK);
 * assertEquals(map.getStackid(ips, BPF_F_USER_STACK), id);
 * const value = new Uint8Array(127 * 8);
 * assertEquals(map.copy(id, value), 0);
 * assertEquals(new BigUint64Array(value.buffer, 0, 3), ips);
 * ```
 */
export class StackMap {
  /** The release that is modelled. */
  readonly kernel: KernelRelease;
  /** `value_size` in bytes. */
  readonly valueSize: number;
  /** `max_entries`. */
  readonly maxEntries: number;
  /** `map_flags`. */
  readonly mapFlags: number;
  /** Number of hash buckets: `max_entries` rounded up to a power of two. Ids are below it. */
  readonly nBuckets: number;
  /** The elements that are not in use. */
  readonly freelist: PcpuFreelist;

  readonly #profile: KernelProfile;
  readonly #schedule: CpuSchedule;
  readonly #translator: BuildIdTranslator | undefined;
  // nBuckets − 1; at most 2^31 − 1, so that an id is never negative.
  readonly #mask: number;
  readonly #maxDepth: number;
  // Whether a skip extends the depth that is walked.
  readonly #skipExtends: boolean;
  readonly #perfEventMaxStack: number;
  readonly #elementWords: number;
  // Element i: its hash, its depth and, from word i * #elementWords, its data. Bucket b holds element #buckets[b] − 1.
  readonly #hashes: Int32Array;
  readonly #depths: Int32Array;
  readonly #data: Uint32Array;
  readonly #dataBytes: Uint8Array;
  readonly #buckets: Int32Array;
  readonly #ips: WordView = new WordView();

  /**
   * `stack_map_alloc()`: checks the attributes as `bpf(BPF_MAP_CREATE)` does and allocates.
   *
   * @throws {KernelError} Where the kernel would answer an error: EINVAL, E2BIG, or ENOMEM where this host can't
   * allocate the map either.
   * @throws {RangeError} For an option that no machine has.
   */
  constructor(attr: StackMapAttr, options: StackMapOptions = {}) {
    requireLittleEndianHost();
    const { keySize = 4, valueSize, maxEntries, mapFlags = 0 } = attr;
    const { kernel = DEFAULT_KERNEL, nrCpus = 1, seed = 0, rates, perfEventMaxStack = PERF_MAX_STACK_DEPTH } =
      options;
    this.#profile = kernelProfile(kernel);
    if (!(Number.isInteger(perfEventMaxStack) && perfEventMaxStack >= 0 && perfEventMaxStack <= 0x7fff_ffff)) {
      throw new RangeError(`perfEventMaxStack must be 0 to 2147483647, not ${perfEventMaxStack}`);
    }
    this.nBuckets = checkMapCreate({ keySize, valueSize, maxEntries, mapFlags }, perfEventMaxStack, this.#profile);
    this.#mask = this.nBuckets - 1;
    this.#skipExtends = this.#profile.skip === "extends-depth";
    this.kernel = kernel;
    this.valueSize = valueSize;
    this.maxEntries = maxEntries;
    this.mapFlags = mapFlags;
    const buildId = (mapFlags & BPF_F_STACK_BUILD_ID) !== 0;
    this.#translator = buildId ? new BuildIdTranslator(this.#profile) : undefined;
    this.#maxDepth = valueSize / (buildId ? SIZEOF_BPF_STACK_BUILD_ID : 8);
    this.#perfEventMaxStack = perfEventMaxStack;
    this.#elementWords = valueSize / 4;
    this.#schedule = new CpuSchedule(seed, nrCpus, rates);
    this.freelist = new PcpuFreelist(nrCpus, { kernel });
    try {
      this.#hashes = new Int32Array(maxEntries);
      this.#depths = new Int32Array(maxEntries);
      this.#data = new Uint32Array(maxEntries * this.#elementWords);
      this.#buckets = new Int32Array(this.nBuckets);
      this.freelist.populate(maxEntries);
    } catch {
      throw new KernelError("ENOMEM", `this host can't allocate ${maxEntries} elements of ${valueSize} bytes`);
    }
    this.#dataBytes = new Uint8Array(this.#data.buffer);
  }

  /**
   * `bpf_get_stackid()`: the id of a stack, which it stores if the map does not hold it yet.
   *
   * @param ips The whole trace as unwound, innermost frame first; only read. More frames than the kernel would walk
   * are ignored.
   * @param flags `BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID`.
   * @param context The situation; what is absent is drawn from the schedule.
   * @returns The id; or `-EINVAL` for unknown flags; `-EFAULT` if no frame is left after skipping; `-EEXIST` if
   * another stack has the bucket; `-ENOMEM` if no element is free. With build IDs an element is taken before
   * stacks are compared, so that a full map answers `-ENOMEM` for stacks that it holds, too.
   * @throws {RangeError} If `flags` is not a whole number or `cpu` is none of the machine's.
   */
  getStackid(ips: BigUint64Array, flags: number, context?: CallContext): number {
    if ((flags & ~HELPER_FLAGS) !== 0 || flags !== (flags | 0)) return this.#unknownFlags(flags, context);
    const depth = this.#depthOf(ips.length, flags & BPF_F_SKIP_FIELD_MASK);
    if (depth <= 0) {
      context?.trace?.add("bpf_get_stackid", `no frame is left of ${ips.length} after skipping: -EFAULT`);
      return -ERRNO.EFAULT;
    }
    const ipView = this.#ips;
    const from = ipView.of(ips) + 2 * (flags & BPF_F_SKIP_FIELD_MASK);
    const hash = jhashWords(ipView.words, from, 2 * depth, 0);
    const id = hash & this.#mask;
    const old = this.#buckets[id] - 1;
    const hashMatches = old >= 0 && this.#hashes[old] === hash;
    const trace = context?.trace;
    if (trace !== undefined) this.#explainBucket(trace, id, hash, old, depth);
    if (hashMatches && (flags & BPF_F_FAST_STACK_CMP) !== 0) {
      return answer(trace, id, "BPF_F_FAST_STACK_CMP trusts the hash");
    }

    // With build IDs an element is taken and filled before anything is compared; without, when it is needed.
    const data = this.#data;
    const comparable = hashMatches && this.#depths[old] === depth;
    const taken = old >= 0 && (flags & BPF_F_REUSE_STACKID) === 0;
    const oldAt = old * this.#elementWords;
    const buildIds = this.#translator !== undefined;
    if (!buildIds) {
      if (comparable && sameWords(data, oldAt, ipView.words, from, 2 * depth)) {
        return answer(trace, id, "the same stack is there");
      }
      if (taken) return answer(trace, -ERRNO.EEXIST, "another stack is there");
    }
    const cpu = this.#cpuOf(context);
    const nmi = context?.nmi ?? this.#schedule.nmi();
    const fresh = this.freelist.pop(cpu, nmi);
    if (fresh < 0) return answer(trace, -ERRNO.ENOMEM, "no element is free");
    const at = fresh * this.#elementWords;
    if (buildIds) {
      try {
        this.#translate(at, from, depth, (flags & BPF_F_USER_STACK) !== 0, nmi, context);
      } catch (error) { // a MappedFile that breaks its contract must not cost the map an element
        this.freelist.push(fresh, cpu, nmi);
        throw error;
      }
      const same = comparable && sameWords(data, oldAt, data, at, BUILD_ID_WORDS * depth);
      if (same || taken) {
        this.freelist.push(fresh, cpu, nmi);
        if (same) return answer(trace, id, "the same records are there");
        const reason = hashMatches ? "other records with the same hash are there" : "another stack is there";
        return answer(trace, -ERRNO.EEXIST, reason);
      }
    } else {
      copyWords(ipView.words, from, data, at, 2 * depth);
    }
    this.#hashes[fresh] = hash;
    this.#depths[fresh] = depth;
    this.#buckets[id] = fresh + 1;
    if (old >= 0) this.freelist.push(old, cpu, nmi);
    return answer(trace, id, old < 0 ? "stored" : "stored in place of what was there");
  }

  // How many of `available` frames are kept after `skip` are dropped; 0 or less for none.
  #depthOf(available: number, skip: number): number {
    const limit = this.#skipExtends ? Math.min(this.#maxDepth + skip, this.#perfEventMaxStack) : this.#maxDepth;
    return Math.min(available, limit) - skip;
  }

  // stack_map_get_build_id_offset(): fills the element at word `at`.
  #translate(at: number, from: number, depth: number, user: boolean, nmi: boolean, context?: CallContext): void {
    const translator = this.#translator!;
    const space = context?.addressSpace;
    const irqWorkBusy = context?.irqWorkBusy ?? this.#schedule.irqWorkBusy();
    const mmapLocked = context?.mmapLocked ?? this.#schedule.mmapLocked();
    const fallback = translator.wholeFallback(user, space, nmi, irqWorkBusy, mmapLocked);
    translator.fill(fallback, this.#data, at, this.#ips.words, from, depth, space, context?.trace);
  }

  #cpuOf(context: CallContext | undefined): number {
    const cpu = context?.cpu;
    if (cpu === undefined) return this.#schedule.cpu();
    if (!(Number.isInteger(cpu) && cpu >= 0 && cpu < this.freelist.nrCpus)) {
      throw new RangeError(`cpu ${cpu}: the machine has CPUs 0 to ${this.freelist.nrCpus - 1}`);
    }
    return cpu;
  }

  #unknownFlags(flags: number, context: CallContext | undefined): number {
    if (!Number.isInteger(flags)) throw new RangeError(`flags must be a whole number, not ${flags}`);
    context?.trace?.add("bpf_get_stackid", `flags 0x${flags.toString(16)} has unknown bits: -EINVAL`);
    return -ERRNO.EINVAL;
  }

  #explainBucket(trace: CallTrace, id: number, hash: number, old: number, depth: number): void {
    const hex = (value: number) => `0x${(value >>> 0).toString(16).padStart(8, "0")}`;
    const held = old < 0
      ? "is empty"
      : `holds a stack of ${this.#depths[old]} frames with hash ${hex(this.#hashes[old])}`;
    trace.add("bpf_get_stackid", `${depth} frames hash to ${hex(hash)}: bucket ${id} ${held}`);
  }

  /**
   * `bpf_stackmap_copy()`: what `bpf(BPF_MAP_LOOKUP_ELEM)` gives user space.
   *
   * @param id Taken as the `u32` that a key is.
   * @param value Receives `valueSize` bytes: the stack, zero behind it. Untouched if the result is not 0.
   * @returns 0, or `-ENOENT` if no stack has that id.
   * @throws {RangeError} If `value` is shorter than `valueSize`.
   */
  copy(id: number, value: Uint8Array): number {
    this.#checkValue(value);
    const element = this.#elementOf(id >>> 0);
    if (element < 0) return -ERRNO.ENOENT;
    this.#copyOut(element, value);
    return 0;
  }

  #checkValue(value: Uint8Array): void {
    if (value.length < this.valueSize) {
      throw new RangeError(`value needs ${this.valueSize} bytes, not ${value.length}`);
    }
  }

  // The element of a bucket, −1 for none.
  #elementOf(id: number): number {
    return id < this.nBuckets ? this.#buckets[id] - 1 : -1;
  }

  #copyOut(element: number, value: Uint8Array): void {
    const start = element * this.valueSize;
    const used = this.#depths[element] * (this.valueSize / this.#maxDepth);
    value.set(this.#dataBytes.subarray(start, start + used));
    value.fill(0, used, this.valueSize);
  }

  /**
   * `stack_map_delete_elem()`: takes a stack out; its element goes to the freelist of the CPU the call runs on.
   *
   * @param id Taken as the `u32` that a key is.
   * @returns 0; `-ENOENT` if no stack has that id; `-E2BIG` for an id past the buckets.
   */
  delete(id: number, context?: CallContext): number {
    const bucket = id >>> 0;
    if (bucket >= this.nBuckets) return -ERRNO.E2BIG;
    const element = this.#buckets[bucket] - 1;
    if (element < 0) return -ERRNO.ENOENT;
    const cpu = this.#cpuOf(context);
    this.#buckets[bucket] = 0;
    this.freelist.push(element, cpu, context?.nmi ?? false);
    return 0;
  }

  /**
   * `stack_map_get_next_key()`: the next id in use, as `bpf(BPF_MAP_GET_NEXT_KEY)` gives it.
   *
   * @param id The key to go on from, taken as a `u32`; absent for the first. From an id that is not in use the
   * iteration starts over.
   * @returns The id, or `-ENOENT` behind the last.
   */
  getNextKey(id?: number): number {
    let next = 0;
    if (id !== undefined && this.#elementOf(id >>> 0) >= 0) next = (id >>> 0) + 1;
    while (next < this.nBuckets && this.#buckets[next] === 0) next++;
    return next < this.nBuckets ? next : -ERRNO.ENOENT;
  }

  /**
   * `bpf_stackmap_extract()` with `delete`: what `bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM)` does since 6.18.
   *
   * @returns As {@linkcode StackMap.copy}; `-EINVAL` in releases that do not know the command,
   *   `-ENOTSUPP` in those that know it for other maps.
   * @throws {RangeError} If `value` is shorter than `valueSize`.
   */
  lookupAndDelete(id: number, value: Uint8Array, context?: CallContext): number {
    if (this.#profile.lookupAndDelete !== "works") return -ERRNO[this.#profile.lookupAndDelete];
    const result = this.copy(id, value);
    return result === 0 ? this.delete(id, context) : result;
  }

  /** `stack_map_update_elem()`: refused, always `-EINVAL`: stacks come from `bpf_get_stackid` only. */
  update(_id: number, _value: Uint8Array, _flags: number = 0): number {
    return -ERRNO.EINVAL;
  }

  /**
   * `stack_map_lookup_elem()`: the look-up from a BPF program, which no stack map supports (the verifier refuses such
   * a program, too).
   *
   * @returns `undefined` for NULL (4.17), or `-EOPNOTSUPP` for an error pointer.
   */
  lookup(_id: number): number | undefined {
    const answer = this.#profile.lookupFromBpf;
    return answer === "NULL" ? undefined : -ERRNO[answer];
  }

  /**
   * `stack_map_mem_usage()`: bytes that `memlock` in /proc/PID/fdinfo shows, on x86-64. For 4.17 the pages that are
   * charged at creation, for 6.1 those of the keys and values; in all but 6.1 the size of `struct bpf_stack_map`, which
   * depends on the kernel's configuration, is part of it.
   */
  memUsage(): number {
    return mapMemUsage(this.maxEntries, this.nBuckets, this.valueSize, this.#profile);
  }
}

// Reasons are constants, so that a call without a trace makes no text.
function answer(trace: CallTrace | undefined, result: number, reason: string): number {
  trace?.add("bpf_get_stackid", `${reason}: ${result < 0 ? `-${errnoName(result)}` : result}`);
  return result;
}
