// Owns the tests of struct layouts: alignment as C does it, reading and writing in both byte orders.
import { assertEquals, assertThrows } from "@std/assert";
import { FormatError } from "../src/base/format_error.ts";
import { viewOf } from "../src/base/bytes.ts";
import { type FieldType, readStruct, structLayout, writeStruct } from "../src/base/struct.ts";
import { SeededRandom } from "../src/base/random.ts";
import { evaluate, needsHeaders } from "./uapi_gcc.ts";

const every = structLayout("every", [
  ["a", "u8"],
  ["b", "u16"],
  ["c", "u32"],
  ["d", "s32"],
  ["e", "u64"],
  ["f", "addr32"],
  ["g", "bytes3"],
]);
const value = {
  a: 0x01,
  b: 0x0203,
  c: 0xfffefdfc,
  d: -2,
  e: 0x1122334455667788n,
  f: 0xf0e0d0c0n,
  g: new Uint8Array([7, 8, 9]),
};

Deno.test("structLayout() aligns each field and pads the whole", () => {
  assertEquals(every.fields.map((field) => field.offset), [0, 2, 4, 8, 16, 24, 28]);
  assertEquals(every.size, 32);
  assertEquals(structLayout("bytes", [["a", "bytes5"]]).size, 5);
  assertEquals(structLayout("none", []).size, 0);
});

Deno.test("writeStruct() and readStruct() agree with bytes written by hand", () => {
  const little = "01 00 03 02 fc fd fe ff fe ff ff ff 00 00 00 00 88 77 66 55 44 33 22 11 c0 d0 e0 f0 07 08 09 00";
  const big = "01 00 02 03 ff fe fd fc ff ff ff fe 00 00 00 00 11 22 33 44 55 66 77 88 f0 e0 d0 c0 07 08 09 00";
  for (const [hex, littleEndian] of [[little, true], [big, false]] as const) {
    const bytes = new Uint8Array(1 + 32 + 1).fill(0xee);
    bytes.fill(0, 1, 33);
    writeStruct(every, value, viewOf(bytes), 1, littleEndian);
    assertEquals([...bytes.subarray(1, 33)].map((byte) => byte.toString(16).padStart(2, "0")).join(" "), hex);
    assertEquals([bytes[0], bytes[33]], [0xee, 0xee]);
    assertEquals(readStruct(every, viewOf(bytes), 1, littleEndian), value);
  }
});

Deno.test("writeStruct() leaves padding alone and writes absent fields as zero", () => {
  const bytes = new Uint8Array(32).fill(0xee);
  writeStruct(every, { b: 1 }, viewOf(bytes), 0, true);
  assertEquals([bytes[0], bytes[1], bytes[2], bytes[12], bytes[28], bytes[31]], [0, 0xee, 1, 0xee, 0, 0xee]);
});

Deno.test("readStruct() gives byte arrays that are copies", () => {
  const bytes = new Uint8Array(32);
  const read = readStruct<{ g: Uint8Array }>(every, viewOf(bytes), 0, true);
  bytes.fill(1);
  assertEquals(read.g, new Uint8Array(3));
});

Deno.test("writeStruct() refuses what a field can't hold", () => {
  const write = (given: object, offset = 0) => () =>
    writeStruct(every, given, viewOf(new Uint8Array(32)), offset, true);
  const outside: object[] = [
    { a: 256 },
    { a: -1 },
    { b: 65536 },
    { c: 2 ** 32 },
    { c: -1 },
    { d: 2 ** 31 },
    { d: -(2 ** 31) - 1 },
    { e: 2n ** 64n },
    { e: -1n },
    { f: 2n ** 32n },
    { a: 0.5 },
    { a: NaN },
  ];
  for (const given of outside) assertThrows(write(given), RangeError);
  assertThrows(write({ g: new Uint8Array(4) }), RangeError, "every.g holds 3 bytes, not 4");
  assertThrows(write(value, 1), RangeError, "needs 32 bytes at 1");
  assertThrows(write(value, -1), RangeError);
  assertThrows(write(value, NaN), RangeError);
});

Deno.test("readStruct() throws FormatError where the view ends first", () => {
  for (let length = 0; length < 32; length++) {
    const error = assertThrows(() => readStruct(every, viewOf(new Uint8Array(length)), 0, true), FormatError);
    assertEquals([error.field, error.offset], ["every", 0]);
  }
  assertThrows(() => readStruct(every, viewOf(new Uint8Array(32)), 1, true), FormatError);
  assertThrows(() => readStruct(every, viewOf(new Uint8Array(32)), -1, true), FormatError);
});

const gcc = needsHeaders("stdint.h");
Deno.test({
  name: `structLayout() places the fields of 60 random structs as gcc does${gcc.why}`,
  ignore: gcc.ignore,
  fn() {
    const seed = 20;
    console.log(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const types: FieldType[] = ["u8", "u16", "u32", "s32", "u64", "addr32", "bytes1", "bytes3", "bytes16"];
    const inC: Record<string, string> = {
      u8: "uint8_t",
      u16: "uint16_t",
      u32: "uint32_t",
      s32: "int32_t",
      u64: "uint64_t",
      addr32: "uint32_t",
    };
    const expected: number[] = [];
    const expressions: string[] = [];
    for (let i = 0; i < 60; i++) {
      const fields = Array.from(
        { length: 1 + random.below(8) },
        (_, n): [string, FieldType] => [`f${n}`, types[random.below(types.length)]],
      );
      const layout = structLayout("s", fields);
      const body = fields.map(([name, type]) =>
        type.startsWith("bytes") ? `uint8_t ${name}[${type.slice(5)}];` : `${inC[type]} ${name};`
      );
      const name = `struct { ${body.join(" ")} }`;
      expected.push(layout.size, ...layout.fields.map((field) => field.offset));
      expressions.push(`sizeof(${name})`, ...fields.map(([field]) => `offsetof(${name}, ${field})`));
    }
    assertEquals(evaluate(["stdint.h"], expressions).map(Number), expected);
  },
});
