// Owns the UUID of a GSYM file, which is the build ID of the program it was made from: where its header says it is.
import { viewOf } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import {
  GLOBAL_END_OF_LIST,
  GLOBAL_UUID,
  GSYM_MAGIC,
  GSYM_MAX_UUID_SIZE,
  GSYM_VERSION_1,
  GSYM_VERSION_2,
  SIZEOF_GLOBAL_INFO,
  SIZEOF_HEADER_V1,
  SIZEOF_HEADER_V2,
} from "../gsym/format.ts";

/** Where a GSYM file's UUID is. */
export interface UuidPlace {
  offset: number;
  /** In bytes; 0 if it has none. */
  size: number;
}

/** Byte order of a GSYM file. @throws {FormatError} If `head` is not the start of one. */
export function gsymIsLittleEndian(head: Uint8Array): boolean {
  const magic = head.length < 4 ? 0 : viewOf(head).getUint32(0, false);
  const littleEndian = head.length >= 4 && viewOf(head).getUint32(0, true) === GSYM_MAGIC;
  if (magic === GSYM_MAGIC || littleEndian) return littleEndian;
  throw new FormatError("is not the GSYM magic", { offset: 0, field: "magic", value: magic });
}

/**
 * Where the UUID is.
 *
 * @param head The file's first bytes, or all of them.
 * @returns `undefined` if `head` ends before it says.
 * @throws {FormatError} If `head` is not the start of a GSYM file of version 1 or 2.
 */
export function gsymUuidPlace(head: Uint8Array): UuidPlace | undefined {
  const littleEndian = gsymIsLittleEndian(head);
  const view = viewOf(head);
  if (head.length < SIZEOF_HEADER_V2) return undefined;
  const version = view.getUint16(4, littleEndian);
  if (version === GSYM_VERSION_1) {
    const size = head[7];
    if (size <= GSYM_MAX_UUID_SIZE) return { offset: SIZEOF_HEADER_V1 - GSYM_MAX_UUID_SIZE, size };
    throw new FormatError("is more than 20", { offset: 7, field: "UUIDSize", value: size });
  }
  if (version !== GSYM_VERSION_2) {
    throw new FormatError("is neither 1 nor 2", { offset: 4, field: "version", value: version });
  }
  for (let at = SIZEOF_HEADER_V2; at <= head.length - SIZEOF_GLOBAL_INFO; at += SIZEOF_GLOBAL_INFO) {
    const type = view.getUint32(at, littleEndian);
    if (type === GLOBAL_END_OF_LIST) return { offset: 0, size: 0 };
    if (type !== GLOBAL_UUID) continue;
    const offset = Number(view.getBigUint64(at + 4, littleEndian));
    const size = Number(view.getBigUint64(at + 12, littleEndian));
    return { offset, size };
  }
  return undefined;
}
