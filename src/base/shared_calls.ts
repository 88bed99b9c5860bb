// Owns SharedCalls: one asynchronous call for all who ask for the same at the same time.
import { ENDS_WITH_REQUEST } from "./platform.ts";

interface Call<T> {
  promise: Promise<T>;
  /** Askers that still wait. */
  waiting: number;
  controller: AbortController;
  /** Whether it has ended, one way or the other. */
  ended: boolean;
}

/**
 * Joins concurrent askers of one key into one call. An asker whose signal is aborted leaves; the call goes on for the
 * others, and is aborted when the last one has left. Nothing is kept of a call that has ended.
 *
 * Where a call would end with the request that began it, on Workers, everybody has a call of their own.
 */
export class SharedCalls<K, T> {
  readonly #calls = new Map<K, Call<T>>();
  readonly #alone: boolean;

  /** @param endsWithRequest Whether everybody has a call of their own; see `ENDS_WITH_REQUEST`. */
  constructor(endsWithRequest: boolean = ENDS_WITH_REQUEST) {
    this.#alone = endsWithRequest;
  }

  /** Calls under way. */
  get size(): number {
    return this.#calls.size;
  }

  /** Whether a call for a key is under way. */
  has(key: K): boolean {
    return this.#calls.has(key);
  }

  /**
   * What `start` gives for a key, or what the call under way for it gives.
   *
   * @param start Gets a signal of its own: that of the call, not of one asker.
   */
  async ask(key: K, start: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#alone) {
      // Its asker leaves at once, whether the call heeds the signal or not.
      return await (signal === undefined ? start(new AbortController().signal) : orAborted(start(signal), signal));
    }
    const call = this.#calls.get(key) ?? this.#begin(key, start);
    call.waiting++;
    try {
      return await (signal === undefined ? call.promise : orAborted(call.promise, signal));
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
}

/** What `promise` gives, or the signal's reason as soon as it is aborted. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) {
      promise.catch(() => {}); // nobody is left to hear of it
      return abort();
    }
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
