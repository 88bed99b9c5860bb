// Owns the rarer half of LineRows: sequences that are out of order or overlap, cut into ascending runs.
import { END, type LineScratch, ROW, RUN } from "./line_scratch.ts";

/** Whether the runs are anything but ascending and apart. */
export function runsOverlap(runs: Float64Array, count: number): boolean {
  for (let i = RUN; i < RUN * count; i += RUN) if (runs[i + 2] < runs[i - 1]) return true;
  return false;
}

/** Rows in the order of addresses. */
export interface OrderedRows {
  /** As in {@linkcode LineScratch}; without distances, where `distances` has them. */
  readonly words: Int32Array;
  /** Where `scratch.exact` was there; else empty. */
  readonly distances: Float64Array;
  /** Distances of the first row, and of where the last ends. */
  readonly first: number;
  readonly end: number;
}

/**
 * Cuts sequences that overlap into ascending runs, and copies these. LLVM asks the first sequence, in the order of
 * their ends, that ends behind an address, so each answers from the end of the one before it on.
 */
export function disjointRuns(scratch: LineScratch, zero: number): OrderedRows {
  const { exact } = scratch;
  const sequences = scratch.runs.subarray(0, RUN * scratch.runCount);
  if (exact !== undefined) {
    for (let i = 0; i < sequences.length; i += RUN) sortRows(scratch.rows, exact, sequences, i);
  }
  shortenDropped(sequences, zero);

  const order = Uint32Array.from({ length: scratch.runCount }, (_, index) => RUN * index);
  order.sort((a, b) => sequences[a + 3] - sequences[b + 3] || a - b);
  const { rows } = scratch;
  const runs = new Float64Array(sequences.length);
  let used = 0;
  let length = 0;
  let done = -Infinity;
  for (const at of order) {
    const from = Math.max(sequences[at + 2], done);
    const end = sequences[at + 3];
    if (from >= end) continue;
    const [first, last] = [sequences[at], sequences[at + 1]];
    runs[used] = exact === undefined
      ? lastUpTo(rows, ROW, first, last, from)
      : lastUpTo(exact, 1, first, last, from);
    runs[used + 1] = last;
    runs[used + 2] = from;
    runs[used + 3] = end;
    used += RUN;
    length += last - runs[used - RUN] + 1;
    done = end;
  }
  return copyRows(scratch, runs.subarray(0, used), length);
}

/**
 * Sequences from address 0 on end where any other begins, at the latest: they are of code that the linker dropped,
 * unless they are apart from all others.
 */
function shortenDropped(sequences: Float64Array, zero: number): void {
  let lowest = Infinity;
  for (let i = 0; i < sequences.length; i += RUN) {
    if (sequences[i + 2] > zero) lowest = Math.min(lowest, sequences[i + 2]);
  }
  for (let i = 0; i < sequences.length; i += RUN) {
    if (sequences[i + 2] <= zero) sequences[i + 3] = Math.min(sequences[i + 3], lowest);
  }
}

/** Copies at most `length` rows of ascending runs, each with an END behind it unless the next goes on there. */
function copyRows(scratch: LineScratch, runs: Float64Array, length: number): OrderedRows {
  const { rows, exact } = scratch;
  const words = new Int32Array(ROW * length);
  const distances = new Float64Array(exact === undefined ? 0 : length);
  let to = 0;
  for (let i = 0; i < runs.length; i += RUN) {
    const start = to;
    const end = runs[i + 3];
    for (let row = runs[i], last = runs[i + 1]; row < last; row++) {
      const distance = exact === undefined ? rows[ROW * row] : exact[row];
      // Rows behind the end are there where addresses went back, and where a sequence was shortened.
      if (distance >= end) break;
      if (exact === undefined) words[ROW * to] = distance;
      else distances[to] = distance;
      words[ROW * to + 1] = rows[ROW * row + 1];
      words[ROW * to + 2] = rows[ROW * row + 2];
      to++;
    }
    // The first row may begin where an earlier run answers.
    if (exact === undefined) words[ROW * start] = runs[i + 2];
    else distances[start] = runs[i + 2];
    if (i + RUN < runs.length && runs[i + RUN + 2] <= end) continue;
    if (exact === undefined) words[ROW * to] = end;
    else distances[to] = end;
    words[ROW * to + 2] = END;
    to++;
  }
  return {
    words: to === length ? words : words.slice(0, ROW * to),
    distances: exact === undefined || to === length ? distances : distances.slice(0, to),
    first: runs[2],
    end: runs[runs.length - 1],
  };
}

/** Orders a sequence's rows by address, those of one address as they came, and drops what needs no row. */
function sortRows(rows: Int32Array, exact: Float64Array, sequences: Float64Array, at: number): void {
  const first = sequences[at];
  const order = Uint32Array.from({ length: sequences[at + 1] - first }, (_, index) => first + index);
  order.sort((a, b) => exact[a] - exact[b] || a - b);
  const distances = Float64Array.from(order, (row) => exact[row]);
  const lines = Int32Array.from(order, (row) => rows[ROW * row + 1]);
  const places = Int32Array.from(order, (row) => rows[ROW * row + 2]);
  let to = first;
  for (let i = 0; i < order.length; i++) {
    if (i + 1 < order.length && distances[i + 1] === distances[i]) continue;
    if (to > first && rows[ROW * to - 2] === lines[i] && rows[ROW * to - 1] === places[i]) continue;
    exact[to] = distances[i];
    rows[ROW * to + 1] = lines[i];
    rows[ROW * to + 2] = places[i];
    to++;
  }
  sequences[at + 1] = to;
}

/** The last of the rows from `first` to before `last` that begins at `distance` or before; `first` if none does. */
function lastUpTo(
  distances: Int32Array | Float64Array,
  stride: number,
  first: number,
  last: number,
  distance: number,
): number {
  let low = first;
  let high = last;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (distances[stride * middle] <= distance) low = middle;
    else high = middle;
  }
  return low;
}
