// Owns writing of result files: whole, or not at all; and devices, pipes and links for what they are.
import type { Stats } from "node:fs";

/**
 * Writes a file beside its place, and puts it there when it is whole. Through a symbolic link what it leads to is
 * written; what is no regular file (`/dev/stdout`, a pipe) is written into.
 */
export async function writeFile(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const fs = await import("node:fs");
  const into = statOf(fs, path);
  if (into !== undefined && !into.isFile()) return writeAll(fs, fs.openSync(path, "w"), chunks);
  const target = into === undefined ? path : fs.realpathSync(path);
  const partial = partialOf(target);
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
 * Finds out whether a file can be written, before work is done for it. By trying: what access() says needs rights in
 * Deno that writing does not, and knows nothing of file systems that are read-only or full.
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
    const probe = partialOf(there === undefined ? path : fs.realpathSync(path));
    fs.closeSync(fs.openSync(probe, "wx"));
    fs.rmSync(probe);
  } catch (error) {
    throw new Error(`${path} can't be written: ${(error as Error).message}`, { cause: error });
  }
}

/** A name beside a file that is nobody else's: no file, nor a link that waits there. */
function partialOf(target: string): string {
  return `${target}.${Math.random().toString(36).slice(2)}.partial`;
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
