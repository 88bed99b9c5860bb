// Owns TextTable: the strings of a .debug_str or .debug_line_str section.
import { CUT_MARK, decodeText, stringAt } from "../elf/string_table.ts";
import { MAX_DWARF_STRING } from "./reader.ts";

/** Once a string was asked for so often as there are pieces of this size, the section is decoded as a whole. */
const PIECE = 1024;
/** Sections up to this many bytes are. */
const MOST_TEXT = 1 << 26;

/** Zero-terminated strings by offset. Where all are ASCII one string holds them, and each is a slice of it. */
export class TextTable {
  readonly bytes: Uint8Array;
  #asked = 0;
  #text: string | undefined = undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** The string at an offset, cut after 64 KiB; `undefined` past the end. */
  at(offset: number): string | undefined {
    const { bytes } = this;
    if (!(offset < bytes.length)) return undefined;
    if (this.#text === undefined && ++this.#asked * PIECE >= bytes.length) this.#decode();
    const text = this.#text;
    if (text === undefined) return stringAt(bytes, offset, MAX_DWARF_STRING);
    const zero = text.indexOf("\0", offset);
    const end = zero < 0 ? text.length : zero;
    if (end - offset <= MAX_DWARF_STRING) return text.slice(offset, end);
    return text.slice(offset, offset + MAX_DWARF_STRING) + CUT_MARK;
  }

  #decode(): void {
    const { bytes } = this;
    this.#asked = -Infinity; // not again, whatever comes of it
    if (bytes.length > MOST_TEXT) return;
    const text = decodeText(bytes, 0, bytes.length);
    // A character of several bytes makes the text shorter; a byte that is none of UTF-8 becomes U+FFFD.
    if (text.length === bytes.length && !text.includes("\ufffd")) this.#text = text;
  }
}
