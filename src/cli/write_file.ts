// Owns writing of result files: whole, or not at all; and devices, pipes and links for what they are.
import type { Stats } from "node:fs";

/** Names of standard output: where that is a file, it is not to be replaced, nor written from its beginning. */
const STDOUT: readonly string[] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/** Whether a path stands for standard output, which is the host's to write. */
export function isStdout(path: string): boolean {
  return STDOUT.includes(path);
}

/**
 * Writes a file beside its place, and puts it there when it is whole. Through a symbolic link what it leads to is
 * written; what is no regular file (a pipe, a device) is written into, once somebody reads it.
 */
export async function writeFile(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const fs = await import("node:fs");
  const into = statOf(fs, path);
  if (into !== undefined && !into.isFile()) return await writeInto(fs, path, chunks);
  const target = into === undefined ? path : fs.realpathSync(path);
  const partial = await partialOf(target);
  const file = fs.openSync(partial, "wx", into === undefined ? 0o666 : into.mode & 0o777);
  try {
    writeAll(fs, file, chunks);
    fs.renameSync(partial, target);
  } catch (error) {
    fs.rmSync(partial, { force: true });
    throw error;
  }
}

/**
 * Finds out whether a file can be written, before work is done for it. By trying, as access() needs rights in Deno that
 * writing does not.
 *
 * @throws {Error} If not.
 */
export async function checkWritable(path: string): Promise<void> {
  const fs = await import("node:fs");
  const there = statOf(fs, path);
  if (there?.isDirectory()) throw new Error(`${path}: is a directory`);
  // Devices and pipes: to open them may wait for a reader, or tell it that all is over.
  if (there !== undefined && !there.isFile()) return;
  try {
    if (there !== undefined) fs.closeSync(fs.openSync(path, "r+"));
    const probe = await partialOf(there === undefined ? path : fs.realpathSync(path));
    fs.closeSync(fs.openSync(probe, "wx"));
    fs.rmSync(probe);
  } catch (error) {
    throw new Error(`${path} can't be written: ${(error as Error).message}`, { cause: error });
  }
}

/** What all paths of a regular file, there or not, have in common; `undefined` for devices, directories and the like. */
export async function identityOf(path: string): Promise<string | undefined> {
  const fs = await import("node:fs");
  const { basename, dirname } = await import("node:path");
  const there = statOf(fs, path);
  if (there !== undefined) return there.isFile() ? `${there.dev}:${there.ino}` : undefined;
  try {
    return `${fs.realpathSync(dirname(path))}/${basename(path)}`;
  } catch {
    return undefined; // nowhere
  }
}

/** A name beside a file that is nobody else's: no file, nor a link that waits there. */
async function partialOf(target: string): Promise<string> {
  const { dirname, join } = await import("node:path");
  return join(dirname(target), `.${Math.random().toString(36).slice(2)}.partial`);
}

/** To open a pipe waits until somebody reads it. Meanwhile signals have to be heard. */
async function writeInto(fs: Fs, path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const file = await fs.promises.open(path, "w");
  try {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten;
    }
  } finally {
    await file.close();
  }
}

type Fs = typeof import("node:fs");

function statOf(fs: Fs, path: string): Stats | undefined {
  return fs.statSync(path, { throwIfNoEntry: false });
}

function writeAll(fs: Fs, file: number, chunks: Iterable<Uint8Array>): void {
  try {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length;) at += fs.writeSync(file, chunk, at);
    }
  } finally {
    fs.closeSync(file);
  }
}
