// Owns LZMA's symbols: the range decoder, literals and matches of one chunk.
import {
  ALIGN,
  IS_MATCH,
  IS_REP,
  IS_REP0,
  IS_REP0_LONG,
  IS_REP1,
  IS_REP2,
  LENGTH_CHOICE2,
  LENGTH_HIGH,
  LENGTH_LOW,
  LENGTH_MIDDLE,
  LITERAL,
  type LzmaState,
  MATCH_LENGTH,
  REP_LENGTH,
  SLOT,
  SPECIAL,
} from "./lzma_state.ts";

/** Copies from this length on are left to the runtime. */
const LONG_COPY = 48;

/** How far a symbol may read behind the end of its chunk before {@linkcode decodeLzma} notices. */
export const LZMA_MARGIN = 64;

/**
 * How many bytes of output the loop writes before it returns and is called again. An engine that compiles the loop
 * while it runs would otherwise not have seen its end, and fall back to slow code there, chunk after chunk.
 */
const SLICE = 2048;

/**
 * Decodes one chunk: the first `end` bytes of `input` into `output` from `from` to `to`.
 *
 * @param input The chunk, with `LZMA_MARGIN` bytes of any content behind `end`.
 * @param dictionaryAt Where in the output the dictionary begins: no match reaches before it, and positions count
 *   from it.
 * @param dictionarySize How far back a match may reach; at most 2^31 − 1.
 * @returns What is wrong with the chunk; `undefined` where nothing is.
 */
export function decodeLzma(
  s: LzmaState,
  input: Uint8Array,
  end: number,
  output: Uint8Array,
  from: number,
  to: number,
  dictionaryAt: number,
  dictionarySize: number,
): string | undefined {
  if (end < 5) return "is too short for a range decoder";
  if (input[0] !== 0) return "does not begin with a zero byte";
  s.range = -1;
  s.code = (input[1] << 24) | (input[2] << 16) | (input[3] << 8) | input[4];
  s.pos = 5;
  s.out = from;
  while (s.out < to) {
    const stop = Math.min(to, s.out + SLICE);
    const problem = decodeSymbols(s, input, end, output, stop, to, dictionaryAt, dictionarySize);
    if (problem !== undefined) return problem;
  }
  return s.pos === end && s.code === 0 ? undefined : "goes on behind its last symbol";
}

/**
 * Decodes symbols until the output reaches `stop`; the last one may go on to `to`. The rest is as above.
 *
 * The range decoder is written out at each use. A function for it would have to keep `range`, `code` and the
 * position somewhere else than in local variables. `range >>> 24 === 0` is `range < 2^24`.
 */
function decodeSymbols(
  s: LzmaState,
  input: Uint8Array,
  end: number,
  output: Uint8Array,
  stop: number,
  to: number,
  dictionaryAt: number,
  dictionarySize: number,
): string | undefined {
  const probs = s.probabilities;
  const { lc } = s;
  const lpMask = (1 << s.lp) - 1, pbMask = (1 << s.pb) - 1;
  let { state, rep0, rep1, rep2, rep3, range, code, pos, out } = s;
  let previous = out > dictionaryAt ? output[out - 1] : 0;

  while (out < stop) {
    // Once for each symbol is enough: the margin holds what a symbol takes.
    if (pos > end) return "ends within its symbols";
    const position = out - dictionaryAt;
    const posState = position & pbMask;
    let i = IS_MATCH + (state << 4) + posState;
    let p = probs[i];
    let bound = Math.imul(range >>> 11, p);

    if ((code >>> 0) < (bound >>> 0)) {
      probs[i] = p + ((2048 - p) >> 5);
      range = bound;
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | input[pos++];
      }
      const tree = LITERAL + Math.imul(0x300, ((position & lpMask) << lc) + (previous >> (8 - lc)));
      let symbol = 1;
      if (state >= 7) {
        // After a match: the byte that the match would have gone on with chooses the tree, as long as it is right.
        let expected = output[out - rep0 - 1];
        let offset = 0x100;
        do {
          expected <<= 1;
          const bit = expected & offset;
          i = tree + offset + bit + symbol;
          p = probs[i];
          bound = Math.imul(range >>> 11, p);
          if ((code >>> 0) < (bound >>> 0)) {
            probs[i] = p + ((2048 - p) >> 5);
            range = bound;
            symbol <<= 1;
            offset ^= bit;
          } else {
            probs[i] = p - (p >> 5);
            range = (range - bound) | 0;
            code = (code - bound) | 0;
            symbol = (symbol << 1) | 1;
            offset = bit;
          }
          if (range >>> 24 === 0) {
            range <<= 8;
            code = (code << 8) | input[pos++];
          }
        } while (symbol < 0x100);
        state = state < 10 ? state - 3 : state - 6;
      } else {
        do {
          i = tree + symbol;
          p = probs[i];
          bound = Math.imul(range >>> 11, p);
          if ((code >>> 0) < (bound >>> 0)) {
            probs[i] = p + ((2048 - p) >> 5);
            range = bound;
            symbol <<= 1;
          } else {
            probs[i] = p - (p >> 5);
            range = (range - bound) | 0;
            code = (code - bound) | 0;
            symbol = (symbol << 1) | 1;
          }
          if (range >>> 24 === 0) {
            range <<= 8;
            code = (code << 8) | input[pos++];
          }
        } while (symbol < 0x100);
        state = state < 4 ? 0 : state - 3;
      }
      previous = symbol & 0xff;
      output[out++] = previous;
      continue;
    }

    probs[i] = p - (p >> 5);
    range = (range - bound) | 0;
    code = (code - bound) | 0;
    if (range >>> 24 === 0) {
      range <<= 8;
      code = (code << 8) | input[pos++];
    }

    // A match with a new distance, or one with one of the last four?
    let lengthAt = MATCH_LENGTH;
    i = IS_REP + state;
    p = probs[i];
    bound = Math.imul(range >>> 11, p);
    const isRep = (code >>> 0) >= (bound >>> 0);
    if (isRep) {
      probs[i] = p - (p >> 5);
      range = (range - bound) | 0;
      code = (code - bound) | 0;
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | input[pos++];
      }
      i = IS_REP0 + state;
      p = probs[i];
      bound = Math.imul(range >>> 11, p);
      if ((code >>> 0) < (bound >>> 0)) {
        probs[i] = p + ((2048 - p) >> 5);
        range = bound;
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | input[pos++];
        }
        i = IS_REP0_LONG + (state << 4) + posState;
        p = probs[i];
        bound = Math.imul(range >>> 11, p);
        if ((code >>> 0) < (bound >>> 0)) {
          // One byte from the last distance.
          probs[i] = p + ((2048 - p) >> 5);
          range = bound;
          if (range >>> 24 === 0) {
            range <<= 8;
            code = (code << 8) | input[pos++];
          }
          if (rep0 >= position || rep0 >= dictionarySize) return "has a match that begins before its dictionary";
          state = state < 7 ? 9 : 11;
          previous = output[out - rep0 - 1];
          output[out++] = previous;
          continue;
        }
      } else {
        probs[i] = p - (p >> 5);
        range = (range - bound) | 0;
        code = (code - bound) | 0;
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | input[pos++];
        }
        i = IS_REP1 + state;
        p = probs[i];
        bound = Math.imul(range >>> 11, p);
        let distance = rep1;
        if ((code >>> 0) >= (bound >>> 0)) {
          probs[i] = p - (p >> 5);
          range = (range - bound) | 0;
          code = (code - bound) | 0;
          if (range >>> 24 === 0) {
            range <<= 8;
            code = (code << 8) | input[pos++];
          }
          i = IS_REP2 + state;
          p = probs[i];
          bound = Math.imul(range >>> 11, p);
          distance = rep2;
          if ((code >>> 0) >= (bound >>> 0)) {
            distance = rep3;
            rep3 = rep2;
          }
          rep2 = rep1;
        }
        rep1 = rep0;
        rep0 = distance;
      }
      // What was looked at last, whichever it was, is settled here.
      if ((code >>> 0) < (bound >>> 0)) {
        probs[i] = p + ((2048 - p) >> 5);
        range = bound;
      } else {
        probs[i] = p - (p >> 5);
        range = (range - bound) | 0;
        code = (code - bound) | 0;
      }
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | input[pos++];
      }
      lengthAt = REP_LENGTH;
      state = state < 7 ? 8 : 11;
    } else {
      probs[i] = p + ((2048 - p) >> 5);
      range = bound;
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | input[pos++];
      }
      rep3 = rep2;
      rep2 = rep1;
      rep1 = rep0;
      state = state < 7 ? 7 : 10;
    }

    // The length: a choice of three trees, then the tree.
    let tree: number;
    let leaves = 8;
    let length = 2 - 8;
    i = lengthAt;
    p = probs[i];
    bound = Math.imul(range >>> 11, p);
    if ((code >>> 0) < (bound >>> 0)) {
      probs[i] = p + ((2048 - p) >> 5);
      range = bound;
      tree = lengthAt + LENGTH_LOW + (posState << 3);
    } else {
      probs[i] = p - (p >> 5);
      range = (range - bound) | 0;
      code = (code - bound) | 0;
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | input[pos++];
      }
      i = lengthAt + LENGTH_CHOICE2;
      p = probs[i];
      bound = Math.imul(range >>> 11, p);
      if ((code >>> 0) < (bound >>> 0)) {
        probs[i] = p + ((2048 - p) >> 5);
        range = bound;
        tree = lengthAt + LENGTH_MIDDLE + (posState << 3);
        length = 10 - 8;
      } else {
        probs[i] = p - (p >> 5);
        range = (range - bound) | 0;
        code = (code - bound) | 0;
        tree = lengthAt + LENGTH_HIGH;
        length = 18 - 256;
        leaves = 256;
      }
    }
    if (range >>> 24 === 0) {
      range <<= 8;
      code = (code << 8) | input[pos++];
    }
    let node = 1;
    do {
      i = tree + node;
      p = probs[i];
      bound = Math.imul(range >>> 11, p);
      if ((code >>> 0) < (bound >>> 0)) {
        probs[i] = p + ((2048 - p) >> 5);
        range = bound;
        node <<= 1;
      } else {
        probs[i] = p - (p >> 5);
        range = (range - bound) | 0;
        code = (code - bound) | 0;
        node = (node << 1) | 1;
      }
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | input[pos++];
      }
    } while (node < leaves);
    length += node;

    if (!isRep) {
      // The distance: a slot, which tells how many more bits there are.
      tree = SLOT + ((length < 6 ? length - 2 : 3) << 6);
      node = 1;
      do {
        i = tree + node;
        p = probs[i];
        bound = Math.imul(range >>> 11, p);
        if ((code >>> 0) < (bound >>> 0)) {
          probs[i] = p + ((2048 - p) >> 5);
          range = bound;
          node <<= 1;
        } else {
          probs[i] = p - (p >> 5);
          range = (range - bound) | 0;
          code = (code - bound) | 0;
          node = (node << 1) | 1;
        }
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | input[pos++];
        }
      } while (node < 64);
      const slot = node - 64;
      rep0 = slot;
      if (slot >= 4) {
        let bits = (slot >> 1) - 1;
        rep0 = (2 | (slot & 1)) << bits;
        tree = SPECIAL + rep0 - slot;
        if (slot >= 14) {
          // The middle bits have no probabilities.
          let direct = 0;
          for (bits -= 4; bits > 0; bits--) {
            range >>>= 1;
            code = (code - range) | 0;
            const borrow = code >> 31;
            code = (code + (range & borrow)) | 0;
            direct = (direct << 1) + borrow + 1;
            if (range >>> 24 === 0) {
              range <<= 8;
              code = (code << 8) | input[pos++];
            }
          }
          rep0 = (rep0 + (direct << 4)) | 0;
          tree = ALIGN;
          bits = 4;
        }
        node = 1;
        for (let bit = 0; bit < bits; bit++) {
          i = tree + node;
          p = probs[i];
          bound = Math.imul(range >>> 11, p);
          if ((code >>> 0) < (bound >>> 0)) {
            probs[i] = p + ((2048 - p) >> 5);
            range = bound;
            node <<= 1;
          } else {
            probs[i] = p - (p >> 5);
            range = (range - bound) | 0;
            code = (code - bound) | 0;
            node = (node << 1) | 1;
            rep0 = (rep0 + (1 << bit)) | 0;
          }
          if (range >>> 24 === 0) {
            range <<= 8;
            code = (code << 8) | input[pos++];
          }
        }
      }
    }

    // Distances from 2^31 on are negative here. The end marker, the longest distance, is not for LZMA2.
    if (rep0 < 0 || rep0 >= position || rep0 >= dictionarySize) {
      return "has a match that begins before its dictionary";
    }
    if (length > to - out) return "has a match that goes on behind its end";
    const source = out - rep0 - 1;
    const copied = out + length;
    if (length >= LONG_COPY && (rep0 === 0 || rep0 >= length)) {
      if (rep0 === 0) output.fill(output[source], out, copied);
      else output.copyWithin(out, source, source + length);
      out = copied;
    } else {
      for (let read = source; out < copied;) output[out++] = output[read++];
    }
    previous = output[out - 1];
  }

  s.state = state;
  s.rep0 = rep0;
  s.rep1 = rep1;
  s.rep2 = rep2;
  s.rep3 = rep3;
  s.range = range;
  s.code = code;
  s.pos = pos;
  s.out = out;
  return undefined;
}
