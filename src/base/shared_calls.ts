// Owns SharedCalls: one asynchronous call for all who ask for the same at the same time.
import { orAborted } from "./abort.ts";
import { ENDS_WITH_REQUEST } from "./platform.ts";

/** Where work can end without notice, how often it shows that it is still there, in milliseconds, */
export const BEAT_MS = 50;
/** and after how long without that it is taken to be lost. */
export const LOST_AFTER_MS = 500;

interface Call<T> {
  promise: Promise<T>;
  /** Askers that still wait. */
  waiting: number;
  controller: AbortController;
  /** Whether it has ended, one way or the other. */
  ended: boolean;
}

/** A call that others look at, and never wait for. */
interface WatchedCall<T> {
  /** When it last showed that it is still there. */
  seen: number;
  ended: boolean;
  result?: { value: T };
}

/**
 * Joins concurrent askers of one key into one call. An asker whose signal is aborted leaves; the call goes on for the
 * others, and is aborted when the last one has left. Nothing is kept of a call that has ended.
 *
 * Where a call ends without notice with the request that began it, on Workers, the others look from time to time,
 * by timers of their own, what became of it; if it fails, or shows no more that it is there, one of them begins anew.
 */
export class SharedCalls<K, T> {
  readonly #calls = new Map<K, Call<T>>();
  readonly #watched = new Map<K, WatchedCall<T>>();
  readonly #watches: boolean;

  /** @param endsWithRequest Whether a call can end without notice; see `ENDS_WITH_REQUEST`. */
  constructor(endsWithRequest: boolean = ENDS_WITH_REQUEST) {
    this.#watches = endsWithRequest;
  }

  /** Calls under way, or lost. */
  get size(): number {
    return this.#calls.size + this.#watched.size;
  }

  /** Whether a call for a key is under way, or lost. */
  has(key: K): boolean {
    return this.#calls.has(key) || this.#watched.has(key);
  }

  /**
   * What `start` gives for a key, or what the call under way for it gives.
   *
   * @param start Gets a signal of its own: that of the call, not of one asker.
   */
  async ask(key: K, start: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#watches) return await this.#watch(key, start, signal ?? new AbortController().signal);
    const call = this.#calls.get(key) ?? this.#begin(key, start);
    call.waiting++;
    try {
      return await orAborted(call.promise, signal);
    } finally {
      if (--call.waiting === 0 && !call.ended) {
        // Wanted by nobody any more: who asks from now on starts anew.
        this.#forget(key, call);
        call.controller.abort();
      }
    }
  }

  #begin(key: K, start: (signal: AbortSignal) => Promise<T>): Call<T> {
    const controller = new AbortController();
    const promise = start(controller.signal).finally(() => {
      call.ended = true;
      this.#forget(key, call);
    });
    promise.catch(() => {}); // all askers may have left
    const call: Call<T> = { promise, waiting: 0, controller, ended: false };
    this.#calls.set(key, call);
    return call;
  }

  #forget(key: K, call: Call<T>): void {
    if (this.#calls.get(key) === call) this.#calls.delete(key);
  }

  async #watch(key: K, start: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    let call = this.#watched.get(key);
    while (call !== undefined && !call.ended && performance.now() - call.seen < LOST_AFTER_MS) {
      await pause(BEAT_MS, signal);
      if (call.result !== undefined) return call.result.value;
      call = this.#watched.get(key);
    }
    return await this.#lead(key, start, signal);
  }

  async #lead(key: K, start: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const call: WatchedCall<T> = { seen: performance.now(), ended: false };
    this.#watched.delete(key);
    this.#watched.set(key, call);
    const timer = setInterval(() => call.seen = performance.now(), BEAT_MS);
    try {
      // Its asker leaves at once, whether the call heeds the signal or not.
      const value = await orAborted(start(signal), signal);
      call.result = { value };
      return value;
    } finally {
      clearInterval(timer);
      call.ended = true;
      if (this.#watched.get(key) === call) this.#watched.delete(key);
      this.#clean();
    }
  }

  /** Forgets calls that are lost: nobody may ask for them again. */
  #clean(): void {
    const lost = performance.now() - LOST_AFTER_MS;
    for (const [key, { seen }] of this.#watched) if (seen < lost) this.#watched.delete(key);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await orAborted(new Promise<void>((resolve) => timer = setTimeout(resolve, ms)), signal);
  } finally {
    clearTimeout(timer);
  }
}
