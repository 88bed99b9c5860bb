// Owns the public surface: named re-exports and nothing else.
/**
 * Linux BPF stack maps (`BPF_MAP_TYPE_STACK_TRACE`) for JavaScript, with no dependency.
 *
 * With `BPF_F_STACK_BUILD_ID` the kernel keeps build ID and file offset for each frame instead of an address. This module
 *
 * - decodes what it wrote: {@linkcode decodeStacks} for dumps, {@linkcode parseBpftoolDump} for what bpftool prints,
 *   {@linkcode StackBuildIdView} for single values;
 * - says where a frame is: {@linkcode Symbolizer} from build ID and offset to function, file, line and inlined calls,
 *   {@linkcode BuildIdIndex} to binary and symbol alone, {@linkcode demangle} for C++ and Rust names, and
 *   {@linkcode foldStacks} to folded stacks;
 * - works where there is no disk and little memory: {@linkcode RangedGsym} reads compact symbol files by ranges,
 *   {@linkcode elfToGsym} makes them, {@linkcode BinaryLoader} takes binaries from {@linkcode debuginfodStore},
 *   {@linkcode httpStore} and others, {@linkcode symbolizeHandler} answers web requests;
 * - reads and writes the ELF structures that this needs: {@linkcode readBuildId}, {@linkcode parseEhdr}, {@linkcode elfNotes};
 * - models how a kernel fills such a map, bit for bit, for Linux 4.17, 6.1, 6.12 and 6.18: {@linkcode StackMap},
 *   {@linkcode getStack}, {@linkcode buildIdParse}, {@linkcode AddressSpace}, {@linkcode PcpuFreelist}.
 *
 * Malformed input throws {@linkcode FormatError}; a broken contract throws `TypeError` or `RangeError`; what a modelled
 * kernel function returned is a number; {@linkcode KernelError} stands for a system call that would have failed.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BPF_F_USER_STACK, decodeStacks, listStacks, StackMap } from "@bpf/stackmap";
 *
 * const map = new StackMap({ valueSize: 127 * 8, maxEntries: 1024 }, { kernel: "6.18" });
 * const id = map.getStackid(new BigUint64Array([0x401136n, 0x401190n]), BPF_F_USER_STACK);
 * const dump = new Uint8Array(4 + 127 * 8);
 * new DataView(dump.buffer).setUint32(0, id, true);
 * map.copy(id, dump.subarray(4));
 * const [stack] = listStacks(decodeStacks(dump, { valueSize: 127 * 8 }));
 * assertEquals(stack.frames.map((frame) => frame.ip), [0x401136n, 0x401190n]);
 * ```
 *
 * @module
 */

// base
export { type ByteSource, byteSource } from "./src/base/byte_source.ts";
export { FormatError, type FormatErrorDetail } from "./src/base/format_error.ts";

// uapi
export { ERRNO, type ErrnoName, errnoName, KernelError } from "./src/uapi/errno.ts";
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
export { AddressSpace, type Vma } from "./src/memory/address_space.ts";
export { type MappedFile, mappedFile } from "./src/memory/mapped_file.ts";
export { parseProcMaps, type ProcMapsEntry } from "./src/memory/proc_maps.ts";
export { type AddressName, AddressNames, parseKallsyms, parsePerfMap } from "./src/memory/address_names.ts";

// elf
export {
  EI_CLASS,
  EI_DATA,
  ELFCLASS32,
  ELFCLASS64,
  ELFDATA2LSB,
  ELFDATA2MSB,
  ET_CORE,
  ET_DYN,
  ET_EXEC,
  ET_REL,
  NT_GNU_BUILD_ID,
  PF_R,
  PF_W,
  PF_X,
  PN_XNUM,
  PT_LOAD,
  PT_NOTE,
  SHN_ABS,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHN_XINDEX,
  SHT_DYNSYM,
  SHT_NOBITS,
  SHT_NOTE,
  SHT_NULL,
  SHT_PROGBITS,
  SHT_STRTAB,
  SHT_SYMTAB,
  SHT_SYMTAB_SHNDX,
  STB_GLOBAL,
  STB_GNU_UNIQUE,
  STB_LOCAL,
  STB_WEAK,
  STT_FILE,
  STT_FUNC,
  STT_GNU_IFUNC,
  STT_NOTYPE,
  STT_OBJECT,
  STT_SECTION,
  STT_TLS,
} from "./src/uapi/elf.ts";
export { type ReadAt, readBuildId, readBuildIdFrom } from "./src/elf/build_id.ts";
export { encodeEhdr, encodePhdr, encodeShdr, encodeSym } from "./src/elf/encode_headers.ts";
export {
  type Ehdr,
  type ElfIdent,
  type Nhdr,
  parseEhdr,
  parsePhdrs,
  parseShdrs,
  parseSyms,
  type Phdr,
  type Shdr,
  type Sym,
} from "./src/elf/headers.ts";
export { type ElfNote, elfNotes, encodeNote } from "./src/elf/notes.ts";

export {
  altFilePaths,
  type AltFileQuery,
  type DebugAltLink,
  debugFilePaths,
  type DebugFileQuery,
  type DebugLink,
  debugLinkMatches,
} from "./src/elf/debug_links.ts";

// demangle
export { demangle } from "./src/demangle/demangle.ts";

// kernel
export {
  type FreelistLocks,
  KERNEL_RELEASES,
  type KernelProfile,
  kernelProfile,
  type KernelRelease,
} from "./src/kernel/profile.ts";
export { jhash2 } from "./src/kernel/jhash.ts";
export { PcpuFreelist } from "./src/kernel/pcpu_freelist.ts";
export { CpuSchedule, type ScheduleRates } from "./src/kernel/cpu_schedule.ts";
export { type BuildIdOutcome, buildIdParse, explainBuildIdParse } from "./src/kernel/build_id_parse.ts";
export { CallTrace, type TraceStep } from "./src/kernel/call_trace.ts";
export type { CallContext } from "./src/kernel/call_context.ts";
export type { StackMapAttr } from "./src/kernel/map_create.ts";
export { StackMap, type StackMapOptions } from "./src/kernel/stack_map.ts";
export { getStack } from "./src/kernel/get_stack.ts";

// dump
export { type BpftoolDump, formatBpftoolDump, parseBpftoolDump } from "./src/dump/bpftool.ts";
export {
  buildIdAt,
  frameAt,
  listStacks,
  type Stack,
  STACK_STATUS_OTHER,
  type StackColumns,
  type StackMapLayout,
} from "./src/dump/columns.ts";
export { decodeStacks, decodeStackValue, StackDecoder } from "./src/dump/decode.ts";
export { looksLikeBuildIds } from "./src/dump/detect.ts";
export { encodeStacks, type StackInput } from "./src/dump/encode.ts";

// gsym
export {
  type GsymCallSite,
  type GsymFunctionInfo,
  type GsymInlineNode,
  type GsymLineRows,
} from "./src/gsym/function_info.ts";
export { type GsymFrame, type GsymLocation } from "./src/gsym/location.ts";
export { GsymReader, isGsym } from "./src/gsym/gsym_reader.ts";
export { RangedGsym, type RangedGsymOptions } from "./src/gsym/ranged_gsym.ts";
export { GsymCreator, type GsymFunction, type GsymInlinedCall, type GsymLine } from "./src/gsym/creator.ts";
export { type GsymCreatorOptions } from "./src/gsym/creator_builder.ts";
export { type GsymLayout } from "./src/gsym/creator_write.ts";

// convert
export {
  elfToGsym,
  type GsymConversion,
  type GsymConvertOptions,
  type GsymConvertReport,
} from "./src/convert/elf_to_gsym.ts";

// symbolize
export { type IndexedBinary } from "./src/symbolize/binary.ts";
export { type AddResult, type AddStatus, BuildIdIndex } from "./src/symbolize/build_id_index.ts";
export {
  type FrameColumns,
  type Resolution,
  RESOLVE_REASONS,
  type ResolvedColumns,
  type ResolveReason,
} from "./src/symbolize/resolution.ts";
export { type PageSize } from "./src/symbolize/segments.ts";
export { type FrameSource, type SymbolizedFrame } from "./src/symbolize/frame_rows.ts";
export { SymbolizedColumns } from "./src/symbolize/symbolized_columns.ts";
export {
  type Symbolization,
  type SymbolizerAddResult,
  type SymbolizerOptions,
} from "./src/symbolize/symbolization.ts";
export { Symbolizer } from "./src/symbolize/symbolizer.ts";
export { type SymbolTableKind } from "./src/symbolize/symbol_source.ts";
export { type CodeSymbol, SymbolTable } from "./src/symbolize/symbol_table.ts";

// store
export {
  type BinaryStore,
  type StoredFile,
  StoreError,
  type StoreErrorReason,
  type StoreItem,
} from "./src/store/store.ts";
export { BinaryLoader, type BinaryLoaderOptions, type BinaryProblem } from "./src/store/binary_loader.ts";
export { type BuildIdTreeOptions, buildIdTreeStore, type TreeReader } from "./src/store/build_id_tree.ts";
export {
  type CachedStore,
  cachedStore,
  type CachedStoreOptions,
  type CacheLike,
  type CacheStats,
} from "./src/store/cached_store.ts";
export { type DebuginfodOptions, debuginfodStore } from "./src/store/debuginfod_store.ts";
export { type FetchLike, type HttpOptions } from "./src/store/http_client.ts";
export { httpStore, type HttpStoreOptions } from "./src/store/http_store.ts";
export { isBuildId, parseBuildId, parseStoreItem } from "./src/store/identifiers.ts";
export { type MemoryStore, memoryStore, type MemoryStoreFile } from "./src/store/memory_store.ts";
export { storedFile } from "./src/store/stored_file.ts";
export { inOrderStore, racedStore } from "./src/store/store_order.ts";
export { verifiedStore } from "./src/store/verified_store.ts";

// profile
export {
  type FoldedFrame,
  type FoldedStacks,
  foldStacks,
  formatFolded,
  frameFallbackName,
  type FrameNamer,
} from "./src/profile/folded.ts";
export { encodePprof, type PprofOptions } from "./src/profile/pprof.ts";

// recording
export {
  type LostSamples,
  readRecording,
  type RecordedProcess,
  type SamplingInfo,
  type StackRecording,
} from "./src/recording/recording.ts";
export { type SampledProcess, type SampledStacks, type SampleRecording } from "./src/recording/sample_recording.ts";
export { encodeRecording } from "./src/recording/sample_writer.ts";

// serve
export type { AccessOptions } from "./src/serve/access.ts";
export { buildIdHandler, type BuildIdHandlerOptions } from "./src/serve/build_id_handler.ts";
export type { AnswerFrame, RequestStack, SymbolizeAnswer, SymbolizeRequest } from "./src/serve/json_stacks.ts";
export {
  type HandlerLimits,
  symbolizeHandler,
  type SymbolizeHandlerOptions,
} from "./src/serve/symbolize_handler.ts";
