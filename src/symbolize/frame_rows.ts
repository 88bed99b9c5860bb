// Owns FrameRows: symbolized frames as growable columns, and what the numbers in them mean.
import type { Dwarf } from "../dwarf/dwarf.ts";
import type { SymbolTable } from "./symbol_table.ts";
import type { SymbolTableKind } from "./symbol_source.ts";

/** Where a frame's name came from. */
export type FrameSource = SymbolTableKind | "DWARF";

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
}

/** A row's name is number `name` of the symbol table, */
export const FROM_SYMBOLS = 1;
/** or of the DWARF's functions. */
export const FROM_DWARF = 2;

/**
 * Most frames of one address: in hostile files calls are inlined into each other a million deep, at every address.
 * Real ones stay below 50. Of more the innermost and the outermost are kept.
 */
const MOST_INLINED = 128;

/** The file, without a directory, is what the symbol table says of the symbol. */
export const FILE_OF_SYMBOL = -1;

/** Symbolized frames, one element of each column a frame. */
export class FrameRows {
  length = 0;
  /** Number of the program. */
  program: Int32Array;
  /** {@linkcode FROM_SYMBOLS} or {@linkcode FROM_DWARF}, */
  from: Uint8Array;
  /** and the number of the name there. */
  name: Int32Array;
  /** Number of the path in the DWARF's files; 0 if not known; or {@linkcode FILE_OF_SYMBOL}. */
  file: Int32Array;
  /** -1 if not known. */
  line: Int32Array;
  column: Int32Array;
  inlined: Uint8Array;

  constructor(capacity: number) {
    this.program = new Int32Array(capacity);
    this.from = new Uint8Array(capacity);
    this.name = new Int32Array(capacity);
    this.file = new Int32Array(capacity);
    this.line = new Int32Array(capacity);
    this.column = new Int32Array(capacity);
    this.inlined = new Uint8Array(capacity);
  }

  /** Adds a row. */
  push(program: number, from: number, name: number, file: number, line: number, column: number): void {
    const row = this.length;
    if (row === this.name.length) this.#grow();
    this.length = row + 1;
    this.program[row] = program;
    this.from[row] = from;
    this.name[row] = name;
    this.file[row] = file;
    this.line[row] = line;
    this.column[row] = column;
    this.inlined[row] = 0;
  }

  #grow(): void {
    const old = { ...this };
    Object.assign(this, new FrameRows(2 * old.name.length), { length: old.length });
    for (const key of ["program", "from", "name", "file", "line", "column", "inlined"] as const) {
      this[key].set(old[key]);
    }
  }
}

/**
 * Appends the frames of one address, innermost first; returns whether there were any.
 *
 * The rules are llvm-symbolizer's: the innermost frame's line is the line table's, every other one's is that of the
 * call inlined into it; and the outermost is named by the symbol table where that knows the address, since a compiler
 * may have split the function (`f.cold`) or told no linkage name.
 *
 * @param addressHi The address to look up, its upper 32 bits, unsigned. @param symbol Its symbol, or -1.
 */
export function appendFrames(
  rows: FrameRows,
  program: number,
  { dwarf }: FrameNames,
  addressHi: number,
  addressLo: number,
  symbol: number,
): boolean {
  const before = rows.length;
  if (dwarf !== undefined) {
    const address = dwarf.address(addressHi, addressLo);
    const unit = dwarf.unitAt(address);
    const code = unit < 0 ? null : dwarf.unit(unit);
    if (code !== null) {
      const { scopes, rows: lines } = code;
      const row = lines === undefined ? -1 : lines.lookup(address);
      let scope = scopes === undefined ? -1 : scopes.lookup(address);
      let file = row < 0 ? 0 : code.file(lines!.file(row));
      let line = row < 0 ? -1 : lines!.line(row);
      let column = row < 0 ? -1 : lines!.column(row);
      for (let depth = 0; scope >= 0; scope = scopes!.parent(scope)) {
        if (++depth === MOST_INLINED) scope = scopes!.root(scope);
        rows.push(program, FROM_DWARF, code.functionName(scope), file, line, column);
        if (scopes!.parent(scope) < 0) break;
        rows.inlined[rows.length - 1] = 1;
        file = code.callFile(scope);
        line = scopes!.callLine(scope);
        column = scopes!.callColumn(scope);
      }
      if (scope < 0 && row >= 0) rows.push(program, FROM_DWARF, 0, file, line, column);
    }
  }
  if (symbol >= 0) {
    if (rows.length === before) rows.push(program, FROM_SYMBOLS, symbol, FILE_OF_SYMBOL, -1, -1);
    else {
      const last = rows.length - 1;
      rows.from[last] = FROM_SYMBOLS;
      rows.name[last] = symbol;
      if (rows.file[last] === 0) rows.file[last] = FILE_OF_SYMBOL;
    }
  }
  return rows.length > before;
}

/** Linkage name of a row. */
export function nameOf(rows: FrameRows, row: number, { symbols, dwarf }: FrameNames): string | undefined {
  const name = rows.name[row];
  if (rows.from[row] === FROM_SYMBOLS) return symbols!.name(name);
  return name === 0 ? undefined : dwarf!.functions.names[name];
}

/** Path of a row's source file. */
export function fileOf(rows: FrameRows, row: number, { symbols, dwarf }: FrameNames): string | undefined {
  const file = rows.file[row];
  if (file === FILE_OF_SYMBOL) return symbols!.file(rows.name[row]);
  return file === 0 ? undefined : dwarf!.files.names[file];
}

/** Where a row's name is from. */
export function sourceOf(rows: FrameRows, row: number, { symbols }: FrameNames): FrameSource {
  return rows.from[row] === FROM_SYMBOLS ? symbols!.kindOf(rows.name[row]) ?? ".symtab" : "DWARF";
}

/** A row as an object. @param demangled What its name is in the source. */
export function frameOf(
  rows: FrameRows,
  row: number,
  names: FrameNames,
  demangled: (name: string) => string,
): SymbolizedFrame {
  const name = nameOf(rows, row, names);
  const line = rows.line[row];
  const column = rows.column[row];
  return {
    name,
    demangled: name === undefined ? undefined : demangled(name),
    file: fileOf(rows, row, names),
    line: line < 0 ? undefined : line,
    column: column < 0 ? undefined : column,
    inlined: rows.inlined[row] === 1,
    source: sourceOf(rows, row, names),
  };
}
