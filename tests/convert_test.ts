// Owns tests of elfToGsym(): what llvm-gsymutil and our own reader say of its files against the symbolizer's
// answers from the programs, on programs compiled here; and what becomes of hostile ones.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import {
  elfToGsym,
  ET_REL,
  FormatError,
  type GsymConvertOptions,
  GsymCreator,
  GsymReader,
  Symbolizer,
  SymbolTable,
} from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { joined } from "../src/gsym/creator.ts";
import * as dw from "../src/dwarf/constants.ts";
import { type Attribute, BUILD_ID, buildInfo, die, dwarfElf, sectionsOf } from "./dwarf_builder.ts";
import { lineUnit, Opcodes, text } from "./dwarf_line_builder.ts";
import { buildElf, type ElfSpec } from "./elf_builder.ts";
import { expectedText, frameText, GSYMUTIL, gsymutilLookups } from "./gsym_tools.ts";
import { leftToDeno, notDeno } from "./left_out.ts";

const PROGRAMS = fileURLToPath(new URL("../testdata/programs/", import.meta.url));
const ID = new Uint8Array(20).fill(0x77);

/** Programs, each by the command that makes it. */
const BUILDS: Readonly<Record<string, string>> = {
  "calc, gcc -O2": "cd calc; gcc -g -O2 -Iinclude -I. -o $OUT main.c report.c eval/*.c parse/*.c",
  "calc, clang -O2": "cd calc; clang -g -O2 -Iinclude -I. -o $OUT main.c report.c eval/*.c parse/*.c",
  "odd, gcc -O2 -gdwarf-4": "cd odd; gcc -g -gdwarf-4 -O2 -o $OUT odd.c twin.c pieces.S",
  "shapes, g++ -O2": "cd shapes; g++ -g -O2 -std=c++17 -I. -shared -fPIC -o $OUT main.cpp */*.cpp",
};

async function convert(bytes: Uint8Array, options: GsymConvertOptions = {}) {
  const { report, size, chunks } = await elfToGsym(bytes, options);
  return { report, gsym: joined(chunks(), size) };
}

/** Addresses in and around all symbols. */
function addressesOf(bytes: Uint8Array, most: number): number[] {
  const table = SymbolTable.fromElf(bytes)!;
  const all: number[] = [];
  for (let i = 0; i < table.length; i++) {
    const start = Number(table.address(i));
    for (let at = start - 1; at < start + Number(table.size(i)) + 3; at++) all.push(at);
  }
  const step = Math.max(1, Math.floor(all.length / most));
  return all.filter((_, i) => i % step === 0);
}

/** What the symbolizer says; "" where it knows a line alone, as of the padding between functions. */
async function answers(bytes: Uint8Array, addresses: readonly number[]): Promise<string[]> {
  const symbolizer = new Symbolizer();
  const { buildId = ID } = await symbolizer.add(bytes);
  if (buildId === ID) await symbolizer.add(bytes, { buildId });
  return addresses.map((address) => {
    const { frames } = symbolizer.lookupAddress(buildId, BigInt(address));
    return frames.length === 1 && frames[0].name === undefined ? "" : expectedText(frames);
  });
}

/** The same of our own reader. */
function readerAnswers(gsym: Uint8Array, addresses: readonly number[]): string[] {
  const reader = new GsymReader(gsym);
  return addresses.map((address) =>
    reader.lookup(BigInt(address))?.frames.map(({ name, file, line }) => frameText(name, file, line)).join("\n") ??
      ""
  );
}

const directory = mkdtempSync(join(tmpdir(), "stackmap-convert-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

for (const [name, script] of Object.entries(BUILDS)) {
  const compiler = / (gcc|clang|g\+\+) /.exec(script)![1];
  const missing = spawnSync(compiler, ["--version"]).status !== 0 ? compiler : undefined;
  Deno.test({
    name: `a converted program answers as the program itself does: ${name}${
      missing ? ` (skipped: no ${missing})` : leftToDeno
    }`,
    ignore: missing !== undefined || notDeno,
    fn: async () => {
      const out = join(directory, "program");
      const built = spawnSync("sh", ["-ec", script], {
        cwd: PROGRAMS,
        env: { ...process.env, OUT: out },
        encoding: "utf8",
      });
      assertEquals(built.status, 0, built.stderr);
      const bytes = new Uint8Array(readFileSync(out));
      const before = bytes.slice();
      const addresses = addressesOf(bytes, 5000);
      assert(addresses.length >= 5000);
      const expected = await answers(bytes, addresses);
      if (!name.startsWith("odd")) {
        assert(expected.some((answer) => answer.split("\n").length > 2), "inlined calls");
      }
      const { report, gsym } = await convert(bytes);
      assertEquals([report.problems, report.droppedCalls, report.droppedSymbols], [[], 0, 0]);
      assertEquals(report.functions, report.fromDwarf + report.fromSymbols);
      assertEquals((await convert(bytes)).gsym, gsym, "the same file again");
      assertEquals(bytes, before, "the input is unchanged");
      assertEquals(readerAnswers(gsym, addresses), expected);
      for (const options of [{ version: 2, littleEndian: false }] as const) {
        assertEquals(readerAnswers((await convert(bytes, options)).gsym, addresses), expected);
      }
      if (GSYMUTIL === undefined) return console.log("not compared with llvm-gsymutil: not here");
      const compact = (await convert(bytes, { layout: "compact" })).gsym;
      for (const [file, data] of [["ranged", gsym], ["compact", compact]] as const) {
        const path = join(directory, file);
        writeFileSync(path, data);
        const dump = spawnSync(GSYMUTIL, [path], { encoding: "utf8", maxBuffer: 1 << 28 });
        assertEquals([dump.status, /error|warning/i.exec(dump.stderr)], [0, null]);
        assertEquals(dump.stdout.match(/^FunctionInfo @ /gm)?.length, report.functions);
        assertEquals(gsymutilLookups(path, addresses, directory), expected);
      }
    },
  });
}

/** Lines 5 of /src/a.c at 0x1000 and 25 at 0x1010, up to 0x1060. */
function lines(): Uint8Array {
  const o = new Opcodes();
  return lineUnit({
    version: 4,
    tables: [...text("/src"), 0, ...text("a.c"), 1, 0, 0, 0],
    program: [...o.address(0x1000), ...o.row(0, 4), ...o.row(0x10, 20), ...o.pc(0x50), ...o.end],
  });
}

/** A unit with one function, a call inlined into it, and lines. */
function program(spec: ElfSpec = {}): Uint8Array {
  const { DW_FORM_addr, DW_FORM_data4, DW_FORM_string, DW_FORM_data1 } = dw;
  const root = die(
    dw.DW_TAG_compile_unit,
    [[dw.DW_AT_low_pc, DW_FORM_addr, 0x1000], [dw.DW_AT_high_pc, DW_FORM_data4, 0x100], [
      dw.DW_AT_stmt_list,
      0x17,
      0,
    ]],
    die(
      dw.DW_TAG_subprogram,
      [[dw.DW_AT_name, DW_FORM_string, "f"], [dw.DW_AT_low_pc, DW_FORM_addr, 0x1000], [
        dw.DW_AT_high_pc,
        DW_FORM_data4,
        0x40,
      ]],
      die(dw.DW_TAG_inlined_subroutine, [
        [dw.DW_AT_name, DW_FORM_string, "g"],
        [dw.DW_AT_low_pc, DW_FORM_addr, 0x1010],
        [dw.DW_AT_high_pc, DW_FORM_data4, 0x10],
        [dw.DW_AT_call_file, DW_FORM_data1, 1],
        [dw.DW_AT_call_line, DW_FORM_data1, 7],
      ]),
    ),
  );
  const { info, abbrev } = buildInfo([{ version: 4, root }]);
  return dwarfElf(sectionsOf({ info, abbrev, line: lines() }), spec);
}

Deno.test("hostile programs end in a file or a FormatError, in bounded time", async () => {
  const seed = 5;
  const count = Number(process.env.FUZZ_MUTATIONS ?? 500);
  console.log(`seed ${seed}, ${count} mutations`);
  const random = new SeededRandom(seed);
  const whole = program();
  for (let i = 0; i < count; i++) {
    const bytes = whole.slice(0, random.chance(0.1) ? random.below(whole.length) : undefined);
    for (let k = 1 + random.below(4); k > 0 && bytes.length > 0; k--) {
      const at = random.below(bytes.length);
      if (random.chance(0.5)) bytes[at] ^= 1 << random.below(8);
      else bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
    }
    const before = bytes.slice();
    const start = performance.now();
    try {
      const { gsym, report } = await convert(bytes, { maxSectionBytes: 1 << 20 });
      assertEquals(new GsymReader(gsym).functionCount, report.functions);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
    assert(performance.now() - start < 1000, `mutation ${i} took ${performance.now() - start} ms`);
    assertEquals(bytes, before);
  }
});

Deno.test("an executable brings segments and symbols, unless it is of another program", async () => {
  const debug = program({ segments: [] });
  const segment = { p_type: 1, p_flags: 5, p_offset: 0n, p_vaddr: 0x1000n, p_filesz: 0x100n, p_memsz: 0x100n };
  const spec = {
    segments: [segment],
    sections: [{ name: ".text", sh_type: 1, sh_flags: 6n, sh_addr: 0x1000n, sh_size: 0x100n }],
    symbols: [{ name: "renamed", st_value: 0x1000n, st_size: 0x20n }],
  };
  assertEquals((await convert(debug)).report.segments, false);
  const { report, gsym } = await convert(debug, { executable: buildElf({ ...spec, buildId: BUILD_ID }) });
  assertEquals([report.functions, report.segments], [2, true]);
  const reader = new GsymReader(gsym);
  assertEquals([reader.uuid, reader.segments?.map(({ p_vaddr }) => p_vaddr)], [BUILD_ID, [0x1000n]]);
  assertEquals(readerAnswers(gsym, [0x1000, 0x1018, 0x1030, 0x1040]), [
    "renamed @ /src/a.c:5",
    "g @ /src/a.c:25\nrenamed @ /src/a.c:7",
    "f @ /src/a.c:25",
    "",
  ]);
  await assertRejects(() => elfToGsym(debug, { executable: buildElf({ ...spec, buildId: ID }) }), RangeError);
  await assertRejects(() => elfToGsym(debug.slice(0, 10)), FormatError);
});

Deno.test("an object file is refused: its code has no addresses, and all of them would be wrong", async () => {
  const object = program();
  object.set([ET_REL, 0], 16); // e_type
  const error = await assertRejects(() => elfToGsym(object), FormatError);
  assertEquals(error.message, "e_type = 1 at offset 16: is an object file, whose code has no addresses yet");
  const gsym = await assertRejects(() => elfToGsym(new GsymCreator().toBytes()), FormatError);
  assertEquals(gsym.field, "e_ident");
});

Deno.test("a conversion can be given up", async () => {
  const reason = new Error("enough");
  const given = await elfToGsym(program(), { signal: AbortSignal.abort(reason) }).catch((error) => error);
  assertEquals(given, reason);
});

Deno.test("calls nested deeper than readers recurse are left out, and counted", async () => {
  const { DW_FORM_addr, DW_FORM_data4, DW_FORM_string, DW_FORM_data1 } = dw;
  const code: Attribute[] = [[dw.DW_AT_low_pc, DW_FORM_addr, 0x1000], [dw.DW_AT_high_pc, DW_FORM_data4, 0x10]];
  const call: Attribute[] = [[dw.DW_AT_call_file, DW_FORM_data1, 1], [dw.DW_AT_call_line, DW_FORM_data1, 7]];
  const list: Attribute = [dw.DW_AT_stmt_list, dw.DW_FORM_sec_offset, 0];
  let nested = die(dw.DW_TAG_inlined_subroutine, [[dw.DW_AT_name, DW_FORM_string, "innermost"], ...code, ...call]);
  for (let i = 0; i < 500; i++) {
    nested = die(
      dw.DW_TAG_inlined_subroutine,
      [[dw.DW_AT_name, DW_FORM_string, `f${i}`], ...code, ...call],
      nested,
    );
  }
  const outermost = die(dw.DW_TAG_subprogram, [[dw.DW_AT_name, DW_FORM_string, "outermost"], ...code], nested);
  const { info, abbrev } = buildInfo([{
    version: 4,
    root: die(dw.DW_TAG_compile_unit, [...code, list], outermost),
  }]);
  const { report, gsym } = await convert(dwarfElf(sectionsOf({ info, abbrev, line: lines() })));
  assertEquals([report.functions, report.droppedCalls], [1, 1]);
  const { frames } = new GsymReader(gsym).lookup(0x1008n)!;
  assertEquals([frames.length, frames[0].name, frames[126].name], [127, "f374", "outermost"]);
});
