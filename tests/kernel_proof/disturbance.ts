// Owns the one excuse for a difference: at an interrupt, another's program that ran before ours may have left the
// CPU's irq_work busy, and nothing tells. So it is tried whether that explains everything else, byte for byte.
import type { ProofCase } from "./case.ts";
import type { LiveCase } from "./live.ts";
import { type Difference, replayCase, type ReplayOptions } from "./replay.ts";

/** Most interrupts of a case that may have been disturbed. */
const MOST_DISTURBED = 12;

/**
 * The interrupts that explain all differences if the irq_work was busy when they began.
 *
 * @returns Their numbers; `undefined` if kernel and model differ in any case.
 */
export function disturbedInterrupts(
  proofCase: ProofCase,
  live: LiveCase,
  differences: readonly Difference[],
  options: ReplayOptions,
): Set<number> | undefined {
  const { coverage: _, ...silent } = options;
  const disturbed = new Set<number>();
  let [op, count] = score(differences);
  while (count > 0) {
    if (disturbed.size === MOST_DISTURBED) return undefined;
    let found = false;
    // What differs first was caused there or before.
    for (let candidate = Math.min(op, lastCall(live)); candidate >= 0 && !found; candidate--) {
      if (disturbed.has(candidate)) continue;
      const busyAtStart = new Set([...disturbed, candidate]);
      const [nextOp, nextCount] = score(replayCase(proofCase, live, { ...silent, busyAtStart }));
      if (nextCount > 0 && nextOp < op) continue;
      if (nextCount > 0 && nextOp === op && nextCount >= count) continue;
      [op, count] = [nextOp, nextCount];
      disturbed.add(candidate);
      found = true;
    }
    if (!found) return undefined;
  }
  return disturbed;
}

/** The first operation that differs, and how much does. */
function score(differences: readonly Difference[]): [number, number] {
  return [differences[0]?.op ?? Infinity, differences.length];
}

function lastCall(live: LiveCase): number {
  return live.rounds[live.rounds.length - 1].ops.length - 1;
}
