// Owns SharedFiles: one search and one reading for all who ask for the same file at the same time.
import { anySignal, orAborted } from "../base/abort.ts";
import type { ByteSource } from "../base/byte_source.ts";
import { ENDS_WITH_REQUEST } from "../base/platform.ts";
import { checkSize, type ChunkReader, chunksOf, streamOf } from "./chunks.ts";
import { type StoredFile, StoreError } from "./store.ts";
import { canPeek, MemoryFile, RangedFile, streamChunks, StreamedFile } from "./stored_file.ts";

/** Finds a file; the signal ends the search, and reading what it found. */
export type Finder = (signal: AbortSignal) => Promise<StoredFile | undefined>;

/** Is given a file's name and all its bytes. */
export type OnWhole = (name: string, bytes: Uint8Array) => Promise<void> | void;

/** Streams for several of a larger file are opened for each: for one of all, it would have to be in memory. */
const MOST_SHARED = 8 << 20;

/** All bytes of a file, on their way; nobody gets more than the one who began it wanted. */
interface Whole {
  bytes: Promise<Uint8Array>;
  maxBytes: number;
}

/**
 * One search, the file it found, and those who asked for it. Nothing is read before somebody reads: all bytes are
 * read once for everyone, a head is read without taking it from the others, and a stream passes straight through to
 * one who is alone; those of small files are made of all bytes.
 */
class Shared {
  readonly find: Finder;
  readonly search: Promise<StoredFile | undefined>;
  readonly #controller = new AbortController();
  /** Nobody may join any more. */
  readonly close: () => void;
  #askers = 0;
  #file: StoredFile | undefined;
  #whole: Whole | undefined;
  /** Peeks, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(find: Finder, close: () => void) {
    this.find = find;
    this.close = close;
    this.search = this.#search();
    this.search.catch(() => {}); // those who ask hear of it
  }

  async #search(): Promise<StoredFile | undefined> {
    try {
      const file = await this.find(this.#controller.signal);
      if (file === undefined) this.close();
      else {this.#file = file.source !== undefined || canPeek(file) ? file : new StreamedFile(
          file.name,
          file.size,
          streamChunks(file),
        );}
      if (this.#askers === 0) this.#drop();
      return this.#file;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  join(): void {
    this.#askers++;
  }

  leave(): void {
    if (--this.#askers === 0) this.#drop();
  }

  #drop(): void {
    this.close();
    if (this.#file === undefined) this.#controller.abort(new DOMException("nobody asks any more", "AbortError"));
    // Reading by ranges has signals of its own, and may go on.
    else if (this.#file.source === undefined) this.#file.cancel().catch(() => {});
  }

  async head(length: number): Promise<Uint8Array> {
    const file = this.#file!;
    if (this.#whole !== undefined) return (await this.#whole.bytes).slice(0, length);
    if (file.source !== undefined || !canPeek(file)) return await file.head(length);
    const peeked = this.#turn.then(() => file.peek(length));
    this.#turn = peeked.catch(() => this.close());
    return (await peeked).slice(0, length);
  }

  /** The same array for all. */
  async bytes(maxBytes: number): Promise<Uint8Array> {
    if (this.#whole === undefined) {
      const bytes = this.#turn.then(() => this.#file!.bytes({ maxBytes }));
      bytes.catch(() => this.close());
      this.#whole = { bytes, maxBytes };
    }
    const { bytes, maxBytes: least } = this.#whole;
    const all = await bytes.catch(async (error) => {
      if (!(error instanceof StoreError && error.reason === "too-large" && maxBytes > least)) throw error;
      const again = await this.find(this.#controller.signal);
      if (again === undefined) throw error;
      return await again.bytes({ maxBytes });
    });
    checkSize(this.#file!.name, all.length, maxBytes);
    return all;
  }

  /** @param stop Ends what is opened for this one alone. */
  async chunks(stop: AbortSignal): Promise<ChunkReader> {
    if (this.#file instanceof RangedFile) return chunksOf(this.#file.stream());
    if (this.#whole === undefined && this.#askers === 1) {
      this.close();
      await this.#turn;
      return chunksOf(this.#file!.stream());
    }
    if (this.#whole === undefined && (this.#file!.size ?? Infinity) > MOST_SHARED) {
      this.close();
      const own = await this.find(stop);
      if (own !== undefined) return chunksOf(own.stream());
    }
    return chunksOf(new MemoryFile("", await this.bytes(Infinity)).stream());
  }
}

/** Asks once more, for one whom what is shared failed. */
type Again = () => Promise<StoredFile | undefined>;

/** What one who asks gets: counts as asking until it is read, cancelled, or its signal is aborted. */
class SharedHandle implements StoredFile {
  readonly name: string;
  readonly size: number | undefined;
  readonly source: ByteSource | undefined;
  readonly #shared: Shared;
  readonly #signal: AbortSignal | undefined;
  readonly #stop: () => void;
  readonly #onWhole: OnWhole | undefined;
  readonly #joined: boolean;
  #again: Again | undefined;
  #own = new AbortController();
  #left = false;
  #taken = false;

  constructor(
    shared: Shared,
    file: StoredFile,
    signal: AbortSignal | undefined,
    onWhole: OnWhole | undefined,
    again: Again | undefined,
    joined: boolean,
  ) {
    const { name, size, source } = file;
    this.name = name;
    this.size = size;
    this.source = source && {
      size: source.size,
      read: (offset, length, options) =>
        source.read(offset, length, { signal: anySignal(this.#signal, this.#own.signal, options?.signal) }),
    };
    this.#shared = shared;
    this.#signal = signal;
    this.#onWhole = onWhole;
    this.#again = again;
    this.#joined = joined;
    this.#stop = () => void this.cancel();
    signal?.addEventListener("abort", this.#stop, { once: true });
  }

  #leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#signal?.removeEventListener("abort", this.#stop);
    this.#shared.leave();
  }

  #take(): void {
    this.#signal?.throwIfAborted();
    if (this.#taken) throw new TypeError(`${this.name} has been read already`);
    this.#taken = true;
  }

  /**
   * What `use` makes of what is shared, or should that fail through no fault of the server's, of a file of its own.
   */
  async #run<T>(use: () => Promise<T>, useOwn: (file: StoredFile) => Promise<T>): Promise<T> {
    const stop = anySignal(this.#signal, this.#own.signal);
    try {
      return await orAborted(use(), stop);
    } catch (error) {
      const again = this.#again;
      this.#again = undefined;
      if (again === undefined || stop?.aborted || !isForeign(error, this.#joined)) throw error;
      const file = await orAborted(again(), stop);
      if (file === undefined) throw error;
      return await orAborted(useOwn(file), stop);
    }
  }

  async head(length: number): Promise<Uint8Array> {
    this.#take();
    try {
      return await this.#run(() => this.#shared.head(length), (file) => file.head(length));
    } finally {
      this.#leave();
    }
  }

  async bytes({ maxBytes = Infinity }: { maxBytes?: number } = {}): Promise<Uint8Array> {
    this.#take();
    try {
      const bytes = await this.#run(() => this.#shared.bytes(maxBytes), (file) => file.bytes({ maxBytes }));
      await this.#onWhole?.(this.name, bytes);
      return bytes;
    } finally {
      this.#leave();
    }
  }

  stream(): ReadableStream<Uint8Array> {
    this.#take();
    let chunks: ChunkReader | undefined;
    /** The first chunk: after it there is no asking again. */
    const begin = async (from: ChunkReader): Promise<Uint8Array | undefined> => {
      chunks = from;
      return await from.read();
    };
    return streamOf({
      read: async (): Promise<Uint8Array | undefined> => {
        try {
          const chunk = chunks !== undefined
            ? await orAborted(chunks.read(), anySignal(this.#signal, this.#own.signal))
            : await this.#run(
              async () => await begin(await this.#shared.chunks(anySignal(this.#signal, this.#own.signal)!)),
              (file) => begin(streamChunks(file)),
            );
          if (chunk === undefined) this.#leave();
          return chunk;
        } catch (error) {
          await chunks?.cancel();
          this.#leave();
          throw error;
        }
      },
      cancel: async (): Promise<void> => {
        this.#own.abort(new DOMException("the stream was cancelled", "AbortError"));
        await chunks?.cancel();
        this.#leave();
      },
    });
  }

  cancel(): Promise<void> {
    this.#taken = true;
    this.#own.abort(new DOMException("the file was cancelled", "AbortError"));
    this.#own = new AbortController();
    this.#leave();
    return Promise.resolve();
  }
}

/**
 * Whether what is shared failed for a reason of this side: it was ended by those who asked for it before, or, to those
 * who `joined` them, its streams seem to break off.
 */
function isForeign(error: unknown, joined: boolean): boolean {
  return !(error instanceof StoreError) || (joined && error.reason === "cut-short");
}

/** Files that are asked for at this time, by key. Bounded by how many ask. */
export class SharedFiles {
  readonly #shared = new Map<string, Shared>();

  /** Whether somebody asks for this key, so that one who joins causes no search. */
  has(key: string): boolean {
    return this.#shared.has(key);
  }

  /**
   * What `find` gives, or gave to one who asked before and has not read yet.
   *
   * @param onWhole Called each time that someone got all bytes, and waited for.
   */
  async find(
    key: string,
    signal: AbortSignal | undefined,
    find: Finder,
    onWhole?: OnWhole,
  ): Promise<StoredFile | undefined> {
    return await this.#find(key, signal, find, onWhole, true);
  }

  async #find(
    key: string,
    signal: AbortSignal | undefined,
    find: Finder,
    onWhole: OnWhole | undefined,
    mayAskAgain: boolean,
  ): Promise<StoredFile | undefined> {
    signal?.throwIfAborted();
    const joined = this.#shared.get(key);
    const shared = joined ?? this.#begin(key, find);
    shared.join();
    // Those whom it failed ask once more, together.
    const again = !mayAskAgain ? undefined : async () => {
      shared.close();
      return await this.#find(key, signal, find, onWhole, false);
    };
    let file: StoredFile | undefined;
    try {
      file = await orAborted(shared.search, signal);
    } catch (error) {
      shared.leave();
      if (again === undefined || joined === undefined || signal?.aborted || !isForeign(error, true)) throw error;
      return await again();
    }
    if (file !== undefined) return new SharedHandle(shared, file, signal, onWhole, again, joined !== undefined);
    shared.leave();
    return undefined;
  }

  // Where a search would end with the request that began it, on Workers, nobody can join: who did would wait for ever.
  #begin(key: string, find: Finder): Shared {
    const shared: Shared = new Shared(find, () => {
      if (this.#shared.get(key) === shared) this.#shared.delete(key);
    });
    if (!ENDS_WITH_REQUEST) this.#shared.set(key, shared);
    return shared;
  }
}
