// Owns the fuzzing of DWARF's readers: units, scopes, names, ranges, tables of addresses and strings, and packages.
import { assert } from "@std/assert";
import { Symbolizer } from "../mod.ts";
import { FormatError } from "../src/base/format_error.ts";
import { SeededRandom } from "../src/base/random.ts";
import * as dw from "../src/dwarf/constants.ts";
import { Dwarf } from "../src/dwarf/dwarf.ts";
import type { DwarfSections } from "../src/dwarf/sections.ts";
import { appendFrames, FrameRows } from "../src/symbolize/frame_rows.ts";
import {
  arangeSet,
  type Attribute,
  BUILD_ID,
  buildInfo,
  die,
  dwarfElf,
  int,
  labelled,
  sectionsOf,
  type UnitSpec,
} from "./dwarf_builder.ts";
import { lineUnit, Opcodes, text, uleb } from "./dwarf_line_builder.ts";
import { fuzzParser, MUTATIONS } from "./fuzz.ts";

const { DW_AT_name, DW_AT_low_pc, DW_AT_high_pc, DW_AT_ranges, DW_FORM_addr, DW_FORM_data4, DW_FORM_string } = dw;
const { DW_TAG_compile_unit, DW_TAG_subprogram, DW_TAG_inlined_subroutine, DW_AT_abstract_origin } = dw;

// Most inputs end in an error, and collecting its stack would be most of the time.
Error.stackTraceLimit = 2;

/** A program that has a little of everything. */
function sample(version: number, is64: boolean): DwarfSections {
  const high: Attribute = version < 4
    ? [DW_AT_high_pc, DW_FORM_addr, 0x2000]
    : [DW_AT_high_pc, DW_FORM_data4, 0x1000];
  const list: Attribute = [DW_AT_ranges, version < 4 ? DW_FORM_data4 : dw.DW_FORM_sec_offset, 0];
  const five = version >= 5;
  const root = die(
    DW_TAG_compile_unit,
    [
      [DW_AT_name, five ? dw.DW_FORM_strx1 : DW_FORM_string, five ? 0 : "a.c"],
      [DW_AT_low_pc, five ? dw.DW_FORM_addrx : DW_FORM_addr, five ? 0 : 0x1000],
      high,
      [dw.DW_AT_stmt_list, version < 4 ? DW_FORM_data4 : dw.DW_FORM_sec_offset, 0],
      ...(five
        ? [[dw.DW_AT_addr_base, dw.DW_FORM_sec_offset, 8], [dw.DW_AT_str_offsets_base, 0x17, 8]] as const
        : []),
    ],
    labelled(
      "o",
      die(DW_TAG_subprogram, [[DW_AT_name, dw.DW_FORM_strp, 2], [dw.DW_AT_specification, 0x13, { ref: "s" }]]),
    ),
    labelled("s", die(DW_TAG_subprogram, [[dw.DW_AT_linkage_name, DW_FORM_string, "_Z1sv"]])),
    die(0x34, [[0x2fff, 0x0a, [1, 2]], [0x2ffe, dw.DW_FORM_indirect, { form: 0x0f, value: 300 }]]),
    die(
      DW_TAG_subprogram,
      [list, [DW_AT_name, DW_FORM_string, "outer"]],
      die(DW_TAG_inlined_subroutine, [
        [DW_AT_abstract_origin, dw.DW_FORM_ref_addr, { ref: "o" }],
        [DW_AT_low_pc, DW_FORM_addr, 0x1004],
        [DW_AT_high_pc, version < 4 ? DW_FORM_addr : DW_FORM_data4, version < 4 ? 0x1008 : 4],
        [dw.DW_AT_call_file, dw.DW_FORM_data1, 1],
        [dw.DW_AT_call_line, dw.DW_FORM_udata, 300],
      ], die(DW_TAG_inlined_subroutine, [[DW_AT_abstract_origin, 0x13, { ref: "s" }], list])),
    ),
  );
  const second: UnitSpec = { version, is64, root: die(DW_TAG_compile_unit, [list]), label: "second" };
  const { info, abbrev, labels } = buildInfo([{ version, is64, root }, second]);
  const a = (value: number) => int(value, 8);
  const o = new Opcodes();
  return sectionsOf({
    info,
    abbrev,
    str: Uint8Array.from(text("a\0bc\0d")),
    strOffsets: Uint8Array.from([...Array(8).fill(0), ...int(0, 8), ...int(2, 8)]),
    addr: Uint8Array.from([...Array(8).fill(0), ...a(0x1000), ...a(0x1800)]),
    ranges: Uint8Array.from([
      ...a(0),
      ...a(16),
      ...a(2 ** 52),
      ...a(1),
      ...Array(8).fill(255),
      ...a(9),
      ...a(1),
      ...a(4),
      ...a(0),
      ...a(0),
    ]),
    rnglists: Uint8Array.from([
      ...[5, ...a(0x1000), 0, 0, 7, ...a(0x1000), 16, 6, ...a(0x1000), ...a(0x1010), 1, 1, 4, 0, ...uleb(200)],
      ...[2, 0, 1, 3, 1, 9, 0],
    ]),
    aranges: Uint8Array.from(arangeSet(labels.get("second")!, [[0x1800, 16], [0x1900, 8]])),
    line: lineUnit({
      version,
      tables: five ? [0, 0, 0, 0] : [0, 0],
      program: [...o.address(0x1000), 20, 75, ...o.end],
    }),
  });
}

/** Looks up what a hostile file can make expensive, and reads each answer. */
function lookAll(sections: DwarfSections, split?: DwarfSections): void {
  const dwarf = new Dwarf(sections, { baseHi: 0, bounds: { low: 0x1000, high: 0x3000 } });
  if (split !== undefined) dwarf.addSplit(split);
  const rows = new FrameRows(8);
  for (const address of [0x1000, 0x1004, 0x1006, 0x100f, 0x1010, 0x10c7, 0x1800, 0x1808, 0x1900, 0x2fff]) {
    rows.length = 0;
    appendFrames(rows, 0, { symbols: undefined, dwarf, gsym: undefined }, 0, address, -1);
    for (let i = 0; i < rows.length; i++) {
      const names = { symbols: undefined, dwarf, gsym: undefined };
      assert(rows.name(i, names) !== "" && rows.file(i, names) !== "");
    }
  }
  assert(dwarf.retainedBytes >= 0 && dwarf.missingSplits.length < 100 && dwarf.problems.length < 200);
}

const SAMPLES = [sample(2, false), sample(4, true), sample(5, false)];
const KEYS: (keyof DwarfSections)[][] = [
  ["info"],
  ["abbrev"],
  ["ranges", "rnglists"],
  ["aranges"],
  ["strOffsets", "addr"],
];

for (const keys of KEYS) {
  const name = `.debug_${keys.join(" and ")}`;
  Deno.test(`${name} that is damaged ends in answers or a FormatError`, () => {
    for (const key of keys) {
      // Each section in the samples that read it.
      for (const [i, sections] of SAMPLES.entries()) {
        if (key === "rnglists" && i < 2) continue;
        if ((key === "ranges" || key === "addr" || key === "strOffsets") && (i === 2) === (key === "ranges")) {
          continue;
        }
        const mutations = Math.floor(MUTATIONS / (key === "info" || key === "abbrev" || key === "aranges" ? 3 : 2));
        fuzzParser(
          `.debug_${key} ${i}`,
          [sections[key] as Uint8Array],
          (bytes) => lookAll({ ...sections, [key]: bytes }),
          {
            mutations,
            seed: 3 + i,
          },
        );
      }
    }
  });
}

/** A package of one unit, and its skeleton. */
function packagePair(version: number): { skeleton: DwarfSections; split: DwarfSections } {
  const id = 0x1122_3344n;
  const five = version >= 5;
  const root = die(DW_TAG_compile_unit, [
    [DW_AT_low_pc, DW_FORM_addr, 0x1000],
    [DW_AT_high_pc, DW_FORM_data4, 0x100],
    ...(five ? [] : [[dw.DW_AT_GNU_dwo_id, dw.DW_FORM_data8, id]] as const),
  ]);
  const function_ = die(DW_TAG_subprogram, [
    [DW_AT_low_pc, DW_FORM_addr, 0x1000],
    [DW_AT_high_pc, DW_FORM_data4, 0x100],
    [DW_AT_name, five ? dw.DW_FORM_strx : dw.DW_FORM_GNU_str_index, 0],
  ]);
  const own = buildInfo([{
    version,
    type: dw.DW_UT_split_compile,
    ...(five ? { id } : {}),
    root: { ...root, children: [function_] },
  }]);
  const columns = [1, 3, 6];
  const cuIndex = Uint8Array.from([
    ...[...(five ? [5, 0, 0, 0] : [2, 0, 0, 0]), 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0],
    ...[...int(id, 8), ...int(0, 8), ...int(1, 4), ...int(0, 4), ...columns.flatMap((one) => int(one, 4))],
    ...[...columns.flatMap(() => int(0, 4)), ...columns.flatMap(() => int(20, 4))],
  ]);
  return {
    skeleton: sectionsOf(buildInfo([{ version, type: dw.DW_UT_skeleton, ...(five ? { id } : {}), root }])),
    split: sectionsOf({
      ...own,
      cuIndex,
      str: Uint8Array.from(text("f")),
      strOffsets: Uint8Array.from(Array(16).fill(0)),
    }),
  };
}

Deno.test("packages and their indices that are damaged end in answers or a FormatError", () => {
  for (const version of [4, 5]) {
    const { skeleton, split } = packagePair(version);
    for (const key of ["cuIndex", "info"] as const) {
      const look = (bytes: Uint8Array) => lookAll(skeleton, { ...split, [key]: bytes });
      fuzzParser(`${key} of a package, version ${version}`, [split[key]], look, {
        mutations: 50_000,
        seed: version,
      });
    }
  }
});

Deno.test("whole files that are damaged end in answers, reasons or a FormatError of add()", async () => {
  const seed = 11;
  console.log(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const files = SAMPLES.map((sections) => dwarfElf(sections));
  for (let i = 0; i < 4000; i++) {
    const bytes = files[i % files.length].slice(
      0,
      random.chance(0.1) ? random.below(files[i % files.length].length) : undefined,
    );
    for (let k = 1 + random.below(4); k > 0 && bytes.length > 0; k--) {
      const at = random.below(bytes.length);
      if (random.chance(0.5)) bytes[at] ^= 1 << random.below(8);
      else bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
    }
    const before = bytes.slice();
    const symbolizer = new Symbolizer({ maxSectionBytes: 1 << 20, maxBytes: 1 << 20 });
    try {
      await symbolizer.add(bytes, { buildId: BUILD_ID, alternate: files[0] });
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
    for (const address of [0x1000n, 0x1004n, 0x1800n, 0n, 2n ** 64n - 1n]) {
      const { frames, reason } = symbolizer.lookupAddress(BUILD_ID, address);
      assert((frames.length === 0) === (reason !== undefined));
      const found = symbolizer.lookup(BUILD_ID, address, { returnAddress: i % 2 === 0 });
      assert((found.frames.length === 0) === (found.reason !== undefined));
    }
    assert(bytes.every((byte, at) => byte === before[at]), "input is unchanged");
  }
});
