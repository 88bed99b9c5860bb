// Owns ElfFile: one ELF file in memory, whose headers, names and section contents are read when asked for.
import { FormatError } from "../base/format_error.ts";
import { viewOf } from "../base/bytes.ts";
import { SHN_XINDEX, SHT_NOBITS, SHT_SYMTAB_SHNDX } from "../uapi/elf.ts";
import { readBuildId } from "./build_id.ts";
import {
  type Ehdr,
  isLittleEndian,
  layoutsOf,
  parseEhdr,
  parsePhdrs,
  parseShdrs,
  type Phdr,
  type Shdr,
  toFileNumber,
} from "./headers.ts";
import { type ElfNote, elfNotes } from "./notes.ts";

/** A section: its header, index and name. */
export interface ElfSection extends Shdr {
  readonly index: number;
  /** From the section of section names; `""` where that can't be read. */
  readonly name: string;
}

/** Most bytes of a section name that are read: many names may share one long string. */
const MAX_SECTION_NAME = 4096;

/**
 * One ELF file in memory. The constructor reads the ELF header alone; every table is read when first asked for,
 * so a file that is cut short or broken in one place answers from the others. Keeps the caller's bytes and
 * copies nothing.
 *
 * Each accessor throws `FormatError` where what it needs is malformed or missing from a cut file.
 */
export class ElfFile {
  /** The file from its start; the caller's. */
  readonly bytes: Uint8Array;
  readonly ehdr: Ehdr;
  readonly is64: boolean;
  readonly littleEndian: boolean;
  #phdrs: readonly Phdr[] | undefined;
  #sections: readonly ElfSection[] | undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.ehdr = parseEhdr(bytes);
    this.is64 = layoutsOf(this.ehdr).ehdr.size === 64;
    this.littleEndian = isLittleEndian(this.ehdr);
  }

  /** All program headers, in the file's order. */
  get phdrs(): readonly Phdr[] {
    return this.#phdrs ??= parsePhdrs(this.bytes, this.ehdr);
  }

  /** Program headers of one `p_type`, in the file's order. */
  segments(p_type: number): Phdr[] {
    return this.phdrs.filter((phdr) => phdr.p_type === p_type);
  }

  /** All sections, in the file's order, the null section at 0 included. */
  get sections(): readonly ElfSection[] {
    if (this.#sections !== undefined) return this.#sections;
    const shdrs = parseShdrs(this.bytes, this.ehdr);
    const { e_shstrndx } = this.ehdr;
    const names = shdrs[e_shstrndx === SHN_XINDEX ? shdrs[0]?.sh_link ?? 0 : e_shstrndx];
    let table: Uint8Array = new Uint8Array(0);
    try {
      if (names !== undefined) table = this.#contents(names);
    } catch (error) {
      // Sections are also found by type; names that can't be read hide no more than the names.
      if (!(error instanceof FormatError)) throw error;
    }
    return this.#sections = shdrs.map((shdr, index) => ({
      ...shdr,
      index,
      name: stringAt(table, shdr.sh_name, MAX_SECTION_NAME),
    }));
  }

  /** The first section of this name. */
  section(name: string): ElfSection | undefined {
    return this.sections.find((section) => section.name === name);
  }

  /** The first section of this `sh_type`. */
  sectionOfType(sh_type: number): ElfSection | undefined {
    return this.sections.find((section) => section.sh_type === sh_type);
  }

  /**
   * The bytes of a section as they stand in the file, compressed or not: a subarray. Empty for SHT_NOBITS.
   *
   * @throws {FormatError} If the section is not all inside the file.
   */
  sectionBytes(section: Shdr): Uint8Array {
    return this.#contents(section);
  }

  #contents(section: Shdr): Uint8Array {
    if (section.sh_type === SHT_NOBITS) return this.bytes.subarray(0, 0);
    const offset = toFileNumber(section.sh_offset, "sh_offset", 0);
    const size = toFileNumber(section.sh_size, "sh_size", 0);
    if (offset > this.bytes.length || size > this.bytes.length - offset) {
      throw new FormatError(`${size} bytes from there are not all in the input of ${this.bytes.length}`, {
        offset,
        field: "sh_offset",
        value: section.sh_offset,
      });
    }
    return this.bytes.subarray(offset, offset + size);
  }

  /**
   * The SHT_SYMTAB_SHNDX words of the symbol table at section index `symtab`: element i is the section of symbol
   * i where its `st_shndx` is `SHN_XINDEX`. `undefined` where the table has none.
   */
  symbolSections(symtab: number): Uint32Array | undefined {
    const section = this.sections.find((s) => s.sh_type === SHT_SYMTAB_SHNDX && s.sh_link === symtab);
    if (section === undefined) return undefined;
    const view = viewOf(this.#contents(section));
    const words = new Uint32Array(Math.floor(view.byteLength / 4));
    for (let i = 0; i < words.length; i++) words[i] = view.getUint32(4 * i, this.littleEndian);
    return words;
  }

  /** All notes; see {@linkcode elfNotes}. */
  notes(): Generator<ElfNote, void, undefined> {
    return elfNotes(this.bytes);
  }

  /** The GNU build id; see {@linkcode readBuildId}. */
  get buildId(): Uint8Array | undefined {
    return readBuildId(this.bytes);
  }
}

const DECODER = new TextDecoder();

/**
 * The zero-terminated UTF-8 string at `offset` of a string table, cut after `limit` bytes; `""` where the table
 * ends before.
 */
export function stringAt(table: Uint8Array, offset: number, limit: number = Infinity): string {
  if (!(offset < table.length)) return "";
  const text = table.subarray(offset, offset + limit);
  const zero = text.indexOf(0);
  return DECODER.decode(zero < 0 ? text : text.subarray(0, zero));
}
