// Owns which profile the running kernel is compared with.
import { KERNEL_RELEASES, type KernelRelease } from "../../mod.ts";
import { kernelRelease } from "../../src/linux/linux.ts";

/** The profile of the running kernel, where there is one. */
export function runningProfile(): KernelRelease | undefined {
  const release = `${kernelRelease()}.`;
  return KERNEL_RELEASES.find((modelled) => release.startsWith(`${modelled}.`));
}

/** The same where it is known that there is one. */
export function provenProfile(): KernelRelease {
  const release = runningProfile();
  if (release === undefined) throw new Error(`there is no profile of Linux ${kernelRelease()}`);
  return release;
}
