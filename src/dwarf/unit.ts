// Owns Unit: the header and root DIE of one unit of .debug_info, and the values of its attributes.
import type { AbbrevTable } from "./abbrevs.ts";
import {
  DW_AT_addr_base,
  DW_AT_comp_dir,
  DW_AT_dwo_name,
  DW_AT_GNU_addr_base,
  DW_AT_GNU_dwo_id,
  DW_AT_GNU_dwo_name,
  DW_AT_GNU_ranges_base,
  DW_AT_high_pc,
  DW_AT_language,
  DW_AT_low_pc,
  DW_AT_ranges,
  DW_AT_rnglists_base,
  DW_AT_stmt_list,
  DW_AT_str_offsets_base,
  DW_FORM_addr,
  DW_FORM_addrx,
  DW_FORM_addrx1,
  DW_FORM_addrx2,
  DW_FORM_addrx3,
  DW_FORM_addrx4,
  DW_FORM_data8,
  DW_FORM_GNU_addr_index,
  DW_FORM_GNU_ref_alt,
  DW_FORM_GNU_str_index,
  DW_FORM_GNU_strp_alt,
  DW_FORM_indirect,
  DW_FORM_line_strp,
  DW_FORM_ref1,
  DW_FORM_ref2,
  DW_FORM_ref4,
  DW_FORM_ref8,
  DW_FORM_ref_addr,
  DW_FORM_ref_sup4,
  DW_FORM_ref_sup8,
  DW_FORM_ref_udata,
  DW_FORM_rnglistx,
  DW_FORM_sec_offset,
  DW_FORM_string,
  DW_FORM_strp,
  DW_FORM_strp_sup,
  DW_FORM_strx,
  DW_FORM_strx1,
  DW_FORM_strx2,
  DW_FORM_strx3,
  DW_FORM_strx4,
  DW_UT_compile,
  DW_UT_skeleton,
  DW_UT_split_compile,
  DW_UT_split_type,
  DW_UT_type,
} from "./constants.ts";
import type { DwarfFile } from "./dwarf_file.ts";
import { constantForm, type DieFormat, indirectForm, isAddressForm, isIndexForm, skipForm } from "./forms.ts";
import { type Contributions, WHOLE_SECTIONS } from "./sections.ts";
import type { Address, Reader } from "./reader.ts";

/** Code ranges of a DIE as its attributes give them. */
export interface CodeRange {
  low: Address | undefined;
  /** DW_AT_high_pc: the address after the last, */
  high: Address | undefined;
  /** or, since DWARF 4, how many bytes that is from the first. */
  size: number | undefined;
  /** DW_AT_ranges: an offset into .debug_ranges or .debug_rnglists, */
  ranges: number | undefined;
  /** or an index of a list, with DW_FORM_rnglistx. */
  rangesAreIndexed: boolean;
}

/** A unit of .debug_info. The constructor reads its header, and nothing more. */
export class Unit implements DieFormat {
  readonly file: DwarfFile;
  /** Offset of the header in .debug_info, and of the byte after the unit. */
  readonly offset: number;
  readonly end: number;
  readonly is64: boolean;
  readonly version: number;
  readonly type: number;
  readonly addressSize: number;
  readonly abbrevOffset: number;
  /** Offset of the root DIE. */
  readonly firstDie: number;
  readonly contributions: Contributions;
  /** In a split unit, the skeleton in the executable's file: it has the addresses. */
  skeleton: Unit | undefined = undefined;

  // Of the root DIE.
  language = 0;
  #compDir: string | undefined = undefined;
  #compDirAt = 0;
  #compDirForm = 0;
  /** DW_AT_stmt_list. */
  stmtList: number | undefined = undefined;
  readonly code: CodeRange = newCodeRange();
  /** Id that joins skeleton and split unit, 16 hex digits; `undefined` if it has none. */
  dwoId: string | undefined = undefined;
  dwoName: string | undefined = undefined;
  #strOffsetsBase: number | undefined = undefined;
  #addrBase: number | undefined = undefined;
  #rnglistsBase: number | undefined = undefined;
  #rangesBase = 0;
  #abbrevs: AbbrevTable | undefined = undefined;
  #rootIsRead = false;

  /** @throws {FormatError} If the header is malformed or of an unknown version. */
  constructor(file: DwarfFile, offset: number, contributions: Contributions = WHOLE_SECTIONS) {
    this.file = file;
    this.offset = offset;
    this.contributions = contributions;
    const reader = file.info.fork(offset);
    const { end, is64 } = reader.initialLength();
    this.end = end;
    this.is64 = is64;
    reader.end = end;
    this.version = reader.u16();
    if (this.version < 2 || this.version > 5) {
      reader.fail("version", this.version, "is not a version from 2 to 5", reader.at - 2);
    }
    if (this.version >= 5) {
      this.type = reader.u8();
      this.addressSize = reader.u8();
      this.abbrevOffset = reader.offset(is64);
    } else {
      this.type = DW_UT_compile;
      this.abbrevOffset = reader.offset(is64);
      this.addressSize = reader.u8();
    }
    if (![1, 2, 4, 8].includes(this.addressSize)) {
      reader.fail("address_size", this.addressSize, "is not 1, 2, 4 or 8", reader.at - 1);
    }
    if (this.type === DW_UT_skeleton || this.type === DW_UT_split_compile) this.dwoId = reader.id();
    if (this.type === DW_UT_type || this.type === DW_UT_split_type) {
      reader.skip(8);
      reader.offset(is64);
    }
    this.firstDie = reader.at;
  }

  /** @throws {FormatError} If the table is malformed. */
  get abbrevs(): AbbrevTable {
    return this.#abbrevs ??= this.file.abbrevs(this.contributions.abbrev + this.abbrevOffset, this);
  }

  /** A reader of the unit from a DIE on. */
  reader(die: number): Reader {
    return this.file.info.fork(die, this.end);
  }

  /**
   * Calls `each` for every attribute of the DIE at the reader's position, with the reader on its value, and returns
   * the abbreviation's record; -1 for the null entry. `each` tells whether it has read the value.
   */
  attributes(
    reader: Reader,
    each: (attribute: number, form: number, implicit: number, reader: Reader) => boolean,
  ): number {
    const abbrevs = this.abbrevs;
    const from = reader.at;
    const code = reader.uleb();
    if (code === 0) return -1;
    const record = abbrevs.find(code);
    if (record < 0) reader.fail("abbreviation code", code, "is not in the unit's table", from);
    const specs = abbrevs.specs(record);
    for (let i = 0; i < specs.length; i += 3) {
      const form = specs[i + 1];
      if (!each(specs[i], form, specs[i + 2], reader)) skipForm(reader, form, this);
    }
    return record;
  }

  /** Reads the root DIE, the first time. @throws {FormatError} If it is malformed. */
  readRoot(): void {
    if (this.#rootIsRead) return;
    this.#rootIsRead = true;
    let later = false;
    this.attributes(this.reader(this.firstDie), (attribute, form, implicit, reader) => {
      if (this.#readBase(attribute, form, implicit, reader)) return true;
      // Indices into tables depend on bases that may stand behind them: those attributes in a second turn.
      if (!isIndexForm(form)) return this.#readRest(attribute, form, implicit, reader);
      later = true;
      return false;
    });
    if (!later) return;
    this.attributes(
      this.reader(this.firstDie),
      (attribute, form, implicit, reader) => isIndexForm(form) && this.#readRest(attribute, form, implicit, reader),
    );
  }

  #readBase(attribute: number, form: number, implicit: number, reader: Reader): boolean {
    switch (attribute) {
      case DW_AT_str_offsets_base:
        this.#strOffsetsBase = this.offsetValue(reader, form);
        return true;
      case DW_AT_addr_base:
      case DW_AT_GNU_addr_base:
        this.#addrBase = this.offsetValue(reader, form);
        return true;
      case DW_AT_rnglists_base:
        this.#rnglistsBase = this.offsetValue(reader, form);
        return true;
      case DW_AT_GNU_ranges_base:
        this.#rangesBase = this.offsetValue(reader, form);
        return true;
      case DW_AT_language:
        this.language = this.constant(reader, form, implicit);
        return true;
      case DW_AT_stmt_list:
        this.stmtList = this.offsetValue(reader, form);
        return true;
      case DW_AT_GNU_dwo_id:
        if (form === DW_FORM_data8) this.dwoId = reader.id();
        else this.constant(reader, form, implicit);
        return true;
      default:
        return false;
    }
  }

  #readRest(attribute: number, form: number, implicit: number, reader: Reader): boolean {
    switch (attribute) {
      case DW_AT_comp_dir:
        this.#compDirAt = reader.at;
        this.#compDirForm = form;
        return false;
      case DW_AT_dwo_name:
      case DW_AT_GNU_dwo_name:
        this.dwoName = this.string(reader, form);
        return true;
      default:
        return this.readCode(this.code, attribute, form, implicit, reader);
    }
  }

  /** DW_AT_comp_dir; "" if there is none. */
  get compDir(): string {
    this.readRoot();
    if (this.#compDirForm === 0) return "";
    return this.#compDir ??= this.string(this.reader(this.#compDirAt), this.#compDirForm) ?? "";
  }

  /** Takes an attribute into `code` if it is one of those that give code ranges. */
  readCode(code: CodeRange, attribute: number, form: number, implicit: number, reader: Reader): boolean {
    switch (attribute) {
      case DW_AT_low_pc:
        code.low = this.address(reader, form);
        return true;
      case DW_AT_high_pc:
        if (form === DW_FORM_indirect) form = indirectForm(reader);
        if (isAddressForm(form)) code.high = this.address(reader, form);
        else code.size = this.constant(reader, form, implicit);
        return true;
      case DW_AT_ranges:
        if (form === DW_FORM_indirect) form = indirectForm(reader);
        code.rangesAreIndexed = form === DW_FORM_rnglistx;
        code.ranges = code.rangesAreIndexed ? reader.uleb() : this.offsetValue(reader, form);
        return true;
      default:
        return false;
    }
  }

  /** See {@linkcode constantForm}. */
  constant(reader: Reader, form: number, implicit: number): number {
    return constantForm(reader, form, implicit, this);
  }

  /** An offset into another section: DW_FORM_sec_offset, or before DWARF 4 a constant. */
  offsetValue(reader: Reader, form: number): number {
    if (form === DW_FORM_sec_offset) return reader.offset(this.is64);
    return this.constant(reader, form, 0);
  }

  /** An address, maybe by way of .debug_addr; `undefined` where that has none. */
  address(reader: Reader, form: number): Address | undefined {
    switch (form) {
      case DW_FORM_addr:
        return reader.address(this.addressSize);
      case DW_FORM_addrx:
      case DW_FORM_GNU_addr_index:
        return this.addressAt(reader.uleb());
      case DW_FORM_addrx1:
        return this.addressAt(reader.u8());
      case DW_FORM_addrx2:
        return this.addressAt(reader.u16());
      case DW_FORM_addrx3:
        return this.addressAt(reader.u24());
      case DW_FORM_addrx4:
        return this.addressAt(reader.u32());
      case DW_FORM_indirect:
        return this.address(reader, indirectForm(reader));
      default:
        skipForm(reader, form, this);
        return undefined;
    }
  }

  /** Element `index` of the unit's part of .debug_addr. */
  addressAt(index: number): Address | undefined {
    if (this.skeleton !== undefined) return this.skeleton.addressAt(index);
    this.readRoot();
    const { addr } = this.file;
    const at = (this.#addrBase ?? (this.version >= 5 ? 8 : 0)) + index * this.addressSize;
    if (!(at <= addr.bytes.length - this.addressSize)) return undefined;
    return addr.fork(at).address(this.addressSize);
  }

  /**
   * A reference to a DIE, as an offset in .debug_info; −1 − offset for one in the alternate file; `undefined` for
   * the signature of a type.
   */
  reference(reader: Reader, form: number): number | undefined {
    switch (form) {
      case DW_FORM_ref1:
        return this.offset + reader.u8();
      case DW_FORM_ref2:
        return this.offset + reader.u16();
      case DW_FORM_ref4:
        return this.offset + reader.u32();
      case DW_FORM_ref8:
        return this.offset + reader.u64();
      case DW_FORM_ref_udata:
        return this.offset + reader.uleb();
      case DW_FORM_ref_addr:
        if (this.version <= 2) return reader.unsigned(this.addressSize);
        return this.contributions.info + reader.offset(this.is64);
      case DW_FORM_ref_sup4:
        return -1 - reader.u32();
      case DW_FORM_ref_sup8:
        return -1 - reader.u64();
      case DW_FORM_GNU_ref_alt:
        return -1 - reader.offset(this.is64);
      case DW_FORM_indirect:
        return this.reference(reader, indirectForm(reader));
      default:
        skipForm(reader, form, this);
        return undefined;
    }
  }

  /** Text, from wherever the form has it; `undefined` where that is missing. */
  string(reader: Reader, form: number): string | undefined {
    const { str, lineStr, alternate } = this.file;
    switch (form) {
      case DW_FORM_string:
        return reader.string();
      case DW_FORM_strp:
        return str.at(reader.offset(this.is64));
      case DW_FORM_line_strp:
        return lineStr.at(reader.offset(this.is64));
      case DW_FORM_strp_sup:
      case DW_FORM_GNU_strp_alt: {
        const offset = reader.offset(this.is64);
        return alternate?.str.at(offset);
      }
      case DW_FORM_strx:
      case DW_FORM_GNU_str_index:
        return this.stringAtIndex(reader.uleb());
      case DW_FORM_strx1:
        return this.stringAtIndex(reader.u8());
      case DW_FORM_strx2:
        return this.stringAtIndex(reader.u16());
      case DW_FORM_strx3:
        return this.stringAtIndex(reader.u24());
      case DW_FORM_strx4:
        return this.stringAtIndex(reader.u32());
      case DW_FORM_indirect:
        return this.string(reader, indirectForm(reader));
      default:
        skipForm(reader, form, this);
        return undefined;
    }
  }

  /** String `index` of the unit's part of .debug_str_offsets. */
  stringAtIndex(index: number): string | undefined {
    const { str, strOffsets } = this.file;
    const size = this.is64 ? 8 : 4;
    // A split unit has no base: its part begins behind the header that DWARF 5 gave the section.
    const base = this.#strOffsetsBase ??
      this.contributions.strOffsets + (this.version >= 5 ? (this.is64 ? 16 : 8) : 0);
    const at = base + index * size;
    if (!(at <= strOffsets.bytes.length - size)) return undefined;
    return str.at(strOffsets.fork(at).offset(this.is64));
  }

  /** Where the lists of .debug_rnglists that the unit counts by index have their table of offsets. */
  get rnglistsBase(): number {
    return this.#rnglistsBase ?? this.contributions.rnglists + (this.is64 ? 20 : 12);
  }

  /** What DW_AT_ranges of a GNU split unit is relative to; of the skeleton's own root it is not. */
  get rangesBase(): number {
    return this.skeleton === undefined || this.version >= 5 ? 0 : this.skeleton.#rangesBase;
  }
}

export function newCodeRange(): CodeRange {
  return { low: undefined, high: undefined, size: undefined, ranges: undefined, rangesAreIndexed: false };
}
