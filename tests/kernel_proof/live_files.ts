// Owns the files of a case on the disk, and the question which of their pages are in the page cache.
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import type { FileUse } from "./case.ts";
import { type HostileFile, SHORT_PAGES } from "./hostile_file.ts";
import { NR, type Target } from "./target.ts";

const PAGE = 4096;
const PROT_READ = 1;
const MAP_SHARED_FIXED = 0x11;
/** Where files are mapped to ask for their pages, and how many at once. */
const MINCORE_AT = 0x1800_0000;
const MINCORE_PAGES = 512;

/** Writes a file, holes left out. */
export function writeFile(path: string, file: HostileFile): void {
  const fd = openSync(path, "w");
  try {
    for (const [first, count] of file.ranges()) {
      const bytes = file.bytesOf(first, count);
      writeSync(fd, bytes, 0, bytes.length, first * PAGE);
    }
    ftruncateSync(fd, file.size);
  } finally {
    closeSync(fd);
  }
}

// Pages that may be cached: of a short file all, of a sparse one those that are written. Some around them, too:
// what else is cached shows there.
function rangesToAsk(file: HostileFile): [number, number][] {
  const pages = Math.ceil(file.size / PAGE);
  if (pages <= SHORT_PAGES) return [[0, pages + 2]];
  const joined: [number, number][] = [];
  for (const [first, count] of file.ranges()) {
    const from = Math.max(0, first - 1);
    const to = Math.min(first + count + 2, 2 ** 32 - 1);
    const last = joined[joined.length - 1];
    if (last !== undefined && from <= last[0] + last[1]) last[1] = to - last[0];
    else joined.push([from, to - from]);
  }
  return joined;
}

/**
 * Which pages of each file are in the page cache, as mincore() tells of a mapping made for it.
 *
 * @param descriptors The files' descriptors in the target.
 */
export async function residency(
  target: Target,
  files: readonly FileUse[],
  descriptors: readonly number[],
): Promise<Set<number>[]> {
  const asked: { file: number; first: number; pages: number; vector: number }[] = [];
  const batch = target.batch();
  for (let file = 0; file < files.length; file++) {
    for (const [start, count] of rangesToAsk(files[file].file)) {
      for (let first = start; first < start + count; first += MINCORE_PAGES) {
        const pages = Math.min(MINCORE_PAGES, start + count - first);
        const vector = batch.take(pages);
        batch.add(NR.mmap, [
          MINCORE_AT,
          pages * PAGE,
          PROT_READ,
          MAP_SHARED_FIXED,
          descriptors[file],
          first * PAGE,
        ]);
        batch.add(NR.mincore, [MINCORE_AT, pages * PAGE, vector]);
        asked.push({ file, first, pages, vector });
      }
    }
  }
  batch.add(NR.munmap, [MINCORE_AT, MINCORE_PAGES * PAGE]);
  const results = await target.run(batch);
  const resident: Set<number>[] = Array.from({ length: files.length }, () => new Set<number>());
  if (asked.length === 0) return resident;
  const from = asked[0].vector;
  const last = asked[asked.length - 1];
  const vectors = target.read(from, last.vector + last.pages - from);
  asked.forEach(({ file, first, pages, vector }, i) => {
    if (results[2 * i] < 0n || results[2 * i + 1] !== 0n) {
      throw new Error(`mincore of pages ${first} and on: ${results[2 * i]}, ${results[2 * i + 1]}`);
    }
    for (let k = 0; k < pages; k++) if (vectors[vector - from + k] & 1) resident[file].add(first + k);
  });
  return resident;
}
