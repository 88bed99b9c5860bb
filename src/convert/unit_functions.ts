// Owns the functions of one unit after the other: from lines and scopes to what a GSYM file has of each function.
import type { Dwarf, UnitCode } from "../dwarf/dwarf.ts";
import type { Address } from "../dwarf/reader.ts";
import type { Scopes } from "../dwarf/scopes.ts";
import type { GsymBuilder } from "../gsym/creator_builder.ts";
import { FunctionDraft, type InlineNode } from "../gsym/encode_function.ts";
import { EMPTY_STRING, UNKNOWN_FILE } from "../gsym/encode_pool.ts";
import { absolute } from "./symbol_spans.ts";

/** Calls nested deeper are left out; the symbolizer leaves some out there, too. Real ones stay below 50. */
const MOST_INLINED = 126;
/** Larger functions, which hostile files have, are cut. */
const MOST_BYTES = 0xffff_ffff;

/** Adds to a builder what a program's DWARF and symbols say. */
export class UnitFunctions {
  /** Functions that the DWARF knows something of, */
  fromDwarf = 0;
  /** and those that symbols alone know. */
  fromSymbols = 0;
  /** Ranges of inlined calls that are nested too deep, or too many, to be written. */
  droppedCalls = 0;
  readonly #builder: GsymBuilder;
  readonly #dwarf: Dwarf | undefined;
  readonly #baseHi: number;
  readonly #draft = new FunctionDraft();
  /** Numbers that the builder has for the DWARF's names and paths. */
  readonly #names: number[] = [];
  readonly #paths: number[] = [];
  /** Ranges of inlined calls that may still be written. In hostile files one range is in a hundred calls. */
  #rangesLeft: number;
  #code: UnitCode | null = null;
  #unit = -1;
  /** For each scope of the unit itself, or the one around it that is not nested too deep. */
  #tops: Int32Array | undefined = undefined;
  readonly #nodes = new Map<number, InlineNode>();
  readonly #chain: number[] = [];

  /** @param bytes Size of the input. */
  constructor(builder: GsymBuilder, dwarf: Dwarf | undefined, baseHi: number, bytes: number) {
    this.#builder = builder;
    this.#dwarf = dwarf;
    this.#baseHi = baseHi;
    this.#rangesLeft = (1 << 20) + bytes;
  }

  /** Goes to another unit; -1: to code of none. */
  enter(unit: number): void {
    this.#unit = unit;
    this.#code = unit < 0 ? null : this.#dwarf!.unit(unit);
    this.#tops = undefined;
  }

  /** Adds what a symbol names. */
  addNamed(low: Address, high: Address, name: string): void {
    this.#fill(low, high, this.#code?.hasInlined === true);
    this.#add(low, high, this.#builder.strings.intern(name), false);
  }

  /** Adds the unit's functions, and its lines outside of them, where no symbol names them. */
  addUnnamed(low: Address, high: Address): void {
    const code = this.#code;
    if (code === null) return;
    const { scopes } = code;
    if (scopes === null) return this.#addLines(low, high);
    const { intervals } = scopes;
    let root = -1;
    let from = low;
    const flush = (until: Address): void => {
      if (until > from && root >= 0) {
        this.#fill(from, until, true);
        this.#add(from, until, this.#name(code.functionName(root)), true);
      } else if (until > from) this.#addLines(from, until);
      from = until;
    };
    for (let i = Math.max(0, intervals.indexAt(low)); i < intervals.length && intervals.start(i) < high; i++) {
      const scope = intervals.value(i);
      const next = scope < 0 ? -1 : scopes.root(scope);
      if (next === root) continue;
      flush(Math.max(low, intervals.start(i)));
      root = next;
    }
    flush(high);
  }

  /**
   * Adds code that has lines, but is of no function, as functions without a name; from where a row begins, since
   * rows reach over the padding behind functions.
   */
  #addLines(low: Address, high: Address): void {
    const rows = this.#code?.rows;
    if (rows === undefined) return;
    let row = rows.indexAt(low);
    if (row < 0 || rows.address(row) < low) row++;
    while (row < rows.length && rows.address(row) < high) {
      if (rows.ends(row)) {
        row++;
        continue;
      }
      const from = rows.address(row);
      while (row < rows.length && !rows.ends(row) && rows.address(row) < high) row++;
      const until = row < rows.length ? Math.min(high, rows.address(row)) : high;
      if (!(from < until)) continue;
      this.#fill(from, until, false);
      this.#add(from, until, EMPTY_STRING, true);
    }
  }

  #add(low: Address, high: Address, name: number, known: boolean): void {
    const { hi, lo } = absolute(low, this.#baseHi);
    if (known || this.#draft.rows > 0) this.fromDwarf++;
    else this.fromSymbols++;
    this.#builder.add(hi, lo, Math.min(high - low, MOST_BYTES), name, this.#draft);
  }

  /** Makes the draft of a function: its lines and inlined calls, as far as the unit has them. */
  #fill(low: Address, high: Address, withCalls: boolean): void {
    const draft = this.#draft;
    draft.reset();
    const code = this.#code;
    if (code === null) return;
    if (high - low > MOST_BYTES) high = low + MOST_BYTES;
    this.#nodes.clear();
    const scopes = withCalls ? code.scopes : null;
    const { units } = this.#dwarf!;
    let known = false;
    let i = units.indexAt(low);
    if (i < 0) {
      draft.row(0, UNKNOWN_FILE, 0);
      i = 0;
    }
    for (; i < units.length && units.start(i) < high; i++) {
      const from = Math.max(low, units.start(i));
      const until = Math.min(high, units.start(i + 1));
      if (units.value(i) === this.#unit) {
        known = this.#rows(from, until, low) || known;
        if (scopes !== null) this.#calls(scopes, from, until, low);
      } else draft.row(from - low, UNKNOWN_FILE, 0);
    }
    // Inlined calls are found in code with a row alone.
    if (!known && draft.inlined.length === 0) draft.rows = 0;
  }

  /** Adds the rows of a stretch; where there is none, one that says so. Returns whether there was any. */
  #rows(from: Address, until: Address, base: Address): boolean {
    const code = this.#code!;
    const draft = this.#draft;
    const { rows } = code;
    let row = rows === undefined ? -1 : rows.indexAt(from);
    if (rows === undefined || row < 0) draft.row(from - base, UNKNOWN_FILE, 0);
    if (rows === undefined) return false;
    let known = false;
    for (row = Math.max(row, 0); row < rows.length; row++) {
      const address = rows.address(row);
      if (address >= until) break;
      const offset = Math.max(address, from) - base;
      if (rows.ends(row)) draft.row(offset, UNKNOWN_FILE, 0);
      else {
        draft.row(offset, this.#path(code.file(rows.file(row))), rows.line(row));
        known = true;
      }
    }
    return known;
  }

  /** Adds the inlined calls of a stretch, each with its part of it. */
  #calls(scopes: Scopes, from: Address, until: Address, base: Address): void {
    const { intervals } = scopes;
    const tops = this.#tops ??= topsOf(scopes);
    const chain = this.#chain;
    for (let i = Math.max(0, intervals.indexAt(from)); i < intervals.length; i++) {
      const low = Math.max(from, intervals.start(i));
      if (low >= until) return;
      const high = Math.min(until, intervals.start(i + 1));
      const scope = intervals.value(i);
      if (scope < 0 || !(low < high)) continue;
      if (tops[scope] !== scope) this.droppedCalls++;
      chain.length = 0;
      for (let at = tops[scope]; scopes.parent(at) >= 0; at = scopes.parent(at)) chain.push(at);
      if (chain.length === 0) continue;
      if ((this.#rangesLeft -= chain.length) < 0) {
        this.droppedCalls++;
        continue;
      }
      let siblings = this.#draft.inlined;
      for (let depth = chain.length - 1; depth >= 0; depth--) {
        const node = this.#node(scopes, chain[depth], siblings);
        const { ranges } = node;
        if (ranges.length > 0 && ranges[ranges.length - 1] === low - base) ranges[ranges.length - 1] = high - base;
        else ranges.push(low - base, high - base);
        siblings = node.children;
      }
    }
  }

  #node(scopes: Scopes, scope: number, siblings: InlineNode[]): InlineNode {
    let node = this.#nodes.get(scope);
    if (node === undefined) {
      const code = this.#code!;
      node = {
        name: this.#name(code.functionName(scope)),
        callFile: this.#path(code.callFile(scope)),
        callLine: scopes.callLine(scope),
        ranges: [],
        children: [],
      };
      this.#nodes.set(scope, node);
      siblings.push(node);
    }
    return node;
  }

  #name(number: number): number {
    if (number === 0) return EMPTY_STRING;
    return this.#names[number] ??= this.#builder.strings.intern(this.#dwarf!.functions.names[number]);
  }

  #path(number: number): number {
    if (number === 0) return UNKNOWN_FILE;
    return this.#paths[number] ??= this.#builder.files.intern(this.#dwarf!.files.names[number]);
  }
}

/** See `#tops`. A scope comes behind the one around it. */
function topsOf(scopes: Scopes): Int32Array {
  const tops = new Int32Array(scopes.length);
  const depths = new Uint32Array(scopes.length);
  for (let scope = 0; scope < tops.length; scope++) {
    const parent = scopes.parent(scope);
    depths[scope] = parent < 0 ? 0 : depths[parent] + 1;
    tops[scope] = depths[scope] <= MOST_INLINED ? scope : tops[parent];
  }
  return tops;
}
