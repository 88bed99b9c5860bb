// Owns tests of reading GSYM files in memory: hand-made ones of both versions and byte orders.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FormatError, GsymReader, isGsym } from "../mod.ts";
import { lookupOf } from "../src/gsym/lookup.ts";
import { Bytes, FORMATS, functionInfo, gsymFile, sampleFile, stringTable } from "./gsym_builder.ts";

const BASE = 0x40_0000n;

for (const format of FORMATS) {
  const title = `version ${format.version}, ${format.littleEndian ? "little" : "big"}-endian`;

  Deno.test(`a GSYM file of ${title}: header, lookups, functions`, async (t) => {
    const bytes = sampleFile(format);
    const gsym = new GsymReader(bytes);
    await t.step("header", () => {
      assert(isGsym(bytes));
      assertEquals(gsym.version, format.version);
      assertEquals(gsym.littleEndian, format.littleEndian);
      assertEquals(gsym.baseAddress, BASE);
      assertEquals(gsym.functionCount, 5);
      assertEquals(gsym.uuid, Uint8Array.from({ length: 16 }, (_, i) => i + 1));
      assertEquals([gsym.segments, gsym.problem], [undefined, undefined]);
      assertEquals([0, 1, 2, 3, 4].map((i) => gsym.functionAddress(i) - BASE), [
        0n,
        0x200n,
        0x200n,
        0x300n,
        0x400n,
      ]);
      assertEquals(gsym.fileCount, 4);
      assertEquals([0, 1, 2, 3].map((i) => gsym.file(i)), [undefined, "/src/a.c", "b.h", "C:\\win\\w.c"]);
      assertThrows(() => gsym.functionAddress(5), RangeError);
      assertThrows(() => gsym.file(4), FormatError);
    });
    const frames = (offset: number) =>
      gsym.lookup(BASE + BigInt(offset))?.frames.map(({ name, file, line, offset: at }) =>
        `${name}+${at} ${file}:${line}`
      );
    await t.step("lookups", () => {
      assertEquals(gsym.lookup(BASE - 1n), undefined);
      assertEquals(frames(0), ["outer+0 /src/a.c:10"]);
      assertEquals(frames(4), ["mid+0 /src/a.c:10", "outer+4 /src/a.c:11"]);
      assertEquals(frames(12), ["inner+10 /src/a.c:12", "outer+12 /src/a.c:13"], "the second sibling");
      assertEquals(frames(300), ["mid+296 /src/a.c:12", "outer+300 /src/a.c:11"]);
      assertEquals(frames(320), ["inner+19 b.h:5", "mid+316 C:\\win\\w.c:200", "outer+320 /src/a.c:11"]);
      assertEquals(frames(350), ["outer+350 b.h:5"]);
      assertEquals(frames(400), undefined);
      assertEquals(frames(0x20f), ["plain+15 undefined:undefined"], "the first of equals that reaches so far");
      assertEquals(frames(0x210), ["twin+16 undefined:undefined"]);
      assertEquals(frames(0x240), undefined);
      assertEquals(frames(0x300), ["plain+0 undefined:undefined"], "before the first row");
      assertEquals(frames(0x304), ["plain+4 /src/a.c:3"]);
      assertEquals(frames(0x12345678), ["end+305418872 undefined:undefined"], "size 0 has no end");
      assertEquals(gsym.lookup(BASE + 0x210n), {
        start: BASE + 0x200n,
        size: 64,
        frames: [{ name: "twin", file: undefined, line: undefined, offset: 16 }],
      });
    });
    await t.step("functions", () => {
      const all = [...gsym];
      assertEquals(all.map(({ name, size }) => [name, size]), [
        ["outer", 400],
        ["plain", 16],
        ["twin", 64],
        ["plain", 8],
        ["end", 0],
      ]);
      const [outer] = all;
      assertEquals(outer.lines, {
        length: 3,
        offset: Float64Array.of(0, 5, 305),
        file: Uint32Array.of(1, 1, 2),
        line: Uint32Array.of(10, 12, 5),
      });
      assertEquals(outer.inlined, [
        { depth: 0, ranges: [0, 400], name: "", callFile: 0, callLine: 0 },
        { depth: 1, ranges: [4, 12, 300, 350], name: "mid", callFile: 1, callLine: 11 },
        { depth: 2, ranges: [301, 321], name: "inner", callFile: 3, callLine: 200 },
        { depth: 1, ranges: [2, 102], name: "inner", callFile: 1, callLine: 13 },
      ]);
      assertEquals(outer.merged?.map(({ name, address }) => [name, address]), [["twin", BASE]]);
      assertEquals(outer.callSites, [{ returnOffset: 0x1_0000_0004n, flags: 2, matchRegex: ["^call$", "mid"] }]);
      assertThrows(() => gsym.function(-1), RangeError);
    });
  });

  Deno.test(`addresses of every size are found in a file of ${title}`, () => {
    const { strings, at } = stringTable("f");
    for (const addrOffSize of [1, 2, 4, 8]) {
      const top = (1n << BigInt(8 * addrOffSize)) - 32n;
      const offsets = [0n, 3n, 64n, top, top + 16n];
      const base = addrOffSize === 8 ? 0n : 0xffff_ffff_0000_0000n;
      const gsym = new GsymReader(gsymFile({
        ...format,
        base,
        addrOffSize,
        functions: offsets.map((offset) => [offset, functionInfo(format, 8, at.f, [])]),
        strings,
        files: [[0, 0]],
        uuid: new Uint8Array(0),
      }));
      for (const [index, offset] of offsets.entries()) {
        const start = base + offset;
        assertEquals(gsym.functionAddress(index), start);
        const end = index === 0 ? 3n : 8n;
        for (const distance of [0n, end - 1n]) {
          const found = gsym.lookup(start + distance);
          assertEquals([found?.start, found?.frames[0].offset], [start, Number(distance)]);
        }
        if (index > 0) assertEquals(gsym.lookup(start + 8n), undefined);
      }
    }
  });

  Deno.test(`calls inlined twenty thousand deep have 128 frames in a file of ${title}`, () => {
    const { strings, at } = stringTable("f", "g", "last", "a.c");
    const depth = 20_000;
    const inline = new Bytes(format).uleb(1, 0, 64).bytes(1).strp(0).uleb(0, 0);
    for (let i = 1; i < depth; i++) inline.uleb(1, 0, 64).bytes(1).strp(at.g).uleb(1, i);
    inline.uleb(1, 0, 64).bytes(0).strp(at.last).uleb(1, depth);
    for (let i = 0; i < depth; i++) inline.uleb(0);
    const lines = new Bytes(format).sleb(0, 0).uleb(7).bytes(4, 0);
    const gsym = new GsymReader(gsymFile({
      ...format,
      base: 0n,
      addrOffSize: 1,
      functions: [[0, functionInfo(format, 64, at.f, [[1, lines], [2, inline]])]],
      strings,
      files: [[0, 0], [0, at["a.c"]]],
      uuid: new Uint8Array(0),
    }));
    const { frames } = gsym.lookup(5n)!;
    assertEquals(frames.length, 128);
    assertEquals([frames[0].name, frames[0].line], ["last", 7]);
    assertEquals([frames[1].name, frames[1].line], ["g", depth]);
    assertEquals([frames[126].name, frames[126].line], ["g", depth - 125]);
    assertEquals([frames[127].name, frames[127].line], ["f", 1]);
    assertEquals(gsym.function(0).inlined!.length, depth + 1);
  });
}

const format = FORMATS[0];
const { strings, at } = stringTable("f", "g", "a.c");
/** A file with one function of these parts. */
function one(parts: [number, Bytes][], functions = 1): Uint8Array {
  return gsymFile({
    ...format,
    base: 0n,
    addrOffSize: 4,
    functions: Array.from({ length: functions }, (_, i) => [64 * i, functionInfo(format, 64, at.f, parts)]),
    strings,
    files: [[0, 0], [0, at["a.c"]]],
    uuid: new Uint8Array(0),
  });
}

Deno.test("what is malformed in a function is told, and what is not is answered", async (t) => {
  const bytes = () => new Bytes(format);
  const good = bytes().sleb(0, 0).uleb(7).bytes(4, 0);
  const cases: [string, [number, Bytes][], (string | undefined)[]][] = [
    ["a line table without an end", [[1, bytes().sleb(0, 0).uleb(7).bytes(4)]], ["f:7"]],
    ["a special opcode without a range", [[1, bytes().sleb(1, 0).uleb(7).bytes(4, 0)]], ["f:undefined"]],
    ["a number that does not end", [[1, bytes().bytes(...new Array(40).fill(0x80))]], ["f:undefined"]],
    ["a line of a file that is not there", [[1, bytes().sleb(0, 0).uleb(7).bytes(1, 9, 4, 0)]], ["f:7"]],
    ["inlined calls cut short", [[1, good], [2, bytes().uleb(1, 0, 64).bytes(1).strp(0)]], ["f:7"]],
    ["more ranges than bytes", [[1, good], [2, bytes().uleb(2 ** 40, 0, 64)]], ["f:7"]],
    [
      "a call in a file that is not there",
      [[1, good], [2, bytes().uleb(1, 0, 64).bytes(0).strp(at.g).uleb(5, 5)]],
      [
        "f:7",
      ],
    ],
    ["a name past the strings", [[1, good], [2, bytes().uleb(1, 0, 64).bytes(0).strp(9999).uleb(1, 5)]], [
      ":7",
      "f:5",
    ]],
    ["too many parts", Array.from({ length: 70 }, () => [9, bytes()] as [number, Bytes]), []],
  ];
  for (const [name, parts, expected] of cases) {
    await t.step(name, () => {
      const gsym = new GsymReader(one(parts));
      const error = assertThrows(() => gsym.lookup(3n), FormatError);
      assert(error.offset < one(parts).length);
      const lookup = lookupOf(gsym);
      const count = lookup.lookup(0, 3);
      assert(lookup.problem instanceof FormatError);
      const frames = Array.from(
        { length: count },
        (_, i) => `${lookup.functions.names[lookup.name(i)]}:${lookup.line(i) < 0 ? undefined : lookup.line(i)}`,
      );
      assertEquals(frames, expected);
    });
  }
});

Deno.test("a header that can't be is refused where it is wrong", () => {
  const refused = (change: (bytes: Uint8Array) => void, field: string, which = 0): void => {
    const bytes = sampleFile(FORMATS[which]);
    change(bytes);
    const error = assertThrows(() => new GsymReader(bytes), FormatError);
    assertEquals(error.field, field);
  };
  refused((bytes) => bytes[0] = 0, "Magic");
  refused((bytes) => bytes[4] = 3, "Version");
  refused((bytes) => bytes[6] = 3, "AddrOffSize");
  refused((bytes) => bytes[7] = 21, "UUIDSize");
  refused((bytes) => bytes[19] = 0xff, "AddrOffsets");
  refused((bytes) => bytes[23] = 0xff, "StrtabOffset");
  refused((bytes) => bytes[7] = 1, "StrTableEncoding", 2);
  refused((bytes) => bytes[20] = 9, "FunctionInfo", 2);
  refused((bytes) => bytes[31] = 0xff, "GlobalData.FileOffset", 2);
  refused((bytes) => bytes[19] = 0x0f, "AddrOffsets", 2);
  assertEquals(isGsym(Uint8Array.of(0x4d, 0x59, 0x53)), false);
});

Deno.test("a lookup takes time in proportion to one function, whatever the file says", () => {
  // Line tables that go nowhere, 4,000 functions at one address that reach nowhere.
  const idle = new Bytes(format).sleb(0, 0).uleb(7).append(new Uint8Array(200_000).fill(4)).bytes(0);
  const gsym = new GsymReader(one([[1, idle]]));
  assertEquals(gsym.lookup(63n)?.frames[0].line, 7);
  const equal = gsymFile({
    ...format,
    base: 0n,
    addrOffSize: 1,
    functions: Array.from({ length: 4000 }, () => [0, functionInfo(format, 1, at.f, [])]),
    strings,
    files: [[0, 0]],
    uuid: new Uint8Array(0),
  });
  const start = performance.now();
  const reader = new GsymReader(equal);
  for (let i = 0; i < 100; i++) reader.lookup(9n);
  assert(performance.now() - start < 2000);
});
