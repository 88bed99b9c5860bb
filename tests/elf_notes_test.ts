// Owns the tests of notes and of the build-id reader: alignment, order of search, cut files, few reads.
import { assertEquals, assertThrows } from "@std/assert";
import {
  elfNotes,
  encodeEhdr,
  encodeNote,
  encodePhdr,
  encodeShdr,
  FormatError,
  readBuildId,
  readBuildIdFrom,
} from "../mod.ts";
import { locateBuildId } from "../src/elf/build_id.ts";
import { buildElf, concat, FORMATS, makeIdent } from "./elf_builder.ts";

const ID = Uint8Array.from({ length: 20 }, (_, i) => i + 1);

/** Gives `file` piece by piece out of one buffer, and notes what was asked for. */
function reader(file: Uint8Array, asked: [number, number][] = []) {
  const buffer = new Uint8Array(0x20000);
  return (offset: number, length: number): Uint8Array => {
    asked.push([offset, length]);
    const piece = file.subarray(offset, offset + length);
    buffer.fill(0xee);
    buffer.set(piece);
    return buffer.subarray(0, piece.length);
  };
}

for (const { is64, littleEndian, name } of FORMATS) {
  const ident = { e_ident: makeIdent(is64, littleEndian) };

  Deno.test(`readBuildId() finds ids of every length in a ${name} file`, () => {
    for (const length of [1, 2, 3, 4, 7, 8, 16, 19, 20, 21, 32, 64, 1000]) {
      const buildId = new Uint8Array(length).fill(length & 0xff);
      const bytes = buildElf({ is64, littleEndian, buildId });
      assertEquals(readBuildId(bytes), buildId);
      assertEquals(readBuildIdFrom(reader(bytes)), buildId);
    }
    assertEquals(readBuildId(buildElf({ is64, littleEndian, buildId: new Uint8Array(0) })), undefined);
    assertEquals(readBuildId(buildElf({ is64, littleEndian })), undefined);
  });

  Deno.test(`notes of a ${name} file align to 8 where the segment does, else to 4`, () => {
    const align = (p_align: bigint, noteAlign: 4 | 8): Uint8Array => {
      const contents = concat(
        encodeNote({ n_type: 1, name: "stapsdt", desc: Uint8Array.of(1, 2, 3, 4, 5) }, ident, noteAlign),
        encodeNote({ n_type: 5, name: "GNU", desc: Uint8Array.of(1, 2, 3, 4) }, ident, noteAlign),
        encodeNote({ n_type: 3, name: "GNU", desc: ID }, ident, noteAlign),
      );
      return buildElf({ is64, littleEndian, segments: [{ p_type: 4, p_align, contents }] });
    };
    for (const [p_align, noteAlign] of [[0n, 4], [1n, 4], [4n, 4], [16n, 4], [8n, 8]] as const) {
      const bytes = align(p_align, noteAlign);
      assertEquals(readBuildId(bytes), ID);
      assertEquals([...elfNotes(bytes)].map((n) => [n.n_type, n.name, n.n_namesz, n.desc.length]), [
        [1, "stapsdt", 8, 5],
        [5, "GNU", 4, 4],
        [3, "GNU", 4, 20],
      ]);
    }
    assertEquals(readBuildId(align(8n, 4)), undefined);
  });

  Deno.test(`a ${name} file without segments gives the id of a note section, extended numbering or not`, () => {
    const note = encodeNote({ n_type: 3, name: "GNU", desc: ID }, ident);
    const sections = [{ name: ".note.gnu.build-id", sh_type: 7, sh_addralign: 4n, contents: note }];
    for (const extendedSections of [false, true]) {
      const bytes = buildElf({ is64, littleEndian, sections, extendedSections });
      assertEquals(readBuildId(bytes), ID);
      assertEquals(locateBuildId(reader(bytes))?.via, "section");
      assertEquals([...elfNotes(bytes)][0].desc, ID);
    }
    // Sections alone with PN_XNUM and segments that hold no notes.
    assertEquals(
      readBuildId(buildElf({ is64, littleEndian, sections, segments: [{ p_type: 1 }], pnXnum: true })),
      ID,
    );
  });

  Deno.test(`the head of a ${name} file is enough as soon as the note is inside`, () => {
    const bytes = buildElf({ is64, littleEndian, buildId: ID, symbols: [{ name: "f" }], noteSection: true });
    const { fileOffset } = locateBuildId(reader(bytes))!;
    for (let length = is64 ? 64 : 52; length <= bytes.length; length++) {
      assertEquals(readBuildId(bytes.subarray(0, length)), length >= fileOffset + 20 ? ID : undefined);
      assertEquals(readBuildIdFrom(reader(bytes.subarray(0, length))), length >= fileOffset + 20 ? ID : undefined);
    }
    for (let length = 0; length < (is64 ? 64 : 52); length++) {
      assertThrows(() => readBuildId(bytes.subarray(0, length)), FormatError);
    }
  });
}

const LE64 = { e_ident: makeIdent(true, true) };

Deno.test("type 3 in another namespace is not a build id", () => {
  const contents = concat(
    encodeNote({ n_type: 3, name: "XEN", desc: ID }, LE64),
    encodeNote({ n_type: 3, name: "GNU+", desc: ID }, LE64),
    encodeNote({ n_type: 1, name: "GNU", desc: ID }, LE64),
  );
  assertEquals(readBuildId(buildElf({ segments: [{ p_type: 4, contents }] })), undefined);
  const good = encodeNote({ n_type: 3, name: "GNU", desc: ID }, LE64);
  assertEquals(readBuildId(buildElf({ segments: [{ p_type: 4, contents: concat(contents, good) }] })), ID);
});

Deno.test("a stale PT_NOTE, as eu-strip leaves it, gives way to the sections", () => {
  const bytes = buildElf({
    segments: [{ p_type: 4, p_offset: 0x40n, p_filesz: 36n }, { p_type: 4, p_offset: 1n << 40n, p_filesz: 36n }],
    sections: [
      { name: ".note.gnu.build-id", sh_type: 7, contents: encodeNote({ n_type: 3, name: "GNU", desc: ID }, LE64) },
    ],
  });
  assertEquals(readBuildId(bytes), ID);
});

Deno.test("the last descriptor may lack its padding", () => {
  const note = encodeNote({ n_type: 3, name: "GNU", desc: Uint8Array.of(1, 2, 3, 4, 5) }, LE64).subarray(0, 21);
  const bytes = buildElf({ segments: [{ p_type: 4, contents: note }] });
  assertEquals(readBuildId(bytes), Uint8Array.of(1, 2, 3, 4, 5));
  assertEquals([...elfNotes(bytes)].length, 1);
});

Deno.test("ids of the longest length are read, longer ones are none", () => {
  const longest = new Uint8Array(65519).fill(7);
  assertEquals(readBuildId(buildElf({ buildId: longest })), longest);
  assertEquals(readBuildId(buildElf({ buildId: new Uint8Array(65521).fill(7) })), undefined);
});

Deno.test("readBuildIdFrom() reads once where the note is in the first 4096 bytes", () => {
  const asked: [number, number][] = [];
  readBuildIdFrom(reader(concat(buildElf({ buildId: ID }), new Uint8Array(100_000)), asked));
  assertEquals(asked, [[0, 4096]]);
});

Deno.test("readBuildIdFrom() reads each far table and note once, however many headers there are", () => {
  const note = encodeNote({ n_type: 3, name: "GNU", desc: ID }, LE64);
  const sections = Array.from(
    { length: 300 },
    (_, i) => ({ name: `.s${i}`, sh_type: 1, contents: new Uint8Array(64) }),
  );
  const bytes = buildElf({
    sections: [...sections, { name: ".note.gnu.build-id", sh_type: 7, contents: note }],
  });
  const asked: [number, number][] = [];
  assertEquals(readBuildIdFrom(reader(bytes, asked)), ID);
  assertEquals(asked.length, 3);
});

Deno.test("readBuildIdFrom() never asks for more than 64 KiB, whatever headers claim", () => {
  const e_ident = LE64.e_ident;
  const file = new Uint8Array(200_000);
  file.set(encodeEhdr({ e_ident, e_phoff: 64n, e_phnum: 2, e_phentsize: 56, e_shoff: 150_000n, e_shentsize: 64 }));
  file.set(encodePhdr({ p_type: 4, p_offset: 5000n, p_filesz: 1n << 52n }, LE64), 64);
  file.set(encodePhdr({ p_type: 4, p_offset: 100_000n, p_filesz: 1n << 40n }, LE64), 120);
  // A descriptor of almost 4 GiB, and a name of the same size.
  file.set(encodeNote({ n_type: 3, name: "GNU", desc: ID }, LE64), 5000);
  new DataView(file.buffer).setUint32(5004, 0xffff_fff0, true);
  new DataView(file.buffer).setUint32(100_000, 0xffff_fff0, true);
  file.set(encodeShdr({ sh_size: 1n << 53n }, LE64), 150_000);
  const asked: [number, number][] = [];
  assertEquals(readBuildIdFrom(reader(file, asked)), undefined);
  assertEquals(Math.max(...asked.map(([, length]) => length)) <= 65536, true);
});

Deno.test("overlapping note segments can't make the reader slow", () => {
  // 10,000 segments over the same 40,000 empty notes: 400,000,000 to look at, were there no bound.
  const contents = new Uint8Array(12 * 40_000);
  const segment = { p_type: 4, p_offset: 64n + 56n * 10_001n, p_filesz: BigInt(contents.length) };
  const bytes = buildElf({ segments: [...Array.from({ length: 10_000 }, () => segment), { p_type: 4, contents }] });
  const start = performance.now();
  assertEquals(readBuildId(bytes), undefined);
  assertEquals(readBuildIdFrom((offset, length) => bytes.subarray(offset, offset + length)), undefined);
  const took = performance.now() - start;
  assertEquals(took < 3000, true, `took ${took} ms`);
});

Deno.test("elfNotes() yields what is good and throws at the note that is not", () => {
  const good = encodeNote({ n_type: 7, name: "CORE", desc: Uint8Array.of(1) }, LE64);
  const broken = (change: (view: DataView) => void): Uint8Array => {
    const bad = encodeNote({ n_type: 3, name: "GNU", desc: ID }, LE64);
    change(new DataView(bad.buffer));
    return buildElf({ segments: [{ p_type: 4, contents: concat(good, bad) }] });
  };
  const cases: [Uint8Array, string][] = [
    [broken((view) => view.setUint32(0, 0xffff_ffff, true)), "n_namesz"],
    [broken((view) => view.setUint32(4, 0x7fff_ffff, true)), "n_descsz"],
    [buildElf({ segments: [{ p_type: 4, contents: concat(good, new Uint8Array(8)) }] }), "Nhdr"],
    [buildElf({ segments: [{ p_type: 4, contents: good, p_filesz: BigInt(good.length) + 100n }] }), "p_offset"],
  ];
  for (const [bytes, field] of cases) {
    const names: string[] = [];
    const error = assertThrows(() => {
      for (const note of elfNotes(bytes)) names.push(note.name);
    }, FormatError);
    assertEquals(names, ["CORE"]);
    assertEquals(error.field, field);
  }
});

Deno.test("encodeNote() refuses names that are not one byte a character", () => {
  assertThrows(() => encodeNote({ n_type: 1, name: "\u0100", desc: ID }, LE64), RangeError);
});
