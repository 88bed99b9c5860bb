// Owns NameTable: distinct names by number, with a limit on what a hostile file can make of few bytes.

/** Names of up to this many characters are cut last. */
const SHORT_NAME = 256;
/** What is left of them once even these have passed the limit. */
const SHORTEST_NAME = 16;
/** How many times the bytes they come from all names may add up to, and what they may in any case. */
const NAMES_TO_BYTES = 4;
const NAMES_AT_LEAST = 1 << 20;

/**
 * The distinct names of one program, by number; 0 is for none. In a hostile file a name can begin at every byte of
 * one long string; where the names add up to more than any compiler makes of so many bytes, further long ones are cut,
 * and in the end all of them.
 */
export class NameTable {
  readonly names: string[] = [""];
  readonly #numbers = new Map<string, number>([["", 0]]);
  #left: number;

  /** @param bytes Size of the sections that the names come from. */
  constructor(bytes: number) {
    this.#left = Math.max(NAMES_AT_LEAST, NAMES_TO_BYTES * bytes);
  }

  /** The number of a name. */
  intern(name: string): number {
    if (name.length > this.#left) {
      const most = this.#left > -NAMES_AT_LEAST ? SHORT_NAME : SHORTEST_NAME;
      if (name.length > most) name = name.slice(0, most) + "…";
    }
    let number = this.#numbers.get(name);
    if (number === undefined) {
      this.#left -= name.length;
      number = this.names.push(name) - 1;
      this.#numbers.set(name, number);
    }
    return number;
  }
}
