// Owns the answers of the build-id index: reasons, one frame's resolution, and columns for many.
import type { IndexedBinary } from "./binary.ts";

/**
 * Why a frame has no symbol. The position of a reason is its code in {@linkcode ResolvedColumns}`.reason`; code 0
 * means that there is a symbol.
 *
 * - `no-build-id`: the kernel did not translate the frame (`BPF_STACK_BUILD_ID_IP`).
 * - `no-such-binary`: no binary with that id was added.
 * - `no-segments`: the binary has no PT_LOAD segments, or they are malformed.
 * - `outside-every-segment`: no segment maps that file offset. A gap between mappings gives such frames.
 * - `not-an-executable-mapping`: only a segment without PF_X maps it, and no symbol is there.
 * - `no-symbols`: the binary has neither `.symtab` nor `.dynsym`.
 * - `malformed-symbols`: it has, but they can't be read; see {@linkcode IndexedBinary}`.problems`.
 * - `no-symbol-here`: its symbols leave the address out.
 * - `stripped`: the same, and all it has are the dynamic symbols; a separate debug file may know more.
 * - `malformed-debug-info`: its symbols leave the address out, and the DWARF or GSYM of it can't be read. Of
 *   `Symbolizer` alone.
 * - `evicted`: the binary was added, and let go of to keep a limit; add it again.
 * - `not-loaded`: its GSYM file is read by ranges, and what tells of the address is not here. `Symbolizer.symbolize()`
 *   fetches it; where that failed, it says why.
 */
export const RESOLVE_REASONS = [
  "resolved",
  "no-build-id",
  "no-such-binary",
  "no-segments",
  "outside-every-segment",
  "not-an-executable-mapping",
  "no-symbols",
  "malformed-symbols",
  "no-symbol-here",
  "stripped",
  "evicted",
  "malformed-debug-info",
  "not-loaded",
] as const;

/** One of {@linkcode RESOLVE_REASONS} but `"resolved"`. */
export type ResolveReason = Exclude<(typeof RESOLVE_REASONS)[number], "resolved">;

/** What the index knows about one frame. Either `symbol` or `reason` is set. */
export interface Resolution {
  /** The binary with the frame's build id. */
  binary?: IndexedBinary;
  /** Virtual address in the binary's file, for a return address too the one reported. */
  address?: bigint;
  /** Whether `address` rests on rebuilt segment offsets; see {@linkcode IndexedBinary}. */
  reconstructed?: boolean;
  /** The function around the address. `offset` is the distance from its first byte; `size` 0 if not known. */
  symbol?: { name: string; address: bigint; size: bigint; offset: bigint };
  /** Why there is no symbol. */
  reason?: ResolveReason;
}

/**
 * Frames to resolve, one element of each column a frame. What `decodeStacks()` returns fits.
 */
export interface FrameColumns {
  /** Number of the frame's build id in `buildIds`; negative or too large: the frame has none. */
  readonly idIndex: Int32Array | Uint32Array;
  /** Upper 32 bits of the frame's file offset. */
  readonly offsetHi: Uint32Array;
  /** Lower 32 bits of it. */
  readonly offsetLo: Uint32Array;
  /** Build ids, 20 bytes each, zero-padded as in the kernel's struct. */
  readonly buildIds: Uint8Array;
  /**
   * Row of each stack's innermost frame, ascending, and the number of rows. All other rows are return addresses.
   * Left out, every row counts as innermost.
   */
  readonly first?: Uint32Array;
  /** 1 for each row that is no return address; where it is there, `first` is not looked at. */
  readonly innermost?: Uint8Array;
}

/** Resolved frames, one element of each column a frame. */
export interface ResolvedColumns {
  /** Index of the binary in `BuildIdIndex.binaries`, or -1. */
  binary: Int32Array;
  /** Index of the symbol in that binary's table, or -1. */
  symbol: Int32Array;
  /** Upper 32 bits of the virtual address in the binary; 0 where there is none. */
  addressHi: Uint32Array;
  /** Lower 32 bits of it. */
  addressLo: Uint32Array;
  /** Code of the reason: a position in {@linkcode RESOLVE_REASONS}; 0 where there is a symbol. */
  reason: Uint8Array;
}

/**
 * 1 for each row that is the innermost frame of its stack, or said to be like it; all are without `first`. Not to be
 * changed: it may be the caller's.
 *
 * @param frames `first` as in {@linkcode FrameColumns}; empty stacks share their row with the next.
 * @throws {RangeError} If `innermost` is not as long as there are rows.
 */
export function innermostRows(frames: Pick<FrameColumns, "first" | "innermost">, count: number): Uint8Array {
  const { first, innermost } = frames;
  if (innermost !== undefined) {
    if (innermost.length !== count) throw new RangeError(`columns of ${count} and ${innermost.length} elements`);
    return innermost;
  }
  const out = new Uint8Array(count);
  if (first === undefined) return out.fill(1);
  for (const row of first) if (row < count) out[row] = 1;
  return out;
}
