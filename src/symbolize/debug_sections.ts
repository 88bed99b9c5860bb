// Owns the way from a file to the DWARF sections that lookups need, unpacked.
import { FormatError } from "../base/format_error.ts";
import { type DwarfSections, SECTION_NAMES } from "../dwarf/sections.ts";
import type { CodeBounds } from "../dwarf/unit_index.ts";
import type { ElfFile } from "../elf/elf_file.ts";
import { locateSection, readSections } from "../elf/section_data.ts";

import type { Phdr } from "../elf/headers.ts";
import { PF_X, PT_LOAD } from "../uapi/elf.ts";
import { MAX_SEGMENTS } from "./segments.ts";

const NO_BYTES = new Uint8Array(0);

/** Whether a file has units of split DWARF: a .dwo file, a .dwp package, or an object with both kinds. */
export function hasSplitUnits(file: ElfFile): boolean {
  return locateSection(file, ".debug_info.dwo") !== undefined;
}

/** Whether a file has units of its own. */
export function hasUnits(file: ElfFile): boolean {
  return locateSection(file, ".debug_info") !== undefined;
}

/**
 * The DWARF sections of a file: subarrays of its bytes, or unpacked copies of compressed ones.
 *
 * @param split Those whose names end in `.dwo`.
 * @param limit Most bytes that compressed sections may unpack to, together.
 * @throws {FormatError} If one can't be unpacked, or they pass the limit.
 */
export async function readDwarfSections(file: ElfFile, split: boolean, limit: number): Promise<DwarfSections> {
  const fields = Object.entries(SECTION_NAMES) as [keyof typeof SECTION_NAMES, string][];
  const nameOf = (field: string, name: string) => `.debug_${name}${split && field !== "cuIndex" ? ".dwo" : ""}`;
  const found = await readSections(file, fields.map(([field, name]) => nameOf(field, name)), limit);
  const out: Record<string, Uint8Array> = {};
  for (const [field, name] of fields) out[field] = found.get(nameOf(field, name)) ?? NO_BYTES;
  return { ...(out as unknown as Omit<DwarfSections, "littleEndian">), littleEndian: file.littleEndian };
}

/** Bytes that the sections take. */
export function sectionsSize(sections: DwarfSections): number {
  let size = 0;
  for (const field of Object.keys(SECTION_NAMES) as (keyof typeof SECTION_NAMES)[]) size += sections[field].length;
  return size;
}

/** Where the code of a file can be, and the upper half of its first address. A file without segments says nothing. */
export function codeBounds(file: ElfFile): { baseHi: number; bounds: CodeBounds } {
  let loads: Phdr[] = [];
  try {
    loads = file.segments(PT_LOAD, MAX_SEGMENTS);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  }
  const code = loads.filter(({ p_flags, p_memsz }) => (p_flags & PF_X) !== 0 && p_memsz > 0n);
  if (code.length === 0) return { baseHi: 0, bounds: { low: -Infinity, high: Infinity } };
  let low = code[0].p_vaddr;
  let high = 0n;
  for (const { p_vaddr, p_memsz } of code) {
    if (p_vaddr < low) low = p_vaddr;
    if (p_vaddr + p_memsz > high) high = p_vaddr + p_memsz;
  }
  const baseHi = low >> 32n;
  return {
    baseHi: Number(baseHi),
    bounds: { low: Number(low - (baseHi << 32n)), high: Number(high - (baseHi << 32n)) },
  };
}
