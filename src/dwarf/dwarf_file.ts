// Owns DwarfFile: the sections of one file with what has been read of them: units and abbreviation tables.
import { attempt, FormatError } from "../base/format_error.ts";
import type { NameTable } from "../base/name_table.ts";
import { AbbrevTable } from "./abbrevs.ts";
import { type DieFormat, formatNumber, FORMATS } from "./forms.ts";
import { FunctionNames } from "./names.ts";
import { type LineContext, LineProgram } from "./line_program.ts";
import { Reader } from "./reader.ts";
import type { DwarfSections } from "./sections.ts";
import { TextTable } from "./text_table.ts";
import { Unit } from "./unit.ts";

/** Offsets of DIEs are kept in 31 bits. */
const MOST_INFO_BYTES = 0x7fff_ffff;

/** Line-number programs may add up to so many times their section. They overlap in hostile files alone. */
const PROGRAMS_TO_LINE = 4;

/** Tables and programs kept by those who go through all units: what neighbours share is still there. */
const MOST_SHARED = 64;

/** Problems that are kept of one file: a hostile one can have a malformed unit for every few bytes. */
export const MOST_PROBLEMS = 64;

/** As `attempt()`, but keeps no more problems than anyone reads. */
export function attemptUnit<T>(problems: FormatError[], read: () => T): T | undefined {
  return attempt(problems.length < MOST_PROBLEMS ? problems : [], read);
}

/** How many times the bytes of a section are read where units or DIEs share them; compilers hardly let them. */
const MOST_READS = 8;
/** Bytes that are read in any case. */
const READ_AT_LEAST = 1 << 20;

/**
 * Bounds the work that a hostile file can ask for by having many units or DIEs point into one long table or list.
 * Reading it again and again would take time and memory that grow like the square of the file.
 */
export class Budget {
  readonly #section: string;
  #left: number;

  /** @param length Size of the section in bytes. */
  constructor(section: string, length: number) {
    this.#section = section;
    this.#left = READ_AT_LEAST + MOST_READS * length;
  }

  /** Counts bytes that were read. */
  spend(count: number): void {
    this.#left -= count;
  }

  /** @throws {FormatError} If nothing is left, for a read at `offset`. */
  check(offset: number): void {
    if (this.#left >= 0) return;
    throw new FormatError("is shared by so many that it is not read again", { offset, field: this.#section });
  }
}

/** One file's DWARF. The constructor reads nothing; keeps the sections' bytes. */
export class DwarfFile {
  readonly sections: DwarfSections;
  readonly info: Reader;
  readonly strOffsets: Reader;
  readonly addr: Reader;
  readonly ranges: Reader;
  readonly rnglists: Reader;
  readonly line: Reader;
  readonly str: TextTable;
  readonly lineStr: TextTable;
  /** The file that .gnu_debugaltlink names. */
  readonly alternate: DwarfFile | undefined;
  readonly names: FunctionNames;
  readonly infoBudget: Budget;
  readonly abbrevBudget: Budget;
  readonly rangesBudget: Budget;
  readonly rnglistsBudget: Budget;
  #offsets: Int32Array | undefined = undefined;
  #units: (Unit | undefined)[] = [];
  /** Unit headers that could not be read; the units behind them are not known. */
  problem: FormatError | undefined = undefined;
  readonly #abbrev: Reader;
  readonly #abbrevs = new Map<number, AbbrevTable | FormatError>();
  readonly #programs = new Map<number, LineProgram>();
  #programBytes = 0;

  constructor(sections: DwarfSections, baseHi: number, names: NameTable, alternate?: DwarfFile) {
    this.sections = sections;
    const reader = (bytes: Uint8Array, name: string) => new Reader(bytes, sections.littleEndian, name, baseHi);
    this.info = reader(sections.info, ".debug_info");
    this.strOffsets = reader(sections.strOffsets, ".debug_str_offsets");
    this.addr = reader(sections.addr, ".debug_addr");
    this.ranges = reader(sections.ranges, ".debug_ranges");
    this.rnglists = reader(sections.rnglists, ".debug_rnglists");
    this.line = reader(sections.line, ".debug_line");
    this.str = new TextTable(sections.str);
    this.lineStr = new TextTable(sections.lineStr);
    this.#abbrev = reader(sections.abbrev, ".debug_abbrev");
    this.alternate = alternate;
    this.names = new FunctionNames(this, names);
    this.infoBudget = new Budget(".debug_info", sections.info.length);
    this.abbrevBudget = new Budget(".debug_abbrev", sections.abbrev.length);
    this.rangesBudget = new Budget(".debug_ranges", sections.ranges.length);
    this.rnglistsBudget = new Budget(".debug_rnglists", sections.rnglists.length);
  }

  /** Offsets of all units, ascending. */
  get unitOffsets(): Int32Array {
    if (this.#offsets !== undefined) return this.#offsets;
    const offsets: number[] = [];
    const reader = this.info.fork(0);
    try {
      while (reader.at < reader.end) {
        const at = reader.at;
        reader.at = reader.initialLength().end;
        if (reader.at > MOST_INFO_BYTES) {
          reader.fail("unit_length", undefined, "passes 2 GiB, which is not supported", at);
        }
        offsets.push(at);
      }
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.problem = error;
    }
    return this.#offsets = Int32Array.from(offsets);
  }

  /**
   * Unit number `index` of {@linkcode unitOffsets}.
   *
   * @throws {FormatError} If its header is malformed.
   */
  unit(index: number): Unit {
    return this.#units[index] ??= new Unit(this, this.unitOffsets[index]);
  }

  /** Takes a unit of a .dwp package in place of the one that its header alone would make. */
  adopt(unit: Unit): void {
    const index = this.unitIndexAt(unit.offset);
    if (this.unitOffsets[index] === unit.offset) this.#units[index] = unit;
  }

  /** Number of the unit that holds an offset, such as a DIE's; -1 if none does. */
  unitIndexAt(offset: number): number {
    const offsets = this.unitOffsets;
    let low = 0;
    let high = offsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (offsets[middle] <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /**
   * The abbreviations at an offset, for units of one format; read once, also if in vain.
   *
   * @throws {FormatError} If they are malformed.
   */
  abbrevs(offset: number, format: DieFormat): AbbrevTable {
    const key = offset * FORMATS + formatNumber(format);
    let table = this.#abbrevs.get(key);
    if (table === undefined) {
      const reader = this.#abbrev.fork(offset);
      this.abbrevBudget.check(offset);
      try {
        table = new AbbrevTable(reader, format);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        table = error;
      }
      // Of a malformed one it does not matter how far it was read.
      this.abbrevBudget.spend((table instanceof FormatError ? reader.end : reader.at) - offset);
      this.#abbrevs.set(key, table);
    }
    if (table instanceof FormatError) throw table;
    return table;
  }

  /**
   * Lets go of unit `index`, and of what it and others may share where that has become much: abbreviations and line
   * programs that are asked for again are read again, within the same budgets.
   */
  forget(index: number): void {
    this.#units[index] = undefined;
    if (this.#abbrevs.size > MOST_SHARED) this.#abbrevs.clear();
    if (this.#programs.size > MOST_SHARED) this.#programs.clear();
    this.names.forget();
    this.alternate?.names.forget();
  }

  /**
   * The line-number program at an offset of .debug_line, read once: units may share one. Its paths begin with the
   * compilation directory of the unit that asked first; those that share have one.
   *
   * @throws {FormatError} If its header is malformed.
   */
  lineProgram(offset: number, context: Omit<LineContext, "line">): LineProgram {
    let program = this.#programs.get(offset);
    if (program === undefined) {
      program = LineProgram.parse({ ...context, line: this.line.fork(0) }, offset);
      this.#programBytes += program.header.end - offset;
      if (this.#programBytes > PROGRAMS_TO_LINE * this.line.bytes.length) {
        this.line.fail("unit_length", program.header.end - offset, "overlaps too many others", offset);
      }
      this.#programs.set(offset, program);
    }
    return program;
  }
}
