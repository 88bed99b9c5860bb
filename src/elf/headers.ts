// Owns the raw ELF headers (Ehdr, Phdr, Shdr, Sym, Nhdr) of both classes and byte orders: shapes and reading.
import { FormatError } from "../base/format_error.ts";
import { readStruct } from "../base/struct.ts";
import { viewOf } from "../base/bytes.ts";
import {
  EI_CLASS,
  EI_DATA,
  ELF32,
  ELF64,
  ELFCLASS32,
  ELFCLASS64,
  ELFDATA2LSB,
  ELFDATA2MSB,
  type ElfLayouts,
  ELFMAG,
  PN_XNUM,
} from "../uapi/elf.ts";
import { HeaderTable, toFileNumber } from "./header_table.ts";

/**
 * ELF file header, `Elf32_Ehdr` or `Elf64_Ehdr`; which one, and the byte order, says `e_ident`. Addresses and
 * offsets are bigint in both classes.
 */
export interface Ehdr {
  /** 16 bytes: magic, class, byte order, version, OS ABI. */
  e_ident: Uint8Array;
  /** Kind of file: `ET_EXEC`, `ET_DYN`, … */
  e_type: number;
  /** Architecture: 62 is x86-64, 183 AArch64. */
  e_machine: number;
  /** 1. */
  e_version: number;
  /** Virtual address where a program starts. */
  e_entry: bigint;
  /** File offset of the program headers, in bytes; 0 where there are none. */
  e_phoff: bigint;
  /** File offset of the section headers, in bytes; 0 where there are none. */
  e_shoff: bigint;
  /** Flags of the architecture. */
  e_flags: number;
  /** Size of this header, in bytes. */
  e_ehsize: number;
  /** Size of one program header, in bytes. */
  e_phentsize: number;
  /** Number of program headers; `PN_XNUM` where it stands in `sh_info` of section header 0. */
  e_phnum: number;
  /** Size of one section header, in bytes. */
  e_shentsize: number;
  /** Number of section headers; 0 where it stands in `sh_size` of section header 0. */
  e_shnum: number;
  /** Index of the section of section names; `SHN_XINDEX` where it stands in `sh_link` of section header 0. */
  e_shstrndx: number;
}

/** Program header, `Elf32_Phdr` or `Elf64_Phdr`. Sizes and offsets are in bytes. */
export interface Phdr {
  /** `PT_LOAD`, `PT_NOTE`, … */
  p_type: number;
  /** `PF_X`, `PF_W` and `PF_R`. */
  p_flags: number;
  /** File offset of the segment. */
  p_offset: bigint;
  /** Virtual address of the segment. */
  p_vaddr: bigint;
  /** Physical address, where that matters. */
  p_paddr: bigint;
  /** Size in the file. */
  p_filesz: bigint;
  /** Size in memory; what the file lacks is zero there. */
  p_memsz: bigint;
  /** `p_vaddr` and `p_offset` are equal modulo this; for notes 4 or 8. */
  p_align: bigint;
}

/** Section header, `Elf32_Shdr` or `Elf64_Shdr`. Sizes and offsets are in bytes. */
export interface Shdr {
  /** Offset of the name in the section of section names. */
  sh_name: number;
  /** `SHT_PROGBITS`, `SHT_SYMTAB`, … */
  sh_type: number;
  /** Writable 1, allocated 2, executable 4, compressed 0x800, … */
  sh_flags: bigint;
  /** Virtual address; 0 if it is not loaded. */
  sh_addr: bigint;
  /** File offset. */
  sh_offset: bigint;
  /** Size, in the file unless `sh_type` is `SHT_NOBITS`. */
  sh_size: bigint;
  /** Index of a related section: for symbols, that of their names. */
  sh_link: number;
  /** Depends on `sh_type`. */
  sh_info: number;
  /** Alignment of `sh_addr`; for notes 4 or 8. */
  sh_addralign: bigint;
  /** Size of one entry, in a section that is a table. */
  sh_entsize: bigint;
}

/** Symbol, `Elf32_Sym` or `Elf64_Sym`. */
export interface Sym {
  /** Offset of the name in the string table. */
  st_name: number;
  /** Binding in the upper four bits, type in the lower. */
  st_info: number;
  /** Visibility in the lower two bits. */
  st_other: number;
  /** Section it is defined in; `SHN_UNDEF`, or another reserved index. */
  st_shndx: number;
  /** Virtual address; in relocatable files the offset in its section. */
  st_value: bigint;
  /** Size; 0 if not known. */
  st_size: bigint;
}

/** Note header, the same in both classes. Sizes are in bytes and without padding. */
export interface Nhdr {
  /** Size of the name, its closing zero byte included. */
  n_namesz: number;
  /** Size of the descriptor. */
  n_descsz: number;
  /** Kind of note, in the name space of the name. */
  n_type: number;
}

/** What says class and byte order of every other structure in a file: an {@linkcode Ehdr} is one. */
export interface ElfIdent {
  /** As in {@linkcode Ehdr}; the first 6 bytes are enough. */
  readonly e_ident: Uint8Array;
}

/** Whether a file with this `e_ident` is little-endian. */
export function isLittleEndian(ident: ElfIdent): boolean {
  return ident.e_ident[EI_DATA] === ELFDATA2LSB;
}

/** The struct layouts of the class that `e_ident` names. */
export function layoutsOf(ident: ElfIdent): ElfLayouts {
  return ident.e_ident[EI_CLASS] === ELFCLASS64 ? ELF64 : ELF32;
}

/** Throws `FormatError` unless `bytes` start with an `e_ident` of known class and byte order. */
export function checkIdent(bytes: Uint8Array): void {
  if (bytes.length < 16) {
    throw new FormatError(`an ELF file starts with 16 bytes, the input has ${bytes.length}`, {
      offset: 0,
      field: "e_ident",
    });
  }
  const magic = (bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3];
  if (magic !== ELFMAG) {
    throw new FormatError("is not the ELF magic 7f454c46", {
      offset: 0,
      field: "e_ident",
      value: (magic >>> 0).toString(16).padStart(8, "0"),
    });
  }
  const elfClass = bytes[EI_CLASS];
  if (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64) {
    throw new FormatError("is neither 32-bit (1) nor 64-bit (2)", {
      offset: EI_CLASS,
      field: "e_ident[EI_CLASS]",
      value: elfClass,
    });
  }
  const order = bytes[EI_DATA];
  if (order !== ELFDATA2LSB && order !== ELFDATA2MSB) {
    throw new FormatError("is neither little-endian (1) nor big-endian (2)", {
      offset: EI_DATA,
      field: "e_ident[EI_DATA]",
      value: order,
    });
  }
}

/**
 * Reads the ELF header at the start of `bytes`, as it stands: `PN_XNUM` and extended section numbering are not
 * resolved. The result owns its memory.
 *
 * Source: ELF gABI 4.1, chapter 4, and include/uapi/linux/elf.h, `struct elf64_hdr`.
 *
 * @throws {FormatError} If the input is not ELF, has an unknown class or byte order, or ends inside the header.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Ehdr, ELFCLASS64, ELFDATA2LSB, encodeEhdr, ET_DYN, parseEhdr } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
 * const bytes = encodeEhdr({ e_ident, e_type: ET_DYN, e_machine: 62, e_phoff: 64n });
 * const ehdr: Ehdr = parseEhdr(bytes);
 * assertEquals(ehdr.e_machine, 62);
 * assertEquals(ehdr.e_phoff, 64n);
 * ```
 */
export function parseEhdr(bytes: Uint8Array): Ehdr {
  checkIdent(bytes);
  const ident = { e_ident: bytes };
  return readStruct<Ehdr>(layoutsOf(ident).ehdr, viewOf(bytes), 0, isLittleEndian(ident));
}

/** The section headers as the ELF header alone describes them, `count` of them. */
function shdrsAt(bytes: Uint8Array, ehdr: Ehdr, count: number): HeaderTable<Shdr> {
  return new HeaderTable<Shdr>(bytes, layoutsOf(ehdr).shdr, isLittleEndian(ehdr), {
    offset: ehdr.e_shoff,
    offsetField: "e_shoff",
    entsize: ehdr.e_shentsize,
    entsizeField: "e_shentsize",
    count,
  });
}

/**
 * The program headers where they stand, `PN_XNUM` resolved; no object is made for any.
 *
 * @throws {FormatError} As {@linkcode parsePhdrs}.
 */
export function phdrTable(bytes: Uint8Array, ehdr: Ehdr): HeaderTable<Phdr> {
  const layout = layoutsOf(ehdr).phdr;
  if (ehdr.e_phoff === 0n || ehdr.e_phnum === 0) return HeaderTable.empty<Phdr>(layout);
  let count = ehdr.e_phnum;
  // Only section header 0 knows how many there are.
  if (count === PN_XNUM && ehdr.e_shoff !== 0n) count = shdrsAt(bytes, ehdr, 1).get(0).sh_info || PN_XNUM;
  return new HeaderTable<Phdr>(bytes, layout, isLittleEndian(ehdr), {
    offset: ehdr.e_phoff,
    offsetField: "e_phoff",
    entsize: ehdr.e_phentsize,
    entsizeField: "e_phentsize",
    count,
  });
}

/**
 * The section headers where they stand, extended numbering resolved; no object is made for any.
 *
 * @throws {FormatError} As {@linkcode parseShdrs}.
 */
export function shdrTable(bytes: Uint8Array, ehdr: Ehdr): HeaderTable<Shdr> {
  if (ehdr.e_shoff === 0n) return HeaderTable.empty<Shdr>(layoutsOf(ehdr).shdr);
  let count = ehdr.e_shnum;
  if (count === 0) {
    count = toFileNumber(shdrsAt(bytes, ehdr, 1).get(0).sh_size, "sh_size", Number(ehdr.e_shoff));
  }
  return shdrsAt(bytes, ehdr, count);
}

/**
 * Reads all program headers, `PN_XNUM` resolved. None (`e_phoff` or `e_phnum` 0) is an empty array.
 *
 * Source: ELF gABI 4.1, chapter 5, and include/uapi/linux/elf.h, `struct elf64_phdr`.
 *
 * @param bytes The file from its start; it may end after the program headers.
 * @param ehdr Its ELF header, if read already.
 * @throws {FormatError} If the headers are not all inside `bytes`, or `e_phentsize` is too small.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ELFCLASS64, ELFDATA2LSB, encodeEhdr, encodePhdr, parsePhdrs, PT_LOAD } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
 * const ehdr = encodeEhdr({ e_ident, e_phoff: 64n, e_phentsize: 56, e_phnum: 1 });
 * const phdr = encodePhdr({ p_type: PT_LOAD, p_vaddr: 0x1000n }, { e_ident });
 * assertEquals(parsePhdrs(Uint8Array.of(...ehdr, ...phdr))[0].p_vaddr, 0x1000n);
 * ```
 */
export function parsePhdrs(bytes: Uint8Array, ehdr: Ehdr = parseEhdr(bytes)): Phdr[] {
  return phdrTable(bytes, ehdr).all();
}

/**
 * Reads all section headers, extended numbering (`e_shnum` 0) resolved. None (`e_shoff` 0) is an empty array.
 *
 * Source: ELF gABI 4.1, chapter 4, and include/uapi/linux/elf.h, `struct elf64_shdr`.
 *
 * @param bytes The whole file: section headers usually stand at its end.
 * @param ehdr Its ELF header, if read already.
 * @throws {FormatError} If the headers are not all inside `bytes`, or `e_shentsize` is too small.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ELFCLASS32, ELFDATA2MSB, encodeEhdr, encodeShdr, parseShdrs, SHT_NOTE } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS32, ELFDATA2MSB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
 * const ehdr = encodeEhdr({ e_ident, e_shoff: 52n, e_shentsize: 40, e_shnum: 1 });
 * const shdr = encodeShdr({ sh_type: SHT_NOTE, sh_size: 36n }, { e_ident });
 * assertEquals(parseShdrs(Uint8Array.of(...ehdr, ...shdr))[0].sh_size, 36n);
 * ```
 */
export function parseShdrs(bytes: Uint8Array, ehdr: Ehdr = parseEhdr(bytes)): Shdr[] {
  return shdrTable(bytes, ehdr).all();
}

/**
 * Reads a symbol table, as it stands: `SHN_XINDEX` is not resolved, and names are offsets in the string table.
 *
 * Source: ELF gABI 4.1, chapter 4, and include/uapi/linux/elf.h, `struct elf64_sym`.
 *
 * @param bytes The bytes of the table alone, such as those of `.symtab`; a partial last entry is ignored.
 * @param ident Says class and byte order: the file's {@linkcode Ehdr}.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ELFCLASS64, ELFDATA2LSB, encodeSym, parseSyms, STB_GLOBAL, STT_FUNC } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB);
 * const st_info = STB_GLOBAL << 4 | STT_FUNC;
 * const [sym] = parseSyms(encodeSym({ st_info, st_shndx: 1, st_value: 0x1136n }, { e_ident }), { e_ident });
 * assertEquals([sym.st_info & 15, sym.st_info >> 4, sym.st_value], [STT_FUNC, STB_GLOBAL, 0x1136n]);
 * ```
 */
export function parseSyms(bytes: Uint8Array, ident: ElfIdent): Sym[] {
  const layout = layoutsOf(ident).sym;
  const view = viewOf(bytes);
  const out: Sym[] = [];
  for (let at = 0; at + layout.size <= bytes.length; at += layout.size) {
    out.push(readStruct<Sym>(layout, view, at, isLittleEndian(ident)));
  }
  return out;
}
