// The JSON of bpftool: the forms it takes, and what is refused, where.
import { assertEquals, assertThrows } from "@std/assert";
import { formatBpftoolDump, FormatError, parseBpftoolDump } from "../mod.ts";

const KEY = '"key":["0x03","0x00","0x00","0x00"]';
const VALUE = '"value":["0x1f","0x02"]';
const RECORD = { dump: new Uint8Array([3, 0, 0, 0, 0x1f, 2]), valueSize: 2, missing: [] };

Deno.test("parseBpftoolDump() reads bytes in each form that tools print them in", () => {
  for (
    const json of [
      `[{${KEY},${VALUE}}]`,
      `[{${VALUE},${KEY}}]`,
      ` [ { ${KEY} , ${VALUE} } ] \r\n\t`,
      `{${KEY},${VALUE}}`,
      '[{"key":["03","00","00","00"],"value":["1F","2"]}]',
      '[{"key":["0X3","0","0","0"],"value":["0x1f","0x2"]}]',
      '[{"key":[3,0,0,0],"value":[31,2]}]',
      '[{"key":"0x03000000","value":"0x1f02"}]',
      '[{"key":"03 00 00 00","value":" 1f 2 "}]',
      '[{"key":"0x3 0x0 0x0 0x0","value":"1f02"}]',
      '[{"key":3,"value":"1f02"}]',
    ]
  ) assertEquals(parseBpftoolDump(json), RECORD, json);
});

Deno.test("parseBpftoolDump() puts a key that is one number into the byte order asked for", () => {
  const { dump } = parseBpftoolDump('{"key":4294967043,"value":"ff"}', { littleEndian: false });
  assertEquals([...dump], [0xff, 0xff, 0xff, 3, 0xff]);
});

Deno.test("parseBpftoolDump() skips members it does not know, formatted ones of BTF among them", () => {
  const formatted = '"formatted":{"key":3,"value":[{"a":-1.5e+3,"b":"\\"}","c":[true,false,null,{}]},[]]}';
  assertEquals(parseBpftoolDump(`[{${KEY},${VALUE},${formatted}}]`), RECORD);
  assertEquals(parseBpftoolDump(`[{${formatted},${KEY},"x":12,${VALUE}}]`), RECORD);
});

Deno.test("parseBpftoolDump() lists keys that could not be looked up as missing, in both forms", () => {
  const error = '"value":{"error":"No such file or directory"}';
  const two = '"key":["0x02","0x01","0x00","0x00"]';
  const one = `{${KEY},${VALUE}}`;
  assertEquals(parseBpftoolDump(`[{${two},${error}},${one}]`), { ...RECORD, missing: [0x102] });
  assertEquals(parseBpftoolDump(`[${one},${two},${error},${one}]`).missing, [0x102]);
  assertEquals(parseBpftoolDump(`[${two},${error}]`, { littleEndian: false }).missing, [0x0201_0000]);
});

Deno.test("parseBpftoolDump() takes an empty map and a look-up that found nothing for empty dumps", () => {
  const empty = { dump: new Uint8Array(0), valueSize: 0, missing: [] };
  assertEquals(parseBpftoolDump("[]"), empty);
  assertEquals(parseBpftoolDump("null\n"), empty);
});

Deno.test("parseBpftoolDump() throws FormatError that names the place of what is wrong", () => {
  const cases: [json: string, field: string, offset: number, problem: string][] = [
    ["", "dump", 0, "ends"],
    ["nul", "dump", 3, "ends"],
    ["nothing", "dump", 7, "ends"],
    ["7", "dump", 0, "neither"],
    ["[]]", "dump", 2, "follows"],
    ["[7]", "entry", 1, "expected {"],
    ["[{}]", "key", 1, "not in the entry"],
    [`[{${KEY}}]`, "value", 1, "not in the entry"],
    [`[{${KEY},${KEY},${VALUE}}]`, "key", 38, "twice"],
    [`[{${VALUE},${KEY},${VALUE}}]`, "value", 62, "twice"],
    [`[{"key":["0x03"],${VALUE}}]`, "key size", 8, "4 bytes"],
    [`[{"key":"0000000000",${VALUE}}]`, "key size", 8, "4 bytes"],
    [`[{"key":4294967296,${VALUE}}]`, "key", 8, "more than 4294967295"],
    [`[{"key":-1,${VALUE}}]`, "key", 8, "array of bytes"],
    [`[{${KEY},"value":[]}]`, "value", 46, "empty"],
    [`[{${KEY},"value":["0x1g"]}]`, "value", 51, "byte in hex"],
    [`[{${KEY},"value":["0x"]}]`, "value", 50, "byte in hex"],
    [`[{${KEY},"value":["0x123"]}]`, "value", 52, "byte in hex"],
    [`[{${KEY},"value":[256]}]`, "value", 47, "more than 255"],
    [`[{${KEY},"value":[true]}]`, "value", 47, "is not a byte"],
    [`[{${KEY},"value":"123"}]`, "value", 50, "odd number"],
    [`[{${KEY},"value":"1f,02"}]`, "value", 49, "is not hex"],
    [`[{${KEY},"value":"x"}]`, "value", 47, "is not hex"],
    [`[{${KEY},"value":[1 2]}]`, "value", 49, "expected ]"],
    [`[{${KEY},${VALUE}},{${KEY},"value":"ff"}]`, "value size", 108, "2 bytes"],
    [`[{${KEY},"values":[{"cpu":0,"value":["0x00"]}]}]`, "values", 38, "per-CPU"],
    ['{"error":"get map by id (9): No such file"}', "error", 1, "bpftool reports an error"],
    [`[{${KEY},"x":}]`, "x", 42, "closes nothing"],
    [`[{${KEY},"x":$}]`, "x", 42, "not a value"],
    [`[{${KEY},"x":[}]`, "x", 43, "closes nothing"],
    [`[{${KEY},"x":"\\`, "x", 44, "ends"],
    [`[{${KEY},"x":${"[".repeat(65)}`, "x", 106, "nests deeper"],
    [`[{${KEY},${VALUE}} {`, "entry", 63, "expected ]"],
    [`[{${KEY},${VALUE}`, "entry", 61, "ends"],
    [`[{"key"`, "key", 7, "ends"],
  ];
  for (const [json, field, offset, problem] of cases) {
    const error = assertThrows(() => parseBpftoolDump(json), FormatError, problem, json);
    assertEquals([error.field, error.offset], [field, offset], json);
  }
});

Deno.test("parseBpftoolDump() gives bpftool's own message, cut to 200 characters", () => {
  const error = assertThrows(() => parseBpftoolDump(`{"error":"${"x".repeat(500)}"}`), FormatError);
  assertEquals(error.value, "x".repeat(200));
});

Deno.test("parseBpftoolDump() leaves the caller's bytes as they are", () => {
  const bytes = new TextEncoder().encode(`[{${KEY},${VALUE}}]`);
  const before = bytes.slice();
  assertEquals(parseBpftoolDump(bytes), RECORD);
  assertEquals(bytes, before);
});

Deno.test("formatBpftoolDump() writes an empty dump as an empty array, and refuses a record cut short", () => {
  assertEquals(formatBpftoolDump(new Uint8Array(0), 8), "[]\n");
  const error = assertThrows(() => formatBpftoolDump(new Uint8Array(25), 8), FormatError);
  assertEquals([error.offset, error.field], [24, "key"]);
  assertEquals(assertThrows(() => formatBpftoolDump(new Uint8Array(30), 8), FormatError).field, "value");
  assertThrows(() => formatBpftoolDump(new Uint8Array(12), 0), RangeError);
});
