// Owns tests of `gsym`: conversion of programs compiled here, wherever their debug information is; dump and lookup.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { inDirectory, run, runOn } from "./cli_run.ts";

const SOURCE = `
static int twice(int x) { __asm__ volatile("nop"); return x + x; }
__attribute__((noinline)) int work(int x) { return twice(x) * 3; }
int main(int argc, char **argv) { (void)argv; return work(argc); }
`;

const have = ["gcc", "objcopy", "nm", "readelf"].every((tool) => spawnSync(tool, ["--version"]).status === 0);
const why = have ? "" : " (skipped: no gcc and binutils here)";

function command(cwd: string, tool: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(tool, args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

Deno.test({
  name: `gsym convert finds the debug information, and lookup answers as addr2line does${why}`,
  ignore: !have,
  fn: () =>
    inDirectory(async (dir) => {
      writeFileSync(`${dir}/a.c`, SOURCE);
      command(dir, "gcc", "-g", "-O2", "-Wl,--build-id", "-o", "whole", "a.c");
      const [, at, size] = /^([0-9a-f]+) ([0-9a-f]+) T work$/m.exec(command(dir, "nm", "-S", "whole"))!;
      const addresses = Array.from({ length: parseInt(size, 16) }, (_, i) => (parseInt(at, 16) + i).toString(16));
      const { out: expected } = await run("addr2line", "--elf", `${dir}/whole`, ...addresses);
      assert(expected.includes("twice\n"));
      const check = async (...args: string[]): Promise<Uint8Array> => {
        const { code, out, err } = await run("gsym", "convert", ...args);
        assertEquals([code, err.replace(/\r[ 0-9%]*/g, "")], [0, ""]);
        const [, path] = /^(\S+): \d+ functions, \d+ of them known by symbols alone; \d+ bytes, /.exec(out)!;
        const found = await run("gsym", "lookup", path, ...addresses);
        assertEquals(found, { code: 0, err: "", out: expected.replace(/(:\d+):\d+\n/g, "$1\n") });
        return new Uint8Array(readFileSync(path));
      };
      const bytes = await check(`${dir}/whole`);
      assertEquals(bytes, await check(`${dir}/whole`, "--out", `${dir}/other.gsym`), "the same again");
      const second = await check(`${dir}/whole`, "--version", "2", "--compact", "--big-endian");
      assertEquals([...second.subarray(0, 6)], [0x47, 0x53, 0x59, 0x4d, 0, 2]);
      // What a separate debug file and its stripped executable say together is what the whole says.
      command(dir, "objcopy", "--only-keep-debug", "whole", "the.debug");
      command(dir, "objcopy", "--strip-all", "whole", "stripped");
      assertEquals(await check(`${dir}/stripped`, "--debug", `${dir}/the.debug`), bytes);
      const id = /Build ID: ([0-9a-f]{40})/.exec(command(dir, "readelf", "-n", "whole"))![1];
      mkdirSync(`${dir}/.build-id/${id.slice(0, 2)}`, { recursive: true });
      renameSync(`${dir}/the.debug`, `${dir}/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`);
      assertEquals(await check(`${dir}/stripped`, "--debug-root", dir), bytes);
      command(dir, "gcc", "-g", "-O2", "-gsplit-dwarf", "-Wl,--build-id", "-o", "split", "a.c");
      await check(`${dir}/split`);
      const dump = await run("gsym", "dump", `${dir}/whole.gsym`);
      assertMatch(
        dump.out,
        new RegExp(`^version +2\nbytes +\\d+, big-endian\nUUID +${id}\nbase .*\nfunctions +\\d+\nsegments +\\d`),
      );
      assertEquals(readdirSync(dir).filter((name) => name.endsWith(".partial")), []);
    }),
});

Deno.test("gsym says what is wrong, and leaves no half of a file behind", async () => {
  await inDirectory(async (dir) => {
    const path = (name: string) => `${dir}/${name}`;
    writeFileSync(path("text"), "no program");
    writeFileSync(path("cut.gsym"), Uint8Array.of(0x4d, 0x59, 0x53, 0x47, 1, 0, 4, 0));
    const header = new Uint8Array(64);
    header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    writeFileSync(path("empty"), header);
    const wrong: [args: string[], code: number, said: RegExp][] = [
      [["gsym"], 2, /needs convert, dump or lookup/],
      [["gsym", "make", path("text")], 2, /not "make"/],
      [["gsym", "convert", path("text"), path("text")], 2, /takes one file, not 2/],
      [["gsym", "convert", path("text"), "--version", "3"], 2, /--version is 1 or 2, not "3"/],
      [["gsym", "convert", path("text"), "--big-endian", "--little-endian"], 2, /exclude each other/],
      [["gsym", "convert", path("text"), "--out", path("text")], 2, /--out is .*text, which would be lost/],
      [["gsym", "convert", path("a"), "--debug", path("text"), "--out", path("text")], 2, /would be lost/],
      [["gsym", "convert", path("text")], 1, /text: e_ident.*ELF/],
      [["gsym", "convert", path("nothing")], 1, /nothing: /],
      [["gsym", "convert", path("empty")], 1, /neither symbols nor debug information/],
      [["gsym", "dump", path("text")], 1, /text: .*Magic/],
      [["gsym", "dump", path("cut.gsym")], 1, /cut\.gsym: /],
      [["gsym", "lookup", path("cut.gsym")], 2, /needs an address/],
      [["gsym", "lookup", path("cut.gsym"), "xyz"], 2, /"xyz" is no address/],
    ];
    for (const [args, code, said] of wrong) {
      const ran = await runOn({ interactive: () => false }, ...args);
      assertEquals([ran.code, ran.out], [code, ""], args.join(" "));
      assertMatch(ran.err, said);
    }
    assert(!existsSync(path("text.gsym")) && !existsSync(path("empty.gsym")));
    if (!have) return;
    writeFileSync(path("a.c"), SOURCE);
    command(dir, "gcc", "-g", "-o", "a", "a.c");
    mkdirSync(path("taken"));
    const ran = await run("gsym", "convert", path("a"), "--out", path("taken"));
    assertEquals(ran.code, 1);
    assertEquals(readdirSync(dir).sort(), ["a", "a.c", "cut.gsym", "empty", "taken", "text"]);
  });
});
