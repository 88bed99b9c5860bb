// Owns SymbolizedColumns: the answer to a batch of frames, in columns that turn into names when asked.
import { demangle } from "../demangle/demangle.ts";
import {
  fileOf,
  type FrameNames,
  frameOf,
  type FrameRows,
  type FrameSource,
  nameOf,
  sourceOf,
  type SymbolizedFrame,
} from "./frame_rows.ts";
import { RESOLVE_REASONS, type ResolvedColumns, type ResolveReason } from "./resolution.ts";

// The constructor, for this room alone: its parameters are no part of the public surface.
let make: (
  first: Uint32Array,
  depth: Uint32Array,
  resolved: ResolvedColumns,
  rows: FrameRows,
  programs: readonly (FrameNames | undefined)[],
) => SymbolizedColumns;

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
  readonly depth: Uint32Array;
  /** For each address the binary, address in it, and reason, as {@linkcode ResolvedColumns} has them. */
  readonly resolved: ResolvedColumns;
  /** Number of rows. */
  readonly length: number;
  /** Line of each frame, from 1; 0 for code of no line; -1 if not known. */
  readonly line: Int32Array;
  /** Column of each frame, from 1; 0 or -1 if not known. */
  readonly column: Int32Array;
  /** 1 where the frame's function was inlined into the next frame's. */
  readonly inlined: Uint8Array;
  readonly #rows: FrameRows;
  readonly #programs: readonly (FrameNames | undefined)[];
  readonly #demangled = new Map<string, string>();

  static {
    make = (...parts) => new SymbolizedColumns(...parts);
  }

  private constructor(
    first: Uint32Array,
    depth: Uint32Array,
    resolved: ResolvedColumns,
    rows: FrameRows,
    programs: readonly (FrameNames | undefined)[],
  ) {
    this.first = first;
    this.depth = depth;
    this.resolved = resolved;
    this.length = rows.length;
    this.line = rows.line.subarray(0, rows.length);
    this.column = rows.column.subarray(0, rows.length);
    this.inlined = rows.inlined.subarray(0, rows.length);
    this.#rows = rows;
    this.#programs = programs;
  }

  #check(row: number): number {
    if (!(row >= 0 && row < this.length)) throw new RangeError(`frame ${row} of ${this.length}`);
    return row;
  }

  #names(row: number): FrameNames {
    return this.#programs[this.#rows.program[this.#check(row)]]!;
  }

  /** Linkage name of frame `row`; see {@linkcode SymbolizedFrame}. */
  name(row: number): string | undefined {
    return nameOf(this.#rows, row, this.#names(row));
  }

  /** Name of frame `row` as it stands in the source. */
  demangled(row: number): string | undefined {
    const name = this.name(row);
    return name === undefined ? undefined : this.#demangle(name);
  }

  #demangle(name: string): string {
    let demangled = this.#demangled.get(name);
    if (demangled === undefined) this.#demangled.set(name, demangled = demangle(name));
    return demangled;
  }

  /** Path of the source file of frame `row`. */
  file(row: number): string | undefined {
    return fileOf(this.#rows, row, this.#names(row));
  }

  /** Where the name of frame `row` is from. */
  source(row: number): FrameSource {
    return sourceOf(this.#rows, row, this.#names(row));
  }

  /** Frame `row` as an object. */
  frame(row: number): SymbolizedFrame {
    return frameOf(this.#rows, row, this.#names(row), (name) => this.#demangle(name));
  }

  /** The frames of address `index`, innermost first; none where {@linkcode SymbolizedColumns.reason} tells why. */
  frames(index: number): SymbolizedFrame[] {
    const out: SymbolizedFrame[] = [];
    for (let k = 0; k < this.depth[index]; k++) out.push(this.frame(this.first[index] + k));
    return out;
  }

  /** Why address `index` has no frames; `undefined` if it has. */
  reason(index: number): ResolveReason | undefined {
    return RESOLVE_REASONS[this.resolved.reason[index]] === "resolved"
      ? undefined
      : RESOLVE_REASONS[this.resolved.reason[index]] as ResolveReason;
  }
}

/** Columns of what was looked up. */
export function symbolizedColumns(...parts: Parameters<typeof make>): SymbolizedColumns {
  return make(...parts);
}
