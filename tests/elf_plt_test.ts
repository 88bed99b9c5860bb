// Owns the tests of findPltStubs(): against objdump's labels on programs linked here and on the system's own, on
// files made by hand, and on hostile ones.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { encodeSym, FormatError } from "../mod.ts";
import { EM_386 } from "../src/uapi/elf.ts";
import { ElfFile } from "../src/elf/elf_file.ts";
import { findPltStubs } from "../src/elf/plt.ts";
import { decodeText, stringEnd } from "../src/elf/string_table.ts";
import { buildElf, concat, makeIdent } from "./elf_builder.ts";
import { fuzzParser } from "./fuzz.ts";
import { readSlots, readStubs, type Stub, stubsCommand } from "./oracle/plt_labels.ts";
import { pltElf, type PltSpec, X86_LAZY } from "./plt_builder.ts";
import { leftToDeno, notDeno } from "./left_out.ts";

/** Our answer in the oracle's shape. */
function stubsOf(bytes: Uint8Array): Stub[] {
  const stubs = findPltStubs(new ElfFile(bytes));
  return Array.from({ length: stubs?.count ?? 0 }, (_, i) => {
    const start = (BigInt(stubs!.addressHi[i]) << 32n) | BigInt(stubs!.addressLo[i]);
    const from = stubs!.name[i];
    const name = decodeText(stubs!.strings, from, stringEnd(stubs!.strings, from, stubs!.strings.length));
    return { start, end: start + BigInt(stubs!.size[i]), name };
  });
}

const namesOf = (bytes: Uint8Array): string[] => stubsOf(bytes).map(({ name }) => name);

/** The output of a program, whatever its status; `undefined` where it is not installed. */
function outputOf([tool, ...args]: string[]): string | undefined {
  const { error, stdout } = spawnSync(tool, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  return error === undefined ? stdout : undefined;
}

/** What objdump says of a file; `undefined` where it is not installed. */
function labelsOf(path: string, objdump = "objdump"): Stub[] | undefined {
  const disassembly = outputOf(stubsCommand(path, objdump));
  const relocations = outputOf(["readelf", "-rW", path]);
  return disassembly === undefined || relocations === undefined
    ? undefined
    : readStubs(disassembly, readSlots(relocations));
}

const directory = mkdtempSync(join(tmpdir(), "stackmap-plt-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

// Calls by name, by a pointer (which makes .plt.got), and to indirect functions of its own.
writeFileSync(
  join(directory, "calls.c"),
  `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int one(int x) { return x; }
static void *choose(void) { return one; }
static int hidden(int) __attribute__((ifunc("choose")));
int chosen(int) __attribute__((ifunc("choose")));
int exported(int x) { return hidden(x) + chosen(x); }
int main(int argc, char **argv) {
  char text[64];
  memset(text, argc, sizeof text);
  strcpy(text, argv[0]);
  void *(*volatile allocate)(size_t) = malloc;
  free(allocate(exported(argc)));
  puts(text);
  return atoi(text) + (malloc(3) != 0);
}
`,
);
// Without a library, for machines that there are no libraries of.
writeFileSync(
  join(directory, "bare.c"),
  `int memset(void *, int, int); int puts(const char *); void *malloc(int);
static int one(int x) { return x; }
static void *choose(void) { return one; }
__attribute__((visibility("hidden"))) int hidden(int) __attribute__((ifunc("choose")));
int exported(int x) { return x; }
void *volatile pointer = malloc;
int run(int x) { memset(0, x, 3); return hidden(x) + exported(x) + puts("") + (malloc(3) != pointer); }
`,
);

/** How the program is linked: compiler and options. */
const BUILDS: readonly string[] = [
  "gcc",
  "gcc -Wl,-z,now",
  "gcc -shared -fPIC",
  "gcc -fcf-protection -Wl,-z,ibtplt",
  "gcc -static",
  "gcc -static-pie",
  "gcc -fuse-ld=gold",
  "gcc -fuse-ld=gold -static",
  "clang -fuse-ld=lld",
  "clang -fuse-ld=lld -shared -fPIC -Wl,-z,now",
  "clang -fuse-ld=lld -fcf-protection -Wl,-z,force-ibt",
  "clang -fuse-ld=lld -Wl,-z,retpolineplt",
  "clang -fuse-ld=lld -Wl,-z,retpolineplt,-z,now",
  "clang -fuse-ld=mold",
  "gcc -m32",
  "gcc -m32 -no-pie",
  "gcc -m32 -fcf-protection -Wl,-z,ibtplt",
  "gcc -m32 -no-pie -fcf-protection -Wl,-z,ibtplt",
  "clang -m32 -fuse-ld=lld",
  "gcc -mx32",
];

/** The same for 64-bit ARM. */
const ARM_BUILDS: readonly string[] = [
  "",
  "-Wl,-z,now",
  "-Wl,-z,force-bti",
  "-Wl,-z,pac-plt",
  "-Wl,-z,pac-plt,-z,force-bti",
];

/** Links a program; `undefined` where this machine can't, which is printed. */
function link(compiler: string, source: string, ...args: string[]): string | undefined {
  const path = join(directory, `program${count++}`);
  const built = spawnSync(compiler, ["-O0", "-fno-builtin", "-w", ...args, "-o", path, join(directory, source)], {
    encoding: "utf8",
  });
  if (built.error === undefined && built.status === 0) return path;
  console.log(`skipped: ${[compiler, ...args].join(" ")}: ${built.error?.message ?? built.stderr.split("\n")[0]}`);
  return undefined;
}
let count = 0;

Deno.test({
  name: `stubs begin and end where objdump says, and have its names, whatever linked the program${leftToDeno}`,
  ignore: notDeno,
  fn: () => {
    let stubs = 0;
    for (const build of BUILDS) {
      const [compiler, ...args] = build.split(" ");
      const path = link(compiler, "calls.c", ...args);
      const theirs = path === undefined ? undefined : labelsOf(path);
      if (path === undefined || theirs === undefined) continue;
      const ours = stubsOf(readFileSync(path));
      const resolvers = ours.filter(({ name }) => name.startsWith("*ABS*"));
      assert(resolvers.length >= 1 || compiler !== "gcc", `${build}: no indirect function`);
      // Of lld's .iplt it says nothing, and on 32 bits there is no telling the slot from its text: they are counted.
      const uncounted = build === "clang -m32 -fuse-ld=lld";
      if (uncounted) {
        const relocations = outputOf(["readelf", "-rW", path])!.match(/_IRELATIVE/g) ?? [];
        assertEquals(resolvers.map(({ name }) => name), relocations.map(() => "*ABS*@plt"));
      }
      const expected = uncounted ? [...theirs, ...resolvers] : theirs;
      assertEquals(ours, expected.sort((a, b) => a.start < b.start ? -1 : 1), build);
      if (!build.includes("static")) assert(ours.some(({ name }) => name === "memset@plt"), build);
      stubs += ours.length;
    }
    console.log(`${stubs} stubs`);
  },
});

Deno.test({
  name:
    `stubs of 64-bit ARM are where llvm-objdump says, with and without landing pads and authentication${leftToDeno}`,
  ignore: notDeno,
  fn: () => {
    for (const flags of ARM_BUILDS) {
      const args = ["--target=aarch64-linux-gnu", "-nostdlib", "-shared", "-fPIC", "-fuse-ld=lld"];
      const path = link("clang", "bare.c", ...args, ...flags === "" ? [] : [flags]);
      const theirs = path === undefined ? undefined : labelsOf(path, "llvm-objdump");
      if (path === undefined || theirs === undefined) continue;
      const ours = stubsOf(readFileSync(path));
      const named = ours.filter(({ name }) => !name.startsWith("*ABS*"));
      assertEquals(named, theirs, flags);
      assertEquals(named.map(({ name }) => name).sort(), ["exported@plt", "malloc@plt", "memset@plt", "puts@plt"]);
      // A landing pad is a hint to disassemblers for processors that don't know it.
      const begin = flags.includes("force-bti") ? "hint" : "adrp";
      const text = outputOf(["llvm-objdump", "-d", "--no-show-raw-insn", "--mcpu=cortex-a53", path])!;
      const instruction = (at: bigint): string =>
        new RegExp(`^ *${at.toString(16)}:\\s+(\\w+)`, "m").exec(text)![1];
      // llvm-objdump has no name for it; readelf knows the resolver.
      const resolver = [...readSlots(outputOf(["readelf", "-rW", path])!).values()].filter((name) =>
        name[0] === "*"
      );
      const [other] = ours.filter((one) => !named.includes(one));
      assertEquals([other.name], resolver, flags);
      assertEquals(instruction(other.start), begin, flags);
      assertEquals(other.end - other.start, theirs[0].end - theirs[0].start, flags);
    }
  },
});

/** Files of the system with many stubs, or of another kind. */
const SYSTEM: readonly string[] = [
  "/usr/lib/x86_64-linux-gnu/libc.so.6",
  "/usr/lib/x86_64-linux-gnu/libm.so.6",
  "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
  "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
  "/usr/lib32/libc.so.6",
  "/usr/lib32/libstdc++.so.6",
  "/usr/libx32/libc.so.6",
  "/usr/bin/bash",
  "/usr/bin/openssl",
];

Deno.test("every stub of the system's libraries and programs is objdump's", () => {
  let files = 0;
  let stubs = 0;
  for (const path of SYSTEM.filter((one) => existsSync(one))) {
    // All of them have labels: relocations, which libraries have many of, are not needed.
    const disassembly = outputOf(stubsCommand(path));
    if (disassembly === undefined) continue;
    const theirs = readStubs(disassembly, new Map());
    assertEquals(stubsOf(readFileSync(path)), theirs, path);
    files++;
    stubs += theirs.length;
  }
  console.log(files === 0 ? "skipped: no objdump, or none of the files" : `${files} files, ${stubs} stubs`);
});

const BASE = X86_LAZY.address;

Deno.test("the entry that calls the dynamic linker has no name, and stubs whose slot has no relocation have none", () => {
  const bytes = pltElf({ names: ["memset", "puts", ""] });
  assertEquals(stubsOf(bytes), [
    { start: BASE + 16n, end: BASE + 32n, name: "memset@plt" },
    { start: BASE + 32n, end: BASE + 48n, name: "puts@plt" },
  ]);
  assertEquals(namesOf(pltElf({ names: ["memset", "puts"], relocations: 1 })), ["memset@plt"]);
});

Deno.test("mold's stubs are read, which put an index into a register first and fill up with int3", () => {
  // Of a function whose address is taken, with a landing pad, and of another; mold's source has them.
  const pad = [0xf3, 0x0f, 0x1e, 0xfa];
  const index = [0x41, 0xbb, 0, 0, 0, 0];
  const code = (...parts: number[][]): Uint8Array => Uint8Array.from(parts.flat());
  const jump = (from: number, slot: number): number[] => {
    const distance = slot - from - 6;
    return [0xff, 0x25, distance & 255, distance >> 8 & 255, distance >> 16 & 255, distance >> 24 & 255];
  };
  const slots = Number(X86_LAZY.slots);
  const start = Number(BASE);
  const header = [...pad, 0x41, 0x53, 0xff, 0x35, 0, 0, 0, 0, 0xff, 0x25, ...new Array(18).fill(0xcc)];
  const fill = new Array(4).fill(0xcc);
  const contents = code(
    header,
    pad,
    index,
    jump(start + 42, slots),
    index,
    jump(start + 54, slots + 8),
    fill,
  );
  assertEquals(stubsOf(pltElf({ names: ["a", "b"], plt: { contents } })), [
    { start: BASE + 32n, end: BASE + 48n, name: "a@plt" },
    { start: BASE + 48n, end: BASE + 64n, name: "b@plt" },
  ]);
});

Deno.test("on 32-bit x86 slots are counted from .got.plt, in mold's files from .got", () => {
  const words = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
  const ident = { e_ident: makeIdent(false, true) };
  const gnu = [0xff, 0xa3, 0x0c, 0, 0, 0, 0x68, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0];
  const mold = [0xf3, 0x0f, 0x1e, 0xfb, 0xb9, 0, 0, 0, 0, 0xff, 0xa3, 0x0c, 0, 0, 0, 0xcc];
  const file = (code: number[], sections: string[]): Uint8Array =>
    buildElf({
      is64: false,
      ehdr: { e_machine: EM_386 },
      sections: [
        {
          name: ".dynsym",
          sh_type: 11,
          sh_link: 2,
          contents: concat(
            encodeSym({}, ident),
            encodeSym({ st_name: 1 }, ident),
            encodeSym({ st_name: 3 }, ident),
          ),
        },
        { name: ".dynstr", sh_type: 3, contents: new TextEncoder().encode("\0a\0b\0") },
        { name: ".rel.plt", sh_type: 9, sh_flags: 2n, sh_link: 1, contents: words(0x300c, 0x107, 0x400c, 0x207) },
        { name: ".plt", sh_type: 1, sh_flags: 6n, sh_addr: 0x1000n, contents: Uint8Array.from(code) },
        ...sections.map((name) => ({ name, sh_type: 1, sh_addr: name === ".got" ? 0x3000n : 0x4000n })),
      ],
    });
  assertEquals(namesOf(file(gnu, [".got", ".got.plt"])), ["b@plt"]);
  assertEquals(namesOf(file(gnu, [".got"])), ["a@plt"]);
  assertEquals(namesOf(file(mold, [".got", ".got.plt"])), ["a@plt"]);
  assertEquals(namesOf(file(gnu, [])), []);
});

Deno.test("an addend is part of the name, and versions in names are as the file has them", () => {
  assertEquals(namesOf(pltElf({ names: ["memset", "a@b"], addends: [0x10n, 0n] })), ["memset+0x10@plt", "a@b@plt"]);
  assertEquals(namesOf(pltElf({ names: ["f"], addends: [-1n] })), ["f+0xffffffffffffffff@plt"]);
});

Deno.test("names are UTF-8, and are cut between characters where they are too long", () => {
  assertEquals(namesOf(pltElf({ names: ["größe"] })), ["größe@plt"]);
  const [long, short] = namesOf(pltElf({ names: ["ß".repeat(100_000), "f"] }));
  assert(long.length > 30_000 && /^ß+…@plt$/.test(long), long.slice(-20));
  assertEquals(short, "f@plt");
});

Deno.test("files without stubs have none: other machines and types, no bytes, no code, no section", () => {
  const none: PltSpec[] = [
    { ehdr: { e_machine: 21 } },
    { ehdr: { e_type: 1 } },
    { ehdr: { e_type: 4 } },
    { plt: { sh_type: 8 } },
    { plt: { sh_flags: 2n } },
    { plt: { name: ".text" } },
    { plt: { sh_addr: 1n << 60n } },
    { names: [] },
  ];
  for (const spec of none) assertEquals(findPltStubs(new ElfFile(pltElf({ names: ["f"], ...spec }))), undefined);
  assertEquals(namesOf(pltElf({ names: ["f"], plt: { name: ".plt.sec" } })), ["f@plt"]);
});

Deno.test("sections outside of the file are a FormatError", () => {
  for (const place of [{ plt: { sh_offset: 1n << 40n } }, { rela: { sh_offset: 1n << 40n } }]) {
    assertThrows(() => findPltStubs(new ElfFile(pltElf({ names: ["f"], ...place }))), FormatError);
  }
});

Deno.test("hostile files end in stubs or a FormatError", () => {
  const samples = [pltElf({ names: ["memset", "puts", "f"], addends: [0n, 8n, 0n] })];
  for (const args of ["gcc -m32 -s", "clang -fuse-ld=lld -s"]) {
    const path = link(args.split(" ")[0], "calls.c", ...args.split(" ").slice(1));
    if (path !== undefined) samples.push(readFileSync(path));
  }
  const arm = [
    "--target=aarch64-linux-gnu",
    "-nostdlib",
    "-shared",
    "-fPIC",
    "-fuse-ld=lld",
    "-Wl,-z,force-bti,-s",
  ];
  const path = link("clang", "bare.c", ...arm);
  if (path !== undefined) samples.push(readFileSync(path));
  fuzzParser("findPltStubs", samples, (bytes) => findPltStubs(new ElfFile(bytes)), { mutations: 5_000 });
});

Deno.test("many stubs that share one slot, one long name or its parts give names in proportion to the file", () => {
  const many = 20_000;
  const long = "n".repeat(500_000);
  const oneSlot = findPltStubs(new ElfFile(pltElf({ names: [long], stubs: many })))!;
  assertEquals(oneSlot.count, 1);
  assert(oneSlot.strings.length <= 0x10000);
  // Each stub has a slot of its own, and a name that begins one byte further on in one string.
  const bytes = pltElf({ names: Array.from({ length: many }, () => ""), overlapping: long });
  const start = performance.now();
  const parts = findPltStubs(new ElfFile(bytes))!;
  const ms = performance.now() - start;
  console.log(
    `${bytes.length} bytes, ${parts.count} stubs, ${parts.strings.length} bytes of names, ${ms.toFixed(0)} ms`,
  );
  assertEquals(parts.count, many);
  assert(parts.strings.length < 2 * long.length + (1 << 17) + many * (256 + 8));
  assert(ms < 3000);
});

Deno.test("relocation sections that name the same bytes over and over are read once", () => {
  const bytes = pltElf({ names: ["f"], rela: { sh_flags: 0n }, relative: 100_000, copies: 5_000 });
  const start = performance.now();
  assertEquals(findPltStubs(new ElfFile(bytes)), undefined);
  const ms = performance.now() - start;
  console.log(`5,000 sections of 100,000 relocations: ${ms.toFixed(0)} ms`);
  assert(ms < 500);
});
