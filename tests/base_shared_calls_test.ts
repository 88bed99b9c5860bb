// Owns the tests of SharedCalls and ByteGate: who joins, who leaves, what is kept afterwards, and in which order.
import { assertEquals, assertRejects } from "@std/assert";
import { orAborted } from "../src/base/abort.ts";
import { SharedCalls } from "../src/base/shared_calls.ts";
import { ByteGate } from "../src/store/byte_gate.ts";
import { sleep } from "./store_server.ts";

/** A promise that is settled from outside. */
interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void, reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

const never = new AbortController().signal;

Deno.test("SharedCalls joins those who ask for one key, and forgets a call that has ended", async () => {
  const calls = new SharedCalls<string, number>(false);
  const works: Deferred<number>[] = [];
  const start = (): Promise<number> => (works[works.length] = deferred<number>()).promise;
  const asked = Array.from({ length: 100 }, (_, i) => calls.ask(i % 2 === 0 ? "a" : "b", start));
  assertEquals([works.length, calls.size, calls.has("a"), calls.has("c")], [2, 2, true, false]);
  works[0].resolve(1);
  works[1].resolve(2);
  assertEquals(await Promise.all(asked), asked.map((_, i) => 1 + i % 2));
  assertEquals(calls.size, 0);
  const again = calls.ask("a", start);
  assertEquals(works.length, 3);
  works[2].reject(new Error("down"));
  await assertRejects(() => again, Error, "down");
  assertEquals(calls.size, 0);
  // A start that throws at once leaves nothing either.
  await assertRejects(
    () =>
      calls.ask("a", () => {
        throw new Error("at once");
      }),
    Error,
    "at once",
  );
  assertEquals(calls.size, 0);
});

Deno.test("SharedCalls: who is aborted leaves, and the last one ends the call", async () => {
  const calls = new SharedCalls<string, string>(false);
  let signal: AbortSignal | undefined;
  const work = deferred<string>();
  const start = (given: AbortSignal): Promise<string> => {
    signal = given;
    return work.promise;
  };
  const askers = Array.from({ length: 3 }, () => new AbortController());
  const asked = askers.map((asker) => calls.ask("a", start, asker.signal));
  askers[0].abort(new Error("first"));
  await assertRejects(() => asked[0], Error, "first");
  assertEquals([signal!.aborted, calls.size], [false, 1]);
  work.resolve("done");
  assertEquals(await asked[1], "done");
  assertEquals(await asked[2], "done");
  assertEquals(signal!.aborted, false);

  const stuck = deferred<string>();
  const left = askers.slice(1).map((asker) =>
    calls.ask("b", (given) => {
      signal = given;
      return stuck.promise;
    }, asker.signal)
  );
  for (const asker of askers) asker.abort(new Error("all"));
  for (const one of left) await assertRejects(() => one, Error, "all");
  assertEquals([signal!.aborted, calls.size], [true, 0]);
  // Who asks now starts anew, and the end of the old call does not touch the new one.
  const fresh = deferred<string>();
  const next = calls.ask("b", () => fresh.promise);
  stuck.reject(new Error("nobody hears of this"));
  await sleep(1);
  assertEquals(calls.has("b"), true);
  fresh.resolve("new");
  assertEquals(await next, "new");
  await assertRejects(() => calls.ask("c", start, askers[0].signal), Error, "first");
});

/** Runs `run` as a request of a worker that is dropped: its timers stand still for ever. */
function dropped(run: () => unknown): void {
  const { setInterval } = globalThis;
  globalThis.setInterval = (() => 0) as unknown as typeof setInterval;
  try {
    run();
  } finally {
    globalThis.setInterval = setInterval;
  }
}

/** Runs `run` some milliseconds later than it is. */
async function later<T>(milliseconds: number, run: () => Promise<T>): Promise<T> {
  const now = performance.now;
  performance.now = () => now.call(performance) + milliseconds;
  try {
    return await run();
  } finally {
    performance.now = now;
  }
}

Deno.test("SharedCalls on Workers: one call for all who ask, and another if it fails or its asker leaves", async () => {
  const calls = new SharedCalls<string, number>(true);
  let started = 0;
  const works: Deferred<number>[] = [];
  const start = (): Promise<number> => (works[started++] = deferred<number>()).promise;
  const controller = new AbortController();
  const first = calls.ask("a", start, controller.signal);
  const others = Promise.allSettled([1, 2, 3].map(() => calls.ask("a", start)));
  await sleep(60);
  assertEquals([started, calls.size, calls.has("a")], [1, 1, true]);
  controller.abort(new Error("left"));
  await assertRejects(() => first, Error, "left");
  await sleep(80);
  assertEquals(started, 2); // one of the others, for all of them
  works[1].reject(new Error("failed"));
  await sleep(80);
  assertEquals(started, 3);
  works[2].resolve(7);
  assertEquals((await others).map((one) => one.status === "fulfilled" ? one.value : one.reason.message).sort(), [
    ...[7, 7, "failed"],
  ]);
  const leaving = new AbortController();
  const led = calls.ask("b", start);
  const waits = calls.ask("b", start, leaving.signal);
  leaving.abort(new Error("left"));
  await assertRejects(() => waits, Error, "left");
  works[3].resolve(8);
  assertEquals([await led, started, calls.size], [8, 4, 0]);
});

Deno.test("SharedCalls on Workers: a call that ended without notice is begun anew, and not kept", async () => {
  const calls = new SharedCalls<string, number>(true);
  const forever = new Promise<number>(() => {});
  dropped(() => void calls.ask("a", () => forever));
  dropped(() => void calls.ask("b", () => forever));
  const next = calls.ask("a", () => Promise.resolve(2));
  assertEquals(await Promise.race([next, sleep(120)]), undefined);
  assertEquals(await later(2500, () => next), 2);
  assertEquals(calls.size, 0);
});

Deno.test("orAborted() lets nothing go unhandled, whichever comes first", async () => {
  const late = deferred();
  await assertRejects(() => orAborted(late.promise, AbortSignal.abort(new Error("before"))), Error, "before");
  late.reject(new Error("unheard"));
  assertEquals(await orAborted(Promise.resolve(1), never), 1);
  await assertRejects(() => orAborted(Promise.reject(new Error("own")), never), Error, "own");
  await sleep(1);
});

for (const beats of [false, true]) {
  const where = beats ? ", also on Workers" : "";

  Deno.test(`ByteGate lets in what fits, in order of arrival${where}`, async () => {
    const gate = new ByteGate(10, beats);
    const order: number[] = [];
    const works = Array.from({ length: 5 }, () => deferred());
    const run = (i: number, bytes: number) =>
      gate.run(bytes, () => {
        order.push(i);
        return works[i].promise;
      }, never);
    // The second fits beside the first; the third does not, and the fourth waits behind it although it would.
    const done = [run(0, 6), run(1, 4), run(2, 7), run(3, 1), run(4, 100)];
    await sleep(1);
    assertEquals([order, gate.inside], [[0, 1], 10]);
    works[1].resolve();
    await done[1];
    assertEquals(gate.inside, 6);
    works[0].resolve();
    await done[0];
    await sleep(beats ? 150 : 1);
    assertEquals([order, gate.inside], [[0, 1, 2, 3], 8]);
    works[2].reject(new Error("failed"));
    await assertRejects(() => done[2], Error, "failed");
    works[3].resolve();
    await done[3];
    await sleep(beats ? 150 : 1);
    // More than the limit comes in alone, and fills it.
    assertEquals([order, gate.inside], [[0, 1, 2, 3, 4], 10]);
    works[4].resolve();
    await done[4];
    assertEquals(gate.inside, 0);
  });

  Deno.test(`ByteGate: who is aborted while waiting makes room for those behind${where}`, async () => {
    const gate = new ByteGate(10, beats);
    const first = deferred();
    const inside = gate.run(6, () => first.promise, never);
    const controller = new AbortController();
    const waiting = gate.run(9, () => Promise.resolve("never"), controller.signal);
    const behind = gate.run(4, () => Promise.resolve("in"), never);
    await sleep(1);
    controller.abort(new Error("left"));
    await assertRejects(() => waiting, Error, "left");
    assertEquals(await behind, "in");
    // Aborted at the very moment of being let in: the room is given back.
    const late = new AbortController();
    const both = gate.run(9, () => Promise.resolve("either"), late.signal).catch(() => "left");
    first.resolve();
    late.abort();
    await inside;
    await both;
    assertEquals(gate.inside, 0);
    assertEquals(await gate.run(10, () => Promise.resolve("all"), never), "all");
    await assertRejects(() => gate.run(1, () => Promise.resolve("never"), late.signal));
    assertEquals(gate.inside, 0);
  });
}

Deno.test("ByteGate: work that ended without notice loses its room, waiting or inside", async () => {
  const gate = new ByteGate(10, true);
  dropped(() => {
    void gate.run(8, () => new Promise(() => {}), never);
    void gate.run(9, () => Promise.resolve(), never);
  });
  const next = gate.run(5, () => Promise.resolve("in"), never);
  await sleep(120);
  assertEquals(gate.inside, 8);
  assertEquals(await later(2500, () => next), "in");
  assertEquals(gate.inside, 0);
});
