// Owns xz decompression: streams, block headers, index, footer, limits. The .xz File Format 1.2.
import { crc32 } from "../base/crc32.ts";
import { FormatError } from "../base/format_error.ts";
import { bytesEqual, toHex, viewOf } from "../base/bytes.ts";
import { CHECK_SIZES, checkOf } from "./lzma_checks.ts";
import { Lzma2Decoder } from "./lzma2.ts";
import { Output } from "./output.ts";

const HEADER_SIZE = 12;
const FOOTER_SIZE = 12;
// The stream's first six bytes, fd "7zXZ" 00, and its last two, "YZ".
const MAGIC_LOW = 0x587a_37fd;
const MAGIC_HIGH = 0x005a;
const FOOTER_MAGIC = 0x5a59;
const LZMA2 = 0x21;

/** The other filters of the format; a block with one of them is refused. */
const FILTERS: Readonly<Record<number, string>> = {
  0x03: "delta",
  0x04: "x86",
  0x05: "PowerPC",
  0x06: "IA-64",
  0x07: "ARM",
  0x08: "ARM-Thumb",
  0x09: "SPARC",
  0x0a: "ARM64",
  0x0b: "RISC-V",
};

/** A `Block_Header`, as far as it matters here. */
interface BlockHeader {
  /** Where the compressed data begins. */
  dataAt: number;
  compressedSize: number | undefined;
  uncompressedSize: number | undefined;
  dictionarySize: number;
}

/** One block in the index. */
interface IndexRecord {
  unpaddedSize: number;
  uncompressedSize: number;
}

/** Reads the parts of one input; every problem is a {@linkcode FormatError}. */
class Reader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }

  /** Makes sure of `count` bytes from here to `end`. */
  need(count: number, field: string, end: number = this.bytes.length): void {
    if (count <= end - this.at) return;
    throw new FormatError(`needs ${count} bytes, ${end - this.at} are left`, { offset: this.at, field });
  }

  /** A `Multibyte Integer`; those above 2^53 lose low bits, and no size is that large. */
  integer(field: string, end: number): number {
    const start = this.at;
    let value = 0;
    for (let scale = 1, i = 0; i < 9; i++, scale *= 128) {
      this.need(1, field, end);
      const byte = this.bytes[this.at++];
      value += (byte & 0x7f) * scale;
      if (byte >= 0x80) continue;
      if (byte === 0 && i > 0) break;
      return value;
    }
    throw new FormatError("is not an integer in its shortest form", { offset: start, field });
  }

  /** The zeros up to `end`. */
  padding(end: number, field: string): void {
    this.need(end - this.at, field);
    for (; this.at < end; this.at++) {
      const value = this.bytes[this.at];
      if (value !== 0) throw new FormatError("is not zero", { offset: this.at, field, value });
    }
  }

  /** The CRC-32, here, of the bytes `from` to `to`. */
  crc(from: number, to: number, field: string): void {
    this.need(4, field);
    const value = this.view.getUint32(this.at, true);
    const actual = crc32(this.bytes.subarray(from, to));
    if (value !== actual) {
      throw new FormatError(`does not match the content, which has ${actual}`, { offset: this.at, field, value });
    }
    this.at += 4;
  }
}

/** `Stream_Header`; returns the ID of the check. 2.1.1. */
function readStreamHeader(reader: Reader): number {
  const { view, at } = reader;
  reader.need(6, "Header_Magic_Bytes");
  if (view.getUint32(at, true) !== MAGIC_LOW || view.getUint16(at + 4, true) !== MAGIC_HIGH) {
    throw new FormatError("is not xz's", {
      offset: at,
      field: "Header_Magic_Bytes",
      value: toHex(reader.bytes.subarray(at, at + 6)),
    });
  }
  reader.need(HEADER_SIZE, "Stream_Flags");
  reader.at = at + 8;
  reader.crc(at + 6, at + 8, "CRC32");
  const flags = view.getUint16(at + 6, true);
  if ((flags & ~0x0f00) !== 0) {
    throw new FormatError("has a reserved bit set", { offset: at + 6, field: "Stream_Flags", value: flags });
  }
  return flags >> 8;
}

/** `Block_Header`. 3.1. */
function readBlockHeader(reader: Reader): BlockHeader {
  const { bytes, at } = reader;
  const size = (bytes[at] + 1) * 4;
  reader.need(size, "Block_Header_Size");
  const end = at + size - 4;
  reader.at = end;
  reader.crc(at, end, "CRC32");
  const flags = bytes[at + 1];
  const flagsAt = { offset: at + 1, field: "Block_Flags", value: flags };
  if ((flags & 0x3c) !== 0) throw new FormatError("has a reserved bit set", flagsAt);
  reader.at = at + 2;
  const compressedSize = (flags & 0x40) !== 0 ? reader.integer("Compressed_Size", end) : undefined;
  const uncompressedSize = (flags & 0x80) !== 0 ? reader.integer("Uncompressed_Size", end) : undefined;
  // LZMA2 has to be the last filter. Any other comes before it, and is refused.
  const filterAt = reader.at;
  const value = reader.integer("Filter_ID", end);
  if (value !== LZMA2) {
    const name = FILTERS[value];
    throw new FormatError(name === undefined ? "is an unknown filter" : `is the ${name} filter: not supported`, {
      offset: filterAt,
      field: "Filter_ID",
      value,
    });
  }
  if ((flags & 3) !== 0) throw new FormatError("has a filter behind LZMA2", flagsAt);
  const propertiesAt = reader.at;
  const propertiesSize = reader.integer("Size_of_Properties", end);
  if (propertiesSize !== 1) {
    throw new FormatError("is not LZMA2's, 1", {
      offset: propertiesAt,
      field: "Size_of_Properties",
      value: propertiesSize,
    });
  }
  reader.need(1, "Filter_Properties", end);
  const bits = bytes[reader.at];
  if (bits > 40) {
    throw new FormatError("is no dictionary size", { offset: reader.at, field: "Filter_Properties", value: bits });
  }
  reader.at++;
  reader.padding(end, "Header_Padding");
  reader.at = end + 4;
  const dictionarySize = (2 | (bits & 1)) * 2 ** ((bits >> 1) + 11);
  return { dataAt: end + 4, compressedSize, uncompressedSize, dictionarySize };
}

/** One block: header, data, padding, check. 3. */
function readBlock(reader: Reader, checkId: number, output: Output, decoder: Lzma2Decoder): IndexRecord {
  const { bytes, at } = reader;
  const { dataAt, compressedSize, uncompressedSize, dictionarySize } = readBlockHeader(reader);
  const from = output.length;
  if (uncompressedSize !== undefined && uncompressedSize > output.limit - from) {
    throw output.overflow(at, "Uncompressed_Size");
  }
  if (compressedSize !== undefined) reader.need(compressedSize, "Compressed_Size");
  const dataEnd = compressedSize === undefined ? bytes.length : dataAt + compressedSize;
  const end = decoder.decode(bytes, dataAt, dataEnd, dictionarySize);
  const packed = end - dataAt, unpacked = output.length - from;
  const mismatch = (field: string, value: number, actual: number): FormatError =>
    new FormatError(`does not match the block, which has ${actual}`, { offset: at, field, value });
  if (compressedSize !== undefined && compressedSize !== packed) {
    throw mismatch("Compressed_Size", compressedSize, packed);
  }
  if (uncompressedSize !== undefined && uncompressedSize !== unpacked) {
    throw mismatch("Uncompressed_Size", uncompressedSize, unpacked);
  }
  reader.at = end;
  reader.padding(dataAt + Math.ceil(packed / 4) * 4, "Block_Padding");
  const checkSize = CHECK_SIZES[checkId];
  reader.need(checkSize, "Check");
  const found = bytes.subarray(reader.at, reader.at + checkSize);
  const actual = checkOf(checkId, output.bytes, from, output.length);
  if (actual !== undefined && !bytesEqual(found, actual)) {
    throw new FormatError(`does not match the content, which has ${toHex(actual)}`, {
      offset: reader.at,
      field: "Check",
      value: toHex(found),
    });
  }
  reader.at += checkSize;
  return { unpaddedSize: end - at + checkSize, uncompressedSize: unpacked };
}

/** The index of the blocks, which it has to repeat. 4. */
function readIndex(reader: Reader, blocks: readonly IndexRecord[]): void {
  const start = reader.at;
  const end = reader.bytes.length;
  const expect = (field: string, actual: number): void => {
    const offset = reader.at;
    const value = reader.integer(field, end);
    if (value === actual) return;
    throw new FormatError(`does not match the blocks, which have ${actual}`, { offset, field, value });
  };
  reader.at++;
  expect("Number_of_Records", blocks.length);
  for (const { unpaddedSize, uncompressedSize } of blocks) {
    expect("Unpadded_Size", unpaddedSize);
    expect("Uncompressed_Size", uncompressedSize);
  }
  reader.padding(start + Math.ceil((reader.at - start) / 4) * 4, "Index_Padding");
  reader.crc(start, reader.at, "CRC32");
}

/** `Stream_Footer`. 2.1.2. */
function readFooter(reader: Reader, headerAt: number, indexSize: number): void {
  const { view, at } = reader;
  reader.need(FOOTER_SIZE, "Stream_Footer");
  reader.crc(at + 4, at + 10, "CRC32");
  const backward = (view.getUint32(at + 4, true) + 1) * 4;
  if (backward !== indexSize) {
    throw new FormatError(`does not match the index of ${indexSize} bytes`, {
      offset: at + 4,
      field: "Backward_Size",
      value: backward,
    });
  }
  const flags = view.getUint16(at + 8, true);
  if (flags !== view.getUint16(headerAt + 6, true)) {
    throw new FormatError("differs from the header's", { offset: at + 8, field: "Stream_Flags", value: flags });
  }
  const magic = view.getUint16(at + 10, true);
  if (magic !== FOOTER_MAGIC) {
    throw new FormatError("is not xz's", { offset: at + 10, field: "Footer_Magic_Bytes", value: magic });
  }
  reader.at = at + FOOTER_SIZE;
}

/** `Stream_Padding`: zeros, a multiple of four. 2.2. */
function skipStreamPadding(reader: Reader): void {
  const { bytes, at } = reader;
  while (reader.at < bytes.length && bytes[reader.at] === 0) reader.at++;
  const count = reader.at - at;
  if (count % 4 !== 0) {
    throw new FormatError(`is ${count} bytes, not a multiple of 4`, { offset: at, field: "Stream_Padding" });
  }
}

/**
 * Unpacks xz data: one stream or several, with stream padding between and behind them. The .xz File Format 1.2.
 *
 * LZMA2 is the one filter; a block with another one is refused by its name. Header, index and footer are verified,
 * and so are the checks of the content: CRC32, CRC64, SHA-256. The reserved kinds of checks are not.
 *
 * Memory follows what is decoded: at most about three times that while it grows, besides some 2 MiB, whatever sizes
 * the input claims. A dictionary takes none, because the output is the dictionary.
 *
 * @param bytes The streams, and nothing after them. Not changed.
 * @param limit The most bytes to unpack to; above 2^31 − 1 it counts as that.
 * @returns A new array in a buffer of its own.
 * @throws {FormatError} For malformed data, a filter besides LZMA2, and more output than `limit`.
 * @throws {RangeError} For a limit that is not a whole number from 0 on.
 */
export function decompressXz(bytes: Uint8Array, limit: number): Uint8Array<ArrayBuffer> {
  const output = new Output(limit);
  const reader = new Reader(bytes);
  const decoder = new Lzma2Decoder(output, bytes.length);
  do {
    const headerAt = reader.at;
    const checkId = readStreamHeader(reader);
    const blocks: IndexRecord[] = [];
    for (;;) {
      reader.need(1, "Block_Header_Size");
      if (bytes[reader.at] === 0) break; // the index's indicator
      blocks.push(readBlock(reader, checkId, output, decoder));
    }
    const indexAt = reader.at;
    readIndex(reader, blocks);
    readFooter(reader, headerAt, reader.at - indexAt);
    skipStreamPadding(reader);
  } while (reader.at < bytes.length);
  return output.finish();
}
