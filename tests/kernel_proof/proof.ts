// Owns the proof: case after case for a time, each carried out by the kernel and compared with the model.
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import type { KernelRelease } from "../../mod.ts";
import { kernelRelease, possibleCpuCount, whyNoBpf } from "../../src/linux/linux.ts";
import type { CaseSize, ProofCase } from "./case.ts";
import { Coverage } from "./coverage.ts";
import { disturbedInterrupts } from "./disturbance.ts";
import { makeCase, type Surroundings } from "./generate.ts";
import { runLive } from "./live.ts";
import { printTest } from "./test_text.ts";
import { type Failure, reduce, type Reduced } from "./reduce.ts";
import { PROVABLE, provenProfile, runningProfile } from "./running.ts";
import { countOutcomes, type Difference, replayCase } from "./replay.ts";
import { Target } from "./target.ts";

/** Why nothing can be proven here; `undefined` if it can. */
export function whyNoProof(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return "the target is a program for Linux on x86-64";
  if (runningProfile() === undefined) {
    return `this is Linux ${kernelRelease()}, the proof is about ${PROVABLE.join(", ")}`;
  }
  return whyNoBpf();
}

/** What a proof is told. */
export interface ProofOptions {
  /** How long to go on; the case that is under way then is finished. */
  seconds: number;
  /** Seed of the first case; the next has the next. */
  seed: number;
  /** The profile to compare with; that of the running kernel by default. Another one shows that differences are found. */
  kernel?: KernelRelease;
  size?: CaseSize;
  /** Seconds for the reduction of a failing case; 60 by default. */
  reduceSeconds?: number;
  /** Ends it behind the case that is under way. */
  signal?: AbortSignal;
  /** Is told now and then how far it is. */
  progress?: (text: string) => void;
}

/** A failing case, reduced. */
export interface Found {
  seed: number;
  differences: Difference[];
  /** System calls with helper calls that are left. */
  calls: number;
  /** How often the kernel was asked for the reduction. */
  attempts: number;
  /** A test that is ready to be added. */
  test: string;
}

/** What came of it. */
export interface ProofResult {
  firstSeed: number;
  cases: number;
  coverage: Coverage;
  /** The first failing case; it ends the proof. */
  found: Found | undefined;
}

/** Files and calls of a case by default. */
export const CASE_SIZE: CaseSize = { rounds: 4, files: 160, calls: 300 };

/** One case of so many is made at a clock's interrupts. */
const CLOCK_EVERY = 8;

/** How often a case at interrupts is run where differences stay unexplained. */
const MOST_RUNS = 3;

/** Few interrupts in a case, so that most cases are undisturbed where others sample, too. */
function clockSize({ files, calls }: CaseSize): CaseSize {
  return { rounds: 1, files: Math.min(files, 60), calls: Math.min(calls, 60) };
}

/** Number of recorded helper results. */
export function helperResults(coverage: Coverage): number {
  return coverage.sum("bpf_get_stackid") + coverage.sum("bpf_get_stack");
}

/** Number of hostile files. */
export function hostileFiles(coverage: Coverage): number {
  return coverage.sum("hostile files");
}

/** `kernel.perf_event_max_stack`. */
export function maxStackDepth(): number {
  return Number(readFileSync("/proc/sys/kernel/perf_event_max_stack", "utf8"));
}

const TMPFS_MAGIC = 0x01021994;

/** A directory whose files can be evicted from the page cache: on a disk, where there is one. */
function diskDirectory(): string {
  const candidates = [tmpdir(), "/var/tmp", process.cwd()];
  return candidates.find((path) => existsSync(path) && statfsSync(path).type !== TMPFS_MAGIC) ?? tmpdir();
}

/** Addresses around the mappings that every process has. */
function surroundings(target: Target): Surroundings {
  const addresses: bigint[] = [];
  for (const [, start, end] of target.maps().matchAll(/^([0-9a-f]+)-([0-9a-f]+) .*\[(?:v|stack)/gm)) {
    const [first, last] = [BigInt(`0x${start}`), BigInt(`0x${end}`)];
    addresses.push(first - 1n, first, (first + last) / 2n, last - 1n, last);
  }
  return { nrCpus: possibleCpuCount(), addresses, maxStack: maxStackDepth() };
}

/** Runs cases until the time is over or one differs. */
export async function prove(options: ProofOptions): Promise<ProofResult> {
  const { seconds, seed, kernel = provenProfile(), size = CASE_SIZE, reduceSeconds = 60, signal, progress } =
    options;
  const coverage = new Coverage();
  const result: ProofResult = { firstSeed: seed, cases: 0, coverage, found: undefined };
  const start = performance.now();
  let told = start;
  using target = new Target(diskDirectory());
  const around = surroundings(target);
  const { nrCpus } = around;
  while (result.cases === 0 || (performance.now() - start < 1000 * seconds && !signal?.aborted)) {
    const caseSeed = seed + result.cases;
    const clock = caseSeed % CLOCK_EVERY === 0;
    around.maxStack = maxStackDepth(); // somebody may change it while there are no maps
    const proofCase = makeCase(caseSeed, clock ? clockSize(size) : size, around);
    let live = await runLive(target, proofCase, clock);
    let differences = replayCase(proofCase, live, { kernel, nrCpus, coverage });
    // At interrupts other programs may disturb; where they do so often, it can't always be told from one run.
    for (let run = 1; clock && differences.length > 0; run++) {
      const disturbed = disturbedInterrupts(proofCase, live, differences, { kernel, nrCpus });
      coverage.add("interrupts: disturbed by another's program", disturbed?.size ?? 0);
      if (disturbed !== undefined) differences = [];
      else if (run === MOST_RUNS) break;
      else {
        coverage.add("interrupts: cases run again");
        live = await runLive(target, proofCase, clock);
        differences = replayCase(proofCase, live, { kernel, nrCpus, coverage });
      }
    }
    countOutcomes(proofCase, live, coverage);
    coverage.add(`cases: ${clock ? "at a clock's interrupts" : "at system calls"}`);
    result.cases++;
    if (differences.length > 0) {
      progress?.(`seed ${proofCase.seed} differs in ${differences[0].what}: reducing it`);
      const failure = { proofCase, live, differences };
      // Interrupts don't come twice the same: such a case is only cut off.
      const options = { kernel, nrCpus, seconds: reduceSeconds };
      const small = clock ? cutOff(failure) : await reduce(target, failure, options);
      const { calls, attempts } = small;
      const test = printTest(small, nrCpus);
      result.found = { seed: proofCase.seed, differences: small.differences, calls, attempts, test };
      return result;
    }
    if (performance.now() - told > 5000) {
      told = performance.now();
      progress?.(progressText(result, (told - start) / 1000, proofCase));
    }
  }
  return result;
}

/** A failure up to its first difference. */
function cutOff({ proofCase, live, differences }: Failure): Reduced {
  const [{ round, op = Infinity }] = differences;
  const rounds = live.rounds.slice(0, round + 1);
  rounds[round] = { ...rounds[round], ops: rounds[round].ops.slice(0, op + 1), dumps: [] };
  return { proofCase, live: { ...live, rounds }, differences, attempts: 0, calls: rounds[round].ops.length };
}

function progressText({ coverage, cases }: ProofResult, seconds: number, { seed }: ProofCase): string {
  const [results, files] = [helperResults(coverage), hostileFiles(coverage)].map((n) => n.toLocaleString("en"));
  return `${
    seconds.toFixed(0)
  } s: ${cases} cases, up to seed ${seed}; ${results} helper results, ${files} files, no difference`;
}
