// Owns the seeded schedule: on which CPU and in which situation a call runs where the caller does not say.
import { SeededRandom } from "../base/random.ts";
import { checkNrCpus } from "./pcpu_freelist.ts";

/** How often the situations occur that make the kernel fall back: probabilities from 0 to 1, all 0 if absent. */
export interface ScheduleRates {
  /** The call runs in NMI. */
  nmi?: number;
  /** The task's mmap lock is taken, so that `mmap_read_trylock()` fails. */
  mmapLocked?: number;
  /** The CPU's irq_work is still busy with an earlier unlock. */
  irqWorkBusy?: number;
}

/**
 * A repeatable sequence of CPUs and situations: the same seed gives the same one in every runtime. A map has one of
 * its own; a simulation can draw from another.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { CpuSchedule } from "@bpf/stackmap";
 *
 * const a = new CpuSchedule(7, 4);
 * const b = new CpuSchedule(7, 4);
 * assertEquals([a.cpu(), a.cpu(), a.cpu()], [b.cpu(), b.cpu(), b.cpu()]);
 * assertEquals(a.nmi(), false); // its rate is 0
 * ```
 */
export class CpuSchedule {
  readonly #random: SeededRandom;
  readonly #nrCpus: number;
  readonly #rates: Required<ScheduleRates>;

  /**
   * A schedule from its start.
   *
   * @param seed A safe integer.
   * @param nrCpus Number of possible CPUs.
   * @param rates How often which situation occurs.
   * @throws {RangeError} If the seed is no safe integer, a rate is not 0 to 1, or no machine has so many CPUs.
   */
  constructor(seed: number, nrCpus: number, rates: ScheduleRates = {}) {
    checkNrCpus(nrCpus);
    this.#random = new SeededRandom(seed);
    this.#nrCpus = nrCpus;
    this.#rates = {
      nmi: rate("nmi", rates.nmi),
      mmapLocked: rate("mmapLocked", rates.mmapLocked),
      irqWorkBusy: rate("irqWorkBusy", rates.irqWorkBusy),
    };
  }

  /** The CPU of the next call: 0 to `nrCpus − 1`, evenly. */
  cpu(): number {
    return this.#nrCpus === 1 ? 0 : this.#random.below(this.#nrCpus);
  }

  /** Whether the next call runs in NMI. */
  nmi(): boolean {
    return this.#rates.nmi > 0 && this.#random.chance(this.#rates.nmi);
  }

  /** Whether the mmap lock is taken during the next call. */
  mmapLocked(): boolean {
    return this.#rates.mmapLocked > 0 && this.#random.chance(this.#rates.mmapLocked);
  }

  /** Whether the irq_work is busy during the next call. */
  irqWorkBusy(): boolean {
    return this.#rates.irqWorkBusy > 0 && this.#random.chance(this.#rates.irqWorkBusy);
  }
}

function rate(name: string, value: number = 0): number {
  if (!(value >= 0 && value <= 1)) throw new RangeError(`the rate of ${name} must be 0 to 1, not ${value}`);
  return value;
}
