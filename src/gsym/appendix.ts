// Owns the appendix: what a GSYM file of ours carries behind all that GSYM defines, where no other reader looks.
import { viewOf } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import type { Phdr } from "../elf/headers.ts";

/*
 * GSYM has virtual addresses alone, and its tables can be in any place. So that a file can be asked for file offsets,
 * and be opened and searched with few reads, it may end with
 *
 *   records: u32 type, u32 length, `length` bytes, zeros up to a multiple of 4
 *   footer:  u32 size of the appendix with its footer, u32 version (1), the 8 bytes "STACKMAP"
 *
 * in the byte order of the file, all of it outside the tables that the header names. Records of unknown type are
 * passed over. Type 1, segments: 48 bytes for each PT_LOAD of the executable, u32 p_type, u32 p_flags, u64 p_offset,
 * p_vaddr, p_filesz, p_memsz, p_align. Type 2, head: a copy of the header, in version 2 with its directory and the
 * UUID behind it. Type 3, blocks: 24 bytes for each block of consecutive functions
 * and for the end of the last: u64 distance of its first function from the base address, u32 index of that function, u32
 * file offsets of its first FunctionInfo, string and file entry.
 */

const TYPE_SEGMENTS = 1;
const TYPE_HEAD = 2;
const TYPE_BLOCKS = 3;
const VERSION = 1;
const SIGNATURE = "STACKMAP";

/** Bytes of the footer. */
export const SIZEOF_FOOTER = 16;
const SIZEOF_SEGMENT = 48;
/** An ELF file has no more. */
const MOST_SEGMENTS = 0xffff;
/** Bytes of a block. */
const SIZEOF_BLOCK = 24;

/** Where the parts of consecutive functions lie: what one lookup needs, in few pieces. A hint, never an answer. */
export interface GsymBlocks {
  /** For each block, and for the end of the last one: distance of its first function from the base address, */
  address: Float64Array;
  /** and that function's index. */
  first: Uint32Array;
  /** For the same the file offset of its first FunctionInfo, */
  infos: Uint32Array;
  /** of its strings, */
  strings: Uint32Array;
  /** and of its file entries. */
  files: Uint32Array;
}

/** What an appendix holds. */
export interface GsymAppendix {
  /** The executable's PT_LOAD segments; `p_paddr` is 0. */
  segments?: Phdr[];
  /** Copy of the file's header, in version 2 with its directory. */
  head?: Uint8Array;
  blocks?: GsymBlocks;
}

/**
 * Size of the appendix that a file ends with; 0 if it ends with none.
 *
 * @param end The last bytes of the file, {@linkcode SIZEOF_FOOTER} at least.
 */
export function appendixSize(end: Uint8Array, littleEndian: boolean): number {
  const at = end.length - SIZEOF_FOOTER;
  if (at < 0) return 0;
  for (let i = 0; i < 8; i++) if (end[at + 8 + i] !== SIGNATURE.charCodeAt(i)) return 0;
  const view = viewOf(end);
  const size = view.getUint32(at, littleEndian);
  return view.getUint32(at + 4, littleEndian) === VERSION && size >= SIZEOF_FOOTER ? size : 0;
}

/**
 * Decodes an appendix.
 *
 * @param bytes The appendix, whole, as {@linkcode appendixSize} tells its size.
 * @param fileOffset Where it begins in the file, for errors.
 * @throws {FormatError} If it is malformed.
 */
export function decodeAppendix(bytes: Uint8Array, littleEndian: boolean, fileOffset: number = 0): GsymAppendix {
  const view = viewOf(bytes);
  const end = bytes.length - SIZEOF_FOOTER;
  const out: GsymAppendix = {};
  for (let at = 0; at < end;) {
    if (end - at < 8) refuse("is cut short", "appendix record", fileOffset + at, end - at);
    const type = view.getUint32(at, littleEndian);
    const length = view.getUint32(at + 4, littleEndian);
    at += 8;
    if (length > end - at) {
      refuse("passes the appendix's end", "appendix record length", fileOffset + at - 4, length);
    }
    const part = bytes.subarray(at, at + length);
    if (type === TYPE_SEGMENTS) out.segments = decodeSegments(part, littleEndian, fileOffset + at);
    else if (type === TYPE_HEAD) out.head = part.slice();
    else if (type === TYPE_BLOCKS) out.blocks = decodeBlocks(part, littleEndian, fileOffset + at);
    at += Math.ceil(length / 4) * 4;
  }
  return out;
}

function refuse(problem: string, field: string, offset: number, value: number): never {
  throw new FormatError(problem, { offset, field, value });
}

function decodeSegments(bytes: Uint8Array, littleEndian: boolean, fileOffset: number): Phdr[] {
  if (bytes.length % SIZEOF_SEGMENT !== 0) {
    refuse("is no whole number of segments", "appendix segments", fileOffset, bytes.length);
  }
  if (bytes.length > MOST_SEGMENTS * SIZEOF_SEGMENT) {
    refuse(`is more than ${MOST_SEGMENTS} segments`, "appendix segments", fileOffset, bytes.length);
  }
  const view = viewOf(bytes);
  const out: Phdr[] = [];
  for (let at = 0; at < bytes.length; at += SIZEOF_SEGMENT) {
    const u64 = (index: number) => view.getBigUint64(at + 8 + 8 * index, littleEndian);
    out.push({
      p_type: view.getUint32(at, littleEndian),
      p_flags: view.getUint32(at + 4, littleEndian),
      p_offset: u64(0),
      p_vaddr: u64(1),
      p_paddr: 0n,
      p_filesz: u64(2),
      p_memsz: u64(3),
      p_align: u64(4),
    });
  }
  return out;
}

function decodeBlocks(bytes: Uint8Array, littleEndian: boolean, fileOffset: number): GsymBlocks {
  const count = bytes.length / SIZEOF_BLOCK;
  if (!(Number.isInteger(count) && count >= 1)) {
    refuse("is no whole number of blocks", "appendix blocks", fileOffset, bytes.length);
  }
  const view = viewOf(bytes);
  const blocks: GsymBlocks = {
    address: new Float64Array(count),
    first: new Uint32Array(count),
    infos: new Uint32Array(count),
    strings: new Uint32Array(count),
    files: new Uint32Array(count),
  };
  for (let i = 0; i < count; i++) {
    const at = i * SIZEOF_BLOCK;
    blocks.address[i] = Number(view.getBigUint64(at, littleEndian));
    blocks.first[i] = view.getUint32(at + 8, littleEndian);
    blocks.infos[i] = view.getUint32(at + 12, littleEndian);
    blocks.strings[i] = view.getUint32(at + 16, littleEndian);
    blocks.files[i] = view.getUint32(at + 20, littleEndian);
  }
  return blocks;
}

/** Encodes an appendix, with its footer. The file must be padded to a multiple of 4 before it. */
export function encodeAppendix({ segments, head, blocks }: GsymAppendix, littleEndian: boolean): Uint8Array {
  const records: [number, Uint8Array][] = [];
  if (segments !== undefined) records.push([TYPE_SEGMENTS, encodeSegments(segments, littleEndian)]);
  if (head !== undefined) records.push([TYPE_HEAD, head]);
  if (blocks !== undefined) records.push([TYPE_BLOCKS, encodeBlocks(blocks, littleEndian)]);
  const size = records.reduce((sum, [, bytes]) => sum + 8 + Math.ceil(bytes.length / 4) * 4, SIZEOF_FOOTER);
  const out = new Uint8Array(size);
  const view = viewOf(out);
  let at = 0;
  for (const [type, bytes] of records) {
    view.setUint32(at, type, littleEndian);
    view.setUint32(at + 4, bytes.length, littleEndian);
    out.set(bytes, at + 8);
    at += 8 + Math.ceil(bytes.length / 4) * 4;
  }
  view.setUint32(at, size, littleEndian);
  view.setUint32(at + 4, VERSION, littleEndian);
  for (let i = 0; i < 8; i++) out[at + 8 + i] = SIGNATURE.charCodeAt(i);
  return out;
}

function encodeSegments(segments: readonly Phdr[], littleEndian: boolean): Uint8Array {
  const out = new Uint8Array(segments.length * SIZEOF_SEGMENT);
  const view = viewOf(out);
  segments.forEach(({ p_type, p_flags, p_offset, p_vaddr, p_filesz, p_memsz, p_align }, index) => {
    const at = index * SIZEOF_SEGMENT;
    view.setUint32(at, p_type, littleEndian);
    view.setUint32(at + 4, p_flags, littleEndian);
    [p_offset, p_vaddr, p_filesz, p_memsz, p_align].forEach((value, i) =>
      view.setBigUint64(at + 8 + 8 * i, value, littleEndian)
    );
  });
  return out;
}

function encodeBlocks({ address, first, infos, strings, files }: GsymBlocks, littleEndian: boolean): Uint8Array {
  const out = new Uint8Array(address.length * SIZEOF_BLOCK);
  const view = viewOf(out);
  for (let i = 0; i < address.length; i++) {
    const at = i * SIZEOF_BLOCK;
    view.setBigUint64(at, BigInt(address[i]), littleEndian);
    view.setUint32(at + 8, first[i], littleEndian);
    view.setUint32(at + 12, infos[i], littleEndian);
    view.setUint32(at + 16, strings[i], littleEndian);
    view.setUint32(at + 20, files[i], littleEndian);
  }
  return out;
}
