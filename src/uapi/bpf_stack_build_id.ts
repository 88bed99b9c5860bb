// Owns struct bpf_stack_build_id: 32 bytes, __s32 status @0, build_id[20] @4, union { __u64 offset; ip } @24.
import { checkRange } from "../base/format_error.ts";
import { viewOf } from "../base/bytes.ts";
import { BPF_BUILD_ID_SIZE } from "./bpf.ts";

/** `sizeof(struct bpf_stack_build_id)`, in bytes. */
export const SIZEOF_BPF_STACK_BUILD_ID = 32;

/**
 * `struct bpf_stack_build_id` (include/uapi/linux/bpf.h). `offset` and `ip` are one union in C: decoding sets both
 * to the same 64 bits, encoding takes `offset`. Which name means something follows from `status`.
 */
export interface BpfStackBuildId {
  /** `BPF_STACK_BUILD_ID_EMPTY`, `_VALID` or `_IP`; signed 32 bits, anything in a hostile dump. */
  status: number;
  /** 20 bytes, an ID shorter than that zero-padded. Meaningful with `_VALID` only. */
  build_id: Uint8Array;
  /** File offset in bytes, with `_VALID`. Unsigned 64 bits. */
  offset: bigint;
  /** Instruction address, with `_IP`. The same 64 bits as `offset`. */
  ip: bigint;
}

/**
 * Reads the `struct bpf_stack_build_id` at byte `at` of `bytes`. The result owns its memory.
 *
 * @param littleEndian Byte order of the machine that wrote it; little by default.
 * @throws {FormatError} If fewer than 32 bytes are left.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BPF_STACK_BUILD_ID_VALID, decodeStackBuildId, encodeStackBuildId } from "@bpf/stackmap";
 *
 * const build_id = new Uint8Array(20).fill(0xab);
 * const bytes = encodeStackBuildId({ status: BPF_STACK_BUILD_ID_VALID, build_id, offset: 0x1136n });
 * assertEquals(bytes.length, 32);
 * assertEquals(decodeStackBuildId(bytes).offset, 0x1136n);
 * ```
 */
export function decodeStackBuildId(
  bytes: Uint8Array,
  at: number = 0,
  littleEndian: boolean = true,
): BpfStackBuildId {
  checkRange(bytes.length, at, SIZEOF_BPF_STACK_BUILD_ID, "bpf_stack_build_id");
  const view = viewOf(bytes);
  const offset = view.getBigUint64(at + 24, littleEndian);
  return {
    status: view.getInt32(at, littleEndian),
    build_id: bytes.slice(at + 4, at + 4 + BPF_BUILD_ID_SIZE),
    offset,
    ip: offset,
  };
}

/**
 * Writes one `struct bpf_stack_build_id`: into `into` at byte `at`, or into 32 new bytes.
 *
 * @param record `build_id` may be 0 to 20 bytes and is zero-padded; `ip` stands in where `offset` is absent.
 * @param littleEndian Byte order to write; little by default.
 * @returns The array written to.
 * @throws {RangeError} If `build_id` is longer than 20 bytes, a number does not fit, or `into` is too short.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BPF_STACK_BUILD_ID_IP, encodeStackBuildId } from "@bpf/stackmap";
 *
 * const bytes = encodeStackBuildId({ status: BPF_STACK_BUILD_ID_IP, ip: 0xffffffff81000000n }, false);
 * assertEquals([...bytes.subarray(24)], [0xff, 0xff, 0xff, 0xff, 0x81, 0, 0, 0]);
 * ```
 */
export function encodeStackBuildId(
  record: { status: number; build_id?: Uint8Array; offset?: bigint; ip?: bigint },
  littleEndian: boolean = true,
  into: Uint8Array = new Uint8Array(SIZEOF_BPF_STACK_BUILD_ID),
  at: number = 0,
): Uint8Array {
  const { status, build_id, offset = record.ip ?? 0n } = record;
  if (status !== (status | 0)) throw new RangeError(`status is a __s32, not ${status}`);
  if (offset !== BigInt.asUintN(64, offset)) throw new RangeError(`offset is a __u64, not ${offset}`);
  if (build_id !== undefined && build_id.length > BPF_BUILD_ID_SIZE) {
    throw new RangeError(`build_id holds ${BPF_BUILD_ID_SIZE} bytes, not ${build_id.length}`);
  }
  if (!(at >= 0) || SIZEOF_BPF_STACK_BUILD_ID > into.length - at) {
    throw new RangeError(`a bpf_stack_build_id needs 32 bytes at ${at}, there are ${into.length}`);
  }
  const view = viewOf(into);
  view.setInt32(at, status, littleEndian);
  into.fill(0, at + 4, at + 24);
  if (build_id !== undefined) into.set(build_id, at + 4);
  view.setBigUint64(at + 24, offset, littleEndian);
  return into;
}

/**
 * A view over consecutive `struct bpf_stack_build_id`, such as one value of a stack map with
 * `BPF_F_STACK_BUILD_ID`: reads and writes the caller's bytes in place and copies nothing.
 *
 * For dumps of many thousands, {@linkcode decodeStacks} is faster.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BPF_STACK_BUILD_ID_IP, StackBuildIdView } from "@bpf/stackmap";
 *
 * const value = new Uint8Array(127 * 32);
 * const frames = new StackBuildIdView(value);
 * frames.set(0, { status: BPF_STACK_BUILD_ID_IP, ip: 0x7f00_0000_1000n });
 * assertEquals(frames.length, 127);
 * assertEquals(frames.ip(0), 0x7f00_0000_1000n);
 * assertEquals(frames.depth(), 1);
 * ```
 */
export class StackBuildIdView {
  /** The bytes looked at; the caller's. */
  readonly bytes: Uint8Array;
  /** Number of structs. */
  readonly length: number;
  /** Byte order of every field. */
  readonly littleEndian: boolean;
  readonly #view: DataView;

  /**
   * Looks at the caller's bytes.
   *
   * @param bytes A multiple of 32 bytes; kept, not copied.
   * @param littleEndian Byte order of the machine that wrote them; little by default.
   * @throws {FormatError} If the length is not a multiple of 32.
   */
  constructor(bytes: Uint8Array, littleEndian: boolean = true) {
    const length = Math.floor(bytes.length / SIZEOF_BPF_STACK_BUILD_ID);
    const whole = length * SIZEOF_BPF_STACK_BUILD_ID;
    if (whole !== bytes.length) checkRange(bytes.length, whole, SIZEOF_BPF_STACK_BUILD_ID, "bpf_stack_build_id");
    this.bytes = bytes;
    this.length = length;
    this.littleEndian = littleEndian;
    this.#view = viewOf(bytes);
  }

  #at(index: number): number {
    if (!(index >= 0 && index < this.length)) throw new RangeError(`index ${index} of ${this.length} frames`);
    return index * SIZEOF_BPF_STACK_BUILD_ID;
  }

  /** `status` of struct `index`. */
  status(index: number): number {
    return this.#view.getInt32(this.#at(index), this.littleEndian);
  }

  /** The 20 bytes of `build_id` of struct `index`: a subarray of `bytes`, not a copy. */
  buildId(index: number): Uint8Array {
    const at = this.#at(index);
    return this.bytes.subarray(at + 4, at + 4 + BPF_BUILD_ID_SIZE);
  }

  /** `offset` of struct `index`: a file offset in bytes. */
  offset(index: number): bigint {
    return this.#view.getBigUint64(this.#at(index) + 24, this.littleEndian);
  }

  /** `ip` of struct `index`: the same 64 bits as `offset`. */
  ip(index: number): bigint {
    return this.offset(index);
  }

  /** How many structs come before the first `BPF_STACK_BUILD_ID_EMPTY` one: the depth of the trace. */
  depth(): number {
    let depth = 0;
    while (depth < this.length && this.status(depth) !== 0) depth++;
    return depth;
  }

  /** A copy of struct `index`. */
  get(index: number): BpfStackBuildId {
    return decodeStackBuildId(this.bytes, this.#at(index), this.littleEndian);
  }

  /** Writes struct `index`. */
  set(index: number, record: { status: number; build_id?: Uint8Array; offset?: bigint; ip?: bigint }): void {
    encodeStackBuildId(record, this.littleEndian, this.bytes, this.#at(index));
  }
}
