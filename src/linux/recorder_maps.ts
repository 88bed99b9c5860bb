// Owns the maps of the recorder: two sets that take turns, the gate between them, and emptying them into memory.
import { viewOf } from "../base/bytes.ts";
import {
  BPF_F_STACK_BUILD_ID,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_STACK_TRACE,
} from "../uapi/bpf.ts";
import { ERRNO } from "../uapi/errno.ts";
import { linuxError } from "./errors.ts";
import { BpfMap, type BpfMapOptions } from "./map.ts";
import {
  COUNT_KEY_BYTES,
  COUNTER,
  COUNTERS_BYTES,
  GATE_CLOSED,
  type RecorderDescriptors,
  type SetDescriptors,
  TASK_COMM_LEN,
} from "./recorder_program.ts";
import type { StackTable } from "./stack_table.ts";

/** Least number of counts, and of processes, that there is room for. They are small beside stacks. */
const LEAST_COUNTS = 4096;

/** How often a program at work is waited for: with a system call each, half a second and more. */
const MOST_WAITS = 500_000;

const LOOKUP_AND_DELETE = "bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM)";

/** What {@linkcode RecorderMaps} are made from. */
export interface RecorderMapsOptions {
  /** Whether user stacks are recorded. */
  user: boolean;
  /** Whether kernel stacks are recorded. */
  kernel: boolean;
  /** Frames of a stack. */
  depth: number;
  /** Stacks of one map. */
  entries: number;
  /** Which of a CPU's ticks are samples: each, every second, … */
  every: number;
}

/** The counters. */
export interface RecorderCounters {
  samples: number;
  uncounted: number;
  fresh: number;
  full: number;
  lostUser: number;
  lostKernel: number;
}

interface MapSet {
  user: BpfMap | undefined;
  kernel: BpfMap | undefined;
  counts: BpfMap;
}

/** Where what is taken out of the maps goes. */
export interface RecorderSink {
  user: StackTable;
  kernel: StackTable;
  /** Takes a count; the stacks by their numbers in the tables, or `-errno`. */
  add(pid: number, user: number, kernel: number, count: number): void;
}

/** The maps that the recorder's program writes. They close together. */
export class RecorderMaps implements Disposable {
  readonly #maps: BpfMap[] = [];
  readonly #gate: BpfMap;
  readonly #counters: BpfMap;
  readonly #seen: BpfMap;
  readonly #ticks: BpfMap | undefined;
  readonly #sets: readonly [MapSet, MapSet];
  readonly #gateValue = new Uint8Array(8);
  readonly #countersValue = new Uint8Array(COUNTERS_BYTES);
  readonly #countersWords = new Uint32Array(this.#countersValue.buffer);
  readonly #fence = new Int32Array(new SharedArrayBuffer(4));
  /** The set that is written to, while the gate is open. */
  #active = 0;
  #open = false;

  /**
   * Creates the maps; the gate is closed.
   *
   * @throws {LinuxError} As `BpfMap.create()`; no map stays open then.
   */
  constructor(options: RecorderMapsOptions) {
    const { depth, entries } = options;
    const room = Math.max(LEAST_COUNTS, 2 * entries);
    try {
      const array = { type: BPF_MAP_TYPE_ARRAY, maxEntries: 1 };
      this.#gate = this.#create({ ...array, valueSize: 8, name: "recorder_gate" });
      this.#counters = this.#create({ ...array, valueSize: COUNTERS_BYTES, name: "recorder_count" });
      this.#seen = this.#create({
        type: BPF_MAP_TYPE_HASH,
        valueSize: TASK_COMM_LEN,
        maxEntries: LEAST_COUNTS,
        name: "recorder_seen",
      });
      checkLookupAndDelete(this.#seen);
      if (options.every > 1) {
        this.#ticks = this.#create({
          type: BPF_MAP_TYPE_PERCPU_ARRAY,
          valueSize: 8,
          maxEntries: 1,
          name: "recorder_ticks",
        });
      }
      // There are as many buckets as the power of two above: one element more than a power of two halves the
      // collisions.
      const maxEntries = Number.isInteger(Math.log2(entries)) ? entries + 1 : entries;
      const stacks = { type: BPF_MAP_TYPE_STACK_TRACE, maxEntries };
      const set = (): MapSet => ({
        user: options.user
          ? this.#create({
            ...stacks,
            valueSize: 32 * depth,
            mapFlags: BPF_F_STACK_BUILD_ID,
            name: "recorder_user",
          })
          : undefined,
        kernel: options.kernel
          ? this.#create({ ...stacks, valueSize: 8 * depth, name: "recorder_kernel" })
          : undefined,
        counts: this.#create({
          type: BPF_MAP_TYPE_HASH,
          keySize: COUNT_KEY_BYTES,
          valueSize: 8,
          maxEntries: room,
          name: "recorder_stacks",
        }),
      });
      this.#sets = [set(), set()];
      this.#moveGate();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #create(options: BpfMapOptions): BpfMap {
    const map = BpfMap.create(options);
    this.#maps.push(map);
    return map;
  }

  /** Descriptors, for the program. */
  get descriptors(): RecorderDescriptors {
    const of = ({ user, kernel, counts }: MapSet): SetDescriptors => ({
      ...(user === undefined ? {} : { user: user.fd }),
      ...(kernel === undefined ? {} : { kernel: kernel.fd }),
      counts: counts.fd,
    });
    return {
      gate: this.#gate.fd,
      counters: this.#counters.fd,
      seen: this.#seen.fd,
      ...(this.#ticks === undefined ? {} : { ticks: this.#ticks.fd }),
      sets: [of(this.#sets[0]), of(this.#sets[1])],
    };
  }

  /** The counters now; one look-up. */
  counters(): RecorderCounters {
    this.#read();
    return {
      samples: this.#counter(COUNTER.samples),
      uncounted: this.#counter(COUNTER.uncounted),
      fresh: this.#counter(COUNTER.fresh),
      full: this.#counter(COUNTER.full),
      lostUser: this.#counter(COUNTER.lostUser),
      lostKernel: this.#counter(COUNTER.lostKernel),
    };
  }

  #read(): void {
    const result = this.#counters.lookupErrno(0, this.#countersValue);
    if (result < 0) throw linuxError(result, "bpf(BPF_MAP_LOOKUP_ELEM)");
  }

  #counter(at: number): number {
    return this.#countersWords[at / 4] + 2 ** 32 * this.#countersWords[at / 4 + 1];
  }

  /** Lets programs in. */
  open(): void {
    this.#open = true;
    this.#moveGate();
  }

  /** Lets no program in, and waits until none is inside. */
  shut(): void {
    this.#open = false;
    this.#moveGate();
    this.#waitFor(0);
    this.#waitFor(1);
  }

  #moveGate(): void {
    this.#gateValue[0] = this.#open ? this.#active : GATE_CLOSED;
    this.#gate.update(0, this.#gateValue);
  }

  /** Waits until no program is inside a set that the gate does not let into: microseconds. */
  #waitFor(set: number): void {
    // The gate's value must be seen before the counters are looked at.
    Atomics.add(this.#fence, 0, 1);
    for (let i = 0; i < MOST_WAITS; i++) {
      this.#read();
      if (this.#counter(COUNTER.inside + 8 * set) === 0) return;
    }
    throw linuxError(-ERRNO.EBUSY, "bpf(BPF_MAP_LOOKUP_ELEM)", "a program does not end");
  }

  /**
   * Moves the gate to the other set, and all that is in this one to `sink`. No sample is lost or held up meanwhile.
   */
  empty(sink: RecorderSink): void {
    const { user, kernel, counts } = this.#sets[this.#active];
    const emptied = this.#active;
    this.#active = 1 - emptied;
    this.#moveGate();
    this.#waitFor(emptied);
    const users = new Mover(user, sink.user);
    const kernels = new Mover(kernel, sink.kernel);
    let key: Uint8Array = new Uint8Array(COUNT_KEY_BYTES);
    let next: Uint8Array = new Uint8Array(COUNT_KEY_BYTES);
    const value = new Uint8Array(8);
    const counted = viewOf(value);
    let result = counts.nextKeyErrno(undefined, key);
    while (result === 0) {
      // Asked for first: after a key that is gone the kernel begins again with the first.
      result = counts.nextKeyErrno(key, next);
      const taken = counts.lookupAndDeleteErrno(key, value);
      if (taken < 0) throw linuxError(taken, LOOKUP_AND_DELETE);
      const view = viewOf(key);
      sink.add(
        view.getUint32(0, true),
        users.move(view.getInt32(4, true)),
        kernels.move(view.getInt32(8, true)),
        counted.getUint32(0, true) + 2 ** 32 * counted.getUint32(4, true),
      );
      [key, next] = [next, key];
    }
    if (result !== -ERRNO.ENOENT) throw linuxError(result, "bpf(BPF_MAP_GET_NEXT_KEY)");
    users.clear();
    kernels.clear();
  }

  /** Takes the processes that were seen since: calls `see` for each, perhaps again. */
  takeSeen(see: (pid: number, comm: string) => void): void {
    const key = new Uint8Array(4);
    const comm = new Uint8Array(TASK_COMM_LEN);
    // Programs may add some meanwhile, so that the walk may begin again; it ends when all are taken.
    for (;;) {
      const next = this.#seen.nextKeyErrno(undefined, key);
      if (next === -ERRNO.ENOENT) return;
      if (next < 0) throw linuxError(next, "bpf(BPF_MAP_GET_NEXT_KEY)");
      const taken = this.#seen.lookupAndDeleteErrno(key, comm);
      // Gone: somebody with the right to open maps by id has deleted it. What stayed would come for ever.
      if (taken === -ERRNO.ENOENT) continue;
      if (taken < 0) throw linuxError(taken, LOOKUP_AND_DELETE);
      const end = comm.indexOf(0);
      const name = new TextDecoder().decode(comm.subarray(0, end < 0 ? comm.length : end));
      see(viewOf(key).getUint32(0, true), name);
    }
  }

  /** Closes all maps. */
  close(): void {
    for (const map of this.#maps) map.close();
  }

  /** Closes all maps. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Finds out whether the kernel takes elements out of hash maps: it has since Linux 5.14, and refuses it before,
 * whatever the key.
 *
 * @param map An empty hash map with 4-byte keys.
 * @throws {LinuxError} `ENOTSUPP`, `EOPNOTSUPP` or `EINVAL` if not; with advice.
 */
export function checkLookupAndDelete(map: BpfMap): void {
  const result = map.lookupAndDeleteErrno(0, new Uint8Array(map.lookupSize));
  if (result === -ERRNO.ENOENT) return;
  throw linuxError(result, LOOKUP_AND_DELETE, "the recorder needs Linux 5.14, where hash maps know this command");
}

/** Moves stacks out of one map. */
class Mover {
  readonly #map: BpfMap | undefined;
  readonly #table: StackTable;
  readonly #numbers = new Map<number, number>();
  readonly #words: Int32Array;
  readonly #value: Uint8Array;

  constructor(map: BpfMap | undefined, table: StackTable) {
    this.#map = map;
    this.#table = table;
    this.#words = new Int32Array(table.valueWords);
    this.#value = new Uint8Array(this.#words.buffer);
  }

  /** The number in the table of what `bpf_get_stackid()` answered: an id, which is deleted, or `-errno`. */
  move(id: number): number {
    if (id < 0 || this.#map === undefined) return id;
    let number = this.#numbers.get(id);
    if (number === undefined) {
      const result = this.#map.lookupErrno(id, this.#value);
      if (result === 0) this.#map.deleteErrno(id);
      number = result < 0 ? result : this.#table.add(this.#words);
      this.#numbers.set(id, number);
    }
    return number;
  }

  /** Deletes what is left: stacks of samples that no map had room to count. */
  clear(): void {
    const id = new Uint8Array(4);
    while (this.#map?.nextKeyErrno(undefined, id) === 0) {
      const result = this.#map.deleteErrno(id);
      if (result < 0 && result !== -ERRNO.ENOENT) throw linuxError(result, "bpf(BPF_MAP_DELETE_ELEM)");
    }
  }
}
