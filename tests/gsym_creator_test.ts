// Owns tests of GsymCreator: its bytes against those worked out by hand from the format's definition, and its
// rules.
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  GsymCreator,
  type GsymCreatorOptions,
  type GsymFunction,
  type GsymInlinedCall,
  type Phdr,
} from "../mod.ts";
import { appendixSize, decodeAppendix } from "../src/gsym/appendix.ts";
import { lineWindow } from "../src/gsym/encode_lines.ts";

const u16 = (value: number): number[] => [value & 0xff, value >>> 8];
const u32 = (value: number): number[] => [...u16(value & 0xffff), ...u16(value >>> 16)];
const u64 = (value: number): number[] => [...u32(value), 0, 0, 0, 0];
const zeros = (count: number): number[] => new Array(count).fill(0);
const text = (value: string): number[] => [...new TextEncoder().encode(value)];

const MAIN: GsymFunction = {
  address: 0x1000n,
  size: 0x20,
  name: "main",
  lines: [
    { address: 0x1000n, file: "/s/a.c", line: 10 },
    { address: 0x1004n, file: "/s/a.c", line: 11 },
    { address: 0x1008n, file: "/s/a.c", line: 13 },
  ],
};
/**
 * Line advances 1 and 2 are a window of 2: an opcode is 4 + (line - 1) + 2 * address. The first row advances
 * none.
 */
const MAIN_LINES = [1, 2, 10, 2, 0, 4 + 0 + 8, 4 + 1 + 8, 0];
const STRINGS = text("\0main\0/s\0a.c\0");

/** The file without its appendix. */
function write(options: GsymCreatorOptions, ...functions: GsymFunction[]): number[] {
  const creator = new GsymCreator(options);
  for (const one of functions) creator.add(one);
  const bytes = creator.toBytes();
  return [...bytes.subarray(0, bytes.length - appendixSize(bytes, options.littleEndian ?? true))];
}

Deno.test("a version 1 file is what Header.h says, byte for byte", () => {
  const uuid = Uint8Array.of(1, 2, 3);
  assertEquals(write({ uuid }, MAIN), [
    ...[0x4d, 0x59, 0x53, 0x47, ...u16(1), 1, 3, ...u64(0x1000), ...u32(1), ...u32(76), ...u32(13)],
    ...[1, 2, 3, ...zeros(17)],
    ...[0, ...zeros(3)], // 48: distances, and up to a multiple of 4
    ...u32(92), // 52: where FunctionInfos are
    ...[...u32(2), ...u32(0), ...u32(0), ...u32(6), ...u32(9)], // 56: files
    ...STRINGS, // 76
    ...zeros(3),
    ...[...u32(0x20), ...u32(1), ...u32(1), ...u32(8), ...MAIN_LINES, ...zeros(8)], // 92
  ]);
});

Deno.test("a version 2 file is what HeaderV2.h and GlobalData.h say, byte for byte", () => {
  const uuid = Uint8Array.of(1, 2, 3);
  const entry = (type: number, offset: number, size: number) => [...u32(type), ...u64(offset), ...u64(size)];
  assertEquals(write({ version: 2, uuid }, MAIN), [
    ...[0x4d, 0x59, 0x53, 0x47, ...u16(2), 1, 0, ...u64(0x1000), ...u32(1)],
    ...entry(6, 160, 3),
    ...entry(1, 163, 1),
    ...entry(2, 168, 8),
    ...entry(4, 176, 36),
    ...entry(3, 212, 13),
    ...entry(5, 228, 36),
    ...entry(0, 0, 0),
    ...[1, 2, 3], // 160
    ...[0, ...zeros(4)], // 163, and up to a multiple of 8
    ...u64(0), // 168: from where FunctionInfos begin
    ...[...u32(2), ...u64(0), ...u64(0), ...u64(6), ...u64(9)], // 176
    ...STRINGS, // 212
    ...zeros(3),
    ...[...u32(0x20), ...u64(1), ...u32(1), ...u32(8), ...MAIN_LINES, ...zeros(8)], // 228
  ]);
});

Deno.test("inlined calls are what InlineInfo.h says, byte for byte", () => {
  const bytes = write({}, {
    address: 0x1000n,
    size: 0x40,
    name: "f",
    inlined: [{
      name: "g",
      ranges: [{ start: 0x1010n, end: 0x1020n }, { start: 0x1030n, end: 0x1034n }],
      callFile: "/s/a.c",
      callLine: 7,
      children: [{ name: "h", ranges: [{ start: 0x1014n, end: 0x1018n }], callFile: "/s/b.h", callLine: 300 }],
    }],
  });
  // The strings are "", f, g, /s, a.c, h, b.h, from 0, 1, 3, 5, 8, 12, 14 on.
  const inline = [
    ...[1, 0, 0x40, 1, ...u32(1), 0, 0],
    ...[2, 0x10, 0x10, 0x30, 4, 1, ...u32(3), 1, 7],
    ...[1, 4, 4, 0, ...u32(12), 2, 0xac, 2],
    ...[0, 0],
  ];
  const info = [...u32(0x40), ...u32(1), ...u32(2), ...u32(inline.length), ...inline, ...zeros(8)];
  assertEquals(bytes.slice(bytes.length - info.length - (-info.length & 3)), [...info, ...zeros(-info.length & 3)]);
});

Deno.test("line advances too many for one window leave the rarest to opcodes of their own", () => {
  const window = (...line: number[]) => {
    const columns = {
      rows: line.length,
      line: Uint32Array.from(line),
      offset: new Uint32Array(9),
      file: new Uint32Array(9),
    };
    return lineWindow(columns);
  };
  assertEquals(window(5), [0, 0]); // one row
  assertEquals(window(5, 6, 7), [0, 1]); // always the next line: so that the same line takes one byte, too
  assertEquals(window(5, 19, 33), [14, 14]); // but not where the window would be wider than 14
  assertEquals(window(5, 4, 18), [-1, -1]); // 15 apart: the first of equals
  assertEquals(window(5, 4, 17), [-1, 13]); // 14 apart
  assertEquals(window(100, 101, 103, 203, 204, 206), [1, 2]); // 1, 2, 100, 1, 2
  const lines = [10, 500, 501].map((line, i) => ({ address: 0x1000n + BigInt(100 * i), file: "a.c", line }));
  const bytes = write({}, { address: 0x1000n, size: 300, name: "f", lines });
  // 490 and 1 are as frequent: 1, the lesser, and with it 0. Opcodes are 4 + line + 2 * address.
  const table = [0, 1, 10, 4, 3, 0xea, 3, 2, 100, 4 + 1 + 200, 0];
  assertEquals(bytes.slice(-table.length - 8 - ((-table.length - 24) & 3)).slice(0, table.length), table);
});

Deno.test("a big-endian file has the same parts in the other byte order", () => {
  const little = write({}, MAIN);
  const big = write({ littleEndian: false }, MAIN);
  assertEquals(big.slice(0, 8), [0x47, 0x53, 0x59, 0x4d, 0, 1, 1, 0]);
  assertEquals(big.length, little.length);
  assertEquals(big.slice(76, 92), little.slice(76, 92));
  assertEquals(big.slice(92, 108), [0, 0, 0, 0x20, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 8]);
});

/** Names of a file's functions by ascending address, with sizes; of version 1. */
function listed(bytes: number[]): string[] {
  const view = new DataView(Uint8Array.from(bytes).buffer);
  const count = view.getUint32(16, true);
  const addressSize = bytes[6];
  const infos = Math.ceil((48 + count * addressSize) / 4) * 4;
  return Array.from({ length: count }, (_, i) => {
    const info = view.getUint32(infos + 4 * i, true);
    const name = view.getUint32(20, true) + view.getUint32(info + 4, true);
    const lines = view.getUint32(info + 8, true) === 1 ? " lines" : "";
    return `${new TextDecoder().decode(Uint8Array.from(bytes.slice(name, bytes.indexOf(0, name))))} ` +
      `${view.getUint32(info, true)}${lines}`;
  });
}

Deno.test("of functions that overlap those are written that LLVM's GsymCreator writes", () => {
  const at = (address: bigint, size: number, name: string, rich = false): GsymFunction => ({
    address,
    size,
    name,
    lines: rich ? [{ address, file: "a.c", line: 1 }] : [],
  });
  const segment = {
    p_type: 1,
    p_flags: 5,
    p_offset: 0n,
    p_vaddr: 0n,
    p_paddr: 0n,
    p_filesz: 0x100n,
    p_memsz: 0x100n,
    p_align: 1n,
  };
  const names = (...functions: GsymFunction[]) => listed(write({ segments: [segment] }, ...functions));
  assertEquals(names(at(9n, 1, "b"), at(2n, 1, "a")), ["a 1", "b 1"]); // in order
  assertEquals(names(at(2n, 4, "short", true), at(2n, 4, "_ZN1aEv")), ["_ZN1aEv 4 lines"]); // mangled
  assertEquals(names(at(2n, 4, "rich", true), at(2n, 4, "poor")), ["rich 4 lines"]);
  assertEquals(names(at(2n, 4, "first"), at(2n, 4, "second")), ["second 4"]);
  assertEquals(names(at(2n, 9, "around"), at(4n, 2, "in")), ["around 9", "in 2"]); // both
  assertEquals(names(at(2n, 0, "label"), at(2n, 4, "f")), ["f 4"]); // no size: gives way
  assertEquals(names(at(2n, 0, "label"), at(4n, 4, "f")), ["label 0", "f 4"]); // reaches to the next
  assertEquals(names(at(0xf0n, 0, "last")), ["last 16"]); // to the end of the segment
  assertEquals(names(), []);
});

Deno.test("distances take 1, 2, 4 or 8 bytes", () => {
  for (
    const [span, size] of [[0xffn, 1], [0x100n, 2], [0xffffn, 2], [0x1_0000n, 4], [0xffff_ffffn, 4], [
      1n << 32n,
      8,
    ]] as const
  ) {
    const base = 0xffff_0000_8000_0001n;
    const bytes = write({}, { address: base + span, size: 1, name: "b" }, { address: base, size: 1, name: "a" });
    assertEquals(bytes[6], size);
    const view = new DataView(Uint8Array.from(bytes).buffer);
    assertEquals(view.getBigUint64(8, true), base);
    const distance = [0, view.getUint8(49), view.getUint16(50, true), 0, view.getUint32(52, true)][size];
    assertEquals(size === 8 ? view.getBigUint64(56, true) : BigInt(distance), span);
  }
});

Deno.test("what a block's functions name is in one piece of each table, and the appendix says where", () => {
  const functions = Array.from({ length: 1000 }, (_, i): GsymFunction => ({
    address: BigInt(0x1000 + 64 * i),
    size: 60,
    name: `function_with_a_name_${i}`,
    lines: Array.from({ length: 6 }, (_, k) => ({
      address: BigInt(0x1000 + 64 * i + 8 * k),
      file: `/src/file${(i * 7 + k) % 50}.c`,
      line: 1 + (i * 31 + k * 17) % 400,
    })),
    inlined: [{
      name: `inlined_${i % 20}`,
      ranges: [{ start: BigInt(0x1000 + 64 * i), end: BigInt(0x1010 + 64 * i) }],
      callFile: `/src/file${i % 50}.c`,
      callLine: i,
    }],
  }));
  const segments: Phdr[] = [{
    p_type: 1,
    p_flags: 5,
    p_offset: 4096n,
    p_vaddr: 8192n,
    p_paddr: 0n,
    p_filesz: 1n,
    p_memsz: 2n,
    p_align: 3n,
  }];
  for (const version of [1, 2] as const) {
    for (const littleEndian of [true, false]) {
      const creator = new GsymCreator({ version, littleEndian, segments });
      for (const one of functions) creator.add(one);
      const bytes = creator.toBytes();
      const size = appendixSize(bytes, littleEndian);
      const { head, blocks, segments: kept } = decodeAppendix(bytes.subarray(bytes.length - size), littleEndian);
      assertEquals(kept, segments);
      assertEquals(head, bytes.subarray(0, head!.length));
      const { first, address, infos, strings, files } = blocks!;
      assert(address.length > 2);
      assertEquals([first[0], first[first.length - 1]], [0, 1000]);
      assertEquals(infos[infos.length - 1], bytes.length - size);
      const view = new DataView(bytes.buffer);
      const strtab = version === 1
        ? view.getUint32(20, littleEndian)
        : Number(view.getBigUint64(20 + 60 + 4, littleEndian));
      const word = (at: number) =>
        version === 1 ? view.getUint32(at, littleEndian) : Number(view.getBigUint64(at, littleEndian));
      for (let block = 0; block + 1 < address.length; block++) {
        assertEquals(address[block], 64 * first[block]);
        // The name of the first function, and directories and names of all files.
        const inside = (offset: number) =>
          strtab + offset >= strings[block] && strtab + offset < strings[block + 1];
        assert(inside(word(infos[block] + 4)));
        const width = version === 1 ? 4 : 8;
        for (let at = files[block]; at < files[block + 1]; at += width) assert(inside(word(at)));
      }
      const again = new GsymCreator({ version, littleEndian, segments });
      for (const one of functions.toReversed()) again.add(one);
      const compact = new GsymCreator({ version, littleEndian, layout: "compact" });
      for (const one of functions) compact.add(one);
      const small = compact.toBytes();
      assert(small.length < bytes.length);
      assertEquals(
        decodeAppendix(small.subarray(small.length - appendixSize(small, littleEndian)), littleEndian).blocks,
        undefined,
      );
      // The same functions in another order, and the same creator asked again, make the same file.
      assertEquals(again.toBytes(), bytes);
      assertEquals(creator.toBytes(), bytes);
      assertEquals([...creator.finish()].reduce((sum, piece) => sum + piece.length, 0), bytes.length);
    }
  }
});

Deno.test("what can't be written is refused, and nothing is added", () => {
  assertThrows(() => new GsymCreator({ version: 3 as 2 }), RangeError);
  assertThrows(() => new GsymCreator({ layout: "other" as "compact" }), RangeError);
  assertThrows(() => new GsymCreator({ uuid: new Uint8Array(21) }), RangeError, "room for 20 bytes");
  new GsymCreator({ version: 2, uuid: new Uint8Array(32) });
  const creator = new GsymCreator();
  const f: GsymFunction = { address: 0x10n, size: 8, name: "f" };
  const row = (address: bigint, line = 1) => ({ address, file: "a.c", line });
  const call = (start: bigint, end: bigint) => ({ name: "g", ranges: [{ start, end }], callFile: "", callLine: 1 });
  let deep: GsymInlinedCall = call(0x10n, 0x11n);
  for (let i = 0; i < 300; i++) deep = { ...call(0x10n, 0x11n), children: [deep] };
  const wrong: Partial<GsymFunction>[] = [
    ...[{ address: -1n }, { address: 1n << 64n }, { size: -1 }, { size: 2 ** 32 }, { name: "" }, { name: "a\0b" }],
    ...[{ lines: [row(0xfn)] }, { lines: [row(0x18n)] }, { lines: [row(0x12n), row(0x11n)] }, {
      lines: [row(0x10n, -1)],
    }],
    ...[{ inlined: [call(0xfn, 0x12n)] }, { inlined: [call(0x12n, 0x19n)] }, { inlined: [call(0x12n, 0x12n)] }],
    ...[{ inlined: [{ ...call(0x10n, 0x12n), children: [call(0x11n, 0x13n)] }] }, { inlined: [deep] }],
    ...[{ inlined: [{ ...call(0x10n, 0x12n), ranges: [] }] }],
  ];
  for (const part of wrong) assertThrows(() => creator.add({ ...f, ...part }), RangeError);
  assertEquals(creator.length, 0);
  creator.add(f);
  assertEquals(creator.length, 1);
});
