// Owns hand-made GSYM files for tests: both versions, both byte orders, with whatever is wrong in them.
import { encodeAppendix, type GsymAppendix } from "../src/gsym/appendix.ts";
import { GSYM_MAGIC } from "../src/gsym/format.ts";

export interface Format {
  version: 1 | 2;
  littleEndian: boolean;
}

/** Both versions in both byte orders. */
export const FORMATS: readonly Format[] = [
  { version: 1, littleEndian: true },
  { version: 1, littleEndian: false },
  { version: 2, littleEndian: true },
  { version: 2, littleEndian: false },
];

/** Numbers of a fixed size are told from LEB128 and bytes by their names. */
export class Bytes {
  readonly list: number[] = [];
  readonly format: Format;

  constructor(format: Format) {
    this.format = format;
  }

  /** An unsigned number of `size` bytes. */
  int(value: number | bigint, size: number): this {
    const bytes = Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
    this.list.push(...(this.format.littleEndian ? bytes : bytes.reverse()));
    return this;
  }

  u32(value: number): this {
    return this.int(value, 4);
  }

  /** An offset in the string table. */
  strp(value: number): this {
    return this.int(value, this.format.version === 1 ? 4 : 8);
  }

  bytes(...bytes: number[]): this {
    for (const byte of bytes) this.list.push(byte);
    return this;
  }

  append(other: ArrayLike<number>): this {
    for (let i = 0; i < other.length; i++) this.list.push(other[i]);
    return this;
  }

  uleb(...values: number[]): this {
    for (let value of values) {
      for (; value >= 0x80; value = Math.floor(value / 0x80)) this.list.push(value % 0x80 + 0x80);
      this.list.push(value);
    }
    return this;
  }

  sleb(...values: number[]): this {
    for (let value of values) {
      for (; value < -64 || value > 63; value >>= 7) this.list.push((value & 0x7f) | 0x80);
      this.list.push(value & 0x7f);
    }
    return this;
  }

  align(alignment: number): this {
    while (this.list.length % alignment !== 0) this.list.push(0);
    return this;
  }
}

/** A FunctionInfo of parts. */
export function functionInfo(format: Format, size: number, name: number, parts: [number, Bytes][]): Bytes {
  const out = new Bytes(format).u32(size).strp(name);
  for (const [type, part] of parts) out.u32(type).u32(part.list.length).append(part.list);
  return out.u32(0).u32(0);
}

export interface GsymFile extends Format {
  base: bigint;
  addrOffSize: number;
  /** Distance from the base, and FunctionInfo. */
  functions: [bigint | number, Bytes][];
  /** The string table's bytes; the first is 0. */
  strings: Uint8Array;
  /** Directory and name; the first is 0, 0. */
  files: [number, number][];
  uuid: Uint8Array;
  /** With what the file ends. */
  appendix?: (
    places: { infos: number[]; end: number; strings: number; files: number; head: Uint8Array },
  ) => GsymAppendix;
}

/** Text as a string table, and where each string is. */
export function stringTable(...texts: string[]): { strings: Uint8Array; at: Record<string, number> } {
  const encoder = new TextEncoder();
  const list = [0];
  const at: Record<string, number> = { "": 0 };
  for (const text of texts) {
    at[text] = list.length;
    list.push(...encoder.encode(text), 0);
  }
  return { strings: Uint8Array.from(list), at };
}

/** Puts a file together. */
export function gsymFile(file: GsymFile): Uint8Array {
  const { version, base, addrOffSize, functions, strings, files, uuid } = file;
  const offsets: number[] = [];
  const infos = new Bytes(file);
  for (const [, info] of functions) {
    infos.align(4);
    offsets.push(infos.list.length);
    infos.append(info.list);
  }
  const fileTable = new Bytes(file).u32(files.length);
  for (const [directory, name] of files) fileTable.strp(directory).strp(name);
  const head = (places: number[]): Bytes => {
    const out = new Bytes(file).u32(GSYM_MAGIC).int(version, 2).bytes(addrOffSize, version === 1 ? uuid.length : 0);
    out.int(base, 8).u32(functions.length);
    const [addresses, infoTable, table, strtab, info, id] = places;
    if (version === 1) {
      return out.u32(strtab).u32(strings.length).append(uuid).append(new Uint8Array(20 - uuid.length));
    }
    // In no particular order, and with one of a type that nobody knows.
    const entries: [number, number, number][] = [
      [5, info, infos.list.length],
      [1, addresses, functions.length * addrOffSize],
      [77, 0, 4],
      [3, strtab, strings.length],
      [4, table, fileTable.list.length],
      [2, infoTable, functions.length * 8],
      [6, id, uuid.length],
      [0, 0, 0],
    ];
    for (const [type, offset, size] of entries) out.u32(type).int(offset, 8).int(size, 8);
    return out;
  };
  const out = head([0, 0, 0, 0, 0, 0]);
  const places: number[] = [];
  const place = (alignment: number, write: () => void) => {
    out.align(alignment);
    places.push(out.list.length);
    write();
  };
  place(8, () => functions.forEach(([offset]) => out.int(offset, addrOffSize)));
  const infoSize = version === 1 ? 4 : 8;
  const tableEnd = Math.ceil(out.list.length / 4) * 4 + functions.length * infoSize + fileTable.list.length;
  const infoStart = Math.ceil((tableEnd + strings.length) / 4) * 4;
  place(4, () => offsets.forEach((offset) => out.int(version === 1 ? infoStart + offset : offset, infoSize)));
  place(4, () => out.append(fileTable.list));
  place(1, () => out.append(strings));
  place(4, () => out.append(infos.list));
  place(1, () => version === 2 && out.append(uuid));
  const header = head(places);
  header.list.forEach((byte, i) => out.list[i] = byte);
  const bytes = Uint8Array.from(out.list);
  if (file.appendix === undefined) return bytes;
  const appendix = file.appendix({
    infos: offsets.map((offset) => places[4] + offset),
    end: places[4] + infos.list.length,
    strings: places[3],
    files: places[2] + 4,
    head: Uint8Array.from(header.list),
  });
  return Uint8Array.from([
    ...bytes,
    ...new Array((4 - bytes.length % 4) % 4).fill(0),
    ...encodeAppendix(appendix, file.littleEndian),
  ]);
}

/** A file with one of everything: its functions are described in gsym_reader_test.ts. */
export function sampleFile(format: Format, options: Partial<GsymFile> = {}): Uint8Array {
  const { strings, at } = stringTable(
    "outer",
    "mid",
    "inner",
    "/src",
    "a.c",
    "b.h",
    "C:\\win",
    "w.c",
    "plain",
    "twin",
    "^call$",
    "end",
  );
  const lines = new Bytes(format).sleb(-1, 3).uleb(10)
    .bytes(4 + 1) // offset 0, line 10
    .bytes(4 + 5 * 5 + 3) // offset 5, line 12
    .bytes(1).uleb(2).bytes(3).sleb(-7).bytes(2).uleb(300) // offset 305 of file 2, line 5
    .bytes(0);
  const inline = new Bytes(format)
    .uleb(1, 0, 400).bytes(1).strp(0).uleb(0, 0) // the function
    .uleb(2, 4, 8, 300, 50).bytes(1).strp(at.mid).uleb(1, 11) // at 4..12 and 300..350
    .uleb(1, 297, 20).bytes(0).strp(at.inner).uleb(3, 200) // at 301..321
    .uleb(0)
    .uleb(1, 2, 100).bytes(0).strp(at.inner).uleb(1, 13) // overlaps: the first wins
    .uleb(0);
  const sites = new Bytes(format).u32(1).int(0x1_0000_0004n, 8).bytes(2).u32(2).strp(at["^call$"]).strp(at.mid);
  const twin = functionInfo(format, 400, at.twin, []);
  const merged = new Bytes(format).u32(1).u32(twin.list.length).append(twin.list);
  const functions: [number, Bytes][] = [
    [
      0,
      functionInfo(format, 400, at.outer, [[1, lines], [99, new Bytes(format).bytes(1, 2, 3)], [2, inline], [
        3,
        merged,
      ], [4, sites]]),
    ],
    [0x200, functionInfo(format, 16, at.plain, [])],
    [0x200, functionInfo(format, 64, at.twin, [])],
    [
      0x300,
      functionInfo(format, 8, at.plain, [[1, new Bytes(format).sleb(0, 0).uleb(3).bytes(2).uleb(4).bytes(0)]]),
    ],
    [0x400, functionInfo(format, 0, at.end, [])],
  ];
  return gsymFile({
    ...format,
    base: 0x40_0000n,
    addrOffSize: 2,
    functions,
    strings,
    files: [[0, 0], [at["/src"], at["a.c"]], [0, at["b.h"]], [at["C:\\win"], at["w.c"]]],
    uuid: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
    ...options,
  });
}
