// Owns the tests of functions, inlined calls and their names, on hand-made trees of DIEs.
import { assert, assertEquals } from "@std/assert";
import * as dw from "../src/dwarf/constants.ts";
import {
  type Attribute,
  BUILD_ID,
  buildInfo,
  type Die,
  die,
  dwarfElf,
  framesAt,
  int,
  labelled,
  namesAt,
  symbolizerOf,
  type UnitSpec,
  type Value,
} from "./dwarf_builder.ts";
import { lineUnit, Opcodes, text } from "./dwarf_line_builder.ts";

const { DW_AT_name, DW_AT_low_pc, DW_AT_high_pc, DW_AT_ranges, DW_FORM_addr, DW_FORM_data4, DW_FORM_string } = dw;
const { DW_AT_abstract_origin, DW_AT_specification, DW_AT_linkage_name, DW_FORM_ref4, DW_FORM_ref_addr } = dw;
const { DW_TAG_compile_unit, DW_TAG_subprogram, DW_TAG_inlined_subroutine } = dw;
const DW_TAG_lexical_block = 0x0b;
const DW_TAG_namespace = 0x39;

const code = (low: number, size: number): Attribute[] => [
  [DW_AT_low_pc, DW_FORM_addr, low],
  [DW_AT_high_pc, DW_FORM_data4, size],
];
const named = (name: string): Attribute => [DW_AT_name, DW_FORM_string, name];
const ref = (attribute: number, label: string): Attribute => [attribute, DW_FORM_ref4, { ref: label }];

function unit(...children: Die[]): UnitSpec {
  return { root: die(DW_TAG_compile_unit, code(0x1000, 0x1000), ...children) };
}

function subprogram(name: string, low: number, size: number, ...children: Die[]): Die {
  return die(DW_TAG_subprogram, [named(name), ...code(low, size)], ...children);
}

function inlined(name: string, low: number, size: number, ...children: Die[]): Die {
  return die(DW_TAG_inlined_subroutine, [named(name), ...code(low, size)], ...children);
}

/** Names at addresses, innermost first. */
async function chains(units: UnitSpec[], addresses: number[]): Promise<string[]> {
  const symbolizer = await symbolizerOf(buildInfo(units));
  return addresses.map((address) => namesAt(symbolizer, address).join(" < "));
}

for (const littleEndian of [true, false]) {
  for (const version of [4, 5]) {
    Deno.test(`calls inlined five deep through lists of ranges, DWARF ${version}, littleEndian ${littleEndian}`, async () => {
      const a = (value: number) => int(value, 8, littleEndian);
      // Function i covers [0x1000 + 8 i, 0x1100 - 8 i) and a byte at 0x1800 + i.
      const lists: number[] = [];
      const nest = (i: number): Die[] => {
        if (i > 5) return [];
        const at = lists.length;
        const [low, high, cold] = [0x1000 + 8 * i, 0x1100 - 8 * i, 0x1800 + i];
        if (version === 5) {
          lists.push(dw.DW_RLE_start_end, ...a(low), ...a(high), dw.DW_RLE_start_length, ...a(cold), 1, 0);
        } else {lists.push(
            ...a(low - 0x1000),
            ...a(high - 0x1000),
            ...a(cold - 0x1000),
            ...a(cold - 0xfff),
            ...a(0),
            ...a(0),
          );}
        const ranges: Attribute = [DW_AT_ranges, dw.DW_FORM_sec_offset, at];
        const call: Attribute[] = [
          [dw.DW_AT_call_file, dw.DW_FORM_data1, 1],
          [dw.DW_AT_call_line, dw.DW_FORM_implicit_const, 10 * i],
          [dw.DW_AT_call_column, dw.DW_FORM_data2, i],
        ];
        // Between the calls a block of no matter.
        return [die(
          i === 0 ? DW_TAG_subprogram : DW_TAG_inlined_subroutine,
          [
            ranges,
            named(`f${i}`),
            ...(i === 0 ? [] : version === 5 ? call : call.with(1, [dw.DW_AT_call_line, 0x0f, 10 * i])),
          ],
          die(DW_TAG_lexical_block, [[DW_AT_low_pc, DW_FORM_addr, 0x1000]], ...nest(i + 1)),
        )];
      };
      const stmtList: Attribute = [dw.DW_AT_stmt_list, dw.DW_FORM_sec_offset, 0];
      const root = die(DW_TAG_compile_unit, [...code(0x1000, 0x1000), stmtList], ...nest(0));
      const o = new Opcodes(littleEndian);
      const line = lineUnit({
        ...{ version, littleEndian },
        tables: version === 5
          ? [1, 1, 8, 1, ...text("/d"), 1, 1, 8, 2, ...text("0.c"), ...text("1.c")]
          : [0, ...text("/d/1.c"), 0, 0, 0, 0],
        program: [...o.address(0x1000), ...o.line(99), ...o.column(9), ...o.copy, ...o.pc(0x1000), ...o.end],
      });
      const sections = { [version === 5 ? "rnglists" : "ranges"]: Uint8Array.from(lists) };
      const symbolizer = await symbolizerOf({
        littleEndian,
        ...buildInfo([{ version, root }], littleEndian),
        line,
        ...sections,
      });
      const chain = (depth: number) =>
        Array.from({ length: depth + 1 }, (_, k) => {
          const i = depth - k;
          const place = i === depth ? "100:9" : `${10 * (i + 1)}:${i + 1}`;
          return `f${i} /d/1.c:${place}${i > 0 ? " ←" : ""}`;
        });
      for (let i = 0; i <= 5; i++) {
        for (const at of [0x1000 + 8 * i, 0x1007 + 8 * i, 0x10ff - 8 * i, 0x1800 + i]) {
          // The cold bytes are each in one list only.
          if (at < 0x1800) assertEquals(framesAt(symbolizer, at), chain(i));
          else assertEquals(namesAt(symbolizer, at), chain(i).map((one) => one.split(" ")[0]));
        }
      }
      assertEquals(framesAt(symbolizer, 0x1100), ["? /d/1.c:100:9"]);
    });
  }
}

Deno.test("functions need not be in the order of their addresses, nor hold what is in them", async () => {
  const one = unit(
    subprogram("late", 0x1800, 0x100, inlined("in late", 0x1810, 0x10)),
    subprogram("early", 0x1000, 0x100, inlined("second", 0x1080, 8), inlined("first", 0x1010, 8)),
    die(DW_TAG_namespace, [named("space")], subprogram("middle", 0x1400, 0x100)),
    // The inlined call is outside its function.
    subprogram("small", 0x1200, 8, inlined("far", 0x1300, 8)),
  );
  const addresses = [
    0x1000,
    0x1010,
    0x1018,
    0x1080,
    0x1088,
    0x1100,
    0x1200,
    0x1300,
    0x1400,
    0x1800,
    0x1810,
    0x1820,
  ];
  assertEquals(await chains([one], addresses), [
    ...["early", "first < early", "early", "second < early", "early", "no-symbols", "small", "far < small"],
    ...["middle", "late", "in late < late", "late"],
  ]);
});

Deno.test("of scopes that overlap without need the later one has the address", async () => {
  const one = unit(
    subprogram("a", 0x1000, 0x100, inlined("x", 0x1000, 0x20), inlined("y", 0x1010, 0x20)),
    subprogram("b", 0x1080, 0x100),
    subprogram("c", 0x1000, 4),
  );
  assertEquals(
    await chains([one], [0x1000, 0x1004, 0x1010, 0x102f, 0x1030, 0x1080, 0x117f, 0x1180]),
    ["c", "x < a", "y < a", "y < a", "a", "b", "b", "no-symbols"],
  );
});

Deno.test("an inlined call without code stands between its caller and what is inlined into it", async () => {
  const middle = die(DW_TAG_inlined_subroutine, [named("middle")], inlined("inner", 0x1004, 4));
  const one = unit(subprogram("outer", 0x1000, 0x10, middle));
  assertEquals(await chains([one], [0x1000, 0x1004]), ["outer", "inner < middle < outer"]);
});

Deno.test("a function inside a function, and one inside an abstract instance, are functions of their own", async () => {
  const one = unit(
    subprogram("outer", 0x1000, 0x100, subprogram("nested", 0x1040, 0x10, inlined("i", 0x1044, 4))),
    die(DW_TAG_subprogram, [named("abstract")], inlined("no one's", 0x1200, 8), subprogram("own", 0x1300, 8)),
  );
  assertEquals(
    await chains([one], [0x1000, 0x1040, 0x1044, 0x1048, 0x1050, 0x1200, 0x1300]),
    ["outer", "nested", "i < nested", "nested", "outer", "no one's", "own"],
  );
});

Deno.test("DW_AT_sibling is not believed, and null entries may be missing or too many", async () => {
  const sibling: Attribute = [0x01, DW_FORM_ref4, 0xffff_ffff];
  const wrong = die(DW_TAG_subprogram, [sibling, named("a"), ...code(0x1000, 0x10)], inlined("i", 0x1004, 4));
  const { info, abbrev } = buildInfo([unit(wrong, subprogram("b", 0x1010, 0x10))]);
  assertEquals(namesAt(await symbolizerOf({ info, abbrev }), 0x1004), ["i", "a"]);
  assertEquals(namesAt(await symbolizerOf({ info, abbrev }), 0x1010), ["b"]);
  // The null entry of the root cut off.
  const cut = info.slice(0, -1);
  cut.set(int(cut.length - 4, 4));
  assertEquals(namesAt(await symbolizerOf({ info: cut, abbrev }), 0x1010), ["b"]);
  const long = new Uint8Array(info.length + 9);
  long.set(info);
  long.set(int(long.length - 4, 4));
  assertEquals(namesAt(await symbolizerOf({ info: long, abbrev }), 0x1010), ["b"]);
});

Deno.test("names come along abstract origin and specification, linkage names before plain ones", async () => {
  const bare = (...attributes: Attribute[]) => die(DW_TAG_subprogram, attributes);
  const linkage = (name: string): Attribute => [DW_AT_linkage_name, DW_FORM_string, name];
  const mips = (name: string): Attribute => [dw.DW_AT_MIPS_linkage_name, DW_FORM_string, name];
  const cases: [expected: string, own: Attribute[], others?: Die[]][] = [
    ["plain", [named("plain")]],
    ["_Z1av", [named("a"), linkage("_Z1av")]],
    ["_Z1bv", [mips("_Z1bv"), named("b")]],
    ["?", []],
    ["origin", [ref(DW_AT_abstract_origin, "o3")], [labelled("o3", bare(named("origin")))]],
    ["own", [named("own"), ref(DW_AT_abstract_origin, "o4")], [labelled("o4", bare(named("other")))]],
    ["_Z5otherv", [named("own"), ref(DW_AT_abstract_origin, "o5")], [
      labelled("o5", bare(named("other"), linkage("_Z5otherv"))),
    ]],
    ["_Z4specv", [ref(DW_AT_abstract_origin, "o6")], [
      labelled("s6", bare(named("spec"), linkage("_Z4specv"))),
      labelled("o6", bare(ref(DW_AT_specification, "s6"))),
    ]],
    // gcc's constructors: the concrete instance knows its own linkage name.
    ["_ZN1CC2Ev", [linkage("_ZN1CC2Ev"), ref(DW_AT_abstract_origin, "o7")], [
      labelled("o7", bare(named("C"), linkage("_ZN1CC4Ev"))),
    ]],
    // Round they go.
    ["?", [ref(DW_AT_abstract_origin, "c8")], [
      labelled("c8", bare(ref(DW_AT_specification, "d8"))),
      labelled("d8", bare(ref(DW_AT_abstract_origin, "c8"))),
    ]],
    ["round", [ref(DW_AT_abstract_origin, "c9")], [
      labelled("c9", bare(ref(DW_AT_specification, "c9"), named("round"))),
    ]],
    // To nowhere.
    ["still", [named("still"), [DW_AT_abstract_origin, DW_FORM_ref4, 0xffff_fff0]]],
    ["still", [named("still"), [DW_AT_abstract_origin, DW_FORM_ref4, 1]]],
  ];
  const children = cases.flatMap(([, own, others = []], i) => [
    die(DW_TAG_subprogram, [...own, ...code(0x1000 + 16 * i, 16)]),
    ...others,
  ]);
  const symbolizer = await symbolizerOf(buildInfo([unit(...children)]));
  cases.forEach(([expected], i) => assertEquals(namesAt(symbolizer, 0x1000 + 16 * i), [expected], `case ${i}`));
});

Deno.test("a name is found sixteen references away, and not looked for without end", async () => {
  const links = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      labelled(
        `l${i}`,
        die(
          DW_TAG_subprogram,
          i === count - 1 ? [named("end")] : [[DW_AT_specification, DW_FORM_ref4, { ref: `l${i + 1}` }]],
        ),
      ));
  for (const [count, expected] of [[1, "end"], [15, "end"], [100, "?"]] as const) {
    const first = die(DW_TAG_subprogram, [...code(0x1000, 16), ref(DW_AT_abstract_origin, "l0")]);
    assertEquals(namesAt(await symbolizerOf(buildInfo([unit(first, ...links(count))])), 0x1000), [expected]);
  }
});

Deno.test("names are found in other units, whatever their version and bases", async () => {
  const str = Uint8Array.from(text("\0across"));
  const strOffsets = Uint8Array.from([...Array(20).fill(0xee), ...int(1, 4)]);
  const far = labelled("far", die(DW_TAG_subprogram, [[DW_AT_linkage_name, dw.DW_FORM_strx1, 0]]));
  const units: UnitSpec[] = [
    {
      version: 4,
      ...unit(
        die(DW_TAG_subprogram, [...code(0x1000, 16), [DW_AT_specification, DW_FORM_ref_addr, { ref: "far" }]]),
      ),
    },
    { root: die(DW_TAG_compile_unit, [[dw.DW_AT_str_offsets_base, dw.DW_FORM_sec_offset, 20]], far) },
  ];
  assertEquals(namesAt(await symbolizerOf({ ...buildInfo(units), str, strOffsets }), 0x1000), ["across"]);
  // A unit there that can't be read gives no name, and harms no one.
  units[1] = { ...units[1], version: 7 };
  assertEquals(namesAt(await symbolizerOf({ ...buildInfo(units), str, strOffsets }), 0x1000), ["?"]);
});

Deno.test("chains of names go on into the alternate file, where they may go round too", async () => {
  const shared = buildInfo([{
    type: dw.DW_UT_partial,
    root: die(
      dw.DW_TAG_partial_unit,
      [],
      labelled("s", die(DW_TAG_subprogram, [[DW_AT_name, dw.DW_FORM_strp, 1]])),
      labelled("o", die(DW_TAG_subprogram, [[DW_AT_specification, DW_FORM_ref4, { ref: "s" }]])),
      labelled("r", die(DW_TAG_subprogram, [[DW_AT_specification, DW_FORM_ref4, { ref: "r" }]])),
      // In the alternate file there is no further one.
      labelled("x", die(DW_TAG_subprogram, [[DW_AT_specification, dw.DW_FORM_GNU_ref_alt, 12]])),
    ),
  }]);
  const alternate = dwarfElf({ ...shared, str: Uint8Array.from(text("\0shared")) });
  const to = (label: string): Value => shared.labels.get(label)!;
  const one = unit(
    die(DW_TAG_subprogram, [...code(0x1000, 16), [DW_AT_abstract_origin, dw.DW_FORM_GNU_ref_alt, to("o")]]),
    labelled(
      "here",
      die(DW_TAG_subprogram, [[DW_AT_specification, dw.DW_FORM_GNU_ref_alt, to("s")], named("here")]),
    ),
    die(DW_TAG_subprogram, [...code(0x1010, 16), ref(DW_AT_abstract_origin, "here")]),
    die(DW_TAG_subprogram, [...code(0x1020, 16), [DW_AT_abstract_origin, dw.DW_FORM_GNU_ref_alt, to("r")]]),
    die(DW_TAG_subprogram, [...code(0x1030, 16), [DW_AT_abstract_origin, dw.DW_FORM_GNU_ref_alt, to("x")]]),
    die(DW_TAG_subprogram, [...code(0x1040, 16), [DW_AT_abstract_origin, dw.DW_FORM_GNU_ref_alt, 0xffff_fff0]]),
  );
  const symbolizer = await symbolizerOf(buildInfo([one]), { alternate });
  assertEquals([0, 1, 2, 3, 4].map((i) => namesAt(symbolizer, 0x1000 + 16 * i)[0]), [
    "shared",
    "shared",
    "?",
    "?",
    "?",
  ]);
});

Deno.test("call files and lines that do not fit, or are not there, are not known", async () => {
  const call = (file: Value, line: Value, form: number): Attribute[] => [
    [dw.DW_AT_call_file, form, file],
    [dw.DW_AT_call_line, form, line],
  ];
  const inner = (at: number, attributes: Attribute[]) =>
    die(DW_TAG_inlined_subroutine, [...code(at, 4), named("i"), ...attributes]);
  const one = unit(
    subprogram(
      "f",
      0x1000,
      0x100,
      inner(0x1000, []),
      inner(0x1010, call(9, 2 ** 31, dw.DW_FORM_udata)),
      inner(0x1020, call(-1, -1, dw.DW_FORM_sdata)),
      inner(0x1030, call(2 ** 52, 2 ** 31 - 1, dw.DW_FORM_data8)),
      die(DW_TAG_inlined_subroutine, [
        ...code(0x1040, 4),
        named("i"),
        [dw.DW_AT_call_line, dw.DW_FORM_block1, [1, 2, 3]],
        [dw.DW_AT_call_file, dw.DW_FORM_string, "file"],
      ]),
    ),
  );
  const symbolizer = await symbolizerOf(buildInfo([one]));
  assertEquals(
    [0, 1, 2, 3, 4].map((i) => framesAt(symbolizer, 0x1000 + 16 * i)[1]),
    ["f ?:0:0", "f ?:0:0", "f ?:0:0", "f ?:2147483647:0", "f ?:0:0"],
  );
});

Deno.test("a DIE that passes the end of its unit fails the unit, and says where", async () => {
  const { info, abbrev, labels } = buildInfo([
    unit(subprogram("a", 0x1000, 16), labelled("long", die(0x34, [[0x2fff, dw.DW_FORM_block1, [1, 2, 3]]]))),
  ]);
  const at = labels.get("long")!;
  const broken = info.slice();
  broken[at + 1] = 200;
  const symbolizer = await symbolizerOf({ info: broken, abbrev });
  const { problem, frames } = symbolizer.lookupAddress(BUILD_ID, 0x1000n);
  assertEquals(frames, []);
  assert(problem?.field.startsWith(".debug_info") && problem.offset >= at, String(problem));
});
