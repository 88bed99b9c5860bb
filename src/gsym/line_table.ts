// Owns LineTable: the program of address and line steps of one function, as lookups and whole decoding run it.
import {
  LINE_ADVANCE_LINE,
  LINE_ADVANCE_PC,
  LINE_END_SEQUENCE,
  LINE_FIRST_SPECIAL,
  LINE_SET_FILE,
} from "./format.ts";
import type { LebReader } from "./leb_reader.ts";

/** The row that a lookup found last. */
export interface LineRow {
  /** Bytes from the function's start. */
  offset: number;
  /** Number in the file table; 0 if there is no row. */
  file: number;
  line: number;
}

/** Runs line programs; each opcode is one step, so that a run takes at most as many as there are bytes. */
export class LineProgramRunner {
  readonly #reader: LebReader;
  /** Of the current row: bytes from the function's start, */
  offset = 0;
  /** number in the file table, */
  file = 1;
  /** and line. */
  line = 0;
  #min = 0;
  #range = 0;

  constructor(reader: LebReader) {
    this.#reader = reader;
  }

  /** Begins with the range that the reader was opened on. */
  start(): void {
    const reader = this.#reader;
    this.#min = reader.sleb();
    this.#range = reader.sleb() - this.#min + 1;
    this.line = reader.uleb() >>> 0;
    this.offset = 0;
    this.file = 1;
  }

  /** Steps to the next row; `false` at the end. */
  next(): boolean {
    const reader = this.#reader;
    for (;;) {
      const opcode = reader.byte();
      if (opcode >= LINE_FIRST_SPECIAL) {
        if (!(this.#range > 0)) reader.refuse("has special opcodes and no range of lines for them", opcode);
        const adjusted = opcode - LINE_FIRST_SPECIAL;
        // Lines are 32-bit numbers that wrap around.
        this.line = (this.line + this.#min + adjusted % this.#range) >>> 0;
        this.offset += Math.floor(adjusted / this.#range);
        return true;
      }
      switch (opcode) {
        case LINE_END_SEQUENCE:
          return false;
        case LINE_SET_FILE:
          this.file = reader.uleb() >>> 0;
          break;
        case LINE_ADVANCE_PC:
          this.offset += reader.uleb();
          return true;
        case LINE_ADVANCE_LINE:
          this.line = (this.line + reader.sleb()) >>> 0;
      }
    }
  }

  /**
   * The row for an offset goes to `row`: the first one at it, else the last before it, as LLVM 14 looks lines up
   * (LineTable.cpp, LineTable::lookup).
   */
  find(offset: number, row: LineRow): void {
    this.start();
    row.file = 0;
    row.offset = -1;
    while (row.offset !== offset && this.next() && this.offset <= offset) {
      row.offset = this.offset;
      row.file = this.file;
      row.line = this.line;
    }
  }
}
