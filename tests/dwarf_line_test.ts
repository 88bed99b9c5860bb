// Owns the tests of line-number programs on bytes made by hand, with rows worked out by hand.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FormatError } from "../mod.ts";
import { LineProgram } from "../src/dwarf/line_program.ts";
import { lineContext, lineProgram, lineUnit, Opcodes, rowsOf, text, uleb } from "./dwarf_line_builder.ts";
import { TextTable } from "../src/dwarf/text_table.ts";

const o = new Opcodes();

Deno.test("every version, format, byte order and address size gives the same rows and paths", () => {
  for (const version of [2, 3, 4, 5]) {
    for (const is64 of [false, true]) {
      for (const littleEndian of [true, false]) {
        for (const addressSize of [4, 8]) {
          const op = new Opcodes(littleEndian, addressSize);
          // Names in line: directories "/src" and "inc", file "a.c" in the first, "b.h" in the second.
          const tables = version >= 5
            ? [
              ...[1, 1, 8, 2, ...text("/src"), ...text("inc")],
              ...[2, 1, 8, 2, 11, 2, ...text("a.c"), 0, ...text("b.h"), 1],
            ]
            : [...text("inc"), 0, ...text("a.c"), 0, 0, 0, ...text("b.h"), 1, 5, 6, 0];
          const spec = {
            ...{ version, is64, littleEndian, addressSize, tables },
            program: [
              ...op.address(0x1000),
              ...op.column(7),
              20, // address + 0, line + 2
              ...op.file(2),
              ...op.line(100),
              ...op.column(300),
              0x4b, // 75 − 13 = 62: address + 4, line + 1
              8, // address + 17
              9,
              ...op.int(0x100, 2), // address + 256
              ...op.copy,
              10,
              11,
              12,
              5,
              6,
              7,
              ...op.row(200, -104),
              ...op.pc(1),
              ...op.end,
            ],
          };
          const program = lineProgram(spec);
          assertEquals(rowsOf(program.rows), [
            "1000 3:7 1",
            "1004 104:300 2",
            "11dd 0:300 2",
            "11de end",
          ], JSON.stringify(spec));
          assertEquals(program.problem, undefined);
          assertEquals(program.fileCount, 2);
          const first = version >= 5 ? 0 : 1;
          assertEquals(program.filePath(first), "/src/a.c");
          assertEquals(program.filePath(first + 1), "/src/inc/b.h");
          assertEquals(program.filePath(first + 1), "/src/inc/b.h");
          assertEquals(program.filePath(first + 2), undefined);
          assertEquals(program.filePath(first - 1), undefined);
          assertEquals(program.filePath(-1), undefined);
          assertEquals(program.rows.retainedBytes, 4 * 12);
        }
      }
    }
  }
});

Deno.test("rows: the last of an address wins, equal neighbours are one, a row that changes back is none", () => {
  const { rows } = lineProgram({
    program: [
      ...o.address(0x10),
      ...o.row(0, 1), // line 2, replaced
      ...o.row(0, 1), // line 3
      ...o.row(4, 0), // the same
      ...o.row(4, 2), // line 5, replaced by 3 again
      ...o.row(0, -2),
      ...o.row(0, 0),
      ...o.row(4, 1), // 1c: 4
      ...o.row(0, -1), // 1c: 3, like the row before
      ...o.row(0, 2), // 1c: 5 after all
      ...o.row(2, 1), // 1e: 6, where the end is
      ...o.end,
    ],
  });
  assertEquals(rowsOf(rows), ["10 3:0 1", "1c 5:0 1", "1e end"]);
  assertEquals([0xf, 0x10, 0x1b, 0x1c, 0x1d, 0x1e].map((at) => rows.lookup(at)), [-1, 0, 0, 1, 1, -1]);
  assertEquals([NaN, Infinity, -Infinity].map((at) => rows.lookup(at)), [-1, -1, -1]);
});

Deno.test("sequences: out of order they are sorted, empty and unfinished ones are none", () => {
  const program = lineProgram({
    program: [
      ...[...o.address(0x300), ...o.row(0, 9), ...o.row(4, 1), ...o.pc(4), ...o.end],
      ...[...o.address(0x100), ...o.row(0, 1), ...o.pc(8), ...o.end],
      ...[...o.address(0x200), ...o.row(0, 2), ...o.end], // empty
      ...[...o.address(0x200), ...o.end], // without rows
      ...[...o.address(0x108), ...o.row(0, 3), ...o.pc(8), ...o.end], // goes on where another ends
      ...[...o.address(0x400), ...o.row(0, 4)],
    ],
  });
  assertEquals(rowsOf(program.rows), ["100 2:0 1", "108 4:0 1", "110 end", "300 10:0 1", "304 11:0 1", "308 end"]);
  assertEquals([...program.rows.sequences()], [0x100, 0x110, 0x300, 0x308]);
  assertEquals(program.problem?.field, ".debug_line sequence");
  assertEquals([...lineProgram({}).rows.sequences()], []);
  assertEquals(lineProgram({}).rows.lookup(0), -1);
});

Deno.test("sequences that overlap: the one that ends first behind the address answers, if it holds it", () => {
  const { rows } = lineProgram({
    program: [
      ...[...o.address(0x100), ...o.row(0, 9), ...o.row(0x20, 1), ...o.row(0x20, 1), ...o.pc(0x40), ...o.end],
      ...[...o.address(0x110), ...o.row(0, 19), ...o.row(0x8, 1), ...o.pc(0x18), ...o.end], // to 0x130
      ...[...o.address(0x90), ...o.row(0, 29), ...o.pc(0xa0), ...o.end], // to 0x130, and comes later
    ],
  });
  assertEquals(rowsOf(rows), ["110 20:0 1", "118 21:0 1", "130 11:0 1", "140 12:0 1", "180 end"]);
});

Deno.test("code that the linker dropped hides no other", () => {
  for (const baseHi of [0, 0xffff_ffff]) {
    const high = BigInt(baseHi) << 32n;
    const program = lineProgram({
      program: [
        ...[...o.address(0), ...o.row(0, 9), ...o.pc(0x5000), ...o.end],
        ...[...o.address(high + 0x2000n), ...o.row(0, 1), ...o.pc(0x10), ...o.end],
        ...[...o.address(0xffff_ffff_ffff_ffffn), ...o.row(0, 9), ...o.pc(0x3000), ...o.end],
        ...[...o.address(high + 0x3000n), ...o.row(0, 2), ...o.pc(0x3000), ...o.end],
        ...[...o.address(0xffff_ffffn, 4), ...o.row(0, 9), ...o.pc(0x3000), ...o.end],
        ...[...o.address(0), ...o.row(0, 19), ...o.pc(0x40), ...o.end],
      ],
    }, { baseHi });
    const { rows } = program;
    const lineAt = (address: number) => rows.line(rows.lookup(address));
    assertEquals([0x2000, 0x200f, 0x3000, 0x5fff].map(lineAt), [2, 2, 3, 3]);
    assertEquals(rows.lookup(0x2010), -1);
    assertEquals(rows.lookup(0x6000), -1);
    // Rows from address 0 on stay, for they may be real; the earlier end goes first. Far off, low bits are lost.
    if (baseHi === 0) assertEquals([0, 0x3f, 0x40, 0x1fff].map(lineAt), [20, 20, 10, 10]);
    else assertEquals(lineAt(0 - baseHi * 2 ** 32), 10);
    assertEquals(rows.retainedBytes, rows.length * (baseHi === 0 ? 12 : 20));
  }
});

Deno.test("addresses that go back within a sequence are sorted, however they do it", () => {
  const want = ["8 3:0 1", "10 2:0 1", "18 4:0 1", "1a 2:0 1", "20 end"];
  const back = [
    [...o.address(0x8)],
    [...o.pc((1n << 64n) - 0x12n)], // modulo 2^64
  ];
  for (const how of back) {
    const { rows } = lineProgram({
      program: [
        ...[...o.address(0x8), ...o.row(0, 2), ...o.pc(8), ...o.line(-1), ...o.copy],
        ...[...o.row(0xa, 0), ...how, ...o.row(0, 1), ...o.row(0x10, 1), ...o.pc(8), ...o.end],
      ],
    });
    assertEquals(rowsOf(rows), want);
  }
});

Deno.test("bundles: op_index counts operations, as the standard says", () => {
  const program = [
    ...o.address(0x100),
    ...o.copy,
    0x4b, // 4 operations: one bundle and 1, line + 1
    ...o.pc(5), // 6 operations: two bundles
    ...o.copy,
    8, // 17: five bundles and 2
    ...o.copy,
    9,
    ...o.int(1, 2),
    ...o.line(7),
    0x4b,
    ...o.pc(3),
    ...o.end,
  ];
  assertEquals(
    rowsOf(lineProgram({ version: 4, minimumInstructionLength: 16, maximumOperations: 3, program }).rows),
    ["100 1:0 1", "110 2:0 1", "191 10:0 1", "1a1 end"],
  );
});

Deno.test("odd headers: no line range, no opcodes, no instruction length, other opcode lengths", () => {
  const one = [...o.address(0x10), 0x4b, ...o.pc(4), 0x4b, ...o.end];
  assertEquals(rowsOf(lineProgram({ lineRange: 0, program: one }).rows), ["10 1:0 1", "14 end"]);
  assertEquals(lineProgram({ minimumInstructionLength: 0, program: one }).rows.length, 0);
  assertEquals(rowsOf(lineProgram({ version: 4, maximumOperations: 0, program: one }).rows), [
    "14 2:0 1",
    "1c end",
  ]);
  for (const opcodeBase of [0, 1]) {
    // Opcode 1 is special: 1 − base.
    const program = [...o.address(0x10), 1, 0xff, ...o.end];
    const line = 1 - 5 + (1 - opcodeBase);
    const { rows } = lineProgram({ opcodeBase, program });
    assertEquals(rows.line(0), line >>> 0);
    assertEquals(rows.lookup(0x10 + Math.floor((255 - opcodeBase) / 14) - 1), 0);
  }
  // 9 opcodes: 10 is special. 15 opcodes: 13 to 15 are passed over by their lengths.
  assertEquals(
    rowsOf(lineProgram({ opcodeBase: 10, program: [...o.address(0x10), 10, 10, 38, ...o.end] }).rows),
    ["10 4294967287:0 1", "12 end"],
  );
  const opcodeLengths = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 1, 3];
  const skipping = [...o.address(0x10), 13, 14, 0x81, 1, 15, 1, 0x80, 0, 2, ...o.copy, ...o.pc(1), ...o.end];
  assertEquals(rowsOf(lineProgram({ opcodeBase: 16, opcodeLengths, program: skipping }).rows), [
    "10 1:0 1",
    "11 end",
  ]);
});

Deno.test("extended opcodes: unknown and empty ones are passed over, lengths are believed", () => {
  const program = lineProgram({
    program: [
      ...[0, 0],
      ...o.extended(0x80, [1, 2, 3]),
      ...o.extended(4, uleb(300)),
      ...[0, 0x81, 0x00, 0x7f], // a length of two bytes
      ...o.address(0x10, 1),
      ...o.copy,
      ...o.address(0x20, 2),
      ...o.line(1),
      ...o.copy,
      ...o.address(0x30, 3), // no size of addresses
      ...o.line(1),
      ...o.extended(2, [...o.int(0x40, 4)]),
      ...o.copy,
      ...[0, 3, 1, 0xaa, 0xbb], // an end with two bytes too many
    ],
  });
  assertEquals(rowsOf(program.rows), ["10 1:0 1", "20 2:0 1"].concat("40 end"));
  assertEquals(program.problem?.value, 3);
  const cut = lineProgram({ program: [...o.address(0x10), ...o.copy, ...o.pc(4), 0, 9, 1] });
  assertEquals(rowsOf(cut.rows), ["10 1:0 1", "14 end"]);
  assert(cut.problem instanceof FormatError);
});

Deno.test("rows up to a malformed opcode stay", () => {
  const good = [...o.address(0x10), ...o.copy, ...o.pc(4), ...o.end];
  const bad: number[][] = [[2], [2, 0x80], [3], [3, 0xff], [5], [5, 0x80], [9, 1], [12, 0x80], [0], [0, 9]];
  for (const tail of [...bad, [0, 0x80], [0, 9, 2, 1, 1], [0, 4, 3, 0x41, 0x41, 0x41], [0, 9, 0x70]]) {
    const program = lineProgram({ program: [...good, ...tail] });
    assertEquals(rowsOf(program.rows), ["10 1:0 1", "14 end"], String(tail));
    assert(program.problem instanceof FormatError, String(tail));
  }
});

Deno.test("numbers out of range: files above 65,534 and columns above 65,535 are unknown, lines wrap", () => {
  const { rows } = lineProgram({
    program: [
      ...o.address(0x10),
      ...[...o.column(65535), ...o.file(65534), ...o.row(1, 0)],
      ...[...o.column(65536), ...o.row(1, 0)],
      ...[...o.column(5), ...o.file(65535), ...o.row(1, 0)],
      ...[...o.file(1e12), ...o.row(1, 1)],
      ...[4, ...Array(200).fill(0xff), 1, ...o.row(1, 1)], // a LEB128 beyond doubles
      ...[...o.file(3), ...o.row(1, -4)],
      ...[...o.line(-2147483648), ...o.row(1, 0), ...o.pc(1), ...o.end],
    ],
  });
  assertEquals(rowsOf(rows), [
    "11 1:65535 65534",
    "12 1:0 65534",
    "13 1:0 -1",
    "14 2:0 -1",
    "15 3:0 -1",
    "16 4294967295:5 3",
    "17 2147483647:5 3",
    "18 end",
  ]);
});

Deno.test("files that the program defines follow those of the header", () => {
  const program = lineProgram({
    version: 3,
    tables: [...text("inc"), 0, ...text("a.c"), 0, 0, 0, 0],
    program: [
      ...o.extended(3, [...text("new.h"), 1, 0, 0]),
      ...o.extended(3, [...text("/abs.h"), 0, 0, 0]),
    ],
  });
  assertEquals(program.fileCount, 1);
  assertEquals([1, 2, 3, 4].map((index) => program.filePath(index)), [
    "/src/a.c",
    "/src/inc/new.h",
    "/abs.h",
    undefined,
  ]);
});

Deno.test("version 5 names in every form, and parts of every form passed over", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const strings = {
    str: new TextTable(bytes("..\0in str\0")),
    lineStr: new TextTable(bytes("\0/comp\0in line_str\0")),
    altStr: new TextTable(bytes(".in alt\0")),
    stringAtIndex: (index: number) => index === 9 ? undefined : `string ${index}`,
  };
  for (const is64 of [false, true]) {
    const offset = (value: number) => o.int(value, is64 ? 8 : 4);
    const names: [number, number[], string | undefined][] = [
      [0x08, text("in place"), "in place"],
      [0x0e, offset(3), "in str"],
      [0x0e, offset(300), undefined],
      [0x1f, offset(7), "in line_str"],
      [0x1d, offset(1), "in alt"],
      [0x1f21, offset(1), "in alt"],
      [0x1a, uleb(200), "string 200"],
      [0x1f02, uleb(9), undefined],
      [0x25, [4], "string 4"],
      [0x26, o.int(0x102, 2), "string 258"],
      [0x27, o.int(0x10203, 3), "string 66051"],
      [0x28, o.int(0x1020304, 4), "string 16909060"],
      [0x0b, [1], undefined],
    ];
    const skipped: [number, number[]][] = [
      [0x1e, Array(16).fill(0x77)],
      [0x0a, [2, 0, 0]],
      [0x03, [...o.int(1, 2), 9]],
      [0x04, [...o.int(1, 4), 9]],
      [0x09, [...uleb(130), ...Array(130).fill(1)]],
      [0x18, [0]],
      [0x08, text("source")],
      [0x0d, [0x80, 0x7f]],
      [0x05, [1, 2]],
      [0x06, [1, 2, 3, 4]],
      [0x07, Array(8).fill(1)],
      [0x01, Array(8).fill(1)],
      [0x0c, [1]],
      [0x19, []],
      [0x17, offset(1)],
      [0x1b, uleb(5000)],
    ];
    const directoryForms: [number, number[]][] = [
      [0x0b, [1]],
      [0x05, o.int(1, 2)],
      [0x06, o.int(1, 4)],
      [0x07, o.int(1, 8)],
      [0x0f, [0x81, 0]],
      [0x0d, [1]],
    ];
    const tables = (form: number, value: number[], directory: [number, number[]]) => [
      ...[1, 1, 0x1f, 2, ...offset(1), ...offset(1)],
      ...[skipped.length + 2, ...skipped.flatMap(([skip], i) => [...uleb(0x2001 + i), ...uleb(skip)])],
      ...[1, ...uleb(form), 2, directory[0]],
      ...[1, ...skipped.flatMap(([, skip]) => skip), ...value, ...directory[1]],
    ];
    for (const directory of directoryForms) {
      for (const [form, value, name] of names) {
        const program = lineProgram({ is64, tables: tables(form, value, directory) }, strings);
        assertEquals(program.filePath(0), name && `/comp/${name}`, `form ${form}`);
        assertEquals(program.problem, undefined);
        if (directory !== directoryForms[0]) continue;
        // Cut anywhere, what it has is a problem, not an exception.
        const all = tables(form, value, directory);
        for (let length = 0; length < all.length; length++) {
          const cut = lineProgram({ is64, tables: all.slice(0, length) }, strings);
          assertEquals(cut.filePath(0), undefined);
          assert(cut.problem instanceof FormatError);
        }
      }
    }
  }
  assertEquals(lineProgram({ tables: [1, 1, 0x1a, 0, 1, 1, 0x1a, 1, 5] }).filePath(0), undefined);
});

Deno.test("paths come together as llvm-symbolizer prints them", () => {
  const path = (version: number, directories: string[], name: string, directory: number, compDir: string) => {
    const tables = version >= 5
      ? [
        ...[1, 1, 8, directories.length, ...directories.flatMap(text)],
        ...[2, 1, 8, 2, 11, 1, ...text(name), directory],
      ]
      : [...directories.flatMap(text), 0, ...text(name), directory, 0, 0, 0];
    return lineProgram({ version, tables }, { compDir }).filePath(version >= 5 ? 0 : 1);
  };
  assertEquals(path(4, [], "a.c", 0, "/src"), "/src/a.c");
  assertEquals(path(4, [], "a.c", 0, ""), "a.c");
  assertEquals(path(4, [], "./a.c", 0, "/src/"), "/src/./a.c");
  assertEquals(path(4, ["../x"], "a.c", 1, "/src"), "/src/../x/a.c");
  assertEquals(path(4, ["x/"], "a.c", 1, "/src"), "/src/x/a.c");
  assertEquals(path(4, ["/abs"], "a.c", 1, "/src"), "/abs/a.c");
  assertEquals(path(4, ["x"], "/a.c", 1, "/src"), "/a.c");
  assertEquals(path(4, ["x"], "a.c", 9, "/src"), "/src/a.c");
  assertEquals(path(4, ["x"], "C:\\a.c", 1, "/src"), "C:\\a.c");
  assertEquals(path(4, ["\\\\host\\x"], "a.c", 1, "/src"), "\\\\host\\x/a.c");
  assertEquals(path(4, ["C:x"], "a.c", 1, "/src"), "/src/C:x/a.c");
  assertEquals(path(5, ["/src", "x"], "a.c", 0, "/src"), "/src/a.c");
  assertEquals(path(5, ["/src", "x"], "a.c", 1, "/src"), "/src/x/a.c");
  assertEquals(path(5, [".", "x"], "a.c", 0, "."), "././a.c");
  assertEquals(path(5, ["."], "a.c", 7, "/src"), "/src/a.c");
});

Deno.test("a header that does not fit its section or is of another version is a FormatError", () => {
  const spec = { version: 4, program: [...o.address(16), ...o.copy, ...o.pc(1), ...o.end] };
  const whole = lineUnit(spec);
  assertEquals(lineProgram(spec).rows.length, 2);
  for (let length = 0; length < whole.length; length++) {
    assertThrows(() => LineProgram.parse(lineContext(whole.subarray(0, length)), 0), FormatError);
  }
  for (const version of [0, 1, 6, 65535]) assertThrows(() => lineProgram({ version }), FormatError, "version");
  for (const headerLength of [1, 10, 200, 0xffff_ffff]) {
    assertThrows(() => lineProgram({ headerLength }), FormatError);
  }
  for (const unitLength of [0, 1, 12, 0xffff_fff0]) assertThrows(() => lineProgram({ unitLength }), FormatError);
  assertThrows(() => LineProgram.parse(lineContext(whole), whole.length), FormatError);
  assertThrows(() => LineProgram.parse(lineContext(whole), -1), FormatError);
  assertThrows(() => LineProgram.parse(lineContext(whole), NaN), FormatError);
});

Deno.test("a program that large programs preceded decodes alike", () => {
  const small = { program: [...o.address(0x10), ...o.copy, ...o.pc(4), ...o.end] };
  const program: number[] = [...o.address(0x1000)];
  for (let i = 0; i < 80_000; i++) program.push(i % 2 === 0 ? 0x4b : 0x48);
  for (let i = 0; i < 6000; i++) program.push(...o.address(0x200_0000 + 16 * i), 0x4b, ...o.pc(4), ...o.end);
  program.splice(program.length - 6000 * 18, 0, ...o.end);
  const before = lineProgram(small).rows;
  const large = lineProgram({ program: program }).rows;
  const after = lineProgram(small).rows;
  assert(large.length > 80_000, String(large.length));
  assertEquals(rowsOf(before), rowsOf(after));
  assertEquals(large.line(large.lookup(0x1000 + 4)), 2);
});
