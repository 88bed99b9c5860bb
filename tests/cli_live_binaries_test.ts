// What is learnt of processes while they are recorded: binaries that vanish or come late, the vDSO, bounds.
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";
import { type Host, openHost } from "../src/cli/host.ts";
import { CpuBudget } from "../src/cli/live/cpu_budget.ts";
import type { LiveLimits } from "../src/cli/live/limits.ts";
import { LocalBinaries } from "../src/cli/live/local_binaries.ts";
import { Mappings } from "../src/cli/live/mappings.ts";
import { ProcessWatch } from "../src/cli/live/process_watch.ts";
import { LocalSymbolizer, nameProcesses, userColumns } from "../src/cli/live/record_result.ts";
import { openRegular } from "../src/cli/live/regular_file.ts";
import { inDirectory, run } from "./cli_run.ts";
import { FRAME_POINTERS, noBpfOrGcc } from "./linux_fixture.ts";

// Works in a function named by the compiler's command line, for so many milliseconds; then becomes another program.
const WORK = `
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
volatile unsigned long sink;
__attribute__((noinline)) void WORK(long long milliseconds) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  long long end = t.tv_sec * 1000LL + t.tv_nsec / 1000000 + milliseconds;
  do {
    for (int i = 0; i < 50; i++) sink += i;
    clock_gettime(CLOCK_MONOTONIC, &t);
  } while (t.tv_sec * 1000LL + t.tv_nsec / 1000000 < end);
}
int main(int argc, char **argv) {
  WORK(atoi(argv[1]));
  return argc > 2 ? execv(argv[2], argv + 2) : 0;
}
`;

function compile(dir: string, name: string, buildId: string): string {
  writeFileSync(`${dir}/work.c`, WORK);
  const path = `${dir}/${name}`;
  const flags = ["-O0", ...FRAME_POINTERS, `-Wl,--build-id=${buildId}`, `-DWORK=work_of_${name}`];
  execFileSync("gcc", [...flags, "-o", path, `${dir}/work.c`]);
  return path;
}

/** A host whose standard error is kept. */
async function quietHost(): Promise<{ host: Host; told: () => string }> {
  let text = "";
  const host = { ...await openHost(), interactive: () => false, writeError: (t: string) => void (text += t) };
  return { host, told: () => text };
}

Deno.test({
  name: `record names the vDSO's functions, and those of a file with an id of 25 bytes${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      const clock = compile(dir, "clock", `0x${"5a".repeat(25)}`);
      const { code, out, err } = await run("record", "--frequency", "499", "--", clock, "300");
      assertEquals(code, 0, err);
      assertMatch(out, /^clock;.*main;work_of_clock \d+$/m);
      // x86-64 and aarch64 call it differently. libc's function, between the two, may have no frame.
      assertMatch(out, /^clock;.*main;.*__(?:vdso|kernel)_clock_gettime \d+$/m);
    }),
});

Deno.test({
  name: `record knows a program that was deleted, and one that a process became later${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      const first = compile(dir, "first", "sha1");
      const second = compile(dir, "second", "sha1");
      const gone = compile(dir, "gone", "sha1");
      const script = `${gone} 1500 & sleep 1; rm ${gone}; wait; exec ${first} 1000 ${second} 700`;
      const { code, out, err } = await run("record", "--frequency", "199", "--", "sh", "-c", script);
      assertEquals(code, 0, err);
      for (const name of ["gone", "first", "second"]) assertStringIncludes(out, `main;work_of_${name}`);
    }),
});

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

const linux = process.platform === "linux"
  ? { ignore: false, why: "" }
  : { ignore: true, why: " (skipped: there is no /proc)" };

/** Waits until a process has become "sleep" and does it, as long as a busy machine takes: its mappings are there. */
async function untilItSleeps(pid: number): Promise<void> {
  const stat = () => readFileSync(`/proc/${pid}/stat`, "utf8");
  for (const end = Date.now() + 20_000; !stat().startsWith(`${pid} (sleep) S`); await pause(5)) {
    assert(Date.now() < end, stat());
  }
}

/** Starts processes that do nothing, and ends them. */
async function withSleepers(count: number, work: (pids: number[]) => Promise<void> | void): Promise<void> {
  const children = Array.from({ length: count }, () => spawn("sleep", ["20"], { stdio: "ignore" }));
  const ended = children.map((child) => new Promise((resolve) => child.on("exit", resolve)));
  try {
    for (const { pid } of children) await untilItSleeps(pid!);
    await work(children.map(({ pid }) => pid!));
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(ended);
  }
}

Deno.test({
  name: `mappings are kept as far as the limits go, lines of code alone${linux.why}`,
  ignore: linux.ignore,
  fn: () =>
    withSleepers(3, async (pids) => {
      const look = async (limits: Partial<LiveLimits>) => {
        const { host, told } = await quietHost();
        using watch = new ProcessWatch(host, limits);
        for (const pid of pids) watch.see(pid, undefined);
        watch.finish();
        watch.binaries.leftOut.tell(host);
        return { processes: watch.processes, told: told() };
      };
      const all = await look({});
      assertEquals([all.told, all.processes.map(({ comm }) => comm)], ["", ["sleep", "sleep", "sleep"]]);
      const lines = all.processes[0].maps!.trimEnd().split("\n");
      assert(lines.some((line) => / r-xp .*\/(?:sleep|coreutils|busybox)/.test(line)), lines.join("\n"));
      assertEquals(lines.filter((line) => !/^\S+ ..x|\[(?:heap|stack)\]$/.test(line)), []);

      const cut = await look({ mapsBytes: 700 });
      assertMatch(cut.told, /^left out, mappings of a process beyond 700 bytes: sleep \(\d+\), sleep/);
      for (const { maps } of cut.processes) assert((maps ?? "").length <= 700 && !/[^\n]$/.test(maps ?? ""));
      const most = all.processes[0].maps!.length * 2 + 10;
      const total = await look({ allMapsBytes: most });
      assertStringIncludes(total.told, `in all: sleep (${pids[2]})\n`);
      assertEquals(total.processes.map(({ maps }) => maps === undefined), [false, false, true]);
    }),
});

Deno.test({
  name: `perf maps are read for processes that need them, and no more than the limits allow${linux.why}`,
  ignore: linux.ignore,
  fn: () =>
    withSleepers(3, async (pids) => {
      const text = Array.from({ length: 1000 }, (_, i) => `${(0x1000 * (i + 1)).toString(16)} 100 f${i}\n`).join(
        "",
      );
      try {
        for (const pid of pids) writeFileSync(`/tmp/perf-${pid}.map`, text);
        const { host, told } = await quietHost();
        using watch = new ProcessWatch(host, { allPerfMapsBytes: 1.5 * text.length, addresses: 4 });
        for (const pid of pids) watch.see(pid, undefined);
        watch.finish();
        // One stack of addresses: in f0, right after f1's last byte (a return address), in f2, in nothing.
        const value = new Uint8Array(4 + 4 * 32);
        const view = new DataView(value.buffer);
        [0x1010n, 0x2100n, 0x3001n, 0x50_0000_0000n].forEach((ip, i) => {
          view.setUint32(4 + 32 * i, 2, true);
          view.setBigUint64(4 + 32 * i + 24, ip, true);
        });
        // The first process has no samples; the others three counts each of the same stack.
        const [, second, third] = pids;
        const stacks = {
          depth: 4,
          userDepth: 4,
          kernelDepth: 1,
          userStacks: value,
          kernelStacks: new Uint8Array(0),
          pid: Uint32Array.of(second, third, second),
          userStack: Int32Array.of(0, 0, 0),
          kernelStack: Int32Array.of(-14, -14, -17),
          count: Float64Array.of(1, 1, 1),
          uncounted: 0,
        };
        const local = new LocalSymbolizer(host, undefined);
        const columns = userColumns(stacks);
        await nameProcesses(local, watch, stacks, columns, () => true);
        assertEquals(watch.processes.map(({ perfMap }) => perfMap), [undefined, undefined, undefined]);
        await nameProcesses(local, watch, stacks, columns, () => false);
        const needed = "1000 100 f0\n2000 100 f1\n3000 100 f2\n";
        assertEquals(watch.processes.map(({ perfMap }) => perfMap), [undefined, needed, undefined]);
        assertStringIncludes(told(), "left out, names of addresses: those beyond 4\n");

        const more = await quietHost();
        using again = new ProcessWatch(more.host, { allPerfMapsBytes: 1.5 * text.length });
        for (const pid of pids) again.see(pid, undefined);
        await nameProcesses(new LocalSymbolizer(more.host, undefined), again, stacks, columns, () => false);
        assertEquals(again.processes.map(({ perfMap }) => perfMap), [undefined, needed, undefined]);
        assertMatch(
          more.told(),
          new RegExp(`^left out, perf maps beyond .* in all: that of sleep \\(${third}, `),
        );
      } finally {
        for (const pid of pids) rmSync(`/tmp/perf-${pid}.map`, { force: true });
      }
    }),
});

Deno.test({
  name: `binaries are read up to the limits; files of holes, and what is no file, are not${linux.why}`,
  ignore: linux.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      // Any small ELF file will do.
      for (const name of ["a", "b", "holes"]) copyFileSync("/bin/true", `${dir}/${name}`);
      const { size } = statSync(`${dir}/a`);
      truncateSync(`${dir}/holes`, 1 << 30);
      const { host, told } = await quietHost();
      const take = (name: string, limits: Partial<LiveLimits>) => {
        const binaries = new LocalBinaries(host, limits);
        assertEquals(binaries.addPath(`${dir}/${name}`), true);
        const found = binaries.taken;
        return { binaries, found };
      };
      {
        const { binaries, found: [holes] } = take("holes", {});
        using _ = binaries;
        assertEquals([holes.isThere(), holes.read()], [true, undefined]);
        binaries.leftOut.tell(host);
        assertStringIncludes(told(), `left out, files that are mostly holes: ${dir}/holes (1 GiB)\n`);
      }
      {
        const { binaries, found: [, b] } = take("", { allFilesBytes: size + 1, fileBytes: 1 << 29 });
        using _ = binaries;
        assertEquals(binaries.taken.map((one) => one.read()?.length), [size, undefined, undefined]);
        rmSync(`${dir}/b`);
        assertEquals(b.isThere(), true); // it is open
        binaries.leftOut.tell(host);
        assertMatch(told(), /left out, files beyond [^:]* in all: [^:]*\/b \(/);
        assertMatch(told(), /left out, files of more than 512 MiB: [^:]*\/holes \(1 GiB\)/);
      }
      {
        const { binaries, found: [a] } = take("a", { openFiles: 0 });
        using _ = binaries;
        assertEquals(a.read()?.length, size);
        rmSync(`${dir}/a`);
        assertEquals([a.isThere(), a.read()], [false, undefined]);
      }
      execFileSync("mkfifo", [`${dir}/pipe`]);
      assertThrows(() => openRegular(`${dir}/pipe`), Error, "is no regular file"); // and does not wait
      assertThrows(() => openRegular(dir), Error);
    }),
});

Deno.test({
  name: `a share of CPU time is not used up by waiting for a CPU${linux.why}`,
  ignore: linux.ignore,
  fn() {
    let budget = new CpuBudget(0.001);
    assertEquals(budget.left, 50);
    const wait = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    budget.spend(wait);
    // The engine's own threads may have been at work meanwhile, compiling or collecting.
    for (let i = 0; budget.left <= 0 && i < 5; i++) {
      budget = new CpuBudget(0.001);
      budget.spend(wait);
    }
    assert(budget.left > 0, `${budget.left}`);
    const before = process.cpuUsage();
    budget.spend(() => {
      // Whichever is less counts: time by the clock, or that of all threads.
      const end = performance.now() + 60;
      for (let used = 0; used < 60_000 || performance.now() < end;) {
        const { user, system } = process.cpuUsage(before);
        used = user + system;
      }
    });
    assert(budget.left < 0, `${budget.left}`);
    assertThrows(
      () =>
        budget.spend(() => {
          throw new RangeError("as it is");
        }),
      RangeError,
      "as it is",
    );
  },
});

Deno.test("of mappings that overlap the later counts, and lines of another form are left out", () => {
  const line = (start: number, end: number, path: string) =>
    `${start.toString(16)}-${end.toString(16)} r-xp 00000000 fe:00 42 ${path}`;
  const text = [line(0x1000, 0x5000, "/old"), "garbage", line(0x2000, 0x3000, "/new"), "7f00-7"].join("\n");
  const mappings = new Mappings(text);
  const paths = [0xfff, 0x1000, 0x2000, 0x2fff, 0x3000, 0x5000].map((at) => mappings.at(0, at)?.path);
  assertEquals(paths, [undefined, "/old", "/new", "/new", "/old", undefined]);
});

Deno.test({
  name: `descriptors of binaries are closed with the watch${linux.why}`,
  ignore: linux.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      const { host } = await quietHost();
      // A program of its own: other tests of this process open and close files, too.
      copyFileSync("/bin/sleep", `${dir}/program`);
      chmodSync(`${dir}/program`, 0o755);
      const child = spawn(`${dir}/program`, ["60"], { stdio: "ignore" });
      const open = () =>
        readdirSync("/proc/self/fd").filter((fd) => linkOf(`/proc/self/fd/${fd}`) === `${dir}/program`).length;
      try {
        using watch = new ProcessWatch(host);
        for (let i = 0; open() === 0 && i < 100; i++) { // until it has called exec()
          watch.watchTarget(child.pid!);
          await pause(10);
        }
        assertEquals(open(), 1);
        watch.close();
        assertEquals(open(), 0);
      } finally {
        child.kill("SIGKILL");
      }
    }),
});

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // closed meanwhile
  }
}
