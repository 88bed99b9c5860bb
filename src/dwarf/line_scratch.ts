// Owns LineScratch: the growing memory that line-number programs of all units are decoded into, one after another.
import type { Address } from "./reader.ts";

/** Numbers of a row: distance from `base`, line, place (file << 16 | column). */
export const ROW = 3;
/** Numbers of a sequence: its first row, the row after its last, its first address, the one after its last. */
export const RUN = 4;

/** In the place of a row: none, but the end of the one before, where no sequence goes on. */
export const END = -1;
/** File number of rows whose own does not fit 16 bits. */
export const NO_FILE = 0xffff;

/** Rows and sequences that are kept for the next program: 768 KiB and 128 KiB. */
const KEPT_ROWS = 0x1_0000;
const KEPT_RUNS = 0x1000;

/**
 * Rows and sequences in the program's order, before they are copied to their exact size. One is shared by all
 * programs: decoding is synchronous and calls nothing of the user's, so no two use it at once.
 */
export class LineScratch {
  /** {@linkcode ROW} numbers each; one with {@linkcode END} follows each sequence. */
  rows: Int32Array = new Int32Array(ROW * 0x400);
  /** What distances are counted from. */
  base: Address = 0;
  /** {@linkcode RUN} numbers each; addresses are distances too. */
  runs: Float64Array = new Float64Array(RUN * 0x40);
  runCount = 0;
  /** Where distances don't fit 31 bits, or addresses may go back in a sequence: distances. No rows are merged. */
  exact: Float64Array | undefined;
  /** op_index of a VLIW machine. */
  operation = 0;
  /** Whether the code was dropped. As in LLVM, until the next DW_LNE_set_address. */
  dropped = false;

  /** Ready for another program. */
  reset(base: Address): void {
    this.base = base;
    this.runCount = 0;
    this.operation = 0;
    this.dropped = false;
  }

  /** Twice the rows. */
  growRows(): Int32Array {
    if (this.exact !== undefined) this.exact = grown(this.exact, new Float64Array(2 * this.rows.length / ROW));
    return this.rows = grown(this.rows, new Int32Array(2 * this.rows.length));
  }

  /** Notes a sequence that has ended. */
  addRun(first: number, end: number, low: number, high: number): void {
    const at = RUN * this.runCount++;
    if (at === this.runs.length) this.runs = grown(this.runs, new Float64Array(2 * at));
    const { runs } = this;
    runs[at] = first;
    runs[at + 1] = end;
    runs[at + 2] = low;
    runs[at + 3] = high;
  }

  /** Forgets what an exceptional program needed. */
  release(): void {
    this.exact = undefined;
    if (this.rows.length > ROW * KEPT_ROWS) this.rows = new Int32Array(ROW * KEPT_ROWS);
    if (this.runs.length > RUN * KEPT_RUNS) this.runs = new Float64Array(RUN * KEPT_RUNS);
  }
}

function grown<T extends Float64Array | Int32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
