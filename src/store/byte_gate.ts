// Owns ByteGate: a bound on the bytes that are taken in at a time, whoever asks for them.
import { orAborted } from "../base/abort.ts";
import { ENDS_WITH_REQUEST } from "../base/platform.ts";
import { BEAT_MS, LOST_AFTER_MS } from "../base/shared_calls.ts";

/** Work that is inside, or waits to be let in. */
interface Lease {
  readonly bytes: number;
  inside: boolean;
  /** When it last showed that it is still there. */
  seen: number;
  /** Tells it that it is inside. */
  enter?: () => void;
}

/**
 * Lets work in while what it needs adds up to no more than a limit; the others wait in order.
 *
 * Where work ends without notice when its request does, on Workers, a timer of the same request shows that it is still
 * there: it ends with the work, whose room others then get. Nobody waits for a promise that another request keeps.
 */
export class ByteGate {
  readonly #limit: number;
  readonly #beats: boolean;
  #inside = 0;
  /** What is inside, and what waits. */
  readonly #leases = new Set<Lease>();
  readonly #waiting: Lease[] = [];

  /**
   * @param limit In bytes. Work that needs more is let in when it is alone.
   * @param endsWithRequest Whether work can end without notice; see `ENDS_WITH_REQUEST`.
   */
  constructor(limit: number, endsWithRequest: boolean = ENDS_WITH_REQUEST) {
    this.#limit = limit;
    this.#beats = endsWithRequest;
  }

  /** Bytes of the work that is inside. */
  get inside(): number {
    return this.#inside;
  }

  /** Runs `work` as soon as there is room for `bytes`. */
  async run<T>(bytes: number, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const lease: Lease = { bytes: Math.min(bytes, this.#limit), inside: false, seen: performance.now() };
    this.#leases.add(lease);
    this.#waiting.push(lease);
    this.#next();
    const timer = this.#beats ? setInterval(() => this.#beat(lease), BEAT_MS) : undefined;
    try {
      if (!lease.inside) await orAborted(new Promise<void>((resolve) => lease.enter = resolve), signal);
      return await work();
    } finally {
      clearInterval(timer);
      this.#leave(lease);
    }
  }

  #beat(lease: Lease): void {
    lease.seen = performance.now();
    if (!this.#leases.has(lease)) { // was taken to be lost, wrongly: everything stood still for a while
      this.#leases.add(lease);
      if (lease.inside) this.#inside += lease.bytes;
      else this.#waiting.push(lease);
    }
    this.#next();
    if (lease.inside) lease.enter?.();
  }

  #leave(lease: Lease): void {
    this.#remove(lease);
    this.#next();
  }

  #remove(lease: Lease): void {
    if (!this.#leases.delete(lease)) return;
    if (lease.inside) this.#inside -= lease.bytes;
    else this.#waiting.splice(this.#waiting.indexOf(lease), 1);
  }

  #next(): void {
    if (this.#beats) {
      const lost = performance.now() - LOST_AFTER_MS;
      for (const lease of this.#leases) if (lease.seen < lost) this.#remove(lease);
    }
    while (this.#waiting.length > 0 && this.#inside + this.#waiting[0].bytes <= this.#limit) {
      const lease = this.#waiting.shift()!;
      this.#inside += lease.bytes;
      lease.inside = true;
      if (!this.#beats) lease.enter?.();
    }
  }
}
