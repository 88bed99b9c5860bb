// Recordings of samples: encodeRecording() and readRecording() there and back, names of frames, and damaged archives.
import { spawnSync } from "node:child_process";
import { gunzipSync } from "node:zlib";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  encodePprof,
  encodeRecording,
  encodeStacks,
  foldStacks,
  FormatError,
  formatFolded,
  memoryStore,
  readRecording,
  type SampleRecording,
  type StackRecording,
  symbolizeHandler,
  Symbolizer,
} from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { MOST_DEPTH, readSampleRecording } from "../src/recording/sample_reader.ts";
import { readTar } from "../src/recording/tar.ts";
import { writeTar } from "../src/recording/tar_writer.ts";
import { fuzzParser } from "./fuzz.ts";
import { BUILD_ID, DEPTH, HEX_ID, MAPS, samples } from "./recording_fixture.ts";

const KERNEL = "nft_do [nf_tables];do_idle;schedule";
const FOLDED = `\
0x7f0000009000 [ip];0x7f0000001080 [ip];f1136 2
0x7f0000009000 [ip];JS:*leaf: /a.js:1;f1136 8
0x7f0000009000 [ip];JS:*leaf: /a.js:1;f1136;${KERNEL} 5
0xffffffff70000000 [ip];_after 4
JS:another 9
[heap];JS:*leaf: /a.js:1;libfoo.so+0x1234;[vdso];0xffffffff70000000 [ip];_after 1
[lost stack: EEXIST] 3
[lost stack: ENOMEM] 8
[no stack] 2
${KERNEL} 6
`;

function folded({ stacks, counts }: StackRecording, root?: (stack: number) => string | undefined): string {
  const namer = ({ status, offset }: { status: number; offset: bigint }) =>
    status === 1 ? `f${offset.toString(16)}` : undefined;
  return formatFolded(foldStacks(stacks, namer, counts, root === undefined ? {} : { root }));
}

Deno.test("a recording of samples comes back with its stacks, counts, names and losses", async () => {
  const given = samples();
  const read = await readRecording(await encodeRecording(given));
  // Process 11 has neither maps nor a perf map.
  assertEquals(folded(read), FOLDED);
  const rows = [...given.stacks.pid.keys()];
  assertEquals([...read.stacks.ids], rows);
  assertEquals(read.pids, given.stacks.pid);
  assertEquals([...read.counts], rows.map((i) => [i, given.stacks.count[i]]));
  assertEquals([...read.lost.user], [[-17, 9], [-14, 2], [-12, 8]]);
  assertEquals([...read.lost.kernel], [[-14, 2], [-12, 1], [-17, 8]]);
  assertEquals(read.lost.uncounted, 3);
  assertEquals([...read.processes.values()], given.processes.map(({ pid, comm }) => ({ pid, comm })));
  assertEquals([...read.binaries], [[HEX_ID, "/usr/bin/node"]]);
  assertEquals([read.name, read.kernel, read.skipped, read.files.size], ["pid 10", "6.18.5", 0, 0]);
  const { machine, started, seconds, frequency, nrCpus } = given;
  assertEquals(read.sampling, { machine, started, seconds, frequency, nrCpus, depth: DEPTH });
  // The instruction that ran: the first frame of the kernel, and where the process entered it.
  assertEquals([...read.stacks.innermost!.subarray(0, 9)], [1, 0, 0, 1, 0, 0, 1, 0, 0]);
  encodeStacks([], read.layout);
});

Deno.test("foldStacks() puts the name of the process outermost, and merges processes of one name", async () => {
  const { stacks, counts, pids, processes, ...rest } = await readRecording(await encodeRecording(samples()));
  const text = folded({ stacks, counts, pids, processes, ...rest }, (s) => processes.get(pids[s])?.comm);
  assertStringIncludes(text, `node;${KERNEL} 6\n`);
  assertStringIncludes(text, "kworker/0:1;0xffffffff70000000 [ip];_after 4\n");
  assertStringIncludes(text, "\nother;JS:another 9\n");
  assertStringIncludes(text, "node;[lost stack: EEXIST] 3\nnode;[no stack] 2\n");
  assertStringIncludes(text, "[lost stack: ENOMEM] 8\n"); // of a process that nothing is known of
  const both = samples();
  both.processes[3].comm = "node";
  both.processes[0].perfMap = both.processes[3].perfMap!;
  both.stacks.userStack.set([2], 1);
  const merged = await readRecording(await encodeRecording(both));
  assertStringIncludes(
    folded(merged, (s) => merged.processes.get(merged.pids[s])?.comm),
    "\nnode;JS:another 16\n",
  );
});

Deno.test("encodeRecording() gives equal bytes for equal samples, and takes along only lines that are needed", async () => {
  const given = samples();
  const before = structuredClone(given);
  const file = await encodeRecording(given);
  assertEquals(await encodeRecording(samples()), file);
  assertEquals(given, before);
  const files = readTar(new Uint8Array(gunzipSync(file)));
  const text = (name: string) => new TextDecoder().decode(files.get(name));
  assertEquals([...files.keys()], [
    "meta.json",
    "user.bin",
    "kernel.bin",
    "counts.bin",
    "kallsyms",
    "10/maps",
    "10/perf.map",
    "14/perf.map",
  ]);
  assertEquals(
    text("kallsyms"),
    "ffffffff81000000 T schedule\nffffffff81000800 t do_idle\nffffffff81001000 T _after\n" +
      "ffffffffc0201000 t nft_do\t[nf_tables]\n",
  );
  assertEquals(text("10/perf.map"), "7f0000001040 40 JS:*leaf; /a.js:1\n");
  assertEquals(text("10/maps"), MAPS.split("\n").filter((line) => !line.includes("rwxp")).join("\n"));
  assertEquals(files.get("user.bin")!.length, 3 * (4 + 32 * 4));
  assertEquals(files.get("kernel.bin")!.length, 2 * (4 + 8 * 3));
});

Deno.test("a recording without a single sample is one", async () => {
  const none = new Uint8Array(0);
  const empty = { pid: new Uint32Array(0), userStack: new Int32Array(0), kernelStack: new Int32Array(0) };
  const stacks = {
    depth: 127,
    userDepth: 1,
    kernelDepth: 127,
    userStacks: none,
    kernelStacks: none,
    ...empty,
    count: new Float64Array(0),
    uncounted: 0,
  };
  const read = await readRecording(await encodeRecording(samples({ stacks, processes: [], binaries: {} })));
  assertEquals([read.stacks.ids.length, read.counts.size, read.pids.length, folded(read)], [0, 0, 0, ""]);
});

Deno.test("encodeRecording() refuses what is no recording", async () => {
  const { stacks } = samples();
  const cases: Partial<SampleRecording>[] = [
    { stacks: { ...stacks, depth: 0 } },
    { stacks: { ...stacks, depth: MOST_DEPTH + 1 } },
    { stacks: { ...stacks, userDepth: 0 } },
    { stacks: { ...stacks, userDepth: DEPTH + 1 } },
    { stacks: { ...stacks, kernelDepth: 1.5 } },
    { stacks: { ...stacks, kernelDepth: DEPTH + 1 } },
    { stacks: { ...stacks, pid: stacks.pid.slice(1) } },
    { stacks: { ...stacks, userStack: stacks.userStack.with(0, 3) } },
    { stacks: { ...stacks, kernelStack: stacks.kernelStack.with(0, 2) } },
    { stacks: { ...stacks, kernelStack: stacks.kernelStack.with(0, -4096) } },
    { stacks: { ...stacks, count: stacks.count.with(0, 0.5) } },
    { stacks: { ...stacks, count: stacks.count.with(0, Number.MAX_SAFE_INTEGER) } },
    { stacks: { ...stacks, uncounted: -1 } },
    { seconds: NaN },
    { nrCpus: 0 },
    { processes: [{ pid: -1, comm: "" }] },
    { binaries: { "07": "/x" } },
  ];
  for (const change of cases) await assertRejects(() => encodeRecording(samples(change)), RangeError);
  for (const userStacks of [stacks.userStacks.slice(1), stacks.userStacks.slice(4 + 32 * DEPTH)]) {
    await assertRejects(() => encodeRecording(samples({ stacks: { ...stacks, userStacks } })), FormatError);
  }
});

/** The archive's files, with some changed. */
async function changed(
  changes: Record<string, Uint8Array | undefined>,
  meta: Record<string, unknown> = {},
): Promise<{ meta: Record<string, unknown>; files: Map<string, Uint8Array> }> {
  const files = readTar(new Uint8Array(gunzipSync(await encodeRecording(samples()))));
  for (const [name, bytes] of Object.entries(changes)) {
    if (bytes === undefined) files.delete(name);
    else files.set(name, bytes);
  }
  return { meta: { ...JSON.parse(new TextDecoder().decode(files.get("meta.json"))), ...meta }, files };
}

Deno.test("readRecording() says what is malformed in a recording of samples, and which version it can't read", async () => {
  const row = (...words: number[]) =>
    new Uint8Array(Int32Array.from({ length: 6 }, (_, i) => words[i] ?? 0).buffer);
  const cases: [Record<string, Uint8Array | undefined>, Record<string, unknown>, string][] = [
    [{}, { version: 2 }, "meta.json version = 2 at offset 0: version 2 is newer than this reader, which reads 1"],
    [{}, { version: "1" }, "meta.json version at offset 0: is no version of a recording"],
    [{}, { depth: 0 }, "meta.json depth"],
    [{}, { userDepth: DEPTH + 1 }, "meta.json userDepth"],
    [{}, { kernelDepth: undefined }, "meta.json kernelDepth"],
    [{}, { kernelDepth: 2 }, "kernel.bin value"],
    [{}, { name: 1 }, "meta.json name"],
    [{}, { machine: null }, "meta.json machine"],
    [{}, { started: 5 }, "meta.json started"],
    [{}, { seconds: -1 }, "meta.json seconds"],
    [{}, { frequency: "99" }, "meta.json frequency"],
    [{}, { nrCpus: 0.5 }, "meta.json nrCpus"],
    [{}, { uncounted: -1 }, "meta.json uncounted"],
    [{}, { processes: {} }, "meta.json processes"],
    [{}, { processes: [1] }, "meta.json processes[0]"],
    [{}, { processes: [{ pid: -1 }] }, "meta.json processes[0].pid"],
    [{}, { processes: [{ pid: 1 }] }, "meta.json processes[0].comm"],
    [{}, { binaries: [] }, "meta.json binaries"],
    [{}, { binaries: { ab: "/x" } }, "meta.json binaries"],
    [{}, { binaries: { [HEX_ID]: 1 } }, `meta.json binaries.${HEX_ID}`],
    [{ "user.bin": undefined }, {}, "user.bin"],
    [{ "kernel.bin": undefined }, {}, "kernel.bin"],
    [{ "counts.bin": undefined }, {}, "counts.bin"],
    [{ "user.bin": new Uint8Array(9) }, {}, "user.bin value"],
    [{ "kernel.bin": Uint8Array.of(1, ...new Uint8Array(27)) }, {}, "kernel.bin number"],
    [{ "counts.bin": new Uint8Array(25) }, {}, "counts.bin"],
    [{ "counts.bin": row(1, 3) }, {}, "counts.bin user"],
    [{ "counts.bin": row(1, -4096) }, {}, "counts.bin user"],
    [{ "counts.bin": row(1, 0, 2) }, {}, "counts.bin kernel"],
    [{ "counts.bin": row(1, 0, 0, 1) }, {}, "counts.bin reserved"],
    [{ "counts.bin": row(1, 0, 0, 0, 0, 1 << 21) }, {}, "counts.bin count"],
  ];
  for (const [changes, meta, message] of cases) {
    const recording = await changed(changes, meta);
    let error: unknown;
    try {
      readSampleRecording(recording, 1000);
    } catch (thrown) {
      error = thrown;
    }
    assert(error instanceof FormatError, message);
    assertEquals(error.message.slice(0, message.length), message);
  }
});

Deno.test("encodeRecording() takes dumps whose values are shorter than those of the maps", async () => {
  const { stacks } = samples();
  const shorter = (dump: Uint8Array, frame: number, to: number) => {
    const size = 4 + frame * DEPTH;
    const kept = Array.from({ length: dump.length / size }, (_, i) => [
      ...dump.subarray(i * size, i * size + 4 + frame * to),
    ]);
    return Uint8Array.from(kept.flat());
  };
  const cut = {
    ...stacks,
    userDepth: 4,
    kernelDepth: 3,
    userStacks: shorter(stacks.userStacks, 32, 4),
    kernelStacks: shorter(stacks.kernelStacks, 8, 3),
  };
  assertEquals(await encodeRecording(samples({ stacks: cut })), await encodeRecording(samples()));
});

Deno.test("readRecording() bounds lines of texts, and objects in meta.json", async () => {
  const lines = await changed({ "10/maps": new Uint8Array(1 << 23).fill(0x0a) });
  let error: unknown;
  try {
    readSampleRecording(lines, 1000);
  } catch (thrown) {
    error = thrown;
  }
  assert(error instanceof RangeError && error.message === "has texts of more than 4194304 lines", `${error}`);
  const meta = new TextEncoder().encode(`{"processes":[${"{},".repeat(600_000)}0]}`);
  const tar = writeTar(new Map([["meta.json", meta]]), 0);
  await assertRejects(() => readRecording(tar), RangeError, "more than 524288 objects in meta.json");
});

Deno.test("readRecording() bounds what rows that share stacks come to", async () => {
  const rows = 100_000;
  const stacks = {
    ...samples().stacks,
    pid: new Uint32Array(rows),
    userStack: new Int32Array(rows).fill(1),
    kernelStack: new Int32Array(rows),
    count: new Float64Array(rows).fill(1),
  };
  const file = await encodeRecording(samples({ stacks }));
  assert(file.length < 50_000);
  await assertRejects(() => readRecording(file, { maxFrames: 699_999 }), RangeError, "more than 699999 frames");
  await assertRejects(() => readRecording(file, { maxFrames: rows - 1 }), RangeError, "more than 99999 counts");
  const read = await readRecording(file, { maxFrames: 700_000 });
  assertEquals([read.stacks.status.length, [...foldStacks(read.stacks, () => "x", read.counts).values()]], [
    700_000,
    [rows],
  ]);
});

Deno.test("readRecording() survives a recording of samples that is cut at every length, as tar and as gzip", async () => {
  const file = await encodeRecording(samples());
  const tar = new Uint8Array(gunzipSync(file));
  let whole = 0;
  const whenCut = async (bytes: Uint8Array, length: number): Promise<void> => {
    try {
      await readRecording(bytes.subarray(0, length));
      whole++;
    } catch (error) {
      if (!(error instanceof FormatError)) throw new Error(`cut to ${length} bytes`, { cause: error });
    }
  };
  // Without what comes last, a perf map, it is still a recording; so it is without the zeros at the end.
  for (let length = 0; length < tar.length; length++) await whenCut(tar, length);
  assert(whole >= 1024 && whole < 4000, `${whole} of ${tar.length}`);
  whole = 0;
  for (let length = 0; length < file.length; length++) await whenCut(file, length);
  assertEquals(whole, 0);
});

Deno.test("readRecording() survives mutations of the files of a recording of samples", async () => {
  const { meta, files } = await changed({});
  for (const name of files.keys()) {
    const mutations = name === "meta.json" ? 2000 : 1000;
    fuzzParser(name, [files.get(name)!], (bytes) => {
      const changedMeta = name === "meta.json" ? jsonObject(bytes) : meta;
      if (changedMeta === undefined) return;
      const recording = readSampleRecording({ meta: changedMeta, files: new Map(files).set(name, bytes) }, 1e6);
      folded(recording);
    }, { mutations });
  }
  const file = await encodeRecording(samples());
  const seed = 1;
  const random = new SeededRandom(seed);
  for (let i = 0; i < 300; i++) {
    const input = file.slice();
    for (let change = random.below(3); change >= 0; change--) input[random.below(input.length)] = random.below(256);
    try {
      await readRecording(input, { maxBytes: 1 << 20 });
    } catch (error) {
      if (!(error instanceof FormatError)) throw new Error(`seed ${seed}, mutation ${i}`, { cause: error });
    }
  }
});

function jsonObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

Deno.test("gunzip and tar list and unpack what encodeRecording() writes", async () => {
  const input = await encodeRecording(samples());
  const run = (script: string) => spawnSync("sh", ["-c", script], { input });
  if (run("tar --version && gunzip --version").status !== 0) {
    console.log("skipped: no tar or gunzip here");
    return;
  }
  const listed = run("gunzip | tar tf -");
  assertEquals(listed.stderr.toString(), "");
  const files = readTar(new Uint8Array(gunzipSync(input)));
  assertEquals(listed.stdout.toString().trim().split("\n"), [...files.keys()]);
  for (const [name, bytes] of files) {
    assertEquals(new Uint8Array(run(`gunzip | tar xOf - ${name}`).stdout), new Uint8Array(bytes), name);
  }
});

Deno.test("the handler answers a recording of samples with the names that it has", async () => {
  const body = await encodeRecording(samples()) as Uint8Array<ArrayBuffer>;
  const handler = symbolizeHandler({ store: memoryStore([]) });
  const ask = (format: string) =>
    handler(
      new Request(`http://localhost/symbolize?gzip=0&format=${format}`, {
        method: "POST",
        headers: { "content-type": "application/gzip" },
        body,
      }),
    );
  const { frames, stacks, processes, missing } = await (await ask("json")).json();
  assertEquals(stacks[0].count, 5);
  assertEquals(stacks[0].frames.map((i: number) => frames[i]).slice(0, 5), [
    { function: "schedule", ip: "0xffffffff81000010" },
    { function: "do_idle", ip: "0xffffffff81001000" },
    { function: "nft_do [nf_tables]", ip: "0xffffffffc0201004" },
    { buildId: HEX_ID, offset: "0x1136", reason: "no-such-binary" },
    { function: "JS:*leaf; /a.js:1", ip: "0x7f0000001080" },
  ]);
  assertEquals([stacks[5], stacks[6], stacks[9]], [
    { id: 5, count: 3, pid: 10, name: "[lost stack: EEXIST]", frames: [] },
    { id: 6, count: 2, pid: 10, name: "[no stack]", frames: [] },
    { id: 9, count: 8, pid: 13, name: "[lost stack: ENOMEM]", frames: [] },
  ]);
  assertEquals([missing, "name" in stacks[0]], [[], false]);
  assertEquals(processes, [
    { pid: 10, comm: "node" },
    { pid: 11, comm: "node" },
    { pid: 12, comm: "kworker/0:1" },
    { pid: 14, comm: "other" },
  ]);
  const text = await (await ask("folded")).text();
  assertStringIncludes(text, `\nnode;${KERNEL} 6\n`);
  assertStringIncludes(text, "07070707+0x1136 [unknown]");
  assertStringIncludes(text, "[lost stack: EEXIST] 3\n");
  const served = await (await ask("pprof")).bytes();
  const shown = new TextDecoder("latin1").decode(served);
  for (const name of ["[kernel.kallsyms]", "do_idle", "JS:another", "JS:*leaf; /a.js:1", "libfoo.so+0x1234"]) {
    assertStringIncludes(shown, name);
  }
  assertStringIncludes(shown, "[lost stack: ENOMEM]");
  // One address, two processes: two locations; without names nothing is said of a kernel.
  const { stacks: columns, counts } = await readRecording(body);
  const { nameIndex: _, names: __, ...bare } = columns;
  const unnamed = encodePprof(bare, new Symbolizer().lookupColumns(bare), { counts });
  assert(!new TextDecoder("latin1").decode(unnamed).includes("kallsyms"));
});

Deno.test("a symbolizer looks up the first frame behind a kernel stack where it is, not one byte before", async () => {
  const { stacks } = await readRecording(await encodeRecording(samples()));
  const symbolizer = new Symbolizer();
  const { innermost: _, ...byFirst } = stacks;
  // Address 0 of a segment has no byte before it: looked up as a return address, it is outside.
  const { idIndex, offsetHi, offsetLo, first } = stacks;
  const rows = Array.from(idIndex.keys()).filter((row) => idIndex[row] >= 0);
  const zero = { ...stacks, offsetLo: offsetLo.with(rows[0], 0), offsetHi: offsetHi.with(rows[0], 0) };
  const text = { p_type: 1, p_flags: 1, p_offset: 0n, p_vaddr: 0x1000n, p_paddr: 0n, p_align: 0x1000n };
  symbolizer.addSegments([{ ...text, p_filesz: 0x200n, p_memsz: 0x200n }], { buildId: BUILD_ID });
  assertEquals([rows[0], first[1]], [3, 6]);
  assertEquals(symbolizer.lookupColumns(zero).reason(3), "no-symbols");
  assertEquals(
    symbolizer.lookupColumns({ ...byFirst, offsetLo: zero.offsetLo, offsetHi: zero.offsetHi }).reason(3),
    "outside-every-segment",
  );
});
