// Owns HeaderTable: program or section headers where they stand, searched without making an object for each.
import { checkRange, FormatError } from "../base/format_error.ts";
import { readStruct, type StructField, type StructLayout } from "../base/struct.ts";
import { viewOf } from "../base/bytes.ts";

/** Where a table stands, and which fields of the ELF header say so. */
export interface HeaderPlace {
  offset: bigint;
  offsetField: string;
  entsize: number;
  entsizeField: string;
  count: number;
}

/** `value` as an exact number, or `FormatError`: no file is that large, and rounding would read elsewhere. */
export function toFileNumber(value: bigint, field: string, offset: number): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new FormatError("is past any file's end", { offset, field, value });
  }
  return Number(value);
}

/**
 * A table of headers inside a file. A file may consist of nothing but headers, and an object takes several times
 * the bytes of its header: whoever needs a few of them, or a field of all, asks for just that.
 */
export class HeaderTable<T> {
  readonly length: number;
  readonly #layout: StructLayout;
  readonly #view: DataView;
  readonly #littleEndian: boolean;
  readonly #offset: number;
  readonly #entsize: number;

  /** @throws {FormatError} If the table is not all inside `bytes`, or its entries are smaller than the struct. */
  constructor(bytes: Uint8Array, layout: StructLayout, littleEndian: boolean, place: HeaderPlace) {
    const { entsize, count } = place;
    const offset = toFileNumber(place.offset, place.offsetField, 0);
    if (entsize < layout.size) {
      throw new FormatError(`is smaller than ${layout.name}, ${layout.size} bytes`, {
        offset: 0,
        field: place.entsizeField,
        value: entsize,
      });
    }
    checkRange(bytes.length, offset, count * entsize, place.offsetField);
    this.length = count;
    this.#layout = layout;
    this.#view = viewOf(bytes);
    this.#littleEndian = littleEndian;
    this.#offset = offset;
    this.#entsize = entsize;
  }

  /** A table without headers. */
  static empty<T>(layout: StructLayout): HeaderTable<T> {
    const place = { offset: 0n, offsetField: "", entsize: layout.size, entsizeField: "", count: 0 };
    return new HeaderTable<T>(new Uint8Array(0), layout, true, place);
  }

  /** Header `index`, which has to be one of the table's. */
  get(index: number): T {
    if (!(index >= 0 && index < this.length)) throw new RangeError(`header ${index} of ${this.length}`);
    return readStruct<T>(this.#layout, this.#view, this.#offset + index * this.#entsize, this.#littleEndian);
  }

  /** Every header. */
  all(): T[] {
    return Array.from({ length: this.length }, (_, index) => this.get(index));
  }

  /** The first index from `from` on where a 32-bit field has this value, or -1. */
  find(field: string & keyof T, value: number, from = 0): number {
    let at = this.#offset + from * this.#entsize + this.#field(field).offset;
    for (let index = from; index < this.length; index++, at += this.#entsize) {
      if (this.#view.getUint32(at, this.#littleEndian) === value) return index;
    }
    return -1;
  }

  /** An address-sized field of all headers, its upper and lower 32 bits. */
  column(field: string & keyof T): { hi: Uint32Array; lo: Uint32Array } {
    const { offset, size } = this.#field(field);
    const wide = size === 8;
    const hi = new Uint32Array(this.length);
    const lo = new Uint32Array(this.length);
    let at = this.#offset + offset;
    for (let index = 0; index < this.length; index++, at += this.#entsize) {
      if (wide) hi[index] = this.#view.getUint32(this.#littleEndian ? at + 4 : at, this.#littleEndian);
      lo[index] = this.#view.getUint32(wide && !this.#littleEndian ? at + 4 : at, this.#littleEndian);
    }
    return { hi, lo };
  }

  #field(name: string): StructField {
    return this.#layout.fields.find((field) => field.name === name)!;
  }
}
