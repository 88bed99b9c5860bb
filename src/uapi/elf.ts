// Owns the constants and struct layouts of the ELF gABI and include/uapi/linux/elf.h, in their spelling.
import { type StructLayout, structLayout } from "../base/struct.ts";

/** The four bytes every ELF file starts with, `\x7fELF`, as a big-endian number. */
export const ELFMAG = 0x7f454c46;
/** Index of the class byte in `e_ident`. */
export const EI_CLASS = 4;
/** Index of the byte-order byte in `e_ident`. */
export const EI_DATA = 5;
/** `e_ident[EI_CLASS]`: 32-bit objects. */
export const ELFCLASS32 = 1;
/** `e_ident[EI_CLASS]`: 64-bit objects. */
export const ELFCLASS64 = 2;
/** `e_ident[EI_DATA]`: little-endian. */
export const ELFDATA2LSB = 1;
/** `e_ident[EI_DATA]`: big-endian. */
export const ELFDATA2MSB = 2;

/** `e_type`: relocatable file. */
export const ET_REL = 1;
/** `e_type`: executable file at fixed addresses. */
export const ET_EXEC = 2;
/** `e_type`: shared object or position-independent executable. */
export const ET_DYN = 3;
/** `e_type`: core file. */
export const ET_CORE = 4;

/** `e_machine`: 32-bit x86. */
export const EM_386 = 3;
/** `e_machine`: 32-bit ARM. */
export const EM_ARM = 40;
/** `e_machine`: x86-64, also with 32-bit addresses. */
export const EM_X86_64 = 62;
/** `e_machine`: 64-bit ARM. */
export const EM_AARCH64 = 183;

/** `p_type`: loadable segment. */
export const PT_LOAD = 1;
/** `p_type`: notes. */
export const PT_NOTE = 4;
/** `p_flags`: executable. */
export const PF_X = 1;
/** `p_flags`: writable. */
export const PF_W = 2;
/** `p_flags`: readable. */
export const PF_R = 4;
/** `e_phnum` where the real number of program headers is in `sh_info` of section header 0. */
export const PN_XNUM = 0xffff;

/** `sh_type`: unused header. */
export const SHT_NULL = 0;
/** `sh_type`: contents that the program defines. */
export const SHT_PROGBITS = 1;
/** `sh_type`: full symbol table. */
export const SHT_SYMTAB = 2;
/** `sh_type`: string table. */
export const SHT_STRTAB = 3;
/** `sh_type`: relocations with addends. */
export const SHT_RELA = 4;
/** `sh_type`: notes. */
export const SHT_NOTE = 7;
/** `sh_type`: occupies no space in the file. */
export const SHT_NOBITS = 8;
/** `sh_type`: relocations without addends. */
export const SHT_REL = 9;
/** `sh_type`: symbols for dynamic linking. */
export const SHT_DYNSYM = 11;
/** `sh_type`: section indices of symbols whose `st_shndx` is `SHN_XINDEX`. */
export const SHT_SYMTAB_SHNDX = 18;

/** `sh_flags`: occupies memory when the program runs. */
export const SHF_ALLOC = 2;
/** `sh_flags`: holds instructions. */
export const SHF_EXECINSTR = 4;
/** `sh_flags`: holds a `Chdr` and compressed data. */
export const SHF_COMPRESSED = 0x800;

/** `ch_type`: zlib, RFC 1950. */
export const ELFCOMPRESS_ZLIB = 1;

/** Section index: undefined. */
export const SHN_UNDEF = 0;
/** First of the reserved section indices. */
export const SHN_LORESERVE = 0xff00;
/** Section index: the symbol's value is absolute. */
export const SHN_ABS = 0xfff1;
/** Section index: the real index stands elsewhere (`sh_link` of header 0, or SHT_SYMTAB_SHNDX). */
export const SHN_XINDEX = 0xffff;

/** Symbol type (`st_info & 15`): unspecified. */
export const STT_NOTYPE = 0;
/** Symbol type: data. */
export const STT_OBJECT = 1;
/** Symbol type: function. */
export const STT_FUNC = 2;
/** Symbol type: section. */
export const STT_SECTION = 3;
/** Symbol type: source file name. */
export const STT_FILE = 4;
/** Symbol type: thread-local data. */
export const STT_TLS = 6;
/** Symbol type: resolver of an indirect function (GNU). */
export const STT_GNU_IFUNC = 10;
/** Symbol binding (`st_info >> 4`): local. */
export const STB_LOCAL = 0;
/** Symbol binding: global. */
export const STB_GLOBAL = 1;
/** Symbol binding: weak. */
export const STB_WEAK = 2;
/** Symbol binding: unique (GNU). */
export const STB_GNU_UNIQUE = 10;

/** Relocation of 32-bit x86: a slot of the global offset table takes a symbol's address. */
export const R_386_GLOB_DAT = 6;
/** Relocation of 32-bit x86: the slot of a stub, filled at the first call or at the start. */
export const R_386_JMP_SLOT = 7;
/** Relocation of 32-bit x86: the slot takes what the resolver of an indirect function returns. */
export const R_386_IRELATIVE = 42;
/** The same of x86-64. */
export const R_X86_64_GLOB_DAT = 6;
/** The same of x86-64. */
export const R_X86_64_JUMP_SLOT = 7;
/** The same of x86-64. */
export const R_X86_64_IRELATIVE = 37;
/** The same of 64-bit ARM. */
export const R_AARCH64_GLOB_DAT = 1025;
/** The same of 64-bit ARM. */
export const R_AARCH64_JUMP_SLOT = 1026;
/** The same of 64-bit ARM. */
export const R_AARCH64_IRELATIVE = 1032;

/** `n_type` of a GNU build-id note, whose name is `"GNU\0"`. */
export const NT_GNU_BUILD_ID = 3;

// The 32- and 64-bit layouts list the same fields; Phdr and Sym order them differently.

/** Layouts of one ELF class. */
export interface ElfLayouts {
  readonly ehdr: StructLayout;
  readonly phdr: StructLayout;
  readonly shdr: StructLayout;
  readonly sym: StructLayout;
}

function layouts(bits: "32" | "64"): ElfLayouts {
  const word = bits === "32" ? "addr32" : "u64";
  return {
    ehdr: structLayout(`Elf${bits}_Ehdr`, [
      ["e_ident", "bytes16"],
      ["e_type", "u16"],
      ["e_machine", "u16"],
      ["e_version", "u32"],
      ["e_entry", word],
      ["e_phoff", word],
      ["e_shoff", word],
      ["e_flags", "u32"],
      ["e_ehsize", "u16"],
      ["e_phentsize", "u16"],
      ["e_phnum", "u16"],
      ["e_shentsize", "u16"],
      ["e_shnum", "u16"],
      ["e_shstrndx", "u16"],
    ]),
    phdr: structLayout(
      `Elf${bits}_Phdr`,
      bits === "32"
        ? [
          ["p_type", "u32"],
          ["p_offset", word],
          ["p_vaddr", word],
          ["p_paddr", word],
          ["p_filesz", word],
          ["p_memsz", word],
          ["p_flags", "u32"],
          ["p_align", word],
        ]
        : [
          ["p_type", "u32"],
          ["p_flags", "u32"],
          ["p_offset", word],
          ["p_vaddr", word],
          ["p_paddr", word],
          ["p_filesz", word],
          ["p_memsz", word],
          ["p_align", word],
        ],
    ),
    shdr: structLayout(`Elf${bits}_Shdr`, [
      ["sh_name", "u32"],
      ["sh_type", "u32"],
      ["sh_flags", word],
      ["sh_addr", word],
      ["sh_offset", word],
      ["sh_size", word],
      ["sh_link", "u32"],
      ["sh_info", "u32"],
      ["sh_addralign", word],
      ["sh_entsize", word],
    ]),
    sym: structLayout(
      `Elf${bits}_Sym`,
      bits === "32"
        ? [
          ["st_name", "u32"],
          ["st_value", word],
          ["st_size", word],
          ["st_info", "u8"],
          ["st_other", "u8"],
          ["st_shndx", "u16"],
        ]
        : [
          ["st_name", "u32"],
          ["st_info", "u8"],
          ["st_other", "u8"],
          ["st_shndx", "u16"],
          ["st_value", word],
          ["st_size", word],
        ],
    ),
  };
}

/** Layouts of 32-bit files. */
export const ELF32: ElfLayouts = layouts("32");
/** Layouts of 64-bit files. */
export const ELF64: ElfLayouts = layouts("64");
/** `Elf32_Nhdr` and `Elf64_Nhdr`, which are the same. */
export const NHDR: StructLayout = structLayout("Elf_Nhdr", [
  ["n_namesz", "u32"],
  ["n_descsz", "u32"],
  ["n_type", "u32"],
]);
/** `Elf32_Chdr`, at the start of a section with SHF_COMPRESSED. */
export const CHDR32: StructLayout = structLayout("Elf32_Chdr", [
  ["ch_type", "u32"],
  ["ch_size", "addr32"],
  ["ch_addralign", "addr32"],
]);
/** `Elf64_Chdr`. */
export const CHDR64: StructLayout = structLayout("Elf64_Chdr", [
  ["ch_type", "u32"],
  ["ch_reserved", "u32"],
  ["ch_size", "u64"],
  ["ch_addralign", "u64"],
]);
