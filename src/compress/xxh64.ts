// Owns XXH64, the checksum of Zstandard's frames, on 32-bit halves.

// The five primes of the algorithm, high and low half each.
const P1H = 0x9e3779b1 | 0, P1L = 0x85ebca87 | 0;
const P2H = 0xc2b2ae3d | 0, P2L = 0x27d4eb4f;
const P3H = 0x165667b1, P3L = 0x9e3779f9 | 0;
const P4H = 0x85ebca77 | 0, P4L = 0xc2b2ae63 | 0;
const P5H = 0x27d4eb2f, P5L = 0x165667c5;

/** The high half of the unsigned product of two 32-bit numbers. */
function mulHigh(a: number, b: number): number {
  const al = a & 0xffff, ah = a >>> 16, bl = b & 0xffff, bh = b >>> 16;
  // No sum here exceeds 32 bits: (2^16 − 1)² + 2^16 − 1 < 2^32.
  const middle = (Math.imul(ah, bl) + (Math.imul(al, bl) >>> 16)) | 0;
  const other = (Math.imul(al, bh) + (middle & 0xffff)) | 0;
  return (Math.imul(ah, bh) + (middle >>> 16) + (other >>> 16)) | 0;
}

/** 1 where the sum `low` of two 32-bit numbers, one of them `added`, wrapped around. */
function carry(low: number, added: number): number {
  return (low >>> 0) < (added >>> 0) ? 1 : 0;
}

/** A 64-bit number in two halves that the steps below change in place. */
interface Word {
  h: number;
  l: number;
}

function add(x: Word, h: number, l: number): void {
  x.l = (x.l + l) | 0;
  x.h = (x.h + h + carry(x.l, l)) | 0;
}

function multiply(x: Word, h: number, l: number): void {
  x.h = (mulHigh(x.l, l) + Math.imul(x.h, l) + Math.imul(x.l, h)) | 0;
  x.l = Math.imul(x.l, l);
}

/** `count` is from 1 to 31. */
function rotate(x: Word, count: number): void {
  const { h, l } = x;
  x.h = (h << count) | (l >>> (32 - count));
  x.l = (l << count) | (h >>> (32 - count));
}

/** `count` is from 1 to 63. */
function xorShift(x: Word, count: number): void {
  const { h, l } = x;
  if (count < 32) {
    x.l = l ^ ((l >>> count) | (h << (32 - count)));
    x.h = h ^ (h >>> count);
  } else {
    x.l = l ^ (h >>> (count - 32));
  }
}

/** One step of an accumulator: adds the lane times the second prime, rotates, multiplies by the first. */
function round(x: Word, h: number, l: number): void {
  const low = Math.imul(l, P2L);
  const high = (mulHigh(l, P2L) + Math.imul(h, P2L) + Math.imul(l, P2H)) | 0;
  const sl = (x.l + low) | 0;
  const sh = (x.h + high + carry(sl, low)) | 0;
  const rl = (sl << 31) | (sh >>> 1), rh = (sh << 31) | (sl >>> 1);
  x.l = Math.imul(rl, P1L);
  x.h = (mulHigh(rl, P1L) + Math.imul(rh, P1L) + Math.imul(rl, P1H)) | 0;
}

/** One accumulator over its lane of every 32-byte stripe from `from` to `to`. */
function runLane(x: Word, view: DataView, from: number, to: number): void {
  let xh = x.h, xl = x.l;
  for (let at = from; at < to; at += 32) {
    const l = view.getInt32(at, true), h = view.getInt32(at + 4, true);
    const low = Math.imul(l, P2L);
    const high = (mulHigh(l, P2L) + Math.imul(h, P2L) + Math.imul(l, P2H)) | 0;
    const sl = (xl + low) | 0;
    const sh = (xh + high + carry(sl, low)) | 0;
    const rl = (sl << 31) | (sh >>> 1), rh = (sh << 31) | (sl >>> 1);
    xl = Math.imul(rl, P1L);
    xh = (mulHigh(rl, P1L) + Math.imul(rh, P1L) + Math.imul(rl, P1H)) | 0;
  }
  x.h = xh;
  x.l = xl;
}

/**
 * XXH64 with seed 0 of the bytes `from` to `to` of `view`, as `[high, low]`, both from 0 to 2^32 − 1.
 *
 * After the description of the algorithm (xxHash, doc/xxhash_spec.md).
 */
export function xxh64(view: DataView, from: number, to: number): [high: number, low: number] {
  const length = to - from;
  const hash: Word = { h: P5H, l: P5L };
  let at = from;
  if (length >= 32) {
    const end = from + Math.floor(length / 32) * 32;
    const lanes: Word[] = [{ h: P1H, l: P1L }, { h: P2H, l: P2L }, { h: 0, l: 0 }, { h: 0, l: 0 }];
    add(lanes[0], P2H, P2L);
    add(lanes[3], ~P1H, -P1L | 0); // 0 − P1: the low half is not 0
    // Lane by lane over pieces that stay in the cache: one accumulator fits in registers, four do not.
    for (; at < end; at = Math.min(end, at + 16384)) {
      for (let i = 0; i < 4; i++) runLane(lanes[i], view, at + 8 * i, Math.min(end, at + 16384));
    }
    hash.h = hash.l = 0;
    [1, 7, 12, 18].forEach((count, i) => {
      const turned = { ...lanes[i] };
      rotate(turned, count);
      add(hash, turned.h, turned.l);
    });
    for (const { h, l } of lanes) {
      const merged: Word = { h: 0, l: 0 };
      round(merged, h, l);
      hash.h ^= merged.h;
      hash.l ^= merged.l;
      multiply(hash, P1H, P1L);
      add(hash, P4H, P4L);
    }
  }
  add(hash, Math.floor(length / 0x1_0000_0000), length | 0);
  for (; to - at >= 8; at += 8) {
    const lane: Word = { h: 0, l: 0 };
    round(lane, view.getInt32(at + 4, true), view.getInt32(at, true));
    hash.h ^= lane.h;
    hash.l ^= lane.l;
    rotate(hash, 27);
    multiply(hash, P1H, P1L);
    add(hash, P4H, P4L);
  }
  if (to - at >= 4) {
    const lane: Word = { h: 0, l: view.getInt32(at, true) };
    multiply(lane, P1H, P1L);
    hash.h ^= lane.h;
    hash.l ^= lane.l;
    rotate(hash, 23);
    multiply(hash, P2H, P2L);
    add(hash, P3H, P3L);
    at += 4;
  }
  for (; at < to; at++) {
    const lane: Word = { h: 0, l: view.getUint8(at) };
    multiply(lane, P5H, P5L);
    hash.h ^= lane.h;
    hash.l ^= lane.l;
    rotate(hash, 11);
    multiply(hash, P1H, P1L);
  }
  xorShift(hash, 33);
  multiply(hash, P2H, P2L);
  xorShift(hash, 29);
  multiply(hash, P3H, P3L);
  xorShift(hash, 32);
  return [hash.h >>> 0, hash.l >>> 0];
}
