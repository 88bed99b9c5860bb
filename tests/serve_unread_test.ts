// Owns the tests of answers that nobody reads.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { BPF_F_STACK_BUILD_ID, encodeStacks, memoryStore, symbolizeHandler } from "../mod.ts";
import { UnreadAnswers } from "../src/serve/unread_answers.ts";

function chunks(count: number): ReadableStream<Uint8Array> {
  let left = count;
  return new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(Uint8Array.of(left));
      else controller.close();
    },
  }, { highWaterMark: 0 });
}

Deno.test("answers count until they are read, cancelled or cut; the one not read for the longest time is cut", async () => {
  const unread = new UnreadAnswers(100);
  const first = unread.hold(chunks(2), 40);
  const second = unread.hold(chunks(2), 40);
  assertEquals(unread.bytes, 80);
  const reader = first.getReader();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals((await reader.read()).value, Uint8Array.of(1));
  const third = unread.hold(chunks(1), 40); // no room: the second has not been read since
  assertEquals(unread.bytes, 80);
  await assertRejects(() => new Response(second).bytes(), Error, "not read");
  assertEquals([(await reader.read()).value, (await reader.read()).done], [Uint8Array.of(0), true]);
  assertEquals(unread.bytes, 40);
  await third.cancel();
  assertEquals(unread.bytes, 0);
  // One alone may be larger than the limit.
  assertEquals(await new Response(unread.hold(chunks(3), 1000)).bytes(), Uint8Array.of(2, 1, 0));
  assertEquals(unread.bytes, 0);
});

Deno.test("clients that do not read their answers lose them, others get theirs", async () => {
  const handler = symbolizeHandler({ store: memoryStore([]), limits: { maxBodiesBytes: 1 << 21 } });
  const frames = Array.from({ length: 100 }, (_, i) => ({ status: 2, ip: BigInt(0x1000 + i) }));
  const stacks = Array.from({ length: 300 }, (_, id) => ({ id, frames }));
  const body = new Uint8Array(encodeStacks(stacks, { valueSize: 3200, mapFlags: BPF_F_STACK_BUILD_ID }));
  const ask = () =>
    handler(
      new Request("http://localhost/symbolize?valueSize=3200", {
        method: "POST",
        headers: { "content-type": "application/octet-stream" },
        body,
      }),
    );
  const slow: Response[] = [];
  for (let i = 0; i < 6; i++) slow.push(await ask());
  assertEquals((await (await ask()).json()).stacks.length, 300);
  const kept = await Promise.all(slow.map((response) => response.bytes().then(() => true, () => false)));
  assert(kept.includes(false) && kept[5], `${kept}`);
});
