// Owns the tests of the BPF assembler: bytes by hand, LLVM's assembler, labels.
import { assertEquals, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import { toHex } from "../src/base/bytes.ts";
import { BPF_FUNC_get_stackid, BpfAssembler } from "../src/linux/linux.ts";

function hex(build: (a: BpfAssembler) => BpfAssembler): string {
  return toHex(build(new BpfAssembler()).bytes());
}

Deno.test("instructions have the bytes written by hand", () => {
  assertEquals(hex((a) => a.alu("mov", "r1", -1)), "b7010000ffffffff");
  assertEquals(hex((a) => a.alu("mov", "r6", "r1")), "bf16000000000000");
  assertEquals(hex((a) => a.store(64, "r10", -8, "r1")), "7b1af8ff00000000");
  assertEquals(hex((a) => a.store(32, "r10", -4, 5)), "620afcff05000000");
  assertEquals(hex((a) => a.store(8, "r10", -4, 5)), "720afcff05000000");
  assertEquals(hex((a) => a.loadMapFd("r1", 5)), "18110000050000000000000000000000");
  assertEquals(hex((a) => a.call(BPF_FUNC_get_stackid)), "850000001b000000");
  assertEquals(hex((a) => a.atomicFetchAdd(64, "r0", 0, "r1")), "db10000001000000");
  assertEquals(hex((a) => a.exit()), "9500000000000000");
  assertEquals(hex((a) => a.insn({ code: 0xdc, dst_reg: 1, src_reg: 0, off: 0, imm: 16 })), "dc01000010000000");
  assertEquals(toHex(new BpfAssembler().store(64, "r10", -8, "r1").bytes(false)), "7ba1fff800000000");
});

/** Pairs of our instruction and LLVM's text of the same. */
const PAIRS: [ours: (a: BpfAssembler) => BpfAssembler, theirs: string][] = [
  [(a) => a.alu("add", "r1", 7), "r1 += 7"],
  [(a) => a.alu("sub", "r1", "r2"), "r1 -= r2"],
  [(a) => a.alu("mul", "r1", 3), "r1 *= 3"],
  [(a) => a.alu("div", "r1", "r3"), "r1 /= r3"],
  [(a) => a.alu("or", "r1", 255), "r1 |= 255"],
  [(a) => a.alu("and", "r9", "r8"), "r9 &= r8"],
  [(a) => a.alu("lsh", "r1", 32), "r1 <<= 32"],
  [(a) => a.alu("rsh", "r0", 32), "r0 >>= 32"],
  [(a) => a.alu("arsh", "r0", 32), "r0 s>>= 32"],
  [(a) => a.alu("xor", "r0", "r4"), "r0 ^= r4"],
  [(a) => a.neg("r5"), "r5 = -r5"],
  [(a) => a.alu("mov", "r5", 1), "r5 = 1"],
  [(a) => a.alu32("mov", "r5", "r6"), "w5 = w6"],
  [(a) => a.alu32("add", "r5", -3), "w5 += -3"],
  [(a) => a.load(64, "r2", "r1", 8), "r2 = *(u64 *)(r1 + 8)"],
  [(a) => a.load(32, "r2", "r1", -4), "r2 = *(u32 *)(r1 - 4)"],
  [(a) => a.load(16, "r2", "r1", 2), "r2 = *(u16 *)(r1 + 2)"],
  [(a) => a.load(8, "r2", "r1", 1), "r2 = *(u8 *)(r1 + 1)"],
  [(a) => a.store(64, "r10", -8, "r1"), "*(u64 *)(r10 - 8) = r1"],
  [(a) => a.store(32, "r10", -8, "r1"), "*(u32 *)(r10 - 8) = r1"],
  [(a) => a.store(16, "r10", -8, "r1"), "*(u16 *)(r10 - 8) = r1"],
  [(a) => a.store(8, "r10", -8, "r1"), "*(u8 *)(r10 - 8) = r1"],
  [(a) => a.atomicAdd(64, "r0", 0, "r1"), "lock *(u64 *)(r0 + 0) += r1"],
  [(a) => a.atomicAdd(32, "r0", 4, "r1"), "lock *(u32 *)(r0 + 4) += r1"],
  [(a) => a.loadImm64("r3", 0xfedcba9876543210n), "r3 = 0xfedcba9876543210 ll"],
  [(a) => a.loadImm64("r3", -1n), "r3 = -1 ll"],
  [(a) => a.jump("jeq", "r1", 7, "end").exit().label("end").exit(), "if r1 == 7 goto +1\nexit\nexit"],
  [(a) => a.jump("jne", "r1", "r2", "end").exit().label("end").exit(), "if r1 != r2 goto +1\nexit\nexit"],
  [(a) => a.jump("jsgt", "r1", -7, "end").label("end").exit(), "if r1 s> -7 goto +0\nexit"],
  [(a) => a.jump("jlt", "r1", "r2", "end").label("end").exit(), "if r1 < r2 goto +0\nexit"],
  [(a) => a.jump32("jge", "r1", 7, "end").label("end").exit(), "if w1 >= 7 goto +0\nexit"],
  [(a) => a.label("top").exit().goto("top"), "exit\ngoto -2"],
  [(a) => a.goto("far").loadImm64("r1", 1n).label("far").exit(), "goto +2\nr1 = 1 ll\nexit"],
  [(a) => a.call(27), "call 27"],
];

function assemble(text: string): string | undefined {
  try {
    const output = execFileSync("llvm-mc", ["-triple=bpfel", "-mcpu=v3", "--show-encoding"], {
      input: text,
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
    });
    return [...output.matchAll(/encoding: \[([^\]]*)\]/g)].map((match) => match[1].replaceAll(/0x|,/g, "")).join(
      "",
    );
  } catch {
    return undefined;
  }
}

const noLlvm = assemble("exit") === undefined;
Deno.test({
  name: `instructions have the bytes of LLVM's assembler${noLlvm ? " (skipped: llvm-mc for BPF is missing)" : ""}`,
  ignore: noLlvm,
  fn() {
    const theirs = assemble(PAIRS.map(([, text]) => text).join("\n"))!;
    let at = 0;
    for (const [ours, text] of PAIRS) {
      const expected = hex(ours);
      assertEquals([text, expected], [text, theirs.slice(at, at + expected.length)]);
      at += expected.length;
    }
    assertEquals(at, theirs.length);
  },
});

Deno.test("labels are resolved in both directions, and what is wrong with them is said", () => {
  const code = new BpfAssembler().label("top").goto("end").goto("top").label("end").exit();
  assertEquals(code.length, 3);
  assertEquals([...new Int16Array(code.bytes().buffer)].filter((_, i) => i % 4 === 1), [1, -2, 0]);
  assertThrows(() => new BpfAssembler().goto("nowhere").bytes(), TypeError, '"nowhere"');
  assertThrows(() => new BpfAssembler().label("a").label("a"), TypeError, '"a" already');
  assertThrows(() => new BpfAssembler().alu("mov", "r1", 2 ** 32).bytes(), RangeError, "instruction 0");
});
