// Owns ByteSink: bytes written one after the other, in memory that grows.

/** A growing buffer. `bytes` beyond `length` are of no meaning, and `bytes` is another one after it grew. */
export class ByteSink {
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;
  #view: DataView;
  readonly #littleEndian: boolean;

  constructor(capacity: number, littleEndian: boolean = true) {
    this.bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.bytes.buffer);
    this.#littleEndian = littleEndian;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  u8(value: number): void {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = value;
  }

  /** Unsigned LEB128 of a whole number below 2^53. */
  uleb(value: number): void {
    this.reserve(8);
    const { bytes } = this;
    while (value > 0x7fff_ffff) {
      bytes[this.length++] = (value % 128) | 0x80;
      value = Math.floor(value / 128);
    }
    while (value > 0x7f) {
      bytes[this.length++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    bytes[this.length++] = value;
  }

  /** Signed LEB128 of a whole number of up to 53 bits. */
  sleb(value: number): void {
    for (;;) {
      const low = ((value % 128) + 128) % 128;
      value = (value - low) / 128;
      if ((value === 0 && low < 0x40) || (value === -1 && low >= 0x40)) return this.u8(low);
      this.u8(low | 0x80);
    }
  }

  u16(value: number): void {
    this.reserve(2);
    this.#view.setUint16(this.length, value, this.#littleEndian);
    this.length += 2;
  }

  u32(value: number): void {
    this.reserve(4);
    this.#view.setUint32(this.length, value, this.#littleEndian);
    this.length += 4;
  }

  /** 64 bits of a whole number below 2^53. */
  u64(value: number): void {
    this.u64Halves(Math.floor(value / 0x1_0000_0000), value % 0x1_0000_0000);
  }

  u64Halves(hi: number, lo: number): void {
    this.u32(this.#littleEndian ? lo : hi);
    this.u32(this.#littleEndian ? hi : lo);
  }

  /** An unsigned number of 1, 2, 4 or 8 bytes, given in halves. */
  unsigned(size: number, hi: number, lo: number): void {
    if (size === 8) this.u64Halves(hi, lo);
    else if (size === 4) this.u32(lo);
    else if (size === 2) this.u16(lo);
    else this.u8(lo);
  }

  /** Overwrites 32 bits that were written before. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, this.#littleEndian);
  }

  /** Copies `bytes[from]` to `bytes[to - 1]`. */
  copy(bytes: Uint8Array, from: number, to: number): void {
    const count = to - from;
    this.reserve(count);
    const out = this.bytes;
    if (count > 24) out.set(bytes.subarray(from, to), this.length);
    else for (let i = 0; i < count; i++) out[this.length + i] = bytes[from + i];
    this.length += count;
  }

  /** Zeros up to a multiple of `alignment`, counted from `origin` bytes before the first. */
  align(alignment: number, origin: number = 0): void {
    while ((origin + this.length) % alignment !== 0) this.u8(0);
  }
}

/** Bytes that {@linkcode ByteSink.uleb} writes. */
export function ulebSize(value: number): number {
  let size = 1;
  while (value > 0x7f) {
    value = Math.floor(value / 128);
    size++;
  }
  return size;
}
