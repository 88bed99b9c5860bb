// Owns how tests hold work against its growth: two sizes in turn, again while a busy machine may be in the way.
import { assertLess } from "@std/assert";

/** Rounds that are run at most. Work that grows too fast is over the limit in each. */
const MOST_ROUNDS = 20;

/** What {@linkcode assertGrowth} allows. */
export interface GrowthLimit {
  /** The larger takes less than so many times as long, */
  times: number;
  /** of so many milliseconds at least: what takes less is told from noise by nobody. */
  least: number;
  /** Rounds that are run in any case; 3 by default. */
  rounds?: number;
}

/** Milliseconds that `work` takes. */
export function milliseconds(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

/**
 * Fails unless the larger of two pieces of work takes less than so many times as long as the smaller. The least of
 * some rounds counts for each; of more where that is over the limit, as the longer one is interrupted more often
 * where other programs run.
 *
 * @param small Does the smaller work and returns how many milliseconds it took. @param large The larger one.
 * @returns The milliseconds of both.
 */
export function assertGrowth(
  what: string,
  small: () => number,
  large: () => number,
  { times, least, rounds = 3 }: GrowthLimit,
): [small: number, large: number] {
  let [one, other] = [Infinity, Infinity];
  const limit = (): number => times * Math.max(one, least);
  for (let round = 0; round < rounds || (round < MOST_ROUNDS && other >= limit()); round++) {
    one = Math.min(one, small());
    other = Math.min(other, large());
  }
  console.log(`${what}: ${one.toFixed(1)} ms, larger ${other.toFixed(1)} ms`);
  assertLess(other, limit(), what);
  return [one, other];
}
