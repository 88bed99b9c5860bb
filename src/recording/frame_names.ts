// Owns what frames without a build ID are called, by the texts that a recording has, and which lines of them it
// needs.
import { NameTable } from "../base/name_table.ts";
import { type AddressNames, parseKallsyms, parsePerfMap } from "../memory/address_names.ts";
import { MappingNames } from "../memory/mapping_names.ts";
import type { StackColumns } from "../dump/columns.ts";
import { BPF_STACK_BUILD_ID_IP } from "../uapi/bpf.ts";
import type { RecordingFiles } from "./archive_fields.ts";

/** Names of the lines of one text by number, each looked at once. */
class LineNames {
  readonly #lines: AddressNames;
  readonly #names: NameTable;
  readonly #numbers = new Map<number, number>();

  constructor(lines: AddressNames, names: NameTable) {
    this.#lines = lines;
    this.#names = names;
  }

  /** Number of an address's name, 0 if it has none. */
  at(hi: number, lo: number): number {
    const line = this.#lines.find(hi, lo);
    if (line < 0) return 0;
    let number = this.#numbers.get(line);
    if (number === undefined) this.#numbers.set(line, number = this.#names.intern(this.#lines.name(line)));
    return number;
  }
}

/** Names of the archive's files. */
export const KALLSYMS = "kallsyms";
export function mapsFile(pid: number): string {
  return `${pid}/maps`;
}
export function perfMapFile(pid: number): string {
  return `${pid}/perf.map`;
}

function textOf({ files }: RecordingFiles, name: string): string | undefined {
  const bytes = files.get(name);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

/** Most lines of all texts: some 80 bytes each while they are read. A frame needs one at most. */
const MOST_LINES = 1 << 22;
const LINE_FEED = 0x0a;

/**
 * A table for the names that a recording gives: nearly every one is a part of its texts.
 *
 * @throws {RangeError} If those have over 4,194,304 lines.
 */
export function nameTable({ files }: RecordingFiles): NameTable {
  let bytes = 0;
  let lines = 0;
  for (const [name, content] of files) {
    if (!/^kallsyms$|\/maps$|\/perf\.map$/.test(name)) continue;
    bytes += content.length;
    for (let at = content.indexOf(LINE_FEED); at >= 0; at = content.indexOf(LINE_FEED, at + 1)) {
      if (++lines > MOST_LINES) throw new RangeError(`has texts of more than ${MOST_LINES} lines`);
    }
  }
  return new NameTable(bytes);
}

/** Number, less one, of the name of each row of the kernel's stacks; -1 where there is none. */
export function kernelNames(kernel: StackColumns, recording: RecordingFiles, names: NameTable): Int32Array {
  const { first, offsetHi, offsetLo } = kernel;
  const numbers = new Int32Array(offsetLo.length).fill(-1);
  const text = textOf(recording, KALLSYMS);
  if (text === undefined || numbers.length === 0) return numbers;
  const lines = new LineNames(parseKallsyms(text), names);
  for (let s = 0; s + 1 < first.length; s++) {
    for (let row = first[s]; row < first[s + 1]; row++) {
      const back = row === first[s] ? 0 : 1;
      const hi = offsetHi[row], lo = offsetLo[row];
      numbers[row] = lines.at(lo < back ? hi - 1 : hi, (lo - back) >>> 0) - 1;
    }
  }
  return numbers;
}

/** Names of one process's addresses. */
export class ProcessNames {
  readonly #names: NameTable;
  readonly #perfMap: LineNames | undefined;
  readonly #mappings: MappingNames | undefined;
  /** Where the frames of a user stack are that were named already. */
  readonly #done = new Map<number, number>();

  constructor(pid: number, recording: RecordingFiles, names: NameTable) {
    this.#names = names;
    const perfMap = textOf(recording, perfMapFile(pid));
    const maps = textOf(recording, mapsFile(pid));
    this.#perfMap = perfMap === undefined ? undefined : new LineNames(parsePerfMap(perfMap), names);
    this.#mappings = maps === undefined ? undefined : new MappingNames(maps);
  }

  /**
   * Names the rows from `row` to before `end`, which are the user stack with a number: the name's number less one.
   */
  name(
    columns: StackColumns & { innermost: Uint8Array; nameIndex: Int32Array },
    row: number,
    end: number,
    userStack: number,
  ): void {
    if (this.#perfMap === undefined && this.#mappings === undefined) return;
    const { nameIndex, status, innermost, offsetHi, offsetLo } = columns;
    const before = this.#done.get(userStack);
    if (before !== undefined) {
      nameIndex.copyWithin(row, before, before + (end - row));
      return;
    }
    this.#done.set(userStack, row);
    for (let at = row; at < end; at++) {
      if (status[at] !== BPF_STACK_BUILD_ID_IP) continue;
      nameIndex[at] = this.#number(offsetHi[at], offsetLo[at], 1 - innermost[at]) - 1;
    }
  }

  #number(hi: number, lo: number, back: number): number {
    const number = this.#perfMap?.at(lo < back ? hi - 1 : hi, (lo - back) >>> 0) ?? 0;
    if (number > 0) return number;
    const name = this.#mappings?.lookup(hi, lo, back);
    return name === undefined ? 0 : this.#names.intern(name);
  }
}

/** Addresses that are looked up, in two columns. */
class LookedUp {
  readonly hi: number[] = [];
  readonly lo: number[] = [];

  add(hi: number, lo: number, back: number): void {
    this.hi.push(lo < back ? hi - 1 : hi);
    this.lo.push((lo - back) >>> 0);
  }

  /** Those in which `keep` says so. */
  filter(keep: (hi: number, lo: number) => boolean): LookedUp {
    const out = new LookedUp();
    for (let i = 0; i < this.lo.length; i++) if (keep(this.hi[i], this.lo[i])) out.add(this.hi[i], this.lo[i], 0);
    return out;
  }
}

/** The lines of `/proc/kallsyms` that kernel stacks need. */
export function neededKallsyms(kernel: StackColumns, text: string): string {
  const { first, offsetHi, offsetLo } = kernel;
  const addresses = new LookedUp();
  for (let s = 0; s + 1 < first.length; s++) {
    for (let row = first[s]; row < first[s + 1]; row++) {
      addresses.add(offsetHi[row], offsetLo[row], row === first[s] ? 0 : 1);
    }
  }
  return addresses.lo.length === 0 ? "" : parseKallsyms(text).subset(addresses);
}

/**
 * The lines that a process's frames without a build ID need: of its perf map those that name one, of its mappings
 * those that hold one that the perf map does not name.
 */
export function neededLines(
  user: StackColumns,
  stacks: Iterable<number>,
  texts: { maps?: string; perfMap?: string },
): { maps: string; perfMap: string } {
  const { first, status, offsetHi, offsetLo } = user;
  let addresses = new LookedUp();
  for (const s of stacks) {
    for (let row = first[s]; row < first[s + 1]; row++) {
      if (status[row] === BPF_STACK_BUILD_ID_IP) {
        addresses.add(offsetHi[row], offsetLo[row], row === first[s] ? 0 : 1);
      }
    }
  }
  const needed = { maps: "", perfMap: "" };
  if (texts.perfMap !== undefined && addresses.lo.length > 0) {
    const lines = parsePerfMap(texts.perfMap);
    needed.perfMap = lines.subset(addresses);
    addresses = addresses.filter((hi, lo) => lines.find(hi, lo) < 0);
  }
  if (texts.maps !== undefined && addresses.lo.length > 0) {
    needed.maps = new MappingNames(texts.maps).subset(addresses);
  }
  return needed;
}
