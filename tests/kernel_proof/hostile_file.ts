// Owns the hostile and odd files: sparse contents, made from a seed, with everything around the limits of the
// kernel's search for a build ID.
import type { SeededRandom } from "../../src/base/random.ts";
import { type MappedFile, PAGE_SIZE } from "../../src/memory/mapped_file.ts";

/** A file as the pages that are written and a size; between and behind the pages are holes. */
export class HostileFile implements MappedFile {
  /** What it is, for the reader of a failing case. */
  readonly kind: string;
  /** Written pages by index, each of 4096 bytes, zero behind the end. */
  readonly pages: Map<number, Uint8Array>;
  readonly size: number;
  /** Pages that are in the page cache; absent for those that are written. */
  readonly resident: ReadonlySet<number> | undefined;

  constructor(kind: string, pages: Map<number, Uint8Array>, size: number, resident?: ReadonlySet<number>) {
    this.kind = kind;
    this.size = size;
    this.resident = resident;
    this.pages = resident === undefined ? new Map() : pages;
    if (resident !== undefined) return;
    for (const [index, page] of [...pages].sort(([a], [b]) => a - b)) {
      const inside = size - index * PAGE_SIZE;
      if (inside <= 0) continue;
      if (inside < PAGE_SIZE) page.fill(0, inside);
      this.pages.set(index, page);
    }
  }

  /** The same file with these pages in the page cache. */
  withResident(resident: ReadonlySet<number>): HostileFile {
    return new HostileFile(this.kind, this.pages, this.size, resident);
  }

  /** A page as the kernel finds it without sleeping. A page that is cached but was never written is a hole's. */
  readPage(index: number): Uint8Array | undefined {
    if (this.resident !== undefined && !this.resident.has(index)) return undefined;
    return this.pages.get(index) ?? (this.resident === undefined ? undefined : ZERO_PAGE);
  }

  /** Ranges of written pages: `[first, number]`. */
  ranges(): [number, number][] {
    const ranges: [number, number][] = [];
    for (const index of this.pages.keys()) {
      const last = ranges[ranges.length - 1];
      if (last !== undefined && last[0] + last[1] === index) last[1]++;
      else ranges.push([index, 1]);
    }
    return ranges;
  }

  /** The bytes of written pages `first` and `count - 1` more, up to the end of the file. */
  bytesOf(first: number, count: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(count * PAGE_SIZE, this.size - first * PAGE_SIZE));
    for (let i = 0; i < count; i++) {
      const at = i * PAGE_SIZE;
      bytes.set(this.pages.get(first + i)!.subarray(0, Math.min(PAGE_SIZE, bytes.length - at)), at);
    }
    return bytes;
  }

  /** Whether all of it is written and in the page cache, and nothing behind its end is. */
  get whole(): boolean {
    const pages = Math.ceil(this.size / PAGE_SIZE);
    if (this.pages.size !== pages || this.size === 0) return false;
    if (this.resident === undefined) return true;
    if (this.resident.size !== pages) return false;
    for (let i = 0; i < pages; i++) if (!this.resident.has(i)) return false;
    return true;
  }
}

const ZERO_PAGE = new Uint8Array(PAGE_SIZE);
/** Largest file of ext4 with blocks of 4096 bytes. */
const MOST_BYTES = 2 ** 44 - PAGE_SIZE;

/** Longest file, in pages, of which holes may be cached, too. */
export const SHORT_PAGES = 512;

/** Writes into sparse pages. */
class Writer {
  readonly pages: Map<number, Uint8Array> = new Map();
  end = 0;

  put(offset: number, bytes: Uint8Array): void {
    if (offset < 0 || offset + bytes.length > MOST_BYTES || bytes.length === 0) return;
    this.end = Math.max(this.end, offset + bytes.length);
    for (let i = 0; i < bytes.length;) {
      const at = (offset + i) % PAGE_SIZE;
      const index = (offset + i - at) / PAGE_SIZE;
      const part = bytes.subarray(i, i + PAGE_SIZE - at);
      let page = this.pages.get(index);
      if (page === undefined) this.pages.set(index, page = new Uint8Array(PAGE_SIZE));
      page.set(part, at);
      i += part.length;
    }
  }
}

/** One of `choices`. */
export function pick<T>(random: SeededRandom, choices: readonly T[]): T {
  return choices[random.below(choices.length)];
}

function range(random: SeededRandom, low: number, high: number): number {
  return low + random.below(high - low + 1);
}

const U32 = 0x1_0000_0000;

/** An unsigned number near a limit of the kernel's arithmetic. */
function oddU64(random: SeededRandom): bigint {
  const base = pick(random, [0n, 1n << 12n, 1n << 31n, 1n << 32n, 1n << 44n, 1n << 63n, 1n << 64n]);
  return BigInt.asUintN(64, base + BigInt(range(random, -70, 70)));
}

/** Where something is put: near the front, at a page's end, in a later page, or far away. */
function place(random: SeededRandom, after: number): number {
  switch (random.below(12)) {
    case 0:
      return 0;
    case 1:
      return range(random, 0, 100);
    case 2:
      return range(random, 1, 3) * PAGE_SIZE;
    case 3:
    case 4:
    case 5:
      return range(random, 1, 3) * PAGE_SIZE - range(random, 0, 60);
    case 6:
      return range(random, 1, 6) * PAGE_SIZE + random.below(PAGE_SIZE);
    case 7:
      return random.chance(0.3) ? pick(random, [2 ** 31, U32, 2 ** 33, 2 ** 43]) - range(random, 0, 200) : after;
    default:
      return after;
  }
}

interface Layout {
  is64: boolean;
  little: boolean;
}

/** Integers of one class and byte order. */
class Fields {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #layout: Layout;

  constructor(size: number, layout: Layout) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
    this.#layout = layout;
  }

  u16(at: number, value: number): void {
    this.#view.setUint16(at, value, this.#layout.little);
  }

  u32(at: number, value: number): void {
    this.#view.setUint32(at, value, this.#layout.little);
  }

  /** An Elf32_Off or Elf64_Off. */
  word(at: number, value: bigint): void {
    if (this.#layout.is64) this.#view.setBigUint64(at, BigInt.asUintN(64, value), this.#layout.little);
    else this.#view.setUint32(at, Number(BigInt.asUintN(32, value)), this.#layout.little);
  }
}

function note(random: SeededRandom, layout: Layout): Uint8Array {
  const good = random.chance(0.6);
  const namesz = good
    ? 4
    : pick(random, [0, 1, 3, 4, 4, 4, 5, 8, 12, 100, 0x7fffffff, 0xfffffffc, 0xfffffffd, U32 - 1]);
  const descsz = random.chance(0.5)
    ? 20
    : random.chance(0.9)
    ? range(random, 0, 40)
    : pick(random, [4096, 0x7fffffff, 0xfffffff0, 0xfffffffc, 0xfffffffd, 0xffffffff]);
  const type = random.chance(0.75) ? 3 : pick(random, [0, 1, 2, 4, 5, 0x03000000]);
  const name = random.chance(0.75)
    ? "GNU\0"
    : pick(random, ["XYZ\0", "gnu\0", "GNU!", "Go\0\0", "\0GNU", "GNU\0junk"]);
  // Where rounding up gives 2^32, a kernel may go on as if it were 0: what follows then lies there.
  const room = (size: number) => size > U32 - 4 && random.chance(0.6) ? 0 : Math.ceil(size / 4) * 4;
  const nameRoom = Math.min(room(namesz), 104);
  const descRoom = Math.min(room(descsz), 44);
  const fields = new Fields(12 + nameRoom + descRoom, layout);
  fields.u32(0, namesz);
  fields.u32(4, descsz);
  fields.u32(8, type);
  for (let i = 0; i < Math.min(name.length, nameRoom); i++) fields.bytes[12 + i] = name.charCodeAt(i);
  random.fill(fields.bytes.subarray(12 + nameRoom));
  // Alignment to 8, which the kernel does not know.
  if (random.chance(0.05)) {
    const aligned = new Uint8Array(Math.ceil(fields.bytes.length / 8) * 8);
    aligned.set(fields.bytes);
    return aligned;
  }
  return fields.bytes;
}

function notes(random: SeededRandom, layout: Layout): Uint8Array {
  const all: Uint8Array[] = [];
  for (let rest = pick(random, [0, 1, 1, 1, 1, 2, 2, 3, 5]); rest > 0; rest--) all.push(note(random, layout));
  if (random.chance(0.02)) { for (let i = 0; i < 300; i++) all.push(note(random, layout)); }
  const bytes = new Uint8Array(all.reduce((sum, each) => sum + each.length, 0));
  let at = 0;
  for (const each of all) {
    bytes.set(each, at);
    at += each.length;
  }
  return bytes;
}

function elf(random: SeededRandom): HostileFile {
  const layout = { is64: random.chance(0.6), little: random.chance(0.94) };
  const { is64 } = layout;
  const ehsize = is64 ? 64 : 52;
  const phentsize = is64 ? 56 : 32;
  const segments = pick(random, [0, 1, 1, 2, 2, 3, 4, 6, 10, 72, 73, 74, 125, 126, 127, 250, 255, 256, 257, 300]);
  const phnum = random.chance(0.9) ? segments : pick(random, [0, 1, segments + 1, 256, 257, 300, 65535]);
  const phoffAt = random.chance(0.65) ? ehsize : place(random, ehsize);
  const phoff = random.chance(0.96) ? BigInt(phoffAt) : oddU64(random);
  const file = new Writer();
  const ehdr = new Fields(ehsize, layout);
  ehdr.bytes.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, layout.little ? 1 : 2, 1]);
  if (random.chance(0.03)) ehdr.bytes[4] = pick(random, [0, 3, 255, is64 ? 1 : 2]);
  if (random.chance(0.03)) ehdr.bytes[5] = random.below(256);
  if (random.chance(0.02)) ehdr.bytes[random.below(4)] ^= 1 << random.below(8);
  ehdr.u16(16, random.chance(0.93) ? pick(random, [2, 3]) : pick(random, [0, 1, 4, 0x200, 0x302, 0xffff]));
  ehdr.u16(18, is64 ? 62 : 3);
  ehdr.u32(20, 1);
  ehdr.word(is64 ? 32 : 28, phoff);
  ehdr.u16(is64 ? 52 : 40, ehsize);
  ehdr.u16(is64 ? 54 : 42, random.chance(0.8) ? phentsize : random.below(100));
  ehdr.u16(is64 ? 56 : 44, phnum);
  let free = ehsize + segments * phentsize;
  // One PT_NOTE as a rule, the last or any; among many segments sometimes each.
  const noteAt = random.chance(0.5) ? segments - 1 : random.below(Math.max(1, segments));
  const noteShare = pick(random, [0, 0.02, 0.3, 1]);
  const table = new Fields(segments * phentsize, layout);
  for (let i = 0; i < segments; i++) {
    const at = i * phentsize;
    const isNote = i === noteAt || random.chance(noteShare);
    table.u32(at, isNote ? 4 : pick(random, [0, 1, 2, 3, 6, 0x6474e553, 0x04000000]));
    const offset = isNote ? place(random, free) : random.below(PAGE_SIZE);
    const body = isNote ? notes(random, layout) : new Uint8Array(0);
    const filesz = random.chance(0.85)
      ? body.length
      : random.chance(0.7)
      ? Math.max(0, body.length + range(random, -24, 24))
      : Number(oddU64(random) & 0xffffffffn);
    const high = is64 && random.chance(0.03) ? BigInt(random.nextUint32()) << 32n : 0n;
    table.word(at + (is64 ? 8 : 4), random.chance(0.97) ? BigInt(offset) : oddU64(random));
    table.word(at + (is64 ? 32 : 16), high | BigInt(filesz));
    table.word(at + (is64 ? 40 : 20), BigInt(filesz));
    table.word(at + (is64 ? 48 : 28), pick(random, [0n, 1n, 4n, 8n, 4096n]));
    if (body.length > 0) {
      file.put(offset, body);
      if (offset === free) free += Math.ceil(body.length / 4) * 4;
    }
  }
  file.put(phoffAt, table.bytes);
  file.put(0, ehdr.bytes);
  for (let rest = pick(random, [0, 0, 0, 0, 1, 3]); rest > 0; rest--) {
    file.put(random.below(Math.min(file.end, 3 * PAGE_SIZE)), Uint8Array.of(random.below(256)));
  }
  const length = pick(random, ["cut", "longer", "longer", ...new Array(10).fill("as it is")]);
  let size = file.end;
  if (length === "cut") size = random.below(Math.min(size, 4 * PAGE_SIZE) + 1);
  if (length === "longer") size += range(random, 0, 3 * PAGE_SIZE);
  return new HostileFile(`ELF${is64 ? 64 : 32}${layout.little ? "" : ", big-endian"}`, file.pages, size);
}

/**
 * An ELF file with nothing wrong but where things are: the note and the program headers each around the end of a
 * page or of 4 GiB, the segment as long as the note or a little off.
 */
function edge(random: SeededRandom): HostileFile {
  const layout = { is64: random.chance(0.7), little: true };
  const { is64 } = layout;
  const phentsize = is64 ? 56 : 32;
  const file = new Writer();
  const id = random.fill(new Uint8Array(random.chance(0.5) ? 20 : range(random, 1, 21)));
  const body = new Fields(16 + Math.ceil(id.length / 4) * 4, layout);
  body.u32(0, 4);
  body.u32(4, id.length);
  body.u32(8, 3);
  body.bytes.set([0x47, 0x4e, 0x55, 0], 12);
  body.bytes.set(id, 16);
  const filesz = body.bytes.length + (random.chance(0.7) ? 0 : range(random, -5, 5));
  const pageEnd = () => range(random, 1, 3) * PAGE_SIZE - random.below(48);
  const offset = random.chance(0.8) ? pageEnd() : U32 - filesz + range(random, -2, 2);
  const phnum = range(random, 1, 3);
  const phoff = random.chance(0.6) ? (is64 ? 64 : 52) : pageEnd() - random.below(phnum * phentsize);
  const table = new Fields(phnum * phentsize, layout);
  const at = (phnum - 1) * phentsize;
  table.u32(at, 4);
  table.word(at + (is64 ? 8 : 4), BigInt(offset));
  table.word(at + (is64 ? 32 : 16), BigInt(filesz));
  const ehdr = new Fields(is64 ? 64 : 52, layout);
  ehdr.bytes.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1]);
  ehdr.u16(16, pick(random, [2, 3]));
  ehdr.word(is64 ? 32 : 28, BigInt(phoff));
  ehdr.u16(is64 ? 56 : 44, phnum);
  file.put(phoff, table.bytes);
  file.put(offset, body.bytes);
  file.put(0, ehdr.bytes);
  return new HostileFile("edge", file.pages, random.chance(0.9) ? file.end : file.end - random.below(30));
}

/** An executable with a build ID of 20 bytes and nothing wrong, `pages` long. */
function plain(random: SeededRandom, pages: number): HostileFile {
  const file = new Writer();
  const layout = { is64: true, little: true };
  const fields = new Fields(64 + 56 + 36, layout);
  fields.bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  fields.u16(16, 3);
  fields.u16(18, 62);
  fields.word(32, 64n);
  fields.u16(54, 56);
  fields.u16(56, 1);
  fields.u32(64, 4);
  fields.word(72, 120n);
  fields.word(96, 36n);
  fields.u32(120, 4);
  fields.u32(124, 20);
  fields.u32(128, 3);
  fields.bytes.set([0x47, 0x4e, 0x55, 0], 132);
  random.fill(fields.bytes.subarray(136));
  file.put(0, fields.bytes);
  for (let i = 1; i < pages; i++) file.put(i * PAGE_SIZE, new Uint8Array(PAGE_SIZE));
  return new HostileFile("plain", file.pages, pages * PAGE_SIZE);
}

/** The file of gadgets: a plain one, with `code` in its second and third page. */
export function gadgetFile(random: SeededRandom, code: readonly [number, Uint8Array][]): HostileFile {
  const file = plain(random, 3);
  for (const [at, bytes] of code) file.pages.get(Math.floor(at / PAGE_SIZE))!.set(bytes, at % PAGE_SIZE);
  return file;
}

/** The next file of a seeded sequence. */
export function hostileFile(random: SeededRandom): HostileFile {
  const kind = random.below(40);
  if (kind > 13) return elf(random);
  if (kind > 6) return edge(random);
  if (kind > 1) return plain(random, range(random, 1, 4));
  const bytes = kind === 0
    ? new TextEncoder().encode("#!/bin/sh\necho an odd file\n".repeat(range(random, 0, 300)))
    : random.fill(new Uint8Array(random.below(70)));
  if (kind === 1 && random.chance(0.7)) bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1].slice(0, bytes.length));
  const file = new Writer();
  file.put(0, bytes);
  return new HostileFile(kind === 0 ? "text" : "tiny", file.pages, bytes.length);
}
