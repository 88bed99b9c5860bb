// Owns the tests of Symbolizer: files of one program together, reasons, batches against single frames, and limits.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { assert, assertEquals, assertLess, assertRejects, assertThrows } from "@std/assert";
import { parsePhdrs, readBuildId, RESOLVE_REASONS, Symbolizer } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import * as dw from "../src/dwarf/constants.ts";
import { type Attribute, BUILD_ID, buildInfo, die, dwarfElf, shown } from "./dwarf_builder.ts";
import { buildElf } from "./elf_builder.ts";

const SOURCE = `
static int data = 3;
static inline __attribute__((always_inline)) int inner(int x) { return x * data; }
static inline __attribute__((always_inline)) int middle(int x) { return inner(x) ^ inner(x + 1); }
static __attribute__((noinline)) int helper(int x) { return middle(x) + data; }
__attribute__((noinline)) int exported(int x) { return helper(x) + 1; }
int main(int argc, char **argv) { return exported(argc) + inner(argc); }
`;

const TOOLS = ["gcc", "nm", "strip", "objcopy", "dwz", "xz"];
const missing = TOOLS.filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
if (missing.length > 0) console.log(`skipped: not installed: ${missing}`);

/** What can be made of one program. */
interface Files {
  whole: Uint8Array;
  stripped: Uint8Array;
  debug: Uint8Array;
  compressed: Uint8Array;
  mini: Uint8Array;
  dwz: Uint8Array;
  alternate: Uint8Array;
  /** File offset of each byte of the functions. */
  offsets: bigint[];
  id: Uint8Array;
}

let files: Files | undefined;

/** Built once, at the first call. */
function built(): Files {
  if (files !== undefined) return files;
  const directory = mkdtempSync(`${tmpdir()}/stackmap-`);
  const run = (tool: string, ...args: string[]): string => {
    const { status, stderr, stdout } = spawnSync(tool, args, { encoding: "utf8", cwd: directory, timeout: 30_000 });
    if (status !== 0) throw new Error(`${tool} ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  try {
    writeFileSync(`${directory}/a.c`, SOURCE);
    run("gcc", "-O2", "-g", "-rdynamic", "-Wl,--build-id=sha1", "-o", "whole", "a.c");
    run("gcc", "-O2", "-g", "-DOTHER", "-Wl,--build-id=sha1", "-o", "second", "a.c");
    run("objcopy", "--only-keep-debug", "whole", "debug");
    run("strip", "-o", "stripped", "whole");
    run("objcopy", "--compress-debug-sections=zlib", "whole", "compressed");
    // Fedora's recipe: the symbols that .dynsym has not, without anything else, packed by xz.
    run(
      "objcopy",
      "-S",
      "--remove-section",
      ".gdb_index",
      "--remove-section",
      ".comment",
      "--keep-symbol=helper",
      "debug",
      "mini",
    );
    run("xz", "mini");
    run("objcopy", "--add-section", ".gnu_debugdata=mini.xz", "stripped", "minidebug");
    run("cp", "whole", "dwz1");
    run("dwz", "-m", "alternate", "-M", "alternate", "dwz1", "second");
    const read = (name: string): Uint8Array => readFileSync(`${directory}/${name}`);
    const whole = read("whole");
    const load = parsePhdrs(whole).find(({ p_type, p_flags }) => p_type === 1 && (p_flags & 1) !== 0)!;
    const offsets = [
      ...run("nm", "-S", "whole").matchAll(/^([0-9a-f]+) ([0-9a-f]+) [tT] (helper|exported|main)$/gm),
    ]
      .flatMap(([, address, size]) =>
        Array.from(
          { length: Number(`0x${size}`) },
          (_, i) => BigInt(`0x${address}`) + BigInt(i) - load.p_vaddr + load.p_offset,
        )
      );
    files = {
      ...{ whole, stripped: read("stripped"), debug: read("debug"), compressed: read("compressed"), offsets },
      ...{ mini: read("minidebug"), dwz: read("dwz1"), alternate: read("alternate"), id: readBuildId(whole)! },
    };
    return files;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function lines({ offsets, id }: Files, symbolizer: Symbolizer): string[] {
  return offsets.map((offset) => {
    const { frames, reason, address } = symbolizer.lookup(id, offset);
    return `${address} ${reason ?? frames.map(shown).join(" | ")}`;
  });
}

async function linesOf(all: Files, ...added: Uint8Array[]): Promise<string[]> {
  const symbolizer = new Symbolizer();
  for (const bytes of added) await symbolizer.add(bytes);
  return lines(all, symbolizer);
}

Deno.test({
  name: "a program, its debug file alone, both in either order, and compressed answer alike",
  ignore: missing.length > 0,
  async fn() {
    const all = built();
    const expected = await linesOf(all, all.whole);
    assert(expected.some((line) => /inner .* ← \| .*helper /.test(line)), expected.join("\n"));
    assertEquals(await linesOf(all, all.debug), expected);
    assertEquals(await linesOf(all, all.stripped, all.debug), expected);
    assertEquals(await linesOf(all, all.debug, all.stripped), expected);
    assertEquals(await linesOf(all, all.compressed), expected);
    const alone = new Symbolizer();
    await alone.add(all.debug);
    assertEquals(alone.lookup(all.id, all.offsets[0]).reconstructed, true);
    await alone.add(all.stripped);
    assertEquals(alone.lookup(all.id, all.offsets[0]).reconstructed, false);
  },
});

Deno.test({
  name: "mini-debug symbols name what .dynsym leaves out; without them it is stripped",
  ignore: missing.length > 0,
  async fn() {
    const all = built();
    const mini = new Symbolizer();
    await mini.add(all.mini);
    const found = all.offsets.map((offset) => mini.lookup(all.id, offset).frames[0]);
    const helper = found.find((frame) => frame?.name === "helper");
    assertEquals([helper?.source, helper?.file], [".gnu_debugdata", undefined]);
    assertEquals(found.find((frame) => frame?.name === "exported")?.source, ".dynsym");
    const stripped = new Symbolizer();
    await stripped.add(all.stripped);
    const reasons = new Set(all.offsets.map((offset) => stripped.lookup(all.id, offset).reason));
    assertEquals([...reasons].sort(), ["stripped", undefined]);
  },
});

Deno.test({
  name: "a file of dwz -m answers with its alternate, given at once or later; a wrong one is told",
  ignore: missing.length > 0,
  async fn() {
    const all = built();
    const expected = await linesOf(all, all.whole);
    const once = new Symbolizer();
    const result = await once.add(all.dwz, { alternate: all.alternate });
    assertEquals([result.debugInfo, result.problems.length], [true, 0]);
    assertEquals(result.debugAltLink?.buildId, readBuildId(all.alternate));
    assertEquals(lines(all, once), expected);
    const later = new Symbolizer();
    await later.add(all.dwz);
    assert(lines(all, later).some((line, i) => line !== expected[i]));
    const wrong = await later.add(all.dwz, { alternate: all.whole });
    assertEquals(wrong.problems.map(({ field }) => field), [".gnu_debugaltlink build id"]);
    await later.add(all.dwz, { alternate: all.alternate });
    assertEquals(lines(all, later), expected);
  },
});

const CODE: Attribute[] = [[dw.DW_AT_low_pc, dw.DW_FORM_addr, 0x1000], [dw.DW_AT_high_pc, dw.DW_FORM_data4, 0x100]];

/** A program with one function `name` from 0x1000 to 0x1100, and an id of its own. */
function small(name: string, id: Uint8Array): Uint8Array {
  const one = die(dw.DW_TAG_subprogram, [...CODE, [dw.DW_AT_name, dw.DW_FORM_string, name]]);
  return dwarfElf(buildInfo([{ root: die(dw.DW_TAG_compile_unit, CODE, one) }]), { buildId: id });
}

const idOf = (i: number): Uint8Array => new Uint8Array(20).fill(i);

/** A unit with code from 0x1000 on, whose function has an abbreviation that is not there. */
function damagedDwarf(buildId: Uint8Array): Uint8Array {
  const range = (size: number): Attribute[] => [
    [dw.DW_AT_low_pc, dw.DW_FORM_addr, 0x1000],
    [dw.DW_AT_high_pc, dw.DW_FORM_data4, size],
  ];
  const root = die(dw.DW_TAG_compile_unit, range(0x1000), die(dw.DW_TAG_subprogram, range(16)));
  const { info, abbrev } = buildInfo([{ root }]);
  // Its code is the byte before 12 bytes of attributes and the null entry that ends the children.
  const broken = info.slice();
  broken[broken.length - 14] = 0x7f;
  return dwarfElf({ info: broken, abbrev }, { buildId });
}

Deno.test("each reason is given where it holds", async () => {
  const segment = (p_flags: number) => ({
    ...{ p_type: 1, p_flags, p_vaddr: 0x1000n, p_offset: 0n, p_filesz: 0x1000n, p_memsz: 0x1000n },
  });
  const elsewhere = { ...segment(5), p_vaddr: 0x2_0000n, p_offset: 0x1_0000n };
  const text = { name: ".text", sh_type: 1, sh_flags: 6n, sh_addr: 0x1000n, sh_size: 0x1000n };
  const symbols = [{ name: "f", st_value: 0x1800n, st_size: 16n }];
  const malformed = [{ name: ".symtab", sh_type: 2, sh_link: 2, sh_offset: 1n << 40n, sh_size: 48n }, {
    ...{ name: ".strtab", sh_type: 3, contents: new Uint8Array(2) },
  }];
  const programs: Record<string, [Uint8Array, bigint]> = {
    "no-segments": [buildElf({ buildId: idOf(1) }), 0n],
    "outside-every-segment": [buildElf({ buildId: idOf(2), segments: [segment(5)] }), 0x10_0000n],
    "not-an-executable-mapping": [buildElf({ buildId: idOf(3), segments: [segment(4), elsewhere] }), 0x10n],
    "no-symbols": [buildElf({ buildId: idOf(4), segments: [segment(5)] }), 0x10n],
    "malformed-symbols": [buildElf({ buildId: idOf(5), segments: [segment(5)], sections: malformed }), 0x10n],
    "no-symbol-here": [buildElf({ buildId: idOf(6), segments: [segment(5)], sections: [text], symbols }), 0x10n],
    "stripped": [
      buildElf({ buildId: idOf(7), segments: [segment(5)], sections: [text], symbols, dynamic: true }),
      0x10n,
    ],
    "evicted": [small("gone", idOf(8)), 0x10n],
    "malformed-debug-info": [damagedDwarf(idOf(9)), 0x10n],
  };
  const symbolizer = new Symbolizer();
  const reasons = Object.keys(programs);
  for (const [bytes] of Object.values(programs)) await symbolizer.add(bytes);
  assertEquals(symbolizer.evict(idOf(8)), true);
  reasons.forEach((reason, i) => {
    const found = symbolizer.lookup(idOf(i + 1), programs[reason][1]);
    assertEquals([found.reason, found.frames], [reason as typeof found.reason, []]);
    assertEquals(found.problem !== undefined, reason.startsWith("malformed"));
  });
  assertEquals(symbolizer.lookup(idOf(99), 0n).reason, "no-such-binary");
  // The same in columns, and a frame without an id.
  const columns = symbolizer.lookupColumns({
    idIndex: Int32Array.from([...reasons.map((_, i) => i), reasons.length, -1]),
    offsetHi: new Uint32Array(reasons.length + 2),
    offsetLo: Uint32Array.from([...reasons.map((reason) => Number(programs[reason][1])), 0, 0]),
    buildIds: Uint8Array.from([...reasons.map((_, i) => i + 1), 99].flatMap((i) => [...idOf(i)])),
  });
  const all = [...reasons, "no-such-binary", "no-build-id"];
  assertEquals(all.map((_, i) => columns.reason(i) as string), all);
  // That of GSYM files read by ranges is in symbolizer_gsym_test.ts.
  assertEquals(new Set(["resolved", "not-loaded", ...all]), new Set<string>(RESOLVE_REASONS));
  assertThrows(() => columns.frame(0), RangeError);
});

Deno.test("a return address is looked up one byte earlier, and reported as it is", async () => {
  const symbolizer = new Symbolizer();
  await symbolizer.add(small("f", BUILD_ID));
  const at = (offset: bigint, returnAddress: boolean) => {
    const { frames, address } = symbolizer.lookup(BUILD_ID, offset, { returnAddress });
    return [frames[0]?.name, address];
  };
  assertEquals(at(0xffn, false), ["f", 0x10ffn]);
  assertEquals(at(0x100n, false), [undefined, 0x1100n]);
  assertEquals(at(0x100n, true), ["f", 0x1100n]);
  assertEquals(symbolizer.lookup(BUILD_ID, 0n, { returnAddress: true }).reason, "outside-every-segment");
});

Deno.test("lookupColumns() answers as lookup() does, for random frames of several programs with duplicates", async () => {
  const seed = 5;
  console.log(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const symbolizer = new Symbolizer();
  for (let i = 1; i <= 3; i++) await symbolizer.add(small(`f${i}`, idOf(i)));
  if (missing.length === 0) await symbolizer.add(built().whole);
  const ids = [idOf(1), idOf(2), idOf(3), idOf(4), missing.length === 0 ? built().id : idOf(5)];
  const count = 3000;
  const idIndex = new Int32Array(count);
  const offsetLo = new Uint32Array(count);
  const first: number[] = [];
  for (let i = 0; i < count; i++) {
    if (i === 0 || random.chance(0.2)) first.push(i);
    const again = i > 0 && random.chance(0.3) ? random.below(i) : -1;
    idIndex[i] = again >= 0 ? idIndex[again] : random.below(ids.length + 1) - 1;
    const offset = missing.length === 0 && idIndex[i] === 4
      ? Number(built().offsets[random.below(built().offsets.length)])
      : random.below(0x140);
    offsetLo[i] = again >= 0 ? offsetLo[again] : offset;
  }
  const buildIds = Uint8Array.from(ids.flatMap((id) => [...id]));
  const columns = symbolizer.lookupColumns({
    ...{ idIndex, offsetLo, offsetHi: new Uint32Array(count), buildIds, first: Uint32Array.from(first) },
  });
  const innermost = new Set(first);
  for (let i = 0; i < count; i++) {
    if (idIndex[i] < 0) {
      assertEquals(columns.reason(i), "no-build-id");
      continue;
    }
    const one = symbolizer.lookup(ids[idIndex[i]], BigInt(offsetLo[i]), { returnAddress: !innermost.has(i) });
    assertEquals([columns.frames(i), columns.reason(i)], [one.frames, one.reason], `frame ${i}`);
  }
  assertLess(columns.length, count);
});

Deno.test("over its limit the symbolizer lets go of what was used least recently; columns and re-adding go on", async () => {
  const sizeOf = async () => {
    const one = new Symbolizer();
    await one.add(small("f1", idOf(1)));
    one.lookup(idOf(1), 0x10n);
    return one.retainedBytes;
  };
  const size = await sizeOf();
  assert(size > 0);
  const symbolizer = new Symbolizer({ maxBytes: 3 * size });
  const alive = () => symbolizer.binaries.map(({ evicted }) => !evicted);
  const name = (i: number) => symbolizer.lookup(idOf(i), 0x10n).frames[0]?.name;
  for (const i of [1, 2, 3]) {
    await symbolizer.add(small(`f${i}`, idOf(i)));
    assertEquals(name(i), `f${i}`);
  }
  const frames = {
    idIndex: Int32Array.of(0, 1),
    offsetHi: new Uint32Array(2),
    offsetLo: Uint32Array.of(0x10, 0x20),
    buildIds: Uint8Array.from([...idOf(1), ...idOf(3)]),
  };
  // 1 and 3 are used: 2 is the one to go.
  const columns = symbolizer.lookupColumns(frames);
  await symbolizer.add(small("f4", idOf(4)));
  assertEquals(name(4), "f4");
  assertEquals(alive(), [true, false, true, true]);
  assertEquals(symbolizer.lookup(idOf(2), 0x10n).reason, "evicted");
  symbolizer.evict(idOf(1));
  symbolizer.evict(idOf(3));
  assertEquals(columns.frames(0)[0].name, "f1");
  assertEquals(columns.frames(1)[0].name, "f3");
  assertEquals((await symbolizer.add(small("f2", idOf(2)))).status, "added");
  assertEquals(name(2), "f2");
  assertLess(symbolizer.retainedBytes, 3 * size + 1);
  // What one call needs is never let go of by it.
  const tight = new Symbolizer({ maxBytes: 1 });
  for (const i of [1, 3]) await tight.add(small(`f${i}`, idOf(i)));
  assertEquals(tight.binaries.map(({ evicted }) => evicted), [true, false]);
  assertEquals(tight.lookupColumns(frames).frames(1)[0].name, "f3");
});

Deno.test("options that can't be, and files that are none, are refused", async () => {
  assertThrows(() => new Symbolizer({ maxBytes: 0 }), RangeError);
  assertThrows(() => new Symbolizer({ maxSectionBytes: NaN }), RangeError);
  await assertRejects(() => new Symbolizer().add(new Uint8Array(9)));
  const empty = new Symbolizer().add(small("f", BUILD_ID), { buildId: new Uint8Array(0) });
  await assertRejects(() => empty, RangeError);
});

Deno.test("files that are added at the same time don't push each other out before they are there", async () => {
  const symbolizer = new Symbolizer({ maxBytes: 1 });
  const results = await Promise.all([
    symbolizer.add(small("one", idOf(21))),
    symbolizer.add(small("two", idOf(22))),
  ]);
  assertEquals(results.map(({ status }) => status), ["added", "added"]);
  // One byte is room for one, the last.
  assertEquals(symbolizer.binaries.filter(({ evicted }) => !evicted).length, 1);
});

/** A program with one function, at offset and address 0x1800. */
function oneFunction(id: Uint8Array): Uint8Array {
  return buildElf({
    buildId: id,
    segments: [{ p_type: 1, p_flags: 5, p_vaddr: 0n, p_offset: 0n, p_filesz: 0x4000n, p_memsz: 0x4000n }],
    sections: [{ name: ".text", sh_type: 1, sh_flags: 6n, sh_addr: 0x1000n, sh_size: 0x1000n }],
    symbols: [{ name: "f", st_value: 0x1800n, st_size: 16n }],
  });
}

Deno.test("an address that is not of 64 bits is outside every segment; return addresses are looked up before", async () => {
  const symbolizer = new Symbolizer();
  await symbolizer.add(oneFunction(idOf(23)));
  const at = 0x1800n;
  assertEquals(symbolizer.lookupAddress(idOf(23), at).frames[0]?.name, "f");
  for (const address of [-1n, 2n ** 64n, 2n ** 64n + at]) {
    assertEquals(symbolizer.lookupAddress(idOf(23), address).reason, "outside-every-segment");
  }
  assertEquals(symbolizer.lookupAddress(idOf(23), at, { returnAddress: true }).frames, []);
  assertEquals(symbolizer.lookupAddress(idOf(23), at + 1n, { returnAddress: true }).frames[0]?.name, "f");
});

Deno.test("equal frames share rows, whatever other binaries and return addresses stand between them", async () => {
  const symbolizer = new Symbolizer();
  for (const id of [24, 25]) await symbolizer.add(oneFunction(idOf(id)));
  const count = 1000;
  const buildIds = new Uint8Array(40);
  buildIds.set(idOf(24));
  buildIds.set(idOf(25), 20);
  const answer = symbolizer.lookupColumns({
    idIndex: Int32Array.from({ length: count }, (_, i) => i & 1),
    offsetHi: new Uint32Array(count),
    offsetLo: new Uint32Array(count).fill(0x1801),
    first: Uint32Array.from({ length: count / 4 }, (_, i) => 4 * i),
    buildIds,
  });
  assertEquals(answer.depth.every((depth) => depth === 1), true);
  // Two binaries; of the first both the innermost frame and return addresses.
  assertEquals(answer.length, 3);
});

Deno.test("a .dwo file that was given before is a duplicate and is not kept again", async () => {
  const split = dwarfElf(
    buildInfo([{ type: dw.DW_UT_split_compile, id: 5n, root: die(dw.DW_TAG_compile_unit, CODE) }]),
    { split: true },
  );
  const skeleton = dwarfElf(
    buildInfo([{ type: dw.DW_UT_skeleton, id: 5n, root: die(dw.DW_TAG_skeleton_unit, CODE) }]),
    { buildId: idOf(31) },
  );
  const symbolizer = new Symbolizer();
  await symbolizer.add(skeleton);
  const first = await symbolizer.add(split, { buildId: idOf(31) });
  const kept = symbolizer.retainedBytes;
  const again = await symbolizer.add(split, { buildId: idOf(31) });
  assertEquals([first.debugInfo, first.status, again.debugInfo, again.status], [
    true,
    "merged",
    false,
    "duplicate",
  ]);
  assertEquals(symbolizer.retainedBytes, kept);
});

Deno.test("an alternate file without an id is none that a link can mean", async () => {
  const link = { name: ".gnu_debugaltlink", sh_type: 1, contents: Uint8Array.of(0x61, 0, 1, 2, 3, 4) };
  const one = die(dw.DW_TAG_subprogram, [...CODE, [dw.DW_AT_name, dw.DW_FORM_string, "f"]]);
  const { info, abbrev } = buildInfo([{ root: die(dw.DW_TAG_compile_unit, CODE, one) }]);
  const sections = [".debug_info", ".debug_abbrev"].map((name, i) => ({
    ...{ name, sh_type: 1, contents: [info, abbrev][i] },
  }));
  const symbolizer = new Symbolizer();
  const { problems, debugAltLink } = await symbolizer.add(
    buildElf({ buildId: idOf(32), sections: [...sections, link] }),
    { alternate: buildElf({ sections }) },
  );
  assertEquals(debugAltLink?.buildId, Uint8Array.of(1, 2, 3, 4));
  assertEquals(problems.map(({ field }) => field), [".gnu_debugaltlink build id"]);
});

Deno.test("what is malformed is asked for where a frame was looked up: before a return address", async () => {
  const symbolizer = new Symbolizer();
  await symbolizer.add(damagedDwarf(idOf(33)));
  // The unit is from 0x1000 to 0x2000.
  const addresses = { hi: new Uint32Array(3), lo: Uint32Array.of(0x1000, 0x1001, 0x2000) };
  const reasons = (returnAddress: boolean) => {
    const answer = symbolizer.lookupAddresses(idOf(33), addresses, { returnAddress });
    return [0, 1, 2].map((i) => `${answer.reason(i)} ${answer.problem(i) !== undefined}`);
  };
  const [damaged, none] = ["malformed-debug-info true", "no-symbols false"];
  assertEquals(reasons(false), [damaged, damaged, none]);
  assertEquals(reasons(true), [none, damaged, damaged]);
});
