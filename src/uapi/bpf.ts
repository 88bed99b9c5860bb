// Owns the constants of include/uapi/linux/bpf.h that stack maps and their programs use, in the kernel's spelling.

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
/** `bpf()` command: verify a program and load it. `enum bpf_cmd`. */
export const BPF_PROG_LOAD = 5;
/** `bpf()` command: give a map, program or link a name in a bpf file system. `enum bpf_cmd`. */
export const BPF_OBJ_PIN = 6;
/** `bpf()` command: open what was pinned. `enum bpf_cmd`. */
export const BPF_OBJ_GET = 7;
/** `bpf()` command: run a loaded program once. `enum bpf_cmd`, since 4.12. */
export const BPF_PROG_TEST_RUN = 10;
/** `bpf()` command: the program id after a given one. `enum bpf_cmd`, since 4.13. */
export const BPF_PROG_GET_NEXT_ID = 11;
/** `bpf()` command: the map id after a given one. `enum bpf_cmd`, since 4.13. */
export const BPF_MAP_GET_NEXT_ID = 12;
/** `bpf()` command: open a program by its id. `enum bpf_cmd`, since 4.13. */
export const BPF_PROG_GET_FD_BY_ID = 13;
/** `bpf()` command: open a map by its id. `enum bpf_cmd`, since 4.13. */
export const BPF_MAP_GET_FD_BY_ID = 14;
/** `bpf()` command: what a map, program or link is. `enum bpf_cmd`, since 4.13. */
export const BPF_OBJ_GET_INFO_BY_FD = 15;
/** `bpf()` command: attach a program to a raw tracepoint. `enum bpf_cmd`, since 4.17. */
export const BPF_RAW_TRACEPOINT_OPEN = 17;
/** `bpf()` command: look up and delete at once. `enum bpf_cmd`, since 4.20. */
export const BPF_MAP_LOOKUP_AND_DELETE_ELEM = 21;

/** Map type: hash table. `enum bpf_map_type`. */
export const BPF_MAP_TYPE_HASH = 1;
/** Map type: array. `enum bpf_map_type`. */
export const BPF_MAP_TYPE_ARRAY = 2;
/** Map type: hash table with a value for each possible CPU. `enum bpf_map_type`. */
export const BPF_MAP_TYPE_PERCPU_HASH = 5;
/** Map type: array with a value for each possible CPU. `enum bpf_map_type`. */
export const BPF_MAP_TYPE_PERCPU_ARRAY = 6;
/** Map type of stack maps. `enum bpf_map_type`. */
export const BPF_MAP_TYPE_STACK_TRACE = 7;
/** Map type: hash table that drops what was not used for long. `enum bpf_map_type`. */
export const BPF_MAP_TYPE_LRU_HASH = 9;
/** Map type: such a hash table with a value for each possible CPU. `enum bpf_map_type`. */
export const BPF_MAP_TYPE_LRU_PERCPU_HASH = 10;
/** Map type: cgroup storage with a value for each possible CPU. `enum bpf_map_type`. */
export const BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE = 21;

/** Map flag: a hash table that allocates its elements as they come. */
export const BPF_F_NO_PREALLOC = 0x1;
/** Map flag: allocate on the NUMA node that the attributes name. */
export const BPF_F_NUMA_NODE = 0x4;
/** Map flag: user space may only read through the returned descriptor. */
export const BPF_F_RDONLY = 0x8;
/** Map flag: user space may only write through the returned descriptor. */
export const BPF_F_WRONLY = 0x10;
/** Map flag: store build ID and file offset instead of the address. Since 4.17 (commit 615755a77b24). */
export const BPF_F_STACK_BUILD_ID = 0x20;

/** Update flag: create the element or replace it. */
export const BPF_ANY = 0;
/** Update flag: create the element, fail with EEXIST where there is one. */
export const BPF_NOEXIST = 1;
/** Update flag: replace the element, fail with ENOENT where there is none. */
export const BPF_EXIST = 2;

/** Program type: filter of a socket. `enum bpf_prog_type`. */
export const BPF_PROG_TYPE_SOCKET_FILTER = 1;
/** Program type: at a tracepoint, with its record as context. `enum bpf_prog_type`. */
export const BPF_PROG_TYPE_TRACEPOINT = 5;
/** Program type: at each sample of a perf event. `enum bpf_prog_type`. */
export const BPF_PROG_TYPE_PERF_EVENT = 7;
/** Program type: at a tracepoint, with its arguments as context. `enum bpf_prog_type`. */
export const BPF_PROG_TYPE_RAW_TRACEPOINT = 17;
/** Program type: run by `BPF_PROG_TEST_RUN`, may sleep. `enum bpf_prog_type`. */
export const BPF_PROG_TYPE_SYSCALL = 31;

/** Program flag: the program may sleep. Since 5.10. */
export const BPF_F_SLEEPABLE = 0x10;
/** Map flag: programs may only read. */
export const BPF_F_RDONLY_PROG = 0x80;
/** Helper flag and index of `bpf_perf_event_output` and its like: the CPU that runs. */
export const BPF_F_CURRENT_CPU = 0xffffffff;

/** `src_reg` of a 64-bit load: the immediate is a map's descriptor. */
export const BPF_PSEUDO_MAP_FD = 1;

/** Helper number of `bpf_map_lookup_elem()`. */
export const BPF_FUNC_map_lookup_elem = 1;
/** Helper number of `bpf_map_update_elem()`. */
export const BPF_FUNC_map_update_elem = 2;
/** Helper number of `bpf_map_delete_elem()`. */
export const BPF_FUNC_map_delete_elem = 3;
/** Helper number of `bpf_probe_read()`. */
export const BPF_FUNC_probe_read = 4;
/** Helper number of `bpf_ktime_get_ns()`. */
export const BPF_FUNC_ktime_get_ns = 5;
/** Helper number of `bpf_get_smp_processor_id()`. */
export const BPF_FUNC_get_smp_processor_id = 8;
/** Helper number of `bpf_get_current_pid_tgid()`. */
export const BPF_FUNC_get_current_pid_tgid = 14;
/** Helper number of `bpf_get_current_comm()`. */
export const BPF_FUNC_get_current_comm = 16;
/** Helper number of `bpf_get_stackid()`. */
export const BPF_FUNC_get_stackid = 27;
/** Helper number of `bpf_perf_event_output()`. */
export const BPF_FUNC_perf_event_output = 25;
/** Helper number of `bpf_get_stack()`. */
export const BPF_FUNC_get_stack = 67;
/** Helper number of `bpf_probe_read_user()`. */
export const BPF_FUNC_probe_read_user = 112;
/** Helper number of `bpf_probe_read_kernel()`. */
export const BPF_FUNC_probe_read_kernel = 113;
/** Helper number of `bpf_get_ns_current_pid_tgid()`. */
export const BPF_FUNC_get_ns_current_pid_tgid = 120;

/** Bytes of an object's name, NUL included: 15 characters at most. */
export const BPF_OBJ_NAME_LEN = 16;

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
