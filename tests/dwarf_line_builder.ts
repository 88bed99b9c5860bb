// Owns the builder of line-number programs for tests: header fields and opcodes in, .debug_line out.
import { LineProgram } from "../src/dwarf/line_program.ts";
import type { LineContext } from "../src/dwarf/line_program.ts";
import type { LineRows } from "../src/dwarf/line_rows.ts";
import { Reader } from "../src/dwarf/reader.ts";
import { TextTable } from "../src/dwarf/text_table.ts";

/** Unsigned LEB128. */
export function uleb(value: number | bigint): number[] {
  const out: number[] = [];
  let rest = BigInt(value);
  do {
    out.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return out;
}

/** Signed LEB128. */
export function sleb(value: number): number[] {
  const out: number[] = [];
  for (let rest = value;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)) return [...out, byte];
    out.push(byte | 0x80);
  }
}

export function text(value: string): number[] {
  return [...new TextEncoder().encode(value), 0];
}

/** What a header says, with gcc's numbers for what is left out. */
export interface LineSpec {
  version?: number;
  is64?: boolean;
  littleEndian?: boolean;
  addressSize?: number;
  minimumInstructionLength?: number;
  maximumOperations?: number;
  lineBase?: number;
  lineRange?: number;
  opcodeBase?: number;
  opcodeLengths?: number[];
  /** Bytes of the directory and file tables; empty ones if left out. */
  tables?: number[];
  program?: number[];
  /** Instead of the true ones. */
  headerLength?: number;
  unitLength?: number;
}

/** Opcodes and integers in one byte order. */
export class Opcodes {
  constructor(littleEndian = true, addressSize = 8) {
    this.littleEndian = littleEndian;
    this.addressSize = addressSize;
  }
  readonly littleEndian: boolean;
  readonly addressSize: number;

  int(value: number | bigint, size: number): number[] {
    const bytes = Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
    return this.littleEndian ? bytes : bytes.reverse();
  }

  extended(opcode: number, operands: number[]): number[] {
    return [0, ...uleb(operands.length + 1), opcode, ...operands];
  }

  address(value: number | bigint, size: number = this.addressSize): number[] {
    return this.extended(2, this.int(value, size));
  }

  readonly end: number[] = [0, 1, 1];
  readonly copy: number[] = [1];
  pc = (by: number | bigint): number[] => [2, ...uleb(by)];
  line = (by: number): number[] => [3, ...sleb(by)];
  file = (file: number): number[] => [4, ...uleb(file)];
  column = (column: number): number[] => [5, ...uleb(column)];

  /** A row at so many bytes and lines after the last, without special opcodes. */
  row(bytes: number, lines: number): number[] {
    return [...this.pc(bytes), ...this.line(lines), ...this.copy];
  }
}

const LENGTHS = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];

/** One unit of .debug_line. */
export function lineUnit(spec: LineSpec): Uint8Array {
  const { version = 5, is64 = false, littleEndian = true, addressSize = 8, opcodeBase = 13 } = spec;
  const { int } = new Opcodes(littleEndian);
  const number = (value: number, size: number) => int.call({ littleEndian }, value, size);
  const lengths = spec.opcodeLengths ?? LENGTHS.slice(0, Math.max(0, opcodeBase - 1));
  const after = [
    spec.minimumInstructionLength ?? 1,
    ...(version >= 4 ? [spec.maximumOperations ?? 1] : []),
    1,
    (spec.lineBase ?? -5) & 0xff,
    spec.lineRange ?? 14,
    opcodeBase,
    ...lengths,
    ...(spec.tables ?? (version >= 5 ? [0, 0, 0, 0] : [0, 0])),
  ];
  const unit = [
    ...number(version, 2),
    ...(version >= 5 ? [addressSize, 0] : []),
    ...number(spec.headerLength ?? after.length, is64 ? 8 : 4),
    ...after,
    ...(spec.program ?? []),
  ];
  const length = number(spec.unitLength ?? unit.length, is64 ? 8 : 4);
  return Uint8Array.from([...(is64 ? [0xff, 0xff, 0xff, 0xff] : []), ...length, ...unit]);
}

/** What a unit around `section` knows; nothing more than its name, unless `more` says so. */
export function lineContext(
  section: Uint8Array,
  more: Partial<LineContext> & { littleEndian?: boolean; baseHi?: number } = {},
): LineContext {
  const { littleEndian = true, baseHi = 0, ...rest } = more;
  return {
    line: new Reader(section, littleEndian, ".debug_line", baseHi),
    str: new TextTable(new Uint8Array(0)),
    lineStr: new TextTable(new Uint8Array(0)),
    compDir: "/src",
    addressSize: 8,
    ...rest,
  };
}

/** The program of a unit that `spec` describes. */
export function lineProgram(spec: LineSpec, more: Partial<LineContext> & { baseHi?: number } = {}): LineProgram {
  const { littleEndian = true, addressSize = 8 } = spec;
  return LineProgram.parse(lineContext(lineUnit(spec), { littleEndian, addressSize, ...more }), 0);
}

/** Rows as "address line:column file", in hex and decimal; ends as "address end". */
export function rowsOf(rows: LineRows): string[] {
  return Array.from({ length: rows.length }, (_, row) => {
    const address = rows.address(row).toString(16);
    return rows.lookup(rows.address(row)) === row
      ? `${address} ${rows.line(row)}:${rows.column(row)} ${rows.file(row)}`
      : `${address} end`;
  });
}
