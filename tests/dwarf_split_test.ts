// Owns the tests of split DWARF: .dwo files and .dwp packages, hand-made and by gcc, clang and their packers.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { assert, assertEquals } from "@std/assert";
import { readBuildId, Symbolizer } from "../mod.ts";
import * as dw from "../src/dwarf/constants.ts";
import {
  type Attribute,
  BUILD_ID,
  buildInfo,
  die,
  dwarfElf,
  framesAt,
  int,
  labelled,
  namesAt,
  shown,
  type UnitSpec,
} from "./dwarf_builder.ts";
import { lineUnit, Opcodes, text, uleb } from "./dwarf_line_builder.ts";
import { concat } from "./elf_builder.ts";

const SOURCES: Record<string, string> = {
  "a.cc": `
#include "shared.h"
struct Base { virtual ~Base() {} virtual int area(int) const = 0; };
struct Square : Base { int side; Square(int s) : side(s) {} int area(int k) const override; };
int Square::area(int k) const { return clamp(side * side + k) + twice(k); }
__attribute__((noinline)) static int helper(int x) {
  if (__builtin_expect(x > 1000, 0)) __builtin_trap();
  return twice(clamp(x)) + 1;
}
int other(int);
int main(int argc, char **) {
  Square s(argc);
  Base const &b = s;
  return b.area(helper(argc)) + other(argc);
}
`,
  "b.cc": `
#include "shared.h"
namespace { struct Local { int operator()(int x) const { return clamp(x) + 7; } }; }
template <class F> __attribute__((noinline)) int apply(F f, int x) { return f(twice(x)); }
int other(int x) {
  int sum = 0;
  for (int i = 0; i < x; i++) sum += apply(Local(), i) + clamp(i);
  return sum;
}
`,
  "shared.h": `
extern int limit;
inline __attribute__((always_inline)) int least(int a, int b) { return a < b ? a : b; }
inline __attribute__((always_inline)) int clamp(int x) {
  int y = least(x, limit);
  return y * y ^ x;
}
inline __attribute__((always_inline)) int twice(int x) { return 2 * least(x, limit + 3); }
`,
  "c.cc": `int limit = 100;\n`,
};

function run(directory: string, tool: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(tool, args, { encoding: "utf8", cwd: directory, timeout: 30_000 });
  if (status !== 0) throw new Error(`${tool} ${args.join(" ")}: ${stderr}`);
}

function have(...tools: string[]): boolean {
  const missing = tools.filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
  if (missing.length > 0) console.log(`skipped: not installed: ${missing}`);
  return missing.length === 0;
}

/** What a build has: the same program with its DWARF inside, and split; the .dwo files beside it. */
interface Built {
  whole: Uint8Array;
  split: Uint8Array;
  dwos: Uint8Array[];
  /** Address and size of each function. */
  functions: { address: number; size: number }[];
}

/** Builds once for each set of flags; `use` may run packers in the directory. */
function built(compiler: string, flags: string[], use: (built: Built, directory: string) => unknown): unknown {
  const directory = mkdtempSync(`${tmpdir()}/stackmap-`);
  try {
    for (const [name, source] of Object.entries(SOURCES)) writeFileSync(`${directory}/${name}`, source);
    const names = ["a", "b", "c"];
    for (const [out, more] of [["whole", []], ["split", ["-gsplit-dwarf"]]] as const) {
      for (const name of names) {
        run(directory, compiler, ...flags, ...more, "-O2", "-c", `${name}.cc`, "-o", `${name}.o`);
      }
      run(directory, compiler, ...flags, "-Wl,--build-id=sha1", "-o", out, ...names.map((name) => `${name}.o`));
    }
    const { stdout } = spawnSync("nm", ["-S", "--defined-only", `${directory}/whole`], { encoding: "utf8" });
    const functions = [...stdout.matchAll(/^([0-9a-f]+) ([0-9a-f]+) [tTwW] \S+$/gm)]
      .map(([, address, size]) => ({ address: Number(`0x${address}`), size: Number(`0x${size}`) }));
    assert(functions.length > 6);
    const read = (name: string): Uint8Array => readFileSync(`${directory}/${name}`);
    const dwos = names.map((name) => read(`${name}.dwo`));
    // Awaited by the caller, who has read all files by then.
    return use({ whole: read("whole"), split: read("split"), dwos, functions }, directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Every frame at every byte of every function. */
async function answers(
  { functions }: Built,
  program: Uint8Array,
  splits: Uint8Array[],
  before = false,
): Promise<string[]> {
  const symbolizer = new Symbolizer();
  const buildId = readBuildId(program)!;
  const addSplits = async () => {
    for (const bytes of splits) assertEquals((await symbolizer.add(bytes, { buildId })).debugInfo, true);
  };
  const lookups = () =>
    functions.flatMap(({ address, size }) =>
      Array.from({ length: size }, (_, i) => {
        const { frames } = symbolizer.lookupAddress(buildId, BigInt(address + i));
        return `${(address + i).toString(16)} ${frames.map(shown).join(" | ")}`;
      })
    );
  if (before) await addSplits();
  await symbolizer.add(program);
  if (!before) {
    // Units that were read without their other half are read again.
    lookups();
    await addSplits();
  }
  return lookups();
}

const BUILDS: [compiler: string, flags: string[]][] = ["gcc", "clang"].flatMap((compiler) =>
  ["-gdwarf-4", "-gdwarf-5"].map((
    version,
  ): [string, string[]] => [compiler === "gcc" ? "g++" : "clang++", [version]])
);
// Without it clang leaves inlined calls in the skeleton.
for (const [compiler, flags] of BUILDS) if (compiler === "clang++") flags.push("-fno-split-dwarf-inlining");

for (const [compiler, flags] of BUILDS) {
  const version = flags[0];
  // Of gcc's DWARF 5 GNU dwp 2.40 crashes, and llvm-dwp 14 does not end; nor does it on its DWARF 4.
  const packers = compiler === "clang++" ? ["llvm-dwp", "dwp"] : version === "-gdwarf-4" ? ["dwp"] : [];
  if (compiler === "clang++" && version === "-gdwarf-5") packers.pop();
  Deno.test({
    name: `${compiler} ${version} -gsplit-dwarf: .dwo and .dwp files answer as the same program with all in it`,
    ignore: !have(compiler, "nm"),
    async fn() {
      await built(compiler, flags, async (one, directory) => {
        const packages = packers.filter((packer) => spawnSync(packer, ["--version"]).status === 0).map((packer) => {
          run(directory, packer, "-e", "split", "-o", `${packer}.dwp`);
          return [packer, readFileSync(`${directory}/${packer}.dwp`) as Uint8Array] as const;
        });
        const expected = await answers(one, one.whole, []);
        assert(expected.filter((line) => line.includes("←")).length > 50);
        assertEquals(await answers(one, one.split, one.dwos), expected, "dwo after");
        assertEquals(await answers(one, one.split, one.dwos.toReversed(), true), expected, "dwo before");
        for (const [packer, bytes] of packages) {
          assertEquals(await answers(one, one.split, [bytes]), expected, `${packer} after`);
          assertEquals(await answers(one, one.split, [bytes], true), expected, `${packer} before`);
        }
        // Without them there are still lines, and the outermost function by its symbol.
        const innermost = (line: string) => line.replace(/^(\S+) .*?(\/\S+).*$/, "$1 $2");
        const alone = await answers(one, one.split, []);
        assertEquals(alone.map(innermost), expected.map(innermost));
        const outermost = (line: string) => line.split(" | ").at(-1)!.split(" ").at(line.includes(" | ") ? 0 : 1);
        assertEquals(alone.map(outermost), expected.map(outermost));
      });
    },
  });
}

const { DW_AT_name, DW_AT_low_pc, DW_AT_high_pc, DW_AT_ranges, DW_FORM_addr, DW_FORM_data4, DW_FORM_string } = dw;
const { DW_TAG_compile_unit, DW_TAG_subprogram, DW_TAG_inlined_subroutine, DW_FORM_sec_offset } = dw;
const o = new Opcodes();

/** .debug_line of one row, which every address has. */
function lines(version: number, file: string): Uint8Array {
  return lineUnit({
    version,
    tables: version >= 5
      ? [1, 1, 8, 1, ...text("/d"), 1, 1, 8, 2, ...text("0.c"), ...text(file)]
      : [0, ...text(file), 0, 0, 0, 0],
    program: [...o.address(0x1000), ...o.line(6), ...o.copy, ...o.pc(0x1000), ...o.end],
  });
}

/** A skeleton from 0x1000 + 0x100 i on, 0x100 bytes, and its split unit, in DWARF 4 (GNU's) or 5. */
function pair(version: number, i: number, name: string): { skeleton: UnitSpec; split: UnitSpec } {
  const id = 0x1122_3344_0000_0000n + BigInt(i);
  const low = 0x1000 + 0x100 * i;
  const gnu = version < 5;
  const skeleton: Attribute[] = [
    [DW_AT_low_pc, DW_FORM_addr, low],
    [DW_AT_high_pc, DW_FORM_data4, 0x100],
    [dw.DW_AT_stmt_list, DW_FORM_sec_offset, 0],
    [dw.DW_AT_comp_dir, DW_FORM_string, "/d"],
    // Two addresses for each unit, and a list of ranges for it in DWARF 4.
    [gnu ? dw.DW_AT_GNU_addr_base : dw.DW_AT_addr_base, DW_FORM_sec_offset, 8 + 16 * i],
    [gnu ? dw.DW_AT_GNU_dwo_name : dw.DW_AT_dwo_name, DW_FORM_string, `${name}.dwo`],
    ...(gnu
      ? [[dw.DW_AT_GNU_ranges_base, DW_FORM_sec_offset, 32 * i], [
        dw.DW_AT_GNU_dwo_id,
        dw.DW_FORM_data8,
        id,
      ]] as const
      : []),
  ];
  const index = gnu ? dw.DW_FORM_GNU_addr_index : dw.DW_FORM_addrx;
  const str = gnu ? dw.DW_FORM_GNU_str_index : dw.DW_FORM_strx;
  const split = die(
    DW_TAG_compile_unit,
    [[DW_AT_name, str, 0], ...(gnu ? [[dw.DW_AT_GNU_dwo_id, dw.DW_FORM_data8, id] as const] : [])],
    labelled("origin", die(DW_TAG_subprogram, [[DW_AT_name, str, 1]])),
    die(
      DW_TAG_subprogram,
      [[DW_AT_low_pc, index, 0], [DW_AT_high_pc, DW_FORM_data4, 0x80], [DW_AT_name, str, 0]],
      die(DW_TAG_inlined_subroutine, [
        [dw.DW_AT_abstract_origin, dw.DW_FORM_ref4, { ref: "origin" }],
        // 8 bytes at 0x10 of the unit.
        [DW_AT_ranges, gnu ? DW_FORM_sec_offset : dw.DW_FORM_rnglistx, 0],
        [dw.DW_AT_call_line, dw.DW_FORM_data1, 40 + i],
        [dw.DW_AT_call_file, dw.DW_FORM_data1, 1],
      ]),
    ),
  );
  return {
    skeleton: gnu
      ? { version, root: die(DW_TAG_compile_unit, skeleton) }
      : { version, type: dw.DW_UT_skeleton, id, root: die(dw.DW_TAG_skeleton_unit, skeleton) },
    split: gnu ? { version, root: split } : { version, type: dw.DW_UT_split_compile, id, root: split },
  };
}

/** The sections of a .dwo file of one unit whose two strings are `name` and `name`_in. */
function dwoParts(version: number, i: number, name: string) {
  const { split } = pair(version, i, name);
  const { info, abbrev } = buildInfo([split]);
  const strings = text(`${name}\0${name}_in`);
  const header = version < 5 ? [] : [...int(12, 4), 5, 0, 0, 0];
  const list = [dw.DW_RLE_base_addressx, 0, dw.DW_RLE_offset_pair, 0x10, 0x18, dw.DW_RLE_end_of_list];
  return {
    info,
    abbrev,
    str: Uint8Array.from(strings),
    strOffsets: Uint8Array.from([...header, ...int(0, 4), ...int(name.length + 1, 4)]),
    ...(version < 5 ? {} : {
      rnglists: Uint8Array.from([
        ...int(8 + 4 + list.length, 4),
        5,
        0,
        8,
        0,
        ...int(1, 4),
        ...int(4, 4),
        ...list,
      ]),
    }),
  };
}

/** The executable of units 0 to `count`. */
function skeletons(version: number, count: number): Uint8Array {
  const each = Array.from({ length: count }, (_, i) => i);
  return dwarfElf({
    ...buildInfo(each.map((i) => pair(version, i, `f${i}`).skeleton)),
    line: lines(version, "x.c"),
    addr: Uint8Array.from([
      ...Array(8).fill(0),
      ...each.flatMap((i) => [...int(0x1000 + 0x100 * i, 8), ...int(0, 8)]),
    ]),
    ranges: Uint8Array.from(each.flatMap(() => [...int(0x10, 8), ...int(0x18, 8), ...int(0, 8), ...int(0, 8)])),
  });
}

for (const version of [4, 5]) {
  Deno.test(`hand-made DWARF ${version}: each .dwo file answers for its unit, in any order`, async () => {
    const dwo = (i: number) => dwarfElf(dwoParts(version, i, `f${i}`), { split: true });
    for (const order of [[0, 1, 2], [2, 0, 1], [1], [0, 0, 9]]) {
      const symbolizer = new Symbolizer();
      const options = { buildId: BUILD_ID };
      assertEquals((await symbolizer.add(dwo(order[0]), options)).debugInfo, true);
      await symbolizer.add(skeletons(version, 3));
      for (const i of order.slice(1)) {
        namesAt(symbolizer, 0x1000 + 0x100 * i);
        await symbolizer.add(dwo(i), options);
      }
      for (let i = 0; i < 3; i++) {
        const at = 0x1000 + 0x100 * i;
        if (order.includes(i)) {
          assertEquals(framesAt(symbolizer, at), [`f${i} /d/x.c:7:0`]);
          assertEquals(framesAt(symbolizer, at + 0x10), [`f${i}_in /d/x.c:7:0 ←`, `f${i} /d/x.c:${40 + i}:0`]);
          assertEquals(framesAt(symbolizer, at + 0x18), [`f${i} /d/x.c:7:0`]);
        } else assertEquals(framesAt(symbolizer, at + 0x10), ["? /d/x.c:7:0"]);
        assertEquals(framesAt(symbolizer, at + 0x80), ["? /d/x.c:7:0"]);
      }
    }
  });

  Deno.test(`hand-made DWARF ${version} package: units are found by their ids`, async () => {
    const parts = [0, 1, 2].map((i) => dwoParts(version, i, `f${i}`));
    const { bytes, index } = packaged(version, parts);
    const symbolizer = new Symbolizer();
    await symbolizer.add(skeletons(version, 3));
    await symbolizer.add(bytes, { buildId: BUILD_ID });
    for (let i = 0; i < 3; i++) assertEquals(namesAt(symbolizer, 0x1010 + 0x100 * i), [`f${i}_in`, `f${i}`]);
    assert(index.length > 0);
  });

  Deno.test(`hand-made DWARF ${version} package: malformed indices and units are told, the others answer`, async () => {
    const parts = [0, 1, 2].map((i) => dwoParts(version, i, `f${i}`));
    const bad = { ...parts[1], info: parts[1].info.slice().fill(9, 4, 6) };
    const symbolizer = new Symbolizer();
    await symbolizer.add(skeletons(version, 3));
    await symbolizer.add(packaged(version, [parts[0], bad, parts[2]]).bytes, { buildId: BUILD_ID });
    assertEquals([0, 1, 2].map((i) => namesAt(symbolizer, 0x1010 + 0x100 * i)[0]), ["f0_in", "?", "f2_in"]);
    const cases: [string, (index: Uint8Array) => void][] = [
      ["version", (index) => index[0] = 7],
      ["unit_count", (index) => index[11] = 9],
      ["unit_count", (index) => index[15] = 9],
    ];
    for (const [field, change] of cases) {
      const broken = new Symbolizer();
      await broken.add(skeletons(version, 3));
      const { problems } = await broken.add(packaged(version, parts, change).bytes, { buildId: BUILD_ID });
      assertEquals(problems.map((problem) => problem.field), [`.debug_cu_index ${field}`]);
      assertEquals(framesAt(broken, 0x1010), ["? /d/x.c:7:0"]);
    }
  });
}

/** A .dwp package of .dwo files; `change` may damage the index. */
function packaged(
  version: number,
  parts: ReturnType<typeof dwoParts>[],
  change: (index: Uint8Array) => void = () => {},
): { bytes: Uint8Array; index: Uint8Array } {
  const keys = version < 5
    ? [["info", 1], ["abbrev", 3], ["strOffsets", 6]] as const
    : [["info", 1], ["abbrev", 3], ["strOffsets", 6], ["rnglists", 8]] as const;
  // Strings are shared by all: offsets into them move.
  let strBefore = 0;
  const moved = parts.map((one) => {
    const header = version < 5 ? 0 : 8;
    const strOffsets = one.strOffsets.slice();
    const view = new DataView(strOffsets.buffer);
    for (let at = header; at < strOffsets.length; at += 4) {
      view.setUint32(at, view.getUint32(at, true) + strBefore, true);
    }
    strBefore += one.str.length;
    return { ...one, strOffsets };
  });
  const slots = 8;
  const ids: number[] = [];
  const rows: number[] = [];
  for (let slot = 0; slot < slots; slot++) {
    // Rows in another order than the units', in every other slot.
    const row = slot % 2 === 1 && slot < 2 * parts.length ? parts.length - (slot >> 1) : 0;
    ids.push(...(row === 0 ? int(0, 8) : int(0x1122_3344_0000_0000n + BigInt(row - 1), 8)));
    rows.push(...int(row, 4));
  }
  const at = Object.fromEntries(keys.map(([key]) => [key, 0]));
  const offsets: number[] = [];
  const sizes: number[] = [];
  for (const one of moved) {
    for (const [key] of keys) {
      const { length } = one[key] ?? new Uint8Array(0);
      offsets.push(...int(at[key], 4));
      sizes.push(...int(length, 4));
      at[key] += length;
    }
  }
  const index = Uint8Array.from([
    ...[
      ...(version < 5 ? int(2, 4) : [5, 0, 0, 0]),
      ...int(keys.length, 4),
      ...int(parts.length, 4),
      ...int(slots, 4),
    ],
    ...[...ids, ...rows, ...keys.flatMap(([, id]) => int(id, 4)), ...offsets, ...sizes],
  ]);
  change(index);
  const all = Object.fromEntries(
    [...keys.map(([key]) => key), "str" as const].map((
      key,
    ) => [key, concat(...moved.map((one) => one[key] ?? new Uint8Array(0)))]),
  );
  assert(uleb(slots).length === 1);
  return { bytes: dwarfElf({ ...all, cuIndex: index }, { split: true }), index };
}
