// Owns the tests of what the recorder in src/linux keeps: each stack once, and no more than there is room for.
import { assert, assertEquals } from "@std/assert";
import { BPF_F_STACK_BUILD_ID, decodeStacks, listStacks } from "../mod.ts";
import { CountTable } from "../src/linux/count_table.ts";
import { StackTable } from "../src/linux/stack_table.ts";

const ENOSPC = -28;

Deno.test("a table of stacks keeps each once, up to its last frame", () => {
  const table = new StackTable(3, true);
  const valid = (offset: number): number[] => [1, 7, 7, 7, 7, 7, offset, 0];
  const plain = (stale: number): number[] => [2, stale, stale, 0, 0, stale, 99, 1];
  const add = (...words: number[]): number => table.add(Int32Array.from({ length: 24 }, (_, i) => words[i] ?? 0));
  assertEquals(add(...valid(5), ...plain(0)), 0);
  assertEquals(add(...valid(5)), 1);
  assertEquals(add(...valid(5), ...plain(3)), 0);
  assertEquals(add(...valid(5), 0, 1, 2, 3), 1);
  assertEquals(add(...valid(5), ...valid(6), ...valid(7)), 2);
  assertEquals(add(), 3);
  assertEquals(table.size, 4);
  const words = new Int32Array(table.dump().buffer);
  assertEquals([...words.slice(0, 25)], [0, ...valid(5), ...plain(0), ...Array(8).fill(0)]);
  assertEquals([...words.slice(25, 50)], [1, ...valid(5), ...Array(16).fill(0)]);
  assertEquals([...words.slice(75)], [3, ...Array(24).fill(0)]);
  const addresses = new StackTable(2, false);
  for (let i = 0; i < 20_000; i++) assertEquals(addresses.add(Int32Array.of(i, -1, i % 3, 0)), i);
  for (let i = 0; i < 20_000; i += 999) assertEquals(addresses.add(Int32Array.of(i, -1, i % 3, 0)), i);
  assertEquals(new Int32Array(addresses.dump().buffer).slice(-5), Int32Array.of(19_999, 19_999, -1, 1, 0));
});

Deno.test("a dump's values are as deep as the deepest stack, and have a frame at least", () => {
  const table = new StackTable(127, true);
  const layout = () => ({ valueSize: 32 * table.dumpDepth, mapFlags: BPF_F_STACK_BUILD_ID });
  const deep = (frames: number): Int32Array =>
    Int32Array.from({ length: 127 * 8 }, (_, i) => i >= 8 * frames ? 0 : i % 8 === 0 ? 1 : i + frames);
  assertEquals([table.dumpDepth, table.dump().length], [1, 0]);
  table.add(deep(0));
  assertEquals([table.dumpDepth, table.dump().length], [1, 36]);
  for (const [frames, depth] of [[3, 3], [2, 3], [127, 127], [1, 127]]) {
    table.add(deep(frames));
    assertEquals([table.dumpDepth, table.dump().length], [depth, table.size * (4 + 32 * depth)]);
  }
  const depths = listStacks(decodeStacks(table.dump(), layout())).map(({ frames }) => frames.length);
  assertEquals(depths, [0, 3, 2, 127, 1]);
  const kernel = new StackTable(127, false);
  assertEquals([kernel.dumpDepth, kernel.dump().length], [1, 0]);
  kernel.add(Int32Array.from({ length: 254 }, (_, i) => i < 10 ? -1 : 0));
  assertEquals([kernel.dumpDepth, kernel.dump().length], [5, 44]);
});

Deno.test("a table of stacks without room keeps what it has, and finds it", () => {
  const stack = (...words: number[]): Int32Array => Int32Array.from({ length: 8 }, (_, i) => words[i] ?? 0);
  // Room for four stacks of a frame, or two of two.
  const table = new StackTable(4, false, 50);
  assertEquals([1, 2].map((i) => table.add(stack(i, -1))), [0, 1]);
  assertEquals(table.add(stack(1, -1, 2, -1)), ENOSPC); // 3 * 20 bytes
  assertEquals(table.dumpDepth, 1);
  assertEquals([3, 4, 5].map((i) => table.add(stack(i, -1))), [2, 3, ENOSPC]);
  assertEquals([1, 2, 3, 4].map((i) => table.add(stack(i, -1))), [0, 1, 2, 3]);
  assertEquals([table.size, table.dump().length], [4, 48]);
  assertEquals(new StackTable(4, false, 0).add(stack(1, -1)), ENOSPC);
  // Beyond what is allocated at first.
  const larger = new StackTable(4, false, 200_000);
  let last = 0;
  for (let i = 1; last >= 0; i++) last = larger.add(stack(i, -1, i, -1));
  assertEquals([larger.size, larger.dump().length], [10_000, 200_000]);
});

Deno.test("a table of counts adds up, and counts what there is no room for", () => {
  const table = new CountTable(3);
  table.add(1, 0, 0, 5);
  table.add(1, 0, -14, 1);
  table.add(1, 0, 0, 2 ** 32);
  table.add(2, ENOSPC, ENOSPC, 3);
  assertEquals([table.uncounted, table.dropped], [0, 6]);
  table.add(3, 0, 0, 10);
  table.add(1, ENOSPC, 0, 20);
  table.add(2, ENOSPC, ENOSPC, 1);
  assertEquals([table.uncounted, table.dropped], [30, 8]);
  const { pid, userStack, kernelStack, count } = table.columns();
  assertEquals([[...pid], [...userStack], [...kernelStack]], [[1, 1, 2], [0, 0, ENOSPC], [0, -14, ENOSPC]]);
  assertEquals([...count], [2 ** 32 + 5, 1, 4]);
  table.add(1, 0, 0, 1);
  assertEquals(count[0], 2 ** 32 + 5); // in memory of their own
  const room = new CountTable();
  for (let i = 0; i < 1000; i++) room.add(i % 7, i, -i, 1);
  assert(room.uncounted === 0 && room.columns().pid.length === 1000);
});
