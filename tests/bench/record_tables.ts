// Owns how the benchmark of `record` prints what it found.
import { ERRNO, errnoName } from "../../src/uapi/errno.ts";
import { demangle, type StackRecording } from "../../mod.ts";
import type { Design } from "./record_loads.ts";
import type { Cost, Measured } from "./record.ts";
import {
  type Agreement,
  type Profile,
  resolvedFrames,
  samplesByFunction,
  unknownFrames,
} from "./record_profiles.ts";

const percent = (part: number, of: number) => of === 0 ? "–" : `${(100 * part / of).toFixed(1)} %`;

/** A table in Markdown; the first column to the left, the others to the right. */
function table(rows: string[][]): void {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  const line = (row: string[]) =>
    `| ${row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join(" | ")} |`;
  console.log(line(rows[0]));
  console.log(
    `| ${widths.map((width, i) => i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`).join(" | ")} |`,
  );
  for (const row of rows.slice(1)) console.log(line(row));
}

/** Samples of both, how many frames have names, and whether both give an address the same one. */
export function printResolved(
  ours: Profile,
  perf: Profile | undefined,
  agreement: Agreement | undefined,
  title: string = "",
): void {
  const row = (name: string, profile: Profile) => {
    const once = resolvedFrames(profile, false);
    const weighted = resolvedFrames(profile, true);
    // All that counts where there are no frame pointers: what lies behind may be anything.
    const innermost = resolvedFrames(profile, true, 1);
    return [
      name,
      `${profile.samples}`,
      `${profile.stacks.length}`,
      `${once.frames}`,
      percent(once.named, once.frames),
      percent(weighted.named, weighted.frames),
      percent(innermost.named, innermost.frames),
    ];
  };
  console.log("");
  table([
    [title, "samples", "distinct stacks", "frames in them", "named", "named, by samples", "innermost named"],
    row("record", ours),
    ...(perf === undefined ? [] : [row("perf", perf)]),
  ]);
  for (const [name, profile] of [["record", ours], ["perf", perf]] as const) {
    if (profile === undefined) continue;
    const unknown = unknownFrames(profile);
    const { frames } = resolvedFrames(profile, true);
    if (unknown.length === 0) continue;
    const shown = unknown.slice(0, 6).map(([why, count]) => `${why} ${percent(count, frames)}`).join("; ");
    console.log(`    no names in ${name}, of frames by samples: ${shown}`);
  }
  if (agreement === undefined) return;
  const { addresses, same, other, onlyPerf, onlyOurs } = agreement;
  const some = (all: string[]) => all.length === 0 ? "" : `: ${all.slice(0, 6).join(", ")}`;
  console.log(
    `    addresses in files that perf sampled and both tools name: ${addresses}, ${same} of them by the same name`,
  );
  const others = [...other].sort((a, b) => b[1] - a[1]).map(([pair, n]) => n === 1 ? pair : `${pair} (${n})`);
  if (others.length > 0) console.log(`    other names for one address, perf's / ours${some(others)}`);
  if (onlyPerf.length > 0) console.log(`    ${onlyPerf.length} addresses that perf alone names${some(onlyPerf)}`);
  if (onlyOurs.length > 0) console.log(`    ${onlyOurs.length} addresses that record alone names${some(onlyOurs)}`);
}

/** Samples without a stack, by errno, and what perf says that it lost. */
export function printLosses({ lost }: StackRecording, perfErrors: string | undefined): void {
  const parts: string[] = [];
  for (const [kind, errors] of [["user", lost.user], ["kernel", lost.kernel]] as const) {
    for (const [error, count] of errors) {
      // Without the other stack it is a loss; alone it is a sample in user mode, or a thread of the kernel.
      const name = errnoName(error) ?? `${-error}`;
      parts.push(`${count} ${kind} -${name}${-error === ERRNO.EFAULT ? " (none at all)" : ""}`);
    }
  }
  if (lost.uncounted > 0) parts.push(`${lost.uncounted} not counted`);
  console.log(`    stacks lost by record: ${parts.length === 0 ? "none" : parts.join(", ")}`);
  const perf = perfErrors?.split("\n").filter((line) => /lost|LOST/.test(line)).join("; ");
  if (perfErrors !== undefined) console.log(`    lost by perf: ${perf === "" ? "it reports none" : perf}`);
}

/** A name as it is printed: without parameters and directories, and no longer than fits. */
function shortName(name: string): string {
  const text = demangle(name).replace(/\/\S*\//g, "").replace(/(?<=\w)\(.*$/, "");
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Rows of the tables of functions. */
const SHOWN = 10;

/**
 * The hottest functions in both, as shares of all samples. Both are random samples of the same run: of a share p
 * among m and n samples, the difference has the standard deviation sqrt(p (1 - p) (1/m + 1/n)).
 */
export function printHottest(
  title: string,
  ours: Profile,
  perf: Profile | undefined,
  { inclusive, design }: { inclusive: boolean; design: Design | undefined },
): void {
  const mine = samplesByFunction(ours, inclusive);
  const theirs = perf === undefined ? new Map<string, number>() : samplesByFunction(perf, inclusive);
  const [m, n] = [ours.samples, perf?.samples ?? 0];
  const share = (name: string) => [(mine.get(name) ?? 0) / m, n === 0 ? 0 : (theirs.get(name) ?? 0) / n];
  const names = [...new Set([...mine.keys(), ...theirs.keys()])]
    .map((name) => ({ name, sum: share(name)[0] + share(name)[1] })).sort((a, b) => b.sum - a.sum)
    .slice(0, inclusive ? SHOWN + 4 : SHOWN).map(({ name }) => name);
  // Samples elsewhere are no part of what has shares by construction.
  const inWork = (samples: Map<string, number>) =>
    (design?.of ?? []).reduce((sum, name) => sum + (samples.get(name) ?? 0), 0);
  const [workMine, workTheirs] = [inWork(mine), inWork(theirs)];
  const head = [`${title}: function`, "record", ...(n > 0 ? ["perf", "difference", "2 s.d.", "in s.d."] : [])];
  if (design !== undefined) head.push("by design", "record", ...(n > 0 ? ["perf"] : []));
  let largest = { text: "", points: 0, deviations: 0, beyond: 0 };
  const rows = names.map((name) => {
    const [p, q] = share(name);
    const row = [shortName(name), percent(p, 1)];
    if (n > 0) {
      const pooled = ((mine.get(name) ?? 0) + (theirs.get(name) ?? 0)) / (m + n);
      const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / m + 1 / n));
      const deviations = deviation === 0 ? 0 : (p - q) / deviation;
      row.push(percent(q, 1), `${(100 * (p - q)).toFixed(1)}`, `±${(200 * deviation).toFixed(1)}`);
      row.push(deviations.toFixed(1));
      const beyond = largest.beyond + (Math.abs(deviations) > 2 ? 1 : 0);
      largest = Math.abs(p - q) > largest.points
        ? { text: name, points: Math.abs(p - q), deviations: Math.abs(deviations), beyond }
        : { ...largest, beyond };
    }
    if (design !== undefined) {
      const has = design.shares[name] !== undefined;
      row.push(has ? `${design.shares[name].toFixed(0)} %` : "");
      row.push(has ? percent(mine.get(name) ?? 0, workMine) : "");
      if (n > 0) row.push(has ? percent(theirs.get(name) ?? 0, workTheirs) : "");
    }
    return row;
  });
  console.log("");
  table([head, ...rows]);
  if (n === 0) return;
  console.log(
    `    largest difference: ${(100 * largest.points).toFixed(1)} points (${
      largest.deviations.toFixed(1)
    } s.d.) in ` +
      `${shortName(largest.text)}; ${largest.beyond} of ${rows.length} beyond 2 s.d., where chance gives ` +
      `${(0.05 * rows.length).toFixed(1)}; 2 s.d. of a share of 50 %: ±${
        (100 * Math.sqrt(1 / m + 1 / n)).toFixed(1)
      } points`,
  );
}

/** CPU seconds of both, phase by phase, and as a share of one CPU while sampling. */
export function printCost({ ours, program, perf, script }: Measured, samples: number, seconds: number): void {
  const row = (name: string, { startUp, sampling, secondHalf, end, sampled, ended }: Cost) => [
    name,
    startUp.toFixed(2),
    sampling.toFixed(3),
    `${(100 * sampling / sampled).toFixed(2)} %`,
    `${(200 * secondHalf / sampled).toFixed(2)} %`,
    end.toFixed(2),
    ended.user.toFixed(2),
    ended.system.toFixed(2),
    ended.wall.toFixed(1),
  ];
  console.log("");
  table([
    ["CPU seconds", "start", "sampling", "of one CPU", "2nd half", "end", "user, all", "system, all", "wall"],
    row("record", ours),
    ...(perf === undefined ? [] : [row("perf record", perf)]),
    ...(script === undefined ? [] : [[
      "perf script, to name",
      "",
      "",
      "",
      "",
      (script.user + script.system).toFixed(2),
      script.user.toFixed(2),
      script.system.toFixed(2),
      script.wall.toFixed(1),
    ]]),
  ]);
  if (program === undefined) return;
  const { nanoseconds, runs } = program;
  console.log(
    `    record's program in the kernel, on top of that: ${
      (nanoseconds / 1e6).toFixed(1)
    } ms in ${runs} runs for ` +
      `${samples} samples: ${(nanoseconds / samples / 1000).toFixed(1)} µs a sample, ` +
      `${(nanoseconds / 1e7 / seconds).toFixed(3)} % of one CPU`,
  );
}
