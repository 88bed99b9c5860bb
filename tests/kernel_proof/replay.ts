// Owns the comparison: a case that the kernel carried out goes through the model, and everything must be equal.
import {
  AddressSpace,
  BPF_F_USER_BUILD_ID,
  BPF_F_USER_STACK,
  CallTrace,
  errnoName,
  explainBuildIdParse,
  getStack,
  kernelProfile,
  type KernelRelease,
  mappedFile,
  StackMap,
} from "../../mod.ts";
import { viewOf } from "../../src/base/bytes.ts";
import type { MappedFile } from "../../src/memory/mapped_file.ts";
import { KERNEL_SITE, type ProofCase } from "./case.ts";
import { Coverage } from "./coverage.ts";
import { flagsName, frameStatuses, reasonOf } from "./describe.ts";
import type { HostileFile } from "./hostile_file.ts";
import type { LiveCase, LiveOp, LiveRound } from "./live.ts";
import { RecordLayout } from "./probe.ts";
import { provenProfile } from "./running.ts";

/** Something that the kernel answered otherwise than the model. */
export interface Difference {
  round: number;
  /** Index into the round's operations; absent for a dump. */
  op?: number;
  /** Index into the case's sites, for a call. */
  site?: number;
  /** The map, where there is one. */
  map?: number;
  /** What differs. */
  what: string;
  kernel: string;
  model: string;
}

/** How a replay is done. */
export interface ReplayOptions {
  /** The profile; that of the running kernel by default. */
  kernel?: KernelRelease;
  nrCpus: number;
  coverage?: Coverage;
  /** Interrupts, by the number of their record, that began with the irq_work busy. */
  busyAtStart?: ReadonlySet<number>;
}

type LiveCall = Extract<LiveOp, { kind: "call" }>;
type LiveCommand = Exclude<LiveOp, { kind: "call" | "cpu" }>;

/** How many calls there are for each whose reasons are counted. */
const TRACE_EVERY = 20;

class Replay {
  readonly proofCase: ProofCase;
  readonly live: LiveCase;
  readonly differences: Difference[] = [];
  readonly #getStackKernel: KernelRelease;
  readonly #layout: RecordLayout;
  readonly #maps: StackMap[];
  readonly #coverage: Coverage;
  readonly #busyAtStart: ReadonlySet<number>;
  /** What each record must hold. */
  readonly #records: Uint8Array[] = [];
  #space: AddressSpace = new AddressSpace([]);
  #cpu = 0;
  #round = 0;
  #calls = 0;
  #irqWorkBusy = false;

  constructor(proofCase: ProofCase, live: LiveCase, options: ReplayOptions) {
    this.proofCase = proofCase;
    this.live = live;
    const kernel = options.kernel ?? provenProfile();
    this.#getStackKernel = kernelProfile(kernel).getStack ? kernel : provenProfile();
    this.#layout = new RecordLayout(proofCase.sites);
    this.#coverage = options.coverage ?? new Coverage();
    this.#busyAtStart = options.busyAtStart ?? new Set();
    const machine = { kernel, nrCpus: options.nrCpus, perfEventMaxStack: proofCase.maxStack };
    this.#maps = proofCase.maps.map((map) => new StackMap(map, machine));
  }

  run(): Difference[] {
    for (const [index, round] of this.live.rounds.entries()) {
      // What was evicted behind our back is nobody's mistake; the model can't follow from there.
      if (!round.stable) {
        this.#coverage.add("rounds: given up, the page cache changed meanwhile");
        break;
      }
      this.#coverage.add("rounds: compared");
      this.#round = index;
      this.#space = addressSpaceOf(this.proofCase, this.live, round);
      round.ops.forEach((op, i) => this.#op(op, i));
      round.dumps.forEach((_, map) => this.#dump(round, map));
      if (this.differences.length > 0) break;
    }
    return this.differences;
  }

  #differ(difference: Omit<Difference, "round">): void {
    this.differences.push({ round: this.#round, ...difference });
  }

  #op(op: LiveOp, index: number): void {
    if (op.kind === "cpu") {
      if (op.result === 0) this.#cpu = op.cpu;
      this.#coverage.add(`CPU: ${op.result === 0 ? op.cpu : "not there"}`);
    } else if (op.kind === "call") {
      this.#call(op, index);
    } else {
      this.#command(op, index);
    }
  }

  #call(call: LiveCall, index: number): void {
    const { op, record } = call;
    const view = viewOf(record);
    const expected = this.#records[call.index] ??= new Uint8Array(this.#layout.size);
    const expectedView = viewOf(expected);
    expectedView.setBigUint64(0, BigInt(this.#cpu), true);
    expectedView.setBigUint64(8, call.interrupt?.r12 ?? expectedView.getBigUint64(8, true) + 1n, true);
    this.#irqWorkBusy = this.#busyAtStart.has(call.index);
    const user = new BigUint64Array(op.chain.length + 1);
    user[0] = call.firstIp;
    user.set(op.chain, 1);
    const kernelBytes = Number(view.getBigInt64(this.#layout.result(KERNEL_SITE), true));
    const kernelAt = this.#layout.buffers[KERNEL_SITE];
    // User mode was interrupted: there is no kernel stack.
    const kernel = new BigUint64Array(call.interrupt ? 0 : Math.max(1, kernelBytes >> 3));
    new Uint8Array(kernel.buffer).set(record.subarray(kernelAt, kernelAt + kernel.byteLength));
    this.#coverage.add(`frames of the stack: ${depthName(user.length)}`);
    const traced = this.#calls++ % TRACE_EVERY === 0;
    op.flags.forEach((flags, site) => {
      if (flags === undefined || op.sizes[site] > roomOf(this.proofCase, site)) return;
      const isUser = (flags & BigInt(BPF_F_USER_STACK)) !== 0n;
      if (!isUser && kernel.length > 0) kernel[0] = this.live.siteIps[site] ?? kernel[0];
      const trace = traced || call.interrupt ? new CallTrace() : undefined;
      if (call.interrupt) call.interrupt.busy[site] = this.#irqWorkBusy;
      const result = this.#helper(site, isUser ? user : kernel, flags, op.sizes[site], expected, trace);
      expectedView.setBigInt64(this.#layout.result(site), BigInt(result), true);
      if (trace === undefined) return;
      // The first translation in an interrupt leaves the unlocking of the mmap lock to an irq_work.
      const empty = (flags & BigInt(BPF_F_USER_BUILD_ID)) !== 0n && result >= 0;
      if (call.interrupt && (empty || trace.steps.some((step) => step.frame !== undefined))) {
        this.#irqWorkBusy = true;
      }
      for (const step of trace.steps) this.#coverage.add(reasonOf(step));
    });
    if (same(record, expected)) return;
    this.#differInRecord(call, index, expected);
    expected.set(record); // so that later calls are judged by themselves
  }

  #helper(
    site: number,
    ips: BigUint64Array,
    flags: bigint,
    size: number,
    expected: Uint8Array,
    trace: CallTrace | undefined,
  ): number {
    const situation = { cpu: this.#cpu, addressSpace: this.#space, irqWorkBusy: this.#irqWorkBusy };
    const context = { ...situation, ...(trace === undefined ? {} : { trace }) };
    const where = this.proofCase.sites[site];
    if (where.kind === "stackid") {
      const result = this.#maps[where.map].getStackid(ips, Number(flags), context);
      this.#coverage.add(`bpf_get_stackid: ${result >= 0 ? "id" : `-${errnoName(result)}`}`);
      this.#coverage.add(`flags of bpf_get_stackid: ${flagsName(flags)}`);
      return result;
    }
    const at = this.#layout.buffers[site];
    const buffer = expected.subarray(at, at + size);
    const result = getStack(ips, buffer, Number(flags), context, {
      kernel: this.#getStackKernel,
      perfEventMaxStack: this.proofCase.maxStack,
    });
    this.#coverage.add(`bpf_get_stack: ${result >= 0 ? "bytes" : `-${errnoName(result)}`}`);
    this.#coverage.add(`flags of bpf_get_stack: ${flagsName(flags)}`);
    for (const [status, count] of frameStatuses(buffer, flags, result)) this.#coverage.add(status, count);
    return result;
  }

  #differInRecord(call: LiveCall, index: number, expected: Uint8Array): void {
    const view = viewOf(call.record);
    const expectedView = viewOf(expected);
    const differ = (site: number | undefined, what: string, kernel: string, model: string) => {
      const where = site === undefined ? undefined : this.proofCase.sites[site];
      const map = where?.kind === "stackid" ? { map: where.map } : {};
      this.#differ({ op: index, ...(site === undefined ? {} : { site }), ...map, what, kernel, model });
    };
    for (const [name, at] of [["the CPU", 0], ["how often the program ran", 8]] as const) {
      const [kernel, model] = [view, expectedView].map((each) => `${each.getBigUint64(at, true)}`);
      if (kernel !== model) differ(undefined, name, kernel, model);
    }
    this.proofCase.sites.forEach((site, i) => {
      const [kernel, model] = [view, expectedView].map((each) =>
        `${each.getBigInt64(this.#layout.result(i), true)}`
      );
      if (kernel !== model) differ(i, `the result of bpf_get_${site.kind}`, kernel, model);
      if (site.kind !== "stack") return;
      const at = this.#layout.buffers[i];
      for (let k = at; k < at + site.room; k++) {
        if (call.record[k] === expected[k]) continue;
        differ(i, `byte ${k - at} of the buffer of bpf_get_stack`, hex(call.record, k), hex(expected, k));
        break;
      }
    });
  }

  #command(live: LiveCommand, index: number): void {
    const map = this.#maps[live.map];
    const { kind, id = 0 } = live;
    const context = { cpu: this.#cpu };
    const value = new Uint8Array(kind === "next-key" ? 4 : map.valueSize);
    let result: number;
    if (kind === "delete") result = map.delete(id, context);
    else if (kind === "lookup") result = map.copy(id, value);
    else if (kind === "lookup-and-delete") result = map.lookupAndDelete(id, value, context);
    else if (kind === "update") result = map.update(id, value);
    else {
      const next = map.getNextKey(live.id);
      result = Math.min(0, next);
      viewOf(value).setUint32(0, Math.max(0, next), true);
    }
    const errno = result === 0 ? "0" : `-${errnoName(result)}`;
    this.#coverage.add(`map commands: ${kind} ${errno}`);
    const where = { op: index, map: live.map };
    if (result !== live.result) {
      const id = live.id === undefined ? "the first" : live.id;
      this.#differ({
        ...where,
        what: `the result of ${kind} of ${id}`,
        kernel: `${live.result}`,
        model: `${result}`,
      });
    } else if (live.value !== undefined && !same(value, live.value)) {
      const at = live.value.findIndex((byte, i) => byte !== value[i]);
      const [kernel, model] = [hex(live.value, at), hex(value, at)];
      this.#differ({ ...where, what: `byte ${at} of the value of ${kind} of ${live.id}`, kernel, model });
    }
  }

  // Every id in the order of BPF_MAP_GET_NEXT_KEY, and every value.
  #dump(round: LiveRound, index: number): void {
    const map = this.#maps[index];
    const { ids, values } = round.dumps[index];
    const modelled: number[] = [];
    for (let id = map.getNextKey(); id >= 0; id = map.getNextKey(id)) modelled.push(id);
    this.#coverage.add("dumps: maps");
    this.#coverage.add("dumps: stacks", ids.length);
    const where = { map: index };
    if (ids.join() !== modelled.join()) {
      this.#differ({ ...where, what: "the ids of the dump", kernel: ids.join(), model: modelled.join() });
      return;
    }
    const value = new Uint8Array(map.valueSize);
    for (const [i, id] of ids.entries()) {
      map.copy(id, value);
      if (same(value, values[i])) continue;
      const at = value.findIndex((byte, k) => byte !== values[i][k]);
      const [kernel, model] = [hex(values[i], at), hex(value, at)];
      this.#differ({ ...where, what: `byte ${at} of the dumped value of ${id}`, kernel, model });
      return;
    }
  }
}

function roomOf(proofCase: ProofCase, site: number): number {
  const where = proofCase.sites[site];
  return where.kind === "stack" ? where.room : 0;
}

function depthName(frames: number): string {
  for (const limit of [1, 10, 50, 126, 127]) if (frames <= limit) return `up to ${limit}`;
  return "more than 127";
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  const words = a.length >>> 2;
  if ((a.byteOffset | b.byteOffset) & 3) return a.every((byte, i) => byte === b[i]);
  const [x, y] = [a, b].map((bytes) => new Uint32Array(bytes.buffer, bytes.byteOffset, words));
  for (let i = 0; i < words; i++) if (x[i] !== y[i]) return false;
  for (let i = 4 * words; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function hex(bytes: Uint8Array, at: number): string {
  return [...bytes.subarray(at & ~31, (at & ~31) + 32)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A file of the case as the model sees it in a round. */
export function modelFile(file: HostileFile, resident: Set<number>): MappedFile {
  const cached = file.withResident(resident);
  // Files that can't change take another way through the model.
  return cached.whole ? mappedFile(cached.bytesOf(0, cached.pages.size)) : cached;
}

/** The address space of a round. What is neither a file of the case nor the target's has no build ID. */
export function addressSpaceOf(proofCase: ProofCase, live: LiveCase, round: LiveRound): AddressSpace {
  return AddressSpace.fromProcMaps(round.maps, (path) => {
    if (path === `${live.directory}/target`) return mappedFile(live.program);
    const match = /^\/f(\d+)$/.exec(path.slice(live.directory.length));
    if (match === null) return undefined;
    const file = Number(match[1]);
    return modelFile(proofCase.files[file].file, round.resident[file]);
  });
}

/** Compares; empty if everything is equal. Stops behind the first round with a difference. */
export function replayCase(proofCase: ProofCase, live: LiveCase, options: ReplayOptions): Difference[] {
  return new Replay(proofCase, live, options).run();
}

/** Counts what the kernel's search for a build ID comes to in each file of a round. */
export function countOutcomes(proofCase: ProofCase, live: LiveCase, coverage: Coverage): void {
  const last = live.rounds[live.rounds.length - 1];
  last.resident.forEach((resident, i) => {
    const { file } = proofCase.files[i];
    coverage.add(`hostile files: ${file.kind}`);
    coverage.add(
      `search for a build ID: ${explainBuildIdParse(modelFile(file, resident), provenProfile()).outcome}`,
    );
    const evicted = file.pages.size > 0 && [...file.pages.keys()].filter((page) => !resident.has(page)).length;
    if (evicted) coverage.add(`evicted files: ${evicted === file.pages.size ? "wholly" : "in part"}`);
  });
}
