// Owns the recorder: sampling a process or the whole machine, and the stacks that were found so far.
import type { SampledStacks } from "../recording/sample_recording.ts";
import { BPF_PROG_TYPE_PERF_EVENT } from "../uapi/bpf.ts";
import { ERRNO } from "../uapi/errno.ts";
import { PERF_COUNT_SW_CPU_CLOCK, PERF_TYPE_SOFTWARE, type PerfEventAttr } from "../uapi/perf_event_attr.ts";
import { CountTable } from "./count_table.ts";
import { linuxError } from "./errors.ts";
import { readText } from "./host.ts";
import { PerfEvents } from "./perf_event.ts";
import { pidNamespace, threadsOf } from "./proc.ts";
import { BpfProgram } from "./program.ts";
import { type RecorderCounters, RecorderMaps } from "./recorder_maps.ts";
import { ELSEWHERE_PID, recorderProgram } from "./recorder_program.ts";
import { MOST_STACK_BYTES, StackTable } from "./stack_table.ts";

/** Depth where the kernel's own limit can't be read, and the most that is asked for by default. */
const USUAL_DEPTH = 127;

/** How often the events of a process are opened anew because it made threads meanwhile. */
const MOST_ATTEMPTS = 10;

/**
 * Least ticks a second of the clocks of tasks. A clock starts with its task: at 99 ticks a second it would say nothing
 * of tasks that live for less than 10 ms, as most of a shell script's do.
 */
const LEAST_TICKS = 1000;

/** Milliseconds after which maps are emptied even if there is room. */
const STALE = 500;

/** Most stacks that the maps may hold: 5 GiB with the usual depth. */
const MOST_ENTRIES = 1 << 20;

/** Most bytes of stacks that may be asked for: engines have arrays of that size. */
const MOST_DUMP_BYTES = 2 ** 31;

/** What a {@linkcode StackRecorder} samples, and how. */
export interface StackRecorderOptions {
  /** A process with its threads, and the threads and children they make from then on; every task if absent. */
  pid?: number;
  /** Begin when the process calls `exec()`. Only with `pid`. */
  enableOnExec?: boolean;
  /** Samples a second and CPU; 99 by default, which keeps out of step with what happens every 10 ms. */
  frequency?: number;
  /** Whether user stacks are recorded; true by default. */
  user?: boolean;
  /** Whether kernel stacks are recorded; true by default. */
  kernel?: boolean;
  /** Most frames of a stack: 127 by default, up to `kernel.perf_event_max_stack`. */
  depth?: number;
  /**
   * Stacks of each kind that the kernel holds: 16,384 by default, half of them in each of two maps that take turns.
   * The kernel takes the memory at once, about `40 * depth` bytes for each.
   */
  entries?: number;
  /**
   * Most bytes of user stacks, and of kernel stacks, that `take()` gives: 512 MiB by default. A stack that there is
   * no room for is `-ENOSPC`. All values are as long as the deepest stack: there is room for 132,000 stacks if one
   * of them has 127 frames with build IDs, for a million if none has more than 15.
   */
  stackBytes?: number;
}

/** How far a recording is. */
export interface RecorderProgress {
  /** Samples that were taken. */
  samples: number;
  /** Distinct stacks of both kinds, as of when the maps were emptied last: about half a second ago. */
  stacks: number;
  /** Samples whose user stack was lost: `-EEXIST`, `-ENOMEM`; not those that had none. */
  lostUser: number;
  /** Samples whose kernel stack was lost. */
  lostKernel: number;
  /** Both together: stacks that were lost. */
  lost: number;
  /** Stacks of samples that were left out for want of `stackBytes`, of both kinds together: `-ENOSPC`. */
  dropped: number;
  /** Samples that neither the maps nor the recorder, which keeps two million counts, had room to count. */
  uncounted: number;
  /** Processes that were seen. */
  processes: number;
  /** How often the maps were emptied. */
  batches: number;
}

/**
 * Samples stacks: a program runs in the kernel at each tick of a clock that runs while tasks do, and counts user
 * stacks (build IDs and file offsets) and kernel stacks (addresses) by process. Idle CPUs are not sampled.
 *
 * The program fills one set of maps while the other is emptied, so that nothing is lost between; a stack that meets
 * another one in its bucket is (`-EEXIST`), until the maps are emptied next. Where `user` or `kernel` is false,
 * that stack is `-EFAULT` in each count: there was none.
 *
 * With `pid` every task has a clock, which runs while the task does. It ticks about 1,000 times a second, and of
 * all ticks on a CPU every tenth (at 99 samples a second) is a sample: what lives for less than a millisecond is
 * missing. Without, every CPU has a clock, and nothing is.
 *
 * It takes CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), Linux 5.14, and in Deno `--allow-all` for
 * /proc. Process ids are those of the namespace that {@linkcode pidNamespace} tells, in a container mostly its own; then
 * all processes of other namespaces, also of those inside it, are {@linkcode ELSEWHERE_PID}. Where it tells none, ids are
 * those of the machine's first namespace.
 *
 * @example
 * ```ts ignore
 * // Not run: needs CAP_BPF and CAP_PERFMON.
 * import { BPF_F_STACK_BUILD_ID, decodeStacks } from "@bpf/stackmap";
 * import { StackRecorder } from "@bpf/stackmap/linux";
 *
 * using recorder = StackRecorder.open({ pid: 1234 });
 * recorder.start();
 * for (let i = 0; i < 50; i++) {
 *   await new Promise((resolve) => setTimeout(resolve, 200));
 *   recorder.poll();
 * }
 * recorder.stop();
 * const { userStacks, userDepth, count } = recorder.take();
 * console.log(count.reduce((sum, each) => sum + each, 0), "samples");
 * const columns = decodeStacks(userStacks, { valueSize: 32 * userDepth, mapFlags: BPF_F_STACK_BUILD_ID });
 * ```
 */
export class StackRecorder implements Disposable {
  /** Most frames of a stack. */
  readonly depth: number;
  /** Samples a second and CPU that were asked for. */
  readonly frequency: number;
  readonly #maps: RecorderMaps;
  readonly #program: BpfProgram;
  readonly #events: PerfEvents;
  readonly #onExec: boolean;
  /** New counts of one set at which it is emptied. */
  readonly #fill: number;
  readonly #user: StackTable;
  readonly #kernel: StackTable;
  readonly #counts = new CountTable();
  /** Name of each process that was seen. */
  readonly #comms = new Map<number, string | undefined>();
  #unreported: number[] = [];
  #counters: RecorderCounters;
  /** The counters when the maps were emptied last. */
  #emptied: RecorderCounters;
  /** When that was. */
  #emptiedAt = 0;
  #batches = 0;
  #started = false;
  #closed = false;

  private constructor(options: StackRecorderOptions, settings: Settings) {
    const { depth, entries, stackBytes, user, kernel, every } = settings;
    const perMap = Math.ceil(entries / 2);
    this.depth = depth;
    this.frequency = settings.frequency;
    this.#onExec = options.enableOnExec === true;
    this.#fill = Math.max(1, Math.floor(perMap * 3 / 4));
    this.#user = new StackTable(depth, true, stackBytes);
    this.#kernel = new StackTable(depth, false, stackBytes);
    this.#maps = new RecorderMaps({ user, kernel, depth, entries: perMap, every });
    let program: BpfProgram | undefined;
    try {
      this.#counters = this.#emptied = this.#maps.counters();
      program = BpfProgram.load({
        type: BPF_PROG_TYPE_PERF_EVENT,
        insns: recorderProgram(this.#maps.descriptors, every, pidNamespace()),
        name: "record_stacks",
      });
      this.#program = program;
      this.#events = openEvents(options, every * settings.frequency, program);
    } catch (error) {
      program?.close();
      this.#maps.close();
      throw error;
    }
  }

  /**
   * Makes the maps, the program and the events. Nothing is sampled yet.
   *
   * @throws {LinuxError} `ESRCH` if there is no such process; `EPERM`, `EACCES`; `EMFILE`, `ENOMEM`, …; `ENOTSUPP`
   *   or its like before Linux 5.14. Nothing stays open then.
   * @throws {RangeError} For a frequency, depth or number of entries that the kernel does not allow: the message
   *   begins with the option's name and says the limit.
   * @throws {TypeError} With `enableOnExec`, but without `pid`.
   */
  static open(options: StackRecorderOptions = {}): StackRecorder {
    return new StackRecorder(options, settingsOf(options));
  }

  /** Begins to sample, or goes on; with `enableOnExec`, from when the process calls `exec()`, even if it has. */
  start(): void {
    if (this.#started) return;
    this.#maps.open();
    this.#emptiedAt = performance.now();
    if (!this.#onExec) this.#events.enable();
    this.#started = true;
  }

  /** Stops sampling. When it returns, no program is at work and `take()` has everything. */
  stop(): void {
    if (!this.#started) return;
    this.#started = false;
    // Shut first: all CPUs stop at once. Events that wait for exec() can't be told from those that it enabled: they
    // stay as they are, behind the gate.
    this.#maps.shut();
    if (!this.#onExec) this.#events.disable();
    this.#look();
  }

  /**
   * To be called several times a second: takes stacks out of maps that fill up, or that were not emptied for half
   * a second. Where nothing is new it costs one look-up.
   *
   * @returns Processes that were seen for the first time since the last call.
   * @throws {LinuxError} `EBADF` after `close()`.
   */
  poll(): number[] {
    this.#look();
    const { samples, fresh, full, lostUser, lostKernel } = this.#counters;
    const last = this.#emptied;
    // Stacks that collide do so until the maps are emptied, and whoever comes first has the bucket: again when it is
    // worth more than a sixty-fourth of the samples.
    const lost = lostUser + lostKernel - last.lostUser - last.lostKernel;
    const colliding = lost > 0 && 64 * lost >= samples - last.samples;
    const stale = fresh > last.fresh && performance.now() - this.#emptiedAt >= STALE;
    if (fresh - last.fresh >= this.#fill || full > last.full || colliding || stale) this.#empty();
    const found = this.#unreported;
    this.#unreported = [];
    return found;
  }

  /** Name of the thread of that process that was sampled first; `undefined` if none was, or it is not known. */
  comm(pid: number): string | undefined {
    return this.#comms.get(pid);
  }

  /** Samples taken, as of the last `poll()`, `stop()` or `take()`. */
  get samples(): number {
    return this.#counters.samples;
  }

  /** How far it is, as of the last `poll()`, `stop()` or `take()`. */
  get progress(): RecorderProgress {
    const { samples, uncounted, lostUser, lostKernel } = this.#counters;
    return {
      samples,
      uncounted: uncounted + this.#counts.uncounted,
      dropped: this.#counts.dropped,
      lostUser,
      lostKernel,
      lost: lostUser + lostKernel,
      stacks: this.#user.size + this.#kernel.size,
      processes: this.#comms.size,
      batches: this.#batches,
    };
  }

  /**
   * Everything recorded since `open()`, in memory of its own; while it runs, too. Rows come in the order in which
   * their counts were found, and keep it from call to call. After `close()` it gives what had been taken out of the
   * maps before.
   */
  take(): SampledStacks {
    if (!this.#closed) {
      this.#empty();
      this.#counters = this.#maps.counters();
      this.#maps.takeSeen((pid, comm) => this.#see(pid, comm));
    }
    return {
      depth: this.depth,
      userDepth: this.#user.dumpDepth,
      kernelDepth: this.#kernel.dumpDepth,
      userStacks: this.#user.dump(),
      kernelStacks: this.#kernel.dump(),
      ...this.#counts.columns(),
      uncounted: this.#counters.uncounted + this.#counts.uncounted,
    };
  }

  /** Stops, and closes events, program and maps. What `take()` has not taken out of the maps is gone. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#started = false;
    this.#events.close();
    this.#program.close();
    this.#maps.close();
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Reads the counters, and which processes are new. */
  #look(): void {
    const { fresh } = this.#counters;
    this.#counters = this.#maps.counters();
    if (this.#counters.fresh !== fresh) this.#maps.takeSeen((pid, comm) => this.#see(pid, comm));
  }

  #see(pid: number, given?: string): void {
    // Of many processes no name is that of all.
    const comm = pid === ELSEWHERE_PID ? undefined : given;
    const known = this.#comms.has(pid);
    if (!known) this.#unreported.push(pid);
    if (!known || this.#comms.get(pid) === undefined) this.#comms.set(pid, comm);
  }

  #empty(): void {
    this.#emptied = this.#maps.counters();
    this.#emptiedAt = performance.now();
    this.#maps.empty({
      user: this.#user,
      kernel: this.#kernel,
      add: (pid, user, kernel, count) => {
        if (!this.#comms.has(pid)) this.#see(pid);
        this.#counts.add(pid, user, kernel, count);
      },
    });
    this.#batches++;
  }
}

interface Settings {
  frequency: number;
  /** Which of a CPU's ticks are samples. */
  every: number;
  depth: number;
  entries: number;
  stackBytes: number;
  user: boolean;
  kernel: boolean;
}

/** A number in /proc/sys, or `otherwise` if it can't be read. */
function sysctl(name: string, otherwise: number): number {
  return Number(readText(`/proc/sys/${name.replaceAll(".", "/")}`) ?? otherwise);
}

function checkWhole(what: string, value: number, least: number, most: number, limit: string): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`${what} must be a whole number from ${least} to ${most}${limit}, not ${value}`);
}

function settingsOf(options: StackRecorderOptions): Settings {
  const deepest = sysctl("kernel.perf_event_max_stack", USUAL_DEPTH);
  const fastest = sysctl("kernel.perf_event_max_sample_rate", 100_000);
  const { pid, frequency = 99, depth = Math.min(USUAL_DEPTH, deepest), entries = 16_384 } = options;
  checkWhole("frequency", frequency, 1, fastest, " (kernel.perf_event_max_sample_rate)");
  checkWhole("depth", depth, 1, deepest, " (kernel.perf_event_max_stack)");
  checkWhole("entries", entries, 1, MOST_ENTRIES, "");
  const { stackBytes = MOST_STACK_BYTES } = options;
  checkWhole("stackBytes", stackBytes, 0, MOST_DUMP_BYTES, "");
  if (pid !== undefined) checkWhole("pid", pid, 1, 2 ** 31 - 1, "");
  else if (options.enableOnExec) throw new TypeError("enableOnExec is about one process: give its pid");
  const ticks = pid === undefined ? frequency : Math.min(LEAST_TICKS, fastest);
  const every = Math.max(1, Math.floor(ticks / frequency));
  const { user = true, kernel = true } = options;
  return { frequency, every, depth, entries, stackBytes, user, kernel };
}

/** The events, with the program, disabled. */
function openEvents(options: StackRecorderOptions, frequency: number, program: BpfProgram): PerfEvents {
  const { pid, enableOnExec = false } = options;
  const clock: PerfEventAttr = {
    type: PERF_TYPE_SOFTWARE,
    config: PERF_COUNT_SW_CPU_CLOCK,
    freq: true,
    sample_freq: frequency,
    disabled: true,
  };
  if (pid === undefined) {
    return withProgram(PerfEvents.onCpus({ ...clock, exclude_idle: true }), program);
  }
  const attr = { ...clock, inherit: true, enable_on_exec: enableOnExec };
  for (let attempt = 1;; attempt++) {
    const threads = threadsOf(pid);
    if (threads.length === 0) {
      throw linuxError(-ERRNO.ESRCH, "perf_event_open()", `there is no process ${pid}; it may have ended`);
    }
    const events = withProgram(PerfEvents.onThreads(attr, threads), program);
    // A thread that was made meanwhile may have inherited event and program, or the event alone, or nothing, and
    // nobody can tell: with an event of its own it might count twice. So all is done again, until none was made.
    const known = new Set(threads);
    if (attempt === MOST_ATTEMPTS || threadsOf(pid).every((thread) => known.has(thread))) return events;
    events.close();
  }
}

function withProgram(events: PerfEvents, program: BpfProgram): PerfEvents {
  try {
    events.setBpf(program);
    return events;
  } catch (error) {
    events.close();
    throw error;
  }
}
