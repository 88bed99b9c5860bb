// Owns the comparison of every constant of src/uapi with the system's C headers, and the errno table.
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import * as bpf from "../src/uapi/bpf.ts";
import type { StructLayout } from "../src/base/struct.ts";
import * as elf from "../src/uapi/elf.ts";
import { ERRNO, errnoName, KernelError } from "../mod.ts";
import { evaluate, macros, needsHeaders } from "./uapi_gcc.ts";

function numbersOf(module: object): [string, number][] {
  return Object.entries(module).filter((entry): entry is [string, number] => typeof entry[1] === "number");
}

const withBpf = needsHeaders("linux/bpf.h");
Deno.test({
  name: `the constants of src/uapi/bpf.ts are those of <linux/bpf.h>${withBpf.why}`,
  ignore: withBpf.ignore,
  fn() {
    const ours = numbersOf(bpf);
    assert(ours.length >= 20);
    const theirs = evaluate(["linux/bpf.h"], ours.map(([name]) => name));
    assertEquals(ours.map(([name, value]) => [name, BigInt(value)]), ours.map(([name], i) => [name, theirs[i]]));
  },
});

const withElf = needsHeaders("elf.h");
Deno.test({
  name: `the constants of src/uapi/elf.ts are those of <elf.h>${withElf.why}`,
  ignore: withElf.ignore,
  fn() {
    const ours = numbersOf(elf).filter(([name]) => name !== "ELFMAG"); // a string in C
    assert(ours.length >= 30);
    const theirs = evaluate(["elf.h"], ours.map(([name]) => name));
    assertEquals(ours.map(([name, value]) => [name, BigInt(value)]), ours.map(([name], i) => [name, theirs[i]]));
    const magic = evaluate(["elf.h"], [0, 1, 2, 3].map((i) => `(unsigned char)ELFMAG[${i}]`));
    assertEquals(BigInt(elf.ELFMAG), magic.reduce((word, byte) => word << 8n | byte));
  },
});

Deno.test({
  name: `the ELF layouts have the offsets and sizes of <elf.h>${withElf.why}`,
  ignore: withElf.ignore,
  fn() {
    const layouts: StructLayout[] = [
      ...Object.values(elf.ELF32),
      ...Object.values(elf.ELF64),
      { ...elf.NHDR, name: "Elf32_Nhdr" },
      { ...elf.NHDR, name: "Elf64_Nhdr" },
    ];
    const expressions = layouts.flatMap((layout) => [
      `sizeof(${layout.name})`,
      ...layout.fields.flatMap((field) => [
        `offsetof(${layout.name}, ${field.name})`,
        `sizeof(((${layout.name} *)0)->${field.name})`,
      ]),
    ]);
    const ours = layouts.flatMap((
      layout,
    ) => [layout.size, ...layout.fields.flatMap((field) => [field.offset, field.size])]);
    assertEquals(ours, evaluate(["elf.h"], expressions).map(Number));
    assertEquals(layouts.length, 10);
  },
});

const withErrno = needsHeaders("errno.h");
Deno.test({
  name: `ERRNO holds every errno of <errno.h> and nothing else but ENOTSUPP${withErrno.why}`,
  ignore: withErrno.ignore,
  fn() {
    // A macro whose text is another macro is a second name: EWOULDBLOCK, EDEADLOCK, ENOTSUP.
    const names = [...macros(["errno.h"])].filter(([name, text]) =>
      /^E[A-Z0-9]+$/.test(name) && /^\d+$/.test(text)
    );
    const theirs = Object.fromEntries(names.map(([name, text]) => [name, Number(text)]));
    assert(names.length > 100);
    const { ENOTSUPP, ...ours } = ERRNO;
    assertEquals(ours, theirs);
    assertEquals(ENOTSUPP, 524);
  },
});

Deno.test("errnoName() names each errno, whichever sign, and nothing else", () => {
  for (const [name, errno] of Object.entries(ERRNO)) {
    assertEquals(errnoName(errno), name);
    assertEquals(errnoName(-errno), name);
  }
  for (const errno of [0, 41, 58, 134, 523, 525, 4095, NaN, 1.5]) assertEquals(errnoName(errno), undefined);
});

Deno.test("KernelError carries the errno, its name and the reason", () => {
  const error = new KernelError("E2BIG", "max_entries is too large");
  assertInstanceOf(error, Error);
  assertEquals([error.name, error.errno, error.code, error.message], [
    "KernelError",
    7,
    "E2BIG",
    "E2BIG: max_entries is too large",
  ]);
});
