// Owns how the stubs of the procedure linkage table join a binary's symbols: only where no symbol answers.
import type { PltStubs } from "../elf/plt.ts";
import { less, MAX_NESTING, type OrderedSymbols, outerIndex } from "./symbol_order.ts";

/**
 * Puts stubs between symbols. A stub at whose first address a symbol answers is left out, and the others end where
 * the next symbol or stub begins: so every address that had a symbol keeps it, and what reaches to the next symbol
 * still does.
 *
 * @param nameFrom Offset that the stubs' names begin at, behind the names of the symbols.
 * @returns `symbols` itself if no stub is put in.
 */
export function insertStubs(symbols: OrderedSymbols, stubs: PltStubs, nameFrom: number): OrderedSymbols {
  const before = new Uint32Array(stubs.count);
  const kept = new Uint32Array(stubs.count);
  let count = 0;
  let next = 0;
  let endHi = 0;
  let endLo = 0;
  for (let stub = 0; stub < stubs.count; stub++) {
    const hi = stubs.addressHi[stub];
    const lo = stubs.addressLo[stub];
    while (next < symbols.count && !less(hi, lo, symbols.startHi[next], symbols.startLo[next])) next++;
    // Of stubs that overlap, as those of sections in a hostile file, the first stays.
    if (less(hi, lo, endHi, endLo) || answers(symbols, next - 1, hi, lo)) continue;
    before[count] = next;
    kept[count++] = stub;
    endLo = lo + stubs.size[stub];
    endHi = hi + (endLo > 0xffff_ffff ? 1 : 0);
    endLo >>>= 0;
  }
  // Offsets of names have 31 bits.
  if (count === 0 || nameFrom + stubs.strings.length > 0x7fff_ffff) return symbols;
  return merge(symbols, stubs, nameFrom, before.subarray(0, count), kept);
}

/** Whether symbol `index`, the last to start at or before an address, or one around it answers there. */
function answers(symbols: OrderedSymbols, index: number, hi: number, lo: number): boolean {
  const { endHi, endLo, outerOf, outer } = symbols;
  for (let steps = 0; index >= 0 && steps < MAX_NESTING; steps++) {
    if (less(hi, lo, endHi[index], endLo[index])) return true;
    index = outerIndex(outerOf, outer, index);
  }
  return false;
}

/** @param before How many symbols stand before each stub that is kept. */
function merge(
  symbols: OrderedSymbols,
  stubs: PltStubs,
  nameFrom: number,
  before: Uint32Array,
  kept: Uint32Array,
): OrderedSymbols {
  const count = symbols.count + before.length;
  const out: OrderedSymbols = {
    count,
    startHi: new Uint32Array(count),
    startLo: new Uint32Array(count),
    endHi: new Uint32Array(count),
    endLo: new Uint32Array(count),
    unsized: new Uint8Array(count),
    name: new Uint32Array(count),
    fileFrom: symbols.fileFrom.slice(),
    fileName: symbols.fileName,
    outerOf: symbols.outerOf.slice(),
    outer: symbols.outer.slice(),
  };
  const columns = ["startHi", "startLo", "endHi", "endLo", "unsized", "name"] as const;
  let from = 0;
  for (let k = 0; k <= before.length; k++) {
    const until = k < before.length ? before[k] : symbols.count;
    if (until > from) { for (const name of columns) out[name].set(symbols[name].subarray(from, until), from + k); }
    from = until;
    if (k < before.length) setStub(out, until + k, stubs, kept[k], nameFrom);
  }
  // A stub overlaps nothing; what does has moved.
  const moved = (index: number): number => index + stubsBefore(before, index);
  for (const column of [out.fileFrom, out.outerOf, out.outer]) {
    for (let i = 0; i < column.length; i++) column[i] = moved(column[i]);
  }
  for (let k = 0; k < before.length; k++) cutStub(out, before[k] + k);
  return out;
}

/** How many stubs stand before symbol `index`. */
function stubsBefore(before: Uint32Array, index: number): number {
  let low = 0;
  let high = before.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (before[middle] <= index) low = middle + 1;
    else high = middle;
  }
  return low;
}

function setStub(out: OrderedSymbols, at: number, stubs: PltStubs, stub: number, nameFrom: number): void {
  out.startHi[at] = stubs.addressHi[stub];
  out.startLo[at] = stubs.addressLo[stub];
  const lo = out.startLo[at] + stubs.size[stub];
  out.endHi[at] = out.startHi[at] + (lo > 0xffff_ffff ? 1 : 0);
  out.endLo[at] = lo;
  out.name[at] = nameFrom + stubs.name[stub];
}

/** Ends a stub where the next symbol begins. */
function cutStub({ count, startHi, startLo, endHi, endLo }: OrderedSymbols, at: number): void {
  if (at + 1 < count && less(startHi[at + 1], startLo[at + 1], endHi[at], endLo[at])) {
    endHi[at] = startHi[at + 1];
    endLo[at] = startLo[at + 1];
  }
}
