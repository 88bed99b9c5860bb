// Owns reduction: a case in which kernel and model differ is made small by running parts of it on the kernel again.
import type { KernelRelease } from "../../mod.ts";
import { callsOf, KERNEL_SITE, type Mapping, type Op, type ProofCase, type Round } from "./case.ts";
import { type LiveCase, runLive } from "./live.ts";
import { type Difference, replayCase } from "./replay.ts";
import type { Target } from "./target.ts";

/** A case with what came of it. */
export interface Failure {
  proofCase: ProofCase;
  live: LiveCase;
  differences: Difference[];
}

/** A smaller failure: how often the kernel was asked for it, and how many calls are left. */
export interface Reduced extends Failure {
  attempts: number;
  calls: number;
}

/** How a reduction is done. */
export interface ReduceOptions {
  kernel: KernelRelease;
  nrCpus: number;
  /** After which time it ends with what it has. */
  seconds: number;
}

class Reducer {
  best: Failure;
  attempts = 0;
  readonly #target: Target;
  readonly #options: ReduceOptions;
  readonly #deadline: number;

  constructor(target: Target, failure: Failure, options: ReduceOptions) {
    this.#target = target;
    this.best = failure;
    this.#options = options;
    this.#deadline = performance.now() + 1000 * options.seconds;
  }

  get #late(): boolean {
    return performance.now() > this.#deadline;
  }

  /** Keeps `proofCase` if kernel and model still differ in it. */
  async #try(candidate: ProofCase): Promise<boolean> {
    if (this.#late) return false;
    this.attempts++;
    const proofCase = withoutUnused(candidate);
    const live = await runLive(this.#target, proofCase);
    const differences = replayCase(proofCase, live, this.#options);
    if (differences.length === 0) return false;
    this.best = { proofCase, live, differences };
    return true;
  }

  async run(): Promise<Failure> {
    await this.#try(withKnownIds(this.best));
    await this.#try(upTo(this.best));
    await this.#try(withoutSites(this.best.proofCase, this.#besides()));
    // One thing's absence lets another go: again until nothing goes.
    for (let size = Infinity; sizeOf(this.best.proofCase) < size && !this.#late;) {
      size = sizeOf(this.best.proofCase);
      await this.#pass();
    }
    return this.best;
  }

  async #pass(): Promise<void> {
    const { proofCase } = this.best;
    const sites = proofCase.sites.map((_, i) => i).filter((site) => site > KERNEL_SITE);
    await this.#lessOf(
      sites,
      (kept, base) => withoutSites(base, sites.filter((site) => !kept.includes(site))),
      true,
    );
    await this.#lessOfRounds("ops");
    await this.#lessOfRounds("mappings");
    await this.#lessOfRounds("unmappings");
    await this.#lessOfRounds("evictions");
    await this.#lessFrames();
    await this.#lessFlags();
  }

  // Delta debugging: removes halves, then quarters, … of `all`; `make` gives the case that keeps some of them.
  async #lessOf<T>(
    all: readonly T[],
    make: (kept: readonly T[], base: ProofCase) => ProofCase,
    fromBase: boolean = false,
  ): Promise<void> {
    const base = this.best.proofCase;
    let kept = all;
    for (
      let part = Math.ceil(kept.length / 2);
      part >= 1 && kept.length > 0;
      part = part === 1 ? 0 : Math.ceil(part / 2)
    ) {
      for (let from = 0; from < kept.length && !this.#late;) {
        const less = kept.filter((_, i) => i < from || i >= from + part);
        if (await this.#try(make(less, fromBase ? base : this.best.proofCase))) kept = less;
        else from += part;
      }
    }
  }

  #lessOfRounds(list: "ops" | "mappings" | "unmappings" | "evictions"): Promise<void> {
    const base = this.best.proofCase;
    const all = base.rounds.flatMap((round, i) => (round[list] as unknown[]).map((item) => ({ round: i, item })));
    // The target runs in the gadgets' mappings: they stay.
    const needed = all.filter(({ item }) => list === "mappings" && (item as Mapping).file === 0);
    return this.#lessOf(all.filter((each) => !needed.includes(each)), (kept) => {
      const rounds = base.rounds.map((round, i): Round => (
        { ...round, [list]: [...needed, ...kept].filter((each) => each.round === i).map((each) => each.item) }
      ));
      return { ...base, rounds };
    });
  }

  async #lessFrames(): Promise<void> {
    const { rounds } = this.best.proofCase;
    for (let round = 0; round < rounds.length; round++) {
      for (let i = 0; i < rounds[round].ops.length; i++) {
        const op = rounds[round].ops[i];
        if (op.kind !== "call") continue;
        await this.#lessOf([...op.chain], (kept) => {
          return withOp(this.best.proofCase, round, i, { ...op, chain: BigUint64Array.from(kept) });
        });
      }
    }
  }

  // Leaves sites out of single calls.
  async #lessFlags(): Promise<void> {
    const { rounds, sites } = this.best.proofCase;
    for (let round = 0; round < rounds.length; round++) {
      for (let i = 0; i < rounds[round].ops.length; i++) {
        for (let site = KERNEL_SITE + 1; site < sites.length; site++) {
          const op = this.best.proofCase.rounds[round].ops[i];
          if (op.kind !== "call" || op.flags[site] === undefined) continue;
          const flags = op.flags.with(site, undefined);
          await this.#try(withOp(this.best.proofCase, round, i, { ...op, flags }));
        }
      }
    }
  }

  // Sites that the first difference has nothing to do with.
  #besides(): number[] {
    const { proofCase, differences: [{ site, map }] } = this.best;
    return proofCase.sites.map((_, i) => i).filter((i) => {
      const other = proofCase.sites[i];
      return i > KERNEL_SITE && i !== site && !(other.kind === "stackid" && other.map === map);
    });
  }
}

function sizeOf(proofCase: ProofCase): number {
  return proofCase.rounds.reduce(
    (sum, { ops, mappings, unmappings, evictions }) =>
      sum + mappings.length + unmappings.length + evictions.length +
      ops.reduce(
        (n, op) =>
          n + (op.kind === "call" ? 1 + op.chain.length + op.flags.filter((f) => f !== undefined).length : 1),
        0,
      ),
    0,
  );
}

function withOp(proofCase: ProofCase, round: number, index: number, op: Op): ProofCase {
  const rounds = proofCase.rounds.map((each, i) => i === round ? { ...each, ops: each.ops.with(index, op) } : each);
  return { ...proofCase, rounds };
}

/** The case with the ids that were chosen among those in use. The first round that ran is the calibration. */
function withKnownIds({ proofCase, live }: Failure): ProofCase {
  const rounds = proofCase.rounds.map((round, r) => ({
    ...round,
    ops: round.ops.map((op, i): Op => {
      const done = live.rounds[r + 1]?.ops[i];
      if (
        op.kind === "call" || op.kind === "cpu" || done === undefined || done.kind === "call" || done.kind === "cpu"
      ) {
        return op;
      }
      return done.id === undefined ? { kind: op.kind, map: op.map } : { ...op, id: done.id };
    }),
  }));
  return { ...proofCase, rounds };
}

/** The case up to its first difference. */
function upTo({ proofCase, differences: [{ round, op }] }: Failure): ProofCase {
  const rounds = proofCase.rounds.slice(0, round);
  const last = rounds[round - 1];
  if (last !== undefined && op !== undefined) rounds[round - 1] = { ...last, ops: last.ops.slice(0, op + 1) };
  return { ...proofCase, rounds };
}

function withoutSites(proofCase: ProofCase, without: readonly number[]): ProofCase {
  const keep = (_: unknown, site: number) => !without.includes(site);
  const rounds = proofCase.rounds.map((round) => ({
    ...round,
    ops: round.ops.map((op): Op =>
      op.kind === "call" ? { ...op, flags: op.flags.filter(keep), sizes: op.sizes.filter(keep) } : op
    ),
  }));
  return { ...proofCase, sites: proofCase.sites.filter(keep), rounds };
}

/** The case without maps, files and rounds that nothing refers to. */
function withoutUnused(proofCase: ProofCase): ProofCase {
  const busy = proofCase.rounds.filter(({ ops, mappings, unmappings, evictions }) =>
    ops.length + mappings.length + unmappings.length + evictions.length > 0
  );
  const maps = new Set<number>();
  const files = new Set<number>([0]); // the gadgets'
  for (const site of proofCase.sites) if (site.kind === "stackid") maps.add(site.map);
  for (const { ops, mappings, evictions } of busy) {
    for (const op of ops) if (op.kind !== "call" && op.kind !== "cpu") maps.add(op.map);
    for (const { file } of [...mappings, ...evictions]) if (file !== undefined) files.add(file);
  }
  const [mapOf, fileOf] = [maps, files].map((used) => {
    const sorted = [...used].sort((a, b) => a - b);
    return new Map(sorted.map((old, i) => [old, i]));
  });
  return {
    ...proofCase,
    maps: proofCase.maps.filter((_, i) => maps.has(i)),
    sites: proofCase.sites.map((site) => site.kind === "stackid" ? { ...site, map: mapOf.get(site.map)! } : site),
    files: proofCase.files.filter((_, i) => files.has(i)),
    rounds: busy.map((round) => ({
      ...round,
      files: [...files].filter((file) => file < round.files).length,
      ops: round.ops.map((op): Op =>
        op.kind === "call" || op.kind === "cpu" ? op : { ...op, map: mapOf.get(op.map)! }
      ),
      mappings: round.mappings.map((mapping) =>
        mapping.file === undefined ? mapping : { ...mapping, file: fileOf.get(mapping.file)! }
      ),
      evictions: round.evictions.map((eviction) => ({ ...eviction, file: fileOf.get(eviction.file)! })),
    })),
  };
}

/** The smallest case that is found in the given time. */
export async function reduce(target: Target, failure: Failure, options: ReduceOptions): Promise<Reduced> {
  const reducer = new Reducer(target, failure, options);
  const best = await reducer.run();
  return { ...best, attempts: reducer.attempts, calls: callsOf(best.proofCase) };
}
