// Owns the command line of the proof: deno task kernel-proof --help.
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { KERNEL_RELEASES, type KernelRelease } from "../../mod.ts";
import { compareMapCreate } from "./map_create.ts";
import { helperResults, hostileFiles, maxStackDepth, prove, whyNoProof } from "./proof.ts";
import { PROVABLE, provenProfile } from "./running.ts";

const HELP = `Proves the kernel model against the running kernel (x86-64, root; Linux ${PROVABLE.join(", ")}).

deno task kernel-proof [--seconds N] [--seed N]

  --seconds N        how long to go on, 60 by default
  --seed N           seed of the first case, the next case has the next; by default another one each time
  --kernel RELEASE   the profile to compare with, the running kernel's by default; 4.17 shows what a difference looks like
  --max-stack N      sets kernel.perf_event_max_stack meanwhile; other programs on the machine see it, too

Progress goes to stderr; Ctrl-C ends it early. At the end: what was compared, and how often what was met. A
case that differs is reduced and printed as a test; the exit status is then 1.
`;

/** Attributes of BPF_MAP_CREATE for each second. */
const MAPS_A_SECOND = 200;
const MAX_STACK = "/proc/sys/kernel/perf_event_max_stack";

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "60" },
      seed: { type: "string", default: `${Date.now() % 1_000_000_000}` },
      kernel: { type: "string" },
      "max-stack": { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const [seconds, seed] = [values.seconds, values.seed].map(Number);
  if (!(seconds >= 0) || !Number.isSafeInteger(seed)) throw new RangeError("--seconds and --seed take numbers");
  const kernel = KERNEL_RELEASES.find((release) => release === values.kernel);
  if (kernel === undefined && values.kernel !== undefined) {
    throw new RangeError(`--kernel is one of ${KERNEL_RELEASES.join(", ")}`);
  }
  const reason = whyNoProof();
  if (reason !== undefined) {
    process.stderr.write(`nothing is proven: ${reason}\n`);
    return 2;
  }
  const before = readFileSync(MAX_STACK, "utf8");
  const wanted = values["max-stack"];
  if (wanted !== undefined && !(await setMaxStack(wanted, 1))) return 2;
  try {
    return await run(seconds, seed, kernel ?? provenProfile());
  } finally {
    // The kernel gives maps back a little after they are closed.
    if (wanted !== undefined) await setMaxStack(before, 600);
  }
}

/** Sets the sysctl; whether that came about within so many attempts, a tenth of a second apart. */
async function setMaxStack(text: string, attempts: number): Promise<boolean> {
  for (let attempt = 1;; attempt++) {
    try {
      writeFileSync(MAX_STACK, text);
      return true;
    } catch (error) {
      if (attempt === attempts) {
        const hint = "the kernel changes it only while there is no stack map and nobody profiles";
        process.stderr.write(`${MAX_STACK} can't be set to ${text.trim()}, ${hint}: ${error}\n`);
        return false;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function run(seconds: number, seed: number, kernel: KernelRelease): Promise<number> {
  const start = performance.now();
  const progress = (text: string) => process.stderr.write(`${text}\n`);
  const controller = new AbortController();
  process.once("SIGINT", () => controller.abort());
  const { coverage, cases, found } = await prove({ seconds, seed, kernel, signal: controller.signal, progress });
  const maxStack = maxStackDepth();
  const creations = compareMapCreate(seed, Math.ceil(seconds * MAPS_A_SECOND), maxStack, coverage);
  const number = (value: number) => value.toLocaleString("en");
  const lines = [
    coverage.toString(),
    "",
    `seeds ${seed} to ${seed + cases - 1}: ${number(cases)} cases in ${
      ((performance.now() - start) / 1000).toFixed(0)
    } s`,
    `${number(helperResults(coverage))} helper results, ${number(coverage.sum("map commands"))} map commands`,
    `${number(coverage.get("dumps: stacks"))} dumped stacks, ${number(coverage.sum("BPF_MAP_CREATE"))} creations`,
    `${number(hostileFiles(coverage))} hostile files, perf_event_max_stack ${maxStack}`,
    `${number((found?.differences.length ?? 0) + creations.length)} differences`,
  ];
  for (const difference of creations) lines.push(`BPF_MAP_CREATE ${difference}`);
  if (found !== undefined) {
    lines.push(`seed ${found.seed}, asked ${found.attempts} times, ${found.calls} calls left`, found.test);
  }
  process.stdout.write(`${lines.join("\n")}\n`);
  return found === undefined && creations.length === 0 ? 0 : 1;
}

process.exitCode = await main();
