// Owns BuildIdIndex: binaries in, and for a build id plus file offset the binary, address and symbol out.
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";
import { bytesEqual, toHex } from "../base/bytes.ts";
import type { FormatError } from "../base/format_error.ts";
import { ElfFile } from "../elf/elf_file.ts";
import type { Phdr } from "../elf/headers.ts";
import { type BinaryParts, BinaryRecord, type IndexedBinary, readParts, segmentsOnly } from "./binary.ts";
import { IdLookup } from "./id_lookup.ts";
import {
  type FrameColumns,
  innermostRows,
  type Resolution,
  RESOLVE_REASONS,
  type ResolvedColumns,
  type ResolveReason,
} from "./resolution.ts";
import type { PageSize } from "./segments.ts";

/**
 * What became of a file.
 *
 * - `added`: the first with its build id.
 * - `merged`: its id was known, and it brought what was missing: segments, or more symbols. An executable and its
 *   separate debug file do that, in either order.
 * - `duplicate`: its id was known and it brought nothing.
 * - `conflict`: its id was known, or is equal to a known one once zero-padded, but the programs differ. The first
 *   stays as it was.
 * - `mismatch`: its id is not the expected one. Nothing was taken.
 * - `no-build-id`: it has none and none was given. Nothing was taken.
 */
export type AddStatus = "added" | "merged" | "duplicate" | "conflict" | "mismatch" | "no-build-id";

/** Report on one file given to {@linkcode BuildIdIndex.add}. */
export interface AddResult {
  /** What became of it. */
  status: AddStatus;
  /** The file's own build id, else the one given. */
  buildId?: Uint8Array;
  /**
   * Whether a kernel can report this id: it has 1 to 20 bytes. Frames of a program with a longer one fall back to
   * `BPF_STACK_BUILD_ID_IP`.
   */
  kernelReports: boolean;
  /** The binary that it is, or is in conflict with. */
  binary?: IndexedBinary;
  /** Malformed parts of the file; the others were taken. */
  problems: readonly FormatError[];
}

const codeOf = (reason: ResolveReason): number => RESOLVE_REASONS.indexOf(reason);
const NO_BUILD_ID = codeOf("no-build-id");
const NO_SUCH_BINARY = codeOf("no-such-binary");
const NO_SEGMENTS = codeOf("no-segments");
const OUTSIDE = codeOf("outside-every-segment");
const NOT_EXECUTABLE = codeOf("not-an-executable-mapping");
const EVICTED = codeOf("evicted");

// The way in for what is no ELF file, for this room alone.
let addSegments: (
  index: BuildIdIndex,
  buildId: Uint8Array | undefined,
  segments: readonly Phdr[],
  options: AddOptions,
) => AddResult;

interface AddOptions {
  name?: string;
  buildId?: Uint8Array;
}

/**
 * Binaries by build id: answers which binary and which symbol a frame of a stack map is in.
 *
 * Ids match as the kernel reports them: an id of 8 or 16 bytes equals its form padded with zeros to 20. Zeros at
 * the end of an id are never stripped. Nothing of a file's bytes is kept but its code symbols' entries and strings.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import {
 *   BuildIdIndex,
 *   ELFCLASS64,
 *   ELFDATA2LSB,
 *   encodeEhdr,
 *   encodeNote,
 *   encodePhdr,
 *   ET_EXEC,
 *   NT_GNU_BUILD_ID,
 *   PF_R,
 *   PF_X,
 *   PT_LOAD,
 *   PT_NOTE,
 * } from "@bpf/stackmap";
 *
 * // An executable as small as can be: one segment at 0x400000, one note with the id, no symbols.
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
 * const id = new Uint8Array(8).fill(0xab);
 * const note = encodeNote({ n_type: NT_GNU_BUILD_ID, name: "GNU", desc: id }, { e_ident });
 * const text = { p_type: PT_LOAD, p_flags: PF_R | PF_X, p_vaddr: 0x400000n, p_filesz: 200n, p_memsz: 200n };
 * const bytes = Uint8Array.of(
 *   ...encodeEhdr({ e_ident, e_type: ET_EXEC, e_phoff: 64n, e_phentsize: 56, e_phnum: 2 }),
 *   ...encodePhdr(text, { e_ident }),
 *   ...encodePhdr({ p_type: PT_NOTE, p_offset: 176n, p_filesz: BigInt(note.length) }, { e_ident }),
 *   ...note,
 * );
 * const index = new BuildIdIndex();
 * assertEquals(index.add(bytes, { name: "a.out" }).status, "added");
 *
 * // As a frame has it: the id padded with zeros, and an offset in the file.
 * const build_id = new Uint8Array(20).fill(0xab, 0, 8);
 * const { binary, address, reason } = index.resolve(build_id, 0x80n);
 * assertEquals([binary?.name, address, reason], ["a.out", 0x400080n, "no-symbols"]);
 * ```
 */
export class BuildIdIndex {
  readonly #binaries: BinaryRecord[] = [];
  readonly #pageSize: PageSize;
  readonly #lookup = new IdLookup();
  /** Ids that no kernel reports, by their hex. */
  readonly #long = new Map<string, number>();
  // The last frame's answer, so that a lookup returns five numbers without allocating.
  #symbol = -1;
  #addressHi = 0;
  #addressLo = 0;

  /**
   * An index without binaries.
   *
   * @param options `pageSize` of the machine that the frames are from, in bytes; 4096 by default.
   * @throws {RangeError} If `pageSize` is none that Linux has.
   */
  constructor(options: { pageSize?: PageSize } = {}) {
    const { pageSize = 4096 } = options;
    if (pageSize !== 4096 && pageSize !== 16384 && pageSize !== 65536) {
      throw new RangeError(`pageSize must be 4096, 16384 or 65536, not ${pageSize}`);
    }
    this.#pageSize = pageSize;
  }

  /** All binaries, in the order of addition. */
  get binaries(): readonly IndexedBinary[] {
    return this.#binaries;
  }

  /**
   * Takes in one ELF file: an executable, a library, or a separate debug file.
   *
   * Symbols are read when first needed. A malformed symbol table or program header table does not keep the rest of
   * the file out: it is reported in `problems`.
   *
   * @param bytes The whole file. It is not kept and not changed.
   * @param options `name` for reports, such as the path. `buildId`: what the id has to be, where it is known from
   *   elsewhere; also taken for a file that has none.
   * @throws {FormatError} If `bytes` are not ELF or end inside the ELF header.
   * @throws {RangeError} If `options.buildId` is empty.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { BuildIdIndex, ELFCLASS64, ELFDATA2LSB, encodeEhdr } from "@bpf/stackmap";
   *
   * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
   * const index = new BuildIdIndex();
   * assertEquals(index.add(encodeEhdr({ e_ident })).status, "no-build-id");
   * assertEquals(index.add(encodeEhdr({ e_ident }), { buildId: Uint8Array.of(1, 2) }).status, "added");
   * ```
   */
  add(bytes: Uint8Array, options: { name?: string; buildId?: Uint8Array } = {}): AddResult {
    if (options.buildId?.length === 0) throw new RangeError("buildId is empty");
    const file = new ElfFile(bytes);
    return this.#take(file.buildId, options, () => readParts(file, this.#pageSize));
  }

  static {
    addSegments = (index, buildId, segments, options) =>
      index.#take(buildId, options, () => segmentsOnly(segments, index.#pageSize));
  }

  #take(
    own: Uint8Array | undefined,
    { name = "", buildId: expected }: AddOptions,
    read: () => BinaryParts,
  ): AddResult {
    const buildId = own ?? expected?.slice();
    if (buildId === undefined) return { status: "no-build-id", kernelReports: false, problems: [] };
    const kernelReports = buildId.length <= BPF_BUILD_ID_SIZE;
    if (own !== undefined && expected !== undefined && !sameId(own, expected)) {
      return { status: "mismatch", buildId, kernelReports, problems: [] };
    }
    const parts = read();
    const { problems } = parts;
    const known = this.#binaries[this.#find(buildId)];
    if (known?.evicted && bytesEqual(known.buildId, buildId)) {
      const binary = new BinaryRecord(known.index, buildId, name, parts);
      this.#binaries[known.index] = binary;
      return { status: "added", buildId, kernelReports, binary, problems };
    }
    if (known !== undefined) {
      // The same after padding, not the same before: two programs that a kernel's report can't tell apart.
      const conflict = !bytesEqual(known.buildId, buildId) || known.contradicts(parts);
      const status = conflict ? "conflict" : known.merge(name, parts) ? "merged" : "duplicate";
      return { status, buildId, kernelReports, binary: known, problems };
    }
    const binary = new BinaryRecord(this.#binaries.length, buildId, name, parts);
    this.#binaries.push(binary);
    if (kernelReports) this.#lookup.add(buildId, binary.index);
    else this.#long.set(toHex(buildId), binary.index);
    return { status: "added", buildId, kernelReports, binary, problems };
  }

  /**
   * Lets go of what is known of a binary; frames in it are answered with `evicted` until its files are added again.
   * Returns whether there was anything.
   */
  evict(buildId: Uint8Array): boolean {
    const binary = this.#binaries[this.#find(buildId)];
    if (binary === undefined || binary.evicted) return false;
    binary.evict();
    return true;
  }

  #find(buildId: Uint8Array): number {
    if (buildId.length === 0) return -1;
    if (buildId.length > BPF_BUILD_ID_SIZE) return this.#long.get(toHex(buildId)) ?? -1;
    return this.#lookup.find(buildId, 0, buildId.length);
  }

  /** The binary with a build id, given as in the file or padded to 20 bytes. */
  binary(buildId: Uint8Array): IndexedBinary | undefined {
    return this.#binaries[this.#find(buildId)];
  }

  /**
   * Resolves one frame.
   *
   * @param buildId As in the kernel's struct (20 bytes, zero-padded) or as in the file.
   * @param fileOffset File offset in bytes, unsigned 64 bits.
   * @param options `returnAddress`: the frame is not the innermost of its stack. Then it points after a call, which
   *   may be the last instruction of its function: the symbol is looked up one byte earlier, and `address` and
   *   the symbol's `offset` are still those of the frame.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { BuildIdIndex } from "@bpf/stackmap";
   *
   * const index = new BuildIdIndex();
   * assertEquals(index.resolve(new Uint8Array(20).fill(7), 0x1136n).reason, "no-such-binary");
   * ```
   */
  resolve(buildId: Uint8Array, fileOffset: bigint, options: { returnAddress?: boolean } = {}): Resolution {
    const binary = this.#binaries[this.#find(buildId)];
    if (binary === undefined) return { reason: "no-such-binary" };
    const offset = BigInt.asUintN(64, fileOffset);
    const inside = fileOffset === offset;
    const code = inside
      ? this.#resolve(binary, Number(offset >> 32n), Number(offset & 0xffff_ffffn), options.returnAddress === true)
      : OUTSIDE;
    if (code === NO_SEGMENTS || code === OUTSIDE || code === EVICTED) {
      return { binary, reason: RESOLVE_REASONS[code] as ResolveReason };
    }
    const address = (BigInt(this.#addressHi) << 32n) | BigInt(this.#addressLo);
    const { reconstructed } = binary;
    if (code !== 0) return { binary, address, reconstructed, reason: RESOLVE_REASONS[code] as ResolveReason };
    const symbol = binary.symbols!.get(this.#symbol);
    return { binary, address, reconstructed, symbol: { ...symbol, offset: address - symbol.address } };
  }

  /**
   * Resolves many frames. Per distinct build id one lookup, per frame no allocation.
   *
   * @param frames What `decodeStacks()` returns, or the same columns from elsewhere.
   * @param out Columns to write to, for reuse; each must have as many elements as there are frames.
   * @returns `out`, or new columns.
   * @throws {RangeError} If columns differ in length.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { BuildIdIndex, RESOLVE_REASONS } from "@bpf/stackmap";
   *
   * const index = new BuildIdIndex();
   * const { reason } = index.resolveColumns({
   *   idIndex: Int32Array.of(0, -1),
   *   offsetHi: Uint32Array.of(0, 0),
   *   offsetLo: Uint32Array.of(0x1136, 0),
   *   buildIds: new Uint8Array(20).fill(7),
   * });
   * assertEquals(RESOLVE_REASONS[reason[0]], "no-such-binary");
   * assertEquals(RESOLVE_REASONS[reason[1]], "no-build-id");
   * ```
   */
  resolveColumns(
    frames: FrameColumns,
    out: ResolvedColumns = resolvedColumns(frames.idIndex.length),
  ): ResolvedColumns {
    const { idIndex, offsetHi, offsetLo, buildIds } = frames;
    const count = idIndex.length;
    for (const column of [offsetHi, offsetLo, out.binary, out.symbol, out.addressHi, out.addressLo, out.reason]) {
      if (column.length !== count) throw new RangeError(`columns of ${count} and ${column.length} elements`);
    }
    const ids = Math.floor(buildIds.length / BPF_BUILD_ID_SIZE);
    const binaryOf = new Int32Array(ids);
    for (let id = 0; id < ids; id++) {
      binaryOf[id] = this.#lookup.find(buildIds, id * BPF_BUILD_ID_SIZE, BPF_BUILD_ID_SIZE);
    }
    const binaries = this.#binaries;
    const innermost = innermostRows(frames, count);
    for (let i = 0; i < count; i++) {
      const id = idIndex[i];
      const index = id >= 0 && id < ids ? binaryOf[id] : -1;
      this.#symbol = -1;
      this.#addressHi = 0;
      this.#addressLo = 0;
      out.binary[i] = index;
      out.reason[i] = index >= 0
        ? this.#resolve(binaries[index], offsetHi[i], offsetLo[i], innermost[i] === 0)
        : id >= 0 && id < ids
        ? NO_SUCH_BINARY
        : NO_BUILD_ID;
      out.symbol[i] = this.#symbol;
      out.addressHi[i] = this.#addressHi;
      out.addressLo[i] = this.#addressLo;
    }
    return out;
  }

  /** Sets `#symbol` and address; returns the code of a reason, 0 with a symbol. */
  #resolve(binary: BinaryRecord, offsetHi: number, offsetLo: number, returnAddress: boolean): number {
    const { segments } = binary;
    this.#symbol = -1;
    if (segments.length === 0) return binary.evicted ? EVICTED : NO_SEGMENTS;
    // One byte earlier; before byte 0 there is none, and the wrapped offset is outside.
    const lo = returnAddress ? (offsetLo - 1) >>> 0 : offsetLo;
    const hi = returnAddress && offsetLo === 0 ? (offsetHi - 1) >>> 0 : offsetHi;
    const segment = segments.find(hi, lo);
    if (segment < 0) return OUTSIDE;
    this.#addressLo = segments.addressLo(segment, offsetLo);
    this.#addressHi = segments.addressHi(segment, offsetHi, offsetLo);
    const { symbols } = binary;
    if (symbols !== undefined) {
      this.#symbol = returnAddress
        ? symbols.lookup(segments.addressHi(segment, hi, lo), segments.addressLo(segment, lo))
        : symbols.lookup(this.#addressHi, this.#addressLo);
      if (this.#symbol >= 0) return 0;
    }
    if (!segments.isExecutable(segment)) return NOT_EXECUTABLE;
    return codeOf(noSymbolReason(binary));
  }
}

/** {@linkcode BuildIdIndex.add} for a binary of which id and segments are known from elsewhere, and no symbols. */
export function addKnownSegments(
  index: BuildIdIndex,
  buildId: Uint8Array | undefined,
  segments: readonly Phdr[],
  options: AddOptions,
): AddResult {
  return addSegments(index, buildId, segments, options);
}

/** Why a binary has no symbol for an address that its code can be at. */
export function noSymbolReason({ symbolKind, problems }: IndexedBinary): ResolveReason {
  if (symbolKind === undefined) return problems.length > 0 ? "malformed-symbols" : "no-symbols";
  return symbolKind === ".symtab" ? "no-symbol-here" : "stripped";
}

/** Empty columns for `count` frames. */
function resolvedColumns(count: number): ResolvedColumns {
  return {
    binary: new Int32Array(count),
    symbol: new Int32Array(count),
    addressHi: new Uint32Array(count),
    addressLo: new Uint32Array(count),
    reason: new Uint8Array(count),
  };
}

/** Whether two ids are the same, or are once padded with zeros to the kernel's 20 bytes. */
function sameId(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length > BPF_BUILD_ID_SIZE || b.length > BPF_BUILD_ID_SIZE) return bytesEqual(a, b);
  for (let i = 0; i < BPF_BUILD_ID_SIZE; i++) if ((a[i] ?? 0) !== (b[i] ?? 0)) return false;
  return true;
}
