// Owns Zstandard's compressed blocks: literals, sequences, and what a block hands on to the next.
import { FormatError } from "../base/format_error.ts";
import { viewOf } from "../base/bytes.ts";
import type { Output } from "./output.ts";
import {
  buildFse,
  buildFseRle,
  type FseTable,
  HUFFMAN_BITS,
  type HuffmanTable,
  LITERAL_LENGTHS,
  MATCH_LENGTHS,
  newFseTable,
  OFFSETS,
  readFse,
  readHuffman,
  type SequenceCode,
} from "./zstd_tables.ts";

/** The most bytes that a block holds, compressed or not. */
export const MOST_BLOCK_BYTES = 0x2_0000;

/** Bytes around the copy of a block: bit readers may look over both ends before a check stops them. */
const MARGIN = 16;
/** Copies from this length on are left to the runtime; shorter ones take four bytes a step. */
const LONG_COPY = 96;

/** Decodes the blocks of one frame after another. */
export class BlockDecoder {
  readonly #output: Output;
  /** The block at hand, `MARGIN` bytes on either side. */
  readonly #block: Uint8Array;
  readonly #blockView: DataView;
  readonly #literals: Uint8Array;
  readonly #literalView: DataView;
  #literalCount = 0;

  readonly #huffman: HuffmanTable = { entries: new Uint16Array(1 << HUFFMAN_BITS), log: 0 };
  readonly #lengths: FseTable = newFseTable(LITERAL_LENGTHS);
  readonly #offsets: FseTable = newFseTable(OFFSETS);
  readonly #matches: FseTable = newFseTable(MATCH_LENGTHS);
  /** Whether a block of this frame has set the tables that a later one may repeat. */
  #haveHuffman = false;
  #haveSequences = false;
  #repeated: [number, number, number] = [1, 4, 8];

  /** @param most The longest block to expect; at most `MOST_BLOCK_BYTES`. */
  constructor(output: Output, most: number) {
    this.#output = output;
    this.#block = new Uint8Array(most + 2 * MARGIN);
    this.#blockView = viewOf(this.#block);
    this.#literals = new Uint8Array(MOST_BLOCK_BYTES + MARGIN);
    this.#literalView = viewOf(this.#literals);
  }

  /** Forgets what the blocks of the last frame left. */
  startFrame(): void {
    this.#haveHuffman = false;
    this.#haveSequences = false;
    this.#repeated = [1, 4, 8];
  }

  /**
   * Decodes one compressed block into the output.
   *
   * @param input All input; the block is `size` bytes at `offset`.
   * @param frameStart Where in the output the frame begins: no match reaches before it.
   * @param windowSize How far back a match may reach.
   * @param end Where the output of this block must end at the latest; the output has that capacity.
   * @param tooLong The error where it would not.
   */
  decode(
    input: Uint8Array,
    offset: number,
    size: number,
    frameStart: number,
    windowSize: number,
    end: number,
    tooLong: () => FormatError,
  ): void {
    this.#block.set(input.subarray(offset, offset + size), MARGIN);
    const blockEnd = MARGIN + size;
    const delta = offset - MARGIN;
    const at = this.#readLiterals(MARGIN, blockEnd, delta);
    this.#readSequences(at, blockEnd, delta, frameStart, windowSize, end, tooLong);
  }

  /** `Literals_Section`; returns the position behind it. RFC 8878, 3.1.1.3.1. */
  #readLiterals(at: number, end: number, delta: number): number {
    const block = this.#block;
    const fail = (problem: string): never => {
      throw new FormatError(problem, { offset: at + delta, field: "Literals_Section_Header" });
    };
    if (at >= end) fail("is missing: the block is empty");
    const type = block[at] & 3;
    const format = (block[at] >> 2) & 3;
    const word = this.#blockView.getUint32(at, true);
    if (type < 2) {
      const headerSize = [1, 2, 1, 3][format];
      const count = headerSize === 1 ? block[at] >> 3 : (word & (headerSize === 2 ? 0xffff : 0xff_ffff)) >> 4;
      const from = at + headerSize;
      const next = from + (type === 0 ? count : 1);
      if (count > MOST_BLOCK_BYTES) fail(`announces ${count} literals`);
      if (next > end) fail("announces more than its block holds");
      if (type === 0) this.#literals.set(block.subarray(from, next));
      else this.#literals.fill(block[from], 0, count);
      this.#literalCount = count;
      return next;
    }

    const sizeBits = [10, 10, 14, 18][format];
    const headerSize = [3, 3, 4, 5][format];
    const mask = (1 << sizeBits) - 1;
    const count = (word >>> 4) & mask;
    const packed = (this.#blockView.getUint32(at + (sizeBits === 18 ? 2 : 1), true) >>>
      (sizeBits === 18 ? 6 : sizeBits - 4)) & mask;
    let from = at + headerSize;
    const next = from + packed;
    if (count > MOST_BLOCK_BYTES) fail(`announces ${count} literals`);
    if (next > end) fail("announces more than its block holds");
    if (type === 2) {
      this.#haveHuffman = false;
      from = readHuffman(this.#huffman, block, from, next, delta);
      this.#haveHuffman = true;
    } else if (!this.#haveHuffman) {
      fail("repeats a Huffman table, but there is none");
    }
    const done = format === 0 ? this.#oneStream(from, next, 0, count) : this.#fourStreams(from, next, count, fail);
    if (!done) fail("is followed by Huffman streams that don't end with their last literal");
    this.#literalCount = count;
    return next;
  }

  /** The bit behind the last one of a stream that ends before `end`: above it are padding and the end mark. */
  #lastBit(end: number): number {
    return (end - 1) * 8 + 31 - Math.clz32(this.#block[end - 1]);
  }

  /** Decodes literals `to` exclusive from the stream; false unless they use up exactly all of it. */
  #oneStream(from: number, end: number, at: number, to: number): boolean {
    if (from >= end || this.#block[end - 1] === 0) return false;
    return this.#finishStream(from * 8, this.#lastBit(end), at, to);
  }

  /** The literals `at` to `to` from the bits below `bit`; false unless they end at bit `first`. */
  #finishStream(first: number, bit: number, at: number, to: number): boolean {
    const { entries, log } = this.#huffman;
    const view = this.#blockView;
    const literals = this.#literals;
    const mask = (1 << log) - 1;
    // `bit` is kept 24 below the next bit: a load there has it and all that a code or two need.
    bit -= 24;
    first -= 24;
    const shift = 24 - log;
    while (at < to && bit >= first) {
      const entry = entries[(view.getInt32(bit >> 3, true) >>> ((bit & 7) + shift)) & mask];
      literals[at++] = entry >> 8;
      bit -= entry & 0xff;
    }
    return at === to && bit === first;
  }

  /** The same for a jump table and four streams, which are decoded side by side. */
  #fourStreams(from: number, end: number, count: number, fail: (problem: string) => never): boolean {
    const block = this.#block;
    const view = this.#blockView;
    if (end - from < 10) fail("is followed by less than four Huffman streams");
    const start1 = from + 6;
    const start2 = start1 + view.getUint16(from, true);
    const start3 = start2 + view.getUint16(from + 2, true);
    const start4 = start3 + view.getUint16(from + 4, true);
    if (start4 >= end || start1 === start2 || start2 === start3 || start3 === start4) {
      fail("is followed by a jump table that leaves the block");
    }
    if (block[start2 - 1] === 0 || block[start3 - 1] === 0 || block[start4 - 1] === 0 || block[end - 1] === 0) {
      fail("is followed by a Huffman stream without its end mark");
    }
    const segment = (count + 3) >> 2;
    if (3 * segment > count) fail("announces too few literals for four streams");
    const { entries, log } = this.#huffman;
    const literals = this.#literals;
    const mask = (1 << log) - 1;
    const shift = 24 - log;
    const first1 = start1 * 8 - 24, first2 = start2 * 8 - 24, first3 = start3 * 8 - 24, first4 = start4 * 8 - 24;
    let bit1 = this.#lastBit(start2) - 24, bit2 = this.#lastBit(start3) - 24;
    let bit3 = this.#lastBit(start4) - 24, bit4 = this.#lastBit(end) - 24;
    let at = 0;
    const to2 = 2 * segment, to3 = 3 * segment;
    const pairs = (count - to3) & ~1;
    // Two codes have at most 22 bits: one load gives both.
    while (at < pairs && ((bit1 - first1) | (bit2 - first2) | (bit3 - first3) | (bit4 - first4)) >= 0) {
      const word1 = view.getInt32(bit1 >> 3, true) >>> (bit1 & 7);
      const word2 = view.getInt32(bit2 >> 3, true) >>> (bit2 & 7);
      const word3 = view.getInt32(bit3 >> 3, true) >>> (bit3 & 7);
      const word4 = view.getInt32(bit4 >> 3, true) >>> (bit4 & 7);
      const a1 = entries[(word1 >>> shift) & mask];
      const a2 = entries[(word2 >>> shift) & mask];
      const a3 = entries[(word3 >>> shift) & mask];
      const a4 = entries[(word4 >>> shift) & mask];
      const used1 = a1 & 0xff, used2 = a2 & 0xff, used3 = a3 & 0xff, used4 = a4 & 0xff;
      const b1 = entries[(word1 >>> (shift - used1)) & mask];
      const b2 = entries[(word2 >>> (shift - used2)) & mask];
      const b3 = entries[(word3 >>> (shift - used3)) & mask];
      const b4 = entries[(word4 >>> (shift - used4)) & mask];
      literals[at] = a1 >> 8;
      literals[at + 1] = b1 >> 8;
      literals[segment + at] = a2 >> 8;
      literals[segment + at + 1] = b2 >> 8;
      literals[to2 + at] = a3 >> 8;
      literals[to2 + at + 1] = b3 >> 8;
      literals[to3 + at] = a4 >> 8;
      literals[to3 + at + 1] = b4 >> 8;
      bit1 -= used1 + (b1 & 0xff);
      bit2 -= used2 + (b2 & 0xff);
      bit3 -= used3 + (b3 & 0xff);
      bit4 -= used4 + (b4 & 0xff);
      at += 2;
    }
    return this.#finishStream(start1 * 8, bit1 + 24, at, segment) &&
      this.#finishStream(start2 * 8, bit2 + 24, segment + at, to2) &&
      this.#finishStream(start3 * 8, bit3 + 24, to2 + at, to3) &&
      this.#finishStream(start4 * 8, bit4 + 24, to3 + at, count);
  }

  /** Sets the table of one kind of code by its mode; returns the position behind its description. */
  #readTable(mode: number, table: FseTable, code: SequenceCode, at: number, end: number, delta: number): number {
    if (mode === 0) {
      buildFse(table, code, code.counts, code.log);
    } else if (mode === 1) {
      if (at >= end) throw new FormatError("is missing", { offset: at + delta, field: code.field });
      buildFseRle(table, code, this.#block[at], at + delta);
      return at + 1;
    } else if (mode === 2) {
      return readFse(table, code, this.#block, at, end, delta);
    } else if (!this.#haveSequences) {
      throw new FormatError("repeats a table, but there is none", { offset: at + delta, field: code.field });
    }
    return at;
  }

  /** `Sequences_Section`, and the output of the block. RFC 8878, 3.1.1.3.2. */
  #readSequences(
    at: number,
    end: number,
    delta: number,
    frameStart: number,
    windowSize: number,
    outputEnd: number,
    tooLong: () => FormatError,
  ): void {
    const block = this.#block;
    const headerAt = at;
    const fail = (problem: string): never => {
      throw new FormatError(problem, { offset: headerAt + delta, field: "Sequences_Section_Header" });
    };
    if (at >= end) fail("is missing: the block ends");
    let count = block[at++];
    if (count >= 128) {
      if (count < 255) count = ((count - 128) << 8) + block[at++];
      else {
        count = block[at] + (block[at + 1] << 8) + 0x7f00;
        at += 2;
      }
    }
    if (at > end) fail("runs over the end of its block");
    if (count === 0) {
      if (at !== end) fail("announces no sequences, but bytes follow");
      if (this.#literalCount > outputEnd - this.#output.length) throw tooLong();
      this.#copyRest(0);
      return;
    }
    if (at >= end) fail("runs over the end of its block");
    const modes = block[at++];
    if ((modes & 3) !== 0) fail("has reserved bits set");
    at = this.#readTable(modes >> 6, this.#lengths, LITERAL_LENGTHS, at, end, delta);
    at = this.#readTable((modes >> 4) & 3, this.#offsets, OFFSETS, at, end, delta);
    at = this.#readTable((modes >> 2) & 3, this.#matches, MATCH_LENGTHS, at, end, delta);
    this.#haveSequences = true;
    if (at >= end || block[end - 1] === 0) fail("is followed by a bitstream without its end mark");
    const literal = this.#runSequences(count, at * 8, this.#lastBit(end), frameStart, windowSize, outputEnd);
    if (literal === TOO_LONG) throw tooLong();
    if (literal === NO_LITERALS) fail("is followed by sequences that copy more literals than there are");
    if (literal === BAD_OFFSET) fail("is followed by a match that reaches before its frame or window");
    if (literal === BAD_BITS) fail("is followed by a bitstream that does not end with its last sequence");
    if (this.#literalCount - literal > outputEnd - this.#output.length) throw tooLong();
    this.#copyRest(literal);
  }

  /** Appends the literals from `literal` on; they fit. */
  #copyRest(literal: number): void {
    const output = this.#output;
    output.bytes.set(this.#literals.subarray(literal, this.#literalCount), output.length);
    output.length += this.#literalCount - literal;
  }

  /** Decodes and runs `count` sequences. Returns how many literals they used, or one of the failures below. */
  #runSequences(
    count: number,
    first: number,
    bit: number,
    frameStart: number,
    windowSize: number,
    outputEnd: number,
  ): number {
    const view = this.#blockView;
    const literals = this.#literals, literalView = this.#literalView, literalCount = this.#literalCount;
    const out = this.#output.bytes, outView = this.#output.view;
    // Steps of four bytes write up to three too many: not near the end of the buffer.
    const safeEnd = out.length - 4;
    const lengthValues = this.#lengths.values, lengthSteps = this.#lengths.steps;
    const offsetValues = this.#offsets.values, offsetSteps = this.#offsets.steps;
    const matchValues = this.#matches.values, matchSteps = this.#matches.steps;
    let [repeat1, repeat2, repeat3] = this.#repeated;
    let to = this.#output.length;
    let literal = 0;

    bit -= this.#lengths.log;
    let lengthState = (view.getInt32(bit >> 3, true) >>> (bit & 7)) & ((1 << this.#lengths.log) - 1);
    bit -= this.#offsets.log;
    let offsetState = (view.getInt32(bit >> 3, true) >>> (bit & 7)) & ((1 << this.#offsets.log) - 1);
    bit -= this.#matches.log;
    let matchState = (view.getInt32(bit >> 3, true) >>> (bit & 7)) & ((1 << this.#matches.log) - 1);

    for (;;) {
      // A sequence has at most 89 bits, and MARGIN bytes hold more: one check at its end is enough.
      if (bit < first) return BAD_BITS;
      const lengthStep = lengthSteps[lengthState];
      const offsetStep = offsetSteps[offsetState];
      const matchStep = matchSteps[matchState];
      let length = lengthValues[lengthState];
      let match = matchValues[matchState];
      let offset = offsetValues[offsetState];

      // A load has at least 25 bits above the one it begins with.
      let bits = offsetStep >>> 24;
      if (bits > 24) {
        bits -= 16;
        bit -= 16;
        offset += ((view.getInt32(bit >> 3, true) >>> (bit & 7)) & 0xffff) << bits;
      }
      bit -= bits;
      offset = (offset + ((view.getInt32(bit >> 3, true) >>> (bit & 7)) & ((1 << bits) - 1))) >>> 0;
      const matchBits = matchStep >>> 24;
      const lengthBits = lengthStep >>> 24;
      if (matchBits + lengthBits !== 0) {
        bit -= matchBits;
        match += (view.getInt32(bit >> 3, true) >>> (bit & 7)) & ((1 << matchBits) - 1);
        bit -= lengthBits;
        length += (view.getInt32(bit >> 3, true) >>> (bit & 7)) & ((1 << lengthBits) - 1);
      }

      if (offset > 3) {
        offset -= 3;
        repeat3 = repeat2;
        repeat2 = repeat1;
        repeat1 = offset;
      } else {
        // RFC 8878, 3.1.1.5: without literals, each of the three values means the next older offset.
        const which = length === 0 ? offset + 1 : offset;
        if (which === 1) {
          offset = repeat1;
        } else {
          offset = which === 2 ? repeat2 : which === 3 ? repeat3 : repeat1 - 1;
          if (which !== 2) repeat3 = repeat2;
          repeat2 = repeat1;
          repeat1 = offset;
        }
      }

      if (length > literalCount - literal) return NO_LITERALS;
      if (length + match > outputEnd - to) return TOO_LONG;
      const matchAt = to + length;
      if (offset > matchAt - frameStart || offset > windowSize || offset === 0) return BAD_OFFSET;
      const matchEnd = matchAt + match;
      if (length > LONG_COPY) {
        out.set(literals.subarray(literal, literal + length), to);
      } else if (matchAt <= safeEnd) {
        for (let i = 0; i < length; i += 4) outView.setInt32(to + i, literalView.getInt32(literal + i, true), true);
      } else {
        for (let i = 0; i < length; i++) out[to + i] = literals[literal + i];
      }
      literal += length;
      const source = matchAt - offset;
      if (match > LONG_COPY && offset >= match) {
        out.copyWithin(matchAt, source, source + match);
      } else if (offset >= 4 && matchEnd <= safeEnd) {
        for (let i = 0; i < match; i += 4) outView.setInt32(matchAt + i, outView.getInt32(source + i, true), true);
      } else if (offset === 1) {
        out.fill(out[source], matchAt, matchEnd);
      } else {
        for (let i = 0; i < match; i++) out[matchAt + i] = out[source + i];
      }
      to = matchEnd;
      if (--count === 0) break;

      bits = (lengthStep >> 16) & 0xff;
      bit -= bits;
      lengthState = (lengthStep & 0xffff) + ((view.getInt32(bit >> 3, true) >>> (bit & 7)) & ((1 << bits) - 1));
      bits = (matchStep >> 16) & 0xff;
      bit -= bits;
      matchState = (matchStep & 0xffff) + ((view.getInt32(bit >> 3, true) >>> (bit & 7)) & ((1 << bits) - 1));
      bits = (offsetStep >> 16) & 0xff;
      bit -= bits;
      offsetState = (offsetStep & 0xffff) + ((view.getInt32(bit >> 3, true) >>> (bit & 7)) & ((1 << bits) - 1));
    }
    if (bit !== first) return BAD_BITS;
    this.#repeated = [repeat1, repeat2, repeat3];
    this.#output.length = to;
    return literal;
  }
}

// Failures of #runSequences, which throws nothing itself so that the loop stays small.
const BAD_BITS = -1;
const BAD_OFFSET = -2;
const NO_LITERALS = -3;
const TOO_LONG = -4;
