// Owns made-up programs for tests of what joins stores and symbolizer: each file names the one function differently.
import { GsymCreator, parsePhdrs, type Symbolizer } from "../../mod.ts";
import { toHex } from "../../src/base/bytes.ts";
import { buildElf } from "../elf_builder.ts";

/** File offset of a byte of the function, and its address. */
export const OFFSET = 0xc0;
const CODE = 0x4010b0n;
const SIZE = 0x100;

/** The files of one program. Their name for its function: `in_executable`, `in_debuginfo`, `in_gsym`. */
export interface Program {
  id: Uint8Array;
  hex: string;
  /** Of `executableBytes` at least. */
  executable: Uint8Array;
  debuginfo: Uint8Array;
  /** With segments. */
  gsym: Uint8Array;
  /** Without. */
  bareGsym: Uint8Array;
  /** With segments, too large to be read whole. */
  largeGsym: Uint8Array;
}

/** A build ID that no zero is in. */
export function makeId(seed: number, length: number = 20): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 1 + (seed * 37 + i * 11) % 255);
}

/** An ID as the kernel has it. */
export function padded(id: Uint8Array): Uint8Array {
  const out = new Uint8Array(20);
  out.set(id);
  return out;
}

/** The program of a build ID. */
export function makeProgram(id: Uint8Array, executableBytes: number = 0): Program {
  const symbol = (name: string) => [{ name, st_value: CODE, st_size: BigInt(SIZE) }];
  const load = { p_type: 1, p_flags: 5, p_vaddr: CODE, p_align: 0x1000n };
  const executable = buildElf({
    buildId: id,
    segments: [{ ...load, contents: new Uint8Array(SIZE) }],
    symbols: symbol("in_executable"),
    dynamic: true,
    sections: [{ name: ".data", sh_type: 1, contents: new Uint8Array(executableBytes) }],
  });
  // As objcopy --only-keep-debug leaves it: no offsets and no contents.
  const debuginfo = buildElf({
    buildId: id,
    segments: [{ ...load, p_memsz: BigInt(SIZE) }],
    symbols: symbol("in_debuginfo"),
  });
  const gsym = (segments: boolean, more: number): Uint8Array => {
    const creator = new GsymCreator({ uuid: id, ...(segments ? { segments: parsePhdrs(executable) } : {}) });
    creator.add({
      address: CODE,
      size: SIZE,
      name: "in_gsym",
      lines: [{ address: CODE, file: "/src/main.c", line: 7 }],
    });
    for (let i = 0; i < more; i++) {
      creator.add({ address: 0x500000n + BigInt(i * 64), size: 64, name: `function_${i}_${"x".repeat(i % 40)}` });
    }
    return creator.toBytes();
  };
  return {
    ...{ id, hex: toHex(id), executable, debuginfo },
    ...{ gsym: gsym(true, 0), bareGsym: gsym(false, 0), largeGsym: gsym(true, 6000) },
  };
}

/** What a symbolizer says of the function: its name, else why it has none. */
export async function nameOf(symbolizer: Symbolizer, id: Uint8Array): Promise<string | undefined> {
  const answer = await symbolizer.symbolize({
    idIndex: Int32Array.of(0),
    offsetHi: Uint32Array.of(0),
    offsetLo: Uint32Array.of(OFFSET),
    buildIds: padded(id),
  });
  return answer.frames(0)[0]?.name ?? answer.reason(0);
}
