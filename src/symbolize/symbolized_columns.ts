// Owns SymbolizedColumns: the answer to a batch of frames, in columns that turn into names when asked.
import type { FormatError } from "../base/format_error.ts";
import { demangle } from "../demangle/demangle.ts";
import type { FoundFrames } from "./batch.ts";
import {
  type FrameNames,
  type FrameRows,
  type FrameSource,
  problemAt,
  type SymbolizedFrame,
} from "./frame_rows.ts";
import { RESOLVE_REASONS, type ResolvedColumns, type ResolveReason } from "./resolution.ts";

/** How many times its own length a C++ or Rust name stands for at most, unless it is made to be long. */
const EXPANSION = 64;
/** Characters that names which stand for more may add up to: each is kept, since frames share it. */
const MOST_EXPANDED = 1 << 24;

// The constructor, for this room alone: its parameters are no part of the public surface.
let make: (found: FoundFrames, resolved: ResolvedColumns) => SymbolizedColumns;

/**
 * Many addresses symbolized. Address i has `depth[i]` frames, in the rows from `first[i]` on, innermost first. Equal
 * addresses share their rows.
 *
 * Names and paths are numbers until {@linkcode SymbolizedColumns.name} and its like are asked, so that what is not
 * printed costs nothing. It holds on to the programs that it names, also to those evicted since.
 */
export class SymbolizedColumns {
  /** Row of each address's innermost frame. */
  readonly first: Uint32Array;
  /** Number of each address's frames; 0 where {@linkcode SymbolizedColumns.reason} tells why. */
  readonly depth: Uint8Array;
  /** For each address the binary, address in it, and reason, as {@linkcode ResolvedColumns} has them. */
  readonly resolved: ResolvedColumns;
  /** Number of rows. */
  readonly length: number;
  /**
   * What kept parts of GSYM files from coming, by the binary's position in `Symbolizer.binaries`; its addresses have
   * `not-loaded`. Only `Symbolizer.symbolize()` fetches.
   */
  readonly failures: ReadonlyMap<number, unknown>;
  readonly #rows: FrameRows;
  readonly #innermost: Uint8Array;
  readonly #programs: readonly (FrameNames | undefined)[];
  readonly #demangled = new Map<string, string>();
  #left = MOST_EXPANDED;

  static {
    make = (found, resolved) => new SymbolizedColumns(found, resolved);
  }

  private constructor(found: FoundFrames, resolved: ResolvedColumns) {
    const { first, depth, rows, programs, innermost, failures } = found;
    this.first = first;
    this.depth = depth;
    this.resolved = resolved;
    this.length = rows.length;
    this.failures = failures;
    this.#rows = rows;
    this.#programs = programs;
    this.#innermost = innermost;
  }

  #check(row: number): number {
    if (!(row >= 0 && row < this.length)) throw new RangeError(`frame ${row} of ${this.length}`);
    return row;
  }

  #names(row: number): FrameNames {
    return this.#programs[this.#rows.program(this.#check(row))]!;
  }

  /** Linkage name of frame `row`; see {@linkcode SymbolizedFrame}. */
  name(row: number): string | undefined {
    return this.#rows.name(row, this.#names(row));
  }

  /**
   * Name of frame `row` as it stands in the source. Names made to swell (200 bytes can stand for 131,072 characters) add
   * up to 16 Mi characters at most; what goes beyond stays mangled.
   */
  demangled(row: number): string | undefined {
    const name = this.name(row);
    return name === undefined ? undefined : this.#demangle(name);
  }

  #demangle(name: string): string {
    let demangled = this.#demangled.get(name);
    if (demangled === undefined) {
      demangled = demangle(name);
      if (demangled.length > EXPANSION * name.length) {
        this.#left -= demangled.length;
        if (this.#left < 0) demangled = name;
      }
      this.#demangled.set(name, demangled);
    }
    return demangled;
  }

  /** Path of the source file of frame `row`. */
  file(row: number): string | undefined {
    return this.#rows.file(row, this.#names(row));
  }

  /** Line of frame `row`, from 1; 0 for code of no line; `undefined` if not known. */
  line(row: number): number | undefined {
    return this.#rows.line(this.#check(row));
  }

  /** Column of frame `row`, from 1; 0 or `undefined` if not known. */
  column(row: number): number | undefined {
    return this.#rows.column(this.#check(row));
  }

  /** Whether the function of frame `row` was inlined into the next row's. */
  inlined(row: number): boolean {
    return this.#rows.inlined(this.#check(row));
  }

  /** Where the name of frame `row` is from. */
  source(row: number): FrameSource {
    return this.#rows.source(row, this.#names(row));
  }

  /** Frame `row` as an object. */
  frame(row: number): SymbolizedFrame {
    return this.#rows.frame(row, this.#names(row), (name) => this.#demangle(name));
  }

  /** The frames of address `index`, innermost first; none where {@linkcode SymbolizedColumns.reason} tells why. */
  frames(index: number): SymbolizedFrame[] {
    const out: SymbolizedFrame[] = [];
    for (let k = 0; k < this.depth[index]; k++) out.push(this.frame(this.first[index] + k));
    return out;
  }

  /**
   * What is malformed in the DWARF or GSYM of address `index`, which may be why it has no frames, or frames without lines;
   * `undefined` if nothing is.
   */
  problem(index: number): FormatError | undefined {
    const { binary, addressHi, addressLo } = this.resolved;
    const names = this.#programs[binary[index]];
    // Of a return address the byte before it was looked up.
    const back = 1 - this.#innermost[index];
    const lo = addressLo[index];
    return names === undefined
      ? undefined
      : problemAt(names, lo < back ? addressHi[index] - 1 : addressHi[index], (lo - back) >>> 0);
  }

  /** Why address `index` has no frames; `undefined` if it has. */
  reason(index: number): ResolveReason | undefined {
    return RESOLVE_REASONS[this.resolved.reason[index]] === "resolved"
      ? undefined
      : RESOLVE_REASONS[this.resolved.reason[index]] as ResolveReason;
  }
}

/** Columns of what was looked up. */
export function symbolizedColumns(found: FoundFrames, resolved: ResolvedColumns): SymbolizedColumns {
  return make(found, resolved);
}
