// Owns the header of a GSYM file, of both versions: where its tables lie, checked against the file's size.
import { viewOf } from "../base/bytes.ts";
import { checkRange, FormatError } from "../base/format_error.ts";
import {
  GLOBAL_ADDR_INFO_OFFSETS,
  GLOBAL_ADDR_OFFSETS,
  GLOBAL_END_OF_LIST,
  GLOBAL_FILE_TABLE,
  GLOBAL_FUNCTION_INFO,
  GLOBAL_STRING_TABLE,
  GLOBAL_UUID,
  GSYM_MAGIC,
  GSYM_MAX_UUID_SIZE,
  GSYM_VERSION_1,
  GSYM_VERSION_2,
  SIZEOF_GLOBAL_INFO,
  SIZEOF_HEADER_V1,
  SIZEOF_HEADER_V2,
} from "./format.ts";

/** Most entries of a version 2 directory; six kinds are defined. */
const MOST_GLOBALS = 64;
/** Longest UUID of a version 2 file, whose directory may give it any size. */
const MOST_UUID = 1024;

/** Bytes from a file's start that hold every header that is read. */
export const MOST_HEADER: number = SIZEOF_HEADER_V2 + (MOST_GLOBALS + 1) * SIZEOF_GLOBAL_INFO;

/** Where the parts of a GSYM file lie; offsets and sizes in bytes, inside the file. */
export interface GsymHeader {
  readonly version: number;
  readonly littleEndian: boolean;
  /** Size of an entry of the address table: 1, 2, 4 or 8. */
  readonly addrOffSize: number;
  /** Size of string offsets and of entries of the table of info offsets: 4 in version 1, else 8. */
  readonly wordSize: number;
  /** The base address, its upper and lower 32 bits. */
  readonly baseHi: number;
  readonly baseLo: number;
  /** Number of functions. */
  readonly count: number;
  /** The address table. */
  readonly addresses: number;
  /** The table of info offsets, */
  readonly infos: number;
  /** which count from here, */
  readonly infoBase: number;
  /** and stay before this. */
  readonly infoEnd: number;
  /** The file table, with its u32 count, */
  readonly files: number;
  /** and where it ends at the latest. */
  readonly filesEnd: number;
  readonly strings: number;
  readonly stringsSize: number;
  readonly uuid: number;
  readonly uuidSize: number;
}

function refuse(problem: string, field: string, offset: number, value: number | bigint): never {
  throw new FormatError(problem, { offset, field, value });
}

/**
 * Decodes a header.
 *
 * @param bytes The file's first {@linkcode MOST_HEADER} bytes, or all of a shorter file.
 * @param size Size of the file, in bytes.
 * @throws {FormatError} If it is no GSYM file of a version that is known, or a table passes the file's end.
 */
export function parseGsymHeader(bytes: Uint8Array, size: number): GsymHeader {
  checkRange(bytes.length, 0, 8, "Magic");
  const view = viewOf(bytes);
  const littleEndian = view.getUint32(0, true) === GSYM_MAGIC;
  const magic = view.getUint32(0, littleEndian);
  if (magic !== GSYM_MAGIC) refuse("is not GSYM's magic", "Magic", 0, magic);
  const version = view.getUint16(4, littleEndian);
  const addrOffSize = bytes[6];
  if (version !== GSYM_VERSION_1 && version !== GSYM_VERSION_2) {
    refuse("is no version that is known", "Version", 4, version);
  }
  if (![1, 2, 4, 8].includes(addrOffSize)) refuse("is none of 1, 2, 4, 8", "AddrOffSize", 6, addrOffSize);
  const first = version === GSYM_VERSION_1;
  checkRange(bytes.length, 0, first ? SIZEOF_HEADER_V1 : SIZEOF_HEADER_V2, "Header");
  const count = view.getUint32(16, littleEndian);
  const common = {
    version,
    littleEndian,
    addrOffSize,
    wordSize: first ? 4 : 8,
    baseHi: view.getUint32(littleEndian ? 12 : 8, littleEndian),
    baseLo: view.getUint32(littleEndian ? 8 : 12, littleEndian),
    count,
  };
  return first ? { ...common, ...tablesV1(view, common, size) } : { ...common, ...tablesV2(view, common, size) };
}

type Common = Pick<GsymHeader, "littleEndian" | "addrOffSize" | "wordSize" | "count">;
type Tables = Omit<GsymHeader, keyof Common | "version" | "baseHi" | "baseLo">;

/** Version 1: tables follow each other; Header.h has the place of the strings only. */
function tablesV1(view: DataView, { littleEndian, addrOffSize, count }: Common, size: number): Tables {
  const uuidSize = view.getUint8(7);
  if (uuidSize > GSYM_MAX_UUID_SIZE) refuse(`is over ${GSYM_MAX_UUID_SIZE}`, "UUIDSize", 7, uuidSize);
  const strings = view.getUint32(20, littleEndian);
  const stringsSize = view.getUint32(24, littleEndian);
  checkRange(size, strings, stringsSize, "StrtabOffset");
  const addresses = SIZEOF_HEADER_V1; // a multiple of every entry size
  checkRange(size, addresses, count * addrOffSize, "AddrOffsets");
  const infos = Math.ceil((addresses + count * addrOffSize) / 4) * 4;
  checkRange(size, infos, 4 * count, "AddrInfoOffsets");
  const files = infos + 4 * count;
  checkRange(size, files, 4, "FileTable");
  return {
    addresses,
    infos,
    infoBase: 0,
    infoEnd: size,
    files,
    filesEnd: size,
    strings,
    stringsSize,
    uuid: 28,
    uuidSize,
  };
}

/** Version 2: a directory says where each table is. */
function tablesV2(view: DataView, { littleEndian, addrOffSize, count }: Common, size: number): Tables {
  const encoding = view.getUint8(7);
  if (encoding !== 0) refuse("is no encoding of strings that is known", "StrTableEncoding", 7, encoding);
  const places = new Map<number, { offset: number; size: number; at: number }>();
  for (let at = SIZEOF_HEADER_V2, index = 0;; at += SIZEOF_GLOBAL_INFO, index++) {
    if (index === MOST_GLOBALS) refuse("is more than a directory has", "GlobalData", at, index);
    checkRange(view.byteLength, at, 4, "GlobalData");
    const type = view.getUint32(at, littleEndian);
    if (type === GLOBAL_END_OF_LIST) break;
    checkRange(view.byteLength, at, SIZEOF_GLOBAL_INFO, "GlobalData");
    const offset = Number(view.getBigUint64(at + 4, littleEndian));
    const length = Number(view.getBigUint64(at + 12, littleEndian));
    if (!(offset <= size && length <= size - offset)) {
      refuse(`of ${length} bytes passes the end of the file of ${size}`, "GlobalData.FileOffset", at + 4, offset);
    }
    places.set(type, { offset, size: length, at });
  }
  const place = (type: number, field: string, least: number): { offset: number; size: number } => {
    const found = places.get(type);
    if (found === undefined) {
      if (least === 0) return { offset: size, size: 0 };
      throw new FormatError("is missing in the directory", { offset: SIZEOF_HEADER_V2, field });
    }
    if (found.size < least) refuse(`is less than the ${least} bytes it needs`, field, found.at + 12, found.size);
    return found;
  };
  const strings = place(GLOBAL_STRING_TABLE, "StringTable", 1);
  const files = place(GLOBAL_FILE_TABLE, "FileTable", 4);
  const functions = place(GLOBAL_FUNCTION_INFO, "FunctionInfo", count === 0 ? 0 : 1);
  const uuid = place(GLOBAL_UUID, "UUID", 0);
  if (uuid.size > MOST_UUID) refuse(`is over ${MOST_UUID}`, "UUID", SIZEOF_HEADER_V2, uuid.size);
  return {
    addresses: place(GLOBAL_ADDR_OFFSETS, "AddrOffsets", count * addrOffSize).offset,
    infos: place(GLOBAL_ADDR_INFO_OFFSETS, "AddrInfoOffsets", 8 * count).offset,
    infoBase: functions.offset,
    infoEnd: functions.offset + functions.size,
    files: files.offset,
    filesEnd: files.offset + files.size,
    strings: strings.offset,
    stringsSize: strings.size,
    uuid: uuid.offset,
    uuidSize: uuid.size,
  };
}
