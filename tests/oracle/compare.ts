// Owns the comparison of two answers for one address, and the counts and groups of a subject's differences.
import { type Chain, chainText } from "./answers.ts";
import { type Difference, KNOWN_DIFFERENCES, type KnownDifference } from "./known_differences.ts";
import type { Subject } from "./subject.ts";

/** Goals, in percent. */
export const GOALS = { names: 99.95, lines: 99.9, chains: 99.9 };
/** Kept of a group; fewer are printed. */
const EXAMPLES_KEPT = 20;

/** Every name equal; every file and line equal; the whole of both, of equal length; and columns besides. */
export interface Verdict {
  names: boolean;
  lines: boolean;
  chains: boolean;
  columns: boolean;
  /** What differs first, in words; undefined where nothing but columns does. */
  kind: string | undefined;
}

export function judge(ours: Chain, theirs: Chain): Verdict {
  const long = ours.length === theirs.length;
  const names = long && ours.every((one, i) => one.name === theirs[i].name);
  const lines = long && ours.every((one, i) => one.file === theirs[i].file && one.line === theirs[i].line);
  const columns = long && ours.every((one, i) => one.column === theirs[i].column);
  return { names, lines, chains: names && lines, columns, kind: names && lines ? undefined : kindOf(ours, theirs) };
}

function kindOf(ours: Chain, theirs: Chain): string {
  if (ours.length === 0) return "we know nothing";
  if (theirs.length === 0) return "they know nothing";
  if (ours.length > theirs.length) return "our chain is longer";
  if (ours.length < theirs.length) return "our chain is shorter";
  const last = ours.length - 1;
  const kinds: string[] = [];
  const what = (a: unknown, b: unknown, field: string): void => {
    if (a === b) return;
    kinds.push(
      a === undefined ? `${field}: not known to us` : b === undefined ? `${field}: not known to them` : field,
    );
  };
  what(ours[last].name, theirs[last].name, last > 0 ? "outermost name" : "name");
  for (let i = 0; i < last && kinds.length === 0; i++) what(ours[i].name, theirs[i].name, "inlined name");
  for (let i = 0; i <= last && kinds.length < 2; i++) {
    const where = i === 0 ? "" : "caller's ";
    what(ours[i].file, theirs[i].file, `${where}file`);
    if (ours[i].file === theirs[i].file) what(ours[i].line, theirs[i].line, `${where}line`);
  }
  return kinds.slice(0, 2).join(", ");
}

/** Which side a second opinion takes. */
export function sideOf(difference: Difference): string {
  const { ours, theirs, gnu } = difference;
  if (gnu === undefined) return "addr2line not asked";
  const mine = sameAsGnu(ours, gnu);
  const other = sameAsGnu(theirs, gnu);
  return mine && other
    ? "addr2line: can't tell"
    : mine
    ? "addr2line: ours"
    : other
    ? "addr2line: theirs"
    : "addr2line: neither";
}

/** addr2line joins paths in its own way, and takes the outermost name from DWARF: only the last part counts. */
function sameAsGnu(chain: Chain, gnu: Chain): boolean {
  const tail = (path: string | undefined): string | undefined => path?.slice(path.lastIndexOf("/") + 1);
  return chain.length === gnu.length &&
    chain.every((one, i) =>
      one.name === gnu[i].name && one.line === gnu[i].line && tail(one.file) === tail(gnu[i].file)
    );
}

/** Differences with one look. */
export interface Group {
  title: string;
  count: number;
  examples: Difference[];
}

/** What a subject came to. */
export interface Score {
  subject: Subject;
  addresses: number;
  all: boolean;
  /** Addresses in stubs of the procedure linkage table, where objdump is asked instead. */
  stubs: number;
  names: number;
  lines: number;
  chains: number;
  columns: number;
  /** Addresses whose difference is the oracle's known fault: taken out of the percentages. */
  excused: number;
  known: Map<KnownDifference, { count: number; example: Difference }>;
  groups: Group[];
  problems: string[];
  /** Addresses whose file offset was looked up as well, and how many of those answers were unlike the address's. */
  offsets: number;
  offsetsUnlike: number;
  offsetExample?: string;
  demangled?: { compared: number; unlike: number; example?: string };
  loadMs: number;
  lookupMs: number;
}

export interface Answers {
  addresses: readonly bigint[];
  ours: readonly Chain[];
  theirs: readonly Chain[];
  /** addr2line's, for some of the addresses that differ. */
  gnu: ReadonlyMap<bigint, Chain>;
}

/** Counts into a score what was answered. */
export function tally(score: Score, { addresses, ours, theirs, gnu }: Answers): void {
  const groups = new Map<string, Group>();
  for (let i = 0; i < addresses.length; i++) {
    const verdict = judge(ours[i], theirs[i]);
    if (verdict.kind !== undefined) {
      const difference: Difference = {
        subject: score.subject,
        address: addresses[i],
        ours: ours[i],
        theirs: theirs[i],
        gnu: gnu.get(addresses[i]),
      };
      const cause = KNOWN_DIFFERENCES.find((one) => one.matches(difference));
      if (cause !== undefined) {
        const entry = score.known.get(cause);
        if (entry === undefined) score.known.set(cause, { count: 1, example: difference });
        else entry.count++;
        if (cause.fault === "oracle") {
          score.excused++;
          continue;
        }
      } else {
        const title = `${verdict.kind} (${sideOf(difference)})`;
        const group = groups.get(title) ?? { title, count: 0, examples: [] };
        groups.set(title, group);
        if (group.count++ < EXAMPLES_KEPT) group.examples.push(difference);
      }
    }
    if (verdict.names) score.names++;
    if (verdict.lines) score.lines++;
    if (verdict.chains) score.chains++;
    if (verdict.columns) score.columns++;
  }
  score.groups = [...groups.values()].sort((a, b) => b.count - a.count);
}

const percentOf = (count: number, score: Score): number =>
  score.addresses === score.excused ? 100 : 100 * count / (score.addresses - score.excused);

/** Percentages after what the oracle is known to get wrong is taken out. */
export function percentages(score: Score): { names: number; lines: number; chains: number; columns: number } {
  return {
    names: percentOf(score.names, score),
    lines: percentOf(score.lines, score),
    chains: percentOf(score.chains, score),
    columns: percentOf(score.columns, score),
  };
}

export function passes(score: Score): boolean {
  const { names, lines, chains } = percentages(score);
  return names >= GOALS.names && lines >= GOALS.lines && chains >= GOALS.chains && score.offsetsUnlike === 0;
}

/** Lines that let a reader check one difference. */
export function differenceText({ subject, address, ours, theirs, gnu }: Difference): string {
  const hex = `0x${address.toString(16)}`;
  const lines = [`      ${hex}`, `        ours    ${chainText(ours)}`, `        theirs  ${chainText(theirs)}`];
  if (gnu !== undefined) lines.push(`        GNU     ${chainText(gnu)}`);
  lines.push(`        truth:  llvm-dwarfdump --lookup=${hex} ${subject.asked}`);
  return lines.join("\n");
}
