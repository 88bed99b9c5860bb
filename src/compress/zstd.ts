// Owns Zstandard decompression: frames, block headers, checksums, limits. RFC 8878.
import { FormatError } from "../base/format_error.ts";
import { viewOf } from "../base/bytes.ts";
import { Output } from "./output.ts";
import { xxh64 } from "./xxh64.ts";
import { BlockDecoder, MOST_BLOCK_BYTES } from "./zstd_block.ts";

const MAGIC = 0xfd2f_b528;
/** Skippable frames have any of 16 magic numbers. */
const SKIPPABLE_MAGIC = 0x184d_2a50;
/**
 * How much a frame's announced size is believed: so many bytes for each byte of input. What unpacks to more has its
 * buffer grown as it goes.
 */
const PLAUSIBLE_RATIO = 64;

/** A `Frame_Header`, as far as it matters here. */
interface FrameHeader {
  /** Where the first block begins. */
  blocksAt: number;
  windowSize: number;
  /** `Frame_Content_Size`; `undefined` where the header does not tell. */
  contentSize: number | undefined;
  hasChecksum: boolean;
}

/** RFC 8878, 3.1.1.1. Sizes above 2^53 lose low bits; they are over every limit. */
function readFrameHeader(view: DataView, start: number): FrameHeader {
  let at = start + 4;
  const need = (count: number, field: string): void => {
    if (count > view.byteLength - at) {
      throw new FormatError(`needs ${count} bytes, the input has ${view.byteLength}`, { offset: at, field });
    }
  };
  need(1, "Frame_Header_Descriptor");
  const descriptor = view.getUint8(at);
  if ((descriptor & 8) !== 0) {
    throw new FormatError("has its reserved bit set", {
      offset: at,
      field: "Frame_Header_Descriptor",
      value: descriptor,
    });
  }
  at++;
  const singleSegment = (descriptor & 0x20) !== 0;
  let windowSize = 0;
  if (!singleSegment) {
    need(1, "Window_Descriptor");
    const byte = view.getUint8(at++);
    const base = 2 ** (10 + (byte >> 3));
    windowSize = base + (base / 8) * (byte & 7);
  }
  const idSize = [0, 1, 2, 4][descriptor & 3];
  need(idSize, "Dictionary_ID");
  const id = idSize === 0
    ? 0
    : idSize === 1
    ? view.getUint8(at)
    : idSize === 2
    ? view.getUint16(at, true)
    : view.getUint32(at, true);
  if (id !== 0) {
    throw new FormatError("dictionaries are not supported", { offset: at, field: "Dictionary_ID", value: id });
  }
  at += idSize;
  const sizeSize = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6];
  need(sizeSize, "Frame_Content_Size");
  let contentSize: number | undefined;
  if (sizeSize === 1) contentSize = view.getUint8(at);
  else if (sizeSize === 2) contentSize = view.getUint16(at, true) + 256;
  else if (sizeSize === 4) contentSize = view.getUint32(at, true);
  else if (sizeSize === 8) {
    contentSize = view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
  }
  at += sizeSize;
  if (singleSegment) windowSize = contentSize ?? 0;
  return { blocksAt: at, windowSize, contentSize, hasChecksum: (descriptor & 4) !== 0 };
}

/** Decodes the frame at `start` of the input; returns where it ends. */
function readFrame(
  input: Uint8Array,
  view: DataView,
  start: number,
  output: Output,
  decoder: BlockDecoder,
): number {
  const header = readFrameHeader(view, start);
  const { contentSize, windowSize } = header;
  const frameStart = output.length;
  if (contentSize !== undefined) {
    if (contentSize > output.limit - frameStart) throw output.overflow(start, "Frame_Content_Size");
    output.reserveExactly(frameStart + Math.min(contentSize, PLAUSIBLE_RATIO * (input.length - start)));
  }
  const mostBlock = Math.min(windowSize, MOST_BLOCK_BYTES);
  const frameEnd = contentSize === undefined ? output.limit : frameStart + contentSize;
  let at = header.blocksAt;
  decoder.startFrame();
  for (let last = false; !last;) {
    if (input.length - at < 3) {
      throw new FormatError(`needs 3 bytes, the input has ${input.length}`, { offset: at, field: "Block_Header" });
    }
    const blockAt = at;
    const word = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    at += 3;
    last = (word & 1) !== 0;
    const type = (word >> 1) & 3;
    const size = word >> 3;
    const fail = (problem: string): FormatError =>
      new FormatError(problem, { offset: blockAt, field: "Block_Header", value: word });
    if (type === 3) throw fail("has a reserved block type");
    // A block without content may follow a window of no bytes.
    if (size > mostBlock) throw fail(`has a block of ${size} bytes, more than ${mostBlock}`);
    const stored = type === 1 ? 1 : size;
    if (stored > input.length - at) throw fail(`needs ${stored} bytes, ${input.length - at} are left`);
    const before = output.length;
    const tooLong = (): FormatError => {
      if (contentSize !== undefined && before + mostBlock > frameEnd) {
        return fail(`unpacks to more than the frame's ${contentSize} bytes`);
      }
      return output.limit - before < mostBlock
        ? output.overflow(blockAt, "Block_Header")
        : fail(`unpacks to more than ${mostBlock} bytes`);
    };
    if (type === 2) {
      const end = Math.min(before + mostBlock, frameEnd);
      output.reserve(end);
      decoder.decode(input, at, size, frameStart, windowSize, end, tooLong);
    } else {
      if (size > frameEnd - before) throw tooLong();
      output.reserve(before + size);
      if (type === 0) output.bytes.set(input.subarray(at, at + size), before);
      else output.bytes.fill(input[at], before, before + size);
      output.length += size;
    }
    at += stored;
  }
  const length = output.length - frameStart;
  if (contentSize !== undefined && length !== contentSize) {
    throw new FormatError(`does not match the ${length} bytes that the frame unpacks to`, {
      offset: start,
      field: "Frame_Content_Size",
      value: contentSize,
    });
  }
  if (header.hasChecksum) {
    if (input.length - at < 4) {
      throw new FormatError(`needs 4 bytes, the input has ${input.length}`, {
        offset: at,
        field: "Content_Checksum",
      });
    }
    const value = view.getUint32(at, true);
    const [, actual] = xxh64(output.view, frameStart, output.length);
    if (value !== actual) {
      throw new FormatError(`does not match the content, which has ${actual}`, {
        offset: at,
        field: "Content_Checksum",
        value,
      });
    }
    at += 4;
  }
  return at;
}

/**
 * Unpacks Zstandard data: one frame or several, with skippable frames anywhere. RFC 8878.
 *
 * Checksums are verified where there are any. Dictionaries are refused. Any window is accepted, because the output
 * is the window.
 *
 * Memory follows what is decoded: at most about twice that, besides some 300 KiB, whatever sizes the input claims.
 *
 * @param bytes The frames, and nothing after them. Not changed.
 * @param limit The most bytes to unpack to; above 2^31 − 1 it counts as that.
 * @returns A new array in a buffer of its own.
 * @throws {FormatError} For malformed data, a dictionary, and more output than `limit`.
 * @throws {RangeError} For a limit that is not a whole number from 0 on.
 */
export function decompressZstd(bytes: Uint8Array, limit: number): Uint8Array<ArrayBuffer> {
  const output = new Output(limit);
  const view = viewOf(bytes);
  const decoder = new BlockDecoder(output, Math.min(bytes.length, MOST_BLOCK_BYTES));
  let at = 0;
  do {
    if (bytes.length - at < 4) {
      throw new FormatError(`needs 4 bytes, the input has ${bytes.length}`, { offset: at, field: "Magic_Number" });
    }
    const magic = view.getUint32(at, true);
    if (magic === MAGIC) {
      at = readFrame(bytes, view, at, output, decoder);
    } else if ((magic & ~15) === SKIPPABLE_MAGIC) {
      const left = bytes.length - at - 8;
      const size = left < 0 ? 0 : view.getUint32(at + 4, true);
      if (size > left) {
        throw new FormatError(`needs ${size} bytes, ${Math.max(0, left)} are left`, {
          offset: at + 4,
          field: "Frame_Size",
        });
      }
      at += 8 + size;
    } else {
      throw new FormatError("is not Zstandard's", { offset: at, field: "Magic_Number", value: magic });
    }
  } while (at < bytes.length);
  return output.finish();
}
