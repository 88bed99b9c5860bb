// Owns GsymLookup: from an address to the numbers of its frames, without allocation, in a file or its loaded pages.
import { FormatError } from "../base/format_error.ts";
import type { NameTable } from "../base/name_table.ts";
import { AddressSearch, MOST_PARTS, NOT_THERE } from "./address_search.ts";
import type { GsymBlocks } from "./appendix.ts";
import { INFO_END_OF_LIST, INFO_INLINE, INFO_LINE_TABLE } from "./format.ts";
import type { GsymHeader } from "./header.ts";
import { InlineStack, MOST_CALLS } from "./inline_info.ts";
import { LebReader } from "./leb_reader.ts";
import { LineProgramRunner, type LineRow } from "./line_table.ts";
import { GsymNames } from "./strings.ts";
import { NOT_LOADED, type Window } from "./window.ts";

/** What {@linkcode GsymLookup.lookup} answers where pages are not loaded. */
export const GSYM_MISS: number = NOT_LOADED;

/** Longest line table or inline information: a lookup takes time in proportion. Real ones stay below 1 MiB. */
const MOST_PART = 1 << 22;
const MOST_FRAMES = MOST_CALLS + 1;
/** Bytes of names that are kept in any case. */
const LEAST_NAMES = 1 << 20;

/**
 * Looks addresses up. A lookup takes at most as many steps as there are bytes in the line table and the inline
 * information of one function, each of them 4 MiB at most (in pages, half of what the cache may hold), and
 * allocates nothing once its names have been seen.
 */
export class GsymLookup {
  /** Names of functions, */
  readonly functions: NameTable;
  /** and paths of files, by number; 0 is for none. */
  readonly files: NameTable;
  /** What was malformed at the last lookup, if something was: then frames may be missing, or their lines. */
  problem: FormatError | undefined = undefined;
  /** Frames of the last lookup. */
  length = 0;
  /** Size in bytes of the last lookup's function; 0 is up to the next. */
  sizeBytes = 0;
  readonly header: GsymHeader;
  readonly names: GsymNames;
  readonly window: Window;
  readonly search: AddressSearch;
  readonly #reader = new LebReader();
  readonly #lines = new LineProgramRunner(this.#reader);
  readonly #inline = new InlineStack(this.#reader);
  readonly #row: LineRow = { offset: -1, file: 0, line: 0 };
  readonly #name = new Int32Array(MOST_FRAMES);
  readonly #file = new Int32Array(MOST_FRAMES);
  /** Doubles: lines are unsigned, and -1 stands for none. */
  readonly #line = new Float64Array(MOST_FRAMES);
  readonly #start = new Float64Array(MOST_FRAMES);
  /** Offset of the function's name in the string table. */
  #functionName = 0;
  /** Whether something that this lookup needs is not loaded. */
  #missing = false;

  /** @param blocks Where the parts of blocks of functions lie; only looked at where the file is read by pages. */
  constructor(window: Window, header: GsymHeader, blocks?: GsymBlocks) {
    this.window = window;
    this.header = header;
    this.names = new GsymNames(window, header);
    this.search = new AddressSearch(window, header, blocks);
    this.functions = this.names.functions;
    this.files = this.names.files;
    if (window.pages !== undefined && blocks !== undefined) this.names.filesEnd = endOfFiles(header, blocks);
  }

  /** Number in `functions` of a frame's name; frames are innermost first, and valid until the next lookup. */
  name(frame: number): number {
    return this.#name[frame];
  }

  /** Number in `files` of the frame's path; 0 if not known. */
  file(frame: number): number {
    return this.#file[frame];
  }

  /** Line of a frame; -1 if not known. */
  line(frame: number): number {
    return this.#line[frame];
  }

  /** Where the code of a frame's function begins, in bytes from the start of the outermost one. */
  start(frame: number): number {
    return this.#start[frame];
  }

  /**
   * Looks an address up; returns how many frames it has: 0 if no function is there. {@linkcode GSYM_MISS} where
   * pages are not loaded: await {@linkcode fetchMissing} and try again. Many lookups may miss before that; those past
   * a quarter of the cache ask for nothing, so keep the answers that came and try the others again.
   */
  lookup(addressHi: number, addressLo: number): number {
    this.problem = undefined;
    this.length = 0;
    const { pages, wanted } = this.window;
    if (pages !== undefined && wanted.size * pages.pageSize > pages.maxBytes / 4) return GSYM_MISS;
    this.#missing = false;
    try {
      this.#find(addressHi, addressLo);
    } catch (error) {
      this.#note(error);
    }
    if (!this.#missing) return this.length;
    this.length = 0;
    this.search.hint();
    return GSYM_MISS;
  }

  /** Fetches what lookups since the last call have missed. Nothing to do where the file is in memory. */
  fetchMissing(signal?: AbortSignal): Promise<void> {
    const { window } = this;
    if (window.pages === undefined) return Promise.resolve();
    const { wanted } = window;
    window.wanted = new Set();
    return window.pages.load(wanted, signal);
  }

  /** Bytes kept: the file or room for its pages, and names. */
  get retainedBytes(): number {
    const { window, names } = this;
    return (window.pages?.roomBytes ?? window.size) + window.retainedBytes + names.retainedBytes;
  }

  /**
   * This one, unless the names of all its answers take as many bytes as the file, or as its pages may: then
   * another of the same file, without names. Who looks up for weeks asks for it before each call; the numbers of
   * earlier answers are good for the one that gave them.
   */
  renewed(): GsymLookup {
    const { window, header, names, search } = this;
    const most = Math.max(LEAST_NAMES, window.pages?.maxBytes ?? window.size);
    return names.retainedBytes <= most ? this : new GsymLookup(window, header, search.blocks);
  }

  #note(error: unknown): void {
    if (!(error instanceof FormatError)) throw error;
    this.problem ??= error;
  }

  /** GsymReader.cpp, getFunctionInfoDataForAddress(): the first of those at one address that reaches up to it. */
  #find(addressHi: number, addressLo: number): void {
    const { search, window } = this;
    const { wordSize, littleEndian } = this.header;
    const first = search.find(addressHi, addressLo);
    if (first === NOT_LOADED) this.#missing = true;
    if (first === NOT_THERE || first === NOT_LOADED) return;
    const { entryHi, entryLo } = search;
    const offset = search.delta;
    for (let index = first, end = search.endOfEqual(first); index < end; index++) {
      if (index > first) {
        if (!search.read(index)) this.#missing = true;
        if (this.#missing || search.entryHi !== entryHi || search.entryLo !== entryLo) return;
      }
      const info = search.info(index);
      const at = info < 0 ? info : window.at(info, 4 + wordSize, "FunctionInfo");
      if (at < 0) {
        this.#missing = true;
        return;
      }
      const { view } = window;
      const size = view.getUint32(at, littleEndian);
      if (size !== 0 && offset >= size) continue;
      const name = wordSize === 4
        ? view.getUint32(at + 4, littleEndian)
        : Number(view.getBigUint64(at + 4, littleEndian));
      if (name === 0) {
        throw new FormatError("is no name", { offset: info + 4, field: "FunctionInfo.Name", value: 0 });
      }
      this.sizeBytes = size;
      this.#functionName = name;
      this.#parts(info + 4 + wordSize, offset);
      if (!this.#missing) this.#frames();
      return;
    }
  }

  /** Reads the parts of a FunctionInfo: FunctionInfo.cpp, lookup(). Of two of one kind the last counts. */
  #parts(from: number, offset: number): void {
    const { window } = this;
    const { littleEndian, infoEnd, wordSize } = this.header;
    let lines = 0;
    let linesSize = 0;
    let inline = 0;
    let inlineSize = 0;
    for (let pos = from, part = 0;; part++) {
      if (part === MOST_PARTS) throw new FormatError("has too many parts", { offset: pos, field: "FunctionInfo" });
      const at = window.at(pos, 8, "InfoType");
      if (at < 0) {
        this.#missing = true;
        return;
      }
      const type = window.view.getUint32(at, littleEndian);
      if (type === INFO_END_OF_LIST) break;
      const size = window.view.getUint32(at + 4, littleEndian);
      pos += 8;
      if (size > infoEnd - pos) {
        throw new FormatError("passes the end of the FunctionInfos", {
          offset: pos - 4,
          field: "InfoLength",
          value: size,
        });
      }
      if (type === INFO_LINE_TABLE) {
        lines = pos;
        linesSize = size;
      } else if (type === INFO_INLINE) {
        inline = pos;
        inlineSize = size;
      }
      pos += size;
    }
    this.#row.file = 0;
    this.#inline.length = 0;
    try {
      if (lines > 0 && this.#open(lines, linesSize, "LineTable")) this.#lines.find(offset, this.#row);
      // Both are asked for before either is needed. Inlined calls count only where there is a line.
      if (inline > 0 && this.#open(inline, inlineSize, "InlineInfo") && this.#row.file !== 0) {
        this.#inline.find(offset, wordSize, littleEndian);
      }
    } catch (error) {
      this.#note(error);
      if (this.#row.file === 0) this.#inline.length = 0;
    }
  }

  #open(pos: number, size: number, field: string): boolean {
    if (size > MOST_PART) {
      throw new FormatError(`is longer than ${MOST_PART} bytes`, { offset: pos, field, value: size });
    }
    const { window } = this;
    const at = window.at(pos, size, field);
    if (at < 0) {
      this.#missing = true;
      return false;
    }
    this.#reader.open(window.bytes, at, size, pos, field);
    return true;
  }

  /** Frames from what was read: each call renames the frame outside it and adds the place it is called from. */
  #frames(): void {
    const inline = this.#inline;
    const hasLine = this.#row.file !== 0;
    let file = hasLine ? this.#path(this.#row.file) : 0;
    let line = hasLine ? this.#row.line : -1;
    let frames = 0;
    for (let depth = 0; depth < inline.kept; depth++) {
      const slot = inline.slot(depth);
      const name = this.#functionNumber(inline.name(slot));
      const path = this.#path(inline.callFile(slot));
      if (path === 0 && !this.names.isFile(inline.callFile(slot))) continue; // a call from nowhere is none
      this.#name[frames] = name;
      this.#file[frames] = file;
      this.#line[frames] = line;
      this.#start[frames++] = inline.start(slot);
      file = path;
      line = inline.callLine(slot);
    }
    if (inline.length > inline.kept) {
      file = this.#path(inline.firstFile);
      line = inline.firstLine;
    }
    this.#name[frames] = this.#functionNumber(this.#functionName);
    this.#file[frames] = file;
    this.#line[frames] = line;
    this.#start[frames++] = 0;
    this.length = frames;
  }

  #path(index: number): number {
    try {
      return this.#number(this.names.file(index));
    } catch (error) {
      this.#note(error);
      return 0;
    }
  }

  #functionNumber(offset: number): number {
    try {
      return this.#number(this.names.name(offset));
    } catch (error) {
      this.#note(error);
      return 0;
    }
  }

  #number(number: number): number {
    if (number >= 0) return number;
    this.#missing = true;
    return 0;
  }
}

/** Where blocks say that the file table ends, if that can be. */
function endOfFiles({ files, filesEnd, wordSize }: GsymHeader, blocks: GsymBlocks): number | undefined {
  const end = blocks.files[blocks.files.length - 1];
  return end >= files + 4 && end <= filesEnd && (end - files - 4) % (2 * wordSize) === 0 ? end : undefined;
}

const lookups = new WeakMap<object, GsymLookup>();

/** Remembers the lookup of a reader, for {@linkcode lookupOf}. */
export function keepLookup(reader: object, lookup: GsymLookup): void {
  lookups.set(reader, lookup);
}

/** The lookup that a `GsymReader` or a `RangedGsym` has inside; not part of what the package shows. */
export function lookupOf(reader: object): GsymLookup {
  return lookups.get(reader)!;
}
