// Owns what commands make of stacks: folded text, a pprof profile, a picture; printed or written to files.
import { plainText } from "../base/plain_text.ts";
import { processLabels } from "../profile/pprof_labels.ts";
import { encodePprof, type PprofOptions } from "../profile/pprof.ts";
import { flameGraph } from "../profile/flame_graph.ts";
import { type FoldedStacks, formatFolded } from "../profile/folded.ts";
import type { IndexedBinary } from "../symbolize/binary.ts";
import type { Symbolizer } from "../symbolize/symbolizer.ts";
import { type ParsedArgs, UsageError } from "./command.ts";
import { type DumpedStacks, foldDump, lookupStacks, summarize } from "./fold_dump.ts";
import type { Host } from "./host.ts";
import { checkWritable, identityOf, isStdout, writeFile } from "./write_file.ts";

/** The options of every command that prints stacks. */
export const OUTPUT_OPTIONS = ["folded", "pprof", "svg"] as const;

/** What help says of them, with what it says beginning in that column. */
export function outputHelp(column: number): string {
  const lines = [
    ["--folded FILE", "write folded stacks to a file; they are printed if no other output is asked for"],
    ["--pprof FILE", 'write a profile for "pprof" and what reads its format, such as FILE.pb.gz; packed with gzip'],
    ["--svg FILE", "write a flame graph, which browsers show: a click on a frame makes it wide, Ctrl-F searches"],
  ];
  return lines.map(([option, what]) => `  ${option.padEnd(column - 3)} ${what}\n`).join("") +
    `${" ".repeat(column)}FILE may be - for standard output\n`;
}

/**
 * Finds out whether the files can be written, before work is done for them, and whether each is another one.
 *
 * @param options `outputs`: options of other files that are written. `inputs`: options of files that are read.
 * @throws {UsageError} If two are the same.
 * @throws {Error} If one can't be written.
 */
export async function checkOutputs(
  parsed: ParsedArgs,
  options: { outputs?: readonly string[]; inputs?: readonly string[] } = {},
): Promise<void> {
  const { outputs = [], inputs = [] } = options;
  const known = new Map<string, string>();
  for (const name of inputs) {
    for (const path of parsed.values.get(name) ?? []) {
      const identity = await identityOf(path);
      if (identity !== undefined) known.set(identity, name);
    }
  }
  for (const name of [...OUTPUT_OPTIONS, ...outputs]) {
    const path = fileOf(parsed, name);
    if (path === undefined) continue;
    if (path === "") throw new UsageError(`--${name} needs a file`);
    const isPrinted = isStdout(path);
    if (isPrinted && outputs.includes(name)) throw new UsageError(`--${name} needs a file, not standard output`);
    const identity = isPrinted ? "-" : await identityOf(path);
    const other = identity === undefined ? undefined : known.get(identity);
    if (other !== undefined) throw new UsageError(`--${name} and --${other} are the same file, ${path}`);
    if (identity !== undefined) known.set(identity, name);
    if (!isPrinted) await checkWritable(path);
  }
}

/** The file that an option names, if it is given. */
function fileOf(parsed: ParsedArgs, name: string): string | undefined {
  return parsed.values.get(name)?.at(-1);
}

/**
 * Writes stacks as the command line says, and a summary on standard error. What can't be written is told there, and
 * keeps nothing else from being written.
 *
 * @param options `cut`: binaries of which only the start is at hand. `account`: what else is to be said, in lines that
 *   go before the summary. `silent`: whether something was written already, so that nothing is printed unasked.
 * @returns Whether all was written.
 */
export async function writeStacks(
  host: Host,
  parsed: ParsedArgs,
  stacks: DumpedStacks,
  symbolizer: Symbolizer,
  options: { cut?: ReadonlySet<IndexedBinary>; account?: string; silent?: boolean } = {},
): Promise<boolean> {
  const { cut, account = "", silent = false } = options;
  const linkageNames = parsed.flags.has("linkage-names");
  const [pprof, svg] = [fileOf(parsed, "pprof"), fileOf(parsed, "svg")];
  const folded = fileOf(parsed, "folded") ?? (silent || pprof !== undefined || svg !== undefined ? undefined : "-");
  const title = plainText(stacks.title);
  const symbolized = lookupStacks(stacks, symbolizer);
  const summary = `${account}${summarize(stacks, symbolizer, symbolized, cut)}`;
  let lines: FoldedStacks | undefined;
  const fold = (): FoldedStacks => lines ??= foldDump(stacks, symbolizer, linkageNames);
  let isWhole = true;
  const put = async (path: string | undefined, make: () => Uint8Array | string | Promise<Uint8Array>) => {
    if (path === undefined) return;
    try {
      const data = await make();
      if (isStdout(path)) host.write(data);
      else await writeFile(path, [typeof data === "string" ? new TextEncoder().encode(data) : data]);
    } catch (error) {
      isWhole = false;
      host.writeError(`${isStdout(path) ? "standard output" : path}: ${(error as Error).message}\n`);
    }
  };
  await put(folded, () => formatFolded(fold()));
  await put(svg, () => flameGraph(fold(), { title, subtitle: subtitleOf(stacks) }));
  await put(pprof, () =>
    gzipped(encodePprof(stacks.columns, symbolized, {
      ...pprofOptions(stacks, symbolizer),
      demangle: !linkageNames,
      comments: [title, ...summary.trimEnd().split("\n")],
    })));
  host.writeError(summary);
  return isWhole;
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
