// Owns the proof that the fuzzer finds what it looks for.
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import process from "node:process";
import { FormatError } from "../src/base/format_error.ts";
import { fuzz, fuzzParser, withEnvironment } from "./fuzz.ts";

const sample = new Uint8Array(64).fill(7);
const quick = { mutations: 2000, seed: 5 };

function failureOf(parse: (bytes: Uint8Array) => unknown, samples: Uint8Array[] = [sample]): string {
  return assertThrows(() => fuzz("probe", samples, parse, quick), Error).message;
}

Deno.test("fuzzParser() accepts returns and FormatErrors", () => {
  let calls = 0;
  fuzz("accepts", [sample], (bytes) => {
    calls++;
    if (bytes.length < 64) throw new FormatError("is too short", { offset: 0, field: "all" });
    return -22;
  }, quick);
  assert(calls > 65);
});

Deno.test("fuzzParser() tries every length of a sample", () => {
  const lengths = new Set<number>();
  fuzz("lengths", [new Uint8Array(5000)], (bytes) => lengths.add(bytes.length), { mutations: 0 });
  for (let length = 0; length <= 4096; length++) assert(lengths.has(length), `length ${length} was not tried`);
  assert(lengths.has(5000));
});

Deno.test("fuzzParser() catches a TypeError and shrinks the input", () => {
  const message = failureOf((bytes) => {
    if (bytes.includes(0xff)) throw new TypeError("what is this byte");
  });
  assertMatch(message, /seed \d+, mutation \d+ .*threw TypeError: what is this byte/);
  assertStringIncludes(message, "1 of ");
  assertMatch(message, /bytes: ff$/);
});

Deno.test("fuzzParser() catches a RangeError at one length", () => {
  const message = failureOf((bytes) => bytes.length === 33 && new DataView(bytes.buffer).getUint32(30));
  assertStringIncludes(message, "sample 0 cut to 33 bytes: threw RangeError");
});

Deno.test("fuzzParser() catches a parser that changes its input", () => {
  assertStringIncludes(failureOf((bytes) => bytes.length > 3 && bytes[3]++), "changed its input");
});

Deno.test("fuzzParser() catches a parser that is slow each time", () => {
  const slow = (bytes: Uint8Array): void => {
    const end = performance.now() + (bytes.length === 10 ? 12 : 0);
    while (performance.now() < end);
  };
  const message = assertThrows(() => fuzz("slow", [sample], slow, { ...quick, callLimit: 4 }), Error).message;
  assertStringIncludes(message, "took over 4 ms");
});

Deno.test("fuzzParser() ends a run that takes too long", () => {
  assertThrows(() => fuzz("total", [sample], () => {}, { totalLimit: -1 }), Error, "not done after -1 ms");
});

Deno.test("fuzzParser() gives the same inputs for the same seed, others for another", () => {
  const seen = (seed: number): string => {
    const inputs: string[] = [];
    fuzz("seeded", [sample, new Uint8Array([1, 2, 3])], (bytes) => inputs.push(bytes.join()), {
      mutations: 300,
      seed,
    });
    return inputs.join("\n");
  };
  const first = seen(8);
  assertEquals(seen(8), first);
  assert(seen(9) !== first);
});

// Not by setting this process's environment: Deno's parallel tests are threads of one process, and what is set in one
// file's is set for the fuzzers of all.
Deno.test("fuzzParser() takes seed and number of mutations from the environment first", () => {
  const options = { mutations: 2000, seed: 5, callLimit: 9 };
  const environment = { FUZZ_SEED: "77", FUZZ_MUTATIONS: "10" };
  assertEquals(withEnvironment(options, environment), { mutations: 10, seed: 77, callLimit: 9 });
  assertEquals(withEnvironment(options, { FUZZ_SEED: "", FUZZ_MUTATIONS: "0" }), { ...options, mutations: 0 });
  assertEquals(withEnvironment({}, {}), {});
  assertThrows(
    () => withEnvironment({}, { FUZZ_SEED: "x" }),
    RangeError,
    "FUZZ_SEED must be a whole number, not x",
  );

  let calls = 0;
  fuzzParser("environment", [new Uint8Array(2)], () => calls++, { mutations: 10 });
  assertEquals(calls, 3 + Number(process.env.FUZZ_MUTATIONS || 10));
});
