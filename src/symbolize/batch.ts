// Owns the lookup of many resolved frames: in the order of their addresses, equal ones once.
import { appendFrames, type FrameNames, FrameRows, MISSING, problemAt } from "./frame_rows.ts";
import { RESOLVE_REASONS, type ResolvedColumns } from "./resolution.ts";

/** Which reasons leave the address known, so that DWARF can be asked where symbols could not answer. */
const HAS_ADDRESS: Uint8Array = Uint8Array.from(
  RESOLVE_REASONS,
  (reason) =>
    ["resolved", "no-symbols", "malformed-symbols", "no-symbol-here", "stripped", "not-loaded"].includes(reason)
      ? 1
      : 0,
);

const MALFORMED = RESOLVE_REASONS.indexOf("malformed-debug-info");
const NOT_LOADED = RESOLVE_REASONS.indexOf("not-loaded");
const NO_SYMBOL_HERE = RESOLVE_REASONS.indexOf("no-symbol-here");
/** The address itself has frames, its reason is 0. */
const RESOLVED = 0;

/** Addresses whose missing parts are fetched at once: bounds what has to be in memory at a time. */
const WAVE = 64;
/**
 * Rounds of fetching after none of which an address could be answered. A lookup goes through five tables, whose parts it
 * names one after the other; those that find no room in a small cache wait for others to be answered.
 */
const MOST_ROUNDS = 64;
/** Milliseconds of work after which others get a turn, and the signal is looked at. */
const TURN_MS = 20;
/** Lookups between two looks at the clock. */
const LOOKUPS_OF_TURN = 64;

/** What {@linkcode lookUpAll} finds. */
export interface FoundFrames {
  rows: FrameRows;
  /** Row of each address's innermost frame, */
  first: Uint32Array;
  /** and number of its frames. */
  depth: Uint8Array;
  /** The programs met, by the binary's number. */
  programs: (FrameNames | undefined)[];
  /** 1 where the address itself was looked up, 0 where the byte before it. */
  innermost: Uint8Array;
  /** What kept parts of GSYM files from coming, by the binary's number. */
  failures: Map<number, unknown>;
}

/**
 * Looks up the frames of resolved addresses; those found have their reason set to 0.
 *
 * @param innermost 1 where the address itself is looked up, 0 where the byte before it: a return address.
 * @param programOf What is known of a binary, asked once for each.
 */
export function lookUpAll(
  resolved: ResolvedColumns,
  innermost: Uint8Array,
  programOf: (binary: number) => FrameNames,
): FoundFrames {
  const batch = new Batch(resolved, innermost, programOf);
  const order = sorted(resolved, innermost);
  // A call for each: engines compile a small function sooner and better than a loop that runs on.
  for (let k = 0; k < order.length; k++) batch.take(order[k]);
  return batch;
}

/**
 * The same, and what GSYM files that are read by ranges lack is fetched. Where fetching fails, that binary's addresses
 * stay `not-loaded`, and `failures` says why; an aborted `signal` rejects.
 */
export async function lookUpAndFetch(
  resolved: ResolvedColumns,
  innermost: Uint8Array,
  programOf: (binary: number) => FrameNames,
  signal: AbortSignal | undefined,
): Promise<FoundFrames> {
  const batch = new Batch(resolved, innermost, programOf);
  const order = sorted(resolved, innermost);
  const turn = new Turn(signal);
  let missing: number[] = [];
  for (let k = 0; k < order.length; k++) {
    batch.take(order[k]);
    if (resolved.reason[order[k]] === NOT_LOADED) missing.push(order[k]);
    if (k % LOOKUPS_OF_TURN === 0) await turn.give();
    // Equal addresses stand together: they are one address to fetch for, but each is to be taken again.
    if (batch.misses < WAVE && k < order.length - 1) continue;
    for (let inVain = 0; inVain < MOST_ROUNDS;) {
      // What failed once would most likely fail again, after as long a wait.
      missing = missing.filter((i) => !batch.failures.has(resolved.binary[i]));
      if (missing.length === 0) break;
      await batch.fetchMissing(missing, signal);
      const before = missing.length;
      for (const i of missing) batch.take(i);
      missing = missing.filter((i) => resolved.reason[i] === NOT_LOADED);
      inVain = missing.length < before ? 0 : inVain + 1;
      await turn.give();
    }
    missing = [];
    batch.misses = 0;
  }
  return batch;
}

/** Long work in turns: a line table made to be long takes its time at each address. */
class Turn {
  readonly #signal: AbortSignal | undefined;
  #since = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Gives others a turn if this one was long; rejects with the signal's reason once that is aborted. */
  async give(): Promise<void> {
    if (performance.now() - this.#since < TURN_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#since = performance.now();
    this.#signal?.throwIfAborted();
  }
}

class Batch implements FoundFrames {
  readonly rows: FrameRows;
  readonly first: Uint32Array;
  readonly depth: Uint8Array;
  readonly programs: (FrameNames | undefined)[] = [];
  readonly innermost: Uint8Array;
  readonly failures = new Map<number, unknown>();
  /** Distinct addresses that were not loaded. */
  misses = 0;
  readonly #resolved: ResolvedColumns;
  readonly #programOf: (binary: number) => FrameNames;
  #lastBinary = -1;
  #lastHi = 0;
  #lastLo = 0;
  #lastInnermost = 0;
  #lastFirst = 0;
  /** Reason of the last address; -1 where it is what the index said. */
  #lastReason = -1;

  constructor(resolved: ResolvedColumns, innermost: Uint8Array, programOf: (binary: number) => FrameNames) {
    const count = innermost.length;
    this.#resolved = resolved;
    this.innermost = innermost;
    this.#programOf = programOf;
    this.rows = new FrameRows(Math.max(16, count + (count >> 2)));
    this.first = new Uint32Array(count);
    this.depth = new Uint8Array(count);
  }

  take(i: number): void {
    const { binary, symbol, addressHi, addressLo, reason } = this.#resolved;
    if (HAS_ADDRESS[reason[i]] === 0) return;
    const { rows } = this;
    const index = binary[i];
    const hi = addressHi[i];
    const lo = addressLo[i];
    const innermost = this.innermost[i];
    if (
      lo !== this.#lastLo || hi !== this.#lastHi || index !== this.#lastBinary ||
      innermost !== this.#lastInnermost ||
      this.#lastReason === NOT_LOADED
    ) {
      this.#lastBinary = index;
      this.#lastHi = hi;
      this.#lastLo = lo;
      this.#lastInnermost = innermost;
      this.#lastFirst = rows.length;
      this.#lastReason = this.#look(index, hi, lo, innermost, symbol[i]);
    }
    // Else it is the same frame as before, in another stack: the same rows.
    this.first[i] = this.#lastFirst;
    this.depth[i] = rows.length - this.#lastFirst;
    if (this.#lastReason >= 0) reason[i] = this.#lastReason;
  }

  /** Appends the frames of one address; returns its reason, or -1 where that is what the index said. */
  #look(index: number, hi: number, lo: number, innermost: number, symbol: number): number {
    const names = this.programs[index] ??= this.#programOf(index);
    const atHi = innermost === 0 && lo === 0 ? hi - 1 : hi;
    const atLo = innermost === 0 ? (lo - 1) >>> 0 : lo;
    const { rows } = this;
    const before = rows.length;
    const found = appendFrames(rows, index, names, atHi, atLo, symbol);
    if (rows.length > before) return RESOLVED;
    if (found === MISSING) {
      this.misses++;
      return NOT_LOADED;
    }
    if (problemAt(names, atHi, atLo) !== undefined) return MALFORMED;
    return names.gsym === undefined ? -1 : NO_SYMBOL_HERE;
  }

  /** Fetches what the lookups of some addresses lacked. */
  async fetchMissing(missing: readonly number[], signal: AbortSignal | undefined): Promise<void> {
    const binaries = new Set(missing.map((i) => this.#resolved.binary[i]));
    await Promise.all(Array.from(binaries, async (binary) => {
      try {
        await this.programs[binary]?.gsym?.fetchMissing(signal);
      } catch (error) {
        signal?.throwIfAborted();
        this.failures.set(binary, error);
      }
    }));
  }
}

/** Bits of an address that one pass sorts by. */
const DIGIT = 11;

/**
 * The numbers of frames by binary, then by ascending address, a radix sort: neighbours share units, rows and cache lines, and
 * equal frames stand together. The upper halves of addresses differ within no real binary.
 */
function sorted({ binary, addressLo }: ResolvedColumns, innermost: Uint8Array): Uint32Array {
  const count = addressLo.length;
  let from = new Uint32Array(count);
  let to = new Uint32Array(count);
  const group = new Uint32Array(count);
  let most = 0;
  for (let i = 0; i < count; i++) {
    from[i] = i;
    group[i] = (binary[i] + 1) * 2 + innermost[i];
    if (group[i] > most) most = group[i];
  }
  const starts = new Uint32Array(1 << DIGIT);
  const sortBy = (keys: Uint32Array, shift: number): void => {
    if (allAlike(keys, shift)) return;
    countDigits(keys, shift, starts);
    distribute(keys, shift, starts, from, to);
    [from, to] = [to, from];
  };
  for (let shift = 0; shift < 32; shift += DIGIT) sortBy(addressLo, shift);
  for (let shift = 0; shift < 32 && most >>> shift > 0; shift += DIGIT) sortBy(group, shift);
  return from;
}

function allAlike(keys: Uint32Array, shift: number): boolean {
  const mask = (1 << DIGIT) - 1;
  const first = (keys[0] >>> shift) & mask;
  for (let i = 1; i < keys.length; i++) if (((keys[i] >>> shift) & mask) !== first) return false;
  return true;
}

function countDigits(keys: Uint32Array, shift: number, starts: Uint32Array): void {
  const mask = starts.length - 1;
  starts.fill(0);
  for (let i = 0; i < keys.length; i++) starts[(keys[i] >>> shift) & mask]++;
  let sum = 0;
  for (let digit = 0; digit < starts.length; digit++) {
    const count = starts[digit];
    starts[digit] = sum;
    sum += count;
  }
}

function distribute(
  keys: Uint32Array,
  shift: number,
  starts: Uint32Array,
  from: Uint32Array,
  to: Uint32Array,
): void {
  const mask = starts.length - 1;
  for (let k = 0; k < from.length; k++) {
    const i = from[k];
    to[starts[(keys[i] >>> shift) & mask]++] = i;
  }
}
