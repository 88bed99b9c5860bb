// The profiles against recordings of running kernels: every id, both dumps, every BPF_MAP_CREATE.
import { assertEquals, assertGreater, assertNotEquals } from "@std/assert";
import { BPF_F_USER_STACK, getStack, KernelError, type KernelRelease, StackMap } from "../mod.ts";
import { readRecording, recordedCalls, replay } from "../src/cli/recording.ts";
import { LONGTERM_RECORDINGS, readTestdata, readTestdataLines, RECORDINGS } from "./fixtures.ts";
import { readTar } from "../src/recording/tar.ts";

const RECORDED: [KernelRelease, readonly string[]][] = [
  ["6.1", LONGTERM_RECORDINGS],
  ["6.12", LONGTERM_RECORDINGS],
  ["6.18", RECORDINGS],
];

for (const [kernel, names] of RECORDED) {
  for (const name of names) {
    const load = () => {
      const files = readTar(readTestdata(`linux-${kernel}/${name}.tar.gz`));
      return readRecording((file) => files.get(file));
    };

    Deno.test(`StackMap of ${kernel} gives every id and both dumps of the recording ${name}`, () => {
      const recording = load();
      assertEquals(recording.meta.kernel, kernel);
      const result = replay(recording);
      assertEquals(result.firstDifference, undefined);
      assertEquals([result.equalCalls, result.ipDump, result.buildIdDump], [result.calls, true, true]);
      assertGreater(result.calls, 80);
      assertGreater(recording.bid.length, 0);
    });

    Deno.test(`getStack() of ${kernel} returns for the recording ${name} what bpf_get_stack() returned`, () => {
      const recording = load();
      const events = new DataView(recording.events.slice().buffer);
      const buf = new Uint8Array(1016);
      let calls = 0;
      for (const { ips } of recordedCalls(recording)) {
        const recorded = Number(events.getBigInt64(1056 * calls + 24, true));
        assertEquals(getStack(ips, buf, BPF_F_USER_STACK, undefined, { kernel }), recorded);
        assertEquals(buf, new Uint8Array(events.buffer, 1056 * calls++ + 40, 1016));
      }
      assertGreater(calls, 80);
    });
  }
}

Deno.test("a recording of 6.18 comes out differently in the profiles of 4.17 and 6.1", () => {
  const files = readTar(readTestdata("linux-6.18/fuzz-31.tar.gz"));
  for (const kernel of ["4.17", "6.1"] as const) {
    assertNotEquals(replay(readRecording((file) => files.get(file)), kernel).buildIdDump, true);
  }
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
