// Owns the fuzzing of GSYM readers: files of both versions and byte orders, in memory and by pages.
import { byteSource, GsymReader, RangedGsym } from "../mod.ts";
import { FormatError } from "../src/base/format_error.ts";
import { SeededRandom } from "../src/base/random.ts";
import { lookupOf } from "../src/gsym/lookup.ts";
import { fuzzParser } from "./fuzz.ts";
import { FORMATS, sampleFile } from "./gsym_builder.ts";

// Most inputs end in an error, and collecting its stack would be most of the time.
Error.stackTraceLimit = 2;

const OFFSETS = [-1, 0, 4, 12, 310, 399, 0x205, 0x230, 0x305, 0x400, 0xffff];
/** Of those the ones that lead to most code: mutations are many. */
const FEW_OFFSETS = [310, 0x230];

function samples(): Uint8Array[] {
  return FORMATS.flatMap((format) => [
    sampleFile(format),
    sampleFile(format, {
      appendix: ({ infos, end, strings, files, head }) => ({
        segments: [{
          p_type: 1,
          p_flags: 5,
          p_offset: 0n,
          p_vaddr: 0x40_0000n,
          p_paddr: 0n,
          p_filesz: 0x1000n,
          p_memsz: 0x1000n,
          p_align: 0x1000n,
        }],
        head,
        blocks: {
          first: Uint32Array.of(0, 2, 4, 5),
          address: Float64Array.of(0, 0x200, 0x400, 0x401),
          infos: Uint32Array.of(infos[0], infos[2], infos[4], end),
          strings: Uint32Array.of(strings, strings + 20, strings + 30, strings + 40),
          files: Uint32Array.of(files, files + 16, files + 16, files + (format.version === 1 ? 32 : 64)),
        },
      }),
    }),
  ]);
}

Deno.test("GSYM files: lookups and decoding of mutated ones", () => {
  fuzzParser("gsym", samples(), (bytes) => {
    const gsym = new GsymReader(bytes);
    const lookup = lookupOf(gsym);
    for (const offset of FEW_OFFSETS) lookup.lookup(0, 0x40_0000 + offset);
    lookup.lookup(0xffff_ffff, 0xffff_ffff);
    for (let i = 0; i < gsym.functionCount && i < 1; i++) {
      try {
        gsym.function(i);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
      }
    }
  });
});

Deno.test("GSYM files: mutated ones answer by pages as in memory, or with an error", async () => {
  const random = new SeededRandom(7);
  const outcome = async (look: () => unknown): Promise<string> => {
    try {
      return JSON.stringify(await look(), (_, value) => typeof value === "bigint" ? `${value}n` : value) ?? "none";
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      return "FormatError";
    }
  };
  const plain = samples().filter((_, i) => i % 2 === 0);
  for (const [kind, files] of [["plain", plain], ["appendix", samples()]] as const) {
    for (let round = 0; round < 1000; round++) {
      const bytes = files[round % files.length].slice();
      for (let changes = 1 + random.below(3); changes > 0; changes--) {
        bytes[random.below(bytes.length)] = random.below(256);
      }
      let whole: GsymReader | undefined;
      let paged: RangedGsym | undefined;
      await outcome(() => whole = new GsymReader(bytes));
      await outcome(async () => paged = await RangedGsym.open(byteSource(bytes), { pageSize: 512, maxBytes: 0 }));
      for (const offset of OFFSETS) {
        const address = 0x40_0000n + BigInt(offset);
        const byPages = paged === undefined ? "FormatError" : await outcome(() => paged!.lookup(address));
        // What an appendix says twice may say two things.
        if (kind === "appendix") continue;
        const inMemory = whole === undefined ? "FormatError" : await outcome(() => whole!.lookup(address));
        if (inMemory !== byPages) throw new Error(`round ${round}, ${offset}: ${inMemory} and ${byPages}`);
      }
    }
  }
});
