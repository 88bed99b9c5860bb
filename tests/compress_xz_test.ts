// Owns the tests of the xz decompressor: known answers, chunks by hand, round trips of xz, limits, growth, fuzzing.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { assert, assertEquals, assertLess, assertLessOrEqual, assertThrows } from "@std/assert";
import { FormatError } from "../mod.ts";
import { bytesEqual, fromHex, toHex } from "../src/base/bytes.ts";
import { crc32 } from "../src/base/crc32.ts";
import { SeededRandom } from "../src/base/random.ts";
import { crc64 } from "../src/compress/crc64.ts";
import { checkOf } from "../src/compress/lzma_checks.ts";
import { Lzma2Decoder } from "../src/compress/lzma2.ts";
import { Output } from "../src/compress/output.ts";
import { decompressXz } from "../src/compress/xz.ts";
import { fuzzParser } from "./fuzz.ts";
import { assertGrowth, milliseconds } from "./growth.ts";
import { leftToDeno, notDeno } from "./left_out.ts";

const MIB = 1 << 20;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const hex = (digits: string): Uint8Array => fromHex(digits.replace(/\s/g, ""))!;
const base64 = (digits: string): Uint8Array => Uint8Array.from(atob(digits), (char) => char.charCodeAt(0));

function concat(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const le32 = (value: number): Uint8Array => Uint8Array.of(value, value >> 8, value >> 16, value >> 24);
const withCrc = (bytes: Uint8Array): Uint8Array => concat(bytes, le32(crc32(bytes)));
const padded = (bytes: Uint8Array): Uint8Array => concat(bytes, new Uint8Array(-bytes.length & 3));

function vli(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...vli(Math.floor(value / 128))];
}

/** One block of a stream by hand. */
interface Block {
  /** LZMA2 chunks. */
  data: Uint8Array;
  /** What they unpack to, for the index. */
  unpacked: number;
  /** `Block_Flags` to `Header_Padding`, in hex; LZMA2 with a dictionary of 8 MiB by default. */
  header?: string;
  check?: Uint8Array;
}

/** What a stream by hand may have wrong. */
interface Wrong {
  records?: number[];
  count?: number;
  backward?: number;
  footerFlags?: number;
  footerMagic?: string;
  indexPadding?: number;
}

const MAGIC = hex("fd377a585a00");

/** A stream whose CRC-32s are right, whatever else is wrong. */
function stream(check: number, blocks: Block[], wrong: Wrong = {}): Uint8Array {
  const flags = Uint8Array.of(0, check);
  const records: number[] = [];
  const bodies = blocks.map(({ data, unpacked, header = "00 21 01 16", check = new Uint8Array(0) }) => {
    const content = hex(header);
    const size = Math.ceil((content.length + 1) / 4);
    const head = withCrc(concat(Uint8Array.of(size), content, new Uint8Array(4 * size - 1 - content.length)));
    records.push(...vli(head.length + data.length + check.length), ...vli(unpacked));
    return concat(padded(concat(head, data)), check);
  });
  const counts = [0, ...vli(wrong.count ?? blocks.length), ...(wrong.records ?? records)];
  const index = padded(Uint8Array.from(counts));
  if (wrong.indexPadding !== undefined) index[index.length - 1] = wrong.indexPadding;
  const footer = concat(le32(wrong.backward ?? index.length / 4), Uint8Array.of(0, wrong.footerFlags ?? check));
  return concat(
    MAGIC,
    withCrc(flags),
    ...bodies,
    withCrc(index),
    le32(crc32(footer)),
    footer,
    hex(wrong.footerMagic ?? "595a"),
  );
}

/** One block of these chunks, in a stream without a check. */
const chunks = (digits: string, unpacked: number): Uint8Array => stream(0, [{ data: hex(digits), unpacked }]);

// `printf hello | xz --check=crc32`, `xz --check=crc32 < /dev/null`.
const HELLO = base64("/Td6WFoAAAFpIt42AgAhARYAAAB0L+WjAQAEaGVsbG8AAAAAhqYQNgABGQW86OzLkEKZDQEAAAAAAVla");
const EMPTY = base64("/Td6WFoAAAFpIt42AAAAABzfRCGQQpkNAQAAAAABWVo=");

/** Twelve short words of four letters, in random order. */
function fewWords(): Uint8Array {
  const random = new SeededRandom(8);
  const letters = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => 97 + (byte & 3));
  const list = Array.from({ length: 12 }, () => letters(random.fill(new Uint8Array(1 + random.below(6)))));
  const out = new Uint8Array(1500);
  for (let at = 0; at < out.length;) {
    const word = list[random.below(12)];
    out.set(word.subarray(0, out.length - at), at);
    at += word.length;
  }
  return out;
}

// fewWords() by xz --check=crc64.
const CRC64 = base64(
  "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AXbAZJdADEYyFapfeB5jsI55d7zAUj98KFzyno3WnfGucNN4uiu78iGyIPFaDe9R3Fp" +
    "cW8gU9rb6EcyZhgGME1BYB5DX8dUdTu8EcE9nCuJIF0nMt7Pfs7wcMkpeYwhk6crYsT6NUhqKdrWVkWVEfnNgAgj0zUbTooIn/QI" +
    "MKn6TO0mKTQaaLN3yrvB5IUMTtTaFI7QVwGGMS+hTP1Y4xNm1OjDTOIfhrqqGE5AWLphtbTJZUF3dhfmKvdUPu2gqEaXc78EkI3k" +
    "xOFzDZOGNBQyu4AL9NLZ/DfLq/TaZQrPKH5P/AKW8kr0P9OAMTYSJRmsjDzSF3AJ03Y/+icuFKBO5sK89Q2w29f5Cgi0TA/h1feX" +
    "BLZWz5R/RJcUPxSQnRdWs2o7rx4+5FqEjoVBxuzlITSWhIdwHilWFNin2n3qMOsRw9mFv6vODGQHuEMNiANajBL9m3iSFaQKeedB" +
    "UvKk/RHAoRCVW+EFOgo5U0Auf5XZBPAl2k3l/ZTZOnS2le9lnSNA1XRLLY6UzAbzgTgiXYqUzMjgAAAAAAtSY14ThampAAGuA9wL" +
    "AABTNzTHscRn+wIAAAAABFla",
);
// By xz --check=none --lzma2=preset=9e,lc=0,lp=2,pb=0.
const LITERAL_POSITIONS = base64(
  "/Td6WFoAAAD/EtlBAgAhARwAAAAQz1jM4AXbAYkSADEZj1qMNidJHnC8qLGs5hprcRfS+EN10bWlDFsNOFD6dcGLYH0QkEL2QpD7" +
    "uFYqpp6JbMeN1jn3dUl4ZcWsN3RDrB4EZ59NkraUjL5Bj1zTQEGeRDf+CMbg0I+i28KklzPCs69qckMLXFPJFHfiukAs3SpmW3SC" +
    "40AUkxzcVIwTtreRt92HQw2NlOjH3nZ1VmnEIgh2DUtdCtQFfIKhTv3GM+2BIXDmty9BtofS244nztiCfK03mZPdS4NO/bmCHfbH" +
    "o0afejF9mJtSyD6cp2pi6WAKqTzzH3PlROaj7J1ihXA9lOt5Th6DdQav3Nfp+pTvh7A8tHiPTS1K7Ao+Lpx0Mgcgbwou/oMt1dwF" +
    "NmZbI0hYBFDL2EmayHQnCEqqk8EruJbVJo22ReylqM9V2fLXcc5jHh9B9sEEvQaqZItYQO4IsTCBas8eivPphqtn6dJGTldyd9pU" +
    "fjeaTgpp6ChxjK4FsKXtsc9ie7Z9joMeZRmp+rbbNYIl55wEeu1mcqCpSDLeSAw4oAAAAAAAAZ0D3AsAAFBC2kWoAAr8AgAAAAAA" +
    "WVo=",
);
// By xz --check=sha256 --block-size=700 -T2: three blocks, with both sizes in their headers.
const BLOCKS = base64(
  "/Td6WFoAAArh+wyhA8DdAbwFIQEWAAAAejP1R+ACuwDVXQAxGMhWqX3geY7COeXe8wFI/fChc8p6N1p3xrnDTeLoru/IhsiDxWg3" +
    "vUdxaXFvIFPa2+hHMmYYBjBNQWAeQ1/HVHU7vBHBPZwriSBdJzLez37O8HDJKXmMIZOnK2LE+jVIaina1lZFlRH5zYAII9M1G06K" +
    "CJ/0CDCp+kztJik0Gmizd8q7weSFDE7U2hSO0FcBhjEvoUz9WOMTZtTow0ziH4a6qhhOQFi6YbW0yWVBd3YX5ir3VD7toKhGl3O/" +
    "BJCN5MThcw2ThjQUMruAC/TS2YcFHwAAAAAAC7b84ySCF9KeAr4cz905Vs+HytM1am1KJkw3vWPT8OgDwOUBvAUhARYAAAC28dE8" +
    "4AK7AN1dADEYSK/zrHJpY/ZdKcBntUUAUbGn6wa8Mx5VKhG5ssMardOlwCfHYKwEvf4RnG92mC7Ie4rb8lcQkLR7CqNYsXXtCBXe" +
    "bACCd/vkRf4kNRLp9vQ3Kmm0eRUbPkcBXqcAaSWy4bkf3mnAIOrr5rizfjnURZT1IPlciWbIi00pGkhcmL5BJIXfMi0EHePsv6qu" +
    "zlY8lmntCe/QZwnc69ix6Eu3aOSwGchjNYt8aLK6eJdQgyJ5misBPB9CJtdCiEzCi8CxhQs5nX88D4GCKNpoy9SidNii/MWZpY3S" +
    "P9YbAAAAANfwsVL3QBfdS3Fs8L23LLAbNqoh/fbTAvuIT2gJ9c7LA8A+ZCEBFgAAAAAANtJznOAAYwA2XQAxmGzEZNFBv22jblHb" +
    "VneCJJgHW9bbX7K2IPk4IyVyBuyX0gX8Dlfm6vZA2z1+bmU9ECO9hgAAAABDsm87U06ZxQ2f/bhZ7ObbEbQDKWGM0kQrpB/agHVh" +
    "oAADjQK8BZUCvAVuZCfi/tsTOoPXAwAAAAAKWVo=",
);
// By xz --x86 --lzma2.
const X86 = base64(
  "/Td6WFoAAATm1rRGAgEEACEBFgANhjUfAQAEaGVsbG8AAAAAsTe52+XaHpsAAR0FuC2Arx+2830BAAAAAARZWg==",
);
// 3,000 zeros by xz --delta=dist=4 --lzma2.
const DELTA = base64(
  "/Td6WFoAAATm1rRGAgEDAQMhARaXj3H84Au3ABVdAABv/f//o7f/Rz5IFXI5YVG4QOowRAAAAAAwFm5j9hsAXwABMbgXAAAAJiwK" +
    "4bHEZ/sCAAAAAARZWg==",
);

function haveXz(): boolean {
  const found = ["/usr/bin/xz", "/usr/local/bin/xz", "/opt/homebrew/bin/xz"].some((path) => existsSync(path));
  if (!found) console.log("skipped: xz is not installed");
  return found;
}

/** Runs `xz` on files: large pipes into a child stall in some runtimes. */
function withXz(run: (pack: (data: Uint8Array, args: string[]) => Uint8Array) => void): void {
  const folder = mkdtempSync(`${tmpdir()}/compress-`);
  try {
    run((data, args) => {
      writeFileSync(`${folder}/in`, data);
      const { status } = spawnSync("xz", ["-q", "-k", "-f", ...args, `${folder}/in`], { stdio: "ignore" });
      assertEquals(status, 0);
      return new Uint8Array(readFileSync(`${folder}/in.xz`));
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Words in random order: literals, matches and repeated distances of every kind. */
function words(seed: number, length: number): Uint8Array {
  const random = new SeededRandom(seed);
  const list = Array.from({ length: 300 }, () => random.fill(new Uint8Array(1 + random.below(12))));
  const out = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const word = list[Math.floor(list.length * (random.below(1000) / 1000) ** 2)];
    out.set(word.subarray(0, length - at), at);
    at += word.length;
  }
  return out;
}

function binaries(most: number): Uint8Array {
  const out = new Uint8Array(most);
  let length = 0;
  for (const entry of readdirSync("/usr/bin").sort()) {
    const path = `/usr/bin/${entry}`;
    if (!existsSync(path) || !statSync(path).isFile() || statSync(path).size > 4 * MIB) continue;
    const data = readFileSync(path).subarray(0, most - length);
    out.set(data, length);
    length += data.length;
    if (length === most) break;
  }
  return out.subarray(0, length);
}

function fails(bytes: Uint8Array, field: string, problem: string, limit: number = MIB): void {
  const error = assertThrows(() => decompressXz(bytes, limit), FormatError, problem);
  assertEquals(error.field, field);
}

Deno.test("crc64() gives the published answers", () => {
  const of = (bytes: Uint8Array) => crc64(bytes, 0, bytes.length);
  assertEquals(of(new Uint8Array(0)), [0, 0]);
  assertEquals(of(new TextEncoder().encode("123456789")), [0x995d_c9bb, 0xdf19_39fa]);
  const bytes = new SeededRandom(1).fill(new Uint8Array(100));
  const bitByBit = (from: number, to: number): number[] => {
    let crc = 0xffff_ffff_ffff_ffffn;
    for (const byte of bytes.subarray(from, to)) {
      crc ^= BigInt(byte);
      for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ ((crc & 1n) !== 0n ? 0xc96c_5795_d787_0f42n : 0n);
    }
    crc ^= 0xffff_ffff_ffff_ffffn;
    return [Number(crc >> 32n), Number(crc & 0xffff_ffffn)];
  };
  for (let from = 0; from < 9; from++) {
    for (let to = from; to <= 100; to++) assertEquals(crc64(bytes, from, to), bitByBit(from, to));
  }
});

Deno.test("the SHA-256 check is that of the runtime's own crypto", () => {
  const bytes = new SeededRandom(2).fill(new Uint8Array(400));
  for (let length = 0; length < 300; length++) {
    const expected = createHash("sha256").update(bytes.subarray(7, 7 + length)).digest("hex");
    assertEquals(toHex(checkOf(10, bytes, 7, 7 + length)!), expected);
  }
});

Deno.test("xz: known answers", () => {
  const few = fewWords();
  assertEquals(text(decompressXz(HELLO, 5)), "hello");
  assertEquals(decompressXz(EMPTY, 0).length, 0);
  assertEquals(decompressXz(CRC64, 1500), few);
  assertEquals(decompressXz(LITERAL_POSITIONS, 1500), few);
  assertEquals(decompressXz(BLOCKS, 1500), few);
  const out = decompressXz(BLOCKS, MIB);
  assertEquals(out.buffer.byteLength, 1500);
  // At an offset of a larger buffer.
  assertEquals(decompressXz(concat(hex("ffffff"), BLOCKS).subarray(3), 1500), few);
});

Deno.test("xz: several streams, with padding between and behind them", () => {
  const zeros = (count: number): Uint8Array => new Uint8Array(count);
  assertEquals(text(decompressXz(concat(HELLO, HELLO), 10)), "hellohello");
  assertEquals(text(decompressXz(concat(HELLO, zeros(8), EMPTY, HELLO, zeros(4)), 10)), "hellohello");
  fails(concat(HELLO, zeros(3)), "Stream_Padding", "is 3 bytes, not a multiple of 4");
  fails(concat(HELLO, zeros(5), HELLO), "Stream_Padding", "is 5 bytes");
  fails(concat(zeros(4), HELLO), "Header_Magic_Bytes", "is not xz's");
  fails(concat(HELLO, hex("fd37")), "Header_Magic_Bytes", "needs 6 bytes, 2 are left");
  fails(concat(HELLO, HELLO), "LZMA2 chunk", "unpacks to more than 9 bytes", 9);
});

Deno.test("xz: streams by hand are read", () => {
  const data = hex("01 0004 68656c6c6f 00");
  assertEquals(stream(1, [{ data, unpacked: 5, header: "00 21 01 16 000000", check: hex("86a61036") }]), HELLO);
  assertEquals(stream(1, []), EMPTY);
  // A stored chunk without a reset; a reset; a block of nothing; a reserved check, which isn't verified.
  assertEquals(text(decompressXz(chunks("01 0001 6162 02 0000 63 01 0000 64 00", 4), 4)), "abcd");
  assertEquals(decompressXz(chunks("00", 0), 0).length, 0);
  assertEquals(text(decompressXz(stream(2, [{ data, unpacked: 5, check: hex("01020304") }]), 5)), "hello");
  // Both sizes, padding of the header, the largest dictionary.
  const header = "c0 09 05 21 01 28 00 00 00 00 00 00 00 00 00";
  assertEquals(text(decompressXz(stream(0, [{ data, unpacked: 5, header }]), 5)), "hello");
});

Deno.test("xz: what is malformed or unsupported is a FormatError", () => {
  const data = hex("01 0004 68656c6c6f 00");
  const block = (header: string, wrong: Wrong = {}): Uint8Array =>
    stream(0, [{ data, unpacked: 5, header }], wrong);
  const changed = (at: number): Uint8Array => HELLO.map((byte, i) => i === at ? byte ^ 1 : byte);

  fails(new Uint8Array(0), "Header_Magic_Bytes", "needs 6 bytes");
  fails(changed(5), "Header_Magic_Bytes", "is not xz's");
  fails(changed(8), "CRC32", "does not match the content");
  fails(stream(0x10, []), "Stream_Flags", "reserved bit");
  fails(MAGIC, "Stream_Flags", "needs 12 bytes, 6 are left");
  fails(changed(14), "CRC32", "does not match the content");
  fails(changed(29), "Check", "does not match the content, which has");

  fails(block("04 21 01 16"), "Block_Flags", "reserved bit");
  fails(block("01 21 01 16 21 01 16"), "Block_Flags", "has a filter behind LZMA2");
  fails(block("40 08 21 01 16"), "LZMA2 chunk", "needs 1 bytes, 0 are left");
  fails(block("40 0a 21 01 16"), "Compressed_Size", "does not match the block, which has 9");
  fails(block("40 00 21 01 16"), "LZMA2 chunk", "needs 1 bytes");
  fails(block("40 ff7f 21 01 16"), "Compressed_Size", "needs 16383 bytes");
  fails(block("40 8000 21 01 16"), "Compressed_Size", "shortest form");
  fails(block("40 ffffffffffffffffff01 21 01 16"), "Compressed_Size", "shortest form");
  fails(block("40 ff ff ff ff ff ff"), "Compressed_Size", "needs 1 bytes, 0 are left");
  fails(block("80 04 21 01 16"), "Uncompressed_Size", "does not match the block, which has 5");
  fails(block("80 06 21 01 16"), "Uncompressed_Size", "does not match the block, which has 5");
  fails(block("80 06 21 01 16"), "Uncompressed_Size", "unpacks to more than 5 bytes", 5);
  fails(block("00 22 01 16"), "Filter_ID", "is an unknown filter");
  fails(block("00 0b 01 16"), "Filter_ID", "is the RISC-V filter: not supported");
  fails(X86, "Filter_ID", "is the x86 filter: not supported");
  fails(DELTA, "Filter_ID", "is the delta filter: not supported");
  fails(block("00 21 02 16 16"), "Size_of_Properties", "is not LZMA2's, 1");
  fails(block("00 21 01 29"), "Filter_Properties", "is no dictionary size");
  fails(block("00 21 01 16 00 00 01"), "Header_Padding", "is not zero");
  fails(stream(1, [{ data, unpacked: 5 }]), "Check", "does not match the content");

  fails(block("00 21 01 16", { count: 2 }), "Number_of_Records", "does not match the blocks, which have 1");
  fails(block("00 21 01 16", { records: [20, 5] }), "Unpadded_Size", "does not match the blocks, which have 21");
  fails(block("00 21 01 16", { records: [21, 4] }), "Uncompressed_Size", "does not match the blocks");
  fails(
    stream(0, [{ data, unpacked: 5 }, { data, unpacked: 5 }], { indexPadding: 1 }),
    "Index_Padding",
    "not zero",
  );
  fails(block("00 21 01 16", { backward: 2 }), "Backward_Size", "does not match the index of 8 bytes");
  fails(block("00 21 01 16", { footerFlags: 1 }), "Stream_Flags", "differs from the header's");
  fails(block("00 21 01 16", { footerMagic: "5a59" }), "Footer_Magic_Bytes", "is not xz's");
  // Block_Padding: the data of 9 bytes ends 3 bytes before the index.
  const padding = block("00 21 01 16");
  padding[12 + 12 + 9] = 1;
  fails(padding, "Block_Padding", "is not zero");

  assertThrows(() => decompressXz(HELLO, -1), RangeError);
  assertThrows(() => decompressXz(HELLO, 1.5), RangeError);
});

Deno.test("xz: malformed chunks are a FormatError", () => {
  const field = "LZMA2 chunk";
  fails(chunks("03 0000 00 00", 1), field, "reserved control byte");
  fails(chunks("02 0000 61 00", 1), field, "comes first and does not reset the dictionary");
  fails(chunks("c0 0000 0005 5d 000000000000 00", 1), field, "comes first");
  fails(chunks("01 0000 61 80 0000 0005 000000000000 00", 2), field, "needs new properties");
  fails(chunks("01 0000 61 a0 0000 0005 000000000000 00", 2), field, "needs new properties");
  fails(chunks("e0 0000 0005 2c 000000000000 00", 1), "LZMA2 properties", "lc + lp"); // lc = 8, lp = 4
  fails(chunks("e0 0000 0005 e1 000000000000 00", 1), "LZMA2 properties", "pb = 4");
  fails(chunks("e0 0000 0003 5d 00000000 00", 1), field, "too short");
  fails(chunks("e0 0000 0004 5d 0100000000 00", 1), field, "does not begin with a zero byte");
  // Zeros are the literal 0, and nothing else: a match of any kind would need a higher code.
  assertEquals(decompressXz(chunks("e0 0000 0005 5d 000000000000 00", 1), 1), Uint8Array.of(0));
  fails(chunks("e0 0000 0006 5d 00000000000000 00", 1), field, "goes on behind its last symbol");
  fails(chunks("e0 0000 0005 5d 000000000001 00", 1), field, "goes on behind its last symbol");
  fails(chunks("e0 ffff 0004 5d 0000000000 00", 65536), field, "ends within its symbols");
  fails(chunks("e0 0000 0004 5d 00ffffffff 00", 1), field, "begins before its dictionary");
  fails(chunks("01 ffff 61", 1), field, "needs 65536 bytes, 21 are left");
});

Deno.test({
  name: `xz: round trips of the xz tool${leftToDeno}`,
  ignore: notDeno,
  fn: () => {
    if (!haveXz()) return;
    const inputs: Record<string, Uint8Array> = {
      "nothing": new Uint8Array(0),
      "one byte": Uint8Array.of(7),
      "random bytes": new SeededRandom(1).fill(new Uint8Array(150_000)),
      "zeros": new Uint8Array(MIB + 7),
      "words": words(2, 120_000),
      "half-bytes": new SeededRandom(3).fill(new Uint8Array(100_000)).map((byte) => byte & 15),
      "few words": words(4, 700),
      "short": words(5, 60),
      "words in noise": concat(
        words(6, 40_000),
        new SeededRandom(7).fill(new Uint8Array(90_000)),
        words(6, 30_000),
      ),
    };
    const settings = [
      ["-0"],
      ["-6"],
      ["-9e"],
      ["--check=none"],
      ["--check=crc32"],
      ["--check=sha256"],
      ["-1", "--block-size=65536"],
      ["-1", "-T2", "--block-size=100000"],
      ["--lzma2=preset=1,lc=0,lp=0,pb=0"],
      ["--lzma2=preset=1,lc=4,lp=0,pb=4"],
      ["--lzma2=preset=4,lc=0,lp=4,pb=1"],
      ["--lzma2=preset=4,lc=1,lp=3,pb=2"],
      ["--lzma2=preset=2,dict=4096"],
      ["--lzma2=preset=6,mode=normal,mf=bt2,nice=273"],
    ];
    withXz((pack) => {
      for (const [name, data] of Object.entries(inputs)) {
        for (const args of settings) {
          const packed = pack(data, args);
          const before = packed.slice();
          assert(bytesEqual(decompressXz(packed, data.length), data), `${name} ${args.join(" ")}`);
          assert(bytesEqual(packed, before), "changed its input");
          // What surrounds the coded data does not depend on how it was coded.
          if (data.length === 0 || settings.indexOf(args) > 4) continue;
          assertThrows(() => decompressXz(packed, data.length - 1), FormatError, "unpacks to more than");
          const twice = concat(packed, new Uint8Array(4), packed, new Uint8Array(8));
          assert(bytesEqual(decompressXz(twice, 2 * data.length), concat(data, data)), `${name} twice`);
        }
      }
    });
  },
});

Deno.test("xz: round trips of 8 MiB of binaries", () => {
  if (!haveXz()) return;
  if (!existsSync("/usr/bin")) return console.log("skipped: there is no /usr/bin");
  const data = binaries(8 * MIB);
  withXz((pack) => {
    for (const args of [["-0"], ["-3", "-T2", "--block-size=3000000"]]) {
      const packed = pack(data, args);
      const start = performance.now();
      assert(bytesEqual(decompressXz(packed, data.length), data), args.join(" "));
      const time = performance.now() - start;
      console.log(`xz ${args.join(" ")}: ${(data.length / time / 1000).toFixed(1)} MB/s with a cold start`);
    }
  });
});

Deno.test("xz: a match reaches no further back than the dictionary that the header gives", () => {
  if (!haveXz()) return;
  withXz((pack) => {
    const noise = new SeededRandom(9).fill(new Uint8Array(5000));
    const packed = pack(concat(noise, noise), ["--check=none", "--lzma2=preset=6,dict=8192"]);
    assertEquals(decompressXz(packed, 10_000).length, 10_000);
    // Filter_Properties 0 is 4,096 bytes: less than the distance.
    assertEquals(packed[16], 2);
    packed[16] = 0;
    packed.set(le32(crc32(packed.subarray(12, 20))), 20);
    fails(packed, "LZMA2 chunk", "begins before its dictionary");
  });
});

Deno.test("xz: a bomb stops at the limit", () => {
  // A block that announces 2^40 bytes: nothing is allocated for it.
  const data = hex("01 0004 68656c6c6f 00");
  const boast = stream(0, [{ data, unpacked: 5, header: "80 808080808020 21 01 16" }]);
  fails(boast, "Uncompressed_Size", "unpacks to more than 2147483647 bytes", 2 ** 45);
  // One chunk that announces 2 MiB: at most that is allocated, and the limit where that is less.
  const chunk = hex("ff ffff 0004 5d 0000000000 00");
  for (const [limit, most] of [[MIB, 0], [2 ** 31, 2 * MIB]]) {
    const output = new Output(limit);
    assertThrows(() => new Lzma2Decoder(output, chunk.length).decode(chunk, 0, chunk.length, 4096), FormatError);
    assertLessOrEqual(output.bytes.length, most);
  }
  if (!haveXz()) return;
  withXz((pack) => {
    const bomb = pack(new Uint8Array(20 * MIB), ["-6"]);
    console.log(`20 MiB of zeros in ${bomb.length} bytes`);
    assertLess(bomb.length, 20 * MIB / 5000);
    assertEquals(decompressXz(bomb, 20 * MIB).length, 20 * MIB);
    fails(bomb, "LZMA2 chunk", `unpacks to more than ${MIB} bytes`);
    const many = concat(...Array.from({ length: 500 }, () => bomb));
    fails(many, "LZMA2 chunk", `unpacks to more than ${4 * MIB} bytes`, 4 * MIB);
  });
});

Deno.test("xz: time stays in proportion to the input and what it unpacks to", () => {
  const data = hex("01 0000 61 00");
  const zero = "e0 0000 0005 5d 000000000000";
  const shapes: Record<string, (count: number) => Uint8Array> = {
    "streams": (count) => concat(...Array.from({ length: count }, () => stream(0, [{ data, unpacked: 1 }]))),
    "blocks": (count) => stream(0, Array.from({ length: count }, () => ({ data, unpacked: 1 }))),
    "empty blocks": (count) => stream(0, Array.from({ length: count }, () => ({ data: hex("00"), unpacked: 0 }))),
    "blocks with SHA-256": (count) => {
      const check = checkOf(10, Uint8Array.of(0x61), 0, 1)!;
      return stream(10, Array.from({ length: count }, () => ({ data, unpacked: 1, check })));
    },
    "chunks": (count) => chunks(`${zero.repeat(count)} 00`, count),
    "stream padding": (count) => concat(EMPTY, new Uint8Array(40 * count), EMPTY),
  };
  for (const [name, make] of Object.entries(shapes)) {
    const [small, large] = [2000, 16_000].map(make);
    const time = (bytes: Uint8Array) => (): number => milliseconds(() => decompressXz(bytes, MIB));
    const what = `${name}: ${small.length} and ${large.length} bytes`;
    // Eight times the input; the rest is for a busy machine.
    const [, most] = assertGrowth(what, time(small), time(large), { times: 32, least: 5 });
    assertLess(most, 2000, name);
  }
});

/** A copy of a stream with the CRC-32s of its header and of its first block's header put right. */
function reseal(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  if (copy.length < 13) return copy;
  copy.set(le32(crc32(copy.subarray(6, 8))), 8);
  const end = 12 + 4 * copy[12];
  if (copy[12] !== 0 && end + 4 <= copy.length) copy.set(le32(crc32(copy.subarray(12, end))), end);
  return copy;
}

Deno.test("xz: fuzzing of whole files", () => {
  const samples = [HELLO, EMPTY, CRC64, LITERAL_POSITIONS, BLOCKS, concat(HELLO, new Uint8Array(4), HELLO)];
  fuzzParser("decompressXz", samples, (bytes) => decompressXz(bytes, MIB));
});

Deno.test("xz: fuzzing behind the CRCs of the headers", () => {
  const samples = [
    HELLO,
    CRC64,
    LITERAL_POSITIONS,
    BLOCKS,
    X86,
    chunks("01 0001 6162 02 0000 63 01 0000 64 00", 4),
  ];
  fuzzParser("decompressXz, headers resealed", samples, (bytes) => decompressXz(reseal(bytes), MIB));
});

Deno.test("xz: fuzzing of chunks", () => {
  const dataOf = (bytes: Uint8Array): Uint8Array => bytes.subarray(12 + 4 * (bytes[12] + 1));
  const samples = [HELLO, CRC64, LITERAL_POSITIONS].map(dataOf);
  if (haveXz()) {
    withXz((pack) => {
      for (const args of [["-0"], ["-9e"], ["--lzma2=preset=1,lc=0,lp=4,pb=4"]]) {
        samples.push(
          dataOf(pack(words(6, 900), args)),
          dataOf(pack(words(7, 3000).map((byte) => byte & 31), args)),
        );
      }
    });
  }
  fuzzParser("Lzma2Decoder", samples, (bytes) => {
    const output = new Output(MIB);
    new Lzma2Decoder(output, bytes.length).decode(bytes, 0, bytes.length, 4096);
    return output.finish();
  });
});
