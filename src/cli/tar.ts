// Owns reading of .tar.gz archives (ustar), in which recordings are kept.
import { checkRange, FormatError } from "../base/format_error.ts";

const BLOCK = 512;

/** Regular files of a tar archive by name, as subarrays of `tar`. Throws `FormatError` for a damaged header. */
export function readTar(tar: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (let at = 0; at + BLOCK <= tar.length && tar[at] !== 0;) {
    const sizeText = field(tar, at + 124, 12).trim();
    if (!/^[0-7]+$/.test(sizeText)) {
      throw new FormatError("is not an octal number", { offset: at + 124, field: "size", value: sizeText });
    }
    const size = parseInt(sizeText, 8);
    const type = field(tar, at + 156, 1);
    checkRange(tar.length, at + BLOCK, size, "size");
    if (type === "0" || type === "") {
      const prefix = field(tar, at + 345, 155);
      const name = (prefix === "" ? "" : `${prefix}/`) + field(tar, at, 100);
      files.set(name.replace(/^\.\//, ""), tar.subarray(at + BLOCK, at + BLOCK + size));
    }
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

/** Unpacks gzip, at most `limit` bytes. Throws `RangeError` over the limit, `TypeError` for what is not gzip. */
export async function gunzip(bytes: Uint8Array, limit: number = 1 << 30): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("gzip"));
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > limit) throw new RangeError(`unpacks to more than ${limit} bytes`);
    chunks.push(chunk);
  }
  const out = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

// Text up to a NUL.
function field(tar: Uint8Array, at: number, length: number): string {
  return new TextDecoder().decode(tar.subarray(at, at + length)).replace(/\0.*$/s, "");
}
