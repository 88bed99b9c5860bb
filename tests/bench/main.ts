// Owns the benchmark command: which benchmarks run, the table, the gate.
//   deno task bench [--quick] [NAME-PART…]      also: bun tests/bench/main.ts, node tests/bench/main.ts
import { cpus } from "node:os";
import process from "node:process";
import { dumpBenches } from "./dump_bench.ts";
import { measure, quantile, Reference, type Result, RUNTIME } from "./harness.ts";
import { kernelBenches } from "./kernel_bench.ts";
import { symbolBenches } from "./symbol_bench.ts";
import { measureBuildIds } from "./tool_bench.ts";

const USAGE = `usage: main.ts [--quick] [NAME-PART…]

Runs the hot paths beside C programs for the same work and prints throughput relative to C: the median of the rounds'
ratios, from which to which the middle eight tenths of them went, and the ratio of the shortest times.

--quick   fewer rounds; exit code 1 if a best ratio is under half of the recorded one (for CI, on noisy machines)
NAME-PART run only the benchmarks whose name holds one of these
`;

const args = process.argv.slice(2);
const quick = args.includes("--quick");
const parts = args.filter((arg) => !arg.startsWith("-"));
if (args.some((arg) => arg.startsWith("-") && arg !== "--quick")) {
  console.log(USAGE);
  process.exit(args.includes("--help") ? 0 : 2);
}
const wanted = (name: string) => parts.length === 0 || parts.some((part) => name.includes(part));
const rounds = quick ? 5 : 21;
const results: Result[] = [];

const duration = (ns: number) => ns >= 1e6 ? `${(ns / 1e6).toFixed(2)} ms` : `${(ns / 1e3).toFixed(1)} µs`;

// Under half of what docs/performance.md records, even in the best round: not the machine's noise.
function collapsed({ best, target: [, recorded] }: Result): boolean {
  return best < recorded / 2;
}

function row(result: Result): string {
  const { name, ns, ratios, best } = result;
  const [goal] = result.target;
  const median = quantile(ratios, 0.5);
  const spread = `${quantile(ratios, 0.1).toFixed(2)}–${quantile(ratios, 0.9).toFixed(2)}`;
  const met = collapsed(result) ? "COLLAPSED" : median >= goal ? "met" : "not met";
  return `| ${name.padEnd(56)} | ${duration(ns.js).padStart(10)} | ${duration(ns.c).padStart(10)} | ${
    median.toFixed(2).padStart(5)
  } | ${spread.padEnd(9)} | ${best.toFixed(2)} | ${goal.toFixed(2)} | ${met.padEnd(7)} |`;
}

function report(result: Result): void {
  results.push(result);
  console.log(row(result));
}

console.log(`${RUNTIME.name}; gcc -O2 beside it; ${cpus()[0]?.model ?? "unknown processor"}; ${rounds} rounds\n`);
console.log(
  `| ${"benchmark".padEnd(56)} | ${"JavaScript".padStart(10)} | ${
    "C".padStart(10)
  } | ratio | spread    | best | goal | goal is |`,
);
console.log(`|${"-".repeat(58)}|-----------:|-----------:|------:|-----------|-----:|-----:|---------|`);

const reference = Reference.start();
if (typeof reference === "string") {
  console.log(`skipped all that run beside our C program: ${reference}`);
} else {
  try {
    for (const make of [...dumpBenches, ...kernelBenches, ...symbolBenches]) {
      const bench = make();
      if (wanted(bench.name)) report(await measure(bench, reference, rounds));
    }
  } finally {
    reference.stop();
  }
}
if (wanted("build ids of ELF files, readelf")) {
  const result = measureBuildIds(quick ? 3 : 11);
  if (typeof result === "string") console.log(`skipped the build ids of files: ${result}`);
  else report(result);
}

const missed = results.filter(({ ratios, target: [goal] }) => quantile(ratios, 0.5) < goal);
console.log(`\n${results.length - missed.length} of ${results.length} goals met`);
const fallen = results.filter(collapsed);
for (const { name, target: [, recorded] } of fallen) console.log(`under half of the recorded ${recorded}: ${name}`);
process.exit(quick && fallen.length > 0 ? 1 : 0);
