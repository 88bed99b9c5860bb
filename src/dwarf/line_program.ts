// Owns LineProgram: one unit's part of .debug_line, with its files' paths and, when asked for, its rows.
import type { FormatError } from "../base/format_error.ts";
import { type DecodedLines, decodeLines } from "./line_decode.ts";
import { definedDirectory, FileTable, type LineStrings } from "./line_files.ts";
import { type LineHeader, parseLineHeader } from "./line_header.ts";
import { appendPath, isAbsolutePath } from "./line_paths.ts";
import type { LineRows } from "./line_rows.ts";
import type { Reader } from "./reader.ts";

/** Characters of paths that are kept, besides twice the header's size: names may share long strings. */
const KEPT_CHARACTERS = 0x10_0000;

/** What a unit knows of its line-number program's surroundings. */
export interface LineContext extends LineStrings {
  /** .debug_line; .debug_line.dwo for the file names of a split type unit. */
  readonly line: Reader;
  /** DW_AT_comp_dir; "" if there is none. */
  readonly compDir: string;
  /** Of the unit, in bytes; version 5 headers have their own. */
  readonly addressSize: number;
}

/** One unit's line-number program. Parsing reads the fixed part of the header alone, the rest waits. */
export class LineProgram {
  readonly header: LineHeader;
  readonly #context: LineContext;
  #table: FileTable | undefined;
  #decoded: DecodedLines | undefined;
  #paths: Map<number, string> | undefined;
  #characters = 0;

  private constructor(context: LineContext, header: LineHeader) {
    this.#context = context;
    this.header = header;
  }

  /**
   * Reads the header at `offset` of .debug_line.
   *
   * @throws {FormatError} If it is not all inside its unit and the section, or is of no version from 2 to 5. What
   * is wrong in file tables or program is told by {@linkcode LineProgram.problem}, like what LLVM warns of.
   */
  static parse(context: LineContext, offset: number): LineProgram {
    return new LineProgram(context, parseLineHeader(context.line, offset, context.addressSize));
  }

  get #files(): FileTable {
    return this.#table ??= new FileTable(this.#context.line, this.header);
  }

  #decode(): DecodedLines {
    return this.#decoded ??= decodeLines(this.#context.line, this.header);
  }

  /** How many files the header has. */
  get fileCount(): number {
    return this.#files.files.count;
  }

  /** The rows; decoded at the first call, and kept. Of a malformed program, the sequences before the error. */
  get rows(): LineRows {
    return this.#decode().rows;
  }

  /** The first malformed thing in what was read so far, if any: rows and file tables are read when asked for. */
  get problem(): FormatError | undefined {
    return this.#decoded?.problem ?? this.#table?.problem;
  }

  /**
   * Path of a file, as complete as it is known: compilation directory, include directory and name, of which the
   * last absolute one wins, with one "/" between them, ".." and "." left in. `undefined` if there is no such file.
   *
   * @param index As in rows and attributes: from 0 in version 5, from 1 before. Files that the program itself
   * defines come after those of the header; asking for one decodes the program.
   */
  filePath(index: number): string | undefined {
    const known = this.#paths?.get(index);
    if (known !== undefined) return known;
    const path = this.#makePath(index);
    if (path === undefined) return undefined;
    this.#characters += path.length;
    if (this.#characters > KEPT_CHARACTERS + 2 * (this.header.program - this.header.tables)) {
      this.#paths = undefined;
      this.#characters = path.length;
    }
    (this.#paths ??= new Map()).set(index, path);
    return path;
  }

  #makePath(index: number): string | undefined {
    const table = this.#files;
    const { files, directories } = table;
    const { line, compDir } = this.#context;
    const indexFrom = this.header.version >= 5 ? 0 : 1;
    const place = index - indexFrom;
    if (!(place >= 0)) return undefined;
    let name: string | undefined;
    let directory: number;
    if (place < files.count) {
      name = table.name(files, place, this.#context);
      directory = files.places[2 * place + 1];
    } else {
      const { defined } = this.#decode();
      if (!(place - files.count < defined.length)) return undefined;
      const offset = defined[place - files.count];
      name = line.fork(offset).string();
      directory = definedDirectory(line, offset);
    }
    if (name === undefined || isAbsolutePath(name)) return name;
    const directoryPlace = directory - indexFrom;
    const include = directoryPlace >= 0 && directoryPlace < directories.count
      ? table.name(directories, directoryPlace, this.#context) ?? ""
      : "";
    // Directory 0 of version 5 is the compilation directory itself; where that is relative it is prefixed all the same, as
    // llvm-symbolizer 14, addr2line and eu-addr2line do. LLVM has stopped doing so since.
    const whole = isAbsolutePath(include);
    return appendPath(appendPath(whole ? "" : compDir, include), name);
  }
}
