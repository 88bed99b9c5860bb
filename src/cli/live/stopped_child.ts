// Owns starting a command that waits until it is told to run, so that nothing of it goes unseen.
import { spawn } from "node:child_process";
import process from "node:process";
import type { Host } from "../host.ts";

/** A child process that has not begun with its command. */
export interface StoppedChild {
  readonly pid: number;
  /** Lets it run. */
  resume(): void;
  /** Settles when it has ended: with its exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | string>;
  /** Asks it to end, if it has not. */
  terminate(): void;
}

/** The shell stops itself, and becomes the command when it goes on: same process, exec() is the beginning. */
const WAITING = 'kill -STOP $$; exec "$@"';

/** How long the shell may take to get there. */
const MOST_MILLISECONDS = 10_000;

/**
 * Starts a command with this process's input, output and environment.
 *
 * @throws {Error} If the shell can't be started.
 */
export async function startStopped(host: Host, command: readonly string[]): Promise<StoppedChild> {
  const child = spawn("/bin/sh", ["-c", WAITING, "sh", ...command], { stdio: "inherit" });
  let hasEnded = false;
  const ended = new Promise<number | string>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      hasEnded = true;
      resolve(signal ?? code ?? 0);
    });
  });
  ended.catch(() => {});
  const { pid } = child;
  if (pid === undefined) throw await ended.then(() => new Error("the shell did not start"), (error) => error);
  // Not child.kill(): in Deno any signal sent so, SIGCONT too, passes for the child's end.
  const signal = (name: "SIGCONT" | "SIGTERM" | "SIGKILL") => {
    if (hasEnded) return;
    try {
      process.kill(pid, name);
    } catch {
      // gone already
    }
  };
  const until = Date.now() + MOST_MILLISECONDS;
  for (; !isStopped(host, pid); await new Promise((resolve) => setTimeout(resolve, 1))) {
    if (Date.now() < until && !hasEnded) continue;
    signal("SIGKILL");
    throw new Error("the shell did not wait for its start");
  }
  return {
    pid,
    resume: () => signal("SIGCONT"),
    ended,
    terminate: () => {
      signal("SIGTERM");
      signal("SIGCONT"); // one that still waits could not end
    },
  };
}

function isStopped(host: Host, pid: number): boolean {
  try {
    const stat = new TextDecoder().decode(host.readFile(`/proc/${pid}/stat`));
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) === "T";
  } catch {
    return false;
  }
}
