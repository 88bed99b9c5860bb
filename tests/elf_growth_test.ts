// Owns the tests that notes stay in proportion to the file, however its headers overlap.
import { assertEquals, assertLess } from "@std/assert";
import { type ElfNote, elfNotes, encodeNote, FormatError, PT_NOTE, SHT_NOTE } from "../mod.ts";
import { buildElf, concat, makeIdent, type SectionSpec, type SegmentSpec } from "./elf_builder.ts";

const LE64 = { e_ident: makeIdent(true, true) };

/** What elfNotes() yields, and where it threw. */
function walk(bytes: Uint8Array): { count: number; characters: number; field: string | undefined } {
  let count = 0;
  let characters = 0;
  try {
    for (const note of elfNotes(bytes)) {
      count++;
      characters += note.name.length;
    }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { count, characters, field: error.field };
  }
  return { count, characters, field: undefined };
}

/** A file of `size` bytes: half of it notes, the rest headers that each name all of them. */
function overlapping(size: number, contents: (size: number) => Uint8Array, sections: boolean): Uint8Array {
  const notes = contents(size / 2);
  const count = Math.floor(size / 2 / (sections ? 64 : 56));
  // The first piece of a file stands right after its program headers.
  const place = Math.ceil((64 + (sections ? 0 : count * 56)) / 16) * 16;
  if (sections) {
    const same: SectionSpec = {
      name: "",
      sh_type: SHT_NOTE,
      sh_offset: BigInt(place),
      sh_size: BigInt(notes.length),
    };
    const first: SectionSpec = { name: "", sh_type: SHT_NOTE, contents: notes };
    return buildElf({ sections: [first, ...Array.from({ length: count }, () => same)] });
  }
  const same: SegmentSpec = { p_type: PT_NOTE, p_offset: BigInt(place), p_filesz: BigInt(notes.length) };
  return buildElf({
    segments: [{ p_type: PT_NOTE, contents: notes }, ...Array.from({ length: count - 1 }, () => same)],
  });
}

const empty = (size: number): Uint8Array => new Uint8Array(Math.floor(size / 12) * 12);
const long = (size: number): Uint8Array =>
  encodeNote({ n_type: 1, name: "n".repeat(size - 16), desc: new Uint8Array(0) }, LE64);

for (const sections of [true, false]) {
  const what = sections ? "sections" : "segments";

  Deno.test(`elfNotes() of ${what} that overlap ends after four times the file`, () => {
    for (const [kind, contents] of [["empty notes", empty], ["one long name", long]] as const) {
      for (const size of [30_000, 240_000]) {
        const bytes = overlapping(size, contents, sections);
        const start = performance.now();
        const { count, characters, field } = walk(bytes);
        const took = performance.now() - start;
        console.log(
          `${bytes.length} bytes, ${what}, ${kind}: ${count} notes, ${characters} characters, ${took.toFixed()} ms`,
        );
        assertEquals(field, sections ? "sh_offset" : "p_offset");
        assertLess(12 * count + characters, 4 * bytes.length + 1);
        // Near the bound: it is no smaller than said.
        assertLess(3 * bytes.length, 12 * count + characters);
        assertLess(took, 2000);
      }
    }
  });
}

Deno.test("elfNotes() yields the notes of every header where a few of them overlap", () => {
  const contents = encodeNote({ n_type: 1, name: "CORE", desc: Uint8Array.of(1, 2, 3, 4) }, LE64);
  const place = 64n + 56n * 3n + 8n;
  const same = { p_type: PT_NOTE, p_offset: place, p_filesz: BigInt(contents.length) };
  const bytes = buildElf({ segments: [{ p_type: PT_NOTE, contents }, same, same] });
  assertEquals([...elfNotes(bytes)].map((note: ElfNote) => [note.name, note.offset]), [
    ["CORE", Number(place)],
    ["CORE", Number(place)],
    ["CORE", Number(place)],
  ]);
});

Deno.test("elfNotes() ends a name at its first zero and gives each byte as one character", () => {
  const name = Array.from({ length: 9000 }, (_, i) => String.fromCharCode(1 + (i % 255))).join("");
  const note = encodeNote({ n_type: 1, name, desc: Uint8Array.of(7) }, LE64);
  const cut = note.slice();
  cut[12 + 5] = 0;
  const bytes = buildElf({ segments: [{ p_type: PT_NOTE, contents: concat(note, cut) }] });
  assertEquals([...elfNotes(bytes)].map((one) => one.name), [name, name.slice(0, 5)]);
});
