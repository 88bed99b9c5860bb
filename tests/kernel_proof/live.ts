// Owns running a case on the real kernel: what every call, command and dump answered, as data to be compared.
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import {
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_GET_FD_BY_ID,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
} from "../../src/uapi/bpf.ts";
import { encodeMapElemAttr } from "../../src/uapi/bpf_attr.ts";
import { encodeGetIdAttr } from "../../src/uapi/bpf_obj_attr.ts";
import { viewOf } from "../../src/base/bytes.ts";
import { BPF_F_STACK_BUILD_ID } from "../../mod.ts";
import {
  type CallOp,
  type FileUse,
  GADGETS,
  KERNEL_SITE,
  type MapOp,
  type ProofCase,
  type Round,
  USER_SITE,
} from "./case.ts";
import { residency, writeFile } from "./live_files.ts";
import { Probe } from "./probe.ts";
import {
  type Batch,
  END_OF_CHAIN,
  MAP_ANONYMOUS,
  MAP_PRIVATE_FIXED,
  MAP_SHARED_FIXED,
  NR,
  O_RDWR,
  PAGE,
  type Target,
} from "./target.ts";
import { ENTRY_SIZE, SHARED_BASE } from "./target_elf.ts";

/** An operation as it was carried out. */
export type LiveOp =
  | { kind: "call"; op: CallOp; record: Uint8Array; index: number; firstIp: bigint; interrupt?: Interrupt }
  | { kind: MapOp["kind"]; map: number; id: number | undefined; result: number; value: Uint8Array | undefined }
  | { kind: "cpu"; cpu: number; result: number };

/** What is known of an interrupt besides its call. */
export interface Interrupt {
  /** Register r12, which the program keeps in the record. */
  r12: bigint;
  /** Whether the irq_work was busy at a site, as the model goes; filled in by the comparison. */
  busy: boolean[];
}

/** All stacks of a map, in the order of BPF_MAP_GET_NEXT_KEY. */
export interface LiveDump {
  ids: number[];
  values: Uint8Array[];
}

/** A round as it was carried out. */
export interface LiveRound {
  /** Text of /proc/PID/maps. */
  maps: string;
  /** Pages of each file that were in the page cache. */
  resident: Set<number>[];
  /** Whether that was still so afterwards. */
  stable: boolean;
  ops: LiveOp[];
  dumps: LiveDump[];
}

/** A case as it was carried out. */
export interface LiveCase {
  /** Return address of each site's helper call: the innermost frame of a kernel stack. */
  siteIps: bigint[];
  rounds: LiveRound[];
  /** Where the files were: names in `maps` begin with it. */
  directory: string;
  /** The target's own file there. */
  program: Uint8Array;
}

const MAP_POPULATE = 0x8000;
const POSIX_FADV_DONTNEED = 4;
const SYNC_AND_WAIT = 7;
const LAST_FD = 0x7fff_ffff;

/** A round before the first: for what finds addresses out. */
const NOTHING: LiveRound = { maps: "", resident: [], stable: true, ops: [], dumps: [] };
/** Offset of the second instruction of the target's loop. */
const SPIN_JUMP = 3;
/** How often a call goes round: about as long as the time between two interrupts. */
const SPINS = 300_000;

/** A case on its way. */
class Run {
  readonly target: Target;
  readonly proofCase: ProofCase;
  readonly probe: Probe;
  readonly result: LiveCase;
  readonly #clock: boolean;
  // The target's descriptors.
  readonly #mapFds: number[] = [];
  readonly #files: number[] = [];
  readonly #paths: string[] = [];
  #present: number[][];

  constructor(target: Target, proofCase: ProofCase, clock: boolean) {
    this.target = target;
    this.#clock = clock;
    this.proofCase = proofCase;
    const calls = Math.max(
      1,
      ...proofCase.rounds.map((round) => round.ops.filter((op) => op.kind === "call").length),
    );
    const trigger = clock ? { ips: [target.spin, target.spin + SPIN_JUMP] } : "call";
    this.probe = new Probe(target.pid, proofCase.maps, proofCase.sites, calls, trigger);
    this.result = { siteIps: [], rounds: [], directory: target.directory, program: target.program };
    this.#present = proofCase.maps.map(() => []);
  }

  async run(): Promise<void> {
    try {
      const batch = this.target.batch();
      for (const id of this.probe.mapIds) {
        const attr = encodeGetIdAttr({ start_id: id });
        batch.add(NR.bpf, [BPF_MAP_GET_FD_BY_ID, batch.put(attr), attr.length]);
      }
      this.#setCpu(batch, 0);
      const fds = (await this.target.run(batch)).subarray(0, this.probe.maps.length);
      if (fds.some((fd) => fd < 0n)) throw new Error(`the target can't open the maps: ${fds}`);
      for (const fd of fds) this.#mapFds.push(Number(fd));
      if (this.#clock) this.result.rounds.push(NOTHING);
      else await this.#calibrate();
      for (const round of this.proofCase.rounds) this.result.rounds.push(await this.#round(round));
    } finally {
      await this.#cleanUp();
    }
  }

  // Finds each site's return address: from what a kernel stack's call leaves, after which it is taken out again.
  async #calibrate(): Promise<void> {
    const { sites } = this.proofCase;
    const ops: LiveOp[] = [];
    for (let site = 0; site < sites.length; site++) {
      const { kind } = sites[site];
      const flags = sites.map((_, i) => i === site || i === KERNEL_SITE ? 0n : undefined);
      const sizes = sites.map((other) => other.kind === "stack" ? other.room & ~7 : 0);
      const op: CallOp = { kind: "call", gadget: 0, chain: new BigUint64Array(0), flags, sizes };
      const [call] = await this.#perform([op]);
      if (call.kind !== "call") throw new Error("not a call");
      ops.push(call);
      const each = sites[site];
      if (kind === "stack") {
        this.result.siteIps.push(viewOf(call.record).getBigUint64(this.probe.layout.buffers[site], true));
      } else if (each.kind === "stackid") {
        const id = Number(viewOf(call.record).getBigInt64(this.probe.layout.result(site), true));
        const value = this.probe.maps[each.map].lookup(id);
        if (value === undefined) throw new Error(`calibration of site ${site}: bpf_get_stackid answered ${id}`);
        const buildId = (this.proofCase.maps[each.map].mapFlags & BPF_F_STACK_BUILD_ID) !== 0;
        this.result.siteIps.push(viewOf(value).getBigUint64(buildId ? 24 : 0, true));
        ops.push(...await this.#perform([{ kind: "delete", map: each.map, id }]));
      }
    }
    this.result.rounds.push({ ...NOTHING, ops });
  }

  async #round(round: Round): Promise<LiveRound> {
    const { target, proofCase } = this;
    await this.#setUp(round);
    const files = proofCase.files.slice(0, round.files);
    const resident = await residency(target, files, this.#files);
    const maps = target.maps();
    const ops = await (this.#clock ? this.#interrupt(round.ops) : this.#perform(round.ops));
    const after = await residency(target, files, this.#files);
    const stable = resident.every((pages, i) =>
      pages.size === after[i].size && [...pages].every((p) => after[i].has(p))
    );
    const dumps = this.probe.maps.map((_, map) => this.#dump(map));
    this.#present = dumps.map((dump) => dump.ids);
    return { maps, resident, stable, ops, dumps };
  }

  async #setUp(round: Round): Promise<void> {
    const { target, proofCase } = this;
    const fresh: [number, FileUse][] = [];
    const opening = target.batch();
    for (let i = this.#paths.length; i < round.files; i++) {
      const path = join(target.directory, `f${i}`);
      writeFile(path, proofCase.files[i].file);
      this.#paths.push(path);
      fresh.push([i, proofCase.files[i]]);
      opening.add(NR.open, [opening.text(path), O_RDWR]);
    }
    for (const fd of await target.run(opening)) this.#files.push(Number(fd));
    const batch = target.batch();
    const evict = (file: number, first: number, pages: number) => {
      batch.add(NR.sync_file_range, [this.#files[file], 0, 0, SYNC_AND_WAIT]);
      batch.add(NR.fadvise64, [
        this.#files[file],
        first * PAGE,
        Math.min(pages * PAGE, 2 ** 50),
        POSIX_FADV_DONTNEED,
      ]);
    };
    for (const [i, { drop }] of fresh) for (const [first, pages] of drop) evict(i, first, pages);
    for (const { address, pages } of round.unmappings) batch.add(NR.munmap, [address, pages * PAGE]);
    for (const { file, first, pages } of round.evictions) {
      if (file < round.files) evict(file, first, pages);
    }
    for (const { address, pages, file, pgoff, prot, shared, populate } of round.mappings) {
      if (file !== undefined && file >= round.files) continue;
      const flags = (shared ? MAP_SHARED_FIXED : MAP_PRIVATE_FIXED) | (populate ? MAP_POPULATE : 0);
      const fd = file === undefined ? -1 : this.#files[file];
      const kind = file === undefined ? flags | MAP_ANONYMOUS : flags;
      batch.add(NR.mmap, [address, pages * PAGE, prot, kind, fd, pgoff * 4096n]);
    }
    await target.run(batch);
  }

  // Makes the target do all operations in one go.
  async #perform(ops: Round["ops"]): Promise<LiveOp[]> {
    const { target, probe } = this;
    const batch = target.batch();
    const live: LiveOp[] = [];
    const entries: number[] = [];
    const values: number[] = [];
    let calls = 0;
    for (const op of ops) {
      values.push(0);
      if (op.kind === "cpu") {
        entries.push(this.#setCpu(batch, op.cpu));
        live.push({ kind: "cpu", cpu: op.cpu, result: 0 });
      } else if (op.kind === "call") {
        probe.configure(calls, op.flags, op.sizes);
        const gadget = GADGETS[op.gadget] || BigInt(target.gadget);
        entries.push(batch.add(NR.getppid, [calls], { rbp: putChain(batch, op.chain), gadget }));
        live.push({ kind: "call", op, record: new Uint8Array(0), index: calls++, firstIp: gadget + 2n });
      } else {
        const id = typeof op.id === "object" ? this.#presentId(op.map, op.id.present) : op.id;
        const [entry, value] = this.#mapCommand(batch, op.kind, op.map, id);
        entries.push(entry);
        values[values.length - 1] = value;
        live.push({ kind: op.kind, map: op.map, id, result: 0, value: undefined });
      }
    }
    const results = await target.run(batch);
    live.forEach((op, i) => {
      if (op.kind === "call") {
        op.record = probe.record(op.index);
        return;
      }
      op.result = Number(results[entries[i]]);
      if (op.kind === "cpu" || op.result !== 0) return;
      if (op.kind === "next-key") op.value = target.read(values[i], 4);
      else if (op.kind !== "delete") op.value = target.read(values[i], this.proofCase.maps[op.map].valueSize);
    });
    return live;
  }

  // Lets the clock interrupt the target while it goes round with one stack after another. Which stack an interrupt
  // met is known from r12; what it does, from its number.
  async #interrupt(ops: Round["ops"]): Promise<LiveOp[]> {
    const { target, probe } = this;
    const calls = ops.filter((op) => op.kind === "call");
    const batch = target.batch();
    calls.forEach(({ flags, sizes, chain }, i) => {
      probe.configure(i, flags, sizes);
      batch.add(0, [SPINS], { rbp: putChain(batch, chain), gadget: BigInt(target.spin) });
    });
    probe.tick(true);
    await target.run(batch);
    probe.tick(false);
    return Array.from({ length: Math.min(calls.length, probe.interrupts) }, (_, index) => {
      const record = probe.record(index);
      const r12 = viewOf(record).getBigUint64(8, true);
      const firstIp = viewOf(record).getBigUint64(probe.layout.buffers[USER_SITE], true);
      const { chain } = calls[(Number(r12) - SHARED_BASE) / ENTRY_SIZE];
      return { kind: "call", op: { ...calls[index], chain }, record, index, firstIp, interrupt: { r12, busy: [] } };
    });
  }

  #presentId(map: number, choice: number): number {
    const ids = this.#present[map];
    return ids.length === 0 ? choice : ids[choice % ids.length];
  }

  #mapCommand(batch: Batch, kind: MapOp["kind"], map: number, id: number | undefined): [number, number] {
    const value = kind === "delete" ? 0 : batch.take(kind === "next-key" ? 4 : this.proofCase.maps[map].valueSize);
    const key = id === undefined ? 0 : batch.put(new Uint8Array(Uint32Array.of(id).buffer));
    const attr = encodeMapElemAttr({ map_fd: this.#mapFds[map], key: BigInt(key), value: BigInt(value) });
    return [batch.add(NR.bpf, [COMMANDS[kind], batch.put(attr), attr.length]), value];
  }

  #setCpu(batch: Batch, cpu: number): number {
    const mask = new Uint8Array(128);
    mask[cpu >> 3] = 1 << (cpu & 7);
    return batch.add(NR.sched_setaffinity, [0, mask.length, batch.put(mask)]);
  }

  #dump(map: number): LiveDump {
    const live = this.probe.maps[map];
    const dump: LiveDump = { ids: [], values: [] };
    const next = new Uint8Array(4);
    let id: number | undefined;
    while (live.nextKeyErrno(id, next) === 0) {
      id = viewOf(next).getUint32(0, true);
      dump.ids.push(id);
      dump.values.push(live.lookup(id) ?? new Uint8Array(0));
      if (dump.ids.length > 4096) throw new Error("BPF_MAP_GET_NEXT_KEY does not end");
    }
    return dump;
  }

  async #cleanUp(): Promise<void> {
    this.probe[Symbol.dispose]();
    for (const path of this.#paths) unlinkSync(path);
    const batch = this.target.batch();
    for (const { mappings } of this.proofCase.rounds) {
      for (const { address, pages } of mappings) batch.add(NR.munmap, [address, pages * PAGE]);
    }
    const fds = [...this.#files, ...this.#mapFds].filter((fd) => fd >= 0);
    if (fds.length > 0) batch.add(NR.close_range, [Math.min(...fds), LAST_FD, 0]);
    await this.target.run(batch);
  }
}

const COMMANDS: Readonly<Record<MapOp["kind"], number>> = {
  "delete": BPF_MAP_DELETE_ELEM,
  "lookup": BPF_MAP_LOOKUP_ELEM,
  "lookup-and-delete": BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  "next-key": BPF_MAP_GET_NEXT_KEY,
  "update": BPF_MAP_UPDATE_ELEM,
};

// Frame records {next, return address}, one after another; the address of the first. The walk ends at an address
// that no user space has.
function putChain(batch: Batch, chain: BigUint64Array): bigint {
  if (chain.length === 0) return END_OF_CHAIN;
  const words = new BigUint64Array(2 * chain.length);
  const address = batch.take(words.byteLength);
  for (let i = 0; i < chain.length; i++) {
    words[2 * i] = i + 1 < chain.length ? BigInt(address + 16 * (i + 1)) : END_OF_CHAIN;
    words[2 * i + 1] = chain[i];
  }
  batch.write(address, new Uint8Array(words.buffer));
  return BigInt(address);
}

/**
 * Carries a case out.
 *
 * @param clock Whether a clock's interrupts call the helpers, and not the target's calls. Then only calls are made,
 * each with the stack that the interrupt met; the kernel's stack is empty there.
 */
export async function runLive(target: Target, proofCase: ProofCase, clock: boolean = false): Promise<LiveCase> {
  const run = new Run(target, proofCase, clock);
  await run.run();
  return run.result;
}
