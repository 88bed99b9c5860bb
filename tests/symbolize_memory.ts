// Owns what tests/symbolize_growth_test.ts runs in a process of its own: the peak memory of add(), for three files.
// Prints for each what it is full of, its size, and the bytes by which the process grew.
import { readFileSync } from "node:fs";
import { BuildIdIndex, encodeEhdr, encodeNote, encodePhdr, encodeShdr } from "../mod.ts";
import { makeIdent } from "./elf_builder.ts";

const LE64 = { e_ident: makeIdent(true, true) };
const SIZE = 5_000_000;
const HUGE = 1n << 60n;

/** Most bytes of memory that this process ever had. */
function peak(): number {
  return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "latin1"))![1]);
}

/** The ELF header, one program header at 64 and the note that it names at 184, in a file of SIZE bytes. */
function start(id: number, ehdr: object): Uint8Array {
  const file = new Uint8Array(SIZE);
  const note = encodeNote({ n_type: 3, name: "GNU", desc: new Uint8Array(20).fill(id) }, LE64);
  file.set(encodeEhdr({ ...LE64, e_type: 2, e_phentsize: 56, e_shentsize: 64, ...ehdr }));
  file.set(encodePhdr({ p_type: 4, p_offset: 184n, p_filesz: BigInt(note.length) }, LE64), 64);
  file.set(note, 184);
  return file;
}

function fill(file: Uint8Array, from: number, header: Uint8Array): void {
  for (let at = from; at + header.length <= file.length; at += header.length) file.set(header, at);
}

// Fields of more than 31 bits, so that each is a bigint of its own wherever an object is made.
const SHDR = encodeShdr(
  { sh_name: 1, sh_flags: HUGE, sh_addr: HUGE, sh_offset: HUGE, sh_size: HUGE, sh_addralign: HUGE },
  LE64,
);
const PHDR = encodePhdr(
  { p_type: 4, p_offset: HUGE, p_vaddr: HUGE, p_paddr: HUGE, p_filesz: HUGE, p_memsz: HUGE, p_align: HUGE },
  LE64,
);

/** Program headers from 256 on, as many as fit; section header 0 at 120 has their number. */
function segments(id: number): Uint8Array {
  const count = Math.floor((SIZE - 256) / 56);
  const file = start(id, { e_phoff: 256n, e_phnum: 0xffff, e_shoff: 120n, e_shnum: 1 });
  file.set(encodeShdr({ sh_info: count }, LE64), 120);
  fill(file, 256, PHDR);
  file.copyWithin(256, 64, 120);
  return file;
}

/** Sections whose headers fill the file from `from` on; before them the section of section names, without a zero. */
function sections(id: number, from: number): Uint8Array {
  const file = start(id, { e_phoff: 64n, e_phnum: 1, e_shoff: BigInt(from), e_shstrndx: 1 });
  fill(file, from, SHDR);
  file.fill(0x41, 256, from);
  const count = Math.floor((SIZE - from) / 64);
  file.set(encodeShdr({ sh_size: BigInt(count) }, LE64), from);
  file.set(encodeShdr({ sh_type: 3, sh_offset: 256n, sh_size: BigInt(from - 256) }, LE64), from + 64);
  file.set(encodeShdr({ sh_type: 2, sh_link: 1, sh_offset: 256n, sh_size: 48n }, LE64), from + 128);
  return file;
}

const index = new BuildIdIndex();
// Code and its first garbage are no matter here.
for (const file of [segments(8), sections(9, 512)]) index.add(file.subarray(0, 4096));

for (
  const [what, file] of [["segments", segments(1)], ["sections", sections(2, 512)], [
    "names",
    sections(3, SIZE / 2),
  ]] as const
) {
  const before = peak();
  const { status } = index.add(file);
  if (status !== "added") throw new Error(`${what}: ${status}`);
  console.log(`${what} ${file.length} ${peak() - before}`);
}
