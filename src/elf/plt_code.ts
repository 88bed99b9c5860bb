// Owns the instructions of stubs: where in a procedure linkage table one begins and ends, and which slot it jumps by.
import { viewOf } from "../base/bytes.ts";
import { EM_386, EM_AARCH64, EM_X86_64 } from "../uapi/elf.ts";

/** A section with stubs. */
export interface PltCode {
  /** One of `EM_386`, `EM_X86_64`, `EM_AARCH64`; of others nothing is known. */
  machine: number;
  bytes: Uint8Array;
  /** Where the section is mapped: below 2^53. */
  address: number;
  /**
   * Where `.got.plt` and `.got` are mapped, of which `%ebx` holds one in 32-bit x86: the first that there is, but in
   * mold's files the second.
   */
  gotPlt: number | undefined;
  got: number | undefined;
}

/**
 * Is told of a stub: offsets of its first byte and of the first one after it, and the address of the slot that it
 * jumps by. Returns whether to go on.
 */
export type TakeStub = (start: number, end: number, slot: number) => boolean;

/**
 * Decodes the stubs of a section, in their order. The first entry, which calls the dynamic linker, is none, nor are
 * the entries that leave the jump to a second section (`.plt` beside `.plt.sec`).
 */
export function decodeStubs(code: PltCode, take: TakeStub): void {
  if (code.machine === EM_AARCH64) decodeArm(code, take);
  else if (code.machine === EM_386 || code.machine === EM_X86_64) decodeX86(code, take);
}

/** Stubs of x86 begin and end at multiples of this many bytes, counted from the section's start. */
const X86_STEP = 8;
const ENDBR64 = 0xfa1e_0ff3;
const ENDBR32 = 0xfb1e_0ff3;
/** Prefix of a jump that keeps the bounds of MPX. */
const BND = 0xf2;
const PUSH = 0x68;
const CALL = 0xe8;
const JUMP = 0xe9;
/** Bytes of each of these three. */
const SHORT_FORM = 5;
/** What mold fills a stub up with; GNU ld and lld have `nop`. */
const INT3 = 0xcc;

/**
 * The jump through the slot is at the start, or behind `endbr`, mold's `mov` of the index, and `bnd`. A stub that is
 * bound at the first call goes on with a push and a jump; with retpolines the slot is loaded, and calls follow.
 */
function decodeX86({ machine, bytes, address, gotPlt, got }: PltCode, take: TakeStub): void {
  const view = viewOf(bytes);
  const is64 = machine === EM_X86_64;
  for (let start = 0; start + 6 <= bytes.length;) {
    let at = start;
    start += X86_STEP;
    const mark = view.getUint32(at, true);
    if (mark === ENDBR64 || mark === ENDBR32) at += 4;
    if (bytes[at] === 0x41 && bytes[at + 1] === 0xbb) at += 6;
    else if (!is64 && bytes[at] === 0xb9) at += 5;
    if (bytes[at] === BND) at++;
    const isJump = bytes[at] === 0xff && (bytes[at + 1] === 0x25 || (!is64 && bytes[at + 1] === 0xa3));
    const isLoad = is64 && bytes[at] === 0x4c && bytes[at + 1] === 0x8b && bytes[at + 2] === 0x1d;
    if (!isJump && !isLoad) continue;
    let end = at + (isJump ? 6 : 7);
    if (end > bytes.length) return;
    const displacement = view.getInt32(end - 4, true);
    const table = bytes[end] === INT3 ? got : gotPlt ?? got;
    const base = is64 ? address + end : bytes[at + 1] === 0x25 ? 0 : table;
    if (base === undefined) continue;
    const slot = is64 ? base + displacement : (base + displacement) >>> 0;
    while (end % X86_STEP !== 0 && (bytes[end] === PUSH || bytes[end] === JUMP || bytes[end] === CALL)) {
      end += SHORT_FORM;
    }
    end = Math.min(Math.ceil(end / X86_STEP) * X86_STEP, bytes.length);
    if (!take(start - X86_STEP, end, slot)) return;
    start = end;
  }
}

/** `stp x16, x30, [sp, #-16]!`, with which the first entry begins: it is no stub, and its slot has no relocation. */
const SAVE = 0xa9bf_7bf0;
/** `bti c`. */
const BTI = 0xd503_245f;
/** `autia1716`. */
const AUTHENTICATE = 0xd503_219f;
/** `br x17`. */
const BRANCH = 0xd61f_0220;
/** `nop`, up to the stub's size. */
const NOP = 0xd503_201f;
/** Bytes of the longest stubs. */
const ARM_LONGEST = 24;

/**
 * `adrp x16`, `ldr x17, [x16, …]`, `add x16, x16, …`, `br x17`; before them `bti c`, before the last `autia1716`.
 * Instructions are little-endian also where data is not.
 */
function decodeArm({ bytes, address }: PltCode, take: TakeStub): void {
  const view = viewOf(bytes);
  const word = (at: number): number => at >= 0 && at + 4 <= bytes.length ? view.getUint32(at, true) : 0;
  for (let at = 0; at + 16 <= bytes.length; at += 4) {
    const adrp = word(at);
    const load = word(at + 4);
    if ((adrp & 0x9f00_001f) >>> 0 !== 0x9000_0010 || (load & 0xffc0_03ff) >>> 0 !== 0xf940_0211) continue;
    const before = word(at - 4);
    let end = at + 8;
    if ((word(end) & 0xffc0_03ff) >>> 0 === 0x9100_0210) end += 4;
    if (word(end) === AUTHENTICATE) end += 4;
    if (before === SAVE || word(end) !== BRANCH) continue;
    const start = before === BTI ? at - 4 : at;
    end += 4;
    while (word(end) === NOP && end - start < ARM_LONGEST) end += 4;
    // 21 bits, signed: 19 of them above the two that stand apart.
    const pages = ((adrp << 8 >> 13) << 2) | (adrp >>> 29 & 3);
    const page = Math.floor((address + at) / 4096) + pages;
    if (!take(start, end, page * 4096 + (load >>> 10 & 0xfff) * 8)) return;
    at = end - 4;
  }
}
