// Owns the memory of files that are nowhere: for a while, and of a bounded number.

const MOST_ENTRIES = 4096;

/** Keys that were asked for in vain. */
export class MissingFiles {
  readonly #ttlMs: number;
  readonly #mostEntries: number;
  /** Key to the time until which it counts; the oldest first. */
  readonly #until = new Map<string, number>();

  constructor(ttlMs: number, mostEntries: number = MOST_ENTRIES) {
    this.#ttlMs = ttlMs;
    this.#mostEntries = mostEntries;
  }

  has(key: string): boolean {
    const until = this.#until.get(key);
    if (until === undefined) return false;
    if (Date.now() < until) return true;
    this.#until.delete(key);
    return false;
  }

  add(key: string): void {
    if (this.#ttlMs <= 0) return;
    this.#until.delete(key);
    this.#until.set(key, Date.now() + this.#ttlMs);
    if (this.#until.size > this.#mostEntries) this.#until.delete(this.#until.keys().next().value!);
  }

  clear(): void {
    this.#until.clear();
  }
}
