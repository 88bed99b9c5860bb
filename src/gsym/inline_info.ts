// Owns InlineInfo: the tree of inlined calls of one function, walked without recursion.
import type { LebReader } from "./leb_reader.ts";

/** How many inlined calls around an address are kept, counted from the innermost. */
export const MOST_CALLS = 127;

/** The calls inlined into each other at one address; what has no call site is left out. */
export class InlineStack {
  readonly #reader: LebReader;
  /** How many there are; of more than {@linkcode MOST_CALLS} the outermost are overwritten. */
  length = 0;
  /** File and line of the outermost call. */
  firstFile = 0;
  firstLine = 0;
  readonly #names = new Float64Array(MOST_CALLS);
  readonly #starts = new Float64Array(MOST_CALLS);
  readonly #files = new Uint32Array(MOST_CALLS);
  readonly #lines = new Uint32Array(MOST_CALLS);

  constructor(reader: LebReader) {
    this.#reader = reader;
  }

  /** How many are kept. */
  get kept(): number {
    return Math.min(this.length, MOST_CALLS);
  }

  /** Place of the one `depth` calls out from the innermost. */
  slot(depth: number): number {
    return (this.length - 1 - depth) % MOST_CALLS;
  }

  /** Offset of the function's name in the string table. */
  name(slot: number): number {
    return this.#names[slot];
  }

  /** Where its first range begins, in bytes from the function's start. */
  start(slot: number): number {
    return this.#starts[slot];
  }

  /** Number of the call's file in the file table. */
  callFile(slot: number): number {
    return this.#files[slot];
  }

  callLine(slot: number): number {
    return this.#lines[slot];
  }

  /**
   * Walks from the root to the innermost call around an offset from the function's start, each byte once:
   * InlineInfo.cpp, lookup. Of siblings that overlap the first wins.
   *
   * @param wordSize Size of string offsets.
   */
  find(offset: number, wordSize: number, littleEndian: boolean): void {
    const reader = this.#reader;
    this.length = 0;
    let base = 0;
    for (let root = true;; root = false) {
      const ranges = reader.uleb();
      if (ranges === 0) return; // no further sibling
      let start = 0;
      let inside = false;
      for (let i = 0; i < ranges; i++) {
        const from = base + reader.uleb();
        const size = reader.uleb();
        if (i === 0) start = from;
        if (offset >= from && offset - from < size) inside = true;
      }
      const hasChildren = reader.byte() !== 0;
      if (!inside) {
        if (root) return;
        reader.skip(wordSize);
        reader.uleb();
        reader.uleb();
        if (hasChildren) this.#passOver(wordSize);
        continue;
      }
      const name = stringOffset(reader, wordSize, littleEndian);
      const file = reader.uleb() >>> 0;
      const line = reader.uleb() >>> 0;
      if (file !== 0) {
        const slot = this.length++ % MOST_CALLS;
        this.#names[slot] = name;
        this.#starts[slot] = start;
        this.#files[slot] = file;
        this.#lines[slot] = line;
        if (this.length === 1) {
          this.firstFile = file;
          this.firstLine = line;
        }
      }
      if (!hasChildren) return;
      base = start;
    }
  }

  /** Passes over the children of a node, and theirs. */
  #passOver(wordSize: number): void {
    const reader = this.#reader;
    for (let depth = 1; depth > 0;) {
      const ranges = reader.uleb();
      if (ranges === 0) {
        depth--;
        continue;
      }
      for (let i = 0; i < ranges; i++) {
        reader.uleb();
        reader.uleb();
      }
      const hasChildren = reader.byte() !== 0;
      reader.skip(wordSize);
      reader.uleb();
      reader.uleb();
      if (hasChildren) depth++;
    }
  }
}

/** An offset in the string table, of 4 or 8 bytes; exact up to 2^53. */
export function stringOffset(reader: LebReader, wordSize: number, littleEndian: boolean): number {
  let value = 0;
  const { at, bytes } = reader;
  reader.skip(wordSize);
  for (let i = 0; i < wordSize; i++) value = value * 256 + bytes[littleEndian ? at + wordSize - 1 - i : at + i];
  return value;
}
