// Owns system calls: their numbers, the call itself with its errno, and memory that stays alive meanwhile.
import { LinuxError } from "./errors.ts";
import { type CFunction, type Ffi, openFfi } from "./ffi.ts";
import { platform } from "./host.ts";

/** Numbers of `asm/unistd_64.h` on x86-64, and of `asm-generic/unistd.h`, which aarch64 uses. */
const NUMBERS: Readonly<Record<"x86_64" | "aarch64", SyscallNumbers>> = {
  x86_64: {
    read: 0,
    write: 1,
    close: 3,
    mmap: 9,
    mprotect: 10,
    munmap: 11,
    ioctl: 16,
    madvise: 28,
    sched_setaffinity: 203,
    fadvise64: 221,
    perf_event_open: 298,
    bpf: 321,
  },
  aarch64: {
    read: 63,
    write: 64,
    close: 57,
    mmap: 222,
    mprotect: 226,
    munmap: 215,
    ioctl: 29,
    madvise: 233,
    sched_setaffinity: 122,
    fadvise64: 223,
    perf_event_open: 241,
    bpf: 280,
  },
};

/** System calls that {@linkcode syscall} knows by name. */
export type SyscallName =
  | "read"
  | "write"
  | "close"
  | "mmap"
  | "mprotect"
  | "munmap"
  | "ioctl"
  | "madvise"
  | "sched_setaffinity"
  | "fadvise64"
  | "perf_event_open"
  | "bpf";

/** Numbers by system call. */
export type SyscallNumbers = Readonly<Record<SyscallName, number>>;

/** Everything a system call takes, opened once. */
interface Kernel {
  readonly numbers: SyscallNumbers;
  readonly ffi: Ffi;
  readonly bpf: CFunction;
  readonly short: CFunction;
  readonly wide: CFunction;
}

/**
 * The system call numbers of an architecture.
 *
 * @param arch `x86_64` or `aarch64`, as Deno spells them; Node's `x64` and `arm64` as well.
 * @throws {LinuxError} `UNKNOWN_ARCHITECTURE` for any other.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { syscallNumbers } from "@bpf/stackmap/linux";
 *
 * assertEquals([syscallNumbers("x86_64").bpf, syscallNumbers("aarch64").bpf], [321, 280]);
 * ```
 */
export function syscallNumbers(arch: string): SyscallNumbers {
  if (arch === "x86_64" || arch === "x64") return NUMBERS.x86_64;
  if (arch === "aarch64" || arch === "arm64") return NUMBERS.aarch64;
  throw new LinuxError(
    "UNKNOWN_ARCHITECTURE",
    0,
    "syscall()",
    `the system call numbers of ${arch} are not known here; x86_64 and aarch64 are`,
  );
}

let kernel: Kernel | undefined;

function open(): Kernel {
  const { os, arch } = platform();
  if (os !== "linux") {
    throw new LinuxError("NOT_LINUX", 0, "syscall()", `this is ${os}; maps and programs need a Linux kernel`);
  }
  const numbers = syscallNumbers(arch);
  const ffi = openFfi();
  const words = ["i64", "i64", "i64", "i64", "i64", "i64", "i64"] as const;
  return {
    numbers,
    ffi,
    bpf: ffi.syscall(["u32", "u32", "buffer", "u32"], "i32"),
    // An i32 is a number: no bigint is allocated between the call and the look at errno.
    short: ffi.syscall(words, "i32"),
    wide: ffi.syscall(words, "i64"),
  };
}

function opened(): Kernel {
  return kernel ??= open();
}

/** Keeps what an address was taken of reachable while the kernel uses it. */
const inUse: { memory?: readonly Uint8Array[] | undefined } = {};

/**
 * Address of the first byte of `memory`, for a field of a struct that the kernel reads. The array must stay
 * reachable while the kernel uses it, and should lie in an `ArrayBuffer` that was made for it: engines may move
 * short typed arrays that were made without.
 *
 * @throws {LinuxError} Without FFI.
 */
export function addressOf(memory: Uint8Array): bigint {
  return opened().ffi.addressOf(memory);
}

/**
 * Makes a system call.
 *
 * @param given Up to six arguments. For an array the kernel gets its address; see {@linkcode addressOf}.
 * @returns What it returned, or `-errno`.
 * @throws {LinuxError} Where no system call can be made: `NOT_LINUX`, `UNKNOWN_ARCHITECTURE`, `NO_FFI`,
 *   `NO_FFI_PERMISSION`.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { LinuxError, syscall } from "@bpf/stackmap/linux";
 *
 * try {
 *   assertEquals(syscall("close", -1), -9); // -EBADF
 * } catch (error) {
 *   if (!(error instanceof LinuxError)) throw error;
 *   console.log(error.code); // "NO_FFI_PERMISSION"
 * }
 * ```
 */
export function syscall(name: SyscallName, ...given: (number | bigint | Uint8Array)[]): number {
  const { numbers, ffi, short, wide } = opened();
  if (given.length > 6) throw new TypeError(`a system call takes up to six arguments, not ${given.length}`);
  const memory = given.filter((each) => each instanceof Uint8Array);
  const words = given.map((each) => each instanceof Uint8Array ? ffi.addressOf(each) : BigInt(each));
  while (words.length < 6) words.push(0n);
  inUse.memory = memory;
  const long = name === "mmap" || name === "read" || name === "write";
  const result = (long ? wide : short)(BigInt(numbers[name]), ...words);
  const returned = result == -1 ? -ffi.errno() : Number(result);
  inUse.memory = undefined;
  return returned;
}

/**
 * `bpf(command, attr, attr.length)`.
 *
 * @param memory What addresses inside `attr` point at.
 * @returns What it returned, or `-errno`.
 * @throws {LinuxError} Where no system call can be made.
 */
export function bpf(command: number, attr: Uint8Array, ...memory: Uint8Array[]): number {
  const { numbers, ffi, bpf: call } = opened();
  inUse.memory = memory;
  const result = call(numbers.bpf, command, attr, attr.length) as number;
  const returned = result === -1 ? -ffi.errno() : result;
  inUse.memory = undefined;
  return returned;
}
