// Owns the constants of include/uapi/linux/bpf.h that stack maps use, in the kernel's spelling and values.

/** `bpf()` command: create a map. `enum bpf_cmd`. */
export const BPF_MAP_CREATE = 0;
/** `bpf()` command: look an element up. `enum bpf_cmd`. */
export const BPF_MAP_LOOKUP_ELEM = 1;
/** `bpf()` command: update an element; stack maps refuse it. `enum bpf_cmd`. */
export const BPF_MAP_UPDATE_ELEM = 2;
/** `bpf()` command: delete an element. `enum bpf_cmd`. */
export const BPF_MAP_DELETE_ELEM = 3;
/** `bpf()` command: iterate over keys. `enum bpf_cmd`. */
export const BPF_MAP_GET_NEXT_KEY = 4;
/** `bpf()` command: look up and delete at once. `enum bpf_cmd`, since 4.20. */
export const BPF_MAP_LOOKUP_AND_DELETE_ELEM = 21;

/** Map type of stack maps. `enum bpf_map_type`. */
export const BPF_MAP_TYPE_STACK_TRACE = 7;

/** Map flag: allocate on the NUMA node that the attributes name. */
export const BPF_F_NUMA_NODE = 0x4;
/** Map flag: user space may only read through the returned descriptor. */
export const BPF_F_RDONLY = 0x8;
/** Map flag: user space may only write through the returned descriptor. */
export const BPF_F_WRONLY = 0x10;
/** Map flag: store build ID and file offset instead of the address. Since 4.17 (commit 615755a77b24). */
export const BPF_F_STACK_BUILD_ID = 0x20;

/** Helper flag bits: how many innermost frames to skip, 0 to 255. */
export const BPF_F_SKIP_FIELD_MASK = 0xff;
/** Helper flag: walk the user stack instead of the kernel's. */
export const BPF_F_USER_STACK = 0x100;
/** Helper flag of `bpf_get_stackid`: trust the hash, compare no frames. */
export const BPF_F_FAST_STACK_CMP = 0x200;
/** Helper flag of `bpf_get_stackid`: replace another stack that owns the bucket. */
export const BPF_F_REUSE_STACKID = 0x400;
/** Helper flag of `bpf_get_stack`: build IDs and offsets instead of addresses. */
export const BPF_F_USER_BUILD_ID = 0x800;

/** `bpf_stack_build_id.status`: unused; ends the trace. `enum bpf_stack_build_id_status`. */
export const BPF_STACK_BUILD_ID_EMPTY = 0;
/** `bpf_stack_build_id.status`: `build_id` and `offset` are valid. `enum bpf_stack_build_id_status`. */
export const BPF_STACK_BUILD_ID_VALID = 1;
/** `bpf_stack_build_id.status`: could not be translated; `ip` is valid. `enum bpf_stack_build_id_status`. */
export const BPF_STACK_BUILD_ID_IP = 2;
/** Bytes of `bpf_stack_build_id.build_id`: the longest build ID that the kernel keeps. */
export const BPF_BUILD_ID_SIZE = 20;

/** What a map is created with: flags of {@linkcode BPF_F_STACK_BUILD_ID} and its like, or-ed. */
export type MapFlags = number;
/** What a helper is called with: {@linkcode BPF_F_USER_STACK} and its like, or-ed, and the skip count. */
export type HelperFlags = number;
