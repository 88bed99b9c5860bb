// Owns which symbols of a file name code, and reads them out of .symtab or .dynsym into plain columns.
import { viewOf } from "../base/bytes.ts";
import { attempt, type FormatError } from "../base/format_error.ts";
import { decompressXz } from "../compress/xz.ts";
import { ElfFile, type ElfSection } from "../elf/elf_file.ts";
import { locateSection } from "../elf/section_data.ts";
import {
  EM_ARM,
  ET_REL,
  SHF_EXECINSTR,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHN_XINDEX,
  SHT_DYNSYM,
  SHT_NOBITS,
  SHT_SYMTAB,
  STB_LOCAL,
  STT_FILE,
  STT_FUNC,
  STT_GNU_IFUNC,
  STT_NOTYPE,
  STT_OBJECT,
} from "../uapi/elf.ts";

/**
 * Which table symbols came from. `.gnu_debugdata` stands for the `.symtab` of the small ELF file that distributions put
 * into that section, compressed, for the functions that `.dynsym` leaves out; `.plt` for stubs of the procedure linkage
 * table, whichever section they are in, whose names are made of those of `.dynsym`.
 */
export type SymbolTableKind = ".symtab" | ".dynsym" | ".gnu_debugdata" | ".plt";

/** Code symbols in file order, one element of each column a symbol. */
export interface SymbolColumns {
  count: number;
  addressHi: Uint32Array;
  addressLo: Uint32Array;
  sizeHi: Uint32Array;
  sizeLo: Uint32Array;
  /** Offset of the name in `strings`. */
  name: Uint32Array;
  /** End of the symbol's section as an address, where a symbol without a size has to stop; 0 if not known. */
  limitHi: Uint32Array;
  limitLo: Uint32Array;
  /** For local symbols the number of the source file in `files`; 0 where none is named. */
  file: Uint16Array;
  /** Where in `strings` the names of source files are (STT_FILE); that at 0 is of none. */
  files: Uint32Array;
  /** The string table. */
  strings: Uint8Array;
}

/** A symbol table of a file: which, where, and how many entries it has at most. */
export interface SymbolSection {
  kind: SymbolTableKind;
  section: ElfSection;
  strings: ElfSection;
  count: number;
}

/**
 * Everything of a file that its code symbols are made from, so that the file need not be kept until they are
 * asked for.
 */
export interface SymbolCapture {
  kind: SymbolTableKind;
  /** The symbol entries. */
  bytes: Uint8Array;
  /** The string table. */
  strings: Uint8Array;
  /** Sections of symbols with `SHN_XINDEX`. */
  indices: Uint32Array | undefined;
  /** For each section 1 if it is executable; and the address where it ends, as upper and lower half. */
  executable: Uint8Array;
  ends: Uint32Array;
  is64: boolean;
  littleEndian: boolean;
  /** Bit to drop from addresses: 1 on 32-bit ARM, where it says Thumb. */
  thumb: number;
}

/**
 * The tables of a file that have entries beside the null symbol: `.symtab`, then `.dynsym`. By type, not by name.
 * Relocatable files have none: their symbols are not addresses.
 *
 * @throws {FormatError} If the section headers can't be read.
 */
export function symbolSections(file: ElfFile): SymbolSection[] {
  const out: SymbolSection[] = [];
  if (file.ehdr.e_type === ET_REL) return out;
  const entry = file.is64 ? 24 : 16;
  for (const [type, kind] of [[SHT_SYMTAB, ".symtab"], [SHT_DYNSYM, ".dynsym"]] as const) {
    const section = file.sectionOfType(type);
    if (section === undefined) continue;
    const count = Math.floor(Number(section.sh_size) / entry);
    const strings = file.sectionAt(section.sh_link);
    if (count > 1 && strings !== undefined && strings.sh_type !== SHT_NOBITS) {
      out.push({ kind, section, strings, count });
    }
  }
  return out;
}

/**
 * Takes out of a file what its code symbols are made from. Symbol entries and strings are subarrays of the file.
 *
 * @throws {FormatError} If the sections are not inside the file.
 */
export function captureSymbols(file: ElfFile, from: SymbolSection): SymbolCapture {
  const { shdrs } = file;
  const flags = shdrs.column("sh_flags").lo;
  const address = shdrs.column("sh_addr");
  const size = shdrs.column("sh_size");
  const executable = new Uint8Array(shdrs.length);
  const ends = new Uint32Array(2 * shdrs.length);
  for (let i = 0; i < shdrs.length; i++) {
    executable[i] = (flags[i] & SHF_EXECINSTR) !== 0 ? 1 : 0;
    const lo = address.lo[i] + size.lo[i];
    ends[2 * i] = address.hi[i] + size.hi[i] + (lo > 0xffff_ffff ? 1 : 0);
    ends[2 * i + 1] = lo;
  }
  return {
    kind: from.kind,
    bytes: file.sectionBytes(from.section),
    strings: file.sectionBytes(from.strings),
    indices: file.symbolSections(from.section.index),
    executable,
    ends,
    is64: file.is64,
    littleEndian: file.littleEndian,
    thumb: file.ehdr.e_machine === EM_ARM ? 1 : 0,
  };
}

/** Names that begin later are not read: offsets are kept in 31 bits. */
const MOST_STRINGS = 0x8000_0000;

/** Source files that a table names; symbols of any more have none. */
const MOST_FILES = 0xffff;

/** Most bytes that `.gnu_debugdata` may unpack to; that of the largest programs takes some megabytes. */
const MOST_MINI_DEBUG = 1 << 26;

/** `.gnu_debugdata` as it stands in the file; unpacked when its symbols are asked for, which takes a while. */
export interface PackedSymbols {
  kind: ".gnu_debugdata";
  packed: Uint8Array;
}

/**
 * The symbols of a file: those of `.symtab`; else those of `.gnu_debugdata` and `.dynsym`, which complement each
 * other; else those of `.dynsym`. Malformed tables go to `problems`, and the next best is taken. Copies what it takes.
 */
export function captureAll(file: ElfFile, problems: FormatError[]): (SymbolCapture | PackedSymbols)[] {
  const sections = attempt(problems, () => symbolSections(file));
  if (sections === undefined || file.ehdr.e_type === ET_REL) return [];
  const captures: (SymbolCapture | PackedSymbols)[] = [];
  for (const section of sections) {
    const capture = attempt(problems, () => captureSymbols(file, section));
    if (capture === undefined) continue;
    captures.push({ ...capture, bytes: capture.bytes.slice(), strings: capture.strings.slice() });
    if (capture.kind === ".symtab") return captures;
  }
  const mini = attempt(problems, () => locateSection(file, ".gnu_debugdata"));
  if (mini !== undefined) captures.unshift({ kind: ".gnu_debugdata", packed: mini.stored.slice() });
  return captures;
}

/** The symbols of the ELF file inside `.gnu_debugdata`; `undefined` if they are malformed, which `problems` then say. */
function unpack({ kind, packed }: PackedSymbols, problems: FormatError[]): SymbolCapture | undefined {
  return attempt(problems, () => {
    const file = new ElfFile(decompressXz(packed, MOST_MINI_DEBUG));
    const section = symbolSections(file)[0];
    if (section === undefined) return undefined;
    const capture = captureSymbols(file, section);
    // A copy: else the names would keep the whole unpacked file.
    return { ...capture, strings: capture.strings.slice(), kind };
  });
}

/** `$a`, `$d.12`, `$t`, `$x`: marks of ARM, AArch64 and RISC-V assemblers between code and data, not functions. */
function isMappingSymbol(strings: Uint8Array, at: number): boolean {
  if (strings[at] !== 0x24) return false;
  const letter = strings[at + 1];
  if (letter !== 0x61 && letter !== 0x64 && letter !== 0x74 && letter !== 0x78) return false;
  const next = strings[at + 2];
  return next === 0 || next === undefined || next === 0x2e || letter === 0x78;
}

/**
 * Reads the code symbols that {@linkcode captureAll} took, of one table or two.
 *
 * @returns The kinds of the tables that could be read, and where in `strings` the second one's names begin.
 */
export function readAllSymbols(
  captures: readonly (SymbolCapture | PackedSymbols)[],
  problems: FormatError[],
): { columns: SymbolColumns; kinds: SymbolTableKind[]; boundary: number } {
  const read = captures
    .map((capture) => "packed" in capture ? unpack(capture, problems) : capture)
    .filter((capture) => capture !== undefined);
  return {
    columns: joinColumns(read.map(readColumns)),
    kinds: read.map(({ kind }) => kind),
    boundary: read[0]?.strings.length ?? 0,
  };
}

/** Columns of `count` symbols that are all zeros, without names and files. */
function newColumns(count: number): SymbolColumns {
  const column = () => new Uint32Array(count);
  return {
    count,
    addressHi: column(),
    addressLo: column(),
    sizeHi: column(),
    sizeLo: column(),
    name: column(),
    limitHi: column(),
    limitLo: column(),
    file: new Uint16Array(count),
    files: new Uint32Array(1),
    strings: new Uint8Array(0),
  };
}

/**
 * Columns of symbols that come from elsewhere than a file. A `size` left out is 0.
 *
 * @throws {RangeError} If an address or size does not fit 64 bits.
 */
export function columnsOf(all: readonly { name: string; address: bigint; size?: bigint }[]): SymbolColumns {
  const parts: Uint8Array[] = [];
  let length = 0;
  const columns = newColumns(all.length);
  const encoder = new TextEncoder();
  all.forEach(({ name, address, size = 0n }, i) => {
    for (const value of [address, size]) {
      if (value !== BigInt.asUintN(64, value)) throw new RangeError(`${value} is not an unsigned 64-bit number`);
    }
    columns.addressHi[i] = Number(address >> 32n);
    columns.addressLo[i] = Number(address & 0xffff_ffffn);
    columns.sizeHi[i] = Number(size >> 32n);
    columns.sizeLo[i] = Number(size & 0xffff_ffffn);
    columns.name[i] = length;
    const text = encoder.encode(name);
    parts.push(text);
    length += text.length + 1;
  });
  columns.strings = new Uint8Array(length);
  parts.forEach((part, i) => columns.strings.set(part, columns.name[i]));
  return columns;
}

function joinColumns([first = newColumns(0), second]: SymbolColumns[]): SymbolColumns {
  if (second === undefined) return first;
  const count = first.count + second.count;
  const join = <T extends Uint8Array | Uint16Array | Uint32Array>(a: T, b: T, out: T): T => {
    out.set(a);
    out.set(b, a.length);
    return out;
  };
  const words = (a: Uint32Array, b: Uint32Array) => join(a, b, new Uint32Array(a.length + b.length));
  const boundary = first.strings.length;
  return {
    count,
    addressHi: words(first.addressHi, second.addressHi),
    addressLo: words(first.addressLo, second.addressLo),
    sizeHi: words(first.sizeHi, second.sizeHi),
    sizeLo: words(first.sizeLo, second.sizeLo),
    name: words(first.name, second.name.map((offset) => offset + boundary)),
    limitHi: words(first.limitHi, second.limitHi),
    limitLo: words(first.limitLo, second.limitLo),
    // The second is .dynsym, which names no files.
    file: join(first.file, second.file, new Uint16Array(count)),
    files: first.files,
    strings: join(first.strings, second.strings, new Uint8Array(boundary + second.strings.length)),
  };
}

/**
 * Reads the code symbols: STT_FUNC and STT_GNU_IFUNC of any section, STT_NOTYPE (assembly often says no more) and
 * STT_OBJECT (constants between functions) of an executable one, all of them defined and with a name. Other data, sections, files, TLS, absolute and common
 * symbols and mapping symbols are left out. On 32-bit ARM the Thumb bit is dropped from addresses.
 *
 * The columns are new; `strings` is the capture's.
 */
function readColumns(capture: SymbolCapture): SymbolColumns {
  const { bytes, strings, indices, executable, ends, is64, littleEndian, thumb } = capture;
  const view = viewOf(bytes);
  const entry = is64 ? 24 : 16;
  const total = Math.floor(bytes.length / entry);
  const infoAt = is64 ? 4 : 12;
  const shndxAt = is64 ? 6 : 14;
  const keep = new Uint32Array(total);
  const fileOf = new Uint16Array(total);
  const files: number[] = [0];
  let file = 0;
  let count = 0;
  const sectionOf = (i: number): number => {
    const shndx = view.getUint16(i * entry + shndxAt, littleEndian);
    if (shndx === SHN_XINDEX) return indices?.[i] ?? SHN_UNDEF;
    return shndx < SHN_LORESERVE ? shndx : SHN_UNDEF;
  };
  for (let i = 1; i < total; i++) {
    const type = bytes[i * entry + infoAt] & 15;
    if (type === STT_FILE) {
      const name = view.getUint32(i * entry, littleEndian);
      // It is the file of the local symbols that follow; linkers end the last one's with a name of nothing.
      file = name < strings.length && strings[name] !== 0 && files.length <= MOST_FILES ? files.push(name) - 1 : 0;
    }
    if (type !== STT_FUNC && type !== STT_NOTYPE && type !== STT_OBJECT && type !== STT_GNU_IFUNC) continue;
    const section = sectionOf(i);
    if (section === SHN_UNDEF) continue;
    if ((type === STT_NOTYPE || type === STT_OBJECT) && executable[section] !== 1) continue;
    const name = view.getUint32(i * entry, littleEndian);
    if (!(name < strings.length && name < MOST_STRINGS) || strings[name] === 0 || isMappingSymbol(strings, name)) {
      continue;
    }
    fileOf[count] = bytes[i * entry + infoAt] >>> 4 === STB_LOCAL ? file : 0;
    keep[count++] = i;
  }
  const out: SymbolColumns = {
    ...newColumns(count),
    file: fileOf.slice(0, count),
    files: Uint32Array.from(files),
    strings,
  };
  for (let k = 0; k < count; k++) {
    const at = keep[k] * entry;
    if (is64) {
      out.addressHi[k] = view.getUint32(at + (littleEndian ? 12 : 8), littleEndian);
      out.addressLo[k] = view.getUint32(at + (littleEndian ? 8 : 12), littleEndian);
      out.sizeHi[k] = view.getUint32(at + (littleEndian ? 20 : 16), littleEndian);
      out.sizeLo[k] = view.getUint32(at + (littleEndian ? 16 : 20), littleEndian);
    } else {
      out.addressLo[k] = (view.getUint32(at + 4, littleEndian) & ~thumb) >>> 0;
      out.sizeLo[k] = view.getUint32(at + 8, littleEndian);
    }
    out.name[k] = view.getUint32(at, littleEndian);
    const section = sectionOf(keep[k]);
    if (section < executable.length) {
      out.limitHi[k] = ends[2 * section];
      out.limitLo[k] = ends[2 * section + 1];
    }
  }
  return out;
}
