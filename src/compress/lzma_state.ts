// Owns LZMA's state between symbols: probabilities, distances, properties, range decoder.

// Where each set of probabilities begins in the one array. A state is from 0 to 11, a position state from 0 to 15.
export const IS_MATCH: number = 0; // [state][position state]
export const IS_REP0_LONG: number = IS_MATCH + 12 * 16; // [state][position state]
export const IS_REP: number = IS_REP0_LONG + 12 * 16; // [state]
export const IS_REP0: number = IS_REP + 12; // [state]
export const IS_REP1: number = IS_REP0 + 12; // [state]
export const IS_REP2: number = IS_REP1 + 12; // [state]
export const SLOT: number = IS_REP2 + 12; // four trees of 6 bits, one for each length class
export const SPECIAL: number = SLOT + 4 * 64; // the reversed trees of slots 4 to 13, one behind the other
export const ALIGN: number = SPECIAL + 128; // a reversed tree of 4 bits
export const MATCH_LENGTH: number = ALIGN + 16;
export const REP_LENGTH: number = MATCH_LENGTH + 514;
export const LITERAL: number = REP_LENGTH + 514; // trees of 0x300

// Within the probabilities of a length.
export const LENGTH_CHOICE2: number = 1;
export const LENGTH_LOW: number = 2; // [position state], trees of 3 bits
export const LENGTH_MIDDLE: number = LENGTH_LOW + 16 * 8; // [position state], trees of 3 bits
export const LENGTH_HIGH: number = LENGTH_MIDDLE + 16 * 8; // a tree of 8 bits

/** LZMA2 allows `lc + lp` up to 4. */
const MOST_LITERAL_BITS = 4;
/** A probability of one half; probabilities have 11 bits. */
const HALF = 1024;
/** What one LZMA symbol hands on to the next, within a chunk and from chunk to chunk. */
export class LzmaState {
  readonly probabilities: Uint16Array<ArrayBuffer> = new Uint16Array(LITERAL + (0x300 << MOST_LITERAL_BITS));
  /** Which kinds of symbols came last: below 7 the last one was a literal. */
  state = 0;
  /** The last four match distances less one, newest first. */
  rep0 = 0;
  rep1 = 0;
  rep2 = 0;
  rep3 = 0;
  /** How many high bits of the byte before choose a literal's tree. */
  lc = 0;
  /** How many low bits of the position choose a literal's tree. */
  lp = 0;
  /** How many low bits of the position are the position state. */
  pb = 0;

  /** The range decoder, within one chunk: both are unsigned numbers of 32 bits in signed ones. */
  range = -1;
  code = 0;
  /** Where in the chunk the range decoder reads on. */
  pos = 0;
  /** Where in the output the next symbol goes. */
  out = 0;

  /** Takes the properties of the byte `(pb * 5 + lp) * 9 + lc`; `false` if LZMA2 does not allow them. */
  setProperties(byte: number): boolean {
    this.lc = byte % 9;
    this.lp = Math.floor(byte / 9) % 5;
    this.pb = Math.floor(byte / 45);
    return this.pb <= 4 && this.lc + this.lp <= MOST_LITERAL_BITS;
  }

  /** Forgets symbols, distances and probabilities; keeps the properties. */
  reset(): void {
    this.state = 0;
    this.rep0 =
      this.rep1 =
      this.rep2 =
      this.rep3 =
        0;
    this.probabilities.fill(HALF, 0, LITERAL + (0x300 << (this.lc + this.lp)));
  }
}
