// Owns what the tests of src/linux share: whether the kernel can be asked, a child in C, programs that count stacks.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { BPF_F_USER_STACK } from "../mod.ts";
import {
  BPF_FUNC_get_current_pid_tgid,
  BPF_FUNC_get_stackid,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
  BPF_MAP_TYPE_HASH,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BpfAssembler,
  BpfMap,
  BpfProgram,
  openRawTracepoint,
  whyNoBpf,
} from "../src/linux/linux.ts";

const reason = whyNoBpf();

/** For a test that asks the kernel: whether to skip it, and the reason as an end of its name. */
export const noBpf: { ignore: boolean; why: string } = {
  ignore: reason !== undefined,
  why: reason === undefined ? "" : ` (skipped: ${reason})`,
};

function hasGcc(): boolean {
  try {
    execFileSync("gcc", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The same for a test that also needs a C compiler. */
export const noBpfOrGcc: { ignore: boolean; why: string } = noBpf.ignore || hasGcc()
  ? noBpf
  : { ignore: true, why: " (skipped: gcc is missing)" };

/** System calls that the child makes, when told to. */
export const CHILD_CALLS = 500;

// Waits for a byte, works, says so, and waits for the end. Everything is in one file, with frame pointers;
// optimized, some functions would have none.
const CHILD = `
#include <sys/syscall.h>
#include <unistd.h>
volatile unsigned long sink;
__attribute__((noinline)) long inner(void) { long r = syscall(SYS_getppid); sink += r; return r; }
__attribute__((noinline)) long outer(void) { long r = inner(); sink += r; return r; }
__attribute__((noinline)) void spin(void) { while (sink + 1 != 0) sink++; }
int main(int argc, char **argv) {
  char c;
  if (read(0, &c, 1) != 1) return 1;
  if (c == 's') spin();
  for (int i = 0; i < ${CHILD_CALLS}; i++) outer();
  if (write(1, "done", 4) != 4) return 1;
  return read(0, &c, 1) == 0 ? 0 : 1;
}
`;

/** A running child, its program, and how to get rid of both. */
export interface Child extends Disposable {
  readonly pid: number;
  readonly path: string;
  /** Tells it to make its system calls, and waits until it has. */
  work(): Promise<void>;
  /** Tells it to use the CPU until it is killed. */
  spin(): void;
  /** Ends it at once. */
  kill(): Promise<void>;
}

/** gcc's options for frame pointers in all functions: on aarch64 those that call nothing go without otherwise. */
export const FRAME_POINTERS: readonly string[] = ["-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"];

/** Compiles the child and starts it. */
export function startChild(): Child {
  const directory = mkdtempSync(join(tmpdir(), "stackmap-linux-"));
  const path = join(directory, "child");
  writeFileSync(`${path}.c`, CHILD);
  const flags = ["-O0", "-static", ...FRAME_POINTERS, "-Wl,--build-id=sha1"];
  execFileSync("gcc", [...flags, "-o", path, `${path}.c`], { stdio: "pipe" });
  const child: ChildProcess = spawn(path, [], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  return {
    pid: child.pid!,
    path,
    async work() {
      const done = new Promise<void>((resolve) => child.stdout!.once("data", () => resolve()));
      child.stdin!.write("w");
      await done;
    },
    spin: () => void child.stdin!.write("s"),
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    [Symbol.dispose]() {
      child.kill("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A hash map of counts by stack id. */
export function countsMap(): BpfMap {
  return BpfMap.create({ type: BPF_MAP_TYPE_HASH, valueSize: 8, maxEntries: 1024, name: "counts" });
}

/** A program that counts the stacks of one process: `bpf_get_stackid(ctx, stacks, flags)`, then `counts[id]++`. */
export function countStacks(pid: number, stacks: BpfMap, counts: BpfMap, flags: number): Uint8Array {
  return new BpfAssembler()
    .alu("mov", "r6", "r1")
    .call(BPF_FUNC_get_current_pid_tgid)
    .alu("rsh", "r0", 32)
    .jump("jne", "r0", pid, "done")
    .alu("mov", "r1", "r6")
    .loadMapFd("r2", stacks.fd)
    .alu("mov", "r3", flags)
    .call(BPF_FUNC_get_stackid)
    .jump("jslt", "r0", 0, "done")
    .store(32, "r10", -4, "r0")
    .loadMapFd("r1", counts.fd)
    .alu("mov", "r2", "r10")
    .alu("add", "r2", -4)
    .call(BPF_FUNC_map_lookup_elem)
    .jump("jeq", "r0", 0, "first")
    .alu("mov", "r1", 1)
    .atomicAdd(64, "r0", 0, "r1")
    .goto("done")
    .label("first")
    .store(64, "r10", -16, 1)
    .loadMapFd("r1", counts.fd)
    .alu("mov", "r2", "r10")
    .alu("add", "r2", -4)
    .alu("mov", "r3", "r10")
    .alu("add", "r3", -16)
    .alu("mov", "r4", 0)
    .call(BPF_FUNC_map_update_elem)
    .label("done")
    .alu("mov", "r0", 0)
    .exit()
    .bytes();
}

/** Fills a stack map with user stacks of this process's own system calls; how many calls were made. */
export function fillStacks(map: BpfMap): number {
  const insns = new BpfAssembler()
    .alu("mov", "r6", "r1")
    .call(BPF_FUNC_get_current_pid_tgid)
    .alu("rsh", "r0", 32)
    .jump("jne", "r0", process.pid, "done")
    .alu("mov", "r1", "r6")
    .loadMapFd("r2", map.fd)
    .alu("mov", "r3", BPF_F_USER_STACK)
    .call(BPF_FUNC_get_stackid)
    .label("done")
    .alu("mov", "r0", 0)
    .exit()
    .bytes();
  using program = BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns });
  using _link = openRawTracepoint("sys_enter", program);
  let calls = 0;
  for (const path of ["/proc/self/status", "/proc/self/maps", "/etc/hostname"]) {
    for (let i = 0; i < 20; i++) {
      existsSync(path);
      readdirSync("/proc/self/fd");
      calls += 2;
    }
  }
  return calls;
}
