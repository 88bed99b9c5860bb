// Owns what the index keeps of one binary: id, segments, symbols, and what a second file with its id may add.
import { attempt, type FormatError } from "../base/format_error.ts";
import type { ElfFile } from "../elf/elf_file.ts";
import type { Phdr } from "../elf/headers.ts";
import { findPltStubs, type PltStubs } from "../elf/plt.ts";
import { PT_LOAD } from "../uapi/elf.ts";
import { MAX_SEGMENTS, type PageSize, SegmentTable } from "./segments.ts";
import { captureAll, type PackedSymbols, type SymbolCapture, type SymbolTableKind } from "./symbol_source.ts";
import { type SymbolTable, symbolTableOf, withStubs } from "./symbol_table.ts";

type Captured = SymbolCapture | PackedSymbols;

/** What one file gave: each part on its own, since any may be missing or malformed. */
export interface BinaryParts {
  segments: SegmentTable;
  /** As `captureAll()` gives them: none, one, or two that complement each other. */
  symbols: readonly Captured[];
  /** Stubs of the procedure linkage table, which executables have and separate debug files have not. */
  stubs: PltStubs | undefined;
  /** Why segments or symbols are missing although the file has them. */
  problems: FormatError[];
}

/** Reads a file's segments and symbols. Symbol entries and strings are copied; nothing of the file is kept. */
export function readParts(file: ElfFile, pageSize: PageSize): BinaryParts {
  const problems: FormatError[] = [];
  const loads = attempt(problems, () => file.segments(PT_LOAD, MAX_SEGMENTS)) ?? [];
  const segments = SegmentTable.fromPhdrs(loads, pageSize);
  const symbols = captureAll(file, problems);
  // What is malformed there is no reason why symbols or segments would be missing.
  const stubs = attempt([], () => findPltStubs(file));
  return { segments, symbols, stubs, problems };
}

/** The parts of a binary of which only segments are known. */
export function segmentsOnly(segments: readonly Phdr[], pageSize: PageSize): BinaryParts {
  return { segments: SegmentTable.fromPhdrs(segments, pageSize), symbols: [], stubs: undefined, problems: [] };
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
  /** Whether its contents were let go of, to keep a limit; files with its id can be added again. */
  readonly evicted: boolean;
  /** Where its symbols are from; `undefined` if it has none, or only stubs of its procedure linkage table. */
  readonly symbolKind: SymbolTableKind | undefined;
  /** Bytes of memory kept for its symbols and stubs. */
  readonly retainedBytes: number;
  /**
   * Its code symbols, and where it has none the stubs of its procedure linkage table; built when first asked for, and
   * again once another file has brought better ones. `undefined` if no file had any that could be read.
   */
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
  #captures: readonly Captured[] = [];
  #table: SymbolTable | undefined;
  #symbolBytes = 0;
  /** Kept also when the table has them: it is made anew if another file brings better symbols. */
  #stubs: PltStubs | undefined = undefined;
  /** Whether the table has all there is. */
  #complete = false;
  symbolKind: SymbolTableKind | undefined;
  evicted = false;

  constructor(index: number, buildId: Uint8Array, name: string, parts: BinaryParts) {
    this.index = index;
    this.buildId = buildId;
    this.name = name;
    this.files = [name];
    this.problems = [...parts.problems];
    this.segments = parts.segments;
    this.#take(parts.symbols);
    this.#stubs = parts.stubs;
  }

  #take(symbols: readonly Captured[]): void {
    this.#captures = symbols;
    this.#table = undefined;
    this.#complete = false;
    this.symbolKind = symbols[0]?.kind;
    this.#symbolBytes = bytesOf(symbols);
  }

  get reconstructed(): boolean {
    return this.segments.reconstructed;
  }

  get symbols(): SymbolTable | undefined {
    if (this.#complete) return this.#table;
    this.#complete = true;
    const stubs = this.#stubs;
    if (this.#table !== undefined && stubs !== undefined) return this.#table = withStubs(this.#table, stubs);
    this.#table = symbolTableOf(this.#captures, this.problems, stubs);
    this.#captures = [];
    const kind = this.#table?.kind;
    this.symbolKind = kind === ".plt" ? undefined : kind;
    return this.#table;
  }

  /** Whether a file of the same id can't be the same program: its segments lie elsewhere. */
  contradicts({ segments }: BinaryParts): boolean {
    return this.segments.length > 0 && segments.length > 0 && this.segments.layout !== segments.layout;
  }

  /**
   * Takes from another file what is better: real segments over rebuilt or none, `.symtab` over `.dynsym` over none,
   * more symbols over fewer, stubs over none. Returns whether anything was.
   */
  merge(name: string, { segments, symbols, stubs, problems }: BinaryParts): boolean {
    const betterSegments = segments.length > 0 &&
      (this.segments.length === 0 || (this.segments.reconstructed && !segments.reconstructed));
    const betterSymbols = this.#worseThan(symbols);
    if (betterSegments) {
      this.segments = segments;
      this.name = name;
    }
    if (betterSymbols) this.#take(symbols);
    const betterStubs = this.#stubs === undefined && stubs !== undefined;
    if (betterStubs) {
      this.#stubs = stubs;
      this.#complete = false;
    }
    if (!betterSegments && !betterSymbols && !betterStubs) return false;
    this.files.push(name);
    this.problems.push(...problems);
    return true;
  }

  #worseThan(symbols: readonly Captured[]): boolean {
    const kind = symbols[0]?.kind;
    if (this.symbolKind === kind) return bytesOf(symbols) > this.#symbolBytes;
    return goodness(kind) > goodness(this.symbolKind);
  }

  get retainedBytes(): number {
    const stubs = this.#stubs;
    if (stubs === undefined) return this.#table?.retainedBytes ?? this.#symbolBytes;
    const columns = 16 * stubs.count;
    // The table counts the names, if it has them.
    if (this.#table !== undefined && this.#complete) return this.#table.retainedBytes + columns;
    return (this.#table?.retainedBytes ?? this.#symbolBytes) + columns + stubs.strings.length;
  }

  /** Lets go of everything but the id, until a file with it is added again. */
  evict(): void {
    this.evicted = true;
    this.segments = SegmentTable.fromPhdrs([]);
    this.problems.length = 0;
    this.#take([]);
    this.#stubs = undefined;
  }
}

function bytesOf(symbols: readonly Captured[]): number {
  return symbols.reduce(
    (sum, one) => sum + ("packed" in one ? one.packed.length : one.bytes.length + one.strings.length),
    0,
  );
}

/** `.symtab` has all; `.gnu_debugdata` and `.dynsym` together have most. */
function goodness(kind: SymbolTableKind | undefined): number {
  return kind === ".symtab" ? 3 : kind === ".gnu_debugdata" ? 2 : kind === ".dynsym" ? 1 : 0;
}
