// Owns the forms of StoredFile: over a byte source, and over chunks that come once.
import { anySignal } from "../base/abort.ts";
import { type ByteSource, byteSource } from "../base/byte_source.ts";
import { checkSize, ChunkCollector, type ChunkReader, chunksOf, streamOf } from "./chunks.ts";
import { type StoredFile, StoreError } from "./store.ts";

/** Size of the chunks in which a byte source is streamed. */
const CHUNK_BYTES = 256 << 10;

/** Options of {@linkcode RangedFile}. */
export interface RangedFileOptions {
  /** Ends reading. */
  signal?: AbortSignal | undefined;
  /** Most bytes that are read as a whole. */
  maxBytes?: number | undefined;
  /** Chunks from the file's start to its end, where that takes less than reading range after range. */
  open?: (signal: AbortSignal) => ChunkReader;
}

/** A file that can be read by ranges, as often as one likes. */
export class RangedFile implements StoredFile {
  readonly name: string;
  readonly size: number;
  readonly source: ByteSource;
  readonly #signal: AbortSignal | undefined;
  readonly #maxBytes: number;
  readonly #open: ((signal: AbortSignal) => ChunkReader) | undefined;
  #under = new AbortController();

  constructor(name: string, source: ByteSource, { signal, maxBytes = Infinity, open }: RangedFileOptions = {}) {
    this.name = name;
    this.size = source.size;
    this.#signal = signal;
    this.#maxBytes = maxBytes;
    this.#open = open;
    this.source = {
      size: source.size,
      read: (offset, length, options) =>
        source.read(offset, length, { signal: anySignal(this.#signal, this.#under.signal, options?.signal) }),
    };
  }

  head(length: number): Promise<Uint8Array> {
    return this.source.read(0, Math.min(length, this.size));
  }

  async bytes({ maxBytes = Infinity }: { maxBytes?: number } = {}): Promise<Uint8Array> {
    checkSize(this.name, this.size, Math.min(maxBytes, this.#maxBytes));
    return await this.source.read(0, this.size);
  }

  stream(): ReadableStream<Uint8Array> {
    return streamOf(this.#chunks());
  }

  #chunks(): ChunkReader {
    const { size, source } = this;
    let at = 0;
    let opened: ChunkReader | undefined;
    return {
      read: async (): Promise<Uint8Array | undefined> => {
        checkSize(this.name, size, this.#maxBytes);
        if (this.#open !== undefined) {
          opened ??= this.#open(anySignal(this.#signal, this.#under.signal)!);
          return await opened.read();
        }
        if (at >= size) return undefined;
        const from = at;
        at = Math.min(size, at + CHUNK_BYTES);
        return await source.read(from, at - from);
      },
      cancel: async (): Promise<void> => {
        at = size;
        await opened?.cancel();
      },
    };
  }

  /** What is under way fails; what is read later does not. */
  cancel(): Promise<void> {
    this.#under.abort(new DOMException("the file was cancelled", "AbortError"));
    this.#under = new AbortController();
    return Promise.resolve();
  }
}

/**
 * A {@linkcode StoredFile} of what is read by ranges: for stores of one's own.
 *
 * @param name For reports.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type BinaryStore, byteSource, storedFile } from "@bpf/stackmap";
 *
 * const objects = new Map([["gsym", Uint8Array.of(1, 2, 3)]]); // of one program
 * const store: BinaryStore = {
 *   find(_buildId, item) {
 *     const bytes = objects.get(item);
 *     return Promise.resolve(bytes === undefined ? undefined : storedFile(`memory:${item}`, byteSource(bytes)));
 *   },
 * };
 * assertEquals((await store.find(Uint8Array.of(0xab, 0xcd), "gsym"))?.size, 3);
 * ```
 */
export function storedFile(name: string, source: ByteSource): StoredFile {
  return new RangedFile(name, source);
}

/** Bytes in memory as a stored file. They are shared with whoever asks and must not change. */
export class MemoryFile extends RangedFile {
  readonly #bytes: Uint8Array;

  constructor(name: string, bytes: Uint8Array, options?: RangedFileOptions) {
    super(name, byteSource(bytes), options);
    this.#bytes = bytes;
  }

  override bytes({ maxBytes = Infinity }: { maxBytes?: number } = {}): Promise<Uint8Array> {
    try {
      checkSize(this.name, this.size, maxBytes);
    } catch (error) {
      return Promise.reject(error);
    }
    return Promise.resolve(this.#bytes);
  }
}

/** A file that comes once, in chunks. */
export class StreamedFile implements StoredFile {
  readonly name: string;
  readonly size: number | undefined;
  readonly source = undefined;
  readonly #chunks: ChunkReader;
  /** What `peek` read, until it is read again. */
  #first: Uint8Array | undefined;
  /** Bytes that came. */
  #length = 0;
  #taken = false;

  constructor(name: string, size: number | undefined, chunks: ChunkReader) {
    this.name = name;
    this.size = size;
    this.#chunks = chunks;
  }

  /** The first `length` bytes, fewer of a shorter file, without taking them from whoever reads. */
  async peek(length: number): Promise<Uint8Array> {
    this.#first = await this.#collect(length);
    return this.#first.subarray(0, length);
  }

  /** At least `length` bytes, if there are so many. */
  async #collect(length: number): Promise<Uint8Array> {
    const collector = new ChunkCollector(Math.min(this.size ?? length, length));
    for (;;) {
      if (collector.length >= length && length !== Infinity) return collector.whole();
      const chunk = await this.#next();
      if (chunk === undefined) return collector.whole();
      collector.append(chunk);
    }
  }

  async #next(): Promise<Uint8Array | undefined> {
    const first = this.#first;
    this.#first = undefined;
    if (first !== undefined) return first;
    const chunk = await this.#chunks.read();
    this.#length += chunk?.length ?? 0;
    const { name, size = this.#length } = this;
    if (chunk === undefined && this.#length < size) {
      throw new StoreError("cut-short", `${name}: ${this.#length} of ${size} bytes came`);
    }
    if (this.#length > size) {
      await this.cancel();
      throw new StoreError("too-large", `${name}: more than the ${size} bytes that were announced`);
    }
    return chunk;
  }

  #take(): void {
    if (this.#taken) throw new TypeError(`${this.name} has been read already`);
    this.#taken = true;
  }

  async head(length: number): Promise<Uint8Array> {
    this.#take();
    try {
      return (await this.#collect(length)).slice(0, length);
    } finally {
      await this.cancel();
    }
  }

  async bytes({ maxBytes = Infinity }: { maxBytes?: number } = {}): Promise<Uint8Array> {
    this.#take();
    try {
      checkSize(this.name, this.size ?? 0, maxBytes);
      const collector = new ChunkCollector(this.size);
      for (let chunk = await this.#next(); chunk !== undefined; chunk = await this.#next()) {
        collector.append(chunk);
        if (collector.length > maxBytes) {
          throw new StoreError("too-large", `${this.name}: more than the ${maxBytes} bytes that are allowed`);
        }
      }
      return collector.whole();
    } catch (error) {
      await this.cancel();
      throw error;
    }
  }

  stream(): ReadableStream<Uint8Array> {
    this.#take();
    return streamOf({ read: () => this.#next(), cancel: () => this.cancel() });
  }

  cancel(): Promise<void> {
    this.#taken = true;
    this.#first = undefined;
    return this.#chunks.cancel();
  }
}

/** A file whose start can be read without taking it from whoever reads it afterwards. */
export interface PeekableFile extends StoredFile {
  peek(length: number): Promise<Uint8Array>;
}

/** Whether a file is a {@linkcode PeekableFile}. */
export function canPeek(file: StoredFile): file is PeekableFile {
  return "peek" in file;
}

/** The stream of a file of any kind, begun when it is first read. */
export function streamChunks(file: StoredFile): ChunkReader {
  let chunks: ChunkReader | undefined;
  return {
    read: () => (chunks ??= chunksOf(file.stream())).read(),
    async cancel(): Promise<void> {
      await chunks?.cancel();
      await file.cancel();
    },
  };
}
