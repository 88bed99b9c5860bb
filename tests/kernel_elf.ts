// Makes ELF files for the kernel model's tests from raw bytes, with nothing of src/elf: a mistake there must not
// hide one here.

import type { BuildIdOutcome } from "../mod.ts";

/** What {@linkcode buildElf} makes; sizes and offsets in bytes. */
export interface ElfShape {
  buildId: Uint8Array;
  /** 64 unless false. */
  is64?: boolean;
  /** `ET_DYN` unless given. */
  type?: number;
  /** File offset of the program headers; behind the ELF header unless given. */
  phoff?: number;
  /** `e_phnum`; the real number unless given. */
  phnum?: number;
  /** PT_LOAD headers before the note's. */
  loads?: number;
  /** File offset of the note; behind the program headers unless given. */
  noteOffset?: number;
  /** `p_filesz` of the note segment; what the note needs unless given. */
  noteSize?: number;
  /** The note's name, with its NUL. */
  name?: string;
  /** The note's type. */
  noteType?: number;
  /** Notes before it, `[name, type, descriptor size]`. */
  before?: [string, number, number][];
  /** PT_NOTE segments before it, each of so many zero bytes. */
  emptyNotes?: number;
  /** Length of the file; as long as needed unless given. */
  length?: number;
}

/** A little-endian ELF file with one build-id note. */
export function buildElf(shape: ElfShape): Uint8Array {
  const { buildId, is64 = true, type = 3, loads = 0, name = "GNU\0", noteType = 3, before = [], emptyNotes = 0 } =
    shape;
  const ehsize = is64 ? 64 : 52;
  const phsize = is64 ? 56 : 32;
  const phnum = loads + emptyNotes + 1;
  const phoff = shape.phoff ?? ehsize;
  const up4 = (n: number) => (n + 3) & ~3;
  const notes: [string, number, Uint8Array][] = [
    ...before.map(([n, t, size]): [string, number, Uint8Array] => [n, t, new Uint8Array(size)]),
    [name, noteType, buildId],
  ];
  const size = notes.reduce((sum, [n, , desc]) => sum + 12 + up4(n.length) + up4(desc.length), 0);
  const noteOffset = shape.noteOffset ?? phoff + phnum * phsize;
  const bytes = new Uint8Array(Math.max(shape.length ?? 0, noteOffset + size, phoff + phnum * phsize));
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1]);
  view.setUint16(16, type, true);
  view.setUint16(18, is64 ? 62 : 3, true);
  view.setUint32(20, 1, true);
  const word = (at: number, value: number) => view.setUint32(at, value, true);
  word(is64 ? 32 : 28, phoff);
  view.setUint16(is64 ? 52 : 40, ehsize, true);
  view.setUint16(is64 ? 54 : 42, phsize, true);
  view.setUint16(is64 ? 56 : 44, shape.phnum ?? phnum, true);
  const phdr = (index: number, pType: number, offset: number, filesz: number) => {
    const at = phoff + index * phsize;
    word(at, pType);
    word(at + (is64 ? 8 : 4), offset);
    word(at + (is64 ? 32 : 16), filesz);
    word(at + (is64 ? 40 : 20), filesz);
  };
  for (let i = 0; i < loads; i++) phdr(i, 1, 0, bytes.length);
  for (let i = 0; i < emptyNotes; i++) phdr(loads + i, 4, noteOffset, 0);
  phdr(loads + emptyNotes, 4, noteOffset, shape.noteSize ?? size);
  let at = noteOffset;
  for (const [noteName, nType, desc] of notes) {
    word(at, noteName.length);
    word(at + 4, desc.length);
    word(at + 8, nType);
    for (let i = 0; i < noteName.length; i++) bytes[at + 12 + i] = noteName.charCodeAt(i);
    bytes.set(desc, at + 12 + up4(noteName.length));
    at += 12 + up4(noteName.length) + up4(desc.length);
  }
  return shape.length === undefined ? bytes : bytes.slice(0, shape.length);
}

const ID = Uint8Array.from({ length: 20 }, (_, i) => 0xa0 + i);

/** Name, shape, and what 4.17, 6.1, and 6.12 with 6.18 answer. */
export type Row = [
  string,
  Omit<ElfShape, "buildId"> & { buildId?: Uint8Array },
  BuildIdOutcome,
  BuildIdOutcome,
  BuildIdOutcome,
];

/** Files on both sides of each release's limits. */
export const ROWS: Row[] = [
  ["a plain file", {}, "found", "found", "found"],
  ["an executable", { type: 2 }, "found", "found", "found"],
  ["a relocatable file", { type: 1 }, "wrong-e_type", "wrong-e_type", "wrong-e_type"],
  ["a core file", { type: 4 }, "wrong-e_type", "wrong-e_type", "wrong-e_type"],
  ["program headers elsewhere", { phoff: 512 }, "no-note-segment", "phdrs-elsewhere", "found"],
  ["a note in the second page", { noteOffset: 4096 }, "note-out-of-range", "note-out-of-range", "found"],
  ["a note across the page's end", { noteOffset: 4080 }, "note-out-of-range", "note-out-of-range", "found"],
  ["a note that ends with the page", { noteOffset: 4060 }, "found", "found", "found"],
  ["an empty note segment first", { emptyNotes: 1 }, "no-build-id-note", "found", "found"],
  ["another note first", { before: [["GNU\0", 1, 16]] }, "found", "found", "found"],
  ["another name of four bytes", { name: "XYZ\0" }, "found", "no-build-id-note", "no-build-id-note"],
  ["another type", { noteType: 4 }, "no-build-id-note", "no-build-id-note", "no-build-id-note"],
  ["a name of five bytes", { name: "GNU!\0" }, "no-build-id-note", "no-build-id-note", "no-build-id-note"],
  ["an ID of 8 bytes", { buildId: ID.slice(0, 8) }, "no-build-id-note", "found", "found"],
  ["an ID of 1 byte", { buildId: ID.slice(0, 1) }, "no-build-id-note", "found", "found"],
  ["an ID of 0 bytes", { buildId: ID.slice(0, 0) }, "no-build-id-note", "no-build-id-note", "no-build-id-note"],
  [
    "an ID of 21 bytes",
    { buildId: new Uint8Array(21) },
    "no-build-id-note",
    "no-build-id-note",
    "no-build-id-note",
  ],
  ["a segment that ends in the ID", { noteSize: 35 }, "found", "no-build-id-note", "no-build-id-note"],
  ["a segment of a header and one byte", { noteSize: 13 }, "found", "no-build-id-note", "no-build-id-note"],
  ["a segment of a header", { noteSize: 12 }, "no-build-id-note", "no-build-id-note", "no-build-id-note"],
  ["more headers than the page holds", { phnum: 200, length: 40000 }, "too-many-phdrs", "too-many-phdrs", "found"],
  ["more headers than the file holds", { phnum: 200, length: 4000 }, "too-many-phdrs", "too-many-phdrs", "found"],
  ["the note at header 256", { loads: 255 }, "too-many-phdrs", "too-many-phdrs", "found"],
  ["the note at header 257", { loads: 256 }, "too-many-phdrs", "too-many-phdrs", "no-note-segment"],
  [
    "the note segment's size near 2^32",
    { noteSize: 0xffffffff },
    "note-out-of-range",
    "note-out-of-range",
    "note-out-of-range",
  ],
];
