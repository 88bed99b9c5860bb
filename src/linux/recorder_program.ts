// Owns the program that the recorder runs at each sample, and the layout of the maps that it writes.
import {
  BPF_F_USER_STACK,
  BPF_FUNC_get_current_comm,
  BPF_FUNC_get_current_pid_tgid,
  BPF_FUNC_get_ns_current_pid_tgid,
  BPF_FUNC_get_stackid,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
  BPF_NOEXIST,
} from "../uapi/bpf.ts";
import { ERRNO } from "../uapi/errno.ts";
import { BpfAssembler } from "./assembler.ts";
import type { PidNamespace } from "./proc.ts";

/** Bytes of `comm`, the NUL included: `TASK_COMM_LEN`. */
export const TASK_COMM_LEN = 16;

/**
 * What stands for the number of each process whose innermost PID namespace is not the one that was asked for: the kernel
 * tells programs no other number, although in the namespaces around its own a process has one, too.
 */
export const ELSEWHERE_PID = 0;

/** Key of a count: `u32` process, `s32` user stack, `s32` kernel stack. */
export const COUNT_KEY_BYTES = 12;

/** What the gate holds where no set is written to; 0 and 1 are the sets. */
export const GATE_CLOSED = 2;

/** Where the counters are in the only value of their map: `u64` each, in bytes. */
export const COUNTER = {
  /** Samples that were taken. */
  samples: 0,
  /** Of them, those that no map had room to count. */
  uncounted: 8,
  /** New keys of counts. */
  fresh: 16,
  /** Answers `-ENOMEM`. */
  full: 24,
  /** Samples whose user stack was lost. */
  lostUser: 32,
  /** Samples whose kernel stack was lost. */
  lostKernel: 40,
  /** Programs that are at work in the first set, now; the second's follows. */
  inside: 48,
} as const;

/** Bytes of all counters. */
export const COUNTERS_BYTES = 64;

/** Descriptors of the maps of one set; a map of stacks that nobody asked for is absent. */
export interface SetDescriptors {
  user?: number;
  kernel?: number;
  counts: number;
}

/** Descriptors of all maps. */
export interface RecorderDescriptors {
  gate: number;
  counters: number;
  seen: number;
  /** Ticks of each CPU since its last sample; absent if each tick is a sample. */
  ticks?: number;
  sets: readonly [SetDescriptors, SetDescriptors];
}

// The program's stack, from its end.
const ZERO = -4; // the only key of an array
const KEY = -16; // COUNT_KEY_BYTES
const ONE = -24; // a first count
const COMM = -40;
const PIDNS_INFO = COMM; // earlier: struct bpf_pidns_info, u32 pid (of the thread) and u32 tgid
const PIDNS_INFO_BYTES = 8;

/**
 * The instructions of a `BPF_PROG_TYPE_PERF_EVENT` program that counts the stacks of what a sample interrupted, in
 * the set that the gate names.
 *
 * A program that runs on another CPU may have read the gate just before it was moved. So each says that it is inside
 * a set before it looks at the gate again, and leaves if it was moved meanwhile: where the gate names another
 * set and nobody is inside, nobody writes. The atomic operations are those that return a value, which are barriers
 * on every processor.
 *
 * The stack with build IDs is asked for once: a second such call in the same interrupt finds the work that unlocks
 * the process's memory still queued, and stores addresses only.
 *
 * @param every Which of a CPU's ticks are samples: each, every second, …
 * @param namespace Whose numbers processes have; the machine's if absent. Those of all others, also of namespaces
 *   inside it, are {@linkcode ELSEWHERE_PID}.
 */
export function recorderProgram(maps: RecorderDescriptors, every: number, namespace?: PidNamespace): Uint8Array {
  const asm = new BpfAssembler()
    .alu("mov", "r6", "r1")
    .call(BPF_FUNC_get_current_pid_tgid)
    .alu("rsh", "r0", 32)
    .jump("jeq", "r0", 0, "done"); // idle
  if (namespace !== undefined && !namespace.initial) numberIn(asm, namespace);
  asm.store(32, "r10", KEY, "r0")
    .store(32, "r10", ZERO, 0)
    .store(64, "r10", ONE, 1);
  if (maps.ticks !== undefined) {
    valueOf(asm, maps.ticks, "r7");
    asm.load(64, "r1", "r7", 0)
      .alu("add", "r1", 1)
      .store(64, "r7", 0, "r1")
      .jump("jlt", "r1", every, "done")
      .store(64, "r7", 0, 0);
  }
  valueOf(asm, maps.counters, "r7");
  valueOf(asm, maps.gate, "r8");
  enter(asm, "enter", "second");
  asm.label("second");
  // Twice moved within one sample: the CPU was away for long.
  enter(asm, "again", "miss");
  asm.label("miss");
  increment(asm, COUNTER.samples);
  increment(asm, COUNTER.uncounted);
  asm.goto("done");
  for (const set of [0, 1] as const) {
    asm.label(`work${set}`);
    increment(asm, COUNTER.samples);
    countSample(asm, maps.sets[set], maps.seen, `${set}`);
    asm.label(`leave${set}`);
    add(asm, COUNTER.inside + 8 * set, -1);
    asm.goto("done");
  }
  return asm.label("done").alu("mov", "r0", 0).exit().bytes();
}

/** `r0` becomes the process's number in a namespace. */
function numberIn(asm: BpfAssembler, { dev, ino }: PidNamespace): void {
  asm.loadImm64("r1", dev).loadImm64("r2", ino)
    .alu("mov", "r3", "r10").alu("add", "r3", PIDNS_INFO)
    .alu("mov", "r4", PIDNS_INFO_BYTES)
    .call(BPF_FUNC_get_ns_current_pid_tgid)
    .jump("jne", "r0", 0, "elsewhere")
    .load(32, "r0", "r10", PIDNS_INFO + 4)
    .goto("numbered")
    .label("elsewhere").alu("mov", "r0", ELSEWHERE_PID)
    .label("numbered");
}

/** `register` becomes the address of an array's only value. */
function valueOf(asm: BpfAssembler, map: number, register: "r7" | "r8"): void {
  asm.loadMapFd("r1", map).alu("mov", "r2", "r10").alu("add", "r2", ZERO).call(BPF_FUNC_map_lookup_elem)
    .jump("jeq", "r0", 0, "done") // never; the verifier wants it
    .alu("mov", register, "r0");
}

function increment(asm: BpfAssembler, counter: number): void {
  asm.alu("mov", "r1", 1).atomicAdd(64, "r7", counter, "r1");
}

/** The same as a barrier. */
function add(asm: BpfAssembler, counter: number, by: number): void {
  asm.alu("mov", "r1", by).atomicFetchAdd(64, "r7", counter, "r1");
}

/** Goes on at `work0` or `work1`, inside; or at `otherwise`, if the gate moved. */
function enter(asm: BpfAssembler, prefix: string, otherwise: string): void {
  asm.load(64, "r9", "r8", 0)
    .jump("jeq", "r9", 0, `${prefix}0`)
    .jump("jne", "r9", 1, "done"); // closed
  for (const set of [1, 0]) {
    asm.label(`${prefix}${set}`);
    add(asm, COUNTER.inside + 8 * set, 1);
    asm.load(64, "r9", "r8", 0).jump("jeq", "r9", set, `work${set}`);
    add(asm, COUNTER.inside + 8 * set, -1);
    asm.goto(otherwise);
  }
}

/** Asks for both stacks and counts them. */
function countSample(asm: BpfAssembler, set: SetDescriptors, seen: number, suffix: string): void {
  askForStack(asm, set.user, BPF_F_USER_STACK, KEY + 4, COUNTER.lostUser, `user${suffix}`);
  askForStack(asm, set.kernel, 0, KEY + 8, COUNTER.lostKernel, `kernel${suffix}`);
  countKey(asm, set.counts, `new${suffix}`, suffix);
  asm.label(`new${suffix}`);
  withKey(asm, set.counts)
    .alu("mov", "r3", "r10").alu("add", "r3", ONE)
    .alu("mov", "r4", BPF_NOEXIST)
    .call(BPF_FUNC_map_update_elem)
    .jump("jeq", "r0", 0, `fresh${suffix}`);
  // Another CPU may have made the same key meanwhile; otherwise the map is full.
  countKey(asm, set.counts, `full${suffix}`, suffix);
  asm.label(`full${suffix}`);
  increment(asm, COUNTER.uncounted);
  asm.goto(`leave${suffix}`).label(`fresh${suffix}`);
  increment(asm, COUNTER.fresh);
  // A process's first key is new, so that this is often enough.
  asm.store(64, "r10", COMM, 0).store(64, "r10", COMM + 8, 0)
    .alu("mov", "r1", "r10").alu("add", "r1", COMM)
    .alu("mov", "r2", TASK_COMM_LEN)
    .call(BPF_FUNC_get_current_comm);
  withKey(asm, seen) // the process is the key's first field
    .alu("mov", "r3", "r10").alu("add", "r3", COMM)
    .alu("mov", "r4", BPF_NOEXIST)
    .call(BPF_FUNC_map_update_elem);
}

/** `r1` is the map, `r2` the key's address. */
function withKey(asm: BpfAssembler, map: number): BpfAssembler {
  return asm.loadMapFd("r1", map).alu("mov", "r2", "r10").alu("add", "r2", KEY);
}

/** Adds one to the count of a key that is there and leaves; goes on at `otherwise`. */
function countKey(asm: BpfAssembler, counts: number, otherwise: string, suffix: string): void {
  withKey(asm, counts).call(BPF_FUNC_map_lookup_elem)
    .jump("jeq", "r0", 0, otherwise)
    .alu("mov", "r1", 1)
    .atomicAdd(64, "r0", 0, "r1")
    .goto(`leave${suffix}`);
}

/** Puts a stack's id, or `-errno`, into the key. */
function askForStack(
  asm: BpfAssembler,
  map: number | undefined,
  flags: number,
  field: number,
  lost: number,
  label: string,
): void {
  if (map === undefined) {
    asm.store(32, "r10", field, -ERRNO.EFAULT);
    return;
  }
  asm.alu("mov", "r1", "r6").loadMapFd("r2", map).alu("mov", "r3", flags)
    .call(BPF_FUNC_get_stackid)
    .store(32, "r10", field, "r0")
    .jump("jsge", "r0", 0, label)
    .jump("jeq", "r0", -ERRNO.EFAULT, label) // there was none
    .alu("mov", "r1", 1)
    .atomicAdd(64, "r7", lost, "r1")
    .jump("jne", "r0", -ERRNO.ENOMEM, label)
    .atomicAdd(64, "r7", COUNTER.full, "r1")
    .label(label);
}
