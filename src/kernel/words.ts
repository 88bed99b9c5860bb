// Owns work on 32-bit words, on which hashing, comparing and copying run, and the passage from the caller's arrays.
import { HOST_LITTLE_ENDIAN } from "../base/bytes.ts";

/**
 * Gives the words of one caller array after another. It remembers the view of the last buffer, since making a view
 * costs about half of what hashing twenty frames does, and callers keep their stacks in few buffers.
 */
export class WordView {
  #buffer: ArrayBufferLike | undefined;
  /** Words of the whole buffer of the array last asked for. */
  words: Int32Array = new Int32Array(0);

  /** Index into `words` at which `array` starts; −1 if it does not start at a word. */
  of(array: BigUint64Array | Uint8Array): number {
    const buffer = array.buffer;
    if (buffer !== this.#buffer) this.#turnTo(buffer);
    const at = array.byteOffset;
    return (at & 3) === 0 ? at >>> 2 : -1;
  }

  #turnTo(buffer: ArrayBufferLike): void {
    const whole = buffer.byteLength >>> 2;
    // Without a length the view follows a resizable buffer; that needs a whole number of words.
    this.words = whole * 4 === buffer.byteLength ? new Int32Array(buffer) : new Int32Array(buffer, 0, whole);
    this.#buffer = buffer;
  }
}

/**
 * Whether `length` words, an even number, are the same. Differences are gathered over four words before a branch: a
 * branch a word took twice as long for stacks of twenty frames.
 */
export function sameWords(a: Int32Array, aAt: number, b: Int32Array, bAt: number, length: number): boolean {
  let i = 0;
  for (const end = length - 3; i < end; i += 4) {
    if (
      ((a[aAt + i] ^ b[bAt + i]) | (a[aAt + i + 1] ^ b[bAt + i + 1]) |
        (a[aAt + i + 2] ^ b[bAt + i + 2]) | (a[aAt + i + 3] ^ b[bAt + i + 3])) !== 0
    ) return false;
  }
  return i === length || ((a[aAt + i] ^ b[bAt + i]) | (a[aAt + i + 1] ^ b[bAt + i + 1])) === 0;
}

/** Copies `length` words, an even number, from `from` at `at` to `to` at `toAt`. */
export function copyWords(from: Int32Array, at: number, to: Int32Array, toAt: number, length: number): void {
  for (let i = 0; i < length; i += 2) {
    to[toAt + i] = from[at + i];
    to[toAt + i + 1] = from[at + i + 1];
  }
}

/** Throws on a host whose integers are big-endian: the model's memory is that of a little-endian kernel. */
export function requireLittleEndianHost(): void {
  if (!HOST_LITTLE_ENDIAN) throw new Error("the kernel model needs a little-endian host");
}
