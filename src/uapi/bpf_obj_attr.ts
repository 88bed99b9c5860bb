// Owns the parts of union bpf_attr that concern any BPF object (pins, ids, infos), and bpf_map_info, bpf_prog_info.
import { viewOf } from "../base/bytes.ts";
import { readStruct, type StructLayout, structLayout } from "../base/struct.ts";
import { encodeAttr } from "./bpf_prog_attr.ts";

/** Fields of `union bpf_attr` for `BPF_OBJ_PIN` and `BPF_OBJ_GET`; up to those of Linux 4.15. */
export interface ObjAttr {
  /** Address of the path, NUL-terminated. */
  pathname: bigint;
  /** Descriptor to pin; 0 for `BPF_OBJ_GET`. */
  bpf_fd?: number;
  /** `BPF_F_RDONLY` or `BPF_F_WRONLY`, for `BPF_OBJ_GET`. */
  file_flags?: number;
}

/** Fields of `union bpf_attr` for `BPF_*_GET_NEXT_ID` and `BPF_*_GET_FD_BY_ID`. */
export interface GetIdAttr {
  /** The id to open, or the one to begin after: one union in C. */
  start_id: number;
  /** Answer of `BPF_*_GET_NEXT_ID`. */
  next_id?: number;
  /** `BPF_F_RDONLY` or `BPF_F_WRONLY`, for `BPF_MAP_GET_FD_BY_ID`. */
  open_flags?: number;
}

/** Fields of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`. */
export interface InfoAttr {
  /** Descriptor of the map, program or link. */
  bpf_fd: number;
  /** Bytes at `info`; answer: bytes that the kernel knows of. */
  info_len: number;
  /** Address that the info goes to. */
  info: bigint;
}

/** `struct bpf_map_info`: what a map is. What an older kernel does not know is 0. */
export interface BpfMapInfo {
  /** One of `enum bpf_map_type`. */
  type: number;
  /** Id of the map, while it lives. */
  id: number;
  /** Size of a key in bytes. */
  key_size: number;
  /** Size of a value in bytes; for each CPU, in maps with a value for each. */
  value_size: number;
  /** Number of entries. */
  max_entries: number;
  /** What it was created with, `BPF_F_STACK_BUILD_ID` among it. */
  map_flags: number;
  /** 16 bytes, NUL-terminated. */
  name: Uint8Array;
  /** Interface index of offload. */
  ifindex: number;
  /** BTF id of a kernel type, for struct_ops. */
  btf_vmlinux_value_type_id: number;
  /** Device of the network namespace of offload. */
  netns_dev: bigint;
  /** Inode of the network namespace of offload. */
  netns_ino: bigint;
  /** Id of the BTF data. */
  btf_id: number;
  /** BTF id of the key type. */
  btf_key_type_id: number;
  /** BTF id of the value type. */
  btf_value_type_id: number;
  /** Id of a module's BTF data; padding before 6.9. */
  btf_vmlinux_id: number;
  /** Per-map-type extra bits. */
  map_extra: bigint;
}

/** The fields of `struct bpf_prog_info` up to `netns_ino`, and those that count runs. Absent ones are 0. */
export interface BpfProgInfo {
  /** One of `enum bpf_prog_type`. */
  type: number;
  /** Id of the program, while it lives. */
  id: number;
  /** Hash of the instructions. */
  tag: Uint8Array;
  /** Bytes of machine code. */
  jited_prog_len: number;
  /** Bytes of instructions after the verifier's changes. */
  xlated_prog_len: number;
  /** When it was loaded, nanoseconds since boot. */
  load_time: bigint;
  /** Who loaded it. */
  created_by_uid: number;
  /** How many maps it uses. */
  nr_map_ids: number;
  /** 16 bytes, NUL-terminated. */
  name: Uint8Array;
  /** Time spent in it in nanoseconds, while `kernel.bpf_stats_enabled`. */
  run_time_ns: bigint;
  /** How often it ran, while `kernel.bpf_stats_enabled`. */
  run_cnt: bigint;
  /** How often it was left out because it ran already on that CPU. */
  recursion_misses: bigint;
  /** Instructions that the verifier walked through. */
  verified_insns: number;
}

/** `union bpf_attr` for `BPF_OBJ_PIN` and `BPF_OBJ_GET`. */
export const OBJ: StructLayout = structLayout("bpf_attr (BPF_OBJ_*)", [
  ["pathname", "u64"],
  ["bpf_fd", "u32"],
  ["file_flags", "u32"],
]);

/** `union bpf_attr` for `BPF_*_GET_*_ID`. */
export const GET_ID: StructLayout = structLayout("bpf_attr (BPF_*_GET_*_ID)", [
  ["start_id", "u32"],
  ["next_id", "u32"],
  ["open_flags", "u32"],
]);

/** `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`. */
export const INFO: StructLayout = structLayout("bpf_attr (BPF_OBJ_GET_INFO_BY_FD)", [
  ["bpf_fd", "u32"],
  ["info_len", "u32"],
  ["info", "u64"],
]);

/** `struct bpf_map_info`, 88 bytes. */
export const MAP_INFO: StructLayout = structLayout("struct bpf_map_info", [
  ["type", "u32"],
  ["id", "u32"],
  ["key_size", "u32"],
  ["value_size", "u32"],
  ["max_entries", "u32"],
  ["map_flags", "u32"],
  ["name", "bytes16"],
  ["ifindex", "u32"],
  ["btf_vmlinux_value_type_id", "u32"],
  ["netns_dev", "u64"],
  ["netns_ino", "u64"],
  ["btf_id", "u32"],
  ["btf_key_type_id", "u32"],
  ["btf_value_type_id", "u32"],
  ["btf_vmlinux_id", "u32"],
  ["map_extra", "u64"],
]);

/** `struct bpf_prog_info`, 232 bytes: every field, so that the later ones stand where they belong. */
export const PROG_INFO: StructLayout = structLayout("struct bpf_prog_info", [
  ["type", "u32"],
  ["id", "u32"],
  ["tag", "bytes8"],
  ["jited_prog_len", "u32"],
  ["xlated_prog_len", "u32"],
  ["jited_prog_insns", "u64"],
  ["xlated_prog_insns", "u64"],
  ["load_time", "u64"],
  ["created_by_uid", "u32"],
  ["nr_map_ids", "u32"],
  ["map_ids", "u64"],
  ["name", "bytes16"],
  ["ifindex", "u32"],
  ["gpl_compatible", "u32"], // one bit of it
  ["netns_dev", "u64"],
  ["netns_ino", "u64"],
  ["nr_jited_ksyms", "u32"],
  ["nr_jited_func_lens", "u32"],
  ["jited_ksyms", "u64"],
  ["jited_func_lens", "u64"],
  ["btf_id", "u32"],
  ["func_info_rec_size", "u32"],
  ["func_info", "u64"],
  ["nr_func_info", "u32"],
  ["nr_line_info", "u32"],
  ["line_info", "u64"],
  ["jited_line_info", "u64"],
  ["nr_jited_line_info", "u32"],
  ["line_info_rec_size", "u32"],
  ["jited_line_info_rec_size", "u32"],
  ["nr_prog_tags", "u32"],
  ["prog_tags", "u64"],
  ["run_time_ns", "u64"],
  ["run_cnt", "u64"],
  ["recursion_misses", "u64"],
  ["verified_insns", "u32"],
  ["attach_btf_obj_id", "u32"],
  ["attach_btf_id", "u32"],
]);

/** The bytes of `union bpf_attr` for `BPF_OBJ_PIN` and `BPF_OBJ_GET`: 16 new bytes. */
export function encodeObjAttr(attr: ObjAttr, littleEndian: boolean = true): Uint8Array {
  return encodeAttr(OBJ, attr, littleEndian);
}

/** The bytes of `union bpf_attr` for `BPF_*_GET_*_ID`: 12 new bytes. */
export function encodeGetIdAttr(attr: GetIdAttr, littleEndian: boolean = true): Uint8Array {
  return encodeAttr(GET_ID, attr, littleEndian);
}

/** The bytes of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`: 16 new bytes. */
export function encodeInfoAttr(attr: InfoAttr, littleEndian: boolean = true): Uint8Array {
  return encodeAttr(INFO, attr, littleEndian);
}

/**
 * Reads `struct bpf_map_info`.
 *
 * @throws {FormatError} If there are fewer than 88 bytes; zero-extend what an older kernel wrote.
 */
export function decodeMapInfo(bytes: Uint8Array, littleEndian: boolean = true): BpfMapInfo {
  return readStruct(MAP_INFO, viewOf(bytes), 0, littleEndian);
}

/**
 * Reads `struct bpf_prog_info`.
 *
 * @throws {FormatError} If there are fewer than 232 bytes; zero-extend what an older kernel wrote.
 */
export function decodeProgInfo(bytes: Uint8Array, littleEndian: boolean = true): BpfProgInfo {
  return readStruct(PROG_INFO, viewOf(bytes), 0, littleEndian);
}
