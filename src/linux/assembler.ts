// Owns a small assembler for BPF programs: instructions by their kernel names, labels in two passes.
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_B,
  BPF_CALL,
  BPF_DIV,
  BPF_DW,
  BPF_EXIT,
  BPF_FETCH,
  BPF_H,
  BPF_IMM,
  BPF_JA,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP,
  BPF_JMP32,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LSH,
  BPF_MEM,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_W,
  BPF_X,
  BPF_XOR,
  type BpfInsn,
  encodeInsns,
} from "../uapi/bpf_insn.ts";
import { BPF_PSEUDO_MAP_FD } from "../uapi/bpf.ts";

/** A register: r0 result, r1 to r5 arguments, r6 to r9 kept over calls, r10 end of the stack. */
export type BpfRegister = "r0" | "r1" | "r2" | "r3" | "r4" | "r5" | "r6" | "r7" | "r8" | "r9" | "r10";

/** Bits of an operand in memory. */
export type BpfSize = 8 | 16 | 32 | 64;

/** A two-operand operation. `div`, `mod` and `rsh` are unsigned. */
export type BpfAluOperation =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "or"
  | "and"
  | "lsh"
  | "rsh"
  | "mod"
  | "xor"
  | "mov"
  | "arsh";

/** A comparison that a jump makes. Those with an `s` are signed; `jset`: any bit in common. */
export type BpfJump =
  | "jeq"
  | "jgt"
  | "jge"
  | "jset"
  | "jne"
  | "jsgt"
  | "jsge"
  | "jlt"
  | "jle"
  | "jslt"
  | "jsle";

const SIZES: Readonly<Record<BpfSize, number>> = { 8: BPF_B, 16: BPF_H, 32: BPF_W, 64: BPF_DW };

const OPERATIONS: Readonly<Record<BpfAluOperation, number>> = {
  add: BPF_ADD,
  sub: BPF_SUB,
  mul: BPF_MUL,
  div: BPF_DIV,
  or: BPF_OR,
  and: BPF_AND,
  lsh: BPF_LSH,
  rsh: BPF_RSH,
  mod: BPF_MOD,
  xor: BPF_XOR,
  mov: BPF_MOV,
  arsh: BPF_ARSH,
};

const JUMPS: Readonly<Record<BpfJump, number>> = {
  jeq: BPF_JEQ,
  jgt: BPF_JGT,
  jge: BPF_JGE,
  jset: BPF_JSET,
  jne: BPF_JNE,
  jsgt: BPF_JSGT,
  jsge: BPF_JSGE,
  jlt: BPF_JLT,
  jle: BPF_JLE,
  jslt: BPF_JSLT,
  jsle: BPF_JSLE,
};

function numberOf(register: BpfRegister): number {
  return Number(register.slice(1));
}

/**
 * Builds a BPF program, instruction by instruction. Every method returns the assembler; `bytes()` ends it.
 *
 * Displacements and immediates are checked when the bytes are made; what the program does is for the verifier.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BpfAssembler } from "@bpf/stackmap/linux";
 *
 * const program = new BpfAssembler()
 *   .load(64, "r2", "r1", 0)
 *   .jump("jeq", "r2", 7, "done")
 *   .alu("mov", "r0", 1)
 *   .exit()
 *   .label("done")
 *   .alu("mov", "r0", 0)
 *   .exit()
 *   .bytes();
 * assertEquals(program.length, 6 * 8);
 * assertEquals([...program.subarray(8, 16)], [0x15, 0x02, 2, 0, 7, 0, 0, 0]); // two instructions on
 * ```
 */
export class BpfAssembler {
  readonly #insns: BpfInsn[] = [];
  readonly #labels = new Map<string, number>();
  readonly #jumps: { at: number; label: string }[] = [];

  /** Number of 8-byte instructions so far; a 64-bit load counts as two. */
  get length(): number {
    return this.#insns.length;
  }

  /** Adds one instruction as it is: for opcodes that have no method here. */
  insn(insn: BpfInsn): this {
    this.#insns.push({ ...insn });
    return this;
  }

  #add(code: number, dst_reg: number, src_reg: number, off: number, imm: number): this {
    this.#insns.push({ code, dst_reg, src_reg, off, imm });
    return this;
  }

  /** `dst = dst OPERATION operand` on 64 bits; an immediate is sign-extended. `BPF_ALU64_REG`, `BPF_ALU64_IMM`. */
  alu(operation: BpfAluOperation, dst: BpfRegister, operand: BpfRegister | number): this {
    return this.#alu(BPF_ALU64, operation, dst, operand);
  }

  /** `dst = dst OPERATION operand` on the lower 32 bits, the upper ones become zero. `BPF_ALU32_REG`, `_IMM`. */
  alu32(operation: BpfAluOperation, dst: BpfRegister, operand: BpfRegister | number): this {
    return this.#alu(BPF_ALU, operation, dst, operand);
  }

  #alu(kind: number, operation: BpfAluOperation, dst: BpfRegister, operand: BpfRegister | number): this {
    const code = kind | OPERATIONS[operation];
    return typeof operand === "number"
      ? this.#add(code | BPF_K, numberOf(dst), 0, 0, operand)
      : this.#add(code | BPF_X, numberOf(dst), numberOf(operand), 0, 0);
  }

  /** `dst = -dst` on 64 bits. */
  neg(dst: BpfRegister): this {
    return this.#add(BPF_ALU64 | BPF_NEG, numberOf(dst), 0, 0, 0);
  }

  /** `dst = *(size *)(src + off)`, zero-extended. `BPF_LDX_MEM`. */
  load(size: BpfSize, dst: BpfRegister, src: BpfRegister, off: number): this {
    return this.#add(BPF_LDX | BPF_MEM | SIZES[size], numberOf(dst), numberOf(src), off, 0);
  }

  /** `*(size *)(dst + off) = operand`. `BPF_STX_MEM`, `BPF_ST_MEM`. */
  store(size: BpfSize, dst: BpfRegister, off: number, operand: BpfRegister | number): this {
    return typeof operand === "number"
      ? this.#add(BPF_ST | BPF_MEM | SIZES[size], numberOf(dst), 0, off, operand)
      : this.#add(BPF_STX | BPF_MEM | SIZES[size], numberOf(dst), numberOf(operand), off, 0);
  }

  /** `*(size *)(dst + off) += src`, atomically. `BPF_ATOMIC_OP`. */
  atomicAdd(size: 32 | 64, dst: BpfRegister, off: number, src: BpfRegister): this {
    return this.#add(BPF_STX | BPF_ATOMIC | SIZES[size], numberOf(dst), numberOf(src), off, BPF_ADD);
  }

  /** The same, and `src` becomes the value before. Since 5.12. */
  atomicFetchAdd(size: 32 | 64, dst: BpfRegister, off: number, src: BpfRegister): this {
    return this.#add(BPF_STX | BPF_ATOMIC | SIZES[size], numberOf(dst), numberOf(src), off, BPF_ADD | BPF_FETCH);
  }

  /** `dst = value`, all 64 bits; takes the place of two instructions. `BPF_LD_IMM64`. */
  loadImm64(dst: BpfRegister, value: bigint): this {
    return this.#wide(dst, 0, BigInt.asUintN(64, value));
  }

  /** `dst = ` the map of this descriptor, for a helper; takes the place of two instructions. `BPF_LD_MAP_FD`. */
  loadMapFd(dst: BpfRegister, fd: number): this {
    return this.#wide(dst, BPF_PSEUDO_MAP_FD, BigInt(fd));
  }

  #wide(dst: BpfRegister, source: number, value: bigint): this {
    return this
      .#add(BPF_LD | BPF_DW | BPF_IMM, numberOf(dst), source, 0, Number(value & 0xffff_ffffn))
      .#add(0, 0, 0, 0, Number(value >> 32n));
  }

  /** Names the place of the next instruction. */
  label(name: string): this {
    if (this.#labels.has(name)) throw new TypeError(`there is a label ${JSON.stringify(name)} already`);
    this.#labels.set(name, this.#insns.length);
    return this;
  }

  /** Goes on at a label, which may come later. */
  goto(label: string): this {
    this.#jumps.push({ at: this.#insns.length, label });
    return this.#add(BPF_JMP | BPF_JA, 0, 0, 0, 0);
  }

  /** Goes on at a label if the comparison of 64 bits holds; an immediate is sign-extended. */
  jump(comparison: BpfJump, dst: BpfRegister, operand: BpfRegister | number, label: string): this {
    return this.#jump(BPF_JMP, comparison, dst, operand, label);
  }

  /** The same for the lower 32 bits. Since 5.1. */
  jump32(comparison: BpfJump, dst: BpfRegister, operand: BpfRegister | number, label: string): this {
    return this.#jump(BPF_JMP32, comparison, dst, operand, label);
  }

  #jump(kind: number, comparison: BpfJump, dst: BpfRegister, operand: BpfRegister | number, label: string): this {
    this.#jumps.push({ at: this.#insns.length, label });
    const code = kind | JUMPS[comparison];
    return typeof operand === "number"
      ? this.#add(code | BPF_K, numberOf(dst), 0, 0, operand)
      : this.#add(code | BPF_X, numberOf(dst), numberOf(operand), 0, 0);
  }

  /** Calls a helper, by its number: `BPF_FUNC_get_stackid`. Arguments in r1 to r5, its answer in r0. */
  call(helper: number): this {
    return this.#add(BPF_JMP | BPF_CALL, 0, 0, 0, helper);
  }

  /** Ends the program; r0 is what it returns. */
  exit(): this {
    return this.#add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }

  /**
   * The program's bytes, with labels resolved.
   *
   * @param littleEndian Byte order of the machine that will load them; little by default.
   * @throws {TypeError} If a jump goes to a label that is not there.
   * @throws {RangeError} If a value does not fit its field.
   */
  bytes(littleEndian: boolean = true): Uint8Array {
    const insns = this.#insns.slice();
    for (const { at, label } of this.#jumps) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new TypeError(`there is no label ${JSON.stringify(label)}`);
      insns[at] = { ...insns[at], off: target - at - 1 };
    }
    return encodeInsns(insns, littleEndian);
  }
}
