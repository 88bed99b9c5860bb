// Owns what is learnt of processes while they live: their names, mappings and binaries, and whose perf maps are whose.
import {
  commOf,
  ELSEWHERE_PID,
  perfMapOf,
  type PerfMapOwner,
  perfMapOwner,
  processMaps,
  startTimeOf,
} from "../../linux/linux.ts";
import type { SampledProcess } from "../../recording/sample_recording.ts";
import type { Host } from "../host.ts";
import { CpuBudget } from "./cpu_budget.ts";
import { type LiveLimits, sizeText } from "./limits.ts";
import { LocalBinaries } from "./local_binaries.ts";
import { codeLines, hasName } from "./mappings.ts";

/**
 * When a process is looked at again, in milliseconds after the time before: at first it may just be starting, and
 * whatever is to be sampled for long, later looks are soon enough for.
 */
const LATER = [100, 1000, 2000, 4000, 8000, 16_000, 30_000];
/** The same for the process that the recording is about, in milliseconds after its start, and then all the time. */
const EARLY = [1, 5, 20, 50];
const OFTEN = 100;
/** Most of one CPU's time that looking again takes: at that process, and at the others. */
const SHARE = 0.003;
/** Most characters of mappings of before that are kept of a process. */
const MOST_EARLIER = 1 << 20;
/** Longest line of mappings that there usually is: a path of 4096 bytes. */
const MOST_LINE = 8192;

/** What processes of other PID namespaces are called together: nobody tells which they are. */
const ELSEWHERE = "[other PID namespaces]";

/** One process as it is watched. */
interface Watched {
  /** What the recording says of it; `maps` is up to date after each look. */
  readonly seen: SampledProcess;
  /** When it started: another one may have its number later. */
  startTime: string | undefined;
  owner: PerfMapOwner | undefined;
  /** The lines of its mappings at the last look, */
  lines: Set<string>;
  /** and those of before: it may have unmapped a library, or become another program. */
  earlier: Set<string>;
}

/**
 * The processes of a recording. Who gives their numbers says which, once for each: where a number is used again, all
 * that is counted by it goes to the process that had it first.
 */
export class ProcessWatch implements Disposable {
  /** What they execute from. */
  readonly binaries: LocalBinaries;
  readonly #host: Host;
  readonly #processes = new Map<number, Watched>();
  /** Those that are to be looked at again, by how often they were; each list in the order of time. */
  readonly #again: { one: Watched; due: number }[][] = LATER.map(() => []);
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #target: { one: Watched; due: number } | undefined;
  #mapsLength = 0;
  readonly #targetBudget = new CpuBudget(SHARE);
  readonly #budget = new CpuBudget(SHARE);

  constructor(host: Host, limits: Partial<LiveLimits> = {}) {
    this.#host = host;
    this.binaries = new LocalBinaries(host, limits);
  }

  /** The processes, in the order in which they were seen, that of {@linkcode watchTarget} included. */
  get processes(): SampledProcess[] {
    return Array.from(this.#processes.values(), ({ seen }) => seen);
  }

  /**
   * Looks at a process that was sampled for the first time.
   *
   * @param comm Name of the thread that was; for a process that is gone already.
   */
  see(pid: number, comm: string | undefined): void {
    if (pid === ELSEWHERE_PID) this.#lookAtAll();
    const known = this.#processes.get(pid);
    const one = known ?? this.#watched(pid, comm);
    if (this.#look(one)) {
      if (known === undefined) this.#lookAgain(one, 0);
    } else if (comm !== undefined) {
      one.seen.comm = comm;
    }
  }

  /** Looks at the process that the recording is about, from now on: it may end soon, or load what it needs late. */
  watchTarget(pid: number): void {
    const one = this.#processes.get(pid) ?? this.#watched(pid, undefined);
    this.#look(one);
    this.#target = { one, due: performance.now() + OFTEN };
    for (const delay of EARLY) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#look(one);
      }, delay);
      this.#timers.add(timer);
    }
  }

  /** Looks again at processes whose time has come; to be called often. */
  settle(): void {
    const now = performance.now();
    if (this.#target !== undefined && this.#target.due <= now && this.#targetBudget.left > 0) {
      const { one } = this.#target;
      const isThere = this.#targetBudget.spend(() => this.#look(one));
      this.#target = isThere ? { one, due: now + OFTEN } : undefined;
    }
    for (let stage = 0; stage < LATER.length; stage++) {
      const list = this.#again[stage];
      let done = 0;
      for (; done < list.length && list[done].due <= now && this.#budget.left > 0; done++) {
        const { one } = list[done];
        const isThere = this.#budget.spend(() => this.#look(one));
        if (isThere) this.#lookAgain(one, Math.min(stage + 1, LATER.length - 1));
      }
      list.splice(0, done);
    }
  }

  /** Looks at all for the last time. */
  finish(): void {
    this.#stop();
    for (const one of this.#processes.values()) this.#look(one);
    if (this.#processes.has(ELSEWHERE_PID)) this.#lookAtAll();
  }

  /** The perf map of a process, also of one that has ended: see {@linkcode perfMapOf}. */
  perfMapOf(pid: number, maxBytes: number, tooLarge?: (sizeBytes: number) => void): string | undefined {
    const owner = this.#processes.get(pid)?.owner;
    return owner === undefined ? undefined : perfMapOf(owner, maxBytes, tooLarge);
  }

  /** Ends watching, and closes the binaries. */
  close(): void {
    this.#stop();
    this.binaries.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#target = undefined;
    for (const list of this.#again) list.length = 0;
  }

  #watched(pid: number, comm: string | undefined): Watched {
    const one: Watched = {
      seen: { pid, comm: comm ?? (pid === ELSEWHERE_PID ? ELSEWHERE : `pid ${pid}`) },
      startTime: startTimeOf(pid),
      owner: undefined,
      lines: new Set(),
      earlier: new Set(),
    };
    this.#processes.set(pid, one);
    return one;
  }

  #lookAgain(one: Watched, stage: number): void {
    this.#again[stage].push({ one, due: performance.now() + LATER[stage] });
  }

  /** What any process executes from, as some of them are sampled and nobody tells which: for frames with build IDs. */
  #lookAtAll(): void {
    for (const { name } of this.#host.list("/proc")) {
      const pid = Number(name);
      if (!(pid > 0) || this.#processes.has(pid)) continue;
      const text = processMaps(pid, this.binaries.limits.mapsBytes);
      if (text !== undefined) this.binaries.add(pid, codeLines(text).join("\n"));
    }
  }

  /** Whether it is there to be looked at. */
  #look(one: Watched): boolean {
    const { pid } = one.seen;
    // Gone before it was seen, or another one has its number.
    if (one.startTime === undefined || startTimeOf(pid) !== one.startTime) return false;
    const { limits, leftOut } = this.binaries;
    let text = processMaps(pid, limits.mapsBytes + MOST_LINE);
    if (text === undefined) return false; // gone, or a thread of the kernel
    // After an exec() it is another program, with another name.
    one.seen.comm = commOf(pid) ?? one.seen.comm;
    if (text.length > limits.mapsBytes) {
      leftOut.add(`mappings of a process beyond ${sizeText(limits.mapsBytes)}`, nameOf(one.seen));
      text = text.slice(0, text.lastIndexOf("\n", limits.mapsBytes - 1) + 1);
    }
    const lines = new Set(codeLines(text));
    const added = [...lines].filter((line) => !one.lines.has(line));
    if (added.length === 0 && lines.size === one.lines.size) return true;
    this.binaries.add(pid, added.join("\n"));
    one.owner = perfMapOwner(pid) ?? one.owner;
    this.#keep(one, lines);
    return true;
  }

  /** Keeps the lines of a process's mappings, and of those before what may be asked for. */
  #keep(one: Watched, lines: Set<string>): void {
    for (const line of one.lines) if (!lines.has(line) && hasName(line)) one.earlier.add(line);
    for (const line of lines) one.earlier.delete(line);
    if (lengthOf(one.earlier) > MOST_EARLIER) one.earlier.clear();
    const { limits, leftOut } = this.binaries;
    const maps = [...one.earlier, ...lines, ""].join("\n");
    const length = this.#mapsLength - (one.seen.maps?.length ?? 0) + maps.length;
    if (length > limits.allMapsBytes) {
      leftOut.add(`mappings of processes beyond ${sizeText(limits.allMapsBytes)} in all`, nameOf(one.seen));
      return;
    }
    this.#mapsLength = length;
    one.seen.maps = maps;
    // Parts of the text that is kept: those of the text that was read would keep all of that.
    const kept = maps.split("\n");
    one.lines = new Set(kept.slice(one.earlier.size, -1));
    one.earlier = new Set(kept.slice(0, one.earlier.size));
  }
}

function lengthOf(lines: Iterable<string>): number {
  let length = 0;
  for (const line of lines) length += line.length + 1;
  return length;
}

function nameOf({ comm, pid }: SampledProcess): string {
  return `${comm} (${pid})`;
}
