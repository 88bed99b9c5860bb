// Owns ByteSource: a file that is read by ranges, wherever it lies.

/** A file whose bytes are fetched by ranges: an object in a bucket, a file on disk, bytes in memory. */
export interface ByteSource {
  /** Size of the file in bytes. */
  readonly size: number;
  /**
   * Exactly the bytes from `offset` to `offset + length`, which lie inside the file. They are the caller's.
   *
   * @throws Whatever keeps the bytes from coming; the reason of `signal` once that is aborted.
   */
  read(offset: number, length: number, options?: { signal?: AbortSignal | undefined }): Promise<Uint8Array>;
}

/**
 * Bytes in memory as a {@linkcode ByteSource}.
 *
 * @param bytes Not copied, and must not change.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { byteSource } from "@bpf/stackmap";
 *
 * const source = byteSource(Uint8Array.of(1, 2, 3, 4));
 * assertEquals(await source.read(1, 2), Uint8Array.of(2, 3));
 * ```
 */
export function byteSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read(offset, length, { signal } = {}): Promise<Uint8Array> {
      if (signal?.aborted) return Promise.reject(signal.reason);
      if (!(offset >= 0 && length >= 0 && length <= bytes.length - offset)) {
        return Promise.reject(new RangeError(`bytes ${offset} to ${offset + length} of ${bytes.length}`));
      }
      return Promise.resolve(bytes.slice(offset, offset + length));
    },
  };
}
