// Owns FileTable: the directories and files of a line-number program's header, found but not read until asked for.
import { FormatError } from "../base/format_error.ts";
import {
  DW_FORM_GNU_str_index,
  DW_FORM_GNU_strp_alt,
  DW_FORM_line_strp,
  DW_FORM_string,
  DW_FORM_strp,
  DW_FORM_strp_sup,
  DW_FORM_strx,
  DW_FORM_strx1,
  DW_FORM_strx2,
  DW_FORM_strx3,
  DW_FORM_strx4,
  DW_LNCT_directory_index,
  DW_LNCT_path,
} from "./constants.ts";
import { constantForm, skipForm } from "./forms.ts";
import { fixedSize, smallestSize } from "./line_forms.ts";
import type { LineHeader } from "./line_header.ts";
import type { Reader } from "./reader.ts";
import type { TextTable } from "./text_table.ts";

/** What the names of a version 5 header may point into. */
export interface LineStrings {
  /** .debug_str */
  readonly str: TextTable;
  /** .debug_line_str */
  readonly lineStr: TextTable;
  /** The string of a DW_FORM_strx; `undefined` where the unit has no base of string offsets. */
  readonly stringAtIndex?: ((index: number) => string | undefined) | undefined;
  /** .debug_str of the alternate file. */
  readonly altStr?: TextTable | undefined;
}

/** Where the names of directories or files stand. */
interface Entries {
  count: number;
  /** Form of the names; 0 if entries have none. */
  form: number;
  /** Two numbers each: the offset of the name in .debug_line, and the number of the directory. */
  places: ArrayLike<number>;
}

/** The directories and files of one header: of a malformed table the entries before the error. */
export class FileTable {
  readonly directories: Entries = { count: 0, form: DW_FORM_string, places: [] };
  readonly files: Entries = { count: 0, form: DW_FORM_string, places: [] };
  readonly problem: FormatError | undefined;
  readonly #header: LineHeader;
  readonly #line: Reader;

  constructor(line: Reader, header: LineHeader) {
    this.#header = header;
    this.#line = line;
    const reader = line.fork(header.tables, header.program);
    try {
      if (header.version >= 5) {
        describedEntries(reader, header, this.directories);
        describedEntries(reader, header, this.files);
      } else {
        plainDirectories(reader, this.directories);
        plainFiles(reader, this.files);
      }
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.problem = error;
    }
  }

  /** The name of one of the entries; `undefined` where it can't be read. */
  name(entries: Entries, index: number, strings: LineStrings): string | undefined {
    if (entries.form === 0) return undefined;
    const reader = this.#line.fork(entries.places[2 * index]);
    const { is64 } = this.#header;
    switch (entries.form) {
      case DW_FORM_string:
        return reader.string();
      case DW_FORM_line_strp:
        return strings.lineStr.at(reader.offset(is64));
      case DW_FORM_strp:
        return strings.str.at(reader.offset(is64));
      case DW_FORM_strp_sup:
      case DW_FORM_GNU_strp_alt:
        return strings.altStr?.at(reader.offset(is64));
      case DW_FORM_strx:
      case DW_FORM_GNU_str_index:
        return strings.stringAtIndex?.(reader.uleb());
      case DW_FORM_strx1:
        return strings.stringAtIndex?.(reader.u8());
      case DW_FORM_strx2:
        return strings.stringAtIndex?.(reader.u16());
      case DW_FORM_strx3:
        return strings.stringAtIndex?.(reader.u24());
      case DW_FORM_strx4:
        return strings.stringAtIndex?.(reader.u32());
    }
    return undefined;
  }
}

/** Versions 2 to 4: names, an empty one at the end. */
function plainDirectories(reader: Reader, into: Entries): void {
  const places: number[] = [];
  into.places = places;
  for (;;) {
    const name = reader.at;
    reader.skipString();
    if (reader.at === name + 1) return;
    places.push(name, 0);
    into.count++;
  }
}

/** Versions 2 to 4: each a name, directory, time and length; an empty name at the end. */
function plainFiles(reader: Reader, into: Entries): void {
  const places: number[] = [];
  into.places = places;
  for (;;) {
    const name = reader.at;
    reader.skipString();
    if (reader.at === name + 1) return;
    const directory = reader.uleb();
    reader.skipLeb();
    reader.skipLeb();
    places.push(name, directory);
    into.count++;
  }
}

/** Version 5: what parts an entry has and in which forms, how many entries there are, and these. */
function describedEntries(reader: Reader, header: LineHeader, into: Entries): void {
  const formatCount = reader.u8();
  const contents: number[] = [];
  const forms: number[] = [];
  /** Of each part; 0 where it varies. */
  const sizes: number[] = [];
  let smallest = 0;
  into.form = 0;
  for (let part = 0; part < formatCount; part++) {
    const content = reader.uleb();
    const form = reader.uleb();
    contents.push(content);
    forms.push(form);
    sizes.push(content === DW_LNCT_directory_index ? 0 : fixedSize(form, header) ?? 0);
    smallest += smallestSize(reader, form, header);
    if (content === DW_LNCT_path) into.form = form;
  }
  const count = reader.uleb();
  if (count === 0) return;
  if (smallest === 0) reader.fail("entry count", count, "counts entries that have no bytes");
  const left = reader.end - reader.at;
  if (count > left / smallest) reader.fail("entry count", count, `is more than the ${left} bytes left can hold`);
  const places = new Uint32Array(2 * count);
  into.places = places;
  for (let i = 0; i < count; i++) {
    for (let part = 0; part < formatCount; part++) {
      const content = contents[part];
      if (content === DW_LNCT_path) places[2 * i] = reader.at;
      if (sizes[part] !== 0) reader.at += sizes[part];
      else if (content === DW_LNCT_directory_index) {
        places[2 * i + 1] = Math.min(Math.max(0, constantForm(reader, forms[part], 0, header)), 0xffff_ffff);
      } else skipForm(reader, forms[part], header);
    }
    if (reader.at > reader.end) reader.fail("entry", i);
    into.count = i + 1;
  }
}

/** The number of the directory of a file that DW_LNE_define_file names at `offset`. */
export function definedDirectory(line: Reader, offset: number): number {
  const reader = line.fork(offset);
  reader.skipString();
  return reader.uleb();
}
