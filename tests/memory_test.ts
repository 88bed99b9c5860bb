// The VMA table, /proc/PID/maps, and mapped files.
import { assertEquals, assertGreater, assertInstanceOf, assertThrows } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { AddressSpace, FormatError, mappedFile, parseProcMaps, type Vma } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { fuzzParser } from "./fuzz.ts";

const MAPS = `\
00400000-00401000 r--p 00000000 fe:00 2154859                    /opt/my app/tool
00401000-00402000 r-xp 00001000 fe:00 2154859                    /opt/my app/tool
5612144f6000-561214517000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000001000 rw-p 00000000 00:00 0 
7f0000001000-7f0000002000 r-xp 00000000 fe:00 17                 /var/new\\012line (deleted)
7f0000002000-7f0000003000 rw-s 00000000 00:01 2049               /memfd:jit (deleted)
7f3216f18000-7f3216f1a000 r-xp 00000000 00:00 0                          [vdso]
7f3216f1b000-7f3216f1c000 r-xp fffffffffffff000 fe:00 3 /usr/lib/ld.so
7ffc65b91000-7ffc65bb2000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`;

Deno.test("parseProcMaps() reads spaces, escapes, deleted files, special names and huge addresses", () => {
  const entries = parseProcMaps(MAPS);
  assertEquals(entries.map((entry) => [entry.path, entry.deleted]), [
    ["/opt/my app/tool", false],
    ["/opt/my app/tool", false],
    ["[heap]", false],
    ["", false],
    ["/var/new\nline", true],
    ["/memfd:jit", true],
    ["[vdso]", false],
    ["/usr/lib/ld.so", false],
    ["[stack]", false],
    ["[vsyscall]", false],
  ]);
  assertEquals(entries[1], {
    start: 0x401000n,
    end: 0x402000n,
    perms: "r-xp",
    offset: 0x1000n,
    dev: "fe:00",
    inode: 2154859n,
    path: "/opt/my app/tool",
    deleted: false,
  });
  assertEquals(entries[7].offset, 0xfffffffffffff000n);
  assertEquals(entries[9].start, 0xffffffffff600000n);
  assertEquals(parseProcMaps(""), []);
  assertEquals(parseProcMaps("00400000-00401000 r--p 00000000 fe:00 1").length, 1);
});

Deno.test("parseProcMaps() names the line, its offset and its text where the text is not of the form", () => {
  const first = MAPS.split("\n")[0];
  for (
    const line of [
      "x",
      "00400000-00401000",
      "00400000-00401000 r--z 00000000 fe:00 1 /a",
      "00401000-00401000 r--p 00000000 fe:00 1 /a",
      "100000000000000000-1000000000000000000 r--p 00000000 fe:00 1 /a",
      "00401001-00402000 r--p 00000000 fe:00 1 /a",
      "00401000-00402000 r--p 00000004 fe:00 1 /a",
      "00400000-00402000 r--p 00000000 fe:00 1 /overlaps",
    ]
  ) {
    const error = assertThrows(() => parseProcMaps(`${first}\n${line}\n`), FormatError);
    assertInstanceOf(error, FormatError);
    assertEquals([error.offset, error.field], [first.length + 1, "line 2"], line);
  }
});

Deno.test("parseProcMaps() takes every character in a path but a line feed", () => {
  for (const path of ["/a\rb", "/a\u2028b", "/a\u2029b", "/a\tb", "/ü\u{1f600}"]) {
    const [entry] = parseProcMaps(`00400000-00401000 r-xp 00000000 fe:00 1    ${path}\n`);
    assertEquals(entry.path, path);
  }
});

Deno.test("fromProcMaps() tells two deleted files of one name apart", () => {
  const inodes: bigint[] = [];
  const space = AddressSpace.fromProcMaps(
    "00400000-00401000 r-xp 00000000 fe:00 1 /a (deleted)\n00401000-00402000 r-xp 00000000 fe:00 2 /a (deleted)\n",
    (_, { inode }) => {
      inodes.push(inode);
      return mappedFile(new Uint8Array(4096));
    },
  );
  assertEquals(inodes, [1n, 2n]);
  assertEquals(space.vmas[0].file === space.vmas[1].file, false);
});

Deno.test("fromProcMaps() opens each path once, deleted ones under their marked name, and leaves out [vsyscall]", () => {
  const asked: string[] = [];
  const space = AddressSpace.fromProcMaps(MAPS, (path, entry) => {
    asked.push(`${path} ${entry.deleted}`);
    return mappedFile(new Uint8Array(4096));
  });
  assertEquals(asked, [
    "/opt/my app/tool false",
    "/var/new\nline (deleted) true",
    "/memfd:jit (deleted) true",
    "/usr/lib/ld.so false",
  ]);
  assertEquals(space.vmas.length, 9);
  assertEquals(space.vmas[0].file, space.vmas[1].file);
  assertEquals(space.findVma(0xffffffffff600000n), undefined);
  assertEquals(space.vmas[7].pgoff, 0xfffffffffffffn);
});

Deno.test("fromProcMaps() takes a file that can't be opened as one with no page in the page cache", () => {
  const space = AddressSpace.fromProcMaps(MAPS, () => undefined);
  assertEquals(space.vmas[0].file?.readPage(0), undefined);
});

Deno.test("fromProcMaps() reads this process's own maps", { ignore: !existsSync("/proc/self/maps") }, () => {
  const text = readFileSync("/proc/self/maps", "utf8");
  const space = AddressSpace.fromProcMaps(text, () => undefined);
  assertGreater(space.vmas.length, 10);
  assertEquals(parseProcMaps(text).length, text.trimEnd().split("\n").length);
});

Deno.test("findVma() finds the first mapping that ends above the address, as a scan does", () => {
  const random = new SeededRandom(3);
  for (let round = 0; round < 20; round++) {
    const vmas: Vma[] = [];
    let at = BigInt(random.below(5)) << 12n;
    for (let i = random.below(40); i > 0; i--) {
      const start = at + (BigInt(random.below(3)) << 12n);
      const end = start + (BigInt(1 + random.below(3)) << 12n);
      vmas.push({ start, end, pgoff: 0n });
      at = end;
      if (random.chance(0.1)) at += 0x7f00_0000_0000n;
    }
    const space = new AddressSpace(vmas.toReversed());
    const probes = vmas.flatMap(({ start, end }) => [start - 1n, start, start + 1n, end - 1n, end, end + 1n]);
    for (const ip of [0n, ...probes.filter((ip) => ip >= 0n), 2n ** 64n - 1n]) {
      assertEquals(space.findVma(ip)?.start, vmas.find((vma) => vma.end > ip)?.start, `${ip}`);
    }
  }
});

Deno.test("new AddressSpace() refuses mappings that no process has", () => {
  const bad: Vma[][] = [
    [{ start: 0x1000n, end: 0x1000n, pgoff: 0n }],
    [{ start: -0x1000n, end: 0x1000n, pgoff: 0n }],
    [{ start: 0x1000n, end: 2n ** 64n + 0x1000n, pgoff: 0n }],
    [{ start: 0x1001n, end: 0x3000n, pgoff: 0n }],
    [{ start: 0x1000n, end: 0x2000n, pgoff: -1n }],
    [{ start: 0x1000n, end: 0x3000n, pgoff: 0n }, { start: 0x2000n, end: 0x4000n, pgoff: 0n }],
  ];
  for (const vmas of bad) assertThrows(() => new AddressSpace(vmas), RangeError, "mapping");
  assertEquals(new AddressSpace([{ start: 2n ** 64n - 0x1000n, end: 2n ** 64n, pgoff: 0n }]).vmas.length, 1);
});

Deno.test("mappedFile() gives whole pages, the last zero-filled, none past the end", () => {
  const bytes = Uint8Array.from({ length: 4097 }, (_, i) => i % 251);
  const file = mappedFile(bytes);
  assertEquals(file.readPage(0), bytes.slice(0, 4096));
  assertEquals(file.readPage(1)?.length, 4096);
  assertEquals([...file.readPage(1)!.subarray(0, 2)], [4096 % 251, 0]);
  for (const index of [2, -1, 2 ** 40, NaN]) assertEquals(file.readPage(index), undefined);
  assertEquals(mappedFile(new Uint8Array(0)).readPage(0), undefined);
});

Deno.test("parseProcMaps() survives truncation and mutations", () => {
  const samples = [MAPS, MAPS.slice(0, 200)].map((text) => new TextEncoder().encode(text));
  fuzzParser("parseProcMaps", samples, (bytes) => parseProcMaps(new TextDecoder().decode(bytes)));
  fuzzParser("fromProcMaps", samples, (bytes) => {
    AddressSpace.fromProcMaps(new TextDecoder().decode(bytes), () => undefined).findVma(0x401000n);
  }, { mutations: 20_000 });
});
