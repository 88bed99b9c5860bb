// Owns tests of `addr2line` and of how the command line finds debug files, on programs compiled here.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, runOn } from "./cli_run.ts";

const SOURCE = `
static int twice(int x) { __asm__ volatile("nop"); return x + x; }
__attribute__((noinline)) int work(int x) { return twice(x) * 3; }
int main(int argc, char **argv) { (void)argv; return work(argc); }
`;

const have = ["gcc", "objcopy", "addr2line", "nm"].every((tool) => spawnSync(tool, ["--version"]).status === 0);
const why = have ? "" : " (skipped: no gcc and binutils here)";

/** Makes programs in a directory of its own; `command` runs there and must succeed. */
async function inDirectory(
  test: (path: (name: string) => string, command: (...args: string[]) => string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "stackmap-addr2line-"));
  try {
    writeFileSync(join(directory, "a.c"), SOURCE);
    const command = (tool: string, ...args: string[]): string => {
      const { status, stdout, stderr } = spawnSync(tool, args, { cwd: directory, encoding: "utf8" });
      if (status !== 0) throw new Error(stderr);
      return stdout;
    };
    await test((name) => join(directory, name), command as (...args: string[]) => string);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Addresses of the bytes of work(). */
function addressesOf(nm: string): string[] {
  const [, at, size] = /^([0-9a-f]+) ([0-9a-f]+) T work$/m.exec(nm)!;
  return Array.from({ length: parseInt(size, 16) }, (_, i) => (parseInt(at, 16) + i).toString(16));
}

Deno.test({
  name: `addr2line prints what binutils' addr2line does, wherever the debug information is${why}`,
  ignore: !have,
  fn: () =>
    inDirectory(async (path, command) => {
      command("gcc", "-g", "-O2", "-Wl,--build-id", "-o", "whole", "a.c");
      const addresses = addressesOf(command("nm", "-S", "whole"));
      const expected = command("addr2line", "-f", "-i", "-e", "whole", ...addresses)
        .replace(/ \(discriminator \d+\)/g, "").trim().split("\n");
      const lines = (out: string) =>
        out.split("\n").filter((line) => line !== "").map((line) => line.replace(/(:\d+):\d+$/, "$1"));
      const check = async (...args: string[]): Promise<string> => {
        const { code, out, err } = await run("addr2line", "--why", "--elf", ...args, ...addresses);
        assertEquals([code, lines(out)], [0, expected], err);
        return err;
      };
      assertMatch(await check(path("whole")), /^files: \S+whole\n$/);
      // A separate file, by .gnu_debuglink; in a .build-id tree; one of another program is not used.
      command("objcopy", "--only-keep-debug", "whole", "stripped.debug");
      command("objcopy", "--strip-all", "--add-gnu-debuglink=stripped.debug", "whole", "stripped");
      assertMatch(await check(path("stripped")), /stripped\.debug\n$/);
      const id = /Build ID: ([0-9a-f]{40})/.exec(command("readelf", "-n", "whole"))![1];
      mkdirSync(path(`.build-id/${id.slice(0, 2)}`), { recursive: true });
      renameSync(path("stripped.debug"), path(`.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`));
      assertMatch(await check(path("stripped"), "--debug-root", path(".")), /\.build-id\S+\n$/);
      command("gcc", "-g", "-O1", "-o", "stripped.debug", "a.c");
      const other = await run("addr2line", "--why", "--elf", path("stripped"), addresses[0]);
      assertMatch(other.err, /stripped\.debug \(not used: .*\n0x[0-9a-f]+: stripped\n/);
      // The .dwo file is where the compiler put it, then elsewhere, then nowhere.
      command("gcc", "-g", "-O2", "-gsplit-dwarf", "-c", "a.c");
      command("gcc", "-Wl,--build-id", "-o", "split", "a.o");
      assertMatch(await check(path("split")), /a\.dwo\n$/);
      renameSync(path("a.dwo"), path("moved.dwo"));
      await check(path("split"), "--dwo", path("moved.dwo"));
      const missing = await run("addr2line", "--why", "--elf", path("split"), ...addresses);
      assertMatch(missing.err, /a\.dwo \(not found: inlined calls are missing\)/);
      // Offsets of a PIE's code are its addresses minus what its segment is apart; ids may be longer than a kernel's.
      for (const idOption of ["--build-id", `--build-id=0x${"ab".repeat(32)}`]) {
        command("gcc", "-g", "-O2", `-Wl,${idOption}`, "-o", "long", "a.c");
        const asked = addressesOf(command("nm", "-S", "long"));
        const load = /LOAD\s+0x([0-9a-f]+) 0x([0-9a-f]+) .* R E /.exec(command("readelf", "-lW", "long"))!;
        const apart = parseInt(load[2], 16) - parseInt(load[1], 16);
        const offsets = asked.map((address) => (parseInt(address, 16) - apart).toString(16));
        const byAddress = await run("addr2line", "--elf", path("long"), ...asked);
        const byOffset = await run("addr2line", "--offsets", "--elf", path("long"), ...offsets);
        assert(byAddress.out.includes("twice\n"));
        assertEquals(byOffset, byAddress);
      }
    }),
});

Deno.test({
  name: `addr2line reads addresses from standard input, demangles, and can leave inlined frames out${why}`,
  ignore: !have,
  fn: () =>
    inDirectory(async (path, command) => {
      writeFileSync(path("b.c"), SOURCE.replaceAll("work", "_ZN3foo4workEi"));
      command("gcc", "-g", "-O2", "-o", "b", "b.c");
      const [, at] = /^([0-9a-f]+) [0-9a-f]+ T _ZN3foo4workEi$/m.exec(command("nm", "-S", "b"))!;
      const input = `\n  0x${at}\n${at.toUpperCase()}\r\nffffffffffffffff\n`;
      const ask = (...args: string[]) =>
        runOn({ readInput: () => input }, "addr2line", "--elf", path("b"), ...args);
      const { code, out } = await ask("--no-inlines");
      assertEquals(code, 0);
      const [first, second, third] = out.split("\n\n");
      assertMatch(first, /^foo::work\(int\)\n.*b\.c:[23]:\d+$/);
      assertEquals([second, third], [first, "??\n??:0:0"]);
      assertMatch((await ask("--linkage-names")).out, /^twice\n.*\n_ZN3foo4workEi\n/);
      for (const wrong of ["zz", "0x", "123456789abcdef01", "-1"]) {
        const { code, err } = await runOn({ readInput: () => wrong }, "addr2line", "--elf", path("b"));
        assertEquals(code, 2);
        assertMatch(err, /is no address: hexadecimal, 64 bits/);
      }
    }),
});
