// Owns reading the JSON that bpftool prints, byte by byte: no tree of values, no recursion.
import { FormatError } from "../base/format_error.ts";

const QUOTE = 0x22, BACKSLASH = 0x5c, MINUS = 0x2d;

// How deep a skipped value may nest. bpftool nests as deep as the C types it prints.
const MAX_DEPTH = 64;

/** A place in JSON text, and the few things that can be read there; what can't be read throws `FormatError`. */
export class JsonScanner {
  /** Byte offset of what is read next. */
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** A FormatError about what is at `at`. */
  error(problem: string, field: string): FormatError {
    const value = this.at < this.#bytes.length ? String.fromCharCode(this.#bytes[this.at]) : undefined;
    const detail = { offset: this.at, field };
    return new FormatError(value === undefined ? "the text ends before it" : problem, {
      ...detail,
      ...(value === undefined ? {} : { value }),
    });
  }

  /** The next character that is no white space, not consumed; "" at the end. */
  peek(): string {
    const bytes = this.#bytes;
    while (this.at < bytes.length && isSpace(bytes[this.at])) this.at++;
    return this.at < bytes.length ? String.fromCharCode(bytes[this.at]) : "";
  }

  /** Consumes the character `mark` if it is next. */
  take(mark: string): boolean {
    if (this.peek() !== mark) return false;
    this.at++;
    return true;
  }

  /** Consumes the character `mark`. */
  expect(mark: string, field: string): void {
    if (!this.take(mark)) throw this.error(`expected ${mark}`, field);
  }

  /** Consumes `null` if it is next. */
  takeNull(): boolean {
    return this.peek() === "n" && this.#word() === "null";
  }

  /** Whether a number without sign is next. */
  atDigit(): boolean {
    const mark = this.peek();
    return mark >= "0" && mark <= "9";
  }

  /** Reads a string, escapes left as they are; at most the first 200 characters of it are given. */
  string(field: string): string {
    this.expect('"', field);
    const from = this.at;
    this.#skipString(field);
    return new TextDecoder().decode(this.#bytes.subarray(from, Math.min(this.at - 1, from + 200)));
  }

  /** Reads a whole number from 0 to `most`. */
  integer(field: string, most: number): number {
    const bytes = this.#bytes;
    const from = this.at;
    let number = 0;
    while (this.at < bytes.length && bytes[this.at] >= 0x30 && bytes[this.at] <= 0x39) {
      number = number * 10 + bytes[this.at] - 0x30;
      if (number > most) throw new FormatError(`is more than ${most}`, { offset: from, field });
      this.at++;
    }
    if (this.at === from) throw this.error("is not a number", field);
    return number;
  }

  /** Reads bytes: an array of hex strings or numbers, each a byte, or one hex string; gives each to `put`. */
  bytes(field: string, put: (byte: number) => void): void {
    if (this.take('"')) {
      this.#hexString(field, put);
      return;
    }
    if (!this.take("[")) throw this.error("is not an array of bytes or a hex string", field);
    if (this.take("]")) return;
    do {
      if (this.take('"')) put(this.#hexByte(field));
      else if (this.atDigit()) put(this.integer(field, 255));
      else throw this.error("is not a byte", field);
    } while (this.take(","));
    this.expect("]", field);
  }

  /** Reads over any one value. */
  skipValue(field: string): void {
    const open: string[] = [];
    do {
      const mark = this.peek();
      if (mark === "{" || mark === "[") {
        if (open.length === MAX_DEPTH) throw this.error(`nests deeper than ${MAX_DEPTH}`, field);
        open.push(mark === "{" ? "}" : "]");
        this.at++;
      } else if (mark === "}" || mark === "]") {
        if (open.pop() !== mark) throw this.error("closes nothing", field);
        this.at++;
      } else if (mark === '"') {
        this.at++;
        this.#skipString(field);
      } else if ((mark === "," || mark === ":") && open.length > 0) {
        this.at++;
      } else if (this.#word() === "") {
        throw this.error("is not a value", field);
      }
    } while (open.length > 0);
  }

  // The rest of `"0x1f"` after its quote.
  #hexByte(field: string): number {
    this.#skipPrefix();
    const high = this.#hexDigit();
    const low = this.#hexDigit();
    if (high < 0 || this.#bytes[this.at] !== QUOTE) throw this.error("is not a byte in hex", field);
    this.at++;
    return low < 0 ? high : high * 16 + low;
  }

  // The rest of `"1f 20"`, `"0x1f 0x20"` or `"0x1f20"` after its quote.
  #hexString(field: string, put: (byte: number) => void): void {
    const bytes = this.#bytes;
    while (this.peek() !== '"') {
      this.#skipPrefix();
      const from = this.at;
      let digit = this.#hexDigit();
      if (digit < 0) throw this.error("is not hex", field);
      for (; digit >= 0; digit = this.#hexDigit()) {
        const low = this.#hexDigit();
        if (low < 0 && this.at - from > 1) {
          throw this.error("leaves a hex number with an odd number of digits", field);
        }
        put(low < 0 ? digit : digit * 16 + low);
      }
      if (this.at < bytes.length && bytes[this.at] !== QUOTE && !isSpace(bytes[this.at])) {
        throw this.error("is not hex", field);
      }
    }
    this.at++;
  }

  // The value of the hex digit that is next, consumed; -1 if there is none.
  #hexDigit(): number {
    const code = this.at < this.#bytes.length ? this.#bytes[this.at] : 0;
    const lower = code | 0x20;
    const digit = code >= 0x30 && code <= 0x39 ? code - 0x30 : lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
    if (digit >= 0) this.at++;
    return digit;
  }

  #skipPrefix(): void {
    const bytes = this.#bytes;
    if (bytes[this.at] === 0x30 && (bytes[this.at + 1] | 0x20) === 0x78) this.at += 2;
  }

  #skipString(field: string): void {
    const bytes = this.#bytes;
    while (this.at < bytes.length && bytes[this.at] !== QUOTE) this.at += bytes[this.at] === BACKSLASH ? 2 : 1;
    if (this.at >= bytes.length) {
      this.at = bytes.length;
      throw this.error("", field);
    }
    this.at++;
  }

  // Letters, digits and signs: a number, true, false or null. At most 64 of them.
  #word(): string {
    const bytes = this.#bytes;
    const from = this.at;
    while (this.at < bytes.length && this.at - from < 64 && isWord(bytes[this.at])) this.at++;
    return new TextDecoder().decode(bytes.subarray(from, this.at));
  }
}

function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d && code !== 0x0b && code !== 0x0c);
}

function isWord(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || ((code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a) ||
    code === MINUS || code === 0x2b || code === 0x2e;
}
