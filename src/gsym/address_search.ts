// Owns AddressSearch: from an address to a function's place in the tables of a GSYM file, and to its FunctionInfo.
import { FormatError } from "../base/format_error.ts";
import type { GsymBlocks } from "./appendix.ts";
import { INFO_END_OF_LIST } from "./format.ts";
import type { GsymHeader } from "./header.ts";
import { NOT_LOADED, type Window } from "./window.ts";

/** What {@linkcode AddressSearch.find} answers where the address is before the first function. */
export const NOT_THERE = -2;

/** What a hint asks for beyond so many bytes is not taken along. */
const MOST_HINTED = 96 * 1024;
/** Address tables up to this size are read whole: by halves it would take more reads. */
const SMALL_TABLE = 64 * 1024;
/** Bytes read before and behind the place where an address is guessed to be. */
const GUESS_MARGIN = 8 * 1024;
/** Most functions that begin at one address. */
const MOST_EQUAL = 1024;
/** Most parts that one FunctionInfo has; four kinds are defined. */
export const MOST_PARTS = 64;

/** Searches the address table. */
export class AddressSearch {
  /** Upper and lower 32 bits of the distance from the base address: of what was searched, */
  soughtHi = 0;
  soughtLo = 0;
  /** and of the table's entry that was read last. */
  entryHi = 0;
  entryLo = 0;
  readonly #window: Window;
  readonly #header: GsymHeader;
  #blocks: GsymBlocks | undefined;

  constructor(window: Window, header: GsymHeader, blocks: GsymBlocks | undefined) {
    this.#window = window;
    this.#header = header;
    this.#blocks = window.pages === undefined ? undefined : blocks;
  }

  /** Where the parts of blocks of functions lie; `undefined` where nothing tells, or it was seen to be wrong. */
  get blocks(): GsymBlocks | undefined {
    return this.#blocks;
  }

  /** Bytes from the entry read last to the address that was searched; exact below 2^53. */
  get delta(): number {
    return (this.soughtHi - this.entryHi) * 0x1_0000_0000 + (this.soughtLo - this.entryLo);
  }

  /** Reads an entry; `false` where it is not loaded. */
  read(index: number): boolean {
    const window = this.#window;
    const { addresses, addrOffSize, littleEndian } = this.#header;
    const at = window.at(addresses + index * addrOffSize, addrOffSize, "AddrOffsets");
    if (at < 0) return false;
    const { view } = window;
    this.entryHi = 0;
    if (addrOffSize === 4) this.entryLo = view.getUint32(at, littleEndian);
    else if (addrOffSize === 2) this.entryLo = view.getUint16(at, littleEndian);
    else if (addrOffSize === 1) this.entryLo = view.getUint8(at);
    else {
      this.entryLo = view.getUint32(littleEndian ? at : at + 4, littleEndian);
      this.entryHi = view.getUint32(littleEndian ? at + 4 : at, littleEndian);
    }
    return true;
  }

  /** Whether the entry read last is at or before what is searched. */
  #reached(): boolean {
    return this.entryHi < this.soughtHi || (this.entryHi === this.soughtHi && this.entryLo <= this.soughtLo);
  }

  /**
   * The first of the functions that begin at the greatest address at or before this one, as newer LLVM has it.
   * {@linkcode NOT_THERE} if there is none, {@linkcode NOT_LOADED} where pages are missing.
   */
  find(addressHi: number, addressLo: number): number {
    const { baseHi, baseLo, count } = this.#header;
    if (count === 0 || addressHi < baseHi || (addressHi === baseHi && addressLo < baseLo)) return NOT_THERE;
    this.soughtLo = (addressLo - baseLo) >>> 0;
    this.soughtHi = addressHi - baseHi - (addressLo < baseLo ? 1 : 0);
    const last = this.#last();
    if (last < 0) return last;
    if (!this.read(last)) return NOT_LOADED;
    const { entryHi, entryLo } = this;
    let first = last;
    for (const least = Math.max(0, last - MOST_EQUAL); first > least; first--) {
      if (!this.read(first - 1)) return NOT_LOADED;
      if (this.entryHi !== entryHi || this.entryLo !== entryLo) break;
    }
    this.entryHi = entryHi;
    this.entryLo = entryLo;
    return first;
  }

  /** How many functions from `first` on begin at the same address at most. */
  endOfEqual(first: number): number {
    return Math.min(this.#header.count, first + MOST_EQUAL);
  }

  /** Index of the last entry at or before what is searched. */
  #last(): number {
    const { count } = this.#header;
    const window = this.#window;
    if (window.pages === undefined) return this.#halve(-1, count);
    const block = this.#block();
    if (block >= 0) {
      const [first, end] = this.#range(this.#blocks!, block);
      if (first < end && (end - first) * this.#header.addrOffSize <= SMALL_TABLE) {
        // Both are asked for before either is needed.
        const hasEnd = end === count || this.read(end);
        const pastEnd = end < count && hasEnd && this.#reached();
        const hasFirst = this.read(first);
        if (!hasFirst || !hasEnd) return NOT_LOADED;
        if (this.#reached() && !pastEnd) return this.#halve(first, end);
      }
    }
    return this.#guess();
  }

  /** Halves what is between an entry that is reached, or -1, and one that is not, or the count. */
  #halve(low: number, high: number): number {
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (!this.read(middle)) return NOT_LOADED;
      if (this.#reached()) low = middle;
      else high = middle;
    }
    return low < 0 ? NOT_THERE : low;
  }

  /**
   * Without blocks. Functions are spread evenly enough for their addresses to tell where in the table they are
   * about; where that leads nowhere, every second guess is the middle.
   */
  #guess(): number {
    const window = this.#window;
    const { addresses, addrOffSize, count } = this.#header;
    const { pageSize } = window.pages!;
    if (count * addrOffSize <= SMALL_TABLE) {
      if (window.at(addresses, count * addrOffSize, "AddrOffsets") < 0) return NOT_LOADED;
      return this.#halve(-1, count);
    }
    const hasLast = this.read(count - 1);
    const pastLast = hasLast && this.#reached();
    let highValue = this.#value();
    if (!this.read(0) || !hasLast) return NOT_LOADED;
    if (!this.#reached()) return NOT_THERE;
    if (pastLast) return count - 1;
    let lowValue = this.#value();
    let low = 0;
    let high = count - 1;
    const sought = this.soughtHi * 0x1_0000_0000 + this.soughtLo;
    for (let round = 0; (high - low) * addrOffSize > pageSize; round++) {
      const share = highValue > lowValue ? (sought - lowValue) / (highValue - lowValue) : 0.5;
      const guess = round % 2 === 0 ? Math.floor(low + share * (high - low)) : (low + high) >>> 1;
      const index = Math.min(Math.max(guess, low + 1), high - 1);
      const at = addresses + index * addrOffSize;
      if (!this.read(index)) {
        window.want(
          Math.max(addresses, at - GUESS_MARGIN),
          Math.min(addresses + count * addrOffSize, at + GUESS_MARGIN),
        );
        return NOT_LOADED;
      }
      if (this.#reached()) {
        low = index;
        lowValue = this.#value();
      } else {
        high = index;
        highValue = this.#value();
      }
    }
    return this.#halve(low, high);
  }

  #value(): number {
    return this.entryHi * 0x1_0000_0000 + this.entryLo;
  }

  /** The block that should have what is searched; -1 if there are none. */
  #block(): number {
    if (this.#blocks === undefined) return -1;
    const { address } = this.#blocks;
    const sought = this.soughtHi * 0x1_0000_0000 + this.soughtLo;
    let low = -1;
    let high = address.length - 1; // the last is the end
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (address[middle] <= sought) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Asks for all that functions around what is searched are likely to need. */
  hint(): void {
    const block = this.#block();
    const blocks = this.#blocks;
    if (block < 0 || blocks === undefined) return;
    const window = this.#window;
    const { addresses, addrOffSize, count } = this.#header;
    const [first, end] = this.#range(blocks, block);
    // One entry before, which may begin at the same address, and one behind, which tells that the block is right.
    const from = addresses + Math.max(0, first - 1) * addrOffSize;
    const pieces = [[from, addresses + Math.min(count, end + 1) * addrOffSize]];
    for (const offsets of [blocks.infos, blocks.files, blocks.strings]) {
      pieces.push([offsets[block], offsets[block + 1]]);
    }
    let left = MOST_HINTED;
    for (const [from, end] of pieces) {
      const length = end - from;
      // In a hostile file a piece can end before it begins: that makes no room for another.
      if (!(length > 0 && length <= left && end <= window.size)) continue;
      left -= length;
      window.want(from, end);
    }
  }

  /** The functions of a block: the index of the first, and of the one behind the last. */
  #range({ first }: GsymBlocks, block: number): [number, number] {
    return [Math.min(first[block], this.#header.count), Math.min(first[block + 1], this.#header.count)];
  }

  /** File offset of a function's FunctionInfo; {@linkcode NOT_LOADED} where that is so. */
  info(index: number): number {
    const window = this.#window;
    const { infos, infoBase, infoEnd, wordSize, littleEndian } = this.#header;
    const entry = infos + index * wordSize;
    if (this.#blocks !== undefined && !window.has(entry)) {
      const walked = this.#walk(this.#blocks, index);
      if (walked !== undefined) return walked;
    }
    const at = window.at(entry, wordSize, "AddrInfoOffsets");
    if (at < 0) return NOT_LOADED;
    const { view } = window;
    const offset = wordSize === 4 ? view.getUint32(at, littleEndian) : Number(view.getBigUint64(at, littleEndian));
    if (!(offset < infoEnd - infoBase)) {
      throw new FormatError("passes the FunctionInfos", { offset: entry, field: "AddrInfoOffsets", value: offset });
    }
    return infoBase + offset;
  }

  /**
   * The same without the table of info offsets, which would be one more read: the FunctionInfos of a block follow
   * each other. Only where they end where the block does is that believed; else blocks are used no more.
   */
  #walk(blocks: GsymBlocks, index: number): number | undefined {
    const window = this.#window;
    const { wordSize, littleEndian } = this.#header;
    const block = blockOf(blocks.first, index);
    if (block < 0) return undefined;
    const [first, last] = this.#range(blocks, block);
    const from = blocks.infos[block];
    const end = blocks.infos[block + 1];
    if (!(index < last && end >= from && end <= window.size && end - from <= MOST_HINTED)) return undefined;
    const at = window.at(from, end - from, "FunctionInfo");
    if (at < 0) return NOT_LOADED;
    const { view } = window;
    const stop = at + end - from;
    let found = from;
    let pos = at;
    for (let i = first; i < last; i++) {
      if (i > first) pos = at + Math.ceil((from + pos - at) / 4) * 4 - from;
      if (i === index) found = from + pos - at;
      pos += 4 + wordSize;
      for (let part = 0;; part++) {
        if (part === MOST_PARTS || stop - pos < 8) {
          this.#blocks = undefined;
          return undefined;
        }
        const type = view.getUint32(pos, littleEndian);
        pos += 8 + view.getUint32(pos + 4, littleEndian);
        if (type === INFO_END_OF_LIST) break;
      }
    }
    if (pos > stop || stop - pos >= 4) {
      this.#blocks = undefined;
      return undefined;
    }
    return found;
  }
}

/** The last block whose first function is at or before `index`, if blocks are in order; -1 if none is. */
function blockOf(first: Uint32Array, index: number): number {
  let low = -1;
  let high = first.length - 1; // the last is the end
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (first[middle] <= index) low = middle;
    else high = middle;
  }
  return low;
}
