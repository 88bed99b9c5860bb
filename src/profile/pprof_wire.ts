// Owns protocol buffers as far as pprof needs them written: varints, strings, nested messages; bytes that grow.

const encoder = new TextEncoder();

/** A message being written. Numbers are given as halves where they may have 64 bits. */
export class ProtoWriter {
  #bytes = new Uint8Array(1024);
  /** Bytes written. */
  length = 0;

  #room(count: number): void {
    if (this.length + count <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(2 * this.#bytes.length, this.length + count));
    bytes.set(this.#bytes.subarray(0, this.length));
    this.#bytes = bytes;
  }

  /** What was written: a view, which holds until the next write. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  /** Starts anew, with the memory there is. */
  reset(): this {
    this.length = 0;
    return this;
  }

  /** A number of up to 53 bits, without a field. */
  varint(value: number): void {
    this.#room(10);
    while (value >= 0x80) {
      this.#bytes[this.length++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    this.#bytes[this.length++] = value;
  }

  /** Field of a number of up to 53 bits, not negative; 0 is left out. */
  number(field: number, value: number): void {
    if (value === 0) return;
    this.varint(field << 3);
    this.varint(value);
  }

  /** Field of a 64-bit number as two unsigned halves; 0 is left out. */
  u64(field: number, hi: number, lo: number): void {
    if (hi < 0x20_0000) return this.number(field, hi * 0x1_0000_0000 + lo);
    this.varint(field << 3);
    this.#room(10);
    const bytes = this.#bytes;
    let low = lo, high = hi;
    for (let i = 0; i < 9; i++) {
      bytes[this.length++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
      if (low < 0x80 && high === 0) break;
    }
    bytes[this.length++] = low;
  }

  /** Field of a true value; false is left out. */
  flag(field: number, value: boolean): void {
    if (value) this.number(field, 1);
  }

  /** Field of bytes: a nested message, packed numbers. */
  message(field: number, bytes: Uint8Array): void {
    this.varint((field << 3) | 2);
    this.varint(bytes.length);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Field of a string; lone surrogates become U+FFFD. */
  string(field: number, text: string): void {
    this.message(field, encoder.encode(text));
  }
}
