// Owns the tests of section contents by name: compression headers, limits, bombs, real compilers, growth, fuzzing.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { deflateSync } from "node:zlib";
import { assert, assertEquals, assertLess, assertRejects, assertThrows } from "@std/assert";
import { encodeEhdr, encodeShdr, FormatError } from "../mod.ts";
import { bytesEqual, fromHex, viewOf } from "../src/base/bytes.ts";
import { SeededRandom } from "../src/base/random.ts";
import { writeStruct } from "../src/base/struct.ts";
import { ElfFile } from "../src/elf/elf_file.ts";
import { inflateZlib } from "../src/elf/inflate.ts";
import {
  ELFCOMPRESS_ZSTD,
  locateSection,
  locateSections,
  readSection,
  readSections,
} from "../src/elf/section_data.ts";
import { CHDR32, CHDR64, ELFCOMPRESS_ZLIB, SHF_COMPRESSED, SHT_NOBITS } from "../src/uapi/elf.ts";
import { buildElf, concat, FORMATS, makeIdent, type SectionSpec, stringTable } from "./elf_builder.ts";
import { fuzzParser, MUTATIONS } from "./fuzz.ts";
import { assertGrowth } from "./growth.ts";
import { evaluate, needsHeaders } from "./uapi_gcc.ts";

const MIB = 1 << 20;
const COMPRESSED = BigInt(SHF_COMPRESSED);
const hex = (digits: string): Uint8Array => fromHex(digits.replace(/\s/g, ""))!;
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** "hello" by hand: one stored block, and one Zstandard frame with one raw block. */
const HELLO = ascii("hello");
const HELLO_ZLIB = hex("7801 01 0500 faff 68656c6c6f 062c0215");
const HELLO_ZSTD = hex("28b52ffd 20 05 290000 68656c6c6f");

interface Format {
  is64: boolean;
  littleEndian: boolean;
}
const LE64: Format = { is64: true, littleEndian: true };

/** zlib's own packing; small views of pooled buffers would hide mistakes with offsets. */
function zlib(data: Uint8Array): Uint8Array {
  return new Uint8Array(deflateSync(data));
}

/** A Zstandard frame of run-length blocks: `size` times the same byte. */
function zstdRun(size: number): Uint8Array {
  const header = hex("28b52ffd a0 00000000");
  viewOf(header).setUint32(5, size, true);
  const blocks: Uint8Array[] = [];
  for (let left = size; left > 0; left -= 0x2_0000) {
    const length = Math.min(left, 0x2_0000);
    const word = (length << 3) | 2 | (left <= 0x2_0000 ? 1 : 0);
    blocks.push(Uint8Array.of(word & 0xff, (word >> 8) & 0xff, word >> 16, 0x61));
  }
  return concat(header, ...blocks);
}

/** Contents of a section with SHF_COMPRESSED. */
function withChdr(format: Format, ch_type: number, size: number | bigint, data: Uint8Array): Uint8Array {
  const layout = format.is64 ? CHDR64 : CHDR32;
  const header = new Uint8Array(layout.size);
  const chdr = { ch_type, ch_size: BigInt(size), ch_addralign: 1n };
  writeStruct(layout, chdr, viewOf(header), 0, format.littleEndian);
  return concat(header, data);
}

/** Contents of a `.zdebug_*` section. */
function withOldHeader(size: number, data: Uint8Array): Uint8Array {
  const header = concat(ascii("ZLIB"), new Uint8Array(8));
  viewOf(header).setBigUint64(4, BigInt(size));
  return concat(header, data);
}

const plain = (name: string, contents: Uint8Array): SectionSpec => ({ name, sh_type: 1, contents });
const packed = (name: string, contents: Uint8Array): SectionSpec => ({
  name,
  sh_type: 1,
  sh_flags: COMPRESSED,
  contents,
});

function fileOf(sections: SectionSpec[], format: Format = LE64): ElfFile {
  return new ElfFile(buildElf({ ...format, sections }));
}

/** What a promise rejects with, which has to be a FormatError. */
async function problemOf(promise: Promise<unknown>): Promise<FormatError> {
  const error = await assertRejects(() => promise);
  assert(error instanceof FormatError, String(error));
  return error;
}

const withElf = needsHeaders("elf.h");
Deno.test({
  name: `the compression headers have the offsets and sizes of <elf.h>${withElf.why}`,
  ignore: withElf.ignore,
  fn() {
    for (const layout of [CHDR32, CHDR64]) {
      const fields = layout.fields.map((field) => `offsetof(${layout.name}, ${field.name})`);
      const theirs = evaluate(["elf.h"], [`sizeof(${layout.name})`, ...fields]).map(Number);
      assertEquals([layout.size, ...layout.fields.map((field) => field.offset)], theirs);
    }
  },
});

for (const { name, ...format } of FORMATS) {
  Deno.test(`sections compressed in each way are read from a ${name} file`, async () => {
    const data = new SeededRandom(1).fill(new Uint8Array(5000)).map((byte) => byte & 7);
    const sections = [
      plain(".debug_abbrev", data),
      packed(".debug_info", withChdr(format, ELFCOMPRESS_ZLIB, data.length, zlib(data))),
      packed(".debug_line", withChdr(format, ELFCOMPRESS_ZLIB, 5, HELLO_ZLIB)),
      packed(".debug_str", withChdr(format, ELFCOMPRESS_ZSTD, 5, HELLO_ZSTD)),
      packed(".debug_loc", withChdr(format, ELFCOMPRESS_ZSTD, 300_000, zstdRun(300_000))),
      plain(".zdebug_ranges", withOldHeader(data.length, zlib(data))),
      packed(".other", withChdr(format, ELFCOMPRESS_ZLIB, 5, HELLO_ZLIB)),
    ];
    const bytes = buildElf({ ...format, sections });
    const before = bytes.slice();
    const file = new ElfFile(bytes);
    const expected: [string, Uint8Array][] = [
      [".debug_ranges", data],
      [".debug_abbrev", data],
      [".debug_info", data],
      [".debug_line", HELLO],
      [".debug_str", HELLO],
      [".debug_loc", new Uint8Array(300_000).fill(0x61)],
      [".other", HELLO],
    ];
    const names = expected.map(([one]) => one);
    const all = await readSections(file, [...names, ".debug_info", ".absent"], MIB);
    assertEquals([...all.keys()], names);
    for (const [one, contents] of expected) {
      assert(bytesEqual(all.get(one)!, contents), one);
      assert(bytesEqual((await readSection(file, one, contents.length))!, contents), one);
    }
    // What is not compressed is the file's own memory.
    const abbrev = all.get(".debug_abbrev")!;
    assert(abbrev.buffer === bytes.buffer && abbrev.byteOffset > 0);
    assertEquals(bytes, before);
    assertEquals([...locateSections(file, names).values()].map((one) => [one.name, one.index, one.compression]), [
      [".debug_ranges", 6, "zlib"],
      [".debug_abbrev", 1, undefined],
      [".debug_info", 2, "zlib"],
      [".debug_line", 3, "zlib"],
      [".debug_str", 4, "zstd"],
      [".debug_loc", 5, "zstd"],
      [".other", 7, "zlib"],
    ]);
  });
}

Deno.test("the first section of a name that has bytes counts, and the new name before the old", async () => {
  const file = fileOf([
    { name: ".debug_info", sh_type: SHT_NOBITS, sh_size: 99n, sh_offset: 1n << 60n },
    plain(".zdebug_info", withOldHeader(5, HELLO_ZLIB)),
    plain(".debug_info", new Uint8Array(0)),
    { name: ".debug_info", sh_type: 0, sh_size: 9n },
    plain(".debug_info", ascii("first")),
    plain(".debug_info", ascii("second")),
    { name: ".debug_line", sh_type: SHT_NOBITS, sh_size: 9n },
    plain(".zdebug_line", withOldHeader(5, HELLO_ZLIB)),
    { name: ".text", sh_type: SHT_NOBITS, sh_size: 9n },
    plain(".ztext", withOldHeader(5, HELLO_ZLIB)),
  ]);
  assertEquals(await readSection(file, ".debug_info", 0), ascii("first"));
  assertEquals(await readSection(file, ".debug_line", 5), HELLO);
  assertEquals(await readSection(file, ".text", 5), undefined);
  assertEquals(await readSection(file, ".debug", 5), undefined);
  assertEquals(await readSection(file, ".debug_inf", 5), undefined);
  assertEquals(await readSection(file, "", 5), undefined);
  assertEquals(await readSection(new ElfFile(buildElf({})), ".debug_info", 5), undefined);
});

Deno.test("names may begin inside one another, end with their table, or begin past it", async () => {
  const names = ascii("\0.rela.text");
  const shdr = { sh_type: 1, sh_offset: 0n, sh_size: 4n };
  const spec = (sh_name: number): SectionSpec => ({ name: "", ...shdr, sh_name });
  const bytes = buildElf({ sections: [spec(6), spec(1), spec(10), spec(11), spec(0xffff_ffff)] });
  // Over the builder's own table of names: the last header's.
  const file = new ElfFile(concat(bytes, names));
  const { e_shoff, e_shnum } = file.ehdr;
  const view = viewOf(file.bytes);
  const last = Number(e_shoff) + 64 * (e_shnum - 1);
  view.setBigUint64(last + 24, BigInt(bytes.length), true);
  view.setBigUint64(last + 32, BigInt(names.length), true);
  assertEquals(locateSection(file, ".text")?.index, 1);
  assertEquals(locateSection(file, ".rela.text")?.index, 2);
  assertEquals(locateSection(file, "t")?.index, 3);
  assertEquals(await readSection(file, ".tex", 9), undefined);
});

Deno.test("a compression type that is unknown is named, at its place in the file", async () => {
  for (const { name: _, ...format } of FORMATS) {
    for (const type of [0, 3, 0x6000_0000, 0xffff_ffff]) {
      const file = fileOf([packed(".debug_info", withChdr(format, type, 5, HELLO_ZLIB))], format);
      const error = await problemOf(readSection(file, ".debug_info", MIB));
      assertEquals([error.field, error.value, error.offset], [
        "ch_type",
        type,
        Number(file.sectionAt(1)!.sh_offset),
      ]);
    }
  }
});

Deno.test("a header that is cut, or an old one without ZLIB, is a FormatError", async () => {
  for (const { name: _, ...format } of FORMATS) {
    const whole = withChdr(format, ELFCOMPRESS_ZLIB, 5, HELLO_ZLIB);
    for (let length = 1; length < whole.length; length++) {
      const file = fileOf([packed(".debug_info", whole.subarray(0, length))], format);
      const error = await readSection(file, ".debug_info", MIB).then(() => undefined, (reason) => reason);
      // Deno does not notice that the checksum is cut.
      if (error !== undefined || length < whole.length - 4) assert(error instanceof FormatError, String(error));
    }
  }
  for (
    const old of [ascii("ZLIB1234567"), concat(ascii("ZLIC"), new Uint8Array(20)), withOldHeader(5, ascii(""))]
  ) {
    await problemOf(readSection(fileOf([plain(".zdebug_info", old)]), ".debug_info", MIB));
  }
});

Deno.test("a size other than claimed is a FormatError that names both", async () => {
  for (const claimed of [0, 1, 4, 6, 7, 1000]) {
    for (const [type, data] of [[ELFCOMPRESS_ZLIB, HELLO_ZLIB], [ELFCOMPRESS_ZSTD, HELLO_ZSTD]] as const) {
      const file = fileOf([packed(".debug_info", withChdr(LE64, type, claimed, data))]);
      const error = await problemOf(readSection(file, ".debug_info", MIB));
      assert(
        error.message.includes(`${claimed} bytes`) || error.message.includes(`says ${claimed}`),
        error.message,
      );
      assertLess(Number(file.sectionAt(1)!.sh_offset) + 23, error.offset);
    }
  }
});

Deno.test("claims over the limit are refused before anything is unpacked", async () => {
  const rubbish = ascii("not a stream at all");
  const claims: [number | bigint, number][] = [[5, 4], [MIB + 1, MIB], [1n << 53n, MIB], [(1n << 64n) - 1n, MIB]];
  for (const [claim, limit] of claims) {
    for (const type of [ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD]) {
      const file = fileOf([packed(".debug_info", withChdr(LE64, type, claim, rubbish))]);
      const error = await problemOf(readSection(file, ".debug_info", limit));
      assertEquals([error.field, error.value], ["ch_size", Number(claim)]);
      assert(error.message.includes(`limit of ${limit} bytes`), error.message);
    }
  }
  const old = fileOf([plain(".zdebug_info", withOldHeader(2 ** 50, rubbish))]);
  assertEquals((await problemOf(readSection(old, ".debug_info", MIB))).value, 2 ** 50);
  // One limit for all: each is within it, the sum is not.
  const hello = withChdr(LE64, ELFCOMPRESS_ZLIB, 5, HELLO_ZLIB);
  const many = fileOf([packed(".a", hello), plain(".plain", new Uint8Array(100)), packed(".b", hello)]);
  assertEquals((await readSections(many, [".a", ".plain", ".b"], 10)).size, 3);
  const error = await problemOf(readSections(many, [".a", ".plain", ".b"], 9));
  assert(error.message.includes("5 are taken by other sections"), error.message);
  for (const limit of [-1, 0.5, NaN, Infinity, 2 ** 60]) {
    const wrong = await assertRejects(() => readSection(many, ".a", limit));
    assert(wrong instanceof RangeError, String(limit));
  }
});

Deno.test("bombs end at the claimed size, whether the limit or the claim is small", async () => {
  const bomb = zlib(new Uint8Array(256 * MIB));
  const start = performance.now();
  for (const claim of [0, 1, 1000, MIB]) {
    const file = fileOf([packed(".debug_info", withChdr(LE64, ELFCOMPRESS_ZLIB, claim, bomb))]);
    const error = await problemOf(readSection(file, ".debug_info", 256 * MIB));
    assert(error.message.includes(`more than the ${claim} bytes`), error.message);
  }
  const frames = zstdRun(256 * MIB);
  const file = fileOf([packed(".debug_info", withChdr(LE64, ELFCOMPRESS_ZSTD, MIB, frames))]);
  await problemOf(readSection(file, ".debug_info", 256 * MIB));
  const took = performance.now() - start;
  console.log(`bombs of ${bomb.length} and ${frames.length} bytes: ${took.toFixed()} ms`);
  assertLess(took, 5000);
  // A claim that the input cannot keep takes no memory in its proportion.
  const short = fileOf([packed(".debug_info", withChdr(LE64, ELFCOMPRESS_ZLIB, 0x7fff_ffff, HELLO_ZLIB))]);
  await problemOf(readSection(short, ".debug_info", 0x7fff_ffff));
});

Deno.test("inflateZlib() takes one whole stream and nothing else", async () => {
  const data = new SeededRandom(2).fill(new Uint8Array(200_000));
  const stream = zlib(data);
  assertLess(3 * 0x1_0000, stream.length);
  const place = { offset: 7, field: ".debug_info" };
  assertEquals(await inflateZlib(stream, data.length, place), data);
  assertEquals(await inflateZlib(zlib(new Uint8Array(0)), 0, place), new Uint8Array(0));
  const changed = (at: number): Uint8Array => {
    const copy = stream.slice();
    copy[at < 0 ? copy.length + at : at] ^= 0x55;
    return copy;
  };
  const cases: [string, Uint8Array][] = [
    ["nothing", new Uint8Array(0)],
    ["a header alone", stream.subarray(0, 2)],
    ["cut by half", stream.subarray(0, stream.length / 2)],
    ["a byte after it", concat(stream, new Uint8Array(1))],
    ["many bytes after it", concat(stream, new Uint8Array(200_000))],
    ["two streams", concat(stream, stream)],
    ["a wrong checksum", changed(-1)],
    ["a wrong method", changed(0)],
    ["a preset dictionary", concat(Uint8Array.of(0x78, 0xbb), stream.subarray(2))],
    ["gzip", concat(hex("1f8b0800000000000003"), stream.subarray(2))],
  ];
  for (const [what, bytes] of cases) {
    const error = await problemOf(inflateZlib(bytes, data.length, place));
    assertEquals([error.offset, error.field], [7, ".debug_info"], what);
  }
  // Shared memory, which streams refuse, and many at once.
  const shared = new Uint8Array(new SharedArrayBuffer(stream.length));
  shared.set(stream);
  const all = await Promise.all(Array.from({ length: 8 }, () => inflateZlib(shared, data.length, place)));
  for (const one of all) assert(bytesEqual(one, data));
});

Deno.test("a stream that ends where a piece of input does is followed by nothing all the same", async () => {
  const place = { offset: 0, field: ".debug_info" };
  // One stored block of 65,525 bytes makes 65,536 with header and checksum.
  const data = new SeededRandom(4).fill(new Uint8Array(65_525));
  let a = 1, b = 0;
  for (const byte of data) b = (b + (a = (a + byte) % 65521)) % 65521;
  const trailer = new Uint8Array(4);
  viewOf(trailer).setUint32(0, b * 65536 + a);
  const stream = concat(hex("7801 01 f5ff 0a00"), data, trailer);
  assertEquals(stream.length, 0x1_0000);
  assertEquals(await inflateZlib(stream, data.length, place), data);
  for (const tail of [new Uint8Array(1), stream]) {
    await problemOf(inflateZlib(concat(stream, tail), data.length, place));
    await problemOf(inflateZlib(concat(stream, tail), 2 * data.length, place));
  }
});

Deno.test("malformed Zstandard names its place in the file", async () => {
  const broken = HELLO_ZSTD.slice();
  broken[6] |= 6;
  const file = fileOf([packed(".debug_info", withChdr(LE64, ELFCOMPRESS_ZSTD, 5, broken))]);
  const error = await problemOf(readSection(file, ".debug_info", MIB));
  assertEquals(error.offset, Number(file.sectionAt(1)!.sh_offset) + 24 + 6);
});

const PROGRAM = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct list { struct list *next; char text[40]; double weight; };
static int depth(const struct list *list) { int n = 0; for (; list != NULL; list = list->next) n++; return n; }
int main(int argc, char **argv) {
  struct list *head = NULL;
  for (int i = 0; i < argc; i++) {
    struct list *one = malloc(sizeof *one);
    strncpy(one->text, argv[i], sizeof one->text - 1); one->weight = i; one->next = head; head = one;
  }
  return printf("%d\\n", depth(head));
}
`;

function missing(...tools: string[]): string {
  const absent = tools.filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
  return absent.length === 0 ? "" : ` (skipped: not installed: ${absent})`;
}

function tool(name: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(name, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} ${args.join(" ")}: ${stderr}`);
}

/** A folder with `program`, compiled from PROGRAM with debug information that is not compressed. */
async function compiled(use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(`${tmpdir()}/stackmap-`);
  try {
    writeFileSync(`${folder}/program.c`, PROGRAM);
    tool("gcc", "-g", "-O1", "-gz=none", "-o", `${folder}/program`, `${folder}/program.c`);
    await use(`${folder}/program`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const NAMES = ["info", "abbrev", "line", "str", "line_str", "aranges", "rnglists", "loclists", "loc", "ranges"].map(
  (name) => `.debug_${name}`,
);

/** All debug sections; and how many of them were compressed. */
async function debugSections(path: string): Promise<{ all: Map<string, Uint8Array>; compressed: number }> {
  const file = new ElfFile(readFileSync(path));
  const compressed =
    [...locateSections(file, NAMES).values()].filter((one) => one.compression !== undefined).length;
  return { all: await readSections(file, NAMES, MIB), compressed };
}

const whyGcc = missing("gcc", "objcopy");
Deno.test({
  name: `what gcc and objcopy compress unpacks to what they had${whyGcc}`,
  ignore: whyGcc !== "",
  async fn() {
    await compiled(async (path) => {
      const original = await debugSections(path);
      assertEquals(original.compressed, 0);
      assert(original.all.size >= 5);
      for (const how of ["zlib-gabi", "zlib-gnu", "zstd"]) {
        const { status } = spawnSync("objcopy", [`--compress-debug-sections=${how}`, path, `${path}.${how}`]);
        if (status !== 0) {
          console.log(`skipped: this objcopy has no ${how}`);
          continue;
        }
        const { all, compressed } = await debugSections(`${path}.${how}`);
        assert(compressed >= 3, how);
        for (const [name, bytes] of original.all) assert(bytesEqual(bytes, all.get(name)!), `${how} ${name}`);
      }
      for (const how of ["zlib", "zlib-gnu"]) {
        tool("gcc", "-g", "-O1", `-gz=${how}`, "-o", `${path}.gcc`, `${path}.c`);
        const { all, compressed } = await debugSections(`${path}.gcc`);
        assert(compressed >= 2, how);
        // The same compiler on the same source: only the options that it notes may differ.
        for (const name of [".debug_line", ".debug_abbrev"]) {
          assert(bytesEqual(original.all.get(name)!, all.get(name)!), `gcc -gz=${how} ${name}`);
        }
      }
      tool("objcopy", "--only-keep-debug", "--compress-debug-sections=zlib", path, `${path}.debug`);
      const { all } = await debugSections(`${path}.debug`);
      for (const [name, bytes] of original.all) assert(bytesEqual(bytes, all.get(name)!), `debug file ${name}`);
      assertEquals(await readSection(new ElfFile(readFileSync(`${path}.debug`)), ".text", MIB), undefined);
    });
  },
});

const whyZstd = ["/usr/bin/zstd", "/usr/local/bin/zstd"].some((path) => existsSync(path))
  ? whyGcc
  : " (skipped: zstd is not installed)";
Deno.test({
  name: `what zstd packs is read as a section of each class and byte order${whyZstd}`,
  ignore: whyZstd !== "",
  async fn() {
    await compiled(async (path) => {
      const info = (await debugSections(path)).all.get(".debug_info")!;
      writeFileSync(`${path}.info`, info);
      tool("zstd", "-q", "-f", `${path}.info`, "-o", `${path}.zst`);
      const frame = new Uint8Array(readFileSync(`${path}.zst`));
      for (const { name: _, ...format } of FORMATS) {
        const chdr = withChdr(format, ELFCOMPRESS_ZSTD, info.length, frame);
        const file = fileOf([packed(".debug_info", chdr)], format);
        assert(bytesEqual((await readSection(file, ".debug_info", info.length))!, info));
      }
    });
  },
});

/** A file of `count` sections, named in turn as `names`, each with 4 bytes. */
function manySections(count: number, names: string[]): Uint8Array {
  const ident = { e_ident: makeIdent(true, true) };
  const table = stringTable([...names, ".debug_line"]);
  const at = 64 + table.bytes.length;
  const bytes = new Uint8Array(at + 64 * (count + 2));
  const put = (index: number, shdr: Parameters<typeof encodeShdr>[0]): void =>
    bytes.set(encodeShdr(shdr, ident), at + 64 * index);
  bytes.set(table.bytes, 64);
  put(0, { sh_size: BigInt(count + 2), sh_link: 1 });
  put(1, { sh_type: 3, sh_offset: 64n, sh_size: BigInt(table.bytes.length) });
  for (let i = 0; i < count; i++) {
    const sh_name = i === count - 1 ? table.offsets[names.length] : table.offsets[i % names.length];
    put(2 + i, { sh_name, sh_type: 1, sh_offset: 64n, sh_size: 4n });
  }
  const ehdr = { e_type: 1, e_version: 1, e_shoff: BigInt(at), e_shentsize: 64, e_shnum: 0, e_shstrndx: 0xffff };
  bytes.set(encodeEhdr({ ...ehdr, ...ident }));
  return bytes;
}

Deno.test("finding sections takes time in proportion to their number, hostile names or not", () => {
  const hostile = Array.from({ length: 50 }, (_, i) => `.debug_lin${String.fromCharCode(0x21 + i)}`);
  for (const [what, names] of [["functions", [".text.a", ".rela.text.a"]], ["near misses", hostile]] as const) {
    const [small, large] = [25_000, 100_000].map((count) => {
      const file = new ElfFile(manySections(count, [...names]));
      return (): number => {
        const start = performance.now();
        const found = locateSections(file, [...NAMES, ".gnu_debuglink"]);
        const took = performance.now() - start;
        assertEquals([...found.values()].map((one) => [one.name, one.index]), [[".debug_line", count + 1]]);
        return took;
      };
    });
    const [, most] = assertGrowth(`25,000 and 100,000 sections, ${what}`, small, large, {
      times: 16,
      least: 2,
      rounds: 5,
    });
    assertLess(most, 4000); // under the instrumentation of a coverage run too
  }
});

const SAMPLES = FORMATS.map(({ name: _, ...format }) =>
  buildElf({
    ...format,
    sections: [
      packed(".debug_info", withChdr(format, ELFCOMPRESS_ZLIB, 5, HELLO_ZLIB)),
      packed(".debug_line", withChdr(format, ELFCOMPRESS_ZLIB, 400, zlib(new Uint8Array(400).map((_, i) => i)))),
      packed(".debug_str", withChdr(format, ELFCOMPRESS_ZSTD, 5, HELLO_ZSTD)),
      plain(".zdebug_loc", withOldHeader(5, HELLO_ZLIB)),
      plain(".debug_abbrev", HELLO),
    ],
  })
);

Deno.test("hostile section headers end in sections or a FormatError", () => {
  fuzzParser("locateSections", SAMPLES, (bytes) => {
    for (const data of locateSections(new ElfFile(bytes), NAMES).values()) data.stored.at(-1);
  });
});

Deno.test("hostile sections end in contents within the limit or a FormatError", async () => {
  // The fuzzer is synchronous: it only makes the inputs. Cuts at every length come first, and then mutations.
  const inputs: Uint8Array[] = [];
  fuzzParser("readSections, inputs", SAMPLES, (bytes) => inputs.push(bytes), { mutations: MUTATIONS });
  const limit = 1000;
  let read = 0;
  for (const [i, bytes] of inputs.entries()) {
    const before = bytes.slice();
    try {
      const file = new ElfFile(bytes);
      const all = await readSections(file, NAMES, limit);
      const located = locateSections(file, NAMES);
      let unpacked = 0;
      for (const [name, contents] of all) {
        const { size, compression } = located.get(name)!;
        assertEquals(contents.length, size);
        if (compression !== undefined) unpacked += size;
      }
      assertLess(unpacked, limit + 1);
      read++;
    } catch (error) {
      if (!(error instanceof FormatError)) throw new Error(`input ${i}: ${error}`, { cause: error });
    }
    assert(bytesEqual(bytes, before), `input ${i} was changed`);
  }
  console.log(`readSections: ${inputs.length} inputs, ${read} of them readable`);
  // Whatever came before, good files are read, and if not the error says why.
  for (const sample of SAMPLES) assertEquals((await readSections(new ElfFile(sample), NAMES, limit)).size, 5);
  assertLess(100, read);
});

Deno.test("what changes while it is unpacked ends in contents or a FormatError", async () => {
  const data = new SeededRandom(5).fill(new Uint8Array(300_000));
  const bytes = zlib(data);
  const reading = inflateZlib(bytes, data.length, { offset: 0, field: "x" });
  bytes.fill(0);
  const error = await reading.then(() => undefined, (reason) => reason);
  assert(error === undefined || error instanceof FormatError);
  assertThrows(() => locateSections(new ElfFile(buildElf({ ehdr: { e_shoff: 1n << 40n, e_shnum: 3 } })), ["x"]));
});
