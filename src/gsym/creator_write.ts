// Owns the file that GsymCreator writes: header, tables and appendix in their order, in pieces.
import type { Phdr } from "../elf/headers.ts";
import { encodeAppendix, type GsymAppendix } from "./appendix.ts";
import type { FunctionList, SettledFunctions } from "./creator_functions.ts";
import { GsymPlan } from "./creator_plan.ts";
import { ByteSink } from "./encode_bytes.ts";
import type { FilePool, StringPool } from "./encode_pool.ts";
import * as gsym from "./format.ts";

/** Bytes of the pieces, about. */
const PIECE = 1 << 18;
/** Most blocks: their record has 24 bytes for each, and should come with the first read of a file's end, 28 KiB at least. */
const MOST_BLOCKS = 1150;
/** What blocks should have in all tables together, unless they would be too many; and when they may be too many. */
const LEAST_BLOCK_BYTES = 24 << 10;
const MOST_BLOCK_BYTES = 80 << 10;

/** How strings and file entries are laid out; see {@linkcode GsymCreatorOptions}. */
export type GsymLayout = "ranged" | "compact";

/** What is written. */
export interface GsymContents {
  version: 1 | 2;
  littleEndian: boolean;
  layout: GsymLayout;
  uuid: Uint8Array;
  segments: readonly Phdr[];
  functions: FunctionList;
  settled: SettledFunctions;
  strings: StringPool;
  files: FilePool;
}

/** Where the parts of the file are. */
interface Places {
  addressSize: number;
  addresses: number;
  infoOffsets: number;
  files: number;
  strings: number;
  infos: number;
  end: number;
}

/**
 * Places in blocks that are no larger than they have to be for their index to fit the end of the file that readers take
 * first.
 */
function planOf({ layout, functions, settled, strings, files, version }: GsymContents): GsymPlan {
  const stringSize = version === gsym.GSYM_VERSION_1 ? 4 : 8;
  const make = (blockBytes: number) => new GsymPlan({ functions, settled, strings, files, stringSize, blockBytes });
  if (layout === "compact") return make(Infinity);
  for (let blockBytes = LEAST_BLOCK_BYTES;;) {
    const plan = make(blockBytes);
    if (plan.blockCount <= MOST_BLOCKS || blockBytes === MOST_BLOCK_BYTES) return plan;
    // Larger blocks repeat less: somewhat fewer bytes than these have.
    blockBytes = Math.min(MOST_BLOCK_BYTES, Math.ceil(blockBytes * plan.blockCount / MOST_BLOCKS));
  }
}

/** Bytes that the greatest distance from the first function takes: 1, 2, 4 or 8. */
function addressSizeOf({ functions, settled: { order } }: GsymContents): number {
  const span = order.length === 0 ? 0 : functions.distance(order[order.length - 1], order[0]);
  return span <= 0xff ? 1 : span <= 0xffff ? 2 : span <= 0xffff_ffff ? 4 : 8;
}

function placesOf(contents: GsymContents, plan: GsymPlan): Places {
  const { version, uuid } = contents;
  const addressSize = addressSizeOf(contents);
  const align = (at: number, alignment: number) => Math.ceil(at / alignment) * alignment;
  const wide = version === gsym.GSYM_VERSION_2;
  const header = wide
    ? gsym.SIZEOF_HEADER_V2 + directory(contents).length * gsym.SIZEOF_GLOBAL_INFO + uuid.length
    : gsym.SIZEOF_HEADER_V1;
  const addresses = align(header, addressSize);
  const infoOffsets = align(addresses + plan.count * addressSize, wide ? 8 : 4);
  const files = infoOffsets + plan.count * (wide ? 8 : 4);
  const strings = files + 4 + plan.fileCount * (wide ? 16 : 8);
  const infos = align(strings + plan.stringBytes, 4);
  const places = { addressSize, addresses, infoOffsets, files, strings, infos, end: infos + plan.infoBytes };
  if (!wide && places.end > 0xffff_ffff) {
    throw new RangeError(`version 1 has room for 4 GiB, and the file would have ${places.end} bytes`);
  }
  return places;
}

/** Types of version 2's directory, in the order that LLVM writes. */
function directory({ uuid }: GsymContents): number[] {
  return [
    ...(uuid.length > 0 ? [gsym.GLOBAL_UUID] : []),
    gsym.GLOBAL_ADDR_OFFSETS,
    gsym.GLOBAL_ADDR_INFO_OFFSETS,
    gsym.GLOBAL_FILE_TABLE,
    gsym.GLOBAL_STRING_TABLE,
    gsym.GLOBAL_FUNCTION_INFO,
    gsym.GLOBAL_END_OF_LIST,
  ];
}

function writeHeader(out: ByteSink, contents: GsymContents, plan: GsymPlan, places: Places): void {
  const { version, uuid, functions, settled } = contents;
  const first = settled.order[0] ?? -1;
  out.u32(gsym.GSYM_MAGIC);
  out.u16(version);
  out.u8(places.addressSize);
  out.u8(version === gsym.GSYM_VERSION_1 ? uuid.length : 0); // version 2: encoding of strings, UTF-8
  if (first < 0) out.u64(0);
  else out.u64Halves(functions.addressHi[first], functions.addressLo[first]);
  out.u32(plan.count);
  if (version === gsym.GSYM_VERSION_1) {
    out.u32(places.strings);
    out.u32(plan.stringBytes);
    out.copy(uuid, 0, uuid.length);
    for (let i = uuid.length; i < gsym.GSYM_MAX_UUID_SIZE; i++) out.u8(0);
    return;
  }
  const types = directory(contents);
  for (const type of types) {
    const [offset, size] = type === gsym.GLOBAL_UUID
      ? [gsym.SIZEOF_HEADER_V2 + types.length * gsym.SIZEOF_GLOBAL_INFO, uuid.length]
      : type === gsym.GLOBAL_ADDR_OFFSETS
      ? [places.addresses, plan.count * places.addressSize]
      : type === gsym.GLOBAL_ADDR_INFO_OFFSETS
      ? [places.infoOffsets, plan.count * 8]
      : type === gsym.GLOBAL_FILE_TABLE
      ? [places.files, 4 + plan.fileCount * 16]
      : type === gsym.GLOBAL_STRING_TABLE
      ? [places.strings, plan.stringBytes]
      : type === gsym.GLOBAL_FUNCTION_INFO
      ? [places.infos, plan.infoBytes]
      : [0, 0];
    out.u32(type);
    out.u64(offset);
    out.u64(size);
  }
  // Part of the head that the appendix repeats: whoever opens the file asks for it first.
  out.copy(uuid, 0, uuid.length);
}

/** A file about to be written: its size is known before its bytes are made. */
export interface PlannedGsym {
  /** In bytes. */
  size: number;
  /** Functions that will be in it. */
  count: number;
  /** Its bytes in pieces; each is the caller's. */
  write(): Generator<Uint8Array<ArrayBuffer>, void, undefined>;
}

/** Decides where everything goes. */
export function planGsym(contents: GsymContents): PlannedGsym {
  const plan = planOf(contents);
  const places = placesOf(contents, plan);
  const head = new ByteSink(256, contents.littleEndian);
  writeHeader(head, contents, plan, places);
  const headBytes = head.bytes.slice(0, head.length);
  const appendix = encodeAppendix(appendixOf(contents, plan, places, headBytes), contents.littleEndian);
  return {
    size: places.end + appendix.length,
    count: plan.count,
    write: () => write(contents, plan, places, headBytes, appendix),
  };
}

function appendixOf(
  { functions, settled: { order, sizes }, layout, segments }: GsymContents,
  plan: GsymPlan,
  places: Places,
  head: Uint8Array,
): GsymAppendix {
  const appendix: GsymAppendix = { ...(segments.length === 0 ? {} : { segments: [...segments] }), head };
  const { blockCount, count } = plan;
  if (layout === "compact" || places.end > 0xffff_ffff || count === 0) return appendix;
  const stringSize = (places.strings - places.files - 4) / plan.fileCount;
  const address = new Float64Array(blockCount + 1);
  for (let block = 0; block < blockCount; block++) {
    address[block] = functions.distance(order[plan.blockFirst[block]], order[0]);
  }
  const last = order[count - 1];
  address[blockCount] = functions.distance(last, order[0]) + Math.max(1, sizes[last]);
  if (!Number.isSafeInteger(address[blockCount])) return appendix;
  appendix.blocks = {
    address,
    first: Uint32Array.from(plan.blockFirst),
    infos: Uint32Array.from(plan.blockInfos, (offset) => places.infos + offset),
    strings: Uint32Array.from(plan.blockStrings, (offset) => places.strings + offset),
    files: Uint32Array.from(plan.blockFiles, (index) => places.files + 4 + index * stringSize),
  };
  return appendix;
}

function* write(
  { functions, settled: { order }, version, littleEndian }: GsymContents,
  plan: GsymPlan,
  places: Places,
  head: Uint8Array,
  appendix: Uint8Array,
): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
  const out = new ByteSink(PIECE + (PIECE >> 2), littleEndian);
  let done = 0;
  const full = (sink: ByteSink) => sink.length >= PIECE;
  const take = (): Uint8Array<ArrayBuffer> => {
    const piece = out.bytes.slice(0, out.length);
    done += out.length;
    out.length = 0;
    return piece;
  };
  out.copy(head, 0, head.length);
  out.align(places.addressSize, done);
  for (let place = 0; place < plan.count; place++) {
    const hi = functions.addressHi[order[place]] - functions.addressHi[order[0]];
    const lo = functions.addressLo[order[place]] - functions.addressLo[order[0]];
    out.unsigned(places.addressSize, lo < 0 ? hi - 1 : hi, lo);
    if (full(out)) yield take();
  }
  const wide = version === gsym.GSYM_VERSION_2;
  out.align(wide ? 8 : 4, done);
  for (let place = 0; place < plan.count; place++) {
    if (wide) out.u64(plan.infoOffsets[place]);
    else out.u32(places.infos + plan.infoOffsets[place]);
    if (full(out)) yield take();
  }
  out.u32(plan.fileCount);
  for (const _ of plan.writeFiles(out, full)) yield take();
  for (const _ of plan.writeStrings(out, full)) yield take();
  out.align(4, done);
  for (const _ of plan.writeInfos(out, full)) yield take();
  out.copy(appendix, 0, appendix.length);
  yield take();
}
