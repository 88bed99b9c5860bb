// Owns one subject's comparison from addresses to score.
import { readFileSync, rmSync } from "node:fs";
import { chooseAddresses, offsetOf, readLoads } from "./addresses.ts";
import { askGnu, askLlvm, type Chain } from "./answers.ts";
import { judge, type Score, tally } from "./compare.ts";
import { readSlots, readStubs, type Stub, stubAt, stubsCommand } from "./plt_labels.ts";
import { type Loaded, loadSubject, ourChain, type SymbolizerClass } from "./ours.ts";
import type { Subject } from "./subject.ts";
import { findTool, type Workspace } from "./tools.ts";

/** Differences that addr2line is asked about, at most. */
const MOST_OPINIONS = 200;
/** Addresses looked up by file offset as well, at most. */
const MOST_OFFSETS = 2000;
/** Stubs of which the first, a middle and the last byte are looked up besides, at most. */
const MOST_STUBS = 500;
/** Addresses of the demangled pass, at most. */
const MOST_DEMANGLED = 1000;

export interface MeasureOptions {
  addresses: number;
  seed: number;
  /** Leaves out the ends of functions and inlined calls, whose dump takes seconds for a large file. */
  quick?: boolean;
}

export async function measure(
  ws: Workspace,
  Symbolizer: SymbolizerClass,
  subject: Subject,
  options: MeasureOptions,
): Promise<Score> {
  const { addresses: chosen, all } = await chooseAddresses(ws, subject.asked, options);
  const stubs = await stubsOf(ws, subject);
  // Stubs are a small part of the code: few of the addresses chosen so far are in them.
  const more = thin(stubs, MOST_STUBS).flatMap(({ start, end }) => [start, start + (end - start) / 2n, end - 1n]);
  const addresses = [...new Set([...chosen, ...more])].sort((a, b) => a < b ? -1 : 1);
  const withStubs = (address: bigint, chain: Chain): Chain => {
    const stub = stubAt(stubs, address);
    return stub === undefined ? chain : [{ name: stub.name, file: undefined, line: undefined, column: undefined }];
  };
  const symbolized = await askLlvm(ws, subject, addresses);
  const theirs = symbolized.map((chain, i) => withStubs(addresses[i], chain));
  const loaded = await loadSubject(Symbolizer, subject);
  const { symbolizer, buildId } = loaded;
  const start = performance.now();
  const ours = addresses.map((address) => ourChain(symbolizer.lookupAddress(buildId, address)));
  const lookupMs = performance.now() - start;

  const differing = addresses.filter((_, i) => judge(ours[i], theirs[i]).kind !== undefined);
  const asked = thin(differing, MOST_OPINIONS);
  const opinions = await askGnu(ws, subject, asked);
  const gnu = new Map<bigint, Chain>(opinions?.map((chain, i) => [asked[i], withStubs(asked[i], chain)]));

  const score: Score = {
    subject,
    addresses: addresses.length,
    all,
    stubs: addresses.filter((address) => stubAt(stubs, address) !== undefined).length,
    names: 0,
    lines: 0,
    chains: 0,
    columns: 0,
    excused: 0,
    known: new Map(),
    groups: [],
    problems: loaded.problems,
    offsets: 0,
    offsetsUnlike: 0,
    loadMs: loaded.milliseconds,
    lookupMs,
  };
  tally(score, { addresses, ours, theirs, gnu });
  if (subject.mapped !== undefined) await compareOffsets(ws, loaded, subject.mapped, addresses, score);
  if (subject.demangled) {
    const known = addresses.filter((address) => stubAt(stubs, address) === undefined);
    await compareDemangled(ws, loaded, known, score);
  }
  return score;
}

/** The stubs of the file that we are given and that has their code; llvm-symbolizer 14 calls them nothing, or `_init`. */
async function stubsOf(ws: Workspace, { files }: Subject): Promise<Stub[]> {
  if (findTool("objdump") === undefined) return [];
  for (const { path } of files) {
    const ran = await ws.run(stubsCommand(path));
    const text = readFileSync(ran.stdoutPath, "utf8");
    rmSync(ran.stdoutPath, { force: true });
    if (!text.includes("Disassembly of section ")) continue;
    const stubs = readStubs(text, readSlots(await ws.text(["readelf", "-rW", path])));
    if (stubs.length > 0) return stubs;
  }
  return [];
}

/** At most `count` of the items, evenly spread. */
export function thin<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.floor(i * items.length / count)]);
}

/** An address and its file offset have one answer. */
async function compareOffsets(
  ws: Workspace,
  { symbolizer, buildId }: Loaded,
  mapped: string,
  addresses: readonly bigint[],
  score: Score,
): Promise<void> {
  const loads = await readLoads(ws, mapped);
  for (const address of thin(addresses, MOST_OFFSETS)) {
    const offset = offsetOf(loads, address);
    if (offset === undefined) continue;
    score.offsets++;
    const byOffset = symbolizer.lookup(buildId, offset);
    const byAddress = symbolizer.lookupAddress(buildId, address);
    const same = byOffset.address === address &&
      JSON.stringify(byOffset.frames) === JSON.stringify(byAddress.frames);
    if (same || score.offsetsUnlike++ > 0) continue;
    score.offsetExample = `offset 0x${offset.toString(16)} is address 0x${address.toString(16)}, ours: 0x${
      byOffset.address?.toString(16)
    } ${byOffset.reason ?? JSON.stringify(byOffset.frames)}`;
  }
}

/** Demangled names, of frames whose linkage names are equal. */
async function compareDemangled(
  ws: Workspace,
  { symbolizer, buildId }: Loaded,
  addresses: readonly bigint[],
  score: Score,
): Promise<void> {
  const chosen = thin(addresses, MOST_DEMANGLED);
  const theirs = await askLlvm(ws, score.subject, chosen);
  const answers = await askLlvm(ws, score.subject, chosen, true);
  const result: NonNullable<Score["demangled"]> = { compared: 0, unlike: 0 };
  chosen.forEach((address, i) => {
    const { frames } = symbolizer.lookupAddress(buildId, address);
    for (let j = 0; j < answers[i].length && j < frames.length; j++) {
      const linkage = theirs[i][j]?.name;
      if (linkage === undefined || frames[j].name !== linkage) continue;
      result.compared++;
      const mine = frames[j].demangled ?? frames[j].name;
      // LLVM 14 takes Rust's legacy names for C++ names: these have their own comparison.
      if (mine === answers[i][j].name || /^_ZN.*17h[0-9a-f]{16}E/.test(linkage)) continue;
      if (result.unlike++ === 0) result.example = `${linkage}: ours ${mine}, theirs ${answers[i][j].name}`;
    }
  });
  score.demangled = result;
}
