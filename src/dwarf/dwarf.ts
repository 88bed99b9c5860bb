// Owns Dwarf: the debug information of one program, and what of it has been read: units, scopes and lines on demand.
import type { FormatError } from "../base/format_error.ts";
import { NameTable } from "../base/name_table.ts";
import { attemptUnit, DwarfFile, MOST_PROBLEMS } from "./dwarf_file.ts";
import { appendPath, isAbsolutePath } from "./line_paths.ts";
import type { IntervalMap } from "./interval_map.ts";
import type { LineProgram } from "./line_program.ts";
import type { LineRows } from "./line_rows.ts";
import type { Address } from "./reader.ts";
import { Scopes } from "./scopes.ts";
import type { DwarfSections } from "./sections.ts";
import { splitUnits } from "./split.ts";
import type { Unit } from "./unit.ts";
import { type CodeBounds, indexUnits, type UnitIndex } from "./unit_index.ts";

/** Files of a unit from here on are not known; line tables can't name them either. */
const MOST_FILES = 0xffff;

/** What the units of one program share. */
interface Shared {
  readonly bounds: CodeBounds;
  readonly paths: NameTable;
  readonly problems: FormatError[];
  /** Counts bytes that are kept from now on. */
  keep(bytes: number): void;
}

/** One unit with what lookups need of it, each part read when first asked for. */
export class UnitCode {
  /** The unit with the code's addresses and lines; of split DWARF the skeleton. */
  readonly unit: Unit;
  /** Its line table, decoded. */
  readonly rows: LineRows | undefined;
  /** Whether functions may be inlined in it. If not, and a symbol names the function, nobody needs its scopes. */
  readonly hasInlined: boolean;
  /** Bytes kept for its scopes. */
  scopeBytes = 0;
  /** The first thing that was malformed in it. */
  problem: FormatError | undefined = undefined;
  /** Has the names of the scopes. */
  readonly #split: Unit;
  readonly #shared: Shared;
  readonly #lines: LineProgram | undefined;
  readonly #callLines: LineProgram | undefined;
  readonly #files: number[] = [];
  #scopes: Scopes | null | undefined = undefined;

  constructor(unit: Unit, split: Unit | undefined, shared: Shared) {
    this.unit = unit;
    this.#split = split ?? unit;
    this.#shared = shared;
    this.#attempt(() => unit.readRoot());
    this.hasInlined = this.#attempt(() => this.#split.abbrevs.hasInlined) ?? false;
    this.#lines = this.#attempt(() => linesOf(unit));
    this.rows = this.#lines?.rows;
    if (this.#lines?.problem !== undefined) this.#note([this.#lines.problem]);
    // GNU's compiler gives a split unit a file table of its own; LLVM's uses the skeleton's.
    const own = split === undefined ? undefined : this.#attempt(() => linesOf(split));
    this.#callLines = own ?? this.#lines;
  }

  #attempt<T>(read: () => T): T | undefined {
    const problems: FormatError[] = [];
    const result = attemptUnit(problems, read);
    this.#note(problems);
    return result;
  }

  #note([problem]: FormatError[]): void {
    if (problem === undefined) return;
    this.problem ??= problem;
    const { problems } = this.#shared;
    if (problems.length < MOST_PROBLEMS) problems.push(problem);
  }

  /** Its functions and inlined calls; `null` if they are malformed. */
  get scopes(): Scopes | null {
    return this.#scopes === undefined ? this.#readScopes() : this.#scopes;
  }

  #readScopes(): Scopes | null {
    const { bounds, keep } = this.#shared;
    const scopes = this.#attempt(() => {
      const { file, offset, end } = this.#split;
      file.infoBudget.check(offset); // skeletons may share a split unit
      file.infoBudget.spend(end - offset);
      return Scopes.scan(this.#split, bounds);
    });
    this.scopeBytes = scopes?.retainedBytes ?? 0;
    keep(this.scopeBytes);
    return this.#scopes = scopes ?? null;
  }

  /** Number of a scope's name in {@linkcode Dwarf.functions}: linkage name, else plain name; 0 for none. */
  functionName(scope: number): number {
    return this.scopes!.name(scope, this.#split.file.names);
  }

  /** Number in {@linkcode Dwarf.files} of the path of file `index`, as `rows` say it; 0 for none. */
  file(index: number): number {
    if (index > MOST_FILES) return 0;
    return this.#files[index] ??= this.#shared.paths.intern(this.#lines?.filePath(index) ?? "");
  }

  /** The same of the file of a scope's call. */
  callFile(scope: number): number {
    const index = this.scopes!.callFile(scope);
    if (index > MOST_FILES || this.#callLines === this.#lines) return this.file(index);
    return this.#shared.paths.intern(this.#callLines?.filePath(index) ?? "");
  }
}

function linesOf(unit: Unit): LineProgram | undefined {
  unit.readRoot();
  const { file, stmtList } = unit;
  if (stmtList === undefined || file.line.bytes.length === 0) return undefined;
  return file.lineProgram(unit.contributions.line + stmtList, {
    str: file.str,
    lineStr: file.lineStr,
    stringAtIndex: (index) => unit.stringAtIndex(index),
    ...(file.alternate === undefined ? {} : { altStr: file.alternate.str }),
    compDir: (unit.skeleton ?? unit).compDir,
    addressSize: unit.addressSize,
  });
}

/** What a {@linkcode Dwarf} is made of. */
export interface DwarfOptions {
  /** Upper 32 bits of the program's addresses; see {@linkcode Address}. */
  baseHi: number;
  bounds: CodeBounds;
  /** Sections of the file that .gnu_debugaltlink names. */
  alternate?: DwarfSections | undefined;
}

/** The debug information of one program. Reads nothing before the first lookup; keeps the sections' bytes. */
export class Dwarf {
  /** What was malformed in what has been read so far. */
  readonly problems: FormatError[] = [];
  /** Names of functions and paths of files that lookups have met, by number; 0 is for none. */
  readonly functions: NameTable;
  readonly files: NameTable;
  readonly #file: DwarfFile;
  readonly #options: DwarfOptions;
  readonly #splits = new Map<string, Unit>();
  #index: UnitIndex | undefined = undefined;
  #units: (UnitCode | null | undefined)[] = [];
  #retained = 0;
  readonly #shared: Shared;
  readonly #counted = new Set<LineRows>();

  constructor(sections: DwarfSections, options: DwarfOptions) {
    const { baseHi, alternate } = options;
    this.#options = options;
    const { info, str, line, lineStr } = sections;
    this.functions = new NameTable(info.length + str.length + (alternate?.str.length ?? 0));
    this.files = new NameTable(line.length + lineStr.length + str.length);
    this.#shared = {
      bounds: options.bounds,
      paths: this.files,
      problems: this.problems,
      keep: (bytes) => this.#retained += bytes,
    };
    this.#file = new DwarfFile(
      sections,
      baseHi,
      this.functions,
      alternate === undefined ? undefined : new DwarfFile(alternate, baseHi, this.functions),
    );
  }

  /**
   * Takes the units of a .dwo file or .dwp package; returns how many of them were not there yet. Those of other programs
   * do no harm.
   *
   * @throws {FormatError} If it is malformed.
   */
  addSplit(sections: DwarfSections): number {
    const units = splitUnits(new DwarfFile(sections, this.#options.baseHi, this.functions), this.problems);
    const ids = new Set<string>();
    for (const unit of units) {
      if (unit.dwoId === undefined || this.#splits.has(unit.dwoId)) continue;
      this.#splits.set(unit.dwoId, unit);
      ids.add(unit.dwoId);
    }
    // What was read without its split unit is read again.
    this.#units.forEach((code, index) => {
      if (code?.unit.dwoId === undefined || !ids.has(code.unit.dwoId)) return;
      this.#retained -= code.scopeBytes;
      this.#units[index] = undefined;
    });
    return ids.size;
  }

  /** An address of the program as this room's lookups take it. */
  address(addressHi: number, addressLo: number): Address {
    return (addressHi - this.#options.baseHi) * 0x1_0000_0000 + addressLo;
  }

  /** Number of the unit whose code holds an address; -1 if none does. */
  unitAt(address: Address): number {
    return (this.#index ?? this.#makeIndex()).map.lookup(address);
  }

  /** Numbers of the units whose code is where, address by address. */
  get units(): IntervalMap {
    return (this.#index ?? this.#makeIndex()).map;
  }

  /**
   * Lets go of what was read of unit `index`, which is read again when it is asked for; for those who go through all
   * units. Names, paths and what several units may share stay, the last only as long as that is not much.
   */
  forget(index: number): void {
    const code = this.#units[index];
    // The skeletons of split units are few, and remembered for the names of missing files.
    if (code === undefined || code === null || code.unit.dwoId !== undefined) return;
    this.#retained -= code.scopeBytes;
    this.#units[index] = undefined;
    if (code.rows !== undefined && this.#counted.delete(code.rows)) this.#retained -= code.rows.retainedBytes;
    this.#file.forget(index);
  }

  #makeIndex(): UnitIndex {
    this.#index = indexUnits(this.#file, this.#options.bounds);
    this.problems.push(...this.#index.problems);
    return this.#index;
  }

  /** Unit `index`, as {@linkcode Dwarf.unitAt} gives it; read now if it was not yet. `null` if its header is malformed. */
  unit(index: number): UnitCode | null {
    const known = this.#units[index];
    return known === undefined ? this.#readUnit(index) : known;
  }

  #readUnit(index: number): UnitCode | null {
    const unit = attemptUnit(this.problems, () => this.#file.unit(index));
    if (unit === undefined) return this.#units[index] = null;
    attemptUnit(this.problems, () => unit.readRoot());
    const split = unit.dwoId === undefined ? undefined : this.#splits.get(unit.dwoId);
    if (split !== undefined) split.skeleton = unit;
    const code = new UnitCode(unit, split, this.#shared);
    // Units may share one line-number program, and its rows.
    if (code.rows !== undefined && !this.#counted.has(code.rows)) {
      this.#counted.add(code.rows);
      this.#retained += code.rows.retainedBytes;
    }
    return this.#units[index] = code;
  }

  /** What is malformed in the unit with an address, as far as it was read. */
  problemAt(address: Address): FormatError | undefined {
    const unit = this.unitAt(address);
    if (unit < 0) return undefined;
    const code = this.unit(unit);
    return code === null ? this.problems[0] : code.problem;
  }

  /**
   * The .dwo files that units read so far name and that were not given, with the directory they were compiled in.
   */
  get missingSplits(): readonly string[] {
    const missing = new Set<string>();
    for (const code of this.#units) {
      const unit = code?.unit;
      if (unit?.dwoId !== undefined && !this.#splits.has(unit.dwoId)) {
        const name = unit.dwoName ?? `${unit.dwoId}.dwo`;
        missing.add(isAbsolutePath(name) ? name : appendPath(unit.compDir, name));
      }
    }
    return [...missing];
  }

  /** Bytes of memory made by lookups so far, besides the sections. */
  get retainedBytes(): number {
    return this.#retained;
  }
}
