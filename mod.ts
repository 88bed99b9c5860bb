// Owns the public surface: named re-exports and nothing else.
/**
 * Linux BPF stack maps for JavaScript.
 *
 * @module
 */

// base
export { FormatError, type FormatErrorDetail } from "./src/base/format_error.ts";

// uapi
export { ERRNO, errnoName, type ErrnoName, KernelError } from "./src/uapi/errno.ts";
export {
  BPF_BUILD_ID_SIZE,
  BPF_F_FAST_STACK_CMP,
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_REUSE_STACKID,
  BPF_F_SKIP_FIELD_MASK,
  BPF_F_STACK_BUILD_ID,
  BPF_F_USER_BUILD_ID,
  BPF_F_USER_STACK,
  BPF_F_WRONLY,
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_STACK_TRACE,
  BPF_MAP_UPDATE_ELEM,
  BPF_STACK_BUILD_ID_EMPTY,
  BPF_STACK_BUILD_ID_IP,
  BPF_STACK_BUILD_ID_VALID,
  type HelperFlags,
  type MapFlags,
} from "./src/uapi/bpf.ts";
export {
  type BpfStackBuildId,
  decodeStackBuildId,
  encodeStackBuildId,
  SIZEOF_BPF_STACK_BUILD_ID,
  StackBuildIdView,
} from "./src/uapi/bpf_stack_build_id.ts";
export {
  decodeMapCreateAttr,
  decodeMapElemAttr,
  encodeMapCreateAttr,
  encodeMapElemAttr,
  type MapCreateAttr,
  type MapElemAttr,
} from "./src/uapi/bpf_attr.ts";

// memory

// elf

// kernel

// dump

// symbolize

// profile
