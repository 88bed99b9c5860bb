// Owns the forms that parts of a version 5 directory or file entry may have: how long each is, and numbers in them.
import * as form from "./constants.ts";
import type { LineHeader } from "./line_header.ts";
import type { Reader } from "./reader.ts";

/** Sizes of forms that have one. */
const FIXED: Readonly<Record<number, number>> = {
  [form.DW_FORM_flag_present]: 0,
  [form.DW_FORM_data1]: 1,
  [form.DW_FORM_flag]: 1,
  [form.DW_FORM_strx1]: 1,
  [form.DW_FORM_addrx1]: 1,
  [form.DW_FORM_ref1]: 1,
  [form.DW_FORM_data2]: 2,
  [form.DW_FORM_strx2]: 2,
  [form.DW_FORM_addrx2]: 2,
  [form.DW_FORM_ref2]: 2,
  [form.DW_FORM_strx3]: 3,
  [form.DW_FORM_addrx3]: 3,
  [form.DW_FORM_data4]: 4,
  [form.DW_FORM_strx4]: 4,
  [form.DW_FORM_addrx4]: 4,
  [form.DW_FORM_ref4]: 4,
  [form.DW_FORM_ref_sup4]: 4,
  [form.DW_FORM_data8]: 8,
  [form.DW_FORM_ref8]: 8,
  [form.DW_FORM_ref_sig8]: 8,
  [form.DW_FORM_ref_sup8]: 8,
  [form.DW_FORM_data16]: 16,
};

/** Forms that are an offset: 4 bytes, or 8 in 64-bit DWARF. */
const OFFSETS: ReadonlySet<number> = new Set([
  form.DW_FORM_strp,
  form.DW_FORM_line_strp,
  form.DW_FORM_strp_sup,
  form.DW_FORM_GNU_strp_alt,
  form.DW_FORM_GNU_ref_alt,
  form.DW_FORM_sec_offset,
  form.DW_FORM_ref_addr,
]);

/** Smallest sizes of the forms that vary. */
const VARYING: Readonly<Record<number, number>> = {
  [form.DW_FORM_udata]: 1,
  [form.DW_FORM_sdata]: 1,
  [form.DW_FORM_strx]: 1,
  [form.DW_FORM_addrx]: 1,
  [form.DW_FORM_ref_udata]: 1,
  [form.DW_FORM_loclistx]: 1,
  [form.DW_FORM_rnglistx]: 1,
  [form.DW_FORM_GNU_str_index]: 1,
  [form.DW_FORM_GNU_addr_index]: 1,
  [form.DW_FORM_string]: 1,
  [form.DW_FORM_block]: 1,
  [form.DW_FORM_exprloc]: 1,
  [form.DW_FORM_block1]: 1,
  [form.DW_FORM_block2]: 2,
  [form.DW_FORM_block4]: 4,
};

/** Size of a form whose values all have the same; `undefined` of one that varies. */
export function fixedSize(code: number, header: LineHeader): number | undefined {
  if (OFFSETS.has(code)) return header.is64 ? 8 : 4;
  return code === form.DW_FORM_addr ? header.addressSize : FIXED[code];
}

/** The fewest bytes that a value of this form takes. Throws where the form is unknown, or has none in entries. */
export function smallestSize(reader: Reader, code: number, header: LineHeader): number {
  return fixedSize(code, header) ?? VARYING[code] ??
    reader.fail("form", code, "is not a known form of directory and file entries");
}

/** Passes over a value of a form that {@linkcode smallestSize} knows. */
export function skipForm(reader: Reader, code: number, header: LineHeader): void {
  switch (code) {
    case form.DW_FORM_string:
      return reader.skipString();
    case form.DW_FORM_block:
    case form.DW_FORM_exprloc:
      return reader.skip(reader.uleb());
    case form.DW_FORM_block1:
      return reader.skip(reader.u8());
    case form.DW_FORM_block2:
      return reader.skip(reader.u16());
    case form.DW_FORM_block4:
      return reader.skip(reader.u32());
  }
  const size = fixedSize(code, header);
  if (size === undefined) reader.skipLeb();
  else reader.skip(size);
}

/** A value of a form that is a number; 0, passing over it, of any other. */
export function unsignedForm(reader: Reader, code: number, header: LineHeader): number {
  switch (code) {
    case form.DW_FORM_udata:
      return reader.uleb();
    case form.DW_FORM_data1:
      return reader.u8();
    case form.DW_FORM_data2:
      return reader.u16();
    case form.DW_FORM_data4:
      return reader.u32();
    case form.DW_FORM_data8:
      return reader.u64();
    case form.DW_FORM_sdata:
      return Math.max(0, reader.sleb());
  }
  skipForm(reader, code, header);
  return 0;
}
