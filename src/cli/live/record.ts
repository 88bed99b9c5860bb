// Owns `record`: samples of a process, a command or the whole machine, to a recording and what stacks are written as.
import type { SampleRecording } from "../../recording/sample_recording.ts";
import { encodeRecording } from "../../recording/sample_writer.ts";
import { readRecording, type StackRecording } from "../../recording/recording.ts";
import {
  kallsyms,
  kernelRelease,
  machine,
  onlineCpus,
  pidNamespace,
  StackRecorder,
  whyNoBpf,
} from "../../linux/linux.ts";
import { type Command, EXIT_FAILED, EXIT_OK, type ParsedArgs, UsageError, wholeNumber } from "../command.ts";
import { accountOf, stacksOf } from "../fold_recording.ts";
import type { Host } from "../host.ts";
import { checkOutputs, OUTPUT_OPTIONS, outputHelp, writeStacks } from "../outputs.ts";
import { ProcessWatch } from "./process_watch.ts";
import { Interrupts } from "./interrupts.ts";
import { addBinaries, LocalSymbolizer, nameProcesses, userColumns } from "./record_result.ts";
import { startStopped, type StoppedChild } from "./stopped_child.ts";
import { writeFile } from "../write_file.ts";

/** `record (--pid N | --all | -- COMMAND…)`. */
export const command: Command = {
  summary: "sample the running kernel: a process, a command or the whole machine",
  help: `usage: stackmap record (--pid N | --all | -- COMMAND [ARGUMENT]…) [option]…

Samples user and kernel stacks in the running kernel, with build IDs, until --seconds are over, the process has ended or
Ctrl-C. Prints folded stacks, "command;outermost;…;innermost COUNT", which flame graph tools read, or writes them, a
pprof profile or a flame graph to files; then, on standard error, what was sampled, resolved and lost. Needs Linux, root
(or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE), and in Deno --allow-all.

  --pid N          a process, its threads, and what they start from now on
  --all            everything that runs on this machine
  --seconds N      how long
  --frequency N    samples a second and CPU (99)
  --output FILE    write a recording, which symbolize --recording reads, also elsewhere
${outputHelp(19)}                   (a command's own output goes there, too)
  --user           user stacks only
  --kernel         kernel stacks only
  --depth N        most frames of a stack (127; more if kernel.perf_event_max_stack is raised)
  --entries N      stacks that the kernel holds at a time (16384), which are taken out before it is full; memory: 40 bytes a
                   frame and stack
  --debug-root DIR where the .build-id tree of debug files is (/usr/lib/debug); as often as needed
  --linkage-names  names as the linker has them, not demangled

User stacks follow frame pointers: compile with -fno-omit-frame-pointer. Functions of a just-in-time compiler are named
by /tmp/perf-PID.map, which node --perf-basic-prof and others write.

exit code: 0, or 1 if nothing was recorded or a file could not be written
`,
  flags: ["all", "user", "kernel", "linkage-names"],
  options: ["pid", "seconds", "frequency", "output", ...OUTPUT_OPTIONS, "depth", "entries", "debug-root"],
  run,
};

/** How often the recorder is looked after, and how often what is shown changes: milliseconds. */
const POLL = 100;
const SHOW = 500;

/** How it is to be sampled. */
interface RecorderOptions {
  frequency: number;
  depth: number;
  entries: number;
  user: boolean;
  kernel: boolean;
}

/** What is to be sampled. */
interface Target {
  name: string;
  pid?: number;
  child?: StoppedChild;
}

async function run(host: Host, parsed: ParsedArgs): Promise<number> {
  const seconds = wholeNumber(parsed, "seconds", 1, Infinity);
  const options = {
    frequency: wholeNumber(parsed, "frequency", 1, 99),
    depth: wholeNumber(parsed, "depth", 1, 127),
    entries: wholeNumber(parsed, "entries", 1, 16384),
    user: !parsed.flags.has("kernel"),
    kernel: !parsed.flags.has("user"),
  };
  if (!options.user && !options.kernel) throw new UsageError("--user and --kernel exclude each other");
  const pid = checkTarget(parsed);
  await checkOutputs(parsed, { outputs: ["output"] });
  const reason = whyNoBpf();
  if (reason !== undefined) throw new Error(reason);
  const { operands } = parsed;
  if (!parsed.flags.has("all") && pidNamespace()?.own !== true) {
    throw new Error(
      "/proc is not of this process's PID namespace: a process has another number there.\n" +
        "mount -t proc proc /proc, or record --all",
    );
  }
  const child = operands.length > 0 ? await startStopped(host, operands) : undefined;
  const target: Target = child !== undefined
    ? { name: operands.join(" "), pid: child.pid, child }
    : pid !== undefined
    ? { name: `pid ${pid}`, pid }
    : { name: "all" };
  try {
    return await recordTarget(host, parsed, target, seconds, options);
  } finally {
    child?.terminate();
  }
}

function checkTarget(parsed: ParsedArgs): number | undefined {
  const pid = wholeNumber(parsed, "pid", 1, 0);
  const targets = [pid > 0, parsed.flags.has("all"), parsed.operands.length > 0].filter((is) => is).length;
  if (targets === 0) throw new UsageError("record needs --pid N, --all, or a command after --");
  if (targets > 1) throw new UsageError("--pid, --all and a command exclude each other");
  return pid > 0 ? pid : undefined;
}

async function recordTarget(
  host: Host,
  parsed: ParsedArgs,
  target: Target,
  seconds: number,
  options: RecorderOptions,
): Promise<number> {
  if (pidNamespace() === undefined) {
    host.writeError(
      "/proc is of a PID namespace that is neither this process's nor the machine's first: names of processes can't be\n" +
        "found, nor those of frames without a build ID. mount -t proc proc /proc helps\n",
    );
  }
  const { pid, child } = target;
  using interrupts = new Interrupts();
  using watch = new ProcessWatch(host);
  using recorder = openRecorder(target, options);
  if (pid !== undefined) watch.watchTarget(pid);
  const started = new Date();
  recorder.start();
  child?.resume();
  let stopped = false;
  const stopNaming = () => {
    stopped = true;
    host.writeError("interrupted: names are left out; once more ends it at once\n");
  };
  const ending = await sample(host, recorder, target, seconds, watch, (end) => {
    interrupts.next(() => {
      interrupts.next(stopNaming);
      end();
    });
  });
  recorder.stop();
  interrupts.next(stopNaming);
  const elapsed = (Date.now() - started.getTime()) / 1000;
  for (const seen of recorder.poll()) watch.see(seen, recorder.comm(seen));
  watch.finish();
  if (ending !== "") host.writeError(`${ending}\n`);
  const stacks = recorder.take();
  recorder.close();
  const sampled = new Set(stacks.pid);
  const recording: SampleRecording = {
    name: target.name,
    kernel: kernelRelease(),
    machine: machine(),
    started: started.toISOString(),
    seconds: elapsed,
    frequency: options.frequency,
    nrCpus: onlineCpus().length,
    stacks,
    processes: watch.processes.filter((one) => sampled.has(one.pid)),
    kallsyms: options.kernel ? kallsyms() : "",
    binaries: {},
  };
  // Written first: whatever happens to the rest, what was recorded is there.
  const output = parsed.values.get("output")?.at(-1);
  if (output !== undefined) await writeFile(output, [await encodeRecording(recording)]);
  const local = new LocalSymbolizer(host, parsed.values.get("debug-root"));
  const columns = userColumns(stacks);
  // First what can vanish with its process: perf maps of containers.
  await nameProcesses(local, watch, stacks, columns, () => stopped);
  recording.binaries = await addBinaries(local, watch.binaries, columns, () => stopped);
  const isWhole = await writeResult(host, parsed, recording, local);
  if (stacks.count.length > 0 || stacks.uncounted > 0) return isWhole ? EXIT_OK : EXIT_FAILED;
  host.writeError("nothing was sampled: it did not use the CPU\n");
  return EXIT_FAILED;
}

function openRecorder({ pid, child }: Target, options: RecorderOptions): StackRecorder {
  try {
    return StackRecorder.open({
      ...options,
      ...(pid === undefined ? {} : { pid }),
      ...(child === undefined ? {} : { enableOnExec: true }),
    });
  } catch (error) {
    // "depth must be …": of options that only the kernel's own limits refuse.
    if (error instanceof RangeError) throw new UsageError(`--${error.message}`);
    throw error;
  }
}

/** Samples until it is over; why it is, where that is worth a line. */
async function sample(
  host: Host,
  recorder: StackRecorder,
  { pid, child }: Target,
  seconds: number,
  watch: ProcessWatch,
  onInterrupt: (end: () => void) => void,
): Promise<string> {
  const start = Date.now();
  let ending: string | undefined;
  let wake = () => {};
  const end = (why: string) => {
    ending ??= why;
    wake();
  };
  child?.ended.then(
    (code) =>
      end(code === 0 ? "" : `the command ended with ${typeof code === "number" ? `exit code ${code}` : code}`),
    (error) => end(`the command could not be started: ${error.message}`),
  );
  onInterrupt(() => end(""));
  try {
    for (let shown = start; ending === undefined;) {
      const now = Date.now();
      const left = start + 1000 * seconds - now;
      if (left <= 0) break;
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, Math.min(POLL, left));
      });
      for (const seen of recorder.poll()) watch.see(seen, recorder.comm(seen));
      watch.settle();
      if (pid !== undefined && child === undefined && host.kind(`/proc/${pid}`) === undefined) {
        end(`process ${pid} has ended`);
      }
      if (host.interactive() && now - shown >= SHOW) {
        shown = now;
        host.writeError(`\r${progress(recorder, now - start, seconds)}\x1b[K`);
      }
    }
  } finally {
    if (host.interactive()) host.writeError("\r\x1b[K");
  }
  return ending ?? "";
}

function progress(recorder: StackRecorder, milliseconds: number, seconds: number): string {
  const { samples, stacks, lostUser, lostKernel, processes } = recorder.progress;
  const lost = lostUser + lostKernel;
  const of = seconds === Infinity ? "Ctrl-C ends it" : `of ${seconds} s`;
  const lostText = lost === 0 ? "" : `, ${lost} stacks lost`;
  const now = (milliseconds / 1000).toFixed(0);
  return `${now} s (${of}): ${samples} samples, ${processes} processes, ${stacks} stacks${lostText}`;
}

async function writeResult(
  host: Host,
  parsed: ParsedArgs,
  recording: SampleRecording,
  local: LocalSymbolizer,
): Promise<boolean> {
  const output = parsed.values.get("output")?.at(-1);
  const archive = await encodeRecording(recording);
  if (output !== undefined) await writeFile(output, [archive]);
  // One way to fold: what is printed here is what the file gives elsewhere with the same binaries.
  let read: StackRecording;
  try {
    read = await readRecording(archive, { maxBytes: Infinity });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const advice = output === undefined
      ? "; --output writes them"
      : `: symbolize --recording ${output} --max-frames N`;
    throw new Error(`too many frames to be folded here${advice}`);
  }
  const isWhole = await writeStacks(host, parsed, stacksOf(read), local.symbolizer, {
    account: accountOf(read),
    silent: output !== undefined,
  });
  if (output !== undefined) host.writeError(`${output}: ${archive.length} bytes\n`);
  return isWhole;
}
