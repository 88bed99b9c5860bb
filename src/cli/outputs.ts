// Owns what commands make of stacks: folded text, a pprof profile, a picture; printed or written to files.
import { processLabels } from "../profile/pprof_labels.ts";
import { encodePprof, type PprofOptions } from "../profile/pprof.ts";
import { flameGraph } from "../profile/flame_graph.ts";
import { formatFolded } from "../profile/folded.ts";
import type { IndexedBinary } from "../symbolize/binary.ts";
import type { Symbolizer } from "../symbolize/symbolizer.ts";
import { type ParsedArgs, UsageError } from "./command.ts";
import { type DumpedStacks, foldDump, lookupStacks, summarize } from "./fold_dump.ts";
import type { Host } from "./host.ts";
import { checkWritable, writeFile } from "./write_file.ts";

/** The options of every command that prints stacks. */
export const OUTPUT_OPTIONS = ["folded", "pprof", "svg"] as const;

/** What help says of them, with what it says beginning in that column. */
export function outputHelp(column: number): string {
  const lines = [
    ["--folded FILE", "write folded stacks to a file; - is standard output, where they go if no file is asked for"],
    [
      "--pprof FILE",
      'write a profile for "pprof" and whatever reads its format, such as FILE.pb.gz; packed with gzip',
    ],
    ["--svg FILE", "write a flame graph, which browsers show: a click on a frame makes it wide, Ctrl-F searches"],
  ];
  return lines.map(([option, what]) => `  ${option.padEnd(column - 3)} ${what}\n`).join("");
}

/** Finds out whether the files can be written, before work is done for them. @throws {Error} If not. */
export async function checkOutputs(parsed: ParsedArgs): Promise<void> {
  for (const name of OUTPUT_OPTIONS) {
    const path = fileOf(parsed, name);
    if (path === "-" && name === "pprof") throw new UsageError("--pprof needs a file; /dev/stdout is one, too");
    if (path !== undefined && path !== "-") await checkWritable(path);
  }
}

function fileOf(parsed: ParsedArgs, name: string): string | undefined {
  return parsed.values.get(name)?.at(-1);
}

/**
 * Writes stacks as the command line says, and a summary on standard error.
 *
 * @param options `cut`: binaries of which only the start is at hand. `account`: what else is to be said, in lines that
 *   go before the summary. `silent`: whether something was written already, so that nothing is printed unasked.
 */
export async function writeStacks(
  host: Host,
  parsed: ParsedArgs,
  stacks: DumpedStacks,
  symbolizer: Symbolizer,
  options: { cut?: ReadonlySet<IndexedBinary>; account?: string; silent?: boolean } = {},
): Promise<void> {
  const { cut, account = "", silent = false } = options;
  const linkageNames = parsed.flags.has("linkage-names");
  const [pprof, svg] = [fileOf(parsed, "pprof"), fileOf(parsed, "svg")];
  const folded = fileOf(parsed, "folded") ?? (silent || pprof !== undefined || svg !== undefined ? undefined : "-");
  const symbolized = lookupStacks(stacks, symbolizer);
  const summary = `${account}${summarize(stacks, symbolizer, symbolized, cut)}`;
  if (folded !== undefined || svg !== undefined) {
    const lines = foldDump(stacks, symbolizer, linkageNames);
    if (folded !== undefined) await writeText(host, folded, formatFolded(lines));
    if (svg !== undefined) {
      await writeText(host, svg, flameGraph(lines, { title: stacks.title, subtitle: subtitleOf(stacks) }));
    }
  }
  if (pprof !== undefined) {
    const profile = encodePprof(stacks.columns, symbolized, {
      ...pprofOptions(stacks, symbolizer),
      demangle: !linkageNames,
      comments: [stacks.title, ...summary.trimEnd().split("\n")],
    });
    await writeFile(pprof, [await gzipped(profile)]);
  }
  host.writeError(summary);
}

async function writeText(host: Host, path: string, text: string): Promise<void> {
  if (path === "-") host.write(text);
  else await writeFile(path, [new TextEncoder().encode(text)]);
}

async function gzipped(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function pprofOptions(
  { counts, skipped, processOf, sampling }: DumpedStacks,
  symbolizer: Symbolizer,
): PprofOptions {
  return {
    ...(counts !== undefined && { counts }),
    ...(skipped !== undefined && { skipped }),
    ...(processOf !== undefined && { labels: (s) => processLabels(processOf(s)) }),
    ...(sampling !== undefined && {
      period: { type: "cpu", unit: "nanoseconds", value: whole(1e9 / sampling.frequency) },
      timeMilliseconds: whole(Date.parse(sampling.started)),
      durationMilliseconds: whole(1000 * sampling.seconds),
    }),
    binaries: symbolizer.binaries,
  };
}

/** A recording says what it likes: no number that is none, and no time that 64 bits of nanoseconds can't hold. */
function whole(value: number): number {
  return Math.round(Math.min(9e12, Math.max(0, value))) || 0;
}

function subtitleOf({ sampling }: DumpedStacks): string {
  if (sampling === undefined) return "";
  const { frequency, seconds, machine, nrCpus, started } = sampling;
  return `${frequency} Hz for ${seconds.toFixed(1)} s from ${started}, ${machine}, ${nrCpus} CPU${
    nrCpus === 1 ? "" : "s"
  }`;
}
