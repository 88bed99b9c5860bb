// Owns the shapes around Symbolizer: what it is told, what it reports on a file, what it answers for one address.
import type { FormatError } from "../base/format_error.ts";
import type { DebugAltLink, DebugLink } from "../elf/debug_links.ts";
import type { IndexedBinary } from "./binary.ts";
import type { AddResult } from "./build_id_index.ts";
import type { SymbolizedFrame } from "./frame_rows.ts";
import type { ResolveReason } from "./resolution.ts";
import type { PageSize } from "./segments.ts";

/** What a {@linkcode Symbolizer} may be told. */
export interface SymbolizerOptions {
  /** Page size of the machine that the frames are from, in bytes; 4096 by default. */
  pageSize?: PageSize;
  /**
   * Most bytes to keep; see {@linkcode Symbolizer.retainedBytes}. Over it the binaries that were used least recently
   * are let go of, never those that the running call needs. No limit by default.
   */
  maxBytes?: number;
  /** Most bytes that the compressed sections of one file may unpack to; 1 GiB by default. */
  maxSectionBytes?: number;
}

/** Report on one file given to {@linkcode Symbolizer.add}. */
export interface SymbolizerAddResult extends AddResult {
  /** Whether the file brought DWARF that is used from now on. */
  debugInfo: boolean;
  /** The separate debug file that it names, with its CRC. */
  debugLink?: DebugLink;
  /** The file with what several debug files share (dwz); without it some names and inlined calls are missing. */
  debugAltLink?: DebugAltLink;
}

/** What is known about one address. */
export interface Symbolization {
  /** The binary with the frame's build id. */
  binary?: IndexedBinary;
  /** Virtual address in the binary's file, for a return address too the one reported. */
  address?: bigint;
  /** Whether `address` rests on rebuilt segment offsets; see {@linkcode IndexedBinary}. */
  reconstructed?: boolean;
  /** Innermost first: the function that the address is in, and around it those it was inlined into. */
  frames: SymbolizedFrame[];
  /** Why there are none. */
  reason?: ResolveReason;
  /** What is malformed in the file, where that is the reason, or why frames have no line or lack inlined calls. */
  problem?: FormatError;
}
