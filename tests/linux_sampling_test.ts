// Owns the proof that src/linux works: stacks of a child, recorded by the running kernel, decoded by this package.
import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import {
  BPF_BUILD_ID_SIZE,
  BPF_F_STACK_BUILD_ID,
  BPF_F_USER_STACK,
  BPF_MAP_TYPE_STACK_TRACE,
  BPF_STACK_BUILD_ID_VALID,
  BuildIdIndex,
  decodeStacks,
  listStacks,
  readBuildId,
  type Stack,
} from "../mod.ts";
import { toHex, viewOf } from "../src/base/bytes.ts";
import {
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BpfMap,
  BpfProgram,
  dumpStackMap,
  mapKeys,
  openRawTracepoint,
  PERF_COUNT_SW_CPU_CLOCK,
  PERF_TYPE_SOFTWARE,
  PerfEvent,
  stackIds,
} from "../src/linux/linux.ts";
import { CHILD_CALLS, countsMap, countStacks, noBpf, noBpfOrGcc, startChild } from "./linux_fixture.ts";

if (noBpf.ignore) console.log(`tests of src/linux${noBpf.why}`);

function stackMap(): BpfMap {
  return BpfMap.create({
    type: BPF_MAP_TYPE_STACK_TRACE,
    valueSize: 127 * 32,
    maxEntries: 1024,
    mapFlags: BPF_F_STACK_BUILD_ID,
    name: "stacks",
  });
}

/** Counts by stack id. */
function countsOf(counts: BpfMap): Map<number, number> {
  const found = new Map<number, number>();
  for (const key of mapKeys(counts)) {
    found.set(viewOf(key).getUint32(0, true), Number(viewOf(counts.lookup(key)!).getBigUint64(0, true)));
  }
  return found;
}

/**
 * Functions of a stack, innermost first, up to main(): those frames must be valid and of that file. What called
 * main() keeps no frame pointer, so that the chain may go anywhere after it.
 */
function functionsOf({ frames }: Stack, file: Uint8Array): string[] {
  const expected = new Uint8Array(BPF_BUILD_ID_SIZE);
  expected.set(readBuildId(file)!);
  const index = new BuildIdIndex();
  index.add(file);
  const names: string[] = [];
  for (const [i, frame] of frames.entries()) {
    if (names[i - 1] === "main") break;
    assertEquals([frame.status, toHex(frame.build_id)], [BPF_STACK_BUILD_ID_VALID, toHex(expected)]);
    const found = index.resolve(frame.build_id, frame.offset, { returnAddress: i > 0 });
    names.push(found.symbol?.name ?? `? ${found.reason}`);
  }
  return names;
}

Deno.test({
  name: `a raw tracepoint on sys_enter records a child's user stacks with its build id${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  async fn() {
    using child = startChild();
    using stacks = stackMap();
    using counts = countsMap();
    {
      const insns = countStacks(child.pid, stacks, counts, BPF_F_USER_STACK);
      using program = BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns, name: "count_stacks" });
      using _link = openRawTracepoint("sys_enter", program);
      await child.work();
    }
    const file = readFileSync(child.path);
    const found = countsOf(counts);
    const recorded = listStacks(decodeStacks(dumpStackMap(stacks), stacks));
    assertEquals(recorded.map(({ id }) => id), [...stackIds(stacks)]);
    assertEquals([...found.keys()].sort((a, b) => a - b), recorded.map(({ id }) => id));
    const stack = recorded.find(({ id }) => found.get(id) === CHILD_CALLS);
    assert(stack !== undefined);
    // The C library's syscall() makes no frame, so that its caller inner() is not in the chain.
    assertEquals(functionsOf(stack, file), ["syscall", "outer", "main"]);
  },
});

Deno.test({
  name: `a perf event on cpu-clock samples a busy child${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  async fn() {
    using child = startChild();
    using stacks = stackMap();
    using counts = countsMap();
    const insns = countStacks(child.pid, stacks, counts, BPF_F_USER_STACK);
    using program = BpfProgram.load({ type: BPF_PROG_TYPE_PERF_EVENT, insns, name: "count_stacks" });
    using event = PerfEvent.open({
      type: PERF_TYPE_SOFTWARE,
      config: PERF_COUNT_SW_CPU_CLOCK,
      freq: true,
      sample_freq: 997,
      disabled: true,
    }, { pid: child.pid });
    event.setBpf(program);
    event.enable();
    child.spin();
    const until = Date.now() + 10_000;
    let total = 0;
    while (total < 20 && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      total = [...countsOf(counts).values()].reduce((sum, count) => sum + count, 0);
    }
    event.disable();
    assert(total >= 20, `${total} samples`);
    // What was recorded outlives the child.
    await child.kill();
    const file = readFileSync(child.path);
    const recorded = listStacks(decodeStacks(dumpStackMap(stacks), stacks));
    const found = countsOf(counts);
    // Where another's sample of build IDs came in the same interrupt, the stack is one of addresses.
    const withIds = recorded.filter(({ frames: [top] }) => top.status === BPF_STACK_BUILD_ID_VALID);
    const busiest = withIds.toSorted((a, b) => found.get(b.id)! - found.get(a.id)!)[0];
    assertEquals(functionsOf(busiest, file), ["spin", "main"]);
    assert(event.read() > 0n);
  },
});
