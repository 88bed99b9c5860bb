// Owns Rust's punycode: identifiers beyond ASCII in v0 names, RFC 3492 with `_` for the delimiter (RFC 2603).

/** Decoded characters at most: insertion is quadratic, and no source spells a longer identifier. */
const MOST_CHARACTERS = 1024;

const BASE = 36;
const T_MIN = 1;
const T_MAX = 26;
const SKEW = 38;
const DAMP = 700;
const INITIAL_BIAS = 72;
const INITIAL_N = 0x80;

/** Value of a punycode digit, a-z for 0 to 25 and 0-9 for 26 to 35; -1 for everything else. */
function digit(code: number): number {
  if (code >= 0x61 && code <= 0x7a) return code - 0x61;
  if (code >= 0x30 && code <= 0x39) return code - 0x30 + 26;
  return -1;
}

/** RFC 3492, 6.1. */
function adapt(delta: number, count: number, first: boolean): number {
  let rest = Math.floor(delta / (first ? DAMP : 2));
  rest += Math.floor(rest / count);
  let k = 0;
  for (; rest > ((BASE - T_MIN) * T_MAX) >> 1; k += BASE) rest = Math.floor(rest / (BASE - T_MIN));
  return k + Math.floor(((BASE - T_MIN + 1) * rest) / (rest + SKEW));
}

/**
 * The identifier that `encoded` stands for: `"gdel_5qa"` is `"gödel"`. `undefined` where it is no punycode, gives no
 * Unicode scalar value, or is longer than 1,024 characters.
 *
 * @param encoded ASCII; letters before the last `_` stand for themselves.
 */
export function decodePunycode(encoded: string): string | undefined {
  const delimiter = encoded.lastIndexOf("_");
  if (encoded.length > MOST_CHARACTERS || encoded.length - delimiter < 2) return undefined;
  const points: number[] = [];
  for (let at = 0; at < delimiter; at++) points.push(encoded.charCodeAt(at));
  let n = INITIAL_N;
  let i = 0;
  let bias = INITIAL_BIAS;
  for (let at = delimiter + 1; at < encoded.length;) {
    const before = i;
    let weight = 1;
    for (let k = BASE;; k += BASE) {
      const value = at < encoded.length ? digit(encoded.charCodeAt(at++)) : -1;
      if (value < 0) return undefined;
      i += value * weight;
      if (i > 0x7fff_ffff) return undefined;
      const threshold = Math.min(Math.max(k - bias, T_MIN), T_MAX);
      if (value < threshold) break;
      weight *= BASE - threshold;
    }
    const count = points.length + 1;
    bias = adapt(i - before, count, before === 0);
    n += Math.floor(i / count);
    i %= count;
    if (n > 0x10_ffff || (n >= 0xd800 && n <= 0xdfff)) return undefined;
    points.splice(i++, 0, n);
  }
  return String.fromCodePoint(...points);
}
