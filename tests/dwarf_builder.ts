// Owns the DWARF builder of the tests: units as trees of DIEs in, sections and ELF files with them out.
import { type SymbolizedFrame, Symbolizer } from "../mod.ts";
import { type DwarfSections, SECTION_NAMES } from "../src/dwarf/sections.ts";
import { sleb, uleb } from "./dwarf_line_builder.ts";
import { buildElf, type ElfSpec, type SectionSpec } from "./elf_builder.ts";

/** What an attribute holds, by its form: a number; the characters; a block's bytes; another DIE; another form. */
export type Value = number | bigint | string | number[] | { ref: string } | { form: number; value: Value };
/** Attribute, form, and value; a value of DW_FORM_implicit_const goes to the abbreviation. */
export type Attribute = readonly [attribute: number, form: number, value?: Value];

/** A DIE. */
export interface Die {
  tag: number;
  attributes: Attribute[];
  children?: Die[];
  /** For references to it. */
  label?: string;
  /** Code of its abbreviation, instead of the next free one. */
  code?: number;
}

/** `die(DW_TAG_…, [[DW_AT_…, DW_FORM_…, value]], …)`. */
export function die(tag: number, attributes: Attribute[], ...children: Die[]): Die {
  return children.length === 0 ? { tag, attributes } : { tag, attributes, children };
}

/** A DIE with a label. */
export function labelled(label: string, one: Die): Die {
  return { ...one, label };
}

/** A unit: its header's fields, DWARF 5, 32 bits and 8-byte addresses by default, and its root. */
export interface UnitSpec {
  root: Die;
  version?: number;
  is64?: boolean;
  addressSize?: number;
  /** DW_UT_…, of DWARF 5. */
  type?: number;
  /** Id of a skeleton or split unit of DWARF 5, or signature of a type. */
  id?: bigint;
  /** Label of the unit's header. */
  label?: string;
  /** Its table of abbreviations stands before the first unit's, and so on. */
  lateAbbrevs?: boolean;
  /** Further abbreviations, raw, before its own. */
  abbrevsBefore?: number[];
  /** DWARF's form of a header or DIE that is none. */
  raw?: number[];
}

/** An integer's bytes. */
export function int(value: number | bigint, size: number, littleEndian = true): number[] {
  const bytes = Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
  return littleEndian ? bytes : bytes.reverse();
}

/** LEB128 of always four bytes, for values that are not known yet. */
function wideLeb(value: number): number[] {
  return [0, 7, 14].map((shift) => ((value >> shift) & 0x7f) | 0x80).concat((value >> 21) & 0x7f);
}

/** Concatenates tables and gives the offset of each. */
export function pieces(...tables: number[][]): { bytes: Uint8Array; offsets: number[] } {
  const offsets: number[] = [];
  let length = 0;
  for (const table of tables) {
    offsets.push(length);
    length += table.length;
  }
  return { bytes: Uint8Array.from(tables.flat()), offsets };
}

/** .debug_info and .debug_abbrev of units, and where each label stands. */
export function buildInfo(
  units: UnitSpec[],
  littleEndian = true,
): { info: Uint8Array; abbrev: Uint8Array; labels: Map<string, number> } {
  const info: number[] = [];
  const tables: number[][] = [];
  const labels = new Map<string, number>();
  const patches: (() => void)[] = [];
  for (const unit of units) writeUnit(unit);
  // Tables in the order of their units, the late ones at the end.
  const order = units.map((_, i) => i);
  order.sort((a, b) => Number(units[a].lateAbbrevs ?? false) - Number(units[b].lateAbbrevs ?? false) || a - b);
  const abbrev: number[] = [];
  const tableAt: number[] = [];
  for (const i of order) {
    tableAt[i] = abbrev.length;
    abbrev.push(...tables[i]);
  }
  patches.forEach((patch) => patch());
  return { info: Uint8Array.from(info), abbrev: Uint8Array.from(abbrev), labels };

  function put(at: number, bytes: number[]): void {
    bytes.forEach((byte, i) => info[at + i] = byte);
  }

  function writeUnit(spec: UnitSpec): void {
    const { version = 5, is64 = false, addressSize = 8, type = 1, id } = spec;
    const number = tables.length;
    const start = info.length;
    if (spec.label !== undefined) labels.set(spec.label, start);
    const offsetSize = is64 ? 8 : 4;
    if (is64) info.push(0xff, 0xff, 0xff, 0xff);
    const lengthAt = info.length;
    info.push(...int(0, offsetSize), ...int(version, 2, littleEndian));
    if (version >= 5) info.push(type, addressSize);
    const abbrevAt = info.length;
    info.push(...int(0, offsetSize));
    patches.push(() => put(abbrevAt, int(tableAt[number], offsetSize, littleEndian)));
    if (version < 5) info.push(addressSize);
    if (id !== undefined) info.push(...int(id, 8, littleEndian));
    if (version >= 5 && (type === 2 || type === 6)) info.push(...int(0, offsetSize));
    const table: number[] = [...spec.abbrevsBefore ?? []];
    tables.push(table);
    const codes = new Map<string, number>();
    let free = 1;
    if (spec.raw !== undefined) info.push(...spec.raw);
    else writeDie(spec.root);
    table.push(0);
    put(lengthAt, int(info.length - lengthAt - offsetSize, offsetSize, littleEndian));

    function writeDie(one: Die): void {
      const { tag, attributes, children, label } = one;
      if (label !== undefined) labels.set(label, info.length);
      const spec = attributes.flatMap(([attribute, form, value]) => [
        ...uleb(attribute),
        ...uleb(form),
        ...(form === 0x21 ? sleb(value as number) : []),
      ]);
      const entry = [...uleb(tag), children === undefined ? 0 : 1, ...spec, 0, 0];
      const key = `${one.code ?? ""} ${entry}`;
      let code = codes.get(key);
      if (code === undefined) {
        code = one.code ?? free++;
        codes.set(key, code);
        table.push(...uleb(code), ...entry);
      }
      info.push(...uleb(code));
      for (const [, form, value] of attributes) writeValue(form, value ?? 0);
      if (children === undefined) return;
      children.forEach(writeDie);
      info.push(0);
    }

    function writeValue(form: number, value: Value): void {
      if (typeof value === "object" && "form" in value) {
        info.push(...uleb(value.form));
        return writeValue(value.form, value.value);
      }
      if (typeof value === "object" && "ref" in value) {
        const at = info.length;
        const own = form >= 0x11 && form <= 0x15;
        // 0x10 ref_addr, 0x11-0x14 ref1-ref8, 0x15 ref_udata
        const size = form === 0x10
          ? (version <= 2 ? addressSize : offsetSize)
          : form === 0x15
          ? 4
          : 1 << (form - 0x11);
        info.push(...int(0, size));
        patches.push(() => {
          const target = labels.get(value.ref);
          if (target === undefined) throw new Error(`no label ${value.ref}`);
          const offset = own ? target - start : target;
          put(at, form === 0x15 ? wideLeb(offset) : int(offset, size, littleEndian));
        });
        return;
      }
      if (typeof value === "string") {
        info.push(...new TextEncoder().encode(value), 0);
        return;
      }
      if (Array.isArray(value)) {
        const { length } = value;
        const counts: Record<number, number[]> = {
          0x0a: [length],
          0x03: int(length, 2, littleEndian),
          0x04: int(length, 4, littleEndian),
          0x09: uleb(length),
          0x18: uleb(length),
          0x1e: [],
        };
        info.push(...counts[form], ...value);
        return;
      }
      info.push(...scalar(form, value));
    }

    function scalar(form: number, value: number | bigint): number[] {
      if ([0x19, 0x21].includes(form)) return [];
      if (form === 0x0d) return sleb(Number(value));
      if ([0x0f, 0x15, 0x1a, 0x1b, 0x22, 0x23, 0x1f01, 0x1f02].includes(form)) return uleb(value);
      const sizes: Record<number, number> = {
        0x01: addressSize,
        0x10: version <= 2 ? addressSize : offsetSize,
        ...{ 0x05: 2, 0x06: 4, 0x07: 8, 0x0b: 1, 0x0c: 1 },
        ...{ 0x0e: offsetSize, 0x17: offsetSize, 0x1d: offsetSize, 0x1f: offsetSize },
        ...{ 0x1f20: offsetSize, 0x1f21: offsetSize },
        ...{ 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8, 0x1c: 4, 0x24: 8, 0x20: 8 },
        ...{ 0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4, 0x29: 1, 0x2a: 2, 0x2b: 3, 0x2c: 4 },
      };
      const size = sizes[form];
      if (size === undefined) throw new Error(`form ${form} can't be written`);
      return int(value, size, littleEndian);
    }
  }
}

/** One set of .debug_aranges; `unit` is the offset of its unit. */
export function arangeSet(
  unit: number,
  ranges: [low: number | bigint, length: number | bigint][],
  options: { littleEndian?: boolean; is64?: boolean; addressSize?: number; end?: boolean } = {},
): number[] {
  const { littleEndian = true, is64 = false, addressSize = 8, end = true } = options;
  const offsetSize = is64 ? 8 : 4;
  const header = [...int(2, 2, littleEndian), ...int(unit, offsetSize, littleEndian), addressSize, 0];
  const before = (is64 ? 12 : 4) + header.length;
  const tuple = 2 * addressSize;
  const padding = Array(Math.ceil(before / tuple) * tuple - before).fill(0);
  const rows = [...ranges, ...(end ? [[0, 0] as const] : [])].flatMap(([low, length]) => [
    ...int(low, addressSize, littleEndian),
    ...int(length, addressSize, littleEndian),
  ]);
  const body = [...header, ...padding, ...rows];
  return [...(is64 ? [0xff, 0xff, 0xff, 0xff] : []), ...int(body.length, offsetSize, littleEndian), ...body];
}

/** Sections; the missing ones are empty. */
export function sectionsOf(parts: Partial<DwarfSections>): DwarfSections {
  const empty = Object.fromEntries(Object.keys(SECTION_NAMES).map((key) => [key, new Uint8Array(0)]));
  return { littleEndian: true, ...(empty as unknown as Omit<DwarfSections, "littleEndian">), ...parts };
}

export const BUILD_ID: Uint8Array = new Uint8Array(20).fill(0x5a);

/** An ELF file with DWARF sections, and one executable segment of 16 MiB from `base` on. */
export function dwarfElf(
  parts: Partial<DwarfSections>,
  { base = 0x1000n, is64 = true, split = false, ...spec }: ElfSpec & { base?: bigint; split?: boolean } = {},
): Uint8Array {
  const { littleEndian = true } = parts;
  const sections: SectionSpec[] = [];
  for (const [key, name] of Object.entries(SECTION_NAMES)) {
    const contents = parts[key as keyof typeof SECTION_NAMES];
    if (contents === undefined) continue;
    const suffix = split && key !== "cuIndex" ? ".dwo" : "";
    sections.push({ name: `.debug_${name}${suffix}`, sh_type: 1, contents });
  }
  const code = { p_type: 1, p_flags: 5, p_offset: 0n, p_vaddr: base, p_filesz: 1n << 24n, p_memsz: 1n << 24n };
  return buildElf({
    is64,
    littleEndian,
    ...(split ? { ehdr: { e_type: 1 } } : { buildId: BUILD_ID, segments: [code] }),
    ...spec,
    sections: [...sections, ...spec.sections ?? []],
  });
}

/** "name file:line:column" of a frame, with "←" where it was inlined; "?" for what is not known. */
export function shown({ name, file, line, column, inlined }: SymbolizedFrame): string {
  const place = line === undefined ? "?" : `${file ?? "?"}:${line}:${column}`;
  return `${name ?? "?"} ${place}${inlined ? " ←" : ""}`;
}

/** A symbolizer that has these sections as a program. */
export async function symbolizerOf(
  parts: Partial<DwarfSections>,
  options: ElfSpec & { base?: bigint; alternate?: Uint8Array } = {},
): Promise<Symbolizer> {
  const { alternate, ...elf } = options;
  const symbolizer = new Symbolizer();
  await symbolizer.add(dwarfElf(parts, elf), alternate === undefined ? {} : { alternate });
  return symbolizer;
}

/** Names of the frames at an address, innermost first; else the reason. */
export function namesAt(symbolizer: Symbolizer, address: number | bigint): string[] {
  const { frames, reason } = symbolizer.lookupAddress(BUILD_ID, BigInt(address));
  return frames.length === 0 ? [reason!] : frames.map(({ name }) => name ?? "?");
}

/** All of the frames at an address. */
export function framesAt(symbolizer: Symbolizer, address: number | bigint): string[] {
  return symbolizer.lookupAddress(BUILD_ID, BigInt(address)).frames.map(shown);
}
