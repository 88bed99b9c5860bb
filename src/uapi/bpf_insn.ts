// Owns struct bpf_insn and the opcode parts of include/uapi/linux/bpf.h and bpf_common.h.
import { viewOf } from "../base/bytes.ts";

/** `struct bpf_insn`: one instruction of 8 bytes, registers in one byte. */
export interface BpfInsn {
  /** Opcode: class, size and mode, or class, source and operation. */
  code: number;
  /** Destination register, 0 to 10. */
  dst_reg: number;
  /** Source register, 0 to 10, or what an opcode uses it for. */
  src_reg: number;
  /** Signed 16 bits: displacement in memory, or of a jump in instructions. */
  off: number;
  /** Signed 32 bits. */
  imm: number;
}

/** `sizeof(struct bpf_insn)`, in bytes. */
export const SIZEOF_BPF_INSN = 8;

/** Instruction class. */
export const BPF_LD = 0;
/** Instruction class: load to a register. */
export const BPF_LDX = 1;
/** Instruction class: store an immediate. */
export const BPF_ST = 2;
/** Instruction class: store a register. */
export const BPF_STX = 3;
/** Instruction class: 32-bit arithmetic. */
export const BPF_ALU = 4;
/** Instruction class: jumps, 64-bit comparison. */
export const BPF_JMP = 5;
/** Instruction class: jumps, 32-bit comparison. */
export const BPF_JMP32 = 6;
/** Instruction class: 64-bit arithmetic. */
export const BPF_ALU64 = 7;

/** Size of a load or store: 4 bytes. */
export const BPF_W = 0;
/** Size of a load or store: 2 bytes. */
export const BPF_H = 8;
/** Size of a load or store: 1 byte. */
export const BPF_B = 0x10;
/** Size of a load or store: 8 bytes. */
export const BPF_DW = 0x18;

/** Mode of a load or store: 64-bit immediate. */
export const BPF_IMM = 0;
/** Mode of a load or store: register and displacement. */
export const BPF_MEM = 0x60;
/** Mode of a load or store: atomic, the operation in `imm`. */
export const BPF_ATOMIC = 0xc0;

/** Source of the second operand: `imm`. */
export const BPF_K = 0;
/** Source of the second operand: `src_reg`. */
export const BPF_X = 8;

/** Arithmetic. */
export const BPF_ADD = 0;
/** Arithmetic. */
export const BPF_SUB = 0x10;
/** Arithmetic. */
export const BPF_MUL = 0x20;
/** Arithmetic: unsigned. */
export const BPF_DIV = 0x30;
/** Arithmetic. */
export const BPF_OR = 0x40;
/** Arithmetic. */
export const BPF_AND = 0x50;
/** Arithmetic. */
export const BPF_LSH = 0x60;
/** Arithmetic: logical. */
export const BPF_RSH = 0x70;
/** Arithmetic. */
export const BPF_NEG = 0x80;
/** Arithmetic: unsigned. */
export const BPF_MOD = 0x90;
/** Arithmetic. */
export const BPF_XOR = 0xa0;
/** Arithmetic. */
export const BPF_MOV = 0xb0;
/** Arithmetic: arithmetic. */
export const BPF_ARSH = 0xc0;

/** Jump: always. */
export const BPF_JA = 0;
/** Jump: equal. */
export const BPF_JEQ = 0x10;
/** Jump: unsigned above. */
export const BPF_JGT = 0x20;
/** Jump: unsigned above or equal. */
export const BPF_JGE = 0x30;
/** Jump: any common bit. */
export const BPF_JSET = 0x40;
/** Jump: not equal. */
export const BPF_JNE = 0x50;
/** Jump: signed above. */
export const BPF_JSGT = 0x60;
/** Jump: signed above or equal. */
export const BPF_JSGE = 0x70;
/** Jump: call a helper. */
export const BPF_CALL = 0x80;
/** Jump: return. */
export const BPF_EXIT = 0x90;
/** Jump: unsigned below. */
export const BPF_JLT = 0xa0;
/** Jump: unsigned below or equal. */
export const BPF_JLE = 0xb0;
/** Jump: signed below. */
export const BPF_JSLT = 0xc0;
/** Jump: signed below or equal. */
export const BPF_JSLE = 0xd0;

/** Atomic operation: flag: the old value goes to `src_reg`. */
export const BPF_FETCH = 1;

/**
 * The bytes of instructions, 8 each.
 *
 * @param littleEndian Byte order of the machine that will load them; little by default. It decides the order of the
 *   two registers in their byte as well.
 * @throws {RangeError} If a value does not fit its field. `imm` takes signed and unsigned 32 bits.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { encodeInsns } from "@bpf/stackmap/linux";
 *
 * const bytes = encodeInsns([{ code: 0xb7, dst_reg: 1, src_reg: 0, off: 0, imm: -1 }]);
 * assertEquals([...bytes], [0xb7, 0x01, 0, 0, 0xff, 0xff, 0xff, 0xff]);
 * ```
 */
export function encodeInsns(insns: readonly BpfInsn[], littleEndian: boolean = true): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(insns.length * SIZEOF_BPF_INSN));
  const view = viewOf(bytes);
  insns.forEach(({ code, dst_reg, src_reg, off, imm }, i) => {
    const at = i * SIZEOF_BPF_INSN;
    const fits = code === (code & 0xff) && dst_reg === (dst_reg & 0xf) && src_reg === (src_reg & 0xf) &&
      off === off << 16 >> 16 && (imm === (imm | 0) || imm === imm >>> 0);
    if (!fits) {
      throw new RangeError(`instruction ${i} can't hold ${JSON.stringify({ code, dst_reg, src_reg, off, imm })}`);
    }
    view.setUint8(at, code);
    view.setUint8(at + 1, littleEndian ? src_reg << 4 | dst_reg : dst_reg << 4 | src_reg);
    view.setInt16(at + 2, off, littleEndian);
    view.setInt32(at + 4, imm | 0, littleEndian);
  });
  return bytes;
}
