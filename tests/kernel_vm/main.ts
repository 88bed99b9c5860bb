// Owns the command line of the virtual machine: deno task kernel-vm --help.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { constants, homedir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { kernelFile, kernelFolder, projectImage, ramDisk, rootImage } from "./image.ts";
import { runMachine } from "./machine.ts";
import { Apt } from "./packages.ts";
import { type Architecture, ARCHITECTURES, checkTools, MissingError, type Run } from "./tools.ts";

const HELP = `Runs a command on another kernel: one of Debian's, in a virtual machine that qemu emulates.

deno task kernel-vm [options] -- COMMAND…

  --linux RELEASE    6.1 by default; Debian's newest kernel of that release is taken
  --arch ARCH        amd64 or arm64; amd64 by default
  --memory MIB       3000 by default
  --cpus N           2 by default
  --in-turn          emulates the CPUs in turn instead of at once: slower, but a kernel that patches its own code,
                     as it does for tracing, can't die of a race in qemu
  --seconds N        how long the machine may run, 1200 by default
  --directory DIR    for what is downloaded and made, some 600 MB for each architecture; by default the folder
                     stackmap-kernel-vm where the system keeps caches ($XDG_CACHE_HOME, or ~/.cache)

It takes Debian with qemu-system-x86 or qemu-system-arm, e2fsprogs and git, and network for what is not there yet.
The command runs as root in a copy of the project as the working tree has it, with Deno, gcc and busybox, and
without network. Its output goes to stdout, progress to stderr. The exit status is the command's; 124 when the
time is up, 125 when the machine failed, and 2 when it can't be run.

  deno task kernel-vm --linux 6.12 -- deno task kernel-proof --seconds 60
  deno task kernel-vm --arch arm64 -- deno test --allow-all --no-check tests/linux_recorder_test.ts
`;

const CANNOT_RUN = 2;
const TIMED_OUT = 124;
const MACHINE_FAILED = 125;
/** Of a kernel that stopped, the last lines that are shown. */
const LOG_LINES = 80;

/** A whole number from 1 on. */
function number(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`--${option} takes a whole number from 1 on`);
  return value;
}

function defaultDirectory(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "stackmap-kernel-vm");
}

function options(args: string[]) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      linux: { type: "string", default: "6.1" },
      arch: { type: "string", default: "amd64" },
      memory: { type: "string", default: "3000" },
      cpus: { type: "string", default: "2" },
      "in-turn": { type: "boolean", default: false },
      seconds: { type: "string", default: "1200" },
      directory: { type: "string", default: defaultDirectory() },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (!values.help && !Object.hasOwn(ARCHITECTURES, values.arch)) {
    throw new RangeError("--arch takes amd64 or arm64");
  }
  if (!values.help && positionals.length === 0) throw new RangeError("a command is missing: see --help");
  return {
    help: values.help,
    linux: values.linux,
    architecture: values.arch as Architecture,
    directory: resolve(values.directory),
    memoryMib: number("memory", values.memory),
    cpus: number("cpus", values.cpus),
    inTurn: values["in-turn"],
    seconds: number("seconds", values.seconds),
    command: positionals,
  };
}

type Options = ReturnType<typeof options>;

async function runCommand(run: Run, wanted: Options): Promise<number> {
  const apt = new Apt(run);
  await apt.update();
  const name = await apt.newestKernel(wanted.linux);
  const folder = await kernelFolder(run, apt, name);
  const disks = [await rootImage(run, apt), await projectImage(run)];
  const disk = await ramDisk(run, apt, folder, wanted.command);
  run.progress(`booting ${name}`);
  const { memoryMib, cpus, inTurn, seconds } = wanted;
  const machine = { kernel: kernelFile(folder), ramDisk: disk, disks, memoryMib, cpus, inTurn, seconds };
  const { status, timedOut, log } = await runMachine(run, machine);
  run.signal.throwIfAborted();
  if (status !== undefined) return status;
  if (timedOut) {
    run.progress(`stopped after ${seconds} s`);
    return TIMED_OUT;
  }
  const lines = log.split("\n").slice(-LOG_LINES).join("\n");
  run.progress(`the machine ended before the command did; its last words:\n${lines}`);
  return MACHINE_FAILED;
}

async function main(): Promise<number> {
  const progress = (text: string) => process.stderr.write(`kernel-vm: ${text}\n`);
  let wanted: Options;
  try {
    wanted = options(process.argv.slice(2));
  } catch (error) {
    progress((error as Error).message);
    return CANNOT_RUN;
  }
  if (wanted.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(name, () => controller.abort(128 + constants.signals[name]));
  }
  // Nobody reads any more.
  process.stdout.on("error", () => controller.abort(128 + constants.signals.SIGPIPE));
  const { architecture, directory } = wanted;
  mkdirSync(directory, { recursive: true });
  const scratch = mkdtempSync(join(directory, "run-"));
  try {
    checkTools(architecture);
    return await runCommand({ architecture, directory, scratch, signal: controller.signal, progress }, wanted);
  } catch (error) {
    if (controller.signal.aborted) return controller.signal.reason;
    progress(error instanceof MissingError ? error.message : `${error}`);
    return CANNOT_RUN;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

process.exitCode = await main();
