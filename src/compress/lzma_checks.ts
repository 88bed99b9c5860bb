// Owns the integrity checks of .xz blocks: which there are, their sizes, and SHA-256.
import { crc32 } from "../base/crc32.ts";
import { crc64 } from "./crc64.ts";

/** Bytes of each kind of check, by its ID. Those that {@linkcode checkOf} does not know are reserved. */
export const CHECK_SIZES: readonly number[] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

/** The check `id` of the bytes `from` to `to`, as it stands in a file; `undefined` for a reserved kind. */
export function checkOf(id: number, bytes: Uint8Array, from: number, to: number): Uint8Array | undefined {
  if (id === 0) return new Uint8Array(0);
  const check = new Uint8Array(CHECK_SIZES[id]);
  const view = new DataView(check.buffer);
  if (id === 1) {
    view.setUint32(0, crc32(bytes.subarray(from, to)), true);
  } else if (id === 4) {
    const [high, low] = crc64(bytes, from, to);
    view.setUint32(0, low, true);
    view.setUint32(4, high, true);
  } else if (id === 10) {
    sha256(bytes, from, to, view);
  } else {
    return undefined;
  }
  return check;
}

/** What SHA-256 starts from: roots of the first primes, 32 bits behind the point. */
interface Constants {
  /** From the cube roots of 64 primes. */
  rounds: Int32Array;
  /** From the square roots of 8. */
  initial: Int32Array;
}

let constants: Constants | undefined;

/** Made at first use. Doubles hold 32 bits behind the point of each of these roots. */
function makeConstants(): Constants {
  const primes = Array.from({ length: 312 }, (_, n) => n).filter((n) => {
    for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
    return n > 1;
  });
  const fraction = (x: number): number => ((x - Math.floor(x)) * 0x1_0000_0000) | 0;
  return {
    rounds: Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime))),
    initial: Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime))),
  };
}

const rotate = (x: number, count: number): number => (x >>> count) | (x << (32 - count));

/** Adds a block of 64 bytes to `hash`. `w` is scratch of 64 words, `k` the round constants. */
function addBlock(hash: Int32Array, w: Int32Array, k: Int32Array, block: DataView, at: number): void {
  for (let i = 0; i < 16; i++) w[i] = block.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15], y = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)) +
      (rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10));
  }
  let [a, b, c, d, e, f, g, h] = hash;
  for (let i = 0; i < 64; i++) {
    const one = (h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
    const two = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => hash[i] += word);
}

/** SHA-256 into `out`. FIPS 180-4. The web platform has it, but not synchronously. */
function sha256(bytes: Uint8Array, from: number, to: number, out: DataView): void {
  const { rounds: k, initial } = constants ??= makeConstants();
  const hash = initial.slice();
  const w = new Int32Array(64);
  const length = to - from;
  const view = new DataView(bytes.buffer, bytes.byteOffset + from, length);
  const whole = length - length % 64;
  for (let at = 0; at < whole; at += 64) addBlock(hash, w, k, view, at);
  // A one bit, zeros, the length in bits.
  const tail = new Uint8Array(length - whole < 56 ? 64 : 128);
  tail.set(bytes.subarray(from + whole, to));
  tail[length - whole] = 0x80;
  const end = new DataView(tail.buffer);
  end.setUint32(tail.length - 8, Math.floor(length / 0x2000_0000));
  end.setUint32(tail.length - 4, length << 3);
  for (let at = 0; at < tail.length; at += 64) addBlock(hash, w, k, end, at);
  hash.forEach((word, i) => out.setInt32(4 * i, word));
}
