// Owns how work that is to be done now and then keeps within a share of CPU time.
import process from "node:process";

/** Milliseconds that may be saved up. */
const MOST_SAVED = 50;

/**
 * Time of one CPU that some work may take, as a share of what goes by. It is CPU time, not the clock's: on a busy
 * machine a short piece of work lasts until this process is given a CPU again, and must not be put off for that.
 */
export class CpuBudget {
  readonly #share: number;
  #saved = MOST_SAVED;
  #at = performance.now();

  constructor(share: number) {
    this.#share = share;
  }

  /** Milliseconds that are left; none or fewer where the work has to wait. */
  get left(): number {
    const now = performance.now();
    this.#saved = Math.min(MOST_SAVED, this.#saved + (now - this.#at) * this.#share);
    this.#at = now;
    return this.#saved;
  }

  /** Does the work, at this budget's expense. */
  spend<Result>(work: () => Result): Result {
    const [began, before] = [performance.now(), process.cpuUsage()];
    try {
      return work();
    } finally {
      // CPU time is of all threads, some of which may be at something else.
      const { user, system } = process.cpuUsage(before);
      this.#saved -= Math.min((user + system) / 1000, performance.now() - began);
    }
  }
}
