// Owns writing the tree of a mangled C++ name as source code, within limits: a short name may mean a huge text.
import {
  ABBREVIATION,
  ARRAY,
  baseName,
  CLOSURE,
  DECLARATION,
  ENCODING,
  EXPANDED,
  EXPANSION,
  FORWARD,
  FUNCTION,
  LIST,
  MEMBER_POINTER,
  NESTED,
  type Node,
  OBJECT,
  PACK,
  POINTER,
  QUALIFIED,
  REFERENCE,
  SEQUENCE,
  STRUCTOR,
  TAGGED,
  TEMPLATED,
  TEXT,
} from "./itanium_node.ts";
import { fail } from "./itanium_cursor.ts";

/** Most UTF-16 code units of a result. */
const MAX_OUTPUT = 0x20000;
/** Most nodes visited for one result: packs may be empty, so that output alone bounds nothing. */
const MAX_VISITS = 0x40000;
/** Most nodes within each other; substitutions nest deeper than the parser does. */
const MAX_DEPTH = 768;
/** No pack is being expanded. */
const NO_PACK = -1;

/** What {@linkcode Printer} asks about a type before it writes around it. */
const IS_ARRAY = 1;
const IS_FUNCTION = 2;

/**
 * Writes nodes. C declarations surround a name: what stands left of it and what stands right of it are written
 * apart, by `left` and `right`; most nodes have no right part.
 */
export class Printer {
  #out = "";
  /** The piece written last that was not empty; its last character decides about spaces. */
  #tail = "";
  #visits = 0;
  #depth = 0;
  #packIndex = NO_PACK;
  #packSize = NO_PACK;

  /** The text of `node`. */
  static print(node: Node): string {
    const printer = new Printer();
    printer.#print(node);
    return printer.#out;
  }

  #put(text: string): void {
    if (text === "") return;
    this.#out += text;
    this.#tail = text;
    if (this.#out.length > MAX_OUTPUT) fail();
  }

  #print(node: Node): void {
    this.#left(node);
    // Names and expressions have nothing on the right.
    if (node.kind >= ENCODING) this.#right(node);
  }

  #visit(): void {
    if (++this.#visits > MAX_VISITS) fail();
  }

  #left(node: Node): void {
    this.#visit();
    if (node.kind === TEXT) {
      this.#put(node.text);
      return;
    }
    if (++this.#depth > MAX_DEPTH) fail();
    switch (node.kind) {
      case OBJECT:
        this.#print(node.a!);
        this.#print(node.b!);
        break;
      case NESTED:
        this.#print(node.a!);
        this.#put("::");
        this.#print(node.b!);
        break;
      case TEMPLATED:
        this.#print(node.a!);
        this.#arguments(node.list);
        break;
      case TAGGED:
        this.#left(node.a!);
        this.#put(`[abi:${node.text}]`);
        break;
      case STRUCTOR:
        this.#put(node.text);
        this.#put(baseName(node.a!));
        break;
      case ABBREVIATION:
        this.#put(`std::${node.text}`);
        break;
      case EXPANDED:
        this.#put(`std::${baseName(node)}`);
        if (node.text === "string") this.#put("<char, std::char_traits<char>, std::allocator<char> >");
        else if (node.text.endsWith("stream")) this.#put("<char, std::char_traits<char> >");
        break;
      case CLOSURE:
        // In an expression only its parameters are written.
        if (node.text !== "[") this.#put(`'lambda${node.text}'`);
        this.#closure(node);
        break;
      case ENCODING:
        if (node.b !== undefined) {
          this.#left(node.b);
          if (!this.#hasRight(node.b)) this.#put(" ");
        }
        this.#print(node.a!);
        break;
      case SEQUENCE:
        for (const part of node.list) this.#print(part);
        break;
      case LIST:
        this.#commas(node.list);
        break;
      case QUALIFIED:
        this.#left(node.a!);
        this.#put(node.text);
        break;
      case POINTER: {
        this.#left(node.a!);
        this.#open(this.#shape(node.a!));
        this.#put("*");
        break;
      }
      case REFERENCE: {
        const { target, sign } = this.#collapse(node);
        this.#left(target);
        this.#open(this.#shape(target));
        this.#put(sign);
        break;
      }
      case MEMBER_POINTER:
        this.#left(node.b!);
        this.#put(this.#shape(node.b!) === 0 ? " " : "(");
        this.#print(node.a!);
        this.#put("::*");
        break;
      case ARRAY:
        this.#left(node.a!);
        break;
      case FUNCTION:
        this.#left(node.a!);
        this.#put(" ");
        break;
      case PACK: {
        const element = this.#element(node);
        if (element !== undefined) this.#left(element);
        break;
      }
      case EXPANSION:
        this.#expand(node.a!);
        break;
      case FORWARD:
        this.#left(node.a ?? fail());
        break;
      case DECLARATION:
        this.#left(node.a!);
        this.#put(node.text);
        if (node.b !== undefined) this.#print(node.b);
        break;
    }
    this.#depth--;
  }

  #right(node: Node): void {
    this.#visit();
    if (++this.#depth > MAX_DEPTH) fail();
    switch (node.kind) {
      case ENCODING:
        this.#parameters(node.list);
        if (node.b !== undefined) this.#right(node.b);
        this.#put(node.text);
        if (node.c !== undefined) this.#print(node.c);
        break;
      case QUALIFIED:
        this.#right(node.a!);
        break;
      case POINTER:
        if (this.#shape(node.a!) !== 0) this.#put(")");
        this.#right(node.a!);
        break;
      case REFERENCE: {
        const { target } = this.#collapse(node);
        if (this.#shape(target) !== 0) this.#put(")");
        this.#right(target);
        break;
      }
      case MEMBER_POINTER:
        if (this.#shape(node.b!) !== 0) this.#put(")");
        this.#right(node.b!);
        break;
      case ARRAY:
        if (this.#back() !== 0x5d) this.#put(" ");
        this.#put("[");
        if (node.b !== undefined) this.#print(node.b);
        this.#put("]");
        this.#right(node.a!);
        break;
      case FUNCTION:
        this.#parameters(node.list);
        this.#right(node.a!);
        this.#put(node.text);
        if (node.b !== undefined) this.#print(node.b);
        break;
      case PACK: {
        const element = this.#element(node);
        if (element !== undefined) this.#right(element);
        break;
      }
      case FORWARD:
        this.#right(node.a ?? fail());
        break;
      case DECLARATION:
        this.#right(node.a!);
        break;
    }
    this.#depth--;
  }

  #back(): number {
    return this.#tail.charCodeAt(this.#tail.length - 1);
  }

  #open(shape: number): void {
    if (shape === IS_ARRAY) this.#put(" ");
    if (shape !== 0) this.#put("(");
  }

  #parameters(list: readonly Node[]): void {
    this.#put("(");
    this.#commas(list);
    this.#put(")");
  }

  #closure(node: Node): void {
    if (node.b !== undefined) this.#arguments(node.b.list);
    this.#parameters(node.list);
  }

  #arguments(list: readonly Node[]): void {
    this.#put("<");
    this.#commas(list);
    this.#put(this.#back() === 0x3e ? " >" : ">");
  }

  /** The elements with commas between them; those that print nothing, as empty packs do, leave no comma. */
  #commas(list: readonly Node[]): void {
    let first = true;
    for (const element of list) {
      const out = this.#out;
      const tail = this.#tail;
      if (!first) this.#put(", ");
      const before = this.#out.length;
      this.#print(element);
      if (this.#out.length === before) {
        this.#out = out;
        this.#tail = tail;
      } else {
        first = false;
      }
    }
  }

  /** `pattern` for each element of the first pack that it meets, which tells how many there are. */
  #expand(pattern: Node): void {
    const savedIndex = this.#packIndex;
    const savedSize = this.#packSize;
    const out = this.#out;
    const tail = this.#tail;
    this.#packIndex = NO_PACK;
    this.#packSize = NO_PACK;
    this.#print(pattern);
    const size: number = this.#packSize;
    if (size === NO_PACK) {
      this.#put("...");
    } else if (size === 0) {
      this.#out = out;
      this.#tail = tail;
    }
    for (let i = 1; i < size; i++) {
      this.#put(", ");
      this.#packIndex = i;
      this.#packSize = size;
      this.#print(pattern);
    }
    this.#packIndex = savedIndex;
    this.#packSize = savedSize;
  }

  #element(pack: Node): Node | undefined {
    if (this.#packSize === NO_PACK) {
      this.#packSize = pack.list.length;
      this.#packIndex = 0;
    }
    return this.#packIndex < pack.list.length ? pack.list[this.#packIndex] : undefined;
  }

  /** Steps through nodes that print as another one does; the node itself where there is nothing to step to. */
  #through(node: Node): Node {
    let at = node;
    for (;;) {
      let next: Node | undefined;
      if (at.kind === PACK) next = this.#element(at);
      else if (at.kind === FORWARD) next = at.a;
      if (next === undefined) return at;
      this.#visit();
      at = next;
    }
  }

  /** `IS_ARRAY`, `IS_FUNCTION` or 0: whether `*` and `&` need parentheses. */
  #shape(type: Node): number {
    let at = this.#through(type);
    while (at.kind === QUALIFIED) {
      this.#visit();
      at = this.#through(at.a!);
    }
    if (at.kind === ARRAY) return IS_ARRAY;
    return at.kind === FUNCTION || at.kind === ENCODING ? IS_FUNCTION : 0;
  }

  /** Whether anything of a return type stands behind the parameters. */
  #hasRight(type: Node): boolean {
    let at = this.#through(type);
    for (;;) {
      this.#visit();
      switch (at.kind) {
        case QUALIFIED:
        case POINTER:
        case REFERENCE:
          at = this.#through(at.a!);
          break;
        case MEMBER_POINTER:
          at = this.#through(at.b!);
          break;
        default:
          return at.kind === ARRAY || at.kind === FUNCTION || at.kind === ENCODING;
      }
    }
  }

  /** What a reference to references refers to; `&&` only if all are. */
  #collapse(reference: Node): { target: Node; sign: string } {
    let sign = reference.text;
    let target = this.#through(reference.a!);
    while (target.kind === REFERENCE) {
      this.#visit();
      if (target.text === "&") sign = "&";
      target = this.#through(target.a!);
    }
    return { target, sign };
  }
}
