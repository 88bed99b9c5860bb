// Owns what a process's mappings say of addresses: build ID and file offset as the kernel would have written them, or
// the name that a just-in-time compiler or the kernel's own table has.
import type { StackColumns } from "../../dump/columns.ts";
import { type AddressNames, parseKallsyms, parsePerfMap } from "../../memory/address_names.ts";
import type { ProcMapsEntry } from "../../memory/proc_maps.ts";
import { kallsyms, perfMapOf, processMaps } from "../../linux/linux.ts";
import { BPF_BUILD_ID_SIZE, BPF_STACK_BUILD_ID_IP, BPF_STACK_BUILD_ID_VALID } from "../../uapi/bpf.ts";
import { entriesOf, type LocalBinaries } from "./local_binaries.ts";

/** What is known of a running process. */
interface ProcessView {
  entries: ProcMapsEntry[];
  perfMap: AddressNames | undefined;
}

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
  const { first, offsetHi, offsetLo } = columns;
  const status = columns.status.slice();
  const idIndex = columns.idIndex.slice();
  const offsets = { hi: offsetHi.slice(), lo: offsetLo.slice() };
  const nameIndex = new Int32Array(status.length).fill(-1);
  const names: string[] = [];
  const nameNumbers = new Map<string, number>();
  const ids: Uint8Array[] = [];
  const idNumbers = new Map<Uint8Array, number>();
  const before = columns.buildIds.length / BPF_BUILD_ID_SIZE;
  const processes = new Map<number, ProcessView>();
  let kernel: AddressNames | undefined;

  const setName = (row: number, name: string | undefined) => {
    if (name === undefined) return;
    let number = nameNumbers.get(name);
    if (number === undefined) nameNumbers.set(name, number = names.push(name) - 1);
    nameIndex[row] = number;
  };
  for (let s = 0; s + 1 < first.length; s++) {
    const pid = pidOf(s);
    for (let row = first[s]; row < first[s + 1]; row++) {
      if (status[row] !== BPF_STACK_BUILD_ID_IP) continue;
      const ip = (BigInt(offsetHi[row]) << 32n) | BigInt(offsetLo[row]);
      // A return address stands for the call before it, which may be the last of its function or mapping.
      const at = row === first[s] ? ip : BigInt.asUintN(64, ip - 1n);
      const [hi, lo] = [Number(at >> 32n), Number(at & 0xffff_ffffn)];
      if (hi >= 0x8000_0000) {
        kernel ??= parseKallsyms(kallsyms());
        setName(row, kernel.lookup(hi, lo)?.name);
        continue;
      }
      if (pid === undefined) continue;
      let process = processes.get(pid);
      if (process === undefined) processes.set(pid, process = viewOf(pid));
      const name = process.perfMap?.lookup(hi, lo)?.name;
      const place = name === undefined ? binaries.place(pid, process.entries, at) : undefined;
      setName(row, name);
      if (place === undefined) continue;
      const { buildId } = place.binary;
      let number = idNumbers.get(buildId);
      if (number === undefined) idNumbers.set(buildId, number = before + ids.push(buildId) - 1);
      const offset = place.fileOffset + (ip - at);
      status[row] = BPF_STACK_BUILD_ID_VALID;
      idIndex[row] = number;
      offsets.hi[row] = Number(offset >> 32n);
      offsets.lo[row] = Number(offset & 0xffff_ffffn);
    }
  }
  const buildIds = new Uint8Array((before + ids.length) * BPF_BUILD_ID_SIZE);
  buildIds.set(columns.buildIds);
  ids.forEach((id, i) => buildIds.set(id, (before + i) * BPF_BUILD_ID_SIZE));
  return { ...columns, status, idIndex, offsetHi: offsets.hi, offsetLo: offsets.lo, buildIds, nameIndex, names };
}

function viewOf(pid: number): ProcessView {
  const perfMap = perfMapOf(pid);
  return {
    entries: entriesOf(processMaps(pid) ?? ""),
    perfMap: perfMap === undefined ? undefined : parsePerfMap(perfMap),
  };
}
