// Owns SymbolTable: code symbols of one file in compact columns, and the lookup from address to symbol.
import type { FormatError } from "../base/format_error.ts";
import { ElfFile } from "../elf/elf_file.ts";
import type { PltStubs } from "../elf/plt.ts";
import { insertStubs } from "./plt_symbols.ts";
import { SymbolNames } from "./symbol_names.ts";
import { MAX_NESTING, type OrderedSymbols, orderSymbols, outerIndex } from "./symbol_order.ts";
import {
  captureAll,
  columnsOf,
  type PackedSymbols,
  readAllSymbols,
  type SymbolCapture,
  type SymbolTableKind,
} from "./symbol_source.ts";

/** One code symbol. */
export interface CodeSymbol {
  /**
   * As in the string table: mangled, with a version suffix only if the table has one. Of more than 64 KiB the
   * first, and "…"; see {@linkcode SymbolTable}.
   */
  name: string;
  /** Virtual address of its first byte, as in the file. */
  address: bigint;
  /** In bytes; 0 where the file gives none. */
  size: bigint;
}

/** Tables with as many symbols or more take the wide form: the index has 24 bits for a position. */
const MAX_NARROW = 1 << 24;
/** Entries of one bucket looked at in turn before halving. */
const LINEAR_STEPS = 8;

// The constructor and what follows it, for this module alone: they are no part of the public surface.
let make: (
  ordered: OrderedSymbols,
  names: SymbolNames,
  kind?: SymbolTableKind,
  second?: SecondTable,
) => SymbolTable;
let addStubs: (table: SymbolTable, stubs: PltStubs) => SymbolTable;

/** A table whose names follow those of the first. */
interface SecondTable {
  kind: SymbolTableKind;
  /** Where its names begin. */
  from: number;
}

/**
 * The code symbols of one file, sorted, in typed arrays: at most 16 bytes a symbol besides the string table.
 *
 * Addresses are virtual addresses of the file, as `nm` prints them, not of a process. Which symbol answers for an
 * address that several contain:
 *
 * - of those at the same address the largest, of equal ones the later in the table, as in llvm-symbolizer;
 * - else the one that starts last among those that contain it;
 * - a symbol without a size reaches to the next symbol or the end of its section.
 *
 * STT_FUNC, STT_GNU_IFUNC and, in executable sections, STT_NOTYPE and STT_OBJECT take part; other data, mapping symbols
 * (`$x`), undefined and absolute symbols do not. The table of an indexed binary has besides, where no symbol answers,
 * the stubs of its procedure linkage table (`memset@plt`); {@linkcode SymbolTable.fromElf} has none.
 *
 * A name of more than 64 KiB is cut, and ends in "…". In a hostile file a name can begin at every byte of one
 * long string: where the names of a table add up to more than 1 MiB and more than 4 times its string table (real
 * ones stay below twice), those of more than 256 bytes are cut to an equal share of that.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { SymbolTable } from "@bpf/stackmap";
 *
 * const table = SymbolTable.fromSymbols([
 *   { name: "main", address: 0x1139n, size: 0x20n },
 *   { name: "helper", address: 0x1160n, size: 0x10n },
 * ]);
 * const index = table.lookup(0, 0x1145);
 * assertEquals(table.name(index), "main");
 * assertEquals(table.lookup(0, 0x115a), -1); // padding between the two
 * assertEquals(table.find(0x1160n)?.name, "helper");
 * ```
 */
export class SymbolTable {
  /** Number of symbols, after all but one of each address were dropped. */
  readonly length: number;
  /**
   * Section the symbols are from; `undefined` with {@linkcode SymbolTable.fromSymbols}. With `.gnu_debugdata` some are
   * from `.dynsym`; see {@linkcode SymbolTable.kindOf}.
   */
  readonly kind: SymbolTableKind | undefined;
  readonly #second: SecondTable | undefined;
  readonly #names: SymbolNames;
  readonly #fileFrom: Uint32Array;
  readonly #fileName: Uint32Array;
  readonly #outerOf: Int32Array;
  readonly #outer: Int32Array;
  /** Set where the symbols span 2 GiB or more; then the narrow columns are empty. */
  readonly #wide: OrderedSymbols | undefined;

  // The narrow form. Addresses are rebased to the first symbol, 31 bits; [start, size] pairs share a cache line.
  // A size that was worked out stands negated. One more pair, past every address, ends each scan.
  readonly #baseHi: number;
  readonly #baseLo: number;
  /** Rebased end of the last symbol. */
  readonly #limit: number;
  readonly #pairs: Int32Array;
  // Element b: upper 24 bits the number of symbols that start before bucket b, lower 8 how many more start before
  // its middle (255: or more). Two half-buckets for 4 bytes.
  readonly #index: Int32Array;
  readonly #shift: number;

  static {
    make = (ordered, names, kind, second) => new SymbolTable(ordered, names, kind, second);
    addStubs = (table, stubs) => table.#withStubs(stubs);
  }

  private constructor(
    ordered: OrderedSymbols,
    names: SymbolNames,
    kind: SymbolTableKind | undefined,
    second: SecondTable | undefined,
  ) {
    const { count, startHi, startLo, endHi, endLo } = ordered;
    this.length = count;
    this.kind = kind;
    this.#second = second;
    this.#names = names;
    this.#fileFrom = ordered.fileFrom;
    this.#fileName = ordered.fileName;
    this.#outerOf = ordered.outerOf;
    this.#outer = ordered.outer;
    this.#baseHi = count > 0 ? startHi[0] | 0 : 0;
    this.#baseLo = count > 0 ? startLo[0] | 0 : 0;
    let limit = 0;
    for (let i = 0; i < count; i++) {
      limit = Math.max(limit, (endHi[i] - startHi[0]) * 0x1_0000_0000 + (endLo[i] - startLo[0]));
    }
    const narrow = count < MAX_NARROW && limit < 0x7fff_ffff && (startLo[0] ?? 0) + limit <= 0xffff_ffff;
    this.#wide = narrow ? undefined : ordered;
    this.#limit = narrow ? limit : 0;
    this.#pairs = new Int32Array(narrow ? 2 * (count + 1) : 0);
    let shift = 1;
    while (limit >>> shift >= 0.9 * count && shift < 31) shift++;
    this.#shift = shift;
    this.#index = new Int32Array(narrow ? (limit >>> shift) + 2 : 0);
    if (narrow) this.#fill(ordered);
  }

  #fill({ count, startLo, endLo, unsized }: OrderedSymbols): void {
    const pairs = this.#pairs;
    for (let i = 0; i < count; i++) {
      const size = endLo[i] - startLo[i];
      pairs[2 * i] = startLo[i] - startLo[0];
      pairs[2 * i + 1] = unsized[i] === 1 ? -size : size;
    }
    pairs[2 * count] = 0x7fff_ffff;
    const index = this.#index;
    const half = 1 << (this.#shift - 1);
    let before = 0;
    for (let bucket = 0; bucket < index.length; bucket++) {
      const start = bucket * half * 2;
      while (before < count && pairs[2 * before] < start) before++;
      let middle = before;
      while (middle < count && middle - before < 255 && pairs[2 * middle] < start + half) middle++;
      index[bucket] = (before << 8) | (middle - before);
    }
  }

  /**
   * Reads the code symbols of an ELF file: of `.symtab`, else of `.gnu_debugdata` and `.dynsym`. They are what `nm`
   * prints: stubs of the procedure linkage table are not among them.
   *
   * @param bytes The whole file. Nothing of it is kept: the string table is copied.
   * @returns `undefined` if the file has neither table, or is relocatable.
   * @throws {FormatError} If the file is not ELF, or its section headers or symbols are malformed.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { ELFCLASS64, ELFDATA2LSB, encodeEhdr, SymbolTable } from "@bpf/stackmap";
   *
   * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
   * assertEquals(SymbolTable.fromElf(encodeEhdr({ e_ident })), undefined); // no sections, no symbols
   * ```
   */
  static fromElf(bytes: Uint8Array): SymbolTable | undefined {
    const problems: FormatError[] = [];
    const captures = captureAll(new ElfFile(bytes), problems);
    const table = symbolTableOf(captures, problems);
    if (problems.length > 0) throw problems[0];
    return table;
  }

  /**
   * Makes a table of any symbols, such as those of a JIT's map file. A `size` left out or 0 reaches to the next.
   *
   * @throws {RangeError} If an address or size does not fit 64 bits.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { SymbolTable } from "@bpf/stackmap";
   *
   * const table = SymbolTable.fromSymbols([{ name: "LazyCompile:~f", address: 0x7f00_0000_1000n, size: 64n }]);
   * assertEquals(table.find(0x7f00_0000_1010n)?.name, "LazyCompile:~f");
   * ```
   */
  static fromSymbols(symbols: Iterable<{ name: string; address: bigint; size?: bigint }>): SymbolTable {
    const columns = columnsOf([...symbols]);
    const ordered = orderSymbols(columns);
    return make(ordered, new SymbolNames(columns.strings, ordered.name));
  }

  /**
   * Index of the symbol that contains a virtual address, or -1. Allocates nothing.
   *
   * @param addressHi Upper 32 bits of the address, signed or unsigned. @param addressLo Lower 32 bits.
   */
  lookup(addressHi: number, addressLo: number): number {
    if ((addressHi | 0) !== this.#baseHi || this.#wide !== undefined) return this.#lookupWide(addressHi, addressLo);
    // The table does not cross a 4 GiB line, so an address below the base wraps to above the limit.
    const at = (addressLo - this.#baseLo) | 0;
    if (at < 0 || at >= this.#limit) return -1;
    const pairs = this.#pairs;
    const entry = this.#index[at >> this.#shift];
    let next = (entry >>> 8) + (entry & 255 & -((at >> (this.#shift - 1)) & 1));
    let steps = 0;
    while (pairs[2 * next] <= at) {
      next++;
      if (++steps === LINEAR_STEPS) next = this.#halve(next, at);
    }
    const start = pairs[2 * next - 2];
    if (at - start < pairs[2 * next - 1]) return next - 1;
    return this.#lookupOuter(next - 1, at);
  }

  /** The first symbol from `low` on that starts after `at`. */
  #halve(low: number, at: number): number {
    const pairs = this.#pairs;
    let high = this.#index[(at >> this.#shift) + 1] >>> 8;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (pairs[2 * middle] <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Symbol `index` if its worked-out size reaches `at`, else the nearest around it that does. */
  #lookupOuter(index: number, at: number): number {
    const pairs = this.#pairs;
    for (let steps = 0; index >= 0 && steps < MAX_NESTING; steps++) {
      if (at - pairs[2 * index] < Math.abs(pairs[2 * index + 1])) return index;
      index = outerIndex(this.#outerOf, this.#outer, index);
    }
    return -1;
  }

  #lookupWide(addressHi: number, addressLo: number): number {
    const wide = this.#wide;
    if (wide === undefined) return -1;
    const { startHi, startLo, endHi, endLo } = wide;
    const hi = addressHi >>> 0;
    const lo = addressLo >>> 0;
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (startHi[middle] < hi || (startHi[middle] === hi && startLo[middle] <= lo)) low = middle + 1;
      else high = middle;
    }
    let index = low - 1;
    for (let steps = 0; index >= 0 && steps < MAX_NESTING; steps++) {
      if (hi < endHi[index] || (hi === endHi[index] && lo < endLo[index])) return index;
      index = outerIndex(this.#outerOf, this.#outer, index);
    }
    return -1;
  }

  /**
   * {@linkcode SymbolTable.lookup} of many addresses: writes each one's index, or -1, to `out`.
   *
   * @throws {RangeError} If the columns differ in length.
   */
  lookupColumns(addressHi: Uint32Array, addressLo: Uint32Array, out: Int32Array): void {
    if (addressHi.length !== addressLo.length || out.length !== addressLo.length) {
      throw new RangeError(`columns of ${addressHi.length}, ${addressLo.length} and ${out.length} elements`);
    }
    for (let i = 0; i < out.length; i++) out[i] = this.lookup(addressHi[i], addressLo[i]);
  }

  /** The symbol that contains a virtual address. */
  find(address: bigint): CodeSymbol | undefined {
    if (address !== BigInt.asUintN(64, address)) return undefined;
    const index = this.lookup(Number(address >> 32n), Number(address & 0xffff_ffffn));
    return index < 0 ? undefined : this.get(index);
  }

  /** Symbol `index`, in order of address. */
  get(index: number): CodeSymbol {
    return { name: this.name(index), address: this.address(index), size: this.size(index) };
  }

  /** Name of symbol `index`, cut where {@linkcode SymbolTable} says; decoded anew at each call. */
  name(index: number): string {
    return this.#names.get(this.#check(index));
  }

  /** Section that symbol `index` is from; `.plt` for a stub, whichever section it is in. */
  kindOf(index: number): SymbolTableKind | undefined {
    if (this.#names.isStub(this.#check(index))) return ".plt";
    const second = this.#second;
    return second !== undefined && this.#names.offset(index) >= second.from ? second.kind : this.kind;
  }

  /** Name of the source file that the table gives a local symbol (STT_FILE), without its directory. */
  file(index: number): string | undefined {
    if (!this.#names.hasFile(this.#check(index))) return undefined;
    const from = this.#fileFrom;
    let low = 0;
    let high = from.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (from[middle] <= index) low = middle + 1;
      else high = middle;
    }
    return this.#names.at(this.#fileName[low - 1]);
  }

  /** Virtual address of symbol `index`. */
  address(index: number): bigint {
    this.#check(index);
    const wide = this.#wide;
    if (wide !== undefined) return (BigInt(wide.startHi[index]) << 32n) | BigInt(wide.startLo[index]);
    return (BigInt(this.#baseHi >>> 0) << 32n) + BigInt((this.#baseLo >>> 0) + this.#pairs[2 * index]);
  }

  /** Size of symbol `index` in bytes; 0 where the file gives none. */
  size(index: number): bigint {
    this.#check(index);
    const wide = this.#wide;
    if (wide === undefined) return BigInt(Math.max(0, this.#pairs[2 * index + 1]));
    if (wide.unsized[index] === 1) return 0n;
    return ((BigInt(wide.endHi[index]) << 32n) | BigInt(wide.endLo[index])) - this.address(index);
  }

  #withStubs(stubs: PltStubs): SymbolTable {
    const before = this.#ordered();
    const ordered = insertStubs(before, stubs, this.#names.length);
    if (ordered === before) return this;
    const names = this.#names.withStubs(stubs.strings, ordered.name);
    return new SymbolTable(ordered, names, this.kind, this.#second);
  }

  /** What the table was made of. */
  #ordered(): OrderedSymbols {
    if (this.#wide !== undefined) return this.#wide;
    const { length: count } = this;
    const pairs = this.#pairs;
    const sizes = Uint32Array.from({ length: count }, (_, i) => Math.abs(pairs[2 * i + 1]));
    const startLo = Uint32Array.from({ length: count }, (_, i) => this.#baseLo + pairs[2 * i]);
    return {
      count,
      startHi: new Uint32Array(count).fill(this.#baseHi),
      startLo,
      // A narrow table may end at a 4 GiB line, but crosses none.
      endHi: new Uint32Array(count).fill(this.#baseHi),
      endLo: startLo.map((start, i) => start + sizes[i]),
      unsized: Uint8Array.from({ length: count }, (_, i) => pairs[2 * i + 1] < 0 ? 1 : 0),
      name: this.#names.offsets,
      fileFrom: this.#fileFrom,
      fileName: this.#fileName,
      outerOf: this.#outerOf,
      outer: this.#outer,
    };
  }

  #check(index: number): number {
    if (!(index >= 0 && index < this.length)) throw new RangeError(`symbol ${index} of ${this.length}`);
    return index;
  }

  /** Bytes of memory that the table keeps, the string table included. */
  get retainedBytes(): number {
    const wide = this.#wide === undefined ? 0 : 17 * this.length;
    const overlaps = this.#outerOf.byteLength + this.#outer.byteLength;
    const columns = this.#pairs.byteLength + this.#index.byteLength;
    const files = this.#fileFrom.byteLength + this.#fileName.byteLength;
    return columns + overlaps + wide + files + this.#names.retainedBytes;
  }
}

/**
 * The table of what `captureAll()` took from a file; keeps the strings. What is malformed goes to `problems`; of a table
 * whose every part is, nothing is left but stubs.
 */
export function symbolTableOf(
  captures: readonly (SymbolCapture | PackedSymbols)[],
  problems: FormatError[],
  stubs?: PltStubs,
): SymbolTable | undefined {
  const { columns, kinds: [kind = stubs && ".plt", second], boundary } = readAllSymbols(captures, problems);
  if (kind === undefined) return undefined;
  const symbols = orderSymbols(columns);
  const ordered = stubs === undefined ? symbols : insertStubs(symbols, stubs, columns.strings.length);
  const more = ordered === symbols ? undefined : stubs?.strings;
  const names = new SymbolNames(columns.strings, ordered.name, more);
  return make(ordered, names, kind, second && { kind: second, from: boundary });
}

/** The same table with the stubs of a file that came later. */
export function withStubs(table: SymbolTable, stubs: PltStubs): SymbolTable {
  return addStubs(table, stubs);
}
