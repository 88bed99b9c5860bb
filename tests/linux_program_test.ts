// Owns the tests of programs, perf events, system calls and their errors on the running kernel.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { FormatError } from "../mod.ts";
import { viewOf } from "../src/base/bytes.ts";
import { linuxError } from "../src/linux/errors.ts";
import { bpf } from "../src/linux/syscall.ts";
import {
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BpfAssembler,
  BpfProgram,
  LinuxError,
  onlineCpus,
  openRawTracepoint,
  parseCpuList,
  PERF_COUNT_SW_CPU_CLOCK,
  PERF_COUNT_SW_TASK_CLOCK,
  PERF_TYPE_SOFTWARE,
  PerfEvent,
  PerfEvents,
  syscall,
  syscallNumbers,
  VerifierError,
  whyNoBpf,
} from "../src/linux/linux.ts";
import { noBpf } from "./linux_fixture.ts";
import { evaluate, needsHeaders } from "./uapi_gcc.ts";

const nothing = new BpfAssembler().alu("mov", "r0", 7).exit().bytes();
const clock = { type: PERF_TYPE_SOFTWARE, config: PERF_COUNT_SW_CPU_CLOCK, disabled: true };

function codeOf(call: () => unknown): string {
  return assertThrows(call, LinuxError).code;
}

Deno.test({
  name: `a program is loaded, found by its id, and run${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using program = BpfProgram.load({ type: BPF_PROG_TYPE_SOCKET_FILTER, insns: nothing, name: "seven" });
    const info = program.info();
    assertEquals([info.type, new TextDecoder().decode(info.name)], [1, "seven".padEnd(16, "\0")]);
    assertEquals([info.xlated_prog_len, info.nr_map_ids], [16, 0]);
    assert(BpfProgram.ids().includes(info.id));
    using again = BpfProgram.openById(info.id);
    assertEquals(again.info().tag, info.tag);
    assertEquals(again.testRun({ data: new Uint8Array(64), repeat: 3 }).returned, 7);
    using raw = BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns: nothing });
    assertEquals(raw.testRun({ context: new Uint8Array(16) }).returned, 7);
    assertEquals(codeOf(() => BpfProgram.openById(0xfffffffe)), "ENOENT");
    assertEquals(codeOf(() => raw.testRun({ data: new Uint8Array(64) })), "EINVAL");
  },
});

Deno.test({
  name: `what the verifier refuses is thrown with its log, however long that is${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const bad = new BpfAssembler().load(64, "r0", "r1", 4096).exit().bytes();
    const error = assertThrows(
      () => BpfProgram.load({ type: BPF_PROG_TYPE_SOCKET_FILTER, insns: bad }),
      VerifierError,
    );
    assert(error.log.includes("invalid bpf_context access"), error.log);
    assertEquals([error.code, error.errno, error.name], ["EACCES", 13, "VerifierError"]);
    // A log of more than the first buffer: many instructions before the mistake, each of them told.
    const long = new BpfAssembler();
    for (let i = 0; i < 2000; i++) long.alu("mov", "r3", i);
    const far = long.alu("mov", "r0", "r9").exit().bytes();
    const longer = assertThrows(
      () => BpfProgram.load({ type: BPF_PROG_TYPE_SOCKET_FILTER, insns: far, logLevel: 2 }),
      VerifierError,
    );
    assert(longer.log.length > 65536, String(longer.log.length));
    assert(longer.log.includes("R9 !read_ok") && longer.log.startsWith("func#0"), longer.log.slice(0, 80));
    using told = BpfProgram.load({ type: BPF_PROG_TYPE_SOCKET_FILTER, insns: nothing, logLevel: 1 });
    assert(told.log.includes("processed 2 insns"), told.log);
  },
});

Deno.test({
  name: `what the kernel refuses without a log is a LinuxError${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const error = assertThrows(() => BpfProgram.load({ type: 999, insns: nothing }), LinuxError);
    assertEquals([error.code, error.syscall, error instanceof VerifierError], [
      "EINVAL",
      "bpf(BPF_PROG_LOAD)",
      false,
    ]);
    assertThrows(() => BpfProgram.load({ type: 1, insns: new Uint8Array(7) }), RangeError, "8 bytes");
    using program = BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns: nothing });
    assertEquals(codeOf(() => openRawTracepoint("no_such_tracepoint", program)), "ENOENT");
    program.close();
    assertEquals(codeOf(() => openRawTracepoint("sys_enter", program)), "EBADF");
  },
});

Deno.test({
  name: `perf events count, alone and on every CPU${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using event = PerfEvent.open({ ...clock, config: PERF_COUNT_SW_TASK_CLOCK });
    assertEquals(event.read(), 0n);
    event.enable();
    for (const until = Date.now() + 5000; event.read() <= 1_000_000n && Date.now() < until;);
    event.disable();
    assert(event.read() > 1_000_000n, String(event.read()));
    event.reset();
    assertEquals(event.read(), 0n);
    assert(event.id() > 0n);
    using member = PerfEvent.open(clock, { group: event });
    assert(member.fd >= 0 && member.fd !== event.fd); // numbers are given out anew while other tests close theirs
    using all = PerfEvents.onCpus(clock);
    assertEquals(all.events.length, onlineCpus().length);
    all.enable();
    const counted = () => all.events.some((each) => each.read() > 0n);
    for (const until = Date.now() + 5000; !counted() && Date.now() < until;);
    all.disable();
    assert(counted(), "no CPU's clock went on");
    using threads = PerfEvents.onThreads(clock, [process.pid, 0x3fffffff]);
    assertEquals(threads.events.length, 1);
    assertEquals(codeOf(() => PerfEvents.onThreads(clock, [0x3fffffff])), "ESRCH");
    assertThrows(() => PerfEvents.onCpus(clock, -1, [0, 65535]), LinuxError);
    using raw = BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns: nothing });
    assertEquals(codeOf(() => all.setBpf(raw)), "EINVAL");
  },
});

Deno.test({
  name: `errno is the call's own, 100,000 times, whatever the collector does${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const attr = new Uint8Array(new ArrayBuffer(32));
    viewOf(attr).setUint32(0, 0x7fffffff, true);
    let garbage: number[][] = [];
    for (let i = 0; i < 50_000; i++) {
      if (bpf(1, attr) !== -9) throw new Error(`bpf() answered ${bpf(1, attr)} at ${i}`);
      if (bpf(99, attr) !== -22) throw new Error(`bpf() answered ${bpf(99, attr)} at ${i}`);
      garbage.push(new Array(20).fill(i));
      if (i % 1000 === 0) garbage = [];
    }
    assertEquals([syscall("close", -1), syscall("read", -1, attr, 1)], [-9, -9]);
    assertThrows(() => syscall("close", 1, 2, 3, 4, 5, 6, 7), TypeError, "six");
    const page = syscall("mmap", 0, 4096, 3, 0x22, -1, 0);
    assert(page > 4096);
    assertEquals(syscall("munmap", page, 4096), 0);
  },
});

const gcc = needsHeaders("asm/unistd.h", "asm-generic/unistd.h");
Deno.test({
  name: `system call numbers are those of the headers${gcc.why}`,
  ignore: gcc.ignore,
  fn() {
    const arm = Object.entries(syscallNumbers("aarch64"));
    const generic = evaluate(["asm-generic/unistd.h"], arm.map(([name]) => `__NR_${name}`));
    assertEquals(arm.map(([name, number]) => [name, BigInt(number)]), arm.map(([name], i) => [name, generic[i]]));
    if (process.arch !== "x64") return;
    const own = Object.entries(syscallNumbers("x64"));
    const theirs = evaluate(["asm/unistd.h"], own.map(([name]) => `__NR_${name}`));
    assertEquals(own.map(([name, number]) => [name, BigInt(number)]), own.map(([name], i) => [name, theirs[i]]));
  },
});

Deno.test("errors say what to do", () => {
  const text = (errno: number, call: string) => linuxError(-errno, call).message;
  assert(/CAP_BPF.*CAP_PERFMON.*CAP_SYS_ADMIN.*unprivileged_bpf_disabled/.test(text(1, "bpf(BPF_MAP_CREATE)")));
  assert(/CAP_PERFMON.*perf_event_paranoid/.test(text(13, "perf_event_open()")));
  assert(text(1, "bpf(BPF_OBJ_GET, /x)").includes("rights of the path"));
  assert(text(38, "bpf(BPF_MAP_CREATE)").includes("CONFIG_BPF_SYSCALL"));
  assert(text(38, "perf_event_open()").includes("CONFIG_PERF_EVENTS"));
  assert(text(24, "bpf(BPF_MAP_CREATE)").includes("ulimit -n"));
  assert(text(12, "bpf(BPF_MAP_CREATE)").includes("ulimit -l"));
  assert(text(2, "perf_event_open()").includes("CPU_CLOCK"));
  assert(text(2, "bpf(BPF_OBJ_GET, /x)").includes("nothing is pinned"));
  assertEquals(text(5, "close()"), "close(): EIO");
  assertEquals(linuxError(-9999, "x()").code, "UNKNOWN");
  assertEquals(codeOf(() => syscallNumbers("riscv64")), "UNKNOWN_ARCHITECTURE");
  const reason = whyNoBpf();
  assert(reason === undefined || reason.length > 10);
});

const isDeno = "version" in Deno; // elsewhere tests/runtime.ts gives it nothing but test()
Deno.test({
  name: `without --allow-ffi the error names it${isDeno ? "" : " (skipped: Deno's permissions)"}`,
  ignore: !isDeno || process.platform !== "linux",
  fn() {
    const directory = mkdtempSync(join(tmpdir(), "stackmap-ffi-"));
    try {
      const entry = new URL("../src/linux/linux.ts", import.meta.url).href;
      writeFileSync(join(directory, "a.ts"), `import { whyNoBpf } from "${entry}";\nconsole.log(whyNoBpf());\n`);
      const args = ["run", "--no-config", "--no-prompt", "--quiet", join(directory, "a.ts")];
      // node:child_process would start a Deno that may do everything.
      const { stdout } = new Deno.Command(Deno.execPath(), { args }).outputSync();
      assertEquals(
        new TextDecoder().decode(stdout),
        "dlopen(libc): NO_FFI_PERMISSION: run Deno with --allow-ffi\n",
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
});

Deno.test("parseCpuList() reads what the kernel writes, and nothing else", () => {
  assertEquals(parseCpuList("0\n"), [0]);
  assertEquals(parseCpuList("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
  assertEquals(parseCpuList("\n"), []);
  for (const bad of ["0-", "a", "3-1", "1,1", "0,,1", "0-99999", "-1", "0 1"]) {
    assertThrows(() => parseCpuList(bad), FormatError, "list of CPUs");
  }
});
