// Owns BPF programs of the running kernel: loading with the verifier's log, raw tracepoints, test runs.
import {
  BPF_PROG_GET_FD_BY_ID,
  BPF_PROG_GET_NEXT_ID,
  BPF_PROG_LOAD,
  BPF_PROG_TEST_RUN,
  BPF_RAW_TRACEPOINT_OPEN,
} from "../uapi/bpf.ts";
import { SIZEOF_BPF_INSN } from "../uapi/bpf_insn.ts";
import { type BpfProgInfo, decodeProgInfo, encodeGetIdAttr, PROG_INFO } from "../uapi/bpf_obj_attr.ts";
import {
  decodeProgTestRunAttr,
  encodeProgLoadAttr,
  encodeProgTestRunAttr,
  encodeRawTracepointAttr,
  type ProgLoadAttr,
} from "../uapi/bpf_prog_attr.ts";
import { ERRNO } from "../uapi/errno.ts";
import { infoBytes, objectIds, objectName, openFd, PinnableDescriptor } from "./descriptor.ts";
import { linuxError, VerifierError } from "./errors.ts";
import { cMemory, cString } from "./host.ts";
import { addressOf, bpf } from "./syscall.ts";

/** Bytes of the verifier's log at first, and at most. */
const FIRST_LOG_BYTES = 1 << 16;
const MOST_LOG_BYTES = 1 << 24;

/** How often a load is tried while the kernel says that it was interrupted. */
const MOST_ATTEMPTS = 5;

/** What a program is loaded from. */
export interface BpfProgramOptions {
  /** One of `enum bpf_prog_type`: `BPF_PROG_TYPE_RAW_TRACEPOINT`. */
  type: number;
  /** The instructions, as `BpfAssembler.bytes()` gives them. */
  insns: Uint8Array;
  /** The program's licence, "GPL" by default: `bpf_get_stackid()` and most of tracing want it. */
  license?: string;
  /** One of `enum bpf_attach_type`, where the type wants it. */
  expectedAttachType?: number;
  /** `BPF_F_SLEEPABLE` and its like, or-ed. */
  flags?: number;
  /** A name to find it by: up to 15 of `A-Za-z0-9_.`. */
  name?: string;
  /** 1 or 2 keeps what the verifier says of a program that it takes, in `log`; 0 by default. */
  logLevel?: number;
}

/** What a test run is given. */
export interface BpfTestRun {
  /** A packet, for types that look at one. */
  data?: Uint8Array;
  /** The context, for `BPF_PROG_TYPE_RAW_TRACEPOINT` up to 12 arguments of 8 bytes. */
  context?: Uint8Array;
  /** How often to run; once by default. */
  repeat?: number;
}

/**
 * A BPF program in the running kernel. It closes its descriptor at the end of the block with `using`, or by
 * `close()`; the kernel keeps the program while something it is attached to, or a pin, holds it.
 *
 * @example
 * ```ts ignore
 * // Not run: needs CAP_BPF and CAP_PERFMON.
 * import { BPF_PROG_TYPE_RAW_TRACEPOINT, BpfAssembler, BpfProgram, openRawTracepoint } from "@bpf/stackmap/linux";
 *
 * const insns = new BpfAssembler().alu("mov", "r0", 0).exit().bytes();
 * using program = BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns });
 * using link = openRawTracepoint("sys_enter", program);
 * ```
 */
export class BpfProgram extends PinnableDescriptor {
  /** What the verifier said, with `logLevel`; empty without. */
  readonly log: string;

  /**
   * Takes over an open descriptor of a program.
   *
   * @param fd The descriptor; the caller must not close it.
   * @param log What the verifier said.
   */
  constructor(fd: number, log: string = "") {
    super(fd);
    this.log = log;
  }

  /**
   * Verifies and loads a program. Needs CAP_BPF, for tracing CAP_PERFMON as well (CAP_SYS_ADMIN before Linux 5.8).
   *
   * @throws {VerifierError} If the verifier refuses it, with its log.
   * @throws {LinuxError} `EPERM`; `EINVAL` for a type or flags that the kernel does not know; `E2BIG`, …
   */
  static load(options: BpfProgramOptions): BpfProgram {
    const { insns, logLevel = 0 } = options;
    if (insns.length === 0 || insns.length % SIZEOF_BPF_INSN !== 0) {
      throw new RangeError(`instructions have 8 bytes each, not ${insns.length} together`);
    }
    const code = cMemory(insns.length);
    code.set(insns);
    const license = cString(options.license ?? "GPL");
    const attr: ProgLoadAttr = {
      prog_type: options.type,
      insn_cnt: insns.length / SIZEOF_BPF_INSN,
      insns: addressOf(code),
      license: addressOf(license),
      prog_flags: options.flags ?? 0,
      prog_name: objectName(options.name ?? ""),
      expected_attach_type: options.expectedAttachType ?? 0,
    };
    if (logLevel === 0) {
      const fd = load(attr, code, license);
      if (fd >= 0) return new BpfProgram(fd);
      if (fd === -ERRNO.EPERM) throw linuxError(fd, "bpf(BPF_PROG_LOAD)");
    }
    // The log is asked for where there is something to say: writing it takes the verifier longer than its work.
    for (let size = FIRST_LOG_BYTES;; size *= 8) {
      const memory = cMemory(size);
      const log = { log_level: Math.max(1, logLevel), log_size: size, log_buf: addressOf(memory) };
      const fd = load({ ...attr, ...log }, code, license, memory);
      if (fd === -ERRNO.ENOSPC && size < MOST_LOG_BYTES) continue;
      const end = memory.indexOf(0);
      const text = new TextDecoder().decode(memory.subarray(0, end < 0 ? size : end));
      if (fd >= 0) return new BpfProgram(fd, logLevel === 0 ? "" : text);
      const error = linuxError(fd, "bpf(BPF_PROG_LOAD)");
      throw text === "" ? error : new VerifierError(error.code, error.errno, text);
    }
  }

  /**
   * Opens a program by its id, whoever loaded it. Needs CAP_SYS_ADMIN.
   *
   * @throws {LinuxError} `ENOENT` if there is none (any more), `EPERM`.
   */
  static openById(id: number): BpfProgram {
    const fd = bpf(BPF_PROG_GET_FD_BY_ID, encodeGetIdAttr({ start_id: id }));
    if (fd < 0) throw linuxError(fd, "bpf(BPF_PROG_GET_FD_BY_ID)");
    return new BpfProgram(fd);
  }

  /**
   * The ids of all programs, ascending. Needs CAP_SYS_ADMIN.
   *
   * @throws {LinuxError} `EPERM`.
   */
  static ids(): number[] {
    return objectIds(BPF_PROG_GET_NEXT_ID, "bpf(BPF_PROG_GET_NEXT_ID)");
  }

  /**
   * What the kernel says the program is; how often it ran, and how long, if `kernel.bpf_stats_enabled` is 1.
   *
   * @throws {LinuxError} `EBADF` if it is closed.
   */
  info(): BpfProgInfo {
    return decodeProgInfo(infoBytes(this.fd, PROG_INFO.size));
  }

  /**
   * Runs the program now, attached or not.
   *
   * @returns What it returned, as unsigned 32 bits, and the mean duration in nanoseconds.
   * @throws {LinuxError} `ENOTSUPP` for a type that can't be run so, `EINVAL` for a context it does not take.
   */
  testRun(run: BpfTestRun = {}): { returned: number; nanoseconds: number } {
    const { data, context, repeat = 0 } = run;
    const memory = [data, context].map((given) => {
      const copy = cMemory(given?.length ?? 0);
      if (given !== undefined) copy.set(given);
      return copy;
    });
    const [packet, arguments_] = memory.map((each) => each.length === 0 ? 0n : addressOf(each));
    const attr = encodeProgTestRunAttr({
      prog_fd: openFd(this),
      data_in: packet,
      data_size_in: memory[0].length,
      ctx_in: arguments_,
      ctx_size_in: memory[1].length,
      repeat,
    });
    const result = bpf(BPF_PROG_TEST_RUN, attr, ...memory);
    if (result < 0) throw linuxError(result, "bpf(BPF_PROG_TEST_RUN)");
    const { retval, duration } = decodeProgTestRunAttr(attr);
    return { returned: retval, nanoseconds: duration };
  }
}

/**
 * Runs a program at each pass of a tracepoint, on every CPU, until what it returns is closed: `sys_enter`, and all
 * others that /sys/kernel/tracing/available_events lists, without their group.
 *
 * @throws {LinuxError} `ENOENT` if there is no such tracepoint, `EINVAL` for a program of another type.
 */
export function openRawTracepoint(tracepoint: string, program: BpfProgram): PinnableDescriptor {
  const name = cString(tracepoint);
  const attr = encodeRawTracepointAttr({ name: addressOf(name), prog_fd: openFd(program) });
  const fd = bpf(BPF_RAW_TRACEPOINT_OPEN, attr, name);
  if (fd < 0) throw linuxError(fd, `bpf(BPF_RAW_TRACEPOINT_OPEN, ${tracepoint})`);
  return new PinnableDescriptor(fd);
}

function load(attr: ProgLoadAttr, ...memory: Uint8Array[]): number {
  // The verifier stops for a signal that waits, and says so.
  for (let attempt = 1;; attempt++) {
    const fd = bpf(BPF_PROG_LOAD, encodeProgLoadAttr(attr), ...memory);
    if (fd !== -ERRNO.EAGAIN || attempt === MOST_ATTEMPTS) return fd;
  }
}
