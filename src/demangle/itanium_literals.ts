// Owns the literals of the Itanium C++ ABI: numbers, enumerators, strings, functions and lambdas as arguments.
import { fail } from "./itanium_cursor.ts";
import { floatLiteral } from "./itanium_float.ts";
import { listNode, type Node, sequence, textNode } from "./itanium_node.ts";
import { TypeParser } from "./itanium_types.ts";

/** How integers of builtin types are written: in front of them the type, or behind them a suffix. */
const LITERAL_TYPES: Readonly<Record<string, readonly [prefix: string, suffix: string]>> = {
  w: ["(wchar_t)", ""],
  c: ["(char)", ""],
  a: ["(signed char)", ""],
  h: ["(unsigned char)", ""],
  s: ["(short)", ""],
  t: ["(unsigned short)", ""],
  i: ["", ""],
  j: ["", "u"],
  l: ["", "l"],
  m: ["", "ul"],
  x: ["", "ll"],
  y: ["", "ull"],
  n: ["(__int128)", ""],
  o: ["(unsigned __int128)", ""],
};

/** Literals. */
export abstract class LiteralParser extends TypeParser {
  override literal(): Node {
    this.expect(0x4c);
    const letter = this.input[this.at];
    const type = LITERAL_TYPES[letter];
    if (type !== undefined) {
      this.at++;
      return textNode(type[0] + this.#literalNumber() + type[1]);
    }
    switch (letter) {
      case "b":
        this.at++;
        if (this.takeText("0E")) return textNode("false");
        if (this.takeText("1E")) return textNode("true");
        fail();
        break;
      case "f":
      case "d":
      case "e": {
        this.at++;
        const from = this.at;
        while (this.at < this.input.length && this.look() !== 0x45) this.at++;
        const digits = this.input.slice(from, this.at);
        this.expect(0x45);
        return textNode(floatLiteral(letter, digits));
      }
      case "_":
      case "Z": {
        this.take(0x5f);
        this.expect(0x5a);
        const result = this.encoding();
        this.expect(0x45);
        return result;
      }
      case "A": {
        const string = this.type();
        this.expect(0x45);
        return sequence('"<', string, '>"');
      }
      case "D":
        if (!this.takeText("Dn")) break;
        this.take(0x30);
        this.expect(0x45);
        return textNode("nullptr");
      case "U": {
        if (this.look(1) !== 0x6c) fail();
        const closure = this.unqualifiedName();
        this.expect(0x45);
        return sequence("[]", listNode(closure.kind, closure.list, undefined, closure.b, "["), "{...}");
      }
      case "T":
        fail();
    }
    const enumeration = this.type();
    return sequence("(", enumeration, `)${this.#literalNumber()}`);
  }

  /** Digits up to `E`, with their sign. */
  #literalNumber(): string {
    const digits = this.signedDigits();
    if (digits === "") fail();
    this.expect(0x45);
    return digits.startsWith("n") ? `-${digits.slice(1)}` : digits;
  }
}
