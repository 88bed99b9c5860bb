// Owns the hash for tables whose keys an enemy may choose: random multipliers that nobody can have prepared for.

/** Random multipliers for {@linkcode universalHash} of keys of `words` words. */
export function universalMultipliers(words: number): Uint32Array {
  return Uint32Array.from({ length: 4 * words }, () => Math.random() * 0x1_0000_0000);
}

/**
 * A 32-bit hash of the words from `at` on, a quarter as many as there are multipliers.
 *
 * Two sums of 16-bit pieces times random 32-bit numbers. The top 16 bits of each are strongly universal
 * (Dietzfelbinger's multiply-shift for vectors): together 32 bits in which two keys agree by chance alone.
 */
export function universalHash(multipliers: Uint32Array, words: Int32Array, at: number): number {
  let a = 0, b = 0;
  for (let m = 0; m < multipliers.length; m += 4, at++) {
    const low = words[at] & 0xffff, high = words[at] >>> 16;
    a = (a + Math.imul(low, multipliers[m]) + Math.imul(high, multipliers[m + 1])) | 0;
    b = (b + Math.imul(low, multipliers[m + 2]) + Math.imul(high, multipliers[m + 3])) | 0;
  }
  return (a & 0xffff_0000) | (b >>> 16);
}
