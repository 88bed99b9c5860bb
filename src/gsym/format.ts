// Owns the numbers of the GSYM format, as LLVM's llvm/DebugInfo/GSYM headers name and define them.

/** Header.h, GSYM_MAGIC: "GSYM" as the bytes of a big-endian number; little-endian files begin with "MYSG". */
export const GSYM_MAGIC = 0x4753_594d;

/** Versions of the format. */
export const GSYM_VERSION_1 = 1;
export const GSYM_VERSION_2 = 2;

/** Bytes of the version 1 header, whose UUID has room for 20 bytes. */
export const SIZEOF_HEADER_V1 = 48;
export const GSYM_MAX_UUID_SIZE = 20;

/** Bytes of the fixed part of the version 2 header; entries of the global data directory follow. */
export const SIZEOF_HEADER_V2 = 20;
/** Bytes of a directory entry: u32 type, u64 offset, u64 size. */
export const SIZEOF_GLOBAL_INFO = 20;

/** GlobalInfoType: what an entry of version 2's directory is about. */
export const GLOBAL_END_OF_LIST = 0;
export const GLOBAL_ADDR_OFFSETS = 1;
export const GLOBAL_ADDR_INFO_OFFSETS = 2;
export const GLOBAL_STRING_TABLE = 3;
export const GLOBAL_FILE_TABLE = 4;
export const GLOBAL_FUNCTION_INFO = 5;
export const GLOBAL_UUID = 6;

/** InfoType: what a part of a FunctionInfo is. */
export const INFO_END_OF_LIST = 0;
export const INFO_LINE_TABLE = 1;
export const INFO_INLINE = 2;
export const INFO_MERGED_FUNCTIONS = 3;
export const INFO_CALL_SITES = 4;

/** LineTable opcodes; from 4 on an opcode advances address and line and adds a row. */
export const LINE_END_SEQUENCE = 0;
export const LINE_SET_FILE = 1;
export const LINE_ADVANCE_PC = 2;
export const LINE_ADVANCE_LINE = 3;
export const LINE_FIRST_SPECIAL = 4;
