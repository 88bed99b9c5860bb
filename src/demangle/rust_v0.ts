// Owns Rust's v0 names, RFC 2603: paths and types, printed while they are read.
import { V0Consts } from "./rust_v0_const.ts";
import { MALFORMED } from "./rust_v0_reader.ts";

const BASIC_TYPES: Readonly<Record<string, string>> = {
  a: "i8",
  b: "bool",
  c: "char",
  d: "f64",
  e: "str",
  f: "f32",
  h: "u8",
  i: "isize",
  j: "usize",
  l: "i32",
  m: "u32",
  n: "i128",
  o: "u128",
  p: "_",
  s: "i16",
  t: "u16",
  u: "()",
  v: "...",
  x: "i64",
  y: "u64",
  z: "!",
};

/**
 * The name whose path begins at `start`, just after `_R`; `undefined` where it is malformed or passes a limit. What
 * follows the first `.` is printed behind it in parentheses.
 */
export function demangleRustV0(mangled: string, start: number): string | undefined {
  const dot = mangled.indexOf(".", start);
  const end = dot < 0 ? mangled.length : dot;
  // Here once, so that no identifier needs a check of its own.
  if (!/^[A-Za-z0-9_]+$/.test(mangled.slice(start, end))) return undefined;
  let out: string;
  try {
    out = new V0Printer(mangled, start, end).symbol();
  } catch (error) {
    if (error !== MALFORMED) throw error;
    return undefined;
  }
  return dot < 0 ? out : `${out} (${mangled.slice(dot)})`;
}

/** Reads one name and prints it. */
class V0Printer extends V0Consts {
  /** Lifetimes that the binders around bring. */
  #bound = 0;

  /** `[encoding version] path [instantiating crate]`; only the version without a number exists. */
  symbol(): string {
    this.path(false, false);
    if (this.at < this.end) {
      this.quiet = true;
      this.path(false, false);
    }
    if (this.at !== this.end) throw MALFORMED;
    return this.out;
  }

  /**
   * One path.
   *
   * @param inType Generic arguments follow at once, not after `::`.
   * @param leaveOpen Don't close the generic arguments: bindings of a trait's types follow in the same brackets.
   * @returns Whether brackets were left open.
   */
  protected override path(inType: boolean, leaveOpen: boolean): boolean {
    this.enter();
    let open = false;
    switch (this.next()) {
      case "C":
        this.optionalBase62("s");
        this.print(this.identifier());
        break;
      case "M":
        this.#implPath(inType);
        this.print("<");
        this.#type();
        this.print(">");
        break;
      case "X":
        this.#implPath(inType);
        this.#asTrait();
        break;
      case "Y":
        this.#asTrait();
        break;
      case "N":
        this.#nested(inType);
        break;
      case "I":
        this.path(inType, false);
        this.print(inType ? "<" : "::<");
        for (let i = 0; !this.take("E"); i++) {
          if (i > 0) this.print(", ");
          this.#genericArgument();
        }
        if (leaveOpen) open = true;
        else this.print(">");
        break;
      case "B":
        open = this.backReference(() => this.path(inType, leaveOpen));
        break;
      default:
        throw MALFORMED;
    }
    this.leave();
    return open;
  }

  /** Where an impl stands; read and not printed. */
  #implPath(inType: boolean): void {
    const quiet = this.quiet;
    this.quiet = true;
    this.optionalBase62("s");
    this.path(inType, false);
    this.quiet = quiet;
  }

  #asTrait(): void {
    this.print("<");
    this.#type();
    this.print(" as ");
    this.path(true, false);
    this.print(">");
  }

  /** `namespace path identifier`: a capital namespace marks what has no name in source. */
  #nested(inType: boolean): void {
    const namespace = this.next();
    if (!/^[A-Za-z]$/.test(namespace)) throw MALFORMED;
    this.path(inType, false);
    if (namespace >= "a") {
      this.optionalBase62("s");
      const name = this.identifier();
      if (name !== "") this.print(`::${name}`);
      return;
    }
    const number = this.exactDisambiguator();
    const name = this.identifier();
    const kind = namespace === "C" ? "closure" : namespace === "S" ? "shim" : namespace;
    this.print(`::{${kind}${name === "" ? "" : `:${name}`}#${number}}`);
  }

  #genericArgument(): void {
    if (this.take("L")) this.print(this.#lifetime(this.base62()));
    else if (this.take("K")) this.const(false);
    else this.#type();
  }

  /** A lifetime's name: 0 is the erased one, 1 the innermost binder's last. */
  #lifetime(index: number): string {
    if (index === 0) return "'_";
    const depth = this.#bound - index;
    if (depth < 0) throw MALFORMED;
    return depth < 26 ? `'${String.fromCharCode(0x61 + depth)}` : `'z${depth - 25}`;
  }

  /** `for<'a, 'b> `, where there is a binder. */
  #binder(): void {
    const count = this.optionalBase62("G");
    if (count === 0) return;
    // Every lifetime worth binding is used, which takes characters.
    if (count >= this.end - this.start - this.#bound) throw MALFORMED;
    if (this.quiet) {
      this.#bound += count;
      return;
    }
    this.print("for<");
    for (let i = 0; i < count; i++) {
      this.#bound++;
      this.print(`${i > 0 ? ", " : ""}${this.#lifetime(1)}`);
    }
    this.print("> ");
  }

  #type(): void {
    this.enter();
    const tag = this.next();
    const basic = BASIC_TYPES[tag];
    if (basic !== undefined) this.print(basic);
    else this.#compoundType(tag);
    this.leave();
  }

  #compoundType(tag: string): void {
    switch (tag) {
      case "A":
        this.print("[");
        this.#type();
        this.print("; ");
        this.const(true);
        this.print("]");
        break;
      case "S":
        this.print("[");
        this.#type();
        this.print("]");
        break;
      case "T": {
        this.print("(");
        const count = this.list(() => this.#type());
        this.print(count === 1 ? ",)" : ")");
        break;
      }
      case "R":
      case "Q": {
        this.print("&");
        const lifetime = this.take("L") ? this.base62() : 0;
        if (lifetime > 0) this.print(`${this.#lifetime(lifetime)} `);
        if (tag === "Q") this.print("mut ");
        this.#type();
        break;
      }
      case "P":
      case "O":
        this.print(tag === "P" ? "*const " : "*mut ");
        this.#type();
        break;
      case "F":
        this.#function();
        break;
      case "D":
        this.#dyn();
        break;
      case "W":
        this.#type();
        this.print(" is ");
        this.#pattern();
        break;
      case "B":
        this.backReference(() => (this.#type(), false));
        break;
      default:
        // The tags of paths; the end of the name, where there is nothing to step back from, fails there too.
        if (tag !== "") this.at--;
        this.path(true, false);
    }
  }

  #function(): void {
    const bound = this.#bound;
    this.#binder();
    if (this.take("U")) this.print("unsafe ");
    if (this.take("K")) {
      let abi = "C";
      if (!this.take("C")) {
        if (this.text[this.at] === "u") throw MALFORMED;
        abi = this.identifier().replaceAll("_", "-");
      }
      this.print(`extern "${abi}" `);
    }
    this.print("fn(");
    this.list(() => this.#type());
    this.print(")");
    if (!this.take("u")) {
      this.print(" -> ");
      this.#type();
    }
    this.#bound = bound;
  }

  #dyn(): void {
    const bound = this.#bound;
    this.print("dyn ");
    this.#binder();
    this.list(() => {
      let open = this.path(true, true);
      while (this.take("p")) {
        this.print(open ? ", " : "<");
        open = true;
        this.print(`${this.identifier()} = `);
        this.#type();
      }
      if (open) this.print(">");
    }, " + ");
    this.#bound = bound;
    // The object's own lifetime is outside of the binder.
    if (!this.take("L")) throw MALFORMED;
    const lifetime = this.base62();
    if (lifetime > 0) this.print(` + ${this.#lifetime(lifetime)}`);
  }

  /** What values a pattern type has: a range, or several patterns. */
  #pattern(): void {
    this.enter();
    const tag = this.next();
    if (tag === "R") {
      this.const(true);
      this.print("..=");
      this.const(true);
    } else if (tag === "O") {
      this.list(() => this.#pattern(), " | ");
    } else if (tag === "N") {
      this.print("!null");
    } else {
      throw MALFORMED;
    }
    this.leave();
  }
}
