// Owns the per-CPU freelist (kernel/bpf/percpu_freelist.c): which element the next pop on a CPU hands out.
import { KernelError } from "../uapi/errno.ts";
import { DEFAULT_KERNEL, type FreelistLocks, kernelProfile, type KernelRelease } from "./profile.ts";

/**
 * `struct pcpu_freelist`: a last-in first-out list of elements for each CPU. Elements are numbers from 0. There is no
 * randomness in it: the same calls give the same elements.
 *
 * A lock is free unless {@linkcode PcpuFreelist.hold} says that code which can't go on meanwhile holds it, such as
 * the code that an NMI interrupted. What a call does then is the release's: see {@linkcode FreelistLocks}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PcpuFreelist } from "@bpf/stackmap";
 *
 * const freelist = new PcpuFreelist(2, { kernel: "6.18" });
 * freelist.populate(5); // CPU 0 gets 0, 1, 2 and CPU 1 gets 3, 4
 * assertEquals([freelist.pop(1), freelist.pop(1), freelist.pop(1)], [4, 3, 2]); // then from the next CPU
 * freelist.push(4, 0);
 * assertEquals(freelist.pop(0), 4);
 * ```
 */
export class PcpuFreelist {
  /** Number of possible CPUs. */
  readonly nrCpus: number;
  /** What a call does when it finds a lock taken. */
  readonly locks: FreelistLocks;
  readonly #even: boolean;
  #next: Int32Array = new Int32Array(0);
  // 1 for each element that is in a list: one that is pushed twice would make a list without end.
  #listed: Uint8Array = new Uint8Array(0);
  // Head of each CPU's list, the extralist's last; −1 is NULL.
  readonly #heads: Int32Array;
  readonly #held: Uint8Array;
  #anyHeld = false;

  /**
   * `pcpu_freelist_init()`: every list empty.
   *
   * @param nrCpus Number of possible CPUs, 1 to 8192.
   * @param options The release, `"6.18"` if absent; `locks` overrides its locking.
   * @throws {RangeError} For a number of CPUs that no kernel has.
   */
  constructor(nrCpus: number, options: { kernel?: KernelRelease; locks?: FreelistLocks } = {}) {
    checkNrCpus(nrCpus);
    const profile = kernelProfile(options.kernel ?? DEFAULT_KERNEL);
    this.nrCpus = nrCpus;
    this.locks = options.locks ?? profile.freelistLocks;
    this.#even = profile.freelistFill === "even";
    this.#heads = new Int32Array(nrCpus + 1).fill(-1);
    this.#held = new Uint8Array(nrCpus + 1);
  }

  /**
   * `pcpu_freelist_populate()`: spreads elements 0 to `nrElems − 1` over the CPUs in order, each pushed in front of
   * the ones before it. Empties the lists first.
   *
   * @throws {RangeError} If there can't be so many elements.
   */
  populate(nrElems: number): void {
    if (!(Number.isInteger(nrElems) && nrElems >= 0)) throw new RangeError(`nrElems is ${nrElems}`);
    this.#next = new Int32Array(nrElems);
    this.#listed = new Uint8Array(nrElems);
    this.#heads.fill(-1);
    const share = Math.floor(nrElems / this.nrCpus);
    const remainder = nrElems % this.nrCpus;
    let node = 0;
    for (let cpu = 0; cpu < this.nrCpus; cpu++) {
      const quota = this.#even ? share + (cpu < remainder ? 1 : 0) : share + 1;
      for (let i = 0; i < quota && node < nrElems; i++) this.#pushTo(cpu, node++);
    }
  }

  #pushTo(list: number, node: number): void {
    this.#next[node] = this.#heads[list];
    this.#heads[list] = node;
    this.#listed[node] = 1;
  }

  #popFrom(list: number): number {
    const node = this.#heads[list];
    if (node >= 0) {
      this.#heads[list] = this.#next[node];
      this.#listed[node] = 0;
    }
    return node;
  }

  /**
   * `pcpu_freelist_push()` on CPU `cpu`.
   *
   * @param node The element, which must not be in a list.
   * @param nmi Whether the call runs in NMI.
   * @throws {KernelError} EDEADLK where the kernel would spin for ever on locks that are held.
   * @throws {RangeError} If there is no such element or CPU, or the element is in a list already.
   */
  push(node: number, cpu: number = 0, nmi: boolean = false): void {
    if (this.#listed[node] !== 0) throw new RangeError(`element ${node} does not exist or is in a list already`);
    this.#listIndex(cpu);
    if (this.#anyHeld) this.#pushTo(this.#listToPush(cpu, nmi), node);
    else this.#pushTo(cpu, node);
  }

  /**
   * `pcpu_freelist_pop()` on CPU `cpu`: from its own list, else from the next CPUs' in turn.
   *
   * @param nmi Whether the call runs in NMI.
   * @returns The element, −1 for NULL.
   * @throws {KernelError} EDEADLK where the kernel would spin for ever on a lock that is held.
   * @throws {RangeError} If there is no such CPU.
   */
  pop(cpu: number = 0, nmi: boolean = false): number {
    this.#listIndex(cpu);
    if (this.#anyHeld) {
      const list = this.#listToPop(cpu, nmi);
      return list < 0 ? -1 : this.#popFrom(list);
    }
    let node = this.#popFrom(cpu);
    for (let i = 1; node < 0 && i < this.nrCpus; i++) node = this.#popFrom((cpu + i) % this.nrCpus);
    return node >= 0 || this.locks !== "trylock-in-nmi" ? node : this.#popFrom(this.nrCpus);
  }

  // The list that a push ends in while some locks are held.
  #listToPush(cpu: number, nmi: boolean): number {
    const patient = this.locks === "spin" || (this.locks === "trylock-in-nmi" && !nmi);
    for (let i = 0; i < this.nrCpus; i++) {
      const list = (cpu + i) % this.nrCpus;
      if (this.#held[list] === 0) return list;
      if (patient) throw this.#deadlock(list);
    }
    if (this.locks === "trylock-in-nmi" && this.#held[this.nrCpus] === 0) return this.nrCpus;
    throw this.#deadlock(cpu);
  }

  // The list that a pop takes from while some locks are held; −1 for none. With spin locks (4.17) the lock of an empty
  // list is taken too; later code looks first (54a9c3a42d92, 6.0).
  #listToPop(cpu: number, nmi: boolean): number {
    const looksFirst = this.locks !== "spin";
    const patient = !looksFirst || (this.locks === "trylock-in-nmi" && !nmi);
    for (let i = 0; i < this.nrCpus; i++) {
      const list = (cpu + i) % this.nrCpus;
      const empty = this.#heads[list] < 0;
      if (looksFirst && empty) continue;
      if (this.#held[list] === 0) {
        if (!empty) return list;
      } else if (patient) throw this.#deadlock(list);
    }
    if (this.locks !== "trylock-in-nmi" || this.#heads[this.nrCpus] < 0) return -1;
    if (this.#held[this.nrCpus] === 0) return this.nrCpus;
    if (patient) throw this.#deadlock(this.nrCpus);
    return -1;
  }

  #deadlock(list: number): KernelError {
    const name = list === this.nrCpus ? "the extralist" : `CPU ${list}'s list`;
    return new KernelError(
      "EDEADLK",
      `the kernel would spin for ever: the lock of ${name} is held (${this.locks})`,
    );
  }

  /** Marks the lock of a CPU's list, or of the extralist, as held by code that can't go on during a call. */
  hold(list: number | "extralist"): void {
    this.#held[this.#listIndex(list)] = 1;
    this.#anyHeld = true;
  }

  /** Undoes {@linkcode PcpuFreelist.hold}. */
  release(list: number | "extralist"): void {
    this.#held[this.#listIndex(list)] = 0;
    this.#anyHeld = this.#held.includes(1);
  }

  /** The elements of a CPU's list, or of the extralist, in the order in which pops take them. A new array. */
  nodes(list: number | "extralist"): number[] {
    const nodes: number[] = [];
    for (let node = this.#heads[this.#listIndex(list)]; node >= 0; node = this.#next[node]) nodes.push(node);
    return nodes;
  }

  #listIndex(list: number | "extralist"): number {
    if (list === "extralist") return this.nrCpus;
    if (!(Number.isInteger(list) && list >= 0 && list < this.nrCpus)) {
      throw new RangeError(`CPU ${list} of ${this.nrCpus}`);
    }
    return list;
  }
}

/** Throws `RangeError` for a number of CPUs that no kernel has. */
export function checkNrCpus(nrCpus: number): void {
  if (!(Number.isInteger(nrCpus) && nrCpus >= 1 && nrCpus <= 8192)) {
    throw new RangeError(`nrCpus must be 1 to 8192, not ${nrCpus}`);
  }
}
