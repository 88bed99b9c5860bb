// Owns what recording costs: CPU time of a process phase by phase, and of the BPF program that it loads.
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { BpfProgram } from "../../src/linux/linux.ts";
import { Descriptor } from "../../src/linux/descriptor.ts";
import { bpf } from "../../src/linux/syscall.ts";

/** A command of the UAPI: while what it returns is open, the kernel measures programs. Nothing is left to reset. */
const BPF_ENABLE_STATS = 32;

/** Makes the kernel measure BPF programs until it is closed. */
export function measurePrograms(): Descriptor | string {
  const fd = bpf(BPF_ENABLE_STATS, new Uint8Array(4)); // type: BPF_STATS_RUN_TIME, 0
  return fd >= 0 ? new Descriptor(fd) : `BPF_ENABLE_STATS: errno ${-fd}`;
}

/** The programs with that name that are loaded. */
export function programsNamed(name: string): BpfProgram[] {
  const found: BpfProgram[] = [];
  for (const id of BpfProgram.ids()) {
    try {
      const program = BpfProgram.openById(id);
      const bytes = program.info().name;
      if (new TextDecoder().decode(bytes).replace(/\0.*/s, "") === name) found.push(program);
      else program.close();
    } catch {
      // It is gone meanwhile.
    }
  }
  return found;
}

/** What an ended command used, and printed. */
export interface Ended {
  code: number | null;
  /** CPU seconds of the command and its children. */
  user: number;
  system: number;
  /** Seconds from start to end. */
  wall: number;
  errors: string;
}

/** A command that runs, and whose CPU time can be asked for. */
export class MeasuredCommand {
  /** How it ends. */
  readonly ended: Promise<Ended>;
  #pid: number | undefined;
  /** The last CPU time of each thread that was seen, in nanoseconds: threads that ended have taken theirs. */
  readonly #threads = new Map<string, number>();

  /** Starts it; its standard output goes to the file `output`. */
  constructor(command: string[], output: string) {
    const start = performance.now();
    // bash waits for it and prints what it used, in milliseconds, after its process id.
    const script = 'out=$1; shift; "$@" >"$out" & echo $!; wait $!; code=$?; times; exit $code';
    const child: ChildProcess = spawn("bash", ["-c", script, "bash", output, ...command], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let lines = "";
    let errors = "";
    child.stdout!.on("data", (data) => {
      lines += data;
      if (this.#pid === undefined && lines.includes("\n")) this.#pid = parseInt(lines);
    });
    child.stderr!.on("data", (data) => errors += data);
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => {
        const last = lines.trim().split("\n").at(-1) ?? "";
        const [user = NaN, system = NaN] = [...last.matchAll(/(\d+)m([\d.]+)s/g)].map((m) => +m[1] * 60 + +m[2]);
        resolve({ code, user, system, wall: (performance.now() - start) / 1000, errors });
      });
    });
  }

  /** CPU seconds, user and system, that its threads have used so far; without its children. */
  cpu(): number {
    if (this.#pid === undefined) return 0;
    const task = `/proc/${this.#pid}/task`;
    try {
      for (const thread of readdirSync(task)) {
        this.#threads.set(thread, Number(readFileSync(`${task}/${thread}/schedstat`, "utf8").split(" ")[0]));
      }
    } catch {
      // It ended.
    }
    let sum = 0;
    for (const nanoseconds of this.#threads.values()) sum += nanoseconds;
    return sum / 1e9;
  }
}
