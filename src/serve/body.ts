// Owns reading a request's body: unpacked where it is gzip, never more bytes than allowed.
import { HttpProblem, shown } from "./http_problem.ts";

/** Bytes unpacked at a time: deflate makes at most 1032 times as many, and Deno makes one chunk of them. */
const PIECE = 1 << 12;
/**
 * Bytes read at a time where the platform lets its reader say so: workerd gives 4096 else, which costs 10 times as
 * much.
 */
const READ_BYTES = 1 << 17;

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
  const announced = announcedLength(request) ?? 0;
  if (announced > maxBytes) throw tooLarge();
  if (request.body === null) return new Uint8Array(0);
  const source = new Chunks(request.body);
  const stop = () => source.cancel(signal.reason);
  signal.addEventListener("abort", stop);
  let bytes = new Uint8Array(gzip ? 0 : announced);
  let length = 0;
  try {
    if (signal.aborted) stop();
    const chunks = gzip ? new Chunks(unpacked(source, maxBytes, tooLarge)) : source;
    for (;;) {
      const chunk = await chunks.next();
      if (signal.aborted) throw signal.reason;
      if (chunk === undefined) return length === bytes.length ? bytes : bytes.subarray(0, length);
      if (chunk.length > maxBytes - length) throw tooLarge();
      if (chunk.length > bytes.length - length) {
        // All in one array, since chunks may have a byte each.
        const more = new Uint8Array(Math.min(maxBytes, Math.max(2 * bytes.length, length + chunk.length)));
        more.set(bytes.subarray(0, length));
        bytes = more;
      }
      bytes.set(chunk, length);
      length += chunk.length;
    }
  } catch (error) {
    stop();
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

/** The chunks of a stream, as large as can be had. */
class Chunks {
  readonly #byob: ReadableStreamBYOBReader | undefined;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #buffer = new ArrayBuffer(0);

  constructor(stream: ReadableStream<Uint8Array>) {
    try {
      this.#byob = stream.getReader({ mode: "byob" });
    } catch {
      this.#reader = stream.getReader(); // not a stream of bytes
    }
  }

  /** The next chunk, which holds until the next call; `undefined` at the end, and when cancelled. */
  async next(): Promise<Uint8Array | undefined> {
    if (this.#byob === undefined) return (await this.#reader!.read()).value;
    if (this.#buffer.byteLength === 0) this.#buffer = new ArrayBuffer(READ_BYTES);
    const { done, value } = await this.#byob.read(new Uint8Array(this.#buffer));
    if (done || value === undefined) return undefined;
    this.#buffer = value.buffer;
    return value;
  }

  /** Lets go of what is under way. */
  cancel(reason: unknown): void {
    void (this.#byob ?? this.#reader!).cancel(reason).catch(() => {});
  }
}

function unpacked(source: Chunks, maxBytes: number, tooLarge: () => HttpProblem): ReadableStream<Uint8Array> {
  let chunk: Uint8Array = new Uint8Array(0);
  let at = 0;
  let total = 0;
  const pieces = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      while (at >= chunk.length) {
        const next = await source.next();
        if (next === undefined) return controller.close();
        total += next.length;
        if (total > maxBytes) throw tooLarge();
        chunk = next;
        at = 0;
      }
      controller.enqueue(chunk.slice(at, at + PIECE) as Uint8Array<ArrayBuffer>);
      at += PIECE;
    },
    cancel: (reason) => source.cancel(reason),
  }, { highWaterMark: 0 });
  return pieces.pipeThrough(new DecompressionStream("gzip")) as ReadableStream<Uint8Array>;
}
