// Owns what is printed: differences by group, known causes, and the table at the end.
import { differenceText, GOALS, passes, percentages, type Score } from "./compare.ts";

/** A subject that could not be compared. */
export interface Skipped {
  name: string;
  reason: string;
}

/** Everything about one subject that its row in the table can't hold; empty for one without differences. */
export function scoreText(score: Score, examples: number): string {
  const { subject, groups, known, problems } = score;
  const lines: string[] = [];
  if (problems.length > 0) lines.push(`  problems of add(): ${problems.slice(0, 3).join("; ")}`);
  for (const { title, count, examples: some } of groups) {
    lines.push(`  ${count} × ${title}`);
    for (const one of some.slice(0, examples)) lines.push(differenceText(one));
  }
  for (const [cause, { count, example }] of known) {
    lines.push(`  ${count} × known (${cause.fault}): ${cause.cause}; ${cause.evidence}`);
    if (examples > 0) lines.push(differenceText(example));
  }
  if (score.offsetsUnlike > 0) {
    lines.push(
      `  ${score.offsetsUnlike} of ${score.offsets} file offsets unlike their address: ${score.offsetExample}`,
    );
  }
  const { demangled } = score;
  if (demangled !== undefined && demangled.unlike > 0) {
    lines.push(`  ${demangled.unlike} of ${demangled.compared} demangled names unlike: ${demangled.example}`);
  }
  if (lines.length === 0) return "";
  return [`${subject.name}${subject.note === undefined ? "" : ` (${subject.note})`}`, ...lines].join("\n");
}

const percent = (value: number): string => value === 100 ? "100" : value.toFixed(value > 99 ? 3 : 2);

/** The closing table. */
export function tableText(scores: readonly Score[], skipped: readonly Skipped[]): string {
  const head = [
    "subject",
    "addresses",
    "name %",
    "file:line %",
    "chain %",
    "column %",
    "excused",
    "offsets",
    "load",
    "look",
  ];
  const rows = scores.map((score) => {
    const { names, lines, chains, columns } = percentages(score);
    return [
      `${passes(score) ? "PASS" : "FAIL"} ${score.subject.name}`,
      `${score.addresses}${score.all ? " (all)" : ""}`,
      percent(names),
      percent(lines),
      percent(chains),
      percent(columns),
      String(score.excused),
      score.offsetsUnlike === 0 ? `${score.offsets} ok` : `${score.offsetsUnlike} bad`,
      `${score.loadMs.toFixed(0)} ms`,
      `${(1000 * score.lookupMs / score.addresses).toFixed(1)} µs`,
    ];
  });
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]): string =>
    cells.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ");
  const text = [line(head), ...rows.map(line)];
  for (const { subject: { name, note } } of scores) if (note !== undefined) text.push(`NOTE ${name}: ${note}`);
  for (const { name, reason } of skipped) text.push(`SKIP ${name}: ${reason}`);
  return text.join("\n");
}

/** Sums over all subjects, and the causes that were named. */
export function totalText(scores: readonly Score[]): string {
  const sum = (of: (score: Score) => number): number => scores.reduce((total, score) => total + of(score), 0);
  const addresses = sum((one) => one.addresses);
  const counted = Math.max(addresses - sum((one) => one.excused), 1);
  const share = (of: (score: Score) => number): string => percent(100 * sum(of) / counted);
  const failed = scores.filter((score) => !passes(score)).length;
  const lines = [
    `${scores.length} subjects, ${addresses} addresses, ${addresses - counted} excused: ` +
    `names ${share((s) => s.names)} %, file and line ${share((s) => s.lines)} %, ` +
    `whole chains ${share((s) => s.chains)} %, columns ${share((s) => s.columns)} %`,
    `${
      sum((one) => one.stubs)
    } addresses are in stubs of the procedure linkage table, which objdump was asked about`,
    `${scores.length - failed} subjects reach ${GOALS.names} / ${GOALS.lines} / ${GOALS.chains} %, ${failed} don't`,
  ];
  const groups = new Map<string, { count: number; subjects: number }>();
  const note = (title: string, count: number): void => {
    const entry = groups.get(title) ?? { count: 0, subjects: 0 };
    groups.set(title, { count: entry.count + count, subjects: entry.subjects + 1 });
  };
  for (const { groups: some, known } of scores) {
    for (const { title, count } of some) note(title, count);
    for (const [{ cause, fault }, { count }] of known) note(`known (${fault}): ${cause}`, count);
  }
  for (const [title, { count, subjects }] of [...groups].sort((a, b) => b[1].count - a[1].count)) {
    lines.push(`  ${count} × ${title}, in ${subjects} subjects`);
  }
  return lines.join("\n");
}
