// Owns what a process's mappings say of addresses: build ID and file offset as the kernel would have written them, or
// the name that a just-in-time compiler or the kernel's own table has.
import type { StackColumns } from "../../dump/columns.ts";
import { parseKallsyms, parsePerfMap } from "../../memory/address_names.ts";
import { commOf, kallsyms, perfMapOf, processMaps } from "../../linux/linux.ts";
import { BPF_BUILD_ID_SIZE, BPF_STACK_BUILD_ID_IP, BPF_STACK_BUILD_ID_VALID } from "../../uapi/bpf.ts";
import { detached } from "./limits.ts";
import { type LocalBinaries, paddedId } from "./local_binaries.ts";
import { codeLines, Mappings } from "./mappings.ts";
import { PerfMaps } from "./perf_maps.ts";

/** From here on addresses are the kernel's: upper 32 bits. */
const KERNEL_HI = 0x8000_0000;

/**
 * Columns in which frames that are addresses became build ID and offset, or have a name.
 *
 * @param pidOf The process of each stack; `undefined`: not known, its user frames stay.
 */
export function translateAddresses(
  columns: StackColumns,
  binaries: LocalBinaries,
  pidOf: (stack: number) => number | undefined,
): StackColumns {
  const translated = new Translated(columns);
  const rows = rowsByProcess(columns, pidOf);
  const kernelRows = rows.get("kernel");
  if (kernelRows !== undefined) {
    const kernel = parseKallsyms(kallsyms());
    for (const row of kernelRows) {
      const { hi, lo } = translated.at(row);
      translated.setName(row, kernel.lookup(hi, lo)?.name);
    }
  }
  const perfMaps = new PerfMaps(binaries);
  // One process at a time: what their perf maps have is much more than what is needed of it.
  for (const [pid, own] of rows) {
    if (pid === "kernel") continue;
    const text = perfMaps.read(pid, commOf(pid) ?? "", (maxBytes, tooLarge) => perfMapOf(pid, maxBytes, tooLarge));
    const names = text === undefined ? undefined : parsePerfMap(text);
    const maps = processMaps(pid, binaries.limits.mapsBytes) ?? "";
    const mappings = new Mappings(codeLines(maps).join("\n"));
    for (const row of own) {
      const { hi, lo } = translated.at(row);
      const name = names?.lookup(hi, lo)?.name;
      translated.setName(row, name);
      const place = name === undefined ? binaries.place(pid, mappings, hi, lo) : undefined;
      // A longer id has no place in a frame.
      if (place === undefined || place.binary.id.length > BPF_BUILD_ID_SIZE) continue;
      translated.setPlace(row, place.binary.id, place.fileOffset);
    }
  }
  return translated.columns();
}

/** Rows that are addresses, of each process and of the kernel, in the order of the columns. */
function rowsByProcess(
  { first, status, offsetHi }: StackColumns,
  pidOf: (stack: number) => number | undefined,
): Map<number | "kernel", number[]> {
  const rows = new Map<number | "kernel", number[]>();
  for (let s = 0; s + 1 < first.length; s++) {
    const pid = pidOf(s);
    for (let row = first[s]; row < first[s + 1]; row++) {
      if (status[row] !== BPF_STACK_BUILD_ID_IP) continue;
      const owner = offsetHi[row] >= KERNEL_HI ? "kernel" : pid;
      if (owner === undefined) continue;
      const own = rows.get(owner);
      if (own === undefined) rows.set(owner, [row]);
      else own.push(row);
    }
  }
  return rows;
}

/** Columns that change where something becomes known of a row. */
class Translated {
  readonly #from: StackColumns;
  readonly #status: Uint8Array;
  readonly #idIndex: Int32Array;
  readonly #offsetHi: Uint32Array;
  readonly #offsetLo: Uint32Array;
  readonly #nameIndex: Int32Array;
  readonly #names: string[] = [];
  readonly #nameNumbers = new Map<string, number>();
  readonly #ids: Uint8Array[] = [];
  readonly #idNumbers = new Map<Uint8Array, number>();
  /** 1 where a row is a return address. */
  readonly #back: Uint8Array;

  constructor(columns: StackColumns) {
    const { first, status, idIndex, offsetHi, offsetLo } = this.#from = columns;
    this.#status = status.slice();
    this.#idIndex = idIndex.slice();
    this.#offsetHi = offsetHi.slice();
    this.#offsetLo = offsetLo.slice();
    this.#nameIndex = new Int32Array(status.length).fill(-1);
    this.#back = new Uint8Array(status.length).fill(1);
    for (let s = 0; s + 1 < first.length; s++) if (first[s] < first[s + 1]) this.#back[first[s]] = 0;
  }

  /** Where to look: a return address stands for the call before it, the last of its function or mapping perhaps. */
  at(row: number): { hi: number; lo: number } {
    const hi = this.#from.offsetHi[row], lo = this.#from.offsetLo[row], back = this.#back[row];
    return { hi: lo < back ? (hi - 1) >>> 0 : hi, lo: (lo - back) >>> 0 };
  }

  setName(row: number, name: string | undefined): void {
    if (name === undefined) return;
    let number = this.#nameNumbers.get(name);
    if (number === undefined) {
      const own = detached(name);
      this.#nameNumbers.set(own, number = this.#names.push(own) - 1);
    }
    this.#nameIndex[row] = number;
  }

  /** @param offset Of the byte at {@linkcode Translated.at}. */
  setPlace(row: number, id: Uint8Array, offset: bigint): void {
    let number = this.#idNumbers.get(id);
    if (number === undefined) {
      number = this.#from.buildIds.length / BPF_BUILD_ID_SIZE + this.#ids.push(paddedId(id)) - 1;
      this.#idNumbers.set(id, number);
    }
    const own = offset + BigInt(this.#back[row]);
    this.#status[row] = BPF_STACK_BUILD_ID_VALID;
    this.#idIndex[row] = number;
    this.#offsetHi[row] = Number(own >> 32n);
    this.#offsetLo[row] = Number(own & 0xffff_ffffn);
  }

  columns(): StackColumns {
    const before = this.#from.buildIds;
    const buildIds = new Uint8Array(before.length + this.#ids.length * BPF_BUILD_ID_SIZE);
    buildIds.set(before);
    this.#ids.forEach((id, i) => buildIds.set(id, before.length + i * BPF_BUILD_ID_SIZE));
    return {
      ...this.#from,
      status: this.#status,
      idIndex: this.#idIndex,
      offsetHi: this.#offsetHi,
      offsetLo: this.#offsetLo,
      buildIds,
      nameIndex: this.#nameIndex,
      names: this.#names,
    };
  }
}
