// Owns the recordings of target.c, which is in testdata/linux-6.18: a small program with frame pointers, and what each is told.
import { execFileSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BPF_F_FAST_STACK_CMP, BPF_F_REUSE_STACKID, BPF_F_USER_STACK } from "../../mod.ts";
import type { HelperParameters } from "./helper_recorder.ts";
import { type Observed, Pinned } from "./observe.ts";

const SOURCE = fileURLToPath(new URL("../../testdata/linux-6.18/target.c", import.meta.url));
const FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"];
/** The program's second argument: stacks get so deep. */
const DEPTH = 30;

/** What a recording is made with: the helpers' parameters, and the program's first argument. */
export interface FramePointerRecording extends HelperParameters {
  rounds: number;
}

const USER = BPF_F_USER_STACK;
const WHOLE = { depthIp: 127, depthBuildId: 127 };

/** The recordings by name. */
export const FRAME_POINTERS: Readonly<Record<string, FramePointerRecording>> = {
  "basic": { rounds: 2, helperFlags: USER, maxEntries: 1024, ...WHOLE },
  "collisions": { rounds: 3, helperFlags: USER, maxEntries: 32, ...WHOLE },
  "exhausted": { rounds: 2, helperFlags: USER, maxEntries: 3, ...WHOLE },
  "reuse": { rounds: 3, helperFlags: USER | BPF_F_REUSE_STACKID, maxEntries: 32, ...WHOLE },
  "reuse-fast": {
    rounds: 3,
    helperFlags: USER | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID,
    maxEntries: 8,
    ...WHOLE,
  },
  "skip": { rounds: 3, helperFlags: USER | 2, maxEntries: 256, depthIp: 12, depthBuildId: 12 },
};

/** Compiles the program into `directory` and records it. */
export async function recordFramePointers(
  recording: FramePointerRecording,
  directory: string,
  cpu: number,
): Promise<Observed> {
  const path = `${directory}/target`;
  copyFileSync(SOURCE, `${path}.c`);
  // The debug information names no directory of this machine, and the program comes out the same everywhere.
  const flags = [...FLAGS, `-ffile-prefix-map=${directory}=/src`, "-o", path, "target.c"];
  execFileSync("gcc", flags, { cwd: directory, stdio: "pipe" });
  using target = new Pinned(path, [`${recording.rounds}`, `${DEPTH}`], cpu, directory);
  return await target.record(recording);
}
