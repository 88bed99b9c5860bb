// Owns reading a mangled C++ name from left to right: characters, numbers, substitutions, limits.
import type { Node } from "./itanium_node.ts";

/** Levels of types, names and expressions within each other; more than compilers write, less than a stack holds. */
const MAX_DEPTH = 384;

/** Thrown where a name is not one, or over a limit; made once, since a stack trace would cost more than a parse. */
export class NotMangled extends Error {}

const NOT_MANGLED = new NotMangled("not a mangled name");

/** Ends the parse. */
export function fail(): never {
  throw NOT_MANGLED;
}

/** Whether `c` is a decimal digit. */
export function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

/** A position in a mangled name, and what was read before it. */
export class Cursor {
  readonly input: string;
  at: number;
  depth: number = 0;
  /** What `S_`, `S0_`, … stand for. */
  readonly substitutions: Node[] = [];

  constructor(input: string, at: number) {
    this.input = input;
    this.at = at;
  }

  /** The character code at `distance` from here; 0 behind the end. */
  look(distance: number = 0): number {
    const at = this.at + distance;
    return at < this.input.length ? this.input.charCodeAt(at) : 0;
  }

  /** Whether `code` was next; it is read then. */
  take(code: number): boolean {
    if (this.at >= this.input.length || this.input.charCodeAt(this.at) !== code) return false;
    this.at++;
    return true;
  }

  /** Whether `text` was next; it is read then. */
  takeText(text: string): boolean {
    if (!this.input.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  expect(code: number): void {
    if (!this.take(code)) fail();
  }

  /** One level deeper; whoever calls it goes up again by `depth--`. */
  enter(): void {
    if (++this.depth > MAX_DEPTH) fail();
  }

  /** Decimal digits as they stand; "" if there are none. */
  digits(): string {
    const from = this.at;
    while (isDigit(this.look())) this.at++;
    return this.input.slice(from, this.at);
  }

  /** Digits with `n` in front if negative, as they stand; "" if there are none. */
  signedDigits(): string {
    const from = this.at;
    this.take(0x6e);
    if (this.digits() === "") this.at = from;
    return this.input.slice(from, this.at);
  }

  /** A decimal number. */
  number(): number {
    const from = this.at;
    let value = 0;
    for (let c = this.look(); isDigit(c); c = this.look()) {
      value = value * 10 + (c - 0x30);
      if (value > 0x7fff_ffff) fail();
      this.at++;
    }
    if (this.at === from) fail();
    return value;
  }

  /** `_` is 0, `0_` is 1 and so on: how template and function parameters are counted. */
  index(): number {
    if (this.take(0x5f)) return 0;
    const value = this.number() + 1;
    this.expect(0x5f);
    return value;
  }

  /** A number in base 36 and the `_` behind it, counted as `index()` does. */
  sequenceId(): number {
    if (this.take(0x5f)) return 0;
    let value = 0;
    for (;;) {
      const c = this.look();
      if (c === 0x5f) break;
      if (isDigit(c)) value = value * 36 + (c - 0x30);
      else if (c >= 0x41 && c <= 0x5a) value = value * 36 + (c - 0x37);
      else fail();
      if (value > 0x7fff_ffff) fail();
      this.at++;
    }
    this.at++;
    return value + 1;
  }

  /** The text of a length-prefixed identifier. */
  identifier(): string {
    const length = this.number();
    if (length === 0 || length > this.input.length - this.at) fail();
    const text = this.input.slice(this.at, this.at += length);
    return text.startsWith("_GLOBAL__N") ? "(anonymous namespace)" : text;
  }

  /** Skips `_n` or `__n_`, which tell equal local names apart, or digits at the end of the input. */
  discriminator(): void {
    let c = this.look();
    if (c === 0x5f) {
      c = this.look(1);
      if (isDigit(c)) {
        this.at += 2;
      } else if (c === 0x5f) {
        let distance = 2;
        while (isDigit(this.look(distance))) distance++;
        if (distance > 2 && this.look(distance) === 0x5f) this.at += distance + 1;
      }
    } else if (isDigit(c)) {
      let distance = 1;
      while (isDigit(this.look(distance))) distance++;
      if (this.look(distance) === 0) this.at += distance;
    }
  }

  /** Remembers `node` for a later `S…_`; gives it back. */
  remember(node: Node): Node {
    this.substitutions.push(node);
    return node;
  }
}
