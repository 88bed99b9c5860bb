// Owns the division of the address space: pieces that are of one symbol at most and of one unit at most.
import type { IntervalMap } from "../dwarf/interval_map.ts";
import type { Address } from "../dwarf/reader.ts";
import type { SymbolSpans } from "./symbol_spans.ts";

/** Pieces of the address space, in growing columns. */
export class Pieces {
  length = 0;
  low: Float64Array = new Float64Array(1024);
  high: Float64Array = new Float64Array(1024);
  /** -1 where no symbol names the piece. */
  symbol: Int32Array = new Int32Array(1024);
  /** -1 where no unit has code in it. Besides the unit's own addresses there can be some of no unit. */
  unit: Int32Array = new Int32Array(1024);

  push(low: Address, high: Address, symbol: number, unit: number): void {
    if (!(low < high)) return;
    const at = this.length++;
    if (at === this.low.length) this.#grow();
    this.low[at] = low;
    this.high[at] = high;
    this.symbol[at] = symbol;
    this.unit[at] = unit;
  }

  #grow(): void {
    const { low, high, symbol, unit } = this;
    this.low = new Float64Array(2 * low.length);
    this.high = new Float64Array(2 * low.length);
    this.symbol = new Int32Array(2 * low.length);
    this.unit = new Int32Array(2 * low.length);
    this.low.set(low);
    this.high.set(high);
    this.symbol.set(symbol);
    this.unit.set(unit);
  }

  /** Positions of the pieces by unit, those of none first; within one by address. */
  byUnit(): Uint32Array {
    const order = new Uint32Array(this.length);
    for (let i = 0; i < order.length; i++) order[i] = i;
    const { unit } = this;
    return order.sort((a, b) => unit[a] - unit[b] || a - b);
  }
}

/**
 * Cuts symbols where a second unit's code begins, and takes the code of units that no symbol names as pieces of
 * their own.
 */
export function cutPieces(spans: SymbolSpans, units: IntervalMap | undefined): Pieces {
  const pieces = new Pieces();
  let interval = 0;
  const count = units?.length ?? 0;
  /** Unit code before `until` that no symbol has, from `from` on. */
  const unnamed = (from: Address, until: Address): void => {
    while (interval < count && units!.start(interval) < until) {
      const end = units!.start(interval + 1);
      const value = units!.value(interval);
      if (value >= 0) {
        pieces.push(Math.max(from, units!.start(interval)), Math.min(until, end), -1, value);
      }
      if (end > until) return;
      interval++;
    }
  };
  let done = -Infinity;
  for (let span = 0; span < spans.count; span++) {
    unnamed(done, spans.low[span]);
    let low = spans.low[span];
    const high = spans.high[span];
    let unit = -1;
    while (interval < count && units!.start(interval) < high) {
      const value = units!.value(interval);
      const end = units!.start(interval + 1);
      if (end > low && value >= 0 && value !== unit) {
        const start = units!.start(interval);
        if (unit >= 0) {
          pieces.push(low, start, spans.symbol[span], unit);
          low = start;
        }
        unit = value;
      }
      if (end > high) break;
      interval++;
    }
    pieces.push(low, high, spans.symbol[span], unit);
    done = high;
  }
  unnamed(done, Infinity);
  return pieces;
}
