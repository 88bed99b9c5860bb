// Owns waiting that an AbortSignal ends, signals made of several, and the longest time that a timer can have.

/** Milliseconds of the longest timer; one of more fires at once. */
export const MOST_TIMER_MS: number = 2 ** 31 - 1;

/** What `promise` gives, or the signal's reason as soon as it is aborted. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
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

/** One signal of those that there are. */
export function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal | undefined {
  const there = signals.filter((signal) => signal !== undefined);
  return there.length < 2 ? there[0] : AbortSignal.any(there);
}
