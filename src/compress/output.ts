// Owns the growing output of the decompressors: bounded by the limit, paid for by what is decoded.
import { FormatError } from "../base/format_error.ts";

/** Positions in the output are 32-bit integers. */
const MOST_BYTES = 0x7fff_ffff;

/** Bytes decoded so far, in one buffer that grows geometrically. */
export class Output {
  /** The buffer; the bytes from `length` on mean nothing. */
  bytes: Uint8Array<ArrayBuffer>;
  /** A view of the whole of `bytes`. */
  view: DataView<ArrayBuffer>;
  /** How many bytes are decoded. */
  length = 0;
  /** How many there may be. */
  readonly limit: number;

  /**
   * @param limit The most bytes that the caller wants; above 2^31 − 1 it counts as that.
   * @throws {RangeError} For a limit that is not a whole number from 0 on.
   */
  constructor(limit: number) {
    if (!Number.isSafeInteger(limit) || limit < 0) {
      throw new RangeError(`limit must be a whole number of bytes, not ${limit}`);
    }
    this.limit = Math.min(limit, MOST_BYTES);
    this.bytes = new Uint8Array(0);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes the buffer hold `capacity` bytes, or `limit` if that is less. The factor of growth is at least 2. */
  reserve(capacity: number): void {
    if (capacity <= this.bytes.length) return;
    this.reserveExactly(Math.max(capacity, 2 * this.bytes.length));
  }

  /** The same without the factor; for a size that is known. */
  reserveExactly(capacity: number): void {
    const size = Math.min(this.limit, capacity);
    if (size <= this.bytes.length) return;
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  /** The error for output over the limit. `offset` is that of the input which unpacks to too much. */
  overflow(offset: number, field: string): FormatError {
    return new FormatError(`unpacks to more than ${this.limit} bytes`, { offset, field });
  }

  /** The decoded bytes, in a buffer of exactly their size. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.length === this.bytes.length ? this.bytes : this.bytes.slice(0, this.length);
  }
}
