// Owns FormatError: what every parser throws when the bytes or text it was given are malformed.
import { jsonText } from "./plain_text.ts";

/** Where and what a {@linkcode FormatError} found. */
export interface FormatErrorDetail {
  /** Byte offset (for text: character offset) from the start of the parsed input. */
  offset: number;
  /** Name of the field, as the format's header or specification spells it. */
  field: string;
  /** The value found there, where there is one. */
  value?: number | bigint | string;
}

/**
 * A file, dump or text does not follow its format.
 *
 * Every parser of this package throws it for malformed input and for nothing else: a broken contract is a
 * `TypeError` or `RangeError`, and what a modelled kernel function returned is a number.
 *
 * The message names the problem, the field, its value and its offset.
 *
 * @example
 * ```ts
 * import { FormatError, parseEhdr } from "@bpf/stackmap";
 *
 * try {
 *   parseEhdr(new Uint8Array(64));
 * } catch (error) {
 *   if (!(error instanceof FormatError)) throw error;
 *   console.log(error.field, error.offset); // "e_ident" 0
 * }
 * ```
 */
export class FormatError extends Error {
  /** Always `"FormatError"`. */
  override readonly name = "FormatError";
  /** Byte offset (for text: character offset) from the start of the parsed input. */
  readonly offset: number;
  /** Name of the field, as the format's header or specification spells it. */
  readonly field: string;
  /** The value found there; `undefined` where the input ended before it. */
  readonly value: number | bigint | string | undefined;

  /**
   * Builds the message from its parts.
   *
   * @param problem What is wrong, as a clause: `"is not an ELF magic"`.
   * @param detail Where.
   */
  constructor(problem: string, detail: FormatErrorDetail) {
    const { offset, field, value } = detail;
    const shown = value === undefined ? "" : ` = ${typeof value === "string" ? jsonText(value) : value}`;
    super(`${field}${shown} at offset ${offset}: ${problem}`);
    this.offset = offset;
    this.field = field;
    this.value = value;
  }
}

/**
 * Throws a {@linkcode FormatError} unless `length` bytes at `offset` lie inside `available` bytes. Written so
 * that no sum can overflow: `offset` and `length` may be anything a hostile header says.
 */
export function checkRange(available: number, offset: number, length: number, field: string): void {
  if (!(offset >= 0 && length >= 0 && offset <= available && length <= available - offset)) {
    throw new FormatError(`needs ${length} bytes, the input has ${available}`, { offset, field });
  }
}

/** What `read` returns; `undefined` where it throws a {@linkcode FormatError}, which goes to `problems`. */
export function attempt<T>(problems: FormatError[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    problems.push(error);
    return undefined;
  }
}
