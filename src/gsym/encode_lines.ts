// Owns the encoding of LineTable: rows of one function to opcodes, as LLVM's LineTable.cpp chooses them.
import type { TemplateSink } from "./encode_function.ts";
import {
  LINE_ADVANCE_LINE,
  LINE_ADVANCE_PC,
  LINE_END_SEQUENCE,
  LINE_FIRST_SPECIAL,
  LINE_SET_FILE,
} from "./format.ts";

/** Distance of the least and the greatest line advance of special opcodes. */
const WINDOW = 14;

/** Columns of rows, at least one. */
export interface LineColumns {
  readonly rows: number;
  /** Distance from the function, ascending. */
  readonly offset: Uint32Array;
  readonly file: Uint32Array;
  readonly line: Uint32Array;
}

/** Least and greatest line advance for special opcodes: of all where they are near each other, else of the most. */
export function lineWindow({ rows, line }: LineColumns): [number, number] {
  if (rows === 1) return [0, 0];
  const counts = new Map<number, number>();
  let least = Infinity;
  let most = -Infinity;
  for (let row = 1; row < rows; row++) {
    const delta = line[row] - line[row - 1];
    counts.set(delta, (counts.get(delta) ?? 0) + 1);
    if (delta < least) least = delta;
    if (delta > most) most = delta;
  }
  if (most - least > WINDOW) {
    const deltas = Float64Array.from(counts.keys()).sort();
    let best = 0;
    let sum = 0;
    // Both ends of the window only move up.
    for (let from = 0, to = 0; from < deltas.length; from++) {
      for (; to < deltas.length && deltas[to] - deltas[from] <= WINDOW; to++) sum += counts.get(deltas[to])!;
      if (sum > best) {
        best = sum;
        least = deltas[from];
        most = deltas[to - 1];
      }
      sum -= counts.get(deltas[from])!;
    }
  }
  // So that a row of the line before takes one byte as well.
  if (least === most && least > 0 && least < WINDOW) least = 0;
  return [least, most];
}

/** Writes the line table of a function. */
export function encodeLineTable(sink: TemplateSink, columns: LineColumns): void {
  const { rows, offset, file, line } = columns;
  const { literal } = sink;
  const [least, most] = lineWindow(columns);
  literal.sleb(least);
  literal.sleb(most);
  literal.uleb(line[0]);
  const range = most - least + 1;
  for (let row = 0; row < rows; row++) {
    const before = Math.max(0, row - 1);
    if (row === 0) sink.firstFile(file[0]);
    else if (file[row] !== file[before]) {
      literal.u8(LINE_SET_FILE);
      sink.file(file[row]);
    }
    const lineDelta = line[row] - line[before];
    const addressDelta = row === 0 ? offset[0] : offset[row] - offset[before];
    const opcode = lineDelta - least + addressDelta * range + LINE_FIRST_SPECIAL;
    if (lineDelta >= least && lineDelta <= most && opcode <= 255) {
      literal.u8(opcode);
      continue;
    }
    if (lineDelta !== 0) {
      literal.u8(LINE_ADVANCE_LINE);
      literal.sleb(lineDelta);
    }
    literal.u8(LINE_ADVANCE_PC);
    literal.uleb(addressDelta);
  }
  literal.u8(LINE_END_SEQUENCE);
}
