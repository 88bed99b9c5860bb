// Owns the table from a build id as the kernel reports it (20 bytes, zero-padded) to a binary's index.
import { universalHash, universalMultipliers } from "../base/universal_hash.ts";
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";

const WORDS = BPF_BUILD_ID_SIZE / 4;
/** Words a slot: index + 1 (0: free), the id, padding to a power of two. */
const SLOT = 8;
/** Steps past the first slot allowed for each call. Half full at most, the table takes 1.5 by chance. */
const STEPS = 4;

/**
 * Open addressing over int32 words: no strings, no allocation in a lookup.
 *
 * Binaries and dump may be made so that all ids meet in one slot. Steps past the first slot are therefore counted,
 * and when there were more than chance explains, the table starts to hash with random multipliers.
 */
export class IdLookup {
  #slots = new Int32Array(16 * SLOT);
  #count = 0;
  /** Steps that are left before the hash is taken to be under attack. */
  #steps = 4096;
  #multipliers: Uint32Array | undefined;
  readonly #key = new Int32Array(WORDS);

  /**
   * The number stored for an id, or -1.
   *
   * @param bytes Holds the id from byte `at`; an id of fewer than 20 bytes is taken with zeros after it.
   */
  find(bytes: Uint8Array, at: number, length: number): number {
    this.#load(bytes, at, length);
    const found = this.#slots[this.#slotOf()] - 1;
    this.#defend();
    return found;
  }

  /** Stores `number` for an id of 1 to 20 bytes that is not in the table yet. */
  add(id: Uint8Array, number: number): void {
    if (2 * (this.#count + 1) * SLOT > this.#slots.length) this.#rebuild(2 * this.#slots.length);
    this.#load(id, 0, id.length);
    this.#store(number + 1);
    this.#count++;
    this.#defend();
  }

  /** Sets the key: little-endian words on every host. */
  #load(bytes: Uint8Array, at: number, length: number): void {
    this.#key.fill(0);
    for (let i = 0; i < length; i++) this.#key[i >> 2] |= bytes[at + i] << (8 * (i & 3));
  }

  /** Where the key's slot begins: its own, or the free one where it belongs. */
  #slotOf(): number {
    const slots = this.#slots;
    const mask = slots.length / SLOT - 1;
    const [w0, w1, w2, w3, w4] = this.#key;
    let steps = this.#steps + STEPS;
    // All words take part: padded ids and those set by hand (--build-id=0x…) often share some.
    const hash = this.#multipliers === undefined
      ? Math.imul(w0 ^ Math.imul(w1, 0x85eb_ca6b) ^ Math.imul(w2 ^ w3 ^ w4, 0xc2b2_ae35), 0x9e37_79b1)
      : universalHash(this.#multipliers, this.#key, 0);
    let slot = (hash >>> 7) & mask;
    for (;; slot = (slot + 1) & mask, steps--) {
      const at = slot * SLOT;
      if (slots[at] === 0) break;
      const same = (slots[at + 1] ^ w0) | (slots[at + 2] ^ w1) | (slots[at + 3] ^ w2) | (slots[at + 4] ^ w3) |
        (slots[at + 5] ^ w4);
      if (same === 0) break;
    }
    this.#steps = steps;
    return slot * SLOT;
  }

  #store(value: number): void {
    const at = this.#slotOf();
    this.#slots[at] = value;
    this.#slots.set(this.#key, at + 1);
  }

  /** Takes another hash once the steps are used up. */
  #defend(): void {
    if (this.#steps >= 0 || this.#multipliers !== undefined) return;
    this.#multipliers = universalMultipliers(WORDS);
    this.#rebuild(this.#slots.length);
  }

  #rebuild(length: number): void {
    const old = this.#slots;
    this.#slots = new Int32Array(length);
    for (let at = 0; at < old.length; at += SLOT) {
      if (old[at] === 0) continue;
      for (let i = 0; i < WORDS; i++) this.#key[i] = old[at + 1 + i];
      this.#store(old[at]);
    }
  }
}
