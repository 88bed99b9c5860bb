// Owns the tests of stubs among symbols: who answers where, files that come in any order, converted files.
import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { BuildIdIndex, elfToGsym, GsymReader, Symbolizer, SymbolTable } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import type { PltStubs } from "../src/elf/plt.ts";
import { joined } from "../src/gsym/creator.ts";
import { withStubs } from "../src/symbolize/symbol_table.ts";
import { readSlots, readStubs, type Stub, stubsCommand } from "./oracle/plt_labels.ts";
import { pltElf, type PltSpec, X86_LAZY } from "./plt_builder.ts";

const ID = Uint8Array.from({ length: 20 }, (_, i) => i + 1);
const BASE = X86_LAZY.address;
/** Maps what `pltElf()` makes; its contents don't matter for addresses. */
const SEGMENT = { p_type: 1, p_flags: 5, p_vaddr: 0n, p_filesz: 0x3000n, p_memsz: 0x3000n, p_align: 0x1000n };

function indexOf(...specs: PltSpec[]): BuildIdIndex {
  const index = new BuildIdIndex();
  for (const spec of specs) {
    index.add(pltElf({ ...spec, more: { segments: [SEGMENT], ...spec.more } }), { buildId: ID });
  }
  return index;
}

/** Name and kind of what answers at an address, or the reason. */
function at(index: BuildIdIndex, address: bigint): string {
  const { symbol, reason } = index.resolve(ID, address);
  if (symbol === undefined) return reason!;
  const { symbols } = index.binaries[0];
  return `${symbol.name} ${symbols!.kindOf(symbols!.lookup(0, Number(address)))}`;
}

Deno.test("a stub answers where no symbol does, with what it jumps to and the kind .plt", () => {
  const index = indexOf({
    names: ["memset", "puts"],
    more: { symbols: [{ name: "f", st_value: 0x500n, st_size: 8n }] },
  });
  assertEquals(at(index, BASE + 16n), "memset@plt .plt");
  assertEquals(at(index, BASE + 31n), "memset@plt .plt");
  assertEquals(at(index, BASE + 32n), "puts@plt .plt");
  assertEquals(at(index, 0x504n), "f .symtab");
  // The first entry, and what is behind the last.
  for (const address of [BASE, BASE + 15n, BASE + 48n, 0x508n]) assertEquals(at(index, address), "no-symbol-here");
  assertEquals(index.binaries[0].symbolKind, ".symtab");
  assertEquals(index.resolve(ID, BASE + 20n).symbol, {
    name: "memset@plt",
    address: BASE + 16n,
    size: 16n,
    offset: 4n,
  });
});

Deno.test("where a symbol answers it goes on to, also one without a size that reaches over stubs", () => {
  const symbols = [
    { name: "reaching", st_value: BASE, st_shndx: 4 },
    { name: "next", st_value: BASE + 40n, st_size: 4n, st_shndx: 4 },
  ];
  const index = indexOf({ names: ["a", "b", "c", "d"], more: { symbols } });
  for (const address of [BASE, BASE + 16n, BASE + 39n]) assertEquals(at(index, address), "reaching .symtab");
  assertEquals(at(index, BASE + 40n), "next .symtab");
  // The stub that "reaching" answers the first byte of is not put in, even where nothing else is.
  assertEquals(at(index, BASE + 44n), "no-symbol-here");
  assertEquals(at(index, BASE + 48n), "c@plt .plt");
  const inside = indexOf({
    names: ["a", "b"],
    more: {
      symbols: [{ name: "inside", st_value: BASE + 20n, st_size: 4n }, {
        name: "same",
        st_value: BASE + 32n,
        st_size: 2n,
      }],
    },
  });
  assertEquals(at(inside, BASE + 16n), "a@plt .plt");
  assertEquals(at(inside, BASE + 20n), "inside .symtab");
  assertEquals(at(inside, BASE + 24n), "no-symbol-here");
  assertEquals(at(inside, BASE + 32n), "same .symtab");
});

Deno.test("stubs alone answer for themselves, and elsewhere the binary is still without symbols", () => {
  const spec: PltSpec = { names: [""], isStatic: true, addends: [0x9dc70n] };
  const index = indexOf(spec);
  const [binary] = index.binaries;
  assertEquals(at(index, 0x500n), "no-symbols");
  assertEquals(at(index, BASE + 16n), "*ABS*+0x9dc70@plt .plt");
  assertEquals([binary.symbolKind, binary.symbols?.kind, binary.symbols?.length], [undefined, ".plt", 1]);
  assertEquals(at(index, 0x500n), "no-symbols");
  // With the symbols of a file that comes later they are what they are in any binary.
  const symbols = [{ name: "f", st_value: 0x500n, st_size: 8n }];
  index.add(pltElf({ ...spec, plt: { sh_type: 8 }, more: { symbols, segments: [SEGMENT] } }), { buildId: ID });
  assertEquals([at(index, 0x500n), at(index, 0x700n)], ["f .symtab", "no-symbol-here"]);
  assertEquals([at(index, BASE + 16n), binary.symbolKind], ["*ABS*+0x9dc70@plt .plt", ".symtab"]);
});

Deno.test("SymbolTable.fromElf() has no stubs, as nm prints none", () => {
  const symbols = [{ name: "f", st_value: 0x500n, st_size: 8n }];
  assertEquals(SymbolTable.fromElf(pltElf({ names: ["memset"], more: { symbols } }))!.length, 1);
});

Deno.test("what is malformed in stubs is no problem of symbols", () => {
  const index = indexOf({ names: [""], isStatic: true, rela: { sh_offset: 1n << 40n } });
  assertEquals(index.binaries[0].problems, []);
  assertEquals(at(index, BASE + 16n), "no-symbols");
});

Deno.test("a file that brings nothing but stubs is merged, and once evicted they are gone", () => {
  const symbols = [{ name: "f", st_value: 0x500n, st_size: 8n }];
  const spec: PltSpec = { names: ["memset"], more: { symbols } };
  const index = indexOf({ ...spec, plt: { sh_type: 8 } });
  const before = index.binaries[0].retainedBytes;
  assertEquals(at(index, BASE + 16n), "no-symbol-here");
  const executable = pltElf({ ...spec, more: { symbols, segments: [SEGMENT] } });
  assertEquals(index.add(executable, { buildId: ID }).status, "merged");
  assertEquals(index.add(executable, { buildId: ID }).status, "duplicate");
  assert(index.binaries[0].retainedBytes > before - 100);
  assertEquals([at(index, BASE + 16n), at(index, 0x500n)], ["memset@plt .plt", "f .symtab"]);
  index.evict(ID);
  assertEquals([index.binaries[0].retainedBytes, at(index, BASE + 16n)], [0, "evicted"]);
  index.add(executable, { buildId: ID });
  assertEquals(at(index, BASE + 16n), "memset@plt .plt");
});

function columnsOf(stubs: readonly { start: bigint; size: number; name: string }[]): PltStubs {
  const texts = stubs.map(({ name }) => new TextEncoder().encode(`${name}\0`));
  const offsets = texts.map((_, i) => texts.slice(0, i).reduce((sum, { length }) => sum + length, 0));
  return {
    count: stubs.length,
    addressHi: Uint32Array.from(stubs, ({ start }) => Number(start >> 32n)),
    addressLo: Uint32Array.from(stubs, ({ start }) => Number(start & 0xffff_ffffn)),
    size: Uint32Array.from(stubs, ({ size }) => size),
    name: Uint32Array.from(offsets),
    strings: Uint8Array.from(texts.flatMap((text) => [...text])),
  };
}

Deno.test("stubs change no answer of a table, however symbols overlap", () => {
  const seed = 20261122;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 300; round++) {
    // Over a 4 GiB line or far apart, too, where tables have their wide form.
    const base = [0x1000n, 0xffff_ff80n, 0xffff_ffff_ff00_0000n][random.below(3)];
    const symbols = Array.from({ length: random.below(12) }, (_, i) => ({
      name: `s${i}`,
      address: base + BigInt(random.below(200)),
      size: BigInt(random.chance(0.3) ? 0 : random.below(random.chance(0.2) ? 200 : 30)),
    }));
    if (random.chance(0.2)) symbols.push({ name: "far", address: base - 0x800n, size: 1n });
    let end = 0;
    const stubs = Array.from({ length: random.below(12) }, (_, i) => {
      const start = end + random.below(20);
      const size = 1 + random.below(24);
      end = start + size - (random.chance(0.1) ? 1 : 0);
      return { start: base + BigInt(start), size, name: `p${i}@plt` };
    });
    const before = SymbolTable.fromSymbols(symbols);
    const after = withStubs(before, columnsOf(stubs));
    // The model: of stubs that begin where nothing answers, and in no other, the one that has the address.
    const kept: typeof stubs = [];
    for (const stub of stubs) {
      const last = kept[kept.length - 1];
      if (last !== undefined && stub.start < last.start + BigInt(last.size)) continue;
      if (before.find(stub.start) === undefined) kept.push(stub);
    }
    for (let offset = -10n; offset < 260n; offset++) {
      const address = base + offset;
      const symbol = before.find(address);
      const stub = kept.find(({ start, size }) =>
        address >= start && address < start + BigInt(size) &&
        // It ends where a symbol begins.
        !symbols.some((one) => one.address > start && one.address <= address)
      );
      const what = `seed ${seed}, round ${round}, address ${address.toString(16)}`;
      assertEquals(after.find(address)?.name, symbol?.name ?? stub?.name, what);
      if (symbol !== undefined) assertEquals(after.find(address), symbol, what);
    }
    for (const { start, size } of kept) {
      const ends = [start + BigInt(size), ...symbols.map((one) => one.address).filter((one) => one > start)];
      assertEquals(after.find(start)!.size, ends.reduce((a, b) => b < a ? b : a) - start, `seed ${seed}`);
    }
  }
});

const directory = mkdtempSync(join(tmpdir(), "stackmap-stubs-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

const TOOLS = ["gcc", "objcopy", "objdump", "readelf"];
const missing = TOOLS.filter((tool) => spawnSync(tool, ["--version"]).error !== undefined);
const why = missing.length > 0 ? ` (skipped: not installed: ${missing})` : "";

/** Runs a command; its output. */
function run(tool: string, ...args: string[]): string {
  const { stdout, stderr, status } = spawnSync(tool, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0 && tool !== "objdump") throw new Error(`${tool}: ${stderr}`);
  return stdout;
}

/** A program, its debug file, itself without symbols, and what objdump says of its stubs. */
function program(): { whole: Uint8Array; debug: Uint8Array; stripped: Uint8Array; stubs: Stub[] } {
  const path = (name: string): string => join(directory, name);
  writeFileSync(
    path("a.c"),
    `#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) { char text[9]; memset(text, argc, 9); puts(argv[0]); return text[argc]; }`,
  );
  run("gcc", "-g", "-O1", "-fno-builtin", "-Wl,--build-id", "-o", path("a"), path("a.c"));
  run("objcopy", "--only-keep-debug", path("a"), path("a.debug"));
  run("objcopy", "--strip-all", path("a"), path("a.stripped"));
  const [tool, ...args] = stubsCommand(path("a"));
  const stubs = readStubs(run(tool, ...args), readSlots(run("readelf", "-rW", path("a"))));
  return {
    whole: readFileSync(path("a")),
    debug: readFileSync(path("a.debug")),
    stripped: readFileSync(path("a.stripped")),
    stubs,
  };
}

Deno.test({
  name: `stubs and symbols are there in whichever order executable and debug file come${why}`,
  ignore: missing.length > 0,
  fn: async () => {
    const { whole, debug, stripped, stubs } = program();
    assert(stubs.length >= 3);
    const main = SymbolTable.fromElf(whole)!;
    const mainAt = Array.from({ length: main.length }, (_, i) => main.get(i)).find(({ name }) => name === "main")!;
    const orders = [[whole], [stripped, debug], [debug, stripped], [debug, whole], [whole, debug]];
    for (const early of [false, true]) {
      for (const files of orders) {
        const symbolizer = new Symbolizer();
        let id = new Uint8Array(0);
        for (const bytes of files) {
          id = (await symbolizer.add(bytes)).buildId!.slice();
          // A lookup between the two, which makes the table.
          if (early) symbolizer.lookupAddress(id, mainAt.address);
        }
        for (const { start, end, name } of stubs) {
          for (const address of [start, end - 1n]) {
            const { frames } = symbolizer.lookupAddress(id, address);
            assertEquals(frames.map((one) => [one.name, one.source, one.line]), [[name, ".plt", undefined]]);
          }
        }
        const { frames: [frame], binary } = symbolizer.lookupAddress(id, mainAt.address);
        assertEquals([frame.name, frame.source, binary!.symbolKind], ["main", ".symtab", ".symtab"]);
        assert(symbolizer.retainedBytes > 0);
      }
    }
  },
});

Deno.test({
  name: `a converted file has the stubs that the symbolizer has${why}`,
  ignore: missing.length > 0,
  fn: async () => {
    const { whole, debug, stripped, stubs } = program();
    for (const [bytes, executable] of [[whole, undefined], [debug, stripped]] as const) {
      const { size, chunks } = await elfToGsym(bytes, executable === undefined ? {} : { executable });
      const reader = new GsymReader(joined(chunks(), size));
      for (const { start, end, name } of stubs) {
        assertEquals(reader.lookup(start)?.frames.map((one) => one.name), [name]);
        assertEquals(reader.lookup(end - 1n)?.frames.map((one) => one.name), [name]);
      }
      // The first entry: neither has a name for it.
      assertEquals(reader.lookup(stubs[0].start - 16n)?.frames ?? [], []);
    }
  },
});
