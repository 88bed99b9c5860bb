// Owns bytes that come in chunks: what delivers them, what collects them, and streams of them.
import { StoreError } from "./store.ts";

/** Delivers the chunks of one file in order, at the pace of whoever reads. */
export interface ChunkReader {
  /** The next chunk, which may be empty; `undefined` at the end. Not called again before it has answered. */
  read(): Promise<Uint8Array | undefined>;
  /** Lets go of what is under way. Can be called at any time, more than once; never rejects. */
  cancel(): Promise<void>;
}

/** What is allocated at once on the word of a header. */
const TRUSTED_BYTES = 8 << 20;
const FIRST_BYTES = 64 << 10;

/** Collects chunks in one buffer, which grows with what came, never with what was announced. */
export class ChunkCollector {
  /** Bytes collected. */
  length = 0;
  #bytes: Uint8Array<ArrayBuffer>;
  readonly #size: number;

  /** @param size What is announced; `undefined` if nothing is. */
  constructor(size: number | undefined) {
    this.#size = size ?? 0;
    this.#bytes = new Uint8Array(Math.min(size ?? FIRST_BYTES, TRUSTED_BYTES));
  }

  append(chunk: Uint8Array): void {
    const end = this.length + chunk.length;
    if (end > this.#bytes.length) {
      const doubled = Math.max(end, 2 * this.#bytes.length);
      const grown = new Uint8Array(end <= this.#size ? Math.min(doubled, this.#size) : doubled);
      grown.set(this.#bytes.subarray(0, this.length));
      this.#bytes = grown;
    }
    this.#bytes.set(chunk, this.length);
    this.length = end;
  }

  /** A copy of a part, as much of it as there is. */
  slice(from: number, to: number): Uint8Array {
    return this.#bytes.slice(from, Math.min(to, this.length));
  }

  /** All bytes; without a copy where the buffer is full, as it is when what was announced came. */
  whole(): Uint8Array {
    if (this.length < this.#bytes.length) this.#bytes = this.#bytes.slice(0, this.length);
    return this.#bytes;
  }
}

/** A stream's chunks. Its reader is given back at the end, at an error and at `cancel()`. */
export function chunksOf(stream: ReadableStream<Uint8Array>): ChunkReader {
  const reader = stream.getReader();
  let over = false;
  const release = (): void => {
    over = true;
    reader.releaseLock();
  };
  return {
    async read(): Promise<Uint8Array | undefined> {
      if (over) return undefined;
      try {
        const { value } = await reader.read();
        if (value === undefined && !over) release();
        return value;
      } catch (error) {
        if (!over) release();
        throw error;
      }
    },
    async cancel(): Promise<void> {
      if (over) return;
      over = true;
      await reader.cancel().catch(() => {});
      reader.releaseLock();
    },
  };
}

/** Chunks as a stream that reads ahead nothing. */
export function streamOf(chunks: ChunkReader): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller): Promise<void> {
      try {
        let chunk = await chunks.read();
        while (chunk !== undefined && chunk.length === 0) chunk = await chunks.read();
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      } catch (error) {
        controller.error(error);
      }
    },
    cancel: () => chunks.cancel(),
  }, { highWaterMark: 0 });
}

/** Throws unless `bytes` are within `most`. */
export function checkSize(name: string, bytes: number, most: number): void {
  if (bytes > most) throw new StoreError("too-large", `${name}: ${bytes} bytes, ${most} are allowed`);
}
