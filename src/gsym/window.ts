// Owns Window: one way to look at bytes that are all here, and at those of which some pages are.
import { viewOf } from "../base/bytes.ts";
import { checkRange, FormatError } from "../base/format_error.ts";
import type { PageCache } from "./page_cache.ts";

/** What {@linkcode Window.at} answers where pages are not loaded. */
export const NOT_LOADED = -1;

const NOTHING = new Uint8Array(0);

/** The bytes of a file, in place or by pages. */
export class Window {
  /** Hold the range last asked for, until the next is. */
  bytes: Uint8Array = NOTHING;
  view: DataView = viewOf(NOTHING);
  /** Size of the file. */
  readonly size: number;
  readonly pages: PageCache | undefined;
  /** Pages that were asked for and are not here. */
  wanted: Set<number> = new Set();
  /** Longest range: what pages are joined to. */
  readonly mostJoined: number;
  #scratch: Uint8Array = NOTHING;
  #scratchView: DataView = this.view;
  #joinedFirst = -1;
  #joinedLast = -1;

  /** @param source All bytes, which must not change; or pages. */
  constructor(source: Uint8Array | PageCache) {
    if (source instanceof Uint8Array) {
      this.bytes = source;
      this.view = viewOf(source);
      this.size = source.length;
      this.pages = undefined;
      this.mostJoined = Infinity;
    } else {
      this.size = source.source.size;
      this.pages = source;
      this.mostJoined = Math.max(source.maxBytes / 2, 1 << 17);
    }
  }

  /**
   * Brings a range of the file into `bytes` and `view`; returns where it begins in them. {@linkcode NOT_LOADED}
   * where it is not loaded: then it is asked for.
   *
   * @throws {FormatError} If the range is not inside the file.
   */
  at(offset: number, length: number, field: string): number {
    if (!(offset >= 0 && length >= 0 && length <= this.size - offset)) checkRange(this.size, offset, length, field);
    return this.pages === undefined ? offset : this.#paged(this.pages, offset, length, field);
  }

  #paged(pages: PageCache, offset: number, length: number, field: string): number {
    const { pageSize } = pages;
    const first = Math.floor(offset / pageSize);
    const last = length === 0 ? first : Math.floor((offset + length - 1) / pageSize);
    const from = offset - first * pageSize;
    if (first === last) {
      if (length === 0) return from;
      const page = pages.get(first);
      if (page === undefined) {
        this.wanted.add(first);
        return NOT_LOADED;
      }
      this.bytes = page.bytes;
      this.view = page.view;
      return from;
    }
    if (length > this.mostJoined) {
      throw new FormatError(`is longer than ${this.mostJoined} bytes`, { offset, field, value: length });
    }
    let missing = false;
    for (let page = first; page <= last; page++) {
      if (pages.get(page) !== undefined) continue;
      this.wanted.add(page);
      missing = true;
    }
    if (missing) return NOT_LOADED;
    if (first !== this.#joinedFirst || last !== this.#joinedLast) this.#join(pages, first, last);
    this.bytes = this.#scratch;
    this.view = this.#scratchView;
    return from;
  }

  #join(pages: PageCache, first: number, last: number): void {
    const { pageSize } = pages;
    if (this.#scratch.length < (last - first + 1) * pageSize) {
      this.#scratch = new Uint8Array(2 * (last - first + 1) * pageSize);
      this.#scratchView = viewOf(this.#scratch);
    }
    for (let page = first; page <= last; page++) {
      this.#scratch.set(pages.get(page)!.bytes, (page - first) * pageSize);
    }
    this.#joinedFirst = first;
    this.#joinedLast = last;
  }

  /** Whether the byte at an offset inside the file is here. */
  has(offset: number): boolean {
    const { pages } = this;
    return pages === undefined || pages.get(Math.floor(offset / pages.pageSize)) !== undefined;
  }

  /** Asks for those pages of a range that are not here; what is outside the file is left out. */
  want(offset: number, end: number): void {
    const { pages } = this;
    if (pages === undefined) return;
    const { pageSize } = pages;
    const stop = Math.min(end, this.size);
    for (let page = Math.floor(Math.max(offset, 0) / pageSize); page * pageSize < stop; page++) {
      if (pages.get(page) === undefined) this.wanted.add(page);
    }
  }

  /** How many bytes more than `offset` the page has that it is in. */
  restOfPage(offset: number): number {
    return this.pages === undefined ? this.size - offset : this.pages.pageSize - offset % this.pages.pageSize;
  }

  /** Bytes beside those of the file or the cache. */
  get retainedBytes(): number {
    return this.#scratch.length;
  }
}
