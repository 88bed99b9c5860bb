// Owns the benchmark of `record` beside perf: three loads, both tools at once; what each finds, what each costs.
//   deno task bench:record [--seconds N] [--only NAME] [--keep]
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { openHost } from "../../src/cli/host.ts";
import { type BpfProgram, whyNoBpf } from "../../src/linux/linux.ts";
import { type Load, LOADS } from "./record_loads.ts";
import { type Ended, MeasuredCommand, measurePrograms, programsNamed } from "./record_cost.ts";
import { onlyCommands, readOurs, readPerf } from "./record_profiles.ts";
import { printCost, printHottest, printLosses, printResolved } from "./record_tables.ts";

const HELP = `usage: deno task bench:record [option]…

Samples three loads with record and, at the same time, with perf record -g -e cpu-clock -F 99: prints which share of
frames has names, the hottest functions side by side, and what both cost. Needs root; gcc, node, g++ and make for
the loads; perf for the comparison (Debian: linux-perf).

  --seconds N   how long each load is sampled (10)
  --only NAME   one load: ${Object.keys(LOADS).join(", ")}; as often as wanted
  --keep        keep recordings, folded stacks and perf's data, and say where
`;

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
/** What the recorder's program is called in the kernel. */
const PROGRAM = "record_stacks";
const FREQUENCY = 99;

/** CPU time of one command at the ends of its sampling. */
export interface Cost {
  /** CPU seconds until sampling began, while it lasted, and from then on. */
  startUp: number;
  sampling: number;
  end: number;
  /** The second half of `sampling`, when the engine has compiled what runs often. */
  secondHalf: number;
  /** Seconds between the two readings of CPU time that `sampling` is the difference of. */
  sampled: number;
  ended: Ended;
}

/** What was measured of one load. */
export interface Measured {
  ours: Cost;
  /** What the BPF program took, and how often it ran. */
  program?: { nanoseconds: number; runs: number };
  perf?: Cost;
  /** perf script: what perf does when it is asked for names. */
  script?: Ended;
}

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits until something is there, for 30 s at most. */
async function waitFor<T>(what: string, find: () => T | undefined): Promise<T> {
  for (let i = 0; i < 1500; i++) {
    const found = find();
    if (found !== undefined) return found;
    await sleep(20);
  }
  throw new Error(`no ${what} after 30 s`);
}

/** perf record, which waits for words in a pipe. */
interface Perf {
  command: MeasuredCommand;
  /** "enable" and "stop". */
  tell(word: string): void;
  /** Ends it, however far it is. */
  end(): Promise<void>;
}

/** Starts perf with its events off. */
function startPerf(directory: string, target: string[]): Perf {
  const pipe = join(directory, "control");
  spawnSync("mkfifo", [pipe]);
  const fd = openSync(pipe, "r+");
  const data = join(directory, "perf.data");
  const command = new MeasuredCommand(
    ["perf", "record", "-D", "-1", "--control", `fifo:${pipe}`, "-g", "-e", "cpu-clock", "-F", `${FREQUENCY}`]
      .concat(target, "-o", data),
    join(directory, "perf.out"),
  );
  const tell = (word: string) => writeSync(fd, `${word}\n`);
  const end = async () => {
    tell("stop");
    await command.ended;
    closeSync(fd);
  };
  return { command, tell, end };
}

/** Runs both tools on a load that is at work. */
async function sampleLoad(load: Load, seconds: number, directory: string, withPerf: boolean): Promise<Measured> {
  const perf = withPerf ? startPerf(directory, load.pid === undefined ? ["-a"] : ["-p", `${load.pid}`]) : undefined;
  try {
    return await sampleWith(perf, load, seconds, directory);
  } finally {
    await perf?.end();
  }
}

async function sampleWith(
  perf: Perf | undefined,
  load: Load,
  seconds: number,
  directory: string,
): Promise<Measured> {
  const target = load.pid === undefined ? ["--all"] : ["--pid", `${load.pid}`];
  // Its events are there, and off, when it has written the head of its file.
  if (perf !== undefined) {
    await waitFor("start of perf", () => existsSync(join(directory, "perf.data")) ? true : undefined);
    await sleep(500);
  }
  const before = new Set(
    programsNamed(PROGRAM).map((program) => {
      const { id } = program.info();
      program.close();
      return id;
    }),
  );
  const ours = new MeasuredCommand(
    [process.execPath, "run", "--allow-all", MAIN, "record", ...target, "--seconds", `${seconds}`]
      .concat("--frequency", `${FREQUENCY}`, "--output", join(directory, "ours.tar.gz"))
      .concat("--folded", join(directory, "ours.folded"), "--linkage-names"),
    join(directory, "ours.out"),
  );
  let failed: Ended | undefined;
  ours.ended.then((ended) => failed = ended);
  using program: BpfProgram = await waitFor("program of record", () => {
    if (failed !== undefined) throw new Error(`record: ${failed.errors}`);
    return programsNamed(PROGRAM).find((one) => !before.has(one.info().id) || one.close());
  });
  // From here both sample. CPU time is read three times, so that the measurement costs nothing in between.
  perf?.tell("enable");
  const start = performance.now();
  const first = [ours.cpu(), perf?.command.cpu() ?? 0];
  await sleep(seconds * 500 - 75);
  const middle = [ours.cpu(), perf?.command.cpu() ?? 0];
  await sleep(seconds * 500 - 75);
  const last = [ours.cpu(), perf?.command.cpu() ?? 0];
  const sampled = (performance.now() - start) / 1000;
  await sleep(seconds * 1000 - (performance.now() - start));
  perf?.tell("stop");
  const endings = await Promise.all([ours.ended, perf?.command.ended]);
  const { run_time_ns, run_cnt } = program.info();
  const [oursCost, perfCost] = endings.map((ended, i) => {
    if (ended === undefined) return undefined;
    const sampling = last[i] - first[i];
    const total = ended.user + ended.system;
    return { startUp: first[i], sampling, secondHalf: last[i] - middle[i], end: total - last[i], sampled, ended };
  });
  return {
    ours: oursCost!,
    ...(run_cnt > 0n ? { program: { nanoseconds: Number(run_time_ns), runs: Number(run_cnt) } } : {}),
    ...(perfCost === undefined ? {} : { perf: perfCost }),
  };
}

async function benchLoad(name: string, seconds: number, work: string, withPerf: boolean): Promise<void> {
  const directory = join(work, name);
  mkdirSync(directory);
  const load = LOADS[name](directory, seconds + 25);
  if (typeof load === "string") return console.log(`\n## ${name}\n\nskipped: ${load}`);
  console.log(`\n## ${name}: ${load.title}\n`);
  let measured: Measured;
  try {
    await sleep(load.settle);
    measured = await sampleLoad(load, seconds, directory, withPerf);
    if (measured.ours.ended.code !== 0) throw new Error(`record: ${measured.ours.ended.errors}`);
    if (measured.perf !== undefined) {
      // While the process lives, as for record: perf asks it which files it maps, too.
      const fields = ["-F", "comm,pid,tid,ip,sym,dso"];
      measured.script = await new MeasuredCommand(
        ["perf", "script", "--no-inline", "--no-demangle", "-i", join(directory, "perf.data"), ...fields],
        join(directory, "perf.txt"),
      ).ended;
    }
  } finally {
    await load.stop();
  }
  for (const line of measured.ours.ended.errors.trim().split("\n")) console.log(`    record: ${line}`);
  const { profile, recording, nameAt } = await readOurs(await openHost(), join(directory, "ours.tar.gz"));
  const perf = measured.perf === undefined
    ? undefined
    : readPerf(readFileSync(join(directory, "perf.txt"), "utf8"), nameAt);
  printResolved(profile, perf?.profile, perf?.agreement);
  printLosses(recording, measured.perf?.ended.errors);
  if (load.commands !== undefined) {
    const [mine, theirs] = onlyCommands([profile, ...(perf === undefined ? [] : [perf.profile])], load.commands);
    const title = `own time in ${load.commands.join(", ")}`;
    printResolved(mine, theirs, undefined, title.replace("own time in ", ""));
    printHottest(title, mine, theirs, { inclusive: false, design: undefined });
  }
  printHottest("own time", profile, perf?.profile, { inclusive: false, design: load.design?.self });
  if (load.design !== undefined) {
    printHottest("with what they call", profile, perf?.profile, { inclusive: true, design: load.design.inclusive });
  }
  printCost(measured, profile.samples, seconds);
}

function options(args: string[]): { seconds: number; only: string[]; keep: boolean } | undefined {
  const found = { seconds: 10, only: [] as string[], keep: false };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--seconds" && Number(args[i + 1]) >= 1) found.seconds = Number(args[++i]);
    else if (args[i] === "--only" && args[i + 1] in LOADS) found.only.push(args[++i]);
    else if (args[i] === "--keep") found.keep = true;
    else return undefined;
  }
  return found;
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const given = options(args);
  if (given === undefined) {
    console.log(HELP);
    return args.includes("--help") ? 0 : 2;
  }
  const reason = whyNoBpf();
  if (reason !== undefined) {
    console.log(`skipped: ${reason}`);
    return 0;
  }
  const perf = spawnSync("perf", ["--version"], { encoding: "utf8" });
  const withPerf = perf.status === 0;
  const stats = measurePrograms();
  const load = loadavg().map((one) => one.toFixed(2)).join(" ");
  console.log(`${cpus().length} CPUs, ${cpus()[0]?.model ?? "unknown processor"}; load average before: ${load}`);
  console.log(withPerf ? perf.stdout.trim() : "not compared: there is no perf (Debian: linux-perf)");
  if (typeof stats === "string") console.log(`the program's own time is not measured: ${stats}`);
  // On disk: /tmp is in memory on many machines, and a build writes a lot.
  const work = mkdtempSync(join(existsSync("/var/tmp") ? "/var/tmp" : "/tmp", "stackmap-record-"));
  try {
    for (const name of Object.keys(LOADS)) {
      if (given.only.length > 0 && !given.only.includes(name)) continue;
      await benchLoad(name, given.seconds, work, withPerf);
    }
  } finally {
    if (typeof stats !== "string") stats.close();
    if (given.keep) console.log(`\nkept: ${work}`);
    else rmSync(work, { recursive: true, force: true });
  }
  return 0;
}

process.exit(await main());
