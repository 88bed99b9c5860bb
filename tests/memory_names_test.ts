// Names of addresses out of /proc/kallsyms, perf maps and /proc/PID/maps: known answers, oracles, hostile texts.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { type AddressNames, parseKallsyms, parsePerfMap } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { MappingNames } from "../src/memory/mapping_names.ts";
import { fuzzParser } from "./fuzz.ts";
import { assertGrowth, milliseconds } from "./growth.ts";

const SEED = Date.now() % 1_000_000;

const hiOf = (address: bigint) => Number(address >> 32n);
const loOf = (address: bigint) => Number(address & 0xffff_ffffn);
const lookup = (names: AddressNames, address: bigint) => names.lookup(hiOf(address), loOf(address));
const shown = (names: AddressNames, address: bigint): string | undefined => {
  const found = lookup(names, address);
  return found && `${found.name}+0x${found.offset.toString(16)}`;
};

const KALLSYMS = `\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000100 t static_one
ffffffff81000180 D data_in_between
ffffffff81000200 W weak_one
ffffffff81000200 T strong
ffffffff81000300 t __local_longer_name
ffffffff81000300 T __global
ffffffff81000300 T ___global_longer
ffffffff81000400 T __se_sys_read
ffffffff81000400 T __x64_sys_read
ffffffffc0302000 t bpf_prog_6deef7357e7b4530\t[bpf]
ffffffffc0201000 t nft_do_chain\t[nf_tables]
ffffffffffffffff T last
`;

Deno.test("parseKallsyms() names functions up to the next symbol, modules with their brackets", () => {
  const names = parseKallsyms(KALLSYMS);
  assertEquals([names.skipped, names.restricted], [0, false]);
  const cases: [bigint, string | undefined][] = [
    [0x10n, undefined], // not a function
    [0xffffffff80ffffffn, undefined],
    [0xffffffff81000000n, "_stext+0x0"],
    [0xffffffff810000ffn, "_stext+0xff"],
    [0xffffffff8100017fn, "static_one+0x7f"],
    [0xffffffff81000180n, undefined], // data begins
    [0xffffffff81000200n, "strong+0x0"],
    [0xffffffff81000300n, "__global+0x0"],
    [0xffffffff810004ffn, "__x64_sys_read+0xff"],
    [0xffffffff811003ffn, "__x64_sys_read+0xfffff"],
    [0xffffffff81100400n, undefined], // 1 MiB behind: no function is as long
    [0xffffffffc0201004n, "nft_do_chain [nf_tables]+0x4"],
    [0xffffffffc0302000n, "bpf_prog_6deef7357e7b4530 [bpf]+0x0"],
    [0xfffffffffffffffen, undefined],
    [0xffffffffffffffffn, "last+0x0"],
  ];
  for (const [address, expected] of cases) assertEquals(shown(names, address), expected, address.toString(16));
});

Deno.test("parseKallsyms() recognises hidden addresses, and skips and counts what is no line", () => {
  const hidden = parseKallsyms("0000000000000000 T _stext\n0000000000000000 t schedule\n");
  assertEquals([hidden.restricted, hidden.find(0, 0), hidden.skipped], [true, -1, 0]);
  const none = parseKallsyms("");
  assertEquals([none.restricted, none.find(0, 0), none.subset({ hi: [0], lo: [0] })], [false, -1, ""]);
  const text = "10 T a\n20 TT b\nx T c\n 30 T d\n40  e\n50 T \n60 T\n12345678901234567 T f\n\n70 T g";
  const names = parseKallsyms(text);
  assertEquals(names.skipped, 7);
  assertEquals([shown(names, 0x6fn), shown(names, 0x70n)], ["a+0x5f", "g+0x0"]);
  assertThrows(() => names.name(-1), RangeError);
  assertThrows(() => names.name(9), RangeError);
});

Deno.test("parsePerfMap() reads names with spaces, pointers, saturating sizes and halves of lines", () => {
  const text =
    "7f0000001000 80 JS:*add /srv/my app.js:3:1\n0x7f0000002000 0x10 $erl:f/1\n7f0000003000 0 nothing\n" +
    "7f0000004000 20\n7f0000004000 20 \nzz 20 x\nFFFFFFFFFFFFFF00 FFFFFFFFFFFFFFFF top\n7f0000005000 1";
  const names = parsePerfMap(text);
  assertEquals(names.skipped, 4);
  assertEquals(lookup(names, 0x7f000000107fn), { name: "JS:*add /srv/my app.js:3:1", offset: 0x7f });
  assertEquals(lookup(names, 0x7f0000001080n), undefined);
  assertEquals(shown(names, 0x7f000000200fn), "$erl:f/1+0xf");
  assertEquals(lookup(names, 0x7f0000003000n), undefined);
  assertEquals(shown(names, 0xffffffffffffffffn), "top+0xff");
});

/** What the text of kallsyms says of an address, the long way: the last symbol that is not above it. */
function oracle(lines: [bigint, string, string][], address: bigint): string | undefined {
  let start = -1n, end = 1n << 64n;
  for (const [at] of lines) {
    if (at <= address && at > start) start = at;
    if (at > address && at < end) end = at;
  }
  if (start < 0n || address - start >= 1n << 20n) return undefined;
  const there = lines.filter(([at, type]) => at === start && "tTwW".includes(type));
  const bars = (name: string) => name.length - name.replace(/^_+/, "").length;
  const length = (name: string) => name.split("\t")[0].length;
  // Sorting is stable: the first of equals stays the first.
  there.sort(([, a, one], [, b, other]) =>
    Number("wW".includes(a)) - Number("wW".includes(b)) || Number("tw".includes(a)) - Number("tw".includes(b)) ||
    bars(one) - bars(other) || length(other) - length(one)
  );
  return there.length === 0 ? undefined : `${there[0][2].replace("\t", " ")}+0x${(address - start).toString(16)}`;
}

Deno.test("parseKallsyms() answers as a search through all lines does, here for the running kernel", () => {
  const text = existsSync("/proc/kallsyms") ? readFileSync("/proc/kallsyms", "latin1") : "";
  const names = parseKallsyms(text);
  if (text === "" || names.restricted) {
    console.log("skipped: /proc/kallsyms is not there, or hides addresses");
    return;
  }
  assertEquals(names.skipped, 0);
  const lines = text.trimEnd().split("\n").map((line): [bigint, string, string] => {
    const [address, type] = line.split(" ", 2);
    return [BigInt(`0x${address}`), type, line.slice(address.length + 3)];
  });
  const random = new SeededRandom(SEED);
  const addresses = Array.from({ length: 60 }, (_, i) => {
    const [start] = lines[random.below(lines.length)];
    const near = BigInt(random.below(i % 10 === 0 ? 1 << 22 : 200)) - (i % 3 === 0 ? 100n : 0n);
    return BigInt.asUintN(64, start + near);
  });
  // Symbols that share an address are where rules decide.
  for (let i = 1; i < lines.length && addresses.length < 80; i++) {
    if (lines[i][0] === lines[i - 1][0] && random.chance(0.1)) addresses.push(lines[i][0] + 1n);
  }
  const part = parseKallsyms(names.subset({ hi: addresses.map(hiOf), lo: addresses.map(loOf) }));
  for (const address of addresses) {
    const expected = oracle(lines, address);
    assertEquals(shown(names, address), expected, `seed ${SEED}: ${address.toString(16)}`);
    assertEquals(shown(part, address), expected, `seed ${SEED}, subset: ${address.toString(16)}`);
  }
});

Deno.test("parsePerfMap() lets the later of overlapping lines win, as painting byte by byte does", () => {
  console.log(`perf map overlaps: seed ${SEED}`);
  const random = new SeededRandom(SEED);
  for (const base of [0x7f0000001000n, 0x7ffffff80n, 0xffffffffffffff00n]) {
    for (let round = 0; round < 30; round++) {
      const painted: (number | undefined)[] = new Array(256).fill(undefined);
      const starts: bigint[] = [];
      let text = "", malformed = 0;
      const lines = 1 + random.below(60);
      for (let line = 0; line < lines; line++) {
        if (random.chance(0.05)) {
          text += ["7f00\n", "7f00 10\n", "q 10 name\n", "7f00  name\n"][random.below(4)];
          malformed++;
        }
        const at = random.below(random.chance(0.5) ? 256 : 8);
        const size = random.chance(0.1) ? 0 : random.below(random.chance(0.3) ? 200 : 20);
        starts.push(base + BigInt(at));
        text += `${starts[line].toString(16)} ${size.toString(16)} f ${line}\n`;
        painted.fill(line, at, Math.min(256, at + size));
      }
      const names = parsePerfMap(text);
      assertEquals(names.skipped, malformed);
      const some = Array.from({ length: 20 }, () => random.below(256));
      const part = parsePerfMap(
        names.subset({ hi: some.map((i) => hiOf(base + BigInt(i))), lo: some.map((i) => loOf(base + BigInt(i))) }),
      );
      painted.forEach((line, i) => {
        const address = base + BigInt(i);
        if (address >= 1n << 64n) return;
        const expected = line === undefined
          ? undefined
          : { name: `f ${line}`, offset: Number(address - starts[line]) };
        assertEquals(
          lookup(names, address),
          expected,
          `seed ${SEED}, round ${round}: ${address.toString(16)}\n${text}`,
        );
        if (some.includes(i)) assertEquals(lookup(part, address), expected, `seed ${SEED}, round ${round}, subset`);
      });
    }
  }
});

Deno.test("parsePerfMap() takes 100,000 lines that lie within each other, and as many at one place, in its stride", () => {
  const nested: string[] = [];
  const same: string[] = [];
  for (let i = 0; i < 100_000; i++) {
    nested.push(`${(0x10000000 + i).toString(16)} ${(400_000 - 2 * i).toString(16)} n${i}\n`);
    same.push(`10000000 ${(200_000 - i).toString(16)} s${i}\n`);
  }
  const start = performance.now();
  const inside = parsePerfMap(nested.join(""));
  const outside = parsePerfMap(nested.reverse().join(""));
  const stacked = parsePerfMap(same.join(""));
  assert(performance.now() - start < 20_000);
  assertEquals(inside.lookup(0, 0x10000000 + 5), { name: "n5", offset: 0 });
  assertEquals(inside.lookup(0, 0x10000000 + 399_999), { name: "n0", offset: 399_999 });
  assertEquals(outside.lookup(0, 0x10000000 + 99_999), { name: "n0", offset: 99_999 });
  assertEquals(stacked.lookup(0, 0x10000000), { name: "s99999", offset: 0 });
  assertEquals(stacked.lookup(0, 0x10000000 + 150_000), { name: "s49999", offset: 150_000 });
});

Deno.test("parsePerfMap() takes time in proportion to its lines where many that are over lie below one that is not", () => {
  const random = new SeededRandom(SEED);
  const texts = [50_000, 400_000].map((lines) => {
    let text = `10000000 ${(lines * 32).toString(16)} all\n`;
    for (let i = 0; i < lines; i++) {
      const at = 0x10000000 + random.below(lines * 16);
      text += `${at.toString(16)} ${(1 + random.below(4096)).toString(16)} f\n`;
    }
    return text;
  });
  parsePerfMap(texts[0]);
  const [small, large] = texts.map((text) => () => milliseconds(() => parsePerfMap(text)));
  assertGrowth(`50,000 lines, and 8 times as many; seed ${SEED}`, small, large, { times: 40, least: 1, rounds: 2 });
});

Deno.test("names are cut where they come in, and lines with long names and numbers are looked at once", () => {
  const long = "x".repeat(1 << 20);
  const start = performance.now();
  // Any number of symbols at one address, of which one has a long name: each is compared to the best before it.
  const kallsyms = parseKallsyms(`10 T ${long}\n${"10 T b\n".repeat(100_000)}`);
  const perfMap = parsePerfMap(`10 10 ${long}y\n20 10 ${long}z\n${"0".repeat(1 << 20)}30 10 name\n`);
  assertEquals(kallsyms.lookup(0, 0x10)?.name.length, 4096 - 24 + 9);
  const names = [0x10, 0x20, 0x30].map((at) => perfMap.lookup(0, at)?.name);
  assertEquals(names.map((name) => name?.slice(0, 2)), ["xx", "xx", undefined]);
  assert(names[0] !== names[1]);
  assertEquals(perfMap.skipped, 1);
  // Lines of nothing take no room.
  assertEquals(parsePerfMap("\n".repeat(1 << 22)).find(0, 0), -1);
  // Of a path the end is shown, however long it is.
  const maps = new MappingNames(`1000-2000 r-xp 0 0:0 1 /${"d/".repeat(4000)}lib.so\n`);
  assertEquals(maps.lookup(0, 0x1004, 0), "lib.so+0x4");
  assert(performance.now() - start < 10_000);
});

const MAPS = `\
55d000000000-55d000001000 r--p 00000000 fe:00 21                         /opt/my app/tool
55d000001000-55d000003000 r-xp 00001000 fe:00 21                         /opt/my app/tool
55d000100000-55d000200000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000001000 rwxp 00000000 00:00 0 
7f0000001000-7f0000002000 r-xp 00003000 fe:00 17                         /var/lib/libfoo.so (deleted)
7ffe00000000-7ffe00002000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`;

Deno.test("mappings name an address by file and offset, or by what is no file; half a text is enough", () => {
  const at = (names: MappingNames, address: bigint, back = 0) => names.lookup(hiOf(address), loOf(address), back);
  const names = new MappingNames(MAPS);
  assertEquals(at(names, 0x55d000001010n), "tool+0x1010");
  assertEquals(at(names, 0x55d000002fffn), "tool+0x2fff");
  assertEquals(at(names, 0x7f0000001004n), "libfoo.so+0x3004");
  assertEquals(at(names, 0x7f0000002000n), undefined);
  assertEquals(at(names, 0x7f0000002000n, 1), "libfoo.so+0x4000"); // a call at the very end
  assertEquals(at(names, 0x7f0000000010n), undefined);
  assertEquals([at(names, 0x55d000100000n), at(names, 0x7ffe00000800n)], ["[heap]", "[vdso]"]);
  assertEquals(at(names, 0xffffffffff600400n), "[vsyscall]");
  assertEquals([at(names, 0n), at(names, 0n, 1)], [undefined, undefined]);
  const hi = [0x7f00, 0x7f00, 0x55d0], lo = [0x1004, 0x10, 0x5000];
  assertEquals(names.subset({ hi, lo }), MAPS.split("\n").slice(3, 5).join("\n") + "\n");
  // Lines that a changing process leaves: overlapping, cut short.
  const odd = new MappingNames(
    "1000-3000 r-xp 0 0:0 1 /a\n2000-4000 r-xp 0 0:0 2 /b\n5000-5000 r-xp 0 0:0 2 /c\n6000-7000 r-x",
  );
  assertEquals([0x1fffn, 0x2000n, 0x5000n, 0x6000n].map((a) => at(odd, a)), [
    "a+0xfff",
    "b+0x0",
    undefined,
    undefined,
  ]);
});

Deno.test("parseKallsyms(), parsePerfMap() and mappings survive truncation and mutations of their texts", () => {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("latin1");
  const size = { mutations: 8000 };
  const hi = [0xffffffff, 0xffffffff, 0x7f00, 0x55d0, 0], lo = [0x81000300, 0xc0201004, 0x1050, 0x1010, 0];
  const walk = (names: AddressNames): void => {
    hi.forEach((upper, i) => names.lookup(upper, lo[i]));
    names.subset({ hi, lo });
  };
  fuzzParser("kallsyms", [encoder.encode(KALLSYMS)], (bytes) => walk(parseKallsyms(decoder.decode(bytes))), size);
  const perfMap = "7f0000001000 80 a b\n7f0000001040 20 c\n7f0000001000 4 d\n55d000001000 1000 e\n";
  fuzzParser("perf map", [encoder.encode(perfMap)], (bytes) => walk(parsePerfMap(decoder.decode(bytes))), size);
  fuzzParser("maps", [encoder.encode(MAPS)], (bytes) => {
    const names = new MappingNames(decoder.decode(bytes));
    hi.forEach((upper, i) => names.lookup(upper, lo[i], i % 2));
    names.subset({ hi, lo });
  }, size);
});
