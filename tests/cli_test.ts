// The command line: each command in this process on a host of the test's own, and as a process of this runtime.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runCli } from "../src/cli/cli.ts";
import { type Host, nodeHost, openHost, walk } from "../src/cli/host.ts";
import { BPF_F_STACK_BUILD_ID, encodeStacks, formatBpftoolDump } from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";
import { readTestdata, RECORDINGS } from "./fixtures.ts";
import { gunzip, readTar } from "../src/cli/tar.ts";
import { FormatError } from "../mod.ts";
import { fuzzParser } from "./fuzz.ts";
import { readRecording, replay } from "../src/cli/recording.ts";
import { buildElf } from "./kernel_elf.ts";

const BASIC = fileURLToPath(new URL("../testdata/linux-6.18/basic.tar.gz", import.meta.url));
const ID = Uint8Array.from({ length: 20 }, (_, i) => i + 1);

// The real host with output kept and arguments given.
async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const real = await openHost();
  let out = "";
  let err = "";
  const host: Host = {
    ...real,
    args,
    interactive: () => true,
    write: (t) => void (out += t),
    writeError: (t) => void (err += t),
  };
  return { code: await runCli(host), out, err };
}

// Makes a directory, gives it to `work`, and removes it.
async function inDirectory(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(`${tmpdir()}/stackmap-cli-`);
  try {
    await work(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

Deno.test("without a command the overview is shown and the exit code is 2; with --help it is 0", async () => {
  const bare = await run();
  assertEquals(bare.code, 2);
  for (const name of ["symbolize", "buildid", "survey", "replay", "demo"]) {
    assertStringIncludes(bare.out, name);
    const help = await run(name, "--help");
    assertEquals(help.code, 0);
    assertMatch(help.out, new RegExp(`^usage: stackmap ${name}`));
  }
  assertEquals((await run("--help")).code, 0);
});

Deno.test("a command line that is not understood exits with 2 and says what would be", async () => {
  const cases: [string[], string][] = [
    [["explode"], 'no command "explode"'],
    [["buildid"], "needs a file"],
    [["survey"], "needs a directory"],
    [["survey", "/nonexistent-dir"], "/nonexistent-dir: there is no such"],
    [["replay"], "needs a recording"],
    [["replay", "--kernel", "2.6", BASIC], "--kernel is one of 4.17, 6.18"],
    [["replay", "--explain", "x", BASIC], "--explain is a whole number"],
    [["replay", "--explain"], "--explain needs a value"],
    [["replay", "--verbose", BASIC], "no option --verbose"],
    [["symbolize"], "needs one --dump"],
    [["symbolize", "--dump", "a", "b"], "what is b?"],
    [["symbolize", "--skipped=1", "--dump", "a"], "--skipped takes no value"],
    [["demo", "a", "b"], "one recording"],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await run(...args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(err, message);
    assertStringIncludes(err, "Try --help");
  }
});

Deno.test("demo prints folded stacks of the recorded program and accounts for every frame", async () => {
  const { code, out } = await run("demo");
  assertEquals(code, 0);
  const lines = out.trimEnd().split("\n");
  assertMatch(lines.at(-1)!, /^2161 frames in 116 stacks: 1931 resolved \(89\.4 %\), 0 kept as IP, 230 unknown \(/);
  assertStringIncludes(out, ";main;c;a;rec;rec;rec;");
  // 342 calls were recorded: each that gave an id counts once, the others are told.
  assertEquals(lines.at(-2), "20 calls lost with -EEXIST");
  const total = lines.slice(0, -2).reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  assertEquals(total, 322);
});

Deno.test("demo takes another recording, also one of hostile files", async () => {
  const { code, out, err } = await run("demo", BASIC.replace("basic", "fuzz-31"));
  assertEquals(code, 0);
  assertMatch(out, /1530 kept as IP/);
  assertStringIncludes(err, "Elf64_Ehdr at offset 0: needs 64 bytes");
  assertEquals((await run("demo", BASIC.replace("basic", "nothing"))).code, 1);
});

Deno.test("replay finds every recording identical, and tells the first difference in another release", async () => {
  const paths = RECORDINGS.map((name) => BASIC.replace("basic", name));
  const { code, out } = await run("replay", ...paths);
  assertEquals(code, 0, out);
  assertEquals(out.match(/identical, [0-9]+ bytes/g)?.length, 2 * RECORDINGS.length);
  const other = await run("replay", "--kernel=4.17", BASIC.replace("basic", "skip"));
  assertEquals(other.code, 1);
  assertMatch(
    other.out,
    /first difference: call 30, map of ip: recorded -EEXIST, modelled 230 \(--explain 30 tells why\)/,
  );
  const explained = await run("replay", "--explain", "3", BASIC);
  assertMatch(explained.out, /bpf_get_stackid: 6 frames hash to 0x[0-9a-f]{8}: bucket 59 is empty/);
});

Deno.test("replay reads a recording from a directory and says what is missing or malformed in it", async () => {
  const files = readTar(readTestdata("linux-6.18/exhausted.tar.gz"));
  await inDirectory(async (dir) => {
    mkdirSync(`${dir}/files`);
    for (const [name, bytes] of files) writeFileSync(`${dir}/${name}`, bytes);
    assertEquals((await run("replay", dir)).code, 0);
    writeFileSync(`${dir}/events.bin`, files.get("events.bin")!.subarray(1));
    assertStringIncludes((await run("replay", dir)).err, "no whole number of 1056-byte records");
    rmSync(`${dir}/events.bin`);
    assertMatch((await run("replay", dir)).err, /exhausted|events\.bin at offset 0: is missing/);
    const meta = JSON.parse(new TextDecoder().decode(files.get("meta.json")));
    const broken: [string, string][] = [
      ["{", "is not JSON"],
      [JSON.stringify({ ...meta, nrCpus: "2" }), "meta.json nrCpus"],
      [JSON.stringify({ ...meta, files: null }), "meta.json files"],
      [JSON.stringify({ ...meta, kernel: "9.9" }), "is not a modelled kernel"],
    ];
    for (const [text, message] of broken) {
      writeFileSync(`${dir}/meta.json`, text);
      const { code, err } = await run("replay", dir);
      assertEquals(code, 1);
      assertStringIncludes(err, message);
    }
    // A recording can't make the command read outside its directory.
    const outside = { ...meta, files: { "/opt/demo/target": "../secret" } };
    writeFileSync(`${dir}/meta.json`, JSON.stringify(outside));
    writeFileSync(`${dir}/events.bin`, files.get("events.bin")!);
    assertEquals((await run("replay", dir)).code, 1);
  });
});

Deno.test("replay() notices one changed id and one changed byte", () => {
  const files = new Map(
    [...readTar(readTestdata("linux-6.18/basic.tar.gz"))].map(([name, bytes]) => [name, bytes.slice()]),
  );
  const result = () => replay(readRecording((name) => files.get(name)));
  assertEquals(result().firstDifference, undefined);
  files.get("events.bin")![16]++;
  assertEquals(result().firstDifference?.map, "build id");
  files.get("bid.bin")![1000]++;
  assertEquals(result().buildIdDump, 1000);
  files.set("ip.bin", files.get("ip.bin")!.subarray(0, 1020));
  assertEquals(result().ipDump, 1020);
});

Deno.test("buildid prints what readelf knows, of files and below directories", async () => {
  await inDirectory(async (dir) => {
    mkdirSync(`${dir}/sub`);
    writeFileSync(`${dir}/a`, buildElf({ buildId: ID }));
    writeFileSync(`${dir}/sub/b`, buildElf({ buildId: ID.slice(0, 8), noteOffset: 5000 }));
    writeFileSync(`${dir}/sub/text`, "#!/bin/sh\n");
    writeFileSync(`${dir}/none`, buildElf({ buildId: ID, noteType: 1 }));
    symlinkSync(`${dir}/sub`, `${dir}/loop`);
    const below = await run("buildid", dir);
    assertEquals([below.code, below.err], [0, ""]);
    assertEquals(below.out, `${toHex(ID)}  ${dir}/a\n${toHex(ID.slice(0, 8))}  ${dir}/sub/b\n`);
    const named = await run("buildid", `${dir}/none`, `${dir}/sub/text`, `${dir}/missing`, `${dir}/a`);
    assertEquals(named.code, 1);
    assertEquals(named.out, `${toHex(ID)}  ${dir}/a\n`);
    assertMatch(named.err, /none: no build ID\n.*text: .*\n.*missing: /);
  });
});

Deno.test("survey counts where build IDs are and what each kernel answers", async () => {
  await inDirectory(async (dir) => {
    writeFileSync(`${dir}/first`, buildElf({ buildId: ID }));
    writeFileSync(`${dir}/second`, buildElf({ buildId: ID, noteOffset: 9000 }));
    writeFileSync(`${dir}/none`, buildElf({ buildId: ID, noteType: 1 }));
    writeFileSync(`${dir}/cut`, buildElf({ buildId: ID }).slice(0, 30));
    writeFileSync(`${dir}/text`, "hello");
    writeFileSync(`${dir}/other`, buildElf({ buildId: ID, name: "XYZ\0" }));
    const { code, out } = await run("survey", dir);
    assertEquals(code, 0);
    assertMatch(out, /: 6 files, 1 not ELF, 5 ELF$/m);
    assertMatch(out, /build ID in the first page +1 +20\.0 %/);
    assertMatch(out, /build ID elsewhere +1 +20\.0 %/);
    assertMatch(out, /no build ID +2/);
    assertMatch(out, /malformed +1/);
    assertMatch(out, /of 4\.17:\n +found +2 [^]*another ID than readelf's +1 [^]*of 6\.18:\n +found +2/);
  });
});

Deno.test("symbolize resolves the recorded dump from files, from a directory, raw and as bpftool prints it", async () => {
  const files = readTar(readTestdata("linux-6.18/basic.tar.gz"));
  await inDirectory(async (dir) => {
    writeFileSync(`${dir}/bid.bin`, files.get("bid.bin")!);
    writeFileSync(`${dir}/bid.json`, formatBpftoolDump(files.get("bid.bin")!, 4064));
    mkdirSync(`${dir}/lib`);
    writeFileSync(`${dir}/lib/target`, files.get("files/0000")!);
    writeFileSync(`${dir}/lib/unrelated`, buildElf({ buildId: ID }));
    writeFileSync(`${dir}/lib/readme`, "no ELF");
    const raw = await run("symbolize", "--dump", `${dir}/bid.bin`, "--elf", `${dir}/lib/target`);
    assertEquals(raw.code, 0, raw.err);
    assertMatch(raw.err, /^2161 frames in 116 stacks: 1931 resolved \(89\.4 %\), 0 kept as IP, 230 unknown/);
    assertStringIncludes(raw.out, ";main;c;a;rec;rec;");
    const json = await run("symbolize", `--dump=${dir}/bid.json`, "--elf", `${dir}/lib`);
    assertEquals([json.code, json.out, json.err], [0, raw.out, raw.err]);
    writeFileSync(`${dir}/counts`, "59 7\n\n-17 2\n");
    const counted = await run(
      "symbolize",
      "--dump",
      `${dir}/bid.bin`,
      "--elf",
      `${dir}/lib`,
      "--counts",
      `${dir}/counts`,
    );
    assertMatch(counted.out, /^.*;main;.* 7\n\[missing stack -17\] 2\n$/);
    const none = await run("symbolize", "--dump", `${dir}/bid.bin`);
    assertMatch(none.err, /0 resolved .* 2161 unknown \(2161 no-such-binary\)/);
    const skipped = await run("symbolize", "--skipped", "--dump", `${dir}/bid.bin`, "--elf", `${dir}/lib`);
    assertEquals(skipped.code, 0);
  });
});

Deno.test("symbolize keeps addresses, reads big-endian dumps, and takes an empty dump", async () => {
  await inDirectory(async (dir) => {
    const frames = [{ status: 2, ip: 0x401136n }, { status: 2, ip: 0x401200n }];
    const plain = { valueSize: 64 };
    writeFileSync(`${dir}/plain`, encodeStacks([{ id: 3, frames }], plain));
    const shown = await run("symbolize", "--dump", `${dir}/plain`, "--value-size", "64");
    assertEquals(shown.out, "0x401200 [ip];0x401136 [ip] 1\n");
    assertEquals(
      (await run("symbolize", "--addresses", "--dump", `${dir}/plain`, "--value-size", "0x40")).out,
      shown.out,
    );
    const big = { valueSize: 64, mapFlags: BPF_F_STACK_BUILD_ID, littleEndian: false };
    writeFileSync(`${dir}/big`, encodeStacks([{ id: 3, frames }], big));
    const args = ["symbolize", "--big-endian", "--value-size", "64", "--dump", `${dir}/big`];
    assertEquals((await run(...args)).out, shown.out);
    writeFileSync(`${dir}/empty`, "");
    const empty = await run("symbolize", "--dump", `${dir}/empty`);
    assertEquals([empty.code, empty.out], [0, ""]);
    assertMatch(empty.err, /^0 frames in 0 stacks: 0 resolved \(–\)/);
  });
});

Deno.test("symbolize names the file, the offset and the field of what is malformed", async () => {
  await inDirectory(async (dir) => {
    const files: [string, string | Uint8Array, string][] = [
      ["cut.bin", new Uint8Array(100), "cut.bin: "],
      ["cut.json", '[{"key":["0x01"', "cut.json: "],
    ];
    for (const [name, content, message] of files) {
      writeFileSync(`${dir}/${name}`, content);
      const { code, err } = await run("symbolize", "--dump", `${dir}/${name}`);
      assertEquals(code, 1, name);
      assertStringIncludes(err, message);
      assertMatch(err, /at offset \d+/);
    }
    writeFileSync(`${dir}/ok`, encodeStacks([{ id: 1, frames: [] }], { valueSize: 4064 }));
    writeFileSync(`${dir}/counts`, "1 2\nnonsense\n");
    const counts = await run("symbolize", "--dump", `${dir}/ok`, "--counts", `${dir}/counts`);
    assertMatch(counts.err, /counts: line 2 = "nonsense" at offset 4: is not "ID COUNT"/);
    writeFileSync(`${dir}/long`, buildElf({ buildId: new Uint8Array(32).fill(1) }));
    writeFileSync(`${dir}/none`, buildElf({ buildId: ID, noteType: 1 }));
    writeFileSync(`${dir}/text`, "no ELF at all");
    const elf = ["long", "none", "text", "missing"].flatMap((name) => ["--elf", `${dir}/${name}`]);
    const binaries = await run("symbolize", "--dump", `${dir}/ok`, ...elf);
    assertEquals(binaries.code, 1);
    assertMatch(binaries.err, /long: has a build ID of more than 20 bytes/);
    assertMatch(binaries.err, /none: has no build ID/);
    assertMatch(binaries.err, /text: .*magic|text: .*ELF/);
    assertMatch(binaries.err, /missing: there is no such file/);
  });
});

Deno.test("both hosts read, list, walk and report alike", async () => {
  await inDirectory(async (dir) => {
    mkdirSync(`${dir}/b`);
    writeFileSync(`${dir}/b/c`, "0123456789");
    writeFileSync(`${dir}/a`, "");
    symlinkSync("/", `${dir}/root`);
    for (const host of [await openHost(), await nodeHost()]) {
      const paths = [...walk(host, dir, () => assert(false))];
      assertEquals(paths, [`${dir}/a`, `${dir}/b/c`]);
      assertEquals([...walk(host, `${dir}/`, () => assert(false))], paths);
      assertEquals([host.kind(dir), host.kind(paths[1]), host.kind(`${dir}/x`)], ["directory", "file", undefined]);
      const file = host.open(paths[1]);
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      assertEquals([text(file.read(2, 3)), text(file.read(8, 5)), text(file.read(0, 2)), file.read(99, 1).length], [
        "234",
        "89",
        "01",
        0,
      ]);
      assertEquals(file.read(0, 1 << 17).length, 10);
      file.close();
      assertEquals(text(host.readFile(paths[1])), "0123456789");
      const failed: string[] = [];
      const broken: Host = {
        ...host,
        list() {
          throw new Error("no");
        },
      };
      assertEquals([...walk(broken, dir, (path) => failed.push(path))], []);
      assertEquals(failed, [dir]);
      host.write("");
      host.writeError("");
    }
  });
});

Deno.test("the entry point runs as a process of this runtime, and a closed pipe is no failure", () => {
  const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
  const deno = "version" in Deno;
  const args = deno ? ["run", "--no-check", "--allow-read", main] : [main];
  const demo = spawnSync(process.execPath, [...args, "demo"], { encoding: "utf8" });
  assertEquals(demo.status, 0, demo.stderr);
  assertMatch(demo.stdout, /2161 frames in 116 stacks/);
  const bad = spawnSync(process.execPath, [...args, "explode"], { encoding: "utf8" });
  assertEquals(bad.status, 2);
  if (existsSync("/bin/sh")) {
    const quoted = [process.execPath, ...args, "demo"].map((arg) => `'${arg}'`).join(" ");
    const piped = spawnSync("/bin/sh", ["-c", `${quoted} | head -c 10`], { encoding: "utf8" });
    assertEquals([piped.stdout.length, piped.stderr], [10, ""]);
  }
});

Deno.test("gunzip() stops at its limit and refuses what is not gzip", async () => {
  const bomb = new Uint8Array(
    await new Response(
      new Blob([new Uint8Array(1 << 20)]).stream().pipeThrough(new CompressionStream("gzip")),
    ).arrayBuffer(),
  );
  assertEquals((await gunzip(bomb)).length, 1 << 20);
  let message = "";
  await gunzip(bomb, 1000).catch((error) => message = error.message);
  assertStringIncludes(message, "more than 1000 bytes");
  let failed = false;
  await gunzip(new Uint8Array(30)).catch(() => failed = true);
  assert(failed);
});

Deno.test("readTar() survives truncation and 100,000 mutations", () => {
  const tar = readTestdata("linux-6.18/exhausted.tar.gz");
  let end = 0;
  for (const bytes of readTar(tar).values()) {
    if (bytes.byteOffset < 30000) end = bytes.byteOffset - tar.byteOffset + bytes.length;
  }
  fuzzParser("readTar", [tar.slice(0, Math.min(4096, end)), tar.slice(0, 700)], (bytes) => readTar(bytes));
  let error: unknown;
  try {
    readTar(new Uint8Array(600).fill(0x39));
  } catch (thrown) {
    error = thrown;
  }
  assert(error instanceof FormatError);
});
