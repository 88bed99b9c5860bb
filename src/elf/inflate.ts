// Owns zlib decompression: the platform's DecompressionStream, fed in pieces and held to a promised size.
import { FormatError } from "../base/format_error.ts";
import { Output } from "../compress/output.ts";

/**
 * Most bytes handed to the platform at once.
 *
 * The debug sections of a libc, 3.6 MB to 10 MB, take in Deno, Bun and Node 28.3, 27.7 and 54.5 ms in pieces of
 * 16 KiB; 28.1, 27.6 and 49.5 in 32 KiB; 27.7, 25.3 and 45.7 in 64 KiB; 27.3, 25.5 and 50.5 in 128 KiB. Larger is
 * no faster, and Deno unpacks a whole piece before it hands out any of it.
 */
const PIECE_BYTES = 0x1_0000;
/** The least, where little is missing from the promised size. */
const LEAST_PIECE_BYTES = 0x400;
/** Two bytes of header, an empty block, four of checksum. */
const LEAST_STREAM_BYTES = 8;
/** As for Zstandard: so many bytes of the promised size are believed for each byte of input. */
const PLAUSIBLE_RATIO = 64;

/**
 * Unpacks one zlib stream (RFC 1950) by the platform's `DecompressionStream("deflate")`, which checks the Adler-32.
 *
 * The input has to be one stream and nothing else. Bytes after it are an error, as the platform cannot tell how
 * much of the input it used; linkers and objcopy write none. Several streams in a row, which zlib's users may also
 * accept, are therefore an error too.
 *
 * Memory follows what is unpacked: at most twice that, and what one piece of input unpacks to on a platform that
 * unpacks it at once: 1032 times the piece, which is 64 KiB or what is missing from `size`, but 1 KiB at least.
 *
 * @param bytes The stream. Not changed, and not kept after the end.
 * @param size How many bytes it unpacks to. The caller has held it against a limit.
 * @param place Where `bytes` begin in the file, and the name of what they are, for errors.
 * @returns A new array in a buffer of its own.
 * @throws {FormatError} If it is not one whole zlib stream (`cause` is the platform's error), or unpacks to
 *   anything but `size` bytes. Deno 2.9 does not notice that a stream is cut; the size tells, unless nothing is
 *   lacking but the checksum.
 */
export async function inflateZlib(
  bytes: Uint8Array,
  size: number,
  place: { offset: number; field: string },
): Promise<Uint8Array<ArrayBuffer>> {
  const fail = (cause?: unknown): FormatError => {
    const wrong = new FormatError(`${bytes.length} bytes from there are not one whole zlib stream`, place);
    if (cause !== undefined) wrong.cause = cause;
    return wrong;
  };
  if (bytes.length < LEAST_STREAM_BYTES) throw fail();
  const output = new Output(size);
  output.reserveExactly(Math.min(size, PLAUSIBLE_RATIO * bytes.length));
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  // What goes wrong shows in read(); these would be rejections that nobody handles.
  const ignore = (): void => {};
  writer.closed.catch(ignore);
  reader.closed.catch(ignore);
  let stopped = false;
  const feed = async (): Promise<void> => {
    for (let at = 0; at < bytes.length && !stopped;) {
      const length = Math.min(PIECE_BYTES, Math.max(LEAST_PIECE_BYTES, size - output.length));
      // A copy: streams refuse shared memory, and the caller's bytes may change while this waits.
      await writer.write(bytes.slice(at, at + length));
      at += length;
    }
    if (!stopped) await writer.close();
  };
  const fed = feed().catch(ignore);
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        throw fail(error);
      });
      if (done) break;
      if (value.length > size - output.length) {
        throw new FormatError(`unpacks to more than the ${size} bytes that its header says`, place);
      }
      output.reserve(output.length + value.length);
      output.bytes.set(value, output.length);
      output.length += value.length;
    }
  } finally {
    stopped = true;
    // Both ends, whichever way this ends: the platform frees its state and no promise stays open.
    await reader.cancel().catch(ignore);
    await writer.abort().catch(ignore);
    await fed;
  }
  if (output.length !== size) {
    throw new FormatError(`unpacks to ${output.length} bytes, its header says ${size}`, place);
  }
  return output.finish();
}
