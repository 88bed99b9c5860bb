// Owns range lists: .debug_ranges up to DWARF 4 and .debug_rnglists since, and a DIE's code as a list of ranges.
import {
  DW_RLE_base_address,
  DW_RLE_base_addressx,
  DW_RLE_end_of_list,
  DW_RLE_offset_pair,
  DW_RLE_start_end,
  DW_RLE_start_length,
  DW_RLE_startx_endx,
  DW_RLE_startx_length,
} from "./constants.ts";
import type { Address, Reader } from "./reader.ts";
import type { CodeRange, Unit } from "./unit.ts";

/** Takes a range; `low` is less than `high`. */
export type TakeRange = (low: Address, high: Address) => void;

/**
 * Calls `take` for each range of code that a DIE of `unit` has, empty ones left out.
 *
 * @throws {FormatError} If its list is malformed.
 */
export function eachRange(unit: Unit, code: CodeRange, take: TakeRange): void {
  const { low, size, ranges } = code;
  if (low !== undefined && (size !== undefined || code.high !== undefined)) {
    const high = code.high ?? low + size!;
    if (low < high) take(low, high);
  } else if (ranges !== undefined) {
    if (unit.version >= 5) rnglist(unit, rnglistAt(unit, ranges, code.rangesAreIndexed), take);
    else rangeList(unit, unit.rangesBase + ranges, take);
  }
}

/** Base address that the offsets of the unit's lists are relative to. */
function baseOf(unit: Unit): Address {
  const from = unit.skeleton ?? unit;
  from.readRoot();
  return from.code.low ?? zeroOf(unit.file.info);
}

/** The address 0. */
function zeroOf({ baseHi }: Reader): Address {
  return -baseHi * 0x1_0000_0000;
}

/** DWARF 4, 2.17.3. Always of the file with the addresses: split units have no list of their own. */
function rangeList(unit: Unit, offset: number, take: TakeRange): void {
  const { addressSize } = unit;
  const { file } = unit.skeleton ?? unit;
  const reader = file.ranges.fork(offset);
  const zero = zeroOf(reader);
  let base = baseOf(unit);
  file.rangesBudget.check(offset);
  try {
    for (;;) {
      const at = reader.at;
      const begin = reader.unsigned(addressSize);
      if (begin >= 2 ** (8 * addressSize) - 1 && isAllOnes(reader.bytes, at, addressSize)) {
        base = reader.address(addressSize);
        continue;
      }
      const end = reader.unsigned(addressSize);
      if (begin === 0 && end === 0) return;
      if (base !== zero) {
        if (begin < end) take(base + begin, base + end);
        continue;
      }
      // Base 0 is written for "no base": these are addresses of maybe 64 bits, exact only as such.
      reader.at = at;
      const low = reader.address(addressSize);
      const high = reader.address(addressSize);
      if (low < high) take(low, high);
    }
  } finally {
    file.rangesBudget.spend(reader.at - offset);
  }
}

function isAllOnes(bytes: Uint8Array, at: number, size: number): boolean {
  for (let i = at; i < at + size; i++) if (bytes[i] !== 0xff) return false;
  return true;
}

/** Offset of a list in .debug_rnglists. */
function rnglistAt(unit: Unit, ranges: number, indexed: boolean): number {
  if (!indexed) return unit.contributions.rnglists + ranges;
  unit.readRoot();
  const base = unit.rnglistsBase;
  const size = unit.is64 ? 8 : 4;
  return base + unit.file.rnglists.fork(base + ranges * size).offset(unit.is64);
}

/** DWARF 5, 2.17.3 and 7.25. */
function rnglist(unit: Unit, offset: number, take: TakeRange): void {
  const { rnglists, rnglistsBudget } = unit.file;
  const reader = rnglists.fork(offset);
  rnglistsBudget.check(offset);
  try {
    readRnglist(unit, reader, take);
  } finally {
    rnglistsBudget.spend(reader.at - offset);
  }
}

function readRnglist(unit: Unit, reader: Reader, take: TakeRange): void {
  const { addressSize } = unit;
  let base: Address | undefined;
  const range = (low: Address | undefined, high: Address | undefined): void => {
    if (low !== undefined && high !== undefined && low < high) take(low, high);
  };
  for (;;) {
    const at = reader.at;
    const kind = reader.u8();
    switch (kind) {
      case DW_RLE_end_of_list:
        return;
      case DW_RLE_base_addressx:
        base = unit.addressAt(reader.uleb());
        break;
      case DW_RLE_startx_endx:
        range(unit.addressAt(reader.uleb()), unit.addressAt(reader.uleb()));
        break;
      case DW_RLE_startx_length: {
        const low = unit.addressAt(reader.uleb());
        const length = reader.uleb();
        if (low !== undefined) range(low, low + length);
        break;
      }
      case DW_RLE_offset_pair: {
        base ??= baseOf(unit);
        const low = base + reader.uleb();
        range(low, base + reader.uleb());
        break;
      }
      case DW_RLE_base_address:
        base = reader.address(addressSize);
        break;
      case DW_RLE_start_end: {
        const low = reader.address(addressSize);
        range(low, reader.address(addressSize));
        break;
      }
      case DW_RLE_start_length: {
        const low = reader.address(addressSize);
        range(low, low + reader.uleb());
        break;
      }
      default:
        reader.fail("DW_RLE", kind, "is no kind of range list entry", at);
    }
  }
}
