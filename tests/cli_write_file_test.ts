// Writing of result files: whole or not at all, through links, into pipes, and never over what is no file.
import { assertEquals, assertRejects } from "@std/assert";
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";
import { checkWritable, writeFile } from "../src/cli/write_file.ts";
import { inDirectory } from "./cli_run.ts";

const PIECES = [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)];

Deno.test("writeFile() puts a whole file in place, or leaves what was there", () =>
  inDirectory(async (dir) => {
    const path = `${dir}/out`;
    await checkWritable(path);
    assertEquals(readdirSync(dir), []);
    await writeFile(path, PIECES);
    assertEquals([...readFileSync(path)], [1, 2, 3]);
    chmodSync(path, 0o600);
    function* failing(): Generator<Uint8Array> {
      yield Uint8Array.of(9);
      throw new Error("half way");
    }
    await assertRejects(() => writeFile(path, failing()), Error, "half way");
    assertEquals([...readFileSync(path)], [1, 2, 3]);
    await writeFile(path, [Uint8Array.of(4)]);
    assertEquals([...readFileSync(path)], [4]);
    assertEquals(statSync(path).mode & 0o777, 0o600);
    assertEquals(readdirSync(dir), ["out"]);
  }));

Deno.test({
  name: "writeFile() writes what a link leads to, and into pipes; a directory is refused beforehand",
  ignore: process.platform === "win32",
  fn: () =>
    inDirectory(async (dir) => {
      writeFileSync(`${dir}/file`, "old");
      symlinkSync("file", `${dir}/link`);
      await checkWritable(`${dir}/link`);
      await writeFile(`${dir}/link`, PIECES);
      assertEquals([...readFileSync(`${dir}/file`)], [1, 2, 3]);
      assertEquals(lstatSync(`${dir}/link`).isSymbolicLink(), true);

      // What stands where a partial file could be is left alone.
      writeFileSync(`${dir}/victim`, "victim");
      symlinkSync("victim", `${dir}/file.partial`);
      await writeFile(`${dir}/file`, PIECES);
      assertEquals(readFileSync(`${dir}/victim`, "utf8"), "victim");

      execFileSync("mkfifo", [`${dir}/pipe`]);
      await checkWritable(`${dir}/pipe`);
      const writing = writeFile(`${dir}/pipe`, PIECES);
      // Nobody reads it yet; timers run all the same, and so do the handlers of signals.
      await new Promise((resolve) => setTimeout(resolve, 10));
      const reader = spawn("cat", [`${dir}/pipe`], { stdio: ["ignore", "pipe", "inherit"] });
      const read: number[] = [];
      reader.stdout.on("data", (piece: Uint8Array) => void read.push(...piece));
      const ended = new Promise((resolve) => reader.on("close", resolve));
      await writing;
      await ended;
      assertEquals(read, [1, 2, 3]);
      assertEquals(statSync(`${dir}/pipe`).isFIFO(), true);

      const long = "x".repeat(250);
      await checkWritable(`${dir}/${long}`);
      await writeFile(`${dir}/${long}`, PIECES);
      assertEquals([...readFileSync(`${dir}/${long}`)], [1, 2, 3]);

      mkdirSync(`${dir}/directory`);
      await assertRejects(() => checkWritable(`${dir}/directory`), Error, "is a directory");
      await assertRejects(() => checkWritable(`${dir}/absent/file`), Error, "absent/file can't be written: ENOENT");
      // procfs lets nobody make files, root least of all.
      if (existsSync("/proc/self")) {
        await assertRejects(() => checkWritable("/proc/file"), Error, "/proc/file can't be written: ");
      }
    }),
});
