// Owns ranges of addresses that the lines of a text give: sorted by their starts, and where they overlap, cut.

/** Ranges of addresses in hi/lo columns; range i belongs to line `line[i]`. */
export interface AddressRanges {
  /** How many there are; the columns may be longer. */
  count: number;
  startHi: Uint32Array;
  startLo: Uint32Array;
  /** The last address of each, which still belongs to it: the end of a range may be 2^64. */
  lastHi: Uint32Array;
  lastLo: Uint32Array;
  line: Uint32Array;
}

/** Room for so many ranges. */
export function rangeColumns(most: number): AddressRanges {
  return {
    count: 0,
    startHi: new Uint32Array(most),
    startLo: new Uint32Array(most),
    lastHi: new Uint32Array(most),
    lastLo: new Uint32Array(most),
    line: new Uint32Array(most),
  };
}

/** Number of the last range that starts at or below an address; -1 if none does. The ranges are sorted. */
export function rangeBelow({ count, startHi, startLo }: AddressRanges, hi: number, lo: number): number {
  let low = 0;
  for (let rest = count; rest > 0;) {
    const half = rest >>> 1;
    const at = low + half;
    if (startHi[at] < hi || (startHi[at] === hi && startLo[at] <= lo)) {
      low = at + 1;
      rest -= half + 1;
    } else {
      rest = half;
    }
  }
  return low - 1;
}

/** Bits of an address that one pass sorts by. */
const DIGIT = 11;

/** The numbers 0 to `count - 1` in the order of ascending addresses; equal ones stay in order. A radix sort. */
export function byAddress(hi: Uint32Array, lo: Uint32Array, count: number): Uint32Array {
  let from = new Uint32Array(count);
  let sorted = true;
  for (let i = 0; i < count; i++) {
    from[i] = i;
    if (i > 0 && (hi[i] < hi[i - 1] || (hi[i] === hi[i - 1] && lo[i] < lo[i - 1]))) sorted = false;
  }
  if (sorted) return from;
  let to = new Uint32Array(count);
  const mask = (1 << DIGIT) - 1;
  const places = new Uint32Array(1 << DIGIT);
  for (const keys of [lo, hi]) {
    for (let shift = 0; shift < 32; shift += DIGIT) {
      places.fill(0);
      for (let i = 0; i < count; i++) places[(keys[i] >>> shift) & mask]++;
      if (places[(keys[0] >>> shift) & mask] === count) continue; // all alike, as upper halves mostly are
      let sum = 0;
      for (let digit = 0; digit <= mask; digit++) {
        const here = places[digit];
        places[digit] = sum;
        sum += here;
      }
      for (let k = 0; k < count; k++) {
        const i = from[k];
        to[places[(keys[i] >>> shift) & mask]++] = i;
      }
      [from, to] = [to, from];
    }
  }
  return from;
}

/** Ranges that the heap below has before those that are over are taken out of it. */
const LEAST_HEAP = 1024;

/**
 * Ranges, numbered in the order of their lines, made disjoint and sorted by address: of those that hold an address,
 * the last one keeps it. Takes time in proportion to n log n at most; a range is cut into as many pieces as are
 * left of it, 2n in all at most.
 */
export function latestOfEach(ranges: AddressRanges): AddressRanges {
  const { count, startHi, startLo, lastHi, lastLo, line } = ranges;
  const order = byAddress(startHi, startLo, count);
  const out = rangeColumns(2 * count);
  // A heap of the ranges that may hold the address come to, the last one on top.
  const heap = new Uint32Array(count);
  let size = 0;
  let most = LEAST_HEAP;
  let next = 0;
  let hi = 0, lo = 0;
  while (size > 0 || next < count) {
    if (size === 0) {
      hi = startHi[order[next]];
      lo = startLo[order[next]];
    }
    for (; next < count && startHi[order[next]] === hi && startLo[order[next]] === lo; next++) {
      push(heap, size++, order[next]);
    }
    if (size >= most) {
      // Below a range that is not over, any number may be: the heap would grow out of the processor's caches.
      size = withoutEnded(ranges, heap, size, hi, lo);
      most = Math.max(LEAST_HEAP, 2 * size);
    }
    while (size > 0 && (lastHi[heap[0]] < hi || (lastHi[heap[0]] === hi && lastLo[heap[0]] < lo))) {
      pop(heap, --size);
    }
    if (size === 0) continue;
    const top = heap[0];
    let endHi = lastHi[top], endLo = lastLo[top];
    if (next < count) {
      const nextHi = startHi[order[next]], nextLo = startLo[order[next]];
      if (nextHi < endHi || (nextHi === endHi && nextLo <= endLo)) {
        endLo = (nextLo - 1) >>> 0;
        endHi = nextLo === 0 ? nextHi - 1 : nextHi;
      }
    }
    append(out, line[top], hi, lo, endHi, endLo);
    lo = (endLo + 1) >>> 0;
    hi = lo === 0 ? endHi + 1 : endHi;
    if (hi > 0xffff_ffff) break; // that was the last address of all
  }
  return out;
}

/** Appends a range, or makes the last one longer if it goes on. */
function append(out: AddressRanges, line: number, hi: number, lo: number, endHi: number, endLo: number): void {
  const before = out.count - 1;
  if (before >= 0 && out.line[before] === line) {
    const goesOn = lo === 0
      ? out.lastLo[before] === 0xffff_ffff && out.lastHi[before] === hi - 1
      : out.lastLo[before] === lo - 1 && out.lastHi[before] === hi;
    if (goesOn) {
      out.lastHi[before] = endHi;
      out.lastLo[before] = endLo;
      return;
    }
  }
  const at = out.count++;
  out.startHi[at] = hi;
  out.startLo[at] = lo;
  out.lastHi[at] = endHi;
  out.lastLo[at] = endLo;
  out.line[at] = line;
}

function push(heap: Uint32Array, size: number, range: number): void {
  let at = size;
  while (at > 0) {
    const parent = (at - 1) >>> 1;
    if (heap[parent] >= range) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = range;
}

/** Takes the top off a heap that has `size` ranges afterwards. */
function pop(heap: Uint32Array, size: number): void {
  sink(heap, size, 0, heap[size]);
}

/** Puts a range at a place of the heap, or below it. */
function sink(heap: Uint32Array, size: number, at: number, range: number): void {
  for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && heap[child + 1] > heap[child]) child++;
    if (heap[child] <= range) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = range;
}

/** Takes the ranges out of a heap that end before an address; returns how many are left. */
function withoutEnded(
  { lastHi, lastLo }: AddressRanges,
  heap: Uint32Array,
  size: number,
  hi: number,
  lo: number,
): number {
  let left = 0;
  for (let i = 0; i < size; i++) {
    const range = heap[i];
    if (lastHi[range] > hi || (lastHi[range] === hi && lastLo[range] >= lo)) heap[left++] = range;
  }
  for (let at = (left >>> 1) - 1; at >= 0; at--) sink(heap, left, at, heap[at]);
  return left;
}
