// Owns the shapes that decoded stacks have: the layout of a map's values, and columns over many stacks.
import { BPF_BUILD_ID_SIZE, BPF_F_STACK_BUILD_ID, type MapFlags } from "../uapi/bpf.ts";
import { type BpfStackBuildId, SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";

/**
 * What must be known about a stack map to read its values; the attributes that it was created with serve as they
 * are.
 */
export interface StackMapLayout {
  /** Size of a value in bytes: 8 per frame, 32 with `BPF_F_STACK_BUILD_ID`. */
  valueSize: number;
  /** Flags the map was created with; only `BPF_F_STACK_BUILD_ID` counts here. None by default. */
  mapFlags?: MapFlags;
  /** Byte order of the machine that wrote the map; little by default. */
  littleEndian?: boolean;
}

/** One stack in the form that is handy for a few: the map's key, and its frames, innermost first. */
export interface Stack {
  /** The map's key: what `bpf_get_stackid()` returned. */
  id: number;
  /** Frames, innermost first. In a map without build IDs each has `BPF_STACK_BUILD_ID_IP`. */
  frames: BpfStackBuildId[];
}

/**
 * Many stacks as columns. Frame `f` of stack `s` is at row `first[s] + f` of the frame columns, innermost first;
 * stack `s` ends before row `first[s + 1]`.
 *
 * Columns may be views of larger buffers; a structured clone keeps all of them.
 */
export interface StackColumns {
  /** The map's key of each stack, in the order of the dump; a key that occurs twice is there twice. */
  ids: Uint32Array;
  /** Row of each stack's innermost frame, and the number of rows at the end: one longer than `ids`. */
  first: Uint32Array;
  /** `BPF_STACK_BUILD_ID_VALID`, `_IP`, or {@linkcode STACK_STATUS_OTHER} for each row. */
  status: Uint8Array;
  /** Number of the row's build ID in `buildIds`; -1 in rows with `BPF_STACK_BUILD_ID_IP`. */
  idIndex: Int32Array;
  /** Low 32 bits of each row's file offset, or of its address with `BPF_STACK_BUILD_ID_IP`. */
  offsetLo: Uint32Array;
  /** High 32 bits of the same. */
  offsetHi: Uint32Array;
  /** The distinct build IDs in order of appearance, 20 bytes each, zero-padded as the kernel pads them. */
  buildIds: Uint8Array;
  /** Row and `status` of each frame whose status the UAPI does not define. */
  otherStatus: Map<number, number>;
  /**
   * 1 for each row whose address is the instruction that ran, 0 for return addresses. Absent, as in what
   * {@linkcode decodeStacks} returns, it is the first row of each stack. In stacks that are a kernel stack on top
   * of a user stack, the first frame of either is.
   */
  innermost?: Uint8Array;
  /**
   * Number in `names` of what each row is called, -1 where nothing said: names that came with the stacks, of
   * functions in the kernel and of code that is in no file. What a symbolizer knows of a row goes before.
   */
  nameIndex?: Int32Array;
  /** The distinct names that came with the stacks. */
  names?: readonly string[];
  /**
   * Number in `names` of what each stack is called that has no frames, -1 where nothing said: why it was lost.
   * Absent, or at -1, it is `[empty stack]`.
   */
  emptyIndex?: Int32Array;
}

/** The name that came with a row; `undefined` if none did. */
export function cameName({ nameIndex, names }: StackColumns, row: number): string | undefined {
  return nameIndex === undefined ? undefined : names?.[nameIndex[row]];
}

/** What a stack is called that has no frames. */
export function emptyName({ emptyIndex, names }: StackColumns, stack: number): string {
  return (emptyIndex === undefined ? undefined : names?.[emptyIndex[stack]]) ?? "[empty stack]";
}

/**
 * In {@linkcode StackColumns}`.status`: a value that the UAPI does not define, to be found in `otherStatus`. Such a
 * frame keeps its build ID and offset.
 */
export const STACK_STATUS_OTHER = 255;

/** Bytes of one frame in a value of this layout. Throws `RangeError` if `valueSize` does not fit the flags. */
export function frameSizeOf(layout: StackMapLayout): number {
  const { valueSize, mapFlags = 0 } = layout;
  const frameSize = (mapFlags & BPF_F_STACK_BUILD_ID) !== 0 ? SIZEOF_BPF_STACK_BUILD_ID : 8;
  if (!Number.isSafeInteger(valueSize) || valueSize <= 0 || valueSize % frameSize !== 0) {
    throw new RangeError(`valueSize must be a positive multiple of ${frameSize}, not ${valueSize}`);
  }
  return frameSize;
}

/**
 * The 20 bytes of build ID number `index` of `columns`: a view, not a copy.
 *
 * @throws {RangeError} If there is no such build ID; -1, the index of an IP frame, is none.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BPF_F_STACK_BUILD_ID, buildIdAt, decodeStacks, encodeStacks } from "@bpf/stackmap";
 *
 * const layout = { valueSize: 127 * 32, mapFlags: BPF_F_STACK_BUILD_ID };
 * const build_id = new Uint8Array(20).fill(7);
 * const dump = encodeStacks([{ id: 3, frames: [{ status: 1, build_id, offset: 0x1136n }] }], layout);
 * assertEquals(buildIdAt(decodeStacks(dump, layout), 0), build_id);
 * ```
 */
export function buildIdAt(columns: Pick<StackColumns, "buildIds">, index: number): Uint8Array {
  const count = columns.buildIds.length / BPF_BUILD_ID_SIZE;
  if (!(Number.isInteger(index) && index >= 0 && index < count)) {
    throw new RangeError(`build ID ${index} of ${count}`);
  }
  return columns.buildIds.subarray(index * BPF_BUILD_ID_SIZE, (index + 1) * BPF_BUILD_ID_SIZE);
}

/**
 * One row of `columns` as a struct that owns its memory. An IP frame's `build_id` is zero, as newer kernels
 * leave it; 4.17 left there what the element held before, and decoding drops that.
 *
 * @throws {RangeError} If there is no such row.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeStacks, encodeStacks, frameAt } from "@bpf/stackmap";
 *
 * const layout = { valueSize: 127 * 8 };
 * const dump = encodeStacks([{ id: 3, frames: [{ status: 2, ip: 0x7f00_0000_1000n }] }], layout);
 * assertEquals(frameAt(decodeStacks(dump, layout), 0).ip, 0x7f00_0000_1000n);
 * ```
 */
export function frameAt(columns: StackColumns, row: number): BpfStackBuildId {
  if (!(Number.isInteger(row) && row >= 0 && row < columns.status.length)) {
    throw new RangeError(`row ${row} of ${columns.status.length}`);
  }
  const status = columns.status[row];
  const index = columns.idIndex[row];
  const offset = (BigInt(columns.offsetHi[row]) << 32n) | BigInt(columns.offsetLo[row]);
  return {
    status: status === STACK_STATUS_OTHER ? columns.otherStatus.get(row) ?? status : status,
    build_id: index < 0 ? new Uint8Array(BPF_BUILD_ID_SIZE) : buildIdAt(columns, index).slice(),
    offset,
    ip: offset,
  };
}

/**
 * Every stack of `columns` as objects: for a few stacks, tests and printing. It allocates per frame; work on the
 * columns where there are many.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeStacks, encodeStacks, listStacks } from "@bpf/stackmap";
 *
 * const layout = { valueSize: 127 * 8 };
 * const dump = encodeStacks([{ id: 3, frames: [{ status: 2, ip: 0x401136n }] }], layout);
 * const [stack] = listStacks(decodeStacks(dump, layout));
 * assertEquals(stack.id, 3);
 * assertEquals(stack.frames.map((frame) => frame.ip), [0x401136n]);
 * ```
 */
export function listStacks(columns: StackColumns): Stack[] {
  return Array.from(columns.ids, (id, s) => {
    const frames: BpfStackBuildId[] = [];
    for (let row = columns.first[s]; row < columns.first[s + 1]; row++) frames.push(frameAt(columns, row));
    return { id, frames };
  });
}
