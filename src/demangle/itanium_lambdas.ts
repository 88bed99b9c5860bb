// Owns the types without names of the Itanium C++ ABI: lambdas with what they declare, unnamed classes, blocks.
import { fail } from "./itanium_cursor.ts";
import { NameParser } from "./itanium_names.ts";
import {
  CLOSURE,
  commas,
  DECLARATION,
  listNode,
  type Node,
  node,
  PACK,
  sequence,
  textNode,
} from "./itanium_node.ts";

const TYPENAME = textNode("typename");

/** Lambdas and unnamed types. */
export abstract class LambdaParser extends NameParser {
  /** How many template parameters lambdas have declared so far, of types, values and templates. */
  readonly #declared: [number, number, number] = [0, 0, 0];

  override unnamedType(): Node {
    this.expect(0x55);
    if (this.take(0x74)) {
      const count = this.digits();
      this.expect(0x5f);
      return textNode(`'unnamed${count}'`);
    }
    if (this.take(0x62)) {
      this.digits();
      this.expect(0x5f);
      return textNode("'block-literal'");
    }
    if (!this.take(0x6c)) fail();
    const lambdaLevel = this.lambdaLevel;
    const levels = this.params.length;
    const declared = [...this.#declared];
    this.lambdaLevel = levels;
    const own: Node[] = [];
    const declarations: Node[] = [];
    this.params.push(own);
    while (this.look() === 0x54 && this.#declares(this.look(1))) declarations.push(this.#declaration(own));
    // Without declarations T_ is a parameter of type auto; level by level, as the ABI counts them.
    if (declarations.length === 0) this.params.pop();
    const list: Node[] = [];
    if (!this.take(0x76)) { while (this.look() !== 0x45 && this.look() !== 0x51) list.push(this.type()); }
    if (this.take(0x51)) this.expression();
    this.expect(0x45);
    this.params.length = levels;
    this.lambdaLevel = lambdaLevel;
    [this.#declared[0], this.#declared[1], this.#declared[2]] = declared;
    const count = this.digits();
    this.expect(0x5f);
    return listNode(CLOSURE, list, undefined, declarations.length > 0 ? commas(declarations) : undefined, count);
  }

  /** Whether `T` and `letter` declare a template parameter. */
  #declares(letter: number): boolean {
    return letter === 0x79 || letter === 0x6e || letter === 0x74 || letter === 0x70 || letter === 0x6b;
  }

  /** A lambda's template parameter; its name, which is made up, goes to `own`. */
  #declaration(own: Node[]): Node {
    this.enter();
    this.expect(0x54);
    const letter = this.input[this.at++];
    let result: Node;
    if (letter === "y") {
      result = node(DECLARATION, TYPENAME, this.#declare(own, 0, "$T"), " ");
    } else if (letter === "k") {
      const constraint = this.name();
      result = node(DECLARATION, constraint, this.#declare(own, 0, "$T"), " ");
    } else if (letter === "n") {
      const name = this.#declare(own, 1, "$N");
      result = node(DECLARATION, this.type(), name, " ");
    } else if (letter === "t") {
      const name = this.#declare(own, 2, "$TT");
      const inner: Node[] = [];
      const list: Node[] = [];
      this.params.push(inner);
      while (!this.take(0x45)) list.push(this.#declaration(inner));
      this.params.pop();
      result = sequence("template<", commas(list), "> typename ", name);
    } else if (letter === "p") {
      const from = own.length;
      const element = this.#declaration(own);
      const name = own[from];
      // The declaration as before, with dots in front of the name.
      if (element.kind === DECLARATION) result = node(DECLARATION, element.a, name, " ...");
      else result = listNode(element.kind, [...element.list.slice(0, -1), textNode("..."), name]);
      own[from] = listNode(PACK, [name]);
    } else {
      fail();
    }
    this.depth--;
    return result;
  }

  #declare(own: Node[], kind: 0 | 1 | 2, name: string): Node {
    const number = this.#declared[kind]++;
    const result = textNode(number === 0 ? name : `${name}${number - 1}`);
    own.push(result);
    return result;
  }
}
