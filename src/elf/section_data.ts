// Owns the contents of sections by name: finding them in one walk, and unpacking compressed ones within a limit.
import { FormatError } from "../base/format_error.ts";
import { readStruct } from "../base/struct.ts";
import { viewOf } from "../base/bytes.ts";
import { decompressZstd } from "../compress/zstd.ts";
import { CHDR32, CHDR64, ELFCOMPRESS_ZLIB, SHF_COMPRESSED, SHN_XINDEX, SHT_NOBITS, SHT_NULL } from "../uapi/elf.ts";
import type { ElfFile } from "./elf_file.ts";
import { toFileNumber } from "./header_table.ts";
import { inflateZlib } from "./inflate.ts";
import { stringIs } from "./string_table.ts";

/** `ch_type`: Zstandard, RFC 8878. Not with the others in src/uapi, as the elf.h of many systems lacks it still. */
export const ELFCOMPRESS_ZSTD = 2;

/** Start of a section in the form that came before SHF_COMPRESSED: `"ZLIB"`, then a size of 8 bytes, big-endian. */
const OLD_MAGIC = 0x5a4c_4942;
const OLD_HEADER_BYTES = 12;
/** What `.debug_info` is called in that form: `.zdebug_info`. */
const DEBUG_PREFIX = ".debug_";

/** Compression header, `Elf32_Chdr` or `Elf64_Chdr`. */
export interface Chdr {
  /** `ELFCOMPRESS_ZLIB` or `ELFCOMPRESS_ZSTD`. */
  ch_type: number;
  /** Size of the section when unpacked, in bytes. */
  ch_size: bigint;
  /** Alignment of the section when unpacked. */
  ch_addralign: bigint;
}

/** A section with contents, as it stands in the file. */
export interface SectionData {
  /** The name that was asked for: `.debug_info`, also where the file calls it `.zdebug_info`. */
  readonly name: string;
  /** Index of the section header. */
  readonly index: number;
  /** How `stored` is compressed; `undefined` if it is not. */
  readonly compression: "zlib" | "zstd" | undefined;
  /** The contents, or what is to be unpacked, without the header before it. A subarray of the file's bytes. */
  readonly stored: Uint8Array;
  /** File offset of `stored`. */
  readonly fileOffset: number;
  /** Size in bytes when unpacked; where compressed, only a claim of the file's, and inexact above 2^53. */
  readonly size: number;
  /** Offset and name of the field that makes the claim. */
  readonly sizeField: { readonly offset: number; readonly field: string };
}

/** A name looked for, and the sections found so far; -1 for none. */
interface Wanted {
  readonly name: string;
  readonly plain: Uint8Array;
  readonly old: Uint8Array | undefined;
  plainIndex: number;
  oldIndex: number;
}

/** The table of section names; `undefined` where the file has none. */
function nameTable(file: ElfFile): Uint8Array | undefined {
  const { e_shstrndx } = file.ehdr;
  const index = e_shstrndx === SHN_XINDEX ? file.sectionAt(0)?.sh_link ?? 0 : e_shstrndx;
  const section = index === 0 ? undefined : file.sectionAt(index);
  return section === undefined ? undefined : file.sectionBytes(section);
}

/** Names differ in their second byte sooner than in the first, which is a dot nearly always. */
function bucketOf(table: Uint8Array, at: number): number {
  return at + 1 < table.length ? table[at + 1] : 0;
}

/** Walks the section headers once, over columns, and notes the first section with bytes of each name. */
function findWanted(file: ElfFile, wanted: readonly Wanted[]): void {
  const { shdrs } = file;
  const table = nameTable(file);
  if (table === undefined) return;
  const buckets: Wanted[][] = Array.from({ length: 256 }, () => []);
  for (const one of wanted) {
    buckets[bucketOf(one.plain, 0)].push(one);
    if (one.old !== undefined) buckets[bucketOf(one.old, 0)].push(one);
  }
  const names = shdrs.column("sh_name").lo;
  const types = shdrs.column("sh_type").lo;
  const sizes = shdrs.column("sh_size");
  for (let i = 0; i < names.length; i++) {
    const bucket = buckets[bucketOf(table, names[i])];
    if (bucket.length === 0 || types[i] === SHT_NOBITS || types[i] === SHT_NULL) continue;
    if ((sizes.lo[i] | sizes.hi[i]) === 0) continue;
    for (const one of bucket) {
      if (one.plainIndex < 0 && stringIs(table, names[i], one.plain)) one.plainIndex = i;
      else if (one.oldIndex < 0 && one.old !== undefined && stringIs(table, names[i], one.old)) one.oldIndex = i;
    }
  }
}

/** Reads the header of a compressed section. */
function describe(file: ElfFile, name: string, index: number, old: boolean): SectionData {
  const shdr = file.shdrs.get(index);
  const bytes = file.sectionBytes(shdr);
  const at = toFileNumber(shdr.sh_offset, "sh_offset", 0);
  const view = viewOf(file.bytes);
  const need = (length: number, field: string): void => {
    if (bytes.length < length) {
      throw new FormatError(`needs ${length} bytes, section ${index} has ${bytes.length}`, { offset: at, field });
    }
  };
  if ((shdr.sh_flags & BigInt(SHF_COMPRESSED)) !== 0n) {
    const layout = file.is64 ? CHDR64 : CHDR32;
    need(layout.size, layout.name);
    const { ch_type, ch_size } = readStruct<Chdr>(layout, view, at, file.littleEndian);
    if (ch_type !== ELFCOMPRESS_ZLIB && ch_type !== ELFCOMPRESS_ZSTD) {
      throw new FormatError(`of ${name} is neither ELFCOMPRESS_ZLIB, 1, nor ELFCOMPRESS_ZSTD, 2`, {
        offset: at,
        field: "ch_type",
        value: ch_type,
      });
    }
    return {
      name,
      index,
      compression: ch_type === ELFCOMPRESS_ZLIB ? "zlib" : "zstd",
      stored: bytes.subarray(layout.size),
      fileOffset: at + layout.size,
      size: Number(ch_size),
      sizeField: {
        offset: at + layout.fields.find((field) => field.name === "ch_size")!.offset,
        field: "ch_size",
      },
    };
  }
  if (old) {
    need(OLD_HEADER_BYTES, "ZLIB");
    const magic = view.getUint32(at, false);
    if (magic !== OLD_MAGIC) {
      throw new FormatError(`of .z${name.slice(1)} is not "ZLIB"`, { offset: at, field: "magic", value: magic });
    }
    return {
      name,
      index,
      compression: "zlib",
      stored: bytes.subarray(OLD_HEADER_BYTES),
      fileOffset: at + OLD_HEADER_BYTES,
      size: view.getUint32(at + 4, false) * 0x1_0000_0000 + view.getUint32(at + 8, false),
      sizeField: { offset: at + 4, field: "size" },
    };
  }
  const sizeField = { offset: at, field: "sh_size" };
  return { name, index, compression: undefined, stored: bytes, fileOffset: at, size: bytes.length, sizeField };
}

/**
 * Finds sections by name in one walk over the section headers, however many there are, and reads the headers of
 * compressed ones. Unpacks nothing and copies nothing.
 *
 * Of several sections of one name the first that has bytes counts: SHT_NOBITS and empty ones are as good as none,
 * since debug files keep them as twins of the executable's. `.debug_*` is also found in its old compressed form,
 * `.zdebug_*`, where the file has no section of the new name.
 *
 * @param file The file; class and byte order of compression headers are its own.
 * @param names Exact names. Twice the same counts once.
 * @returns By name, what was found, in the order of `names`. Nothing where the file has no section names.
 * @throws {FormatError} If the section headers, their names, a section that was found, or its compression header
 *   are not all inside the file, or `ch_type` is neither zlib nor zstd. `offset` is from the start of the file.
 */
export function locateSections(file: ElfFile, names: Iterable<string>): Map<string, SectionData> {
  const encoder = new TextEncoder();
  const wanted: Wanted[] = [...new Set(names)].filter((name) => name !== "").map((name) => ({
    name,
    plain: encoder.encode(name),
    old: name.startsWith(DEBUG_PREFIX) ? encoder.encode(`.z${name.slice(1)}`) : undefined,
    plainIndex: -1,
    oldIndex: -1,
  }));
  findWanted(file, wanted);
  const found = new Map<string, SectionData>();
  for (const { name, plainIndex, oldIndex } of wanted) {
    if (plainIndex >= 0) found.set(name, describe(file, name, plainIndex, false));
    else if (oldIndex >= 0) found.set(name, describe(file, name, oldIndex, true));
  }
  return found;
}

/** {@linkcode locateSections} for one name; `undefined` where there is no such section with bytes. */
export function locateSection(file: ElfFile, name: string): SectionData | undefined {
  return locateSections(file, [name]).get(name);
}

/** Throws unless `limit` is a size, and `claimed` bytes are within it. */
function checkClaim(data: SectionData, claimed: number, limit: number): void {
  if (claimed <= limit) return;
  const { name, size, sizeField } = data;
  const others = claimed - size;
  const besides = others > 0 ? `, ${others} are taken by other sections` : "";
  throw new FormatError(`of ${name} is over the limit of ${limit} bytes${besides}`, {
    ...sizeField,
    value: size,
  });
}

function checkLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw new RangeError(`limit must be a whole number of bytes, not ${limit}`);
  }
}

/** Unpacks what has been held against the limit. */
async function unpack(data: SectionData): Promise<Uint8Array> {
  const { name, compression, stored, fileOffset, size } = data;
  if (compression === undefined) return stored;
  if (compression === "zlib") return await inflateZlib(stored, size, { offset: fileOffset, field: name });
  let bytes: Uint8Array;
  try {
    bytes = decompressZstd(stored, size);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const wrong = new FormatError(
      `its zstd data, whose header says ${size} bytes, is malformed: ${error.message}`,
      {
        offset: fileOffset + error.offset,
        field: name,
      },
    );
    wrong.cause = error;
    throw wrong;
  }
  if (bytes.length !== size) {
    throw new FormatError(`unpacks to ${bytes.length} bytes, its header says ${size}`, {
      offset: fileOffset,
      field: name,
    });
  }
  return bytes;
}

/**
 * The contents of a section, unpacked if it is compressed: by SHF_COMPRESSED with zlib or Zstandard, or as
 * `.zdebug_*`. Which section, if several have the name, {@linkcode locateSections} tells.
 *
 * `.gnu_debugdata`, which is an xz file and not a compressed section, comes as it stands.
 *
 * @param file The file. Its bytes are not changed.
 * @param name Exact name, in its uncompressed spelling: `.debug_info`.
 * @param limit The most bytes to unpack to. What the header claims is held against it before anything is unpacked.
 *   Sections that are not compressed cost no memory and have no limit.
 * @returns A subarray of the file's bytes if not compressed, else a new array; `undefined` where no section with
 *   bytes has the name.
 * @throws {FormatError} As a rejection: what {@linkcode locateSections} throws; a claim above `limit`; data that is
 *   malformed or does not unpack to exactly the size claimed. `offset` is from the start of the file.
 * @throws {RangeError} As a rejection: for a limit that is not a whole number from 0 on.
 */
export async function readSection(file: ElfFile, name: string, limit: number): Promise<Uint8Array | undefined> {
  return (await readSections(file, [name], limit)).get(name);
}

/**
 * {@linkcode readSection} of several names, in one walk over the section headers and with one limit for all.
 *
 * The sections are unpacked one after the other: side by side they were no faster in Deno, Bun or Node.
 *
 * @param file The file. Its bytes are not changed.
 * @param names Exact names. Twice the same counts once.
 * @param limit The most bytes to unpack to, all sections together. The sum of what their headers claim is held
 *   against it before anything is unpacked.
 * @returns The contents by name, in the order of `names`; names without a section are left out.
 * @throws {FormatError} As a rejection, as {@linkcode readSection}: one malformed section fails them all.
 * @throws {RangeError} As a rejection: for a limit that is not a whole number from 0 on.
 */
export async function readSections(
  file: ElfFile,
  names: Iterable<string>,
  limit: number,
): Promise<Map<string, Uint8Array>> {
  checkLimit(limit);
  const found = locateSections(file, names);
  let claimed = 0;
  for (const data of found.values()) {
    if (data.compression === undefined) continue;
    claimed += data.size;
    checkClaim(data, claimed, limit);
  }
  const out = new Map<string, Uint8Array>();
  for (const [name, data] of found) out.set(name, await unpack(data));
  return out;
}
