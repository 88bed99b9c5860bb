// Owns FrameRows: symbolized frames as growable columns, and what the numbers in them mean.
import type { FormatError } from "../base/format_error.ts";
import type { Dwarf } from "../dwarf/dwarf.ts";
import { GSYM_MISS, type GsymLookup } from "../gsym/lookup.ts";
import type { SymbolTable } from "./symbol_table.ts";
import type { SymbolTableKind } from "./symbol_source.ts";

/** Where a frame's name came from. */
export type FrameSource = SymbolTableKind | "DWARF" | "GSYM";

/** One function that an address is in: the innermost is the one whose code it is, the others were inlined around it. */
export interface SymbolizedFrame {
  /** Linkage name, as the symbol table or DW_AT_linkage_name has it; else DW_AT_name; `undefined` if there is none. */
  name: string | undefined;
  /** The name as it stands in the source, for C++ and Rust; `name` itself where that is not mangled. */
  demangled: string | undefined;
  /**
   * Path of the source file, absolute where the compiler said so; where there is no line, the bare name that a symbol
   * table may have of it. `undefined` if not known.
   */
  file: string | undefined;
  /** Line in it, from 1; 0 for code that is of no line; `undefined` if not known. */
  line: number | undefined;
  /** Column in the line, from 1; 0 or `undefined` if not known. */
  column: number | undefined;
  /** Whether this function was inlined into the next frame's. */
  inlined: boolean;
  /** Where the name is from. With "DWARF" and without a name: only the line is known. */
  source: FrameSource;
}

/** What the numbers of one program's frames mean. Holds on to the program, evicted or not. */
export interface FrameNames {
  readonly symbols: SymbolTable | undefined;
  readonly dwarf: Dwarf | undefined;
  readonly gsym: GsymLookup | undefined;
}

/**
 * Most frames of one address: in hostile files calls are inlined into each other a million deep, at every address.
 * Real ones stay below 50. Of more the innermost and the outermost are kept.
 */
const MOST_INLINED = 128;

/** The file, without a directory, is what the symbol table says of the symbol. */
export const FILE_OF_SYMBOL = -1;

/** Numbers of a row, and their places. */
const ROW = 5;
/** Eight times the program's number, and the three marks below. */
const PROGRAM = 0;
/** Number of the name: in the symbol table, or in the functions of the DWARF or GSYM. */
const NAME = 1;
/** Number of the path in their files; 0 if not known; or {@linkcode FILE_OF_SYMBOL}. */
const FILE = 2;
/** -1 if not known. */
const LINE = 3;
const COLUMN = 4;
/** Added to the program's: the name is of the symbol table. */
const FROM_SYMBOLS = 1;
/** Added to the program's: the function was inlined into the next row's. */
const INLINED = 2;
/** Added to the program's: name and file are of the GSYM. */
const FROM_GSYM = 4;
/** Bits of the marks. */
const MARKS = 3;

/** Symbolized frames in one array that grows. */
export class FrameRows {
  length = 0;
  words: Int32Array;

  constructor(capacity: number) {
    this.words = new Int32Array(capacity * ROW);
  }

  /** Adds a row. */
  push(program: number, name: number, file: number, line: number, column: number): void {
    const at = this.length++ * ROW;
    if (at === this.words.length) this.#grow();
    const { words } = this;
    words[at + PROGRAM] = program;
    words[at + NAME] = name;
    words[at + FILE] = file;
    words[at + LINE] = line;
    words[at + COLUMN] = column;
  }

  #grow(): void {
    const words = new Int32Array(2 * this.words.length);
    words.set(this.words);
    this.words = words;
  }

  /** Number of a row's program. */
  program(row: number): number {
    return this.words[row * ROW + PROGRAM] >> MARKS;
  }

  inlined(row: number): boolean {
    return (this.words[row * ROW + PROGRAM] & INLINED) !== 0;
  }

  line(row: number): number | undefined {
    const line = this.words[row * ROW + LINE];
    return line < 0 ? undefined : line;
  }

  column(row: number): number | undefined {
    const column = this.words[row * ROW + COLUMN];
    return column < 0 ? undefined : column;
  }

  /** Linkage name of a row. */
  name(row: number, { symbols, dwarf, gsym }: FrameNames): string | undefined {
    const name = this.words[row * ROW + NAME];
    const marks = this.words[row * ROW + PROGRAM];
    if ((marks & FROM_SYMBOLS) !== 0) return symbols!.name(name);
    if (name === 0) return undefined;
    return ((marks & FROM_GSYM) !== 0 ? gsym! : dwarf!).functions.names[name];
  }

  /** Path of a row's source file. */
  file(row: number, { symbols, dwarf, gsym }: FrameNames): string | undefined {
    const file = this.words[row * ROW + FILE];
    if (file === FILE_OF_SYMBOL) return symbols!.file(this.words[row * ROW + NAME]);
    if (file === 0) return undefined;
    return ((this.words[row * ROW + PROGRAM] & FROM_GSYM) !== 0 ? gsym! : dwarf!).files.names[file];
  }

  /** Where a row's name is from. */
  source(row: number, { symbols }: FrameNames): FrameSource {
    const marks = this.words[row * ROW + PROGRAM];
    if ((marks & FROM_GSYM) !== 0) return "GSYM";
    if ((marks & FROM_SYMBOLS) === 0) return "DWARF";
    return symbols!.kindOf(this.words[row * ROW + NAME]) ?? ".symtab";
  }

  /** A row as an object. @param demangled What its name is in the source. */
  frame(row: number, names: FrameNames, demangled: (name: string) => string): SymbolizedFrame {
    const name = this.name(row, names);
    return {
      name,
      demangled: name === undefined ? undefined : demangled(name),
      file: this.file(row, names),
      line: this.line(row),
      column: this.column(row),
      inlined: this.inlined(row),
      source: this.source(row, names),
    };
  }
}

/** What is malformed in what was read for an address; `undefined` if nothing is. */
export function problemAt(
  { dwarf, gsym }: FrameNames,
  addressHi: number,
  addressLo: number,
): FormatError | undefined {
  const problem = dwarf?.problemAt(dwarf.address(addressHi, addressLo));
  if (problem !== undefined || gsym === undefined) return problem;
  gsym.lookup(addressHi, addressLo);
  return gsym.problem;
}

/** What {@linkcode appendFrames} answers: nothing is known there, */
export const NOTHING = 0;
/** frames were appended, */
export const FOUND = 1;
/** or it can't be said before the GSYM's missing parts are fetched. */
export const MISSING = -1;

/**
 * Appends the frames of one address, innermost first; returns {@linkcode FOUND} if there were any.
 *
 * The rules are llvm-symbolizer's: the innermost frame's line is the line table's, every other one's is that of the
 * call inlined into it; and the outermost is named by the symbol table where that knows the address, since a compiler
 * may have split the function (`f.cold`) or told no linkage name. A GSYM has all of that in it already, and is asked
 * where the DWARF knows nothing.
 *
 * @param addressHi The address to look up, its upper 32 bits, unsigned. @param symbol Its symbol, or -1.
 */
export function appendFrames(
  rows: FrameRows,
  program: number,
  { dwarf, gsym }: FrameNames,
  addressHi: number,
  addressLo: number,
  symbol: number,
): number {
  const before = rows.length;
  const tag = program << MARKS;
  if (dwarf !== undefined) {
    const address = dwarf.address(addressHi, addressLo);
    const unit = dwarf.unitAt(address);
    const code = unit < 0 ? null : dwarf.unit(unit);
    if (code !== null) {
      const lines = code.rows;
      const row = lines === undefined ? -1 : lines.lookup(address);
      let file = row < 0 ? 0 : code.file(lines!.file(row));
      let line = row < 0 ? -1 : lines!.line(row);
      let column = row < 0 ? -1 : lines!.column(row);
      // The outermost function has the symbol's name: without inlined calls there is nothing else to learn.
      const scopes = code.hasInlined || symbol < 0 ? code.scopes : null;
      let scope = scopes === null ? -1 : scopes.lookup(address);
      if (scope >= 0) {
        let parent = scopes!.parent(scope);
        for (let depth = 1; parent >= 0; parent = scopes!.parent(scope)) {
          rows.push(tag | INLINED, code.functionName(scope), file, line, column);
          file = code.callFile(scope);
          line = scopes!.callLine(scope);
          column = scopes!.callColumn(scope);
          scope = ++depth < MOST_INLINED ? parent : scopes!.root(parent);
        }
        if (symbol < 0) rows.push(tag, code.functionName(scope), file, line, column);
      } else if (row >= 0 && symbol < 0) rows.push(tag, 0, file, line, column);
      if (symbol >= 0 && (scope >= 0 || row >= 0)) {
        rows.push(tag | FROM_SYMBOLS, symbol, file === 0 ? FILE_OF_SYMBOL : file, line, column);
        return FOUND;
      }
    }
  }
  if (gsym !== undefined && rows.length === before) {
    const count = gsym.lookup(addressHi, addressLo);
    if (count === GSYM_MISS) return MISSING;
    for (let i = 0; i < count; i++) {
      const marks = i < count - 1 ? FROM_GSYM | INLINED : FROM_GSYM;
      rows.push(tag | marks, gsym.name(i), gsym.file(i), gsym.line(i), -1);
    }
    if (count > 0) return FOUND;
  }
  if (symbol >= 0) rows.push(tag | FROM_SYMBOLS, symbol, FILE_OF_SYMBOL, -1, -1);
  return rows.length > before ? FOUND : NOTHING;
}
