// Owns work on 32-bit words, on which hashing, comparing and copying run, and the passage from the caller's arrays.
import { HOST_LITTLE_ENDIAN } from "../base/bytes.ts";

/**
 * Gives the words of one caller array after another. It remembers the view of the last buffer, since making a view
 * costs about as much as hashing twenty frames, and callers keep their stacks in few buffers.
 *
 * Everything that is hashed, copied or compared here is a `Uint32Array`: a loop that meets a second kind of array
 * takes twice as long in both engines.
 */
export class WordView {
  #array: BigUint64Array | Uint8Array | undefined;
  #buffer: ArrayBufferLike | null = null;
  #at = 0;
  /** Words of the whole buffer of the array last asked for. */
  words: Uint32Array = new Uint32Array(0);

  /** Index into `words` at which `array` starts; −1 if it does not start at a word. */
  of(array: BigUint64Array | Uint8Array): number {
    // Reading `.buffer` costs 9 ns in V8 and 17 in JavaScriptCore: a sixth of hashing twenty frames.
    if (array === this.#array) return this.#at;
    const buffer: ArrayBufferLike | undefined = array.buffer;
    if (buffer !== this.#buffer) this.#turnTo(buffer);
    const at = array.byteOffset;
    this.#array = array;
    return this.#at = (at & 3) === 0 ? at >>> 2 : -1;
  }

  #turnTo(buffer: ArrayBufferLike | undefined): void {
    if (buffer === undefined) throw new TypeError("a stack is a BigUint64Array, a buffer a Uint8Array");
    const whole = buffer.byteLength >>> 2;
    // Without a length the view follows a resizable buffer; that needs a whole number of words.
    this.words = whole * 4 === buffer.byteLength ? new Uint32Array(buffer) : new Uint32Array(buffer, 0, whole);
    this.#buffer = buffer;
  }
}

/** Whether `length` words, an even number, are the same. */
export function sameWords(a: Uint32Array, aAt: number, b: Uint32Array, bAt: number, length: number): boolean {
  for (const end = aAt + length; aAt < end; aAt += 2, bAt += 2) {
    if (((a[aAt] ^ b[bAt]) | (a[aAt + 1] ^ b[bAt + 1])) !== 0) return false;
  }
  return true;
}

/** Copies `length` words, an even number, from `from` at `at` to `to` at `toAt`. */
export function copyWords(from: Uint32Array, at: number, to: Uint32Array, toAt: number, length: number): void {
  for (let i = 0; i < length; i += 2) {
    to[toAt + i] = from[at + i];
    to[toAt + i + 1] = from[at + i + 1];
  }
}

/** Throws on a host whose integers are big-endian: the model's memory is that of a little-endian kernel. */
export function requireLittleEndianHost(): void {
  if (!HOST_LITTLE_ENDIAN) throw new Error("the kernel model needs a little-endian host");
}
