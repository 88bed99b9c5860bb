// Owns the expressions of the Itanium C++ ABI: operators, calls, literals, dependent names, folds.
import { fail, isDigit } from "./itanium_cursor.ts";
import {
  commas,
  EXPANSION,
  LIST,
  listNode,
  NESTED,
  type Node,
  node,
  sequence,
  TEMPLATED,
  textNode,
} from "./itanium_node.ts";
import { BINARY, MEMBER, type Operator, operatorOf, OTHER, PREFIX, STEP } from "./itanium_operators.ts";
import { LiteralParser } from "./itanium_literals.ts";

/** Operators on one expression or type, that are written as functions are. */
const FUNCTIONS: Readonly<Record<string, readonly [open: string, isType: boolean]>> = {
  st: ["sizeof (", true],
  sz: ["sizeof (", false],
  at: ["alignof (", true],
  az: ["alignof (", false],
  ti: ["typeid (", true],
  te: ["typeid (", false],
  nx: ["noexcept (", false],
};

/** Casts to a type in angle brackets. */
const CASTS: Readonly<Record<string, string>> = {
  cc: "const_cast<",
  dc: "dynamic_cast<",
  rc: "reinterpret_cast<",
  sc: "static_cast<",
};

/** Expressions, which makes the parser whole. */
export class Parser extends LiteralParser {
  override expression(): Node {
    this.enter();
    const result = this.#expression();
    this.depth--;
    return result;
  }

  #expression(): Node {
    const first = this.look();
    const second = this.look(1);
    if (first === 0x4c) return this.literal();
    if (first === 0x54) return this.templateParameter();
    if (isDigit(first)) return this.#unresolved(false);
    if (first === 0x66) return this.#parameterOrFold(second);
    const pair = this.input.slice(this.at, this.at + 2);
    if (pair === "gs") {
      this.at += 2;
      const next = this.input.slice(this.at, this.at + 2);
      if (next === "nw" || next === "na" || next === "dl" || next === "da") return this.#allocation("::");
      return this.#unresolved(true);
    }
    const operator = operatorOf(first, second);
    return operator === undefined ? this.#other(pair) : this.#operator(operator, pair);
  }

  #operator(operator: Operator, pair: string): Node {
    const { sign, form } = operator;
    if (form === OTHER) return this.#special(pair);
    this.at += 2;
    if (form === PREFIX) return sequence(`${sign}(`, this.expression(), ")");
    if (form === STEP) {
      if (this.take(0x5f)) return sequence(`${sign}(`, this.expression(), ")");
      return sequence("(", this.expression(), `)${sign}`);
    }
    const left = this.expression();
    if (form === MEMBER) return sequence(left, sign, this.expression());
    if (form !== BINARY) fail();
    const right = this.expression();
    // The bracket that would end template arguments, were it not in parentheses.
    return sign === ">"
      ? sequence("((", left, ") > (", right, "))")
      : sequence("(", left, `) ${sign} (`, right, ")");
  }

  /** Operators that have a function's name too, but a form of their own. */
  #special(pair: string): Node {
    switch (pair) {
      case "nw":
      case "na":
      case "dl":
      case "da":
        return this.#allocation("");
    }
    this.at += 2;
    switch (pair) {
      case "cl": {
        const callee = this.expression();
        return sequence(callee, "(", commas(this.#expressions()), ")");
      }
      case "ix": {
        const array = this.expression();
        return sequence("(", array, ")[", this.expression(), "]");
      }
      case "qu": {
        const condition = this.expression();
        const then = this.expression();
        return sequence("(", condition, ") ? (", then, ") : (", this.expression(), ")");
      }
      case "aw":
        return sequence("co_await ", this.expression());
    }
    fail();
  }

  #other(pair: string): Node {
    const enclosed = FUNCTIONS[pair];
    if (enclosed !== undefined) {
      this.at += 2;
      const [open, isType] = enclosed;
      return sequence(open, isType ? this.type() : this.expression(), ")");
    }
    const cast = CASTS[pair];
    if (cast !== undefined) {
      this.at += 2;
      const type = this.type();
      return sequence(cast, type, ">(", this.expression(), ")");
    }
    switch (pair) {
      case "cv":
        return this.#conversion();
      case "il":
        this.at += 2;
        return sequence("{", commas(this.#initializers()), "}");
      case "tl": {
        this.at += 2;
        const type = this.type();
        return sequence(type, "{", commas(this.#initializers()), "}");
      }
      case "sr":
      case "on":
      case "dn":
        return this.#unresolved(false);
      case "sp":
        this.at += 2;
        return node(EXPANSION, this.expression());
      case "sZ": {
        this.at += 2;
        if (this.look() === 0x54) return sequence("sizeof...(", node(EXPANSION, this.templateParameter()), ")");
        return sequence("sizeof... (", this.#functionParameter(), ")");
      }
      case "sP":
        this.at += 2;
        return sequence("sizeof... (", listNode(LIST, this.#templateArgumentsToEnd()), ")");
      case "so":
        return this.#subobject();
      case "mc": {
        this.at += 2;
        const type = this.type();
        const value = this.expression();
        this.signedDigits();
        this.expect(0x45);
        return sequence("(", type, ")(", value, ")");
      }
      case "tr":
        this.at += 2;
        return textNode("throw");
      case "tw":
        this.at += 2;
        return sequence("throw ", this.expression());
      case "rq":
      case "rQ":
        return this.#requires(pair === "rQ");
    }
    if (this.take(0x75)) return this.#vendor();
    fail();
  }

  #expressions(): Node[] {
    const list: Node[] = [];
    while (!this.take(0x45)) list.push(this.expression());
    return list;
  }

  #templateArgumentsToEnd(): Node[] {
    const list: Node[] = [];
    while (!this.take(0x45)) list.push(this.templateArgument());
    return list;
  }

  #conversion(): Node {
    this.at += 2;
    const takes = this.takesArguments;
    this.takesArguments = false;
    const type = this.type();
    this.takesArguments = takes;
    const list = this.take(0x5f) ? this.#expressions() : [this.expression()];
    return sequence("(", type, ")(", commas(list), ")");
  }

  #allocation(scope: string): Node {
    const pair = this.input.slice(this.at, this.at += 2);
    const array = pair[1] === "a" ? "[]" : "";
    if (pair[0] === "d") return sequence(`${scope}delete${array} `, this.expression());
    const placement: Node[] = [];
    while (!this.take(0x5f)) placement.push(this.expression());
    const type = this.type();
    const parts: (Node | string)[] = [`${scope}new${array}`];
    if (placement.length > 0) parts.push(" (", commas(placement), ")");
    parts.push(" ", type);
    if (this.takeText("il")) return sequence(...parts, "{", commas(this.#initializers()), "}");
    const initialized = this.takeText("pi");
    const list: Node[] = [];
    while (!this.take(0x45)) {
      if (!initialized) fail();
      list.push(this.expression());
    }
    if (list.length > 0) parts.push("(", commas(list), ")");
    return sequence(...parts);
  }

  /** Expressions and designated initializers up to `E`. */
  #initializers(): Node[] {
    const list: Node[] = [];
    while (!this.take(0x45)) list.push(this.#initializer());
    return list;
  }

  #initializer(): Node {
    if (this.look() !== 0x64) return this.expression();
    this.enter();
    let designator: Node | undefined;
    if (this.takeText("di")) {
      designator = sequence(".", textNode(this.identifier()));
    } else if (this.takeText("dx")) {
      designator = sequence("[", this.expression(), "]");
    } else if (this.takeText("dX")) {
      const from = this.expression();
      designator = sequence("[", from, " ... ", this.expression(), "]");
    }
    let result: Node;
    if (designator === undefined) {
      result = this.expression();
    } else {
      const nested = this.look() === 0x64 && "ixX".includes(this.input[this.at + 1] ?? "?");
      const value = this.#initializer();
      result = sequence(designator, nested ? "" : " = ", value);
    }
    this.depth--;
    return result;
  }

  #parameterOrFold(second: number): Node {
    const third = this.look(2);
    if (second === 0x70 || (second === 0x4c && isDigit(third))) return this.#functionParameter();
    this.at += 2;
    const left = second === 0x6c || second === 0x4c;
    const both = second === 0x4c || second === 0x52;
    if (!left && second !== 0x72 && second !== 0x52) fail();
    const operator = operatorOf(this.look(), this.look(1));
    if (operator === undefined) fail();
    this.at += 2;
    const sign = operator.sign;
    const first = this.expression();
    if (both) {
      const other = this.expression();
      // The pack is on the side that the letter tells.
      return left
        ? sequence("(", first, ` ${sign} ... ${sign} (`, node(EXPANSION, other), "))")
        : sequence("((", node(EXPANSION, first), `) ${sign} ... ${sign} `, other, ")");
    }
    const pack = node(EXPANSION, first);
    return left ? sequence(`(... ${sign} (`, pack, "))") : sequence("((", pack, `) ${sign} ...)`);
  }

  #functionParameter(): Node {
    if (this.takeText("fpT")) return textNode("this");
    if (!this.takeText("fp")) {
      if (!this.takeText("fL")) fail();
      this.number();
      this.expect(0x70);
    }
    this.qualifiers();
    const number = this.digits();
    this.expect(0x5f);
    return textNode(`fp${number}`);
  }

  #subobject(): Node {
    this.at += 2;
    const type = this.type();
    const value = this.expression();
    const offset = this.signedDigits();
    while (this.take(0x5f)) this.digits();
    this.take(0x70);
    this.expect(0x45);
    const number = offset.startsWith("n") ? `-${offset.slice(1)}` : offset === "" ? "0" : offset;
    return sequence(value, ".<", type, ` at offset ${number}>`);
  }

  #vendor(): Node {
    const name = this.identifier();
    if (name === "__uuidof" && (this.look() === 0x74 || this.look() === 0x7a)) {
      const isType = this.look() === 0x74;
      this.at++;
      return sequence("__uuidof(", isType ? this.type() : this.expression(), ")");
    }
    return sequence(name, "(", commas(this.#templateArgumentsToEnd()), ")");
  }

  /** A requires expression, with parameters in front if `declares`. */
  #requires(declares: boolean): Node {
    this.at += 2;
    const parts: (Node | string)[] = ["requires"];
    if (declares) {
      const list: Node[] = [];
      while (!this.take(0x5f)) list.push(this.type());
      parts.push(" (", commas(list), ")");
    }
    parts.push(" {");
    while (!this.take(0x45)) {
      parts.push(" ");
      if (this.take(0x58)) {
        const expression = this.expression();
        const isNoexcept = this.take(0x4e);
        const constraint = this.take(0x52) ? this.name() : undefined;
        const plain = !isNoexcept && constraint === undefined;
        parts.push(plain ? "" : "{", expression, plain ? "" : "}", isNoexcept ? " noexcept" : "");
        if (constraint !== undefined) parts.push(" -> ", constraint);
      } else if (this.take(0x54)) {
        parts.push("typename ", this.type());
      } else if (this.take(0x51)) {
        parts.push("requires ", this.expression());
      } else {
        fail();
      }
      parts.push(";");
    }
    parts.push(" }");
    return sequence(...parts);
  }

  /** A name that depends on template arguments; behind `::` if `global`. */
  #unresolved(global: boolean): Node {
    const root = (name: Node): Node => global ? sequence("::", name) : name;
    if (this.takeText("srN")) {
      let result = this.#unresolvedType();
      while (!this.take(0x45)) result = node(NESTED, result, this.#simpleId());
      return node(NESTED, result, this.#baseUnresolved());
    }
    if (!this.takeText("sr")) return root(this.#baseUnresolved());
    let result: Node;
    if (isDigit(this.look())) {
      result = root(this.#simpleId());
      while (!this.take(0x45)) result = node(NESTED, result, this.#simpleId());
    } else {
      result = this.#unresolvedType();
    }
    return node(NESTED, result, this.#baseUnresolved());
  }

  #maybeArguments(name: Node): Node {
    return this.look() === 0x49 ? this.withArguments(name) : name;
  }

  #unresolvedType(): Node {
    const c = this.look();
    let result: Node;
    if (c === 0x54) result = this.remember(this.templateParameter());
    else if (c === 0x44) result = this.remember(this.decltype());
    else if (c === 0x53 && this.look(1) === 0x74) result = this.remember(this.name());
    else result = this.substitution();
    const named = this.#maybeArguments(result);
    return named.kind === TEMPLATED && named !== result ? this.remember(named) : named;
  }

  #simpleId(): Node {
    return this.#maybeArguments(textNode(this.identifier()));
  }

  #baseUnresolved(): Node {
    if (isDigit(this.look())) return this.#simpleId();
    if (this.takeText("dn")) {
      return sequence("~", isDigit(this.look()) ? this.#simpleId() : this.#unresolvedType());
    }
    this.takeText("on");
    return this.#maybeArguments(this.operatorName());
  }
}
