// Owns which profile the running kernel is compared with.
import { KERNEL_RELEASES, kernelProfile, type KernelRelease } from "../../mod.ts";
import { kernelRelease } from "../../src/linux/linux.ts";

/** The releases that can be proven: 4.17 has no bpf_get_stack, by which the proof sees what a stack was. */
export const PROVABLE: readonly KernelRelease[] = KERNEL_RELEASES.filter((release) =>
  kernelProfile(release).getStack
);

/** The profile of the running kernel, where there is one. */
export function runningProfile(): KernelRelease | undefined {
  const release = `${kernelRelease()}.`;
  return PROVABLE.find((modelled) => release.startsWith(`${modelled}.`));
}

/** The same where it is known that there is one. */
export function provenProfile(): KernelRelease {
  const release = runningProfile();
  if (release === undefined) throw new Error(`there is no profile of Linux ${kernelRelease()}`);
  return release;
}
