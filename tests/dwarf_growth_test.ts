// Owns the tests that time and memory of DWARF's readers grow like the file, whatever it makes them do again.
import { assertEquals, assertLess } from "@std/assert";
import * as dw from "../src/dwarf/constants.ts";
import { Dwarf } from "../src/dwarf/dwarf.ts";
import { IntervalMap, RangeList } from "../src/dwarf/interval_map.ts";
import type { DwarfSections } from "../src/dwarf/sections.ts";
import { appendFrames, FrameRows } from "../src/symbolize/frame_rows.ts";
import { int, sectionsOf } from "./dwarf_builder.ts";
import { lineUnit, Opcodes, uleb } from "./dwarf_line_builder.ts";
import { assertGrowth } from "./growth.ts";

// Many units end in an error, and collecting its stack would be most of the time.
Error.stackTraceLimit = 2;

/** `count` copies of bytes that may differ. */
function repeated(count: number, piece: (i: number) => number[]): Uint8Array {
  const { length } = piece(0);
  const out = new Uint8Array(count * length);
  for (let i = 0; i < count; i++) out.set(piece(i), i * length);
  return out;
}

function joined(...parts: (Uint8Array | number[])[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A unit of DWARF 4 around its DIEs. */
function unit(abbrevOffset: number, dies: Uint8Array | number[]): Uint8Array {
  return joined(int(dies.length + 7, 4), int(4, 2), int(abbrevOffset, 4), [8], dies);
}

const { DW_AT_name, DW_AT_low_pc, DW_AT_high_pc, DW_AT_ranges, DW_FORM_addr, DW_FORM_data1 } = dw;
const { DW_TAG_compile_unit: CU, DW_TAG_subprogram: FUNCTION, DW_TAG_inlined_subroutine: INLINED } = dw;
const abbreviation = (code: number, tag: number, children: number, ...specs: number[]): number[] => [
  ...[...uleb(code), tag, children],
  ...[...specs.flatMap((one) => uleb(one)), 0, 0],
];
const CODE = [DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, dw.DW_FORM_data4];
const at = (low: number, size: number): number[] => [...int(low, 8), ...int(size, 4)];

function program(sections: Partial<DwarfSections>): Dwarf {
  return new Dwarf(sectionsOf(sections), { baseHi: 0, bounds: { low: 0x1000, high: 2 ** 40 } });
}

/** Looks up so many addresses, and returns how many frames there were in all. */
function lookAll(dwarf: Dwarf, addresses: number, step: number): number {
  const rows = new FrameRows(1024);
  let frames = 0;
  for (let i = 0; i < addresses; i++) {
    rows.length = 0;
    const address = 0x1000 + i * step;
    appendFrames(
      rows,
      0,
      { symbols: undefined, dwarf, gsym: undefined },
      Math.floor(address / 2 ** 32),
      address >>> 0,
      -1,
    );
    frames += rows.length;
  }
  return frames;
}

/** Name; sections for a size in bytes; addresses to look up, and their distance. */
interface Case {
  what: string;
  make: (size: number) => Partial<DwarfSections>;
  addresses?: (size: number) => number;
  step?: number;
  /** Retained bytes for each byte of the sections. */
  retained?: number;
  /** Bytes of the smaller file, about; 30,000 by default. */
  size?: number;
}

const many = (size: number): number => Math.floor(size / 100);

const CASES: Case[] = [
  {
    what: "blocks nested as deep as bytes",
    make: (size) => ({
      abbrev: Uint8Array.from([...abbreviation(1, CU, 1, ...CODE), ...abbreviation(2, 0x0b, 1), 0]),
      info: unit(0, joined([1, ...at(0x1000, 0x1000)], new Uint8Array(size).fill(2))),
    }),
  },
  {
    what: "calls inlined as deep as bytes, looked up at the bottom",
    make: (size) => ({
      abbrev: Uint8Array.from([
        ...abbreviation(1, CU, 1, ...CODE),
        ...abbreviation(2, INLINED, 1, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, dw.DW_FORM_data4),
        ...abbreviation(3, FUNCTION, 1, ...CODE),
        0,
      ]),
      info: unit(
        0,
        joined(
          [1, ...at(0x1000, 0x1000000)],
          [3, ...at(0x1000, 0x1000000)],
          repeated(size / 13 | 0, () => [2, ...at(0x1000, 0x1000000)]),
        ),
      ),
    }),
    addresses: many,
    retained: 6,
  },
  {
    what: "units without code",
    make: (size) => ({
      abbrev: Uint8Array.from([...abbreviation(1, CU, 0), 0]),
      info: repeated(size / 12 | 0, () => [...unit(0, [1])]),
    }),
  },
  {
    what: "units that are malformed",
    make: (size) => ({ info: repeated(size / 4 | 0, () => [0, 0, 0, 0]) }),
  },
  {
    what: "units that share one long table of abbreviations",
    make: (size) => ({
      abbrev: joined(abbreviation(1, CU, 0), repeated(size / 5 | 0, () => [5, 0x34, 0, 0, 0]), [0]),
      info: repeated(size / 12 | 0, () => [...unit(0, [1])]),
    }),
  },
  {
    what: "units that each point into the middle of one table",
    make: (size) => ({
      abbrev: joined(repeated(size / 5 | 0, () => [1, CU, 0, 0, 0]), [0]),
      info: repeated(size / 12 | 0, (i) => [...unit(5 * (i % (size / 5 | 0)), [1])]),
    }),
  },
  {
    what: "units that each point into the middle of one table that does not end",
    make: (size) => ({
      abbrev: repeated(size / 2 | 0, () => [3, 0x0b]),
      info: repeated(size / 12 | 0, (i) => [...unit(2 * (i % (size / 2 | 0)), [1])]),
    }),
  },
  {
    what: "DIEs of one byte with very many attributes without bytes",
    make: (size) => ({
      abbrev: joined(
        abbreviation(1, CU, 1, ...CODE),
        [2, INLINED, 0],
        repeated(size / 2 | 0, () => [0x3f, dw.DW_FORM_flag_present]),
        [0, 0, 0],
      ),
      info: unit(0, joined([1, ...at(0x1000, 0x1000)], new Uint8Array(size).fill(2))),
    }),
    retained: 30,
  },
  {
    what: "units whose root has very many attributes without bytes",
    make: (size) => ({
      abbrev: joined([1, CU, 0], repeated(size / 2 | 0, () => [0x3f, dw.DW_FORM_flag_present]), [0, 0, 0]),
      info: repeated(size / 12 | 0, () => [...unit(0, [1])]),
    }),
  },
  {
    what: "functions that share one long list of ranges",
    make: (size) => ({
      abbrev: Uint8Array.from([
        ...abbreviation(1, CU, 1, ...CODE),
        ...abbreviation(2, FUNCTION, 0, DW_AT_ranges, dw.DW_FORM_data4),
        0,
      ]),
      info: unit(0, joined([1, ...at(0x1000, 0x1000000)], repeated(size / 5 | 0, () => [2, 0, 0, 0, 0]))),
      ranges: joined(
        repeated(size / 16 | 0, (i) => [...int(2 * i + 1, 8), ...int(2 * i + 2, 8)]),
        new Uint8Array(16),
      ),
    }),
    addresses: many,
    retained: 40,
  },
  {
    what: "units that share one long list of ranges",
    make: (size) => ({
      abbrev: Uint8Array.from([...abbreviation(1, CU, 0, DW_AT_ranges, dw.DW_FORM_data4), 0]),
      info: repeated(size / 16 | 0, () => [...unit(0, [1, 0, 0, 0, 0])]),
      ranges: joined(
        repeated(size / 16 | 0, (i) => [...int(0x1001 + 2 * i, 8), ...int(0x1002 + 2 * i, 8)]),
        new Uint8Array(16),
      ),
    }),
    addresses: many,
    step: 3,
  },
  {
    what: "units that share one line-number program",
    make: (size) => {
      const o = new Opcodes();
      const rows = [...o.address(0x1000), ...Array.from({ length: size }, (_, i) => 0x4b + i % 3), ...o.end];
      return {
        abbrev: Uint8Array.from([...abbreviation(1, CU, 0, dw.DW_AT_stmt_list, dw.DW_FORM_data4, ...CODE), 0]),
        info: repeated(size / 28 | 0, (i) => [...unit(0, [1, 0, 0, 0, 0, ...at(0x1000 + 16 * i, 16)])]),
        line: lineUnit({ version: 4, program: rows }),
      };
    },
    addresses: (size) => size / 28 | 0,
    step: 16,
    retained: 20,
  },
  {
    what: "functions whose names begin at every byte of one string",
    // Both strings longer than the 64 KiB at which a name is cut: below that, names are read to the end.
    size: 90_000,
    make: (size) => ({
      abbrev: Uint8Array.from([
        ...abbreviation(1, CU, 1, ...CODE),
        ...abbreviation(
          2,
          FUNCTION,
          0,
          DW_AT_name,
          dw.DW_FORM_strp,
          DW_AT_low_pc,
          DW_FORM_addr,
          DW_AT_high_pc,
          DW_FORM_data1,
        ),
        0,
      ]),
      info: unit(
        0,
        joined(
          [1, ...at(0x1000, 0x1000000)],
          repeated(size / 14 | 0, (i) => [2, ...int(i, 4), ...int(0x1000 + i, 8), 1]),
        ),
      ),
      str: joined(new Uint8Array(size).map((_, i) => 0x61 + (Math.imul(i, 0x9e37_79b1) >>> 28)), [0]),
    }),
    addresses: (size) => size / 140 | 0,
    retained: 8,
  },
  {
    what: "functions whose origins are one long chain",
    make: (size) => ({
      abbrev: Uint8Array.from([
        ...abbreviation(1, CU, 1, ...CODE),
        ...abbreviation(2, FUNCTION, 0, dw.DW_AT_specification, dw.DW_FORM_ref4, ...CODE),
        0,
      ]),
      info: unit(
        0,
        joined(
          [1, ...at(0x1000, 0x1000000)],
          repeated(
            size / 17 | 0,
            (i) => [2, ...int(11 + 13 + 17 * ((i + 1) % (size / 17 | 0)), 4), ...at(0x1000 + i, 1)],
          ),
        ),
      ),
    }),
    addresses: many,
    retained: 8,
  },
  {
    what: "functions whose origin is one long DIE",
    make: (size) => ({
      abbrev: joined(
        abbreviation(1, CU, 1, ...CODE),
        abbreviation(2, FUNCTION, 0, dw.DW_AT_specification, dw.DW_FORM_ref4, ...CODE),
        [3, FUNCTION, 0],
        repeated(size / 2 | 0, () => [0x3f, dw.DW_FORM_data1]),
        [0, 0, 0],
      ),
      info: unit(
        0,
        joined(
          [1, ...at(0x1000, 0x1000000)],
          [3],
          new Uint8Array(size / 2 | 0),
          repeated(size / 17 | 0, (i) => [2, ...int(24, 4), ...at(0x1000 + i, 1)]),
        ),
      ),
    }),
    addresses: many,
    retained: 8,
  },
];

/** One whole use, which returns its milliseconds. */
function useOf({ make, addresses, step = 1, retained }: Case, size: number): () => number {
  const sections = make(size);
  const bytes = Object.values(sections).reduce((sum, one) => sum + (one instanceof Uint8Array ? one.length : 0), 0);
  return () => {
    const start = performance.now();
    const dwarf = program(sections);
    const count = addresses === undefined ? 4 : addresses(size);
    const frames = lookAll(dwarf, count, step);
    const took = performance.now() - start;
    assertLess(frames, 130 * count);
    assertLess(dwarf.retainedBytes, (retained ?? 4) * bytes + (16 << 20));
    assertLess(dwarf.problems.length, 200);
    return took;
  };
}

for (const one of CASES) {
  Deno.test(`time and memory of ${one.what} grow like the file`, () => {
    // Eight times the work; were it the square, 64 times the time.
    const { size = 30_000 } = one;
    assertGrowth(one.what, useOf(one, size), useOf(one, 8 * size), { times: 28, least: 20, rounds: 2 });
  });
}

Deno.test("a million nested blocks, and a million nested calls, are read and answered", () => {
  for (const one of CASES.slice(0, 2)) {
    const dwarf = program(one.make(one === CASES[0] ? 1_000_000 : 13_000_000));
    const frames = lookAll(dwarf, 3, 1);
    assertEquals(frames, one === CASES[0] ? 0 : 3 * 128);
    assertEquals(dwarf.problems, []);
  }
});

Deno.test("maps of ranges that all overlap, or all nest, are made in time in proportion", () => {
  const shapes: [string, (i: number, count: number) => [number, number]][] = [
    ["nested", (i, count) => [i, 2 * count - i]],
    ["nested inside out", (i, count) => [count - i, count + i + 1]],
    ["overlapping", (i, count) => [i, i + count]],
    ["overlapping backward", (i, count) => [count - i, 2 * count - i]],
    ["equal", () => [0, 1]],
    ["from one address", (i) => [0, i + 1]],
    ["to one address", (i, count) => [i, count]],
  ];
  for (const [what, shape] of shapes) {
    const make = (count: number): number => {
      const list = new RangeList();
      for (let i = 0; i < count; i++) list.push(...shape(i, count), i);
      const start = performance.now();
      const map = IntervalMap.from(list);
      assertLess(map.length, 2 * count + 2);
      return performance.now() - start;
    };
    assertGrowth(what, () => make(20_000), () => make(160_000), { times: 28, least: 10, rounds: 2 });
  }
});

Deno.test("a list of ranges lets go of what an exceptional unit needed", () => {
  const list = new RangeList();
  for (let i = 0; i < 100_000; i++) list.push(i, i + 1, i);
  assertEquals(IntervalMap.from(list).lookup(99_999), 99_999);
  list.clear();
  assertEquals([list.length, list.low.length < 20_000, list.value.length], [0, true, list.low.length]);
  list.push(5, 7, 3);
  assertEquals([4, 5, 6, 7].map((at) => IntervalMap.from(list).lookup(at)), [-1, 3, 3, -1]);
});
