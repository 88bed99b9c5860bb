// Owns the BPF side of a recording: two stack maps, and a program on sys_enter that keeps what helpers answered.
import { BPF_F_STACK_BUILD_ID, BPF_F_USER_STACK, BPF_MAP_TYPE_STACK_TRACE } from "../../mod.ts";
import { viewOf } from "../../src/base/bytes.ts";
import {
  BPF_FUNC_get_current_pid_tgid,
  BPF_FUNC_get_smp_processor_id,
  BPF_FUNC_get_stack,
  BPF_FUNC_get_stackid,
  BPF_FUNC_map_lookup_elem,
  BPF_MAP_TYPE_ARRAY,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BpfAssembler,
  BpfMap,
  BpfProgram,
  dumpStackMap,
  openRawTracepoint,
} from "../../src/linux/linux.ts";

/** What the helpers are called with, and the maps they are called on. */
export interface HelperParameters {
  /** Flags of every `bpf_get_stackid` call. */
  helperFlags: number;
  /** Entries of both maps. */
  maxEntries: number;
  /** Depth of the map of addresses, in frames. */
  depthIp: number;
  /** Depth of the map of build IDs, in frames. */
  depthBuildId: number;
}

/** What the kernel answered: the files of a recording that come from it. */
export interface HelperAnswers {
  /** events.bin. */
  events: Uint8Array;
  /** ip.bin. */
  ip: Uint8Array;
  /** bid.bin. */
  bid: Uint8Array;
}

/** Bytes of a call in events.bin: u64 pid_tgid, s64 id_ip, id_bid, stack_bytes, u64 cpu, u64 ips[127]. */
export const EVENT_BYTES = 1056;
/** Offset of what `bpf_get_stack` returned. */
export const STACK_BYTES = 24;
/** Offset of its addresses; those behind the stack's end are 0. */
export const IPS = 40;
const ID_IP = 8;
const ID_BUILD_ID = 16;
const CPU = 32;
/** Most calls that a recording takes; one with more is refused. */
const MOST_CALLS = 4096;

/**
 * Records every system call of a process's first thread from `start()` to `stop()`. Close it.
 *
 * The calls are kept in an array map, numbered by a counter that also counts those that found no room.
 */
export class HelperRecorder implements Disposable {
  readonly #ip: BpfMap;
  readonly #buildId: BpfMap;
  readonly #calls: BpfMap;
  readonly #counter: BpfMap;
  readonly #program: BpfProgram;
  readonly #opened: Disposable[] = [];
  #link: Disposable | undefined;

  /** Creates the maps and loads the program. */
  constructor(pid: number, parameters: HelperParameters) {
    const { helperFlags, maxEntries, depthIp, depthBuildId } = parameters;
    const stacks = { type: BPF_MAP_TYPE_STACK_TRACE, maxEntries };
    const array = { type: BPF_MAP_TYPE_ARRAY };
    try {
      this.#ip = this.#keep(BpfMap.create({ ...stacks, valueSize: 8 * depthIp }));
      this.#buildId = this.#keep(
        BpfMap.create({ ...stacks, valueSize: 32 * depthBuildId, mapFlags: BPF_F_STACK_BUILD_ID }),
      );
      this.#calls = this.#keep(BpfMap.create({ ...array, valueSize: EVENT_BYTES, maxEntries: MOST_CALLS }));
      this.#counter = this.#keep(BpfMap.create({ ...array, valueSize: 8, maxEntries: 1 }));
      const insns = this.#code(pid, helperFlags);
      const type = BPF_PROG_TYPE_RAW_TRACEPOINT;
      this.#program = this.#keep(BpfProgram.load({ type, insns, name: "testdata" }));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #keep<T extends Disposable>(opened: T): T {
    this.#opened.push(opened);
    return opened;
  }

  // r6: the context; r7: pid_tgid; r8: the call's record.
  #code(pid: number, helperFlags: number): Uint8Array {
    const code = new BpfAssembler()
      .alu("mov", "r6", "r1")
      .call(BPF_FUNC_get_current_pid_tgid)
      .alu("mov", "r7", "r0")
      .alu("rsh", "r0", 32)
      .jump("jne", "r0", pid, "done")
      .alu("mov", "r0", "r7")
      .alu("lsh", "r0", 32)
      .alu("rsh", "r0", 32)
      .jump("jne", "r0", pid, "done")
      .store(32, "r10", -4, 0);
    lookUp(code, this.#counter)
      .alu("mov", "r1", 1)
      .atomicFetchAdd(64, "r0", 0, "r1")
      .store(32, "r10", -4, "r1");
    lookUp(code, this.#calls)
      .alu("mov", "r8", "r0")
      .store(64, "r8", 0, "r7")
      .call(BPF_FUNC_get_smp_processor_id)
      .store(64, "r8", CPU, "r0")
      .alu("mov", "r1", "r6")
      .alu("mov", "r2", "r8")
      .alu("add", "r2", IPS)
      .alu("mov", "r3", EVENT_BYTES - IPS)
      .alu("mov", "r4", BPF_F_USER_STACK)
      .call(BPF_FUNC_get_stack)
      .store(64, "r8", STACK_BYTES, "r0");
    for (const [map, at] of [[this.#ip, ID_IP], [this.#buildId, ID_BUILD_ID]] as const) {
      code
        .alu("mov", "r1", "r6")
        .loadMapFd("r2", map.fd)
        .alu("mov", "r3", helperFlags)
        .call(BPF_FUNC_get_stackid)
        .store(64, "r8", at, "r0");
    }
    return code.label("done").alu("mov", "r0", 0).exit().bytes();
  }

  /** Begins to record. The thread must be waiting in a system call. */
  start(): void {
    this.#link = openRawTracepoint("sys_enter", this.#program);
  }

  /** Ends it. The thread must be waiting in a system call again, so that no call is on its way. */
  stop(): void {
    this.#link?.[Symbol.dispose]();
    this.#link = undefined;
  }

  /**
   * What was recorded; after `stop()`.
   *
   * @throws {Error} If calls were lost because there are too many.
   */
  answers(): HelperAnswers {
    const calls = Number(viewOf(this.#counter.lookup(0)!).getBigUint64(0, true));
    if (calls > MOST_CALLS) throw new Error(`${calls} system calls, over ${MOST_CALLS}: make the program do less`);
    const events = new Uint8Array(calls * EVENT_BYTES);
    for (let i = 0; i < calls; i++) events.set(this.#calls.lookup(i)!, i * EVENT_BYTES);
    return { events, ip: dumpStackMap(this.#ip), bid: dumpStackMap(this.#buildId) };
  }

  [Symbol.dispose](): void {
    this.stop();
    while (this.#opened.length > 0) this.#opened.pop()![Symbol.dispose]();
  }
}

/** Looks up the element whose number is on the program's stack; r0 is the address of its value. */
function lookUp(code: BpfAssembler, map: BpfMap): BpfAssembler {
  return code
    .loadMapFd("r1", map.fd)
    .alu("mov", "r2", "r10")
    .alu("add", "r2", -4)
    .call(BPF_FUNC_map_lookup_elem)
    .jump("jeq", "r0", 0, "done");
}
