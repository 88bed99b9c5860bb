// Owns struct perf_event_attr and the constants of include/uapi/linux/perf_event.h that sampling needs.
import { viewOf } from "../base/bytes.ts";
import { type StructLayout, structLayout, writeStruct } from "../base/struct.ts";

/** Event type: counters of the processor. `enum perf_type_id`. */
export const PERF_TYPE_HARDWARE = 0;
/** Event type: what the kernel counts itself. `enum perf_type_id`. */
export const PERF_TYPE_SOFTWARE = 1;
/** Event type: a tracepoint, by its id. `enum perf_type_id`. */
export const PERF_TYPE_TRACEPOINT = 2;

/** Hardware event: cycles. `enum perf_hw_id`. */
export const PERF_COUNT_HW_CPU_CYCLES = 0;
/** Software event: a timer of the CPU; works in every virtual machine. `enum perf_sw_ids`. */
export const PERF_COUNT_SW_CPU_CLOCK = 0;
/** Software event: a timer that runs while the task runs. `enum perf_sw_ids`. */
export const PERF_COUNT_SW_TASK_CLOCK = 1;
/** Software event: page faults. `enum perf_sw_ids`. */
export const PERF_COUNT_SW_PAGE_FAULTS = 2;
/** Software event: context switches. `enum perf_sw_ids`. */
export const PERF_COUNT_SW_CONTEXT_SWITCHES = 3;

/** `sample_type` bit: the instruction pointer. */
export const PERF_SAMPLE_IP = 0x1;
/** `sample_type` bit: process and thread. */
export const PERF_SAMPLE_TID = 0x2;
/** `sample_type` bit: the time. */
export const PERF_SAMPLE_TIME = 0x4;
/** `sample_type` bit: the call chain. */
export const PERF_SAMPLE_CALLCHAIN = 0x20;
/** `sample_type` bit: the CPU. */
export const PERF_SAMPLE_CPU = 0x80;
/** `sample_type` bit: the period. */
export const PERF_SAMPLE_PERIOD = 0x100;
/** `sample_type` bit: what `bpf_perf_event_output` gives. */
export const PERF_SAMPLE_RAW = 0x400;

/** Flag of `perf_event_open()`: the descriptor closes at exec. */
export const PERF_FLAG_FD_CLOEXEC = 0x8;

/** `ioctl()`: count and sample. */
export const PERF_EVENT_IOC_ENABLE = 0x2400;
/** `ioctl()`: stop. */
export const PERF_EVENT_IOC_DISABLE = 0x2401;
/** `ioctl()`: count from zero. */
export const PERF_EVENT_IOC_RESET = 0x2403;
/** `ioctl()`: the event's id, written to the address given. */
export const PERF_EVENT_IOC_ID = 0x80082407;
/** `ioctl()`: run the program of this descriptor at each sample. */
export const PERF_EVENT_IOC_SET_BPF = 0x40042408;

/** Bits of `struct perf_event_attr` behind `read_format`, in the header's order; `precise_ip` has two. */
export const PERF_EVENT_ATTR_FLAGS: readonly (PerfEventFlag | "precise_ip")[] = [
  "disabled",
  "inherit",
  "pinned",
  "exclusive",
  "exclude_user",
  "exclude_kernel",
  "exclude_hv",
  "exclude_idle",
  "mmap",
  "comm",
  "freq",
  "inherit_stat",
  "enable_on_exec",
  "task",
  "watermark",
  "precise_ip",
  "precise_ip",
  "mmap_data",
  "sample_id_all",
  "exclude_host",
  "exclude_guest",
  "exclude_callchain_kernel",
  "exclude_callchain_user",
  "mmap2",
  "comm_exec",
  "use_clockid",
  "context_switch",
  "write_backward",
  "namespaces",
  "ksymbol",
  "bpf_event",
  "aux_output",
  "cgroup",
  "text_poke",
  "build_id",
  "inherit_thread",
  "remove_on_exec",
  "sigtrap",
];

/** A bit of `struct perf_event_attr`, as the header spells it. */
export type PerfEventFlag =
  | "disabled"
  | "inherit"
  | "pinned"
  | "exclusive"
  | "exclude_user"
  | "exclude_kernel"
  | "exclude_hv"
  | "exclude_idle"
  | "mmap"
  | "comm"
  | "freq"
  | "inherit_stat"
  | "enable_on_exec"
  | "task"
  | "watermark"
  | "mmap_data"
  | "sample_id_all"
  | "exclude_host"
  | "exclude_guest"
  | "exclude_callchain_kernel"
  | "exclude_callchain_user"
  | "mmap2"
  | "comm_exec"
  | "use_clockid"
  | "context_switch"
  | "write_backward"
  | "namespaces"
  | "ksymbol"
  | "bpf_event"
  | "aux_output"
  | "cgroup"
  | "text_poke"
  | "build_id"
  | "inherit_thread"
  | "remove_on_exec"
  | "sigtrap";

/** Fields of `struct perf_event_attr`, as the header spells them; absent ones are zero. `size` is always set. */
export type PerfEventAttr = Partial<Record<PerfEventFlag, boolean>> & {
  /** One of `enum perf_type_id`. */
  type: number;
  /** Which event of that type. */
  config: number | bigint;
  /** Events between two samples, without `freq`. */
  sample_period?: number | bigint;
  /** Samples a second, with `freq`: one union with `sample_period` in C. */
  sample_freq?: number | bigint;
  /** What a sample holds: `PERF_SAMPLE_IP` and its like, or-ed. */
  sample_type?: number | bigint;
  /** What `read()` gives. */
  read_format?: number | bigint;
  /** How precise the instruction pointer must be, 0 to 3. */
  precise_ip?: number;
  /** Wake readers after that many events (with `watermark`: bytes). */
  wakeup_events?: number;
  /** Type of a hardware breakpoint. */
  bp_type?: number;
  /** Extension of `config`. */
  config1?: number | bigint;
  /** Extension of `config1`. */
  config2?: number | bigint;
  /** Which branches to record. */
  branch_sample_type?: number | bigint;
  /** Which user registers to dump. */
  sample_regs_user?: number | bigint;
  /** Bytes of user stack to dump. */
  sample_stack_user?: number;
  /** Which clock, with `use_clockid`. */
  clockid?: number;
  /** Which registers at the interrupt to dump. */
  sample_regs_intr?: number | bigint;
  /** Bytes that wake readers of the AUX area. */
  aux_watermark?: number;
  /** Depth of a call chain; at most `kernel.perf_event_max_stack`. */
  sample_max_stack?: number;
  /** Bytes of AUX data in a sample. */
  aux_sample_size?: number;
  /** What a SIGTRAP passes on. */
  sig_data?: number | bigint;
};

/** `struct perf_event_attr` of Linux 5.13 and later (PERF_ATTR_SIZE_VER7), 128 bytes; `flags` are its bits. */
export const PERF_EVENT_ATTR: StructLayout = structLayout("struct perf_event_attr", [
  ["type", "u32"],
  ["size", "u32"],
  ["config", "u64"],
  ["sample_period", "u64"],
  ["sample_type", "u64"],
  ["read_format", "u64"],
  ["flags", "u64"],
  ["wakeup_events", "u32"],
  ["bp_type", "u32"],
  ["config1", "u64"],
  ["config2", "u64"],
  ["branch_sample_type", "u64"],
  ["sample_regs_user", "u64"],
  ["sample_stack_user", "u32"],
  ["clockid", "s32"],
  ["sample_regs_intr", "u64"],
  ["aux_watermark", "u32"],
  ["sample_max_stack", "u16"],
  ["__reserved_2", "u16"],
  ["aux_sample_size", "u32"],
  ["__reserved_3", "u32"],
  ["sig_data", "u64"],
]);

/**
 * The bytes of `struct perf_event_attr`: 128 new bytes. An older kernel takes them too, as long as what it does not
 * know is zero.
 *
 * Bit fields begin at the least significant bit on a little-endian machine and at the most significant one on a
 * big-endian machine, as C compilers lay them out.
 *
 * @param littleEndian Byte order of the machine that will make the call; little by default.
 * @throws {RangeError} If a value does not fit its field.
 * @throws {TypeError} If both `sample_period` and `sample_freq` are given.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { encodePerfEventAttr, PERF_COUNT_SW_CPU_CLOCK, PERF_TYPE_SOFTWARE } from "@bpf/stackmap/linux";
 *
 * const attr = encodePerfEventAttr({
 *   type: PERF_TYPE_SOFTWARE,
 *   config: PERF_COUNT_SW_CPU_CLOCK,
 *   freq: true,
 *   sample_freq: 99,
 *   disabled: true,
 * });
 * assertEquals([attr.length, attr[4], attr[16], attr[40], attr[41]], [128, 128, 99, 1, 4]);
 * ```
 */
export function encodePerfEventAttr(attr: PerfEventAttr, littleEndian: boolean = true): Uint8Array {
  if (attr.sample_period !== undefined && attr.sample_freq !== undefined) {
    throw new TypeError("sample_period and sample_freq are one field");
  }
  const precise = attr.precise_ip ?? 0;
  if (!(precise >= 0 && precise <= 3 && Number.isInteger(precise))) {
    throw new RangeError(`precise_ip is 0 to 3, not ${precise}`);
  }
  let flags = 0n;
  PERF_EVENT_ATTR_FLAGS.forEach((name, i) => {
    // Two bits: a big-endian compiler puts the more significant one first.
    const set = name !== "precise_ip"
      ? attr[name] === true
      : (precise >> (littleEndian === (i === 15) ? 0 : 1) & 1) === 1;
    if (set) flags |= 1n << BigInt(littleEndian ? i : 63 - i);
  });
  const bytes = new Uint8Array(new ArrayBuffer(PERF_EVENT_ATTR.size));
  const sample_period = attr.sample_period ?? attr.sample_freq;
  writeStruct(
    PERF_EVENT_ATTR,
    { ...attr, sample_period, size: PERF_EVENT_ATTR.size, flags },
    viewOf(bytes),
    0,
    littleEndian,
  );
  return bytes;
}
