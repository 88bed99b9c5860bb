// Owns `survey`: how many files of a directory have their build ID where each kernel looks.
import { toHex } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import { locateBuildId, type LocatedBuildId } from "../elf/build_id.ts";
import { type BuildIdOutcome, explainBuildIdParse } from "../kernel/build_id_parse.ts";
import { KERNEL_RELEASES } from "../kernel/profile.ts";
import { type MappedFile, PAGE_SIZE } from "../memory/mapped_file.ts";
import { type Command, EXIT_FAILED, EXIT_OK, type ParsedArgs, percent, UsageError } from "./command.ts";
import { type Host, type OpenFile, walk } from "./host.ts";

/** `survey DIR…`. */
export const command: Command = {
  summary: "count where the binaries of a directory have their build IDs",
  help: `usage: stackmap survey DIR…

The patch that brought build IDs to stack maps says that almost all binaries have the build ID in the first page.
Counts it for real directories: in the first page, elsewhere, none, not ELF; and what build_id_parse() of each
modelled kernel would answer with every page of the file in the page cache. Symbolic links are not followed.

exit code: 0, or 1 if a file can't be read
`,
  run,
};

interface Counts {
  files: number;
  notElf: number;
  firstPage: number;
  elsewhere: number;
  none: number;
  malformed: number;
  unreadable: number;
  /** What each kernel answers for ELF files, by outcome. */
  kernels: Map<string, Map<BuildIdOutcome, number>>;
  /** ELF files for which a kernel finds another ID than the general reader. */
  otherId: Map<string, number>;
}

function run(host: Host, { operands }: ParsedArgs): number {
  if (operands.length === 0) throw new UsageError("survey needs a directory");
  for (const operand of operands) {
    if (host.kind(operand) === undefined) throw new UsageError(`${operand}: there is no such file or directory`);
  }
  const counts: Counts = {
    files: 0,
    notElf: 0,
    firstPage: 0,
    elsewhere: 0,
    none: 0,
    malformed: 0,
    unreadable: 0,
    kernels: new Map(KERNEL_RELEASES.map((release) => [release, new Map()])),
    otherId: new Map(KERNEL_RELEASES.map((release) => [release, 0])),
  };
  const complain = (path: string, error: Error) => {
    counts.unreadable++;
    host.writeError(`${path}: ${error.message}\n`);
  };
  for (const operand of operands) {
    for (const path of walk(host, operand, complain)) {
      counts.files++;
      if (host.interactive() && counts.files % 500 === 0) host.writeError(`\r${counts.files} files …`);
      try {
        const file = host.open(path);
        try {
          count(file, counts);
        } finally {
          file.close();
        }
      } catch (error) {
        complain(path, error as Error);
      }
    }
  }
  if (host.interactive()) host.writeError("\r\x1b[K");
  host.write(report(operands.join(" "), counts));
  return counts.unreadable === 0 ? EXIT_OK : EXIT_FAILED;
}

function count(file: OpenFile, counts: Counts): void {
  const head = file.read(0, 4);
  if (!(head.length === 4 && head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46)) {
    counts.notElf++;
    return;
  }
  let located: LocatedBuildId | undefined;
  try {
    located = locateBuildId((offset, length) => file.read(offset, length));
    if (located === undefined) counts.none++;
    else if (located.fileOffset + located.buildId.length <= PAGE_SIZE) counts.firstPage++;
    else counts.elsewhere++;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    counts.malformed++;
  }
  const mapped: MappedFile = {
    readPage(index) {
      const bytes = file.read(index * PAGE_SIZE, PAGE_SIZE);
      if (bytes.length === 0) return undefined;
      const page = new Uint8Array(PAGE_SIZE);
      page.set(bytes);
      return page;
    },
  };
  for (const release of KERNEL_RELEASES) {
    const { outcome, buildId } = explainBuildIdParse(mapped, release);
    const outcomes = counts.kernels.get(release)!;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (buildId !== undefined && toHex(buildId) !== toHex(located?.buildId ?? new Uint8Array(0)).padEnd(40, "0")) {
      counts.otherId.set(release, counts.otherId.get(release)! + 1);
    }
  }
}

const FOUND_FIRST = (a: [string, number], b: [string, number]) =>
  (a[0] === "found" ? -1 : b[0] === "found" ? 1 : 0) || b[1] - a[1];

function report(name: string, counts: Counts): string {
  const elf = counts.firstPage + counts.elsewhere + counts.none + counts.malformed;
  const line = (label: string, value: number) =>
    `  ${label.padEnd(36)} ${String(value).padStart(7)}  ${percent(value, elf).padStart(7)}\n`;
  let text = `${name}: ${counts.files} files, ${counts.notElf} not ELF, ${elf} ELF\n`;
  text += line("build ID in the first page", counts.firstPage);
  text += line("build ID elsewhere", counts.elsewhere);
  text += line("no build ID", counts.none);
  text += line("malformed", counts.malformed);
  for (const [release, outcomes] of counts.kernels) {
    text += `build_id_parse() of ${release}:\n`;
    for (const [outcome, value] of [...outcomes].sort(FOUND_FIRST)) text += line(outcome, value);
    const other = counts.otherId.get(release)!;
    if (other > 0) text += line("found, but another ID than readelf's", other);
  }
  return text;
}
