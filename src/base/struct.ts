// Owns C struct layouts as data: a field table in, one reader and one writer for all of them.
import { checkRange } from "./format_error.ts";

/**
 * Field types. `addr32` is a 32-bit unsigned field given as bigint, so that the 32- and 64-bit form of a struct
 * have one shape in JavaScript. `bytesN` is an array of N bytes.
 */
export type FieldType = "u8" | "u16" | "u32" | "s32" | "u64" | "addr32" | `bytes${number}`;

/** One field of a {@linkcode StructLayout}: offset and size are in bytes. */
export interface StructField {
  readonly name: string;
  readonly type: FieldType;
  readonly offset: number;
  readonly size: number;
}

/** A C struct: its fields in memory order and its size in bytes. */
export interface StructLayout {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly StructField[];
}

const SIZES: Record<string, number> = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8, addr32: 4 };

/** Lays fields out as a C compiler does: each at its natural alignment, the whole padded to the largest. */
export function structLayout(name: string, fields: readonly (readonly [string, FieldType])[]): StructLayout {
  let offset = 0;
  let widest = 1;
  const out: StructField[] = [];
  for (const [field, type] of fields) {
    const array = type.startsWith("bytes");
    const size = array ? Number(type.slice(5)) : SIZES[type];
    const align = array ? 1 : size;
    widest = Math.max(widest, align);
    offset = Math.ceil(offset / align) * align;
    out.push({ name: field, type, offset, size });
    offset += size;
  }
  return { name, size: Math.ceil(offset / widest) * widest, fields: out };
}

/**
 * Reads the struct at byte `offset` of `view`. Byte arrays are copies. Throws `FormatError` where the view ends
 * before the struct does. The caller names `T`, whose keys are the layout's.
 */
export function readStruct<T>(layout: StructLayout, view: DataView, offset: number, littleEndian: boolean): T {
  checkRange(view.byteLength, offset, layout.size, layout.name);
  const out: Record<string, number | bigint | Uint8Array> = {};
  for (const field of layout.fields) {
    const at = offset + field.offset;
    switch (field.type) {
      case "u8":
        out[field.name] = view.getUint8(at);
        break;
      case "u16":
        out[field.name] = view.getUint16(at, littleEndian);
        break;
      case "u32":
        out[field.name] = view.getUint32(at, littleEndian);
        break;
      case "s32":
        out[field.name] = view.getInt32(at, littleEndian);
        break;
      case "addr32":
        out[field.name] = BigInt(view.getUint32(at, littleEndian));
        break;
      case "u64":
        out[field.name] = view.getBigUint64(at, littleEndian);
        break;
      default:
        out[field.name] = new Uint8Array(view.buffer, view.byteOffset + at, field.size).slice();
    }
  }
  return out as T;
}

/**
 * Writes `value` as the struct at byte `offset` of `view`, padding untouched. Fields that `value` lacks are
 * written as zero. Throws `RangeError` for a value that its field can't hold or a view that is too short.
 */
export function writeStruct(
  layout: StructLayout,
  value: object,
  view: DataView,
  offset: number,
  littleEndian: boolean,
): void {
  if (!(offset >= 0 && layout.size <= view.byteLength - offset)) {
    throw new RangeError(`${layout.name} needs ${layout.size} bytes at ${offset}, there are ${view.byteLength}`);
  }
  const source = value as Record<string, number | bigint | Uint8Array | undefined>;
  for (const field of layout.fields) {
    const at = offset + field.offset;
    const given = source[field.name];
    if (field.type.startsWith("bytes")) {
      const bytes = (given ?? new Uint8Array(0)) as Uint8Array;
      if (bytes.length > field.size) {
        throw new RangeError(`${layout.name}.${field.name} holds ${field.size} bytes, not ${bytes.length}`);
      }
      for (let i = 0; i < field.size; i++) view.setUint8(at + i, i < bytes.length ? bytes[i] : 0);
      continue;
    }
    const number = BigInt((given ?? 0) as number | bigint);
    const bits = field.size * 8;
    const fits = field.type === "s32" ? BigInt.asIntN(bits, number) : BigInt.asUintN(bits, number);
    if (fits !== number) throw new RangeError(`${layout.name}.${field.name} can't hold ${number}`);
    if (field.size === 8) view.setBigUint64(at, number, littleEndian);
    else if (field.size === 4) view.setInt32(at, Number(BigInt.asIntN(32, number)), littleEndian);
    else if (field.size === 2) view.setUint16(at, Number(number), littleEndian);
    else view.setUint8(at, Number(number));
  }
}
