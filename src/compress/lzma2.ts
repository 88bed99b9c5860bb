// Owns LZMA2: chunks, stored or packed with LZMA, and what they reset.
import { FormatError } from "../base/format_error.ts";
import { decodeLzma, LZMA_MARGIN } from "./lzma.ts";
import { LzmaState } from "./lzma_state.ts";
import type { Output } from "./output.ts";

/** The most bytes that a packed chunk takes. */
const MOST_PACKED = 0x1_0000;

/** Decodes the LZMA2 data of one block after another. */
export class Lzma2Decoder {
  readonly #output: Output;
  readonly #state: LzmaState = new LzmaState();
  /** A copy of the chunk at hand, `LZMA_MARGIN` bytes behind it: the symbols may look over its end. */
  readonly #chunk: Uint8Array;

  /** @param most How many bytes of input there are. */
  constructor(output: Output, most: number) {
    this.#output = output;
    this.#chunk = new Uint8Array(Math.min(most, MOST_PACKED) + LZMA_MARGIN);
  }

  /**
   * Decodes chunks into the output until the one that says that it is the last.
   *
   * @param input All input; the first chunk begins at `at`, the last ends at `end` at the latest.
   * @param dictionarySize How far back a match may reach.
   * @returns Where the last chunk ends.
   */
  decode(input: Uint8Array, at: number, end: number, dictionarySize: number): number {
    const output = this.#output;
    const state = this.#state;
    const reach = Math.min(dictionarySize, 0x7fff_ffff);
    let dictionaryAt = output.length;
    let needsDictionary = true;
    let needsProperties = true;
    for (;;) {
      const chunkAt = at;
      const left = end - at;
      const control = left > 0 ? input[at] : 0;
      const headerSize = control === 0 ? 1 : control < 0x80 ? 3 : control < 0xc0 ? 5 : 6;
      const fail = (problem: string): FormatError =>
        new FormatError(problem, { offset: chunkAt, field: "LZMA2 chunk", value: control });
      if (left < headerSize) {
        throw new FormatError(`needs ${headerSize} bytes, ${left} are left`, { offset: at, field: "LZMA2 chunk" });
      }
      if (control === 0) return at + 1;
      if (control > 2 && control < 0x80) throw fail("has a reserved control byte");
      const stored = control < 0x80;
      if (control === 1 || control >= 0xe0) {
        needsDictionary = false;
        dictionaryAt = output.length;
        needsProperties = true;
      }
      if (needsDictionary) throw fail("comes first and does not reset the dictionary");

      const unpacked = (((stored ? 0 : control & 0x1f) << 16) | (input[at + 1] << 8) | input[at + 2]) + 1;
      const packed = stored ? unpacked : ((input[at + 3] << 8) | input[at + 4]) + 1;
      if (packed > left - headerSize) throw fail(`needs ${packed} bytes, ${left - headerSize} are left`);
      const from = output.length;
      if (unpacked > output.limit - from) throw output.overflow(chunkAt, "LZMA2 chunk");
      at += headerSize;
      output.reserve(from + unpacked);
      if (stored) {
        output.bytes.set(input.subarray(at, at + unpacked), from);
      } else {
        if (control >= 0xc0) {
          if (!state.setProperties(input[at - 1])) {
            throw new FormatError("allows more than lc + lp = 4 or pb = 4", {
              offset: at - 1,
              field: "LZMA2 properties",
              value: input[at - 1],
            });
          }
          needsProperties = false;
        } else if (needsProperties) {
          throw fail("needs new properties and has none");
        }
        if (control >= 0xa0) state.reset();
        this.#chunk.set(input.subarray(at, at + packed));
        const to = from + unpacked;
        const problem = decodeLzma(state, this.#chunk, packed, output.bytes, from, to, dictionaryAt, reach);
        if (problem !== undefined) throw fail(problem);
      }
      output.length = from + unpacked;
      at += packed;
    }
  }
}
