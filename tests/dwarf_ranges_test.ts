// Owns the tests of range lists, the map of overlapping ranges, and the way from addresses to units.
import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../src/base/random.ts";
import * as dw from "../src/dwarf/constants.ts";
import { IntervalMap, RangeList } from "../src/dwarf/interval_map.ts";
import {
  arangeSet,
  type Attribute,
  BUILD_ID,
  buildInfo,
  die,
  int,
  namesAt,
  pieces,
  symbolizerOf,
  type UnitSpec,
} from "./dwarf_builder.ts";
import { uleb } from "./dwarf_line_builder.ts";

const { DW_AT_name, DW_AT_low_pc, DW_AT_high_pc, DW_AT_ranges, DW_FORM_addr, DW_FORM_data4, DW_FORM_string } = dw;
const { DW_TAG_compile_unit, DW_TAG_subprogram, DW_FORM_sec_offset, DW_FORM_rnglistx } = dw;

/** A unit from 0x1000 to 0x3000 with functions that have nothing but these range lists. */
function listUnit(lists: Attribute[], more: Partial<UnitSpec> = {}, attributes: Attribute[] = []): UnitSpec {
  const { version = 5 } = more;
  const high: Attribute = version < 4
    ? [DW_AT_high_pc, DW_FORM_addr, 0x3000]
    : [DW_AT_high_pc, DW_FORM_data4, 0x2000];
  return {
    ...more,
    root: die(
      DW_TAG_compile_unit,
      [[DW_AT_low_pc, DW_FORM_addr, 0x1000], high, ...attributes],
      ...lists.map((list, i) => die(DW_TAG_subprogram, [list, [DW_AT_name, DW_FORM_string, `f${i}`]])),
    ),
  };
}

/** Every byte from 0x1000 to 0x3000 that a function is at, as "f0 1000-1010". */
function painted(at: (address: number) => string[], from = 0x0fff, to = 0x3001): string[] {
  const out: string[] = [];
  let last = "";
  let begin = 0;
  for (let address = from; address <= to; address++) {
    const name = address === to ? "" : at(address)[0];
    if (name === last) continue;
    if (last.startsWith("f")) out.push(`${last} ${begin.toString(16)}-${address.toString(16)}`);
    last = name;
    begin = address;
  }
  return out;
}

for (const littleEndian of [true, false]) {
  for (const addressSize of [4, 8]) {
    const what = `${littleEndian ? "little" : "big"}-endian, addresses of ${addressSize} bytes`;
    const a = (value: number | bigint) => int(value, addressSize, littleEndian);
    const ones = a(0xffff_ffff_ffff_ffffn);

    Deno.test(`.debug_ranges, ${what}: offsets from the unit's base, and from chosen ones`, async () => {
      for (const version of [2, 3, 4]) {
        const lists = pieces(
          [...a(0), ...a(8), ...a(0x20), ...a(0x28), ...a(0), ...a(0)],
          // Empty ones, and such as end before they begin, are none.
          [...a(0x40), ...a(0x40), ...a(0x50), ...a(0x48), ...a(0x60), ...a(0x64), ...a(0), ...a(0)],
          [...ones, ...a(0x2000), ...a(0), ...a(4), ...ones, ...a(0x2100), ...a(8), ...a(12), ...a(0), ...a(0)],
          // Base 0: offsets are addresses.
          [...ones, ...a(0), ...a(0x2200), ...a(0x2204), ...a(0), ...a(0)],
          // Nothing at all.
          [...a(0), ...a(0)],
        );
        const form = version < 4 ? DW_FORM_data4 : DW_FORM_sec_offset;
        const attributes = lists.offsets.map((offset): Attribute => [DW_AT_ranges, form, offset]);
        const unit = listUnit(attributes, { version, addressSize });
        const parts = { littleEndian, ...buildInfo([unit], littleEndian), ranges: lists.bytes };
        const symbolizer = await symbolizerOf(parts, { is64: addressSize === 8 });
        assertEquals(painted((address) => namesAt(symbolizer, address)), [
          ...["f0 1000-1008", "f0 1020-1028", "f1 1060-1064", "f2 2000-2004", "f2 2108-210c", "f3 2200-2204"],
        ]);
      }
    });

    Deno.test(`.debug_rnglists, ${what}: every kind of entry, by offset and by index`, async () => {
      for (const is64 of [false, true]) {
        const size = is64 ? 8 : 4;
        const offset = (value: number) => int(value, size, littleEndian);
        const addr = Uint8Array.from([...Array(8).fill(0), ...[0x1100, 0x1108, 0x1200].flatMap(a)]);
        const entries = [
          [dw.DW_RLE_start_end, ...a(0x1000), ...a(0x1008), dw.DW_RLE_end_of_list],
          [dw.DW_RLE_start_length, ...a(0x1010), ...uleb(200), dw.DW_RLE_end_of_list],
          [dw.DW_RLE_startx_endx, 0, 1, dw.DW_RLE_end_of_list],
          [dw.DW_RLE_startx_length, 2, 4, dw.DW_RLE_end_of_list],
          [dw.DW_RLE_offset_pair, ...uleb(0x300), ...uleb(0x304), dw.DW_RLE_end_of_list],
          [dw.DW_RLE_base_address, ...a(0x2000), dw.DW_RLE_offset_pair, 0, 4, dw.DW_RLE_offset_pair, 8, 12, 0],
          [dw.DW_RLE_base_addressx, 2, dw.DW_RLE_offset_pair, 0x10, 0x14, dw.DW_RLE_end_of_list],
          [dw.DW_RLE_end_of_list],
          // Empty, backward, and of addresses that are not in the table.
          [dw.DW_RLE_start_length, ...a(0x2100), 0, dw.DW_RLE_start_end, ...a(0x2108), ...a(0x2100), 0],
          [
            dw.DW_RLE_startx_endx,
            9,
            99,
            dw.DW_RLE_startx_length,
            99,
            4,
            dw.DW_RLE_start_length,
            ...a(0x2110),
            1,
            0,
          ],
        ];
        // Header of the section, table of offsets from its end on, lists.
        const headerSize = is64 ? 20 : 12;
        const tableSize = entries.length * size;
        const lists = pieces(...entries);
        const header = [
          ...(is64 ? [0xff, 0xff, 0xff, 0xff] : []),
          ...offset(8 + tableSize + lists.bytes.length),
          ...[...int(5, 2, littleEndian), addressSize, 0, ...int(entries.length, 4, littleEndian)],
        ];
        assertEquals(header.length, headerSize);
        const table = lists.offsets.flatMap((one) => offset(tableSize + one));
        const padding = 16;
        const rnglists = Uint8Array.from([...Array(padding).fill(0xcc), ...header, ...table, ...lists.bytes]);
        const base = padding + headerSize;
        const expected = [
          ...["f0 1000-1008", "f1 1010-10d8", "f2 1100-1108", "f3 1200-1204", "f6 1210-1214", "f4 1300-1304"],
          ...["f5 2000-2004", "f5 2008-200c", "f9 2110-2111"],
        ];
        const byIndex = entries.map((_, i): Attribute => [DW_AT_ranges, DW_FORM_rnglistx, i]);
        const byOffset = lists.offsets.map((one): Attribute => [
          DW_AT_ranges,
          DW_FORM_sec_offset,
          base + tableSize + one,
        ]);
        const indirect = lists.offsets.map((one, i): Attribute => [
          DW_AT_ranges,
          dw.DW_FORM_indirect,
          i % 2 === 0
            ? { form: DW_FORM_rnglistx, value: i }
            : { form: DW_FORM_sec_offset, value: base + tableSize + one },
        ]);
        for (const attributes of [byIndex, byOffset, indirect]) {
          const bases: Attribute[] = [
            [dw.DW_AT_rnglists_base, DW_FORM_sec_offset, base],
            [dw.DW_AT_addr_base, DW_FORM_sec_offset, 8],
          ];
          const unit = listUnit(attributes, { is64, addressSize }, bases);
          const parts = { littleEndian, ...buildInfo([unit], littleEndian), rnglists, addr };
          const symbolizer = await symbolizerOf(parts, { is64: addressSize === 8 });
          assertEquals(painted((address) => namesAt(symbolizer, address)), expected);
        }
      }
    });
  }
}

Deno.test("a program in the upper half of the address space, with base 0, has exact ranges in both kinds of lists", async () => {
  // As the kernel is: the unit's low_pc is 0, or there is none.
  for (const base of [0xffff_ffff_8100_0000n, 0x7f12_3456_7000n]) {
    const a = (value: bigint) => int(value, 8);
    for (const lowPc of [true, false]) {
      const ranges = pieces(
        [...a(base + 0x11n), ...a(base + 0x15n), ...a(base + 0x101n), ...a(base + 0x103n), ...a(0n), ...a(0n)],
        [...a(base), ...a(base + 0x1000n), ...a(0n), ...a(0n)],
      );
      const rnglists = pieces(
        [dw.DW_RLE_start_end, ...a(base + 0x11n), ...a(base + 0x15n), 3 + 4, ...a(base + 0x101n), 2, 0],
        [dw.DW_RLE_base_address, ...a(base), dw.DW_RLE_offset_pair, 0, ...uleb(0x1000), 0],
      );
      for (const [version, lists] of [[4, ranges], [5, rnglists]] as const) {
        const root: Attribute[] = [[DW_AT_ranges, DW_FORM_sec_offset, lists.offsets[1]]];
        if (lowPc) root.push([DW_AT_low_pc, DW_FORM_addr, 0]);
        const unit: UnitSpec = {
          version,
          root: die(
            DW_TAG_compile_unit,
            root,
            die(DW_TAG_subprogram, [[DW_AT_ranges, DW_FORM_sec_offset, lists.offsets[0]], [
              DW_AT_name,
              DW_FORM_string,
              "f",
            ]]),
          ),
        };
        const parts = { ...buildInfo([unit]), ranges: ranges.bytes, rnglists: rnglists.bytes };
        const symbolizer = await symbolizerOf(parts, { base });
        const found: bigint[] = [];
        for (let i = 0n; i < 0x200n; i++) if (namesAt(symbolizer, base + i)[0] === "f") found.push(i);
        assertEquals(found, [0x11n, 0x12n, 0x13n, 0x14n, 0x101n, 0x102n], `version ${version}, low_pc ${lowPc}`);
      }
    }
  }
});

Deno.test("lists that do not end, or are of an unknown kind, or outside, harm their unit alone", async () => {
  const bad: [string, number[], number][] = [
    ["no end", [dw.DW_RLE_start_length, ...int(0x1000, 8), 4], 0],
    ["unknown kind", [8, 0], 0],
    ["outside", [0], 99],
    ["cut", [dw.DW_RLE_start_end, 1, 2], 0],
  ];
  for (const [what, list, offset] of bad) {
    const good: UnitSpec = {
      root: die(
        DW_TAG_compile_unit,
        [[DW_AT_low_pc, DW_FORM_addr, 0x4000], [DW_AT_high_pc, DW_FORM_data4, 0x100]],
        die(DW_TAG_subprogram, [[DW_AT_low_pc, DW_FORM_addr, 0x4000], [DW_AT_high_pc, DW_FORM_data4, 0x100], [
          DW_AT_name,
          DW_FORM_string,
          "good",
        ]]),
      ),
    };
    const units = [listUnit([[DW_AT_ranges, DW_FORM_sec_offset, offset]]), good];
    const symbolizer = await symbolizerOf({ ...buildInfo(units), rnglists: Uint8Array.from(list) });
    const { problem, frames } = symbolizer.lookupAddress(BUILD_ID, 0x1000n);
    assertEquals(frames, [], what);
    assert(problem?.field.startsWith(".debug_rnglists"), `${what}: ${problem}`);
    assertEquals(namesAt(symbolizer, 0x4000), ["good"]);
  }
});

/** A unit with one function that fills it. */
function filled(name: string, low: number, length: number, more: Partial<UnitSpec> = {}): UnitSpec {
  const code: Attribute[] = [[DW_AT_low_pc, DW_FORM_addr, low], [DW_AT_high_pc, DW_FORM_data4, length]];
  return {
    label: name,
    root: die(DW_TAG_compile_unit, code, die(DW_TAG_subprogram, [...code, [DW_AT_name, DW_FORM_string, name]])),
    ...more,
  };
}

Deno.test("of units that claim one address the first in the file has it", async () => {
  const units = [filled("f1", 0x1100, 0x100), filled("f2", 0x1000, 0x400), filled("f3", 0x1080, 0x1000)];
  const { info, abbrev, labels } = buildInfo(units);
  const expected = ["f2 1000-1100", "f1 1100-1200", "f2 1200-1400", "f3 1400-2080"];
  const symbolizer = await symbolizerOf({ info, abbrev });
  assertEquals(painted((address) => namesAt(symbolizer, address)), expected);
  const at = (name: string) => labels.get(name)!;
  // The order of .debug_aranges is no matter.
  const sets = [
    arangeSet(at("f3"), [[0x1080, 0x1000]]),
    arangeSet(at("f1"), [[0x1100, 0x100]]),
    arangeSet(at("f2"), [[0x1300, 0x100], [0x1000, 0x300]]),
  ];
  const ranged = await symbolizerOf({ info, abbrev, aranges: Uint8Array.from(sets.flat()) });
  assertEquals(painted((address) => namesAt(ranged, address)), expected);
});

Deno.test(".debug_aranges of both sizes, byte orders and with gaps, for some of the units", async () => {
  for (const littleEndian of [true, false]) {
    for (const is64 of [false, true]) {
      for (const addressSize of [4, 8]) {
        const units = [
          filled("f1", 0x1000, 0x100, { is64, addressSize }),
          filled("f2", 0x1200, 0x100, { is64, addressSize }),
          filled("f3", 0x1400, 0x100, { is64, addressSize }),
        ];
        const { info, abbrev, labels } = buildInfo(units, littleEndian);
        const options = { littleEndian, is64, addressSize };
        // The second has an entry that is shorter than its code: then it is asked no more. The third has none.
        const aranges = Uint8Array.from([
          ...arangeSet(labels.get("f2")!, [[0x1210, 0x10], [0x1220, 0], [0x1230, 8]], options),
          ...arangeSet(labels.get("f1")!, [[0x1000, 0x100]], { ...options, end: false }),
          ...arangeSet(labels.get("f3")!, [], options),
        ]);
        const parts = { littleEndian, info, abbrev, aranges };
        const symbolizer = await symbolizerOf(parts, { is64: addressSize === 8 });
        assertEquals(painted((address) => namesAt(symbolizer, address)), [
          ...["f1 1000-1100", "f2 1210-1220", "f2 1230-1238", "f3 1400-1500"],
        ]);
      }
    }
  }
});

Deno.test(".debug_aranges that are wrong leave the units' own ranges", async () => {
  const { info, abbrev, labels } = buildInfo([filled("f1", 0x1000, 0x100), filled("f2", 0x1200, 0x100)]);
  const good = arangeSet(labels.get("f1")!, [[0x1000, 0x100]]);
  const cases: [string, number[], string | undefined][] = [
    ["unit past the end", arangeSet(info.length + 100, [[0x1200, 0x1000]]), undefined],
    ["unit in the middle of another", arangeSet(labels.get("f2")! + 1, [[0x1200, 0x1000]]), undefined],
    ["address size", arangeSet(labels.get("f2")!, [[0x1200, 0x10]]).with(10, 3), ".debug_aranges address_size"],
    ["segments", arangeSet(labels.get("f2")!, [[0x1200, 0x10]]).with(11, 1), ".debug_aranges address_size"],
    ["length", arangeSet(labels.get("f2")!, [[0x1200, 0x10]]).with(1, 9), ".debug_aranges unit_length"],
    ["cut", [1, 2, 3], ".debug_aranges data"],
    ["header cut", [4, 0, 0, 0, 2, 0, 0, 0], ".debug_aranges data"],
  ];
  for (const [what, set, field] of cases) {
    const symbolizer = await symbolizerOf({ info, abbrev, aranges: Uint8Array.from([...good, ...set]) });
    assertEquals(painted((address) => namesAt(symbolizer, address)), ["f1 1000-1100", "f2 1200-1300"], what);
    assertEquals(symbolizer.lookupAddress(BUILD_ID, 0x2000n).problem?.field, field, what);
  }
});

Deno.test(".debug_aranges that point at a unit of an unknown version leave its addresses without answer", async () => {
  const { info, abbrev, labels } = buildInfo([
    filled("f1", 0x1000, 0x100),
    filled("f2", 0x1200, 0x100, { version: 9 }),
    filled("f3", 0x1400, 0x100),
  ]);
  const aranges = Uint8Array.from(
    ["f1", "f2", "f3"].flatMap((name, i) => arangeSet(labels.get(name)!, [[0x1000 + 0x200 * i, 0x100]])),
  );
  const symbolizer = await symbolizerOf({ info, abbrev, aranges });
  assertEquals(painted((address) => namesAt(symbolizer, address)), ["f1 1000-1100", "f3 1400-1500"]);
  const { problem } = symbolizer.lookupAddress(BUILD_ID, 0x1200n);
  assertEquals([problem?.field, problem?.value], [".debug_info version", 9]);
});

Deno.test("code that the linker dropped, at 0 or all ones, does not hide the true one", async () => {
  const tombs: number[][] = [int(0, 8), int(0xffff_ffff_ffff_ffffn, 8), int(1, 8), int(0xffff_ffff_ffff_fffen, 8)];
  for (const tomb of tombs) {
    const address = tomb.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    const code: Attribute[] = [[DW_AT_low_pc, DW_FORM_addr, address], [DW_AT_high_pc, DW_FORM_data4, 0x10_0000]];
    const dropped = die(DW_TAG_subprogram, [...code, [DW_AT_name, DW_FORM_string, "dropped"]]);
    const rnglists = Uint8Array.from([
      ...[dw.DW_RLE_start_length, ...tomb, ...uleb(0x10_0000), dw.DW_RLE_base_address, ...tomb],
      ...[
        dw.DW_RLE_offset_pair,
        0,
        ...uleb(0x10_0000),
        dw.DW_RLE_start_length,
        ...int(0x1000, 8),
        ...uleb(0x100),
        0,
      ],
    ]);
    const list = die(DW_TAG_subprogram, [[DW_AT_ranges, DW_FORM_sec_offset, 0], [
      DW_AT_name,
      DW_FORM_string,
      "f0",
    ]]);
    const unit: UnitSpec = {
      label: "unit",
      root: die(DW_TAG_compile_unit, [[DW_AT_ranges, DW_FORM_sec_offset, 0]], dropped, list, dropped),
    };
    const gone: UnitSpec = { root: die(DW_TAG_compile_unit, code, dropped) };
    const { info, abbrev, labels } = buildInfo([gone, unit, gone]);
    for (
      const aranges of [
        [],
        [
          ...arangeSet(0, [[address, 0x10_0000]]),
          ...arangeSet(labels.get("unit")!, [[address, 0x10], [0x1000, 0x100]]),
        ],
      ]
    ) {
      const symbolizer = await symbolizerOf({ info, abbrev, rnglists, aranges: Uint8Array.from(aranges) });
      assertEquals(painted((at) => namesAt(symbolizer, at)), ["f0 1000-1100"]);
    }
  }
});

Deno.test("IntervalMap gives each address the range that was pushed last, as painting does", () => {
  const seed = 20_261_122;
  console.log(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const SIZE = 64;
  for (let round = 0; round < 5000; round++) {
    const list = new RangeList();
    // Once far away, where positions and addresses do not fit one double.
    const base = round % 3 === 0 ? 0 : round % 3 === 1 ? -0x1000 : 2 ** 50;
    const paint = new Int32Array(SIZE).fill(-1);
    const nested = round % 2 === 0;
    const open: [number, number][] = [[0, SIZE]];
    for (let i = random.below(12); i > 0; i--) {
      const [from, to] = nested ? open[random.below(open.length)] : [0, SIZE];
      const low = from + random.below(to - from);
      const high = low + 1 + random.below(to - low);
      open.push([low, high]);
      const value = random.below(6);
      list.push(base + low, base + high, value);
      paint.fill(value, low, high);
    }
    if (round % 7 === 0) {
      list.push(base - 2 ** 62, base - 2 ** 61, 9);
    }
    const map = IntervalMap.from(list);
    // In any order: the map remembers the last answer.
    for (let k = 0; k < 2 * SIZE; k++) {
      const at = random.below(SIZE + 8) - 4;
      assertEquals(map.lookup(base + at), paint[at] ?? -1, `round ${round}, address ${at}`);
    }
  }
  assertEquals(IntervalMap.from(new RangeList()).lookup(0), -1);
});
