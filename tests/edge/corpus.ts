// Owns what the edge tests symbolize: the recordings of testdata and the binaries that a debuginfod serves for them.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readBuildId } from "../../mod.ts";
import { gunzip, readTar } from "../../src/recording/tar.ts";

const RECORDINGS = new URL("../../testdata/linux-6.18/", import.meta.url);

/** Recordings of testdata. The first six are of one program, the others of hundreds of odd ELF files. */
export const NAMES: readonly string[] = [
  "basic",
  "collisions",
  "exhausted",
  "reuse",
  "reuse-fast",
  "skip",
  "fuzz-31",
  "fuzz-32",
];

/** A recording as it lies in testdata. */
export function recording(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`${name}.tar.gz`, RECORDINGS)));
}

/** Lower-case hex of a file's build id. */
export function idOf(bytes: Uint8Array): string {
  return Array.from(readBuildId(bytes) ?? [], (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Fills a directory with the program that most recordings are of, and, where they are the very ones that were recorded,
 * the machine's libc and dynamic linker with their debug files. Returns the program's build id.
 */
export async function writeBinaries(directory: string): Promise<string> {
  const files = readTar(await gunzip(recording("basic")));
  const target = files.get("files/0000")!;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "target"), target);
  for (const [copy, path] of [["files/0001", "libc.so.6"], ["files/0002", "ld-linux-x86-64.so.2"]]) {
    const system = `/usr/lib/x86_64-linux-gnu/${path}`;
    if (!existsSync(system)) continue;
    const id = idOf(files.get(copy)!);
    if (idOf(readFileSync(system)) !== id) continue;
    copyFileSync(system, join(directory, path));
    const debug = `/usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`;
    if (existsSync(debug)) copyFileSync(debug, join(directory, `${path}.debug`));
  }
  return idOf(target);
}

const SOURCE = `#include <stdio.h>
static inline int square(int x) { return x * x; }
__attribute__((noinline)) int work(int x) { volatile int y = square(x); return y + 1; }
int main(int argc, char **argv) { (void)argv; printf("%d\\n", work(argc)); return 0; }
`;

/** Builds a program and its separate debug file into a directory; returns its build id, `undefined` without a compiler. */
export function buildProgram(directory: string): string | undefined {
  const run = (command: string, ...args: string[]) => spawnSync(command, args, { cwd: directory }).status === 0;
  writeFileSync(join(directory, "own.c"), SOURCE);
  if (!run("gcc", "-g", "-O2", "-Wl,--build-id", "-o", "own", "own.c")) return undefined;
  if (!run("objcopy", "--only-keep-debug", "own", "own.debug")) return undefined;
  if (!run("strip", "--strip-all", "own")) return undefined;
  return idOf(readFileSync(join(directory, "own")));
}
