// Owns ELF notes: the walk through a note segment or section with 4- and 8-byte alignment, and writing one.
import { FormatError } from "../base/format_error.ts";
import { writeStruct } from "../base/struct.ts";
import { viewOf } from "../base/bytes.ts";
import { NHDR, PT_NOTE, SHT_NOTE } from "../uapi/elf.ts";
import {
  type ElfIdent,
  isLittleEndian,
  type Nhdr,
  parseEhdr,
  parsePhdrs,
  parseShdrs,
  type Phdr,
  type Shdr,
  toFileNumber,
} from "./headers.ts";

/** One note of an ELF file. */
export interface ElfNote extends Nhdr {
  /** The owner, without its closing zero byte: `"GNU"`, `"CORE"`, `"stapsdt"`. One character a byte. */
  name: string;
  /** The descriptor, without padding: a subarray of the input, not a copy. */
  desc: Uint8Array;
  /** File offset of the note's header, in bytes. */
  offset: number;
}

/** `sizeof(Elf64_Nhdr)`: the name follows it. */
const HEADER = 12;

/**
 * The alignment that readelf gives notes of a segment or section with this `p_align` or `sh_addralign`: 8 for 8,
 * else 4. (The gABI asks for 8 in every 64-bit file; no tool ever wrote that.)
 */
export function noteAlignment(align: bigint): 4 | 8 {
  return align === 8n ? 8 : 4;
}

/** `size` rounded up to `align`, a power of two. No 32-bit operators: sizes of a hostile header are larger. */
function roundUp(size: number, align: number): number {
  return Math.ceil(size / align) * align;
}

/**
 * The notes in `bytes` from `start` to `end`, one after another. Name and descriptor each begin at a multiple of
 * `align` counted from the note's own start. Padding after the last descriptor may be missing.
 *
 * @throws {FormatError} At a note that does not fit, after yielding those before it.
 */
export function* notesBetween(
  bytes: Uint8Array,
  ident: ElfIdent,
  start: number,
  end: number,
  align: 4 | 8,
): Generator<ElfNote, void, undefined> {
  const view = viewOf(bytes);
  const littleEndian = isLittleEndian(ident);
  let at = start;
  while (at < end) {
    if (HEADER > end - at) {
      throw new FormatError(`needs 12 bytes, ${end - at} are left`, { offset: at, field: "Nhdr" });
    }
    const n_namesz = view.getUint32(at, littleEndian);
    const n_descsz = view.getUint32(at + 4, littleEndian);
    const n_type = view.getUint32(at + 8, littleEndian);
    const desc = at + roundUp(HEADER + n_namesz, align);
    if (n_namesz > end - at - HEADER) {
      throw new FormatError("runs past the end of the notes", { offset: at, field: "n_namesz", value: n_namesz });
    }
    if (n_descsz > 0 && (desc > end || n_descsz > end - desc)) {
      throw new FormatError("runs past the end of the notes", {
        offset: at + 4,
        field: "n_descsz",
        value: n_descsz,
      });
    }
    let name = "";
    for (let i = 0; i < n_namesz; i++) {
      const byte = bytes[at + HEADER + i];
      if (byte === 0) break;
      name += String.fromCharCode(byte);
    }
    yield { n_namesz, n_descsz, n_type, name, desc: bytes.subarray(desc, desc + n_descsz), offset: at };
    at = desc + roundUp(n_descsz, align);
  }
}

/**
 * All notes of an ELF file, in file order of the tables, as `readelf -n` takes them: of every SHT_NOTE section,
 * or of every PT_NOTE segment where no such section can be read (stripped of sections, or only the head given).
 *
 * @param bytes The file from its start. It may be cut short: notes come as far as they are inside.
 * @throws {FormatError} If the input is not ELF or its header is cut; and at a malformed or cut note, after
 *   yielding those before it.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { elfNotes, encodeEhdr, encodeNote, encodePhdr } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
 * const note = encodeNote({ n_type: 3, name: "GNU", desc: Uint8Array.of(0xab, 0xcd) }, { e_ident });
 * const file = Uint8Array.of(
 *   ...encodeEhdr({ e_ident, e_phoff: 64n, e_phentsize: 56, e_phnum: 1 }),
 *   ...encodePhdr({ p_type: 4, p_offset: 120n, p_filesz: BigInt(note.length) }, { e_ident }),
 *   ...note,
 * );
 * for (const { n_type, name, desc, offset } of elfNotes(file)) {
 *   assertEquals([n_type, name, [...desc], offset], [3, "GNU", [0xab, 0xcd], 120]);
 * }
 * ```
 */
export function* elfNotes(bytes: Uint8Array): Generator<ElfNote, void, undefined> {
  const ehdr = parseEhdr(bytes);
  const sections = readable(() => parseShdrs(bytes, ehdr)).filter((s: Shdr) => s.sh_type === SHT_NOTE);
  if (sections.length > 0) {
    for (const { sh_offset, sh_size, sh_addralign } of sections) {
      yield* notesIn(bytes, ehdr, sh_offset, sh_size, noteAlignment(sh_addralign), "sh_offset");
    }
    return;
  }
  for (const { p_type, p_offset, p_filesz, p_align } of readable(() => parsePhdrs(bytes, ehdr)) as Phdr[]) {
    if (p_type === PT_NOTE) yield* notesIn(bytes, ehdr, p_offset, p_filesz, noteAlignment(p_align), "p_offset");
  }
}

/** A header table, or none where it is cut off or malformed. */
function readable<T>(parse: () => T[]): T[] {
  try {
    return parse();
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}

function* notesIn(
  bytes: Uint8Array,
  ident: ElfIdent,
  offset: bigint,
  size: bigint,
  align: 4 | 8,
  field: string,
): Generator<ElfNote, void, undefined> {
  const start = toFileNumber(offset, field, 0);
  const whole = start + toFileNumber(size, field, 0);
  const end = Math.min(whole, bytes.length);
  yield* notesBetween(bytes, ident, start, end, align);
  if (whole > end) {
    throw new FormatError(`the notes end at ${whole}, the input has ${bytes.length} bytes`, {
      offset: start,
      field,
    });
  }
}

/**
 * Writes one note: header, name with its closing zero byte, descriptor, each padded to `align`.
 *
 * @param note `name` without the closing zero byte, one byte a character.
 * @param ident Says the byte order.
 * @param align 4, or 8 for a segment with `p_align` 8.
 * @throws {RangeError} If a character of `name` is above U+00FF, or `n_type` does not fit 32 bits.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { encodeNote } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1);
 * const note = encodeNote({ n_type: 3, name: "GNU", desc: new Uint8Array(20).fill(0xab) }, { e_ident });
 * assertEquals([...note.subarray(0, 16)], [4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0]);
 * assertEquals(note.length, 36);
 * ```
 */
export function encodeNote(
  note: { n_type: number; name: string; desc: Uint8Array },
  ident: ElfIdent,
  align: 4 | 8 = 4,
): Uint8Array {
  const { n_type, name, desc } = note;
  const descAt = roundUp(HEADER + name.length + 1, align);
  const bytes = new Uint8Array(descAt + roundUp(desc.length, align));
  const header: Nhdr = { n_namesz: name.length + 1, n_descsz: desc.length, n_type };
  writeStruct(NHDR, header, viewOf(bytes), 0, isLittleEndian(ident));
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code > 0xff) throw new RangeError(`name holds one byte a character, not U+${code.toString(16)}`);
    bytes[HEADER + i] = code;
  }
  bytes.set(desc, descAt);
  return bytes;
}
