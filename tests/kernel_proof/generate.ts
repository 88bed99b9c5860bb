// Owns making a case from a seed: maps and sites, files and where they are mapped, stacks and flags.
import { SeededRandom } from "../../src/base/random.ts";
import { jhash2 } from "../../mod.ts";
import {
  BPF_F_FAST_STACK_CMP,
  BPF_F_NUMA_NODE,
  BPF_F_REUSE_STACKID,
  BPF_F_SKIP_FIELD_MASK,
  BPF_F_STACK_BUILD_ID,
  BPF_F_USER_BUILD_ID,
  BPF_F_USER_STACK,
} from "../../mod.ts";
import {
  type CallOp,
  type CaseSize,
  GADGET_AT,
  GADGETS,
  type IdChoice,
  KERNEL_SITE,
  type Mapping,
  type MapSpec,
  type Op,
  type ProofCase,
  type Round,
  type Site,
  USER_SITE,
} from "./case.ts";
import { gadgetFile, hostileFile, pick, SHORT_PAGES } from "./hostile_file.ts";
import { GADGET, GADGET_END } from "./target_elf.ts";

const PAGE = 4096n;
const SKIP_MASK = BigInt(BPF_F_SKIP_FIELD_MASK);
const PROT_NONE = 0;
const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const PROT_READ_EXEC = 5;
/** First address that user space can't have. */
const USER_END = 0x7fff_ffff_f000n;

/** Addresses that no mapping of a case decides about. */
const FIXED: readonly bigint[] = [
  0n,
  1n,
  0xfffn,
  0x40_0000n,
  0x1000_0000n,
  0x1080_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  USER_END - 1n,
  USER_END,
  (1n << 47n) - 1n,
  1n << 47n,
  (1n << 47n) + 1n,
  (1n << 56n) - 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  0xffff_8000_0000_0000n,
  0xffff_ffff_8100_0000n,
  0xffff_ffff_ff60_0000n,
  0xffff_ffff_ff60_0400n,
  0xffff_ffff_ffff_f000n,
  (1n << 64n) - 1n,
];

/** Places for mappings besides the usual one: the ends of the address space, and where an address's words carry. */
const ODD_PLACES: readonly bigint[] = [
  0n,
  0x1_0000n,
  0x7fff_e000n,
  0xffff_e000n,
  0x1_ffff_f000n,
  0x7ffe_ffff_e000n,
  USER_END - 3n * PAGE,
];

/** Stacks of one frame and of two that begin alike and have the same hash: found by trying 2^32 second frames. */
const DEPTH_TWINS: readonly BigUint64Array[] = [
  BigUint64Array.of(0x2000_1000n),
  BigUint64Array.of(0x2000_1000n, 0x71_d232n),
];

/** Single frames whose stacks have the same hash. */
let twins: [bigint, bigint][] | undefined;

function hashTwins(): [bigint, bigint][] {
  if (twins !== undefined) return twins;
  twins = [];
  const random = new SeededRandom(1);
  const seen = new Map<number, bigint>();
  const words = new Uint32Array(2);
  const ip = new BigUint64Array(words.buffer);
  while (twins.length < 16) {
    words[0] = random.nextUint32();
    words[1] = random.below(0x8000);
    const hash = jhash2(words, 0);
    const other = seen.get(hash);
    if (other !== undefined && other !== ip[0]) twins.push([other, ip[0]]);
    seen.set(hash, ip[0]);
  }
  return twins;
}

/** What the maker of a case must know of the machine and of the target. */
export interface Surroundings {
  nrCpus: number;
  /** Addresses around the target's vdso and stack. */
  addresses: readonly bigint[];
  /** `kernel.perf_event_max_stack`. */
  maxStack: number;
}

/** Makes one case. */
class Maker {
  readonly random: SeededRandom;
  readonly around: Surroundings;
  readonly result: ProofCase;
  // Ends of what is or was mapped: what frames should point at.
  #edges: [bigint, bigint][] = [];
  #mapped: { address: bigint; pages: number }[] = [];
  #cursor = 0x2000_0000n;
  readonly #chains: BigUint64Array[] = [];

  constructor(seed: number, around: Surroundings) {
    this.random = new SeededRandom(seed);
    this.around = around;
    this.result = { seed, maxStack: around.maxStack, maps: [], sites: [], files: [], rounds: [] };
  }

  make(size: CaseSize): ProofCase {
    const { random, result } = this;
    result.maps = this.#maps();
    const whole: Site = { kind: "stack", room: 8 * this.around.maxStack };
    result.sites = [whole, whole];
    const others: Site[] = [4064, 4064, 1024, 96].map((room) => ({ kind: "stack", room }));
    result.maps.forEach((_, map) => others.push({ kind: "stackid", map }, { kind: "stackid", map }));
    while (others.length > 0) result.sites.push(others.splice(random.below(others.length), 1)[0]);
    result.files.push({
      file: gadgetFile(random, [[0x1000, GADGET_END], [0x1100, GADGET], [0x2ffe, GADGET.subarray(0, 2)]]),
      drop: [],
    });
    const gadgets: Mapping[] = [[0n, 2n], [1n, 1n]].map(([page, pgoff]) => (
      {
        address: GADGET_AT + page * PAGE,
        pages: 1,
        file: 0,
        pgoff,
        prot: PROT_READ_EXEC,
        shared: false,
        populate: true,
      }
    ));
    this.#edges.push([GADGET_AT, GADGET_AT + PAGE], [GADGET_AT + PAGE, GADGET_AT + 2n * PAGE]);
    for (let i = 0; i < size.rounds; i++) {
      const round: Round = { files: 0, evictions: [], unmappings: [], mappings: [], ops: [] };
      if (i === 0) round.mappings.push(...gadgets);
      this.#changeOld(round);
      this.#newFiles(round, Math.floor(size.files / size.rounds));
      round.files = result.files.length;
      this.#ops(round, Math.floor(size.calls / size.rounds));
      result.rounds.push(round);
    }
    return result;
  }

  #maps(): MapSpec[] {
    const { random, around: { maxStack } } = this;
    return Array.from({ length: 10 }, (_, i) => {
      const buildId = i % 2 === 0;
      const frames = pick(random, [1, 2, 3, 5, 10, 32, 64, 100, maxStack - 1, maxStack, maxStack, maxStack]);
      return {
        valueSize: Math.max(1, Math.min(frames, maxStack)) * (buildId ? 32 : 8),
        maxEntries: pick(random, [1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 64, 100, 128, 129, 1000, 1024, 4095, 4096]),
        mapFlags: (buildId ? BPF_F_STACK_BUILD_ID : 0) | (random.chance(0.1) ? BPF_F_NUMA_NODE : 0),
      };
    });
  }

  // Unmaps all, or parts, of what the rounds before mapped, and evicts pages of their files.
  #changeOld(round: Round): void {
    const { random, result } = this;
    if (this.#mapped.length === 0) return;
    const all = random.chance(0.3);
    this.#mapped = this.#mapped.filter(({ address, pages }) => {
      if (!all && random.chance(0.6)) return true;
      const whole = all || random.chance(0.6);
      const first = whole ? 0 : random.below(pages);
      const count = whole ? pages : 1 + random.below(pages - first);
      round.unmappings.push({ address: address + BigInt(first) * PAGE, pages: count });
      return !whole;
    });
    if (all) {
      this.#cursor = 0x2000_0000n;
      this.#edges = this.#edges.filter(() => random.chance(0.3));
    }
    for (let rest = random.below(10); rest > 0; rest--) {
      const file = 1 + random.below(Math.max(1, result.files.length - 1));
      if (file >= result.files.length) continue;
      const [first] = pick(random, [...result.files[file].file.pages.keys(), 0].map((index) => [index]));
      round.evictions.push({ file, first, pages: 1 + random.below(4) });
    }
  }

  #newFiles(round: Round, count: number): void {
    const { random, result } = this;
    const from = result.files.length;
    for (let i = 0; i < count; i++) {
      const file = hostileFile(random);
      const drop: [number, number][] = [];
      if (random.chance(file.kind === "edge" ? 0.5 : 0.2)) {
        const indices = [...file.pages.keys()];
        if (random.chance(0.4) || indices.length === 0) drop.push([0, 2 ** 32]);
        else for (let n = 1 + random.below(2); n > 0; n--) drop.push([pick(random, indices), 1 + random.below(2)]);
      }
      result.files.push({ file, drop });
    }
    let last: Mapping | undefined;
    for (let i = 0; i < count * 2; i++) {
      last = this.#mapping(from + (i < count ? i : random.below(count)), last);
      round.mappings.push(last);
      this.#mapped.push(last);
      this.#edges.push([last.address, last.address + BigInt(last.pages) * PAGE]);
    }
  }

  #mapping(file: number, last: Mapping | undefined): Mapping {
    const { random } = this;
    const pages = pick(random, [1, 1, 1, 2, 2, 3, 4, 8]);
    const filePages = Math.ceil(this.result.files[file].file.size / 4096);
    let pgoff = pick(random, [0, 0, 0, 1, 2, random.below(20), filePages, filePages + 1, 0xfffff, 2 ** 31]);
    if (random.chance(0.01)) pgoff = 2 ** 40;
    let address: bigint;
    if (random.chance(0.03)) {
      address = pick(random, ODD_PLACES);
    } else if (random.chance(0.05) && this.#mapped.length > 0) {
      const old = pick(random, this.#mapped); // over another
      address = old.address + BigInt(random.below(old.pages)) * PAGE;
    } else {
      const gap = pick(random, [0, 0, 0, 0, 1, 1, 2, 3, 16]);
      address = this.#cursor + BigInt(gap) * PAGE;
      this.#cursor = address + BigInt(pages) * PAGE;
      if (gap === 0 && last?.file !== undefined && random.chance(0.3)) {
        file = last.file;
        if (random.chance(0.5)) pgoff = Number(last.pgoff) + last.pages;
      }
    }
    const prot = pick(random, [PROT_READ, PROT_READ, PROT_READ_EXEC, PROT_READ_EXEC, PROT_NONE, PROT_READ_WRITE]);
    const populate = this.result.files[file].file.size <= SHORT_PAGES * 4096 && random.chance(0.06);
    const mapping = { address, pages, pgoff: BigInt(pgoff), prot, shared: random.chance(0.3), populate };
    return random.chance(0.1) ? { ...mapping, pgoff: 0n } : { ...mapping, file };
  }

  #address(near: bigint | undefined): bigint {
    const { random } = this;
    if (near !== undefined && random.chance(0.1)) return near;
    if (near !== undefined && random.chance(0.3)) {
      const offset = pick(random, [1n, -1n, 8n, PAGE, -PAGE, BigInt(random.below(4096)), PAGE - (near & 0xfffn)]);
      return BigInt.asUintN(64, near + offset);
    }
    const kind = random.below(100);
    if (kind < 5) return pick(random, FIXED);
    if (kind < 7) return pick(random, this.around.addresses);
    if (kind < 8) return (BigInt(random.nextUint32()) << 32n) | BigInt(random.nextUint32());
    const [start, end] = pick(random, this.#edges);
    switch (random.below(8)) {
      case 0:
        return start;
      case 1:
        return BigInt.asUintN(64, start - 1n);
      case 2:
        return end;
      case 3:
        return end - 1n;
      case 4:
        return end + BigInt(random.below(3 * 4096));
      default:
        return start + BigInt(random.below(Number(end - start)));
    }
  }

  #chain(): BigUint64Array {
    const { random } = this;
    if (this.#chains.length > 8 && random.chance(0.4)) {
      const old = pick(random, this.#chains);
      if (random.chance(0.7) || old.length === 0) return old;
      const changed = old.slice();
      changed[random.below(old.length)] = this.#address(undefined);
      return changed;
    }
    const length = pick(random, [
      random.below(4),
      random.below(12),
      random.below(12),
      random.below(50),
      random.below(130),
      124 + random.below(6),
      random.chance(0.3) ? random.below(400) : 126,
    ]);
    const chain = new BigUint64Array(length);
    let last: bigint | undefined;
    for (let i = 0; i < length; i++) chain[i] = last = this.#address(last);
    this.#chains.push(chain);
    return chain;
  }

  #flags(site: Site): bigint {
    const { random } = this;
    const unknown = 1n << BigInt(pick(random, [11, 12, 15, 31, 32, 63]));
    const skip = random.chance(0.4)
      ? 0
      : pick(random, [1, 1, 2, 3, random.below(12), random.below(256), 126, 127, 255]);
    let flags = skip;
    const user = random.chance(0.92);
    if (user) flags |= BPF_F_USER_STACK;
    if (site.kind === "stackid" || random.chance(0.02)) {
      if (random.chance(0.2)) flags |= BPF_F_FAST_STACK_CMP;
      if (random.chance(0.2)) flags |= BPF_F_REUSE_STACKID;
    } else if (random.chance(user ? 0.6 : 0.15)) {
      flags |= BPF_F_USER_BUILD_ID;
    }
    if (!user && skip > 12 && random.chance(0.7)) flags &= ~0xf8;
    return random.chance(0.02) ? BigInt(flags) | unknown : BigInt(flags);
  }

  #call(): CallOp {
    const { random } = this;
    // Behind the call's own frame, stacks that only a comparison can tell apart.
    const twin = random.chance(0.05)
      ? BigUint64Array.of(pick(random, pick(random, hashTwins())))
      : random.chance(0.05)
      ? pick(random, DEPTH_TWINS)
      : undefined;
    const flags: (bigint | undefined)[] = [];
    const sizes: number[] = [];
    this.result.sites.forEach((site, i) => {
      let each = this.#flags(site);
      if (twin !== undefined && random.chance(0.8)) each = (each & ~SKIP_MASK) | 1n;
      flags.push(random.chance(0.85) ? each : undefined);
      sizes.push(site.kind === "stackid" ? 0 : this.#size(site.room));
      if (i === USER_SITE) flags[i] = BigInt(BPF_F_USER_STACK);
      if (i === KERNEL_SITE) flags[i] = 0n;
      if (i <= KERNEL_SITE && site.kind === "stack") sizes[i] = site.room;
    });
    return { kind: "call", gadget: random.below(GADGETS.length), chain: twin ?? this.#chain(), flags, sizes };
  }

  #size(room: number): number {
    const { random } = this;
    const frames = random.below(room / 32 + 1);
    return pick(random, [room, room, 32 * frames, 32 * frames, 8 * frames, 0, 8, 32, random.below(room + 1)]);
  }

  #ops(round: Round, calls: number): void {
    const { random } = this;
    const kinds = ["delete", "delete", "delete", "lookup", "lookup-and-delete", "next-key", "update"] as const;
    for (let i = 0; i < calls; i++) {
      round.ops.push(this.#call());
      while (random.chance(0.45)) round.ops.push(this.#mapOp(pick(random, kinds)));
      if (random.chance(0.08)) round.ops.push({ kind: "cpu", cpu: random.below(this.around.nrCpus) });
    }
  }

  #mapOp(kind: "delete" | "lookup" | "lookup-and-delete" | "next-key" | "update"): Op {
    const { random } = this;
    const map = random.below(this.result.maps.length);
    const { maxEntries } = this.result.maps[map];
    const id: IdChoice = random.chance(0.6)
      ? { present: random.below(5000) }
      : random.chance(0.7)
      ? random.below(maxEntries)
      : pick(random, [
        maxEntries,
        maxEntries - 1,
        maxEntries + 1,
        0,
        2 * maxEntries,
        0x7fffffff,
        0x80000000,
        0xffffffff,
      ]);
    return kind === "next-key" && random.chance(0.2) ? { kind, map } : { kind, map, id };
  }
}

/** The case of a seed. */
export function makeCase(seed: number, size: CaseSize, around: Surroundings): ProofCase {
  return new Maker(seed, around).make(size);
}
