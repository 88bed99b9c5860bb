// Owns the hot loops: records as words in, columns out.
import { BPF_STACK_BUILD_ID_IP, BPF_STACK_BUILD_ID_VALID } from "../uapi/bpf.ts";
import { BuildIdTable } from "./build_id_table.ts";
import { STACK_STATUS_OTHER, type StackColumns } from "./columns.ts";

/** Columns while they are filled: room for the most there can be. Pages that nobody writes cost nothing. */
export class ColumnWriter {
  readonly ids: Uint32Array;
  readonly first: Uint32Array;
  readonly status: Uint8Array;
  readonly idIndex: Int32Array;
  readonly offsetLo: Uint32Array;
  readonly offsetHi: Uint32Array;
  readonly table: BuildIdTable = new BuildIdTable();
  otherStatus: Map<number, number> = new Map();
  stacks = 0;
  rows = 0;

  constructor(stacks: number, rows: number) {
    this.ids = new Uint32Array(stacks);
    this.first = new Uint32Array(stacks + 1);
    this.status = new Uint8Array(rows);
    this.idIndex = new Int32Array(rows);
    this.offsetLo = new Uint32Array(rows);
    this.offsetHi = new Uint32Array(rows);
  }

  fits(stacks: number, rows: number): boolean {
    return stacks <= this.ids.length && rows <= this.status.length;
  }

  start(rows: number): void {
    this.stacks = 0;
    this.rows = 0;
    this.otherStatus = new Map();
    this.table.reset(rows);
  }

  columns(): StackColumns {
    const { first, stacks, rows } = this;
    first[stacks] = rows;
    return {
      ids: this.ids.subarray(0, stacks),
      first: first.subarray(0, stacks + 1),
      status: this.status.subarray(0, rows),
      idIndex: this.idIndex.subarray(0, rows),
      offsetLo: this.offsetLo.subarray(0, rows),
      offsetHi: this.offsetHi.subarray(0, rows),
      buildIds: this.table.bytes(),
      otherStatus: this.otherStatus,
    };
  }
}

// Records as words: the key, then per frame status, five words of ID in memory order, offset low, offset high.
//
// The inner loop has no call in it: frames that its first look at the ID table does not settle (1 to 10 in 100: new
// IDs, IDs not in their first slot, addresses) are listed and settled after it. With the call inside, V8 took 20 %
// longer (12.5 instead of 10.4 ms for 1,000,000 frames). The constants stand there by value because V8 does not fold
// imported ones.
export function decodeBuildIdRecords(writer: ColumnWriter, words: Int32Array, count: number, depth: number): void {
  if (count === 0) return; // `depth` is not bounded by the dump then
  const { ids, first, status, idIndex, offsetLo, offsetHi, table, stacks } = writer;
  const frameWords = 8, idWords = 5, golden = 0x9e37_79b1, valid = 1;
  const recordWords = 1 + depth * frameWords;
  const open = new Int32Array(depth);
  // Nearly every frame's status at once: 4 % faster than one by one. Others are set when they are settled.
  status.fill(valid, writer.rows, Math.min(status.length, writer.rows + count * depth));
  let row = writer.rows;
  for (let i = 0; i < count; i++) {
    const { index, rows, shift } = table;
    const start = i * recordWords;
    const end = start + recordWords;
    ids[stacks + i] = words[start];
    first[stacks + i] = row;
    let opened = 0;
    for (let at = start + 1; at < end; at += frameWords) {
      const kind = words[at];
      if (kind === 0) break;
      offsetLo[row] = words[at + 6];
      offsetHi[row] = words[at + 7];
      const w0 = words[at + 1];
      const known = index[Math.imul(w0, golden) >>> shift];
      const r = Math.imul(known, idWords);
      idIndex[row] = known - 1;
      if (
        known === 0 ||
        ((kind ^ valid) | (rows[r] ^ w0) | (rows[r + 1] ^ words[at + 2]) | (rows[r + 2] ^ words[at + 3]) |
            (rows[r + 3] ^ words[at + 4]) | (rows[r + 4] ^ words[at + 5])) !== 0
      ) {
        open[opened++] = at;
      }
      row++;
    }
    if (opened > 0) settle(writer, words, start + 1, first[stacks + i], open, opened);
  }
  writer.stacks += count;
  writer.rows = row;
}

// Settles the listed frames of the record whose first frame is at word `start` and has row `firstRow`.
function settle(
  writer: ColumnWriter,
  words: Int32Array,
  start: number,
  firstRow: number,
  open: Int32Array,
  opened: number,
): void {
  const { status, idIndex, table, otherStatus } = writer;
  for (let i = 0; i < opened; i++) {
    const at = open[i];
    const kind = words[at];
    const row = firstRow + ((at - start) >>> 3);
    if (kind === BPF_STACK_BUILD_ID_IP) {
      status[row] = kind;
      idIndex[row] = -1;
      continue;
    }
    if (kind !== BPF_STACK_BUILD_ID_VALID) {
      status[row] = STACK_STATUS_OTHER;
      otherStatus.set(row, kind);
    }
    idIndex[row] = table.find(words, at + 1);
  }
}

// Records as words: the key, then per frame the address, low and high.
export function decodeIpRecords(writer: ColumnWriter, words: Int32Array, count: number, depth: number): void {
  const { ids, first, offsetLo, offsetHi } = writer;
  const recordWords = 1 + depth * 2;
  const from = writer.rows;
  let row = from;
  for (let i = 0; i < count; i++) {
    const start = i * recordWords;
    ids[writer.stacks + i] = words[start];
    first[writer.stacks + i] = row;
    const end = start + recordWords;
    for (let at = start + 1; at < end; at += 2) {
      const low = words[at];
      const high = words[at + 1];
      if ((low | high) === 0) break;
      offsetLo[row] = low;
      offsetHi[row] = high;
      row++;
    }
  }
  writer.status.fill(BPF_STACK_BUILD_ID_IP, from, row);
  writer.idIndex.fill(-1, from, row);
  writer.stacks += count;
  writer.rows = row;
}
