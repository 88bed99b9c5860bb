// Owns the seeded generator: the same seed gives the same numbers in every runtime.

/**
 * sfc32 (Chris Doty-Humphrey's small fast counting generator): 128 bits of state, 32-bit integer operations
 * only, so V8 and JavaScriptCore agree bit for bit. Not for secrets.
 */
export class SeededRandom {
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  /** @param seed Any safe integer; both its 32-bit halves count. */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be a safe integer, not ${seed}`);
    this.#b = Math.floor(seed / 0x1_0000_0000) | 0;
    this.#c = seed | 0;
    for (let i = 0; i < 15; i++) this.nextUint32();
  }

  /** The next 32 bits, 0 to 2^32 − 1. */
  nextUint32(): number {
    const out = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + out) | 0;
    return out >>> 0;
  }

  /** A whole number from 0 to `bound − 1`; `bound` at most 2^32. The bias is below `bound / 2^32`. */
  below(bound: number): number {
    return Math.floor((this.nextUint32() / 0x1_0000_0000) * bound);
  }

  /** True with probability `p`. */
  chance(p: number): boolean {
    return this.nextUint32() < p * 0x1_0000_0000;
  }

  /** Fills `bytes` with random bytes. */
  fill(bytes: Uint8Array): Uint8Array {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.nextUint32() & 0xff;
    return bytes;
  }
}
