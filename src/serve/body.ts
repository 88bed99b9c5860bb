// Owns reading a request's body: unpacked where it is gzip, never more bytes than allowed.
import { HttpProblem, shown } from "./http_problem.ts";

/** Bytes unpacked at a time: deflate makes at most 1032 times as many, and Deno makes one chunk of them. */
const PIECE = 1 << 12;

/** Whether a request's body is gzip. @throws {HttpProblem} 415 for any other encoding. */
export function isGzipEncoded(request: Request): boolean {
  const encoding = (request.headers.get("content-encoding") ?? "").trim().toLowerCase();
  if (encoding === "" || encoding === "identity") return false;
  if (encoding === "gzip" || encoding === "x-gzip") return true;
  throw new HttpProblem(415, "unsupported-encoding", `content-encoding ${shown(encoding)}: only gzip is unpacked`, {
    "accept-encoding": "gzip",
  });
}

/** The length that a request announces, if it is one; else `undefined`. */
export function announcedLength(request: Request): number | undefined {
  const text = request.headers.get("content-length");
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/**
 * The body of a request, unpacked.
 *
 * @throws {HttpProblem} 413 over `maxBytes`, packed or unpacked; 400 for what is not gzip although it should be.
 * @throws The reason of `signal` once that is aborted.
 */
export async function readBody(request: Request, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const gzip = isGzipEncoded(request);
  const tooLarge = () =>
    new HttpProblem(413, "too-large", `the body has more than ${maxBytes} bytes${gzip ? " unpacked" : ""}`);
  if ((announcedLength(request) ?? 0) > maxBytes) throw tooLarge();
  if (request.body === null) return new Uint8Array(0);
  const source = request.body.getReader();
  const stop = () => void source.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", stop);
  try {
    if (signal.aborted) stop();
    const reader = gzip ? unpacked(source, maxBytes, tooLarge).getReader() : source;
    const chunks: Uint8Array[] = [];
    let length = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) throw signal.reason;
      if (done) return joined(chunks, length);
      length += value.length;
      if (length > maxBytes) {
        void reader.cancel().catch(() => {});
        throw tooLarge();
      }
      chunks.push(value);
    }
  } catch (error) {
    void source.cancel().catch(() => {});
    if (signal.aborted) throw signal.reason;
    if (error instanceof HttpProblem) throw error;
    // A connection that broke looks the same; nobody reads the answer then.
    throw new HttpProblem(
      400,
      "malformed",
      gzip ? "the body is not gzip, or is cut short or damaged" : "no body came",
    );
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function unpacked(
  source: ReadableStreamDefaultReader<Uint8Array>,
  maxBytes: number,
  tooLarge: () => HttpProblem,
): ReadableStream<Uint8Array> {
  let chunk = new Uint8Array(0);
  let at = 0;
  let total = 0;
  const pieces = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      while (at >= chunk.length) {
        const { done, value } = await source.read();
        if (done) return controller.close();
        total += value.length;
        if (total > maxBytes) throw tooLarge();
        chunk = value as Uint8Array<ArrayBuffer>;
        at = 0;
      }
      controller.enqueue(chunk.slice(at, at + PIECE));
      at += PIECE;
    },
    cancel: (reason) => source.cancel(reason),
  }, { highWaterMark: 0 });
  return pieces.pipeThrough(new DecompressionStream("gzip")) as ReadableStream<Uint8Array>;
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  // One chunk that begins at a multiple of 4 can be decoded where it lies.
  if (chunks.length === 1) return chunks[0];
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
