// Owns the body of an HTTP answer: read within limits of time and size, and checked against what was announced.
import { MOST_TIMER_MS, orAborted } from "../base/abort.ts";
import { type ChunkReader, chunksOf } from "./chunks.ts";
import { StoreError } from "./store.ts";

/** Limits on a body; see HttpOptions. */
export interface BodyLimits {
  stallMs?: number | undefined;
  minBytesPerSecond?: number | undefined;
  maxBytes: number;
}

/** The size that the headers announce, of the body as it is after unpacking; `undefined` if they don't. */
export function contentLength(headers: Headers): number | undefined {
  const encoding = headers.get("content-encoding");
  const text = headers.get("content-length");
  if (text === null || !/^\d{1,15}$/.test(text) || (encoding !== null && encoding !== "identity")) return undefined;
  return Number(text);
}

/**
 * The chunks of an answer's body; `undefined` if it has none. Never throws: Bun does where the connection broke between
 * headers and body, and then the first chunk is what fails.
 */
export function bodyOf(response: Response): ChunkReader | undefined {
  try {
    return response.body === null ? undefined : chunksOf(response.body);
  } catch (error) {
    return { read: () => Promise.reject(error), cancel: () => Promise.resolve() };
  }
}

const CANCELLED = "the answer was cancelled";

function cancelledError(): DOMException {
  return new DOMException(CANCELLED, "AbortError");
}

/** A body, read chunk by chunk. The request ends with it, or with the first error. */
export class HttpBody implements ChunkReader {
  readonly #name: string;
  readonly #chunks: ChunkReader | undefined;
  readonly #controller: AbortController;
  readonly #signal: AbortSignal | undefined;
  readonly #announced: number | undefined;
  readonly #stallMs: number;
  readonly #minBytesPerSecond: number;
  readonly #maxBytes: number;
  #length = 0;
  /** Time spent waiting, in milliseconds; what the reader does meanwhile is not the server's fault. */
  #waited = 0;
  #over = false;
  #cancelled = false;
  /** Ends the request when the caller's signal does, also while nobody reads. */
  readonly #stop: () => void;

  constructor(
    name: string,
    response: Response,
    controller: AbortController,
    signal: AbortSignal | undefined,
    { stallMs = 10_000, minBytesPerSecond = 1024, maxBytes }: BodyLimits,
  ) {
    this.#name = name;
    this.#chunks = bodyOf(response);
    this.#controller = controller;
    this.#signal = signal;
    this.#announced = contentLength(response.headers);
    this.#stallMs = stallMs;
    this.#minBytesPerSecond = minBytesPerSecond;
    this.#maxBytes = maxBytes;
    this.#stop = () => void this.cancel();
    signal?.addEventListener("abort", this.#stop, { once: true });
  }

  async read(): Promise<Uint8Array | undefined> {
    this.#signal?.throwIfAborted();
    if (this.#cancelled) throw cancelledError();
    if (this.#over) return undefined;
    try {
      if ((this.#announced ?? 0) > this.#maxBytes) throw this.#tooLarge();
      const chunk = await this.#next();
      if (this.#cancelled) throw cancelledError(); // else it would look like the end
      if (chunk === undefined) {
        if (this.#length < (this.#announced ?? 0)) throw this.#cutShort();
        this.#end();
        return undefined;
      }
      this.#length += chunk.length;
      if (this.#length > this.#maxBytes) throw this.#tooLarge();
      return chunk;
    } catch (error) {
      await this.cancel();
      if (this.#signal?.aborted) throw this.#signal.reason;
      if (error instanceof StoreError || error instanceof DOMException && error.message === CANCELLED) throw error;
      throw this.#cutShort(error);
    }
  }

  /** The next chunk, unless it takes too long. */
  async #next(): Promise<Uint8Array | undefined> {
    const started = Date.now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stalled = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new StoreError("timeout", `${this.#name}: no byte within ${this.#stallMs} ms`));
      }, Math.min(this.#stallMs, MOST_TIMER_MS));
    });
    try {
      const next = this.#chunks?.read() ?? Promise.resolve(undefined);
      const chunk = await orAborted(Promise.race([next, stalled]), this.#signal);
      this.#waited += Date.now() - started;
      const speed = (this.#length + (chunk?.length ?? 0)) / (this.#waited / 1000);
      if (chunk !== undefined && this.#waited > this.#stallMs && speed < this.#minBytesPerSecond) {
        throw new StoreError("timeout", `${this.#name}: ${Math.round(speed)} bytes a second are too few`);
      }
      return chunk;
    } finally {
      clearTimeout(timer);
    }
  }

  #tooLarge(): StoreError {
    return new StoreError("too-large", `${this.#name}: more than the ${this.#maxBytes} bytes that are allowed`);
  }

  #cutShort(cause?: unknown): StoreError {
    const of = this.#announced === undefined ? "" : ` of ${this.#announced}`;
    return new StoreError("cut-short", `${this.#name}: the body broke off after ${this.#length} bytes${of}`, {
      cause,
    });
  }

  #end(): void {
    this.#over = true;
    this.#signal?.removeEventListener("abort", this.#stop);
  }

  async cancel(): Promise<void> {
    if (this.#over) return;
    this.#cancelled = true;
    this.#end();
    // The stream first: an aborted one rejects reads that are under way, and those are answered for above.
    const cancelled = this.#chunks?.cancel();
    this.#controller.abort(cancelledError());
    await cancelled;
  }
}
