// Owns the tests of hex, byte comparison and FormatError.
import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { bytesEqual, fromHex, HOST_LITTLE_ENDIAN, toHex, viewOf } from "../src/base/bytes.ts";
import { checkRange, FormatError } from "../src/base/format_error.ts";

Deno.test("toHex() and fromHex() undo each other for every byte", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  const hex = toHex(all);
  assertEquals(hex.length, 512);
  assertEquals(hex.slice(0, 8) + hex.slice(-4), "00010203feff");
  assertEquals(fromHex(hex), all);
  assertEquals(fromHex(hex.toUpperCase()), all);
  assertEquals(fromHex(""), new Uint8Array(0));
  assertEquals(toHex(all.subarray(16, 18)), "1011");
});

Deno.test("fromHex() gives undefined for text that is not hex", () => {
  for (const text of ["0", "0g", "0x12", " 12", "12 ", "１２", "-1", "1.", "é0"]) {
    assertEquals(fromHex(text), undefined, text);
  }
});

Deno.test("bytesEqual() compares lengths and bytes", () => {
  const a = new Uint8Array([1, 2, 3]);
  assert(bytesEqual(a, new Uint8Array([0, 1, 2, 3]).subarray(1)));
  assert(bytesEqual(new Uint8Array(0), new Uint8Array(0)));
  assert(!bytesEqual(a, new Uint8Array([1, 2])));
  assert(!bytesEqual(a, new Uint8Array([1, 2, 4])));
});

Deno.test("viewOf() sees exactly the bytes of a subarray", () => {
  const view = viewOf(new Uint8Array([9, 1, 2, 9]).subarray(1, 3));
  assertEquals([view.byteLength, view.getUint16(0)], [2, 0x0102]);
});

Deno.test("HOST_LITTLE_ENDIAN is the host's byte order", () => {
  const word = new DataView(new Uint16Array([1]).buffer).getUint16(0, true);
  assertEquals(HOST_LITTLE_ENDIAN, word === 1);
});

Deno.test("FormatError names field, value, offset and problem", () => {
  const number = new FormatError("is no class", { offset: 4, field: "EI_CLASS", value: 7 });
  assertInstanceOf(number, Error);
  assertEquals(number.message, "EI_CLASS = 7 at offset 4: is no class");
  assertEquals([number.name, number.offset, number.field, number.value], ["FormatError", 4, "EI_CLASS", 7]);
  const text = new FormatError("is no path", { offset: 0, field: "path", value: 'a"b' });
  assertEquals(text.message, 'path = "a\\"b" at offset 0: is no path');
  const big = new FormatError("is too large", { offset: 1, field: "size", value: 2n ** 64n - 1n });
  assertEquals(big.message, "size = 18446744073709551615 at offset 1: is too large");
  const none = new FormatError("is missing", { offset: 2, field: "magic" });
  assertEquals([none.message, none.value], ["magic at offset 2: is missing", undefined]);
});

Deno.test("checkRange() accepts what fits and nothing that a sum could hide", () => {
  for (const [offset, length] of [[0, 0], [0, 10], [10, 0], [3, 7]]) checkRange(10, offset, length, "x");
  const huge = Number.MAX_SAFE_INTEGER;
  const bad = [[0, 11], [11, 0], [3, 8], [-1, 1], [1, -1], [huge, huge], [huge, 1], [1, huge], [NaN, 1], [1, NaN], [
    0,
    Infinity,
  ]];
  for (const [offset, length] of bad) {
    const error = assertThrows(() => checkRange(10, offset, length, "x"), FormatError, "the input has 10");
    assertEquals([error.offset, error.field], [offset, "x"]);
  }
});
