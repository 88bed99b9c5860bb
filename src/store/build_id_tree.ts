// Owns the store over a tree of files named by build ID, as distributions lay out /usr/lib/debug/.build-id.
import { orAborted } from "../base/abort.ts";
import type { ByteSource } from "../base/byte_source.ts";
import { sectionOfFiles } from "./elf_section_range.ts";
import { messageOf } from "./error_text.ts";
import { checkedId, sectionOf } from "./identifiers.ts";
import { type BinaryStore, type StoredFile, StoreError, type StoreItem } from "./store.ts";
import { RangedFile } from "./stored_file.ts";
import { verifiedFile } from "./verified_store.ts";

/**
 * Opens the file at a path; `undefined` if there is none. What it throws becomes a StoreError `unreachable`.
 * A file in memory is {@linkcode byteSource} of its bytes.
 */
export type TreeReader = (
  path: string,
  options: { signal?: AbortSignal | undefined },
) => Promise<ByteSource | undefined> | ByteSource | undefined;

/** Options of {@linkcode buildIdTreeStore}. */
export interface BuildIdTreeOptions {
  /** Directories with a `.build-id` in them, asked in this order. By default `/usr/lib/debug` alone. */
  roots?: readonly string[];
  /** Most bytes of a file that are read as a whole. No limit by default. */
  maxBytes?: number;
}

const SUFFIXES: Record<string, string> = { executable: "", debuginfo: ".debug", gsym: ".gsym" };

/**
 * Files under `.build-id/ab/cdef…`: the program has no suffix, its debug file `.debug`, its GSYM file `.gsym`.
 * Their build IDs are checked as by {@linkcode verifiedStore}; one that is wrong does not keep the next root from
 * being asked.
 *
 * A section comes from the debug file, or from the program where the debug file doesn't have it or not its bytes,
 * as debuginfod does it: as it stands in the file, compressed or not. Of the file only headers and names are read.
 *
 * @param read Opens files; it is asked for nothing but `root/.build-id/hex/hex` with one of the suffixes.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { buildIdTreeStore } from "@bpf/stackmap";
 *
 * const asked: string[] = [];
 * const store = buildIdTreeStore((path) => {
 *   asked.push(path);
 *   return undefined;
 * }, { roots: ["/usr/lib/debug"] });
 * assertEquals(await store.find(Uint8Array.of(0xab, 0xcd), "debuginfo"), undefined);
 * assertEquals(asked, ["/usr/lib/debug/.build-id/ab/cd.debug"]);
 * ```
 */
export function buildIdTreeStore(
  read: TreeReader,
  options: BuildIdTreeOptions = {},
): BinaryStore {
  const { roots = ["/usr/lib/debug"], maxBytes } = options;

  async function open(path: string, signal: AbortSignal | undefined): Promise<StoredFile | undefined> {
    const fail = (error: unknown, stop: AbortSignal | undefined = signal): never => {
      if (stop?.aborted || error instanceof StoreError) throw error;
      throw new StoreError("unreachable", `${path}: ${messageOf(error)}`, { cause: error });
    };
    const opened = Promise.resolve().then(() => read(path, { signal }));
    const source = await orAborted(opened, signal).catch((error) => fail(error));
    if (source === undefined) return undefined;
    const reported: ByteSource = {
      size: source.size,
      read: (offset, length, readOptions) =>
        source.read(offset, length, readOptions).catch((error) => fail(error, readOptions?.signal)),
    };
    return new RangedFile(path, reported, { signal, maxBytes });
  }

  async function inRoot(
    root: string,
    hex: string,
    buildId: Uint8Array,
    item: StoreItem,
    signal: AbortSignal | undefined,
  ): Promise<StoredFile | undefined> {
    const section = sectionOf(item);
    if (section === undefined) {
      const path = `${root}/.build-id/${hex.slice(0, 2)}/${hex.slice(2)}${SUFFIXES[item]}`;
      const file = await open(path, signal);
      return file && await verifiedFile(file, buildId, item);
    }
    return await sectionOfFiles(
      (whole) => inRoot(root, hex, buildId, whole, signal),
      section,
      { signal, maxBytes },
    );
  }

  return {
    async find(buildId, item, { signal } = {}): Promise<StoredFile | undefined> {
      const hex = checkedId(buildId, item);
      // Of one byte there would be no name left in the directory.
      if (hex === undefined || hex.length < 4) return undefined;
      let failed: unknown;
      for (const root of roots) {
        signal?.throwIfAborted();
        try {
          const file = await inRoot(root, hex, buildId, item, signal);
          if (file !== undefined) return file;
        } catch (error) {
          if (signal?.aborted || !(error instanceof StoreError)) throw error;
          failed ??= error;
        }
      }
      if (failed !== undefined) throw failed;
      return undefined;
    },
  };
}
