// Owns the tests of CRC-32: known answers, every alignment and length, seeds, zlib's own.
import * as zlib from "node:zlib";
import { assertEquals } from "@std/assert";
import { crc32 } from "../src/base/crc32.ts";
import { SeededRandom } from "../src/base/random.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Bit by bit, as the definition has it. */
function slowCrc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) !== 0 ? 0xedb8_8320 : 0);
  }
  return ~crc >>> 0;
}

Deno.test("crc32() gives the published answers", () => {
  assertEquals(crc32(new Uint8Array(0)), 0);
  assertEquals(crc32(ascii("a")), 0xe8b7_be43);
  assertEquals(crc32(ascii("123456789")), 0xcbf4_3926);
  assertEquals(crc32(ascii("The quick brown fox jumps over the lazy dog")), 0x414f_a339);
  assertEquals(crc32(new Uint8Array(32)), 0x190a_55ad);
  assertEquals(crc32(new Uint8Array(32).fill(0xff)), 0xff6c_ab0b);
});

Deno.test("crc32() agrees with the definition at every length and alignment", () => {
  const bytes = new SeededRandom(1).fill(new Uint8Array(200));
  for (let from = 0; from < 9; from++) {
    for (let to = from; to <= bytes.length; to++) {
      const piece = bytes.subarray(from, to);
      assertEquals(crc32(piece), slowCrc32(piece));
    }
  }
});

Deno.test("crc32() of pieces, each seeded with the one before, is that of the whole", () => {
  const bytes = new SeededRandom(2).fill(new Uint8Array(1000));
  const whole = crc32(bytes);
  for (let cut = 0; cut <= bytes.length; cut++) {
    assertEquals(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut))), whole);
  }
  assertEquals(crc32(new Uint8Array(0), whole), whole);
});

Deno.test("crc32() agrees with zlib's", () => {
  // In Node since 22.2; not in every runtime.
  const native = (zlib as { crc32?: (data: Uint8Array, value?: number) => number }).crc32;
  if (native === undefined) return console.log("skipped: node:zlib has no crc32()");
  const random = new SeededRandom(3);
  for (let i = 0; i < 200; i++) {
    const bytes = random.fill(new Uint8Array(random.below(5000)));
    const seed = random.nextUint32();
    assertEquals(crc32(bytes, seed), native(bytes, seed));
    assertEquals(crc32(bytes), native(bytes));
  }
});
