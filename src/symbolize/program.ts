// Owns Program: the debug information kept of one binary, and how files add to it.
import { bytesEqual, toHex } from "../base/bytes.ts";
import { attempt, FormatError } from "../base/format_error.ts";
import { Dwarf } from "../dwarf/dwarf.ts";
import type { DwarfSections } from "../dwarf/sections.ts";
import type { DebugAltLink } from "../elf/debug_links.ts";
import { ElfFile } from "../elf/elf_file.ts";
import type { GsymLookup } from "../gsym/lookup.ts";
import { codeBounds, hasSplitUnits, hasUnits, readDwarfSections, sectionsSize } from "./debug_sections.ts";

/** What {@linkcode Program.add} needs besides the file. */
export interface ProgramFile {
  /** The file's .gnu_debugaltlink, */
  link: DebugAltLink | undefined;
  /** and the file it names. */
  alternate: Uint8Array | undefined;
  /** Most bytes that the compressed sections of one file may unpack to. */
  limit: number;
  /** Takes what is malformed. */
  problems: FormatError[];
}

/** What is kept of a binary besides symbols and segments. */
export class Program {
  /** Its DWARF; `undefined` if no file had any. */
  dwarf: Dwarf | undefined = undefined;
  /** Its GSYM; `undefined` if there was none. */
  gsym: GsymLookup | undefined = undefined;
  /** Number of the call that used it last. */
  lastUsed = 0;
  /** Calls that are adding to it just now, */
  adding = 0;
  /** and when the last of them began. */
  addingSince = 0;
  readonly #splits: DwarfSections[] = [];
  #hasAlternate = false;
  #sectionBytes = 0;

  /** Takes the DWARF of a file, its own units and split ones; returns whether any is used from now on. */
  async add(file: ElfFile, from: ProgramFile): Promise<boolean> {
    const { problems, limit } = from;
    let used = false;
    try {
      if (hasUnits(file)) used = await this.#addUnits(file, from);
      if (hasSplitUnits(file)) {
        const sections = await readDwarfSections(file, true, limit);
        // Without a skeleton yet it can't be told what the units are of; with one, those it has are not kept again.
        const brings = this.dwarf === undefined || this.dwarf.addSplit(sections) > 0;
        if (brings) {
          this.#splits.push(sections);
          this.#sectionBytes += sectionsSize(sections);
          used = true;
        }
      }
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      problems.push(error);
    }
    return used;
  }

  async #addUnits(file: ElfFile, { link, alternate, limit, problems }: ProgramFile): Promise<boolean> {
    if (this.dwarf !== undefined && (alternate === undefined || this.#hasAlternate)) return false;
    const sections = await readDwarfSections(file, false, limit);
    const shared = alternate === undefined ? undefined : await readAlternate(alternate, link, limit, problems);
    // Another call may have been faster meanwhile.
    if (this.dwarf !== undefined && (shared === undefined || this.#hasAlternate)) return false;
    const dwarf = new Dwarf(sections, { ...codeBounds(file), alternate: shared });
    for (const split of this.#splits) attempt(problems, () => dwarf.addSplit(split));
    this.dwarf = dwarf;
    this.#hasAlternate = shared !== undefined;
    this.#sectionBytes = [sections, ...this.#splits, ...(shared === undefined ? [] : [shared])]
      .reduce((sum, one) => sum + sectionsSize(one), 0);
    return true;
  }

  /** Bytes of the sections, wherever they lie, and of what lookups have made of them. */
  get retainedBytes(): number {
    return this.#sectionBytes + (this.dwarf?.retainedBytes ?? 0) + (this.gsym?.retainedBytes ?? 0);
  }
}

async function readAlternate(
  bytes: Uint8Array,
  link: DebugAltLink | undefined,
  limit: number,
  problems: FormatError[],
): Promise<DwarfSections | undefined> {
  try {
    const file = new ElfFile(bytes);
    const { buildId } = file;
    if (link !== undefined && (buildId === undefined || !bytesEqual(link.buildId, buildId))) {
      throw new FormatError("is not the id of the alternate file given", {
        offset: 0,
        field: ".gnu_debugaltlink build id",
        value: toHex(link.buildId),
      });
    }
    return await readDwarfSections(file, false, limit);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    problems.push(error);
    return undefined;
  }
}
