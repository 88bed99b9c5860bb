// Owns stack_map_get_build_id_offset(): addresses to struct bpf_stack_build_id.
import { BPF_STACK_BUILD_ID_IP, BPF_STACK_BUILD_ID_VALID } from "../uapi/bpf.ts";
import { errnoName } from "../uapi/errno.ts";
import type { AddressSpace } from "../memory/address_space.ts";
import { BuildIdParser } from "./build_id_parse.ts";
import type { CallTrace } from "./call_trace.ts";
import type { KernelProfile } from "./profile.ts";

/** 32-bit words of a `struct bpf_stack_build_id`. */
export const BUILD_ID_WORDS = 8;

/** Why a whole stack is kept as addresses; `undefined` if it is not. */
export type WholeFallback = "kernel stack" | "no mm" | "in NMI" | "irq_work busy" | "mmap lock contended";

// What is known of each mapping's file. Remembered for files that can't change, so that a call costs a copy where the
// kernel parses again: the answer would be the same.
interface Known {
  // 0: not parsed yet; 1: has a build ID; 2: has none; 3: must be parsed at each call.
  readonly state: Uint8Array;
  // Five words a mapping.
  readonly ids: Uint32Array;
}

const UNPARSED = 0;
const HAS_ID = 1;
const NO_ID = 2;
const ALWAYS_PARSE = 3;

/** Translates for one kernel release; keeps what it learned of immutable files, per address space. */
export class BuildIdTranslator {
  readonly #profile: KernelProfile;
  readonly #parser: BuildIdParser;
  readonly #parsed: Uint32Array;
  readonly #known: WeakMap<AddressSpace, Known> = new WeakMap();
  #lastSpace: AddressSpace | undefined;
  #lastKnown: Known | undefined;

  constructor(profile: KernelProfile) {
    this.#profile = profile;
    this.#parser = new BuildIdParser(profile);
    this.#parsed = new Uint32Array(this.#parser.id.buffer);
  }

  /** Whether, and why, this release keeps a whole stack as addresses in this situation. */
  wholeFallback(
    user: boolean,
    space: AddressSpace | undefined,
    nmi: boolean,
    irqWorkBusy: boolean,
    mmapLocked: boolean,
  ): WholeFallback | undefined {
    if (!user) return "kernel stack";
    if (space === undefined) return "no mm";
    if (this.#profile.translateInNmi === "never") {
      if (nmi) return "in NMI";
    } else if (irqWorkBusy) {
      return "irq_work busy";
    }
    return mmapLocked ? "mmap lock contended" : undefined;
  }

  /** Writes `nr` records at word `to`: all addresses if there is a whole fallback, else each translated. */
  fill(
    fallback: WholeFallback | undefined,
    records: Uint32Array,
    to: number,
    ips: Uint32Array,
    from: number,
    nr: number,
    space: AddressSpace | undefined,
    trace: CallTrace | undefined,
  ): void {
    if (fallback === undefined) return this.#translate(records, to, ips, from, nr, space!, trace);
    trace?.add("stack_map_get_build_id_offset", `${fallback}: every frame is kept as IP`);
    this.#keepIps(records, to, ips, from, nr);
  }

  // Writes `nr` records of status IP at word `to` from addresses at word `from`.
  #keepIps(records: Uint32Array, to: number, ips: Uint32Array, from: number, nr: number): void {
    const zero = this.#profile.fallbackBuildId === "zero";
    for (let i = 0; i < nr; i++, to += BUILD_ID_WORDS, from += 2) {
      keepIp(records, to, ips[from], ips[from + 1], zero);
    }
  }

  // Writes `nr` records at word `to` from addresses at word `from`, each translated where that can be done.
  #translate(
    records: Uint32Array,
    to: number,
    ips: Uint32Array,
    from: number,
    nr: number,
    space: AddressSpace,
    trace: CallTrace | undefined,
  ): void {
    const { startPage, endPage, biasLo, biasHi } = space;
    const known = this.#knownOf(space);
    const { state, ids } = known;
    const count = endPage.length;
    const zero = this.#profile.fallbackBuildId === "zero";
    const reuse = this.#profile.reusePreviousVma;
    let previous = -1; // mapping of the last translated frame …
    let previousAt = 0; // … and the word its record starts at
    for (let i = 0; i < nr; i++, to += BUILD_ID_WORDS, from += 2) {
      const lo = ips[from];
      const hi = ips[from + 1];
      const page = (hi >>> 0) * 0x10_0000 + (lo >>> 12);
      let vma: number;
      const again = reuse && previous >= 0 && page >= startPage[previous] &&
        (page < endPage[previous] || (page === endPage[previous] && (lo & 0xfff) === 0));
      if (again) {
        vma = previous;
        records[to + 1] = records[previousAt + 1];
        records[to + 2] = records[previousAt + 2];
        records[to + 3] = records[previousAt + 3];
        records[to + 4] = records[previousAt + 4];
        records[to + 5] = records[previousAt + 5];
      } else {
        vma = space.findIndex(page);
        let found = vma < count;
        if (found) {
          if (state[vma] === UNPARSED || state[vma] === ALWAYS_PARSE) {
            found = this.#parseInto(known, vma, space, records, to + 1);
          } else if (state[vma] === HAS_ID) {
            const id = 5 * vma;
            records[to + 1] = ids[id];
            records[to + 2] = ids[id + 1];
            records[to + 3] = ids[id + 2];
            records[to + 4] = ids[id + 3];
            records[to + 5] = ids[id + 4];
          } else {
            found = false;
          }
        }
        if (!found) {
          if (trace !== undefined) this.#explainFallback(trace, i, vma, space, lo, hi);
          keepIp(records, to, lo, hi, zero);
          continue;
        }
      }
      if (trace !== undefined) this.#explainValid(trace, i, vma, space, page, lo, hi, again);
      const offset = (biasLo[vma] >>> 0) + (lo >>> 0);
      records[to] = BPF_STACK_BUILD_ID_VALID;
      records[to + 6] = offset | 0;
      records[to + 7] = (biasHi[vma] + hi + (offset > 0xffff_ffff ? 1 : 0)) | 0;
      previous = vma;
      previousAt = to;
    }
  }

  #knownOf(space: AddressSpace): Known {
    if (space === this.#lastSpace) return this.#lastKnown!;
    let known = this.#known.get(space);
    if (known === undefined) {
      const count = space.endPage.length;
      known = { state: new Uint8Array(count), ids: new Uint32Array(5 * count) };
      for (let i = 0; i < count; i++) if (space.immutable[i] === 0) known.state[i] = ALWAYS_PARSE;
      this.#known.set(space, known);
    }
    this.#lastSpace = space;
    this.#lastKnown = known;
    return known;
  }

  #parseInto(known: Known, vma: number, space: AddressSpace, records: Uint32Array, to: number): boolean {
    const file = space.vmas[vma].file;
    const found = file !== undefined && this.#parser.parse(file) === 0;
    if (found) records.set(this.#parsed, to);
    if (known.state[vma] === UNPARSED) {
      known.state[vma] = found ? HAS_ID : NO_ID;
      if (found) known.ids.set(this.#parsed, 5 * vma);
    }
    return found;
  }

  #explainFallback(
    trace: CallTrace,
    frame: number,
    vma: number,
    space: AddressSpace,
    lo: number,
    hi: number,
  ): void {
    const ip = hex(lo, hi);
    if (vma >= space.vmas.length) {
      trace.add("find_vma", `no mapping ends above ${ip}: kept as IP`, frame);
      return;
    }
    const { start, end, file } = space.vmas[vma];
    const name = `mapping ${start.toString(16)}-${end.toString(16)}`;
    if (file === undefined) {
      trace.add("build_id_parse", `${name}, found for ${ip}, has no file (-EINVAL): kept as IP`, frame);
      return;
    }
    const errno = errnoName(this.#parser.parse(file));
    trace.add("build_id_parse", `${name}, found for ${ip}: ${this.#parser.outcome} (-${errno}): kept as IP`, frame);
  }

  #explainValid(
    trace: CallTrace,
    frame: number,
    vma: number,
    space: AddressSpace,
    page: number,
    lo: number,
    hi: number,
    reused: boolean,
  ): void {
    const { start, end } = space.vmas[vma];
    const name = `mapping ${start.toString(16)}-${end.toString(16)}`;
    const outside = page < space.startPage[vma]
      ? ", though the address lies in the gap below it: the offset wraps"
      : page >= space.endPage[vma]
      ? ", though the address is its end"
      : "";
    trace.add(
      reused ? "range_in_vma" : "find_vma",
      `${name} ${reused ? "of the frame before taken again" : "found"} for ${hex(lo, hi)}${outside}`,
      frame,
    );
  }
}

// One record of status IP; the build ID keeps its old bytes unless the release zeroes them.
function keepIp(records: Uint32Array, to: number, lo: number, hi: number, zero: boolean): void {
  records[to] = BPF_STACK_BUILD_ID_IP;
  if (zero) { for (let i = 1; i <= 5; i++) records[to + i] = 0; }
  records[to + 6] = lo;
  records[to + 7] = hi;
}

function hex(lo: number, hi: number): string {
  return `0x${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`;
}
