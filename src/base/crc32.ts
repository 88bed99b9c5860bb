// Owns CRC-32, the checksum of zlib, gzip, xz and `.gnu_debuglink`.

/** The polynomial of IEEE 802.3, lowest power in the highest bit. */
const POLYNOMIAL = 0xedb8_8320 | 0;

/** Row `k`, of 256 entries, is what a byte does to the CRC of 8 bytes when `k` bytes follow it. */
let tables: Int32Array | undefined;

/** 8 KiB; made at first use, so that importing costs nothing. */
function makeTables(): Int32Array {
  const made = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (-(crc & 1) & POLYNOMIAL);
    made[byte] = crc;
  }
  for (let i = 256; i < made.length; i++) made[i] = (made[i - 256] >>> 8) ^ made[made[i - 256] & 0xff];
  return made;
}

/** The loop; `crc` is the state, not the checksum: its complement. */
function update(crc: number, bytes: Uint8Array, t: Int32Array): number {
  const length = bytes.length;
  const wide = length - (length & 7);
  let at = 0;
  for (; at < wide; at += 8) {
    crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    crc = t[0x700 | (crc & 0xff)] ^ t[0x600 | ((crc >>> 8) & 0xff)] ^ t[0x500 | ((crc >>> 16) & 0xff)] ^
      t[0x400 | (crc >>> 24)] ^ t[0x300 | bytes[at + 4]] ^ t[0x200 | bytes[at + 5]] ^ t[0x100 | bytes[at + 6]] ^
      t[bytes[at + 7]];
  }
  for (; at < length; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]) & 0xff];
  return crc;
}

/**
 * The CRC-32 of `bytes`, from 0 to 2^32 − 1: that of zlib, and of the file that a `.gnu_debuglink` section names.
 *
 * @param bytes Any number of bytes.
 * @param seed The CRC of what comes before `bytes`, for a checksum over several pieces; 0 at the start.
 * @returns The CRC of what came before and `bytes` together; `seed` where `bytes` is empty.
 */
export function crc32(bytes: Uint8Array, seed: number = 0): number {
  tables ??= makeTables();
  return ~update(~seed, bytes, tables) >>> 0;
}
