// Owns profiles of `record` and of perf in one shape, with names that can be compared: those of physical functions,
// as the linker has them.
import { basename } from "node:path";
import { fromHex } from "../../src/base/bytes.ts";
import { addWithDebugFiles } from "../../src/cli/debug_files.ts";
import type { Host } from "../../src/cli/host.ts";
import { cameName } from "../../src/dump/columns.ts";
import { kallsyms } from "../../src/linux/linux.ts";
import {
  BPF_STACK_BUILD_ID_IP,
  buildIdAt,
  readRecording,
  type StackColumns,
  type StackRecording,
  Symbolizer,
} from "../../mod.ts";

/** A frame as either tool names it. */
export interface ProfileFrame {
  /** The function; where it has no name, the file and "[unknown]". */
  name: string;
  kernel: boolean;
  /** Why there is no name; absent where there is one. */
  unknown?: string;
}

/** A stack that was sampled `count` times, innermost frame first. */
export interface ProfileStack {
  pid: number;
  /** Name of the process, or of the thread. */
  comm: string;
  count: number;
  frames: ProfileFrame[];
}

/** What one tool found. */
export interface Profile {
  stacks: ProfileStack[];
  samples: number;
}

/** How many frames have a name. */
export interface Resolved {
  frames: number;
  named: number;
}

/** What the library finds at an offset of a file: "" is no name, `undefined` a file that the recording has not. */
export type NameAt = (path: string, offset: bigint) => string | undefined;

/** What is left of a name that only one of the tools has. */
function plain(name: string): string {
  return name.replace(/^__vdso_/, "").replace(/@@?[A-Z].*/, "").replace(/ \[\w+\]$/, "");
}

const unknownIn = (path: string) => path === "" ? "[unknown]" : `${basename(path)} [unknown]`;

/** The recording that `record` wrote, with the binaries that it names. */
export async function readOurs(
  host: Host,
  path: string,
): Promise<{ profile: Profile; recording: StackRecording; nameAt: NameAt }> {
  const recording = await readRecording(host.readFile(path), { maxBytes: Infinity, maxFrames: Infinity });
  const symbolizer = new Symbolizer();
  const idOf = new Map<string, Uint8Array>();
  for (const [hex, file] of recording.binaries) {
    const buildId = fromHex(hex)!;
    try {
      await addWithDebugFiles(host, symbolizer, file, host.readFile(file), { buildId });
      idOf.set(file, buildId);
    } catch {
      // Its frames count as unknown.
    }
  }
  const { stacks: columns, counts, pids } = recording;
  const profile: Profile = { stacks: [], samples: recording.lost.uncounted };
  const kernelNames = new KernelNames();
  for (const count of counts.values()) profile.samples += count;
  for (let s = 0; s < columns.ids.length; s++) {
    const frames: ProfileFrame[] = [];
    for (let row = columns.first[s]; row < columns.first[s + 1]; row++) {
      frames.push(frameOf(columns, row, symbolizer, kernelNames));
    }
    const pid = pids[s] ?? 0;
    const comm = recording.processes.get(pid)?.comm ?? "";
    profile.stacks.push({ pid, comm, count: counts.get(columns.ids[s]) ?? 0, frames });
  }
  const nameAt: NameAt = (file, offset) => {
    const buildId = idOf.get(file);
    if (buildId === undefined) return undefined;
    return symbolizer.lookup(buildId, offset).frames.at(-1)?.name ?? "";
  };
  return { profile, recording, nameAt };
}

function frameOf(columns: StackColumns, row: number, symbolizer: Symbolizer, kernel: KernelNames): ProfileFrame {
  const offset = (BigInt(columns.offsetHi[row]) << 32n) | BigInt(columns.offsetLo[row]);
  if (columns.status[row] === BPF_STACK_BUILD_ID_IP) {
    const isKernel = columns.offsetHi[row] >= 0x8000_0000;
    const name = cameName(columns, row);
    if (isKernel) {
      return name === undefined
        ? { name: "[unknown]", kernel: true, unknown: "kernel's half of memory, no symbol" }
        : { name: kernel.canonical(plain(name)), kernel: true };
    }
    // A file with an offset, or what memory is called, says where it is, not which function.
    const place = /^(.*)\+0x[0-9a-f]+$/.exec(name ?? "")?.[1] ?? (/^\[.*\]$/.test(name ?? "") ? name : undefined);
    if (name === undefined) return { name: "[unknown]", kernel: false, unknown: "in no file" };
    if (place === undefined) return { name: plain(name), kernel: false };
    return { name: unknownIn(place.startsWith("[") ? "" : place), kernel: false, unknown: "place only" };
  }
  const returnAddress = columns.innermost?.[row] !== 1;
  const found = symbolizer.lookup(buildIdAt(columns, columns.idIndex[row]), offset, { returnAddress });
  // Calls that were inlined come first; the last one is the function that the processor was in.
  const name = found.frames.at(-1)?.name;
  if (name !== undefined) return { name: plain(name), kernel: false };
  return { name: unknownIn(found.binary?.name ?? ""), kernel: false, unknown: found.reason ?? "no name" };
}

/** Of the names that kallsyms has for one address, one. */
export class KernelNames {
  readonly #names = new Map<string, string>();

  /** Reads them from the running kernel. */
  constructor() {
    const first = new Map<string, string>();
    const many = new Set<string>();
    for (const [, address, name] of kallsyms().matchAll(/^([0-9a-f]+) [tTwW] (\S+)/gm)) {
      if (this.#names.has(name)) many.add(name);
      if (!first.has(address)) first.set(address, name);
      this.#names.set(name, first.get(address)!);
    }
    // Several functions of one name stay what they are called.
    for (const name of many) this.#names.delete(name);
  }

  canonical(name: string): string {
    return this.#names.get(name) ?? name;
  }
}

/** Where both tools have a name for one address of a file, and what differs. */
export interface Agreement {
  addresses: number;
  same: number;
  /** "perf's name, ours" and how many addresses. */
  other: Map<string, number>;
  /** Names of addresses that only one of the two names, with their files. */
  onlyPerf: string[];
  onlyOurs: string[];
}

/** Areas of memory that perf names like the kernel's modules. */
const AREAS = new Set(["[unknown]", "[vdso]", "[vsyscall]", "[heap]", "[stack]", "[uprobes]", "[JIT]"]);

/**
 * Reads what `perf script --no-inline --no-demangle -F comm,pid,tid,ip,sym,dso` prints, idle CPUs left out. What
 * both tools have a name for is called as we call it, so that aliases are no difference; the agreement tells.
 */
export function readPerf(text: string, nameAt: NameAt): { profile: Profile; agreement: Agreement } {
  const kernelNames = new KernelNames();
  const byText = new Map<string, ProfileStack>();
  const frames = new Map<string, ProfileFrame>();
  const agreement: Agreement = { addresses: 0, same: 0, other: new Map(), onlyPerf: [], onlyOurs: [] };
  let samples = 0;
  for (const block of text.split(/\n\n+/)) {
    const [head, ...lines] = block.split("\n").filter((line) => line !== "");
    const [, comm, pid] = /^\s*(.*?)\s+(\d+)\/\d+\s*$/.exec(head ?? "") ?? [];
    if (pid === undefined || pid === "0") continue;
    samples++;
    const key = `${pid}\n${lines.join("\n")}`;
    const known = byText.get(key);
    if (known !== undefined) {
      known.count++;
      continue;
    }
    const stack: ProfileStack = { pid: Number(pid), comm, count: 1, frames: [] };
    for (const line of lines) {
      let frame = frames.get(line);
      if (frame === undefined) frames.set(line, frame = perfFrame(line, nameAt, kernelNames, agreement));
      stack.frames.push(frame);
    }
    byText.set(key, stack);
  }
  return { profile: { stacks: [...byText.values()], samples }, agreement };
}

function perfFrame(line: string, nameAt: NameAt, kernelNames: KernelNames, agreement: Agreement): ProfileFrame {
  const [, address, symbol, file] = /^\s+([0-9a-f]+) (.*?) \((.*)\)$/.exec(line) ?? ["", "0", "[unknown]", ""];
  const kernel = /^\[.*\]$/.test(file) && !AREAS.has(file);
  const path = /^\/(?!\/|tmp\/perf-\d+\.map)/.test(file) ? file : "";
  const ours = kernel || path === "" ? undefined : nameAt(path, BigInt(`0x${address}`));
  if (symbol === "[unknown]") {
    if (ours) agreement.onlyOurs.push(`${ours} in ${basename(path)}`);
    return { name: kernel ? "kernel [unknown]" : unknownIn(path), kernel, unknown: "[unknown]" };
  }
  const name = plain(symbol);
  if (kernel) return { name: kernelNames.canonical(name), kernel };
  if (path === "") return { name, kernel };
  if (ours === undefined) return { name, kernel };
  if (ours === "") {
    agreement.onlyPerf.push(`${name} in ${basename(path)}`);
    return { name, kernel };
  }
  agreement.addresses++;
  if (plain(ours) === name) {
    agreement.same++;
  } else {
    const pair = `${name} / ${plain(ours)}`;
    agreement.other.set(pair, (agreement.other.get(pair) ?? 0) + 1);
  }
  return { name: plain(ours), kernel };
}

/** Frames with a name: of each distinct stack once, or of each sample; all frames, or the innermost. */
export function resolvedFrames({ stacks }: Profile, weighted: boolean, depth: number = Infinity): Resolved {
  const resolved: Resolved = { frames: 0, named: 0 };
  for (const stack of stacks) {
    const weight = weighted ? stack.count : 1;
    const frames = stack.frames.slice(0, depth);
    resolved.frames += weight * frames.length;
    for (const { unknown } of frames) if (unknown === undefined) resolved.named += weight;
  }
  return resolved;
}

/** Why frames have no name, by file, the most frequent first; weighted by samples. */
export function unknownFrames({ stacks }: Profile): [string, number][] {
  const why = new Map<string, number>();
  for (const { count, frames } of stacks) {
    for (const { name, unknown } of frames) {
      if (unknown === undefined) continue;
      const text = `${name.replace(" [unknown]", "")}: ${unknown}`;
      why.set(text, (why.get(text) ?? 0) + count);
    }
  }
  return [...why].sort((a, b) => b[1] - a[1]);
}

/** Samples by function: where it was innermost, or anywhere in the stack. */
export function samplesByFunction({ stacks }: Profile, inclusive: boolean): Map<string, number> {
  const samples = new Map<string, number>();
  for (const { count, frames } of stacks) {
    const names = new Set((inclusive ? frames : frames.slice(0, 1)).map(({ name }) => name));
    for (const name of names) samples.set(name, (samples.get(name) ?? 0) + count);
  }
  return samples;
}

/**
 * The part of both profiles that is of commands with these names. A process counts with all it did, whatever it was
 * called before it called exec().
 */
export function onlyCommands(profiles: readonly Profile[], commands: readonly string[]): Profile[] {
  const pids = new Set<number>();
  for (const { stacks } of profiles) for (const { pid, comm } of stacks) if (commands.includes(comm)) pids.add(pid);
  return profiles.map(({ stacks }) => {
    const own = stacks.filter(({ pid }) => pids.has(pid));
    return { stacks: own, samples: own.reduce((sum, { count }) => sum + count, 0) };
  });
}
