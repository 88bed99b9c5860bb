// Owns abbreviation tables: what the DIEs of a unit are made of, compiled so that one can be passed over in few steps.
import {
  DW_AT_low_pc,
  DW_AT_ranges,
  DW_AT_sibling,
  DW_FORM_flag_present,
  DW_FORM_implicit_const,
  DW_FORM_ref4,
  DW_TAG_array_type,
  DW_TAG_enumeration_type,
  DW_TAG_inlined_subroutine,
  DW_TAG_structure_type,
  DW_TAG_subprogram,
  DW_TAG_subroutine_type,
  DW_TAG_union_type,
} from "./constants.ts";
import { type DieFormat, FIXED_AT_LEAST, formSize, formSizes } from "./forms.ts";
import type { Reader } from "./reader.ts";

/** A subprogram with DW_AT_low_pc or DW_AT_ranges, or an inlined_subroutine. */
export const SCOPE_WITH_CODE = 2;
/** Any other subprogram: a declaration, or the abstract instance of an inlined function. */
export const SCOPE_WITHOUT_CODE = 1;

/**
 * A type whose last attribute is DW_AT_sibling, an offset of 4 bytes: where it is known to hold no code it can be passed
 * over with all its members.
 */
export const TYPE_WITH_SIBLING = 8;

/** Numbers of one abbreviation in {@linkcode AbbrevTable.records}, and their places. */
export const RECORD = 4;
/** DW_TAG. */
export const TAG = 0;
/** One of the kinds above, or 0; and 4 if the DIE has children. */
export const FLAGS = 1;
export const HAS_CHILDREN = 4;
/** Where its attributes stand in .debug_abbrev, pairs of attribute and form. */
export const SPECS = 2;
/** Where its steps begin in `steps`; they end where the next one's do. */
export const STEPS = 3;

/**
 * Most attributes of an abbreviation whose values take no bytes; more are passed over. Else a DIE of one byte could
 * have as many attributes as .debug_abbrev has room for.
 */
const MOST_EMPTY = 64;

/** Attributes of an abbreviation, three numbers each: attribute, form, value of DW_FORM_implicit_const. */
export type AttributeSpecs = readonly number[];

/** Tables are made here and copied out in their final size: gcc writes one for each unit. */
const KEPT = 1 << 16;
let recordScratch: Int32Array = new Int32Array(4096);
let stepScratch: Int32Array = new Int32Array(4096);

function isType(tag: number): boolean {
  return tag === DW_TAG_structure_type || tag === DW_TAG_union_type || tag === DW_TAG_enumeration_type ||
    tag === DW_TAG_array_type || tag === DW_TAG_subroutine_type;
}

function grown(scratch: Int32Array): Int32Array {
  const out = new Int32Array(2 * scratch.length);
  out.set(scratch);
  return out;
}

/** One table of .debug_abbrev, for units of one {@linkcode DieFormat}. */
export class AbbrevTable {
  /** {@linkcode RECORD} numbers for each abbreviation, and one more record that ends the steps of the last. */
  readonly records: Int32Array;
  /** How to pass over a DIE's values: a count of bytes, or one of the negative kinds of {@linkcode formSize}. */
  readonly steps: Int32Array;
  /** Whether a DIE may be a DW_TAG_inlined_subroutine. */
  readonly hasInlined: boolean;
  /** Codes from 1 to this are those of the records in order; others are looked up. */
  readonly inOrder: number;
  readonly #others: Map<number, number> | undefined;
  /** Of .debug_abbrev, to read attributes with. */
  readonly reader: Reader;
  readonly #specs: (AttributeSpecs | undefined)[] = [];

  /**
   * Reads the table at the reader's position up to the code 0 or the end of the section; the reader is then behind it.
   *
   * @throws {FormatError} If it is cut short.
   */
  constructor(reader: Reader, format: DieFormat) {
    const sizes = formSizes(format);
    const { bytes, end } = reader;
    this.reader = reader.fork(0);
    let others: Map<number, number> | undefined;
    let inOrder = 0;
    let hasInlined = false;
    let count = 0;
    let steps = 0;
    let at = reader.at;
    // Numbers of one byte, which nearly all are, are read here; longer ones by the reader.
    while (at < end) {
      let code = bytes[at++];
      if (!(code < 0x80)) {
        code = reader.ulebAt(at - 1);
        at = reader.at;
      }
      if (code === 0) break;
      if (others === undefined && code === count + 1) inOrder = code;
      else {
        others ??= new Map();
        // Of equal codes the first counts, as a search from the start would find it.
        if (code > inOrder && !others.has(code)) others.set(code, count * RECORD);
      }
      let tag = bytes[at++];
      if (!(tag < 0x80)) {
        tag = reader.ulebAt(at - 1);
        at = reader.at;
      }
      const children = bytes[at++] !== 0;
      const specs = at;
      let hasCode = false;
      let endsInSibling = false;
      let fixed = 0;
      if ((count + 2) * RECORD > recordScratch.length) recordScratch = grown(recordScratch);
      const firstStep = steps;
      for (;;) {
        if (at >= end) reader.fail("attributes", undefined, "do not end", at);
        let attribute = bytes[at];
        let form = bytes[at + 1];
        // Past the end of the bytes it reads undefined, and the reader says so.
        if ((attribute | form) < 0x80 && at + 1 < end) at += 2;
        else {
          attribute = reader.ulebAt(at);
          form = reader.uleb();
          at = reader.at;
        }
        if (attribute === 0 && form === 0) break;
        if (attribute === DW_AT_low_pc || attribute === DW_AT_ranges) hasCode = true;
        endsInSibling = attribute === DW_AT_sibling && form === DW_FORM_ref4;
        if (form === DW_FORM_implicit_const) {
          reader.at = at;
          reader.skipLeb();
          at = reader.at;
        }
        const size = form < sizes.length ? sizes[form] : formSize(form, format);
        if (size >= FIXED_AT_LEAST) {
          fixed += size;
          continue;
        }
        if (steps + 3 > stepScratch.length) stepScratch = grown(stepScratch);
        if (fixed > 0) stepScratch[steps++] = fixed;
        fixed = 0;
        stepScratch[steps++] = size;
      }
      if (steps + 3 > stepScratch.length) stepScratch = grown(stepScratch);
      if (fixed > 0) stepScratch[steps++] = fixed;
      const kind = tag === DW_TAG_inlined_subroutine || (tag === DW_TAG_subprogram && hasCode)
        ? SCOPE_WITH_CODE
        : tag === DW_TAG_subprogram
        ? SCOPE_WITHOUT_CODE
        : endsInSibling && isType(tag)
        ? TYPE_WITH_SIBLING
        : 0;
      if (tag === DW_TAG_inlined_subroutine) hasInlined = true;
      const record = count++ * RECORD;
      recordScratch[record + TAG] = tag;
      recordScratch[record + FLAGS] = kind | (children ? HAS_CHILDREN : 0);
      recordScratch[record + SPECS] = specs;
      recordScratch[record + STEPS] = firstStep;
    }
    reader.at = at;
    recordScratch[count * RECORD + STEPS] = steps;
    this.records = recordScratch.slice(0, (count + 1) * RECORD);
    this.steps = stepScratch.slice(0, steps);
    if (recordScratch.length > KEPT) recordScratch = new Int32Array(KEPT);
    if (stepScratch.length > KEPT) stepScratch = new Int32Array(KEPT);
    this.inOrder = inOrder;
    this.hasInlined = hasInlined;
    this.#others = others;
  }

  /** Where the record of a code begins, or -1. Codes up to `inOrder` need not be asked for. */
  find(code: number): number {
    if (code >= 1 && code <= this.inOrder) return (code - 1) * RECORD;
    return this.#others?.get(code) ?? -1;
  }

  /** The attributes of the abbreviation whose record begins at `record`. */
  specs(record: number): AttributeSpecs {
    return this.#specs[record / RECORD] ??= this.#readSpecs(record);
  }

  #readSpecs(record: number): AttributeSpecs {
    const out: number[] = [];
    let empty = 0;
    const reader = this.reader;
    reader.at = this.records[record + SPECS];
    for (;;) {
      const attribute = reader.uleb();
      const form = reader.uleb();
      if (attribute === 0 && form === 0) return out;
      const implicit = form === DW_FORM_implicit_const ? reader.sleb() : 0;
      const takesBytes = form !== DW_FORM_implicit_const && form !== DW_FORM_flag_present;
      if (takesBytes || ++empty <= MOST_EMPTY) out.push(attribute, form, implicit);
    }
  }
}
