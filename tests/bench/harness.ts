// Owns how benchmarks run: the C program beside, rounds that alternate, medians of ratios.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Throughput relative to C: the goal, and the median that docs/performance.md records. */
export type Target = readonly [goal: number, recorded: number];

/** Targets per engine. */
export interface Targets {
  /** In V8: Deno and Node. */
  v8: Target;
  /** In JavaScriptCore: Bun. */
  jsc: Target;
}

/** One piece of work, in JavaScript and in C. */
export interface Bench {
  name: string;
  targets: Targets;
  /** What the C program works on: a slot for each, in this order. */
  inputs: Uint8Array[];
  /** Case of the C program and its arguments after the first input; `%N` stands for the slot of input N. */
  command: string;
  args?: (number | `%${number}`)[];
  /** Does the work once. */
  run: () => void;
  /** Checksum of the last result, to be equal to that of C. */
  sum: () => number;
}

/** One line of the table. */
export interface Result {
  name: string;
  target: Target;
  /** Nanoseconds for the work once, medians. */
  ns: { js: number; c: number };
  /** Ratios C time / JavaScript time, sorted. */
  ratios: number[];
  /** C's shortest time / JavaScript's: what is left when neighbours of a shared machine slow neither. */
  best: number;
}

/** Which of the targets is this runtime's, and what to print as its name. */
export const RUNTIME: { name: string; engine: keyof Targets } = (() => {
  const { bun, deno, v8 } = process.versions as Record<string, string | undefined>;
  if (bun !== undefined) return { name: `Bun ${bun}`, engine: "jsc" };
  return { name: deno !== undefined ? `Deno ${deno} (V8 ${v8})` : `Node ${process.version}`, engine: "v8" };
})();

/** Value at `part` (0 to 1) of sorted `values`. */
export function quantile(values: readonly number[], part: number): number {
  return values[Math.min(values.length - 1, Math.floor(part * values.length))];
}

/** The C program, built from reference.c and running. */
export class Reference {
  readonly #directory: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #slots = 0;

  private constructor(directory: string, child: ChildProcess) {
    this.#directory = directory;
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  /** Builds and starts the program; a text says why it can't. */
  static start(): Reference | string {
    const version = spawnSync("gcc", ["--version"], { encoding: "utf8" });
    if (version.error !== undefined || version.status !== 0) return "there is no gcc";
    const directory = mkdtempSync(join(tmpdir(), "stackmap-bench-"));
    const source = fileURLToPath(new URL("./reference.c", import.meta.url));
    const program = join(directory, "reference");
    const built = spawnSync("gcc", ["-O2", "-o", program, source], { encoding: "utf8" });
    if (built.status !== 0) {
      rmSync(directory, { recursive: true });
      return `gcc failed: ${built.stderr}`;
    }
    return new Reference(directory, spawn(program, { stdio: ["pipe", "pipe", "inherit"] }));
  }

  async #ask(line: string): Promise<string> {
    this.#child.stdin!.write(`${line}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`the C program ended at ${JSON.stringify(line)}`);
    return value;
  }

  /** Gives `bytes` to the program; answers the slot. A slot is used again by the benchmark after this one. */
  async load(bytes: Uint8Array): Promise<number> {
    const slot = this.#slots++;
    const path = join(this.#directory, String(slot));
    writeFileSync(path, bytes);
    const size = Number(await this.#ask(`load ${slot} ${path}`));
    rmSync(path);
    if (size !== bytes.length) throw new Error(`the C program loaded ${size} of ${bytes.length} bytes`);
    return slot;
  }

  async run(command: string, times: number, args: number[]): Promise<{ ns: number; sum: number }> {
    const [ns, sum] = (await this.#ask(`run ${command} ${times} ${args.join(" ")}`)).split(" ").map(Number);
    return { ns: ns / times, sum };
  }

  stop(): void {
    this.#child.stdin!.end();
    rmSync(this.#directory, { recursive: true });
  }
}

// Milliseconds that one measurement takes at least. Shorter ones measure how a side wakes up after the other's turn:
// with half a millisecond, jhash2 came out a third slower than in a loop of its own.
const MEASUREMENT_MS = 25;

/** Runs one benchmark: both sides warm up, then take turns for `rounds` rounds. */
export async function measure(bench: Bench, reference: Reference, rounds: number): Promise<Result> {
  const slots: number[] = [];
  for (const bytes of bench.inputs) slots.push(await reference.load(bytes));
  const args = [slots[0], ...(bench.args ?? []).map((a) => typeof a === "number" ? a : slots[Number(a.slice(1))])];
  const js = (times: number) => {
    const start = performance.now();
    for (let i = 0; i < times; i++) bench.run();
    return (performance.now() - start) * 1e6 / times;
  };
  const enough = (ns: number) => Math.max(1, Math.ceil(MEASUREMENT_MS * 1e6 / ns));
  let jsTimes = 1;
  for (let i = 0; i < 6; i++) jsTimes = enough(js(jsTimes));
  const first = await reference.run(bench.command, 1, args);
  const cTimes = enough((await reference.run(bench.command, enough(first.ns), args)).ns);
  const expected = first.sum;
  if (bench.sum() !== expected) {
    throw new Error(`${bench.name}: JavaScript's checksum is ${bench.sum()}, that of C ${expected}`);
  }
  const times1: number[] = [];
  const times2: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // Whoever comes second finds warmer caches or a busier machine: take turns.
    if (round % 2 === 0) times1.push(js(jsTimes));
    times2.push((await reference.run(bench.command, cTimes, args)).ns);
    if (round % 2 === 1) times1.push(js(jsTimes));
  }
  if (bench.sum() !== expected) throw new Error(`${bench.name}: the result changed from run to run`);
  const best = Math.min(...times2) / Math.min(...times1);
  const ratios = times1.map((ns, i) => times2[i] / ns).sort((a, b) => a - b);
  const median = (values: number[]) => quantile(values.sort((a, b) => a - b), 0.5);
  return {
    name: bench.name,
    target: bench.targets[RUNTIME.engine],
    ns: { js: median(times1), c: median(times2) },
    ratios,
    best,
  };
}

/** Checksum step of reference.c. */
export function mix(h: number, v: number): number {
  return Math.imul(h ^ v, 0x0100_0193);
}

/** Checksum of 32-bit words, as reference.c has it. */
export function sumWords(words: Int32Array | Uint32Array): number {
  let h = 0;
  for (let i = 0; i < words.length; i++) h = mix(h, words[i]);
  return h >>> 0;
}
