// Owns build_id_parse(): the build ID as each kernel release finds it, with its limits and mistakes. On purpose it
// shares nothing with src/elf, whose reader is right where a kernel is not.
import { ERRNO } from "../uapi/errno.ts";
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";
import { ELFCLASS32, ELFCLASS64, ELFMAG, ET_DYN, ET_EXEC, NT_GNU_BUILD_ID, PT_NOTE } from "../uapi/elf.ts";
import { viewOf } from "../base/bytes.ts";
import { type MappedFile, PAGE_SIZE } from "../memory/mapped_file.ts";
import { type KernelProfile, kernelProfile, type KernelRelease } from "./profile.ts";

/** Why a build ID was or was not found, for traces and surveys. */
export type BuildIdOutcome =
  | "found"
  | "page-not-cached"
  | "not-elf"
  | "wrong-e_type"
  | "unknown-class"
  | "phdrs-elsewhere"
  | "too-many-phdrs"
  | "phdrs-overflow"
  | "no-note-segment"
  | "note-out-of-range"
  | "no-build-id-note";

const EINVAL = -ERRNO.EINVAL;
const EFAULT = -ERRNO.EFAULT;
const U32 = 0x1_0000_0000;
const SIZEOF_NHDR = 12;
const GNU = 0x474e5500; // "GNU\0", big-endian
const ZERO_PAGE = new DataView(new ArrayBuffer(PAGE_SIZE));

/**
 * Parses one file after another; fields hold the outcome of the last. A class so that a parse allocates at most the
 * view of each page that it reads.
 *
 * All integers are read little-endian, whatever the file says of itself: the kernel reads them in its own order.
 */
export class BuildIdParser {
  /** The last build ID: 20 bytes, zero-padded. */
  readonly id: Uint8Array = new Uint8Array(BPF_BUILD_ID_SIZE);
  /** What came of the last parse. */
  outcome: BuildIdOutcome = "not-elf";
  readonly #profile: KernelProfile;
  readonly #scratch: DataView = new DataView(new ArrayBuffer(64));
  #file: MappedFile | undefined;
  #pageIndex = -1;
  #page: DataView = ZERO_PAGE;
  // Where the bytes of the last fetch are.
  #view: DataView = ZERO_PAGE;
  #at = 0;

  constructor(profile: KernelProfile) {
    this.#profile = profile;
  }

  /** Returns 0 and fills `id`, or returns -errno and leaves `id`. */
  parse(file: MappedFile): number {
    this.#file = file;
    this.#pageIndex = -1;
    const result = this.#parse();
    this.#file = undefined;
    this.#page = this.#view = ZERO_PAGE;
    return result;
  }

  #fail(outcome: BuildIdOutcome, errno: number = EINVAL): number {
    this.outcome = outcome;
    return errno;
  }

  #parse(): number {
    // The first 18 bytes, up to e_type, decide whether anything else is read.
    if (!this.#fetch(0, 18)) return this.#fail("page-not-cached", EFAULT);
    if (this.#view.getUint32(this.#at, false) !== ELFMAG) return this.#fail("not-elf");
    const type = this.#view.getUint16(this.#at + 16, true);
    if (type !== ET_EXEC && type !== ET_DYN) return this.#fail("wrong-e_type");
    const elfClass = this.#view.getUint8(this.#at + 4);
    if (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64) return this.#fail("unknown-class");
    return this.#parsePhdrs(elfClass === ELFCLASS64);
  }

  #parsePhdrs(is64: boolean): number {
    const profile = this.#profile;
    const sizeofEhdr = is64 ? 64 : 52;
    const sizeofPhdr = is64 ? 56 : 32;
    this.#fetch(0, sizeofEhdr); // in the page that is there already
    let phnum = this.#view.getUint16(this.#at + (is64 ? 56 : 44), true);
    let phoff = sizeofEhdr;
    const low = this.#view.getUint32(this.#at + (is64 ? 32 : 28), true);
    const high = is64 ? this.#view.getUint32(this.#at + 36, true) : 0;
    const said = high * U32 + low;
    if (profile.phdrTable === "only-behind-ehdr" && said !== sizeofEhdr) return this.#fail("phdrs-elsewhere");
    if (profile.phdrLimit === "first-page") {
      if (phnum > Math.floor((PAGE_SIZE - sizeofEhdr) / sizeofPhdr)) return this.#fail("too-many-phdrs");
    } else {
      phnum = Math.min(phnum, profile.phdrLimit);
    }
    if (profile.phdrTable === "e_phoff") {
      phoff = said;
      if (is64 && high === U32 - 1 && low + phnum * sizeofPhdr >= U32) return this.#fail("phdrs-overflow");
    }

    let outcome: BuildIdOutcome = "no-note-segment";
    for (let i = 0; i < phnum; i++) {
      // A header that can't be read ends the search; what a note segment answers does not.
      if (!this.#fetch(phoff + i * sizeofPhdr, sizeofPhdr)) return this.#fail("page-not-cached", EFAULT);
      const view = this.#view;
      const at = this.#at;
      if (view.getUint32(at, true) !== PT_NOTE) continue;
      const offsetLo = view.getUint32(at + (is64 ? 8 : 4), true);
      const offsetHi = is64 ? view.getUint32(at + 12, true) : 0;
      // note_size is an Elf32_Word in both classes: the high word of p_filesz is dropped.
      const size = view.getUint32(at + (is64 ? 32 : 16), true);
      outcome = this.#parseNotes(offsetHi * U32 + offsetLo, size);
      this.outcome = outcome;
      if (outcome === "found") return 0;
      if (profile.noteSegments === "first") break;
    }
    return this.#fail(outcome);
  }

  #parseNotes(start: number, size: number): BuildIdOutcome {
    const { fileRange, noteInSegment, noteName, noteSizes, descszMin } = this.#profile;
    const end = start + size;
    // With page-cache the end must fit a u32. A p_offset of 2^63 or more, negative as a loff_t, can pass the kernel's
    // check, but then no page is found for it: both ways the segment has no build ID.
    if (end > (fileRange === "first-page" ? PAGE_SIZE : U32 - 1)) return "note-out-of-range";
    const whole = noteInSegment === "whole";
    // At least this much must follow for another note: a header and one byte; or header, name and one byte.
    const least = whole ? SIZEOF_NHDR + 4 + 1 : SIZEOF_NHDR + 1;
    let at = start;
    while (end - at >= least) {
      if (!this.#fetch(at, whole ? SIZEOF_NHDR + 4 : SIZEOF_NHDR)) return "page-not-cached";
      const namesz = this.#view.getUint32(this.#at, true);
      const descsz = this.#view.getUint32(this.#at + 4, true);
      const type = this.#view.getUint32(this.#at + 8, true);
      // Rounded up to 4 in a u32, 0xfffffffd and above become 0.
      const next = at + SIZEOF_NHDR +
        (noteSizes === "u32"
          ? (((namesz + 3) & ~3) >>> 0) + (((descsz + 3) & ~3) >>> 0)
          : Math.ceil(namesz / 4) * 4 + Math.ceil(descsz / 4) * 4);
      if (whole && next > end) break;
      if (
        type === NT_GNU_BUILD_ID && namesz === 4 && descsz >= descszMin && descsz <= BPF_BUILD_ID_SIZE &&
        (noteName === "size" || this.#view.getUint32(this.#at + SIZEOF_NHDR, false) === GNU)
      ) {
        if (!this.#fetch(at + SIZEOF_NHDR + 4, descsz)) return "page-not-cached";
        for (let i = 0; i < BPF_BUILD_ID_SIZE; i++) this.id[i] = i < descsz ? this.#view.getUint8(this.#at + i) : 0;
        return "found";
      }
      // The offset within the segment is a u32 too; one that wraps ends the search.
      if (next - start >= U32) {
        const wrapped = (next - start) % U32;
        if (wrapped <= at - start) break;
        at = start + wrapped;
      } else {
        at = next;
      }
    }
    return "no-build-id-note";
  }

  // Makes `size` (at most 64) bytes at file offset `offset` readable at #view, #at; false if a page is missing.
  #fetch(offset: number, size: number): boolean {
    const at = offset % PAGE_SIZE;
    const index = (offset - at) / PAGE_SIZE;
    if (!this.#turnTo(index)) return false;
    const inPage = PAGE_SIZE - at;
    if (size <= inPage) {
      this.#view = this.#page;
      this.#at = at;
      return true;
    }
    for (let i = 0; i < inPage; i++) this.#scratch.setUint8(i, this.#page.getUint8(at + i));
    if (!this.#turnTo(index + 1)) return false;
    for (let i = inPage; i < size; i++) this.#scratch.setUint8(i, this.#page.getUint8(i - inPage));
    this.#view = this.#scratch;
    this.#at = 0;
    return true;
  }

  #turnTo(index: number): boolean {
    if (index === this.#pageIndex) return true;
    if (index > 0 && this.#profile.fileRange === "first-page") {
      // A descriptor that runs over the end of the first page: 4.17 copies whatever memory follows the page. That
      // can't be known; it reads as zero here.
      this.#page = ZERO_PAGE;
      this.#pageIndex = index;
      return true;
    }
    // Past 2^51 pages the offset is negative as a loff_t, or not exact as a number; no file has such a page.
    const page = index < 2 ** 40 ? this.#file!.readPage(index) : undefined;
    if (page === undefined) return false;
    if (page.length !== PAGE_SIZE) {
      throw new RangeError(`readPage(${index}) gave ${page.length} bytes: a page has ${PAGE_SIZE}`);
    }
    this.#page = viewOf(page);
    this.#pageIndex = index;
    return true;
  }
}

/**
 * `build_id_parse()` (lib/buildid.c; in 4.17 `stack_map_get_build_id()`, kernel/bpf/stackmap.c): the build ID of a
 * mapped file as that release's kernel finds it without sleeping, so from pages in the page cache only.
 *
 * It is not the general reader: releases before 6.12 read the first page and nothing else, and each has limits of its
 * own. {@linkcode readBuildId} reads every valid file.
 *
 * @param buildId Receives 20 bytes, a shorter ID zero-padded. Untouched if the result is not 0.
 * @returns 0; `-EINVAL` if the file is not an ELF executable or shared object, or no build ID is found within the
 * release's limits; `-EFAULT` if a page that is needed is not in the page cache.
 * @throws {RangeError} If `buildId` is shorter than 20 bytes or a page has not 4096.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { buildIdParse, mappedFile } from "@bpf/stackmap";
 *
 * const script = mappedFile(new TextEncoder().encode("#!/bin/sh\n"));
 * assertEquals(buildIdParse(script, new Uint8Array(20), "6.18"), -22); // -EINVAL
 * ```
 */
export function buildIdParse(file: MappedFile, buildId: Uint8Array, kernel: KernelRelease): number {
  if (buildId.length < BPF_BUILD_ID_SIZE) {
    throw new RangeError(`buildId needs ${BPF_BUILD_ID_SIZE} bytes, not ${buildId.length}`);
  }
  const parser = new BuildIdParser(kernelProfile(kernel));
  const result = parser.parse(file);
  if (result === 0) buildId.set(parser.id);
  return result;
}

/**
 * {@linkcode buildIdParse} for people who ask why: the same result with the reason.
 *
 * @returns `errno` as `buildIdParse` returns it; `buildId` (20 bytes) where it is 0; `outcome`, what decided.
 * @throws {RangeError} If a page has not 4096 bytes.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { explainBuildIdParse, mappedFile } from "@bpf/stackmap";
 *
 * const answer = explainBuildIdParse(mappedFile(new Uint8Array(100)), "4.17");
 * assertEquals([answer.errno, answer.outcome], [-22, "not-elf"]);
 * ```
 */
export function explainBuildIdParse(
  file: MappedFile,
  kernel: KernelRelease,
): { errno: number; outcome: BuildIdOutcome; buildId?: Uint8Array } {
  const parser = new BuildIdParser(kernelProfile(kernel));
  const errno = parser.parse(file);
  return errno === 0 ? { errno, outcome: parser.outcome, buildId: parser.id } : { errno, outcome: parser.outcome };
}
