// Owns the VMA table of one process and find_vma() over it.
import { isImmutable, type MappedFile, PAGE_SIZE } from "./mapped_file.ts";
import { parseProcMaps, type ProcMapsEntry } from "./proc_maps.ts";

/** One mapping, as `struct vm_area_struct` describes it. */
export interface Vma {
  /** `vm_start`: first address, a multiple of 4096. */
  start: bigint;
  /** `vm_end`: address after the last, a multiple of 4096. */
  end: bigint;
  /** `vm_pgoff`: offset into the file in pages of 4096 bytes; unsigned 64 bits. */
  pgoff: bigint;
  /** `vm_file`; absent for anonymous memory, the heap, stacks and the vdso. */
  file?: MappedFile;
}

const PAGE_SHIFT = 12n;
const U64_END = 1n << 64n;

/**
 * The mappings of one process (`struct mm_struct`), fixed once made.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { AddressSpace } from "@bpf/stackmap";
 *
 * const space = new AddressSpace([{ start: 0x400000n, end: 0x402000n, pgoff: 0n }]);
 * assertEquals(space.findVma(0x1000n)?.start, 0x400000n); // the next one above, as find_vma() answers
 * assertEquals(space.findVma(0x402000n), undefined);
 * ```
 */
export class AddressSpace {
  /** The mappings in address order. */
  readonly vmas: readonly Readonly<Vma>[];

  // Page numbers have at most 52 bits, which a double holds exactly: one compare where addresses would take two.
  /** First page of each mapping. @internal */
  readonly startPage: Float64Array;
  /** Page after the last of each mapping. @internal */
  readonly endPage: Float64Array;
  /** Low and high word of `(vm_pgoff << PAGE_SHIFT) - vm_start`, modulo 2^64. @internal */
  readonly biasLo: Int32Array;
  /** High word of the bias. @internal */
  readonly biasHi: Int32Array;
  /** 1 where what the file holds can't change. @internal */
  readonly immutable: Uint8Array;

  /**
   * An address space of these mappings.
   *
   * @param vmas In any order.
   * @throws {RangeError} If a mapping is empty, not page-aligned, above 2^64, or overlaps another.
   */
  constructor(vmas: Iterable<Vma>) {
    const sorted = [...vmas].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
    const count = sorted.length;
    this.vmas = sorted;
    this.startPage = new Float64Array(count);
    this.endPage = new Float64Array(count);
    this.biasLo = new Int32Array(count);
    this.biasHi = new Int32Array(count);
    this.immutable = new Uint8Array(count);
    let previousEnd = 0n;
    for (let i = 0; i < count; i++) {
      const { start, end, pgoff, file } = sorted[i];
      const name = `mapping ${start.toString(16)}-${end.toString(16)}`;
      if (start < 0n || start >= end || end > U64_END) throw new RangeError(`${name} is not a range of addresses`);
      if ((start | end) & 0xfffn) throw new RangeError(`${name} is not aligned to pages of ${PAGE_SIZE} bytes`);
      if (pgoff !== BigInt.asUintN(64, pgoff)) throw new RangeError(`${name}: pgoff ${pgoff} is not 64 bits`);
      if (start < previousEnd) throw new RangeError(`${name} overlaps the one before it`);
      previousEnd = end;
      const bias = BigInt.asUintN(64, (pgoff << PAGE_SHIFT) - start);
      this.startPage[i] = Number(start >> PAGE_SHIFT);
      this.endPage[i] = Number(end >> PAGE_SHIFT);
      this.biasLo[i] = Number(BigInt.asIntN(32, bias));
      this.biasHi[i] = Number(BigInt.asIntN(32, bias >> 32n));
      this.immutable[i] = file === undefined || isImmutable(file) ? 1 : 0;
    }
  }

  /**
   * The address space that a `/proc/PID/maps` text shows. `[vsyscall]` is left out: the kernel prints it for every
   * process but it is no VMA (the gate area, `get_gate_vma()`), so `find_vma()` never finds it.
   *
   * @param open Gives the file behind a path (an absolute one; a deleted file's path ends in ` (deleted)`, so that
   * it is not taken for the file that stands there now); called once a file, which path, device and inode make.
   * `undefined` stands for a file of
   * which no page is in the page cache.
   * @throws {FormatError} For text that is not of that form: see {@linkcode parseProcMaps}.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { AddressSpace, mappedFile } from "@bpf/stackmap";
   *
   * const text = "00400000-00401000 r-xp 00000000 fe:00 42 /opt/app\n00600000-00700000 rw-p 00000000 00:00 0 [heap]\n";
   * const space = AddressSpace.fromProcMaps(text, () => mappedFile(new Uint8Array(4096)));
   * assertEquals(space.vmas.map((vma) => vma.file !== undefined), [true, false]);
   * ```
   */
  static fromProcMaps(
    text: string,
    open: (path: string, entry: ProcMapsEntry) => MappedFile | undefined,
  ): AddressSpace {
    const files = new Map<string, MappedFile>();
    const vmas: Vma[] = [];
    for (const entry of parseProcMaps(text)) {
      const { start, end, offset, path, deleted, dev, inode } = entry;
      if (path === "[vsyscall]") continue;
      const vma: Vma = { start, end, pgoff: offset >> PAGE_SHIFT };
      if (path.startsWith("/")) {
        const shown = deleted ? `${path} (deleted)` : path;
        const key = `${dev} ${inode} ${shown}`;
        let file = files.get(key);
        if (file === undefined) {
          file = open(shown, entry) ?? { readPage: () => undefined };
          files.set(key, file);
        }
        vma.file = file;
      }
      vmas.push(vma);
    }
    return new AddressSpace(vmas);
  }

  /**
   * `find_vma()` (mm/mmap.c): the first mapping that ends above `ip`. It need not hold `ip`: for an address in a
   * gap that is the next mapping above.
   */
  findVma(ip: bigint): Readonly<Vma> | undefined {
    return this.vmas[this.findIndex(Number(BigInt.asUintN(64, ip) >> PAGE_SHIFT))];
  }

  /** Index of the first mapping that ends above page number `page`; the number of mappings if none does. @internal */
  findIndex(page: number): number {
    const ends = this.endPage;
    let low = 0;
    for (let rest = ends.length; rest > 0;) {
      const half = rest >>> 1;
      if (ends[low + half] <= page) {
        low += half + 1;
        rest -= half + 1;
      } else {
        rest = half;
      }
    }
    return low;
  }
}
