// Owns Reader: the cursor over one DWARF section, with its integers, LEB128 numbers, addresses and strings.
import { viewOf } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import { stringAt } from "../elf/string_table.ts";

/** Most bytes of a path or name that are read from DWARF. */
export const MAX_DWARF_STRING = 0x10000;

/** From here on a length is an escape; 0xffffffff announces 64-bit DWARF. DWARF 5, 7.2.2. */
const RESERVED_LENGTHS = 0xffff_fff0;

/**
 * Addresses of this room are doubles: distance from `baseHi << 32`, where `baseHi` is the upper half of the file's
 * first address. Exact within 2^53 of it, which holds every address of a program; what lies farther off, such as
 * the all-ones address of code that the linker dropped, loses low bits and matches no lookup.
 */
export type Address = number;

/** A position in the bytes of one section, and where to stop. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly littleEndian: boolean;
  /** Name of the section, for errors. */
  readonly section: string;
  /** Upper 32 bits that {@linkcode Address} is relative to. */
  readonly baseHi: number;
  /** Offset of the next byte. */
  at: number;
  /** Nothing is read from here on. At most the length of `bytes`. */
  end: number;

  constructor(
    bytes: Uint8Array,
    littleEndian: boolean,
    section: string,
    baseHi: number = 0,
    view: DataView = viewOf(bytes),
  ) {
    this.bytes = bytes;
    this.view = view;
    this.littleEndian = littleEndian;
    this.section = section;
    this.baseHi = baseHi;
    this.at = 0;
    this.end = bytes.length;
  }

  /** Another reader of the same section, from `at` to `end`. */
  fork(at: number, end: number = this.bytes.length): Reader {
    const reader = new Reader(this.bytes, this.littleEndian, this.section, this.baseHi, this.view);
    reader.end = end;
    reader.at = at;
    if (!(at >= 0 && at <= end && end <= this.bytes.length)) reader.fail("offset", at);
    return reader;
  }

  /** Throws: what stands at `offset` (`at` if left out) is malformed or missing. */
  fail(
    field: string,
    value?: number,
    problem = "is not inside its section or unit",
    offset: number = this.at,
  ): never {
    throw new FormatError(problem, {
      offset,
      field: `${this.section} ${field}`,
      ...(value === undefined ? {} : { value }),
    });
  }

  /** Throws unless `count` more bytes can be read. */
  need(count: number, field = "data"): void {
    if (!(count <= this.end - this.at)) {
      this.fail(field, count, `needs more bytes than the ${this.end - this.at} left`);
    }
  }

  /** Moves on by `count` bytes. */
  skip(count: number, field = "data"): void {
    this.need(count, field);
    this.at += count;
  }

  u8(): number {
    if (this.at >= this.end) this.need(1);
    return this.bytes[this.at++];
  }

  u16(): number {
    this.need(2);
    const value = this.view.getUint16(this.at, this.littleEndian);
    this.at += 2;
    return value;
  }

  u24(): number {
    this.need(3);
    const { bytes, at } = this;
    this.at += 3;
    return this.littleEndian
      ? bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16)
      : bytes[at + 2] | (bytes[at + 1] << 8) | (bytes[at] << 16);
  }

  u32(): number {
    this.need(4);
    const value = this.view.getUint32(this.at, this.littleEndian);
    this.at += 4;
    return value;
  }

  /** 64 bits as a double: rounded above 2^53, where no length, offset or index is valid. */
  u64(): number {
    this.need(8);
    const first = this.view.getUint32(this.at, this.littleEndian);
    const second = this.view.getUint32(this.at + 4, this.littleEndian);
    this.at += 8;
    return this.littleEndian ? second * 0x1_0000_0000 + first : first * 0x1_0000_0000 + second;
  }

  /** An unsigned number of 1, 2, 4 or 8 bytes. */
  unsigned(size: number): number {
    if (size === 8) return this.u64();
    if (size === 4) return this.u32();
    if (size === 2) return this.u16();
    if (size === 1) return this.u8();
    return this.fail("size", size, "is not a size of integers");
  }

  /** 64 bits as 16 hex digits. */
  id(): string {
    const first = this.u32();
    const second = this.u32();
    const [hi, lo] = this.littleEndian ? [second, first] : [first, second];
    return hi.toString(16).padStart(8, "0") + lo.toString(16).padStart(8, "0");
  }

  /** Unsigned LEB128 as a double: exact below 2^53, infinite where it is absurdly long. */
  uleb(): number {
    const { bytes, end } = this;
    let at = this.at;
    if (at >= end) this.need(1);
    let byte = bytes[at++];
    let value = byte & 0x7f;
    if (byte > 0x7f) {
      for (let scale = 0x80; byte > 0x7f; scale *= 0x80) {
        if (at >= end) this.fail("LEB128", undefined, "does not end");
        byte = bytes[at++];
        value += (byte & 0x7f) * scale;
      }
      // Padding that goes on past the largest double gives 0 × ∞.
      if (value !== value) value = Infinity;
    }
    this.at = at;
    return value;
  }

  /** The unsigned LEB128 number at an offset. */
  ulebAt(at: number): number {
    this.at = at;
    return this.uleb();
  }

  /** Signed LEB128 as a double. */
  sleb(): number {
    const { bytes, end } = this;
    let at = this.at;
    let value = 0;
    let scale = 1;
    let byte = 0x80;
    while (byte > 0x7f) {
      if (at >= end) this.fail("LEB128", undefined, "does not end");
      byte = bytes[at++];
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
    }
    this.at = at;
    if ((byte & 0x40) !== 0) value -= scale;
    return value !== value ? Infinity : value;
  }

  /** Passes over a LEB128 number. */
  skipLeb(): void {
    const { bytes, end } = this;
    let at = this.at;
    do {
      if (at >= end) this.fail("LEB128", undefined, "does not end");
    } while (bytes[at++] > 0x7f);
    this.at = at;
  }

  /** An offset into a section: 4 bytes, or 8 in 64-bit DWARF. */
  offset(is64: boolean): number {
    return is64 ? this.u64() : this.u32();
  }

  /** An address of the target, 1 to 8 bytes; see {@linkcode Address}. */
  address(size: number): Address {
    if (size !== 8) return this.unsigned(size) - this.baseHi * 0x1_0000_0000;
    this.need(8);
    const first = this.view.getUint32(this.at, this.littleEndian);
    const second = this.view.getUint32(this.at + 4, this.littleEndian);
    this.at += 8;
    return this.littleEndian
      ? (second - this.baseHi) * 0x1_0000_0000 + first
      : (first - this.baseHi) * 0x1_0000_0000 + second;
  }

  /** Passes over a zero-terminated string. */
  skipString(): void {
    const { bytes, end } = this;
    let at = this.at;
    // Most are short: a loop beats indexOf().
    while (at < end && bytes[at] !== 0) at++;
    if (at >= end) this.fail("string", undefined, "does not end");
    this.at = at + 1;
  }

  /** A zero-terminated UTF-8 string, cut after 64 KiB. */
  string(): string {
    const text = stringAt(this.bytes, this.at, MAX_DWARF_STRING);
    this.skipString();
    return text;
  }

  /** `unit_length`: sets `end` of the unit and tells the format. `limit` is where the section ends. */
  initialLength(): { end: number; is64: boolean } {
    const from = this.at;
    let length = this.u32();
    const is64 = length === 0xffff_ffff;
    if (is64) length = this.u64();
    else if (length >= RESERVED_LENGTHS) this.fail("unit_length", length, "is a reserved value", from);
    if (length > this.end - this.at) {
      this.fail("unit_length", length, `passes the section's end, ${this.end - this.at} bytes away`, from);
    }
    return { end: this.at + length, is64 };
  }
}
