// Owns what the command line's tests share: a run in this process on a host of the test's own, and directories.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { runCli } from "../src/cli/cli.ts";
import { type Host, openHost } from "../src/cli/host.ts";

/** Path of a recording in testdata. */
export function recordingPath(name: string): string {
  return fileURLToPath(new URL(`../testdata/linux-6.18/${name}.tar.gz`, import.meta.url));
}

/** Path of the recording that `demo` takes by itself. */
export const BASIC: string = recordingPath("basic");

/** A build ID of 20 bytes. */
export const ID: Uint8Array = Uint8Array.from({ length: 20 }, (_, i) => i + 1);

/** Runs the command line on the real host, with output kept and arguments given; `changes` replace parts of the host. */
export async function runOn(
  changes: Partial<Host>,
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  const real = await openHost();
  let out = "";
  let err = "";
  const host: Host = {
    ...real,
    args,
    interactive: () => true,
    write: (t) => void (out += t),
    writeError: (t) => void (err += t),
    ...changes,
  };
  return { code: await runCli(host), out, err };
}

/** {@linkcode runOn} the host as it is. */
export function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return runOn({}, ...args);
}

/** Makes a directory, gives it to `work`, and removes it. */
export async function inDirectory(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(`${tmpdir()}/stackmap-cli-`);
  try {
    await work(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}
