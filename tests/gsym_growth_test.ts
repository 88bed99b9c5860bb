// Owns the tests of GSYM files made to take time: what overlaps is not read again and again.
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { FormatError, GsymReader } from "../mod.ts";
import { Bytes, type Format, functionInfo, gsymFile } from "./gsym_builder.ts";

const FORMAT: Format = { version: 1, littleEndian: true };

/** A file with one function, in which calls are inlined whose names begin at every few bytes of one long string. */
function overlappingNames(count: number): Uint8Array {
  const strings = new Uint8Array(8 * count).fill(0x61);
  strings[0] = 0;
  const inline = new Bytes(FORMAT).uleb(1, 0, 64).bytes(1).strp(0).uleb(0, 0);
  for (let i = 0; i < count; i++) inline.uleb(1, 0, 1).bytes(0).strp(1 + 8 * i).uleb(1, 1);
  inline.uleb(0);
  return gsymFile({
    ...FORMAT,
    base: 0x1000n,
    addrOffSize: 4,
    functions: [[0, functionInfo(FORMAT, 64, 1, [[2, inline]])]],
    strings,
    files: [[0, 0], [1, 2]],
    uuid: new Uint8Array(0),
  });
}

Deno.test("names that overlap are read to the end until they are too many, then only their start", () => {
  const count = 150_000;
  const gsym = new GsymReader(overlappingNames(count));
  const start = performance.now();
  const { inlined } = gsym.function(0);
  const took = performance.now() - start;
  console.log(`${count} names of 64 KiB, ${took.toFixed(0)} ms`);
  assertEquals(inlined!.length, count + 1);
  // Each read to its end, they would be 9 GiB.
  assertLess(took, 3000);
  assert(inlined![1].name.length > 60_000);
  assertEquals(inlined![count / 2].name, "a".repeat(256) + "…");
});

Deno.test("functions that all share one FunctionInfo are not decoded for ever", () => {
  const count = 5000;
  const large = functionInfo(FORMAT, 64, 1, [[99, new Bytes(FORMAT).append(new Uint8Array(100_000))]]);
  const small = functionInfo(FORMAT, 64, 1, []);
  const bytes = gsymFile({
    ...FORMAT,
    base: 0x1000n,
    addrOffSize: 4,
    functions: Array.from({ length: count }, (_, i) => [64 * i, i === 0 ? large : small]),
    strings: Uint8Array.of(0, 0x66, 0),
    files: [[0, 0]],
    uuid: new Uint8Array(0),
  });
  assertEquals([...new GsymReader(bytes)].length, count);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const table = 48 + 4 * count;
  for (let i = 1; i < count; i++) view.setUint32(table + 4 * i, view.getUint32(table, true), true);
  const shared = new GsymReader(bytes);
  assertThrows(() => [...shared], FormatError, "are shared by too many functions");
  assertEquals(shared.function(count - 1).name, "f");
});
