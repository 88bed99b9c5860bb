// Owns the constants in Rust's v0 names: integers, characters, text, and values with parts.
import { MALFORMED, V0Reader } from "./rust_v0_reader.ts";

const INTEGERS = "ahijlmnostxy";

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A character inside a quoted constant. `ascii`: all others by number, as LLVM prints characters. */
function quoted(character: string, quote: string, ascii: boolean): string {
  switch (character) {
    case "\t":
      return "\\t";
    case "\r":
      return "\\r";
    case "\n":
      return "\\n";
    case "\\":
      return "\\\\";
    case quote:
      return `\\${quote}`;
    case "\0":
      if (!ascii) return "\\0";
  }
  const plain = ascii
    ? character >= " " && character <= "~"
    : character === " " || !/[\p{C}\p{Z}\p{M}]/u.test(character);
  return plain ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/** Hex digits, at most 16, in decimal. */
function decimal(digits: string): string {
  return digits.length < 14 ? String(parseInt(digits, 16)) : String(BigInt(`0x${digits}`));
}

/** Reads and prints constants; paths inside of them are the subclass's. */
export abstract class V0Consts extends V0Reader {
  /** Reads and prints one path; see the subclass. */
  protected abstract path(inType: boolean, leaveOpen: boolean): boolean;

  /** One constant. `inside` another one or a type, where structures need no braces. */
  protected const(inside: boolean): void {
    this.enter();
    const tag = this.next();
    if (tag === "B") {
      this.backReference(() => (this.const(inside), false));
    } else if (tag === "p") {
      this.print("_");
    } else if (tag === "b") {
      const digits = this.hex();
      if (digits !== "0" && digits !== "1") throw MALFORMED;
      this.print(digits === "1" ? "true" : "false");
    } else if (tag === "c") {
      this.character();
    } else if (tag !== "" && INTEGERS.includes(tag)) {
      const sign = this.take("n") ? "-" : "";
      const digits = this.hex();
      // LLVM's choice: decimal up to 64 bits.
      this.print(sign + (digits.length > 16 ? `0x${digits}` : decimal(digits)));
    } else if (tag === "R" && this.take("e")) {
      this.string();
    } else {
      this.structure(tag, inside);
    }
    this.leave();
  }

  protected character(): void {
    const digits = this.hex();
    if (digits.length > 6) throw MALFORMED;
    const point = parseInt(digits, 16);
    // LLVM shows numbers that are no characters the same way.
    this.print(point > 0x7e ? `'\\u{${digits}}'` : `'${quoted(String.fromCharCode(point), "'", true)}'`);
  }

  /** The bytes of a `str`, UTF-8 in hex. */
  protected string(): void {
    const first = this.at;
    const end = this.text.indexOf("_", first);
    const digits = this.text.slice(first, end);
    if (end < 0 || end > this.end || digits.length % 2 !== 0 || /[^0-9a-f]/.test(digits)) throw MALFORMED;
    this.at = end + 1;
    const bytes = new Uint8Array(digits.length / 2);
    for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(digits.slice(2 * i, 2 * i + 2), 16);
    let text: string;
    try {
      text = UTF8.decode(bytes);
    } catch {
      throw MALFORMED;
    }
    let out = "";
    for (const character of text) out += quoted(character, '"', false);
    this.print(`"${out}"`);
  }

  /** Constants with parts: references, arrays, tuples, variants. */
  protected structure(tag: string, inside: boolean): void {
    if (!inside) this.print("{");
    switch (tag) {
      case "e":
        this.print("*");
        this.string();
        break;
      case "R":
      case "Q":
        this.print(tag === "Q" ? "&mut " : "&");
        this.const(true);
        break;
      case "A":
        this.print("[");
        this.list(() => this.const(true));
        this.print("]");
        break;
      case "T": {
        this.print("(");
        const count = this.list(() => this.const(true));
        this.print(count === 1 ? ",)" : ")");
        break;
      }
      case "V":
        this.path(false, false);
        this.fields();
        break;
      default:
        throw MALFORMED;
    }
    if (!inside) this.print("}");
  }

  /** What a variant or struct holds: nothing, values, or named values. */
  protected fields(): void {
    const tag = this.next();
    if (tag === "T") {
      this.print("(");
      this.list(() => this.const(true));
      this.print(")");
    } else if (tag === "S") {
      this.print(" { ");
      this.list(() => {
        this.optionalBase62("s");
        this.print(`${this.identifier()}: `);
        this.const(true);
      });
      this.print(" }");
    } else if (tag !== "U") {
      throw MALFORMED;
    }
  }
}
