// Owns the cache in front of a store: whole files in memory, within a limit, and in the platform's cache behind it.
import { checkLimits } from "../base/limits.ts";
import { chunksOf } from "./chunks.ts";
import { contentLength } from "./http_body.ts";
import { checkedId, itemPath } from "./identifiers.ts";
import { MissingFiles } from "./missing_files.ts";
import { SharedFiles } from "./shared_files.ts";
import { type BinaryStore, type StoredFile, StoreError, type StoreItem } from "./store.ts";
import { MemoryFile, StreamedFile } from "./stored_file.ts";
import { verifiedFile } from "./verified_store.ts";

/** Of the platform's `Cache` (the one of service workers, of Workers and Deno) what is called here. */
export interface CacheLike {
  /** What is kept under a URL. */
  match(request: string): Promise<Response | undefined>;
  /** Keeps an answer. */
  put(request: string, response: Response): Promise<void>;
  /** Forgets it; whether there was one. */
  delete(request: string): Promise<boolean>;
}

/** Options of {@linkcode cachedStore}. Times are in milliseconds. */
export interface CachedStoreOptions {
  /** Most bytes of all files in memory together. By default 32 MiB. */
  maxBytes?: number;
  /** Most bytes of one file that is kept; larger ones pass through. By default a quarter of `maxBytes`. */
  maxFileBytes?: number;
  /** Most files in memory. By default 1024. */
  maxEntries?: number;
  /** How long a file is kept. By default without end: what a build ID names does not change. */
  ttlMs?: number;
  /** How long it is remembered that the store has no such file. By default 60,000. */
  negativeTtlMs?: number;
  /** A second level, such as `await caches.open("binaries")`. What it fails at is passed over. */
  cache?: CacheLike;
  /** Start of the URLs that name files there. By default `https://stackmap.invalid/`. */
  cacheUrl?: string;
}

/** Counts since the store was made, but for the last two. */
export interface CacheStats {
  /** Answered from memory, */
  hits: number;
  /** from the second level, */
  cacheHits: number;
  /** from the memory of files that are not there, */
  negativeHits: number;
  /** by joining one who asked before, */
  shared: number;
  /** and by asking the store. */
  misses: number;
  /** Files that had to make room. */
  evictions: number;
  /** Files in memory now. */
  entries: number;
  /** Their bytes. */
  bytes: number;
}

/** What {@linkcode cachedStore} makes. */
export interface CachedStore extends BinaryStore {
  /** A copy of the counts. */
  readonly stats: CacheStats;
  /** Forgets what is in memory. */
  clear(): void;
}

interface Entry {
  name: string;
  bytes: Uint8Array;
  until: number;
}

/**
 * A cache in front of a store. It keeps files that were read as a whole, by `bytes()`, the least recently asked for
 * making room; heads, streams and ranges pass through. Who asks for what is under way joins: the store is asked
 * once, all bytes are read once, and who gives up leaves the others theirs. On Workers, where what is under way ends
 * with the request that began it, nobody joins. Errors are never kept.
 *
 * The bytes are those in the cache, the same array for all who ask: they must not be changed.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { cachedStore, memoryStore } from "@bpf/stackmap";
 *
 * const buildId = Uint8Array.of(0xab, 0xcd);
 * const store = cachedStore(memoryStore([{ buildId, item: "section/.text", bytes: new Uint8Array(9) }]));
 * for (let i = 0; i < 3; i++) await (await store.find(buildId, "section/.text"))?.bytes();
 * assertEquals([store.stats.misses, store.stats.hits, store.stats.bytes], [1, 2, 9]);
 * ```
 */
export function cachedStore(store: BinaryStore, options: CachedStoreOptions = {}): CachedStore {
  const { maxBytes = 32 << 20, maxEntries = 1024, ttlMs = Infinity, negativeTtlMs = 60_000, cache } = options;
  const { maxFileBytes = maxBytes / 4, cacheUrl = "https://stackmap.invalid/" } = options;
  checkLimits({ maxBytes, maxEntries, maxFileBytes, ttlMs });
  const counts = { hits: 0, cacheHits: 0, negativeHits: 0, shared: 0, misses: 0, evictions: 0 };
  /** The least recently asked for first. */
  const entries = new Map<string, Entry>();
  const missing = new MissingFiles(negativeTtlMs);
  const shared = new SharedFiles();
  let held = 0;

  function drop(key: string): void {
    held -= entries.get(key)?.bytes.length ?? 0;
    entries.delete(key);
  }

  function lookUp(key: string): Entry | undefined {
    const entry = entries.get(key);
    if (entry === undefined) return undefined;
    if (Date.now() >= entry.until) return void drop(key);
    entries.delete(key);
    entries.set(key, entry);
    return entry;
  }

  function keep(key: string, name: string, bytes: Uint8Array): void {
    // Not more than the bytes: an array may be a part of something larger.
    const own = bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice();
    entries.set(key, { name, bytes: own, until: Date.now() + ttlMs });
    held += own.length;
    while (held > maxBytes || entries.size > maxEntries) {
      drop(entries.keys().next().value!);
      counts.evictions++;
    }
  }

  /** The file in the second level, checked again: others may write there as well. */
  async function fromCache(url: string, buildId: Uint8Array, item: StoreItem): Promise<StoredFile | undefined> {
    try {
      const response = await cache!.match(url);
      if (!response?.ok || response.body === null) return undefined;
      const file = new StreamedFile(url, contentLength(response.headers), chunksOf(response.body));
      return await verifiedFile(file, buildId, item);
    } catch (error) {
      if (error instanceof StoreError) await cache!.delete(url).catch(() => false);
      return undefined;
    }
  }

  async function toCache(url: string, bytes: Uint8Array): Promise<void> {
    const seconds = Math.min(ttlMs / 1000, 31_536_000);
    const headers = { "content-length": `${bytes.length}`, "cache-control": `max-age=${Math.floor(seconds)}` };
    try {
      await cache!.put(url, new Response(bytes.slice(), { headers }));
    } catch { // the answer does not depend on it
    }
  }

  return {
    get stats(): CacheStats {
      return { ...counts, entries: entries.size, bytes: held };
    },
    clear(): void {
      entries.clear();
      missing.clear();
      held = 0;
    },
    async find(buildId, item, { signal } = {}): Promise<StoredFile | undefined> {
      const hex = checkedId(buildId, item);
      if (hex === undefined) return undefined;
      signal?.throwIfAborted();
      const key = `${hex}/${item}`;
      const entry = lookUp(key);
      if (entry !== undefined) {
        counts.hits++;
        return new MemoryFile(entry.name, entry.bytes, { signal });
      }
      if (missing.has(key)) return void counts.negativeHits++;
      if (shared.has(key)) counts.shared++;
      const url = `${cacheUrl}${hex}/${itemPath(item)}`;
      return await shared.find(key, signal, async (sharedSignal) => {
        const cached = cache === undefined ? undefined : await fromCache(url, buildId, item);
        if (cached !== undefined) {
          counts.cacheHits++;
          return cached;
        }
        counts.misses++;
        const file = await store.find(buildId, item, { signal: sharedSignal });
        if (file === undefined) missing.add(key);
        return file;
      }, async (name, bytes) => {
        if (entries.has(key) || bytes.length > Math.min(maxFileBytes, maxBytes)) return;
        keep(key, name, bytes);
        if (cache !== undefined && name !== url) await toCache(url, bytes);
      });
    },
  };
}
