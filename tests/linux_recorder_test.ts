// Owns the tests of the recorder in src/linux: what the running kernel sampled is there, once, and nothing stays open.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { BPF_F_STACK_BUILD_ID, BuildIdIndex, decodeStacks, listStacks } from "../mod.ts";
import type { SampledStacks } from "../src/recording/sample_recording.ts";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BpfMap,
  LinuxError,
  StackRecorder,
  type StackRecorderOptions,
} from "../src/linux/linux.ts";
import { checkLookupAndDelete, RecorderMaps } from "../src/linux/recorder_maps.ts";
import { FRAME_POINTERS, noBpf, noBpfOrGcc } from "./linux_fixture.ts";

const EFAULT = -14;
const ENOSPC = -28;

// h: uses the CPU in hot(). t: so does a new thread in thread_work(), and a new process in child_work(). s: so do new
// threads in short_work(), one after another, for 3 ms each. m: calls itself on many paths.
const CHILD = `
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
volatile unsigned long sink;
#define WORK for (;;) for (int i = 0; i < 1000; i++) sink += i
__attribute__((noinline)) void hot(void) { WORK; }
__attribute__((noinline)) void *thread_work(void *p) { WORK; return p; }
__attribute__((noinline)) void *short_work(void *p) {
  struct timespec used;
  do {
    for (int i = 0; i < 100000; i++) sink += i;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  } while (used.tv_nsec < 3000000);
  return p;
}
__attribute__((noinline)) void child_work(void) { WORK; }
__attribute__((noinline)) void path(unsigned long way, int depth);
__attribute__((noinline)) void left(unsigned long way, int depth) { path(way >> 1, depth - 1); sink++; }
__attribute__((noinline)) void right(unsigned long way, int depth) { path(way >> 1, depth - 1); sink++; }
void path(unsigned long way, int depth) {
  if (depth == 0) { for (int i = 0; i < 300000; i++) sink += i; }
  else if (way & 1) right(way, depth);
  else left(way, depth);
  sink++;
}
int main(void) {
  char c;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (read(0, &c, 1) != 1) return 1;
  if (c == 'h') hot();
  if (c == 'm') for (unsigned long way = 1;; way = way * 25214903917 + 11) path(way >> 16, 12);
  pthread_t thread;
  while (c == 's') {
    pthread_create(&thread, 0, short_work, 0);
    pthread_join(thread, 0);
  }
  pthread_create(&thread, 0, thread_work, 0);
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    child_work();
  }
  pause();
}
`;

interface Target extends AsyncDisposable {
  readonly pid: number;
  readonly path: string;
  /** Says what to do: a letter of CHILD. */
  tell(what: string): void;
  kill(): Promise<void>;
}

let compiled: Uint8Array | undefined;

/** Compiles CHILD, once, to `target` in a new folder. */
function compile(): string {
  const directory = mkdtempSync(join(tmpdir(), "stackmap-recorder-"));
  const path = join(directory, "target");
  if (compiled === undefined) {
    writeFileSync(`${path}.c`, CHILD);
    const flags = ["-O1", "-fno-optimize-sibling-calls", ...FRAME_POINTERS, "-Wl,--build-id=sha1"];
    execFileSync("gcc", [...flags, "-pthread", "-o", path, `${path}.c`], { stdio: "pipe" });
    compiled = readFileSync(path);
  } else {
    // Not by this process: a descriptor that another test's child has inherited would make it "text file busy".
    execFileSync("sh", ["-c", 'cat > "$0" && chmod +x "$0"', path], { input: compiled });
  }
  return path;
}

function start(shell?: string): Target {
  const path = compile();
  const [command, args] = shell === undefined ? [path, []] : ["sh", ["-c", shell.replace("CMD", path)]];
  const child: ChildProcess = spawn(command, args, { stdio: ["pipe", "ignore", "inherit"] });
  const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const kill = (): Promise<void> => {
    child.kill("SIGKILL");
    return ended;
  };
  return {
    pid: child.pid!,
    path,
    tell: (what) => void child.stdin!.write(what),
    kill,
    async [Symbol.asyncDispose]() {
      await kill();
      rmSync(dirname(path), { recursive: true, force: true });
    },
  };
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Polls until there are that many samples, for 10 seconds at most; the processes that were reported. */
async function pollUntil(recorder: StackRecorder, samples: number): Promise<number[]> {
  const pids: number[] = [];
  for (const end = Date.now() + 10_000; recorder.samples < samples && Date.now() < end;) {
    await pause(25);
    pids.push(...recorder.poll());
  }
  assert(recorder.samples >= samples, `${recorder.samples} samples of ${samples}`);
  return pids;
}

const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0);

/** What always holds. */
function checkSound(recorder: StackRecorder, stacks: SampledStacks): void {
  const { userDepth, kernelDepth, userStacks, kernelStacks, pid, userStack, kernelStack, count, uncounted } =
    stacks;
  assertEquals(sum(count) + uncounted, recorder.samples);
  assertEquals([userStack.length, kernelStack.length, count.length], [pid.length, pid.length, pid.length]);
  const layouts = [[userStacks, userStack, userDepth, 32], [kernelStacks, kernelStack, kernelDepth, 8]] as const;
  for (const [dump, numbers, depth, frameSize] of layouts) {
    const mapFlags = frameSize === 32 ? BPF_F_STACK_BUILD_ID : 0;
    const listed = listStacks(decodeStacks(dump, { valueSize: frameSize * depth, mapFlags }));
    assertEquals(listed.map(({ id }) => id), listed.map((_, i) => i));
    assert(listed.every(({ frames }) => frames.length > 0));
    assertEquals(depth, Math.max(1, ...listed.map(({ frames }) => frames.length)));
    assert(numbers.every((number) => number < listed.length && number >= -4095));
    // Each stack is somebody's, and each is there once.
    assertEquals(new Set(numbers.filter((number) => number >= 0)).size, listed.length);
    const texts = listed.map(({ frames }) => frames.map((f) => `${f.status} ${f.build_id} ${f.offset}`).join());
    assertEquals(new Set(texts).size, listed.length);
  }
  assertEquals(new Set([...pid].map((each, i) => `${each} ${userStack[i]} ${kernelStack[i]}`)).size, pid.length);
}

/** Samples of each function that is on top of a user stack of that file. */
function hottest(stacks: SampledStacks, file: string): Map<string, { samples: number; pids: Set<number> }> {
  const index = new BuildIdIndex();
  index.add(readFileSync(file));
  const layout = { valueSize: 32 * stacks.userDepth, mapFlags: BPF_F_STACK_BUILD_ID };
  const names = listStacks(decodeStacks(stacks.userStacks, layout)).map(({ frames: [top] }) =>
    top.status === 1 ? index.resolve(top.build_id, top.offset).symbol?.name ?? "?" : "?"
  );
  const found = new Map<string, { samples: number; pids: Set<number> }>();
  stacks.count.forEach((count, i) => {
    const name = names[stacks.userStack[i]] ?? "none";
    const entry = found.get(name) ?? { samples: 0, pids: new Set() };
    entry.samples += count;
    entry.pids.add(stacks.pid[i]);
    found.set(name, entry);
  });
  return found;
}

Deno.test({
  name: `a recorder samples a busy process, and what it says adds up${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  async fn() {
    await using target = start();
    using recorder = StackRecorder.open({ pid: target.pid, frequency: 997, entries: 256 });
    target.tell("h");
    await pause(30);
    assertEquals([recorder.poll(), recorder.samples], [[], 0]); // not started
    recorder.start();
    recorder.start();
    assertEquals(await pollUntil(recorder, 100), [target.pid]);
    const during = recorder.take();
    assert(sum(during.count) >= 100);
    await pollUntil(recorder, recorder.samples + 30);
    recorder.stop();
    recorder.stop();
    const stacks = recorder.take();
    const { samples } = recorder;
    await pause(30);
    recorder.poll();
    assertEquals(recorder.samples, samples); // it has stopped
    checkSound(recorder, stacks);
    assertEquals(recorder.take(), stacks);
    assertEquals([...stacks.pid.slice(0, during.pid.length)], [...during.pid]);
    assertEquals(new Set(stacks.pid), new Set([target.pid]));
    assertEquals(recorder.comm(target.pid), "target");
    const { progress } = recorder;
    assertEquals([progress.processes, progress.samples], [1, samples]);
    const found = hottest(stacks, target.path);
    assert(found.get("hot")!.samples > 0.7 * samples, `hot() has ${found.get("hot")?.samples} of ${samples}`);
    // And on again.
    recorder.start();
    await pollUntil(recorder, samples + 10);
    recorder.stop();
    checkSound(recorder, recorder.take());
  },
});

Deno.test({
  name: `threads and children made after the start are sampled, once each${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  async fn() {
    await using target = start();
    using recorder = StackRecorder.open({ pid: target.pid, frequency: 499, entries: 256 });
    recorder.start();
    const begun = performance.now();
    target.tell("t");
    const pids = await pollUntil(recorder, 150);
    recorder.stop();
    const seconds = (performance.now() - begun) / 1000;
    pids.push(...recorder.poll());
    const stacks = recorder.take();
    checkSound(recorder, stacks);
    const found = hottest(stacks, target.path);
    const [thread, child] = [found.get("thread_work"), found.get("child_work")];
    assertEquals(thread?.pids, new Set([target.pid]));
    assertEquals([child?.pids.size, child?.pids.has(target.pid)], [1, false]);
    assertEquals(new Set(pids), new Set(stacks.pid));
    // At most every tick of the clock is a sample of either, not two.
    for (const each of [thread!, child!]) assert(each.samples < 499 * seconds * 1.3 + 5, `${each.samples}`);
  },
});

Deno.test({
  name: `threads that live shorter than a sample's period are sampled in proportion${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  async fn() {
    await using target = start();
    using recorder = StackRecorder.open({ pid: target.pid, frequency: 250, entries: 256 });
    recorder.start();
    target.tell("s");
    await pollUntil(recorder, 60);
    recorder.stop();
    const stacks = recorder.take();
    checkSound(recorder, stacks);
    const samples = hottest(stacks, target.path).get("short_work")?.samples ?? 0;
    assert(samples > 0.6 * recorder.samples, `${samples} of ${recorder.samples}`);
  },
});

Deno.test({
  name: `enableOnExec begins when the process calls exec()${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  async fn() {
    await using target = start("kill -STOP $$; exec CMD");
    const state = (): string => /^State:\s*(\S)/m.exec(readFileSync(`/proc/${target.pid}/status`, "utf8"))![1];
    for (let i = 0; i < 200 && state() !== "T"; i++) await pause(10);
    using recorder = StackRecorder.open({ pid: target.pid, enableOnExec: true, frequency: 997, entries: 256 });
    recorder.start();
    target.tell("h");
    process.kill(target.pid, "SIGCONT");
    assertEquals(await pollUntil(recorder, 50), [target.pid]);
    const inHot = () => hottest(recorder.take(), target.path).get("hot")?.samples ?? 0;
    // Starting comes before, and takes a slow machine a while.
    for (const end = Date.now() + 10_000; inHot() <= 25 && Date.now() < end;) {
      await pollUntil(recorder, recorder.samples + 50);
    }
    recorder.stop();
    checkSound(recorder, recorder.take());
    assertEquals(recorder.comm(target.pid), "target");
    assert(inHot() > 25, `${inHot()} of ${recorder.samples}`);
  },
});

Deno.test({
  name: `a target that is killed half way loses nothing that was recorded${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  async fn() {
    await using target = start();
    using recorder = StackRecorder.open({ pid: target.pid, frequency: 997, entries: 256 });
    recorder.start();
    target.tell("h");
    await pollUntil(recorder, 50);
    const { samples } = recorder;
    await target.kill();
    recorder.poll();
    assert(recorder.samples >= samples);
    recorder.stop();
    const stacks = recorder.take();
    checkSound(recorder, stacks);
    assert(hottest(stacks, target.path).get("hot")!.samples >= 0.7 * samples);
    assertEquals(recorder.take(), stacks);
    recorder.close();
    recorder.close();
    assertEquals(recorder.take(), stacks);
  },
});

Deno.test({
  name: `maps for a few stacks are emptied in time, and every sample is accounted for${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  async fn() {
    await using target = start();
    using recorder = StackRecorder.open({ pid: target.pid, frequency: 997, entries: 16 });
    recorder.start();
    target.tell("m");
    const enough = (): boolean => recorder.progress.batches > 20 && recorder.progress.stacks > 100;
    for (const end = Date.now() + 10_000; !enough() && Date.now() < end;) {
      await pause(2);
      recorder.poll();
    }
    assert(enough(), JSON.stringify(recorder.progress));
    recorder.stop();
    const stacks = recorder.take();
    checkSound(recorder, stacks);
    const { lostUser, lostKernel, uncounted } = recorder.progress;
    // Only where the maps take turns twice while a sample is taken.
    assert(uncounted <= recorder.samples / 100, `${uncounted} of ${recorder.samples}`);
    const lost = (numbers: Int32Array): number =>
      sum(stacks.count.filter((_, i) => numbers[i] < 0 && numbers[i] !== EFAULT));
    assertEquals([lost(stacks.userStack), lost(stacks.kernelStack)], [lostUser, lostKernel]);
    const errors = [...stacks.userStack, ...stacks.kernelStack].filter((number) => number < 0);
    for (const errno of errors) assert([-12, EFAULT, -17].includes(errno), `${errno}`);
  },
});

Deno.test({
  name: `stacks that there is no room for are -ENOSPC, and every sample is accounted for${noBpfOrGcc.why}`,
  ignore: noBpfOrGcc.ignore,
  async fn() {
    await using target = start();
    using recorder = StackRecorder.open({ pid: target.pid, frequency: 997, entries: 512, stackBytes: 8192 });
    recorder.start();
    target.tell("m");
    for (const end = Date.now() + 10_000; recorder.progress.dropped < 20 && Date.now() < end;) {
      await pause(10);
      recorder.poll();
    }
    recorder.stop();
    const stacks = recorder.take();
    checkSound(recorder, stacks);
    const { userStacks, kernelStacks, userStack, kernelStack, count } = stacks;
    assert(userStacks.length > 0 && userStacks.length <= 8192 && kernelStacks.length <= 8192);
    const withoutRoom = [userStack, kernelStack].map((numbers) =>
      sum(count.filter((_, i) => numbers[i] === ENOSPC))
    );
    assert(withoutRoom[0] >= 20, `${withoutRoom}`);
    const { dropped, lostUser, lostKernel } = recorder.progress;
    assertEquals(dropped, sum(withoutRoom));
    const lost = (numbers: Int32Array): number =>
      sum(count.filter((_, i) => numbers[i] < 0 && numbers[i] !== EFAULT && numbers[i] !== ENOSPC));
    assertEquals([lost(userStack), lost(kernelStack)], [lostUser, lostKernel]);
  },
});

Deno.test({
  name: `where hash maps do not know look-up-and-delete, it is said at once, and nothing waits for it${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using hash = BpfMap.create({ type: BPF_MAP_TYPE_HASH, valueSize: 16, maxEntries: 1 });
    checkLookupAndDelete(hash);
    // Arrays refuse it as hash maps do before Linux 5.14.
    using array = BpfMap.create({ type: BPF_MAP_TYPE_ARRAY, valueSize: 16, maxEntries: 1 });
    const refused = assertThrows(() => checkLookupAndDelete(array), LinuxError, "needs Linux 5.14");
    assert(["ENOTSUPP", "EOPNOTSUPP", "EINVAL"].includes(refused.code), refused.code);
    const maps = new RecorderMaps({ user: true, kernel: true, depth: 1, entries: 1, every: 1 });
    maps.takeSeen(() => assert(false));
    maps.close();
    assertEquals(assertThrows(() => maps.takeSeen(() => assert(false)), LinuxError).code, "EBADF");
  },
});

Deno.test({
  name: `the whole machine is sampled, this process among it, and not idle CPUs${noBpf.why}`,
  ignore: noBpf.ignore,
  async fn() {
    using recorder = StackRecorder.open({ frequency: 499, kernel: false });
    recorder.start();
    const pids: number[] = [];
    for (const end = Date.now() + 10_000; !pids.includes(process.pid) && Date.now() < end;) {
      for (const until = Date.now() + 50; Date.now() < until;);
      pids.push(...recorder.poll());
      await pause(5);
    }
    recorder.stop();
    const stacks = recorder.take();
    checkSound(recorder, stacks);
    assert(pids.includes(process.pid));
    assertEquals(pids.length, new Set(pids).size);
    assert(!stacks.pid.includes(0));
    assertEquals([new Set(stacks.kernelStack), stacks.kernelStacks.length], [new Set([EFAULT]), 0]);
  },
});

Deno.test({
  name: `a recorder refuses what the kernel would, by name${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const refused = (options: StackRecorderOptions, message: RegExp): void => {
      const error = assertThrows(() => StackRecorder.open(options), RangeError);
      assert(message.test(error.message), error.message);
    };
    // The command line makes `--depth must be …` of it.
    refused(
      { depth: 100_000 },
      /^depth must be a whole number from 1 to \d+ \(kernel\.perf_event_max_stack\), not 100000$/,
    );
    refused({ depth: 0 }, /^depth .* not 0$/);
    refused({ frequency: 1e9 }, /^frequency .* \d+ \(kernel\.perf_event_max_sample_rate\), not 1000000000$/);
    refused({ frequency: 0 }, /^frequency /);
    refused({ entries: 0.5 }, /^entries must be a whole number from 1 to 1048576, not 0\.5$/);
    refused({ entries: 2 ** 20 + 1 }, /^entries /);
    refused({ stackBytes: -1 }, /^stackBytes /);
    refused({ pid: 0 }, /^pid /);
    assertThrows(() => StackRecorder.open({ enableOnExec: true }), TypeError, "pid");
    const error = assertThrows(() => StackRecorder.open({ pid: 2 ** 31 - 1, entries: 2 }), LinuxError);
    assertEquals([error.code, error.message.includes("no process 2147483647")], ["ESRCH", true]);
  },
});

Deno.test({
  name: `recorders that start and stop leave nothing open${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const script = fileURLToPath(new URL("linux_recorder_cycles.ts", import.meta.url));
    const flags = process.versions.deno === undefined ? [] : ["run", "--allow-all", "--no-check"];
    const cycles = process.env.LINUX_RECORDER_CYCLES ?? "20";
    const text = execFileSync(process.execPath, [...flags, script, cycles], { encoding: "utf8" });
    if (cycles !== "20") console.log(text);
    const { before, after, left, made } = JSON.parse(text);
    assertEquals([after, left], [before, 0]);
    assert(made >= 9 * Number(cycles));
  },
});
