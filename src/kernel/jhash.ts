// Owns jhash2 (include/linux/jhash.h): Bob Jenkins' lookup3 over 32-bit words.

/**
 * lookup3 over `length` words of `words` from index `at`, with JHASH_INITVAL and the length in bytes mixed into the
 * start as the kernel does. Returns int32.
 *
 * One kind of array for all callers: with a second kind both engines took twice as long. `Math.imul(x, 1)` is
 * `x | 0` that JavaScriptCore does not reassociate: 5.0 instead of 7.2 ns a round there, no difference in V8.
 * Rotations are joined with `|` and never `+`, which V8 would not take for rotations: 30 % slower.
 */
export function jhashWords(words: Uint32Array, at: number, length: number, initval: number): number {
  let a = (0xdeadbeef + (length << 2) + initval) | 0;
  let b = a;
  let c = a;
  while (length > 3) {
    a = (a + words[at]) | 0;
    b = (b + words[at + 1]) | 0;
    c = (c + words[at + 2]) | 0;
    a = ((a - c) | 0) ^ ((c << 4) | (c >>> 28));
    c = Math.imul(c + b, 1);
    b = ((b - a) | 0) ^ ((a << 6) | (a >>> 26));
    a = Math.imul(a + c, 1);
    c = ((c - b) | 0) ^ ((b << 8) | (b >>> 24));
    b = Math.imul(b + a, 1);
    a = ((a - c) | 0) ^ ((c << 16) | (c >>> 16));
    c = Math.imul(c + b, 1);
    b = ((b - a) | 0) ^ ((a << 19) | (a >>> 13));
    a = Math.imul(a + c, 1);
    c = ((c - b) | 0) ^ ((b << 4) | (b >>> 28));
    b = Math.imul(b + a, 1);
    length -= 3;
    at += 3;
  }
  if (length === 0) return c;
  if (length === 3) c = (c + words[at + 2]) | 0;
  if (length >= 2) b = (b + words[at + 1]) | 0;
  a = (a + words[at]) | 0;
  c = ((c ^ b) - ((b << 14) | (b >>> 18))) | 0;
  a = ((a ^ c) - ((c << 11) | (c >>> 21))) | 0;
  b = ((b ^ a) - ((a << 25) | (a >>> 7))) | 0;
  c = ((c ^ b) - ((b << 16) | (b >>> 16))) | 0;
  a = ((a ^ c) - ((c << 4) | (c >>> 28))) | 0;
  b = ((b ^ a) - ((a << 14) | (a >>> 18))) | 0;
  c = ((c ^ b) - ((b << 24) | (b >>> 8))) | 0;
  return c;
}

/**
 * `jhash2()` (include/linux/jhash.h): the hash of an array of 32-bit words, from which a stack id is cut.
 *
 * @param words The words in memory order; a 64-bit address on x86-64 is its low word, then its high word.
 * @param initval The kernel passes 0 for stack ids.
 * @returns Unsigned 32 bits.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { jhash2 } from "@bpf/stackmap";
 *
 * assertEquals(jhash2(new Uint32Array(0), 0), 0xdeadbeef);
 * const ips = new BigUint64Array([0x401136n, 0x401190n]);
 * const stackId = jhash2(new Uint32Array(ips.buffer), 0) & (1024 - 1); // in a map of 1024 buckets
 * assertEquals(stackId < 1024, true);
 * ```
 */
export function jhash2(words: Uint32Array, initval: number): number {
  return jhashWords(words, 0, words.length, initval) >>> 0;
}
