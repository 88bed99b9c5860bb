// Owns the tests that symbol names, the memory of add() and build-id lookups stay in proportion to hostile files.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assertEquals, assertLess } from "@std/assert";
import {
  BuildIdIndex,
  decodeStacks,
  encodeStacks,
  encodeSym,
  foldStacks,
  Symbolizer,
  SymbolTable,
} from "../mod.ts";
import { IdLookup } from "../src/symbolize/id_lookup.ts";
import { buildElf, concat, makeIdent } from "./elf_builder.ts";
import { assertGrowth } from "./growth.ts";

const LE64 = { e_ident: makeIdent(true, true) };
const ID = new Uint8Array(20).fill(7);

/** A program with `count` symbols of one byte from 0x1000 on, whose names begin where `nameAt` says. */
function program(strings: Uint8Array, count: number, nameAt: (i: number) => number): Uint8Array {
  const symbol = (i: number): Uint8Array =>
    encodeSym({ st_name: nameAt(i), st_info: 0x12, st_shndx: 1, st_value: 0x1000n + BigInt(i), st_size: 1n }, LE64);
  return buildElf({
    buildId: ID,
    segments: [{ p_type: 1, p_flags: 5, p_filesz: 1n << 24n, p_memsz: 1n << 24n }],
    sections: [
      { name: ".text", sh_type: 1, sh_flags: 6n, sh_addr: 0x1000n, sh_size: 1n << 24n },
      {
        name: ".symtab",
        sh_type: 2,
        sh_link: 3,
        contents: concat(encodeSym({}, LE64), ...Array.from({ length: count }, (_, i) => symbol(i))),
      },
      { name: ".strtab", sh_type: 3, contents: strings },
    ],
  });
}

/** Letters without a zero, and not the same from any two places on. */
function letters(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 0x61 + (Math.imul(i, 0x9e37_79b1) >>> 28));
}

function totalOf(table: SymbolTable): { total: number; longest: number } {
  let total = 0;
  let longest = 0;
  for (let i = 0; i < table.length; i++) {
    const { length } = table.name(i);
    total += length;
    longest = Math.max(longest, length);
  }
  return { total, longest };
}

Deno.test("names that begin at every byte of a long string add up to a small multiple of the file", () => {
  for (const size of [400_000, 800_000]) {
    const count = Math.floor(size / 2 / 24);
    for (const [what, nameAt] of [["all different", (i: number) => i], ["all the same", () => 0]] as const) {
      const bytes = program(letters(size / 2), count, nameAt);
      const { total, longest } = totalOf(SymbolTable.fromElf(bytes)!);
      console.log(`${bytes.length} bytes, names ${what}: ${total} characters, the longest ${longest}`);
      assertLess(total, 12 * bytes.length);
      assertEquals(longest >= 256, true);
    }
  }
});

Deno.test("folding frames of such a file with a dump takes memory and time in proportion", () => {
  const count = 8000;
  const bytes = program(letters(192_000), count, (i) => i);
  const layout = { valueSize: 127 * 32, mapFlags: 32 };
  const stacks = Array.from({ length: 63 }, (_, id) => ({
    id,
    frames: Array.from({ length: 127 }, (_, i) => ({
      status: 1,
      build_id: ID,
      offset: 0x1001n + BigInt((id * 127 + i) % count),
    })),
  }));
  const dump = encodeStacks(stacks, layout);
  const start = performance.now();
  const index = new BuildIdIndex();
  index.add(bytes);
  const folded = foldStacks(
    decodeStacks(dump, layout),
    ({ build_id, offset }) => index.resolve(build_id, offset).symbol?.name,
  );
  let characters = 0;
  for (const line of folded.keys()) characters += line.length;
  const took = performance.now() - start;
  console.log(`${bytes.length} + ${dump.length} bytes: ${characters} characters, ${took.toFixed()} ms`);
  assertLess(characters, 20 * (bytes.length + dump.length));
  assertLess(took, 3000);
});

Deno.test("long names of real tables are whole up to 64 KiB, then cut with a mark", () => {
  const encoder = new TextEncoder();
  const name = (length: number): string => "_Z".padEnd(length, "xyz");
  const symbols = [300, 5000, 0x10000, 0x10001].map((length, i) => ({
    name: name(length),
    address: BigInt(i),
    size: 1n,
  }));
  const table = SymbolTable.fromSymbols(symbols);
  assertEquals([0, 1, 2].map((i) => table.name(i) === symbols[i].name), [true, true, true]);
  assertEquals(table.name(3) === symbols[3].name.slice(0, 0x10000) + "…", true);
  // One long name for several symbols, as local functions of several units have it, in a file with little else.
  const strings = encoder.encode(`\0${name(4000)}\0`);
  const shared = SymbolTable.fromElf(program(strings, 9, () => 1))!;
  assertEquals(Array.from({ length: 9 }, (_, i) => shared.name(i).length), new Array(9).fill(4000));
});

Deno.test("short names stay whole beside names that are cut", () => {
  const strings = concat(new TextEncoder().encode("\0main\0"), letters(100_000));
  const table = SymbolTable.fromElf(
    program(strings, 5000, (i) => i === 0 ? 1 : i === 1 ? strings.length - 256 : 6 + i),
  )!;
  assertEquals([table.name(0), table.name(1).length, table.name(2).length], ["main", 256, 257]);
});

Deno.test("IdLookup finds ids that were made to collide, in time in proportion", () => {
  // Words 2 and 3 equal: the hash without random multipliers is the same for all.
  const id = (i: number): Uint8Array => {
    const bytes = new Uint8Array(20);
    const view = new DataView(bytes.buffer);
    view.setUint32(8, i + 1, true);
    view.setUint32(12, i + 1, true);
    return bytes;
  };
  const took = (count: number): number => {
    const ids = Array.from({ length: 4 * count }, (_, i) => id(i));
    const start = performance.now();
    const lookup = new IdLookup();
    for (let i = 0; i < count; i++) lookup.add(ids[4 * i], i);
    const found = ids.map((one) => lookup.find(one, 0, 20));
    const milliseconds = performance.now() - start;
    assertEquals(found.every((number, i) => number === (i % 4 === 0 ? i / 4 : -1)), true);
    return milliseconds;
  };
  // 8 times the work; without other multipliers 64 times the time, several seconds.
  const limit = { times: 32, least: 5, rounds: 2 };
  assertGrowth("2,000 binaries and 8,000 ids", () => took(2000), () => took(16_000), limit);
});

Deno.test({
  name: "add() of a file that is all headers, or all names, takes a small multiple of its size in memory",
  ignore: !existsSync("/proc/self/status"),
  fn() {
    const script = fileURLToPath(new URL("./symbolize_memory.ts", import.meta.url));
    const flags = "version" in Deno ? ["run", "--allow-all", "--no-check"] : [];
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, script], { encoding: "utf8" });
    const rows = stdout.trim().split("\n").map((line) => line.split(" "));
    assertEquals(rows.map(([what]) => what), ["segments", "sections", "names"], stderr);
    for (const [what, size, grown] of rows) {
      console.log(`add() of ${size} bytes of ${what}: ${(Number(grown) / 1e6).toFixed(1)} MB more at most`);
      assertLess(Number(grown), 5 * Number(size), what);
    }
  },
});

Deno.test("names that stand for a hundred thousand characters add up to some millions, then stay mangled", async () => {
  // f(A, B<A, A>, B<B<A, A>, B<A, A>>, …): each parameter twice as long as the one before.
  const swelling = (number: number): string => {
    let name = `_Z${`f${number}`.length}f${number}1A1BIS_S_E`;
    for (let i = 1; i < 13; i++) name += `S0_IS${i.toString(36).toUpperCase()}_S${i.toString(36).toUpperCase()}_E`;
    return name;
  };
  const count = 2000;
  const names = Array.from({ length: count }, (_, i) => `${swelling(i)}\0`);
  const strings = new TextEncoder().encode(`\0${names.join("")}`);
  const at: number[] = [];
  names.reduce((sum, name, i) => (at[i] = sum) + name.length, 1);
  const symbolizer = new Symbolizer();
  await symbolizer.add(program(strings, count, (i) => at[i]));
  const lo = Uint32Array.from({ length: count }, (_, i) => 0x1000 + i);
  const answer = symbolizer.lookupAddresses(ID, { hi: new Uint32Array(count), lo });
  let total = 0;
  let mangled = 0;
  for (let i = 0; i < count; i++) {
    const name = answer.demangled(answer.first[i])!;
    total += name.length;
    if (name.startsWith("_Z")) mangled++;
  }
  // One of them alone is over 50,000 characters.
  assertEquals(answer.demangled(answer.first[0])!.startsWith("f0(A, B<A, A>, B<B<A, A>, B<A, A> >, "), true);
  assertLess(50_000, answer.demangled(answer.first[0])!.length);
  assertLess(total, (1 << 24) + strings.length);
  assertLess(count / 2, mangled);
});
