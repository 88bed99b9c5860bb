// Owns ByteGate: a bound on the bytes that are taken in at a time, whoever asks for them.
import { orAborted } from "../base/shared_calls.ts";

interface Lease {
  bytes: number;
  since: number;
}

interface Waiter {
  bytes: number;
  enter(): void;
}

/** Work that was let in and has not come out by then is taken to be lost: see `ENDS_WITH_REQUEST`. */
const LOST_AFTER_MS = 120_000;

/** Lets work in while what it needs adds up to no more than a limit; the others wait in order. */
export class ByteGate {
  readonly #limit: number;
  #inside = 0;
  /** When what is inside came in, and what it needs. */
  readonly #leases = new Set<Lease>();
  readonly #waiting: Waiter[] = [];

  /** @param limit In bytes. Work that needs more is let in when it is alone. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs `work` as soon as there is room for `bytes`. */
  async run<T>(bytes: number, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const lease: Lease = { bytes: Math.min(bytes, this.#limit), since: 0 };
    this.#expire();
    await this.#enter(lease.bytes, signal);
    lease.since = performance.now();
    this.#leases.add(lease);
    try {
      return await work();
    } finally {
      this.#leave(lease);
    }
  }

  #leave(lease: Lease): void {
    if (!this.#leases.delete(lease)) return;
    this.#inside -= lease.bytes;
    this.#next();
  }

  #expire(): void {
    const now = performance.now();
    for (const lease of this.#leases) if (now - lease.since > LOST_AFTER_MS) this.#leave(lease);
  }

  async #enter(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.length === 0 && this.#inside + bytes <= this.#limit) {
      this.#inside += bytes;
      return;
    }
    let waiter: Waiter | undefined;
    const turn = new Promise<void>((resolve) => this.#waiting.push(waiter = { bytes, enter: resolve }));
    try {
      await orAborted(turn, signal);
    } catch (error) {
      const at = this.#waiting.indexOf(waiter!);
      if (at >= 0) this.#waiting.splice(at, 1);
      else this.#inside -= bytes; // let in just then
      this.#next();
      throw error;
    }
  }

  #next(): void {
    while (this.#waiting.length > 0 && this.#inside + this.#waiting[0].bytes <= this.#limit) {
      const { bytes, enter } = this.#waiting.shift()!;
      this.#inside += bytes;
      enter();
    }
  }
}
