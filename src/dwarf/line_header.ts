// Owns the header of a line-number program: what stands in .debug_line before the directories, and where they are.
import type { Reader } from "./reader.ts";

/** Fixed fields of a program header, of version 2 to 5 (DWARF 5, section 6.2.4). Offsets are in .debug_line. */
export interface LineHeader {
  readonly version: number;
  /** Whether offsets are of 8 bytes: 64-bit DWARF. */
  readonly is64: boolean;
  /** In bytes; the unit's where the header is older than version 5. */
  readonly addressSize: number;
  readonly minimumInstructionLength: number;
  /** 1 for everything but VLIW machines. Versions before 4 lack it, and a 0 is taken for 1, as LLVM does. */
  readonly maximumOperations: number;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  /** Where `standard_opcode_lengths` begins: that of opcode 1. */
  readonly opcodeLengths: number;
  /** Where the directories begin. They and the files end before `program`. */
  readonly tables: number;
  readonly program: number;
  /** Where the program ends. */
  readonly end: number;
}

/**
 * Reads the header at `offset` of .debug_line.
 *
 * @throws {FormatError} If it does not fit its unit or the section, or its version is none of 2 to 5.
 */
export function parseLineHeader(line: Reader, offset: number, unitAddressSize: number): LineHeader {
  const section = line.fork(offset);
  const { end, is64 } = section.initialLength();
  const r = section.fork(section.at, end);
  const version = r.u16();
  if (version < 2 || version > 5) r.fail("version", version, "is not between 2 and 5", r.at - 2);
  const addressSize = version >= 5 ? r.u8() : unitAddressSize;
  if (version >= 5) r.skip(1, "segment_selector_size");
  const headerLength = r.offset(is64);
  r.need(headerLength, "header_length");
  const program = r.at + headerLength;
  r.end = program;
  const minimumInstructionLength = r.u8();
  const maximumOperations = version >= 4 ? Math.max(1, r.u8()) : 1;
  r.skip(1, "default_is_stmt");
  const lineBase = (r.u8() << 24) >> 24;
  const lineRange = r.u8();
  const opcodeBase = r.u8();
  const opcodeLengths = r.at;
  // Base 0 leaves no standard opcode, like base 1.
  r.skip(Math.max(0, opcodeBase - 1), "standard_opcode_lengths");
  return {
    version,
    is64,
    addressSize,
    minimumInstructionLength,
    maximumOperations,
    lineBase,
    lineRange,
    opcodeBase,
    opcodeLengths,
    tables: r.at,
    program,
    end,
  };
}
