// Owns lists of CPUs: the text of the kernel's cpu masks, and which CPUs this machine has.
import { FormatError } from "../base/format_error.ts";
import { LinuxError } from "./errors.ts";
import { readText } from "./host.ts";

/** More CPUs than any kernel is built for. */
const MOST_CPUS = 65536;

/**
 * Reads a list of CPUs as the files below /sys/devices/system/cpu hold it: `0-3,8`.
 *
 * @throws {FormatError} If the text is none, or names a CPU above 65,535.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseCpuList } from "@bpf/stackmap/linux";
 *
 * assertEquals(parseCpuList("0-2,8\n"), [0, 1, 2, 8]);
 * ```
 */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  let offset = 0;
  if (text.trim() === "") return cpus;
  for (const part of text.replace(/\n$/, "").split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? first);
    if (
      match === null || first > last || last >= MOST_CPUS || (cpus.length > 0 && first <= cpus[cpus.length - 1])
    ) {
      throw new FormatError("is not an ascending list of CPUs", { offset, field: "cpulist", value: part });
    }
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
    offset += part.length + 1;
  }
  return cpus;
}

function readCpus(kind: string): number[] {
  const path = `/sys/devices/system/cpu/${kind}`;
  const text = readText(path);
  if (text === undefined) {
    throw new LinuxError(
      "ENOENT",
      2,
      `open(${path})`,
      "can't be read: /sys is not mounted, or Deno lacks --allow-read",
    );
  }
  return parseCpuList(text);
}

/**
 * The CPUs that run now, ascending.
 *
 * @throws {LinuxError} If /sys can't be read.
 */
export function onlineCpus(): number[] {
  return readCpus("online");
}

/**
 * How many CPUs there could be: the values that a map with one for each CPU has.
 *
 * @throws {LinuxError} If /sys can't be read.
 */
export function possibleCpuCount(): number {
  return readCpus("possible").length;
}
