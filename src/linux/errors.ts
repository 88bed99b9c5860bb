// Owns LinuxError and VerifierError: system calls that failed, and what to do about it.
import { type ErrnoName, errnoName } from "../uapi/errno.ts";
import { readText } from "./host.ts";

/**
 * What a {@linkcode LinuxError} is about: the errno's name, or, where no system call was made, what is missing.
 * `UNKNOWN` stands for an errno without a name.
 */
export type LinuxErrorCode =
  | ErrnoName
  | "NOT_LINUX"
  | "UNKNOWN_ARCHITECTURE"
  | "NO_FFI"
  | "NO_FFI_PERMISSION"
  | "UNKNOWN";

/**
 * A system call failed, or could not be made. The message says which one, why, and what to do.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { LinuxError } from "@bpf/stackmap/linux";
 *
 * const error = new LinuxError("EBADF", 9, "bpf(BPF_MAP_LOOKUP_ELEM)", "the descriptor is closed");
 * assertEquals(error.message, "bpf(BPF_MAP_LOOKUP_ELEM): EBADF: the descriptor is closed");
 * ```
 */
export class LinuxError extends Error {
  /** Always `"LinuxError"`, in a {@linkcode VerifierError} `"VerifierError"`. */
  override readonly name: string = "LinuxError";
  /** The errno, positive; 0 where no system call was made. */
  readonly errno: number;
  /** The errno's name, or what is missing. */
  readonly code: LinuxErrorCode;
  /** The system call, with its command: `"bpf(BPF_MAP_CREATE)"`. */
  readonly syscall: string;

  /**
   * Builds the message from its parts.
   *
   * @param code The errno's name, or what is missing.
   * @param errno The errno, positive; 0 where no system call was made.
   * @param syscall The system call, with its command.
   * @param advice What it means here and what to do, as a clause.
   */
  constructor(code: LinuxErrorCode, errno: number, syscall: string, advice: string) {
    super(`${syscall}: ${code}${advice === "" ? "" : `: ${advice}`}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

/**
 * The verifier refused a program. Its log is in `log`, the last lines of it in the message.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { LinuxError, VerifierError } from "@bpf/stackmap/linux";
 *
 * const error = new VerifierError("EACCES", 13, "0: (95) exit\nR0 !read_ok\nprocessed 1 insns");
 * assertEquals(error instanceof LinuxError, true);
 * assertEquals(error.log.includes("R0 !read_ok"), true);
 * ```
 */
export class VerifierError extends LinuxError {
  /** Always `"VerifierError"`. */
  override readonly name: string = "VerifierError";
  /** What the verifier wrote. */
  readonly log: string;

  /**
   * Builds the message from the end of the log.
   *
   * @param code The errno's name.
   * @param errno The errno, positive.
   * @param log What the verifier wrote.
   */
  constructor(code: LinuxErrorCode, errno: number, log: string) {
    const lines = log.trimEnd().split("\n").slice(-12);
    super(code, errno, "bpf(BPF_PROG_LOAD)", `the verifier refuses the program\n${lines.join("\n")}`);
    this.log = log;
  }
}

/** The value of a sysctl as a sentence's end, or that it can't be read. */
function sysctl(name: string): string {
  const text = readText(`/proc/sys/${name.replaceAll(".", "/")}`);
  return text === undefined ? `${name} can't be read` : `${name} is ${text.trim()}`;
}

/** What an errno of that system call means and what to do about it. */
function adviceFor(code: LinuxErrorCode, syscall: string): string {
  const perf = syscall.startsWith("perf_event_open");
  switch (code) {
    case "EPERM":
    case "EACCES":
      if (perf) {
        return "not permitted: run as root or with CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8); " +
          `${
            sysctl("kernel.perf_event_paranoid")
          } (up to 1 the kernel may be sampled without, up to 2 own processes)`;
      }
      if (syscall.startsWith("bpf(BPF_OBJ_")) {
        return "not permitted: look at the rights of the path and its folders";
      }
      if (syscall.startsWith("bpf")) {
        return "not permitted: run as root, or with CAP_BPF and for tracing CAP_PERFMON (CAP_SYS_ADMIN before " +
          "Linux 5.8, and always to open objects by id); " +
          `${sysctl("kernel.unprivileged_bpf_disabled")}. Containers often refuse bpf() by seccomp`;
      }
      return "not permitted";
    case "ENOSYS":
      return `this kernel was built without ${
        perf ? "perf events (CONFIG_PERF_EVENTS)" : "BPF (CONFIG_BPF_SYSCALL)"
      }, ` +
        "or a sandbox hides it";
    case "EMFILE":
    case "ENFILE":
      return "too many open files: raise `ulimit -n`";
    case "ENOMEM":
      return syscall.startsWith("bpf") ? "no memory; before Linux 5.11 raise `ulimit -l` as well" : "no memory";
    case "EBADF":
      return "the descriptor is closed";
    case "ESRCH":
      return "no such process or thread; it may have ended";
    case "ENOENT":
      if (perf) return "this machine does not have that event; PERF_COUNT_SW_CPU_CLOCK works everywhere";
      return syscall.includes("RAW_TRACEPOINT")
        ? "this kernel has no tracepoint of that name"
        : syscall.includes("OBJ_GET")
        ? "nothing is pinned there"
        : syscall.includes("BY_ID")
        ? "there is no object of that id (any more)"
        : "";
    case "EINVAL":
      return "the kernel does not take these arguments";
    default:
      return "";
  }
}

/**
 * The error for a system call that returned `-errno`.
 *
 * @param result What it returned: negative.
 * @param advice What it means, where the caller knows better.
 */
export function linuxError(result: number, syscall: string, advice?: string): LinuxError {
  const code = errnoName(result) ?? "UNKNOWN";
  return new LinuxError(code, -result, syscall, advice ?? adviceFor(code, syscall));
}
