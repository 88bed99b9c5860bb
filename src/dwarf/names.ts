// Owns names of functions: from a DIE along its abstract origin and specification, in other units and files too.
import { FormatError } from "../base/format_error.ts";
import type { NameTable } from "../base/name_table.ts";
import {
  DW_AT_abstract_origin,
  DW_AT_linkage_name,
  DW_AT_MIPS_linkage_name,
  DW_AT_name,
  DW_AT_specification,
} from "./constants.ts";
import type { DwarfFile } from "./dwarf_file.ts";
import type { Unit } from "./unit.ts";

/** Most DIEs that one name is looked for in. Real chains have three; those that go round end here. */
const MOST_DIES = 16;

/** DIEs that are remembered by those who go through all units: some megabytes. */
const MOST_KNOWN = 1 << 16;

/** What one DIE tells of a function's name. */
interface NameLink {
  linkage: string | undefined;
  plain: string | undefined;
  /** DIEs that may tell more. */
  next: number[];
}

/** Function names by the offset of their DIE; each is looked up once and kept. */
export class FunctionNames {
  readonly #file: DwarfFile;
  readonly #table: NameTable;
  readonly #numbers = new Map<number, number>();
  /** DIEs that names have been looked for in on the way from others. */
  readonly #links = new Map<number, NameLink>();

  constructor(file: DwarfFile, table: NameTable) {
    this.#file = file;
    this.#table = table;
  }

  /**
   * Number in the table of the linkage name of the function whose DIE is at an offset of .debug_info (−1 − offset: of
   * the alternate file's), else of its plain name; 0 if it has neither or they can't be read.
   */
  number(die: number): number {
    if (die < 0) return this.#file.alternate?.names.number(-1 - die) ?? 0;
    let number = this.#numbers.get(die);
    if (number === undefined) {
      try {
        number = this.#table.intern(this.#find(die) ?? "");
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        number = 0;
      }
      this.#numbers.set(die, number);
    }
    return number;
  }

  /** Lets go of what is known about DIEs where that has become much; the names stay in the table. */
  forget(): void {
    if (this.#numbers.size + this.#links.size < MOST_KNOWN) return;
    this.#numbers.clear();
    this.#links.clear();
  }

  #find(start: number): string | undefined {
    const seen = [start];
    let plain: string | undefined;
    for (let i = 0; i < seen.length && i < MOST_DIES; i++) {
      const die = seen[i];
      if (die < 0) {
        // The rest of the chain is the other file's; its linkage name, if any, is what it answers.
        const other = this.number(die);
        if (other !== 0) return this.#table.names[other];
        continue;
      }
      const index = this.#file.unitIndexAt(die);
      if (index < 0) continue;
      let found = this.#links.get(die);
      if (found === undefined) {
        found = this.#read(this.#file.unit(index), die);
        // Others may come this way too, and the DIE may be long.
        if (i > 0) this.#links.set(die, found);
      }
      for (const next of found.next) if (seen.length < MOST_DIES && !seen.includes(next)) seen.push(next);
      if (found.linkage !== undefined) return found.linkage;
      plain ??= found.plain;
    }
    return plain;
  }

  #read(unit: Unit, die: number): NameLink {
    const out: NameLink = { linkage: undefined, plain: undefined, next: [] };
    if (die < unit.firstDie || die >= unit.end) return out;
    unit.readRoot();
    unit.attributes(unit.reader(die), (attribute, form, _implicit, reader) => {
      switch (attribute) {
        case DW_AT_linkage_name:
        case DW_AT_MIPS_linkage_name:
          out.linkage = unit.string(reader, form);
          return true;
        case DW_AT_name:
          out.plain = unit.string(reader, form);
          return true;
        case DW_AT_abstract_origin:
        case DW_AT_specification: {
          const next = unit.reference(reader, form);
          if (next !== undefined && out.next.length < MOST_DIES) out.next.push(next);
          return true;
        }
        default:
          return false;
      }
    });
    return out;
  }
}
