// Owns the parts of union bpf_attr (include/uapi/linux/bpf.h) that stack maps need: one field table per command.
import { FormatError } from "../base/format_error.ts";
import { readStruct, type StructLayout, structLayout, writeStruct } from "../base/struct.ts";
import { viewOf } from "../base/bytes.ts";

/** Fields of `union bpf_attr` for `BPF_MAP_CREATE`, as the header spells them. */
export interface MapCreateAttr {
  /** One of `enum bpf_map_type`. */
  map_type: number;
  /** Size of a key in bytes. */
  key_size: number;
  /** Size of a value in bytes. */
  value_size: number;
  /** Number of entries. */
  max_entries: number;
  /** `BPF_F_NUMA_NODE` and its like. */
  map_flags?: number;
  /** Descriptor of the inner map; unused by stack maps. */
  inner_map_fd?: number;
  /** NUMA node, with `BPF_F_NUMA_NODE`. */
  numa_node?: number;
  /** Name, at most 15 bytes and a NUL. */
  map_name?: Uint8Array;
  /** Interface index for offload; unused by stack maps. */
  map_ifindex?: number;
  /** Descriptor of the BTF data that describes the types. */
  btf_fd?: number;
  /** BTF id of the key type. */
  btf_key_type_id?: number;
  /** BTF id of the value type. */
  btf_value_type_id?: number;
  /** BTF id of a kernel type, for struct_ops. */
  btf_vmlinux_value_type_id?: number;
  /** Per-map-type extra bits. */
  map_extra?: bigint;
  /** Descriptor of a module's BTF; signed. */
  value_type_btf_obj_fd?: number;
  /** Descriptor of a BPF token; signed. */
  map_token_fd?: number;
}

/** Fields of `union bpf_attr` for the `BPF_MAP_*_ELEM` and `BPF_MAP_GET_NEXT_KEY` commands. */
export interface MapElemAttr {
  /** Descriptor of the map. */
  map_fd: number;
  /** Address of the key in user memory; 0 asks `BPF_MAP_GET_NEXT_KEY` for the first. */
  key: bigint;
  /** Address of the value, or of `next_key`: one union in C. */
  value?: bigint;
  /** Flags of the command, such as `BPF_ANY`. */
  flags?: bigint;
}

const MAP_CREATE: StructLayout = structLayout("bpf_attr (BPF_MAP_CREATE)", [
  ["map_type", "u32"],
  ["key_size", "u32"],
  ["value_size", "u32"],
  ["max_entries", "u32"],
  ["map_flags", "u32"],
  ["inner_map_fd", "u32"],
  ["numa_node", "u32"],
  ["map_name", "bytes16"],
  ["map_ifindex", "u32"],
  ["btf_fd", "u32"],
  ["btf_key_type_id", "u32"],
  ["btf_value_type_id", "u32"],
  ["btf_vmlinux_value_type_id", "u32"],
  ["map_extra", "u64"],
  ["value_type_btf_obj_fd", "s32"],
  ["map_token_fd", "s32"],
]);

const MAP_ELEM: StructLayout = structLayout("bpf_attr (BPF_MAP_*_ELEM)", [
  ["map_fd", "u32"],
  ["key", "u64"],
  ["value", "u64"],
  ["flags", "u64"],
]);

function encode(layout: StructLayout, attr: object, littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  writeStruct(layout, attr, viewOf(bytes), 0, littleEndian);
  return bytes;
}

// As the kernel takes it (bpf_check_uarg_tail_zero): a shorter union is zero-extended, a longer one must be zero
// past the fields that are known.
function decode<T>(layout: StructLayout, bytes: Uint8Array, littleEndian: boolean): T {
  for (let i = layout.size; i < bytes.length; i++) {
    if (bytes[i] !== 0) {
      throw new FormatError("a byte past the known fields is not zero", {
        offset: i,
        field: layout.name,
        value: bytes[i],
      });
    }
  }
  const padded = new Uint8Array(layout.size);
  padded.set(bytes.subarray(0, layout.size));
  return readStruct<T>(layout, viewOf(padded), 0, littleEndian);
}

/**
 * The bytes of `union bpf_attr` for `bpf(BPF_MAP_CREATE)`: 80 new bytes, absent fields zero.
 *
 * @param littleEndian Byte order of the machine that will make the call; little by default.
 * @throws {RangeError} If a number does not fit its field or the name is longer than 16 bytes.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BPF_F_STACK_BUILD_ID, BPF_MAP_TYPE_STACK_TRACE, decodeMapCreateAttr, encodeMapCreateAttr } from "@bpf/stackmap";
 *
 * const bytes = encodeMapCreateAttr({
 *   map_type: BPF_MAP_TYPE_STACK_TRACE,
 *   key_size: 4,
 *   value_size: 127 * 32,
 *   max_entries: 16384,
 *   map_flags: BPF_F_STACK_BUILD_ID,
 * });
 * assertEquals(decodeMapCreateAttr(bytes).value_size, 4064);
 * ```
 */
export function encodeMapCreateAttr(attr: MapCreateAttr, littleEndian: boolean = true): Uint8Array {
  return encode(MAP_CREATE, attr, littleEndian);
}

/**
 * Reads `union bpf_attr` of a `BPF_MAP_CREATE` call, every field set. Like the kernel it takes a shorter union as
 * zero-extended.
 *
 * @throws {FormatError} If a byte past the known fields is not zero. A kernel that knows no more fields than these
 *   answers -EINVAL there, and -E2BIG past the end of its whole union.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeMapCreateAttr } from "@bpf/stackmap";
 *
 * assertEquals(decodeMapCreateAttr(new Uint8Array([7, 0, 0, 0])).map_type, 7);
 * ```
 */
export function decodeMapCreateAttr(bytes: Uint8Array, littleEndian: boolean = true): Required<MapCreateAttr> {
  return decode(MAP_CREATE, bytes, littleEndian);
}

/**
 * The bytes of `union bpf_attr` for `BPF_MAP_LOOKUP_ELEM`, `_DELETE_ELEM`, `_LOOKUP_AND_DELETE_ELEM` and
 * `BPF_MAP_GET_NEXT_KEY`: 32 new bytes.
 *
 * @throws {RangeError} If a number does not fit its field.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { encodeMapElemAttr } from "@bpf/stackmap";
 *
 * const bytes = encodeMapElemAttr({ map_fd: 5, key: 0x7ffc_0000_1000n, value: 0x7ffc_0000_2000n });
 * assertEquals([bytes.length, bytes[0]], [32, 5]);
 * ```
 */
export function encodeMapElemAttr(attr: MapElemAttr, littleEndian: boolean = true): Uint8Array {
  return encode(MAP_ELEM, attr, littleEndian);
}

/**
 * Reads `union bpf_attr` of a map element command; the reverse of {@linkcode encodeMapElemAttr}.
 *
 * @throws {FormatError} If a byte past the known fields is not zero.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeMapElemAttr, encodeMapElemAttr } from "@bpf/stackmap";
 *
 * assertEquals(decodeMapElemAttr(encodeMapElemAttr({ map_fd: 3, key: 1n })).key, 1n);
 * ```
 */
export function decodeMapElemAttr(bytes: Uint8Array, littleEndian: boolean = true): Required<MapElemAttr> {
  return decode(MAP_ELEM, bytes, littleEndian);
}
