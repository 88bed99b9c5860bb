// Owns the tests of the raw ELF headers: all four formats, large counts, malformed tables, and ElfFile over them.
import { assertEquals, assertThrows } from "@std/assert";
import {
  encodeEhdr,
  encodePhdr,
  encodeShdr,
  encodeSym,
  FormatError,
  parseEhdr,
  parsePhdrs,
  parseShdrs,
  parseSyms,
} from "../mod.ts";
import { ElfFile } from "../src/elf/elf_file.ts";
import { stringAt } from "../src/elf/string_table.ts";
import { buildElf, concat, FORMATS, makeIdent, stringTable } from "./elf_builder.ts";

const EHDR = {
  e_type: 3,
  e_machine: 0x1234,
  e_version: 1,
  e_entry: 0x1020_3040n,
  e_phoff: 0x50n,
  e_shoff: 0x60n,
  e_flags: 0x7080_90a0,
  e_ehsize: 64,
  e_phentsize: 56,
  e_phnum: 2,
  e_shentsize: 64,
  e_shnum: 3,
  e_shstrndx: 4,
};
const PHDR = {
  p_type: 1,
  p_flags: 5,
  p_offset: 0x1001n,
  p_vaddr: 0x2002n,
  p_paddr: 0x3003n,
  p_filesz: 0x4004n,
  p_memsz: 0x5005n,
  p_align: 0x1000n,
};
const SHDR = {
  sh_name: 1,
  sh_type: 7,
  sh_flags: 2n,
  sh_addr: 0x1001n,
  sh_offset: 0x2002n,
  sh_size: 0x3003n,
  sh_link: 4,
  sh_info: 5,
  sh_addralign: 8n,
  sh_entsize: 24n,
};
const SYM = { st_name: 9, st_info: 0x12, st_other: 3, st_shndx: 0xfff1, st_value: 0x1234_5678n, st_size: 0x42n };

for (const { is64, littleEndian, name } of FORMATS) {
  Deno.test(`headers of a ${name} file read back as they were written`, () => {
    const e_ident = makeIdent(is64, littleEndian);
    const ehdr = { e_ident, ...EHDR };
    const bytes = encodeEhdr(ehdr);
    assertEquals(bytes.length, is64 ? 64 : 52);
    assertEquals(parseEhdr(bytes), ehdr);
    const word = [...bytes.subarray(20, 24)];
    assertEquals(word, littleEndian ? [1, 0, 0, 0] : [0, 0, 0, 1]);

    const phdr = encodePhdr(PHDR, ehdr);
    assertEquals(phdr.length, is64 ? 56 : 32);
    const shdr = encodeShdr(SHDR, ehdr);
    assertEquals(shdr.length, is64 ? 64 : 40);
    const head = encodeEhdr({
      e_ident,
      e_phoff: 100n,
      e_phnum: 1,
      e_phentsize: phdr.length,
      e_shoff: 200n,
      e_shnum: 1,
      e_shentsize: shdr.length,
    });
    const file = new Uint8Array(300);
    file.set(head);
    file.set(phdr, 100);
    file.set(shdr, 200);
    assertEquals(parsePhdrs(file), [PHDR]);
    assertEquals(parseShdrs(file), [SHDR]);

    const sym = encodeSym(SYM, ehdr);
    assertEquals(sym.length, is64 ? 24 : 16);
    assertEquals(parseSyms(concat(sym, sym, sym.subarray(1)), ehdr), [SYM, SYM]);
  });

  Deno.test(`PN_XNUM and extended section numbering resolve in a ${name} file`, () => {
    const spec = {
      is64,
      littleEndian,
      segments: [{ p_type: 1 }, { p_type: 6 }],
      sections: [{ name: ".text", sh_type: 1, contents: Uint8Array.of(1, 2, 3) }],
    };
    const plain = buildElf(spec);
    const extended = buildElf({ ...spec, pnXnum: true, extendedSections: true });
    assertEquals(parseEhdr(extended).e_phnum, 0xffff);
    assertEquals(parseEhdr(extended).e_shnum, 0);
    assertEquals(parsePhdrs(extended), parsePhdrs(plain));
    assertEquals(parseShdrs(extended).length, parseShdrs(plain).length);
    const file = new ElfFile(extended);
    assertEquals(sectionNames(file), ["", ".text", ".shstrtab"]);
    assertEquals(file.sectionBytes(file.section(".text")!), Uint8Array.of(1, 2, 3));
  });

  Deno.test(`ElfFile finds segments, sections and SHT_SYMTAB_SHNDX words of a ${name} file`, () => {
    const words = new Uint8Array(8);
    new DataView(words.buffer).setUint32(4, 0x12345, littleEndian);
    const bytes = buildElf({
      is64,
      littleEndian,
      segments: [{ p_type: 1, p_flags: 5 }, { p_type: 6 }],
      sections: [
        { name: ".symtab_shndx", sh_type: 18, sh_link: 3, contents: words },
        { name: ".bss", sh_type: 8, sh_offset: 1n << 31n, sh_size: 1n << 31n },
      ],
      symbols: [{ name: "main", st_value: 0x1000n }],
      buildId: Uint8Array.of(1, 2, 3),
    });
    const before = bytes.slice();
    const file = new ElfFile(bytes);
    assertEquals(file.is64, is64);
    assertEquals(file.littleEndian, littleEndian);
    assertEquals(file.segments(1, 9).map((phdr) => phdr.p_flags), [5]);
    assertEquals(file.segments(1, 0), []);
    assertEquals(file.segments(7, 9), []);
    assertEquals(file.phdrs.length, 3);
    assertEquals(file.section(".symtab")?.index, 3);
    assertEquals(file.sectionName(file.sectionOfType(2)!), ".symtab");
    for (const none of [".none", ".sym", ".symtab_", ".symtab_shndx."]) assertEquals(file.section(none), undefined);
    assertEquals(file.sectionOfType(99), undefined);
    assertEquals(file.sectionAt(-1), undefined);
    assertEquals(file.sectionAt(file.shdrs.length), undefined);
    assertThrows(() => file.shdrs.get(file.shdrs.length), RangeError);
    assertEquals(
      [...file.shdrs.column("sh_size").hi],
      parseShdrs(bytes).map((shdr) => Number(shdr.sh_size >> 32n)),
    );
    assertEquals(
      [...file.shdrs.column("sh_offset").lo],
      parseShdrs(bytes).map((shdr) => Number(shdr.sh_offset & 0xffff_ffffn)),
    );
    assertEquals(file.sectionBytes(file.section(".bss")!).length, 0);
    assertEquals([...file.symbolSections(3)!], [0, 0x12345]);
    assertEquals(file.symbolSections(4), undefined);
    assertEquals(file.buildId, Uint8Array.of(1, 2, 3));
    assertEquals([...file.notes()].map((note) => note.name), ["GNU"]);
    assertEquals(bytes, before);
  });
}

function sectionNames(file: ElfFile): string[] {
  return Array.from({ length: file.shdrs.length }, (_, i) => file.sectionName(file.sectionAt(i)!));
}

function fails(run: () => unknown, field: string, offset?: number): void {
  const error = assertThrows(run, FormatError);
  assertEquals(error.field, field);
  if (offset !== undefined) assertEquals(error.offset, offset);
}

Deno.test("parseEhdr() names the part of e_ident that is wrong", () => {
  fails(() => parseEhdr(new Uint8Array(0)), "e_ident", 0);
  fails(() => parseEhdr(new Uint8Array(64)), "e_ident", 0);
  const good = encodeEhdr({ e_ident: makeIdent(true, true) });
  for (const [at, field] of [[0, "e_ident"], [4, "e_ident[EI_CLASS]"], [5, "e_ident[EI_DATA]"]] as const) {
    const bad = good.slice();
    bad[at] = 3;
    fails(() => parseEhdr(bad), field, at);
  }
  fails(() => parseEhdr(good.subarray(0, 63)), "Elf64_Ehdr");
});

Deno.test("header tables outside the file, too small entries and offsets past 2^53 throw FormatError", () => {
  const e_ident = makeIdent(true, true);
  const table = (ehdr: object) => encodeEhdr({ e_ident, e_phentsize: 56, e_shentsize: 64, ...ehdr });
  fails(() => parsePhdrs(table({ e_phoff: 64n, e_phnum: 1 })), "e_phoff", 64);
  fails(() => parsePhdrs(table({ e_phoff: 1n << 60n, e_phnum: 1 })), "e_phoff");
  fails(() => parsePhdrs(table({ e_phoff: 1n << 52n, e_phnum: 1 })), "e_phoff");
  fails(() => parsePhdrs(table({ e_phoff: 1n, e_phnum: 1, e_phentsize: 55 })), "e_phentsize");
  fails(() => parseShdrs(table({ e_shoff: 64n, e_shnum: 1 })), "e_shoff", 64);
  fails(() => parseShdrs(table({ e_shoff: 64n, e_shnum: 0 })), "e_shoff", 64);
  fails(() => parseShdrs(table({ e_shoff: 0xffff_ffff_ffff_fff8n, e_shnum: 1 })), "e_shoff");
  fails(() => parseShdrs(table({ e_shoff: 1n, e_shnum: 1, e_shentsize: 40 })), "e_shentsize");
  const huge = concat(table({ e_shoff: 64n }), encodeShdr({ sh_size: 1n << 61n }, { e_ident }));
  fails(() => parseShdrs(huge), "sh_size", 64);
  assertEquals(parsePhdrs(table({ e_phoff: 64n })), []);
  assertEquals(parsePhdrs(table({ e_phnum: 7 })), []);
  assertEquals(parseShdrs(table({ e_shnum: 7 })), []);
});

Deno.test("larger entries than the struct are stepped over whole", () => {
  const e_ident = makeIdent(true, true);
  const file = new Uint8Array(64 + 2 * 60);
  file.set(encodeEhdr({ e_ident, e_phoff: 64n, e_phnum: 2, e_phentsize: 60 }));
  file.set(encodePhdr(PHDR, { e_ident }), 64);
  file.set(encodePhdr({ p_type: 4 }, { e_ident }), 124);
  assertEquals(parsePhdrs(file).map((phdr) => phdr.p_type), [1, 4]);
});

Deno.test("PN_XNUM without section headers means 65,535 program headers", () => {
  const file = new Uint8Array(64 + 0xffff * 56);
  file.set(encodeEhdr({ e_ident: makeIdent(true, true), e_phoff: 64n, e_phnum: 0xffff, e_phentsize: 56 }));
  assertEquals(parsePhdrs(file).length, 0xffff);
});

Deno.test("encoders refuse what a field can't hold", () => {
  const ident = { e_ident: makeIdent(false, true) };
  assertThrows(() => encodePhdr({ p_vaddr: 1n << 32n }, ident), RangeError);
  assertThrows(() => encodeEhdr({ ...ident, e_phnum: 0x10000 }), RangeError);
  assertThrows(() => encodeSym({ st_value: -1n }, ident), RangeError);
});

Deno.test("ElfFile with broken section names still lists its sections", () => {
  const names = stringTable([".text"]);
  const spec = { sections: [{ name: ".text", sh_type: 1, contents: names.bytes }] };
  const outside = buildElf(spec);
  // Section header 2 is .shstrtab: move it out of the file.
  const { e_shoff } = parseEhdr(outside);
  new DataView(outside.buffer).setBigUint64(Number(e_shoff) + 2 * 64 + 24, 1n << 40n, true);
  const file = new ElfFile(outside);
  assertEquals(sectionNames(file), ["", "", ""]);
  assertEquals(file.section(".text"), undefined);
  fails(() => file.sectionBytes(file.sectionAt(2)!), "sh_offset");
  const noNames = new ElfFile(buildElf({ ...spec, ehdr: { e_shstrndx: 99 } }));
  assertEquals(sectionNames(noNames), ["", "", ""]);
});

Deno.test("strings of a string table are cut after the limit, between characters, with a mark", () => {
  const table = new TextEncoder().encode("\0abc\0aä€😀\0end");
  const at = (offset: number, limit: number) => stringAt(table, offset, limit);
  assertEquals([0, 1, 2, 4, 16, 19, 20].map((offset) => at(offset, 100)), ["", "abc", "bc", "", "end", "", ""]);
  assertEquals([at(1, 3), at(1, 2), at(16, 3), at(16, 2)], ["abc", "ab…", "end", "en…"]);
  const cuts = Array.from({ length: 11 }, (_, limit) => at(5, limit));
  assertEquals(cuts, ["…", "a…", "a…", "aä…", "aä…", "aä…", "aä€…", "aä€…", "aä€…", "aä€…", "aä€😀"]);
  assertEquals(stringAt(new Uint8Array(9).fill(0x80), 0, 8), "\ufffd".repeat(5) + "…");
});
