// Owns what the command line needs of its runtime: files, directories, output. Deno's own calls where there is
// Deno, since loading its node:fs costs more than a short command takes; node:fs in Bun and Node.

/** A file opened for reading. */
export interface OpenFile {
  /** Up to `length` bytes at `offset`, fewer at the end of the file. Valid until the next read of any file. */
  read(offset: number, length: number): Uint8Array;
  close(): void;
}

/** What a directory entry is, symbolic links not followed. */
export type EntryKind = "file" | "directory" | "other";

/** The runtime as the commands see it. Failures throw an `Error` whose message says what the system said. */
export interface Host {
  readonly args: string[];
  /** Whether standard error is a terminal, so that progress may be shown. */
  interactive(): boolean;
  open(path: string): OpenFile;
  readFile(path: string | URL): Uint8Array;
  /** What `path` is, symbolic links followed; `undefined` if nothing is there. */
  kind(path: string): EntryKind | undefined;
  list(path: string): { name: string; kind: EntryKind }[];
  /** Where a symbolic link leads; `undefined` if nothing that may be read is there. */
  readLink(path: string): string | undefined;
  /** All of standard input, as text. */
  readInput(): string;
  /** Writes to standard output; text as UTF-8. */
  write(data: string | Uint8Array): void;
  writeError(text: string): void;
  exit(code: number): never;
}

// The part of Deno's namespace that is used, so that the file type-checks and loads without Deno.
interface DenoFile extends Disposable {
  seekSync(offset: number, whence: number): number;
  readSync(into: Uint8Array): number | null;
  close(): void;
}
interface Info {
  isFile: boolean;
  isDirectory: boolean;
}
interface DenoNamespace {
  args: string[];
  openSync(path: string): DenoFile;
  readFileSync(path: string | URL): Uint8Array;
  statSync(path: string): Info;
  readDirSync(path: string): Iterable<Info & { name: string }>;
  readLinkSync(path: string): string;
  errors: { NotFound: new () => Error };
  stdin: { readSync(into: Uint8Array): number | null };
  stdout: { writeSync(bytes: Uint8Array): number };
  stderr: { writeSync(bytes: Uint8Array): number; isTerminal(): boolean };
  exit(code: number): never;
}

let scratch: Uint8Array = new Uint8Array(1 << 16);

// Reads until `length` bytes or the end of the file.
function fill(length: number, readSome: (into: Uint8Array, done: number) => number): Uint8Array {
  if (scratch.length < length) scratch = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const got = readSome(scratch.subarray(done, length), done);
    if (got <= 0) break;
    done += got;
  }
  return scratch.subarray(0, done);
}

function readAll(readSome: (into: Uint8Array) => number): string {
  const decoder = new TextDecoder();
  const piece = new Uint8Array(1 << 16);
  let text = "";
  for (let got = readSome(piece); got > 0; got = readSome(piece)) {
    text += decoder.decode(piece.subarray(0, got), { stream: true });
  }
  return text + decoder.decode();
}

function writeAll(data: string | Uint8Array, write: (bytes: Uint8Array) => number): void {
  let bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  while (bytes.length > 0) bytes = bytes.subarray(write(bytes));
}

function unlessItFails<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

const kindOf = (info: Info): EntryKind => info.isFile ? "file" : info.isDirectory ? "directory" : "other";

function denoHost(deno: DenoNamespace): Host {
  return {
    args: deno.args,
    interactive: () => deno.stderr.isTerminal(),
    open(path) {
      const file = deno.openSync(path);
      let position = 0;
      return {
        read: (offset, length) =>
          fill(length, (into, done) => {
            if (position !== offset + done) position = file.seekSync(offset + done, 0);
            const got = file.readSync(into) ?? 0;
            position += got;
            return got;
          }),
        close: () => file.close(),
      };
    },
    readFile: (path) => deno.readFileSync(path),
    kind(path) {
      try {
        return kindOf(deno.statSync(path));
      } catch (error) {
        if (error instanceof deno.errors.NotFound) return undefined;
        throw error;
      }
    },
    list: (path) => Array.from(deno.readDirSync(path), (entry) => ({ name: entry.name, kind: kindOf(entry) })),
    readLink: (path) => unlessItFails(() => deno.readLinkSync(path)),
    readInput: () => readAll((into) => deno.stdin.readSync(into) ?? 0),
    write: (data) => writeAll(data, (bytes) => deno.stdout.writeSync(bytes)),
    writeError: (text) => writeAll(text, (bytes) => deno.stderr.writeSync(bytes)),
    exit: (code) => deno.exit(code),
  };
}

/** The host by means of `node:fs` and `node:process`, which every runtime has. */
export async function nodeHost(): Promise<Host> {
  const fs = await import("node:fs");
  const { default: process } = await import("node:process");
  const infoOf = (entry: { isFile(): boolean; isDirectory(): boolean }): Info => ({
    isFile: entry.isFile(),
    isDirectory: entry.isDirectory(),
  });
  return {
    args: process.argv.slice(2),
    interactive: () => process.stderr.isTTY === true, // asked late: the stream takes Bun 10 ms to make
    open(path) {
      const fd = fs.openSync(path, "r");
      return {
        read: (offset, length) =>
          fill(length, (into, done) => fs.readSync(fd, into, 0, into.length, offset + done)),
        close: () => fs.closeSync(fd),
      };
    },
    readFile: (path) => {
      // Not a Buffer, whose slice() does not copy.
      const { buffer, byteOffset, length } = fs.readFileSync(path);
      return new Uint8Array(buffer, byteOffset, length);
    },
    kind(path) {
      const info = fs.statSync(path, { throwIfNoEntry: false });
      return info === undefined ? undefined : kindOf(infoOf(info));
    },
    list: (path) =>
      fs.readdirSync(path, { withFileTypes: true }).map((entry) => ({
        name: entry.name,
        kind: kindOf(infoOf(entry)),
      })),
    readLink: (path) => unlessItFails(() => fs.readlinkSync(path)),
    readInput: () => fs.readFileSync(0, "utf8"),
    write: (data) => writeAll(data, (bytes) => fs.writeSync(1, bytes)),
    writeError: (text) => writeAll(text, (bytes) => fs.writeSync(2, bytes)),
    exit: (code) => process.exit(code),
  };
}

/** The host this process runs on. */
export async function openHost(): Promise<Host> {
  const deno = (globalThis as { Deno?: Partial<DenoNamespace> }).Deno;
  return deno?.openSync === undefined ? await nodeHost() : denoHost(deno as DenoNamespace);
}

/** Every regular file at or below `path`, in the order of names; symbolic links below it are not followed. */
export function* walk(host: Host, path: string, onError: (path: string, error: Error) => void): Generator<string> {
  // A list instead of recursion: directories can nest as deep as a hostile file system likes.
  const pending: { path: string; kind: EntryKind | undefined }[] = [{ path, kind: host.kind(path) }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (next.kind === "file") yield next.path;
    if (next.kind !== "directory") continue;
    const base = next.path.endsWith("/") ? next.path : `${next.path}/`;
    try {
      const entries = host.list(next.path).sort((a, b) => (a.name < b.name ? 1 : -1));
      for (const { name, kind } of entries) pending.push({ path: base + name, kind });
    } catch (error) {
      onError(next.path, error as Error);
    }
  }
}
