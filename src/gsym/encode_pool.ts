// Owns the distinct strings and files that functions to be written name, by number.
import { ByteSink } from "./encode_bytes.ts";

/** The string at offset 0 of every string table, which stands for none. */
export const NO_STRING = 0;
/**
 * An empty string that is not at offset 0. LLVM's readers refuse a function whose name is at offset 0, and take a
 * call from a file whose directory and name are both there for no call.
 */
export const EMPTY_STRING = 1;
/** The file of index 0, which stands for none. */
export const NO_FILE = 0;
/** A file whose path is not known, to be named where {@linkcode NO_FILE} would not do. */
export const UNKNOWN_FILE = 1;

const encoder = new TextEncoder();

/** Distinct strings in UTF-8, by number: bytes and three numbers for each, no object. */
export class StringPool {
  /** The strings, each with a zero behind it. */
  readonly #sink = new ByteSink(1 << 16);
  /** Where each begins, and where the next would. */
  #starts: Uint32Array = new Uint32Array(1024);
  #hashes: Uint32Array = new Uint32Array(1024);
  /** Numbers plus 1 by hash; 0 where there is none. */
  #slots: Uint32Array = new Uint32Array(4096);
  #scratch: Uint8Array<ArrayBuffer> = new Uint8Array(1024);
  length = 0;

  constructor() {
    this.#append(0, 0);
    this.#append(0, 0);
  }

  /** Number of a string; an empty one is {@linkcode NO_STRING}. */
  intern(text: string): number {
    if (text === "") return NO_STRING;
    if (this.#scratch.length < 3 * text.length) this.#scratch = new Uint8Array(6 * text.length);
    const scratch = this.#scratch;
    const count = encoder.encodeInto(text, scratch).written;
    let hash = 0x811c_9dc5;
    for (let i = 0; i < count; i++) hash = Math.imul(hash ^ scratch[i], 0x0100_0193);
    hash = (hash ^ (hash >>> 15)) >>> 0;
    if (2 * this.length >= this.#slots.length) this.#rehash();
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const number = this.#slots[slot] - 1;
      if (this.#hashes[number] === hash && this.#equals(number, count)) return number;
    }
    this.#slots[slot] = this.length + 1;
    return this.#append(count, hash);
  }

  #equals(number: number, count: number): boolean {
    const at = this.#starts[number];
    if (this.#starts[number + 1] - at - 1 !== count) return false;
    const { bytes } = this.#sink;
    for (let i = 0; i < count; i++) if (bytes[at + i] !== this.#scratch[i]) return false;
    return true;
  }

  #append(count: number, hash: number): number {
    if (this.length + 1 === this.#starts.length) {
      this.#starts = grown(this.#starts);
      this.#hashes = grown(this.#hashes);
    }
    const sink = this.#sink;
    if (sink.length + count + 1 > 0xffff_ffff) throw new RangeError("the strings take more than 4 GiB");
    sink.copy(this.#scratch, 0, count);
    sink.u8(0);
    this.#hashes[this.length] = hash;
    this.#starts[++this.length] = sink.length;
    return this.length - 1;
  }

  #rehash(): void {
    this.#slots = new Uint32Array(2 * this.#slots.length);
    const mask = this.#slots.length - 1;
    for (let number = EMPTY_STRING + 1; number < this.length; number++) {
      let slot = this.#hashes[number] & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = number + 1;
    }
  }

  /** Bytes of a string with the zero behind it. */
  size(number: number): number {
    return this.#starts[number + 1] - this.#starts[number];
  }

  /** Writes a string with the zero behind it. */
  write(number: number, out: ByteSink): void {
    out.copy(this.#sink.bytes, this.#starts[number], this.#starts[number + 1]);
  }

  /** Whether a string begins as names do that were mangled, of C++ or Rust. */
  isMangled(number: number): boolean {
    const { bytes } = this.#sink;
    const at = this.#starts[number];
    return bytes[at] === 0x5f && (bytes[at + 1] === 0x5a || bytes[at + 1] === 0x52);
  }
}

/** Distinct files, by number: directory and name. */
export class FilePool {
  readonly #strings: StringPool;
  readonly #numbers = new Map<number, number>();
  #dirs: Uint32Array = new Uint32Array(256);
  #bases: Uint32Array = new Uint32Array(256);
  length = 0;

  constructor(strings: StringPool) {
    this.#strings = strings;
    this.#append(NO_STRING, NO_STRING);
    this.#append(NO_STRING, EMPTY_STRING);
  }

  /**
   * Number of the file with a path; of "" it is {@linkcode NO_FILE}. Directory and name joined by "/" are the
   * path.
   */
  intern(path: string): number {
    if (path === "") return NO_FILE;
    const slash = path.lastIndexOf("/");
    // Of a file in the root the directory would be empty, and lost.
    const dir = slash > 0 ? this.#strings.intern(path.slice(0, slash)) : NO_STRING;
    const base = this.#strings.intern(slash > 0 ? path.slice(slash + 1) : path);
    const key = dir * 0x400_0000 + base; // there is no memory for 2^26 strings
    let number = this.#numbers.get(key);
    if (number === undefined) this.#numbers.set(key, number = this.#append(dir, base));
    return number;
  }

  #append(dir: number, base: number): number {
    if (this.length === this.#dirs.length) {
      this.#dirs = grown(this.#dirs);
      this.#bases = grown(this.#bases);
    }
    this.#dirs[this.length] = dir;
    this.#bases[this.length] = base;
    return this.length++;
  }

  /** Number of the string with a file's directory. */
  dir(number: number): number {
    return this.#dirs[number];
  }

  /** Number of the string with its name. */
  base(number: number): number {
    return this.#bases[number];
  }
}

/** A copy with twice the room. */
export function grown(words: Uint32Array): Uint32Array {
  const out = new Uint32Array(2 * words.length);
  out.set(words);
  return out;
}
