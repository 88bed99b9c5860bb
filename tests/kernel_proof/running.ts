// Owns which profile the running kernel is compared with.
import { readFileSync } from "node:fs";
import process from "node:process";
import { KERNEL_RELEASES, type KernelRelease } from "../../mod.ts";

/** `uname -r`; nothing where that can't be had. */
export function osRelease(): string {
  return process.platform === "linux" ? readFileSync("/proc/sys/kernel/osrelease", "utf8").trim() : "";
}

/** The profile of the running kernel, where there is one. */
export function runningProfile(): KernelRelease | undefined {
  const release = osRelease();
  return KERNEL_RELEASES.find((modelled) => release.startsWith(`${modelled}.`));
}

/** The same where the proof runs: {@linkcode whyNoProof} has seen that there is one. */
export function provenProfile(): KernelRelease {
  const release = runningProfile();
  if (release === undefined) throw new Error(`there is no profile of Linux ${osRelease()}`);
  return release;
}
