// Owns the table from a build id as the kernel reports it (20 bytes, zero-padded) to a binary's index.
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";

const WORDS = BPF_BUILD_ID_SIZE / 4;
/** Words a slot: index + 1 (0: free), the id, padding to a power of two. */
const SLOT = 8;

/** Open addressing over int32 words: no strings, no allocation in a lookup. */
export class IdLookup {
  #slots = new Int32Array(16 * SLOT);
  #count = 0;
  readonly #key = new Int32Array(WORDS);

  /**
   * The number stored for an id, or -1.
   *
   * @param bytes Holds the id from byte `at`; an id of fewer than 20 bytes is taken with zeros after it.
   */
  find(bytes: Uint8Array, at: number, length: number): number {
    this.#load(bytes, at, length);
    return this.#slots[this.#slotOf(this.#slots)] - 1;
  }

  /** Stores `number` for an id of 1 to 20 bytes that is not in the table yet. */
  add(id: Uint8Array, number: number): void {
    if (2 * (this.#count + 1) * SLOT > this.#slots.length) this.#grow();
    this.#load(id, 0, id.length);
    this.#store(this.#slots, number + 1);
    this.#count++;
  }

  /** Sets the key: little-endian words on every host. */
  #load(bytes: Uint8Array, at: number, length: number): void {
    this.#key.fill(0);
    for (let i = 0; i < length; i++) this.#key[i >> 2] |= bytes[at + i] << (8 * (i & 3));
  }

  /** Where the key's slot begins in `slots`: its own, or the free one where it belongs. */
  #slotOf(slots: Int32Array): number {
    const [w0, w1, w2, w3, w4] = this.#key;
    const mask = slots.length / SLOT - 1;
    // All words take part: padded ids and those set by hand (--build-id=0x…) often share some.
    const mixed = Math.imul(w0 ^ Math.imul(w1, 0x85eb_ca6b) ^ Math.imul(w2 ^ w3 ^ w4, 0xc2b2_ae35), 0x9e37_79b1);
    for (let slot = (mixed >>> 7) & mask;; slot = (slot + 1) & mask) {
      const at = slot * SLOT;
      if (slots[at] === 0) return at;
      const same = (slots[at + 1] ^ w0) | (slots[at + 2] ^ w1) | (slots[at + 3] ^ w2) | (slots[at + 4] ^ w3) |
        (slots[at + 5] ^ w4);
      if (same === 0) return at;
    }
  }

  #store(slots: Int32Array, value: number): void {
    const at = this.#slotOf(slots);
    slots[at] = value;
    slots.set(this.#key, at + 1);
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(2 * old.length);
    for (let at = 0; at < old.length; at += SLOT) {
      if (old[at] === 0) continue;
      for (let i = 0; i < WORDS; i++) this.#key[i] = old[at + 1 + i];
      this.#store(this.#slots, old[at]);
    }
  }
}
