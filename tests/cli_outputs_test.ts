// What commands make of stacks besides printing them: --folded, --pprof and --svg, and which of them go without saying.
import { spawnSync } from "node:child_process";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { encodeRecording, encodeStacks } from "../mod.ts";
import { BASIC, inDirectory, run, runOn } from "./cli_run.ts";
import { readProfile } from "./pprof_reader.ts";
import { samples } from "./recording_fixture.ts";

const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const text = (path: string): string => readFileSync(path, "utf8");
const profileIn = (path: string) => readProfile(new Uint8Array(gunzipSync(readFileSync(path))));

/** Samples by folded stack. */
function countsOf(folded: string): Map<string, number> {
  const lines = folded.split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => [line.replace(/ \d+$/, ""), Number(/ (\d+)$/.exec(line)![1])]));
}

Deno.test("--pprof, --svg and --folded write files, and nothing is printed but the summary", async () => {
  const archive = await encodeRecording(samples());
  await inDirectory(async (dir) => {
    const recording = `${dir}/samples.tar.gz`;
    writeFileSync(recording, archive);
    const given = ["symbolize", "--recording", recording];
    const printed = await run(...given);
    const files = ["--pprof", `${dir}/p.pb.gz`, "--svg", `${dir}/p.svg`, "--folded", `${dir}/p.folded`];
    const written = await run(...given, ...files);
    assertEquals(written, { ...printed, out: "" });
    assertEquals(text(`${dir}/p.folded`), printed.out);
    for (const stdout of ["-", "/dev/stdout"]) {
      assertEquals((await run(...given, "--svg", stdout)).out, text(`${dir}/p.svg`));
      const bytes: Uint8Array[] = [];
      const { code } = await runOn(
        { write: (data) => void bytes.push(data as Uint8Array) },
        ...[...given, "--pprof", stdout],
      );
      assertEquals([code, bytes.length], [0, 1]);
      assertEquals(gunzipSync(bytes[0]), gunzipSync(readFileSync(`${dir}/p.pb.gz`)));
    }
    for (const option of ["--pprof", "--svg"]) {
      assertEquals((await run(...given, option, `${dir}/again`)).out, "");
      assertEquals((await run(...given, option, `${dir}/again`, "--folded", "-")).out, printed.out);
    }

    // The same samples as in the folded stacks, whose frames are in the other order and below the process.
    const { samples: found, type, comments } = profileIn(`${dir}/p.pb.gz`);
    const folded = countsOf(printed.out);
    const total = [...folded.values()].reduce((sum, count) => sum + count, 0);
    assertEquals(found.reduce((sum, { value }) => sum + value[0], 0), total);
    for (
      const [pid, comm, count] of [[10, "node", 25], [11, "node", 2], [12, "kworker/0:1", 4], [14, "other", 9]]
    ) {
      const its = found.filter(({ labels }) => labels.pid === pid);
      assertEquals(its.reduce((sum, { value }) => sum + value[0], 0), count, `${pid}`);
      assert(its.every(({ labels }) => labels.comm === comm));
    }
    // Nothing is known of 13 but that it was sampled.
    assertEquals(found.find(({ labels }) => labels.pid === 13)!.labels, { pid: 13 });
    const byStack = new Map<string, number>();
    for (const { locations, labels, value } of found) {
      const frames = locations.map(({ lines, mapping, address }) =>
        lines.length > 0
          ? lines[0].function.name.replaceAll(";", ":")
          : mapping === undefined
          ? "[ip]"
          : `${mapping.buildId.slice(0, 8)} ${address}`
      );
      const stack = [...labels.comm === undefined ? [] : [labels.comm], ...frames.reverse()].join(";");
      byStack.set(stack, (byStack.get(stack) ?? 0) + value[0]);
    }
    // What has no name is called otherwise in a folded stack: by an offset, where a profile has the call's address.
    const unnamed = (stack: string): string => stack.replace(/0x[0-9a-f]+ \[ip\]/g, "[ip]");
    const isNamed = ([stack]: [string, number]): boolean => !stack.includes("07070707");
    const expected = [...folded].map(([stack, count]): [string, number] => [unnamed(stack), count]);
    assertEquals([...byStack].filter(isNamed).sort(), expected.filter(isNamed).sort());
    assertEquals([type(1), type(11)], [[["samples", "count"]], [["cpu", "nanoseconds"]]]);
    assertEquals(comments, ["pid 10", ...printed.err.trimEnd().split("\n")]);

    const svg = text(`${dir}/p.svg`);
    assertMatch(svg, /<svg\b[^]*<\/svg>\s*$/);
    for (const part of ["pid 10", "kworker/0:1", "[lost stack: EEXIST]", "99 Hz for 2.5 s", "x86_64, 4 CPUs"]) {
      assertStringIncludes(svg, part);
    }
  });
});

Deno.test("profiles have when and how samples were taken, whatever the recording says of it", async () => {
  await inDirectory(async (dir) => {
    const at = `${dir}/samples.tar.gz`;
    const numbers: [changes: Parameters<typeof samples>[0], time: bigint, duration: bigint, period: bigint][] = [
      [{}, 1_767_323_045_678_000_000n, 2_500_000_000n, 10_101_010n],
      [{ started: "yesterday", seconds: 2 ** 53 - 1, frequency: 0 }, 0n, 9n * 10n ** 18n, 9n * 10n ** 12n],
    ];
    for (const [changes, time, duration, period] of numbers) {
      writeFileSync(at, await encodeRecording(samples(changes)));
      const { code } = await run("symbolize", "--recording", at, "--pprof", `${dir}/p.pb.gz`);
      assertEquals(code, 0);
      const { profile } = profileIn(`${dir}/p.pb.gz`);
      assertEquals([9, 10, 12].map((field) => profile.get(field)?.[0] ?? 0n), [time, duration, period]);
    }
  });
});

Deno.test("a dump's stacks become a profile and a picture, too", async () => {
  await inDirectory(async (dir) => {
    const { code, out } = await run(
      "symbolize",
      "--recording",
      BASIC,
      "--svg",
      `${dir}/p.svg`,
      "--pprof",
      `${dir}/p`,
    );
    assertEquals([code, out], [0, ""]);
    const { samples: found } = profileIn(`${dir}/p`);
    assertEquals(found.reduce((sum, { value }) => sum + value[0], 0), 342);
    assert(found.every(({ labels }) => Object.keys(labels).length === 0));
    assertStringIncludes(text(`${dir}/p.svg`), "basic");
  });
});

Deno.test("files that can't be written are told before any work", async () => {
  for (const command of [["symbolize", "--recording", BASIC], ["record", "--all"], ["dump", "--map", "1"]]) {
    for (const option of ["--folded", "--pprof", "--svg"]) {
      const { code, out, err } = await run(...command, option, "/nowhere/at/all/x");
      assertEquals([code, out], [1, ""], err);
      assertMatch(err, /\/nowhere\/at\/all/);
    }
  }
  assertEquals(existsSync("/nowhere"), false);
});

Deno.test("no two outputs are one file, and none is a file that is read", () =>
  inDirectory(async (dir) => {
    const [recording, link] = [`${dir}/in.tar.gz`, `${dir}/link`];
    copyFileSync(BASIC, recording);
    symlinkSync(recording, link);
    const given = ["symbolize", "--recording", recording];
    const cases: [string[], string][] = [
      [[...given, "--svg", recording], "--svg and --recording are the same file"],
      [[...given, "--folded", link], "--folded and --recording are the same file"],
      [[...given, "--elf", `${dir}/../${dir.replace(/.*\//, "")}/link`, "--pprof", recording], "are the same file"],
      [[...given, "--svg", `${dir}/a`, "--pprof", `${dir}/./a`], "--svg and --pprof are the same file"],
      [[...given, "--svg", "-", "--pprof", "/dev/stdout"], "--svg and --pprof are the same file"],
      [[...given, "--svg", ""], "--svg needs a file"],
      [
        ["record", "--all", "--output", `${dir}/a`, "--pprof", `${dir}/a`],
        "--output and --pprof are the same file",
      ],
      [["record", "--all", "--output", "-"], "--output needs a file, not standard output"],
      [["dump", "--svg", `${dir}/a`], "--svg needs --map"],
      [
        ["dump", "--map", "1", "--raw", `${dir}/r`, "--svg", `${dir}/a`],
        "--raw writes records instead of what --svg",
      ],
    ];
    for (const [args, message] of cases) {
      const { code, out, err } = await run(...args);
      assertEquals([code, out], [2, ""], `${args.join(" ")}: ${err}`);
      assertStringIncludes(err, message);
    }
    assertEquals(readFileSync(recording), readFileSync(BASIC));
    assertEquals(readdirSync(dir).sort(), ["in.tar.gz", "link"]);
    assertEquals((await run(...given, "--svg", "/dev/null", "--pprof", "/dev/null")).code, 0);
  }));

Deno.test({
  name: "a file that can't be written is named, and keeps no other from being written",
  ignore: !existsSync("/dev/full"),
  fn: () =>
    inDirectory(async (dir) => {
      const files = ["--folded", "/dev/full", "--svg", `${dir}/a.svg`, "--pprof", `${dir}/a.pb.gz`];
      const { code, out, err } = await run("symbolize", "--recording", BASIC, ...files);
      assertEquals([code, out], [1, ""]);
      assertMatch(err, /^\/dev\/full: .*(?:No space left on device|ENOSPC).*\n2161 frames in 116 stacks: /);
      assertEquals(readdirSync(dir).sort(), ["a.pb.gz", "a.svg"]);
    }),
});

Deno.test("many stacks that share long names are refused as text, and written as a profile", async () => {
  // 3,000 samples of 127 frames with names of 990 characters: 377 MB of text from some kilobytes.
  const [depth, rows] = [127, 3000];
  const frames = Array.from(
    { length: depth },
    (_, i) => ({ status: 2, ip: 0xffff_ffff_8100_0000n + BigInt(16 * i) }),
  );
  const kallsyms = frames.map(({ ip }, i) => `${ip.toString(16)} T ${`f${i}_`.padEnd(990, "x")}\n`).join("");
  const stacks = {
    ...samples().stacks,
    ...{ depth, userDepth: 1, kernelDepth: depth, userStacks: new Uint8Array(0) },
    kernelStacks: encodeStacks([{ id: 0, frames }], { valueSize: 8 * depth }),
    pid: Uint32Array.from({ length: rows }, (_, i) => i + 1),
    userStack: new Int32Array(rows).fill(-14),
    kernelStack: new Int32Array(rows),
    count: new Float64Array(rows).fill(1),
  };
  const processes = Array.from(stacks.pid, (pid) => ({ pid, comm: `c${pid}` }));
  const archive = await encodeRecording(samples({ stacks, kallsyms, processes }));
  await inDirectory(async (dir) => {
    writeFileSync(`${dir}/in.tar.gz`, archive);
    const files = ["--svg", `${dir}/a.svg`, "--pprof", `${dir}/a.pb.gz`];
    const { code, err } = await run("symbolize", "--recording", `${dir}/in.tar.gz`, ...files);
    assertEquals(code, 1);
    assertMatch(
      err,
      /^\S*a\.svg: folded stacks have more than 268435456 characters\n3003 samples of 3000 processes/,
    );
    assertEquals(readdirSync(dir).sort(), ["a.pb.gz", "in.tar.gz"]);
  });
});

Deno.test("what goes to standard output is added to the file that it is", () =>
  inDirectory(async (dir) => {
    const runtime = "Deno" in globalThis && Deno.build !== undefined
      ? ["run", "--allow-read", "--allow-write", "--no-check", MAIN]
      : [MAIN];
    for (const option of ["--folded", "--svg"]) {
      const path = `${dir}/out`;
      writeFileSync(path, "before\n");
      const file = openSync(path, "a");
      const args = [...runtime, "symbolize", "--recording", BASIC, option, "/dev/stdout"];
      const { status } = spawnSync(process.execPath, args, { stdio: ["ignore", file, "ignore"] });
      closeSync(file);
      assertEquals(status, 0);
      const printed = await run("symbolize", "--recording", BASIC, option, "-");
      assertEquals(text(path), `before\n${printed.out}`);
    }
  }));
