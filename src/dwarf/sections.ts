// Owns DwarfSections: which sections of a file the readers need, as bytes.

/** The contents of one file's DWARF sections, decompressed. A missing one is empty. */
export interface DwarfSections {
  readonly littleEndian: boolean;
  readonly info: Uint8Array;
  readonly abbrev: Uint8Array;
  readonly line: Uint8Array;
  readonly str: Uint8Array;
  readonly lineStr: Uint8Array;
  readonly strOffsets: Uint8Array;
  readonly addr: Uint8Array;
  readonly ranges: Uint8Array;
  readonly rnglists: Uint8Array;
  readonly aranges: Uint8Array;
  /** Indices of a .dwp package. */
  readonly cuIndex: Uint8Array;
}

/** The section that each field comes from, without ".debug_" before and ".dwo" after it. */
export const SECTION_NAMES: Readonly<Record<Exclude<keyof DwarfSections, "littleEndian">, string>> = {
  info: "info",
  abbrev: "abbrev",
  line: "line",
  str: "str",
  lineStr: "line_str",
  strOffsets: "str_offsets",
  addr: "addr",
  ranges: "ranges",
  rnglists: "rnglists",
  aranges: "aranges",
  cuIndex: "cu_index",
};

/** Where a unit's parts begin inside the sections of a .dwp package; all 0 elsewhere. */
export interface Contributions {
  readonly info: number;
  readonly abbrev: number;
  readonly line: number;
  readonly strOffsets: number;
  readonly rnglists: number;
}

export const WHOLE_SECTIONS: Contributions = { info: 0, abbrev: 0, line: 0, strOffsets: 0, rnglists: 0 };
