// Owns DwarfFile: the sections of one file with what has been read of them: units and abbreviation tables.
import { FormatError } from "../base/format_error.ts";
import { AbbrevTable } from "./abbrevs.ts";
import { type DieFormat, formatKey } from "./forms.ts";
import { FunctionNames, type NameTable } from "./names.ts";
import { type LineContext, LineProgram } from "./line_program.ts";
import { Reader } from "./reader.ts";
import type { DwarfSections } from "./sections.ts";
import { Unit } from "./unit.ts";

/** Offsets of DIEs are kept in 31 bits. */
const MOST_INFO_BYTES = 0x7fff_ffff;

/** Line-number programs may add up to so many times their section. They overlap in hostile files alone. */
const PROGRAMS_TO_LINE = 4;

/** One file's DWARF. The constructor reads nothing; keeps the sections' bytes. */
export class DwarfFile {
  readonly sections: DwarfSections;
  readonly info: Reader;
  readonly strOffsets: Reader;
  readonly addr: Reader;
  readonly ranges: Reader;
  readonly rnglists: Reader;
  readonly line: Reader;
  /** The file that .gnu_debugaltlink names. */
  readonly alternate: DwarfFile | undefined;
  readonly names: FunctionNames;
  #offsets: Int32Array | undefined = undefined;
  #units: (Unit | undefined)[] = [];
  /** Unit headers that could not be read; the units behind them are not known. */
  problem: FormatError | undefined = undefined;
  readonly #abbrev: Reader;
  readonly #abbrevs = new Map<string, AbbrevTable>();
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
    this.#abbrev = reader(sections.abbrev, ".debug_abbrev");
    this.alternate = alternate;
    this.names = new FunctionNames(this, names);
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
   * The abbreviations at an offset, for units of one format; read once.
   *
   * @throws {FormatError} If they are malformed.
   */
  abbrevs(offset: number, format: DieFormat): AbbrevTable {
    const key = `${offset} ${formatKey(format)}`;
    let table = this.#abbrevs.get(key);
    if (table === undefined) {
      table = new AbbrevTable(this.#abbrev.fork(offset), format);
      this.#abbrevs.set(key, table);
    }
    return table;
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
