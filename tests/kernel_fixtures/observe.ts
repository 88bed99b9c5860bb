// Owns watching a process while it is recorded: that it waits before and after, and that its mappings stay.
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { AddressSpace } from "../../mod.ts";
import { viewOf } from "../../src/base/bytes.ts";
import {
  EVENT_BYTES,
  type HelperAnswers,
  type HelperParameters,
  HelperRecorder,
  IPS,
  STACK_BYTES,
} from "./helper_recorder.ts";

/** How long a process may take to get to where it waits. */
const MOST_MILLISECONDS = 20_000;

/** What was recorded of a process. */
export interface Observed extends HelperAnswers {
  /** Text of /proc/PID/maps, as it was at the end. */
  maps: string;
}

/** A mapping changed under the calls; another attempt may go better. */
export class MappingsChanged extends Error {}

/** A process that is told to begin by a byte, and waits for another when it is done. */
export class Pinned implements Disposable {
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #path: string;

  /** Starts the program at `path` on one CPU, without the environment of this process. */
  constructor(path: string, args: readonly string[], cpu: number, directory: string) {
    const options = { cwd: directory, env: { PATH: "/usr/bin:/bin", LC_ALL: "C" } };
    this.#process = spawn("taskset", ["-c", `${cpu}`, path, ...args], {
      ...options,
      stdio: ["pipe", "ignore", "inherit"],
    });
    this.#process.on("error", () => {});
    if (this.#process.pid === undefined) throw new Error("taskset of util-linux can't be started");
    this.#process.stdin!.on("error", () => {});
    this.pid = this.#process.pid;
    this.#path = path;
  }

  /** Records what it does after one byte until it waits for the next. */
  async record(parameters: HelperParameters): Promise<Observed> {
    await this.#arrive();
    const go = () => new Promise<void>((resolve) => this.#process.stdin!.write("g", () => resolve()));
    return await observe(this.pid, parameters, go);
  }

  // The process is taskset at first, and then the program, which may take its time to start.
  async #arrive(): Promise<void> {
    const until = performance.now() + MOST_MILLISECONDS;
    while (!(runs(this.pid, this.#path) && isWaiting(this.pid))) {
      if (this.#process.exitCode !== null || this.#process.signalCode !== null || performance.now() > until) {
        const state = this.#process.exitCode ?? this.#process.signalCode ?? "it goes on";
        throw new Error(`${this.#path} did not get to where it waits: ${state}`);
      }
      await sleep(2);
    }
  }

  [Symbol.dispose](): void {
    this.#process.kill("SIGKILL");
    this.#process.stdin!.destroy();
  }
}

/**
 * Records a process that waits, from `work` until it waits again.
 *
 * @throws {MappingsChanged} If a mapping that decides about a frame is not the same afterwards.
 */
export async function observe(
  pid: number,
  parameters: HelperParameters,
  work: () => Promise<unknown>,
): Promise<Observed> {
  using recorder = new HelperRecorder(pid, parameters);
  const before = proc(pid, "maps");
  const waited = timesWaited(pid);
  recorder.start();
  await work();
  // It may not have begun yet, and wait for that: then it has not waited once more.
  const until = performance.now() + MOST_MILLISECONDS;
  while (timesWaited(pid) === waited || !isWaiting(pid)) {
    if (performance.now() > until) throw new Error("the process does not come to an end");
    await sleep(2);
  }
  recorder.stop();
  const maps = proc(pid, "maps");
  const answers = recorder.answers();
  checkMappings(before, maps, answers.events);
  return { ...answers, maps };
}

function proc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch (error) {
    throw new Error(`process ${pid} can't be watched; it may have ended`, { cause: error });
  }
}

function runs(pid: number, path: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) === path;
  } catch {
    return false;
  }
}

/** Whether the first thread sleeps in `read()` from its standard input. */
function isWaiting(pid: number): boolean {
  return proc(pid, "syscall").startsWith("0 0x0 ");
}

/** How often the first thread has begun to wait. */
function timesWaited(pid: number): string {
  return /^voluntary_ctxt_switches:\s+(\d+)/m.exec(proc(pid, "status"))![1];
}

/**
 * Refuses two texts of /proc/PID/maps in which an address of `events` is not looked up alike: the kernel looks it
 * up when a helper is called, and a recording has one list of mappings. Others may come and go.
 *
 * @throws {MappingsChanged} With the first address.
 */
export function checkMappings(before: string, after: string, events: Uint8Array): void {
  const spaces = [before, after].map((text) => {
    const named = new Map<number, string>();
    const space = AddressSpace.fromProcMaps(text, () => undefined);
    for (const line of text.split("\n")) named.set(Number(`0x${line.split("-")[0]}`), line);
    return { space, named };
  });
  const view = viewOf(events);
  const seen = new Set<bigint>();
  for (let at = 0; at < events.length; at += EVENT_BYTES) {
    const end = IPS + Math.max(0, Number(view.getBigInt64(at + STACK_BYTES, true)));
    for (let i = IPS; i < end; i += 8) seen.add(view.getBigUint64(at + i, true));
  }
  for (const ip of seen) {
    const [old, now] = spaces.map(({ space, named }) => named.get(Number(space.findVma(ip)?.start ?? -1n)));
    if (old !== now) throw new MappingsChanged(`the mapping for ${ip.toString(16)} was ${old}, and is ${now}`);
  }
}
