// Owns FunctionInfo: all that a GSYM file tells of one function, decoded.
import { FormatError } from "../base/format_error.ts";
import { viewOf } from "../base/bytes.ts";
import { MOST_PARTS } from "./address_search.ts";
import {
  INFO_CALL_SITES,
  INFO_END_OF_LIST,
  INFO_INLINE,
  INFO_LINE_TABLE,
  INFO_MERGED_FUNCTIONS,
} from "./format.ts";
import type { GsymHeader } from "./header.ts";
import { stringOffset } from "./inline_info.ts";
import { LebReader } from "./leb_reader.ts";
import { LineProgramRunner } from "./line_table.ts";

/** Lines of a function, as columns: rows by ascending address, each up to the next. */
export interface GsymLineRows {
  /** Number of rows. */
  length: number;
  /** Bytes from the function's start to a row's first instruction. */
  offset: Float64Array;
  /** Number of its file, for {@linkcode GsymReader.file}. */
  file: Uint32Array;
  /** Its line. */
  line: Uint32Array;
}

/** A node of a function's inlined calls; the root, at depth 0, is the function itself. */
export interface GsymInlineNode {
  /** How many nodes are around it. */
  depth: number;
  /** Name of the function that was inlined; "" for the root, as LLVM writes it. */
  name: string;
  /** Where its code is: bytes from the function's start, of each range the first and the one behind the last. */
  ranges: number[];
  /** Number of the file with the call, for {@linkcode GsymReader.file}; 0 for the root. */
  callFile: number;
  /** Line of the call. */
  callLine: number;
}

/** A call in a function that is known to be made. */
export interface GsymCallSite {
  /** Bytes from the function's start to the address that the call returns to. */
  returnOffset: bigint;
  /** 1: of a function of this program; 2: of another's. */
  flags: number;
  /** Patterns of the names that are called. */
  matchRegex: string[];
}

/** All that a GSYM file tells of one function. */
export interface GsymFunctionInfo {
  /** Virtual address of its first byte. */
  address: bigint;
  /** Its size in bytes; 0 where it reaches up to the next function. */
  size: number;
  /** Linkage name. */
  name: string;
  /** Lines; `undefined` if it has none. */
  lines: GsymLineRows | undefined;
  /** Inlined calls in order, each behind the one that it is inlined into; `undefined` if there is no such part. */
  inlined: GsymInlineNode[] | undefined;
  /** Functions with the same code that a linker has put this one in place of. */
  merged: GsymFunctionInfo[] | undefined;
  /** Calls; `undefined` if it has no such part. */
  callSites: GsymCallSite[] | undefined;
}

/** What decoding needs of a file. */
export interface FunctionInfoContext {
  readonly bytes: Uint8Array;
  readonly header: GsymHeader;
  /** String at an offset of the string table. */
  string(offset: number): string;
  /** Bytes of FunctionInfos that were decoded. */
  decoded: number;
}

/**
 * Decodes the FunctionInfo at a file offset. Parts of unknown kinds are passed over.
 *
 * @param end Where it ends at the latest.
 * @throws {FormatError} If it is malformed.
 */
export function decodeFunctionInfo(
  context: FunctionInfoContext,
  from: number,
  end: number,
  address: bigint,
): GsymFunctionInfo {
  return decode(context, from, end, address, false);
}

function decode(
  context: FunctionInfoContext,
  from: number,
  end: number,
  address: bigint,
  isMerged: boolean,
): GsymFunctionInfo {
  const { bytes, header: { littleEndian, wordSize } } = context;
  const reader = new LebReader();
  reader.open(bytes, from, end - from, from, "FunctionInfo");
  const word = (size: number) => stringOffset(reader, size, littleEndian);
  const size = word(4);
  const name = word(wordSize);
  if (name === 0) throw new FormatError("is no name", { offset: from + 4, field: "FunctionInfo.Name", value: 0 });
  const info: GsymFunctionInfo = {
    address,
    size,
    name: context.string(name),
    lines: undefined,
    inlined: undefined,
    merged: undefined,
    callSites: undefined,
  };
  for (let part = 0;; part++) {
    if (part === MOST_PARTS) reader.refuse("has too many parts");
    const type = word(4);
    const length = word(4);
    if (type === INFO_END_OF_LIST) {
      context.decoded += reader.at - from;
      return info;
    }
    const at = reader.at;
    reader.skip(length);
    if (type === INFO_LINE_TABLE) info.lines = decodeLines(bytes, at, length);
    else if (type === INFO_INLINE) info.inlined = decodeInline(context, at, length);
    else if (type === INFO_CALL_SITES) info.callSites = decodeCallSites(context, at, length);
    else if (type === INFO_MERGED_FUNCTIONS) {
      // FunctionInfo.cpp: they are one level deep.
      if (isMerged) throw new FormatError("are in merged functions", { offset: at, field: "MergedFunctionsInfo" });
      info.merged = decodeMerged(context, at, length, address);
    }
  }
}

function decodeLines(bytes: Uint8Array, at: number, length: number): GsymLineRows {
  const reader = new LebReader();
  const lines = new LineProgramRunner(reader);
  const start = () => {
    reader.open(bytes, at, length, at, "LineTable");
    lines.start();
  };
  let count = 0;
  for (start(); lines.next();) count++;
  const rows: GsymLineRows = {
    length: count,
    offset: new Float64Array(count),
    file: new Uint32Array(count),
    line: new Uint32Array(count),
  };
  start();
  for (let i = 0; lines.next(); i++) {
    rows.offset[i] = lines.offset;
    rows.file[i] = lines.file;
    rows.line[i] = lines.line;
  }
  return rows;
}

function decodeInline(context: FunctionInfoContext, at: number, length: number): GsymInlineNode[] {
  const { bytes, header: { littleEndian, wordSize } } = context;
  const reader = new LebReader();
  reader.open(bytes, at, length, at, "InlineInfo");
  const nodes: GsymInlineNode[] = [];
  /** Where the ranges of children count from, for each node around. */
  const bases: number[] = [0];
  while (bases.length > 0) {
    const base = bases[bases.length - 1];
    const count = reader.uleb();
    if (count === 0) {
      bases.pop();
      if (bases.length === 1) return nodes; // the root's children end
      if (bases.length === 0) return nodes; // there is no root
      continue;
    }
    const ranges: number[] = [];
    for (let i = 0; i < count; i++) {
      const start = base + reader.uleb();
      ranges.push(start, start + reader.uleb());
    }
    const hasChildren = reader.byte() !== 0;
    nodes.push({
      depth: bases.length - 1,
      ranges,
      name: context.string(stringOffset(reader, wordSize, littleEndian)),
      callFile: reader.uleb() >>> 0,
      callLine: reader.uleb() >>> 0,
    });
    if (hasChildren) bases.push(ranges[0]);
    else if (bases.length === 1) return nodes; // a root alone
  }
  return nodes;
}

function decodeMerged(
  context: FunctionInfoContext,
  at: number,
  length: number,
  address: bigint,
): GsymFunctionInfo[] {
  const { bytes, header: { littleEndian } } = context;
  const reader = new LebReader();
  reader.open(bytes, at, length, at, "MergedFunctionsInfo");
  const merged: GsymFunctionInfo[] = [];
  for (let left = stringOffset(reader, 4, littleEndian); left > 0; left--) {
    const size = stringOffset(reader, 4, littleEndian);
    const from = reader.at;
    reader.skip(size);
    merged.push(decode(context, from, from + size, address, true));
  }
  return merged;
}

function decodeCallSites(context: FunctionInfoContext, at: number, length: number): GsymCallSite[] {
  const { bytes, header: { littleEndian, wordSize } } = context;
  const view = viewOf(bytes);
  const reader = new LebReader();
  reader.open(bytes, at, length, at, "CallSiteInfo");
  const sites: GsymCallSite[] = [];
  for (let left = stringOffset(reader, 4, littleEndian); left > 0; left--) {
    const from = reader.at;
    reader.skip(8);
    const returnOffset = view.getBigUint64(from, littleEndian);
    const flags = reader.byte();
    const matchRegex: string[] = [];
    for (let more = stringOffset(reader, 4, littleEndian); more > 0; more--) {
      matchRegex.push(context.string(stringOffset(reader, wordSize, littleEndian)));
    }
    sites.push({ returnOffset, flags, matchRegex });
  }
  return sites;
}
