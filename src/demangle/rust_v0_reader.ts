// Owns the small pieces of Rust's v0 names: numbers, identifiers, back references; and the limits of reading.
import { decodePunycode } from "./rust_punycode.ts";

/** Characters that a name has at most, mangled or not. */
export const MOST_OUTPUT: number = 1 << 17;
/** Paths, types and constants read at most: back references let a short name ask for exponentially many. */
const MOST_STEPS = 1 << 17;
/** Nesting of paths, types and constants at most; what LLVM allows. */
const MOST_DEPTH = 500;
/** Base-62 digits of a 64-bit number. */
const MOST_DIGITS = 11;

/** Thrown for every malformed name: one object, since a stack trace would cost more than the parse. */
export const MALFORMED: Error = new Error("not a Rust v0 name");

/** Value of a base-62 digit; -1 for everything else. */
function base62Digit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x61 && code <= 0x7a) return code - 0x61 + 10;
  if (code >= 0x41 && code <= 0x5a) return code - 0x41 + 36;
  return -1;
}

/** A place in a name, and what has been printed. Every method throws `MALFORMED` at what the grammar doesn't have. */
export class V0Reader {
  protected readonly text: string;
  /** Where back references count from. */
  protected readonly start: number;
  protected readonly end: number;
  protected at: number;
  protected out = "";
  /** What is read is not printed: the place of an impl, the instantiating crate. */
  protected quiet = false;
  #depth = 0;
  #steps = 0;

  constructor(text: string, start: number, end: number) {
    this.text = text;
    this.start = start;
    this.end = end;
    this.at = start;
  }

  protected print(text: string): void {
    if (this.quiet) return;
    this.out += text;
    if (this.out.length > MOST_OUTPUT) throw MALFORMED;
  }

  /** The next character, and past it; empty at the end. */
  protected next(): string {
    return this.at < this.end ? this.text[this.at++] : "";
  }

  protected take(character: string): boolean {
    if (this.at >= this.end || this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  /** Before each path, type, constant; `leave` after it. */
  protected enter(): void {
    if (++this.#depth > MOST_DEPTH || ++this.#steps > MOST_STEPS) throw MALFORMED;
  }

  protected leave(): void {
    this.#depth--;
  }

  /** `{digit} "_"`: 0 is the lone `_`. Past 2^53 the nearest double: only `exactDisambiguator` needs all digits. */
  protected base62(): number {
    if (this.take("_")) return 0;
    const first = this.at;
    let value = 0;
    for (;;) {
      const digit = this.at < this.end ? base62Digit(this.text.charCodeAt(this.at++)) : -1;
      if (digit < 0) break;
      value = value * 62 + digit;
    }
    // Leading zeros without end would be read again at every back reference to them.
    if (this.text[this.at - 1] !== "_" || this.at - first > 1 + MOST_DIGITS || value >= 2 ** 64) throw MALFORMED;
    return value + 1;
  }

  /** 0 without the tag, otherwise one more than the number after it. */
  protected optionalBase62(tag: string): number {
    return this.take(tag) ? this.base62() + 1 : 0;
  }

  /** A disambiguator in full, in decimal. */
  protected exactDisambiguator(): string {
    const from = this.at + 1;
    const near = this.optionalBase62("s");
    if (near <= Number.MAX_SAFE_INTEGER) return String(near);
    let value = 0n;
    for (let at = from; at < this.at - 1; at++) {
      value = value * 62n + BigInt(base62Digit(this.text.charCodeAt(at)));
    }
    return String(value + 2n);
  }

  /** `["u"] decimal ["_"] bytes`. Empty while nothing is printed. */
  protected identifier(): string {
    const punycode = this.take("u");
    const first = this.at;
    let length = 0;
    for (; this.at < this.end; this.at++) {
      const digit = this.text.charCodeAt(this.at) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      length = length * 10 + digit;
      // A length has no leading zeros: the 0 is the empty name, digits behind it are something else.
      if (length === 0) {
        this.at++;
        break;
      }
      if (length > MOST_OUTPUT) throw MALFORMED;
    }
    if (this.at === first) throw MALFORMED;
    this.take("_");
    if (length > this.end - this.at) throw MALFORMED;
    this.at += length;
    if (this.quiet) return "";
    const name = this.text.slice(this.at - length, this.at);
    if (!punycode) return name;
    const decoded = decodePunycode(name);
    if (decoded === undefined) throw MALFORMED;
    return decoded;
  }

  /** Hex digits up to the `_`, without leading zeros. */
  protected hex(): string {
    const first = this.at;
    let code = 0;
    for (;;) {
      code = this.at < this.end ? this.text.charCodeAt(this.at++) : -1;
      if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) break;
    }
    const digits = this.text.slice(first, this.at - 1);
    if (code !== 0x5f || digits === "" || (digits[0] === "0" && digits !== "0")) throw MALFORMED;
    return digits;
  }

  /** Reads with `read` up to the `E`, commas between. Returns how many there were. */
  protected list(read: () => void, separator = ", "): number {
    let count = 0;
    for (; !this.take("E"); count++) {
      if (count > 0) this.print(separator);
      read();
    }
    return count;
  }

  /** Just after `B`: reads again with `read` from an earlier place. Returns what `read` does. */
  protected backReference(read: () => boolean): boolean {
    const from = this.at - 1 - this.start;
    const target = this.base62();
    if (target >= from) throw MALFORMED;
    // Nothing is printed: what is there has been read before.
    if (this.quiet) return false;
    const back = this.at;
    this.at = this.start + target;
    const result = read();
    this.at = back;
    return result;
  }
}
