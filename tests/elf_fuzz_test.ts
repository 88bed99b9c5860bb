// Owns the fuzzing of every ELF parser: headers, notes, build id in memory and through a reader, ElfFile.
import {
  elfNotes,
  encodeNote,
  parseEhdr,
  parsePhdrs,
  parseShdrs,
  parseSyms,
  readBuildId,
  readBuildIdFrom,
} from "../mod.ts";
import { searchThoroughly } from "../src/elf/build_id.ts";
import { ElfFile } from "../src/elf/elf_file.ts";
import { buildElf, FORMATS, makeIdent } from "./elf_builder.ts";
import { fuzzParser } from "./fuzz.ts";

const ID = Uint8Array.from({ length: 20 }, (_, i) => i + 1);
const SAMPLES = FORMATS.flatMap(({ is64, littleEndian }) => {
  const property = encodeNote({ n_type: 5, name: "GNU", desc: new Uint8Array(16) }, {
    e_ident: makeIdent(is64, littleEndian),
  }, 8);
  const format = { is64, littleEndian };
  return [
    buildElf({ ...format, buildId: ID, segments: [{ p_type: 4, p_align: 8n, contents: property }] }),
    buildElf({
      ...format,
      buildId: ID,
      noteSection: true,
      pnXnum: true,
      extendedSections: true,
      symbols: [{ name: "a", st_value: 0x10n }, { name: "b", st_shndx: 0xffff }],
      sections: [{ name: ".symtab_shndx", sh_type: 18, sh_link: 2, contents: new Uint8Array(12) }],
    }),
  ];
});

Deno.test("hostile headers end in a result or a FormatError", () => {
  fuzzParser("elf headers", SAMPLES, (bytes) => {
    const ehdr = parseEhdr(bytes);
    try {
      parsePhdrs(bytes, ehdr);
    } finally {
      parseShdrs(bytes, ehdr);
    }
  });
});

Deno.test("hostile notes end in notes or a FormatError", () => {
  fuzzParser("elf notes", SAMPLES, (bytes) => {
    for (const note of elfNotes(bytes)) note.desc.at(-1);
  });
});

Deno.test("hostile files have a build id, none, or a FormatError, the same through a reader", () => {
  fuzzParser("readBuildId", SAMPLES, (bytes) => {
    const whole = readBuildId(bytes);
    const piecewise = readBuildIdFrom((offset, length) => bytes.subarray(offset, offset + Math.min(length, 128)));
    const read = readBuildIdFrom((offset, length) => bytes.subarray(offset, offset + length));
    const thorough = searchThoroughly(bytes, undefined)?.buildId;
    if (String(whole) !== String(thorough)) throw new Error("the quick look and the thorough search differ");
    if (String(whole) !== String(read)) throw new Error("readBuildId and readBuildIdFrom differ");
    if (piecewise !== undefined && piecewise.length === 0) throw new Error("an empty id");
  });
});

Deno.test("hostile files through ElfFile end in a result or a FormatError", () => {
  fuzzParser("ElfFile", SAMPLES, (bytes) => {
    const file = new ElfFile(bytes);
    for (let i = 0; i < file.shdrs.length; i++) {
      const section = file.sectionAt(i)!;
      file.sectionName(section);
      if (section.sh_type === 2) parseSyms(file.sectionBytes(section), file.ehdr);
      file.symbolSections(section.index);
    }
    file.section(".strtab");
    file.segments(1, 2);
  });
});
