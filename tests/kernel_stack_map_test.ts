// StackMap beyond the fixtures: each error, each context, commands, memory, traces, the 1,000,000-call simulation.
import { assertEquals, assertGreater, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import {
  AddressSpace,
  BPF_F_FAST_STACK_CMP,
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_REUSE_STACKID,
  BPF_F_STACK_BUILD_ID,
  BPF_F_USER_BUILD_ID,
  BPF_F_USER_STACK,
  BPF_F_WRONLY,
  BPF_STACK_BUILD_ID_IP,
  BPF_STACK_BUILD_ID_VALID,
  type CallContext,
  CallTrace,
  ERRNO,
  getStack,
  jhash2,
  KERNEL_RELEASES,
  KernelError,
  kernelProfile,
  type KernelRelease,
  mappedFile,
  StackBuildIdView,
  StackMap,
  type StackMapOptions,
} from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { buildElf } from "./kernel_elf.ts";

const LATER = KERNEL_RELEASES.slice(1);
const U = BPF_F_USER_STACK;
const stack = (...ips: (number | bigint)[]) => BigUint64Array.from(ips, BigInt);

// Finds two different stacks of one frame that share a bucket of `map`.
function colliding(buckets: number): [BigUint64Array, BigUint64Array] {
  const first = stack(0x1000);
  const idOf = (ips: BigUint64Array) => (jhash2(new Uint32Array(ips.buffer), 0) & (buckets - 1)) >>> 0;
  for (let ip = 0x2000;; ip++) if (idOf(stack(ip)) === idOf(first)) return [first, stack(ip)];
}

const ID = Uint8Array.from({ length: 20 }, (_, i) => i + 1);
const FILE = mappedFile(buildElf({ buildId: ID }));
const SPACE = new AddressSpace([
  { start: 0x400000n, end: 0x402000n, pgoff: 1n, file: FILE },
  { start: 0x402000n, end: 0x403000n, pgoff: 0n },
  { start: 0x500000n, end: 0x502000n, pgoff: 0n, file: FILE },
]);

Deno.test("getStackid() returns -EINVAL for unknown flags, also those above 32 bits", () => {
  const map = new StackMap({ valueSize: 16, maxEntries: 4 });
  for (const flags of [0x800, 0x10000, 0x80000000, 2 ** 40, 2 ** 40 + U, -1]) {
    assertEquals(map.getStackid(stack(1), flags), -ERRNO.EINVAL, `${flags}`);
  }
  assertThrows(() => map.getStackid(stack(1), 0.5), RangeError);
  assertThrows(() => map.getStackid(stack(1), NaN), RangeError);
});

Deno.test("getStackid() returns -EFAULT when the skip leaves no frame", () => {
  const map = new StackMap({ valueSize: 16, maxEntries: 4 });
  assertEquals(map.getStackid(stack(), U), -ERRNO.EFAULT);
  assertEquals(map.getStackid(stack(1, 2), U | 2), -ERRNO.EFAULT);
  assertEquals(map.getStackid(stack(1, 2), U | 255), -ERRNO.EFAULT);
  assertGreater(map.getStackid(stack(1, 2, 3), U | 2), -1);
});

Deno.test("getStackid() extends the depth by the skip since 6.1, up to perf_event_max_stack", () => {
  const ips = BigUint64Array.from({ length: 127 }, (_, i) => BigInt(i + 1));
  const kept = (perfEventMaxStack: number, skip: number, kernel: KernelRelease) => {
    const map = new StackMap({ valueSize: 8 * 8, maxEntries: 4 }, { kernel, perfEventMaxStack });
    const value = new Uint8Array(64);
    const id = map.getStackid(ips, U | skip);
    if (id < 0) return id;
    map.copy(id, value);
    return [...new BigUint64Array(value.buffer)].filter((ip) => ip !== 0n).map(Number);
  };
  for (const kernel of LATER) {
    assertEquals(kept(127, 3, kernel), [4, 5, 6, 7, 8, 9, 10, 11]);
    assertEquals(kept(10, 3, kernel), [4, 5, 6, 7, 8, 9, 10]);
  }
  assertEquals(kept(127, 3, "4.17"), [4, 5, 6, 7, 8]);
  assertEquals(kept(127, 8, "4.17"), -ERRNO.EFAULT);
});

Deno.test("getStackid() returns -EEXIST when another stack owns the bucket, and replaces it when told to", () => {
  const map = new StackMap({ valueSize: 8, maxEntries: 4 });
  const [a, b] = colliding(4);
  const id = map.getStackid(a, U);
  assertEquals(map.getStackid(b, U), -ERRNO.EEXIST);
  assertEquals(map.getStackid(b, U | BPF_F_FAST_STACK_CMP), -ERRNO.EEXIST);
  assertEquals(map.getStackid(b, U | BPF_F_REUSE_STACKID), id);
  const value = new Uint8Array(8);
  map.copy(id, value);
  assertEquals(new BigUint64Array(value.buffer), b);
});

Deno.test("a full map of addresses finds what it holds; one of build IDs answers -ENOMEM for it", () => {
  for (const kernel of KERNEL_RELEASES) {
    const plain = new StackMap({ valueSize: 8, maxEntries: 1 }, { kernel });
    const id = plain.getStackid(stack(5), U);
    assertEquals(plain.getStackid(stack(5), U), id);
    const buildId = new StackMap({ valueSize: 32, maxEntries: 1, mapFlags: BPF_F_STACK_BUILD_ID }, { kernel });
    assertEquals(buildId.getStackid(stack(5), U), id);
    assertEquals(buildId.getStackid(stack(5), U), -ERRNO.ENOMEM);
    assertEquals(buildId.getStackid(stack(5), U | BPF_F_FAST_STACK_CMP), id);
  }
});

Deno.test("a stack that is translated differently the second time is -EEXIST though its hash matches", () => {
  const map = new StackMap({ valueSize: 32, maxEntries: 2, mapFlags: BPF_F_STACK_BUILD_ID });
  const ips = stack(0x400123);
  const id = map.getStackid(ips, U, { addressSpace: SPACE });
  assertEquals(map.getStackid(ips, U, { addressSpace: SPACE }), id);
  const trace = new CallTrace();
  assertEquals(map.getStackid(ips, U, { addressSpace: SPACE, mmapLocked: true, trace }), -ERRNO.EEXIST);
  assertStringIncludes(trace.toString(), "mmap lock contended: every frame is kept as IP");
  assertStringIncludes(trace.toString(), "other records with the same hash are there: -EEXIST");
});

function translateOne(kernel: KernelRelease, flags: number, context: CallContext, ...ips: (number | bigint)[]) {
  const map = new StackMap({ valueSize: 32 * 8, maxEntries: 1, mapFlags: BPF_F_STACK_BUILD_ID }, { kernel });
  const value = new Uint8Array(256);
  assertEquals(map.copy(map.getStackid(stack(...ips), flags, context), value), 0);
  const frames = new StackBuildIdView(value);
  return Array.from({ length: frames.depth() }, (_, i) => frames.get(i));
}

Deno.test("whole stacks fall back to addresses as each release does", () => {
  // The status in 4.17, and in all that came later.
  const cases: [string, number, CallContext, number, number][] = [
    ["translated", U, { addressSpace: SPACE }, 1, 1],
    ["kernel stack", 0, { addressSpace: SPACE }, 2, 2],
    ["no mm", U, {}, 2, 2],
    ["mmap lock", U, { addressSpace: SPACE, mmapLocked: true }, 2, 2],
    ["NMI", U, { addressSpace: SPACE, nmi: true }, 2, 1],
    ["irq_work busy", U, { addressSpace: SPACE, nmi: true, irqWorkBusy: true }, 2, 2],
  ];
  for (const [name, flags, context, first, later] of cases) {
    for (const kernel of KERNEL_RELEASES) {
      const [frame] = translateOne(kernel, flags, context, 0x400123);
      assertEquals(frame.status, kernel === "4.17" ? first : later, `${name}, ${kernel}`);
      if (frame.status === BPF_STACK_BUILD_ID_VALID) assertEquals([frame.offset, frame.build_id], [0x1123n, ID]);
      else assertEquals(frame.ip, 0x400123n);
    }
  }
});

Deno.test("an address in a gap gets the next mapping's ID and a wrapped offset, in all releases", () => {
  for (const kernel of KERNEL_RELEASES) {
    const [frame] = translateOne(kernel, U, { addressSpace: SPACE }, 0x4ff000);
    assertEquals([frame.status, frame.build_id], [BPF_STACK_BUILD_ID_VALID, ID]);
    assertEquals(frame.offset, 0xffff_ffff_ffff_f000n);
    const [above] = translateOne(kernel, U, { addressSpace: SPACE }, 0x502000);
    assertEquals(above.status, BPF_STACK_BUILD_ID_IP);
  }
});

Deno.test("since 6.1 the previous mapping is taken for its end address, 4.17 looks it up", () => {
  const context = { addressSpace: SPACE };
  for (const kernel of LATER) {
    const [, end] = translateOne(kernel, U, context, 0x401000, 0x402000);
    assertEquals([end.status, end.offset], [BPF_STACK_BUILD_ID_VALID, 0x3000n]);
    const [, , past] = translateOne(kernel, U, context, 0x401000, 0x402001, 0x402000);
    assertEquals(past.status, BPF_STACK_BUILD_ID_VALID); // a frame that fell back leaves the previous mapping
  }
  const [, end417] = translateOne("4.17", U, context, 0x401000, 0x402000);
  assertEquals(end417.status, BPF_STACK_BUILD_ID_IP); // the anonymous mapping that starts there
});

Deno.test("4.17 leaves old bytes in build_id of a frame kept as IP, later releases zero them", () => {
  for (const kernel of KERNEL_RELEASES) {
    const map = new StackMap({ valueSize: 32, maxEntries: 1, mapFlags: BPF_F_STACK_BUILD_ID }, { kernel });
    map.delete(map.getStackid(stack(0x400123), U, { addressSpace: SPACE }));
    const value = new Uint8Array(32);
    map.copy(map.getStackid(stack(0x999999), U, { addressSpace: SPACE }), value);
    const frame = new StackBuildIdView(value).get(0);
    assertEquals([frame.status, frame.ip], [BPF_STACK_BUILD_ID_IP, 0x999999n]);
    assertEquals(frame.build_id, kernel === "4.17" ? ID : new Uint8Array(20));
  }
});

Deno.test("a file whose pages come and go is parsed at every call; one that can't change is parsed once", () => {
  let resident = false;
  let reads = 0;
  const bytes = FILE.readPage(0)!;
  const readPage = (index: number) => (reads++, resident && index === 0 ? bytes : undefined);
  const addressSpace = new AddressSpace([{ start: 0x400000n, end: 0x401000n, pgoff: 0n, file: { readPage } }]);
  const map = new StackMap({ valueSize: 32, maxEntries: 8, mapFlags: BPF_F_STACK_BUILD_ID });
  const status = () => {
    const value = new Uint8Array(32);
    map.copy(map.getStackid(stack(0x400500), U | BPF_F_REUSE_STACKID, { addressSpace }), value);
    return value[0];
  };
  assertEquals(status(), BPF_STACK_BUILD_ID_IP);
  resident = true;
  assertEquals(status(), BPF_STACK_BUILD_ID_VALID);
  resident = false;
  assertEquals(status(), BPF_STACK_BUILD_ID_IP);
  assertEquals(reads, 3);
});

Deno.test("a page that has not 4096 bytes is the caller's mistake", () => {
  const addressSpace = new AddressSpace([
    { start: 0x400000n, end: 0x401000n, pgoff: 0n, file: { readPage: () => new Uint8Array(100) } },
  ]);
  const map = new StackMap({ valueSize: 32, maxEntries: 8, mapFlags: BPF_F_STACK_BUILD_ID });
  for (let i = 0; i < 20; i++) {
    assertThrows(() => map.getStackid(stack(0x400500), U, { addressSpace }), RangeError, "4096");
  }
  assertEquals(map.freelist.nodes(0).length, 8); // and costs the map no element
});

Deno.test("a call that is refused changes nothing", () => {
  const map = new StackMap({ valueSize: 8, maxEntries: 1 }, { nrCpus: 2 });
  const id = map.getStackid(stack(1), U);
  for (const cpu of [2, -1, 0.5]) {
    assertThrows(() => map.delete(id, { cpu }), RangeError, "CPUs 0 to 1");
    assertThrows(() => map.getStackid(stack(2), U | BPF_F_REUSE_STACKID, { cpu }), RangeError, "CPUs 0 to 1");
  }
  const value = new Uint8Array(8);
  assertEquals([map.copy(id, value), value[0]], [0, 1]);
  for (const ips of [[1n], "1"]) assertThrows(() => map.getStackid(ips as unknown as BigUint64Array, U), TypeError);
});

Deno.test("what is known of kernels and errors can't be changed by a user", () => {
  assertThrows(() => ((kernelProfile("6.18") as { descszMin: number }).descszMin = 20), TypeError);
  assertThrows(() => ((ERRNO as Record<string, number>).EINVAL = 1), TypeError);
  assertThrows(() => (KERNEL_RELEASES as string[]).push("9.9"), TypeError);
});

Deno.test("copy(), delete(), getNextKey() and lookupAndDelete() answer present, absent and out-of-range ids", () => {
  const value = new Uint8Array(8);
  const map = new StackMap({ valueSize: 8, maxEntries: 5 });
  assertEquals(map.nBuckets, 8);
  assertEquals(map.getNextKey(), -ERRNO.ENOENT);
  const ids = [11, 22, 33].map((ip) => map.getStackid(stack(ip), U)).filter((id) => id >= 0).sort((a, b) => a - b);
  assertGreater(ids.length, 1);
  for (const id of ids) assertEquals(map.copy(id, value), 0);
  const absent = [0, 1, 2, 3, 4, 5, 6, 7].find((id) => !ids.includes(id))!;
  // The answers of a running 6.18 to the same commands.
  assertEquals([map.copy(absent, value), map.delete(absent), map.lookupAndDelete(absent, value)], [-2, -2, -2]);
  for (const id of [8, 100, 0xffffffff, -1]) {
    assertEquals([map.copy(id, value), map.delete(id), map.lookupAndDelete(id, value)], [-2, -7, -2]);
    assertEquals(map.getNextKey(id), ids[0]);
  }
  const walked: number[] = [];
  for (let id = map.getNextKey(); id >= 0; id = map.getNextKey(id)) walked.push(id);
  assertEquals(walked, ids);
  assertEquals(map.getNextKey(absent), ids[0]);
  assertEquals(map.lookupAndDelete(ids[0], value), 0);
  assertEquals(map.copy(ids[0], value), -ERRNO.ENOENT);
  assertEquals(map.delete(ids[1]), 0);
  assertEquals(map.update(ids[1], value), -ERRNO.EINVAL);
  assertThrows(() => map.copy(0, new Uint8Array(7)), RangeError, "8 bytes");
});

Deno.test("commands that a release lacks answer as it does", () => {
  const old = new StackMap({ valueSize: 8, maxEntries: 1 }, { kernel: "4.17" });
  assertEquals(old.lookupAndDelete(0, new Uint8Array(8)), -ERRNO.EINVAL);
  for (const kernel of ["6.1", "6.12"] as const) {
    const known = new StackMap({ valueSize: 8, maxEntries: 1 }, { kernel });
    assertEquals(known.lookupAndDelete(0, new Uint8Array(8)), -ERRNO.ENOTSUPP);
  }
  assertEquals(old.lookup(0), undefined);
  for (const kernel of LATER) {
    assertEquals(new StackMap({ valueSize: 8, maxEntries: 1 }, { kernel }).lookup(0), -ERRNO.EOPNOTSUPP);
  }
  assertThrows(() => kernelProfile("3.2" as KernelRelease), RangeError, "4.17");
});

Deno.test("a delete recycles the element on the CPU it runs on", () => {
  const map = new StackMap({ valueSize: 8, maxEntries: 4 }, { nrCpus: 2 });
  assertEquals([map.freelist.nodes(0), map.freelist.nodes(1)], [[1, 0], [3, 2]]);
  const id = map.getStackid(stack(1), U, { cpu: 0 });
  map.delete(id, { cpu: 1 });
  assertEquals([map.freelist.nodes(0), map.freelist.nodes(1)], [[0], [1, 3, 2]]);
  assertThrows(() => map.getStackid(stack(1), U, { cpu: 2 }), RangeError, "CPUs 0 to 1");
});

Deno.test("new StackMap() refuses what stack_map_alloc() refuses", () => {
  const code = (attr: ConstructorParameters<typeof StackMap>[0], options?: StackMapOptions) => {
    try {
      new StackMap(attr, options);
      return "ok";
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return error.code;
    }
  };
  assertEquals(code({ valueSize: 8, maxEntries: 1 }), "ok");
  assertEquals(code({ valueSize: 8, maxEntries: 1, mapFlags: BPF_F_NUMA_NODE | BPF_F_RDONLY }), "ok");
  for (
    const attr of [
      { valueSize: 8, maxEntries: 0 },
      { valueSize: 0, maxEntries: 1 },
      { valueSize: 12, maxEntries: 1 },
      { valueSize: 128 * 8, maxEntries: 1 },
      { keySize: 8, valueSize: 8, maxEntries: 1 },
      { valueSize: 40, maxEntries: 1, mapFlags: BPF_F_STACK_BUILD_ID },
      { valueSize: 128 * 32, maxEntries: 1, mapFlags: BPF_F_STACK_BUILD_ID },
      { valueSize: 8, maxEntries: 1, mapFlags: BPF_F_RDONLY | BPF_F_WRONLY },
      { valueSize: 8, maxEntries: 1, mapFlags: 1 },
      { valueSize: 8, maxEntries: 1, mapFlags: 0x80000000 },
    ]
  ) assertEquals(code(attr), "EINVAL", JSON.stringify(attr));
  assertEquals(code({ valueSize: 128 * 8, maxEntries: 1 }, { perfEventMaxStack: 128 }), "ok");
  assertEquals(code({ valueSize: 8, maxEntries: 2 ** 31 + 1 }), "E2BIG");
  assertEquals(code({ valueSize: 1016, maxEntries: 2 ** 22 }, { kernel: "4.17" }), "E2BIG");
  assertEquals(code({ valueSize: 1016, maxEntries: 2 ** 31 }), "ENOMEM");
  assertThrows(() => new StackMap({ valueSize: 8.5, maxEntries: 1 }), RangeError, "valueSize");
  assertThrows(() => new StackMap({ valueSize: 8, maxEntries: 1 }, { nrCpus: 0 }), RangeError, "nrCpus");
  assertThrows(() => new StackMap({ valueSize: 8, maxEntries: 1 }, { seed: 0.5 }), RangeError, "seed");
  assertThrows(() => new StackMap({ valueSize: 8, maxEntries: 1 }, { perfEventMaxStack: -1 }), RangeError);
});

Deno.test("memUsage() is the memlock that running kernels show, and the pages that 4.17 charges", () => {
  // max_entries, value_size, memlock: read from /proc/PID/fdinfo on 6.18.
  const rows = [
    [1, 8, 352],
    [2, 16, 400],
    [3, 1016, 3448],
    [5, 8, 504],
    [1000, 32, 56512],
    [1024, 1008, 1057088],
    [16384, 16, 655680],
    [65536, 8, 2097472],
  ];
  for (const [maxEntries, valueSize, memlock] of rows) {
    assertEquals(new StackMap({ valueSize, maxEntries }).memUsage(), memlock);
  }
  // The same of a running 6.1 and 6.12.
  for (
    const [maxEntries, valueSize, old, now] of [[1, 8, 4096, 320], [100, 1016, 102400, 104512], [7, 24, 4096, 632]]
  ) {
    assertEquals(new StackMap({ valueSize, maxEntries }, { kernel: "6.1" }).memUsage(), old);
    assertEquals(new StackMap({ valueSize, maxEntries }, { kernel: "6.12" }).memUsage(), now);
  }
  // (192 + 8 buckets of 8 bytes + 8 elements of 16 + 1016) up to the next page
  assertEquals(new StackMap({ valueSize: 1016, maxEntries: 5 }, { kernel: "4.17" }).memUsage(), 3 * 4096);
});

Deno.test("getStack() answers as bpf_get_stack() does", () => {
  const ips = stack(0x400001, 0x400002, 0x400003);
  const buf = new Uint8Array(40).fill(0xee);
  assertEquals(getStack(ips, buf, U), 24);
  assertEquals([...new BigUint64Array(buf.buffer)], [0x400001n, 0x400002n, 0x400003n, 0n, 0n]);
  assertEquals(getStack(ips, buf.subarray(0, 16), U), 16);
  assertEquals(getStack(ips, buf, U | 3), 0);
  buf.fill(0xee);
  assertEquals(getStack(ips, buf, U | 4), -ERRNO.EFAULT);
  assertEquals(buf, new Uint8Array(40));
  for (
    const [flags, size] of [[U | BPF_F_FAST_STACK_CMP, 40], [BPF_F_USER_BUILD_ID, 32], [U, 39], [
      U | BPF_F_USER_BUILD_ID,
      40,
    ], [2 ** 35, 40]]
  ) {
    buf.fill(0xee);
    assertEquals(getStack(ips, buf.subarray(0, size), flags), -ERRNO.EINVAL);
    assertEquals(buf.subarray(0, size), new Uint8Array(size));
  }
  assertThrows(() => getStack(ips, buf, 0.5), RangeError);
  assertThrows(() => getStack(ips, buf, U, {}, { kernel: "4.17" }), KernelError, "4.17 has no bpf_get_stack");
});

Deno.test("getStack() with BPF_F_USER_BUILD_ID fills a buffer at any byte offset alike", () => {
  const ips = stack(0x400123, 0x500001, 0x1);
  const context = { addressSpace: SPACE };
  const aligned = new Uint8Array(128);
  assertEquals(getStack(ips, aligned, U | BPF_F_USER_BUILD_ID, context), 96);
  for (let shift = 1; shift < 4; shift++) {
    const odd = new Uint8Array(new ArrayBuffer(140), shift, 128).fill(0xee);
    assertEquals(getStack(ips, odd, U | BPF_F_USER_BUILD_ID, context), 96);
    assertEquals(odd, aligned);
  }
  const trace = new CallTrace();
  assertEquals(getStack(ips, aligned, U | BPF_F_USER_BUILD_ID, { trace }), 96);
  assertEquals(new StackBuildIdView(aligned).status(0), BPF_STACK_BUILD_ID_IP);
  assertStringIncludes(trace.toString(), "no mm");
});

Deno.test("a trace tells why each frame fell back and what the bucket held", () => {
  const evicted = { readPage: () => undefined };
  const addressSpace = new AddressSpace([
    { start: 0x400000n, end: 0x402000n, pgoff: 1n, file: FILE },
    { start: 0x402000n, end: 0x403000n, pgoff: 0n },
    { start: 0x600000n, end: 0x601000n, pgoff: 0n, file: evicted },
  ]);
  const map = new StackMap({ valueSize: 32 * 8, maxEntries: 2, mapFlags: BPF_F_STACK_BUILD_ID });
  const trace = new CallTrace();
  const ips = stack(0x400010, 0x402000, 0x402010, 0x600000, 0x601000, 0x3ff000, 0x400020);
  const id = map.getStackid(ips, U, { addressSpace, trace });
  const text = trace.toString();
  assertMatch(text, /^bpf_get_stackid: 7 frames hash to 0x[0-9a-f]{8}: bucket \d is empty$/m);
  assertMatch(text, /frame 0: mapping 400000-402000 found for 0x400010$/m);
  assertMatch(text, /range_in_vma: frame 1: .*though the address is its end$/m);
  assertMatch(text, /frame 2: mapping 402000-403000, found for 0x402010, has no file \(-EINVAL\): kept as IP$/m);
  assertMatch(
    text,
    /frame 3: mapping 600000-601000, found for 0x600000: page-not-cached \(-EFAULT\): kept as IP$/m,
  );
  assertMatch(text, /frame 4: no mapping ends above 0x601000: kept as IP$/m);
  assertMatch(text, /frame 5: .*lies in the gap below it: the offset wraps$/m);
  assertMatch(text, new RegExp(`^bpf_get_stackid: stored: ${id}$`, "m"));
  assertEquals(trace.steps.filter((step) => step.frame === 3).length, 1);
  const other = new CallTrace();
  map.getStackid(stack(), U, { trace: other });
  map.getStackid(stack(1), 2 ** 33, { trace: other });
  assertMatch(other.toString(), /-EFAULT\n.*-EINVAL$/);
});

Deno.test("a trace changes no answer", () => {
  const random = new SeededRandom(5);
  const make = () => new StackMap({ valueSize: 64, maxEntries: 6, mapFlags: BPF_F_STACK_BUILD_ID }, { nrCpus: 2 });
  const [plain, traced] = [make(), make()];
  for (let i = 0; i < 3000; i++) {
    const ips = stack(...Array.from({ length: random.below(4) }, () => 0x3ff000 + random.below(20) * 0x400));
    const flags = U * random.below(2) | random.below(2) | BPF_F_REUSE_STACKID * random.below(2);
    const context = { cpu: random.below(2), addressSpace: SPACE, mmapLocked: random.chance(0.1) };
    const a = plain.getStackid(ips, flags, context);
    assertEquals(traced.getStackid(ips, flags, { ...context, trace: new CallTrace() }), a);
    if (random.chance(0.2)) assertEquals(traced.delete(a, context), plain.delete(a, context));
  }
});

Deno.test("the schedule's rates make a map fall back as often as asked, repeatably", () => {
  const run = (seed: number) => {
    const rates = { mmapLocked: 0.25, irqWorkBusy: 0.1, nmi: 0.5 };
    const options: StackMapOptions = { seed, nrCpus: 4, rates };
    const map = new StackMap({ valueSize: 32, maxEntries: 4, mapFlags: BPF_F_STACK_BUILD_ID }, options);
    const value = new Uint8Array(32);
    let fellBack = 0;
    for (let i = 0; i < 4000; i++) {
      const id = map.getStackid(stack(0x400123), U | BPF_F_REUSE_STACKID, { addressSpace: SPACE });
      map.copy(id, value);
      if (value[0] === BPF_STACK_BUILD_ID_IP) fellBack++;
    }
    return fellBack;
  };
  const expected = 4000 * (1 - 0.75 * 0.9);
  assertGreater(run(1), expected * 0.9);
  assertGreater(expected * 1.1, run(1));
  assertEquals(run(1), run(1));
});

Deno.test("1,000,000 calls from one seed give one hash of results in every runtime", () => {
  const random = new SeededRandom(20180314);
  const options = (kernel: KernelRelease): StackMapOptions => ({
    kernel,
    nrCpus: 3,
    seed: 7,
    rates: { mmapLocked: 0.01 },
  });
  const maps = (["4.17", "6.18"] as const).flatMap((kernel) => [
    new StackMap({ valueSize: 12 * 8, maxEntries: 1000 }, options(kernel)),
    new StackMap({ valueSize: 12 * 32, maxEntries: 1000, mapFlags: BPF_F_STACK_BUILD_ID }, options(kernel)),
  ]);
  const ips = new BigUint64Array(16);
  const words = new Uint32Array(ips.buffer);
  const value = new Uint8Array(12 * 32);
  const valueWords = new Uint32Array(value.buffer);
  const digest = new Uint32Array(2);
  for (let call = 0; call < 1_000_000; call++) {
    const map = maps[call & 3];
    const depth = 1 + random.below(16);
    const seed = random.below(4000);
    for (let i = 0; i < depth; i++) words[2 * i] = 0x400000 + ((seed * 977 + i * 40503) % 0x103000);
    const flags = [U, U, U, U | 2, U | BPF_F_REUSE_STACKID, U | BPF_F_FAST_STACK_CMP, 0][random.below(7)];
    const result = map.getStackid(ips.subarray(0, depth), flags, { addressSpace: SPACE });
    digest[1] = result;
    digest[0] = jhash2(digest, call);
    if (result >= 0 && random.chance(0.05)) {
      map.copy(result, value);
      digest[0] = jhash2(valueWords, digest[0]);
      digest[1] = map.delete(result);
      digest[0] = jhash2(digest, call);
    }
  }
  console.log(`  result hash of 1,000,000 calls: 0x${digest[0].toString(16)}`);
  // Not an oracle of what is right (the fixtures are): it pins that Deno, Bun and Node compute the same.
  assertEquals(digest[0], 0xcb2396c5);
});
