// Owns what SeededRandom promises: the same numbers everywhere, as sfc32 defines them.
import { assert, assertAlmostEquals, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { SeededRandom } from "../src/base/random.ts";

/** sfc32 from its definition, on bigint, with nothing shared with the implementation. */
function* reference(seed: bigint): Generator<number> {
  const word = (value: bigint): bigint => value & 0xffff_ffffn;
  let a = 0n;
  let b = word(seed >> 32n);
  let c = word(seed);
  let counter = 1n;
  for (let round = 0;; round++) {
    const sum = word(a + b + counter);
    counter = word(counter + 1n);
    a = b ^ (b >> 9n);
    b = word(c + (c << 3n));
    c = word((word(c << 21n) | (c >> 11n)) + sum);
    if (round >= 15) yield Number(sum);
  }
}

const SEEDS = [
  0,
  1,
  2,
  -1,
  42,
  0xffff_ffff,
  0x1_0000_0000,
  0x1234_5678_9abc,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
];

Deno.test("nextUint32() gives the numbers of sfc32 for every kind of seed", () => {
  for (const seed of SEEDS) {
    const random = new SeededRandom(seed);
    const expected = reference(BigInt(seed));
    for (let i = 0; i < 1000; i++) {
      assertEquals(random.nextUint32(), expected.next().value, `seed ${seed}, number ${i}`);
    }
  }
});

Deno.test("nextUint32() gives a known sequence in every runtime", () => {
  const random = new SeededRandom(1);
  const first = Array.from({ length: 8 }, () => random.nextUint32().toString(16).padStart(8, "0")).join(" ");
  assertEquals(first, "3e69971e 6ebec678 e64b729a f7b630ed c1bfc770 a311eb02 6923c932 0f56560a");
  const wide = new SeededRandom(0x12345_6789_abcd);
  let hash = 0;
  for (let i = 0; i < 1_000_000; i++) hash = (Math.imul(hash, 31) + wide.nextUint32()) >>> 0;
  assertEquals(hash.toString(16).padStart(8, "0"), "86ba139c");
});

Deno.test("SeededRandom counts both halves of the seed", () => {
  const first = (seed: number): number => new SeededRandom(seed).nextUint32();
  assertNotEquals(first(5), first(5 + 2 ** 32));
  assertNotEquals(first(5), first(6));
  assertNotEquals(first(5), first(-5));
});

Deno.test("SeededRandom refuses a seed that is not a safe integer", () => {
  for (const seed of [NaN, Infinity, 0.5, 2 ** 53]) {
    assertThrows(() => new SeededRandom(seed), RangeError, "seed must be a safe integer");
  }
});

Deno.test("below() stays below its bound, reaches every value and is even", () => {
  const random = new SeededRandom(7);
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) counts[random.below(10)]++;
  assertEquals(counts.length, 10);
  for (const count of counts) assertAlmostEquals(count, 10_000, 500);
  for (let i = 0; i < 1000; i++) assertEquals(random.below(1), 0);
  let top = 0;
  for (let i = 0; i < 1000; i++) {
    const value = random.below(2 ** 32);
    assert(Number.isInteger(value) && value >= 0 && value < 2 ** 32);
    top = Math.max(top, value);
  }
  assert(top > 2 ** 31);
});

Deno.test("chance() is never true at 0, always at 1, and about half at 0.5", () => {
  const random = new SeededRandom(9);
  let half = 0;
  for (let i = 0; i < 10_000; i++) {
    assertEquals(random.chance(0), false);
    assertEquals(random.chance(1), true);
    if (random.chance(0.5)) half++;
  }
  assertAlmostEquals(half, 5000, 250);
});

Deno.test("fill() fills the whole array, from one number a byte", () => {
  const random = new SeededRandom(3);
  const bytes = random.fill(new Uint8Array(256));
  const again = new SeededRandom(3);
  assertEquals([...bytes], Array.from({ length: 256 }, () => again.nextUint32() & 0xff));
  assert(new Set(bytes).size > 100);
});
