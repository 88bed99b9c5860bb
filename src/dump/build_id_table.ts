// Owns the numbering of distinct build IDs: a hash index over rows of five words; an ID in, a number out.
import { universalHash, universalMultipliers } from "../base/universal_hash.ts";
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";

// Words of one build ID.
const ID_WORDS: number = BPF_BUILD_ID_SIZE / 4;

// 2^32 divided by the golden ratio: the high bits of a product with it depend on every bit of the other factor.
const GOLDEN = 0x9e37_79b1;

const FIRST_SLOTS = 4096;
const FIRST_SHIFT = 20;

// An index of up to this many slots is an eighth full at most, so that the caller's inlined first look nearly
// always hits; a larger one half, so that a dump where every frame has its own ID takes at most 56 bytes for each.
const SPARSE_SLOTS = 32768;

/**
 * Numbers build IDs 0, 1, … in order of appearance.
 *
 * The caller inlines the first look, where the time goes: slot `imul(w0, 0x9e3779b1) >>> shift` of `index` names a
 * row of `rows`; if its five words are the ID's, the row's number less one is the answer. Anything else goes to
 * {@linkcode BuildIdTable.find}, after which `index`, `rows` and `shift` may have changed. Index and rows apart
 * keep the memory that a look touches small: measured against one table with the words in the slots, 2,000 IDs in
 * 1,000,000 frames, 3 % faster in V8 and 14 % in JavaScriptCore.
 *
 * A dump may be made so that all its IDs meet in one slot. Steps past the first slot are therefore counted, and
 * when there were more than chance explains, the table starts to hash all of the ID with random multipliers, which
 * nobody can have prepared for. The numbers given out stay the same.
 */
export class BuildIdTable {
  /** For each slot a row of `rows`; 0: free. */
  index: Int32Array = new Int32Array(FIRST_SLOTS);
  /** Five words a row. Row 0 is no ID, so that a free slot can be looked at like any other. */
  rows: Int32Array = new Int32Array(FIRST_SLOTS);
  /** How far right a 32-bit hash goes to give a slot number. */
  shift: number = FIRST_SHIFT;
  /** How many IDs have a number. */
  count = 0;
  #steps = 0;
  #multipliers: Uint32Array | undefined;

  /** Empties the table. @param lookups How many look-ups are to come at most; steps are allowed in proportion. */
  reset(lookups: number): void {
    this.#steps = 4096 + 4 * lookups;
    this.#multipliers = undefined;
    if (this.count === 0) return;
    this.count = 0;
    if (this.index.length <= SPARSE_SLOTS) {
      this.index.fill(0);
    } else {
      this.index = new Int32Array(FIRST_SLOTS);
      this.rows = new Int32Array(FIRST_SLOTS);
      this.shift = FIRST_SHIFT;
    }
  }

  /** The number of the ID in `words[at]` to `words[at + 4]`, given out now if the ID is new. */
  find(words: Int32Array, at: number): number {
    const { index, rows, shift } = this;
    const w0 = words[at], w1 = words[at + 1], w2 = words[at + 2], w3 = words[at + 3], w4 = words[at + 4];
    const mask = index.length - 1;
    const m = this.#multipliers;
    let slot = (m === undefined ? Math.imul(w0, GOLDEN) : universalHash(m, words, at)) >>> shift;
    let steps = this.#steps;
    for (let row = index[slot]; row !== 0; row = index[slot]) {
      const r = row * ID_WORDS;
      if (
        ((rows[r] ^ w0) | (rows[r + 1] ^ w1) | (rows[r + 2] ^ w2) | (rows[r + 3] ^ w3) | (rows[r + 4] ^ w4)) === 0
      ) {
        this.#steps = steps;
        return row - 1;
      }
      slot = (slot + 1) & mask;
      steps--;
    }
    this.#steps = steps;
    return this.#add(words, at, slot);
  }

  /** Every ID in order of its number, 20 bytes each: a copy. */
  bytes(): Uint8Array {
    return new Uint8Array(this.rows.slice(ID_WORDS, (this.count + 1) * ID_WORDS).buffer);
  }

  #add(words: Int32Array, at: number, slot: number): number {
    const row = ++this.count;
    if ((row + 1) * ID_WORDS > this.rows.length) {
      const rows = new Int32Array(2 * this.rows.length);
      rows.set(this.rows);
      this.rows = rows;
    }
    for (let i = 0; i < ID_WORDS; i++) this.rows[row * ID_WORDS + i] = words[at + i];
    const slots = this.index.length;
    const crowded = row > (slots <= SPARSE_SLOTS ? slots / 8 : slots / 2);
    if (this.#steps < 0 && this.#multipliers === undefined) {
      this.#multipliers = universalMultipliers(ID_WORDS);
      this.#rebuild(slots);
    } else if (crowded) {
      this.#rebuild(2 * slots);
    } else {
      this.index[slot] = row;
    }
    return row - 1;
  }

  // Makes the index anew, with `slots` slots.
  #rebuild(slots: number): void {
    const { rows, count } = this;
    const index = new Int32Array(slots);
    const m = this.#multipliers;
    this.index = index;
    this.shift = 32 - Math.log2(slots);
    for (let row = 1; row <= count; row++) {
      const at = row * ID_WORDS;
      let slot = (m === undefined ? Math.imul(rows[at], GOLDEN) : universalHash(m, rows, at)) >>> this.shift;
      while (index[slot] !== 0) {
        slot = (slot + 1) & (slots - 1);
        this.#steps--;
      }
      index[slot] = row;
    }
  }
}
