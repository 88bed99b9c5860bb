// Owns Zstandard's decoding tables: FSE states for sequences and weights, and Huffman codes for literals.
import { FormatError } from "../base/format_error.ts";

/** Longest Huffman code, in bits. */
export const HUFFMAN_BITS = 11;

/**
 * One FSE table with what its symbols stand for. State `i` means the value `values[i]` plus the number in the next
 * `steps[i] >>> 24` bits; the next state is `steps[i] & 0xffff` plus the number in `(steps[i] >> 16) & 0xff` bits.
 */
export interface FseTable {
  readonly values: Int32Array;
  readonly steps: Int32Array;
  /** Bits of a state. */
  log: number;
}

/** What the codes of one kind of sequence field mean, and the limits of its tables. */
export interface SequenceCode {
  readonly field: string;
  /** Value of each code without its extra bits. */
  readonly base: Int32Array;
  /** Number of extra bits of each code. */
  readonly extra: Uint8Array;
  /** Highest `Accuracy_Log`. */
  readonly maxLog: number;
  /** The predefined distribution and its `Accuracy_Log`. */
  readonly counts: readonly number[];
  readonly log: number;
}

/** Codes that stand for themselves, then codes with extra bits, each starting where the last one ends. */
function codes(direct: number, first: number, bits: readonly number[]): { base: Int32Array; extra: Uint8Array } {
  const extra = [...new Array<number>(direct).fill(0), ...bits];
  let next = first;
  const base = extra.map((count) => {
    const value = next;
    next += 2 ** count;
    return value;
  });
  return { base: Int32Array.from(base), extra: Uint8Array.from(extra) };
}

const ones = (count: number): number[] => new Array<number>(count).fill(1);
const twos = (count: number): number[] => new Array<number>(count).fill(2);

/** RFC 8878, 3.1.1.3.2.1.1 and 3.1.1.3.2.2.1. */
export const LITERAL_LENGTHS: SequenceCode = {
  field: "Literals_Length_Code",
  ...codes(16, 0, [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
  maxLog: 9,
  counts: [4, 3, ...twos(11), 1, 1, 1, ...twos(9), 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1],
  log: 6,
};

/** RFC 8878, 3.1.1.3.2.1.1 and 3.1.1.3.2.2.2. */
export const MATCH_LENGTHS: SequenceCode = {
  field: "Match_Length_Code",
  ...codes(32, 3, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
  maxLog: 9,
  counts: [1, 4, 3, 2, 2, 2, 2, 2, 2, ...ones(37), -1, -1, -1, -1, -1, -1, -1],
  log: 6,
};

/** RFC 8878, 3.1.1.3.2.1.1 and 3.1.1.3.2.2.3. Code N means 2^N; as a 32-bit integer, the last one is negative. */
export const OFFSETS: SequenceCode = {
  field: "Offset_Code",
  base: Int32Array.from({ length: 32 }, (_, code) => 1 << code),
  extra: Uint8Array.from({ length: 32 }, (_, code) => code),
  maxLog: 8,
  counts: [1, 1, 1, 1, 1, 1, 2, 2, 2, ...ones(15), -1, -1, -1, -1, -1],
  log: 5,
};

/** Codes of Huffman weights: the weight itself. Weight 0 means that the symbol is absent. */
export const WEIGHTS: SequenceCode = {
  field: "Huffman_Weight",
  base: Int32Array.from({ length: HUFFMAN_BITS + 1 }, (_, weight) => weight),
  extra: new Uint8Array(HUFFMAN_BITS + 1),
  maxLog: 6,
  counts: [],
  log: 0,
};

/** An empty table with room for every table of `code`. */
export function newFseTable(code: SequenceCode): FseTable {
  return { values: new Int32Array(1 << code.maxLog), steps: new Int32Array(1 << code.maxLog), log: 0 };
}

const symbolOf = new Uint8Array(512);
const nextOf = new Int32Array(64);

/** Fills `table` from a distribution of `1 << log` states; −1 is a probability "less than one". */
export function buildFse(table: FseTable, code: SequenceCode, counts: ArrayLike<number>, log: number): void {
  const size = 1 << log;
  let high = size - 1;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    nextOf[symbol] = counts[symbol];
    if (counts[symbol] === -1) {
      symbolOf[high--] = symbol;
      nextOf[symbol] = 1;
    }
  }
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    for (let i = 0; i < counts[symbol]; i++) {
      symbolOf[at] = symbol;
      do at = (at + step) & (size - 1); while (at > high);
    }
  }
  for (let state = 0; state < size; state++) {
    const symbol = symbolOf[state];
    const next = nextOf[symbol]++;
    const bits = log - (31 - Math.clz32(next));
    table.values[state] = code.base[symbol];
    table.steps[state] = ((next << bits) - size) | (bits << 16) | (code.extra[symbol] << 24);
  }
  table.log = log;
}

/** Fills `table` with one state that means `symbol` for ever. */
export function buildFseRle(table: FseTable, code: SequenceCode, symbol: number, offset: number): void {
  if (symbol >= code.base.length) {
    throw new FormatError(`is above ${code.base.length - 1}`, { offset, field: code.field, value: symbol });
  }
  table.values[0] = code.base[symbol];
  table.steps[0] = code.extra[symbol] << 24;
  table.log = 0;
}

/**
 * Reads an `FSE_Table_Description` from `at` on, which ends before `end`, and fills `table`. RFC 8878, 4.1.1.
 *
 * @param delta What to add to a position in `bytes` for the offset in errors.
 * @returns The position behind it.
 */
export function readFse(
  table: FseTable,
  code: SequenceCode,
  bytes: Uint8Array,
  at: number,
  end: number,
  delta: number,
): number {
  const fail = (problem: string): never => {
    throw new FormatError(problem, { offset: at + delta, field: code.field });
  };
  if (at >= end) fail("has no table: the block ends");
  let bit = at * 8;
  // Bits beyond `end` are whatever lies there; the check below finds them used.
  const peek = (count: number): number => {
    const byte = bit >> 3;
    const word = bytes[byte] | (bytes[byte + 1] << 8) | (bytes[byte + 2] << 16);
    return (word >> (bit & 7)) & ((1 << count) - 1);
  };
  const log = peek(4) + 5;
  bit += 4;
  if (log > code.maxLog) fail(`has an accuracy of ${log} bits, more than ${code.maxLog}`);
  const counts: number[] = [];
  let remaining = 1 << log;
  while (remaining > 0 && counts.length < code.base.length) {
    const width = 32 - Math.clz32(remaining + 1);
    const low = (1 << (width - 1)) - 1;
    const threshold = (1 << width) - 1 - (remaining + 1);
    let value = peek(width);
    if ((value & low) < threshold) {
      value &= low;
      bit += width - 1;
    } else {
      if (value > low) value -= threshold;
      bit += width;
    }
    const count = value - 1;
    remaining -= Math.abs(count);
    counts.push(count);
    if (count === 0) {
      let more: number;
      do {
        more = peek(2);
        bit += 2;
        for (let i = 0; i < more; i++) counts.push(0);
      } while (more === 3 && bit < end * 8);
    }
    if (bit > end * 8) fail("has a table that runs over its end");
  }
  if (remaining !== 0 || counts.length > code.base.length) fail("has probabilities that don't add up");
  buildFse(table, code, counts, log);
  return (bit + 7) >> 3;
}

/** Huffman codes: the next `log` bits, as a number, are the index of `symbol << 8 | bits used`. */
export interface HuffmanTable {
  readonly entries: Uint16Array;
  log: number;
}

const weights = new Uint8Array(256);
const weightTable = newFseTable(WEIGHTS);

/** Weights of an FSE stream, two interleaved states; returns how many. RFC 8878, 4.2.1.2. */
function readWeights(bytes: Uint8Array, at: number, end: number, delta: number): number {
  const start = readFse(weightTable, WEIGHTS, bytes, at, end, delta);
  const last = start < end ? bytes[end - 1] : 0;
  const fail = (problem: string): never => {
    throw new FormatError(problem, { offset: at + delta, field: WEIGHTS.field });
  };
  if (last === 0) fail("has a stream without its end mark");
  const { values, steps, log } = weightTable;
  let bit = (end - 1) * 8 + 31 - Math.clz32(last);
  const take = (count: number): number => {
    let value = 0;
    for (let i = 0; i < count; i++) {
      bit--;
      // Before the start there are zeros.
      value = (value << 1) | (bit >= start * 8 ? (bytes[bit >> 3] >> (bit & 7)) & 1 : 0);
    }
    return value;
  };
  let state = take(log);
  let other = take(log);
  if (bit < start * 8) fail("has a stream that is too short");
  let count = 0;
  for (;;) {
    // 255 at most are described, the last symbol's is never written; one more may follow in the branch below.
    if (count > 253) fail("describes more than 255 symbols");
    weights[count++] = values[state];
    state = (steps[state] & 0xffff) + take((steps[state] >> 16) & 0xff);
    if (bit < start * 8) {
      weights[count++] = values[other];
      return count;
    }
    [state, other] = [other, state];
  }
}

/**
 * Reads a `Huffman_Tree_Description` and fills `table`. RFC 8878, 4.2.1.
 *
 * @returns The position behind it.
 */
export function readHuffman(
  table: HuffmanTable,
  bytes: Uint8Array,
  at: number,
  end: number,
  delta: number,
): number {
  const fail = (problem: string): never => {
    throw new FormatError(problem, { offset: at + delta, field: "Huffman_Tree_Description" });
  };
  if (at >= end) fail("is missing: the block ends");
  const header = bytes[at];
  const direct = header >= 128;
  const next = at + 1 + (direct ? (header - 126) >> 1 : header);
  if (next > end) fail("runs over the end of its block");
  let count = header - 127;
  if (direct) {
    for (let i = 0; i < count; i++) {
      const pair = bytes[at + 1 + (i >> 1)];
      weights[i] = i & 1 ? pair & 15 : pair >> 4;
    }
  } else {
    count = readWeights(bytes, at + 1, next, delta);
  }
  let sum = 0;
  for (let i = 0; i < count; i++) {
    if (weights[i] > HUFFMAN_BITS) fail(`has a weight of ${weights[i]}`);
    sum += (1 << weights[i]) >> 1;
  }
  const log = 32 - Math.clz32(sum);
  const left = (1 << log) - sum;
  if (sum === 0 || log > HUFFMAN_BITS || (left & (left - 1)) !== 0) fail("has weights that don't add up");
  weights[count++] = 32 - Math.clz32(left);
  // Codes in the order of weights, then of symbols; a code of weight W fills 2^(W − 1) entries.
  let entry = 0;
  for (let weight = 1; weight <= log; weight++) {
    const length = 1 << (weight - 1);
    for (let symbol = 0; symbol < count; symbol++) {
      if (weights[symbol] !== weight) continue;
      table.entries.fill((symbol << 8) | (log + 1 - weight), entry, entry + length);
      entry += length;
    }
  }
  table.log = log;
  return next;
}
