// Owns the names of a symbol table: decoded when asked for, and cut where the string table is made to be blown up.
import { decodeText, stringAt, stringEnd } from "../elf/string_table.ts";

/** Most bytes of one name. The longest that C++ compilers emit have some tens of thousands. */
const MAX_SYMBOL_NAME = 0x10000;
/** Names of up to this many bytes are never cut: each has an entry of 16 or 24 bytes in the file. */
const SHORT_NAME = 256;
/** How many times the string table's size the names may add up to. In 2,249 real files they came to 1.6 at most. */
const NAMES_TO_STRINGS = 4;
/** Bytes that they may add up to in any case, so that a small file may give one long name to several symbols. */
const NAMES_AT_LEAST = 1 << 20;

/**
 * The names of a table's symbols. In a string table without zeros a name begins at every byte, and all of them
 * together are the square of the file. So the lengths are added up once, at the first name that is not short; where
 * they are more than any linker makes of such a string table, every name gets an equal share.
 */
export class SymbolNames {
  readonly #strings: Uint8Array;
  readonly #offsets: Uint32Array;
  #limit: number | undefined;

  /** @param offsets Where in `strings` the name of each symbol begins. */
  constructor(strings: Uint8Array, offsets: Uint32Array) {
    this.#strings = strings;
    this.#offsets = offsets;
  }

  /** Name of symbol `index`; decoded anew at each call. */
  get(index: number): string {
    const strings = this.#strings;
    const at = this.#offsets[index];
    const end = stringEnd(strings, at, SHORT_NAME);
    return end >= 0 ? decodeText(strings, at, end) : stringAt(strings, at, this.#limit ??= this.#findLimit());
  }

  /** Where in the strings the name of symbol `index` begins. */
  offset(index: number): number {
    return this.#offsets[index];
  }

  #findLimit(): number {
    const strings = this.#strings;
    const offsets = this.#offsets;
    const budget = Math.max(NAMES_AT_LEAST, NAMES_TO_STRINGS * strings.length);
    let left = budget;
    for (let i = 0; i < offsets.length; i++) {
      const stop = Math.min(offsets[i] + MAX_SYMBOL_NAME, strings.length);
      let at = offsets[i];
      while (at < stop && strings[at] !== 0) at++;
      left -= at - offsets[i];
      if (left < 0) return Math.max(SHORT_NAME, Math.floor(budget / offsets.length));
    }
    return MAX_SYMBOL_NAME;
  }

  /** Bytes of memory kept. */
  get retainedBytes(): number {
    return this.#strings.byteLength + this.#offsets.byteLength;
  }
}
