// Owns the passage from the caller's arrays to 32-bit words, which hashing and comparing run on.
import { HOST_LITTLE_ENDIAN } from "../base/bytes.ts";

/**
 * Gives the words of one caller array after another. It remembers the view of the last buffer, since making a view
 * costs more than hashing twenty frames, and callers keep their stacks in few buffers.
 */
export class WordView {
  #buffer: ArrayBufferLike | undefined;
  /** Words of the whole buffer of the array last asked for. */
  words: Int32Array = new Int32Array(0);

  /** Index into `words` at which `array` starts; −1 if it does not start at a word. */
  of(array: BigUint64Array | Uint8Array): number {
    const buffer = array.buffer;
    if (buffer !== this.#buffer || this.words.length !== buffer.byteLength >>> 2) {
      this.words = new Int32Array(buffer, 0, buffer.byteLength >>> 2);
      this.#buffer = buffer;
    }
    const at = array.byteOffset;
    return (at & 3) === 0 ? at >>> 2 : -1;
  }
}

/** Throws on a host whose integers are big-endian: the model's memory is that of a little-endian kernel. */
export function requireLittleEndianHost(): void {
  if (!HOST_LITTLE_ENDIAN) throw new Error("the kernel model needs a little-endian host");
}
