// Owns work on 32-bit words, on which hashing, comparing and copying run, and the passage from the caller's arrays.
import { HOST_LITTLE_ENDIAN } from "../base/bytes.ts";

/**
 * Memory as 32-bit words, and the same memory as doubles for comparing. One kind of array for everything that is
 * hashed, copied or compared: a loop that meets a second kind takes twice as long in both engines.
 */
export interface Words {
  /** The memory, in the machine's byte order. */
  readonly words: Uint32Array;
  /** The same memory; two words each. */
  readonly doubles: Float64Array;
}

/**
 * Gives the words of one caller array after another. It remembers the views of the last buffer, since making a view
 * costs about as much as hashing twenty frames, and callers keep their stacks in few buffers.
 */
export class WordView implements Words {
  #array: BigUint64Array | Uint8Array | undefined;
  #buffer: ArrayBufferLike | undefined;
  #at = 0;
  words: Uint32Array = new Uint32Array(0);
  doubles: Float64Array = new Float64Array(0);

  /** Index into `words` at which `array` starts; −1 if it does not start at a word. */
  of(array: BigUint64Array | Uint8Array): number {
    // Reading `.buffer` costs 9 ns in V8 and 17 in JavaScriptCore: a sixth of hashing twenty frames.
    if (array === this.#array) return this.#at;
    const buffer = array.buffer;
    if (buffer !== this.#buffer) this.#turnTo(buffer);
    const at = array.byteOffset;
    this.#array = array;
    return this.#at = (at & 3) === 0 ? at >>> 2 : -1;
  }

  #turnTo(buffer: ArrayBufferLike): void {
    const size = buffer.byteLength;
    // Without a length a view follows a resizable buffer; that needs a whole number of elements.
    this.words = size % 4 === 0 ? new Uint32Array(buffer) : new Uint32Array(buffer, 0, size >>> 2);
    this.doubles = size % 8 === 0 ? new Float64Array(buffer) : new Float64Array(buffer, 0, Math.floor(size / 8));
    this.#buffer = buffer;
  }
}

/**
 * Whether `frames` frames of 64 bits are the same, from word `aAt` of `a` and word `bAt` of `b`, both even.
 *
 * Compared as doubles, which is one load a frame: 23 ns instead of 32 for twenty frames in V8, 26 instead of 31 in
 * JavaScriptCore. Doubles are not bits: NaNs, and kernel addresses are NaNs, differ from themselves, and the two zeros
 * are equal. There the words decide.
 */
export function sameFrames(a: Words, aAt: number, b: Words, bAt: number, frames: number): boolean {
  const x = a.doubles;
  const y = b.doubles;
  const p = aAt >>> 1;
  const q = bAt >>> 1;
  for (let i = 0; i < frames; i++) {
    const frame = x[p + i];
    if (frame !== y[q + i]) return sameWords(a.words, aAt + 2 * i, b.words, bAt + 2 * i, 2 * (frames - i));
    if (frame === 0 && a.words[aAt + 2 * i + 1] !== b.words[bAt + 2 * i + 1]) return false;
  }
  return true;
}

function sameWords(a: Uint32Array, aAt: number, b: Uint32Array, bAt: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aAt + i] !== b[bAt + i]) return false;
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
