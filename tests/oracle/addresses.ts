// Owns the choice of addresses: bytes at random and boundaries, taken from what readelf and llvm-dwarfdump print.
import type { Workspace } from "./tools.ts";

/** A range of code, in virtual addresses. */
export interface Section {
  name: string;
  start: bigint;
  size: bigint;
}

/** Seeded generator: splitmix32. Its own, so that the project's is not judged by itself. */
export class Dice {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }
  below(limit: number): number {
    return Math.floor(this.next() / 2 ** 32 * limit);
  }
}

/** Keeps a fair sample of any number of things. */
export class Sample<T> {
  readonly items: T[] = [];
  readonly #size: number;
  readonly #dice: Dice;
  #seen = 0;
  constructor(size: number, dice: Dice) {
    this.#size = size;
    this.#dice = dice;
  }
  push(item: T): void {
    this.#seen++;
    if (this.items.length < this.#size) this.items.push(item);
    else {
      const at = this.#dice.below(this.#seen);
      if (at < this.#size) this.items[at] = item;
    }
  }
}

export async function readSections(ws: Workspace, path: string): Promise<Section[]> {
  const sections: Section[] = [];
  const row = /^\s*\[\s*\d+\]\s+(\S*)\s+\S+\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+[0-9a-f]+\s+([A-Za-z]*)\s/;
  for (const line of (await ws.text(["readelf", "-SW", path])).split("\n")) {
    const match = row.exec(line);
    if (match === null || !match[4].includes("X") || match[3] === "000000") continue;
    sections.push({ name: match[1], start: BigInt(`0x${match[2]}`), size: BigInt(`0x${match[3]}`) });
  }
  return sections;
}

/** Load segments as `readelf -l` prints them. */
export interface Load {
  offset: bigint;
  address: bigint;
  fileSize: bigint;
  executable: boolean;
}

export async function readLoads(ws: Workspace, path: string): Promise<Load[]> {
  const loads: Load[] = [];
  const row = /^\s+LOAD\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s+0x[0-9a-f]+\s+(.{3})/;
  for (const line of (await ws.text(["readelf", "-lW", path])).split("\n")) {
    const match = row.exec(line);
    if (match === null) continue;
    const [offset, address, fileSize] = [1, 2, 3].map((i) => BigInt(`0x${match[i]}`));
    loads.push({ offset, address, fileSize, executable: match[4].includes("E") });
  }
  return loads;
}

/** The file offset of an address in an executable segment; undefined outside of them. */
export function offsetOf(loads: readonly Load[], address: bigint): bigint | undefined {
  const load = loads.find((one) =>
    one.executable && address >= one.address && address < one.address + one.fileSize
  );
  return load === undefined ? undefined : address - load.address + load.offset;
}

/** Addresses chosen, ascending, and how. */
export interface Choice {
  addresses: bigint[];
  /** Every byte of code is in it. */
  all: boolean;
}

/**
 * About that many addresses of the file at `path`: 40 % random bytes of executable sections, 30 % starts, ends and
 * middles of symbols, 15 % line-table rows, 15 % ends of functions and inlined calls, these with neighbours.
 * Files of less code than that give every byte.
 */
export async function chooseAddresses(
  ws: Workspace,
  path: string,
  { addresses: count, seed, quick }: { addresses: number; seed: number; quick?: boolean },
): Promise<Choice> {
  const sections = await readSections(ws, path);
  const total = sections.reduce((sum, one) => sum + Number(one.size), 0);
  const dice = new Dice(seed);
  const chosen = new Set<bigint>();
  const inside = (address: bigint): boolean =>
    sections.some((one) => address >= one.start - 1n && address <= one.start + one.size);
  if (total <= count) {
    for (const { start, size } of sections) {
      for (let at = start - 1n; at <= start + size; at++) if (at >= 0n) chosen.add(at);
    }
    return { addresses: [...chosen].sort(ascending), all: true };
  }
  const add = (address: bigint): void => {
    if (address >= 0n && inside(address)) chosen.add(address);
  };
  const symbols = await sampleSymbols(ws, path, Math.ceil(count * 0.1), dice);
  for (const { value, size } of symbols.items) {
    for (const one of [value, value + size, value + size - 1n, value + size / 2n, value - 1n]) add(one);
  }
  const rows = await sampleRows(ws, path, Math.ceil(count * 0.06), dice);
  for (const row of rows.items) for (const near of [-1n, 0n, 1n]) add(row + near);
  if (!quick) {
    const ends = await sampleEnds(ws, path, Math.ceil(count * 0.07), dice);
    for (const end of ends.items) for (const near of [-1n, 0n, 1n]) add(end + near);
  }
  const boundaries = [...chosen];
  chosen.clear();
  const most = Math.floor(count * 0.6);
  while (boundaries.length > most) {
    const at = dice.below(boundaries.length);
    boundaries[at] = boundaries[boundaries.length - 1];
    boundaries.pop();
  }
  for (const one of boundaries) chosen.add(one);
  while (chosen.size < count) {
    let at = dice.below(total);
    for (const { start, size } of sections) {
      if (at < Number(size)) {
        chosen.add(start + BigInt(at));
        break;
      }
      at -= Number(size);
    }
  }
  return { addresses: [...chosen].sort(ascending), all: false };
}

const ascending = (a: bigint, b: bigint): number => a < b ? -1 : a > b ? 1 : 0;

async function sampleSymbols(ws: Workspace, path: string, count: number, dice: Dice): Promise<Sample<Range>> {
  const sample = new Sample<Range>(count, dice);
  const row = /^\s*\d+: ([0-9a-f]+)\s+(0x[0-9a-f]+|\d+)\s+(FUNC|IFUNC|NOTYPE|OBJECT)\s/;
  for await (const line of ws.lines(["readelf", "-sW", path])) {
    const match = row.exec(line);
    if (match !== null) sample.push({ value: BigInt(`0x${match[1]}`), size: BigInt(match[2]) });
  }
  return sample;
}

interface Range {
  value: bigint;
  size: bigint;
}

async function sampleRows(ws: Workspace, path: string, count: number, dice: Dice): Promise<Sample<bigint>> {
  const sample = new Sample<bigint>(count, dice);
  for await (const line of ws.lines(["llvm-dwarfdump", "--debug-line", path])) {
    if (line.charCodeAt(0) !== 48 /* 0 */ || line.charCodeAt(18) !== 32) continue;
    sample.push(BigInt(line.slice(0, 18)));
  }
  return sample;
}

/** Lines of the dump read for ends of functions: the dump of a large file has gigabytes. */
const MOST_END_LINES = 300_000;

async function sampleEnds(ws: Workspace, path: string, count: number, dice: Dice): Promise<Sample<bigint>> {
  const sample = new Sample<bigint>(count, dice);
  const script = 'llvm-dwarfdump --debug-info "$0" 2>/dev/null' +
    ` | grep -aE "DW_AT_(low|high)_pc|^ *\\[0x" | head -n ${MOST_END_LINES}`;
  for await (const line of ws.lines(["sh", "-c", script, path])) {
    for (const [text] of line.matchAll(/0x[0-9a-f]{8,16}\b/g)) sample.push(BigInt(text));
  }
  return sample;
}
