// Owns the numbering of distinct frames: rows of decoded stacks in, a number for each, equal frames alike.
import { universalHash, universalMultipliers } from "../base/universal_hash.ts";
import type { StackColumns } from "../dump/columns.ts";
import type { FrameColumns } from "../symbolize/resolution.ts";

/** Distinct frames of {@linkcode StackColumns}. */
export interface DistinctFrames {
  /** Number of each row's frame. */
  readonly frame: Uint32Array;
  /** The first row that has frame number i. */
  readonly row: Uint32Array;
  /** 1 where frame number i is the instruction that ran, 0 where it is a return address. */
  readonly innermost: Uint8Array;
}

/**
 * Words of a key: build ID's number and whether innermost, both halves of the offset, status, number of the name.
 */
const KEY = 5;

/**
 * Numbers frames 0, 1, … in order of appearance. Frames are equal if build ID, offset, status and being the
 * innermost are, and the name that came with them. A hash with random multipliers, because the stacks may be an
 * enemy's.
 *
 * @param skipped Even the first frames of stacks are return addresses: the helper left out those inside of them.
 *   Not asked where the columns say which rows are innermost.
 */
export function distinctFrames(columns: StackColumns, skipped: boolean): DistinctFrames {
  const { first, status, idIndex, offsetLo, offsetHi, otherStatus, nameIndex } = columns;
  const rows = status.length;
  const multipliers = universalMultipliers(nameIndex === undefined ? KEY - 1 : KEY);
  let bits = 10;
  let slots = new Int32Array(1 << bits); // number + 1; 0: free
  let hashes = new Uint32Array(1 << (bits - 1));
  let firstRow = new Uint32Array(1 << (bits - 1));
  let inner = new Uint8Array(1 << (bits - 1));
  const frame = new Uint32Array(rows);
  const key = new Int32Array(KEY);
  let count = 0;
  for (let s = 0; s + 1 < first.length; s++) {
    for (let row = first[s]; row < first[s + 1]; row++) {
      const innermost = columns.innermost === undefined
        ? row === first[s] && !skipped ? 1 : 0
        : columns.innermost[row];
      key[0] = ((idIndex[row] + 1) << 1) | innermost;
      key[1] = offsetLo[row];
      key[2] = offsetHi[row];
      key[3] = otherStatus.size === 0 ? status[row] : otherStatus.get(row) ?? status[row];
      if (nameIndex !== undefined) key[4] = nameIndex[row];
      const hash = universalHash(multipliers, key, 0) >>> 0;
      let slot = hash >>> (32 - bits);
      let number = slots[slot] - 1;
      for (; number >= 0; number = slots[slot] - 1) {
        const other = firstRow[number];
        if (
          hashes[number] === hash && offsetLo[other] === offsetLo[row] && offsetHi[other] === offsetHi[row] &&
          idIndex[other] === idIndex[row] && inner[number] === innermost && status[other] === status[row] &&
          (nameIndex === undefined || nameIndex[other] === nameIndex[row]) &&
          (otherStatus.size === 0 || otherStatus.get(other) === otherStatus.get(row))
        ) break;
        slot = (slot + 1) & (slots.length - 1);
      }
      if (number < 0) {
        number = count++;
        hashes[number] = hash;
        firstRow[number] = row;
        inner[number] = innermost;
        slots[slot] = count;
        if (2 * count === slots.length) {
          bits++;
          slots = new Int32Array(1 << bits);
          for (let i = 0; i < count; i++) {
            let to = hashes[i] >>> (32 - bits);
            while (slots[to] !== 0) to = (to + 1) & (slots.length - 1);
            slots[to] = i + 1;
          }
          hashes = grown(hashes, new Uint32Array(slots.length / 2));
          firstRow = grown(firstRow, new Uint32Array(slots.length / 2));
          inner = grown(inner, new Uint8Array(slots.length / 2));
        }
      }
      frame[row] = number;
    }
  }
  return { frame, row: firstRow.slice(0, count), innermost: inner.slice(0, count) };
}

/** One row for each distinct frame, in the order of their numbers: to be symbolized instead of all rows. */
export function rowsOf(columns: StackColumns, { row, innermost }: DistinctFrames): FrameColumns {
  const { buildIds, idIndex, offsetHi, offsetLo } = columns;
  const rows: FrameColumns & { idIndex: Int32Array } = {
    idIndex: new Int32Array(row.length),
    offsetHi: new Uint32Array(row.length),
    offsetLo: new Uint32Array(row.length),
    buildIds,
    innermost,
  };
  for (let i = 0; i < row.length; i++) {
    rows.idIndex[i] = idIndex[row[i]];
    rows.offsetHi[i] = offsetHi[row[i]];
    rows.offsetLo[i] = offsetLo[row[i]];
  }
  return rows;
}

function grown<T extends Uint8Array | Uint32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
