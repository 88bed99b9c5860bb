// What commands make of stacks besides printing them: --folded, --pprof and --svg, and which of them go without saying.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { encodeRecording } from "../mod.ts";
import { BASIC, inDirectory, run } from "./cli_run.ts";
import { readProfile } from "./pprof_reader.ts";
import { samples } from "./recording_fixture.ts";

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
    assertEquals((await run(...given, "--svg", "-")).out, text(`${dir}/p.svg`));
    const refused = await run(...given, "--pprof", "-");
    assertEquals([refused.code, refused.out], [2, ""]);
    assertStringIncludes(refused.err, "--pprof needs a file; /dev/stdout is one");
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
    const named = found.map(({ locations, labels, value }) => {
      const frames = locations.map(({ lines }) => lines[0]?.function.name);
      return [[labels.comm, ...frames.reverse()].join(";"), value[0]];
    });
    for (const [stack, count] of named) {
      if (folded.has(`${stack}`)) assertEquals(folded.get(`${stack}`)! >= Number(count), true, `${stack}`);
    }
    assertEquals(named.find(([stack]) => stack === "node;[lost stack: EEXIST]"), ["node;[lost stack: EEXIST]", 3]);
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
