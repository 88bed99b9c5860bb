// Owns the tests on real programs: what gcc, strip and objcopy make, against nm, addr2line and readelf.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { assert, assertEquals } from "@std/assert";
import { BuildIdIndex, parsePhdrs, readBuildId, SymbolTable } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { toHex } from "../src/base/bytes.ts";

const TOOLS = ["gcc", "nm", "strip", "objcopy", "addr2line"];
const LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6";

function haveTools(): boolean {
  const missing = TOOLS.filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
  if (missing.length > 0) console.log(`skipped: not installed: ${missing}`);
  return missing.length === 0;
}

function haveLibc(): boolean {
  const have = existsSync(LIBC) && spawnSync("readelf", ["--version"]).status === 0;
  if (!have) console.log(`skipped: ${LIBC} or readelf is not there`);
  return have;
}

function run(tool: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(tool, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`${tool} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

const SOURCE = `
#include <stdio.h>
static int data = 3;
static __attribute__((noinline)) int helper(int x) { return x * data; }
__attribute__((noinline)) int exported(int x) { return helper(x) + 1; }
int alias(int x) __attribute__((alias("exported")));
__attribute__((weak, noinline)) int weakling(int x) { return x - data; }
static int one(void) { return 1; }
static int (*choose(void))(void) { return one; }
int chosen(void) __attribute__((ifunc("choose")));
__asm__(".text\\n.globl asm_label\\nasm_label:\\n nop\\n nop\\n ret\\n");
int main(int argc, char **argv) { printf("%d\\n", exported(argc) + weakling(2) + chosen()); return 0; }
`;

/** Compiles SOURCE in a directory that is removed after `use`. */
function compiled(flags: string[], use: (path: string) => void): void {
  const directory = mkdtempSync(`${tmpdir()}/stackmap-`);
  try {
    writeFileSync(`${directory}/program.c`, SOURCE);
    run("gcc", "-O1", ...flags, "-o", `${directory}/program`, `${directory}/program.c`);
    use(`${directory}/program`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Sized functions as nm prints them. */
function functionsOf(path: string): { name: string; address: bigint; size: bigint }[] {
  return [...run("nm", "-S", "--defined-only", path).matchAll(/^([0-9a-f]+) ([0-9a-f]+) [tTwWi] (\S+)$/gm)].map((
    m,
  ) => ({
    name: m[3],
    address: BigInt(`0x${m[1]}`),
    size: BigInt(`0x${m[2]}`),
  }));
}

/** File offset of a virtual address. */
function fileOffset(bytes: Uint8Array, address: bigint): bigint {
  const phdr = parsePhdrs(bytes).find((one) =>
    one.p_type === 1 && address >= one.p_vaddr && address < one.p_vaddr + one.p_filesz
  )!;
  return address - phdr.p_vaddr + phdr.p_offset;
}

for (
  const [what, flags] of [
    ["PIE", ["-pie", "-fPIE"]],
    ["non-PIE", ["-no-pie", "-fno-pie"]],
    ["gold PIE", ["-pie", "-fPIE", "-fuse-ld=gold"]],
  ] as const
) {
  Deno.test({
    name: `every byte of every function of a ${what} resolves as nm and addr2line say`,
    ignore: !haveTools() || (what === "gold PIE" && spawnSync("ld.gold", ["--version"]).status !== 0),
    fn() {
      compiled([...flags, "-Wl,--build-id=sha1"], (path) => {
        const bytes = readFileSync(path);
        const id = readBuildId(bytes)!;
        const functions = functionsOf(path);
        assert(functions.length > 5);
        const index = new BuildIdIndex();
        index.add(bytes, { name: path });
        const asked: string[] = [];
        const answers: string[] = [];
        for (const { address, size } of functions) {
          for (let at = address; at < address + size; at++) {
            const frame = index.resolve(id, fileOffset(bytes, at));
            assertEquals(frame.address, at);
            const accepted = functions.filter((f) => at >= f.address && at < f.address + f.size).map((f) => f.name);
            assert(accepted.includes(frame.symbol!.name), `${frame.symbol!.name} is none of ${accepted}`);
            asked.push(at.toString(16));
            answers.push(frame.symbol!.name);
          }
        }
        const theirs = run("addr2line", "-f", "-e", path, ...asked).split("\n").filter((_, i) => i % 2 === 0);
        const aliases = new Set(["exported", "alias", "choose", "chosen"]);
        answers.forEach((name, i) => {
          if (!aliases.has(name)) assertEquals(name, theirs[i], `at ${asked[i]}`);
          else assert(aliases.has(theirs[i]));
        });
        // The label has no size, so nm -S leaves it out.
        const label = /^([0-9a-f]+) T asm_label$/m.exec(run("nm", path))!;
        const at = BigInt(`0x${label[1]}`) + 2n;
        assertEquals(index.resolve(id, fileOffset(bytes, at)).symbol?.name, "asm_label");
      });
    },
  });

  Deno.test({
    name: `a stripped ${what}, its debug file, and both together resolve alike`,
    ignore: !haveTools() || (what === "gold PIE" && spawnSync("ld.gold", ["--version"]).status !== 0),
    fn() {
      compiled([...flags, "-g", "-Wl,--build-id=sha1"], (path) => {
        run("objcopy", "--only-keep-debug", path, `${path}.debug`);
        run("strip", "-o", `${path}.stripped`, path);
        const whole = readFileSync(path);
        const debug = readFileSync(`${path}.debug`);
        const stripped = readFileSync(`${path}.stripped`);
        const id = readBuildId(whole)!;
        assertEquals(readBuildId(debug), id);
        assertEquals(readBuildId(stripped), id);
        const offsets = functionsOf(path).map(({ address }) => fileOffset(whole, address));
        const names = (...files: Uint8Array[]) => {
          const index = new BuildIdIndex();
          const statuses = files.map((bytes) => index.add(bytes).status);
          return {
            statuses,
            frames: offsets.map((o) => index.resolve(id, o)).map((f) => [f.address, f.symbol?.name]),
            index,
          };
        };
        const expected = names(whole).frames;
        const fromDebug = names(debug);
        assertEquals(fromDebug.index.binaries[0].reconstructed, true);
        assertEquals(fromDebug.frames, expected);
        const both = names(stripped, debug);
        assertEquals([both.statuses, both.frames], [["added", "merged"], expected]);
        const reverse = names(debug, stripped);
        assertEquals([reverse.statuses, reverse.frames], [["added", "merged"], expected]);
        assertEquals(reverse.index.binaries[0].reconstructed, false);
        assertEquals(names(whole, debug, stripped).statuses, ["added", "duplicate", "duplicate"]);
        // Of the local functions a stripped file knows nothing.
        const alone = names(stripped).frames.map(([, name]) => name);
        assert(!alone.includes("helper") && !alone.includes("main"));
      });
    },
  });
}

Deno.test({
  name: "ids of 8, 16, 20 and 32 bytes set at link time are read, matched padded, and reported if too long",
  ignore: !haveTools(),
  fn() {
    for (const length of [8, 16, 20, 32]) {
      const id = Uint8Array.from({ length }, (_, i) => 0x11 + i);
      compiled([`-Wl,--build-id=0x${toHex(id)}`], (path) => {
        const bytes = readFileSync(path);
        assertEquals(readBuildId(bytes), id);
        const index = new BuildIdIndex();
        assertEquals(index.add(bytes).kernelReports, length <= 20);
        const main = functionsOf(path).find(({ name }) => name === "main")!;
        const kernelForm = new Uint8Array(20);
        kernelForm.set(id.subarray(0, 20));
        const { symbol, reason } = index.resolve(kernelForm, fileOffset(bytes, main.address));
        assertEquals(symbol?.name ?? reason, length <= 20 ? "main" : "no-such-binary");
      });
    }
    compiled(["-Wl,--build-id=none"], (path) => {
      assertEquals(new BuildIdIndex().add(readFileSync(path)).status, "no-build-id");
    });
  },
});

Deno.test({
  name: "random addresses of libc resolve to the functions that readelf lists there",
  ignore: !haveLibc(),
  fn() {
    const table = SymbolTable.fromElf(readFileSync(LIBC))!;
    assertEquals(table.kind, ".dynsym");
    const functions = [
      ...run("readelf", "--dyn-syms", "-W", LIBC).matchAll(
        /^ *\d+: ([0-9a-f]{16}) +(\d+|0x[0-9a-f]+) (FUNC|IFUNC|NOTYPE) +(\w+) +\w+ +\d+ (\S+)/gm,
      ),
    ].map((m) => ({ address: BigInt(`0x${m[1]}`), size: BigInt(m[2]), name: m[5].replace(/@.*/, "") }))
      .filter(({ size }) => size > 0n);
    assert(functions.length > 1000);
    const random = new SeededRandom(3);
    let found = 0;
    for (let i = 0; i < 5000; i++) {
      const near = functions[random.below(functions.length)];
      const address = near.address + BigInt(random.below(Number(near.size) + 16));
      const inside = functions.filter((f) => address >= f.address && address < f.address + f.size);
      const symbol = table.find(address);
      if (symbol !== undefined && symbol.size > 0n) {
        found++;
        assert(inside.some((f) => f.name === symbol.name), `${symbol.name} at 0x${address.toString(16)}`);
      } else if (symbol === undefined) {
        assertEquals(inside, []);
      }
    }
    assert(found > 4000);
  },
});
