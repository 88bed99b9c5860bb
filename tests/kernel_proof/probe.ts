// Owns the BPF side of a case in the running kernel: its stack maps, and the program that calls the helpers at each
// of the target's calls and keeps what they answered.
import { viewOf } from "../../src/base/bytes.ts";
import {
  BPF_FUNC_get_current_pid_tgid,
  BPF_FUNC_get_smp_processor_id,
  BPF_FUNC_get_stack,
  BPF_FUNC_get_stackid,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_probe_read_kernel,
  BPF_MAP_TYPE_ARRAY,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BpfAssembler,
  BpfMap,
  BpfProgram,
  openRawTracepoint,
  PERF_COUNT_SW_CPU_CLOCK,
  PERF_TYPE_SOFTWARE,
  PerfEvent,
} from "../../src/linux/linux.ts";
import { BPF_MAP_TYPE_STACK_TRACE } from "../../mod.ts";
import type { MapSpec, Site } from "./case.ts";
import { NR } from "./target.ts";

/** Offset of rdi, the call's number or the loop's counter, in `struct pt_regs` of x86-64. */
const PT_REGS_DI = 112;
/** Offset of r12, where the target keeps the address of the entry at work. */
const PT_REGS_R12 = 24;
/** Offset of the instruction pointer. */
const PT_REGS_IP = 128;
/** Nanoseconds between two interrupts. */
const CLOCK_PERIOD = 250_000;
/** Size of a site that is left out. */
const LEFT_OUT = 0xffff_ffff;

/**
 * What runs the program: the target's calls, whose first argument is the record's number; or a clock's interrupts
 * while the target is at one of these addresses, which are numbered as they come.
 */
export type Trigger = "call" | { ips: readonly number[] };

/**
 * A record of one run of the program, in its array map: `u64 cpu`, a `u64`, a `s64` result for each site, then the
 * buffers of the sites of `bpf_get_stack`. The `u64` counts the runs that had this record; at interrupts it is r12.
 */
export class RecordLayout {
  readonly size: number;
  /** Offset of each site's buffer; −1 for `bpf_get_stackid`. */
  readonly buffers: readonly number[];

  constructor(sites: readonly Site[]) {
    let at = 16 + 8 * sites.length;
    this.buffers = sites.map((site) => {
      if (site.kind === "stackid") return -1;
      at += site.room;
      return at - site.room;
    });
    this.size = at;
  }

  /** Offset of a site's result. */
  result(site: number): number {
    return 16 + 8 * site;
  }
}

/** Maps and program of a case; close it. */
export class Probe implements Disposable {
  readonly maps: BpfMap[] = [];
  /** The kernel's ids of the maps, by which the target opens them. */
  readonly mapIds: number[];
  readonly layout: RecordLayout;
  readonly #sites: readonly Site[];
  readonly #config: BpfMap;
  readonly #records: BpfMap;
  readonly #clock: PerfEvent | undefined;
  readonly #counter: BpfMap;
  readonly #opened: Disposable[] = [];

  /** Creates and attaches; calls of process `pid` numbered from 0 to `calls - 1` are recorded. */
  constructor(
    pid: number,
    maps: readonly MapSpec[],
    sites: readonly Site[],
    calls: number,
    trigger: Trigger = "call",
  ) {
    this.#sites = sites;
    this.layout = new RecordLayout(sites);
    try {
      for (const map of maps) this.maps.push(this.#keep(BpfMap.create({ type: BPF_MAP_TYPE_STACK_TRACE, ...map })));
      const type = BPF_MAP_TYPE_ARRAY;
      this.#config = this.#keep(BpfMap.create({ type, valueSize: 16 * sites.length, maxEntries: calls }));
      this.#records = this.#keep(BpfMap.create({ type, valueSize: this.layout.size, maxEntries: calls }));
      this.#counter = this.#keep(BpfMap.create({ type, valueSize: 16, maxEntries: 1 }));
      const code = trigger === "call" ? this.#atCalls(pid) : this.#atInterrupts(trigger.ips);
      const insns = this.#callHelpers(code);
      const progType = trigger === "call" ? BPF_PROG_TYPE_RAW_TRACEPOINT : BPF_PROG_TYPE_PERF_EVENT;
      const program = this.#keep(BpfProgram.load({ type: progType, insns, name: "proof" }));
      if (trigger === "call") {
        this.#keep(openRawTracepoint("sys_enter", program));
      } else {
        const attr = { type: PERF_TYPE_SOFTWARE, config: PERF_COUNT_SW_CPU_CLOCK, sample_period: CLOCK_PERIOD };
        this.#clock = this.#keep(PerfEvent.open({ ...attr, exclude_kernel: true, disabled: true }, { pid }));
        this.#clock.setBpf(program);
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    this.mapIds = this.maps.map((map) => map.info().id);
  }

  #keep<T extends Disposable>(opened: T): T {
    this.#opened.push(opened);
    return opened;
  }

  // r6: context; r7: the run's record; r8: what it is to do.
  #atCalls(pid: number): BpfAssembler {
    const code = new BpfAssembler()
      .alu("mov", "r6", "r1")
      .call(BPF_FUNC_get_current_pid_tgid)
      .alu("rsh", "r0", 32)
      .jump("jne", "r0", pid, "done")
      .load(64, "r2", "r6", 8)
      .jump("jne", "r2", NR.getppid, "done")
      .load(64, "r3", "r6", 0)
      .alu("add", "r3", PT_REGS_DI)
      .alu("mov", "r1", "r10")
      .alu("add", "r1", -8)
      .alu("mov", "r2", 8)
      .call(BPF_FUNC_probe_read_kernel);
    lookUp(code, this.#config).alu("mov", "r8", "r0");
    lookUp(code, this.#records).alu("mov", "r7", "r0");
    return code.load(64, "r1", "r7", 8).alu("add", "r1", 1).store(64, "r7", 8, "r1");
  }

  // A clock that is late ticks more than once in one interrupt, and then the mmap lock still waits to be unlocked
  // from before: only the first counts, told by the loop's counter.
  #atInterrupts(ips: readonly number[]): BpfAssembler {
    const code = new BpfAssembler().alu("mov", "r6", "r1").load(64, "r2", "r6", PT_REGS_IP);
    for (const ip of ips) code.jump("jeq", "r2", ip, "there");
    code.goto("done").label("there").store(64, "r10", -8, 0);
    lookUp(code, this.#counter)
      .load(64, "r1", "r6", PT_REGS_DI)
      .load(64, "r2", "r0", 8)
      .jump("jeq", "r1", "r2", "done")
      .store(64, "r0", 8, "r1")
      .alu("mov", "r1", 1)
      .atomicFetchAdd(64, "r0", 0, "r1")
      .store(64, "r10", -8, "r1");
    lookUp(code, this.#config).alu("mov", "r8", "r0");
    lookUp(code, this.#records).alu("mov", "r7", "r0");
    return code.load(64, "r1", "r6", PT_REGS_R12).store(64, "r7", 8, "r1");
  }

  #callHelpers(code: BpfAssembler): Uint8Array {
    code.call(BPF_FUNC_get_smp_processor_id).store(64, "r7", 0, "r0");
    this.#sites.forEach((site, i) => {
      const next = `after ${i}`;
      code.load(64, "r4", "r8", 16 * i).load(32, "r3", "r8", 16 * i + 8);
      if (site.kind === "stackid") {
        code.jump("jne", "r3", 0, next)
          .alu("mov", "r1", "r6")
          .loadMapFd("r2", this.maps[site.map].fd)
          .alu("mov", "r3", "r4")
          .call(BPF_FUNC_get_stackid);
      } else {
        code.jump("jgt", "r3", site.room, next)
          .alu("mov", "r1", "r6")
          .alu("mov", "r2", "r7")
          .alu("add", "r2", this.layout.buffers[i])
          .call(BPF_FUNC_get_stack);
      }
      code.store(64, "r7", this.layout.result(i), "r0").label(next);
    });
    return code.label("done").alu("mov", "r0", 0).exit().bytes();
  }

  /** Says what call `index` does at each site. */
  configure(index: number, flags: readonly (bigint | undefined)[], sizes: readonly number[]): void {
    const config = new Uint8Array(16 * this.#sites.length);
    const view = viewOf(config);
    flags.forEach((each, i) => {
      if (each !== undefined) view.setBigUint64(16 * i, each, true);
      view.setUint32(16 * i + 8, each === undefined ? LEFT_OUT : sizes[i], true);
    });
    this.#config.update(index, config);
  }

  /** The record of call `index`; new memory. */
  record(index: number): Uint8Array {
    return this.#records.lookup(index)!;
  }

  /** Lets the clock tick, or stops it. */
  tick(on: boolean): void {
    if (on) this.#clock?.enable();
    else this.#clock?.disable();
  }

  /** How many interrupts there were. */
  get interrupts(): number {
    return Number(viewOf(this.#counter.lookup(0)!).getBigUint64(0, true));
  }

  [Symbol.dispose](): void {
    while (this.#opened.length > 0) this.#opened.pop()![Symbol.dispose]();
  }
}

/** Looks up the element whose number is on the program's stack; r0 is its value. */
function lookUp(code: BpfAssembler, map: BpfMap): BpfAssembler {
  return code
    .loadMapFd("r1", map.fd)
    .alu("mov", "r2", "r10")
    .alu("add", "r2", -8)
    .call(BPF_FUNC_map_lookup_elem)
    .jump("jeq", "r0", 0, "done");
}
