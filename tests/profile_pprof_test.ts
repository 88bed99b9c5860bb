// pprof profiles: encodePprof() read back by a reader of its own, and by go's pprof where that is installed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  BPF_F_STACK_BUILD_ID,
  decodeStacks,
  encodePprof,
  encodeStacks,
  type PprofOptions,
  readBuildId,
  type StackColumns,
  type StackInput,
  Symbolizer,
} from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";
import { assertGrowth, milliseconds } from "./growth.ts";
import { number, readProfile } from "./pprof_reader.ts";
import { recording, targetProgram } from "./serve_fixtures.ts";

const LAYOUT = { valueSize: 16 * 32, mapFlags: BPF_F_STACK_BUILD_ID };
const decode = (stacks: StackInput[]): StackColumns => decodeStacks(encodeStacks(stacks, LAYOUT), LAYOUT);
const UNKNOWN = new Uint8Array(20).fill(0xab);
const at = (build_id: Uint8Array, offset: number | bigint) => ({ status: 1, build_id, offset: BigInt(offset) });
const profileOf = (columns: StackColumns, symbolizer = new Symbolizer(), options: PprofOptions = {}) =>
  readProfile(
    encodePprof(columns, symbolizer.lookupColumns(columns), { binaries: symbolizer.binaries, ...options }),
  );

Deno.test("encodePprof() writes what is counted, and one sample for equal stacks", () => {
  const stacks = [
    { id: 1, frames: [at(UNKNOWN, 0x1136), { status: 2, ip: 0xffff_ffff_8100_0000n }] },
    { id: 2, frames: [at(UNKNOWN, 0x1136), { status: 2, ip: 0xffff_ffff_8100_0000n }] },
    { id: 3, frames: [] },
  ];
  const plain = profileOf(decode(stacks));
  assertEquals(plain.type(1), [["samples", "count"]]);
  assertEquals(plain.samples.map(({ value }) => value), [[2], [1]]);
  assertEquals(plain.samples[1].locations[0].lines[0].function.name, "[empty stack]");
  const counted = profileOf(decode(stacks), new Symbolizer(), {
    counts: new Map([[1, 5], [2, 2 ** 40], [-17, 3], [9, 0]]),
    sampleType: { type: "off-cpu", unit: "nanoseconds" },
    period: { type: "cpu", unit: "nanoseconds", value: 10_000_000 },
    timeMilliseconds: 1_700_000_000_123,
    durationMilliseconds: 2500,
    comments: ["a", "b"],
  });
  assertEquals(counted.type(1), [["off-cpu", "nanoseconds"]]);
  assertEquals(counted.type(11), [["cpu", "nanoseconds"]]);
  assertEquals(number(counted.profile, 12), 10_000_000n);
  assertEquals(number(counted.profile, 9), 1_700_000_000_123_000_000n);
  assertEquals(number(counted.profile, 10), 2_500_000_000n);
  assertEquals(counted.comments, ["a", "b"]);
  assertEquals(counted.samples.map(({ value }) => value), [[2 ** 40 + 5], [3], [0]]);
  assertEquals(counted.samples[1].locations[0].lines[0].function.name, "[missing stack -17]");
});

Deno.test("encodePprof() labels samples, and keeps equal stacks with other labels apart", () => {
  const frames = [at(UNKNOWN, 0x1136)];
  const columns = decode([1, 2, 3, 4].map((id) => ({ id, frames })));
  const of = [{ comm: "a", pid: 7 }, { comm: "a", pid: 8 }, { comm: "a", pid: 7 }, undefined];
  const counts = new Map([[1, 1], [2, 10], [3, 100], [4, 1000], [-17, 5]]);
  const { samples } = profileOf(columns, new Symbolizer(), { labels: (s) => of[s], counts });
  assertEquals(
    samples.map(({ value, labels }) => [value[0], labels]),
    [[101, { comm: "a", pid: 7 }], [10, { comm: "a", pid: 8 }], [1000, {}], [5, {}]],
  );
  const [big] = profileOf(columns, new Symbolizer(), { labels: () => ({ none: "", zero: 0, most: 2 ** 53 - 1 }) })
    .samples;
  // Readers take 0 and "" for no value.
  assertEquals([big.value, big.labels], [[4], { most: 2 ** 53 - 1 }]);
  for (const pid of [-1, 0.5, 2 ** 53]) {
    assertThrows(() => profileOf(columns, undefined, { labels: () => ({ pid }) }), RangeError, "label pid must be");
  }
});

Deno.test("encodePprof() keeps frames that nobody could name: address, mapping, build ID", () => {
  const top = 0xffff_ffff_ffff_f800n;
  const { samples, mappings, locations } = profileOf(decode([
    { id: 1, frames: [at(UNKNOWN, 0x12345), at(UNKNOWN, 0x40000), { status: 2, ip: 0xffff_ffff_8100_0000n }] },
    { id: 2, frames: [at(UNKNOWN, 0x3ffff), { status: 7, build_id: new Uint8Array(20).fill(1), offset: top }] },
  ]));
  const [first, second] = samples;
  // A return address is one byte before: in the call.
  assertEquals(first.locations.map(({ address }) => address), [0x12345n, 0x3ffffn, 0xffff_ffff_80ff_ffffn]);
  assertEquals(first.locations[2].mapping, undefined);
  assertEquals(second.locations[0], first.locations[1]); // one location for one address
  assertEquals(second.locations[1].address, top - 1n);
  assertEquals(locations.size, 4);
  assert([...locations.values()].every(({ lines }) => lines.length === 0));
  const [one, other] = mappings.values();
  assertEquals([one.start, one.limit, one.offset], [0x12000n, 0x40000n, 0x12000n]);
  assertEquals([one.file, one.buildId, one.has], ["", "ab".repeat(20), [0, 0, 0, 0]]);
  assertEquals([other.start, other.limit], [0xffff_ffff_ffff_f000n, 0xffff_ffff_ffff_ffffn]);
});

Deno.test("encodePprof() names what the symbolizer knows, as the symbolizer does", async () => {
  const { bytes, buildId } = targetProgram();
  const symbolizer = new Symbolizer();
  await symbolizer.add(bytes, { name: "/opt/demo/target" });
  for (const name of ["basic", "skip", "fuzz-31"]) {
    const { stacks, counts, skipped } = await recording(name);
    const symbolized = symbolizer.lookupColumns(
      skipped > 0 ? { ...stacks, first: Uint32Array.of(stacks.status.length) } : stacks,
    );
    const { samples, mappings } = readProfile(
      encodePprof(stacks, symbolized, { counts, skipped: skipped > 0, binaries: symbolizer.binaries }),
    );
    const total = samples.reduce((sum, { value }) => sum + value[0], 0);
    assertEquals(total, [...counts.values()].reduce((sum, count) => sum + count, 0));
    // Each stack has a sample of the same functions and lines.
    const shown = new Set(
      samples.map(({ locations }) =>
        locations.flatMap(({ lines, address }) =>
          lines.length === 0
            ? [`${address}`]
            : lines.map((one) => `${one.function.name} ${one.function.file}:${one.line}`)
        ).join()
      ),
    );
    stacks.ids.forEach((_, s) => {
      const frames: string[] = [];
      for (let row = stacks.first[s]; row < stacks.first[s + 1]; row++) {
        for (const { demangled, file, line } of symbolized.frames(row)) frames.push(`${demangled} ${file}:${line}`);
        if (symbolized.depth[row] > 0) continue;
        const raw = symbolized.resolved.addressLo[row] !== 0
          ? (BigInt(symbolized.resolved.addressHi[row]) << 32n) | BigInt(symbolized.resolved.addressLo[row])
          : (BigInt(stacks.offsetHi[row]) << 32n) | BigInt(stacks.offsetLo[row]);
        frames.push(`${row === stacks.first[s] && skipped === 0 || raw === 0n ? raw : raw - 1n}`);
      }
      assert(frames.length === 0 || shown.has(frames.join()), `${name}, stack ${s}: ${frames}`);
    });
    const target = [...mappings.values()].find((one) => one.buildId === toHex(buildId) && one.start === 0n);
    if (name !== "fuzz-31") {
      assertEquals(target?.limit, 0xffff_ffff_ffff_ffffn);
      assertEquals([target?.offset, target?.file, target?.has], [0n, "/opt/demo/target", [1, 1, 1, 0]]);
    }
  }
});

Deno.test("encodePprof() refuses counts that are none, and columns of other frames", () => {
  const columns = decode([{ id: 1, frames: [at(UNKNOWN, 0x1136)] }]);
  const symbolized = new Symbolizer().lookupColumns(columns);
  for (const count of [-1, 0.5, NaN, 2 ** 53]) {
    assertThrows(() => encodePprof(columns, symbolized, { counts: [[1, count]] }), RangeError, "count must be");
  }
  assertThrows(() => encodePprof(decode([]), symbolized), RangeError, "1 symbolized frames of 0");
});

Deno.test("encodePprof() takes time in proportion to the stacks", () => {
  const build = (count: number) =>
    decode(Array.from({ length: count }, (_, id) => ({
      id,
      frames: Array.from({ length: 16 }, (_, f) => at(UNKNOWN, 0x1000 + id * 64 + f)),
    })));
  const [small, large] = [build(1000), build(8000)].map((columns) => {
    const symbolized = new Symbolizer().lookupColumns(columns);
    return () => milliseconds(() => encodePprof(columns, symbolized));
  });
  small();
  assertGrowth("1,000 stacks, and 8 times as many", small, large, { times: 40, least: 1 });
});

const SOURCE = `
static volatile int data = 3;
__attribute__((noinline)) int helper(int x) { return x * data + data; }
int main(int argc, char **argv) { return helper(argc) + argc; }
`;

const TOOLS: [tool: string, argument: string][] = [["go", "version"], ["gcc", "--version"], ["nm", "--version"]];
const missing = TOOLS.filter(([tool, argument]) => spawnSync(tool, [argument]).status !== 0).map(([tool]) => tool);
if (missing.length > 0) console.log(`skipped: go's pprof as a reader; not installed: ${missing}`);

Deno.test({
  name: "go tool pprof symbolizes what encodePprof() left without names, from both kinds of mappings",
  ignore: missing.length > 0,
  fn: async () => {
    const directory = mkdtempSync(`${tmpdir()}/stackmap-pprof-`);
    const run = (tool: string, ...args: string[]): string => {
      const env = { ...process.env, PPROF_BINARY_PATH: directory, PPROF_TMPDIR: directory };
      const { status, stdout, stderr } = spawnSync(tool, args, {
        encoding: "utf8",
        cwd: directory,
        env,
        timeout: 60_000,
      });
      if (status !== 0) throw new Error(`${tool} ${args.join(" ")}: ${stderr}`);
      return stdout;
    };
    try {
      writeFileSync(`${directory}/a.c`, SOURCE);
      for (const kind of ["-pie", "-no-pie"]) {
        const name = `program${kind}`;
        run("gcc", "-O2", "-g", kind, "-Wl,--build-id=sha1", "-o", name, "a.c");
        run("strip", "-o", `${name}.stripped`, name);
        const bytes = new Uint8Array(readFileSync(`${directory}/${name}`));
        const stripped = new Uint8Array(readFileSync(`${directory}/${name}.stripped`));
        const id = readBuildId(bytes)!;
        const known = new Symbolizer();
        await known.add(bytes);
        // Offsets and addresses differ by a whole number of pages, here by that of the symbol table.
        const nm = run("nm", name);
        const offsetOf = (symbol: string) =>
          Number.parseInt(nm.match(new RegExp(`^([0-9a-f]+) T ${symbol}$`, "m"))![1], 16) % 0x40_0000;
        const withSegments = new Symbolizer();
        await withSegments.add(stripped);
        // Outside of .text.startup, and without inlined calls: the reader that Go brings knows no others.
        const ip = { status: 2, ip: 0x7f00_0000_1000n };
        const stacks = {
          innermost: [at(id, offsetOf("helper") + 1)],
          return: [ip, at(id, offsetOf("helper") + 2)],
        };
        for (const [which, frames] of Object.entries(stacks)) {
          const columns = decode([{ id: 1, frames }]);
          const row = frames.length - 1;
          const expected = known.lookupColumns(columns).frames(row).map((frame) => `${frame.name} ${frame.line}`);
          assert(expected.length > 0);
          // Where the binary has no symbols at all, addresses are known; where there is none, only offsets.
          for (const [what, symbolizer] of Object.entries({ offsets: new Symbolizer(), addresses: withSegments })) {
            const symbolized = symbolizer.lookupColumns(columns);
            assertEquals(symbolized.depth[row], 0);
            const file = `${name}.${which}.${what}.pb`;
            writeFileSync(
              `${directory}/${file}`,
              encodePprof(columns, symbolized, {
                binaries: symbolizer.binaries,
                fileName: () => `${directory}/${name}`,
              }),
            );
            const raw = run("go", "tool", "pprof", "-symbolize=local", "-raw", file);
            for (const frame of expected) {
              const [symbol, line] = frame.split(" ");
              assertMatch(raw, new RegExp(`\\b${symbol} .*a\\.c:${line}\\b`), `${file}: ${raw}`);
            }
            assertMatch(raw, new RegExp(toHex(id)));
          }
        }
      }
      // And with names: the same that we gave it.
      const { bytes } = targetProgram();
      const symbolizer = new Symbolizer();
      await symbolizer.add(bytes, { name: "target" });
      const { stacks, counts } = await recording("basic");
      writeFileSync(
        `${directory}/basic.pb`,
        encodePprof(stacks, symbolizer.lookupColumns(stacks), {
          counts,
          binaries: symbolizer.binaries,
          labels: (s) => ({ comm: s % 2 === 0 ? "even" : "odd", pid: 1000 + s % 2 }),
        }),
      );
      const top = run("go", "tool", "pprof", "-symbolize=none", "-top", "basic.pb");
      assertMatch(top, /342 total/);
      assertMatch(top, /220 64\.33% {2}rec\b/);
      assertMatch(top, /\[missing stack -17\]/);
      const tags = run("go", "tool", "pprof", "-symbolize=none", "-tags", "basic.pb");
      // Of stacks that are missing nothing is known.
      assertMatch(tags, /comm: Total 322\.0\n +[0-9.]+ \(.*\): (?:even|odd)\n/);
      assertMatch(tags, /pid: Total 322\.0\n +[0-9.]+ \(.*\): 100[01]\n/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
});
