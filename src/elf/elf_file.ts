// Owns ElfFile: one ELF file in memory, whose headers, names and section contents are read when asked for.
import { FormatError } from "../base/format_error.ts";
import { viewOf } from "../base/bytes.ts";
import { SHN_XINDEX, SHT_NOBITS, SHT_SYMTAB_SHNDX } from "../uapi/elf.ts";
import { readBuildId } from "./build_id.ts";
import { type HeaderTable, toFileNumber } from "./header_table.ts";
import {
  type Ehdr,
  isLittleEndian,
  layoutsOf,
  parseEhdr,
  type Phdr,
  phdrTable,
  type Shdr,
  shdrTable,
} from "./headers.ts";
import { type ElfNote, elfNotes } from "./notes.ts";
import { stringAt, stringIs } from "./string_table.ts";

/** A section: its header and index. */
export interface ElfSection extends Shdr {
  readonly index: number;
}

/** Most bytes of a section name that are read: many names may share one long string. */
const MAX_SECTION_NAME = 4096;

/**
 * One ELF file in memory. The constructor reads the ELF header alone; every table is read when first asked for,
 * so a file that is cut short or broken in one place answers from the others. Keeps the caller's bytes and
 * copies nothing; makes objects of the headers asked for and of no others.
 *
 * Each accessor throws `FormatError` where what it needs is malformed or missing from a cut file.
 */
export class ElfFile {
  /** The file from its start; the caller's. */
  readonly bytes: Uint8Array;
  readonly ehdr: Ehdr;
  readonly is64: boolean;
  readonly littleEndian: boolean;
  #phdrs: HeaderTable<Phdr> | undefined;
  #shdrs: HeaderTable<Shdr> | undefined;
  #names: Uint8Array | undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.ehdr = parseEhdr(bytes);
    this.is64 = layoutsOf(this.ehdr).ehdr.size === 64;
    this.littleEndian = isLittleEndian(this.ehdr);
  }

  /** The program headers, in the file's order. */
  get phdrs(): HeaderTable<Phdr> {
    return this.#phdrs ??= phdrTable(this.bytes, this.ehdr);
  }

  /** The section headers, in the file's order, the null section at 0 included. */
  get shdrs(): HeaderTable<Shdr> {
    return this.#shdrs ??= shdrTable(this.bytes, this.ehdr);
  }

  /** The first `most` program headers of one `p_type`, in the file's order. */
  segments(p_type: number, most: number): Phdr[] {
    const out: Phdr[] = [];
    const { phdrs } = this;
    for (
      let i = phdrs.find("p_type", p_type);
      i >= 0 && out.length < most;
      i = phdrs.find("p_type", p_type, i + 1)
    ) {
      out.push(phdrs.get(i));
    }
    return out;
  }

  /** Section `index`; `undefined` if there are not so many. */
  sectionAt(index: number): ElfSection | undefined {
    const { shdrs } = this;
    return index >= 0 && index < shdrs.length ? { ...shdrs.get(index), index } : undefined;
  }

  /** The first section of this name. */
  section(name: string): ElfSection | undefined {
    const text = new TextEncoder().encode(name);
    const table = this.#sectionNames();
    const offsets = this.shdrs.column("sh_name").lo;
    return this.sectionAt(offsets.findIndex((offset) => stringIs(table, offset, text)));
  }

  /** The first section of this `sh_type`. */
  sectionOfType(sh_type: number): ElfSection | undefined {
    return this.sectionAt(this.shdrs.find("sh_type", sh_type));
  }

  /** Name of a section, from the section of section names; `""` where that can't be read. Cut after 4096 bytes. */
  sectionName(section: Shdr): string {
    return stringAt(this.#sectionNames(), section.sh_name, MAX_SECTION_NAME);
  }

  #sectionNames(): Uint8Array {
    if (this.#names !== undefined) return this.#names;
    const { e_shstrndx } = this.ehdr;
    const names = this.sectionAt(e_shstrndx === SHN_XINDEX ? this.sectionAt(0)?.sh_link ?? 0 : e_shstrndx);
    let table: Uint8Array = new Uint8Array(0);
    try {
      if (names !== undefined) table = this.sectionBytes(names);
    } catch (error) {
      // Sections are also found by type; names that can't be read hide no more than the names.
      if (!(error instanceof FormatError)) throw error;
    }
    return this.#names = table;
  }

  /**
   * The bytes of a section as they stand in the file, compressed or not: a subarray. Empty for SHT_NOBITS.
   *
   * @throws {FormatError} If the section is not all inside the file.
   */
  sectionBytes(section: Shdr): Uint8Array {
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
    const { shdrs } = this;
    let index = shdrs.find("sh_link", symtab);
    while (index >= 0 && shdrs.get(index).sh_type !== SHT_SYMTAB_SHNDX) {
      index = shdrs.find("sh_link", symtab, index + 1);
    }
    if (index < 0) return undefined;
    const view = viewOf(this.sectionBytes(shdrs.get(index)));
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
