// Owns the list of recordings that can be made anew, and making one: a directory, observing, packing.
import { execFileSync } from "node:child_process";
import { mkdirSync, realpathSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { kernelRelease, onlineCpus, possibleCpuCount, whyNoBpf } from "../../src/linux/linux.ts";
import { PROVABLE, provenProfile, runningProfile } from "../kernel_proof/running.ts";
import { pack, type Packed, recordingFiles } from "./archive.ts";
import { CRAFTED, recordCrafted } from "./crafted.ts";
import { FRAME_POINTERS, recordFramePointers } from "./frame_pointers.ts";
import type { HelperParameters } from "./helper_recorder.ts";
import { INTERPRETER, recordInterpreter } from "./interpreter.ts";
import type { Observed } from "./observe.ts";

/** Where programs run and files lie while they are recorded: the paths are part of the recording. */
export const NEUTRAL_DIRECTORY = "/opt/demo";

/** One that can be made anew. */
interface Recordable {
  /** What it is, for the reader of a list. */
  about: string;
  parameters: HelperParameters;
  record(directory: string, nrCpus: number, cpu: number): Promise<Observed>;
  /** Whether a file is kept whole, by its path below the directory. */
  whole(path: string): boolean;
}

const OWN: readonly (readonly [string, Recordable])[] = Object.entries(FRAME_POINTERS).map(([name, recording]) => {
  const { rounds, helperFlags, maxEntries } = recording;
  return [name, {
    about: `target.c, ${rounds} rounds, helper flags ${helperFlags}, maps of ${maxEntries} entries`,
    parameters: recording,
    record: (directory, _nrCpus, cpu) => recordFramePointers(recording, directory, cpu),
    whole: (path) => path === "target",
  }];
});

/** All of them by name. */
export const RECORDABLE: ReadonlyMap<string, Recordable> = new Map([
  ...OWN,
  ["crafted", {
    about: "hostile and odd ELF files, and stacks that point at and around them",
    parameters: CRAFTED,
    record: recordCrafted,
    whole: (path) => path.startsWith("files/"),
  }],
  ["interpreter", {
    about: "Node.js that runs interpreter.mjs: its own code, V8's builtins, compiled code in anonymous memory",
    parameters: INTERPRETER,
    record: (directory, _nrCpus, cpu) => recordInterpreter(directory, cpu),
    whole: () => false,
  }],
]);

/** Why nothing can be recorded here; `undefined` if it can. */
export function whyNoRecording(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return "the programs are for Linux on x86-64";
  if (runningProfile() === undefined) {
    return `this is Linux ${kernelRelease()}, it takes ${PROVABLE.join(", ")}`;
  }
  try {
    execFileSync("gcc", ["--version"], { stdio: "ignore" });
  } catch {
    return "gcc is missing";
  }
  return whyNoBpf();
}

/**
 * Makes a recording: its files, in the order of the archive.
 *
 * @param directory Is made for it and removed; the recording names it.
 * @throws {Error} If the directory exists: another recording may be under way.
 */
export async function record(name: string, directory: string): Promise<Map<string, Uint8Array>> {
  const recordable = RECORDABLE.get(name)!;
  const surroundings = { name, kernel: provenProfile(), nrCpus: possibleCpuCount() };
  const cpu = onlineCpus().at(-1)!;
  mkdirSync(dirname(directory), { recursive: true });
  mkdirSync(directory);
  try {
    const real = realpathSync(directory); // as /proc/PID/maps has it
    const observed = await recordable.record(real, surroundings.nrCpus, cpu);
    const whole = (path: string) => path.startsWith(`${real}/`) && recordable.whole(path.slice(real.length + 1));
    return recordingFiles(surroundings, recordable.parameters, observed, whole);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Makes a recording, replays it through the model and packs it. */
export async function recordAndPack(name: string, directory: string): Promise<Packed> {
  return await pack(await record(name, directory));
}
