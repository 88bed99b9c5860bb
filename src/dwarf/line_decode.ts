// Owns the state machine of line-number programs (DWARF 5, section 6.2.5): opcodes in, rows out.
import { FormatError } from "../base/format_error.ts";
import {
  DW_LNE_set_address,
  DW_LNS_fixed_advance_pc,
  DW_LNS_set_basic_block,
  DW_LNS_set_column,
  DW_LNS_set_epilogue_begin,
  DW_LNS_set_isa,
  DW_LNS_set_prologue_end,
} from "./constants.ts";
import type { LineHeader } from "./line_header.ts";
import { LineRows } from "./line_rows.ts";
import { END, LineScratch, ROW } from "./line_scratch.ts";
import type { Address, Reader } from "./reader.ts";

/** What a program comes to. */
export interface DecodedLines {
  readonly rows: LineRows;
  /** The first thing that was malformed. */
  readonly problem: FormatError | undefined;
  /** Offsets in .debug_line of the names that DW_LNE_define_file added. */
  readonly defined: readonly number[];
}

const scratch = new LineScratch();

/** Farther from the first address no row may be without `scratch.exact`. */
const MAX_DISTANCE = 0x3fff_ffff;

/** What opcodes advance by, for the numbers in one header; kept, because the units of a file have the same. */
class Advances {
  readonly key: number;
  /** Operations (instructions, but on VLIW machines) that opcode i passes, times `minimum_instruction_length`. */
  readonly address: Int32Array = new Int32Array(256);
  /** Lines that opcode i passes. */
  readonly line: Int32Array = new Int32Array(256);

  constructor(key: number, scale: number, { lineBase, lineRange, opcodeBase }: LineHeader) {
    this.key = key;
    if (lineRange === 0) return;
    for (let opcode = 0; opcode < 256; opcode++) {
      const adjusted = (opcode - opcodeBase) & 0xff;
      this.address[opcode] = Math.floor(adjusted / lineRange) * scale;
      this.line[opcode] = lineBase + adjusted % lineRange;
    }
  }
}

let advances: Advances | undefined;

function advancesOf(header: LineHeader): Advances {
  const { lineBase, lineRange, opcodeBase, maximumOperations } = header;
  const scale = maximumOperations === 1 ? header.minimumInstructionLength : 1;
  const key = (scale << 24) | ((lineBase & 0xff) << 16) | (lineRange << 8) | opcodeBase;
  return advances?.key === key ? advances : advances = new Advances(key, scale, header);
}

/** Decodes the program of `header`, which is in .debug_line, `line`. Sequences up to an error are kept. */
export function decodeLines(line: Reader, header: LineHeader): DecodedLines {
  const zero = 0 - line.baseHi * 0x1_0000_0000;
  let outcome = run(line.fork(header.program, header.end), header, firstAddress(line, header));
  if (outcome.again) {
    scratch.exact = new Float64Array(scratch.rows.length / ROW);
    // Near 0 no bit of an address is lost.
    outcome = run(line.fork(header.program, header.end), header, 0);
  }
  const rows = LineRows.from(scratch, zero);
  scratch.release();
  return { rows, problem: outcome.problem, defined: outcome.defined };
}

/** The address that the program sets first, if it begins with it, as programs do; distances from it are small. */
function firstAddress(line: Reader, header: LineHeader): Address {
  const { bytes } = line;
  let at = header.program;
  // Compilers may set the column before.
  if (bytes[at] === DW_LNS_set_column && bytes[at + 1] < 0x80) at += 2;
  const size = bytes[at + 1] - 1;
  if (bytes[at] !== 0 || bytes[at + 2] !== DW_LNE_set_address || !(size === 4 || size === 8)) return 0;
  if (size > header.end - at - 3 || allOnes(bytes, at + 3, at + 3 + size)) return 0;
  const address = line.fork(at + 3).address(size);
  return Number.isSafeInteger(address) ? address : 0;
}

class Outcome {
  /** The first thing that was malformed. */
  problem: FormatError | undefined = undefined;
  /** Offsets in .debug_line of the names that DW_LNE_define_file added. */
  readonly defined: number[] = [];
  /** Whether distances turned out to need `scratch.exact`. */
  again = false;
}

/** Runs the program, from `reader.at` to `reader.end`. */
function run(reader: Reader, header: LineHeader, base: Address): Outcome {
  const outcome = new Outcome();
  scratch.reset(base);
  try {
    loop(reader, header, advancesOf(header), outcome);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    outcome.problem ??= error;
  }
  return outcome;
}

/**
 * The loop is entered cold, so it counts how much an interpreter has to do: small integers in locals, where a
 * double would be an object; numbers for imported names, which no switch can jump by; calls for what is rare, so
 * that it compiles fast. Of libc's debug file (1.3 MB in 2,063 programs, 291,211 rows) the first decoding of a
 * process took 100 to 130 ns a row in Deno and 85 to 105 in Bun, later ones 27 and 23; with named cases the first
 * took 1.4 times as long.
 */
function loop(reader: Reader, header: LineHeader, table: Advances, outcome: Outcome): void {
  const { bytes, end } = reader;
  const { minimumInstructionLength, maximumOperations } = header;
  const firstSpecial = Math.max(1, header.opcodeBase);
  const addressAdvance = table.address;
  const lineAdvance = table.line;
  const { exact } = scratch;
  const farthest = exact === undefined ? MAX_DISTANCE : Infinity;
  // Never −0, which is no small integer.
  const start = 0 - reader.baseHi * 0x1_0000_0000 - scratch.base;
  let { rows } = scratch;
  let capacity = rows.length;
  let at = reader.at;
  /** Words of `rows` that are used. */
  let used = 0;
  /** Where the sequence begins in them. */
  let first = 0;
  // The registers.
  let distance = start;
  let line = 1;
  let file = 1;
  let column = 0;
  let place = 1 << 16;
  let dropped = false;
  // The last row of the sequence; before it, a place that no row has.
  let topDistance = 0;
  let topLine = 0;
  let topPlace = -1;

  while (at < end) {
    const opcode = bytes[at++];
    if (opcode >= firstSpecial) {
      distance += maximumOperations === 1 ? addressAdvance[opcode] : operations(header, addressAdvance[opcode]);
      line = (line + lineAdvance[opcode]) | 0;
    } else {
      switch (opcode) {
        case 1: // DW_LNS_copy
          break;
        case 5: // DW_LNS_set_column
          column = bytes[at++];
          if (column > 0x7f) {
            reader.at = at - 1;
            column = reader.uleb();
            if (column > 0xffff) column = 0;
            at = reader.at;
          }
          place = (file << 16) | (file === 0xffff ? 0 : column);
          continue;
        case 6: // DW_LNS_negate_stmt
          continue;
        case 3: { // DW_LNS_advance_line
          let operand = bytes[at++];
          if (operand > 0x7f) {
            reader.at = at - 1;
            operand = reader.sleb();
            at = reader.at;
          } else operand = (operand << 25) >> 25;
          line = (line + operand) | 0;
          continue;
        }
        case 4: // DW_LNS_set_file
          file = bytes[at++];
          if (file > 0x7f) {
            reader.at = at - 1;
            file = Math.min(reader.uleb(), 0xffff);
            at = reader.at;
          }
          place = (file << 16) | (file === 0xffff ? 0 : column);
          continue;
        case 2: { // DW_LNS_advance_pc
          let operand = bytes[at++];
          if (operand > 0x7f) {
            reader.at = at - 1;
            operand = wideUleb(reader);
            at = reader.at;
          }
          if (operand < 0 && used > first && exact === undefined) return again(outcome);
          distance += maximumOperations === 1 ? operand * minimumInstructionLength : operations(header, operand);
          continue;
        }
        case 8: // DW_LNS_const_add_pc
          distance += maximumOperations === 1 ? addressAdvance[255] : operations(header, addressAdvance[255]);
          continue;
        case 0: { // extended
          let length = bytes[at++];
          if (length > 0x7f) {
            reader.at = at - 1;
            length = reader.uleb();
            at = reader.at;
          }
          // As in LLVM: an empty one is passed over.
          if (length === 0) continue;
          if (at >= end) {
            at = end + 1;
            continue;
          }
          const extended = bytes[at];
          if (extended === 1) { // DW_LNE_end_sequence
            used = endSequence(first, used, distance);
            if (used < 0) return again(outcome);
            rows = scratch.rows;
            capacity = rows.length;
            first = used;
            distance = start;
            line = 1;
            file = 1;
            column = 0;
            place = 1 << 16;
            topPlace = -1;
          } else if (extended === 2) { // DW_LNE_set_address
            reader.at = at + 1;
            const from = distance;
            distance = setAddress(reader, length - 1, from, outcome);
            dropped = scratch.dropped;
            if (distance < from && used > first && exact === undefined) return again(outcome);
          } else if (extended === 3) { // DW_LNE_define_file
            reader.at = at + 1;
            defineFile(reader, outcome);
          }
          // What would go on past the end was carried out, as LLVM does, and is the last.
          at = length > end - at ? end + 1 : at + length;
          continue;
        }
        default:
          reader.at = at;
          distance += otherOpcode(reader, header, opcode);
          at = reader.at;
          continue;
      }
    }

    if (line === topLine && place === topPlace) continue;
    if (dropped) continue;
    if (distance === topDistance && topPlace !== -1) {
      // It replaces the last row, and may say what the row before that says.
      if (used - first > 3 && rows[used - 5] === line && rows[used - 4] === place) {
        used -= 3;
        topDistance = rows[used - 3];
      } else {
        rows[used - 2] = line;
        rows[used - 1] = place;
      }
      topLine = line;
      topPlace = place;
      continue;
    }
    if (!(distance <= farthest && distance >= -farthest)) return again(outcome);
    if (used === capacity) {
      rows = scratch.growRows();
      capacity = rows.length;
    }
    rows[used] = topDistance = distance;
    rows[used + 1] = topLine = line;
    rows[used + 2] = topPlace = place;
    if (exact !== undefined) {
      scratch.exact![used / 3] = distance;
      topPlace = -1; // no two are merged
    }
    used += 3;
  }
  if (at > end) outcome.problem ??= malformed(reader, end, "opcode", undefined, "passes the program's end");
  else if (used > first) {
    outcome.problem ??= malformed(reader, end, "sequence", undefined, "lacks its DW_LNE_end_sequence");
  }
}

/** To be run again, with `scratch.exact`. */
function again(outcome: Outcome): void {
  outcome.again = true;
}

/** Address advance of `count` operations of a VLIW machine. */
function operations({ minimumInstructionLength, maximumOperations }: LineHeader, count: number): number {
  const sum = scratch.operation + count;
  const instructions = Math.floor(sum / maximumOperations);
  scratch.operation = sum - instructions * maximumOperations;
  return instructions * minimumInstructionLength;
}

/** Keeps the sequence whose rows end at word `used`, if valid. Where the next one's rows begin; -1: run again. */
function endSequence(first: number, used: number, distance: number): number {
  scratch.operation = 0;
  if (used === first || scratch.dropped) return first;
  const { exact } = scratch;
  const low = exact === undefined ? scratch.rows[first] : exact[first / ROW];
  if (!(low < distance)) return first;
  if (exact === undefined) {
    if (!(distance <= MAX_DISTANCE)) return -1;
    if (scratch.rows[used - ROW] === distance) used -= ROW;
  }
  scratch.addRun(first / ROW, used / ROW, low, distance);
  const rows = used === scratch.rows.length ? scratch.growRows() : scratch.rows;
  rows[used] = distance;
  rows[used + 1] = 0;
  rows[used + 2] = END;
  return used + ROW;
}

/** DW_LNE_set_address with an operand of `size` bytes: the distance from then on. */
function setAddress(reader: Reader, size: number, from: number, outcome: Outcome): number {
  if (size !== 1 && size !== 2 && size !== 4 && size !== 8) {
    outcome.problem ??= malformed(reader, reader.at, "DW_LNE_set_address", size, "is no size of addresses");
    return from;
  }
  const address = reader.address(size);
  scratch.operation = 0;
  scratch.dropped = allOnes(reader.bytes, reader.at - size, reader.at);
  // No row comes of it; an address so far off would only make distances doubles.
  return scratch.dropped ? from : address - scratch.base;
}

function defineFile(reader: Reader, outcome: Outcome): void {
  const name = reader.at;
  reader.skipString();
  reader.skipLeb();
  reader.skipLeb();
  reader.skipLeb();
  outcome.defined.push(name);
}

/** A standard opcode that makes no row: the address advance. */
function otherOpcode(reader: Reader, header: LineHeader, opcode: number): number {
  switch (opcode) {
    case DW_LNS_set_basic_block:
    case DW_LNS_set_prologue_end:
    case DW_LNS_set_epilogue_begin:
      return 0;
    case DW_LNS_fixed_advance_pc:
      scratch.operation = 0;
      return reader.u16();
    case DW_LNS_set_isa:
      reader.skipLeb();
      return 0;
  }
  for (let i = reader.bytes[header.opcodeLengths + opcode - 1]; i > 0; i--) reader.skipLeb();
  return 0;
}

/** Unsigned LEB128 as the distance that adding it modulo 2^64 goes: producers that step back write it so. */
function wideUleb(reader: Reader): number {
  const from = reader.at;
  const value = reader.uleb();
  if (value <= Number.MAX_SAFE_INTEGER) return value;
  let exact = 0n;
  for (let i = 0; i < 10 && from + i < reader.at; i++) {
    exact |= BigInt(reader.bytes[from + i] & 0x7f) << BigInt(7 * i);
  }
  return Number(BigInt.asIntN(64, exact));
}

/** An address of all ones marks code that the linker dropped. */
function allOnes(bytes: Uint8Array, from: number, to: number): boolean {
  while (from < to && bytes[from] === 0xff) from++;
  return from === to;
}

function malformed(
  reader: Reader,
  offset: number,
  field: string,
  value: number | undefined,
  problem: string,
): FormatError {
  return new FormatError(problem, {
    offset,
    field: `${reader.section} ${field}`,
    ...(value === undefined ? {} : { value }),
  });
}
