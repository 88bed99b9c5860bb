// PcpuFreelist and CpuSchedule: how elements are spread and handed out, with free and with held locks.
import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  CpuSchedule,
  type FreelistLocks,
  KERNEL_RELEASES,
  KernelError,
  type KernelRelease,
  PcpuFreelist,
} from "../mod.ts";

function lists(kernel: KernelRelease, nrCpus: number, nrElems: number): number[][] {
  const freelist = new PcpuFreelist(nrCpus, { kernel });
  freelist.populate(nrElems);
  return Array.from({ length: nrCpus }, (_, cpu) => freelist.nodes(cpu));
}

Deno.test("populate() of 4.17 gives each CPU n / cpus + 1 elements until none is left", () => {
  assertEquals(lists("4.17", 4, 6), [[1, 0], [3, 2], [5, 4], []]);
  assertEquals(lists("4.17", 2, 4), [[2, 1, 0], [3]]);
  assertEquals(lists("4.17", 3, 1), [[0], [], []]);
  assertEquals(lists("4.17", 1, 3), [[2, 1, 0]]);
});

Deno.test("populate() since 6.1 spreads evenly, the remainder to the first CPUs", () => {
  for (const kernel of KERNEL_RELEASES.slice(1)) assertEquals(lists(kernel, 4, 6), [[1, 0], [3, 2], [4], [5]]);
  assertEquals(lists("6.18", 4, 6), [[1, 0], [3, 2], [4], [5]]);
  assertEquals(lists("6.18", 2, 4), [[1, 0], [3, 2]]);
  assertEquals(lists("6.18", 3, 1), [[0], [], []]);
});

Deno.test("pop() takes from the CPU's own list, then from the next CPUs' in turn, then is NULL", () => {
  const freelist = new PcpuFreelist(3, { kernel: "6.18" });
  freelist.populate(5); // [1 0] [3 2] [4]
  assertEquals(Array.from({ length: 6 }, () => freelist.pop(1)), [3, 2, 4, 1, 0, -1]);
  freelist.push(4, 2);
  freelist.push(0, 2);
  assertEquals(freelist.nodes(2), [0, 4]);
  assertEquals([freelist.pop(0), freelist.pop(0), freelist.pop(0)], [0, 4, -1]);
});

function held(locks: FreelistLocks, ...holds: (number | "extralist")[]): PcpuFreelist {
  const freelist = new PcpuFreelist(2, { locks });
  freelist.populate(2); // [0] [1]
  for (const hold of holds) freelist.hold(hold);
  return freelist;
}

Deno.test("spin locks (4.17): a held lock on the way means the kernel would hang", () => {
  assertThrows(() => held("spin", 0).pop(0), Error, "spin for ever: the lock of CPU 0's list");
  const freelist = held("spin", 0);
  assertEquals(freelist.pop(1), 1);
  const error = assertThrows(() => freelist.push(1, 0, true), KernelError, "spin for ever");
  assertEquals(error.code, "EDEADLK");
});

Deno.test("trylock in NMI (6.1, 6.12): an NMI goes to the next list, at last to the extralist", () => {
  assertEquals(held("trylock-in-nmi", 0).pop(0, true), 1);
  assertThrows(() => held("trylock-in-nmi", 0).pop(0, false), Error, "spin for ever");
  const freelist = held("trylock-in-nmi", 0, 1);
  const node = 0;
  freelist.release(0);
  assertEquals(freelist.pop(0, true), node);
  freelist.hold(0);
  freelist.push(node, 0, true);
  assertEquals(freelist.nodes("extralist"), [node]);
  assertEquals(freelist.pop(1, true), node);
  assertEquals(freelist.pop(1, true), -1);
  freelist.hold("extralist");
  assertEquals(freelist.pop(1, true), -1);
  assertThrows(() => freelist.push(node, 0, true), Error, "spin for ever");
});

Deno.test("trylock in NMI (6.1, 6.12): outside NMI the extralist is drained when the CPUs' lists are empty", () => {
  const freelist = held("trylock-in-nmi");
  const taken = [freelist.pop(0), freelist.pop(0)];
  assertEquals(taken, [0, 1]);
  freelist.hold(0);
  freelist.hold(1);
  freelist.push(1, 0, true);
  freelist.release(0);
  freelist.release(1);
  assertEquals(freelist.nodes("extralist"), [1]);
  assertEquals([freelist.pop(0), freelist.pop(0)], [1, -1]);
  // Locks of lists that are empty are left alone.
  freelist.hold("extralist");
  freelist.hold(0);
  assertEquals(freelist.pop(0), -1);
  freelist.release("extralist");
  freelist.hold(1);
  freelist.push(0, 0, true);
  freelist.hold("extralist");
  assertThrows(() => freelist.pop(0), Error, "the extralist is held");
});

Deno.test("resilient locks (6.18): a held list is passed over, in NMI or not", () => {
  assertEquals(held("resilient", 0).pop(0), 1);
  assertEquals(held("resilient", 0, 1).pop(0), -1);
  const freelist = held("resilient", 0);
  assertEquals(freelist.pop(0), 1);
  freelist.push(1, 0);
  assertEquals([freelist.nodes(0), freelist.nodes(1)], [[0], [1]]);
  assertEquals(freelist.pop(0), 1);
  freelist.hold(1);
  assertThrows(() => freelist.push(1, 0), KernelError, "spin for ever");
});

Deno.test("a freelist refuses CPUs that no machine has", () => {
  for (const nrCpus of [0, -1, 1.5, 8193, NaN]) assertThrows(() => new PcpuFreelist(nrCpus), RangeError);
  const freelist = new PcpuFreelist(2);
  freelist.populate(2);
  for (const cpu of [2, -1, 0.5, NaN]) {
    assertThrows(() => freelist.nodes(cpu), RangeError);
    assertThrows(() => freelist.pop(cpu), RangeError);
    assertThrows(() => freelist.hold(cpu), RangeError);
  }
  for (const n of [-1, 1.5, NaN]) assertThrows(() => freelist.populate(n), RangeError);
});

Deno.test("a freelist takes back only what it handed out", () => {
  const freelist = new PcpuFreelist(2);
  freelist.populate(2);
  for (const node of [0, 1, 2, -1, 0.5, NaN]) assertThrows(() => freelist.push(node), RangeError, "element");
  const node = freelist.pop();
  assertThrows(() => freelist.push(node, 7), RangeError, "CPU 7 of 2");
  freelist.push(node);
  assertThrows(() => freelist.push(node), RangeError, "in a list already");
  assertEquals(freelist.nodes(0), [node]);
});

Deno.test("a schedule repeats itself from its seed and visits every CPU", () => {
  const draw = (seed: number) => {
    const schedule = new CpuSchedule(seed, 5);
    return Array.from({ length: 200 }, () => schedule.cpu());
  };
  assertEquals(draw(42), draw(42));
  assertNotEquals(draw(42), draw(43));
  assertEquals([...new Set(draw(42))].sort(), [0, 1, 2, 3, 4]);
  assertThrows(() => new CpuSchedule(1, 1, { nmi: 1.5 }), RangeError, "rate of nmi");
  assertThrows(() => new CpuSchedule(1, NaN), RangeError, "nrCpus");
});
