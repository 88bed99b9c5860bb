// Owns abbreviation tables: what the DIEs of a unit are made of, compiled so that one can be passed over in few steps.
import {
  DW_AT_low_pc,
  DW_AT_ranges,
  DW_FORM_implicit_const,
  DW_TAG_inlined_subroutine,
  DW_TAG_subprogram,
} from "./constants.ts";
import { type DieFormat, FIXED_AT_LEAST, formSize, formSizes } from "./forms.ts";
import type { Reader } from "./reader.ts";

/** A subprogram with DW_AT_low_pc or DW_AT_ranges, or an inlined_subroutine. */
export const SCOPE_WITH_CODE = 2;
/** Any other subprogram: a declaration, or the abstract instance of an inlined function. */
export const SCOPE_WITHOUT_CODE = 1;

/** Numbers of one abbreviation in {@linkcode AbbrevTable.records}, and their places. */
export const RECORD = 4;
/** DW_TAG. */
export const TAG = 0;
/** {@linkcode SCOPE_WITH_CODE}, {@linkcode SCOPE_WITHOUT_CODE} or 0; and 4 if the DIE has children. */
export const FLAGS = 1;
export const HAS_CHILDREN = 4;
/** Where its attributes stand in .debug_abbrev, pairs of attribute and form. */
export const SPECS = 2;
/** Where its steps begin in `steps`; they end where the next one's do. */
export const STEPS = 3;

/** Attributes of an abbreviation, three numbers each: attribute, form, value of DW_FORM_implicit_const. */
export type AttributeSpecs = readonly number[];

/** Tables are made here and copied out in their final size: gcc writes one for each unit. */
let recordScratch: Int32Array = new Int32Array(4096);
let stepScratch: Int32Array = new Int32Array(4096);

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
  /** Codes from 1 to this are those of the records in order; others are looked up. */
  readonly inOrder: number;
  readonly #others: Map<number, number> | undefined;
  readonly #reader: Reader;
  readonly #specs: (AttributeSpecs | undefined)[] = [];

  /**
   * Reads the table at the reader's position up to the code 0 or the end of the section.
   *
   * @throws {FormatError} If it is cut short.
   */
  constructor(reader: Reader, format: DieFormat) {
    const sizes = formSizes(format);
    const { bytes, end } = reader;
    this.#reader = reader.fork(0);
    let others: Map<number, number> | undefined;
    let inOrder = 0;
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
      let fixed = 0;
      if ((count + 2) * RECORD > recordScratch.length) recordScratch = grown(recordScratch);
      const firstStep = steps;
      for (;;) {
        if (at >= end) reader.fail("attributes", undefined, "do not end", at);
        let attribute = bytes[at++];
        if (!(attribute < 0x80)) {
          attribute = reader.ulebAt(at - 1);
          at = reader.at;
        }
        let form = bytes[at++];
        if (!(form < 0x80)) {
          form = reader.ulebAt(at - 1);
          at = reader.at;
        }
        if (attribute === 0 && form === 0) break;
        if (attribute === DW_AT_low_pc || attribute === DW_AT_ranges) hasCode = true;
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
        : 0;
      const record = count++ * RECORD;
      recordScratch[record + TAG] = tag;
      recordScratch[record + FLAGS] = kind | (children ? HAS_CHILDREN : 0);
      recordScratch[record + SPECS] = specs;
      recordScratch[record + STEPS] = firstStep;
    }
    recordScratch[count * RECORD + STEPS] = steps;
    this.records = recordScratch.slice(0, (count + 1) * RECORD);
    this.steps = stepScratch.slice(0, steps);
    this.inOrder = inOrder;
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
    const reader = this.#reader;
    reader.at = this.records[record + SPECS];
    for (;;) {
      const attribute = reader.uleb();
      const form = reader.uleb();
      if (attribute === 0 && form === 0) return out;
      out.push(attribute, form, form === DW_FORM_implicit_const ? reader.sleb() : 0);
    }
  }
}
