// Owns GsymReader: a GSYM file in memory: addresses to functions and lines, and all that it tells of each function.
import { viewOf } from "../base/bytes.ts";
import { attempt, FormatError } from "../base/format_error.ts";
import type { Phdr } from "../elf/headers.ts";
import { appendixSize, decodeAppendix, SIZEOF_FOOTER } from "./appendix.ts";
import { GSYM_MAGIC } from "./format.ts";
import { decodeFunctionInfo, type FunctionInfoContext, type GsymFunctionInfo } from "./function_info.ts";
import { type GsymHeader, MOST_HEADER, parseGsymHeader } from "./header.ts";
import { type GsymLocation, locationOf } from "./location.ts";
import { GsymLookup, keepLookup } from "./lookup.ts";
import { Window } from "./window.ts";

/** How many times the file's bytes all functions together may have. Writers let identical functions share theirs at most. */
const MOST_OVERLAP = 8;

/**
 * A GSYM file in memory, of version 1 or 2, in either byte order.
 *
 * Addresses are found by the rules of LLVM's GsymReader, except where that reports an error because a function's
 * line table has no row for the address: then there is a frame without a line. Of several rows at exactly the
 * address the first is taken, as LLVM 14 does.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { GsymCreator, GsymReader } from "@bpf/stackmap";
 *
 * const creator = new GsymCreator();
 * creator.add({
 *   address: 0x1000n,
 *   size: 32,
 *   name: "main",
 *   lines: [{ address: 0x1000n, file: "/src/main.c", line: 3 }],
 * });
 * const gsym = new GsymReader(creator.toBytes());
 * assertEquals(gsym.lookup(0x1004n), {
 *   start: 0x1000n,
 *   size: 32,
 *   frames: [{ name: "main", file: "/src/main.c", line: 3, offset: 4 }],
 * });
 * assertEquals(gsym.lookup(0x1020n), undefined);
 * ```
 */
export class GsymReader {
  /** 1 or 2. */
  readonly version: number;
  /** Byte order of the file. */
  readonly littleEndian: boolean;
  /** Address that all others are told relative to: at most that of the first function. */
  readonly baseAddress: bigint;
  /** Number of functions. */
  readonly functionCount: number;
  /** The program's build ID, as it is in the file; empty if there is none. */
  readonly uuid: Uint8Array;
  /** The program's PT_LOAD segments, from the file's appendix; `undefined` if it has none. */
  readonly segments: Phdr[] | undefined;
  /** Why the file's appendix can't be read; all else can. */
  readonly problem: FormatError | undefined;
  readonly #bytes: Uint8Array;
  readonly #header: GsymHeader;
  #lookup: GsymLookup;

  /**
   * Opens a file.
   *
   * @param bytes Not copied, and must not change.
   * @throws {FormatError} If it is no GSYM file, of a version not known, or its tables pass its end.
   */
  constructor(bytes: Uint8Array) {
    const header = parseGsymHeader(bytes.subarray(0, MOST_HEADER), bytes.length);
    this.version = header.version;
    this.littleEndian = header.littleEndian;
    this.baseAddress = baseAddressOf(header);
    this.functionCount = header.count;
    this.uuid = bytes.slice(header.uuid, header.uuid + header.uuidSize);
    const problems: FormatError[] = [];
    this.segments = attempt(problems, () => segmentsOf(bytes, header.littleEndian));
    this.problem = problems[0];
    this.#bytes = bytes;
    this.#header = header;
    this.#lookup = new GsymLookup(new Window(bytes), header);
    keepLookup(this, this.#lookup);
  }

  /** Names that were read are kept for the next call, within a limit. */
  #begin(): GsymLookup {
    const renewed = this.#lookup.renewed();
    if (renewed !== this.#lookup) keepLookup(this, this.#lookup = renewed);
    return renewed;
  }

  /**
   * Looks up a virtual address.
   *
   * @returns `undefined` if no function is there.
   * @throws {FormatError} If what the file tells of the function is malformed.
   */
  lookup(address: bigint): GsymLocation | undefined {
    const lookup = this.#begin();
    lookup.lookup(Number(BigInt.asUintN(32, address >> 32n)), Number(BigInt.asUintN(32, address)));
    if (lookup.problem !== undefined) throw lookup.problem;
    return locationOf(lookup, BigInt.asUintN(64, address));
  }

  /**
   * Virtual address of the first byte of a function; they are sorted by it.
   *
   * @param index From 0.
   * @throws {RangeError} If there is no such function.
   */
  functionAddress(index: number): bigint {
    this.#check(index);
    const { search } = this.#lookup;
    search.read(index);
    const distance = (BigInt(search.entryHi) << 32n) | BigInt(search.entryLo);
    return BigInt.asUintN(64, this.baseAddress + distance);
  }

  /**
   * All that the file tells of a function.
   *
   * @param index From 0.
   * @throws {RangeError} If there is no such function.
   * @throws {FormatError} If it is malformed.
   */
  function(index: number): GsymFunctionInfo {
    return this.#decode(index, this.#context());
  }

  #context(): FunctionInfoContext {
    return { bytes: this.#bytes, header: this.#header, string: (offset) => this.#string(offset), decoded: 0 };
  }

  #decode(index: number, context: FunctionInfoContext): GsymFunctionInfo {
    const lookup = this.#begin();
    const address = this.functionAddress(index);
    return decodeFunctionInfo(context, lookup.search.info(index), this.#header.infoEnd, address);
  }

  #string(offset: number): string {
    if (offset === 0) return "";
    return this.#lookup.functions.names[this.#lookup.names.name(offset)];
  }

  #check(index: number): void {
    if (!(Number.isInteger(index) && index >= 0 && index < this.functionCount)) {
      throw new RangeError(`function ${index} of ${this.functionCount}`);
    }
  }

  /**
   * All functions, by address, each decoded when its turn comes.
   *
   * @throws {FormatError} If one is malformed, or they share their bytes so often that decoding all would take time
   *   like the square of the file.
   */
  *[Symbol.iterator](): Generator<GsymFunctionInfo, void, undefined> {
    const context = this.#context();
    for (let index = 0; index < this.functionCount; index++) {
      yield this.#decode(index, context);
      if (context.decoded > MOST_OVERLAP * this.#bytes.length) {
        throw new FormatError("are shared by too many functions", {
          offset: 0,
          field: "FunctionInfo",
          value: index,
        });
      }
    }
  }

  /** Number of entries of the file table; the first is for none. */
  get fileCount(): number {
    return this.#lookup.names.fileCount();
  }

  /**
   * Path of an entry of the file table; `undefined` for 0, and if it is empty.
   *
   * @throws {FormatError} If there is no such entry, or it is malformed.
   */
  file(index: number): string | undefined {
    const { names, files } = this.#begin();
    const number = names.file(index);
    return number === 0 ? undefined : files.names[number];
  }
}

/** The base address as one number. */
export function baseAddressOf({ baseHi, baseLo }: GsymHeader): bigint {
  return (BigInt(baseHi) << 32n) | BigInt(baseLo);
}

function segmentsOf(bytes: Uint8Array, littleEndian: boolean): Phdr[] | undefined {
  const size = appendixSize(bytes.subarray(Math.max(0, bytes.length - SIZEOF_FOOTER)), littleEndian);
  if (size === 0) return undefined;
  const at = bytes.length - size;
  checkAppendix(bytes.length, size);
  return decodeAppendix(bytes.subarray(at), littleEndian, at).segments;
}

/** Throws a {@linkcode FormatError} if an appendix is larger than its file. */
export function checkAppendix(fileSize: number, size: number): void {
  if (size <= fileSize) return;
  throw new FormatError(`is more than the file of ${fileSize} bytes`, {
    offset: fileSize - SIZEOF_FOOTER,
    field: "appendix size",
    value: size,
  });
}

/** Whether bytes begin with GSYM's magic, in either byte order. */
export function isGsym(bytes: Uint8Array): boolean {
  if (bytes.length < 4) return false;
  const view = viewOf(bytes);
  return view.getUint32(0, true) === GSYM_MAGIC || view.getUint32(0, false) === GSYM_MAGIC;
}
