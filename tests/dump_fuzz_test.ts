// Both dump parsers against truncated and mutated dumps.
import { assertEquals } from "@std/assert";
import { BPF_F_STACK_BUILD_ID, decodeStacks, encodeStacks, listStacks, parseBpftoolDump } from "../mod.ts";
import { readTestdata } from "./fixtures.ts";
import { fuzzParser } from "./fuzz.ts";

const LAYOUT = { valueSize: 8 * 32, mapFlags: BPF_F_STACK_BUILD_ID };
const JSON_FORMS = [
  '[{"key":["0x03","0x00","0x00","0x00"],"value":["0x1f","2"],"formatted":{"a":[1,{"b":"\\""}]}}]',
  '[{"key":3,"value":"0x1f02"},"key":["0x02","0x01","0x00","0x00"],"value":{"error":"x"}]',
  '{"key":"03 00 00 00","value":[31,2]}',
].map((text) => new TextEncoder().encode(text));

Deno.test("decodeStacks() survives truncation and mutation of dumps with build ids", () => {
  fuzzParser("decodeStacks with build ids", [readTestdata("bpftool/bid.raw")], (bytes) => {
    const columns = decodeStacks(bytes, LAYOUT);
    // Whatever it is, decoding what it encodes to gives it again.
    assertEquals(decodeStacks(encodeStacks(columns, LAYOUT), LAYOUT), columns);
  });
  fuzzParser("decodeStacks with build ids", [readTestdata("bpftool/bid.raw")], (bytes) => {
    for (const littleEndian of [true, false]) decodeStacks(bytes, { ...LAYOUT, littleEndian });
  }, { mutations: 80_000 });
});

Deno.test("decodeStacks() survives truncation and mutation of plain dumps", () => {
  fuzzParser("decodeStacks", [readTestdata("bpftool/ip.raw")], (bytes) => {
    for (const littleEndian of [true, false]) listStacks(decodeStacks(bytes, { valueSize: 64, littleEndian }));
  });
});

Deno.test("parseBpftoolDump() survives truncation and mutation", () => {
  const samples = [readTestdata("bpftool/ip.json"), readTestdata("bpftool/ip.pretty.json"), ...JSON_FORMS];
  fuzzParser("parseBpftoolDump", samples, (bytes) => parseBpftoolDump(bytes));
});
