// Owns the fuzzer that every parser faces: truncation at every length, then seeded mutations of good samples.
import { Buffer } from "node:buffer";
import process from "node:process";
import { FormatError } from "../src/base/format_error.ts";
import { SeededRandom } from "../src/base/random.ts";
import { toHex } from "../src/base/bytes.ts";

/**
 * Mutations of each parser where neither the test nor the environment says otherwise: what a test run has time for.
 * `deno task fuzz` takes 100,000.
 */
export const MUTATIONS = 20_000;

/** How {@linkcode fuzzParser} runs. The environment wins: `FUZZ_SEED` (a number), `FUZZ_MUTATIONS` (a number). */
export interface FuzzOptions {
  /** How many mutated inputs, over all samples together; {@linkcode MUTATIONS} by default. */
  mutations?: number;
  /** Seed of the mutations; 1 by default. */
  seed?: number;
  /** Milliseconds that one call may take; 1,000 by default. */
  callLimit?: number;
  /** Milliseconds that the whole run may take; 240,000 by default. */
  totalLimit?: number;
}

/** Samples up to this many bytes are truncated at every length; longer ones at these and at random ones after. */
const EVERY_LENGTH = 4096;
/** Random lengths tried after `EVERY_LENGTH`. */
const RANDOM_LENGTHS = 512;
/** Calls spent on making a failing input smaller. */
const SHRINK_CALLS = 3000;

const BYTES: readonly number[] = [0, 1, 2, 4, 0x20, 0x30, 0x39, 0x5c, 0x22, 0x7f, 0x80, 0xfe, 0xff];
const WORDS: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  4n,
  7n,
  8n,
  20n,
  21n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0xfffn,
  0x1000n,
  0x1001n,
  0x7fffn,
  0x8000n,
  0xff00n,
  0xffffn,
  0x10000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_fff8n,
  0xffff_fffcn,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x1f_ffff_ffff_ffffn,
  0x20_0000_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_fff8n,
  0xffff_ffff_ffff_ffffn,
];

/** Why one call is a failure; `undefined` where it returned, or threw a `FormatError`. */
function tryOnce(
  parse: (bytes: Uint8Array) => unknown,
  input: Uint8Array,
  callLimit: number,
): { kind: string; cause?: unknown } | undefined {
  const given = input.slice();
  const start = performance.now();
  let failure: { kind: string; cause?: unknown } | undefined;
  try {
    parse(given);
  } catch (error) {
    if (!(error instanceof FormatError)) {
      failure = { kind: error instanceof Error ? `threw ${error.name}` : `threw a ${typeof error}`, cause: error };
    }
  }
  if (failure !== undefined) return failure;
  if (performance.now() - start > callLimit) return { kind: `took over ${callLimit} ms` };
  // memcmp: a loop over every byte of every input would cost more than most parsers.
  if (Buffer.compare(given, input) !== 0) return { kind: "changed its input" };
  return undefined;
}

/** Cuts pieces out of a failing input, ever smaller ones, for as long as it still fails in the same way. */
function shrink(input: Uint8Array, stillFails: (bytes: Uint8Array) => boolean): Uint8Array {
  let best = input;
  let calls = 0;
  for (let piece = Math.ceil(best.length / 2); piece >= 1 && calls < SHRINK_CALLS; piece = Math.floor(piece / 2)) {
    // From the end, so that headers survive longest.
    for (let at = best.length - piece; at >= 0 && calls < SHRINK_CALLS; at -= piece) {
      const candidate = new Uint8Array(best.length - piece);
      candidate.set(best.subarray(0, at));
      candidate.set(best.subarray(at + piece), at);
      calls++;
      if (stillFails(candidate)) best = candidate;
    }
  }
  return best;
}

function putWord(random: SeededRandom, bytes: Uint8Array): void {
  const size = [2, 4, 8][random.below(3)];
  if (bytes.length < size) return;
  const align = random.chance(0.8) ? Math.min(size, 4) : 1;
  const at = Math.floor(random.below(bytes.length - size + 1) / align) * align;
  const pick = random.below(WORDS.length + 4);
  // Lengths of the very input, and near it: off-by-one at the end is the commonest parser mistake.
  const value = pick < WORDS.length ? WORDS[pick] : BigInt(bytes.length - 2 + (pick - WORDS.length));
  const littleEndian = random.chance(0.75);
  for (let i = 0; i < size; i++) {
    const shift = 8n * BigInt(littleEndian ? i : size - 1 - i);
    bytes[at + i] = Number((value >> shift) & 0xffn);
  }
}

/** One changed copy of `base`; `other` lends bytes for splices. */
function mutate(random: SeededRandom, base: Uint8Array, other: Uint8Array): Uint8Array {
  let bytes: Uint8Array = base.slice();
  const changes = 1 + random.below(random.chance(0.2) ? 16 : 3);
  for (let change = 0; change < changes; change++) {
    const length = bytes.length;
    if (length === 0) {
      bytes = random.fill(new Uint8Array(1 + random.below(64)));
      continue;
    }
    const at = random.below(length);
    const kind = random.below(16);
    if (kind < 4) {
      bytes[at] ^= 1 << random.below(8);
    } else if (kind < 7) {
      bytes[at] = BYTES[random.below(BYTES.length)];
    } else if (kind < 12) {
      putWord(random, bytes);
    } else if (kind === 12) {
      const end = Math.min(length, at + 1 + random.below(32));
      random.fill(bytes.subarray(at, end));
    } else if (kind === 13) {
      // Splice: bytes of another sample over these.
      const from = random.below(other.length + 1);
      const piece = other.subarray(from, from + Math.min(length - at, 1 + random.below(64)));
      bytes.set(piece, at);
    } else {
      // Delete or repeat a piece: everything after it moves.
      const size = Math.min(length - at, 1 + random.below(random.chance(0.1) ? length : 32));
      const removed = kind === 14;
      const next = new Uint8Array(removed ? length - size : length + size);
      next.set(bytes.subarray(0, removed ? at : at + size));
      next.set(bytes.subarray(removed ? at + size : at), removed ? at : at + size);
      bytes = next;
    }
  }
  return bytes;
}

/** `options` with what an environment says instead. */
export function withEnvironment(
  options: FuzzOptions,
  environment: Record<string, string | undefined>,
): FuzzOptions {
  const number = (name: string): number | undefined => {
    const text = environment[name];
    if (text === undefined || text === "") return undefined;
    const number = Number(text);
    if (!Number.isSafeInteger(number)) throw new RangeError(`${name} must be a whole number, not ${text}`);
    return number;
  };
  const seed = number("FUZZ_SEED") ?? options.seed;
  const mutations = number("FUZZ_MUTATIONS") ?? options.mutations;
  return { ...options, ...(seed !== undefined && { seed }), ...(mutations !== undefined && { mutations }) };
}

/**
 * Feeds `parse` every truncation of every sample and then mutations of them. Each call has to return (an errno is
 * a return) or throw a `FormatError`, in time, and leave its input as it was. Where a result is lazy, `parse` has
 * to walk it. A parser that never returns can't be stopped from here: the runtime's own time limit ends it.
 *
 * Call it inside a test; it registers nothing. It prints its seed.
 *
 * @throws {Error} At the first failure, naming seed, input index and the hex of a small input that fails alike.
 */
export function fuzzParser(
  name: string,
  samples: Uint8Array[],
  parse: (bytes: Uint8Array) => unknown,
  options: FuzzOptions = {},
): void {
  fuzz(name, samples, parse, withEnvironment(options, process.env));
}

/** {@linkcode fuzzParser} without a look at the environment; for the fuzzer's own tests. */
export function fuzz(
  name: string,
  samples: Uint8Array[],
  parse: (bytes: Uint8Array) => unknown,
  options: FuzzOptions,
): void {
  const { seed = 1, mutations = MUTATIONS, callLimit = 1000, totalLimit = 240_000 } = options;
  const start = performance.now();
  const random = new SeededRandom(seed);
  console.log(`fuzz ${name}: seed ${seed}, ${samples.length} samples, ${mutations} mutations`);
  if (samples.length === 0) throw new RangeError(`fuzz ${name}: no samples`);

  const check = (input: Uint8Array, which: string): void => {
    let failure = tryOnce(parse, input, callLimit);
    // A slow call may be a busy machine's fault; one that is slow three times is the parser's.
    for (let again = 0; again < 2 && failure?.kind.startsWith("took"); again++) {
      failure = tryOnce(parse, input, callLimit);
    }
    if (failure === undefined) {
      if (performance.now() - start <= totalLimit) return;
      throw new Error(`fuzz ${name}: seed ${seed}: not done after ${totalLimit} ms, at ${which}`);
    }
    const { kind, cause } = failure;
    const small = kind.startsWith("took")
      ? input
      : shrink(input, (bytes) => tryOnce(parse, bytes, callLimit)?.kind === kind);
    const message = cause === undefined ? "" : `: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new Error(
      `fuzz ${name}: seed ${seed}, ${which}: ${kind}${message}\n` +
        `smallest input found, ${small.length} of ${input.length} bytes: ${toHex(small)}`,
      { cause },
    );
  };

  samples.forEach((sample, index) => {
    check(sample, `sample ${index} as it is`);
    for (let length = 0; length < sample.length && length <= EVERY_LENGTH; length++) {
      check(sample.subarray(0, length), `sample ${index} cut to ${length} bytes`);
    }
    for (let i = 0; i < RANDOM_LENGTHS && sample.length > EVERY_LENGTH; i++) {
      const length = EVERY_LENGTH + random.below(sample.length - EVERY_LENGTH);
      check(sample.subarray(0, length), `sample ${index} cut to ${length} bytes`);
    }
  });
  for (let i = 0; i < mutations; i++) {
    const index = random.below(samples.length);
    check(mutate(random, samples[index], samples[random.below(samples.length)]), `mutation ${i} (sample ${index})`);
  }
}
