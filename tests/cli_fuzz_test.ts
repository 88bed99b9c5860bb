// What the command line parses, truncated and mutated: a result or a FormatError, in time.
import { assertEquals } from "@std/assert";
import { parseCounts } from "../src/cli/symbolize.ts";
import { readRecording, replay } from "../src/cli/recording.ts";
import { ID } from "./cli_run.ts";
import { fuzzParser } from "./fuzz.ts";
import { buildElf } from "./kernel_elf.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A recording of two calls on a map of four elements, small so that a replay is fast. */
function smallRecording(): Map<string, Uint8Array> {
  const meta = {
    name: "small",
    kernel: "6.18",
    nrCpus: 2,
    helperFlags: 256,
    maxEntries: 4,
    depthIp: 4,
    depthBuildId: 4,
    files: { "/a": "files/0000" },
  };
  const events = new Uint8Array(2 * 1056);
  const view = new DataView(events.buffer);
  for (const call of [0, 1]) {
    view.setBigInt64(call * 1056 + 24, 24n, true);
    view.setBigUint64(call * 1056 + 32, BigInt(call), true);
    for (const frame of [0, 1, 2]) {
      view.setBigUint64(call * 1056 + 40 + 8 * frame, 0x400100n + BigInt(16 * call + frame), true);
    }
  }
  return new Map([
    ["meta.json", encode(JSON.stringify(meta))],
    [
      "maps",
      encode("00400000-00401000 r-xp 00000000 fe:00 42 /a\n7ffc0000-7ffe0000 rw-p 00000000 00:00 0 [stack]\n"),
    ],
    ["events.bin", events],
    ["ip.bin", new Uint8Array(0)],
    ["bid.bin", new Uint8Array(0)],
    ["files/0000", buildElf({ buildId: ID })],
  ]);
}

Deno.test("a recording of two calls replays", () => {
  const files = smallRecording();
  assertEquals(replay(readRecording((name) => files.get(name))).calls, 2);
});

for (const mutated of ["meta.json", "events.bin", "maps"]) {
  Deno.test(`readRecording() and replay() survive truncation and mutations of ${mutated}`, () => {
    const files = smallRecording();
    fuzzParser(
      `recording, ${mutated}`,
      [files.get(mutated)!],
      (bytes) => replay(readRecording((name) => name === mutated ? bytes : files.get(name))),
    );
  });
}

Deno.test("parseCounts() survives truncation and mutations", () => {
  const samples = [encode("59 7\n\n-17 2\n"), encode("1,2\r\n  3: 4\n999999999999999 999999999999999\n")];
  fuzzParser("parseCounts", samples, (bytes) => parseCounts(new TextDecoder().decode(bytes)));
});
