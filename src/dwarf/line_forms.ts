// Owns the forms of directory and file entries of version 5: the least that each takes, and those that are numbers.
import {
  DW_FORM_data1,
  DW_FORM_data2,
  DW_FORM_data4,
  DW_FORM_data8,
  DW_FORM_implicit_const,
  DW_FORM_sdata,
  DW_FORM_udata,
} from "./constants.ts";
import {
  type DieFormat,
  FIXED_AT_LEAST,
  formSize,
  SIZE_BLOCK2,
  SIZE_BLOCK4,
  SIZE_INDIRECT,
  SIZE_UNKNOWN,
  skipForm,
} from "./forms.ts";
import type { Reader } from "./reader.ts";

/** Size of a form whose values all have the same; `undefined` of one that varies. */
export function fixedSize(form: number, format: DieFormat): number | undefined {
  const size = formSize(form, format);
  return size >= FIXED_AT_LEAST ? size : undefined;
}

/** The fewest bytes that a value of this form takes. Throws where the form is unknown, or has none in entries. */
export function smallestSize(reader: Reader, form: number, format: DieFormat): number {
  const size = formSize(form, format);
  if (size === SIZE_UNKNOWN || size === SIZE_INDIRECT || form === DW_FORM_implicit_const) {
    reader.fail("form", form, "is not a known form of directory and file entries");
  }
  if (size >= FIXED_AT_LEAST) return size;
  return size === SIZE_BLOCK4 ? 4 : size === SIZE_BLOCK2 ? 2 : 1;
}

/** A value of a form that is a number; 0, passing over it, of any other. */
export function unsignedForm(reader: Reader, form: number, format: DieFormat): number {
  switch (form) {
    case DW_FORM_udata:
      return reader.uleb();
    case DW_FORM_data1:
      return reader.u8();
    case DW_FORM_data2:
      return reader.u16();
    case DW_FORM_data4:
      return reader.u32();
    case DW_FORM_data8:
      return reader.u64();
    case DW_FORM_sdata:
      return Math.max(0, reader.sleb());
  }
  skipForm(reader, form, format);
  return 0;
}
