// Owns reading of .tar.gz archives (ustar), in which recordings are kept.
import { viewOf } from "../base/bytes.ts";
import { checkRange, FormatError } from "../base/format_error.ts";

const BLOCK = 512;

// Types that other tools write, by the letter in the header. Leaving such an entry out would lose a file or its name.
const OTHER_TYPES: Record<string, string> = {
  "1": "a hard link",
  "2": "a symbolic link",
  K: "a long link name of GNU tar",
  L: "a long name of GNU tar",
  S: "a sparse file",
  g: "a global pax header",
  x: "a pax header",
};

/**
 * Regular files of a ustar archive by name, as subarrays of `tar`; directories are left out.
 *
 * @throws {FormatError} For a damaged or cut archive, and for an entry that is neither file nor directory.
 */
export function readTar(tar: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (let at = 0; at < tar.length && tar[at] !== 0;) {
    checkRange(tar.length, at, BLOCK, "header");
    const sum = octal(tar, at + 148, 8, "checksum");
    if (sum !== checksum(tar, at)) {
      throw new FormatError(
        `is not the header's sum, ${checksum(tar, at)}: this is no tar archive, or a damaged one`,
        {
          offset: at + 148,
          field: "checksum",
          value: sum,
        },
      );
    }
    const size = octal(tar, at + 124, 12, "size");
    checkRange(tar.length, at + BLOCK, size, "size");
    const type = field(tar, at + 156, 1);
    // "7" asks for contiguous storage; before POSIX a file's type was NUL.
    if (type === "0" || type === "" || type === "7") {
      const prefix = field(tar, at + 257, 6) === "ustar" ? field(tar, at + 345, 155) : "";
      const name = (prefix === "" ? "" : `${prefix}/`) + field(tar, at, 100);
      files.set(name.replace(/^\.\//, ""), tar.subarray(at + BLOCK, at + BLOCK + size));
    } else if (type !== "5") {
      const kind = Object.hasOwn(OTHER_TYPES, type) ? OTHER_TYPES[type] : "neither file nor directory";
      throw new FormatError(`is ${kind}, which is not read; "tar --format=ustar" of plain files makes none`, {
        offset: at + 156,
        field: "typeflag",
        value: type,
      });
    }
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

/** Most bytes that {@linkcode gunzip} unpacks unless told otherwise. */
const GUNZIP_LIMIT = 1 << 28;
/** Bytes unpacked at a time: Deno makes one chunk of all that comes of one. */
const PIECE = 1 << 12;
/** Deflate makes at most 258 bytes of two bits: 1032 to 1. */
const MOST_RATIO = 1032;

/**
 * Unpacks a gzip file of one member, at most `limit` bytes. A file allocates at most 1032 times its size.
 *
 * @throws {FormatError} For what is not gzip, is damaged, or cut short.
 * @throws {RangeError} Over the limit.
 */
export async function gunzip(bytes: Uint8Array, limit: number = GUNZIP_LIMIT): Promise<Uint8Array> {
  // Each runtime has its own words for it, Node none at all.
  const damaged = () =>
    new FormatError("is not gzip, or is cut short or damaged", { offset: 0, field: "gzip data" });
  let at = 0;
  const pieces = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + PIECE));
      at += PIECE;
    },
  });
  const stream = pieces.pipeThrough(new DecompressionStream("gzip"));
  // ISIZE, the last four bytes, says how much there is. Whoever unpacks more than that unpacks a damaged file; where
  // it says more than there is, the decompressor refuses the end, and the pages that were not written cost nothing.
  const size = bytes.length < 18 ? 0 : viewOf(bytes).getUint32(bytes.length - 4, true);
  const out = new Uint8Array(Math.min(size, limit, MOST_RATIO * bytes.length));
  let length = 0;
  try {
    for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
      if (chunk.length > limit - length) throw new RangeError(`unpacks to more than ${limit} bytes`);
      if (chunk.length > out.length - length) throw damaged();
      out.set(chunk, length);
      length += chunk.length;
    }
  } catch (error) {
    throw error instanceof RangeError ? error : damaged();
  }
  return out.subarray(0, length);
}

// Text up to a NUL.
function field(tar: Uint8Array, at: number, length: number): string {
  return new TextDecoder().decode(tar.subarray(at, at + length)).replace(/\0.*$/s, "");
}

function octal(tar: Uint8Array, offset: number, length: number, name: string): number {
  const text = field(tar, offset, length).trim();
  if (!/^[0-7]+$/.test(text)) throw new FormatError("is not an octal number", { offset, field: name, value: text });
  return parseInt(text, 8);
}

// The sum of a header's bytes, those of the checksum taken as spaces.
function checksum(tar: Uint8Array, at: number): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += tar[at + i];
  return sum;
}
