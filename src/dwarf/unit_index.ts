// Owns the way from an address to the unit with its code: .debug_aranges, and for units it leaves out their root DIE.
import { attempt, type FormatError } from "../base/format_error.ts";
import { DW_UT_compile, DW_UT_skeleton } from "./constants.ts";
import { attemptUnit, type DwarfFile } from "./dwarf_file.ts";
import { IntervalMap, RangeList } from "./interval_map.ts";
import { eachRange } from "./ranges.ts";
import { type Address, Reader } from "./reader.ts";

/** Where a program's code can be; ranges that begin elsewhere are of code that the linker dropped. */
export interface CodeBounds {
  readonly low: Address;
  readonly high: Address;
}

/** Unit numbers by address, and what was malformed on the way. */
export interface UnitIndex {
  readonly map: IntervalMap;
  readonly problems: FormatError[];
}

/**
 * Builds the index. As in llvm-symbolizer a unit that .debug_aranges covers is not asked for its own ranges, and
 * where two units claim an address the first in the file has it.
 */
export function indexUnits(file: DwarfFile, bounds: CodeBounds): UnitIndex {
  const problems: FormatError[] = [];
  const offsets = file.unitOffsets;
  if (file.problem !== undefined) problems.push(file.problem);
  const covered = new Uint8Array(offsets.length);
  const low: number[] = [];
  const high: number[] = [];
  const unit: number[] = [];
  const take = (index: number) => (from: Address, to: Address): void => {
    if (from < bounds.low || from >= bounds.high || !(from < to)) return;
    low.push(from);
    high.push(to);
    unit.push(index);
  };
  attempt(problems, () => readAranges(file, covered, take));
  for (let index = 0; index < offsets.length; index++) {
    if (covered[index] !== 0) continue;
    attemptUnit(problems, () => {
      const one = file.unit(index);
      if (one.type !== DW_UT_compile && one.type !== DW_UT_skeleton) return;
      one.readRoot();
      eachRange(one, one.code, take(index));
    });
  }
  const list = new RangeList();
  // The last pushed wins: from the last unit to the first.
  const order = Int32Array.from(unit, (_, i) => i);
  let ascending = true;
  for (let i = 1; i < unit.length; i++) if (unit[i] < unit[i - 1]) ascending = false;
  if (!ascending) order.sort((a, b) => unit[a] - unit[b]);
  for (let k = order.length - 1; k >= 0; k--) list.push(low[order[k]], high[order[k]], unit[order[k]]);
  return { map: IntervalMap.from(list), problems };
}

/** DWARF 5, 6.1.2. */
function readAranges(
  file: DwarfFile,
  covered: Uint8Array,
  take: (index: number) => (low: Address, high: Address) => void,
): void {
  const { aranges, littleEndian } = file.sections;
  const reader = new Reader(aranges, littleEndian, ".debug_aranges", file.info.baseHi);
  const offsets = file.unitOffsets;
  while (reader.at < aranges.length) {
    const from = reader.at;
    reader.end = aranges.length;
    const { end, is64 } = reader.initialLength();
    reader.end = end;
    reader.skip(2); // version; LLVM and binutils do not look at it either
    const debugInfoOffset = reader.offset(is64);
    const index = file.unitIndexAt(debugInfoOffset);
    const isUnit = offsets[index] === debugInfoOffset;
    const addressSize = reader.u8();
    const segmentSize = reader.u8();
    if (![1, 2, 4, 8].includes(addressSize) || segmentSize !== 0) {
      reader.fail("address_size", addressSize, `with segment_selector_size ${segmentSize} is not supported`);
    }
    const tuple = 2 * addressSize;
    reader.at += (tuple - (reader.at - from) % tuple) % tuple;
    const takeRange = take(index);
    let some = false;
    while (end - reader.at >= tuple) {
      const zero = reader.at;
      const low = reader.address(addressSize);
      const length = reader.unsigned(addressSize);
      if (length === 0) {
        reader.at = zero;
        if (reader.unsigned(addressSize) === 0) break;
        reader.skip(addressSize);
      } else if (isUnit) {
        some = true;
        takeRange(low, low + length);
      }
    }
    if (some) covered[index] = 1;
    reader.end = aranges.length;
    reader.at = end;
  }
}
