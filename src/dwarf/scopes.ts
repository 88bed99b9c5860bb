// Owns Scopes: the functions and inlined calls of one unit, by address.
import {
  DW_AT_abstract_origin,
  DW_AT_call_column,
  DW_AT_call_file,
  DW_AT_call_line,
  DW_AT_high_pc,
  DW_AT_low_pc,
  DW_AT_ranges,
  DW_LANG_C,
  DW_LANG_C11,
  DW_LANG_C17,
  DW_LANG_C89,
  DW_LANG_C99,
  DW_TAG_inlined_subroutine,
} from "./constants.ts";
import {
  FLAGS,
  HAS_CHILDREN,
  RECORD,
  SCOPE_WITH_CODE,
  SCOPE_WITHOUT_CODE,
  STEPS,
  TAG,
  TYPE_WITH_SIBLING,
} from "./abbrevs.ts";
import { FIXED_AT_LEAST, SIZE_BLOCK, SIZE_LEB, skipForm, skipVariable } from "./forms.ts";
import type { FunctionNames } from "./names.ts";
import { IntervalMap, RangeList } from "./interval_map.ts";
import { eachRange } from "./ranges.ts";
import type { Address, Reader } from "./reader.ts";
import type { CodeBounds } from "./unit_index.ts";
import { type CodeRange, newCodeRange, type Unit } from "./unit.ts";

/** Numbers for each scope in the table, and their places. */
const WIDTH = 7;
/** The scope around it; -1: it is a function, not inlined. */
const PARENT = 0;
/** Where it was called. */
const CALL_FILE = 1;
const CALL_LINE = 2;
const CALL_COLUMN = 3;
/** The DIE that tells its name. */
const FUNCTION = 4;
/** The number of that name, and one more; 0 as long as nobody asked. */
const NAME = 5;
/** The outermost scope around it, maybe itself. */
const ROOT = 6;

/** Their types hold no functions. Those of C++ and Rust may. */
const C_LANGUAGES: readonly number[] = [DW_LANG_C89, DW_LANG_C, DW_LANG_C99, DW_LANG_C11, DW_LANG_C17];

/** Scopes that memory is kept for between units: 448 KiB. */
const KEPT_SCOPES = 1 << 14;

/** Filled by one scan after the other; what a unit keeps is copied out. */
class Scratch {
  readonly ranges = new RangeList();
  readonly code: CodeRange = newCodeRange();
  rows = new Int32Array(1024 * WIDTH);
  count = 0;
  /** For each open DIE the scope it is in. */
  readonly parents: number[] = [];

  /** Ready for another unit; what an exceptional one needed is let go of. */
  reset(): void {
    this.ranges.clear();
    this.count = 0;
    this.parents.length = 0;
    if (this.rows.length > KEPT_SCOPES * WIDTH) this.rows = new Int32Array(KEPT_SCOPES * WIDTH);
  }

  /** Adds a scope. */
  push(parent: number, callFile: number, callLine: number, callColumn: number, die: number): void {
    const at = this.count++ * WIDTH;
    if (at === this.rows.length) {
      const rows = new Int32Array(2 * at);
      rows.set(this.rows);
      this.rows = rows;
    }
    const { rows } = this;
    rows[at + PARENT] = parent;
    rows[at + CALL_FILE] = fieldOf(callFile);
    rows[at + CALL_LINE] = fieldOf(callLine);
    rows[at + CALL_COLUMN] = fieldOf(callColumn);
    rows[at + FUNCTION] = die;
    rows[at + NAME] = 0;
    rows[at + ROOT] = parent < 0 ? this.count - 1 : rows[parent * WIDTH + ROOT];
  }
}

/** The functions of a unit and the calls inlined into them. */
export class Scopes {
  readonly #map: IntervalMap;
  readonly #rows: Int32Array;

  private constructor(map: IntervalMap, rows: Int32Array) {
    this.#map = map;
    this.#rows = rows;
  }

  /** Which scope is the innermost, address by address. */
  get intervals(): IntervalMap {
    return this.#map;
  }

  /** The innermost scope that holds an address; -1 if none does. */
  lookup(address: Address): number {
    return this.#map.lookup(address);
  }

  /** The scope that a scope is inlined into; -1 for a function. */
  parent(scope: number): number {
    return this.#rows[scope * WIDTH + PARENT];
  }

  /** The outermost scope around a scope, maybe itself. */
  root(scope: number): number {
    return this.#rows[scope * WIDTH + ROOT];
  }

  callFile(scope: number): number {
    return this.#rows[scope * WIDTH + CALL_FILE];
  }

  callLine(scope: number): number {
    return this.#rows[scope * WIDTH + CALL_LINE];
  }

  callColumn(scope: number): number {
    return this.#rows[scope * WIDTH + CALL_COLUMN];
  }

  /** The number that `names` has for the scope's name. */
  name(scope: number, names: FunctionNames): number {
    const at = scope * WIDTH;
    const rows = this.#rows;
    if (rows[at + NAME] === 0) rows[at + NAME] = 1 + names.number(rows[at + FUNCTION]);
    return rows[at + NAME] - 1;
  }

  get length(): number {
    return this.#rows.length / WIDTH;
  }

  get retainedBytes(): number {
    return this.#map.retainedBytes + this.#rows.byteLength;
  }

  /**
   * Reads all DIEs of a unit, once.
   *
   * The innermost of nested scopes has an address; of scopes that overlap without need the later one, as in
   * llvm-symbolizer.
   *
   * @throws {FormatError} If the unit is malformed.
   */
  static scan(unit: Unit, bounds: CodeBounds): Scopes {
    unit.readRoot();
    try {
      scan(unit, bounds, SCRATCH);
      return new Scopes(IntervalMap.from(SCRATCH.ranges), SCRATCH.rows.slice(0, SCRATCH.count * WIDTH));
    } finally {
      SCRATCH.reset();
    }
  }
}

/** One for all: scans are synchronous and call nothing of the user's. */
const SCRATCH = new Scratch();

/** The loop over all DIEs. What is no scope is passed over in the few steps that its abbreviation was compiled to. */
function scan(unit: Unit, bounds: CodeBounds, scratch: Scratch): void {
  const { abbrevs, end } = unit;
  const { records, steps, inOrder } = abbrevs;
  const { parents } = scratch;
  const reader = unit.reader(unit.firstDie);
  const { bytes } = reader;
  const typesHaveNoCode = C_LANGUAGES.includes(unit.language);
  let at = unit.firstDie;
  let parent = -1;
  while (at < end) {
    const die = at;
    let code = bytes[at++];
    if (code === 0) {
      // Null entries that close nothing are padding.
      if (parents.length > 0) parent = parents.pop()!;
      if (parents.length === 0) return;
      continue;
    }
    if (code > 0x7f) {
      reader.at = die;
      code = reader.uleb();
      at = reader.at;
    }
    const record = code <= inOrder ? (code - 1) * RECORD : abbrevs.find(code);
    if (record < 0) reader.fail("abbreviation code", code, "is not in the unit's table", die);
    const flags = records[record + FLAGS];
    let scope = parent;
    if ((flags & SCOPE_WITH_CODE) !== 0) {
      reader.at = at;
      scope = readScope(unit, record, die, parent, reader, bounds, scratch);
      at = reader.at;
    } else {
      // A declaration or abstract instance; what is in it is not inlined into anything.
      if ((flags & SCOPE_WITHOUT_CODE) !== 0) scope = -1;
      const last = records[record + RECORD + STEPS];
      for (let i = records[record + STEPS]; i < last; i++) {
        const step = steps[i];
        if (step >= FIXED_AT_LEAST) at += step;
        else if (step === SIZE_LEB) {
          // Past the end of the bytes it reads undefined, which ends the number.
          while (bytes[at++] > 0x7f);
        } else if (step === SIZE_BLOCK && bytes[at] < 0x80) {
          at += bytes[at] + 1;
        } else {
          if (at > end) break;
          reader.at = at;
          skipVariable(reader, step, unit);
          at = reader.at;
        }
      }
      if (at > end) reader.fail("DIE", undefined, "passes the end of its unit", die);
    }
    if ((flags & HAS_CHILDREN) !== 0) {
      if ((flags & TYPE_WITH_SIBLING) !== 0 && typesHaveNoCode) {
        const sibling = unit.offset + reader.view.getUint32(at - 4, reader.littleEndian);
        if (sibling > at && sibling < end) {
          at = sibling;
          continue;
        }
      }
      parents.push(parent);
      parent = scope;
    } else if (parents.length === 0) return;
  }
}

/** Reads a scope; the reader is behind its abbreviation code. Returns its number, or -1 if it has none. */
function readScope(
  unit: Unit,
  record: number,
  die: number,
  parent: number,
  reader: Reader,
  bounds: CodeBounds,
  scratch: Scratch,
): number {
  const { abbrevs } = unit;
  const specs = abbrevs.specs(record);
  const { code, ranges } = scratch;
  code.low =
    code.high =
    code.size =
    code.ranges =
      undefined;
  let origin: number | undefined;
  let callFile = 0;
  let callLine = 0;
  let callColumn = 0;
  for (let i = 0; i < specs.length; i += 3) {
    const form = specs[i + 1];
    const implicit = specs[i + 2];
    switch (specs[i]) {
      case DW_AT_low_pc:
      case DW_AT_high_pc:
      case DW_AT_ranges:
        unit.readCode(code, specs[i], form, implicit, reader);
        break;
      case DW_AT_abstract_origin:
        origin = unit.reference(reader, form);
        break;
      case DW_AT_call_file:
        callFile = unit.constant(reader, form, implicit);
        break;
      case DW_AT_call_line:
        callLine = unit.constant(reader, form, implicit);
        break;
      case DW_AT_call_column:
        callColumn = unit.constant(reader, form, implicit);
        break;
      default:
        skipForm(reader, form, unit);
    }
  }
  const scope = scratch.count;
  const before = ranges.length;
  eachRange(unit, code, (low, high) => {
    if (low >= bounds.low && low < bounds.high) ranges.push(low, high, scope);
  });
  if (abbrevs.records[record + TAG] === DW_TAG_inlined_subroutine) {
    // Even without code of its own: it may stand between two that have.
    scratch.push(parent, callFile, callLine, callColumn, origin ?? die);
    return scope;
  }
  if (ranges.length === before) return -1;
  // Of a function the own DIE begins the chain: it may have a linkage name that its declaration lacks.
  scratch.push(-1, 0, 0, 0, die);
  return scope;
}

function fieldOf(value: number): number {
  return value >= 0 && value <= 0x7fff_ffff ? value : 0;
}
