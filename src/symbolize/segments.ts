// Owns the way from a file offset to a virtual address: PT_LOAD segments, page rounding, debug files' lost offsets.
import type { Phdr } from "../elf/headers.ts";
import { PF_W, PF_X, PT_LOAD } from "../uapi/elf.ts";

/**
 * Most PT_LOAD segments looked at: as many program headers as Linux loads (64 KiB of them). Bounds the time of a
 * lookup in a hostile file.
 */
export const MAX_SEGMENTS = 1170;

/** Page sizes that Linux maps files with, in bytes. */
export type PageSize = 4096 | 16384 | 65536;

/**
 * The PT_LOAD segments of one file, as columns that lookups run over.
 *
 * A valid stack-map frame has a **file offset** (`(vm_pgoff << PAGE_SHIFT) + ip - vm_start`); symbols have virtual
 * addresses. The segment that holds the offset says how far they are apart: `p_vaddr - p_offset`.
 */
export class SegmentTable {
  /** Number of segments. */
  readonly length: number;
  /** Whether `p_offset` was worked out because a debug file lacks it; see {@linkcode SegmentTable.fromPhdrs}. */
  readonly reconstructed: boolean;
  /** `p_vaddr`, `p_memsz` and `PF_X` of each segment in order: alike in an executable and its debug file. */
  readonly layout: string;
  // File ranges as numbers, exact below 2^53: the segment's own bytes, then rounded out to whole pages.
  readonly #start: Float64Array;
  readonly #end: Float64Array;
  readonly #pageStart: Float64Array;
  readonly #pageEnd: Float64Array;
  readonly #executable: Uint8Array;
  // p_vaddr - p_offset, modulo 2^64.
  readonly #biasHi: Uint32Array;
  readonly #biasLo: Uint32Array;
  readonly #anyExecutable: boolean;

  private constructor(
    loads: readonly Phdr[],
    offsets: readonly bigint[],
    reconstructed: boolean,
    pageSize: number,
  ) {
    const n = loads.length;
    this.length = n;
    this.reconstructed = reconstructed;
    this.layout = loads.map((p) => `${p.p_vaddr.toString(16)}+${p.p_memsz.toString(16)}${p.p_flags & PF_X}`).join();
    this.#start = new Float64Array(n);
    this.#end = new Float64Array(n);
    this.#pageStart = new Float64Array(n);
    this.#pageEnd = new Float64Array(n);
    this.#executable = new Uint8Array(n);
    this.#biasHi = new Uint32Array(n);
    this.#biasLo = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      const { p_vaddr, p_flags, p_filesz, p_memsz } = loads[i];
      const offset = offsets[i];
      const size = reconstructed ? p_memsz : p_filesz;
      // An empty or impossible segment keeps the empty range 0 to 0.
      if (size > 0n && offset + size <= BigInt(Number.MAX_SAFE_INTEGER - pageSize)) {
        this.#start[i] = Number(offset);
        this.#end[i] = Number(offset + size);
        this.#pageStart[i] = Math.floor(this.#start[i] / pageSize) * pageSize;
        this.#pageEnd[i] = Math.ceil(this.#end[i] / pageSize) * pageSize;
      }
      this.#executable[i] = p_flags & PF_X;
      const bias = BigInt.asUintN(64, p_vaddr - offset);
      this.#biasHi[i] = Number(bias >> 32n);
      this.#biasLo[i] = Number(bias & 0xffff_ffffn);
    }
    this.#anyExecutable = this.#executable.includes(PF_X);
  }

  /**
   * The table of a file with these program headers.
   *
   * `objcopy --only-keep-debug` zeroes `p_offset` and `p_filesz` of the segments whose contents it drops, and cuts
   * the first one behind its notes. Such a file is known by executable memory without file bytes: no linker puts
   * zero-filled memory into a segment that can't be written. Then each `p_offset` is rebuilt as the smallest value
   * that is not below the previous segment's end (offset plus `p_memsz`) and congruent to `p_vaddr` modulo
   * `p_align`, which is how linkers lay files out; the table is marked `reconstructed`.
   *
   * @param pageSize Page size of the machine that mapped the file, in bytes.
   */
  static fromPhdrs(phdrs: readonly Phdr[], pageSize: PageSize = 4096): SegmentTable {
    const loads = phdrs.filter((phdr) => phdr.p_type === PT_LOAD).slice(0, MAX_SEGMENTS);
    const isDropped = ({ p_flags, p_filesz, p_memsz }: Phdr): boolean =>
      (p_flags & PF_X) !== 0 && p_filesz < p_memsz && (p_filesz === 0n || (p_flags & PF_W) === 0);
    if (!loads.some(isDropped)) return new SegmentTable(loads, loads.map((phdr) => phdr.p_offset), false, pageSize);
    let end = 0n;
    const offsets = loads.map(({ p_vaddr, p_memsz, p_align }) => {
      const align = p_align > 1n ? p_align : 1n;
      const offset = end + (((p_vaddr - end) % align) + align) % align;
      end = offset + p_memsz;
      return offset;
    });
    return new SegmentTable(loads, offsets, true, pageSize);
  }

  /**
   * The segment that maps a file offset, or -1. The offset's own bytes win over bytes that a segment maps only
   * because mappings are whole pages; among either, an executable segment wins; then the first.
   *
   * @param offsetHi Upper 32 bits of the file offset. @param offsetLo Lower 32 bits.
   */
  find(offsetHi: number, offsetLo: number): number {
    const offset = (offsetHi >>> 0) * 0x1_0000_0000 + (offsetLo >>> 0);
    const start = this.#start;
    const end = this.#end;
    const executable = this.#executable;
    let other = -1;
    for (let i = 0; i < start.length; i++) {
      if (offset >= start[i] && offset < end[i]) {
        if (executable[i] !== 0) return i;
        if (other < 0) other = i;
      }
    }
    return other >= 0 ? other : this.#findInPages(offset);
  }

  #findInPages(offset: number): number {
    let other = -1;
    for (let i = 0; i < this.#pageStart.length; i++) {
      if (offset >= this.#pageStart[i] && offset < this.#pageEnd[i]) {
        if (this.#executable[i] !== 0) return i;
        if (other < 0) other = i;
      }
    }
    return other;
  }

  /** Whether segment `index` is executable; true for all where none says so, as in some hand-made files. */
  isExecutable(index: number): boolean {
    return this.#executable[index] !== 0 || !this.#anyExecutable;
  }

  /** Lower 32 bits of the virtual address of a file offset in segment `index`. */
  addressLo(index: number, offsetLo: number): number {
    return (offsetLo + this.#biasLo[index]) >>> 0;
  }

  /** Upper 32 bits of the virtual address of a file offset in segment `index`. */
  addressHi(index: number, offsetHi: number, offsetLo: number): number {
    const carry = (offsetLo >>> 0) + this.#biasLo[index] > 0xffff_ffff ? 1 : 0;
    return (offsetHi + this.#biasHi[index] + carry) >>> 0;
  }
}
