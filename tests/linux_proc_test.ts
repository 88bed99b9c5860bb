// Owns the tests of what src/linux reads of /proc: it is there, and no process makes it more than was asked for.
import { assert, assertEquals } from "@std/assert";
import { execFileSync, spawn } from "node:child_process";
import {
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  commOf,
  kallsyms,
  kernelRelease,
  machine,
  perfMapOf,
  perfMapOwner,
  pidNamespace,
  processMaps,
  startTimeOf,
  syscall,
  threadsOf,
} from "../src/linux/linux.ts";
import { noBpf } from "./linux_fixture.ts";

Deno.test({
  name: `/proc names this process, its threads, its mappings and the kernel${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    assert(threadsOf(process.pid).includes(process.pid));
    assertEquals([threadsOf(2 ** 31 - 1), commOf(2 ** 31 - 1), processMaps(2 ** 31 - 1)], [
      [],
      undefined,
      undefined,
    ]);
    assertEquals(commOf(process.pid), readFileSync("/proc/self/comm", "utf8").trimEnd());
    assert(processMaps(process.pid)!.includes("[vdso]"));
    assertEquals(processMaps(2), undefined); // kthreadd
    assert(/^[0-9a-f]+ \S /m.test(kallsyms()));
    assertEquals(`${kernelRelease()} ${machine()}\n`, execFileSync("uname", ["-rm"], { encoding: "utf8" }));
  },
});

Deno.test({
  name: `perfMapOf() reads the file of a process, and nothing that could be a trap${noBpf.why}`,
  ignore: noBpf.ignore || process.getuid?.() !== 0,
  async fn() {
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    const path = `/tmp/perf-${child.pid}.map`;
    try {
      assertEquals(perfMapOf(child.pid!), undefined);
      writeFileSync(path, "1000 10 f\n");
      assertEquals(perfMapOf(child.pid!), "1000 10 f\n");
      chownSync(path, 12345, 12345);
      assertEquals(perfMapOf(child.pid!), undefined);
      // A limit, and a file that is large, or says so.
      chownSync(path, 0, 0);
      const sizes: number[] = [];
      const limited = [10, 9].map((most) => perfMapOf(child.pid!, most, (size) => void sizes.push(size)));
      assertEquals([limited, sizes], [["1000 10 f\n", undefined], [10]]);
      truncateSync(path, 2 ** 26 + 1);
      assertEquals([perfMapOf(child.pid!), perfMapOf(child.pid!, 2 ** 40)], [undefined, undefined]);
      unlinkSync(path);
      symlinkSync("/etc/passwd", path);
      assertEquals(perfMapOf(child.pid!), undefined);
      unlinkSync(path);
      execFileSync("mkfifo", [path]);
      assertEquals(perfMapOf(child.pid!), undefined);
      unlinkSync(path);
      writeFileSync(path, "1000 10 g\n");
      // Its number alone says nothing any more when it has ended; what was known of it does.
      const owner = perfMapOwner(child.pid!);
      const ended = new Promise((resolve) => child.on("exit", resolve));
      child.kill("SIGKILL");
      await ended;
      assertEquals(perfMapOf(child.pid!), undefined);
      assertEquals(perfMapOf(owner!), "1000 10 g\n");
      assertEquals(perfMapOwner(child.pid!), undefined);
    } finally {
      rmSync(path, { force: true });
      child.kill("SIGKILL");
    }
  },
});

Deno.test({
  name: `the mappings of a process with long paths are read up to a limit, in whole lines${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const root = mkdtempSync(join(tmpdir(), "stackmap-proc-"));
    const mappings: number[] = [];
    try {
      const directory = join(root, ...Array(12).fill("long".repeat(60)));
      mkdirSync(directory, { recursive: true });
      const path = join(directory, "mapped");
      writeFileSync(path, new Uint8Array(4096));
      const file = openSync(path, "r");
      for (let i = 0; i < 60; i++) mappings.push(syscall("mmap", 0, 4096, 1, 2, file, 0));
      closeSync(file);
      assert(mappings.every((address) => address > 0));
      assert(processMaps(process.pid)!.split("\n").filter((line) => line.endsWith(path)).length >= 60);
      // The text changes from one look to the next; the first piece that the kernel gives does not in between.
      for (const most of [130_000, 65_536, 65_537, 5000]) {
        const text = processMaps(process.pid, most)!;
        assert(text.length <= most && text.length > most - 4000, `${text.length} of ${most}`);
        assert(text.endsWith("\n"));
        for (const line of text.trimEnd().split("\n")) assert(/^[0-9a-f]+-[0-9a-f]+ [-r][-w][-x][ps] /.test(line));
      }
      assertEquals([processMaps(process.pid, 10), processMaps(process.pid, 0)], [undefined, undefined]);
    } finally {
      for (const address of mappings) if (address > 0) syscall("munmap", address, 4096);
      rmSync(root, { recursive: true, force: true });
    }
  },
});

Deno.test({
  name: `a process is told from a later one of its number by when it started${noBpf.why}`,
  ignore: noBpf.ignore,
  async fn() {
    const directory = mkdtempSync(join(tmpdir(), "stackmap-proc-"));
    // A name that looks like the fields behind it.
    const path = join(directory, "a) S 1 (b) R 2");
    symlinkSync("/bin/sh", path);
    const child = spawn(path, ["-c", "read line"], { stdio: ["pipe", "ignore", "ignore"] });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    try {
      for (let i = 0; i < 200 && commOf(child.pid!) !== "a) S 1 (b) R 2"; i++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assertEquals(commOf(child.pid!), "a) S 1 (b) R 2");
      const started = startTimeOf(child.pid!);
      assert(/^[0-9]+$/.test(started!), started);
      assertEquals(startTimeOf(child.pid!), started);
      const [uptime] = readFileSync("/proc/uptime", "utf8").split(" ").map(Number);
      const age = uptime - Number(started) / 100; // USER_HZ
      assert(age > -1 && age < 60, `${age} s`);
      assert(Number(startTimeOf(process.pid)) <= Number(started));
    } finally {
      child.kill("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    }
    await ended;
    assertEquals([startTimeOf(child.pid!), startTimeOf(2 ** 31 - 1)], [undefined, undefined]);
    const link = readlinkSync("/proc/self/ns/pid");
    assertEquals(pidNamespace()?.initial, link === `pid:[${0xeffffffc}]`);
    assertEquals(`pid:[${pidNamespace()?.ino}]`, link);
  },
});
