// Owns PltStubs: the stubs of a file's procedure linkage table, named by the relocations of the slots they jump by.
import { viewOf } from "../base/bytes.ts";
import {
  EM_386,
  EM_AARCH64,
  EM_X86_64,
  ET_DYN,
  ET_EXEC,
  R_386_GLOB_DAT,
  R_386_IRELATIVE,
  R_386_JMP_SLOT,
  R_AARCH64_GLOB_DAT,
  R_AARCH64_IRELATIVE,
  R_AARCH64_JUMP_SLOT,
  R_X86_64_GLOB_DAT,
  R_X86_64_IRELATIVE,
  R_X86_64_JUMP_SLOT,
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHT_PROGBITS,
  SHT_REL,
  SHT_RELA,
} from "../uapi/elf.ts";
import type { ElfFile, ElfSection } from "./elf_file.ts";
import { decodeStubs } from "./plt_code.ts";
import { CUT_MARK, stringEnd } from "./string_table.ts";

/** Stubs by ascending address, in columns. */
export interface PltStubs {
  count: number;
  addressHi: Uint32Array;
  addressLo: Uint32Array;
  /** In bytes, never 0. */
  size: Uint32Array;
  /** Where in `strings` the name begins: `memset@plt`. It ends with a zero. */
  name: Uint32Array;
  strings: Uint8Array;
}

/** Sections that linkers put stubs into; `.iplt` is lld's for indirect functions. */
const SECTION_NAMES = [".plt", ".plt.got", ".plt.sec", ".plt.bnd", ".iplt"];

/** Types of the relocations that a stub's slot has. */
const SLOT_TYPES: Readonly<Record<number, readonly number[]>> = {
  [EM_386]: [R_386_JMP_SLOT, R_386_GLOB_DAT, R_386_IRELATIVE],
  [EM_X86_64]: [R_X86_64_JUMP_SLOT, R_X86_64_GLOB_DAT, R_X86_64_IRELATIVE],
  [EM_AARCH64]: [R_AARCH64_JUMP_SLOT, R_AARCH64_GLOB_DAT, R_AARCH64_IRELATIVE],
};

/** Stubs of one file; any more have no name. Of 1,047 of Debian 12 none has more than 3,600. */
const MOST_STUBS = 1 << 18;
/** Sections that lie higher are passed over: addresses are doubles here. */
const HIGHEST = 2 ** 52;

/** Most bytes of a name without what is appended to it: with that it stays within the 64 KiB of other symbols. */
const MOST_NAME = 0xffc0;
/**
 * Names of up to this many bytes are never cut. Others are where names add up to more than twice the string table:
 * in a hostile file each stub can have a name that begins at another byte of one long string.
 */
const SHORT_NAME = 256;
/** Bytes that names may add up to in any case. */
const NAMES_AT_LEAST = 1 << 16;

const ENCODER = new TextEncoder();
/** What binutils calls a symbol that there is none of, as in a relocation that names a resolver by its address. */
const NO_SYMBOL = ENCODER.encode("*ABS*");
const SUFFIX = ENCODER.encode("@plt");
const CUT_SUFFIX = ENCODER.encode(`${CUT_MARK}@plt`);

/** Stubs as decoded, with the relocation of each. */
interface Found {
  /** Relative to the file's address 0. */
  start: number[];
  end: number[];
  /** Number of the stub that jumps by a slot, by the slot's address. */
  bySlot: Map<number, number>;
  /** Position of the relocation in the file, with the section it is in; -1 where none was found. */
  relocation: Float64Array;
  section: (ElfSection | undefined)[];
}

/**
 * Finds the stubs of an executable or shared library for x86-64, 32-bit x86 or 64-bit ARM, and names each as
 * `objdump -d` does: by the symbol whose address its slot takes, without a version, and `@plt`; where there is no
 * symbol, but the address of an indirect function's resolver, `*ABS*+0x9dc70@plt`, or on 32-bit x86 `*ABS*@plt`.
 *
 * A stub is found by its instructions, so that the layouts of all linkers are read alike. Of several that jump by
 * one slot the first is taken. Those whose slot has no relocation of a kind that stubs have are left out, as is what
 * only calls the dynamic linker. Takes time in proportion to the sections with stubs and with relocations.
 *
 * @returns `undefined` if there are none: in object files, separate debug files, files of other machines.
 * @throws {FormatError} If the section headers can't be read, or sections are not all inside the file.
 */
export function findPltStubs(file: ElfFile): PltStubs | undefined {
  const { e_type, e_machine } = file.ehdr;
  const types = SLOT_TYPES[e_machine];
  if (types === undefined || (e_type !== ET_EXEC && e_type !== ET_DYN)) return undefined;
  if (e_machine !== EM_AARCH64 && !file.littleEndian) return undefined;
  const found = decodeSections(file);
  if (found.start.length === 0) return undefined;
  findRelocations(file, types, found);
  return nameStubs(file, found);
}

/** The sections with stubs, by address. */
function stubSections(file: ElfFile): ElfSection[] {
  return SECTION_NAMES
    .map((name) => file.section(name))
    .filter((section) => section !== undefined)
    .filter(({ sh_type, sh_flags, sh_addr, sh_size }) =>
      sh_type === SHT_PROGBITS && (sh_flags & BigInt(SHF_EXECINSTR)) !== 0n && sh_size > 0n &&
      sh_addr < BigInt(HIGHEST)
    )
    .sort((a, b) => Number(a.sh_addr - b.sh_addr));
}

function addressOf(file: ElfFile, name: string): number | undefined {
  const section = file.section(name);
  return section === undefined ? undefined : Number(section.sh_addr);
}

function decodeSections(file: ElfFile): Found {
  const { start, end, bySlot }: Pick<Found, "start" | "end" | "bySlot"> = { start: [], end: [], bySlot: new Map() };
  const sections = stubSections(file);
  if (sections.length > 0) {
    const gotPlt = addressOf(file, ".got.plt");
    const got = addressOf(file, ".got");
    for (const section of sections) {
      const address = Number(section.sh_addr);
      const code = {
        machine: file.ehdr.e_machine,
        bytes: file.sectionBytes(section),
        address,
        gotPlt,
        got,
      };
      decodeStubs(code, (from, to, slot) => {
        if (start.length === MOST_STUBS) return false;
        if (!bySlot.has(slot)) {
          bySlot.set(slot, start.length);
          start.push(address + from);
          end.push(address + to);
        }
        return true;
      });
    }
  }
  const relocation = new Float64Array(start.length).fill(-1);
  return { start, end, bySlot, relocation, section: new Array(start.length) };
}

/** Bytes of a relocation. */
function relocationSize(file: ElfFile, sh_type: number): number {
  return (file.is64 ? 8 : 4) * (sh_type === SHT_RELA ? 3 : 2);
}

/**
 * Finds each stub's relocation. Goes from the last section and entry to the first: those of stubs come last, behind
 * many that only move addresses, and once each stub has one the others need not be looked at.
 */
function findRelocations(file: ElfFile, types: readonly number[], found: Found): void {
  const { bySlot, relocation, section } = found;
  const { shdrs, is64, littleEndian } = file;
  const view = viewOf(file.bytes);
  const kinds = shdrs.column("sh_type").lo;
  const flags = shdrs.column("sh_flags").lo;
  const [a, b, c] = types;
  let missing = relocation.length;
  // Headers may name the same bytes over and over; together they are not read more than once.
  let budget = file.bytes.length;
  for (let i = shdrs.length - 1; i >= 0 && missing > 0; i--) {
    if ((kinds[i] !== SHT_RELA && kinds[i] !== SHT_REL) || (flags[i] & SHF_ALLOC) === 0) continue;
    const one = file.sectionAt(i)!;
    const { byteLength: length, byteOffset } = file.sectionBytes(one);
    const size = relocationSize(file, kinds[i]);
    const from = byteOffset - file.bytes.byteOffset;
    budget -= length;
    if (budget < 0) return;
    const infoAt = is64 ? (littleEndian ? 8 : 12) : 4;
    for (let at = from + (Math.floor(length / size) - 1) * size; at >= from && missing > 0; at -= size) {
      const info = view.getUint32(at + infoAt, littleEndian);
      const type = is64 ? info : info & 0xff;
      if (type !== a && type !== b && type !== c) continue;
      const stub = bySlot.get(addressAt(view, at, is64, littleEndian));
      if (stub === undefined || relocation[stub] >= 0) continue;
      relocation[stub] = at;
      section[stub] = one;
      missing--;
    }
  }
}

function addressAt(view: DataView, at: number, is64: boolean, littleEndian: boolean): number {
  if (!is64) return view.getUint32(at, littleEndian);
  const first = view.getUint32(at, littleEndian);
  const second = view.getUint32(at + 4, littleEndian);
  return littleEndian ? second * 0x1_0000_0000 + first : first * 0x1_0000_0000 + second;
}

function nameStubs(file: ElfFile, { start, end, relocation, section }: Found): PltStubs | undefined {
  const names = new StubNames(file);
  const addressHi = new Uint32Array(start.length);
  const addressLo = new Uint32Array(start.length);
  const size = new Uint32Array(start.length);
  const name = new Uint32Array(start.length);
  let count = 0;
  for (let i = 0; i < start.length; i++) {
    if (relocation[i] < 0) continue;
    const at = names.add(relocation[i], section[i]!);
    if (at < 0) continue;
    addressHi[count] = Math.floor(start[i] / 0x1_0000_0000);
    addressLo[count] = start[i] % 0x1_0000_0000;
    size[count] = end[i] - start[i];
    name[count++] = at;
  }
  if (count === 0) return undefined;
  return {
    count,
    addressHi: addressHi.slice(0, count),
    addressLo: addressLo.slice(0, count),
    size: size.slice(0, count),
    name: name.slice(0, count),
    strings: names.strings,
  };
}

/** Symbols and names of one table. */
interface Dynamic {
  symbols: DataView;
  strings: Uint8Array;
}

/** Names of relocations, one after the other, within a limit. */
class StubNames {
  readonly #file: ElfFile;
  readonly #view: DataView;
  readonly #tables = new Map<number, Dynamic | undefined>();
  #left = NAMES_AT_LEAST;
  #bytes = new Uint8Array(4096);
  #length = 0;

  constructor(file: ElfFile) {
    this.#file = file;
    this.#view = viewOf(file.bytes);
  }

  /** All names, each with its zero. */
  get strings(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Adds the name by the relocation at `at`; returns its offset, -1 where its symbol has none. */
  add(at: number, { sh_type, sh_link }: ElfSection): number {
    const { is64, littleEndian } = this.#file;
    const view = this.#view;
    const info = view.getUint32(is64 && littleEndian ? at + 12 : is64 ? at + 8 : at + 4, littleEndian);
    const symbol = is64 ? info : info >>> 8;
    let suffix = SUFFIX;
    if (sh_type === SHT_RELA) {
      const addend = is64 ? at + 16 : at + 8;
      const isNone = view.getUint32(addend, littleEndian) === 0 &&
        (!is64 || view.getUint32(addend + 4, littleEndian) === 0);
      if (!isNone) {
        const value = is64 ? view.getBigUint64(addend, littleEndian) : view.getUint32(addend, littleEndian);
        suffix = ENCODER.encode(`+0x${value.toString(16)}@plt`);
      }
    }
    if (symbol === 0) return this.#append(NO_SYMBOL, 0, NO_SYMBOL.length, suffix);
    const dynamic = this.#table(sh_link);
    const entry = symbol * (is64 ? 24 : 16);
    if (dynamic === undefined || entry + 4 > dynamic.symbols.byteLength) return -1;
    const { strings } = dynamic;
    const from = dynamic.symbols.getUint32(entry, littleEndian);
    if (!(from < strings.length) || strings[from] === 0) return -1;
    const limit = Math.max(SHORT_NAME, Math.min(MOST_NAME, this.#left));
    const whole = stringEnd(strings, from, limit);
    const isCut = whole < 0;
    let end = isCut ? from + limit : whole;
    // Not between the bytes of one character, of which the first alone is not 0b10xxxxxx.
    for (let i = 0; i < 3 && isCut && (strings[end] & 0xc0) === 0x80; i++) end--;
    this.#left -= end - from;
    return this.#append(strings, from, end, isCut ? CUT_SUFFIX : suffix);
  }

  #append(text: Uint8Array, from: number, end: number, suffix: Uint8Array): number {
    const at = this.#length;
    const length = at + end - from + suffix.length + 1;
    if (length > this.#bytes.length) {
      const more = new Uint8Array(2 * length);
      more.set(this.#bytes);
      this.#bytes = more;
    }
    const bytes = this.#bytes;
    bytes.set(text.subarray(from, end), at);
    bytes.set(suffix, at + end - from);
    this.#length = length;
    return at;
  }

  #table(index: number): Dynamic | undefined {
    if (this.#tables.has(index)) return this.#tables.get(index);
    const file = this.#file;
    const section = file.sectionAt(index);
    const strings = section === undefined ? undefined : file.sectionAt(section.sh_link);
    const table = section === undefined || strings === undefined
      ? undefined
      : { symbols: viewOf(file.sectionBytes(section)), strings: file.sectionBytes(strings) };
    this.#tables.set(index, table);
    if (table !== undefined && this.#tables.size === 1) this.#left += 2 * table.strings.length;
    return table;
  }
}
