// Owns finding a section of an ELF file that is read by ranges: by its headers and names alone.
import type { ByteSource } from "../base/byte_source.ts";
import { checkRange, FormatError } from "../base/format_error.ts";
import { type Ehdr, isLittleEndian, layoutsOf, parseEhdr, type Shdr } from "../elf/headers.ts";
import { HeaderTable, toFileNumber } from "../elf/header_table.ts";
import { stringIs } from "../elf/string_table.ts";
import { SHN_XINDEX, SHT_NOBITS } from "../uapi/elf.ts";
import { type StoredFile, StoreError } from "./store.ts";
import { RangedFile, type RangedFileOptions } from "./stored_file.ts";

/** Most bytes of headers, or of names, that are read: a million headers are no file's. */
const MOST_TABLE_BYTES = 64 << 20;
const HEAD_BYTES = 4096;

async function readPart(source: ByteSource, offset: number, length: number, field: string): Promise<Uint8Array> {
  checkRange(source.size, offset, length, field);
  if (length > MOST_TABLE_BYTES) throw new FormatError("is too large a table", { offset, field, value: length });
  return await source.read(offset, length);
}

/** `count` section headers. */
async function readShdrs(source: ByteSource, ehdr: Ehdr, count: number): Promise<HeaderTable<Shdr>> {
  const offset = toFileNumber(ehdr.e_shoff, "e_shoff", 0);
  const entsize = ehdr.e_shentsize;
  const bytes = await readPart(source, offset, count * entsize, "e_shoff");
  const place = { offset: 0n, offsetField: "e_shoff", entsize, entsizeField: "e_shentsize", count };
  return new HeaderTable<Shdr>(bytes, layoutsOf(ehdr).shdr, isLittleEndian(ehdr), place);
}

/**
 * Where the bytes of the first section of this name are: `undefined` if there is none, or it has none in this file
 * (`SHT_NOBITS`), as what a debug file leaves to the program.
 *
 * @throws {FormatError} If the file is not ELF, or what leads to the section is malformed.
 */
async function findSection(
  source: ByteSource,
  name: string,
): Promise<{ offset: number; size: number } | undefined> {
  const ehdr = parseEhdr(await source.read(0, Math.min(HEAD_BYTES, source.size)));
  if (ehdr.e_shoff === 0n) return undefined;
  let { e_shnum: count, e_shstrndx: namesIndex } = ehdr;
  if (count === 0 || namesIndex === SHN_XINDEX) {
    const first = (await readShdrs(source, ehdr, 1)).get(0);
    if (count === 0) count = toFileNumber(first.sh_size, "sh_size", 0);
    if (namesIndex === SHN_XINDEX) namesIndex = first.sh_link;
  }
  const shdrs = await readShdrs(source, ehdr, count);
  if (namesIndex === 0 || namesIndex >= shdrs.length) return undefined;
  const place = (shdr: Shdr): { offset: number; size: number } => {
    const offset = toFileNumber(shdr.sh_offset, "sh_offset", 0);
    const size = toFileNumber(shdr.sh_size, "sh_size", 0);
    checkRange(source.size, offset, size, "sh_offset");
    return { offset, size };
  };
  const names = place(shdrs.get(namesIndex));
  const table = await readPart(source, names.offset, names.size, "e_shstrndx");
  const wanted = new TextEncoder().encode(name);
  const index = shdrs.column("sh_name").lo.findIndex((offset) => stringIs(table, offset, wanted));
  if (index < 0) return undefined;
  const shdr = shdrs.get(index);
  return shdr.sh_type === SHT_NOBITS ? undefined : place(shdr);
}

/**
 * A section of an ELF file as a stored file: as it stands there, compressed or not.
 *
 * @throws {FormatError} As above.
 */
async function sectionFile(
  source: ByteSource,
  fileName: string,
  section: string,
  options: RangedFileOptions,
): Promise<RangedFile | undefined> {
  const place = await findSection(source, section);
  if (place === undefined) return undefined;
  const { offset, size } = place;
  const part: ByteSource = {
    size,
    read(from, length, readOptions): Promise<Uint8Array> {
      if (!(from >= 0 && length >= 0 && length <= size - from)) {
        return Promise.reject(new RangeError(`bytes ${from} to ${from + length} of ${size}`));
      }
      return source.read(offset + from, length, readOptions);
    },
  };
  return new RangedFile(`${fileName}(${section})`, part, options);
}

/**
 * A section of a binary: from its debug file, or from the program where that doesn't have it, or not its bytes.
 *
 * @param open Gives the file, read by ranges.
 * @throws {StoreError} `wrong-build-id` if one is no ELF file, or malformed.
 */
export async function sectionOfFiles(
  open: (item: "debuginfo" | "executable") => Promise<Pick<StoredFile, "name" | "source"> | undefined>,
  section: string,
  options: RangedFileOptions,
): Promise<RangedFile | undefined> {
  for (const item of ["debuginfo", "executable"] as const) {
    const file = await open(item);
    if (file?.source === undefined) continue;
    try {
      const found = await sectionFile(file.source, file.name, section, options);
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new StoreError("wrong-build-id", `${file.name}: ${error.message}`, { cause: error });
    }
  }
  return undefined;
}
