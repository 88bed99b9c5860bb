// Owns the counts of a recording: how often each pair of stacks was found in each process.
import type { SampledStacks } from "../recording/sample_recording.ts";
import { ERRNO } from "../uapi/errno.ts";

/** Most counts that are kept: about 250 MiB, three times as much if each is of a process of its own. */
const MOST_COUNTS = 1 << 21;

/** Counts by process and by the numbers of two stacks, in the order in which they were found. */
export class CountTable {
  readonly #most: number;
  /** Row of a count, by process and by both stacks. */
  readonly #rows = new Map<number, Map<number, number>>();
  readonly #pids: number[] = [];
  readonly #users: number[] = [];
  readonly #kernels: number[] = [];
  readonly #counts: number[] = [];
  #uncounted = 0;
  #dropped = 0;

  /** A table without counts. @param most How many it takes. */
  constructor(most: number = MOST_COUNTS) {
    this.#most = most;
  }

  /** Samples that there was no room to count. */
  get uncounted(): number {
    return this.#uncounted;
  }

  /** Counts with `-ENOSPC` for a user stack and those with `-ENOSPC` for a kernel stack, summed up. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Adds samples. @param user Number of a stack, or `-errno`. @param kernel The same. */
  add(pid: number, user: number, kernel: number, count: number): void {
    let rows = this.#rows.get(pid);
    // One number for both: -errno is above -4,096, and no table has 67 million stacks.
    const both = (user + 4096) * 2 ** 26 + kernel + 4096;
    const row = rows?.get(both);
    if (row === undefined && this.#counts.length >= this.#most) {
      this.#uncounted += count;
      return;
    }
    if (user === -ERRNO.ENOSPC) this.#dropped += count;
    if (kernel === -ERRNO.ENOSPC) this.#dropped += count;
    if (row !== undefined) {
      this.#counts[row] += count;
      return;
    }
    if (rows === undefined) {
      rows = new Map();
      this.#rows.set(pid, rows);
    }
    rows.set(both, this.#counts.length);
    this.#pids.push(pid);
    this.#users.push(user);
    this.#kernels.push(kernel);
    this.#counts.push(count);
  }

  /** All counts, in memory of their own. */
  columns(): Pick<SampledStacks, "pid" | "userStack" | "kernelStack" | "count"> {
    return {
      pid: Uint32Array.from(this.#pids),
      userStack: Int32Array.from(this.#users),
      kernelStack: Int32Array.from(this.#kernels),
      count: Float64Array.from(this.#counts),
    };
  }
}
