// Owns GsymNames: names and paths of a GSYM file by number, each decoded once.
import { FormatError } from "../base/format_error.ts";
import { NameTable } from "../base/name_table.ts";
import { stringAt } from "../elf/string_table.ts";
import type { GsymHeader } from "./header.ts";
import { NOT_LOADED, type Window } from "./window.ts";

/** Longest string in bytes; longer ones are cut. Strings may overlap, so there has to be a limit. */
const MOST_STRING = 0xffff;
/**
 * And what is read of each once those read add up to so many times the file, or 1 MiB: reading all that overlap to
 * their ends would take time like the square of the table.
 */
const SHORT_STRING = 256;
const MOST_READ = 4;
/** What one name costs beside its characters: its places in two maps and an array, and the string's own head. */
const NAME_BYTES = 120;
/** Most of the bytes that names come from; a source by ranges may say that it is of any size. */
const MOST_NAME_BYTES = 1 << 26;

/** Strings of the string table, and paths of the file table. */
export class GsymNames {
  readonly functions: NameTable;
  readonly files: NameTable;
  /** Bytes kept for names, about. */
  retainedBytes = 0;
  /** Where the entries of the file table end, if that is known without their count. */
  filesEnd: number | undefined = undefined;
  readonly #window: Window;
  readonly #header: GsymHeader;
  readonly #names = new Map<number, number>();
  /** Entries of no file. */
  readonly #absent = new Set<number>();
  readonly #files = new Map<number, number>();
  #text = "";
  /** Characters that strings may still have which are read to their ends. */
  #left: number;

  constructor(window: Window, header: GsymHeader) {
    this.#window = window;
    this.#header = header;
    const bytes = Math.min(window.size, MOST_NAME_BYTES);
    this.functions = new NameTable(bytes);
    this.files = new NameTable(bytes);
    this.#left = Math.max(1 << 20, MOST_READ * bytes);
  }

  #intern(table: NameTable, text: string): number {
    const before = table.names.length;
    const number = table.intern(text);
    this.retainedBytes += NAME_BYTES / 2;
    if (table.names.length > before) this.retainedBytes += 2 * table.names[number].length + NAME_BYTES / 2;
    return number;
  }

  /**
   * Number in `functions` of the string at an offset; 0 for "". {@linkcode NOT_LOADED} where that is so.
   *
   * @throws {FormatError} If it is past the table's end.
   */
  name(offset: number): number {
    let number = this.#names.get(offset);
    if (number === undefined) {
      if (!this.#read(offset)) return NOT_LOADED;
      number = this.#intern(this.functions, this.#text);
      this.#names.set(offset, number);
    }
    return number;
  }

  /**
   * Number in `files` of the path of an entry; 0 if it has none. {@linkcode NOT_LOADED} where that is so.
   *
   * @throws {FormatError} If there is no such entry, or its strings are past the table's end.
   */
  file(index: number): number {
    if (index === 0) return 0;
    let number = this.#files.get(index);
    if (number === undefined) {
      const path = this.#path(index);
      if (path === undefined) return NOT_LOADED;
      number = this.#intern(this.files, path);
      this.#files.set(index, number);
    }
    return number;
  }

  /** Whether an entry that {@linkcode file} has read is of a file, be its path empty: LLVM knows those of none by {0, 0}. */
  isFile(index: number): boolean {
    return this.#files.has(index) && !this.#absent.has(index);
  }

  /** Reads a string into `#text`; `false` where it is not loaded. */
  #read(offset: number): boolean {
    const window = this.#window;
    const { strings, stringsSize } = this.#header;
    if (!(offset < stringsSize)) {
      throw new FormatError(`passes the string table of ${stringsSize} bytes`, {
        offset: strings,
        field: "StringTable",
        value: offset,
      });
    }
    const from = strings + offset;
    const kept = this.#left > 0 ? MOST_STRING : SHORT_STRING;
    const most = Math.min(stringsSize - offset, kept + 1);
    for (let length = Math.min(window.restOfPage(from), most);;) {
      const at = window.at(from, length, "StringTable");
      if (at < 0) return false;
      // No search beyond: of a hostile file all the rest may be without a zero.
      const bytes = window.bytes.subarray(at, at + length);
      const zero = bytes.indexOf(0);
      if (zero >= 0 || length === most) {
        this.#text = stringAt(zero < 0 ? bytes : bytes.subarray(0, zero), 0, kept);
        this.#left -= this.#text.length;
        return true;
      }
      length = Math.min(most, length + (window.pages?.pageSize ?? most));
    }
  }

  /** How many entries the file table has; {@linkcode NOT_LOADED} where that is so. */
  fileCount(): number {
    const { files, filesEnd, wordSize, littleEndian } = this.#header;
    const known = this.filesEnd;
    if (known !== undefined) return Math.floor((known - files - 4) / (2 * wordSize));
    const at = this.#window.at(files, 4, "NumFiles");
    if (at < 0) return NOT_LOADED;
    // More than that can't be there.
    return Math.min(
      this.#window.view.getUint32(at, littleEndian),
      Math.floor((filesEnd - files - 4) / (2 * wordSize)),
    );
  }

  #path(index: number): string | undefined {
    const window = this.#window;
    const { files, wordSize, littleEndian } = this.#header;
    const count = this.fileCount();
    // The entry is asked for before its index is known to be good: both come with one wait.
    const entry = files + 4 + index * 2 * wordSize;
    if (count < 0) {
      window.want(entry, entry + 2 * wordSize);
      return undefined;
    }
    if (index >= count) {
      throw new FormatError(`is no entry of the ${count} there are`, {
        offset: files,
        field: "FileEntry",
        value: index,
      });
    }
    const at = window.at(entry, 2 * wordSize, "FileEntry");
    if (at < 0) return undefined;
    const { view } = window;
    const [directory, name] = wordSize === 4
      ? [view.getUint32(at, littleEndian), view.getUint32(at + 4, littleEndian)]
      : [Number(view.getBigUint64(at, littleEndian)), Number(view.getBigUint64(at + 8, littleEndian))];
    if (directory === 0 && name === 0) this.#absent.add(index);
    const hasDirectory = this.#read(directory);
    const text = this.#text;
    if (!this.#read(name) || !hasDirectory) return undefined;
    return joinPath(text, this.#text);
  }
}

/** A path as GsymReader.cpp, GsymReader::dump() prints it. */
function joinPath(directory: string, name: string): string {
  if (directory === "") return name;
  return directory + (directory.includes("\\") && !directory.includes("/") ? "\\" : "/") + name;
}
