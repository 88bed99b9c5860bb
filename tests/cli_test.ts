// The command line: each command in this process on a host of the test's own, and as a process of this runtime.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Host, nodeHost, openHost, walk } from "../src/cli/host.ts";
import { BPF_F_STACK_BUILD_ID, encodeStacks, formatBpftoolDump } from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";
import { readTestdata } from "./fixtures.ts";
import { readTar } from "../src/recording/tar.ts";
import { BASIC, ID, inDirectory, run } from "./cli_run.ts";
import { buildElf } from "./kernel_elf.ts";

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
    [["replay", "--kernel", "2.6", BASIC], "--kernel is one of 4.17, 6.1, 6.12, 6.18"],
    [["replay", "--explain", "x", BASIC], "--explain is a whole number"],
    [["replay", "--explain"], "--explain needs a value"],
    [["replay", "--verbose", BASIC], "no option --verbose"],
    [["symbolize"], "needs one --dump"],
    [["symbolize", "--dump", "a", "b"], "what is b?"],
    [["symbolize", "--skipped=1", "--dump", "a"], "--skipped takes no value"],
    [["symbolize", "--dump", "missing", "--value-size", "7"], "stackmap: --value-size is a whole number from 8"],
    [["symbolize", "--dump", "missing", "--value-size", "12"], "stackmap: --value-size is a multiple of"],
    [["demo", "a", "b"], "one recording"],
    [["demo", "--help=yes"], "no option --help"],
    [["buildid", "-x"], "no option -x; a file of that name is ./-x"],
    [["symbolize", "-d"], "no option -d"],
    [["replay", "--explain", "-h", BASIC], '--explain is a whole number from 0, not "-h"'],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await run(...args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(err, message);
    assertStringIncludes(err, "Try --help");
  }
});

Deno.test("only an option asks for help: its name may also be a value or a file", async () => {
  for (const args of [["buildid", "-h"], ["replay", BASIC, "--help"], ["symbolize", "--skipped", "-h"]]) {
    const { code, out } = await run(...args);
    assertEquals(code, 0);
    assertMatch(out, new RegExp(`^usage: stackmap ${args[0]}`));
  }
  const files: [string[], string][] = [
    [["symbolize", "--dump", "-h"], "-h"],
    [["symbolize", "--dump", "--help"], "--help"],
    [["buildid", "--", "-h"], "-h"],
    [["buildid", "--", "--help"], "--help"],
    [["buildid", "-"], "-"],
  ];
  for (const [args, name] of files) {
    const { code, out, err } = await run(...args);
    assertEquals([code, out], [1, ""], args.join(" "));
    assertMatch(err, new RegExp(`^(stackmap: )?${name}: `));
  }
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

Deno.test("symbolize tells a file of which only the start is there from one with malformed symbols", async () => {
  const files = readTar(readTestdata("linux-6.18/basic.tar.gz"));
  const whole = files.get("files/0000")!;
  await inDirectory(async (dir) => {
    writeFileSync(`${dir}/bid.bin`, files.get("bid.bin")!);
    writeFileSync(`${dir}/cut`, whole.subarray(0, 8192));
    const cut = await run("symbolize", "--dump", `${dir}/bid.bin`, "--elf", `${dir}/cut`);
    assertMatch(cut.err, /: 0 resolved .* in a file cut before its symbols, /);
    assertEquals(cut.err.includes("malformed"), false);
    const broken = whole.slice();
    new DataView(broken.buffer, broken.byteOffset).setUint16(58, 1, true); // e_shentsize
    writeFileSync(`${dir}/broken`, broken);
    const malformed = await run("symbolize", "--dump", `${dir}/bid.bin`, "--elf", `${dir}/broken`);
    assertMatch(malformed.err, /: 0 resolved .* malformed-symbols, /);
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
      assertEquals(text(host.readFile(pathToFileURL(paths[1]))), "0123456789");
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
  // Node would warn of a package.json in a directory above that does not say "type": "module".
  const options = { encoding: "utf8", env: { ...process.env, NODE_NO_WARNINGS: "1" } } as const;
  const demo = spawnSync(process.execPath, [...args, "demo"], options);
  assertEquals(demo.status, 0, demo.stderr);
  assertMatch(demo.stdout, /2161 frames in 116 stacks/);
  const bad = spawnSync(process.execPath, [...args, "explode"], options);
  assertEquals(bad.status, 2);
  if (existsSync("/bin/sh")) {
    const quoted = [process.execPath, ...args, "demo"].map((arg) => `'${arg}'`).join(" ");
    const piped = spawnSync("/bin/sh", ["-c", `${quoted} | head -c 10`], options);
    assertEquals([piped.stdout.length, piped.stderr], [10, ""]);
  }
});
