// Owns names of addresses that texts of the running system give: /proc/kallsyms, and the perf-PID.map of JIT
// compilers.
import { cutName, MOST_NAME } from "../base/plain_text.ts";
import { type AddressRanges, byAddress, latestOfEach, rangeBelow, rangeColumns } from "./address_ranges.ts";

/** What {@linkcode AddressNames.lookup} found. */
export interface AddressName {
  /** The name, cut at 4,096 characters; with `[module]` behind it where `/proc/kallsyms` has one. */
  name: string;
  /** How far the address is behind the first one of that name, in bytes. */
  offset: number;
}

/** Lines of a text by the addresses that they are about. */
export interface AddressLines {
  /** The text. */
  text: string;
  /** Disjoint, sorted; `line` counts the lines below. */
  ranges: AddressRanges;
  /** Where in the text each line begins, and its name; 0: the line is known, and names nothing. */
  at: Uint32Array;
  nameAt: Uint32Array;
  /** Lines that are not of the form. */
  skipped: number;
  /** See {@linkcode AddressNames}. */
  restricted: boolean;
}

// The constructor, for this package alone: what it takes is no part of the public surface.
let make: (lines: AddressLines) => AddressNames;

/**
 * Names by address, made by {@linkcode parseKallsyms} and {@linkcode parsePerfMap}. It holds on to the text, of
 * which names are parts.
 */
export class AddressNames {
  /** Lines of the text that are not of its form, such as the last one of a process that was killed. */
  readonly skipped: number;
  /**
   * Whether the kernel hid its addresses: all are zero, and nothing has a name. `kernel.kptr_restrict` or the
   * missing capability `CAP_SYSLOG` of the reader is why.
   */
  readonly restricted: boolean;
  readonly #lines: AddressLines;

  static {
    make = (lines) => new AddressNames(lines);
  }

  private constructor(lines: AddressLines) {
    this.#lines = lines;
    this.skipped = lines.skipped;
    this.restricted = lines.restricted;
  }

  /**
   * Number of the line that names an address, -1 if none does. Lines that are not of the form are not counted.
   *
   * @param hi Upper 32 bits of the address. @param lo Lower 32 bits.
   */
  find(hi: number, lo: number): number {
    const line = this.#line(hi, lo);
    return line >= 0 && this.#lines.nameAt[line] === 0 ? -1 : line;
  }

  #line(hi: number, lo: number): number {
    const { ranges } = this.#lines;
    const at = rangeBelow(ranges, hi, lo);
    if (at < 0 || hi > ranges.lastHi[at] || (hi === ranges.lastHi[at] && lo > ranges.lastLo[at])) return -1;
    return ranges.line[at];
  }

  /**
   * The name that a line gives, by its number; of one over 4,096 characters the first, and a hash of all of it.
   *
   * @throws {RangeError} If there is no such line, or it names nothing.
   */
  name(line: number): string {
    const { text, nameAt } = this.#lines;
    const at = nameAt[line];
    if (!(at > 0)) throw new RangeError(`line ${line} names nothing`);
    return cutName(text.slice(at, lineEnd(text, at)).replace("\t", " "), MOST_NAME);
  }

  /**
   * What an address is called; `undefined` if no line says.
   *
   * @param hi Upper 32 bits of the address. @param lo Lower 32 bits.
   */
  lookup(hi: number, lo: number): AddressName | undefined {
    const line = this.find(hi, lo);
    if (line < 0) return undefined;
    const start = new HexReader(this.#lines.text);
    start.read(this.#lines.at[line]);
    return { name: this.name(line), offset: (hi - start.hi) * 0x1_0000_0000 + (lo - start.lo) };
  }

  /**
   * The lines that some addresses need, in the order of the text: read again, they say of these addresses what all
   * lines say.
   *
   * @param addresses Upper and lower 32 bits of each.
   */
  subset(addresses: { readonly hi: ArrayLike<number>; readonly lo: ArrayLike<number> }): string {
    const { text, at } = this.#lines;
    const needed = new Uint8Array(at.length);
    for (let i = 0; i < addresses.lo.length; i++) {
      const line = this.#line(addresses.hi[i], addresses.lo[i]);
      if (line >= 0) needed[line] = 1;
    }
    let out = "";
    for (let line = 0; line < needed.length; line++) {
      if (needed[line] === 1) out += text.slice(at[line], lineEnd(text, at[line])) + "\n";
    }
    return out;
  }
}

/** Names out of lines and their ranges. */
export function addressNames(lines: AddressLines): AddressNames {
  return make(lines);
}

/** Where the line that has the character at `at` ends: at its line feed, or where the text does. */
export function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

/** Characters of the shortest line that is of any form, with its line feed: `0 T a`. */
const SHORTEST_LINE = 6;

/** The most lines of any form that a text can have: nearly nothing, in one of line feeds alone. */
export function mostLines(text: string): number {
  const most = Math.ceil(text.length / SHORTEST_LINE);
  let count = 1;
  for (let at = text.indexOf("\n"); at >= 0 && count < most; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

const SPACE = 0x20;
const TAB = 0x09;
const LINE_FEED = 0x0a;

/** Most digits of a number: twice those of 64 bits. */
const MOST_DIGITS = 32;

/** Reads hexadecimal numbers in a text. */
export class HexReader {
  /** The number read last. */
  hi = 0;
  lo = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /**
   * Reads the number at `at`, with or without `0x`; returns where it ends, -1 if there is none or it has more than
   * 64 bits, or 32 digits.
   */
  read(at: number): number {
    const text = this.#text;
    let hi = 0, lo = 0;
    // Some compilers print addresses as pointers.
    const from = text.charCodeAt(at) === 0x30 && text.charCodeAt(at + 1) === 0x78 ? at + 2 : at;
    let end = from;
    for (;; end++) {
      const code = text.charCodeAt(end);
      let digit = code - 0x30;
      if (!(digit >= 0 && digit <= 9)) {
        digit = (code | 0x20) - 0x57;
        if (!(digit >= 10 && digit <= 15)) break;
      }
      if (hi >>> 28 !== 0 || end - from === MOST_DIGITS) return -1;
      hi = (hi << 4) | (lo >>> 28);
      lo = (lo << 4) | digit;
    }
    this.hi = hi >>> 0;
    this.lo = lo >>> 0;
    return end > from ? end : -1;
  }
}

/** How far behind the last symbol before it an address may be and still be its: no function is as long. */
const MOST_FUNCTION = 1 << 20;

/**
 * Reads the text of `/proc/kallsyms`, lines `ADDRESS TYPE NAME [module]` in any order. Functions (types `t`, `T`,
 * `w` and `W`) name the addresses from their own to the next symbol of any type, and at most 1 MiB.
 *
 * Of symbols with one address a strong one is preferred, then a global one, then that with fewer leading
 * underscores, then the longer name, then the first.
 *
 * Lines of another form are skipped and counted. Takes time and memory in proportion to the text: 122,133 lines
 * (5.4 MB) took 20 to 50 ms.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseKallsyms } from "@bpf/stackmap";
 *
 * const names = parseKallsyms("ffffffff81000000 T _stext\nffffffffc0201000 t nft_do_chain\t[nf_tables]\n");
 * assertEquals(names.lookup(0xffff_ffff, 0xc020_1004), { name: "nft_do_chain [nf_tables]", offset: 4 });
 * assertEquals(names.lookup(0xffff_ffff, 0xd000_0000), undefined);
 * ```
 */
export function parseKallsyms(text: string): AddressNames {
  const most = mostLines(text);
  const hi = new Uint32Array(most), lo = new Uint32Array(most);
  const at = new Uint32Array(most), nameAt = new Uint32Array(most);
  const number = new HexReader(text);
  let count = 0, skipped = 0, notZero = 0;
  for (let start = 0; start < text.length;) {
    const end = number.read(start);
    const name = end + 3;
    if (
      end > 0 && text.charCodeAt(end) === SPACE && text.charCodeAt(end + 2) === SPACE &&
      text.charCodeAt(end + 1) > SPACE && text.charCodeAt(name) > SPACE
    ) {
      hi[count] = number.hi;
      lo[count] = number.lo;
      notZero |= number.hi | number.lo;
      at[count] = start;
      const type = text.charCodeAt(end + 1) | 0x20;
      nameAt[count] = type === 0x74 || type === 0x77 ? name : 0; // t, w
      count++;
    } else if (text.charCodeAt(start) !== LINE_FEED) {
      skipped++;
    }
    start = lineEnd(text, start) + 1;
  }
  const restricted = count > 0 && notZero === 0;
  if (restricted) count = 0;
  const ranges = rangeColumns(count);
  const order = byAddress(hi, lo, count);
  for (let k = 0; k < count;) {
    const first = order[k];
    let best = first;
    let better: Preference | undefined;
    for (k++; k < count && lo[order[k]] === lo[first] && hi[order[k]] === hi[first]; k++) {
      // Each line is looked at once: any number of symbols may have one address, and one of them any length.
      better ??= preferenceOf(text, nameAt[best]);
      const other = preferenceOf(text, nameAt[order[k]]);
      if (!isPreferred(other, better)) continue;
      best = order[k];
      better = other;
    }
    const range = ranges.count++;
    ranges.startHi[range] = hi[first];
    ranges.startLo[range] = lo[first];
    ranges.line[range] = best;
    let lastLo = lo[first] + MOST_FUNCTION - 1;
    let lastHi = hi[first];
    if (lastLo > 0xffff_ffff) {
      lastLo -= 0x1_0000_0000;
      if (++lastHi > 0xffff_ffff) lastHi = lastLo = 0xffff_ffff;
    }
    if (k < count && (hi[order[k]] < lastHi || (hi[order[k]] === lastHi && lo[order[k]] <= lastLo))) {
      lastLo = (lo[order[k]] - 1) >>> 0;
      lastHi = lo[order[k]] === 0 ? hi[order[k]] - 1 : hi[order[k]];
    }
    ranges.lastHi[range] = lastHi;
    ranges.lastLo[range] = lastLo;
  }
  return make({ text, ranges, at: at.subarray(0, count), nameAt: nameAt.subarray(0, count), skipped, restricted });
}

/** What decides between symbols of one address: the more, the better, what comes first before what follows. */
type Preference = readonly [isFunction: number, strong: number, global: number, fewBars: number, length: number];

/** Of the symbol whose name is at `at`; 0 is what is no function, and names nothing. */
function preferenceOf(text: string, at: number): Preference {
  if (at === 0) return [0, 0, 0, 0, 0];
  const type = text.charCodeAt(at - 2);
  let bars = at;
  while (text.charCodeAt(bars) === 0x5f) bars++;
  let end = bars;
  while (end < text.length && text.charCodeAt(end) !== LINE_FEED && text.charCodeAt(end) !== TAB) end++;
  return [1, (type | 0x20) === 0x77 ? 0 : 1, type < 0x60 ? 1 : 0, at - bars, end - at];
}

function isPreferred(a: Preference, b: Preference): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] > b[i];
  return false;
}

/**
 * Reads a `perf-PID.map`, in which JIT compilers tell where they put their code: lines `START SIZE NAME`, both
 * numbers hexadecimal; names may have spaces. Compilers use addresses again, so that where lines overlap, the
 * later one counts.
 *
 * Lines of another form are skipped and counted: a killed process leaves half a line. A line takes some 80 bytes
 * besides the text, and time in proportion to n log n at most: of a million lines 0.2 to 0.4 s in order, 0.4 to 0.8 s
 * where they overlap; ten million of these took 8 s.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parsePerfMap } from "@bpf/stackmap";
 *
 * const names = parsePerfMap("7f0000001000 80 JS:*add /srv/app.js:3:1\n7f0000001040 20 JS:*sub /srv/app.js:9:1\n7f");
 * assertEquals(names.lookup(0x7f00, 0x1050), { name: "JS:*sub /srv/app.js:9:1", offset: 0x10 });
 * assertEquals(names.lookup(0x7f00, 0x1070), { name: "JS:*add /srv/app.js:3:1", offset: 0x70 });
 * assertEquals(names.skipped, 1);
 * ```
 */
export function parsePerfMap(text: string): AddressNames {
  const most = mostLines(text);
  const ranges = rangeColumns(most);
  const { startHi, startLo, lastHi, lastLo, line } = ranges;
  const at = new Uint32Array(most), nameAt = new Uint32Array(most);
  const number = new HexReader(text);
  let count = 0, skipped = 0;
  for (let start = 0; start < text.length;) {
    const end = number.read(start);
    const { hi, lo } = number;
    const sizeEnd = end > 0 && text.charCodeAt(end) === SPACE ? number.read(end + 1) : -1;
    if (sizeEnd > 0 && text.charCodeAt(sizeEnd) === SPACE && text.charCodeAt(sizeEnd + 1) >= SPACE) {
      if (number.hi !== 0 || number.lo !== 0) { // else there is nothing that it is the name of
        startHi[count] = hi;
        startLo[count] = lo;
        const low = lo + number.lo - 1;
        const high = hi + number.hi + Math.floor(low / 0x1_0000_0000);
        lastLo[count] = high > 0xffff_ffff ? 0xffff_ffff : low;
        lastHi[count] = Math.min(high, 0xffff_ffff);
        line[count] = count;
        at[count] = start;
        nameAt[count] = sizeEnd + 1;
        count++;
      }
    } else if (text.charCodeAt(start) !== LINE_FEED) {
      skipped++;
    }
    start = lineEnd(text, start) + 1;
  }
  ranges.count = count;
  return make({
    text,
    ranges: latestOfEach(ranges),
    at: at.subarray(0, count),
    nameAt: nameAt.subarray(0, count),
    skipped,
    restricted: false,
  });
}
