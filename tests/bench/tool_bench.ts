// Owns the benchmark of the command line: build IDs of a machine's ELF files, beside readelf.
import { spawnSync } from "node:child_process";
import { closeSync, lstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { quantile, type Result, RUNTIME } from "./harness.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const DIRECTORIES = ["/usr/bin", "/usr/lib"];

// Regular files that start with the ELF magic; links are not followed.
function elfFiles(): string[] {
  const found: string[] = [];
  const magic = new Uint8Array(4);
  const pending = [...DIRECTORIES];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) pending.push(path);
      if (!entry.isFile() || lstatSync(path).size < 64) continue;
      const file = openSync(path, "r");
      if (readSync(file, magic, 0, 4, 0) === 4 && magic.join() === "127,69,76,70") found.push(path);
      closeSync(file);
    }
  }
  return found.sort();
}

function timed(command: string, args: string[]): { ns: number; ids: Set<string> } {
  const start = performance.now();
  const { stdout, error } = spawnSync(command, args, {
    encoding: "latin1",
    maxBuffer: 1 << 30,
    env: { ...process.env, LC_ALL: "C", NO_COLOR: "1" },
  });
  const ns = (performance.now() - start) * 1e6;
  if (error !== undefined) throw error;
  return { ns, ids: new Set(stdout.match(/\b[0-9a-f]{40}\b/g)) };
}

/** Runs `rounds` rounds; a text says why it can't. */
export function measureBuildIds(rounds: number): Result | string {
  if (spawnSync("readelf", ["--version"]).status !== 0) return "there is no readelf";
  const files = elfFiles();
  const runner = process.versions.bun !== undefined || process.versions.deno === undefined ? [] : ["run", "-A"];
  const js = () => timed(process.execPath, [...runner, MAIN, "buildid", ...files]);
  const readelf = () => timed("readelf", ["-n", ...files]);
  const expected = readelf().ids;
  const actual = js().ids;
  const missed = [...expected].filter((id) => !actual.has(id));
  if (expected.size === 0 || missed.length > 0) {
    throw new Error(`buildid printed ${actual.size} ids, readelf ${expected.size}; missed ${missed.slice(0, 3)}`);
  }
  const jsTimes: number[] = [];
  const readelfTimes: number[] = [];
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) jsTimes.push(js().ns);
    readelfTimes.push(readelf().ns);
    if (round % 2 === 1) jsTimes.push(js().ns);
  }
  const best = Math.min(...readelfTimes) / Math.min(...jsTimes);
  const ratios = jsTimes.map((ns, i) => readelfTimes[i] / ns).sort((a, b) => a - b);
  const median = (values: number[]) => quantile(values.sort((a, b) => a - b), 0.5);
  return {
    name: `build ids of ${files.length} ELF files, process beside readelf -n`,
    target: RUNTIME.engine === "jsc" ? [3.7, 2.05] : [1.6, 1.0],
    ns: { js: median(jsTimes), c: median(readelfTimes) },
    ratios,
    best,
  };
}
