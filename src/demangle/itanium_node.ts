// Owns the tree that a mangled C++ name is parsed into: one class for all kinds of nodes, and shorthands for them.

/** Plain text. */
export const TEXT = 0;
/** `a::b`. */
export const NESTED = 1;
/** `a<list>`. */
export const TEMPLATED = 2;
/** `a`, of which `text` is a tag: `a[abi:text]`. */
export const TAGGED = 3;
/** A constructor or destructor: `text` is "" or "~", `a` the class. */
export const STRUCTOR = 4;
/** One of the standard abbreviations: `text` is its short name, behind `std::`. */
export const ABBREVIATION = 5;
/** The same with its template arguments, as a constructor's class is written. */
export const EXPANDED = 6;
/** A lambda: `text` is its number, `list` its parameters, `b` a LIST of template parameters. */
export const CLOSURE = 7;
/** A function: `a` its name, `b` its return type, `list` its parameters, `c` its constraint, `text` qualifiers. */
export const ENCODING = 8;
/** Nodes of `list` one behind the other. */
export const SEQUENCE = 9;
/** Nodes of `list` with commas between those that print anything. */
export const LIST = 10;
/** `a` and behind it qualifiers: `text` is " const", " volatile", … in that order. */
export const QUALIFIED = 11;
/** `a *`. */
export const POINTER = 12;
/** `a &` or `a &&`, which `text` says; they collapse. */
export const REFERENCE = 13;
/** A pointer to members of class `a`, which have type `b`. */
export const MEMBER_POINTER = 14;
/** `a [b]`. */
export const ARRAY = 15;
/** A function type: `a` returned, `list` taken, `text` its qualifiers, `b` its exception specification. */
export const FUNCTION = 16;
/** A template parameter that stands for the many of `list`: the current one of them. */
export const PACK = 17;
/** `a` once for each element of the packs in it. */
export const EXPANSION = 18;
/** A template parameter whose arguments come later in the name: `a` when they are known. */
export const FORWARD = 19;
/** `typename ...a` and the like: a declaration, `a` in front of the name `b`, `text` between them. */
export const DECLARATION = 20;
/** Objective-C's `objc_object`, `a`, with a protocol, `b`: a pointer to it is `id` and the protocol. */
export const OBJECT = 21;

const NONE: readonly Node[] = [];

/** A node; what its fields mean is told at each kind. One shape for all, so that every access is monomorphic. */
export class Node {
  readonly kind: number;
  readonly text: string;
  a: Node | undefined;
  readonly b: Node | undefined;
  c: Node | undefined;
  readonly list: readonly Node[];

  constructor(
    kind: number,
    text: string,
    a: Node | undefined,
    b: Node | undefined,
    list: readonly Node[],
    c: Node | undefined,
  ) {
    this.kind = kind;
    this.text = text;
    this.a = a;
    this.b = b;
    this.c = c;
    this.list = list;
  }
}

/** A node of `kind`. */
export function node(kind: number, a: Node | undefined, b?: Node, text: string = ""): Node {
  return new Node(kind, text, a, b, NONE, undefined);
}

/** A node of `kind` with a list. */
export function listNode(kind: number, list: readonly Node[], a?: Node, b?: Node, text: string = ""): Node {
  return new Node(kind, text, a, b, list, undefined);
}

/** Plain text. */
export function textNode(text: string): Node {
  return new Node(TEXT, text, undefined, undefined, NONE, undefined);
}

/** The parts one behind the other; empty strings are left out. */
export function sequence(...parts: (Node | string)[]): Node {
  const list: Node[] = [];
  for (const part of parts) {
    if (typeof part !== "string") list.push(part);
    else if (part !== "") list.push(textNode(part));
  }
  return listNode(SEQUENCE, list);
}

/** The nodes with commas between them. */
export function commas(list: readonly Node[]): Node {
  return listNode(LIST, list);
}

/** The name that a constructor of `name` repeats: its last part without template arguments and tags. */
export function baseName(name: Node): string {
  let at: Node | undefined = name;
  while (at !== undefined) {
    switch (at.kind) {
      case TEXT:
        // 'unnamed' and the like are no names.
        return at.text.charCodeAt(0) === 0x27 ? "" : at.text;
      case ABBREVIATION:
        return at.text;
      case EXPANDED:
        return at.text === "allocator" || at.text.startsWith("basic_") ? at.text : `basic_${at.text}`;
      case NESTED:
        at = at.b;
        break;
      case TEMPLATED:
      case TAGGED:
        at = at.a;
        break;
      default:
        return "";
    }
  }
  return "";
}
