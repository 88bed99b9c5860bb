// Owns the types of the Itanium C++ ABI: builtin, qualified, compound, function and pack types, template arguments.
import { fail, isDigit } from "./itanium_cursor.ts";
import { LambdaParser } from "./itanium_lambdas.ts";
import {
  ARRAY,
  commas,
  EXPANSION,
  FUNCTION,
  listNode,
  MEMBER_POINTER,
  type Node,
  node,
  OBJECT,
  POINTER,
  QUALIFIED,
  REFERENCE,
  sequence,
  TEXT,
  textNode,
} from "./itanium_node.ts";

/** Types of one small letter, by its code less that of `a`. */
const BUILTIN: (Node | undefined)[] = [];
/** Types of `D` and a letter, likewise. */
const BUILTIN_D: (Node | undefined)[] = [];
for (
  const [table, entries] of [
    [
      BUILTIN,
      "v void|w wchar_t|b bool|c char|a signed char|h unsigned char|s short|t unsigned short|i int|" +
      "j unsigned int|" +
      "l long|m unsigned long|x long long|y unsigned long long|n __int128|o unsigned __int128|f float|d double|" +
      "e long double|g __float128|z ...",
    ],
    [
      BUILTIN_D,
      "d decimal64|e decimal128|f decimal32|h half|i char32_t|s char16_t|u char8_t|a auto|c decltype(auto)|" +
      "n std::nullptr_t",
    ],
  ] as const
) {
  for (const entry of entries.split("|")) table[entry.charCodeAt(0) - 0x61] = textNode(entry.slice(2));
}

const OBJC_PROTOCOL = "objcproto";

/** Types. */
export abstract class TypeParser extends LambdaParser {
  override type(): Node {
    const c = this.look();
    if (c >= 0x61 && c <= 0x7a) {
      const builtin = BUILTIN[c - 0x61];
      if (builtin !== undefined) {
        this.at++;
        return builtin;
      }
    }
    this.enter();
    const result = this.#compound(c);
    this.depth--;
    return result;
  }

  #compound(c: number): Node {
    switch (c) {
      case 0x72: // r
      case 0x56: // V
      case 0x4b: // K
        return this.#isFunction() ? this.remember(this.#function()) : this.remember(this.#qualified());
      case 0x55: // U, of which lambdas and unnamed types are names
        if (this.look(1) === 0x74 || this.look(1) === 0x6c || this.look(1) === 0x62) break;
        return this.remember(this.#qualified());
      case 0x75: // u
        return this.remember(this.#vendor());
      case 0x44: // D
        return this.#letterD();
      case 0x46: // F
        return this.remember(this.#function());
      case 0x41: // A
        return this.remember(this.#array());
      case 0x4d: { // M
        this.at++;
        const scope = this.type();
        return this.remember(node(MEMBER_POINTER, scope, this.type()));
      }
      case 0x54: // T
        return this.#letterT();
      case 0x50: // P
        this.at++;
        return this.remember(this.#pointer());
      case 0x52: // R
        this.at++;
        return this.remember(node(REFERENCE, this.type(), undefined, "&"));
      case 0x4f: // O
        this.at++;
        return this.remember(node(REFERENCE, this.type(), undefined, "&&"));
      case 0x43: // C
        this.at++;
        return this.remember(sequence(this.type(), " complex"));
      case 0x47: // G
        this.at++;
        return this.remember(sequence(this.type(), " imaginary"));
      case 0x53: { // S
        if (this.look(1) === 0x74) break;
        const substitution = this.substitution();
        if (!this.takesArguments || this.look() !== 0x49) return substitution;
        return this.remember(this.withArguments(substitution));
      }
    }
    return this.remember(this.name());
  }

  #pointer(): Node {
    const target = this.type();
    return target.kind === OBJECT ? sequence("id", target.b!) : node(POINTER, target);
  }

  #letterT(): Node {
    const next = this.look(1);
    const elaborated = next === 0x73 ? "struct " : next === 0x75 ? "union " : next === 0x65 ? "enum " : "";
    if (elaborated !== "") {
      this.at += 2;
      return this.remember(sequence(elaborated, this.name()));
    }
    const parameter = this.remember(this.templateParameter());
    // A template template parameter is a substitution both without and with its arguments.
    if (!this.takesArguments || this.look() !== 0x49) return parameter;
    return this.remember(this.withArguments(parameter));
  }

  #letterD(): Node {
    const letter = this.look(1);
    const builtin = letter >= 0x61 ? BUILTIN_D[letter - 0x61] : undefined;
    if (builtin !== undefined) {
      this.at += 2;
      return builtin;
    }
    switch (letter) {
      case 0x46: { // F
        this.at += 2;
        const bits = this.number();
        if (this.take(0x62)) return textNode("std::bfloat16_t");
        const extended = this.take(0x78);
        if (!extended) this.expect(0x5f);
        return textNode(`_Float${bits}${extended ? "x" : ""}`);
      }
      case 0x42: // B
      case 0x55: { // U
        this.at += 2;
        const bits = isDigit(this.look()) ? textNode(this.digits()) : this.expression();
        this.expect(0x5f);
        return this.remember(sequence(letter === 0x55 ? "unsigned " : "", "_BitInt(", bits, ")"));
      }
      case 0x6b: // k
      case 0x4b: { // K
        this.at += 2;
        const constraint = this.name();
        return this.remember(sequence(constraint, letter === 0x4b ? " decltype(auto)" : " auto"));
      }
      case 0x74: // t
      case 0x54: // T
        return this.remember(this.decltype());
      case 0x76: // v
        return this.remember(this.#vector());
      case 0x70: // p
        this.at += 2;
        return this.remember(node(EXPANSION, this.type()));
      case 0x6f: // o
      case 0x4f: // O
      case 0x77: // w
      case 0x78: // x
        return this.remember(this.#function());
    }
    // A structured binding, or nothing.
    return this.remember(this.name());
  }

  /** Whether the qualifiers here are those of a function type. */
  #isFunction(): boolean {
    let distance = 0;
    for (const qualifier of [0x72, 0x56, 0x4b]) if (this.look(distance) === qualifier) distance++;
    const c = this.look(distance);
    if (c === 0x46) return true;
    const next = this.look(distance + 1);
    return c === 0x44 && (next === 0x6f || next === 0x4f || next === 0x77 || next === 0x78);
  }

  #qualified(): Node {
    this.enter();
    let result: Node;
    if (this.take(0x55)) {
      const qualifier = this.identifier();
      if (qualifier.startsWith(OBJC_PROTOCOL)) {
        const type = this.#qualified();
        const protocol = `<${this.#protocol(qualifier)}>`;
        // A pointer to this one is the type `id`.
        const isObject = type.kind === TEXT && type.text === "objc_object";
        result = isObject ? node(OBJECT, type, textNode(protocol)) : sequence(type, protocol);
      } else {
        const list = this.look() === 0x49 ? this.withArguments(textNode(qualifier)) : textNode(qualifier);
        result = sequence(this.#qualified(), " ", list);
      }
    } else {
      const qualifiers = this.qualifiers();
      const type = this.type();
      result = qualifiers === "" ? type : node(QUALIFIED, type, undefined, qualifiers);
    }
    this.depth--;
    return result;
  }

  /** The identifier within an Objective-C protocol's qualifier. */
  #protocol(qualifier: string): string {
    let at = OBJC_PROTOCOL.length;
    while (isDigit(qualifier.charCodeAt(at))) at++;
    const name = qualifier.slice(at);
    if (name === "" || Number(qualifier.slice(OBJC_PROTOCOL.length, at)) !== name.length) fail();
    return name;
  }

  #vendor(): Node {
    this.expect(0x75);
    const name = textNode(this.identifier());
    return this.look() === 0x49 ? this.withArguments(name) : name;
  }

  #array(): Node {
    this.expect(0x41);
    let size: Node | undefined;
    if (isDigit(this.look())) {
      size = textNode(this.digits());
      this.expect(0x5f);
    } else if (!this.take(0x5f)) {
      size = this.expression();
      this.expect(0x5f);
    }
    return node(ARRAY, this.type(), size);
  }

  #vector(): Node {
    this.at += 2;
    let size: Node | string = "";
    if (isDigit(this.look())) {
      size = this.digits();
      this.expect(0x5f);
      if (this.take(0x70)) return textNode(`pixel vector[${size}]`);
    } else if (!this.take(0x5f)) {
      size = this.expression();
      this.expect(0x5f);
    } else if (this.look() !== 0x5f) {
      size = this.expression();
      this.expect(0x5f);
    } else {
      this.at++;
    }
    return sequence(this.type(), " vector[", size, "]");
  }

  #function(): Node {
    let suffix = this.qualifiers();
    let specification: Node | undefined;
    if (this.takeText("Do")) {
      specification = textNode(" noexcept");
    } else if (this.takeText("DO")) {
      specification = sequence(" noexcept(", this.expression(), ")");
      this.expect(0x45);
    } else if (this.takeText("Dw")) {
      const list: Node[] = [];
      while (!this.take(0x45)) list.push(this.type());
      specification = sequence(" throw(", commas(list), ")");
    }
    this.takeText("Dx");
    this.expect(0x46);
    this.take(0x59);
    const returned = this.type();
    const list: Node[] = [];
    while (!this.take(0x45)) {
      if (this.take(0x76)) continue;
      if (this.takeText("RE")) {
        suffix += " &";
        break;
      }
      if (this.takeText("OE")) {
        suffix += " &&";
        break;
      }
      list.push(this.type());
    }
    return listNode(FUNCTION, list, returned, specification, suffix);
  }

  override decltype(): Node {
    this.at += 2;
    const expression = this.expression();
    this.expect(0x45);
    return sequence("decltype(", expression, ")");
  }

  override templateArgument(): Node {
    switch (this.look()) {
      case 0x58: { // X
        this.at++;
        const expression = this.expression();
        this.expect(0x45);
        return expression;
      }
      case 0x4a: { // J
        this.at++;
        const list: Node[] = [];
        this.enter();
        while (!this.take(0x45)) list.push(this.templateArgument());
        this.depth--;
        return commas(list);
      }
      case 0x4c: // L
        return this.literal();
      case 0x54: { // T, where a parameter's declaration stands in front of its argument
        const next = this.look(1);
        if (next === 0x79 || next === 0x6b || next === 0x6e || next === 0x74 || next === 0x70) {
          this.#skipDeclaration();
          return this.templateArgument();
        }
      }
    }
    return this.type();
  }

  /** Reads a template parameter's declaration, which is not written. */
  #skipDeclaration(): void {
    this.enter();
    this.expect(0x54);
    const letter = this.input[this.at++];
    if (letter === "k") this.name();
    else if (letter === "n") this.type();
    else if (letter === "p") this.#skipDeclaration();
    else if (letter === "t") { while (!this.take(0x45)) this.#skipDeclaration(); }
    this.depth--;
  }

  abstract literal(): Node;
}
