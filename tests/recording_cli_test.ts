// Recordings of samples on the command line: what `symbolize --recording` prints of them, and its limits.
import { writeFileSync } from "node:fs";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { encodeRecording, encodeStacks, type SampleRecording } from "../mod.ts";
import { inDirectory, run } from "./cli_run.ts";
import { samples } from "./recording_fixture.ts";

async function symbolized(
  recording: SampleRecording,
  ...options: string[]
): Promise<{ code: number; out: string; err: string }> {
  const bytes = await encodeRecording(recording);
  let result = { code: -1, out: "", err: "" };
  await inDirectory(async (dir) => {
    writeFileSync(`${dir}/samples.tar.gz`, bytes);
    result = await run("symbolize", "--recording", `${dir}/samples.tar.gz`, ...options);
  });
  return result;
}

Deno.test("symbolize --recording tells the processes, what each lost, and why", async () => {
  const { code, out, err } = await symbolized(samples());
  assertEquals(code, 0);
  assertStringIncludes(out, "node;[lost stack: EEXIST] 3\nnode;[no stack] 2\n");
  assertMatch(out, /^\[lost stack: ENOMEM\] 8\n/);
  assertEquals(
    err,
    `51 samples of 5 processes in 2.5 s at 99 Hz
9 samples lost the user stack: -EEXIST (another stack was in its place: raise --entries)
8 samples lost the user stack: -ENOMEM (the map was full: raise --entries)
1 sample lost the kernel stack: -ENOMEM (the map was full: raise --entries)
8 samples lost the kernel stack: -EEXIST (another stack was in its place: raise --entries)
2 samples had no stack of the kind that was asked for: -EFAULT
3 samples not counted: raise --entries
27 frames in 8 stacks: 13 resolved (48.1 %), 10 kept as IP, 4 unknown (4 no-such-binary)
`,
  );
});

Deno.test("symbolize --recording counts processes that have no stack, and says when the kernel hid its addresses", async () => {
  const given = samples();
  const { stacks } = given;
  const none = {
    ...stacks,
    userStack: stacks.userStack.map(() => -14),
    kernelStack: stacks.kernelStack.map(() => -14),
  };
  const without = await symbolized(samples({ stacks: none }));
  assertMatch(without.err, /^51 samples of 5 processes /);
  assertEquals(without.out, "[no stack] 8\nkworker/0:1;[no stack] 4\nnode;[no stack] 27\nother;[no stack] 9\n");
  const hidden = "no frame of the kernel has a name: kernel addresses were hidden: kernel.kptr_restrict\n";
  assertEquals([without, await symbolized(given)].map(({ err }) => err.includes(hidden)), [false, false]);
  const zeros = given.kallsyms.replace(/^[0-9a-f]+/gm, "0000000000000000");
  assertStringIncludes((await symbolized(samples({ kallsyms: zeros }))).err, hidden);
});

Deno.test("symbolize --recording has limits, which --max-frames raises", async () => {
  const depth = 4096, rows = 5000;
  const frames = Array.from({ length: depth }, (_, i) => ({ status: 2, ip: 0xffff_ffff_8100_0000n + BigInt(i) }));
  const stacks = {
    ...samples().stacks,
    ...{ depth, userDepth: 1, kernelDepth: depth, userStacks: new Uint8Array(0) },
    kernelStacks: encodeStacks([{ id: 0, frames }], { valueSize: 8 * depth }),
    pid: Uint32Array.from({ length: rows }, (_, i) => i),
    userStack: new Int32Array(rows).fill(-14),
    kernelStack: new Int32Array(rows),
    count: new Float64Array(rows).fill(1),
  };
  const { code, out, err } = await symbolized(samples({ stacks }));
  assertEquals([code, out], [1, ""]);
  assertMatch(err, /samples\.tar\.gz: has more than 16777216 frames: raise --max-frames\n$/);
  assertMatch(
    (await symbolized(samples(), "--max-frames", "26")).err,
    /has more than 26 frames: raise --max-frames\n$/,
  );
  assertEquals((await symbolized(samples(), "--max-frames", "27")).code, 0);
  assertMatch(
    (await run("symbolize", "--dump", "x", "--max-frames", "5")).err,
    /--max-frames is about a recording/,
  );
  assertEquals((await symbolized(samples(), "--max-frames", "0")).code, 2);
});
