// Owns LebReader: LEB128 numbers of one part of a FunctionInfo.
import { FormatError } from "../base/format_error.ts";

/** No number of 64 bits is longer than 10 bytes; compilers may fill up to 16. */
const MOST_SHIFT = 7 * 16;

/** Reads numbers from a range of bytes; one object serves many ranges. */
export class LebReader {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;
  /** File offset of `bytes[0]`, for errors. */
  #origin = 0;
  #field = "";

  /** @param fileOffset Of `bytes[from]`. */
  open(bytes: Uint8Array, from: number, length: number, fileOffset: number, field: string): void {
    this.bytes = bytes;
    this.at = from;
    this.end = from + length;
    this.#origin = fileOffset - from;
    this.#field = field;
  }

  /** Throws a {@linkcode FormatError} about the place that is read. */
  refuse(problem: string, value?: number): never {
    const detail = { offset: this.#origin + this.at, field: this.#field };
    throw new FormatError(problem, value === undefined ? detail : { ...detail, value });
  }

  /** One byte. */
  byte(): number {
    if (this.at >= this.end) this.refuse("is cut short");
    return this.bytes[this.at++];
  }

  /** Passes over bytes. */
  skip(length: number): void {
    if (length > this.end - this.at) this.refuse("is cut short");
    this.at += length;
  }

  /** An unsigned number: exact up to 2^53. */
  uleb(): number {
    const first = this.byte();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 0x80;
    for (let shift = 7;; shift += 7) {
      if (shift > MOST_SHIFT) this.refuse("is no number of 64 bits");
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  /** A signed number: exact up to 2^53 in size. */
  sleb(): number {
    let value = 0;
    let scale = 1;
    for (let shift = 0;; shift += 7) {
      if (shift > MOST_SHIFT) this.refuse("is no number of 64 bits");
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (byte < 0x80) return (byte & 0x40) === 0 ? value : value - scale;
    }
  }
}
