// Owns what is learnt of processes while they live: their names and mappings, their binaries, their perf maps.
import { commOf, perfMapOf, type PerfMapOwner, perfMapOwner, processMaps } from "../../linux/linux.ts";
import type { SampledProcess } from "../../recording/sample_recording.ts";
import type { Host } from "../host.ts";
import { LocalBinaries } from "./local_binaries.ts";

/** When a process is looked at again, in milliseconds after it was seen: then it may just have been starting. */
const SETTLED = 1000;

/** The processes of a recording. */
export class ProcessWatch {
  /** What they execute from. */
  readonly binaries: LocalBinaries;
  readonly #processes = new Map<number, SampledProcess>();
  readonly #owners = new Map<number, PerfMapOwner>();
  readonly #settling: { pid: number; due: number }[] = [];

  constructor(host: Host) {
    this.binaries = new LocalBinaries(host);
  }

  /** The processes, in the order in which they were seen. */
  get processes(): SampledProcess[] {
    return [...this.#processes.values()];
  }

  /**
   * Looks at a process that was sampled for the first time.
   *
   * @param comm Name of the thread that was; for a process that is gone already.
   */
  see(pid: number, comm: string | undefined): void {
    const seen: SampledProcess = { pid, comm: comm ?? `pid ${pid}` };
    this.#processes.set(pid, seen);
    this.#settling.push({ pid, due: Date.now() + SETTLED });
    this.#look(seen);
  }

  /** Looks again at processes that had time to start. */
  settle(): void {
    const now = Date.now();
    while (this.#settling.length > 0 && this.#settling[0].due <= now) {
      this.#look(this.#processes.get(this.#settling.shift()!.pid)!);
    }
  }

  /** Looks at all for the last time, and takes their perf maps, also of those that have ended. */
  finish(): void {
    for (const seen of this.#processes.values()) {
      this.#look(seen);
      const owner = this.#owners.get(seen.pid);
      const perfMap = owner === undefined ? undefined : perfMapOf(owner);
      if (perfMap !== undefined) seen.perfMap = perfMap;
    }
  }

  #look(seen: SampledProcess): void {
    const maps = processMaps(seen.pid);
    if (maps === undefined) return; // gone, or a thread of the kernel
    // After an exec() it is another program, with another name.
    seen.comm = commOf(seen.pid) ?? seen.comm;
    if (maps === seen.maps) return;
    seen.maps = maps;
    this.binaries.add(seen.pid, maps);
    const owner = perfMapOwner(seen.pid);
    if (owner !== undefined) this.#owners.set(seen.pid, owner);
  }
}
