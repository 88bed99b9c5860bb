// Owns how code symbols are sorted and which of several wins: aliases, overlaps, symbols without a size.
import type { SymbolColumns } from "./symbol_source.ts";

/** Symbols by ascending address, one for each address. */
export interface OrderedSymbols {
  count: number;
  startHi: Uint32Array;
  startLo: Uint32Array;
  /** First address after the symbol. For one without a size: where it has to stop. */
  endHi: Uint32Array;
  endLo: Uint32Array;
  /** 1 where the symbol has no size of its own. */
  unsized: Uint8Array;
  /** Offset of the name in the string table; and {@linkcode HAS_FILE}. */
  name: Uint32Array;
  /** Where symbols of one source file begin, and where in the string table its name is; see {@linkcode HAS_FILE}. */
  fileFrom: Uint32Array;
  fileName: Uint32Array;
  /**
   * Where symbols overlap: `outerOf[k]` is a symbol and `outer[k]` the nearest one before it that ends later, so
   * addresses after the first may still be inside the second. `outerOf` ascends.
   */
  outerOf: Int32Array;
  outer: Int32Array;
}

/**
 * Set in the offset of a name whose symbol is of a source file that is known: of the last in `fileFrom` at or before it.
 * Files whose functions stand together need few entries, and the symbols between them, which are of no file, none.
 */
export const HAS_FILE = 0x8000_0000;

/** Symbols that overlap in a chain longer than this are given up on. Bounds the time of one lookup. */
export const MAX_NESTING = 64;

/** The symbol nearest around symbol `index`, or -1; see {@linkcode OrderedSymbols.outerOf}. */
export function outerIndex(outerOf: Int32Array, outer: Int32Array, index: number): number {
  let low = 0;
  let high = outerOf.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (outerOf[middle] < index) low = middle + 1;
    else high = middle;
  }
  return outerOf[low] === index ? outer[low] : -1;
}

/** Whether unsigned a < b, of 64-bit numbers in halves. */
export function less(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  return aHi < bHi || (aHi === bHi && aLo < bLo);
}

/** Indices of the symbols by ascending address; symbols of one address stay in file order. */
function sortedByAddress(columns: SymbolColumns): Uint32Array {
  const { count, addressHi, addressLo } = columns;
  let minHi = 0xffff_ffff;
  let maxHi = 0;
  for (let i = 0; i < count; i++) {
    if (addressHi[i] < minHi) minHi = addressHi[i];
    if (addressHi[i] > maxHi) maxHi = addressHi[i];
  }
  const order = new Uint32Array(count);
  if ((maxHi - minHi + 1) * 0x1_0000_0000 * count < Number.MAX_SAFE_INTEGER) {
    // Address and index in one double, exact below 2^53: typed arrays of numbers sort natively.
    const keys = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      keys[i] = ((addressHi[i] - minHi) * 0x1_0000_0000 + addressLo[i]) * count + i;
    }
    keys.sort();
    for (let i = 0; i < count; i++) order[i] = keys[i] % count;
    return order;
  }
  for (let i = 0; i < count; i++) order[i] = i;
  return order.sort((a, b) => addressHi[a] - addressHi[b] || addressLo[a] - addressLo[b] || a - b);
}

/** Sets the end of symbol `i` to `size` bytes after its start, or to the last address. */
function setEnd(
  { startHi, startLo, endHi, endLo }: OrderedSymbols,
  i: number,
  sizeHi: number,
  sizeLo: number,
): void {
  const lo = startLo[i] + sizeLo;
  const hi = startHi[i] + sizeHi + (lo > 0xffff_ffff ? 1 : 0);
  endHi[i] = Math.min(hi, 0xffff_ffff);
  endLo[i] = hi > 0xffff_ffff ? 0xffff_ffff : lo >>> 0;
}

/** Whether symbol `b`, later in the file, wins over `a` of the same address. Locals stand before all others there. */
function wins({ sizeHi, sizeLo }: SymbolColumns, a: number, b: number): boolean {
  if (sizeHi[a] !== sizeHi[b]) return sizeHi[b] > sizeHi[a];
  return sizeLo[b] >= sizeLo[a];
}

/**
 * Sorts symbols and settles every conflict once, so that a lookup needs one comparison.
 *
 * - Of several symbols at one address the largest wins, of equal ones the later in the table, as in llvm-symbolizer.
 * - The symbol with the greatest start wins among those that contain an address; where it has ended, one that
 *   began before and reaches further (a hot function around a cold island) answers.
 * - A symbol without a size, as assembly leaves them, reaches to the next symbol or the end of its section, as in
 *   addr2line; llvm-symbolizer lets it reach into the next section.
 */
export function orderSymbols(columns: SymbolColumns): OrderedSymbols {
  const { addressHi, addressLo, sizeHi, sizeLo, limitHi, limitLo } = columns;
  const order = sortedByAddress(columns);
  let count = 0;
  for (let i = 0; i < order.length; i++) {
    const last = order[count - 1];
    const one = order[i];
    if (count > 0 && addressHi[last] === addressHi[one] && addressLo[last] === addressLo[one]) {
      if (wins(columns, last, one)) order[count - 1] = one;
    } else order[count++] = one;
  }
  const out: OrderedSymbols = {
    count,
    startHi: new Uint32Array(count),
    startLo: new Uint32Array(count),
    endHi: new Uint32Array(count),
    endLo: new Uint32Array(count),
    unsized: new Uint8Array(count),
    name: new Uint32Array(count),
    fileFrom: new Uint32Array(0),
    fileName: new Uint32Array(0),
    outerOf: new Int32Array(0),
    outer: new Int32Array(0),
  };
  const { startHi, startLo, endHi, endLo } = out;
  const fileFrom: number[] = [];
  const fileName: number[] = [];
  for (let i = 0; i < count; i++) {
    const from = order[i];
    startHi[i] = addressHi[from];
    startLo[i] = addressLo[from];
    out.name[i] = columns.name[from];
    const file = columns.file[from];
    if (file === 0) continue;
    out.name[i] = (out.name[i] | HAS_FILE) >>> 0;
    if (fileName[fileName.length - 1] === columns.files[file]) continue;
    fileFrom.push(i);
    fileName.push(columns.files[file]);
  }
  out.fileFrom = Uint32Array.from(fileFrom);
  out.fileName = Uint32Array.from(fileName);
  const outerOf: number[] = [];
  const outer: number[] = [];
  // Symbols that reach beyond all that began after them, the farthest at the bottom.
  const open = new Int32Array(count);
  let depth = 0;
  for (let i = 0; i < count; i++) {
    const from = order[i];
    if (sizeHi[from] === 0 && sizeLo[from] === 0) {
      out.unsized[i] = 1;
      while (depth > 0 && !less(startHi[i], startLo[i], endHi[open[depth - 1]], endLo[open[depth - 1]])) depth--;
      // Without a limit: to the end of the address space.
      let hi = 0xffff_ffff;
      let lo = 0xffff_ffff;
      const cap = (byHi: number, byLo: number): void => {
        if (less(startHi[i], startLo[i], byHi, byLo) && less(byHi, byLo, hi, lo)) {
          hi = byHi;
          lo = byLo;
        }
      };
      if (i + 1 < count) cap(startHi[i + 1], startLo[i + 1]);
      cap(limitHi[from], limitLo[from]);
      if (hi === 0xffff_ffff && lo === 0xffff_ffff) {
        // The last symbol, with no section to end it: one byte, rather than all that follows.
        setEnd(out, i, 0, 1);
      } else {
        endHi[i] = hi;
        endLo[i] = lo;
      }
    } else {
      setEnd(out, i, sizeHi[from], sizeLo[from]);
    }
    while (depth > 0 && !less(endHi[i], endLo[i], endHi[open[depth - 1]], endLo[open[depth - 1]])) depth--;
    if (depth > 0) {
      outerOf.push(i);
      outer.push(open[depth - 1]);
    }
    open[depth++] = i;
  }
  out.outerOf = Int32Array.from(outerOf);
  out.outer = Int32Array.from(outer);
  return out;
}
