// Owns what the index keeps of one binary: id, segments, symbols, and what a second file with its id may add.
import { FormatError } from "../base/format_error.ts";
import type { ElfFile } from "../elf/elf_file.ts";
import { PT_LOAD } from "../uapi/elf.ts";
import { MAX_SEGMENTS, type PageSize, SegmentTable } from "./segments.ts";
import { captureSymbols, type SymbolCapture, symbolSections, type SymbolTableKind } from "./symbol_source.ts";
import { type SymbolTable, symbolTableOf } from "./symbol_table.ts";

/** What one file gave: each part on its own, since any may be missing or malformed. */
export interface BinaryParts {
  segments: SegmentTable;
  symbols: SymbolCapture | undefined;
  /** Why segments or symbols are missing although the file has them. */
  problems: FormatError[];
}

/** Runs `read`; a FormatError goes to `problems`. */
function attempt<T>(problems: FormatError[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    problems.push(error);
    return undefined;
  }
}

/** Reads a file's segments and symbols. Symbol entries and strings are copied; nothing of the file is kept. */
export function readParts(file: ElfFile, pageSize: PageSize): BinaryParts {
  const problems: FormatError[] = [];
  const loads = attempt(problems, () => file.segments(PT_LOAD, MAX_SEGMENTS)) ?? [];
  const segments = SegmentTable.fromPhdrs(loads, pageSize);
  let symbols: SymbolCapture | undefined;
  for (const section of attempt(problems, () => symbolSections(file)) ?? []) {
    symbols = attempt(problems, () => captureSymbols(file, section));
    if (symbols !== undefined) break;
  }
  if (symbols !== undefined) {
    symbols = { ...symbols, bytes: symbols.bytes.slice(), strings: symbols.strings.slice() };
  }
  return { segments, symbols, problems };
}

/** One binary of a {@linkcode BuildIdIndex}: what all files with its build id together say. */
export interface IndexedBinary {
  /** Position in the index, in the order of addition. */
  readonly index: number;
  /** The build id as in the file, not padded. */
  readonly buildId: Uint8Array;
  /** Name given with the file that the segments are from; `""` if none. */
  readonly name: string;
  /** Names of all files that were taken in. */
  readonly files: readonly string[];
  /** What was malformed in them. */
  readonly problems: readonly FormatError[];
  /**
   * Whether addresses come from segment offsets that had to be rebuilt, because only a debug file without them
   * was added. They are right for what GNU ld lays out; add the executable to be sure.
   */
  readonly reconstructed: boolean;
  /** Where its symbols are from; `undefined` if it has none. */
  readonly symbolKind: SymbolTableKind | undefined;
  /** Its code symbols, built when first asked for; `undefined` if no file had any that could be read. */
  readonly symbols: SymbolTable | undefined;
}

/** The record behind {@linkcode IndexedBinary}. */
export class BinaryRecord implements IndexedBinary {
  readonly index: number;
  readonly buildId: Uint8Array;
  name: string;
  readonly files: string[];
  readonly problems: FormatError[];
  segments: SegmentTable;
  #capture: SymbolCapture | undefined;
  #table: SymbolTable | undefined;
  #symbolBytes = 0;
  symbolKind: SymbolTableKind | undefined;

  constructor(index: number, buildId: Uint8Array, name: string, parts: BinaryParts) {
    this.index = index;
    this.buildId = buildId;
    this.name = name;
    this.files = [name];
    this.problems = [...parts.problems];
    this.segments = parts.segments;
    this.#take(parts.symbols);
  }

  #take(symbols: SymbolCapture | undefined): void {
    this.#capture = symbols;
    this.#table = undefined;
    this.symbolKind = symbols?.kind;
    this.#symbolBytes = symbols?.bytes.length ?? 0;
  }

  get reconstructed(): boolean {
    return this.segments.reconstructed;
  }

  get symbols(): SymbolTable | undefined {
    if (this.#capture !== undefined) {
      this.#table = symbolTableOf(this.#capture);
      this.#capture = undefined;
    }
    return this.#table;
  }

  /** Whether a file of the same id can't be the same program: its segments lie elsewhere. */
  contradicts({ segments }: BinaryParts): boolean {
    return this.segments.length > 0 && segments.length > 0 && this.segments.layout !== segments.layout;
  }

  /**
   * Takes from another file what is better: real segments over rebuilt or none, `.symtab` over `.dynsym` over none,
   * more symbols over fewer. Returns whether anything was.
   */
  merge(name: string, { segments, symbols, problems }: BinaryParts): boolean {
    const betterSegments = segments.length > 0 &&
      (this.segments.length === 0 || (this.segments.reconstructed && !segments.reconstructed));
    const betterSymbols = symbols !== undefined && this.#worseThan(symbols);
    if (betterSegments) {
      this.segments = segments;
      this.name = name;
    }
    if (betterSymbols) this.#take(symbols);
    if (!betterSegments && !betterSymbols) return false;
    this.files.push(name);
    this.problems.push(...problems);
    return true;
  }

  #worseThan(symbols: SymbolCapture): boolean {
    if (this.symbolKind === symbols.kind) return symbols.bytes.length > this.#symbolBytes;
    return symbols.kind === ".symtab" || this.symbolKind === undefined;
  }
}
