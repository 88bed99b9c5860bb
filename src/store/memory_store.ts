// Owns the store of files that are in memory.
import { checkedId } from "./identifiers.ts";
import type { BinaryStore, StoredFile, StoreItem } from "./store.ts";
import { MemoryFile } from "./stored_file.ts";

/** One file of a {@linkcode MemoryStore}. */
export interface MemoryStoreFile {
  /** As in the file, not padded. */
  buildId: Uint8Array;
  /** What of the binary it is. */
  item: StoreItem;
  /** Not copied, and must not change. */
  bytes: Uint8Array;
  /** For reports; by default `memory:` with build ID and item. */
  name?: string;
}

/** What {@linkcode memoryStore} makes. */
export interface MemoryStore extends BinaryStore {
  /** Adds a file, or replaces the one of the same build ID and item. */
  add(file: MemoryStoreFile): void;
}

/**
 * Files in memory. They are not looked into: {@linkcode verifiedStore} around it does that.
 *
 * @throws {RangeError} If a build ID is empty or has more than 32 bytes.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryStore } from "@bpf/stackmap";
 *
 * const buildId = Uint8Array.of(0xab, 0xcd);
 * const store = memoryStore([{ buildId, item: "section/.text", bytes: Uint8Array.of(0x90, 0xc3) }]);
 * const file = await store.find(buildId, "section/.text");
 * assertEquals(file?.size, 2);
 * assertEquals(await file?.bytes(), Uint8Array.of(0x90, 0xc3));
 * ```
 */
export function memoryStore(files: Iterable<MemoryStoreFile> = []): MemoryStore {
  const byKey = new Map<string, { name: string; bytes: Uint8Array }>();
  const store: MemoryStore = {
    add({ buildId, item, bytes, name }): void {
      const hex = checkedId(buildId, item);
      if (hex === undefined) throw new RangeError(`a build ID of ${buildId.length} bytes; 32 are the most`);
      byKey.set(`${hex}/${item}`, { name: name ?? `memory:${hex}/${item}`, bytes });
    },
    // deno-lint-ignore require-await
    async find(buildId, item, { signal } = {}): Promise<StoredFile | undefined> {
      const hex = checkedId(buildId, item);
      signal?.throwIfAborted();
      const found = byKey.get(`${hex}/${item}`);
      return found && new MemoryFile(found.name, found.bytes, { signal });
    },
  };
  for (const file of files) store.add(file);
  return store;
}
