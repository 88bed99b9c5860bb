// Owns the way from a symbol table to spans: which symbol answers where, without overlap.
import type { Address } from "../dwarf/reader.ts";
import type { ElfFile } from "../elf/elf_file.ts";
import type { SymbolTable } from "../symbolize/symbol_table.ts";

/** Farther from the program's first address nothing is converted: beyond, doubles are not exact. */
const FARTHEST = 2 ** 52;

/** Stretches of addresses, ascending, without overlap; each with its symbol. */
export interface SymbolSpans {
  count: number;
  low: Float64Array;
  high: Float64Array;
  symbol: Int32Array;
  /** Symbols that are too far away. */
  far: number;
}

/** The address of the program that `address` is relative to the upper half `baseHi`; see {@linkcode Address}. */
export function absolute(address: Address, baseHi: number): { hi: number; lo: number } {
  const upper = Math.floor(address / 0x1_0000_0000);
  return { hi: (baseHi + upper) >>> 0, lo: address - upper * 0x1_0000_0000 };
}

/**
 * Asks the table what it answers between any two addresses where its answer can change: where symbols begin and
 * end, and where sections do, which end symbols without a size.
 *
 * @param files The files that the table may be of.
 */
export function symbolSpans(
  table: SymbolTable | undefined,
  files: readonly ElfFile[],
  baseHi: number,
): SymbolSpans {
  const spans: SymbolSpans = {
    count: 0,
    low: new Float64Array(0),
    high: new Float64Array(0),
    symbol: new Int32Array(0),
    far: 0,
  };
  if (table === undefined || table.length === 0) return spans;
  const ends = sectionEnds(files, baseHi);
  const points = new Float64Array(2 * table.length + ends.length);
  const base = BigInt(baseHi) << 32n;
  let count = 0;
  const point = (address: number): void => {
    if (Math.abs(address) < FARTHEST) points[count++] = address;
  };
  for (let i = 0; i < table.length; i++) {
    const start = Number(table.address(i) - base);
    if (!(Math.abs(start) < FARTHEST)) {
      spans.far++;
      continue;
    }
    point(start);
    // Of one without a size, that no section ends either, the table keeps one byte.
    point(start + Math.max(1, Number(table.size(i))));
  }
  for (const end of ends) point(end);
  const sorted = points.subarray(0, count).sort();
  spans.low = new Float64Array(count);
  spans.high = new Float64Array(count);
  spans.symbol = new Int32Array(count);
  for (let i = 0; i + 1 < count; i++) {
    if (sorted[i] === sorted[i + 1]) continue;
    const { hi, lo } = absolute(sorted[i], baseHi);
    const symbol = table.lookup(hi, lo);
    if (symbol < 0) continue;
    const last = spans.count - 1;
    if (last >= 0 && spans.symbol[last] === symbol && spans.high[last] === sorted[i]) {
      spans.high[last] = sorted[i + 1];
      continue;
    }
    spans.low[spans.count] = sorted[i];
    spans.high[spans.count] = sorted[i + 1];
    spans.symbol[spans.count++] = symbol;
  }
  return spans;
}

function sectionEnds(files: readonly ElfFile[], baseHi: number): number[] {
  const ends: number[] = [];
  for (const { shdrs } of files) {
    const address = shdrs.column("sh_addr");
    const size = shdrs.column("sh_size");
    for (let i = 0; i < shdrs.length; i++) {
      const end = (address.hi[i] + size.hi[i] - baseHi) * 0x1_0000_0000 + address.lo[i] + size.lo[i];
      ends.push(end);
    }
  }
  return ends;
}
