// Owns the tests that line-number programs end in rows or a FormatError, in time and memory of their size.
import { assert, assertEquals, assertLess } from "@std/assert";
import { LineProgram } from "../src/dwarf/line_program.ts";
import { lineContext, lineProgram, lineUnit, Opcodes, text, uleb } from "./dwarf_line_builder.ts";
import { fuzzParser } from "./fuzz.ts";
import { assertGrowth, milliseconds } from "./growth.ts";
import { TextTable } from "../src/dwarf/text_table.ts";

const STRINGS = {
  str: new TextTable(new TextEncoder().encode("a\0bcd\0")),
  lineStr: new TextTable(new TextEncoder().encode("/comp\0dir\0name.c\0")),
  stringAtIndex: (index: number): string | undefined => index < 3 ? "x".repeat(index) : undefined,
};

function program(littleEndian: boolean, addressSize: number): number[] {
  const o = new Opcodes(littleEndian, addressSize);
  return [
    ...[...o.address(0x5000), ...o.column(3), 20, 75, 200, 8, ...o.file(2), ...o.row(700, -3), ...o.column(200)],
    ...[...o.extended(4, [1]), 60, 6, 10, 61, 9, 0, 1, 1, ...o.pc(3), ...o.end],
    ...[...o.address(0x1000), ...o.row(1, 300), ...o.extended(3, [...text("d.h"), 1, 0, 0]), ...o.copy],
    ...[...o.address(0x800), ...o.copy, ...o.row(0x900, 1), ...o.pc(9), ...o.end],
    ...[...o.address(0x5003), 90, 91, 92, ...o.pc(60), ...o.end, ...o.address(0), 90, 91, 92, ...o.end],
  ];
}

const V5_TABLES = [
  ...[1, 1, 0x1f, 2, 0, 0, 0, 0, 6, 0, 0, 0],
  ...[3, 1, 0x1f, 2, 0x0b, 5, 0x1e, 2],
  ...[10, 0, 0, 0, 0, ...Array(16).fill(7), 10, 0, 0, 0, 1, ...Array(16).fill(8)],
];
const V5_INLINE = [1, 1, 8, 1, ...text("d"), 3, 1, 0x1a, 2, 0x0f, ...uleb(0x2001), 9, 1, 2, 0, 2, 5, 6];

/** Reads all that a program has; the caller's bytes are everything. */
function readAll(bytes: Uint8Array, littleEndian: boolean): void {
  const line = LineProgram.parse(lineContext(bytes, { littleEndian, ...STRINGS }), 0);
  const { rows } = line;
  assertLess(rows.length, bytes.length + 1);
  assertLess(rows.retainedBytes, 20 * bytes.length + 1);
  let before = -Infinity;
  for (let row = 0; row < rows.length; row++) {
    const address = rows.address(row);
    assert(address >= before, "rows ascend");
    before = address;
    const found = rows.lookup(address);
    // Of an end and the row that begins there, that one.
    assert(found === row || found === row + 1 || found === -1, `row ${row} is found as ${found}`);
    line.filePath(rows.file(row));
  }
  const pairs = rows.sequences();
  for (let i = 1; i < pairs.length; i++) assert(pairs[i] > pairs[i - 1], "sequences ascend and are not empty");
  for (let i = 0; i < 5; i++) line.filePath(i);
  if (line.problem !== undefined) throw line.problem;
}

for (const littleEndian of [true, false]) {
  Deno.test(`line programs, littleEndian ${littleEndian}, end in rows or a FormatError`, () => {
    const samples = [2, 3, 4, 5].map((version) =>
      lineUnit({
        ...{ version, littleEndian, is64: version % 2 === 1, addressSize: version > 3 ? 8 : 4 },
        program: program(littleEndian, version > 3 ? 8 : 4),
        tables: version >= 5
          ? (littleEndian ? V5_TABLES : V5_INLINE)
          : [...text("inc"), 0, ...text("a"), 0, 0, 0, ...text("b"), 1, 2, 3, 0],
      })
    );
    samples.push(lineUnit({
      ...{ version: 4, littleEndian, maximumOperations: 4, opcodeBase: 10 },
      program: program(littleEndian, 8),
    }));
    fuzzParser("line program", samples, (bytes) => readAll(bytes, littleEndian), { mutations: 50_000 });
  });
}

const o = new Opcodes();
const repeat = (size: number, piece: number[]): number[] =>
  Array.from({ length: Math.floor(size / piece.length) * piece.length }, (_, i) => piece[i % piece.length]);
const SEQUENCES: [string, (size: number) => number[]][] = [
  ["one sequence of rows", (size) => [...o.address(1), ...repeat(size, [0x4b, 0x3e]), ...o.end]],
  ["rows of one address", (size) => [...o.address(1), ...repeat(size, [19, 18]), ...o.pc(1), ...o.end]],
  ["sequences that all overlap", (size) =>
    Array.from(
      { length: Math.floor(size / 20) },
      (_, i) => [...o.address(0x100000 - i), 19, ...o.pc(2 * i + 1), ...o.end],
    ).flat()],
  ["rows that go back", (size) =>
    [...o.address(0x100000)].concat(
      Array.from({ length: Math.floor(size / 12) }, (_, i) => [...o.address(0x100000 - i), 19 + i % 3]).flat(),
      o.pc(0x200000),
      o.end,
    )],
  ["rows far apart", (size) => [...repeat(size, [...o.address(1), 19, ...o.pc(2 ** 40), 19, 0x4b, ...o.end])]],
  ["a number that does not end", (size) => [2, ...repeat(size, [0xff])]],
  ["empty extended opcodes", (size) => repeat(size, [0, 0])],
  ["files that are defined", (size) => repeat(size, o.extended(3, [...text("a"), 0, 0, 0]))],
];

for (const [what, make] of SEQUENCES) {
  Deno.test(`time and memory of a program of ${what} grow like the program`, () => {
    const [small, large] = [30_000, 300_000].map((size) => {
      const unit = lineUnit({ version: 4, program: make(size) });
      const parse = () => LineProgram.parse(lineContext(unit), 0).rows;
      assertLess(parse().retainedBytes, 20 * unit.length);
      return () => milliseconds(parse);
    });
    assertGrowth(what, small, large, { times: 60, least: 0.4 });
  });
}

Deno.test("file tables are not believed how many entries they have", () => {
  const count = uleb(0xffff_ffff);
  for (
    const [what, tables] of [
      ["entries without parts", [0, ...count]],
      ["entries without bytes", [1, 1, 0x19, ...count]],
      ["more than bytes", [1, 1, 8, ...count, 0, 0]],
      ["infinitely many", [1, 1, 8, ...Array(300).fill(0xff), 1, 0, 0]],
      ["files without parts", [0, 0, 0, ...count]],
      ["an unknown form", [1, 1, 0x77, 1, 1]],
      ["an implicit constant", [1, 1, 0x21, 1, 1]],
    ] as [string, number[]][]
  ) {
    const program = lineProgram({ tables });
    assertEquals(program.fileCount, 0, what);
    assert(program.problem !== undefined, what);
    assertEquals(program.rows.length, 0);
  }
});

Deno.test("paths that share one long string are not all kept", () => {
  const lineStr = new TextTable(new Uint8Array(0x10000).fill(0x61));
  const files = 4000;
  const tables = [0, 0, 1, 1, 0x1f, ...uleb(files), ...Array(4 * files).fill(0)];
  const program = lineProgram({ tables }, { lineStr });
  let characters = 0;
  for (let i = 0; i < files; i++) characters += program.filePath(i)!.length;
  assertEquals(characters, files * (0x10000 + 5));
});
