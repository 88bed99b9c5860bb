// Owns split DWARF: the units of .dwo files and .dwp packages, by the id that joins them to their skeletons.
import type { FormatError } from "../base/format_error.ts";
import {
  DW_SECT_ABBREV,
  DW_SECT_INFO,
  DW_SECT_LINE,
  DW_SECT_RNGLISTS,
  DW_SECT_STR_OFFSETS,
  DW_UT_compile,
  DW_UT_split_compile,
} from "./constants.ts";
import { attemptUnit, type DwarfFile } from "./dwarf_file.ts";
import { Reader } from "./reader.ts";
import type { Contributions } from "./sections.ts";
import { Unit } from "./unit.ts";

/**
 * The split units of a .dwo or .dwp file. Those that are malformed are left out, and `problems` say why.
 *
 * @throws {FormatError} If the index of a package is malformed.
 */
export function splitUnits(file: DwarfFile, problems: FormatError[] = []): Unit[] {
  const { cuIndex, littleEndian } = file.sections;
  if (cuIndex.length > 0) {
    return packagedUnits(file, new Reader(cuIndex, littleEndian, ".debug_cu_index"), problems);
  }
  const units: Unit[] = [];
  for (let index = 0; index < file.unitOffsets.length; index++) {
    attemptUnit(problems, () => {
      const unit = file.unit(index);
      if (unit.type !== DW_UT_compile && unit.type !== DW_UT_split_compile) return;
      // Before DWARF 5 the id is an attribute of the root DIE.
      if (unit.version < 5) unit.readRoot();
      units.push(unit);
    });
  }
  if (file.problem !== undefined) problems.push(file.problem);
  return units;
}

/** DWARF 5, 7.3.5.3; version 2 is GNU's, of DWARF 4. */
function packagedUnits(file: DwarfFile, reader: Reader, problems: FormatError[]): Unit[] {
  const version = reader.u32();
  // Version 5 has 16 bits and as many of padding.
  const is5 = version === 5 || (!reader.littleEndian && version === 0x5_0000);
  if (!is5 && version !== 2) reader.fail("version", version, "is neither 2 nor 5", 0);
  const columns = reader.u32();
  const unitCount = reader.u32();
  const slots = reader.u32();
  const ids = reader.at;
  const rows = ids + 8 * slots;
  const header = rows + 4 * slots;
  const offsets = header + 4 * columns;
  if (!(offsets + 8 * unitCount * columns <= reader.end)) {
    reader.fail("unit_count", unitCount, `with ${columns} sections and ${slots} slots passes the section's end`);
  }
  const word = (at: number): number => reader.view.getUint32(at, reader.littleEndian);
  const columnOf = new Map<number, number>();
  for (let i = 0; i < columns; i++) columnOf.set(word(header + 4 * i), i);
  const units: Unit[] = [];
  const seen = new Set<number>();
  for (let slot = 0; slot < slots; slot++) {
    const row = word(rows + 4 * slot);
    if (row === 0 || row > unitCount || seen.has(row)) continue;
    seen.add(row);
    const offsetOf = (section: number): number => {
      const column = columnOf.get(section);
      return column === undefined ? 0 : word(offsets + 4 * ((row - 1) * columns + column));
    };
    const contributions: Contributions = {
      info: offsetOf(DW_SECT_INFO),
      abbrev: offsetOf(DW_SECT_ABBREV),
      line: offsetOf(DW_SECT_LINE),
      strOffsets: offsetOf(DW_SECT_STR_OFFSETS),
      rnglists: is5 ? offsetOf(DW_SECT_RNGLISTS) : 0,
    };
    attemptUnit(problems, () => {
      const unit = new Unit(file, contributions.info, contributions);
      const [first, second] = [word(ids + 8 * slot), word(ids + 8 * slot + 4)];
      const [hi, lo] = reader.littleEndian ? [second, first] : [first, second];
      unit.dwoId = hi.toString(16).padStart(8, "0") + lo.toString(16).padStart(8, "0");
      // References inside the package find it by its offset.
      file.adopt(unit);
      units.push(unit);
    });
  }
  return units;
}
