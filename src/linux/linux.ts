// Owns the entry for Linux: named re-exports and nothing else.
/**
 * Maps, programs and perf events of the running Linux kernel, from TypeScript, through the FFI of Deno (or Bun),
 * on x86-64 and aarch64. The rest of the package (`@bpf/stackmap`) needs none of this and runs anywhere.
 *
 * - {@linkcode BpfMap} creates and opens maps and reaches their elements; {@linkcode mapKeys}, {@linkcode stackIds}
 *   and {@linkcode dumpStackMap} walk through them while they change.
 * - {@linkcode BpfAssembler} writes programs, {@linkcode BpfProgram} loads them, with the verifier's log in the
 *   error; {@linkcode openRawTracepoint}, {@linkcode PerfEvent} and {@linkcode PerfEvents} run them.
 * - {@linkcode StackRecorder} samples the stacks of a process or of the whole machine.
 * - {@linkcode syscall} is what all of it rests on.
 *
 * What it takes:
 *
 * | for | capability | Deno |
 * |---|---|---|
 * | any call | – | `--allow-ffi` |
 * | creating maps, reading one's own | `CAP_BPF` | |
 * | loading tracing programs, raw tracepoints | `CAP_BPF` and `CAP_PERFMON` | |
 * | perf events on one's own processes | `kernel.perf_event_paranoid` ≤ 2 (user frames only), or `CAP_PERFMON` | |
 * | perf events on all of the machine | `kernel.perf_event_paranoid` ≤ 0, or `CAP_PERFMON` | `--allow-read=/sys` |
 * | opening maps and programs by id, listing ids | `CAP_SYS_ADMIN` | |
 * | pinning | rights in the bpf file system | |
 *
 * Before Linux 5.8 `CAP_SYS_ADMIN` stands for `CAP_BPF` and `CAP_PERFMON`. Some files of `/proc` and `/sys` are
 * read where that helps; Deno wants `--allow-read` for it (`--allow-all` for some files of /proc).
 *
 * A failed call throws {@linkcode LinuxError}, which says what to do; {@linkcode whyNoBpf} asks beforehand.
 *
 * @example
 * ```ts ignore
 * // Not run: needs CAP_BPF and CAP_PERFMON. User stacks of system calls of one process, as build IDs and offsets.
 * import { BPF_F_STACK_BUILD_ID, BPF_F_USER_STACK, BPF_MAP_TYPE_STACK_TRACE, decodeStacks } from "@bpf/stackmap";
 * import {
 *   BPF_FUNC_get_current_pid_tgid,
 *   BPF_FUNC_get_stackid,
 *   BPF_PROG_TYPE_RAW_TRACEPOINT,
 *   BpfAssembler,
 *   BpfMap,
 *   BpfProgram,
 *   dumpStackMap,
 *   openRawTracepoint,
 * } from "@bpf/stackmap/linux";
 *
 * const pid = 1234;
 * using stacks = BpfMap.create({
 *   type: BPF_MAP_TYPE_STACK_TRACE,
 *   valueSize: 127 * 32,
 *   maxEntries: 1024,
 *   mapFlags: BPF_F_STACK_BUILD_ID,
 * });
 * const insns = new BpfAssembler()
 *   .alu("mov", "r6", "r1")
 *   .call(BPF_FUNC_get_current_pid_tgid)
 *   .alu("rsh", "r0", 32)
 *   .jump("jne", "r0", pid, "done")
 *   .alu("mov", "r1", "r6")
 *   .loadMapFd("r2", stacks.fd)
 *   .alu("mov", "r3", BPF_F_USER_STACK)
 *   .call(BPF_FUNC_get_stackid)
 *   .label("done")
 *   .alu("mov", "r0", 0)
 *   .exit()
 *   .bytes();
 * using program = BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns });
 * using _link = openRawTracepoint("sys_enter", program);
 * await new Promise((resolve) => setTimeout(resolve, 1000));
 * const columns = decodeStacks(dumpStackMap(stacks), stacks);
 * console.log(columns.ids.length);
 * ```
 *
 * @module
 */

// what goes wrong
export { LinuxError, type LinuxErrorCode, VerifierError } from "./errors.ts";
export { whyNoBpf } from "./why_no_bpf.ts";

// maps
export { type BpfKey, BpfMap, type BpfMapOptions } from "./map.ts";
export { dumpStackMap, mapKeys, stackIds } from "./map_keys.ts";

// programs
export { type BpfAluOperation, BpfAssembler, type BpfJump, type BpfRegister, type BpfSize } from "./assembler.ts";
export { BpfProgram, type BpfProgramOptions, type BpfTestRun, openRawTracepoint } from "./program.ts";

// perf events
export { PerfEvent, PerfEvents, type PerfEventTarget } from "./perf_event.ts";
export { onlineCpus, parseCpuList, possibleCpuCount } from "./cpus.ts";

// sampled stacks
export { ELSEWHERE_PID } from "./recorder_program.ts";
export { type RecorderProgress, StackRecorder, type StackRecorderOptions } from "./stack_recorder.ts";
export type { SampledStacks } from "../recording/sample_recording.ts";
export {
  commOf,
  kallsyms,
  kernelRelease,
  machine,
  perfMapOf,
  type PerfMapOwner,
  perfMapOwner,
  type PidNamespace,
  pidNamespace,
  processMaps,
  startTimeOf,
  threadsOf,
} from "./proc.ts";

// what all of it rests on
export { Descriptor, PinnableDescriptor } from "./descriptor.ts";
export { addressOf, syscall, type SyscallName, type SyscallNumbers, syscallNumbers } from "./syscall.ts";

// uapi: what mod.ts does not export
export {
  BPF_ANY,
  BPF_EXIST,
  BPF_F_CURRENT_CPU,
  BPF_F_NO_PREALLOC,
  BPF_F_RDONLY_PROG,
  BPF_F_SLEEPABLE,
  BPF_FUNC_get_current_comm,
  BPF_FUNC_get_current_pid_tgid,
  BPF_FUNC_get_smp_processor_id,
  BPF_FUNC_get_stack,
  BPF_FUNC_get_stackid,
  BPF_FUNC_ktime_get_ns,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
  BPF_FUNC_perf_event_output,
  BPF_FUNC_probe_read,
  BPF_FUNC_probe_read_kernel,
  BPF_FUNC_probe_read_user,
  BPF_MAP_GET_FD_BY_ID,
  BPF_MAP_GET_NEXT_ID,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_NOEXIST,
  BPF_OBJ_GET,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_OBJ_NAME_LEN,
  BPF_OBJ_PIN,
  BPF_PROG_GET_FD_BY_ID,
  BPF_PROG_GET_NEXT_ID,
  BPF_PROG_LOAD,
  BPF_PROG_TEST_RUN,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PSEUDO_MAP_FD,
  BPF_RAW_TRACEPOINT_OPEN,
} from "../uapi/bpf.ts";
export {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_B,
  BPF_CALL,
  BPF_DIV,
  BPF_DW,
  BPF_EXIT,
  BPF_FETCH,
  BPF_H,
  BPF_IMM,
  BPF_JA,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP,
  BPF_JMP32,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LSH,
  BPF_MEM,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_W,
  BPF_X,
  BPF_XOR,
  type BpfInsn,
  encodeInsns,
  SIZEOF_BPF_INSN,
} from "../uapi/bpf_insn.ts";
export { type BpfMapInfo, type BpfProgInfo } from "../uapi/bpf_obj_attr.ts";
export { type ErrnoName } from "../uapi/errno.ts";
export { type MapCreateAttr } from "../uapi/bpf_attr.ts";
export {
  encodePerfEventAttr,
  PERF_COUNT_HW_CPU_CYCLES,
  PERF_COUNT_SW_CONTEXT_SWITCHES,
  PERF_COUNT_SW_CPU_CLOCK,
  PERF_COUNT_SW_PAGE_FAULTS,
  PERF_COUNT_SW_TASK_CLOCK,
  PERF_EVENT_IOC_DISABLE,
  PERF_EVENT_IOC_ENABLE,
  PERF_EVENT_IOC_ID,
  PERF_EVENT_IOC_RESET,
  PERF_EVENT_IOC_SET_BPF,
  PERF_FLAG_FD_CLOEXEC,
  PERF_SAMPLE_CALLCHAIN,
  PERF_SAMPLE_CPU,
  PERF_SAMPLE_IP,
  PERF_SAMPLE_PERIOD,
  PERF_SAMPLE_RAW,
  PERF_SAMPLE_TID,
  PERF_SAMPLE_TIME,
  PERF_TYPE_HARDWARE,
  PERF_TYPE_SOFTWARE,
  PERF_TYPE_TRACEPOINT,
  type PerfEventAttr,
  type PerfEventFlag,
} from "../uapi/perf_event_attr.ts";
