// Owns what tests of GSYM share: llvm-gsymutil's answers, and the symbolizer's in the same form.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import type { SymbolizedFrame } from "../mod.ts";

/** llvm-gsymutil under any of its names; `undefined` if there is none. */
export const GSYMUTIL: string | undefined = [
  "llvm-gsymutil",
  ...[21, 20, 19, 18, 17, 16, 15, 14].map((n) => `llvm-gsymutil-${n}`),
]
  .find((tool) => spawnSync(tool, ["--version"]).status === 0);

/** One frame as text: name, path and line; the last two empty where the path is not known. */
export function frameText(name: string | undefined, file: string | undefined, line: number | undefined): string {
  return `${name ?? ""} @ ${file === undefined || file === "" ? "" : `${file}:${line ?? 0}`}`;
}

/**
 * The symbolizer's frames as a GSYM file can have them: without columns, and without the bare file name that a
 * symbol table may have where there is no line.
 */
export function expectedText(frames: readonly SymbolizedFrame[]): string {
  return frames.map(({ name, file, line }) => frameText(name, line === undefined ? undefined : file, line)).join(
    "\n",
  );
}

/** What llvm-gsymutil answers for each address of a file; `directory` is for its input. */
export function gsymutilLookups(path: string, addresses: readonly number[], directory: string): string[] {
  const input = `${directory}/addresses`;
  writeFileSync(input, addresses.map((address) => `0x${address.toString(16)} ${path}\n`).join(""));
  const { status, stdout, stderr } = spawnSync("sh", [
    "-c",
    `exec ${GSYMUTIL} --addresses-from-stdin < "$1"`,
    "sh",
    input,
  ], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(stderr);
  const answers = stdout.split("\n\n").slice(0, -1);
  return answers.map((answer) => {
    if (/: error: |^error: /.test(answer)) {
      return answer.includes("not in GSYM") || answer.includes("is not in") ? "" : answer;
    }
    return answer.replace(/^0x[0-9a-f]+: /, "").split("\n").map((line) => {
      const [, name, file, number] = /^(?: {20})?(.*?)(?: \+ \d+)?(?: @ (.*):(\d+))?(?: \[inlined\])?$/.exec(line)!;
      return frameText(name, file, number === undefined ? undefined : Number(number));
    }).join("\n");
  });
}
