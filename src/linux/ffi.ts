// Owns calls of C functions through the FFI of Deno or of Bun, as one small interface.
import { LinuxError } from "./errors.ts";
import { platform } from "./host.ts";

/** Types of C parameters and results that both FFIs have. A `buffer` is passed as the address of its first byte. */
export type CType = "i32" | "u32" | "i64" | "buffer";

/** A C function. What is 64 bits wide may be given as either kind of number. */
export type CFunction = (...given: (number | bigint | Uint8Array)[]) => number | bigint;

/** Calls of C functions of one runtime. */
export interface Ffi {
  /** `syscall()` of the C library, with parameters of these types. */
  syscall(parameters: readonly CType[], result: "i32" | "i64"): CFunction;
  /** The calling thread's errno. */
  errno(): number;
  /** Address of the first byte of `bytes`, which must lie in a buffer made for it: {@linkcode cMemory}. */
  addressOf(bytes: Uint8Array): bigint;
}

// The part of Bun's interfaces used here; Bun's own types are not at hand in Deno.
interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, { args: string[]; returns: string }>,
  ): { symbols: Record<string, CFunction> };
  ptr(bytes: Uint8Array): number;
  read: { i32(address: number, offset: number): number };
}

const scope = globalThis as {
  Deno?: typeof Deno;
  Bun?: unknown;
  process?: { getBuiltinModule(name: string): unknown };
};
// The test preload of other runtimes gives them a Deno with nothing but test().
const deno = scope.Deno?.build === undefined ? undefined : scope.Deno;

/** The C libraries to look for: glibc's, then musl's. */
function libraries(): string[] {
  const { arch } = platform();
  const musl = arch === "x64" ? "x86_64" : arch === "arm64" ? "aarch64" : arch;
  return ["libc.so.6", `libc.musl-${musl}.so.1`];
}

/** What `open` returns for the first library that can be opened. */
function firstLibrary<T>(open: (path: string) => T): T {
  let problem: unknown;
  for (const path of libraries()) {
    try {
      return open(path);
    } catch (error) {
      if (deno !== undefined && error instanceof deno.errors.NotCapable) {
        throw new LinuxError("NO_FFI_PERMISSION", 0, "dlopen(libc)", "run Deno with --allow-ffi");
      }
      problem ??= error;
    }
  }
  const reason = problem instanceof Error ? problem.message : String(problem);
  throw new LinuxError("NO_FFI", 0, "dlopen(libc)", `the C library can't be opened: ${reason}`);
}

function denoFfi({ dlopen, UnsafePointer, UnsafePointerView }: typeof Deno): Ffi {
  const { symbols } = firstLibrary((path) =>
    dlopen(path, { __errno_location: { parameters: [], result: "pointer" } })
  );
  // errno has one address for each thread, and an isolate stays on its thread.
  const errno = new UnsafePointerView(symbols.__errno_location()!);
  return {
    errno: () => errno.getInt32(),
    addressOf: (bytes) => UnsafePointer.value(UnsafePointer.of(bytes as Uint8Array<ArrayBuffer>)),
    syscall(parameters, result) {
      return firstLibrary((path) => dlopen(path, { syscall: { parameters: [...parameters], result } })).symbols
        .syscall as unknown as CFunction;
    },
  };
}

function bunFfi({ dlopen, ptr, read }: BunFfi): Ffi {
  const { symbols } = firstLibrary((path) => dlopen(path, { __errno_location: { args: [], returns: "ptr" } }));
  const errno = symbols.__errno_location() as number;
  return {
    errno: () => read.i32(errno, 0),
    addressOf: (bytes) => BigInt(ptr(bytes)),
    syscall(parameters, result) {
      const args = parameters.map((type) => type === "buffer" ? "ptr" : type);
      return firstLibrary((path) => dlopen(path, { syscall: { args, returns: result } })).symbols.syscall;
    },
  };
}

/**
 * The FFI of the runtime.
 *
 * @throws {LinuxError} `NO_FFI` in a runtime without one, or without a C library; `NO_FFI_PERMISSION`.
 */
export function openFfi(): Ffi {
  if (deno !== undefined) return denoFfi(deno);
  if (scope.Bun !== undefined && scope.process !== undefined) {
    return bunFfi(scope.process.getBuiltinModule("bun:ffi") as BunFfi);
  }
  throw new LinuxError("NO_FFI", 0, "dlopen(libc)", "this runtime can't call C functions: use Deno or Bun");
}
