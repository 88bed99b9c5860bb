// Owns the JSON that stacks may be sent in: its shape, and columns made of it.
import { fromHex } from "../base/bytes.ts";
import type { StackColumns } from "../dump/columns.ts";
import { BPF_BUILD_ID_SIZE, BPF_STACK_BUILD_ID_IP, BPF_STACK_BUILD_ID_VALID } from "../uapi/bpf.ts";
import { HttpProblem, shown } from "./http_problem.ts";

/** One stack of {@linkcode SymbolizeRequest}. */
export interface RequestStack {
  /** Any `__u32`, once; its place in the list by default. */
  id?: number;
  /** How often it occurred, 0 to 2^53 − 1; 1 by default. */
  count?: number;
  /**
   * Frames, innermost first: either build ID (2 to 40 hex digits) and file offset, or an address. Numbers of more
   * than 53 bits have to be text: `"0x…"`.
   */
  frames: ({ buildId: string; offset: string | number } | { ip: string | number })[];
}

/** Body of `POST /symbolize` as JSON. Fields besides these are not looked at. */
export interface SymbolizeRequest {
  /** The stacks. */
  stacks: RequestStack[];
}

/** Answer to `POST /symbolize` as JSON. docs/handler.md tells more. */
export interface SymbolizeAnswer {
  /** The distinct functions that the stacks have. */
  frames: AnswerFrame[];
  /** The stacks in the order in which they came. */
  stacks: {
    id: number;
    /** How often it occurred; only where the request said so for any. */
    count?: number;
    /** Its process; only where a recording says so. */
    pid?: number;
    /** What a stack without frames is called: `[lost stack: EEXIST]`. */
    name?: string;
    /** Positions in `frames`, innermost first, inlined calls included. */
    frames: number[];
  }[];
  /** The processes of the stacks that have a name; only where a recording says which they are of. */
  processes?: { pid: number; comm: string }[];
  /** Ids that were counted and are not among the stacks; negative ones are errors of the helper. */
  missing: { id: number; count: number }[];
  /** What kept files from being had; their frames have a `reason`, or names without lines. */
  problems: { buildId: string; reason: string; message: string }[];
}

/** A function of {@linkcode SymbolizeAnswer}, or a frame of which no function is known. */
export interface AnswerFrame {
  /** Its name as in the source; as in the symbol table with `demangle=0`; or the name that came with the stacks. */
  function?: string;
  /** Its name in the symbol table, where that is another. */
  linkageName?: string;
  /** Path of the source file. */
  file?: string;
  /** Line in it, from 1. */
  line?: number;
  /** Column in the line, from 1. */
  column?: number;
  /** Whether it was inlined into the next frame of the stack, which has the same address. */
  inlined?: true;
  /** Name of the program or library, without directories. */
  module?: string;
  /** Its build ID in hex: as in the file where that was found, else as it came. */
  buildId?: string;
  /** File offset of the frame in hex, after `0x`. */
  offset?: string;
  /** Address in the file, likewise. */
  address?: string;
  /** Address in the process or kernel that was not translated, likewise; instead of the three above. */
  ip?: string;
  /** Status that the UAPI does not define. */
  status?: number;
  /** Why there is no function: one of {@linkcode ResolveReason}. */
  reason?: string;
}

/** How much may come in one request. */
export interface StackLimits {
  maxStacks: number;
  maxFrames: number;
  maxBuildIds: number;
}

/** @throws {HttpProblem} 413 */
export function overLimit(what: string, most: number): HttpProblem {
  return new HttpProblem(413, "too-large", `more than ${most} ${what}`);
}

/**
 * Columns of stacks in JSON, and their counts.
 *
 * @throws {HttpProblem} 400 where it is not of the shape, naming the place; 413 over a limit.
 */
export function parseJsonStacks(
  text: string,
  limits: StackLimits,
): { columns: StackColumns; counts: Map<number, number> | undefined } {
  const stacks = field(parse(text, limits), "stacks");
  if (!Array.isArray(stacks)) throw malformed("stacks", "is not a list");
  if (stacks.length > limits.maxStacks) throw overLimit("stacks", limits.maxStacks);
  let rows = 0;
  stacks.forEach((stack: unknown, s) => {
    const frames = field(stack, "frames");
    if (!Array.isArray(frames)) throw malformed(`stacks[${s}].frames`, "is not a list");
    rows += frames.length;
    if (rows > limits.maxFrames) throw overLimit("frames", limits.maxFrames);
  });
  return new Builder(stacks, rows, limits).build();
}

class Builder {
  readonly #stacks: readonly Record<string, unknown>[];
  readonly #columns: StackColumns;
  readonly #limits: StackLimits;
  readonly #idNumbers = new Map<string, number>();
  readonly #ids: Uint8Array[] = [];

  constructor(stacks: readonly unknown[], rows: number, limits: StackLimits) {
    this.#stacks = stacks as readonly Record<string, unknown>[];
    this.#limits = limits;
    this.#columns = {
      ids: new Uint32Array(stacks.length),
      first: new Uint32Array(stacks.length + 1),
      status: new Uint8Array(rows),
      idIndex: new Int32Array(rows),
      offsetLo: new Uint32Array(rows),
      offsetHi: new Uint32Array(rows),
      buildIds: new Uint8Array(0),
      otherStatus: new Map(),
    };
  }

  build(): { columns: StackColumns; counts: Map<number, number> | undefined } {
    const columns = this.#columns;
    const counts = new Map<number, number>();
    let counted = false;
    let row = 0;
    this.#stacks.forEach(({ id = undefined, count = undefined, frames }, s) => {
      const key = id ?? s;
      if (typeof key !== "number" || key !== key >>> 0) {
        throw malformed(`stacks[${s}].id`, "is not a whole number below 2^32");
      }
      if (counts.has(key)) throw malformed(`stacks[${s}].id`, `${key} is there twice`);
      if (count !== undefined && !(Number.isSafeInteger(count) && count as number >= 0)) {
        throw malformed(`stacks[${s}].count`, "is not a whole number from 0 to 2^53 - 1");
      }
      counted ||= count !== undefined;
      counts.set(key, (count as number | undefined) ?? 1);
      columns.ids[s] = key;
      columns.first[s] = row;
      (frames as unknown[]).forEach((frame, f) => this.#frame(row++, frame, s, f));
    });
    columns.first[this.#stacks.length] = row;
    columns.buildIds = new Uint8Array(this.#ids.length * BPF_BUILD_ID_SIZE);
    this.#ids.forEach((id, i) => columns.buildIds.set(id, i * BPF_BUILD_ID_SIZE));
    return { columns, counts: counted ? counts : undefined };
  }

  #frame(row: number, frame: unknown, s: number, f: number): void {
    const columns = this.#columns;
    const at = () => `stacks[${s}].frames[${f}]`;
    const ip = field(frame, "ip");
    const buildId = field(frame, "buildId");
    if ((ip === undefined) === (buildId === undefined)) {
      throw malformed(at(), "has not one of ip and buildId");
    }
    columns.status[row] = ip === undefined ? BPF_STACK_BUILD_ID_VALID : BPF_STACK_BUILD_ID_IP;
    columns.idIndex[row] = ip === undefined ? this.#buildId(buildId, at) : -1;
    const number = ip ?? field(frame, "offset");
    if (typeof number === "number") {
      if (!Number.isSafeInteger(number) || number < 0) {
        throw malformed(`${at()}.${ip === undefined ? "offset" : "ip"}`, 'is no number of 53 bits; write it "0x…"');
      }
      columns.offsetHi[row] = Math.floor(number / 0x1_0000_0000);
      columns.offsetLo[row] = number >>> 0;
    } else if (typeof number === "string" && /^0x[0-9a-f]{1,16}$/i.test(number)) {
      columns.offsetHi[row] = number.length > 10 ? parseInt(number.slice(2, -8), 16) : 0;
      columns.offsetLo[row] = parseInt(number.slice(Math.max(2, number.length - 8)), 16);
    } else {
      throw malformed(
        `${at()}.${ip === undefined ? "offset" : "ip"}`,
        "is neither a number nor hex digits after 0x",
      );
    }
  }

  #buildId(text: unknown, at: () => string): number {
    if (typeof text !== "string") throw malformed(`${at()}.buildId`, "is not a text of hex digits");
    const known = this.#idNumbers.get(text);
    if (known !== undefined) return known;
    const bytes = text.length > 2 * BPF_BUILD_ID_SIZE ? undefined : fromHex(text.toLowerCase());
    if (bytes === undefined || bytes.length === 0) {
      throw malformed(`${at()}.buildId`, `${shown(text)} is not 2 to 40 hex digits`);
    }
    // The same with other letters, or padded, has its own number: numbers of rows are no promise.
    if (this.#ids.length === this.#limits.maxBuildIds) throw overLimit("build IDs", this.#limits.maxBuildIds);
    const number = this.#ids.push(bytes) - 1;
    this.#idNumbers.set(text, number);
    return number;
  }
}

/** Objects and lists besides those of stacks and frames that JSON may have: in fields that are not looked at. */
const MOST_OTHERS = 1 << 16;

/** @throws {HttpProblem} 413 over what a request can need of them: each costs some 80 bytes, for one character. */
function checkObjects(text: string, { maxStacks, maxFrames }: StackLimits): void {
  const most = 2 * maxStacks + maxFrames + MOST_OTHERS;
  if (text.length <= most) return;
  let count = 0;
  for (const bracket of ["[", "{"]) {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) {
      if (++count > most) throw overLimit("objects and lists", most);
    }
  }
}

function parse(text: string, limits: StackLimits): unknown {
  checkObjects(text, limits);
  try {
    return JSON.parse(text);
  } catch (error) {
    // Nesting too deep is a RangeError or SyntaxError, by engine.
    const why = error instanceof SyntaxError ? error.message : "nested too deep";
    throw new HttpProblem(400, "malformed", `the body is not JSON: ${why.slice(0, 120)}`);
  }
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}

function malformed(where: string, problem: string): HttpProblem {
  return new HttpProblem(400, "malformed", `${where} ${problem}`);
}
