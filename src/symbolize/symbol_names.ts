// Owns the names of a symbol table: decoded when asked for, and cut where the string table is made to be blown up.
import { CUT_MARK, decodeText, stringAt, stringEnd } from "../elf/string_table.ts";
import { HAS_FILE } from "./symbol_order.ts";

/** Most bytes of one name. The longest that C++ compilers emit have some tens of thousands. */
const MAX_SYMBOL_NAME = 0x10000;
/** Names of up to this many bytes are never cut: each has an entry of 16 or 24 bytes in the file. */
const SHORT_NAME = 256;
/** How many times the string table's size the names may add up to. In 2,249 real files they came to 1.6 at most. */
const NAMES_TO_STRINGS = 4;
/** Bytes that they may add up to in any case, so that a small file may give one long name to several symbols. */
const NAMES_AT_LEAST = 1 << 20;
/** String tables up to this many bytes become one string; engines have a limit at 2^29 or above. */
const MOST_TEXT = 1 << 28;

/**
 * The names of a table's symbols. In a string table without zeros a name begins at every byte, and all of them
 * together are the square of the file. So the lengths are added up once, at the first name that is not short; where
 * they are more than any linker makes of such a string table, every name gets an equal share.
 */
export class SymbolNames {
  /** The string table; empty once `#text` is made of it. */
  #strings: Uint8Array;
  /**
   * The string table as one string, where it is ASCII: a name is then a slice of it, which engines make without
   * copying; decoding bytes takes some 5 times as long. A name that is kept keeps the table.
   */
  #text: string | undefined = undefined;
  #isBytes = false;
  readonly #offsets: Uint32Array;
  #limit: number | undefined = undefined;
  /** Bytes of the string table: names of stubs have offsets from there on. */
  readonly length: number;
  /** Names of stubs, which are few: `findPltStubs()` has cut them, and they stay bytes. */
  readonly #stubs: Uint8Array | undefined;

  /**
   * @param offsets Where in `strings` the name of each symbol begins, with {@linkcode HAS_FILE}; that of a stub is in
   *   `stubs`, which follow on `strings`.
   */
  constructor(strings: Uint8Array, offsets: Uint32Array, stubs?: Uint8Array, length: number = strings.length) {
    this.#strings = strings;
    this.#offsets = offsets;
    this.#stubs = stubs;
    this.length = length;
  }

  /** The same names and those of stubs, for a table that has both. */
  withStubs(stubs: Uint8Array, offsets: Uint32Array): SymbolNames {
    const names = new SymbolNames(this.#strings, offsets, stubs, this.length);
    names.#text = this.#text;
    names.#isBytes = this.#isBytes;
    return names;
  }

  /** Name of symbol `index`; made anew at each call. */
  get(index: number): string {
    return this.at(this.offset(index));
  }

  /** The name at an offset of the strings. */
  at(at: number): string {
    if (at >= this.length && this.#stubs !== undefined) return this.#stubName(at - this.length);
    if (this.#text === undefined && !this.#isBytes) this.#makeText();
    const text = this.#text;
    if (text !== undefined) {
      const zero = text.indexOf("\0", at);
      const end = zero < 0 ? text.length : zero;
      if (end - at <= SHORT_NAME) return text.slice(at, end);
      const limit = this.#limit ??= this.#findLimit();
      return end - at <= limit ? text.slice(at, end) : text.slice(at, at + limit) + CUT_MARK;
    }
    const strings = this.#strings;
    const end = stringEnd(strings, at, SHORT_NAME);
    return end >= 0 ? decodeText(strings, at, end) : stringAt(strings, at, this.#limit ??= this.#findLimit());
  }

  #stubName(at: number): string {
    const stubs = this.#stubs!;
    return decodeText(stubs, at, stubs.indexOf(0, at));
  }

  #makeText(): void {
    const strings = this.#strings;
    if (strings.length <= MOST_TEXT) {
      const text = decodeText(strings, 0, strings.length);
      // A character of several bytes makes the text shorter; a byte that is none of UTF-8 becomes U+FFFD.
      if (text.length === strings.length && !text.includes("\ufffd")) {
        this.#text = text;
        this.#strings = strings.subarray(0, 0).slice();
        return;
      }
    }
    this.#isBytes = true;
  }

  /** Whether symbol `index` is a stub. */
  isStub(index: number): boolean {
    return this.#stubs !== undefined && this.offset(index) >= this.length;
  }

  /** The offsets of all symbols, with {@linkcode HAS_FILE}. */
  get offsets(): Uint32Array {
    return this.#offsets;
  }

  /** Where in the strings the name of symbol `index` begins. */
  offset(index: number): number {
    return this.#offsets[index] & (HAS_FILE - 1);
  }

  /** Whether the source file of symbol `index` is known. */
  hasFile(index: number): boolean {
    return this.#offsets[index] >= HAS_FILE;
  }

  #findLimit(): number {
    const strings = this.#strings;
    const text = this.#text;
    const offsets = this.#offsets;
    const size = text?.length ?? strings.length;
    const budget = Math.max(NAMES_AT_LEAST, NAMES_TO_STRINGS * size);
    let left = budget;
    for (let i = 0; i < offsets.length; i++) {
      const stop = Math.min(this.offset(i) + MAX_SYMBOL_NAME, size);
      let at = this.offset(i);
      if (text === undefined) { while (at < stop && strings[at] !== 0) at++; }
      else while (at < stop && text.charCodeAt(at) !== 0) at++;
      left -= at - this.offset(i);
      if (left < 0) return Math.max(SHORT_NAME, Math.floor(budget / offsets.length));
    }
    return MAX_SYMBOL_NAME;
  }

  /** Bytes of memory kept. */
  get retainedBytes(): number {
    const stubs = this.#stubs?.byteLength ?? 0;
    return this.#strings.byteLength + (this.#text?.length ?? 0) + this.#offsets.byteLength + stubs;
  }
}
