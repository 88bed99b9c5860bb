// Owns the comparison of pairs: with only the debug file, file offsets have the answers that they have with the executable.
import { existsSync, readFileSync } from "node:fs";
import { Dice, offsetOf, readLoads } from "./addresses.ts";
import { noteBuildId, type SymbolizerClass, type SymbolizerLike } from "./ours.ts";
import { alternateOf, findPairs, hex, type Pair } from "./system.ts";
import type { Workspace } from "./tools.ts";

/** Offsets of a pair: small ones are many, so each gets a share. */
const OFFSETS_EACH = 500;
const OFFSETS_OF_LIBRARIES = 5000;
const EXAMPLES = 3;

export interface PairResult {
  pair: Pair;
  offsets: number;
  /** Answers with another address than program headers give. */
  wrongAddresses: number;
  /** Answers unlike those with the executable. */
  unlike: number;
  /** Answers that are not marked as reconstructed. */
  unmarked: number;
  examples: string[];
  problem?: string;
}

export interface PairSummary {
  results: PairResult[];
  text: string[];
  passed: boolean;
}

/** Compares all pairs that are installed. */
export async function comparePairs(
  ws: Workspace,
  Symbolizer: SymbolizerClass,
  seed: number,
  limit: number = Infinity,
): Promise<PairSummary> {
  const pairs = [...await madePairs(ws), ...findPairs()].slice(0, limit);
  const results: PairResult[] = [];
  for (const pair of pairs) {
    try {
      results.push(await comparePair(ws, Symbolizer, pair, seed));
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      results.push({ pair, offsets: 0, wrongAddresses: 0, unlike: 0, unmarked: 0, examples: [], problem });
    }
  }
  const sum = (of: (one: PairResult) => number): number => results.reduce((total, one) => total + of(one), 0);
  const bad = results.filter((one) => one.wrongAddresses + one.unlike > 0 || one.problem !== undefined);
  const text = [
    `${results.length} pairs of an installed file and its debug file, ${sum((one) => one.offsets)} offsets: ` +
    `${sum((one) => one.wrongAddresses)} wrong addresses, ${sum((one) => one.unlike)} unlike answers, ` +
    `${sum((one) => one.unmarked)} not marked as reconstructed`,
  ];
  for (const { pair, offsets, wrongAddresses, unlike, examples, problem } of bad) {
    text.push(`  ${pair.executable} (${pair.debug}): ${problem ?? `${wrongAddresses} + ${unlike} of ${offsets}`}`);
    for (const example of examples) text.push(`    ${example}`);
  }
  if (results.length === 0) text.push("  skipped: no debug files installed (Debian packages libc6-dbg …)");
  return { results, text, passed: bad.length === 0 };
}

/** Debian's libstdc++ with debug information comes in one piece: taken apart here as its debhelper would. */
async function madePairs(ws: Workspace): Promise<Pair[]> {
  const whole = "/usr/lib/x86_64-linux-gnu/debug/libstdc++.so.6";
  if (!existsSync(whole)) return [];
  const debug = ws.scratch("libstdc++.debug");
  const executable = ws.scratch("libstdc++.so.6");
  await ws.text(["objcopy", "--only-keep-debug", "--compress-debug-sections", whole, debug]);
  await ws.text(["objcopy", "--strip-unneeded", whole, executable]);
  const id = noteBuildId(new Uint8Array(readFileSync(executable)));
  return id === undefined ? [] : [{ executable, debug, buildId: hex(id) }];
}

async function comparePair(
  ws: Workspace,
  Symbolizer: SymbolizerClass,
  pair: Pair,
  seed: number,
): Promise<PairResult> {
  const { executable, debug, buildId } = pair;
  const id = Uint8Array.from(buildId.match(/../g)!, (digits) => parseInt(digits, 16));
  const loads = await readLoads(ws, executable);
  const code = loads.filter((one) => one.executable && one.fileSize > 0n);
  const alternatePath = await alternateOf(ws, debug);
  const extra = alternatePath === undefined ? {} : { alternate: new Uint8Array(readFileSync(alternatePath)) };
  const debugBytes = new Uint8Array(readFileSync(debug));
  const both = new Symbolizer();
  await both.add(new Uint8Array(readFileSync(executable)), { name: executable, buildId: id });
  await both.add(debugBytes, { name: debug, buildId: id, ...extra });
  const alone = new Symbolizer();
  await alone.add(debugBytes, { name: debug, buildId: id, ...extra });

  const result: PairResult = { pair, offsets: 0, wrongAddresses: 0, unlike: 0, unmarked: 0, examples: [] };
  const dice = new Dice(seed);
  const large = /lib(c|stdc\+\+)\.so/.test(executable);
  const total = Number(code.reduce((size, one) => size + one.fileSize, 0n));
  const count = Math.min(large ? OFFSETS_OF_LIBRARIES : OFFSETS_EACH, total);
  for (let i = 0; i < count; i++) {
    let at = dice.below(total);
    for (const load of code) {
      const size = Number(load.fileSize);
      if (at < size) {
        compareOffset(both, alone, id, load.offset + BigInt(at), load.address + BigInt(at), result);
        break;
      }
      at -= size;
    }
  }
  // The first and last byte of each segment.
  for (const load of code) {
    for (const at of [load.address, load.address + load.fileSize - 1n]) {
      compareOffset(both, alone, id, offsetOf(loads, at)!, at, result);
    }
  }
  return result;
}

function compareOffset(
  both: SymbolizerLike,
  alone: SymbolizerLike,
  id: Uint8Array,
  offset: bigint,
  address: bigint,
  result: PairResult,
): void {
  const expected = both.lookup(id, offset);
  const got = alone.lookup(id, offset);
  result.offsets++;
  if (got.reconstructed !== true) result.unmarked++;
  const note = (what: string): void => {
    if (result.examples.length < EXAMPLES) result.examples.push(`offset 0x${offset.toString(16)}: ${what}`);
  };
  if (got.address !== address || expected.address !== address) {
    result.wrongAddresses++;
    note(`address 0x${address.toString(16)}, alone 0x${got.address?.toString(16)} ${got.reason ?? ""}`);
  } else if (expected.frames[0]?.source === ".plt") {
    // Stubs are made of the executable's instructions, which no debug file has.
    if (got.frames.length > 0) note("a stub that the debug file has a name for");
    result.unlike += got.frames.length;
  } else if (JSON.stringify(got.frames) !== JSON.stringify(expected.frames)) {
    result.unlike++;
    note(`alone ${JSON.stringify(got.frames)}, with the executable ${JSON.stringify(expected.frames)}`);
  }
}
