// Owns GsymPlan: where in the file each function, string and file entry will be, block by block.
import { type ByteSink, ulebSize } from "./encode_bytes.ts";
import type { FunctionList, SettledFunctions } from "./creator_functions.ts";
import { CONTROL, END_INFO, END_TEMPLATE, FILE, FIRST_FILE, LITERAL, STRING } from "./encode_function.ts";
import { type FilePool, grown, NO_FILE, NO_STRING, type StringPool } from "./encode_pool.ts";
import { INFO_END_OF_LIST, LINE_SET_FILE } from "./format.ts";

/** File entries and strings that one block after the other names, in the order of the file. */
class NumberList {
  length = 0;
  words: Uint32Array = new Uint32Array(1024);

  push(number: number): void {
    if (this.length === this.words.length) this.words = grown(this.words);
    this.words[this.length++] = number;
  }
}

/** Bytes of an entry in the address table, nearly always. */
const ADDRESS_BYTES = 4;

/** What a plan is made of. */
export interface PlanInput {
  functions: FunctionList;
  settled: SettledFunctions;
  strings: StringPool;
  files: FilePool;
  /** Bytes of a string's offset: 4 in version 1, 8 in version 2. */
  stringSize: number;
  /** A block that has as many bytes, in all tables together, takes no further function. */
  blockBytes: number;
}

/**
 * Where everything will be. A block's functions name strings and file entries of its own: those that several blocks
 * name are there several times, so that each block needs one piece of each table.
 */
export class GsymPlan {
  readonly count: number;
  /** Bytes of the string table. */
  stringBytes = 1;
  /** Entries of the file table. */
  fileCount = 1;
  /** Bytes of all FunctionInfos, */
  infoBytes = 0;
  /** and where in them each one begins. */
  readonly infoOffsets: Float64Array;
  /**
   * For each block, and the end of the last, its first function, and where its first FunctionInfo, string and file
   * entry are in their tables.
   */
  readonly blockFirst: number[] = [];
  readonly blockInfos: number[] = [];
  readonly blockStrings: number[] = [];
  readonly blockFiles: number[] = [];
  readonly #input: PlanInput;
  readonly #strings = new NumberList();
  readonly #files = new NumberList();
  /** For each block, and the end of the last, where its numbers begin in these lists. */
  readonly #stringsFrom: number[] = [];
  readonly #filesFrom: number[] = [];
  /** For each string and file the block that it was last given a place in, plus 1, and the place. */
  readonly #stringBlock: Uint32Array;
  readonly #stringPlace: Float64Array;
  readonly #fileBlock: Uint32Array;
  readonly #filePlace: Uint32Array;

  constructor(input: PlanInput) {
    this.#input = input;
    const { settled, strings, files, blockBytes } = input;
    this.count = settled.order.length;
    this.infoOffsets = new Float64Array(this.count);
    this.#stringBlock = new Uint32Array(strings.length);
    this.#stringPlace = new Float64Array(strings.length);
    this.#fileBlock = new Uint32Array(files.length);
    this.#filePlace = new Uint32Array(files.length);
    for (let place = 0; place < this.count; place++) {
      if (place === 0 || this.#blockSize(place) >= blockBytes) this.#mark(place);
      this.#measure(this.blockFirst.length - 1, place);
    }
    this.#mark(this.count);
  }

  /** How many blocks there are. */
  get blockCount(): number {
    return this.blockFirst.length - 1;
  }

  /** Bytes of the block that ends before `place`, in all tables: what reading it takes. */
  #blockSize(place: number): number {
    const block = this.blockFirst.length - 1;
    return this.infoBytes - this.blockInfos[block] + this.stringBytes - this.blockStrings[block] +
      (this.fileCount - this.blockFiles[block]) * 2 * this.#input.stringSize +
      (place - this.blockFirst[block]) * ADDRESS_BYTES;
  }

  /** Begins a block; after the last function, marks the end. */
  #mark(place: number): void {
    this.infoBytes = align4(this.infoBytes);
    this.blockFirst.push(place);
    this.blockInfos.push(this.infoBytes);
    this.blockStrings.push(this.stringBytes);
    this.blockFiles.push(this.fileCount);
    this.#stringsFrom.push(this.#strings.length);
    this.#filesFrom.push(this.#files.length);
  }

  #measure(block: number, place: number): void {
    const { functions, settled, stringSize } = this.#input;
    const index = settled.order[place];
    this.infoBytes = align4(this.infoBytes);
    this.infoOffsets[place] = this.infoBytes;
    this.#takeString(block, settled.names[index]);
    let size = 4 + stringSize + 8;
    const parts = new Parts(functions.slab(index), functions.templateAt(index));
    while (parts.next()) {
      const { kind, number } = parts;
      if (kind === LITERAL) {
        size += number;
        parts.at += number;
      } else if (kind === STRING) {
        this.#takeString(block, number);
        size += stringSize;
      } else if (kind === FILE) size += ulebSize(this.#takeFile(block, number));
      else if (number === FIRST_FILE) {
        const file = this.#takeFile(block, parts.uleb());
        if (file !== 1) size += 1 + ulebSize(file);
      } else if (number !== END_INFO) size += 8;
    }
    this.infoBytes += size;
  }

  #takeString(block: number, number: number): void {
    if (number === NO_STRING || this.#stringBlock[number] === block + 1) return;
    this.#stringBlock[number] = block + 1;
    this.#strings.push(number);
    this.stringBytes += this.#input.strings.size(number);
  }

  #takeFile(block: number, number: number): number {
    if (number === NO_FILE) return 0;
    if (this.#fileBlock[number] !== block + 1) {
      const { files } = this.#input;
      this.#fileBlock[number] = block + 1;
      this.#filePlace[number] = this.fileCount++;
      this.#files.push(number);
      this.#takeString(block, files.dir(number));
      this.#takeString(block, files.base(number));
    }
    return this.#filePlace[number];
  }

  /** Gives the strings of a block their places again. */
  #placeStrings(block: number): void {
    const { strings } = this.#input;
    let place = this.blockStrings[block];
    for (let i = this.#stringsFrom[block]; i < this.#stringsFrom[block + 1]; i++) {
      const number = this.#strings.words[i];
      this.#stringPlace[number] = place;
      place += strings.size(number);
    }
  }

  /** Writes the file table but for the count before it. Yields where `full` says so. */
  *writeFiles(out: ByteSink, full: (out: ByteSink) => boolean): Generator<void> {
    const { files, stringSize } = this.#input;
    const place = (string: number) => {
      const offset = string === NO_STRING ? 0 : this.#stringPlace[string];
      if (stringSize === 4) out.u32(offset);
      else out.u64(offset);
    };
    place(NO_STRING);
    place(NO_STRING);
    for (let block = 0; block < this.blockCount; block++) {
      this.#placeStrings(block);
      for (let i = this.#filesFrom[block]; i < this.#filesFrom[block + 1]; i++) {
        place(files.dir(this.#files.words[i]));
        place(files.base(this.#files.words[i]));
        if (full(out)) yield;
      }
    }
  }

  /** Writes the string table. */
  *writeStrings(out: ByteSink, full: (out: ByteSink) => boolean): Generator<void> {
    const { strings } = this.#input;
    out.u8(0);
    for (let i = 0; i < this.#strings.length; i++) {
      strings.write(this.#strings.words[i], out);
      if (full(out)) yield;
    }
  }

  /** Writes all FunctionInfos, each and their end padded to a multiple of 4. */
  *writeInfos(out: ByteSink, full: (out: ByteSink) => boolean): Generator<void> {
    let padding = 0;
    for (let block = 0; block < this.blockCount; block++) {
      this.#placeStrings(block);
      let place = this.blockFiles[block];
      for (let i = this.#filesFrom[block]; i < this.#filesFrom[block + 1]; i++) {
        this.#filePlace[this.#files.words[i]] = place++;
      }
      for (let place = this.blockFirst[block]; place < this.blockFirst[block + 1]; place++) {
        for (; padding > 0; padding--) out.u8(0);
        const before = out.length;
        this.#writeInfo(out, place);
        padding = -(out.length - before) & 3;
        if (full(out)) yield;
      }
    }
    for (; padding > 0; padding--) out.u8(0);
  }

  #writeInfo(out: ByteSink, place: number): void {
    const { functions, settled, stringSize } = this.#input;
    const index = settled.order[place];
    const putString = (number: number): void => {
      const offset = number === NO_STRING ? 0 : this.#stringPlace[number];
      if (stringSize === 4) out.u32(offset);
      else out.u64(offset);
    };
    out.u32(settled.sizes[index]);
    putString(settled.names[index]);
    const slab = functions.slab(index);
    const parts = new Parts(slab, functions.templateAt(index));
    let begin = 0;
    while (parts.next()) {
      const { kind, number } = parts;
      if (kind === LITERAL) {
        out.copy(slab, parts.at, parts.at + number);
        parts.at += number;
      } else if (kind === STRING) putString(number);
      else if (kind === FILE) out.uleb(number === NO_FILE ? 0 : this.#filePlace[number]);
      else if (number === FIRST_FILE) {
        const one = parts.uleb();
        const file = one === NO_FILE ? 0 : this.#filePlace[one];
        if (file !== 1) {
          out.u8(LINE_SET_FILE);
          out.uleb(file);
        }
      } else if (number === END_INFO) out.patchU32(begin - 4, out.length - begin);
      else {
        out.u32(number);
        out.u32(0);
        begin = out.length;
      }
    }
    out.u32(INFO_END_OF_LIST);
    out.u32(0);
  }
}

/** The parts of a template, one after the other. */
class Parts {
  at: number;
  kind = 0;
  number = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** Goes to the next part; false at the end. */
  next(): boolean {
    const tag = this.uleb();
    this.kind = tag % 4;
    this.number = (tag - this.kind) / 4;
    return !(this.kind === CONTROL && this.number === END_TEMPLATE);
  }

  uleb(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }
}

function align4(value: number): number {
  return Math.ceil(value / 4) * 4;
}
