// Owns attribute forms: how large each is, and how to pass over one. DWARF 5, 7.5.6.
import {
  DW_FORM_addr,
  DW_FORM_addrx,
  DW_FORM_addrx1,
  DW_FORM_addrx2,
  DW_FORM_addrx3,
  DW_FORM_addrx4,
  DW_FORM_block,
  DW_FORM_block1,
  DW_FORM_block2,
  DW_FORM_block4,
  DW_FORM_data1,
  DW_FORM_data16,
  DW_FORM_data2,
  DW_FORM_data4,
  DW_FORM_data8,
  DW_FORM_exprloc,
  DW_FORM_flag,
  DW_FORM_flag_present,
  DW_FORM_GNU_addr_index,
  DW_FORM_GNU_ref_alt,
  DW_FORM_GNU_str_index,
  DW_FORM_GNU_strp_alt,
  DW_FORM_implicit_const,
  DW_FORM_indirect,
  DW_FORM_line_strp,
  DW_FORM_loclistx,
  DW_FORM_ref1,
  DW_FORM_ref2,
  DW_FORM_ref4,
  DW_FORM_ref8,
  DW_FORM_ref_addr,
  DW_FORM_ref_sig8,
  DW_FORM_ref_sup4,
  DW_FORM_ref_sup8,
  DW_FORM_ref_udata,
  DW_FORM_rnglistx,
  DW_FORM_sdata,
  DW_FORM_sec_offset,
  DW_FORM_string,
  DW_FORM_strp,
  DW_FORM_strp_sup,
  DW_FORM_strx,
  DW_FORM_strx1,
  DW_FORM_strx2,
  DW_FORM_strx3,
  DW_FORM_strx4,
  DW_FORM_udata,
} from "./constants.ts";
import type { Reader } from "./reader.ts";

/** What the sizes of a unit's forms depend on. */
export interface DieFormat {
  readonly version: number;
  readonly is64: boolean;
  readonly addressSize: number;
}

/** Results of {@linkcode formSize} from here on are counts of bytes. */
export const FIXED_AT_LEAST = 0;
export const SIZE_LEB = -1;
export const SIZE_STRING = -2;
export const SIZE_BLOCK = -3;
export const SIZE_BLOCK1 = -4;
export const SIZE_BLOCK2 = -5;
export const SIZE_BLOCK4 = -6;
export const SIZE_INDIRECT = -7;
export const SIZE_UNKNOWN = -8;

/** Bytes that a value of this form takes, or how to find out: one of the negative `SIZE_…`. */
export function formSize(form: number, { version, is64, addressSize }: DieFormat): number {
  switch (form) {
    case DW_FORM_flag_present:
    case DW_FORM_implicit_const:
      return 0;
    case DW_FORM_data1:
    case DW_FORM_flag:
    case DW_FORM_ref1:
    case DW_FORM_strx1:
    case DW_FORM_addrx1:
      return 1;
    case DW_FORM_data2:
    case DW_FORM_ref2:
    case DW_FORM_strx2:
    case DW_FORM_addrx2:
      return 2;
    case DW_FORM_strx3:
    case DW_FORM_addrx3:
      return 3;
    case DW_FORM_data4:
    case DW_FORM_ref4:
    case DW_FORM_ref_sup4:
    case DW_FORM_strx4:
    case DW_FORM_addrx4:
      return 4;
    case DW_FORM_data8:
    case DW_FORM_ref8:
    case DW_FORM_ref_sup8:
    case DW_FORM_ref_sig8:
      return 8;
    case DW_FORM_data16:
      return 16;
    case DW_FORM_addr:
      return addressSize;
    case DW_FORM_ref_addr:
      // An address in DWARF 2, an offset since.
      return version <= 2 ? addressSize : is64 ? 8 : 4;
    case DW_FORM_strp:
    case DW_FORM_sec_offset:
    case DW_FORM_strp_sup:
    case DW_FORM_line_strp:
    case DW_FORM_GNU_ref_alt:
    case DW_FORM_GNU_strp_alt:
      return is64 ? 8 : 4;
    case DW_FORM_sdata:
    case DW_FORM_udata:
    case DW_FORM_ref_udata:
    case DW_FORM_strx:
    case DW_FORM_addrx:
    case DW_FORM_loclistx:
    case DW_FORM_rnglistx:
    case DW_FORM_GNU_addr_index:
    case DW_FORM_GNU_str_index:
      return SIZE_LEB;
    case DW_FORM_string:
      return SIZE_STRING;
    case DW_FORM_block:
    case DW_FORM_exprloc:
      return SIZE_BLOCK;
    case DW_FORM_block1:
      return SIZE_BLOCK1;
    case DW_FORM_block2:
      return SIZE_BLOCK2;
    case DW_FORM_block4:
      return SIZE_BLOCK4;
    case DW_FORM_indirect:
      return SIZE_INDIRECT;
    default:
      return SIZE_UNKNOWN;
  }
}

/** Past the standard's forms; vendors' have numbers from 0x1f00 on. */
const STANDARD_FORMS = 0x2d;
const SIZES: (Int8Array | undefined)[] = [];

/** {@linkcode formSize} of the standard's forms. */
export function formSizes(format: DieFormat): Int8Array {
  return SIZES[formatNumber(format)] ??= Int8Array.from(
    { length: STANDARD_FORMS },
    (_, form) => formSize(form, format),
  );
}

/** More than any {@linkcode formatNumber}. */
export const FORMATS = 64;

/** Equal for formats that give all forms the same sizes. */
export function formatNumber({ version, is64, addressSize }: DieFormat): number {
  return (addressSize << 2) | (is64 ? 2 : 0) | (version <= 2 ? 1 : 0);
}

/** Passes over what a step of a negative kind stands for. */
export function skipVariable(reader: Reader, kind: number, format: DieFormat): void {
  switch (kind) {
    case SIZE_LEB:
      return reader.skipLeb();
    case SIZE_STRING:
      return reader.skipString();
    case SIZE_BLOCK:
      return reader.skip(reader.uleb());
    case SIZE_BLOCK1:
      return reader.skip(reader.u8());
    case SIZE_BLOCK2:
      return reader.skip(reader.u16());
    case SIZE_BLOCK4:
      return reader.skip(reader.u32());
    case SIZE_INDIRECT:
      return skipForm(reader, indirectForm(reader), format);
    default:
      reader.fail("DW_FORM", undefined, "is unknown, and so is the size of its value");
  }
}

/** The form that a value of DW_FORM_indirect names before itself. */
export function indirectForm(reader: Reader): number {
  const form = reader.uleb();
  // The constant would stand in the abbreviation; and a chain of indirections serves no one.
  if (form === DW_FORM_implicit_const || form === DW_FORM_indirect) {
    reader.fail("DW_FORM_indirect", form, "is no form");
  }
  return form;
}

/** Passes over a value. */
export function skipForm(reader: Reader, form: number, format: DieFormat): void {
  const size = formSize(form, format);
  if (size >= FIXED_AT_LEAST) reader.skip(size);
  else skipVariable(reader, size, format);
}

/** A value of a constant class: sizes, lines, numbers of files. Other forms are passed over and give 0. */
export function constantForm(reader: Reader, form: number, implicit: number, format: DieFormat): number {
  switch (form) {
    case DW_FORM_data1:
      return reader.u8();
    case DW_FORM_data2:
      return reader.u16();
    case DW_FORM_data4:
      return reader.u32();
    case DW_FORM_data8:
      return reader.u64();
    case DW_FORM_udata:
      return reader.uleb();
    case DW_FORM_sdata:
      return reader.sleb();
    case DW_FORM_implicit_const:
      return implicit;
    case DW_FORM_indirect:
      return constantForm(reader, indirectForm(reader), 0, format);
    default:
      skipForm(reader, form, format);
      return 0;
  }
}

/** Whether a value is an index into a table whose place the root DIE tells; or may be. */
export function isIndexForm(form: number): boolean {
  return form >= DW_FORM_strx && (form <= DW_FORM_addrx || (form >= DW_FORM_strx1 && form <= DW_FORM_addrx4) ||
        form === DW_FORM_GNU_addr_index || form === DW_FORM_GNU_str_index) || form === DW_FORM_indirect;
}

export function isAddressForm(form: number): boolean {
  return form === DW_FORM_addr || form === DW_FORM_GNU_addr_index ||
    form === DW_FORM_addrx || (form >= DW_FORM_addrx1 && form <= DW_FORM_addrx4);
}
