// Owns the lines of /proc/PID/maps that samples need, and which of them holds an address.
import { FormatError } from "../../base/format_error.ts";
import { type AddressRanges, latestOfEach, rangeBelow, rangeColumns } from "../../memory/address_ranges.ts";
import { parseProcMaps, type ProcMapsEntry } from "../../memory/proc_maps.ts";

const NEWLINE = 10;
const SPACE = 32;
const X = 0x78;
const BRACKET = 0x5d;

/**
 * The lines that addresses of code can be in, and those of the stack and the heap, where wrong frame pointers lead.
 * Most lines of a process are others.
 */
export function codeLines(maps: string): string[] {
  const lines: string[] = [];
  for (let at = 0; at < maps.length;) {
    let stop = maps.indexOf("\n", at);
    if (stop < 0) stop = maps.length;
    let space = at;
    while (space < stop && maps.charCodeAt(space) !== SPACE) space++;
    const isNamed = maps.charCodeAt(stop - 1) === BRACKET && /\[(?:heap|stack)\]$/.test(maps.slice(stop - 7, stop));
    if (maps.charCodeAt(space + 3) === X || isNamed) lines.push(maps.slice(at, stop));
    at = stop + (maps.charCodeAt(stop) === NEWLINE ? 1 : 0);
  }
  return lines;
}

/** Whether a line maps something that has a name: a file, the vDSO. */
export function hasName(line: string): boolean {
  const last = line.charCodeAt(line.length - 1);
  // Anonymous memory's line ends with the inode, 0, and perhaps a space.
  return !(last === SPACE || (line.endsWith(" 0")));
}

/** The mappings of a text of /proc/PID/maps, leaving out lines of another form. */
export function entriesOf(maps: string): ProcMapsEntry[] {
  try {
    return parseProcMaps(maps);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  }
  // The kernel writes it page by page, and what was mapped before may be among it.
  const entries: ProcMapsEntry[] = [];
  for (const line of maps.split("\n")) {
    try {
      entries.push(...parseProcMaps(line));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return entries;
}

/** Mappings by address. Where they overlap, the later one counts. */
export class Mappings {
  readonly #entries: readonly ProcMapsEntry[];
  readonly #ranges: AddressRanges;

  /** @param maps Lines of `/proc/PID/maps`. */
  constructor(maps: string) {
    const entries = this.#entries = entriesOf(maps);
    const ranges = rangeColumns(entries.length);
    ranges.count = entries.length;
    entries.forEach(({ start, end }, i) => {
      const last = end - 1n;
      ranges.startHi[i] = Number(start >> 32n);
      ranges.startLo[i] = Number(start & 0xffff_ffffn);
      ranges.lastHi[i] = Number(last >> 32n);
      ranges.lastLo[i] = Number(last & 0xffff_ffffn);
      ranges.line[i] = i;
    });
    this.#ranges = latestOfEach(ranges);
  }

  /** The mapping that holds an address, given as upper and lower 32 bits. */
  at(hi: number, lo: number): ProcMapsEntry | undefined {
    const { lastHi, lastLo, line } = this.#ranges;
    const at = rangeBelow(this.#ranges, hi, lo);
    if (at < 0 || hi > lastHi[at] || (hi === lastHi[at] && lo > lastLo[at])) return undefined;
    return this.#entries[line[at]];
  }
}
