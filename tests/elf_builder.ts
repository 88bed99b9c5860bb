// Owns the ELF builder of the tests: small files of either class and byte order, made with our own encoders.
import {
  type Ehdr,
  encodeEhdr,
  encodeNote,
  encodePhdr,
  encodeShdr,
  encodeSym,
  type Phdr,
  type Shdr,
  type Sym,
} from "../mod.ts";

/** A segment: header fields, and optionally its contents, which set `p_offset`, `p_filesz` and `p_memsz`. */
export type SegmentSpec = Partial<Phdr> & { contents?: Uint8Array };
/** A section: name, header fields, and optionally contents, which set `sh_offset` and `sh_size`. */
export type SectionSpec = Partial<Shdr> & { name: string; contents?: Uint8Array };
/** A symbol: name and fields; `type` and `bind` make `st_info`. */
export type SymbolSpec = Partial<Sym> & { name: string; type?: number; bind?: number };

/** What {@linkcode buildElf} makes. Everything has a default: a bare 64-bit little-endian ET_DYN of x86-64. */
export interface ElfSpec {
  is64?: boolean;
  littleEndian?: boolean;
  ehdr?: Partial<Ehdr>;
  segments?: SegmentSpec[];
  sections?: SectionSpec[];
  /** Makes `.symtab` and `.strtab`; with `dynamic`, `.dynsym` and `.dynstr`. */
  symbols?: SymbolSpec[];
  dynamic?: boolean;
  /** Makes a PT_NOTE segment with one build-id note; with `noteSection`, an SHT_NOTE section over it too. */
  buildId?: Uint8Array;
  noteSection?: boolean;
  /** Put the number of program headers into section header 0, whatever it is. */
  pnXnum?: boolean;
  /** Put number of sections and index of names into section header 0, whatever they are. */
  extendedSections?: boolean;
}

/** `e_ident` of a class and byte order. */
export function makeIdent(is64: boolean, littleEndian: boolean): Uint8Array {
  return Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, littleEndian ? 1 : 2, 1, ...new Uint8Array(9));
}

/** All four combinations, for tests that run over them. */
export const FORMATS: readonly { is64: boolean; littleEndian: boolean; name: string }[] = [true, false].flatMap(
  (is64) =>
    [true, false].map((littleEndian) => ({
      is64,
      littleEndian,
      name: `${is64 ? 64 : 32}-bit ${littleEndian ? "little" : "big"}-endian`,
    })),
);

/** Concatenates. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Strings to a string table, the empty one first, and the offset of each. */
export function stringTable(names: string[]): { bytes: Uint8Array; offsets: number[] } {
  let text = "\0";
  const encoder = new TextEncoder();
  const offsets: number[] = [];
  for (const name of names) {
    offsets.push(name === "" ? 0 : encoder.encode(text).length);
    if (name !== "") text += `${name}\0`;
  }
  return { bytes: encoder.encode(text), offsets };
}

/** Makes an ELF file: header, program headers, contents in the order given (16-aligned), section headers. */
export function buildElf(spec: ElfSpec = {}): Uint8Array {
  const { is64 = true, littleEndian = true } = spec;
  const ident = { e_ident: makeIdent(is64, littleEndian) };
  const segments = [...spec.segments ?? []];
  const sections = [...spec.sections ?? []];
  let noteSegment: SegmentSpec | undefined;
  if (spec.buildId !== undefined) {
    const contents = encodeNote({ n_type: 3, name: "GNU", desc: spec.buildId }, ident);
    noteSegment = { p_type: 4, p_flags: 4, p_align: 4n, contents };
    segments.push(noteSegment);
  }
  if (spec.symbols !== undefined) {
    const strings = stringTable(spec.symbols.map((symbol) => symbol.name));
    const contents = concat(
      encodeSym({}, ident),
      ...spec.symbols.map((symbol, i) =>
        encodeSym({
          st_name: strings.offsets[i],
          st_info: ((symbol.bind ?? 1) << 4) | (symbol.type ?? 2),
          st_shndx: 1,
          ...pick(symbol),
        }, ident)
      ),
    );
    const entsize = BigInt(encodeSym({}, ident).length);
    // Indices count the null section and, with noteSection, the note section after these.
    const strtab = 1 + sections.length + 1;
    sections.push({
      name: spec.dynamic ? ".dynsym" : ".symtab",
      sh_type: spec.dynamic ? 11 : 2,
      sh_link: strtab,
      sh_entsize: entsize,
      contents,
    });
    sections.push({ name: spec.dynamic ? ".dynstr" : ".strtab", sh_type: 3, contents: strings.bytes });
  }
  const ehdrSize = is64 ? 64 : 52;
  const phdrSize = is64 ? 56 : 32;
  let end = ehdrSize + segments.length * phdrSize;
  const pieces: { at: number; bytes: Uint8Array }[] = [];
  const place = (bytes: Uint8Array): bigint => {
    const at = Math.ceil(end / 16) * 16;
    pieces.push({ at, bytes });
    end = at + bytes.length;
    return BigInt(at);
  };
  const phdrs: Partial<Phdr>[] = segments.map(({ contents, ...phdr }) => {
    if (contents === undefined) return phdr;
    const size = BigInt(contents.length);
    return { p_filesz: size, p_memsz: size, p_offset: place(contents), ...phdr };
  });
  if (spec.noteSection && noteSegment !== undefined) {
    const note = phdrs[segments.indexOf(noteSegment)];
    sections.push({
      name: ".note.gnu.build-id",
      sh_type: 7,
      sh_offset: note.p_offset!,
      sh_size: note.p_filesz!,
      sh_addralign: 4n,
    });
  }
  const withSections = sections.length > 0 || spec.pnXnum || spec.extendedSections;
  const all: SectionSpec[] = withSections ? [{ name: "" }, ...sections, { name: ".shstrtab", sh_type: 3 }] : [];
  const names = stringTable(all.map((section) => section.name));
  if (withSections) all[all.length - 1] = { ...all[all.length - 1], contents: names.bytes };
  const shdrs: Partial<Shdr>[] = all.map(({ name: _, contents, ...shdr }, i) => {
    if (contents === undefined) return { sh_name: names.offsets[i], ...shdr };
    return { sh_name: names.offsets[i], sh_size: BigInt(contents.length), sh_offset: place(contents), ...shdr };
  });
  const ehdr: Partial<Ehdr> = {
    e_type: 3,
    e_machine: 62,
    e_version: 1,
    e_phoff: segments.length > 0 ? BigInt(ehdrSize) : 0n,
    e_ehsize: ehdrSize,
    e_phentsize: phdrSize,
    e_phnum: segments.length,
    e_shentsize: is64 ? 64 : 40,
    e_shnum: shdrs.length,
    e_shstrndx: Math.max(0, shdrs.length - 1),
    ...spec.ehdr,
  };
  if (spec.pnXnum) {
    shdrs[0] = { ...shdrs[0], sh_info: segments.length };
    ehdr.e_phnum = 0xffff;
  }
  if (spec.extendedSections) {
    shdrs[0] = { ...shdrs[0], sh_size: BigInt(shdrs.length), sh_link: shdrs.length - 1 };
    ehdr.e_shnum = 0;
    ehdr.e_shstrndx = 0xffff;
  }
  if (withSections) ehdr.e_shoff ??= place(concat(...shdrs.map((shdr) => encodeShdr(shdr, ident))));
  const file = new Uint8Array(end);
  file.set(encodeEhdr({ ...ehdr, ...ident }));
  phdrs.forEach((phdr, i) => file.set(encodePhdr(phdr, ident), ehdrSize + i * phdrSize));
  for (const { at, bytes } of pieces) file.set(bytes, at);
  return file;
}

/** The raw fields alone: `writeStruct` takes what the layout names, but `undefined` must not win over defaults. */
function pick({ name: _, type: _type, bind: _bind, ...sym }: SymbolSpec): Partial<Sym> {
  return sym;
}
