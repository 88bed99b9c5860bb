// Owns the tests of attribute forms, abbreviations and unit headers, on hand-made units.
import { assert, assertEquals } from "@std/assert";
import * as dw from "../src/dwarf/constants.ts";
import {
  type Attribute,
  buildInfo,
  die,
  dwarfElf,
  framesAt,
  int,
  labelled,
  namesAt,
  pieces,
  symbolizerOf,
  type UnitSpec,
  type Value,
} from "./dwarf_builder.ts";
import { lineUnit, Opcodes, text, uleb } from "./dwarf_line_builder.ts";
import { FORMATS } from "./elf_builder.ts";

const { DW_AT_name, DW_AT_low_pc, DW_AT_high_pc, DW_AT_linkage_name, DW_AT_abstract_origin } = dw;
const { DW_TAG_compile_unit, DW_TAG_subprogram, DW_TAG_inlined_subroutine } = dw;
const { DW_FORM_addr, DW_FORM_data4, DW_FORM_data1, DW_FORM_string, DW_FORM_udata, DW_FORM_indirect } = dw;
/** An attribute that no reader looks at. */
const DW_AT_other = 0x2fff;

/** A function of 16 bytes. */
function subprogram(low: number, ...attributes: Attribute[]) {
  return die(DW_TAG_subprogram, [
    [DW_AT_low_pc, DW_FORM_addr, low],
    [DW_AT_high_pc, DW_FORM_data1, 16],
    ...attributes,
  ]);
}

/** The root of a unit from 0x1000 to 0x2000. */
function root(attributes: Attribute[], ...children: ReturnType<typeof die>[]) {
  const code: Attribute[] = [[DW_AT_low_pc, DW_FORM_addr, 0x1000], [DW_AT_high_pc, DW_FORM_data4, 0x1000]];
  return die(DW_TAG_compile_unit, [...code, ...attributes], ...children);
}

for (const { is64: is64Elf, littleEndian, name } of FORMATS) {
  for (const version of [2, 3, 4, 5]) {
    for (const is64 of [false, true]) {
      Deno.test(`DWARF ${version} of ${is64 ? 64 : 32} bits in ${name} files: every form is passed over`, async () => {
        const addressSize = is64Elf ? 8 : 4;
        const values: [form: number, value: Value][] = [
          [dw.DW_FORM_addr, 0x1234],
          [dw.DW_FORM_block2, [1, 2, 3]],
          [dw.DW_FORM_block4, [1, 2, 3]],
          [dw.DW_FORM_data2, 0xffff],
          [dw.DW_FORM_data4, 1],
          [dw.DW_FORM_data8, 1],
          [dw.DW_FORM_string, "text"],
          [dw.DW_FORM_block, Array(200).fill(9)],
          [dw.DW_FORM_block1, []],
          [dw.DW_FORM_block1, [1]],
          [dw.DW_FORM_data1, 255],
          [dw.DW_FORM_flag, 1],
          [dw.DW_FORM_sdata, -129],
          [dw.DW_FORM_strp, 1],
          [dw.DW_FORM_udata, 0xffff_ffff_ffff_ffffn],
          [dw.DW_FORM_ref_addr, 77],
          [dw.DW_FORM_ref1, 1],
          [dw.DW_FORM_ref2, 1],
          [dw.DW_FORM_ref4, 1],
          [dw.DW_FORM_ref8, 1],
          [dw.DW_FORM_ref_udata, 300],
          [dw.DW_FORM_sec_offset, 1],
          [dw.DW_FORM_exprloc, [0x91, 0x7f]],
          [dw.DW_FORM_flag_present, 1],
          [dw.DW_FORM_strx, 300],
          [dw.DW_FORM_addrx, 300],
          [dw.DW_FORM_ref_sup4, 1],
          [dw.DW_FORM_strp_sup, 1],
          [dw.DW_FORM_data16, Array(16).fill(0xff)],
          [dw.DW_FORM_line_strp, 1],
          [dw.DW_FORM_ref_sig8, 1],
          [dw.DW_FORM_implicit_const, -1000],
          [dw.DW_FORM_loclistx, 300],
          [dw.DW_FORM_rnglistx, 300],
          [dw.DW_FORM_ref_sup8, 1],
          [dw.DW_FORM_strx1, 1],
          [dw.DW_FORM_strx2, 1],
          [dw.DW_FORM_strx3, 1],
          [dw.DW_FORM_strx4, 1],
          [dw.DW_FORM_addrx1, 1],
          [dw.DW_FORM_addrx2, 1],
          [dw.DW_FORM_addrx3, 1],
          [dw.DW_FORM_addrx4, 1],
          [dw.DW_FORM_GNU_addr_index, 300],
          [dw.DW_FORM_GNU_str_index, 300],
          [dw.DW_FORM_GNU_ref_alt, 1],
          [dw.DW_FORM_GNU_strp_alt, 1],
          [DW_FORM_indirect, { form: dw.DW_FORM_data2, value: 1 }],
          [DW_FORM_indirect, { form: dw.DW_FORM_block1, value: [1, 2] }],
          [DW_FORM_indirect, { form: dw.DW_FORM_GNU_ref_alt, value: 1 }],
        ];
        // Each form in a DIE of its own that is passed over, in a function, and all of them in one of each.
        const each = values.map(([form, value]): Attribute => [DW_AT_other, form, value]);
        const all = each.flatMap((one) => [one, [DW_AT_other, DW_FORM_udata, 1] as const]);
        const children = [
          ...each.map((one) => die(0x34, [one])),
          ...each.map((one, i) => subprogram(0x1100 + 16 * i, one, [DW_AT_name, DW_FORM_string, `f${i}`])),
          die(0x34, all, die(0x34, all)),
          subprogram(0x1080, ...all, [DW_AT_name, DW_FORM_string, "all"]),
          subprogram(0x1090, [DW_AT_name, DW_FORM_string, "last"]),
        ];
        const unit = { version, is64, addressSize, root: root(each, ...children) };
        const { info, abbrev } = buildInfo([unit], littleEndian);
        const symbolizer = await symbolizerOf({ littleEndian, info, abbrev }, { is64: is64Elf });
        each.forEach((_, i) => assertEquals(namesAt(symbolizer, 0x1100 + 16 * i + 15), [`f${i}`]));
        assertEquals(namesAt(symbolizer, 0x1080), ["all"]);
        assertEquals(namesAt(symbolizer, 0x109f), ["last"]);
        assertEquals(namesAt(symbolizer, 0x10a0), ["no-symbols"]);
      });
    }
  }
}

const STR = pieces(text("zero"), text("one"), text("two"));
const LINE_STR = pieces(text("/line"), text("three"));

Deno.test("text of every form is read, in both byte orders and sizes of offsets", async () => {
  for (const littleEndian of [true, false]) {
    for (const is64 of [false, true]) {
      const size = is64 ? 8 : 4;
      // Of a unit without a base: its elements follow the section's header.
      const header = [...(is64 ? int(0xffff_ffff, 4) : []), ...int(100, size, littleEndian), 5, 0, 0, 0];
      const at = (offset: number) => int(offset, size, littleEndian);
      const few = STR.offsets.flatMap(at);
      const wide = Array(300).fill(at(STR.offsets[1])).flat();
      const strOffsets = Uint8Array.from([...header, ...few, ...wide]);
      const forms: [form: number, value: Value, expected: string][] = [
        [dw.DW_FORM_string, "inline ☃", "inline ☃"],
        [dw.DW_FORM_strp, STR.offsets[2], "two"],
        [dw.DW_FORM_line_strp, LINE_STR.offsets[1], "three"],
        [dw.DW_FORM_strx, 2, "two"],
        [dw.DW_FORM_strx, 300, "one"],
        [dw.DW_FORM_GNU_str_index, 0, "zero"],
        [dw.DW_FORM_strx1, 1, "one"],
        [dw.DW_FORM_strx2, 258, "one"],
        [dw.DW_FORM_strx3, 2, "two"],
        [dw.DW_FORM_strx4, 2, "two"],
        [dw.DW_FORM_GNU_strp_alt, 3, "alt"],
        [dw.DW_FORM_strp_sup, 3, "alt"],
        [DW_FORM_indirect, { form: dw.DW_FORM_strx1, value: 2 }, "two"],
        // What is outside is no name.
        [dw.DW_FORM_strp, STR.bytes.length, "?"],
        [dw.DW_FORM_strx, 303, "?"],
        [dw.DW_FORM_strx, 2 ** 40, "?"],
        [dw.DW_FORM_data1, 1, "?"],
      ];
      const children = forms.map(([form, value], i) => subprogram(0x1000 + 16 * i, [DW_AT_name, form, value]));
      const { info, abbrev } = buildInfo([{ is64, root: root([], ...children) }], littleEndian);
      const parts = { littleEndian, info, abbrev, strOffsets, str: STR.bytes, lineStr: LINE_STR.bytes };
      const alternate = dwarfElf({ littleEndian, str: Uint8Array.from(text("no\0alt")), info: new Uint8Array(0) });
      const symbolizer = await symbolizerOf(parts, { alternate });
      forms.forEach(([form, , expected], i) => {
        assertEquals(namesAt(symbolizer, 0x1000 + 16 * i), [expected], `form ${form}`);
      });
    }
  }
});

Deno.test("bases may stand behind the attributes that need them", async () => {
  const str = STR.bytes;
  const strOffsets = Uint8Array.from([...Array(24).fill(0xee), ...STR.offsets.flatMap((one) => int(one, 4))]);
  const addr = Uint8Array.from([...Array(16).fill(0xee), ...int(0x1000, 8), ...int(0x1800, 8)]);
  const unit: UnitSpec = {
    root: die(
      DW_TAG_compile_unit,
      [
        [DW_AT_name, dw.DW_FORM_strx1, 1],
        [dw.DW_AT_comp_dir, dw.DW_FORM_strx1, 2],
        [DW_AT_low_pc, dw.DW_FORM_addrx, 0],
        [DW_AT_high_pc, dw.DW_FORM_addrx1, 1],
        [dw.DW_AT_str_offsets_base, dw.DW_FORM_sec_offset, 24],
        [dw.DW_AT_addr_base, dw.DW_FORM_sec_offset, 16],
      ],
      die(DW_TAG_subprogram, [
        [DW_AT_low_pc, dw.DW_FORM_addrx2, 1],
        [DW_AT_high_pc, DW_FORM_data1, 9],
        [DW_AT_name, dw.DW_FORM_strx, 2],
      ]),
    ),
  };
  const { info, abbrev } = buildInfo([unit]);
  // The unit ends where the function begins.
  const symbolizer = await symbolizerOf({ info, abbrev, str, strOffsets, addr });
  assertEquals(namesAt(symbolizer, 0x1800), ["no-symbols"]);
  const whole = buildInfo([{
    root: die(
      DW_TAG_compile_unit,
      [...unit.root.attributes.filter(([attribute]) => attribute !== DW_AT_high_pc), [
        DW_AT_high_pc,
        dw.DW_FORM_data2,
        0x1000,
      ]],
      ...unit.root.children!,
    ),
  }]);
  assertEquals(namesAt(await symbolizerOf({ ...whole, str, strOffsets, addr }), 0x1808), ["two"]);
});

Deno.test("addresses of every form; the end as an address, and as a size", async () => {
  for (const littleEndian of [true, false]) {
    for (const addressSize of [4, 8]) {
      const address = (value: number) => int(value, addressSize, littleEndian);
      const slots = Array.from({ length: 301 }, (_, i) => 0x1000 + 16 * i);
      const addr = Uint8Array.from([...Array(8).fill(0), ...slots.flatMap(address)]);
      const pairs: [low: Attribute, high: Attribute][] = [
        [[DW_AT_low_pc, DW_FORM_addr, 0x1000], [DW_AT_high_pc, DW_FORM_addr, 0x1010]],
        [[DW_AT_low_pc, dw.DW_FORM_addrx, 1], [DW_AT_high_pc, dw.DW_FORM_addrx, 2]],
        [[DW_AT_low_pc, dw.DW_FORM_addrx1, 2], [DW_AT_high_pc, dw.DW_FORM_addrx1, 3]],
        [[DW_AT_low_pc, dw.DW_FORM_addrx2, 3], [DW_AT_high_pc, dw.DW_FORM_addrx2, 4]],
        [[DW_AT_low_pc, dw.DW_FORM_addrx3, 4], [DW_AT_high_pc, dw.DW_FORM_addrx3, 5]],
        [[DW_AT_low_pc, dw.DW_FORM_addrx4, 5], [DW_AT_high_pc, dw.DW_FORM_addrx4, 6]],
        [[DW_AT_low_pc, dw.DW_FORM_GNU_addr_index, 6], [DW_AT_high_pc, dw.DW_FORM_GNU_addr_index, 7]],
        [[DW_AT_low_pc, DW_FORM_addr, 0x1070], [DW_AT_high_pc, DW_FORM_data1, 16]],
        [[DW_AT_low_pc, DW_FORM_addr, 0x1080], [DW_AT_high_pc, dw.DW_FORM_data2, 16]],
        [[DW_AT_low_pc, DW_FORM_addr, 0x1090], [DW_AT_high_pc, DW_FORM_data4, 16]],
        [[DW_AT_low_pc, DW_FORM_addr, 0x10a0], [DW_AT_high_pc, dw.DW_FORM_data8, 16]],
        [[DW_AT_low_pc, DW_FORM_addr, 0x10b0], [DW_AT_high_pc, DW_FORM_udata, 16]],
        [[DW_AT_low_pc, DW_FORM_addr, 0x10c0], [DW_AT_high_pc, dw.DW_FORM_sdata, 16]],
        [[DW_AT_low_pc, DW_FORM_addr, 0x10d0], [DW_AT_high_pc, dw.DW_FORM_implicit_const, 16]],
        // The end before the beginning.
        [[DW_AT_high_pc, DW_FORM_data1, 16], [DW_AT_low_pc, DW_FORM_addr, 0x10e0]],
        [
          [DW_AT_low_pc, DW_FORM_indirect, { form: dw.DW_FORM_addrx1, value: 15 }],
          [DW_AT_high_pc, DW_FORM_indirect, { form: DW_FORM_addr, value: 0x1100 }],
        ],
        [
          [DW_AT_low_pc, DW_FORM_indirect, { form: DW_FORM_addr, value: 0x1100 }],
          [DW_AT_high_pc, DW_FORM_indirect, { form: DW_FORM_data1, value: 16 }],
        ],
        [[DW_AT_low_pc, dw.DW_FORM_addrx, 17], [DW_AT_high_pc, dw.DW_FORM_addrx2, 18]],
      ];
      const children = pairs.map((pair, i) =>
        die(DW_TAG_subprogram, [...pair, [DW_AT_name, DW_FORM_string, `f${i}`]])
      );
      const { info, abbrev } = buildInfo([{ addressSize, root: root([], ...children) }], littleEndian);
      const symbolizer = await symbolizerOf({ littleEndian, info, abbrev, addr }, { is64: addressSize === 8 });
      for (let i = 0; i < pairs.length; i++) {
        for (const byte of [0, 15]) assertEquals(namesAt(symbolizer, 0x1000 + 16 * i + byte), [`f${i}`]);
      }
      assertEquals(namesAt(symbolizer, 0x1000 + 16 * pairs.length), ["no-symbols"]);
    }
  }
});

Deno.test("addresses that have no element, or no end, or end before they begin, are no code", async () => {
  const bad: Attribute[][] = [
    [[DW_AT_low_pc, dw.DW_FORM_addrx, 99], [DW_AT_high_pc, DW_FORM_data4, 0x100]],
    [[DW_AT_low_pc, dw.DW_FORM_addrx, 2 ** 50], [DW_AT_high_pc, DW_FORM_data4, 0x100]],
    [[DW_AT_low_pc, DW_FORM_addr, 0x1000]],
    [[DW_AT_high_pc, DW_FORM_addr, 0x1800]],
    [[DW_AT_low_pc, DW_FORM_addr, 0x1100], [DW_AT_high_pc, DW_FORM_addr, 0x1000]],
    [[DW_AT_low_pc, DW_FORM_addr, 0x1000], [DW_AT_high_pc, DW_FORM_data4, 0]],
    [[DW_AT_low_pc, DW_FORM_data4, 0x1000], [DW_AT_high_pc, DW_FORM_data4, 0x100]],
  ];
  for (const attributes of bad) {
    const one = die(DW_TAG_subprogram, [...attributes, [DW_AT_name, DW_FORM_string, "bad"]]);
    const good = subprogram(0x1f00, [DW_AT_name, DW_FORM_string, "good"]);
    const symbolizer = await symbolizerOf(buildInfo([{ root: root([], one, good) }]));
    assertEquals(namesAt(symbolizer, 0x1000), ["no-symbols"]);
    assertEquals(namesAt(symbolizer, 0x1f00), ["good"]);
  }
});

Deno.test("references of every form lead to the DIE, in DWARF 2 to 5", async () => {
  for (const version of [2, 3, 4, 5]) {
    for (const is64 of [false, true]) {
      for (const littleEndian of [true, false]) {
        const forms = [0x11, 0x12, 0x13, 0x14, 0x15, 0x10];
        // The target stands first, so that one byte can hold its offset.
        const target = labelled("target", die(DW_TAG_subprogram, [[DW_AT_name, DW_FORM_string, "target"]]));
        const direct = forms.map((form, i) =>
          subprogram(0x1000 + 16 * i, [DW_AT_abstract_origin, form, { ref: "target" }])
        );
        const far = labelled("far", die(DW_TAG_subprogram, [[DW_AT_name, DW_FORM_string, "far"]]));
        const units: UnitSpec[] = [
          { version, is64, root: root([], target, ...direct) },
          { version, is64, root: die(DW_TAG_compile_unit, [], far) },
          {
            version,
            is64,
            root: die(
              DW_TAG_compile_unit,
              [[DW_AT_low_pc, DW_FORM_addr, 0x3000], [DW_AT_high_pc, DW_FORM_addr, 0x3010]],
              subprogram(0x3000, [dw.DW_AT_specification, dw.DW_FORM_ref_addr, { ref: "far" }]),
            ),
          },
        ];
        const symbolizer = await symbolizerOf({ littleEndian, ...buildInfo(units, littleEndian) });
        forms.forEach((form, i) => assertEquals(namesAt(symbolizer, 0x1000 + 16 * i), ["target"], `form ${form}`));
        assertEquals(namesAt(symbolizer, 0x3000), ["far"]);
      }
    }
  }
});

Deno.test("references of an inlined call by GNU_ref_alt, ref_sup4, ref_sup8 and indirectly", async () => {
  const { info, abbrev, labels } = buildInfo([
    {
      root: die(
        dw.DW_TAG_partial_unit,
        [],
        labelled(
          "shared",
          die(DW_TAG_subprogram, [
            [DW_AT_name, DW_FORM_string, "plain"],
            [DW_AT_linkage_name, DW_FORM_string, "_Z6sharedv"],
          ]),
        ),
      ),
      type: dw.DW_UT_partial,
    },
  ]);
  const at = labels.get("shared")!;
  for (const is64 of [false, true]) {
    const forms: [number, Value][] = [
      [dw.DW_FORM_GNU_ref_alt, at],
      [dw.DW_FORM_ref_sup4, at],
      [dw.DW_FORM_ref_sup8, at],
      [DW_FORM_indirect, { form: dw.DW_FORM_GNU_ref_alt, value: at }],
    ];
    const children = forms.map(([form, value], i) =>
      die(
        DW_TAG_subprogram,
        [[DW_AT_low_pc, DW_FORM_addr, 0x1000 + 16 * i], [DW_AT_high_pc, DW_FORM_data1, 16], [
          DW_AT_name,
          DW_FORM_string,
          "outer",
        ]],
        die(DW_TAG_inlined_subroutine, [
          [DW_AT_abstract_origin, form, value],
          [DW_AT_low_pc, DW_FORM_addr, 0x1004 + 16 * i],
          [DW_AT_high_pc, DW_FORM_data1, 4],
        ]),
      )
    );
    const sections = buildInfo([{ is64, root: root([], ...children) }]);
    const alternate = dwarfElf({ info, abbrev });
    const symbolizer = await symbolizerOf(sections, { alternate });
    forms.forEach(([form], i) =>
      assertEquals(namesAt(symbolizer, 0x1004 + 16 * i), ["_Z6sharedv", "outer"], `form ${form}`)
    );
    // Without the file the call is there, and has no name.
    assertEquals(namesAt(await symbolizerOf(sections), 0x1004), ["?", "outer"]);
  }
});

Deno.test("call file, line and column are read from constants of every form", async () => {
  const tables = [
    ...[1, 1, 8, 1, ...text("/comp")],
    ...[2, 1, 8, 2, 0x0b, 3, ...text("a.c"), 0, ...text("b.c"), 0, ...text("c.h"), 0],
  ];
  const o = new Opcodes();
  const program = [...o.address(0x1000), ...o.line(9), ...o.column(4), ...o.copy, ...o.pc(0x1000), ...o.end];
  const line = lineUnit({ tables, program });
  const forms: [number, (value: number) => Value][] = [
    [DW_FORM_data1, (value) => value],
    [dw.DW_FORM_data2, (value) => value],
    [DW_FORM_data4, (value) => value],
    [dw.DW_FORM_data8, (value) => value],
    [DW_FORM_udata, (value) => value],
    [dw.DW_FORM_sdata, (value) => value],
    [dw.DW_FORM_implicit_const, (value) => value],
    [DW_FORM_indirect, (value) => ({ form: DW_FORM_udata, value })],
  ];
  const children = forms.map(([form, value], i) =>
    die(
      DW_TAG_subprogram,
      [[DW_AT_low_pc, DW_FORM_addr, 0x1000 + 16 * i], [DW_AT_high_pc, DW_FORM_data1, 16], [
        DW_AT_name,
        DW_FORM_string,
        "outer",
      ]],
      die(DW_TAG_inlined_subroutine, [
        [DW_AT_low_pc, DW_FORM_addr, 0x1000 + 16 * i],
        [DW_AT_high_pc, DW_FORM_data1, 4],
        [dw.DW_AT_call_file, form, value(1 + i % 2)],
        [dw.DW_AT_call_line, form, value(100 + i)],
        [dw.DW_AT_call_column, form, value(7)],
        [DW_AT_name, DW_FORM_string, "inner"],
      ]),
    )
  );
  const stmtList: Attribute = [dw.DW_AT_stmt_list, dw.DW_FORM_sec_offset, 0];
  const symbolizer = await symbolizerOf({ ...buildInfo([{ root: root([stmtList], ...children) }]), line });
  forms.forEach(([form], i) =>
    assertEquals(
      framesAt(symbolizer, 0x1000 + 16 * i),
      ["inner /comp/b.c:10:4 ←", `outer /comp/${i % 2 === 0 ? "b.c" : "c.h"}:${100 + i}:7`],
      `form ${form}`,
    )
  );
  assertEquals(framesAt(symbolizer, 0x1004), ["outer /comp/b.c:10:4"]);
});

Deno.test("codes of abbreviations may be sparse, large, out of order and repeated", async () => {
  const named = (low: number, name: string, code: number) => ({
    ...subprogram(low, [DW_AT_name, DW_FORM_string, name]),
    code,
  });
  const cases: [string, number[], number[]?][] = [
    ["in order", [1, 2, 3]],
    ["out of order", [3, 1, 2]],
    ["sparse", [1, 5, 900]],
    ["large", [0x7f, 0x80, 0xffff_ffff]],
    ["after a gap in order again", [2, 3, 4]],
  ];
  for (const [what, codes] of cases) {
    // Different attributes, so that each has an abbreviation of its own.
    const children = codes.map((code, i) => {
      const one = named(0x1000 + 16 * i, `f${i}`, code);
      return { ...one, attributes: [...one.attributes, ...Array(i).fill([DW_AT_other, DW_FORM_data1, 0x55])] };
    });
    const one = { ...root([], ...children), code: 0x1_0000 };
    const symbolizer = await symbolizerOf(buildInfo([{ root: one }]));
    codes.forEach((_, i) => assertEquals(namesAt(symbolizer, 0x1000 + 16 * i), [`f${i}`], what));
  }
  // Of equal codes the first counts.
  const first = [
    ...uleb(7),
    0x2e,
    0,
    DW_AT_low_pc,
    DW_FORM_addr,
    DW_AT_high_pc,
    DW_FORM_data1,
    DW_AT_name,
    8,
    0,
    0,
  ];
  const unit: UnitSpec = {
    root: { ...root([], { ...subprogram(0x1000, [DW_AT_other, DW_FORM_string, "same size"]), code: 7 }), code: 1 },
    abbrevsBefore: first,
  };
  assertEquals(namesAt(await symbolizerOf(buildInfo([unit])), 0x1000), ["same size"]);
});

Deno.test("a code that is in no table, and tables that are cut short, are told with their unit's neighbours unharmed", async () => {
  const good = (low: number, name: string): UnitSpec => ({
    root: die(
      DW_TAG_compile_unit,
      [[DW_AT_low_pc, DW_FORM_addr, low], [DW_AT_high_pc, DW_FORM_data4, 0x100]],
      subprogram(low, [DW_AT_name, DW_FORM_string, name]),
    ),
  });
  const bad: [string, UnitSpec, string][] = [
    ["version", { ...good(0x1100, "b"), version: 9 }, ".debug_info version"],
    ["version of the past", { ...good(0x1100, "b"), version: 1 }, ".debug_info version"],
    ["address size", { ...good(0x1100, "b"), addressSize: 3 }, ".debug_info address_size"],
    ["form", {
      root: die(DW_TAG_compile_unit, [[DW_AT_low_pc, DW_FORM_addr, 0x1100], [DW_AT_high_pc, DW_FORM_data4, 0x100]]),
      abbrevsBefore: [1, 0x11, 0, DW_AT_low_pc, 0x7e, 0, 0],
    }, ".debug_info DW_FORM"],
    ["code", { ...good(0x1100, "b"), raw: [...uleb(99), 0, 0, 0] }, ".debug_info abbreviation code"],
    ["empty", { ...good(0x1100, "b"), raw: [] }, ".debug_info"],
  ];
  for (const [what, unit, field] of bad) {
    const { info, abbrev } = buildInfo([good(0x1000, "a"), unit, good(0x1200, "c")]);
    const symbolizer = await symbolizerOf({ info, abbrev });
    assertEquals(namesAt(symbolizer, 0x1000), ["a"], what);
    assertEquals(namesAt(symbolizer, 0x1200), ["c"], what);
    const { problem, frames } = symbolizer.lookupAddress(new Uint8Array(20).fill(0x5a), 0x1100n);
    assertEquals(frames, [], what);
    assert(problem?.field.startsWith(field), `${what}: ${problem}`);
  }
});

Deno.test("a unit whose length is wrong ends what is known, and the units before it answer", async () => {
  const { info, abbrev, labels } = buildInfo([
    { root: root([], subprogram(0x1000, [DW_AT_name, DW_FORM_string, "a"])) },
    { root: root([]), label: "second" },
  ]);
  for (const length of [0xffff_fff1, 0x7fff_ffff]) {
    const broken = info.slice();
    broken.set(int(length, 4), labels.get("second")!);
    const symbolizer = await symbolizerOf({ info: broken, abbrev });
    assertEquals(namesAt(symbolizer, 0x1000), ["a"]);
    const { problem } = symbolizer.lookupAddress(new Uint8Array(20).fill(0x5a), 0x9000n);
    assertEquals([problem?.field, problem?.value], [".debug_info unit_length", length]);
  }
});

Deno.test("partial and type units have no code of their own, and are passed over", async () => {
  const inside = (name: string) => subprogram(0x1000, [DW_AT_name, DW_FORM_string, name]);
  const units: UnitSpec[] = [
    { type: dw.DW_UT_type, id: 7n, root: root([], inside("of a type")) },
    { type: dw.DW_UT_partial, root: root([], inside("partial")) },
    { type: dw.DW_UT_split_type, id: 7n, root: root([], inside("of a split type")) },
    { root: root([], inside("true")), lateAbbrevs: true },
  ];
  assertEquals(namesAt(await symbolizerOf(buildInfo(units)), 0x1000), ["true"]);
});
