// Owns opening files that other processes chose: regular ones, and nothing that would be waited for.
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** A regular file, opened for reading. */
export interface RegularFile extends Disposable {
  /** In bytes, when it was opened. */
  readonly size: number;
  readonly inode: number;
  /** Bytes that it takes on its disk, as far as its file system says; holes take none. 0: it does not say. */
  readonly storedBytes: number;
  /** Up to `length` bytes at `offset`, fewer at the end of the file: memory of the caller's. */
  read(offset: number, length: number): Uint8Array;
}

/** Most bytes that are read at once. */
const PIECE = 1 << 24;

/**
 * Opens a file if it is a regular one. What it is is asked of the descriptor: whoever owns the path may put
 * something else there at any time. With `O_NONBLOCK`, which Deno's own `open` does not have, a named pipe or a lease
 * is not waited for.
 *
 * @throws {Error} If it can't be opened, or is something else.
 */
export function openRegular(path: string): RegularFile {
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
  const file = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  let open = true;
  const close = () => {
    if (open) closeSync(file);
    open = false;
  };
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new Error(`${path} is no regular file`);
    return {
      size: stats.size,
      inode: stats.ino,
      storedBytes: stats.blocks * 512,
      read: (offset, length) => open ? readAt(file, offset, length) : new Uint8Array(0),
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function readAt(file: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = readSync(file, bytes, done, Math.min(PIECE, length - done), offset + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}
