// Owns SharedCalls: one asynchronous call for all who ask for the same at the same time.

interface Call<T> {
  promise: Promise<T>;
  /** Askers that still wait. */
  waiting: number;
  controller: AbortController;
}

/**
 * Joins concurrent askers of one key into one call. An asker whose signal is aborted leaves; the call goes on for the
 * others, and is aborted when the last one has left. Nothing is kept of a call that has ended.
 */
export class SharedCalls<K, T> {
  readonly #calls = new Map<K, Call<T>>();

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
    let call = this.#calls.get(key);
    if (call === undefined) {
      const controller = new AbortController();
      const promise = start(controller.signal).finally(() => {
        if (this.#calls.get(key)?.controller === controller) this.#calls.delete(key);
      });
      promise.catch(() => {}); // all askers may have left
      this.#calls.set(key, call = { promise, waiting: 0, controller });
    }
    call.waiting++;
    try {
      return await (signal === undefined ? call.promise : orAborted(call.promise, signal));
    } finally {
      if (--call.waiting === 0) {
        // Ended, or wanted by nobody any more: who asks from now on starts anew.
        if (this.#calls.get(key) === call) this.#calls.delete(key);
        call.controller.abort();
      }
    }
  }
}

/** What `promise` gives, or the signal's reason as soon as it is aborted. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
