// Owns IntervalMap: overlapping ranges settled into intervals, and the lookup from address to the one that wins.
import type { Address } from "./reader.ts";

/** Ranges that a list keeps memory for once it is empty again: 320 KiB. */
const KEPT = 1 << 14;

/** A growing list of ranges [low, high), each with a number. Reused for one unit after the other. */
export class RangeList {
  length = 0;
  low: Float64Array = new Float64Array(1024);
  high: Float64Array = new Float64Array(1024);
  value: Int32Array = new Int32Array(1024);

  push(low: Address, high: Address, value: number): void {
    if (this.length === this.low.length) this.#grow();
    this.low[this.length] = low;
    this.high[this.length] = high;
    this.value[this.length++] = value;
  }

  /** Makes it empty; what an exceptional unit needed is let go of. */
  clear(): void {
    this.length = 0;
    if (this.low.length <= KEPT) return;
    this.low = new Float64Array(KEPT);
    this.high = new Float64Array(KEPT);
    this.value = new Int32Array(KEPT);
  }

  #grow(): void {
    const { low, high, value } = this;
    this.low = new Float64Array(2 * low.length);
    this.high = new Float64Array(2 * low.length);
    this.value = new Int32Array(2 * low.length);
    this.low.set(low);
    this.high.set(high);
    this.value.set(value);
  }
}

/** Intervals that do not overlap, ascending; between them, and around them, there is none. */
export class IntervalMap {
  /** Interval i reaches from element i to the next, and has the number `values[i]`; -1 for none. One more ends the last. */
  readonly #starts: Float64Array;
  readonly #values: Int32Array;
  /** The interval that the last lookup found: the next address is often near. */
  #last = 0;

  private constructor(starts: Float64Array, values: Int32Array) {
    this.#starts = starts;
    this.#values = values;
  }

  /** Number of the interval that holds an address, or -1. Allocates nothing. */
  lookup(address: Address): number {
    const starts = this.#starts;
    const last = this.#last;
    if (starts[last] <= address && address < starts[last + 1]) return this.#values[last];
    let low = 0;
    let high = this.#values.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle] <= address) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return -1;
    this.#last = low - 1;
    return this.#values[low - 1];
  }

  /** How many intervals there are, those between and behind others that have no number included. */
  get length(): number {
    return this.#values.length;
  }

  /** Where interval `index` begins; of `length` where the last one ends. */
  start(index: number): Address {
    return this.#starts[index];
  }

  /** Number of interval `index`; -1 for none. */
  value(index: number): number {
    return this.#values[index];
  }

  /** The interval that holds an address; of one before them all -1. */
  indexAt(address: Address): number {
    const starts = this.#starts;
    let low = 0;
    let high = this.#values.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle] <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  get retainedBytes(): number {
    return this.#starts.byteLength + this.#values.byteLength;
  }

  /** Where several ranges hold an address, the one that was pushed last wins. Leaves the list in another order. */
  static from(list: RangeList): IntervalMap {
    const sorted = sortByLow(list);
    const out = SETTLED;
    out.length = 0;
    if (!sweepNested(list, sorted, out)) {
      out.length = 0;
      sweepAny(list, sorted, out);
    }
    out.push(Infinity, 0, -1);
    const map = new IntervalMap(out.low.slice(0, out.length), out.value.slice(0, out.length - 1));
    out.clear();
    if (ORDER.length > KEPT) ORDER = new Int32Array(KEPT);
    return map;
  }
}

/** Intervals in the making, of one map at a time. */
const SETTLED = new RangeList();
let ORDER: Int32Array = new Int32Array(1024);

/** Positions of the list's ranges by ascending `low`; of equal ones the earlier first. */
function sortByLow({ length, low }: RangeList): Int32Array {
  if (length > ORDER.length) ORDER = new Int32Array(2 * length);
  const order = ORDER;
  let ascending = true;
  let least = Infinity;
  let most = -Infinity;
  for (let i = 0; i < length; i++) {
    order[i] = i;
    if (i > 0 && low[i] < low[i - 1]) ascending = false;
    if (low[i] < least) least = low[i];
    if (low[i] > most) most = low[i];
  }
  if (ascending) return order;
  if ((most - least + 1) * length < Number.MAX_SAFE_INTEGER) {
    // Address and position in one double: typed arrays of numbers sort natively.
    const keys = new Float64Array(length);
    for (let i = 0; i < length; i++) keys[i] = (low[i] - least) * length + i;
    keys.sort();
    for (let i = 0; i < length; i++) order[i] = keys[i] % length;
    return order;
  }
  order.subarray(0, length).sort((a, b) => low[a] - low[b] || a - b);
  return order;
}

/** Says that from `at` on `value` holds; merges with what was said before. */
function say(out: RangeList, at: Address, value: number): void {
  if (out.length > 0 && out.low[out.length - 1] === at) out.length--;
  if (out.length > 0 ? out.value[out.length - 1] !== value : value >= 0) out.push(at, 0, value);
}

/**
 * The case of well-formed debug information: any two ranges are apart, or the later in the list is inside the
 * earlier. Returns false where that turns out not to be so.
 */
function sweepNested({ length, low, high, value }: RangeList, order: Int32Array, out: RangeList): boolean {
  const open: number[] = [];
  for (let k = 0; k < length; k++) {
    const one = order[k];
    while (open.length > 0 && high[open[open.length - 1]] <= low[one]) {
      const at = high[open.pop()!];
      say(out, at, open.length > 0 ? value[open[open.length - 1]] : -1);
    }
    if (open.length > 0) {
      const around = open[open.length - 1];
      if (around > one || high[around] < high[one]) return false;
    }
    say(out, low[one], value[one]);
    open.push(one);
  }
  while (open.length > 0) {
    const at = high[open.pop()!];
    say(out, at, open.length > 0 ? value[open[open.length - 1]] : -1);
  }
  return true;
}

/** Any overlaps: a heap of the open ranges, the last pushed on top; ended ones leave when they come up. */
function sweepAny({ length, low, high, value }: RangeList, order: Int32Array, out: RangeList): void {
  const heap: number[] = [];
  const settle = (until: Address): void => {
    // What is on top holds until its end or `until`.
    while (heap.length > 0 && high[heap[0]] <= until) {
      const at = high[popLargest(heap)];
      while (heap.length > 0 && high[heap[0]] <= at) popLargest(heap);
      say(out, at, heap.length > 0 ? value[heap[0]] : -1);
    }
  };
  for (let k = 0; k < length; k++) {
    const one = order[k];
    settle(low[one]);
    pushLargest(heap, one);
    say(out, low[one], value[heap[0]]);
  }
  settle(Infinity);
}

function pushLargest(heap: number[], item: number): void {
  let at = heap.push(item) - 1;
  while (at > 0) {
    const parent = (at - 1) >>> 1;
    if (heap[parent] >= item) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = item;
}

function popLargest(heap: number[]): number {
  const top = heap[0];
  const item = heap.pop()!;
  let at = 0;
  for (let child = 1; child < heap.length; child = 2 * at + 1) {
    if (child + 1 < heap.length && heap[child + 1] > heap[child]) child++;
    if (heap[child] <= item) break;
    heap[at] = heap[child];
    at = child;
  }
  if (heap.length > 0) heap[at] = item;
  return top;
}
