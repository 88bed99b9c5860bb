// Owns the parts of union bpf_attr (include/uapi/linux/bpf.h) that load programs, attach them, and run them once.
import { viewOf } from "../base/bytes.ts";
import { readStruct, type StructLayout, structLayout, writeStruct } from "../base/struct.ts";

/** Fields of `union bpf_attr` for `BPF_PROG_LOAD`, as the header spells them; up to those of Linux 5.2. */
export interface ProgLoadAttr {
  /** One of `enum bpf_prog_type`. */
  prog_type: number;
  /** Number of 8-byte instructions. */
  insn_cnt: number;
  /** Address of the instructions. */
  insns: bigint;
  /** Address of the licence, NUL-terminated; many helpers want "GPL". */
  license: bigint;
  /** How much the verifier says: 0 nothing, 1 as it goes, 2 each instruction, 4 statistics. */
  log_level?: number;
  /** Bytes at `log_buf`. */
  log_size?: number;
  /** Address that the verifier's log goes to. */
  log_buf?: bigint;
  /** Unused since 5.0. */
  kern_version?: number;
  /** `BPF_F_SLEEPABLE` and its like. */
  prog_flags?: number;
  /** Name, at most 15 bytes and a NUL. */
  prog_name?: Uint8Array;
  /** Interface index for offload. */
  prog_ifindex?: number;
  /** One of `enum bpf_attach_type`, where the program type wants it at load time. */
  expected_attach_type?: number;
}

/** Fields of `union bpf_attr` for `BPF_RAW_TRACEPOINT_OPEN`. */
export interface RawTracepointAttr {
  /** Address of the tracepoint's name, NUL-terminated. */
  name: bigint;
  /** Descriptor of the program. */
  prog_fd: number;
}

/** Fields of `union bpf_attr` for `BPF_PROG_TEST_RUN`. */
export interface ProgTestRunAttr {
  /** Descriptor of the program. */
  prog_fd: number;
  /** Answer: what the program returned. */
  retval?: number;
  /** Bytes at `data_in`. */
  data_size_in?: number;
  /** Bytes at `data_out`; answer: bytes written. */
  data_size_out?: number;
  /** Address of the packet. */
  data_in?: bigint;
  /** Address that the changed packet goes to. */
  data_out?: bigint;
  /** How often to run; 0 is once. */
  repeat?: number;
  /** Answer: mean duration of a run in nanoseconds. */
  duration?: number;
  /** Bytes at `ctx_in`. */
  ctx_size_in?: number;
  /** Bytes at `ctx_out`; answer: bytes written. */
  ctx_size_out?: number;
  /** Address of the context. */
  ctx_in?: bigint;
  /** Address that the changed context goes to. */
  ctx_out?: bigint;
  /** `BPF_F_TEST_RUN_ON_CPU`. */
  flags?: number;
  /** CPU to run on, with that flag. */
  cpu?: number;
  /** Size of a batch of packets. */
  batch_size?: number;
}

/** `union bpf_attr` for `BPF_PROG_LOAD`, up to `expected_attach_type`. */
export const PROG_LOAD: StructLayout = structLayout("bpf_attr (BPF_PROG_LOAD)", [
  ["prog_type", "u32"],
  ["insn_cnt", "u32"],
  ["insns", "u64"],
  ["license", "u64"],
  ["log_level", "u32"],
  ["log_size", "u32"],
  ["log_buf", "u64"],
  ["kern_version", "u32"],
  ["prog_flags", "u32"],
  ["prog_name", "bytes16"],
  ["prog_ifindex", "u32"],
  ["expected_attach_type", "u32"],
]);

/** `union bpf_attr` for `BPF_RAW_TRACEPOINT_OPEN`. */
export const RAW_TRACEPOINT: StructLayout = structLayout("bpf_attr (BPF_RAW_TRACEPOINT_OPEN)", [
  ["name", "u64"],
  ["prog_fd", "u32"],
]);

/** `union bpf_attr` for `BPF_PROG_TEST_RUN`. */
export const PROG_TEST_RUN: StructLayout = structLayout("bpf_attr (BPF_PROG_TEST_RUN)", [
  ["prog_fd", "u32"],
  ["retval", "u32"],
  ["data_size_in", "u32"],
  ["data_size_out", "u32"],
  ["data_in", "u64"],
  ["data_out", "u64"],
  ["repeat", "u32"],
  ["duration", "u32"],
  ["ctx_size_in", "u32"],
  ["ctx_size_out", "u32"],
  ["ctx_in", "u64"],
  ["ctx_out", "u64"],
  ["flags", "u32"],
  ["cpu", "u32"],
  ["batch_size", "u32"],
]);

/**
 * The bytes of `value` laid out as `layout` says, in memory of its own; absent fields are zero.
 *
 * @throws {RangeError} If a value does not fit its field.
 */
export function encodeAttr(layout: StructLayout, value: object, littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(layout.size));
  writeStruct(layout, value, viewOf(bytes), 0, littleEndian);
  return bytes;
}

/** The bytes of `union bpf_attr` for `bpf(BPF_PROG_LOAD)`: 72 new bytes. */
export function encodeProgLoadAttr(attr: ProgLoadAttr, littleEndian: boolean = true): Uint8Array {
  return encodeAttr(PROG_LOAD, attr, littleEndian);
}

/** The bytes of `union bpf_attr` for `bpf(BPF_RAW_TRACEPOINT_OPEN)`: 16 new bytes. */
export function encodeRawTracepointAttr(attr: RawTracepointAttr, littleEndian: boolean = true): Uint8Array {
  return encodeAttr(RAW_TRACEPOINT, attr, littleEndian);
}

/** The bytes of `union bpf_attr` for `bpf(BPF_PROG_TEST_RUN)`: 80 new bytes. */
export function encodeProgTestRunAttr(attr: ProgTestRunAttr, littleEndian: boolean = true): Uint8Array {
  return encodeAttr(PROG_TEST_RUN, attr, littleEndian);
}

/** What the kernel made of a {@linkcode ProgTestRunAttr}: `retval`, `duration` and the sizes are its answer. */
export function decodeProgTestRunAttr(bytes: Uint8Array, littleEndian: boolean = true): Required<ProgTestRunAttr> {
  return readStruct(PROG_TEST_RUN, viewOf(bytes), 0, littleEndian);
}
