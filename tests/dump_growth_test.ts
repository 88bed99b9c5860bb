// Decoding takes time in proportion to the dump, whatever build ids are in it.
import { assertEquals } from "@std/assert";
import { BPF_F_STACK_BUILD_ID, buildIdAt, decodeStacks } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { assertGrowth, milliseconds } from "./growth.ts";

const LAYOUT = { valueSize: 100 * 32, mapFlags: BPF_F_STACK_BUILD_ID };

// A dump of `stacks` full stacks where `fill` writes the build id of each frame.
function makeDump(stacks: number, fill: (id: Uint8Array, frame: number) => void): Uint8Array {
  const dump = new Uint8Array(stacks * (4 + LAYOUT.valueSize));
  for (let s = 0, frame = 0; s < stacks; s++) {
    for (let f = 0; f < 100; f++, frame++) {
      const at = s * (4 + LAYOUT.valueSize) + 4 + f * 32;
      dump[at] = 1;
      fill(dump.subarray(at + 4, at + 24), frame);
    }
  }
  return dump;
}

const decoding = (dump: Uint8Array) => (): number => milliseconds(() => decodeStacks(dump, LAYOUT));

// Every frame another id, the first word (which alone is hashed at first) the same in all.
const colliding = (id: Uint8Array, frame: number): void => {
  new DataView(id.buffer, id.byteOffset).setUint32(8, frame * 2 + 1, true);
};

Deno.test("decodeStacks() numbers colliding build ids in order of appearance", () => {
  const columns = decodeStacks(makeDump(300, (id, frame) => colliding(id, frame % 25_000)), LAYOUT);
  assertEquals(columns.buildIds.length / 20, 25_000);
  for (let row = 0; row < columns.status.length; row++) {
    if (columns.idIndex[row] !== row % 25_000) assertEquals(columns.idIndex[row], row % 25_000);
  }
  assertEquals(new DataView(buildIdAt(columns, 24_999).slice().buffer).getUint32(8, true), 49_999);
});

Deno.test("decodeStacks() of colliding build ids takes time in proportion, not the square", () => {
  const [small, large] = [200, 1600].map((stacks) => decoding(makeDump(stacks, colliding)));
  // 8 times the work; a quadratic table would take 64 times as long, and seconds. The rest is for a busy machine.
  assertGrowth("200 stacks, and 8 times as many", small, large, { times: 32, least: 8 });
});

Deno.test("decodeStacks() of distinct build ids takes time in proportion", () => {
  const random = new SeededRandom(3);
  const dump = makeDump(1600, (id) => random.fill(id));
  assertEquals(decodeStacks(dump, LAYOUT).buildIds.length / 20, 160_000);
  const small = decoding(dump.subarray(0, 200 * 3204));
  assertGrowth("200 stacks, and 8 times as many", small, decoding(dump), { times: 32, least: 8 });
});
