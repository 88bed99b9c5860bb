// Owns writing of .tar.gz archives (ustar) that recordings are kept in: the same files give the same bytes.

const BLOCK = 512;
/** Names up to this many bytes need no prefix; recordings have no longer ones. */
const MOST_NAME = 100;
/** Bytes that are packed at a time. */
const PIECE = 1 << 16;

const encoder = new TextEncoder();

/**
 * A ustar archive of regular files, in the order of the map: read-only for all but the owner, of user and group 0.
 *
 * @param modified Time of all files, in seconds since 1970.
 * @throws {RangeError} If a name has more than 100 bytes, or a file more than 8 GiB less one byte.
 */
export function writeTar(files: ReadonlyMap<string, Uint8Array>, modified: number): Uint8Array<ArrayBuffer> {
  let length = 2 * BLOCK;
  for (const bytes of files.values()) length += BLOCK + paddedLength(bytes.length);
  const tar = new Uint8Array(length);
  let at = 0;
  for (const [name, bytes] of files) {
    putHeader(tar, at, name, bytes.length, modified);
    tar.set(bytes, at + BLOCK);
    at += BLOCK + paddedLength(bytes.length);
  }
  return tar;
}

function paddedLength(length: number): number {
  return Math.ceil(length / BLOCK) * BLOCK;
}

function putHeader(tar: Uint8Array, at: number, name: string, size: number, modified: number): void {
  const bytes = encoder.encode(name);
  if (bytes.length > MOST_NAME) throw new RangeError(`the name ${name} has more than ${MOST_NAME} bytes`);
  tar.set(bytes, at);
  putOctal(tar, at + 100, 8, 0o644);
  putOctal(tar, at + 108, 8, 0);
  putOctal(tar, at + 116, 8, 0);
  putOctal(tar, at + 124, 12, size);
  putOctal(tar, at + 136, 12, modified);
  tar[at + 156] = 0x30; // "0", a regular file
  tar.set(encoder.encode("ustar\x0000"), at + 257);
  // The sum of all bytes, its own taken as spaces.
  tar.fill(0x20, at + 148, at + 156);
  let sum = 0;
  for (let i = at; i < at + BLOCK; i++) sum += tar[i];
  putOctal(tar, at + 148, 7, sum);
}

/** A number in octal digits, and NUL. */
function putOctal(tar: Uint8Array, at: number, length: number, value: number): void {
  const digits = value.toString(8).padStart(length - 1, "0");
  if (digits.length >= length) throw new RangeError(`${value} has more than ${length - 1} octal digits`);
  tar.set(encoder.encode(digits), at);
  tar[at + length - 1] = 0;
}

/** Bytes packed with gzip, with what the runtime has for it; that decides which of many equal encodings it is. */
export async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  let at = 0;
  const pieces = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + PIECE));
      at += PIECE;
    },
  });
  const chunks: Uint8Array[] = [];
  let length = 0;
  const packed = pieces.pipeThrough(new CompressionStream("gzip"));
  for await (const chunk of packed as unknown as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    length += chunk.length;
  }
  const out = new Uint8Array(length);
  let to = 0;
  for (const chunk of chunks) {
    out.set(chunk, to);
    to += chunk.length;
  }
  return out;
}
