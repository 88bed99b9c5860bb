// Owns FunctionDraft: what is to be written of one function, encoded but for its strings and files.
import { ByteSink } from "./encode_bytes.ts";
import { encodeLineTable } from "./encode_lines.ts";
import { grown } from "./encode_pool.ts";
import { INFO_INLINE, INFO_LINE_TABLE } from "./format.ts";

/*
 * Where strings and files will lie is known at the end only, and how wide a file's number will be. Until then a
 * function is kept as a template: bytes as they will stand in the file, and between them what is still open. Each
 * part begins with an unsigned LEB128 of 4 * n + kind.
 */

/** n bytes follow, as they are. */
export const LITERAL = 0;
/** The offset of string n. */
export const STRING = 1;
/** The number of file n, as unsigned LEB128. */
export const FILE = 2;
/** See below. */
export const CONTROL = 3;

/** With CONTROL: the template ends. Other numbers below END_INFO are an InfoType, whose data follow, up to that. */
export const END_TEMPLATE = 0;
export const END_INFO = 16;
/**
 * An opcode LINE_SET_FILE, but for file 1, which a line table begins with. The number follows as unsigned LEB128.
 */
export const FIRST_FILE = 17;

/** Calls nested deeper can't be written: readers recurse. */
export const MOST_NESTED = 256;

/** An inlined call. Addresses are distances from the function. */
export interface InlineNode {
  /** Number of its function's name. */
  name: number;
  /** Number of the file it was called in. */
  callFile: number;
  callLine: number;
  /** Pairs of first address and the one after the last, ascending, all of them in those of the call around it. */
  ranges: number[];
  children: InlineNode[];
}

/** Takes bytes and what is open, and makes parts of a template of them. */
export class TemplateSink {
  readonly out: ByteSink = new ByteSink(1 << 12);
  /** Bytes of the part in the making. */
  readonly literal: ByteSink = new ByteSink(1 << 12);

  #flush(): void {
    const { out, literal } = this;
    if (literal.length === 0) return;
    out.uleb(4 * literal.length + LITERAL);
    out.copy(literal.bytes, 0, literal.length);
    literal.length = 0;
  }

  string(number: number): void {
    this.#flush();
    this.out.uleb(4 * number + STRING);
  }

  file(number: number): void {
    this.#flush();
    this.out.uleb(4 * number + FILE);
  }

  control(number: number): void {
    this.#flush();
    this.out.uleb(4 * number + CONTROL);
  }

  firstFile(number: number): void {
    this.control(FIRST_FILE);
    this.out.uleb(number);
  }
}

/** Rows and inlined calls of one function after the other. */
export class FunctionDraft {
  /** Of each row the distance from the function, ascending; number of the file; line. */
  offset: Uint32Array = new Uint32Array(256);
  file: Uint32Array = new Uint32Array(256);
  line: Uint32Array = new Uint32Array(256);
  rows = 0;
  /** Calls inlined into the function itself. */
  inlined: InlineNode[] = [];
  readonly #sink = new TemplateSink();

  reset(): void {
    this.rows = 0;
    this.inlined = [];
  }

  /** Adds a row; one that only repeats what the last says is left out, one at the same place replaces it. */
  row(offset: number, file: number, line: number): void {
    const last = this.rows - 1;
    if (last >= 0) {
      if (this.file[last] === file && this.line[last] === line) return;
      if (this.offset[last] === offset) {
        this.rows--;
        return this.row(offset, file, line);
      }
    }
    if (this.rows === this.offset.length) {
      this.offset = grown(this.offset);
      this.file = grown(this.file);
      this.line = grown(this.line);
    }
    this.offset[this.rows] = offset;
    this.file[this.rows] = file;
    this.line[this.rows++] = line;
  }

  /** The template, without the name; valid until the next call. */
  encode(name: number, size: number): Uint8Array {
    const sink = this.#sink;
    sink.out.length = 0;
    if (this.rows > 0) {
      sink.control(INFO_LINE_TABLE);
      encodeLineTable(sink, this);
      sink.control(END_INFO);
    }
    if (this.inlined.length > 0) {
      sink.control(INFO_INLINE);
      // The root stands for the function.
      const root: InlineNode = { name, callFile: 0, callLine: 0, ranges: [0, size], children: this.inlined };
      encodeInline(sink, root, 0);
      sink.control(END_INFO);
    }
    sink.control(END_TEMPLATE);
    return sink.out.bytes.subarray(0, sink.out.length);
  }
}

/** InlineInfo of LLVM's InlineInfo.h. Recursion is bounded by {@linkcode MOST_NESTED}. */
function encodeInline(
  sink: TemplateSink,
  { name, callFile, callLine, ranges, children }: InlineNode,
  base: number,
) {
  const { literal } = sink;
  literal.uleb(ranges.length / 2);
  for (let i = 0; i < ranges.length; i += 2) {
    literal.uleb(ranges[i] - base);
    literal.uleb(ranges[i + 1] - ranges[i]);
  }
  literal.u8(children.length > 0 ? 1 : 0);
  sink.string(name);
  sink.file(callFile);
  literal.uleb(callLine);
  if (children.length === 0) return;
  for (const child of children) encodeInline(sink, child, ranges[0]);
  literal.uleb(0);
}
