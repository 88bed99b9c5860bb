// Owns GsymCreator: functions, lines and inlined calls in, a GSYM file out.
import { GsymBuilder, type GsymCreatorOptions } from "./creator_builder.ts";
import { FunctionDraft, type InlineNode, MOST_NESTED } from "./encode_function.ts";
import { UNKNOWN_FILE } from "./encode_pool.ts";

/** From an address of a function on its code is of this line, up to the next row's. */
export interface GsymLine {
  /** Address of the first instruction, in the function. */
  address: bigint;
  /** Path of the source file; "" where it is not known. */
  file: string;
  /** Line, from 1; 0 for code that is of no line. */
  line: number;
}

/** A call that the compiler put its function's code in place of. */
export interface GsymInlinedCall {
  /** Name of the function that was called. */
  name: string;
  /** Where its code is: in the ranges of the call or function around it, without overlap. */
  ranges: readonly { start: bigint; end: bigint }[];
  /** Path of the file with the call; "" where it is not known. */
  callFile: string;
  /** Line of the call. */
  callLine: number;
  /** Calls inlined into this one. */
  children?: readonly GsymInlinedCall[];
}

/** One function, or one contiguous part of it. */
export interface GsymFunction {
  /** Virtual address of its first byte, as in the program's file. */
  address: bigint;
  /** Bytes from there, below 4 GiB; 0 where that is not known. */
  size: number;
  /** Linkage name. */
  name: string;
  /** Rows by ascending address; none by default. */
  lines?: Iterable<GsymLine>;
  /** Calls inlined into it; none by default. Readers find them only in code that has a row. */
  inlined?: readonly GsymInlinedCall[];
}

/**
 * Writes a GSYM file: LLVM's compact format for addresses to functions, files, lines and inlined calls. What is
 * added is encoded at once, so that memory stays near the size of the file.
 *
 * Functions may come in any order. Of several with equal ranges the one that knows most is written, as LLVM's
 * GsymCreator has it. Behind all that GSYM defines the file ends with an appendix, for segments and for reading
 * by ranges, which other readers do not look at.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { GsymCreator } from "@bpf/stackmap";
 *
 * const creator = new GsymCreator({ uuid: new Uint8Array(20).fill(7) });
 * creator.add({
 *   address: 0x401136n,
 *   size: 0x20,
 *   name: "main",
 *   lines: [{ address: 0x401136n, file: "/src/main.c", line: 3 }],
 * });
 * const bytes = creator.toBytes();
 * assertEquals(new TextDecoder().decode(bytes.subarray(0, 4)), "MYSG"); // little-endian
 * ```
 */
export class GsymCreator {
  readonly #builder: GsymBuilder;
  readonly #draft = new FunctionDraft();

  /**
   * A file without functions.
   *
   * @throws {RangeError} If an option is none that can be.
   */
  constructor(options: GsymCreatorOptions = {}) {
    this.#builder = new GsymBuilder(options);
  }

  /** Functions added so far. */
  get length(): number {
    return this.#builder.length;
  }

  /**
   * Adds a function.
   *
   * @throws {RangeError} If a number or range is none that can be, rows do not ascend, or calls are nested more
   *   than 256 deep; nothing is added then.
   */
  add({ address, size, name, lines = [], inlined = [] }: GsymFunction): void {
    check(address === BigInt.asUintN(64, address), `address ${address}`);
    check(isU32(size), `size ${size} of ${name}`);
    check(name !== "" && !name.includes("\0"), `name ${JSON.stringify(name)}`);
    const { strings } = this.#builder;
    const draft = this.#draft;
    draft.reset();
    let last = 0;
    for (const { address: at, file, line } of lines) {
      const offset = Number(at - address);
      check(offset >= last && offset < Math.max(size, 1), `row at ${at} of ${name}`);
      check(isU32(line), `line ${line} of ${name}`);
      draft.row(last = offset, this.#file(file), line);
    }
    draft.inlined = inlined.map((call) => this.#node(call, address, [0, size], 1));
    this.#builder.add(Number(address >> 32n), Number(address & 0xffff_ffffn), size, strings.intern(name), draft);
  }

  #file(path: string): number {
    check(!path.includes("\0"), `path ${JSON.stringify(path)}`);
    return path === "" ? UNKNOWN_FILE : this.#builder.files.intern(path);
  }

  #node(call: GsymInlinedCall, base: bigint, around: readonly number[], depth: number): InlineNode {
    const { name, callFile, callLine, children = [] } = call;
    check(depth < MOST_NESTED, `${name} is nested ${depth} deep`);
    check(!name.includes("\0"), `name ${JSON.stringify(name)}`);
    check(isU32(callLine), `line ${callLine} of a call of ${name}`);
    const ranges = call.ranges.flatMap(({ start, end }) => [Number(start - base), Number(end - base)]);
    let inside = 0;
    for (let i = 0; i < ranges.length; i += 2) {
      while (inside < around.length && around[inside + 1] < ranges[i + 1]) inside += 2;
      check(
        ranges[i] < ranges[i + 1] && (i === 0 || ranges[i - 1] <= ranges[i]) && ranges[i] >= around[inside],
        `ranges of the call of ${name}`,
      );
    }
    check(ranges.length > 0, `ranges of the call of ${name}`);
    return {
      name: this.#builder.strings.intern(name),
      callFile: this.#file(callFile),
      callLine,
      ranges,
      children: children.map((child) => this.#node(child, base, ranges, depth + 1)),
    };
  }

  /**
   * The file, in pieces of some 256 KiB; can be asked for again, and after more was added.
   *
   * @throws {RangeError} If the file would be larger than the version has room for.
   */
  finish(): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
    return this.#builder.plan().write();
  }

  /**
   * The file as a whole.
   *
   * @throws {RangeError} As {@linkcode GsymCreator.finish}.
   */
  toBytes(): Uint8Array<ArrayBuffer> {
    const { size, write } = this.#builder.plan();
    return joined(write(), size);
  }
}

/** Pieces in a row, of `size` bytes together. */
export function joined(pieces: Iterable<Uint8Array>, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new RangeError(`${what}: can't be`);
}
