// Owns the names of the Itanium C++ ABI: functions, special, nested and local names, substitutions, constructors.
import { Cursor, fail, isDigit } from "./itanium_cursor.ts";
import {
  ABBREVIATION,
  commas,
  ENCODING,
  EXPANDED,
  FORWARD,
  LIST,
  listNode,
  NESTED,
  type Node,
  node,
  PACK,
  sequence,
  STRUCTOR,
  TAGGED,
  TEMPLATED,
  textNode,
} from "./itanium_node.ts";
import { operatorOf } from "./itanium_operators.ts";

/** What a function's name tells about the rest of its mangled form. */
export interface NameState {
  /** A constructor, destructor or conversion, whose return type is not written. */
  noReturnType: boolean;
  endsWithArguments: boolean;
  /** Qualifiers of the member function, as they are written behind it. */
  qualifiers: string;
}

const STD = textNode("std");
const AUTO = textNode("auto");
const UNNAMED_STRING = textNode("string literal");

const ABBREVIATIONS: Readonly<Record<string, Node>> = Object.fromEntries(
  [["a", "allocator"], ["b", "basic_string"], ["s", "string"], ["i", "istream"], ["o", "ostream"], [
    "d",
    "iostream",
  ]].map(([letter, name]) => [letter, node(ABBREVIATION, undefined, undefined, name)]),
);

/** Names; types and expressions come with the classes that extend this one. */
export abstract class NameParser extends Cursor {
  /** Arguments that `T_`, `TL0__`, … name, by level: of the name, then of lambdas in it. */
  params: Node[][] = [];
  /** The level at which a lambda's parameters are `auto`; -1 outside of lambdas. */
  lambdaLevel: number = -1;
  /** Whether `T_` may name arguments that come later, which is so in the type of a conversion. */
  mayForward: boolean = false;
  /** Whether `I` behind a template parameter begins its arguments. */
  takesArguments: boolean = true;
  /** Forward references that wait for the arguments, and the numbers of those. */
  readonly forwards: { reference: Node; index: number }[] = [];

  abstract type(): Node;
  abstract expression(): Node;
  abstract templateArgument(): Node;
  abstract decltype(): Node;
  abstract unnamedType(): Node;

  /** A function with its parameters, a variable, or a special name. */
  encoding(): Node {
    this.enter();
    // Arguments of a name within a name are its own.
    const params = this.params;
    this.params = [];
    const result = this.#encoding();
    this.params = params;
    this.depth--;
    return result;
  }

  #encoding(): Node {
    const first = this.look();
    if (first === 0x54 || first === 0x47) return this.#specialName();
    const state: NameState = { noReturnType: false, endsWithArguments: false, qualifiers: "" };
    const waiting = this.forwards.length;
    const name = this.name(state);
    for (let i = waiting; i < this.forwards.length; i++) {
      const { reference, index } = this.forwards[i];
      const level = this.params[0];
      if (level === undefined || index >= level.length) fail();
      reference.a = level[index];
    }
    this.forwards.length = waiting;
    if (this.#encodingEnds()) return name;

    let constraint: Node | undefined;
    if (this.takeText("Ua9enable_ifI")) {
      constraint = sequence(" [enable_if:", commas(this.#argumentList(0x45)), "]");
    }
    const returned = !state.noReturnType && state.endsWithArguments ? this.type() : undefined;
    const list: Node[] = [];
    if (!this.take(0x76)) {
      do list.push(this.type()); while (!this.#encodingEnds() && this.look() !== 0x51);
    }
    if (this.take(0x51)) constraint = sequence(" requires ", this.expression());
    return constraint === undefined
      ? listNode(ENCODING, list, name, returned, state.qualifiers)
      : this.#constrained(list, name, returned, state.qualifiers, constraint);
  }

  #constrained(list: Node[], name: Node, returned: Node | undefined, text: string, constraint: Node): Node {
    const plain = listNode(ENCODING, list, name, returned, text);
    plain.c = constraint;
    return plain;
  }

  #encodingEnds(): boolean {
    const c = this.look();
    return c === 0 || c === 0x45 || c === 0x2e || c === 0x5f;
  }

  #specialName(): Node {
    if (this.take(0x54)) {
      const letter = this.input[this.at++];
      switch (letter) {
        case "V":
          return sequence("vtable for ", this.type());
        case "T":
          return sequence("VTT for ", this.type());
        case "I":
          return sequence("typeinfo for ", this.type());
        case "S":
          return sequence("typeinfo name for ", this.type());
        case "A":
          return sequence("template parameter object for ", this.templateArgument());
        case "W":
          return sequence("thread-local wrapper routine for ", this.name());
        case "H":
          return sequence("thread-local initialization routine for ", this.name());
        case "c":
          this.#callOffset();
          this.#callOffset();
          return sequence("covariant return thunk to ", this.encoding());
        case "C": {
          const derived = this.type();
          this.number();
          this.expect(0x5f);
          return sequence("construction vtable for ", this.type(), "-in-", derived);
        }
        case "h":
        case "v":
          this.at--;
          this.#callOffset();
          return sequence(letter === "h" ? "non-virtual thunk to " : "virtual thunk to ", this.encoding());
      }
      fail();
    }
    if (this.takeText("GV")) return sequence("guard variable for ", this.name());
    if (this.takeText("GTt")) return sequence("transaction clone for ", this.encoding());
    if (this.takeText("GTn")) return sequence("non-transaction clone for ", this.encoding());
    if (!this.takeText("GR")) fail();
    const name = this.name();
    if (this.look() !== 0) this.sequenceId();
    return sequence("reference temporary for ", name);
  }

  #callOffset(): void {
    const virtual = this.look() === 0x76;
    if (!virtual && this.look() !== 0x68) fail();
    this.at++;
    for (let i = virtual ? 2 : 1; i > 0; i--) {
      if (this.signedDigits() === "") fail();
      this.expect(0x5f);
    }
  }

  /** Any name. Only a function's own name has a `state`: its template arguments are what `T_` means. */
  name(state?: NameState): Node {
    this.enter();
    const result = this.#name(state);
    this.depth--;
    return result;
  }

  #name(state: NameState | undefined): Node {
    const first = this.look();
    if (first === 0x4e) return this.#nestedName(state);
    if (first === 0x5a) return this.#localName(state);
    let result: Node;
    if (first === 0x53 && this.look(1) !== 0x74) {
      result = this.substitution();
      if (this.look() !== 0x49) fail();
    } else {
      const inStd = this.takeText("St");
      this.take(0x4c);
      result = this.unqualifiedName(state);
      if (inStd) result = node(NESTED, STD, result);
      if (this.look() !== 0x49) return result;
      this.remember(result);
    }
    result = this.withArguments(result, state !== undefined);
    if (state !== undefined) state.endsWithArguments = true;
    return result;
  }

  /** `name` and the template arguments that follow; they are what `T_` means if `tagged`. */
  withArguments(name: Node, tagged: boolean = false): Node {
    return listNode(TEMPLATED, this.#templateArguments(tagged), name);
  }

  #templateArguments(tagged: boolean): Node[] {
    this.expect(0x49);
    const takes = this.takesArguments;
    this.takesArguments = true;
    const list: Node[] = [];
    const level: Node[] = [];
    if (tagged) this.params = [level];
    while (!this.take(0x45)) {
      // A constraint on the arguments before it.
      if (this.take(0x51)) {
        const constraint = this.expression();
        list.push(sequence("requires ", constraint));
        this.expect(0x45);
        break;
      }
      // An argument is concrete: only lambdas in it have parameters, and they count from 0.
      if (tagged) this.params = [];
      const argument = this.templateArgument();
      list.push(argument);
      if (!tagged) continue;
      this.params = [level];
      level.push(argument.kind === LIST ? listNode(PACK, argument.list) : argument);
    }
    this.takesArguments = takes;
    return list;
  }

  /** Template arguments up to `end`. */
  #argumentList(end: number): Node[] {
    const list: Node[] = [];
    while (!this.take(end)) list.push(this.templateArgument());
    return list;
  }

  #nestedName(state: NameState | undefined): Node {
    this.expect(0x4e);
    // A member function with an explicit object parameter.
    this.take(0x48);
    let qualifiers = this.qualifiers();
    if (this.take(0x4f)) qualifiers += " &&";
    else if (this.take(0x52)) qualifiers += " &";
    if (state !== undefined) state.qualifiers = qualifiers;

    let result: Node | undefined = this.takeText("St") ? STD : undefined;
    let ends = false;
    while (!this.take(0x45)) {
      this.take(0x4c);
      const c = this.look();
      const next = this.look(1);
      if (c === 0x4d) {
        // The prefix was a data member that a lambda initializes.
        if (result === undefined) fail();
        this.at++;
        continue;
      }
      if (c === 0x49) {
        if (result === undefined || ends) fail();
        result = this.withArguments(result, state !== undefined);
        ends = true;
        this.remember(result);
        continue;
      }
      ends = false;
      if (c === 0x53 && next !== 0x74) {
        const substitution = this.substitution();
        if (result !== undefined) result = this.remember(node(NESTED, result, substitution));
        else result = substitution;
        continue;
      }
      let part: Node;
      if (c === 0x54) part = this.templateParameter();
      else if (c === 0x44 && (next === 0x74 || next === 0x54)) part = this.decltype();
      else if (c === 0x43 || (c === 0x44 && isDigit(next))) part = this.#structor(result, state);
      else part = this.unqualifiedName(state);
      result = this.remember(result === undefined ? part : node(NESTED, this.#scope(result, part), part));
    }
    if (result === undefined || this.substitutions.length === 0) fail();
    // The whole name is no substitution: where it is one, who reads the type says so.
    this.substitutions.pop();
    if (state !== undefined) state.endsWithArguments = ends;
    return result;
  }

  /** A constructor's class is written with all its arguments where the standard library's abbreviation has them. */
  #scope(scope: Node, part: Node): Node {
    if (scope.kind !== ABBREVIATION) return scope;
    const named = part.kind === TAGGED ? part.a! : part;
    return named.kind === STRUCTOR ? node(EXPANDED, undefined, undefined, scope.text) : scope;
  }

  #structor(scope: Node | undefined, state: NameState | undefined): Node {
    if (scope === undefined) fail();
    const destructor = this.look() === 0x44;
    this.at++;
    const inherited = !destructor && this.take(0x49);
    const variant = this.look() - 0x30;
    if (!(destructor ? variant >= 0 && variant <= 5 && variant !== 3 : variant >= 1 && variant <= 5)) fail();
    this.at++;
    if (inherited) this.name();
    if (state !== undefined) state.noReturnType = true;
    const named = scope.kind === ABBREVIATION ? node(EXPANDED, undefined, undefined, scope.text) : scope;
    return this.#tags(node(STRUCTOR, named, undefined, destructor ? "~" : ""));
  }

  #localName(state: NameState | undefined): Node {
    this.expect(0x5a);
    const scope = this.encoding();
    this.expect(0x45);
    if (this.take(0x73)) {
      this.discriminator();
      return node(NESTED, scope, UNNAMED_STRING);
    }
    if (this.take(0x64)) {
      this.signedDigits();
      this.expect(0x5f);
      return node(NESTED, scope, this.name(state));
    }
    const entity = this.name(state);
    this.discriminator();
    return node(NESTED, scope, entity);
  }

  /** One part of a name, with its tags. */
  unqualifiedName(state?: NameState): Node {
    const c = this.look();
    if (isDigit(c)) return this.#tags(textNode(this.identifier()));
    if (c === 0x55) return this.#tags(this.unnamedType());
    if (c === 0x44 && this.look(1) === 0x43) {
      this.at += 2;
      const list: Node[] = [];
      do list.push(textNode(this.identifier())); while (!this.take(0x45));
      return this.#tags(sequence("[", commas(list), "]"));
    }
    return this.#tags(this.operatorName(state));
  }

  #tags(name: Node): Node {
    let result = name;
    while (this.take(0x42)) result = node(TAGGED, result, undefined, this.identifier());
    return result;
  }

  operatorName(state?: NameState): Node {
    const first = this.look();
    const second = this.look(1);
    if (first === 0x63 && second === 0x76) {
      this.at += 2;
      const forward = this.mayForward;
      const takes = this.takesArguments;
      this.mayForward ||= state !== undefined;
      this.takesArguments = false;
      const type = this.type();
      this.mayForward = forward;
      this.takesArguments = takes;
      if (state !== undefined) state.noReturnType = true;
      return sequence("operator ", type);
    }
    if (first === 0x6c && second === 0x69) {
      this.at += 2;
      return textNode(`operator"" ${this.identifier()}`);
    }
    if (first === 0x76 && isDigit(second)) {
      this.at += 2;
      return textNode(`operator ${this.identifier()}`);
    }
    const operator = operatorOf(first, second);
    if (operator === undefined) fail();
    this.at += 2;
    return textNode(operator.name);
  }

  /** `T_`, `T0_`, `TL0__`, …: the argument; unknown yet in a conversion, `auto` in a generic lambda. */
  templateParameter(): Node {
    this.expect(0x54);
    let level = 0;
    if (this.take(0x4c)) {
      level = this.number() + 1;
      this.expect(0x5f);
    }
    const index = this.index();
    if (this.mayForward && level === 0) {
      const reference = node(FORWARD, undefined);
      this.forwards.push({ reference, index });
      return reference;
    }
    const argument = this.params[level]?.[index];
    if (argument !== undefined) return argument;
    if (this.lambdaLevel !== level) fail();
    return AUTO;
  }

  /** `const`, `volatile`, `restrict` as they are written behind a type. */
  qualifiers(): string {
    const restrict = this.take(0x72);
    const volatile = this.take(0x56);
    const constant = this.take(0x4b);
    if (!restrict && !volatile && !constant) return "";
    return (constant ? " const" : "") + (volatile ? " volatile" : "") + (restrict ? " restrict" : "");
  }

  /** What came before, by its number, or a name of the standard library by its letter. */
  substitution(): Node {
    this.expect(0x53);
    const letter = this.look();
    if (letter >= 0x61 && letter <= 0x7a) {
      const abbreviation = ABBREVIATIONS[this.input[this.at]];
      if (abbreviation === undefined) fail();
      this.at++;
      const tagged = this.#tags(abbreviation);
      return tagged === abbreviation ? abbreviation : this.remember(tagged);
    }
    const index = this.sequenceId();
    if (index >= this.substitutions.length) fail();
    return this.substitutions[index];
  }
}
