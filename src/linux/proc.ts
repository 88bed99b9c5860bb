// Owns what /proc tells of a process, its threads and the kernel, as far as samples need it to be named later.
import { platform, readText } from "./host.ts";

// The part of Node's interfaces used here; Deno and Bun have them.
interface Stats {
  uid: number;
  size: number;
  isFile(): boolean;
}
interface Fs {
  statSync(path: string, options: { bigint: true }): { dev: bigint; ino: bigint };
  constants: { O_DIRECTORY: number; O_NOFOLLOW: number; O_NONBLOCK: number };
  readdirSync(path: string): string[];
  readlinkSync(path: string): string;
  openSync(path: string, flags: number | "r"): number;
  fstatSync(fd: number): Stats;
  readSync(fd: number, bytes: Uint8Array, offset: number, length: number, position: number | null): number;
  closeSync(fd: number): void;
}

/** Most bytes of a /proc/PID/maps that are read: 150,000 usual lines. With long paths a process makes 200 MB of it. */
const MOST_MAPS_BYTES = 1 << 24;

/** Most bytes of a perf-PID.map that are read: it is somebody else's file. */
const MOST_PERF_MAP_BYTES = 1 << 26;

/** Bytes of a text that there is room for at first. */
const FIRST_BYTES = 1 << 16;

const NEWLINE = 10;

/** Inode of the initial PID namespace on every machine. */
const PROC_PID_INIT_INO = 0xefff_fffcn;

function fs(): Fs {
  const { process } = globalThis as unknown as { process: { getBuiltinModule(name: string): unknown } };
  return process.getBuiltinModule("node:fs") as Fs;
}

/** The lines `NAME:\tVALUES` of /proc/PID/status: the values of one. */
function statusOf(pid: number | "self", name: string): string[] | undefined {
  const line = new RegExp(`^${name}:\\s*(.*)$`, "m").exec(readText(`/proc/${pid}/status`) ?? "");
  return line === null ? undefined : line[1].trim().split(/\s+/);
}

/**
 * The threads of a process, ascending: the names in `/proc/PID/task`. None if it is gone, or /proc can't be read.
 *
 * @example
 * ```ts ignore
 * // Not run: needs Linux, and all of Deno's permissions.
 * import { threadsOf } from "@bpf/stackmap/linux";
 *
 * console.log(threadsOf(1234)); // [1234, 1240, …]
 * ```
 */
export function threadsOf(pid: number): number[] {
  try {
    return fs().readdirSync(`/proc/${pid}/task`).map(Number).sort((a, b) => a - b);
  } catch {
    return [];
  }
}

/**
 * The text of `/proc/PID/maps`, for `parseProcMaps()`; `undefined` if the process is gone, has no memory of its own
 * (a thread of the kernel), or may not be looked at.
 *
 * @param maxBytes How much is read, 16 MiB by default: a longer text ends with the last line that is whole.
 */
export function processMaps(pid: number, maxBytes: number = MOST_MAPS_BYTES): string | undefined {
  try {
    const { openSync, closeSync } = fs();
    const file = openSync(`/proc/${pid}/maps`, "r");
    try {
      const bytes = readUpTo(file, maxBytes);
      const end = bytes.length < maxBytes ? bytes.length : bytes.lastIndexOf(NEWLINE) + 1;
      return new TextDecoder().decode(bytes.subarray(0, end)) || undefined;
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

/** The first bytes of an open file, from where it is; `most` at most, whatever it says of its size. */
function readUpTo(file: number, most: number): Uint8Array {
  const { readSync } = fs();
  let bytes = new Uint8Array(Math.min(FIRST_BYTES, most));
  let length = 0;
  while (length < most) {
    if (length === bytes.length) {
      const larger = new Uint8Array(Math.min(2 * bytes.length, most));
      larger.set(bytes);
      bytes = larger;
    }
    const count = readSync(file, bytes, length, bytes.length - length, null);
    if (count === 0) break;
    length += count;
  }
  return bytes.subarray(0, length);
}

/**
 * When a process started, in clock ticks since the machine did: field 22 of `/proc/PID/stat`. Its number may be
 * another one's later, but hardly with the same time. `undefined` if it is gone.
 *
 * @example
 * ```ts ignore
 * // Not run: needs Linux, and all of Deno's permissions.
 * import { startTimeOf } from "@bpf/stackmap/linux";
 *
 * const started = startTimeOf(1234);
 * // …
 * console.log(started !== undefined && startTimeOf(1234) === started); // whether it is still that process
 * ```
 */
export function startTimeOf(pid: number): string | undefined {
  const text = readText(`/proc/${pid}/stat`);
  // The name, field 2, is in parentheses, and may have some inside, and spaces.
  return text?.slice(text.lastIndexOf(")") + 2).split(" ")[22 - 3];
}

/** A PID namespace: by whose numbers processes are called. */
export interface PidNamespace {
  /** Whether it is this process's. */
  own: boolean;
  /** Whether it is the machine's first one, in which all processes have numbers. */
  initial: boolean;
  /** Device of its inode as the kernel has it, a `dev_t`: 12 bits of major and 20 of minor number. */
  dev: bigint;
  /** Its inode. */
  ino: bigint;
}

/**
 * The PID namespace whose numbers /proc has, if it is this process's, or the machine's first one, as in a container
 * that has the machine's /proc. {@linkcode StackRecorder} gives processes the numbers that they have there.
 * `undefined` if it is another one, or /proc can't be read.
 *
 * @example
 * ```ts ignore
 * // Not run: needs Linux, and all of Deno's permissions.
 * import { pidNamespace } from "@bpf/stackmap/linux";
 *
 * console.log(pidNamespace()?.initial); // false in most containers
 * ```
 */
export function pidNamespace(): PidNamespace | undefined {
  // As many numbers as namespaces, from that of /proc to the innermost.
  const own = statusOf("self", "NSpid")?.length === 1;
  try {
    // Process 1 is that which a namespace begins with, and is in it.
    const { dev, ino } = fs().statSync(`/proc/${own ? "self" : 1}/ns/pid`, { bigint: true });
    const initial = ino === PROC_PID_INIT_INO;
    if (!own && !initial) return undefined;
    const [major, minor] = [(dev >> 8n) & 0xfffn, (dev & 0xffn) | ((dev >> 12n) & 0xf_ff00n)];
    return { own, initial, dev: (major << 20n) | minor, ino };
  } catch {
    return undefined;
  }
}

/** Where a symbolic link leads; `undefined` if it can't be read. */
function linkOf(path: string): string | undefined {
  try {
    return fs().readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** The name of a process's first thread: `/proc/PID/comm`; `undefined` if it is gone. */
export function commOf(pid: number): string | undefined {
  return readText(`/proc/${pid}/comm`)?.replace(/\n$/, "");
}

/** What {@linkcode perfMapOf} has to know of a process that may be gone by then. */
export interface PerfMapOwner {
  /** Process id. */
  readonly pid: number;
  /** Its users: real, effective, saved, of files. */
  readonly users: readonly number[];
  /** Its number of itself, in the innermost PID namespace. */
  readonly inside: string;
  /** Whether its root is ours, so that its files stay reachable. */
  readonly shared: boolean;
}

/** What is to be known of a process to find its perf map later; `undefined` if it is gone already. */
export function perfMapOwner(pid: number): PerfMapOwner | undefined {
  const users = statusOf(pid, "Uid")?.map(Number);
  if (users === undefined) return undefined;
  const inside = statusOf(pid, "NSpid")?.at(-1) ?? `${pid}`;
  const mounts = linkOf(`/proc/${pid}/ns/mnt`);
  const shared = mounts !== undefined && mounts === linkOf("/proc/self/ns/mnt") &&
    linkOf(`/proc/${pid}/root`) === "/";
  return { pid, users, inside, shared };
}

/**
 * The text of the `perf-PID.map` that a just-in-time compiler wrote into /tmp: lines `START SIZE NAME`, both numbers
 * hexadecimal. The process's own /tmp and its own number of itself are meant, if it lives in a container.
 *
 * @param process A running process, or what {@linkcode perfMapOwner} said while it ran: where it had our root, its file
 *   is found after its end.
 * @param maxBytes Largest file that is read: 64 MiB by default, and at most. Of a larger one nothing is: what comes
 *   later in it replaces what came before.
 * @param tooLarge Called with the size in bytes of a file that is not read for that.
 * @returns `undefined` if there is none, and for what could be a trap: a symbolic link (the file, or /tmp), anything
 *   but a regular file, a file that belongs neither to root nor to the process's user, more than `maxBytes`.
 * @example
 * ```ts ignore
 * // Not run: needs Linux, and all of Deno's permissions.
 * import { perfMapOf } from "@bpf/stackmap/linux";
 *
 * console.log(perfMapOf(1234)?.split("\n", 1)); // of `node --perf-basic-prof`
 * ```
 */
export function perfMapOf(
  process: number | PerfMapOwner,
  maxBytes: number = MOST_PERF_MAP_BYTES,
  tooLarge: (sizeBytes: number) => void = () => {},
): string | undefined {
  const owner = typeof process === "number" ? perfMapOwner(process) : process;
  if (owner === undefined) return undefined;
  const { pid, users, inside, shared } = owner;
  const most = Math.min(maxBytes, MOST_PERF_MAP_BYTES);
  let tooLargeBytes = 0;
  const read = (directory: string) =>
    perfMapIn(directory, inside, (file) => readSmall(file, users, most, (size) => tooLargeBytes = size));
  const text = read(`/proc/${pid}/root/tmp`) ?? (shared ? read("/tmp") : undefined);
  if (text === undefined && tooLargeBytes > 0) tooLarge(tooLargeBytes);
  return text;
}

function perfMapIn(
  directory: string,
  pid: string,
  read: (file: number) => string | undefined,
): string | undefined {
  try {
    const { openSync, closeSync, constants: { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } } = fs();
    // The process's root is no path that can be left upwards, but links below it would be followed from our own
    // root. So the folder is opened first, and the file in it, whatever stands at its path by then.
    const folder = openSync(directory, O_DIRECTORY | O_NOFOLLOW);
    try {
      // Without O_NONBLOCK a named pipe would be waited for.
      const file = openSync(`/proc/self/fd/${folder}/perf-${pid}.map`, O_NOFOLLOW | O_NONBLOCK);
      try {
        return read(file);
      } finally {
        closeSync(file);
      }
    } finally {
      closeSync(folder);
    }
  } catch {
    return undefined;
  }
}

/** The text of an open regular file of root or one of `owners`. */
function readSmall(
  file: number,
  owners: readonly number[],
  most: number,
  tooLarge: (sizeBytes: number) => void,
): string | undefined {
  const stats = fs().fstatSync(file);
  if (!stats.isFile() || (stats.uid !== 0 && !owners.includes(stats.uid))) return undefined;
  if (stats.size > most) {
    tooLarge(stats.size);
    return undefined;
  }
  // It may grow or shrink meanwhile; what it had is enough.
  return new TextDecoder().decode(readUpTo(file, stats.size));
}

/** The text of `/proc/kallsyms`; all addresses in it are zero where `kernel.kptr_restrict` says so. */
export function kallsyms(): string {
  return readText("/proc/kallsyms") ?? "";
}

/** The kernel's release, as `uname -r` prints it; empty if /proc can't be read. */
export function kernelRelease(): string {
  return (readText("/proc/sys/kernel/osrelease") ?? "").trim();
}

/** The machine, as `uname -m` prints it: `x86_64`, `aarch64`. */
export function machine(): string {
  const { arch } = platform();
  return arch === "x64" ? "x86_64" : arch === "arm64" ? "aarch64" : arch;
}
