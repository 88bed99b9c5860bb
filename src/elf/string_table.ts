// Owns strings of ELF string tables: where one ends, and its text, never longer than a limit.

const DECODER = new TextDecoder();

/** Stands at the end of a string that was cut. */
export const CUT_MARK = "…";

/**
 * The end of the zero-terminated string at `offset`: the zero's position or the table's end; -1 if it is more than
 * `limit` bytes away.
 */
export function stringEnd(table: Uint8Array, offset: number, limit: number): number {
  const text = table.subarray(offset, offset + limit + 1);
  const zero = text.indexOf(0);
  if (zero >= 0) return offset + zero;
  return text.length <= limit ? offset + text.length : -1;
}

/** The UTF-8 text from `from` to `end`. */
export function decodeText(table: Uint8Array, from: number, end: number): string {
  return DECODER.decode(table.subarray(from, end));
}

/**
 * The zero-terminated UTF-8 string at `offset` of a string table; `""` where the table ends before. Of more than
 * `limit` bytes it gives the whole characters within them, and "…".
 *
 * There is always a limit, because strings may overlap: in a table of n bytes without zeros n of them begin.
 */
export function stringAt(table: Uint8Array, offset: number, limit: number): string {
  if (!(offset < table.length)) return "";
  const whole = stringEnd(table, offset, limit);
  if (whole >= 0) return decodeText(table, offset, whole);
  let end = offset + limit;
  // Not between the bytes of one character, of which the first alone is not 0b10xxxxxx.
  for (let i = 0; i < 3 && end > offset && (table[end] & 0xc0) === 0x80; i++) end--;
  return decodeText(table, offset, end) + CUT_MARK;
}

/** Whether the string at `offset` is `text`, which is as the table has it, without a zero. */
export function stringIs(table: Uint8Array, offset: number, text: Uint8Array): boolean {
  if (offset > table.length - text.length) return false;
  for (let i = 0; i < text.length; i++) if (table[offset + i] !== text[i]) return false;
  return offset + text.length === table.length || table[offset + text.length] === 0;
}
