// Owns the fuzzing of the symbolize room: symbol tables, and the index from add() to resolveColumns().
import { BuildIdIndex, SymbolTable } from "../mod.ts";
import { buildElf, FORMATS } from "./elf_builder.ts";
import { fuzzParser } from "./fuzz.ts";

const ID = Uint8Array.from({ length: 20 }, (_, i) => 0xa0 + i);
const SAMPLES = FORMATS.flatMap((format) =>
  [false, true].map((dynamic) =>
    buildElf({
      ...format,
      dynamic,
      buildId: ID,
      segments: [
        {
          p_type: 1,
          p_flags: 5,
          p_vaddr: 0x1000n,
          p_memsz: 0x400n,
          p_align: 0x1000n,
          p_filesz: dynamic ? 0x400n : 0n,
        },
        {
          p_type: 1,
          p_flags: 6,
          p_offset: 0x400n,
          p_vaddr: 0x2400n,
          p_filesz: 0x10n,
          p_memsz: 0x10n,
          p_align: 0x1000n,
        },
      ],
      sections: [{ name: ".text", sh_type: 1, sh_flags: 6n, sh_addr: 0x1000n, sh_size: 0x400n }],
      symbols: [
        { name: "outer", st_value: 0x1000n, st_size: 0x100n },
        { name: "inner", st_value: 0x1020n, st_size: 0x10n, bind: 0 },
        { name: "label", type: 0, st_value: 0x1080n },
        { name: "far", st_value: 0xffff_0000n, st_size: 0x10n },
      ],
    })
  )
);

Deno.test("hostile symbol tables end in a table, none, or a FormatError", () => {
  fuzzParser("SymbolTable", SAMPLES, (bytes) => {
    const table = SymbolTable.fromElf(bytes);
    if (table === undefined) return;
    for (let i = 0; i < table.length && i < 8; i++) {
      const { address, size } = table.get(i);
      const found = table.find(address);
      // The very last address can't be inside anything: ends are 64-bit numbers too.
      if (found === undefined && address !== 0xffff_ffff_ffff_ffffn) {
        throw new Error(`symbol ${i} is not found at its own address`);
      }
      if (size > 0n) table.find(BigInt.asUintN(64, address + size - 1n));
    }
    table.find(0n);
    table.find(0xffff_ffff_ffff_ffffn);
  });
});

Deno.test("hostile files in the index end in an answer, a reason, or a FormatError", () => {
  const frames = {
    idIndex: Int32Array.of(0, 0, 0, 0, -1),
    offsetHi: Uint32Array.of(0, 0, 0, 0xffff_ffff, 0),
    offsetLo: Uint32Array.of(0, 0x24, 0x410, 0xffff_fff0, 0),
    buildIds: ID,
    first: Uint32Array.of(0, 2, 5),
  };
  fuzzParser("BuildIdIndex", SAMPLES, (bytes) => {
    const index = new BuildIdIndex();
    index.add(bytes, { name: "fuzz" });
    index.add(SAMPLES[0]);
    index.add(SAMPLES[1]);
    for (const { buildId } of index.binaries) {
      for (const offset of [0n, 0x24n, 0x410n, 0xffff_ffff_ffff_fff0n]) {
        const { symbol, reason, binary } = index.resolve(buildId, offset);
        if (binary === undefined || (symbol === undefined) === (reason === undefined)) throw new Error("no answer");
      }
    }
    index.resolveColumns(frames);
  });
});
