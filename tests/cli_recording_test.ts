// The commands that take a recording of a running kernel, and what they say of a damaged one.
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { openHost } from "../src/cli/host.ts";
import { FormatError } from "../mod.ts";
import { readRecording, recordedCalls, replay } from "../src/cli/recording.ts";
import { readTar } from "../src/recording/tar.ts";
import { BASIC, inDirectory, recordingPath, run, runOn } from "./cli_run.ts";
import { readTestdata, RECORDINGS } from "./fixtures.ts";

/** The files of a recording, each a copy that a test may change. */
function recordingFiles(name: string): Map<string, Uint8Array> {
  return new Map([...readTar(readTestdata(`linux-6.18/${name}.tar.gz`))].map(([n, bytes]) => [n, bytes.slice()]));
}

Deno.test("demo prints folded stacks of the recorded program and accounts for every frame", async () => {
  const { code, out } = await run("demo");
  assertEquals(code, 0);
  const lines = out.trimEnd().split("\n");
  assertMatch(lines.at(-1)!, /^2161 frames in 116 stacks: 1931 resolved \(89\.4 %\), 0 kept as IP, 230 unknown \(/);
  assertStringIncludes(out, ";main;c;a;rec;rec;rec;");
  // System libraries are cut on purpose: that reads as no damage.
  assertMatch(lines.at(-1)!, /\(228 in a file cut before its symbols, 2 outside-every-segment\)$/);
  assertMatch(
    lines.at(-2)!,
    /only the start of some files, .*: libc\.so\.6 \(8192 bytes\), ld-linux-x86-64\.so\.2 \(8/,
  );
  // 342 calls were recorded: each that gave an id counts once, the others are told.
  assertEquals(lines.at(-3), "20 calls lost with -EEXIST");
  const total = lines.slice(0, -3).reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  assertEquals(total, 322);
});

Deno.test("demo reads the recording that comes with it by URL, which every system turns into its own path", async () => {
  const real = await openHost();
  const asked: (string | URL)[] = [];
  const readFile = (path: string | URL) => {
    asked.push(path);
    return real.readFile(path);
  };
  assertEquals((await runOn({ readFile }, "demo")).code, 0);
  assertEquals(asked.length, 1);
  assertInstanceOf(asked[0], URL);
});

Deno.test("demo takes another recording, also one of hostile files", async () => {
  const { code, out, err } = await run("demo", recordingPath("fuzz-31"));
  assertEquals(code, 0);
  assertMatch(out, /1530 kept as IP/);
  assertMatch(err, /fuzz-31\.tar\.gz: files\/\d{4}: Elf64_Ehdr at offset 0: needs 64 bytes/);
  assertMatch(out, /without their symbols: \d{4} \(8192 bytes\), .*, \d+ more\n\d+ frames in .*\n$/);
  assertEquals((await run("demo", recordingPath("nothing"))).code, 1);
});

Deno.test("replay finds every recording identical, and tells the first difference in another release", async () => {
  const paths = RECORDINGS.map(recordingPath);
  const { code, out } = await run("replay", ...paths);
  assertEquals(code, 0, out);
  assertEquals(out.match(/identical, [0-9]+ bytes/g)?.length, 2 * RECORDINGS.length);
  const other = await run("replay", "--kernel=4.17", recordingPath("skip"));
  assertEquals(other.code, 1);
  assertMatch(
    other.out,
    /first difference: call 30, map of ip: recorded -EEXIST, modelled 230 \(--explain 30 tells why\)/,
  );
  const explained = await run("replay", "--explain", "3", BASIC);
  assertMatch(explained.out, /bpf_get_stackid: 6 frames hash to 0x[0-9a-f]{8}: bucket 59 is empty/);
});

Deno.test("replay reads a recording from a directory and says what is missing or malformed in it", async () => {
  const files = recordingFiles("exhausted");
  await inDirectory(async (dir) => {
    mkdirSync(`${dir}/files`);
    for (const [name, bytes] of files) writeFileSync(`${dir}/${name}`, bytes);
    assertEquals((await run("replay", dir)).code, 0);
    writeFileSync(`${dir}/events.bin`, files.get("events.bin")!.subarray(1));
    assertStringIncludes((await run("replay", dir)).err, "no whole number of 1056-byte records");
    rmSync(`${dir}/events.bin`);
    assertMatch((await run("replay", dir)).err, /exhausted|events\.bin at offset 0: is missing/);
    const meta = JSON.parse(new TextDecoder().decode(files.get("meta.json")));
    // A recording can't make the command read outside its directory.
    const outside = { ...meta, files: { "/opt/demo/target": "../secret" } };
    writeFileSync(`${dir}/meta.json`, JSON.stringify(outside));
    writeFileSync(`${dir}/events.bin`, files.get("events.bin")!);
    assertEquals((await run("replay", dir)).code, 1);
  });
});

Deno.test("replay() notices one changed id and one changed byte", () => {
  const files = recordingFiles("basic");
  const result = () => replay(readRecording((name) => files.get(name)));
  assertEquals(result().firstDifference, undefined);
  files.get("events.bin")![16]++;
  assertEquals(result().firstDifference?.map, "build id");
  files.get("bid.bin")![1000]++;
  assertEquals(result().buildIdDump, 1000);
  files.set("ip.bin", files.get("ip.bin")!.subarray(0, 1020));
  assertEquals(result().ipDump, 1020);
});

Deno.test("a recording's meta.json is checked whole, and the message names path, field, value and offset", async () => {
  const files = recordingFiles("exhausted");
  const meta = JSON.parse(new TextDecoder().decode(files.get("meta.json")));
  const json = (change: Record<string, unknown>) => JSON.stringify({ ...meta, ...change });
  const broken: [string, string | RegExp][] = [
    ["{", "meta.json at offset 0: is not JSON"],
    ["null", "meta.json at offset 0: is not an object"],
    ["[]", "meta.json at offset 0: is not an object"],
    [json({ nrCpus: "2" }), /meta\.json nrCpus = "2" at offset \d\d+: is not a whole number from 1 to 8192$/],
    [json({ nrCpus: undefined }), "meta.json nrCpus at offset 0: is not"],
    [json({ nrCpus: 0 }), "meta.json nrCpus = 0 "],
    [json({ nrCpus: 8193 }), "meta.json nrCpus = 8193 "],
    [json({ nrCpus: { toString: 1 } }), 'meta.json nrCpus = "{…}" '],
    [json({ maxEntries: -1 }), "meta.json maxEntries = -1 "],
    [json({ maxEntries: 2 ** 32 }), "meta.json maxEntries = 4294967296 "],
    [json({ maxEntries: 1.5 }), "meta.json maxEntries = 1.5 "],
    [json({ maxEntries: [1] }), 'meta.json maxEntries = "[…]" '],
    [json({ depthIp: 0 }), "meta.json depthIp = 0 "],
    [json({ depthBuildId: 0 }), "meta.json depthBuildId = 0 "],
    [json({ depthBuildId: 65537 }), "meta.json depthBuildId = 65537 "],
    [json({ helperFlags: -1 }), "meta.json helperFlags = -1 "],
    [json({ helperFlags: 2 ** 32 }), "meta.json helperFlags = 4294967296 "],
    [json({ name: 7 }), "meta.json name = 7 "],
    [json({ kernel: "9.9" }), 'meta.json kernel = "9.9" '],
    [json({ kernel: null }), 'meta.json kernel = "null" '],
    [json({ pageSize: 65536 }), "meta.json pageSize = 65536 "],
    [json({ files: null }), 'meta.json files = "null" '],
    [json({ files: ["a"] }), 'meta.json files = "[…]" '],
    [json({ files: { "/a": 5 } }), 'meta.json files["/a"] = 5 '],
  ];
  await inDirectory(async (dir) => {
    for (const [name, bytes] of files) if (!name.includes("/")) writeFileSync(`${dir}/${name}`, bytes);
    for (const [text, message] of broken) {
      writeFileSync(`${dir}/meta.json`, text);
      for (const command of ["replay", "demo"]) {
        const { code, err } = await run(command, dir);
        assertEquals(code, 1, text);
        assert(err.startsWith(`stackmap: ${dir}: meta.json `), err);
        assertMatch(err, / at offset \d+: /);
        if (typeof message === "string") assertStringIncludes(err, message);
        else assertMatch(err.trimEnd(), message);
      }
    }
  });
});

Deno.test("what replay and demo find malformed names the recording and the file in it", async () => {
  const cases: [command: string, file: string, change: (bytes: Uint8Array) => Uint8Array, message: RegExp][] = [
    [
      "replay",
      "maps",
      (bytes) => Uint8Array.of(...bytes, 0x67, 10),
      /: maps: line \d+ = "g" at offset \d+: is not /,
    ],
    [
      "replay",
      "events.bin",
      (bytes) => bytes.fill(77, 1056 + 32, 1056 + 33),
      /: events\.bin cpu = 77 at offset 1088: /,
    ],
    ["demo", "events.bin", (bytes) => bytes.fill(77, 32, 33), /: events\.bin cpu = 77 at offset 32: is not below /],
    [
      "demo",
      "events.bin",
      (bytes) => bytes.fill(7, 24, 25),
      /: events\.bin stack_bytes = \d+ at offset 24: is no /,
    ],
    [
      "demo",
      "bid.bin",
      (bytes) => bytes.subarray(0, 4100),
      /: bid\.bin: value at offset 4068: the last record has /,
    ],
    ["demo", "events.bin", (bytes) => bytes.subarray(1), /: events\.bin = \d+ at offset \d+: is no whole number/],
  ];
  for (const [command, file, change, message] of cases) {
    await inDirectory(async (dir) => {
      for (const [name, bytes] of recordingFiles("basic")) {
        if (name.includes("/")) continue;
        writeFileSync(`${dir}/${name}`, name === file ? change(bytes) : bytes);
      }
      const { code, err } = await run(command, dir);
      assertEquals(code, 1);
      assert(err.startsWith(`stackmap: ${dir}: `), err);
      assertMatch(err, message);
    });
  }
});

Deno.test("replay refuses maps of more bytes than it allocates, and takes deep ones", () => {
  const files = recordingFiles("exhausted");
  const meta = JSON.parse(new TextDecoder().decode(files.get("meta.json")));
  const attempt = (change: Record<string, unknown>) => {
    files.set("meta.json", new TextEncoder().encode(JSON.stringify({ ...meta, ...change })));
    return replay(readRecording((name) => files.get(name)));
  };
  const tooMany = assertThrows(
    () => attempt({ maxEntries: 0xffff_ffff }),
    FormatError,
    "bytes with these depths, over 1073741824",
  );
  assertEquals([tooMany.field, tooMany.value], ["meta.json maxEntries", 0xffff_ffff]);
  // The largest there can be: 4.17, which limits what a map is charged with, makes them, too.
  const largest = Math.floor(2 ** 30 / 40);
  assertEquals(attempt({ depthIp: 1, depthBuildId: 1, kernel: "4.17", maxEntries: largest }).calls, 341);
  // Deeper than perf_event_max_stack is by default: the recording machine allowed it.
  assertEquals(attempt({ depthIp: 200, depthBuildId: 200 }).calls, attempt({}).calls);
});

Deno.test("a call whose bpf_get_stack failed is one with an empty stack", () => {
  const files = recordingFiles("exhausted");
  const events = files.get("events.bin")!.slice(0, 2 * 1056);
  files.set("events.bin", events);
  const view = new DataView(events.buffer);
  for (const [call, errno] of [-14n, -22n].entries()) {
    for (const field of [8, 16, 24]) view.setBigInt64(call * 1056 + field, field === 24 ? errno : -14n, true);
  }
  const recording = readRecording((name) => files.get(name));
  assertEquals([...recordedCalls(recording)].map(({ ips, idIp }) => [ips.length, idIp]), [[0, -14], [0, -14]]);
  const { calls, equalCalls } = replay(recording);
  assertEquals([calls, equalCalls], [2, 2]); // no frame left: -EFAULT
});
