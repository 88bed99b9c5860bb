// Owns the page-cache model: what the kernel can read of a mapped file without sleeping.

/** Bytes of a page in this model (x86-64, and arm64 with 4 KiB pages). */
export const PAGE_SIZE = 4096;

/**
 * A file behind a mapping, seen through the page cache.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { buildIdParse, type MappedFile } from "@bpf/stackmap";
 *
 * const evicted: MappedFile = { readPage: () => undefined };
 * assertEquals(buildIdParse(evicted, new Uint8Array(20), "6.18"), -14); // -EFAULT
 * ```
 */
export interface MappedFile {
  /**
   * Page `index` (byte offset `index * 4096`): exactly 4096 bytes, zero past the end of the file, which the caller
   * only reads. `undefined` if the page is not in the page cache or lies past the end of the file.
   */
  readPage(index: number): Uint8Array | undefined;
}

// A class of its own so that the kernel model can tell bytes that never change, whose build ID it may remember,
// from a page cache that answers differently from call to call.
class ResidentFile implements MappedFile {
  readonly #bytes: Uint8Array;
  #tail: Uint8Array | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  readPage(index: number): Uint8Array | undefined {
    const start = index * PAGE_SIZE;
    if (!(index >= 0 && start < this.#bytes.length)) return undefined;
    const end = start + PAGE_SIZE;
    if (end <= this.#bytes.length) return this.#bytes.subarray(start, end);
    if (this.#tail === undefined) {
      this.#tail = new Uint8Array(PAGE_SIZE);
      this.#tail.set(this.#bytes.subarray(start));
    }
    return this.#tail;
  }
}

/**
 * A file with every page in the page cache, the last one zero-filled as the kernel does.
 *
 * @param bytes The whole file, or as much of it as matters; kept, not copied. It must not change afterwards: what
 * was parsed from it is remembered.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { mappedFile } from "@bpf/stackmap";
 *
 * const file = mappedFile(new Uint8Array(5000).fill(1));
 * assertEquals(file.readPage(1)?.length, 4096);
 * assertEquals(file.readPage(1)?.[904], 0);
 * assertEquals(file.readPage(2), undefined);
 * ```
 */
export function mappedFile(bytes: Uint8Array): MappedFile {
  return new ResidentFile(bytes);
}

/** Whether `file` can't answer differently later. */
export function isImmutable(file: MappedFile): boolean {
  return file instanceof ResidentFile;
}
