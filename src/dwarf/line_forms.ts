// Owns the forms of directory and file entries of version 5: the least that each takes.
import { DW_FORM_implicit_const } from "./constants.ts";
import {
  type DieFormat,
  FIXED_AT_LEAST,
  formSize,
  SIZE_BLOCK2,
  SIZE_BLOCK4,
  SIZE_INDIRECT,
  SIZE_UNKNOWN,
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
