// Owns folded stacks: decoded stacks and counts to the lines that flame graph tools read.
import { toHex } from "../base/bytes.ts";
import { cutName, plainText } from "../base/plain_text.ts";
import { cameName, emptyName, type StackColumns } from "../dump/columns.ts";
import { BPF_BUILD_ID_SIZE, BPF_STACK_BUILD_ID_IP, BPF_STACK_BUILD_ID_VALID } from "../uapi/bpf.ts";
import { type DistinctFrames, distinctFrames } from "./pprof_frames.ts";

/** A frame to be named; the fields of `struct bpf_stack_build_id` and its place. */
export interface FoldedFrame {
  /** 1: `build_id` and `offset` count. 2: `ip` does. */
  status: number;
  /** 20 bytes, zero-padded; all zero for an address. */
  build_id: Uint8Array;
  /** File offset in bytes. */
  offset: bigint;
  /** Address: the same 64 bits as `offset`. */
  ip: bigint;
  /**
   * Whether this is the innermost frame, whose address is the instruction that ran. Every other frame's is a return
   * address: the call lies before it. In a kernel stack on top of a user stack, the first frame of either is.
   */
  innermost: boolean;
  /** The name that came with the stacks: {@linkcode StackColumns}`.names`. */
  name?: string;
}

/**
 * Names a frame; `undefined` (or "") if it can't, which {@linkcode frameFallbackName} then does. Several names stand for
 * a function and those it was inlined into, innermost first.
 */
export type FrameNamer = (frame: FoldedFrame) => string | readonly string[] | undefined;

/** Count per folded stack: `outermost;…;innermost`, in the order in which the stacks came first. */
export type FoldedStacks = Map<string, number>;

/**
 * Adds up counts per logical stack. A stack id is a hash of raw addresses, so one logical stack has an id for each
 * process it ran in (address space layouts differ): ids whose frames have the same names become one line here.
 *
 * A name is asked for once per distinct frame. Of one over 1,024 characters the first 1,000 are kept, with a hash of
 * all of it, since a stack repeats names as often as it likes. In names `;` becomes `:`, because the format has no
 * escapes, and line breaks, other control characters and those that change the direction of text become spaces.
 *
 * @param columns What {@linkcode decodeStacks} gave. Where a key occurs twice, its last stack counts.
 * @param name Names a frame.
 * @param counts How often each stack id occurred, such as a counting map's content. Ids that are not in the dump,
 * `-EEXIST` and the like among them, are kept as one stack `[missing stack ID]` each. Without counts each stack of
 * the dump counts 1.
 * @param options `root`: what stands outermost, before the frames of a stack, by its position in `columns.ids`: the
 * name of its process, as stackcollapse-perf prints it. `undefined` is nothing. Stacks that are missing have none.
 * @throws {RangeError} If all stacks together have more than 268,435,456 characters: in a few bytes of input any number
 * of stacks can have the same long names. {@linkcode encodePprof} writes a name once.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeStacks, encodeStacks, foldStacks, formatFolded } from "@bpf/stackmap";
 *
 * const layout = { valueSize: 127 * 8 };
 * const frames = [{ status: 2, ip: 0x401136n }, { status: 2, ip: 0x401200n }];
 * const columns = decodeStacks(encodeStacks([{ id: 3, frames }, { id: 9, frames }], layout), layout);
 * const names = new Map([[0x401136n, "leaf"], [0x401200n, "main"]]);
 * const folded = foldStacks(columns, (frame) => names.get(frame.ip), new Map([[3, 5], [9, 2]]));
 * assertEquals(formatFolded(folded), "main;leaf 7\n");
 * ```
 */
export function foldStacks(
  columns: StackColumns,
  name: FrameNamer,
  counts?: Iterable<readonly [id: number, count: number]>,
  options: { root?: (stack: number) => string | undefined } = {},
): FoldedStacks {
  const folded: FoldedStacks = new Map();
  const add = (stack: string, count: number) => folded.set(stack, (folded.get(stack) ?? 0) + count);
  const lines = new StackLines(columns, name, options.root);
  let left = MOST_TEXT;
  const lineOf = (s: number): string => {
    const line = lines.line(s);
    left -= line.length;
    if (left < 0) throw new RangeError(`folded stacks have more than ${MOST_TEXT} characters`);
    return line;
  };
  if (counts === undefined) {
    for (let s = 0; s < columns.ids.length; s++) add(lineOf(s), 1);
    return folded;
  }
  const byId = new Map<number, number>();
  columns.ids.forEach((id, s) => byId.set(id, s));
  for (const [id, count] of counts) {
    const s = byId.get(id);
    add(s === undefined ? `[missing stack ${id}]` : lineOf(s), count);
  }
  return folded;
}

/**
 * The text form, as stackcollapse scripts print it and flamegraph.pl, speedscope and inferno read it: a line
 * `outermost;…;innermost COUNT` for each stack, sorted by code units, each with a line feed at its end.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { formatFolded } from "@bpf/stackmap";
 *
 * assertEquals(formatFolded(new Map([["main;b", 1], ["main;a", 2]])), "main;a 2\nmain;b 1\n");
 * ```
 */
export function formatFolded(folded: ReadonlyMap<string, number>): string {
  const lines = [...folded].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  return lines.map(([stack, count]) => `${stack} ${count}\n`).join("");
}

/**
 * What a frame is called that nobody can name: `0xffffffff81000000 [ip]` for an address, and the start of the build
 * ID with the file offset, `4c5f9a01+0x1136 [unknown]`, for a binary that was not at hand. A status that the UAPI
 * does not define is shown: `[unknown status 7]`. A name that came with the stacks stands for all of these.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { frameFallbackName } from "@bpf/stackmap";
 *
 * const build_id = new Uint8Array(20).fill(0xab);
 * const frame = { build_id, offset: 0x1136n, ip: 0x1136n };
 * assertEquals(frameFallbackName({ ...frame, status: 1 }), "abababab+0x1136 [unknown]");
 * assertEquals(frameFallbackName({ ...frame, status: 2 }), "0x1136 [ip]");
 * ```
 */
export function frameFallbackName(frame: Omit<FoldedFrame, "innermost">): string {
  if (frame.name) return frame.name;
  if (frame.status === BPF_STACK_BUILD_ID_IP) return `0x${frame.ip.toString(16)} [ip]`;
  const place = `${toHex(frame.build_id.subarray(0, 4))}+0x${frame.offset.toString(16)}`;
  return `${place} [unknown${frame.status === BPF_STACK_BUILD_ID_VALID ? "" : ` status ${frame.status}`}]`;
}

/** Folds stacks one by one; remembers the names of frames. */
class StackLines {
  readonly #columns: StackColumns;
  readonly #name: FrameNamer;
  readonly #root: ((stack: number) => string | undefined) | undefined;
  readonly #distinct: DistinctFrames;
  /** Names by number of the distinct frame, once they were asked for. */
  readonly #names: string[];
  /** The same by number of the name that came with the stacks, which any number of frames may have. */
  readonly #came: string[] = [];

  constructor(columns: StackColumns, name: FrameNamer, root?: (stack: number) => string | undefined) {
    this.#columns = columns;
    this.#name = name;
    this.#root = root;
    this.#distinct = distinctFrames(columns, false);
    this.#names = new Array(this.#distinct.row.length);
  }

  line(s: number): string {
    const { first } = this.#columns;
    const { frame } = this.#distinct;
    let line = "";
    for (let row = first[s + 1] - 1; row >= first[s]; row--) {
      const name = this.#names[frame[row]] ??= this.#ask(row, this.#distinct.innermost[frame[row]] === 1);
      line = line === "" ? name : `${line};${name}`;
    }
    if (line === "") line = foldedName(emptyName(this.#columns, s));
    const root = this.#root?.(s);
    return root === undefined ? line : `${foldedName(root)};${line}`;
  }

  #ask(row: number, innermost: boolean): string {
    const columns = this.#columns;
    const id = columns.idIndex[row] * BPF_BUILD_ID_SIZE;
    const offset = (BigInt(columns.offsetHi[row]) << 32n) | BigInt(columns.offsetLo[row]);
    const frame: FoldedFrame = {
      status: columns.otherStatus.get(row) ?? columns.status[row],
      build_id: id < 0 ? new Uint8Array(BPF_BUILD_ID_SIZE) : columns.buildIds.slice(id, id + BPF_BUILD_ID_SIZE),
      offset,
      ip: offset,
      innermost,
    };
    const came = cameName(columns, row);
    if (came !== undefined) frame.name = came;
    const names = this.#name(frame);
    if (names === undefined || typeof names === "string") {
      const text = names || frameFallbackName(frame);
      return text === came ? this.#came[columns.nameIndex![row]] ??= foldedName(text) : foldedName(text);
    }
    if (names.length === 0) return foldedName(frameFallbackName(frame));
    return names.map((name) => foldedName(name || "[unknown]")).reverse().join(";");
  }
}

/** A name as the format can hold it, which has no escapes; cut, since a stack repeats names as often as it likes. */
export function foldedName(name: string): string {
  return plainText(cutName(name, MOST_CHARACTERS).replace(/;/g, ":"));
}

const MOST_CHARACTERS = 1024;
/** Most characters of all lines, before equal ones become one. */
const MOST_TEXT = 2 ** 28;
