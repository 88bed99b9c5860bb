// The 6.18 profile against recordings of a running 6.18 kernel: every id, both dumps, every BPF_MAP_CREATE.
import { assertEquals, assertGreater, assertNotEquals } from "@std/assert";
import { BPF_F_USER_STACK, getStack, KernelError, StackMap } from "../mod.ts";
import { readRecording, recordedCalls, replay } from "../src/cli/recording.ts";
import { readTestdata, readTestdataLines, RECORDINGS } from "./fixtures.ts";
import { readTar } from "../src/recording/tar.ts";

for (const name of RECORDINGS) {
  Deno.test(`StackMap of 6.18 gives every id and both dumps of the recording ${name}`, () => {
    const files = readTar(readTestdata(`linux-6.18/${name}.tar.gz`));
    const recording = readRecording((file) => files.get(file));
    const result = replay(recording);
    assertEquals(result.firstDifference, undefined);
    assertEquals([result.equalCalls, result.ipDump, result.buildIdDump], [result.calls, true, true]);
    assertGreater(result.calls, 80);
    assertGreater(recording.bid.length, 0);
  });
}

for (const name of RECORDINGS) {
  Deno.test(`getStack() returns for the recording ${name} what bpf_get_stack() returned`, () => {
    const files = readTar(readTestdata(`linux-6.18/${name}.tar.gz`));
    const recording = readRecording((file) => files.get(file));
    const events = new DataView(recording.events.slice().buffer);
    const buf = new Uint8Array(1016);
    let calls = 0;
    for (const { ips } of recordedCalls(recording)) {
      const recorded = Number(events.getBigInt64(1056 * calls + 24, true));
      assertEquals(getStack(ips, buf, BPF_F_USER_STACK), recorded);
      assertEquals(buf, new Uint8Array(events.buffer, 1056 * calls++ + 40, 1016));
    }
    assertGreater(calls, 80);
  });
}

Deno.test("a recording of 6.18 comes out differently in the 4.17 profile", () => {
  const files = readTar(readTestdata("linux-6.18/fuzz-31.tar.gz"));
  const result = replay(readRecording((file) => files.get(file)), "4.17");
  assertNotEquals(result.buildIdDump, true);
});

Deno.test("new StackMap() answers every recorded BPF_MAP_CREATE as 6.18 did", () => {
  const rows = readTestdataLines("linux-6.18/map_create.txt").filter((line) => !line.startsWith("#"));
  assertEquals(rows.length, 1611);
  for (const row of rows) {
    const [keySize, valueSize, maxEntries, mapFlags, expected] = row.split(" ").map(Number);
    let result = 0;
    try {
      new StackMap({ keySize, valueSize, maxEntries, mapFlags }, { kernel: "6.18" });
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      result = -error.errno;
    }
    assertEquals(result, expected, row);
  }
});
