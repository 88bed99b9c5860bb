// Owns BinaryLoader: what a symbolizer lacks for some build IDs, found in a store and added.
import { fromHex, toHex } from "../base/bytes.ts";
import { checkLimits } from "../base/limits.ts";
import { SharedCalls } from "../base/shared_calls.ts";
import type { Symbolizer } from "../symbolize/symbolizer.ts";
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";
import { BinaryFinder, type FindProblem } from "./binary_finder.ts";
import { ByteGate } from "./byte_gate.ts";
import type { BinaryStore, StoreErrorReason } from "./store.ts";

/** What a {@linkcode BinaryLoader} may be told. */
export interface BinaryLoaderOptions {
  /** Most bytes of a file that is taken in whole; 32 MiB by default. GSYM files read by ranges may have any size. */
  maxFileBytes?: number;
  /** Most build IDs that one call looks for at a time; 6 by default, as many connections as edge platforms allow. */
  concurrency?: number;
  /**
   * For how long a failure is remembered, in milliseconds; 10,000 by default. 60 times as long where a part was had and
   * the rest hardly gets better: it is malformed, say, or not there.
   */
  retryAfterMs?: number;
}

/** Why one build ID could not be had, in whole or in part. */
export interface BinaryProblem {
  /** As it was asked for. */
  buildId: Uint8Array;
  /** `not-found`: no store has it. `malformed`: a file was found and can't be read. Else as in {@linkcode StoreError}. */
  reason: "not-found" | "malformed" | StoreErrorReason;
  /** The whole story, in one line. */
  message: string;
}

/** What is remembered of a build ID. */
interface Known {
  problem: BinaryProblem | undefined;
  /** Whether something was had. */
  found: boolean;
  /** When a failure is to be forgotten. */
  until: number;
}

/** Failures that are remembered; of more the oldest are forgotten. */
const MOST_KNOWN = 10_000;
/** Lengths that build IDs have: SHA-1, MD5 or UUID, and lld's default. */
const ID_LENGTHS = [BPF_BUILD_ID_SIZE, 16, 8];
/** What hardly gets better, so that what was had is not fetched again for its sake any time soon: */
const LASTING: readonly FindProblem["reason"][] = [
  "not-found",
  "malformed",
  "wrong-build-id",
  "too-large",
  "refused",
];
/** so many times as long. */
const LASTING_FACTOR = 60;

// For what has no time left to load, and wants to say why the rest is missing; for this package alone.
let problemsOf: (loader: BinaryLoader, buildIds: Iterable<Uint8Array>) => Map<string, BinaryProblem | undefined>;

/**
 * Brings a {@linkcode Symbolizer} what it lacks, from a {@linkcode BinaryStore}: for each build ID a GSYM file, read by
 * ranges where the store can; else the separate debug file, with the head of the executable for its program headers;
 * else the executable. Whoever asks for an ID that is under way waits for it; failures of one ID are no failures of the
 * others.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BinaryLoader, memoryStore, Symbolizer } from "@bpf/stackmap";
 *
 * const loader = new BinaryLoader(new Symbolizer(), memoryStore([]));
 * const [problem] = await loader.load([Uint8Array.of(0xab, 0xcd)]);
 * assertEquals(problem.reason, "not-found");
 * ```
 */
export class BinaryLoader {
  readonly #symbolizer: Symbolizer;
  readonly #store: BinaryStore;
  readonly #maxFileBytes: number;
  readonly #concurrency: number;
  readonly #retryAfterMs: number;
  readonly #gate: ByteGate;
  readonly #calls = new SharedCalls<string, void>();
  readonly #known = new Map<string, Known>();
  /**
   * Build IDs whose search has begun and not come to its end. What the symbolizer has of them may be a part: those who
   * wanted it left, or, on Workers, it ended without notice.
   */
  readonly #begun = new Set<string>();

  static {
    problemsOf = (loader, buildIds) => {
      const problems = new Map<string, BinaryProblem | undefined>();
      for (const id of buildIds) {
        const hex = toHex(id);
        const known = loader.#known.get(hex);
        if (loader.#isHere(hex) || known?.found === false) problems.set(hex, known?.problem);
      }
      return problems;
    };
  }

  /** A loader of what `symbolizer` lacks from `store`. */
  constructor(symbolizer: Symbolizer, store: BinaryStore, options: BinaryLoaderOptions = {}) {
    this.#symbolizer = symbolizer;
    this.#store = store;
    const { maxFileBytes = 32 << 20, concurrency = 6, retryAfterMs = 10_000 } = options;
    checkLimits({ maxFileBytes, concurrency, retryAfterMs });
    this.#maxFileBytes = maxFileBytes;
    this.#concurrency = Math.ceil(concurrency);
    this.#retryAfterMs = retryAfterMs;
    this.#gate = new ByteGate(2 * maxFileBytes);
  }

  /**
   * Finds and adds what is missing for some build IDs, as in the file or zero-padded as the kernel has them.
   *
   * @param options `signal` ends it: the promise rejects with its reason.
   * @returns One problem for each ID of which not all could be had. Frames of those have a reason instead of names, or
   *   only the names that the rest gives.
   */
  async load(
    buildIds: Iterable<Uint8Array>,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<BinaryProblem[]> {
    const { signal } = options;
    signal?.throwIfAborted();
    const wanted = new Map<string, Uint8Array>();
    for (const id of buildIds) wanted.set(toHex(id), id);
    const queue = [...wanted].filter(([hex]) => !this.#isHere(hex));
    const next = async (): Promise<void> => {
      for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
        const [hex, id] = entry;
        if (this.#isHere(hex)) continue; // another call was faster
        await this.#calls.ask(hex, (shared) => this.#find(hex, id.slice(), shared), signal);
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#concurrency, queue.length) }, next));
    return [...wanted.keys()].map((hex) => this.#known.get(hex)?.problem).filter((problem) =>
      problem !== undefined
    );
  }

  /** Whether nothing is to be done: it was added and is still there, or has failed a short while ago. */
  #isHere(hex: string): boolean {
    if (this.#begun.has(hex)) return false; // what is there may be a part only
    const known = this.#known.get(hex);
    if (known?.problem !== undefined) {
      if (performance.now() >= known.until) return false;
      if (!known.found) return true;
    }
    return this.#symbolizer.binary(fromHex(hex)!)?.evicted === false;
  }

  async #find(hex: string, asked: Uint8Array, signal: AbortSignal): Promise<void> {
    this.#begun.delete(hex);
    this.#begun.add(hex);
    if (this.#begun.size > MOST_KNOWN) this.#begun.delete(this.#begun.values().next().value!);
    const { problem, found } = await this.#search(asked, signal).catch((error) => {
      if (this.#symbolizer.binary(asked) === undefined) this.#begun.delete(hex);
      throw error;
    });
    const long = found && problem !== undefined && LASTING.includes(problem.reason) ? LASTING_FACTOR : 1;
    const until = performance.now() + long * this.#retryAfterMs;
    this.#begun.delete(hex);
    this.#known.delete(hex);
    this.#known.set(hex, { problem: problem && { buildId: asked, ...problem }, found, until });
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value!);
  }

  async #search(
    asked: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ problem: FindProblem | undefined; found: boolean }> {
    let problem: FindProblem | undefined;
    for (const id of candidates(asked)) {
      const finder = new BinaryFinder(id, {
        symbolizer: this.#symbolizer,
        store: this.#store,
        maxFileBytes: this.#maxFileBytes,
        gate: this.#gate,
        signal,
      });
      const found = await finder.run();
      signal.throwIfAborted();
      // That another form of the ID could not be asked for is no problem once this one was found.
      if (found) return { problem: finder.problems[0], found };
      problem ??= finder.problems[0];
    }
    return { problem: problem ?? { reason: "not-found", message: `no store has ${toHex(asked)}` }, found: false };
  }
}

/**
 * What is known without asking any store: of each build ID, by its hex, that is here or has failed a short while ago,
 * its problem, if it has one. Those that are under way are left out.
 */
export function knownProblems(
  loader: BinaryLoader,
  buildIds: Iterable<Uint8Array>,
): Map<string, BinaryProblem | undefined> {
  return problemsOf(loader, buildIds);
}

/** The ids that one of the kernel's can stand for: itself, and shorter ones that it would be after zero-padding. */
function candidates(id: Uint8Array): Uint8Array[] {
  const used = id.findLastIndex((byte) => byte !== 0) + 1;
  if (id.length !== BPF_BUILD_ID_SIZE) return [id];
  return ID_LENGTHS.filter((length) => length === BPF_BUILD_ID_SIZE || length >= used)
    .filter((length) => length === BPF_BUILD_ID_SIZE || used > 0)
    .map((length) => id.slice(0, length));
}
