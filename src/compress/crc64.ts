// Owns CRC-64, the checksum that xz puts behind its blocks unless told otherwise, on 32-bit halves.

// The polynomial of ECMA-182, lowest power in the highest bit, in halves.
const POLYNOMIAL_HIGH = 0xc96c_5795 | 0;
const POLYNOMIAL_LOW = 0xd787_0f42 | 0;

/** Row `k`, of 256 entries, is what a byte does to the CRC of 8 bytes when `k` bytes follow it. */
interface Tables {
  high: Int32Array;
  low: Int32Array;
}

let tables: Tables | undefined;

/** 16 KiB; made at first use. */
function makeTables(): Tables {
  const high = new Int32Array(8 * 256);
  const low = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let h = 0, l = byte;
    for (let bit = 0; bit < 8; bit++) {
      const mask = -(l & 1);
      l = ((l >>> 1) | (h << 31)) ^ (mask & POLYNOMIAL_LOW);
      h = (h >>> 1) ^ (mask & POLYNOMIAL_HIGH);
    }
    high[byte] = h;
    low[byte] = l;
  }
  for (let i = 256; i < low.length; i++) {
    const h = high[i - 256], l = low[i - 256];
    low[i] = ((l >>> 8) | (h << 24)) ^ low[l & 0xff];
    high[i] = (h >>> 8) ^ high[l & 0xff];
  }
  return { high, low };
}

/** The CRC-64 of the bytes `from` to `to` of `bytes`, as `[high, low]`, both from 0 to 2^32 − 1. */
export function crc64(bytes: Uint8Array, from: number, to: number): [high: number, low: number] {
  const { high, low } = tables ??= makeTables();
  let h = -1, l = -1;
  let at = from;
  for (; to - at >= 8; at += 8) {
    const a = (l ^ bytes[at]) & 0xff | 0x700;
    const b = ((l >>> 8) ^ bytes[at + 1]) & 0xff | 0x600;
    const c = ((l >>> 16) ^ bytes[at + 2]) & 0xff | 0x500;
    const d = ((l >>> 24) ^ bytes[at + 3]) | 0x400;
    const e = (h ^ bytes[at + 4]) & 0xff | 0x300;
    const f = ((h >>> 8) ^ bytes[at + 5]) & 0xff | 0x200;
    const g = ((h >>> 16) ^ bytes[at + 6]) & 0xff | 0x100;
    const i = (h >>> 24) ^ bytes[at + 7];
    l = low[a] ^ low[b] ^ low[c] ^ low[d] ^ low[e] ^ low[f] ^ low[g] ^ low[i];
    h = high[a] ^ high[b] ^ high[c] ^ high[d] ^ high[e] ^ high[f] ^ high[g] ^ high[i];
  }
  for (; at < to; at++) {
    const i = (l ^ bytes[at]) & 0xff;
    l = ((l >>> 8) | (h << 24)) ^ low[i];
    h = (h >>> 8) ^ high[i];
  }
  return [~h >>> 0, ~l >>> 0];
}
