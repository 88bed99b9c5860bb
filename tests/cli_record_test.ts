// The command line on the running kernel: `record` of programs and the machine, `dump` of maps that others made.
import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { BPF_F_STACK_BUILD_ID, BPF_MAP_TYPE_STACK_TRACE, readRecording } from "../mod.ts";
import { BPF_MAP_TYPE_HASH, BpfMap } from "../src/linux/linux.ts";
import { inDirectory, run } from "./cli_run.ts";
import { fillStacks, FRAME_POINTERS, noBpf, noBpfOrGcc } from "./linux_fixture.ts";
import { readProfile } from "./pprof_reader.ts";
import { leftToDeno, notDeno } from "./left_out.ts";

const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

// Uses so many milliseconds of CPU time, however busy the machine is, in two functions with frame pointers, one of them called through another.
const BUSY = `
#include <stdlib.h>
#include <time.h>
volatile unsigned long sink;
__attribute__((noinline)) void inner(void) { for (int i = 0; i < 3000; i++) sink += i; }
__attribute__((noinline)) void outer(void) { inner(); sink++; }
__attribute__((noinline)) void other(void) { for (int i = 0; i < 1000; i++) sink ^= i; }
int main(int argc, char **argv) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  long long end = t.tv_sec * 1000LL + t.tv_nsec / 1000000 + atoi(argv[1]);
  do {
    for (int i = 0; i < 100; i++) { outer(); other(); }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  } while (t.tv_sec * 1000LL + t.tv_nsec / 1000000 < end);
  return argc > 2 ? 3 : 0;
}
`;

function compileBusy(dir: string, name = "busy", ...more: string[]): string {
  const path = `${dir}/${name}`;
  writeFileSync(`${path}.c`, BUSY);
  const flags = ["-O0", "-static", ...FRAME_POINTERS, "-Wl,--build-id=sha1", ...more];
  execFileSync("gcc", [...flags, "-o", path, `${path}.c`]);
  return path;
}

/** Samples by folded stack. */
function countsOf(folded: string): Map<string, number> {
  return new Map(
    folded.trimEnd().split("\n").map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

/** Runs the command line in a process of its own, as this runtime does. */
function startCli(
  ...args: string[]
): { pid: number; ended: Promise<{ code: number | null; out: string; err: string }> } {
  const runtime = "Deno" in globalThis ? ["run", "--allow-all", "--no-check", MAIN] : [MAIN];
  const child = spawn(process.execPath, [...runtime, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (piece) => void (out += piece));
  child.stderr.on("data", (piece) => void (err += piece));
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
  return { pid: child.pid!, ended };
}

/** Waits until a process has opened perf events, as long as a busy machine takes to start it. */
async function untilItSamples(pid: number): Promise<void> {
  const samples = () => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => {
        try {
          return readlinkSync(`/proc/${pid}/fd/${fd}`) === "anon_inode:[perf_event]";
        } catch {
          return false; // closed meanwhile
        }
      });
    } catch {
      return false;
    }
  };
  for (let i = 0; !samples() && i < 2000; i++) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Waits until a process has used so many more seconds of CPU time. */
async function untilItUsed(pid: number, seconds: number): Promise<void> {
  const used = () => {
    const [, behindName] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ");
    const [utime, stime] = behindName.split(" ").slice(11, 13).map(Number);
    return (utime + stime) / 100; // USER_HZ
  };
  const [until, end] = [used() + seconds, Date.now() + 20_000];
  while (used() < until && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
}

Deno.test("record and dump say what is wrong with a command line, on every machine", async () => {
  const cases: [string[], string][] = [
    [["record"], "--pid N, --all, or a command after --"],
    [["record", "--all", "--pid", "1"], "exclude each other"],
    [["record", "--all", "--", "true"], "exclude each other"],
    [["record", "--all", "--user", "--kernel"], "--user and --kernel exclude each other"],
    [["record", "--all", "--frequency", "0"], "--frequency is a whole number from 1"],
    [["dump", "17"], "what is 17? The map is named with --map"],
    [["dump", "--id-offset", "4"], "--id-offset is about the map of --counts"],
    [["symbolize", "--recording", "a", "--dump", "b"], "one --dump or --recording"],
    [["symbolize", "--recording", "a", "--counts", "b"], "--counts is about a dump"],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await run(...args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(err, message);
  }
});

Deno.test({
  name: `where BPF can't be had, record and dump say why and exit with 1`,
  ignore: !noBpf.ignore,
  async fn() {
    for (const args of [["record", "--all", "--seconds", "1"], ["dump"]]) {
      const { code, err } = await run(...args);
      assertEquals(code, 1);
      assertStringIncludes(noBpf.why, err.replace(/^stackmap: /, "").trim());
    }
  },
});

Deno.test({
  name: `record -- COMMAND samples it from its start; the recording gives the same elsewhere${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      const busy = compileBusy(dir);
      const file = `${dir}/busy.tar.gz`;
      const folded = `${dir}/busy.folded`;
      const [profile, picture] = [`${dir}/busy.pb.gz`, `${dir}/busy.svg`];
      const forms = ["--output", file, "--folded", folded, "--pprof", profile, "--svg", picture];
      const { code, out, err } = await run("record", "--frequency", "499", ...forms, "--", busy, "400", "fail");
      assertEquals([code, out], [0, ""], err);
      assertStringIncludes(err, "the command ended with exit code 3\n");
      assertMatch(err, /\d+ samples of 1 process in \d+\.\d s at 499 Hz\n/);
      const text = readFileSync(folded, "utf8");
      const counts = countsOf(text);
      const inner = counts.get("busy;__libc_start_call_main;main;outer;inner") ??
        [...counts].find(([stack]) => stack.endsWith("main;outer;inner"))?.[1] ?? 0;
      assertGreater(inner, 40, text);
      for (const stack of counts.keys()) assertMatch(stack, /^busy;/);
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
      const { samples } = readProfile(new Uint8Array(gunzipSync(readFileSync(profile))));
      assertEquals(samples.reduce((sum, { value }) => sum + value[0], 0), total);
      assert(samples.every(({ labels }) => labels.comm === "busy" && Number(labels.pid) > 1));
      assertMatch(readFileSync(picture, "utf8"), />inner\n/);

      // As on another machine, with the program alone.
      const again = await run("symbolize", "--recording", file, "--elf", busy);
      assertEquals([again.code, again.out], [0, text]);
      const { stacks, counts: byRow, sampling, binaries, processes } = await readRecording(readFileSync(file));
      assertEquals([...binaries.values()], [busy]);
      assertEquals([...processes.values()].map(({ comm }) => comm), ["busy"]);
      assertEquals(sampling?.frequency, 499);
      assertEquals(stacks.ids.length, byRow.size);
      assertEquals([...byRow.values()].reduce((sum, count) => sum + count, 0), total);
    }),
});

Deno.test({
  name: `Ctrl-C, and the target's death, end record cleanly: what was recorded is written${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      const busy = compileBusy(dir);
      for (const how of ["SIGINT", "SIGINT twice", "death"]) {
        const target = spawn(busy, ["20000"], { stdio: "ignore" });
        try {
          const file = `${dir}/${how.replace(" ", "-")}.tar.gz`;
          const cli = startCli("record", "--pid", `${target.pid}`, "--output", file, "--folded", "-");
          await untilItSamples(cli.pid);
          await untilItUsed(target.pid!, 0.7);
          if (how === "death") process.kill(target.pid!, "SIGKILL");
          else process.kill(cli.pid, "SIGINT");
          if (how === "SIGINT twice") process.kill(cli.pid, "SIGINT");
          const { code, out, err } = await cli.ended;
          assertEquals(code, 0, err);
          assertEquals(err.includes("has ended"), how === "death", err);
          // Whoever is impatient goes without names.
          const names = [...countsOf(out).keys()].some((stack) => stack.endsWith("main;outer;inner"));
          if (how !== "SIGINT twice") assert(names, out);
          assertGreater((await readRecording(readFileSync(file))).counts.size, 0);
          assertEquals(readdirSync(dir).filter((name) => name.endsWith(".partial")), []);
        } finally {
          target.kill("SIGKILL");
        }
      }
    }),
});

const node = hasNode() ? noBpf : { ignore: true, why: " (skipped: there is no node to be sampled)" };

function hasNode(): boolean {
  try {
    return execFileSync("node", ["--version"], { stdio: "pipe" }).length > 0;
  } catch {
    return false;
  }
}

Deno.test({
  name: `record names functions that node compiled, by its perf map, after its end${node.why}`,
  ignore: node.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      writeFileSync(
        `${dir}/app.js`,
        "function fibonacci(n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }\n" +
          "const end = Date.now() + 700; let sum = 0; while (Date.now() < end) sum += fibonacci(20);\n",
      );
      const options = ["--frequency", "499", "--folded", "-", "--output", `${dir}/node.tar.gz`];
      // node leaves files where it runs.
      const shell = ["sh", "-c", `cd ${dir} && exec node --perf-basic-prof app.js`];
      const { code, out, err } = await run("record", ...options, "--", ...shell);
      assertEquals(code, 0, err);
      assertMatch(out, /fibonacci[^;]*;[^;]*fibonacci/, err);
      const { stacks: { nameIndex, names }, processes } = await readRecording(readFileSync(`${dir}/node.tar.gz`));
      for (const pid of processes.keys()) rmSync(`/tmp/perf-${pid}.map`, { force: true });
      assert(nameIndex!.some((index) => /fibonacci .*app\.js/.test(names![index] ?? "")));
    }),
});

Deno.test({
  name: `record --all samples other processes, and the kernel's frames have names${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      const busy = compileBusy(dir);
      const target = spawn(busy, ["20000"], { stdio: "ignore" });
      // Most of its time it is in the kernel.
      const reader = spawn("dd", ["if=/dev/zero", "of=/dev/null", "bs=1M"], { stdio: "ignore" });
      try {
        const { code, out, err } = await run("record", "--all", "--seconds", "1", "--frequency", "199");
        assertEquals(code, 0, err);
        assert([...countsOf(out).keys()].some((stack) => /^busy;.*main;outer;inner/.test(stack)), out);
        assertMatch(out, /^dd;.*(?:read_zero|ksys_read|vfs_read)/m);
      } finally {
        target.kill("SIGKILL");
        reader.kill("SIGKILL");
      }
    }),
});

const unshare = notDeno
  ? { ignore: true, why: leftToDeno }
  : canUnshare()
  ? noBpfOrGcc
  : { ignore: true, why: " (skipped: unshare(1) makes no PID namespace)" };

function canUnshare(): boolean {
  try {
    execFileSync("unshare", ["--pid", "--fork", "--mount-proc", "true"], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

Deno.test({
  name: `record in a PID namespace numbers processes as that does, and says which are of others${unshare.why}`,
  ignore: unshare.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      const busy = compileBusy(dir);
      copyFileSync(busy, `${dir}/outside`);
      const nested = compileBusy(dir, "nested", "-Dinner=innermost");
      const outside = spawn(`${dir}/outside`, ["8000"], { stdio: "ignore" });
      try {
        const file = `${dir}/all.tar.gz`;
        const runtime = "Deno" in globalThis ? ["run", "--allow-all", "--no-check", MAIN] : [MAIN];
        const record = [
          "record",
          "--all",
          "--seconds",
          "1",
          "--frequency",
          "199",
          "--output",
          file,
          "--folded",
          "-",
        ];
        // Whatever still runs in the namespace ends with its first process, the shell.
        const script = '"$0" 8000 & unshare --pid --fork "$1" 8000 & shift; "$@"';
        const shell = ["sh", "-c", script, busy, nested, process.execPath, ...runtime, ...record];
        const out = execFileSync("unshare", ["--pid", "--fork", "--mount-proc", ...shell], { stdio: "pipe" });
        const stacks = [...countsOf(`${out}`).keys()];
        assert(stacks.some((stack) => /^busy;.*main;outer;inner/.test(stack)), `${out}`);
        assert(stacks.some((stack) => stack.startsWith("[other PID namespaces];")), `${out}`);
        // They have no number in the namespace, or one that the kernel does not tell; that of nested is in its /proc.
        assert(!stacks.some((stack) => /^(?:outside|nested);/.test(stack)), `${out}`);
        assert(
          stacks.some((stack) => /^\[other PID namespaces\];.*main;outer;innermost/.test(stack)),
          `${out}`,
        );
        const { processes, pids } = await readRecording(readFileSync(file));
        assertEquals(processes.get(0)?.comm, "[other PID namespaces]");
        const [pid = -1] = [...processes].find(([, { comm }]) => comm === "busy") ?? [];
        assert(pid > 1 && pid < 20 && pids.includes(pid), `${pid}`);
        outside.kill("SIGKILL");

        // With another namespace's /proc the numbers of processes are not those of system calls.
        const other = ["--pid", "--fork", process.execPath, ...runtime, "record", "--", "true"];
        const { status, stderr } = spawnSync("unshare", other, { encoding: "utf8" });
        assertEquals(status, 1);
        assertStringIncludes(stderr, "/proc is not of this process's PID namespace");
      } finally {
        outside.kill("SIGKILL");
      }
    }),
});

Deno.test({
  name: `dump reads maps by id and by pin, with counts, to folded stacks and raw records${noBpf.why}`,
  ignore: noBpf.ignore,
  fn: () =>
    inDirectory(async (dir) => {
      using map = BpfMap.create({
        type: BPF_MAP_TYPE_STACK_TRACE,
        valueSize: 127 * 32,
        maxEntries: 1024,
        mapFlags: BPF_F_STACK_BUILD_ID,
        name: "dump_me",
      });
      using counts = BpfMap.create({ type: BPF_MAP_TYPE_HASH, keySize: 16, valueSize: 8, maxEntries: 16 });
      assertGreater(fillStacks(map), 0);
      const id = `${map.info().id}`;
      const listed = await run("dump");
      assertEquals(listed.code, 0);
      assertMatch(listed.out, new RegExp(`^${id}\tdump_me\t1024 stacks of up to 127 frames, build IDs$`, "m"));

      const { code, out, err } = await run("dump", "--map", id);
      assertEquals(code, 0, err);
      const folded = countsOf(out);
      assertGreater(folded.size, 0);
      const files = ["--svg", `${dir}/map.svg`, "--folded", `${dir}/map.folded`];
      assertEquals((await run("dump", "--map", id, ...files)).out, "");
      assertEquals(readFileSync(`${dir}/map.folded`, "utf8"), out);
      assertStringIncludes(readFileSync(`${dir}/map.svg`, "utf8"), `map ${id}`);

      // As a tool that counts would: pid, padding, the stack's id.
      const key = new Uint8Array(16);
      const view = new DataView(key.buffer);
      const stack = map.nextKey()!;
      view.setUint32(0, process.pid, true);
      key.set(stack, 8);
      counts.update(key, Uint8Array.of(42, 0, 0, 0, 0, 0, 0, 0));
      view.setUint32(0, 1, true);
      view.setInt32(8, -17, true);
      counts.update(key, Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0));
      const options = ["--counts", `${counts.info().id}`, "--id-offset", "8", "--pid-offset", "0"];
      const counted = await run("dump", "--map", id, ...options);
      assertEquals(counted.code, 0, counted.err);
      assertEquals([...countsOf(counted.out).values()].sort((a, b) => a - b), [5, 42]);
      assertStringIncludes(counted.out, "[missing stack -17] 5\n");
      const own = await run("dump", "--map", id, ...options, "--pid", `${process.pid}`);
      assertEquals([...countsOf(own.out).values()], [42]);
      assertStringIncludes(
        (await run("dump", "--map", id, ...options, "--id-offset", "13")).err,
        "a key has 16 bytes",
      );

      const raw = await run("dump", "--map", id, "--raw", `${dir}/raw.bin`);
      assertEquals([raw.code, raw.out], [0, ""]);
      const offline = await run("symbolize", "--dump", `${dir}/raw.bin`);
      assertEquals(offline.code, 0);
      assertEquals(countsOf(offline.out).size > 0, true);

      assertStringIncludes((await run("dump", "--map", `${counts.info().id}`)).err, "is no stack map");
      assertStringIncludes((await run("dump", "--map", "4294967295")).err, "there is no object of that id");
      assertStringIncludes((await run("dump", "--map", `${dir}/nothing`)).err, "nothing is pinned there");
    }),
});
