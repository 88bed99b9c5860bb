// What the kernel's own selftests (tools/testing/selftests/bpf) assert of stack maps, asserted of the model, on
// stacks recorded from a running kernel. In our words: the selftests are GPL.
import { assert, assertEquals, assertGreater, assertGreaterOrEqual, assertNotEquals } from "@std/assert";
import {
  AddressSpace,
  BPF_F_STACK_BUILD_ID,
  BPF_F_USER_BUILD_ID,
  BPF_F_USER_STACK,
  BPF_STACK_BUILD_ID_IP,
  BPF_STACK_BUILD_ID_VALID,
  buildIdParse,
  getStack,
  KERNEL_RELEASES,
  type MappedFile,
  mappedFile,
  StackBuildIdView,
  StackMap,
} from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";
import { readRecording, recordedCalls, type Recording } from "../src/cli/recording.ts";
import { readTar } from "../src/recording/tar.ts";
import { readTestdata } from "./fixtures.ts";

// `readelf -n` of the recording's copy of the target.
const TARGET_BUILD_ID = "7676d37878d4cfcac1243c92d1617439493b53e6";

function load(name: string): { recording: Recording; addressSpace: AddressSpace; stacks: BigUint64Array[] } {
  const files = readTar(readTestdata(`linux-6.18/${name}.tar.gz`));
  const recording = readRecording((file) => files.get(file));
  const addressSpace = AddressSpace.fromProcMaps(recording.maps, (path) => mappedFile(recording.open(path)!));
  return { recording, addressSpace, stacks: [...recordedCalls(recording)].map((call) => call.ips) };
}

function keysOf(map: StackMap): number[] {
  const keys: number[] = [];
  for (let id = map.getNextKey(); id >= 0; id = map.getNextKey(id)) keys.push(id);
  return keys;
}

Deno.test("stacktrace_build_id: keys agree both ways, a frame is VALID, and bpf_get_stack gives the same bytes", () => {
  const { addressSpace, stacks } = load("basic");
  const map = new StackMap({ valueSize: 127 * 32, maxEntries: 128, mapFlags: BPF_F_STACK_BUILD_ID });
  const stackidHmap = new Set<number>();
  const stackAmap = new Map<number, Uint8Array>();
  for (const ips of stacks) {
    const id = map.getStackid(ips, BPF_F_USER_STACK, { addressSpace });
    if (id < 0) continue;
    stackidHmap.add(id);
    const buf = new Uint8Array(127 * 32);
    const size = getStack(ips, buf, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID, { addressSpace });
    assertEquals(size, 32 * ips.length);
    if (!stackAmap.has(id)) stackAmap.set(id, buf);
  }
  assertGreater(stackidHmap.size, 50);
  assertEquals(keysOf(map), [...stackidHmap].sort((a, b) => a - b));
  const value = new Uint8Array(127 * 32);
  let matching = 0;
  for (const id of stackidHmap) {
    assertEquals(map.copy(id, value), 0);
    assertEquals(value, stackAmap.get(id));
    const frames = new StackBuildIdView(value);
    for (let i = 0; i < frames.depth(); i++) {
      const isTarget = toHex(frames.buildId(i)) === TARGET_BUILD_ID;
      if (frames.status(i) === BPF_STACK_BUILD_ID_VALID && frames.offset(i) !== 0n && isTarget) matching++;
    }
  }
  assertGreaterOrEqual(matching, 1);
});

for (const kernel of KERNEL_RELEASES) {
  Deno.test(`stacktrace_map: keys agree both ways and values equal the traces, on ${kernel}`, () => {
    const { stacks } = load("basic");
    const map = new StackMap({ valueSize: 127 * 8, maxEntries: 16384 }, { kernel });
    const stackAmap = new Map<number, BigUint64Array>();
    for (const ips of stacks) {
      const id = map.getStackid(ips, BPF_F_USER_STACK);
      assertGreaterOrEqual(id, 0);
      stackAmap.set(id, ips);
    }
    assertEquals(keysOf(map), [...stackAmap.keys()].sort((a, b) => a - b));
    const value = new Uint8Array(127 * 8);
    for (const [id, ips] of stackAmap) {
      assertEquals(map.copy(id, value), 0);
      const frames = new BigUint64Array(127);
      frames.set(ips);
      assertEquals(new BigUint64Array(value.buffer), frames);
    }
  });
}

Deno.test("stacktrace_map_skip: depth 2 and skip 2 keep the two frames behind the skipped ones", () => {
  const { stacks } = load("basic");
  const map = new StackMap({ valueSize: 2 * 8, maxEntries: 16384 });
  const value = new Uint8Array(16);
  let failed = 0;
  for (const ips of stacks.filter((ips) => ips.length >= 4)) {
    const id = map.getStackid(ips, BPF_F_USER_STACK | 2);
    if (id < 0) failed++;
    assertEquals(map.copy(id, value), 0);
    const frames = new BigUint64Array(value.buffer);
    assertNotEquals(frames[0], 0n);
    const buf = new Uint8Array(16);
    assertEquals(getStack(ips, buf, BPF_F_USER_STACK | 2), 16);
    assertEquals(buf, value);
    assertEquals(frames, ips.slice(2, 4));
  }
  assertEquals(failed, 0);
});

Deno.test("stacktrace_map_skip: 4.17 cuts to the depth before it skips, so nothing is left", () => {
  const { stacks } = load("basic");
  const map = new StackMap({ valueSize: 2 * 8, maxEntries: 16384 }, { kernel: "4.17" });
  for (const ips of stacks) assertEquals(map.getStackid(ips, BPF_F_USER_STACK | 2), -14);
});

Deno.test("build_id: paged in, the frame is VALID and matches; paged out, it stays an IP", () => {
  const { recording, stacks } = load("basic");
  const bytes = recording.open("/opt/demo/target")!;
  const resident = mappedFile(bytes);
  const evicted: MappedFile = { readPage: () => undefined };
  for (const [file, status] of [[resident, BPF_STACK_BUILD_ID_VALID], [evicted, BPF_STACK_BUILD_ID_IP]] as const) {
    const addressSpace = AddressSpace.fromProcMaps(
      recording.maps,
      (path) => path === "/opt/demo/target" ? file : undefined,
    );
    const inTarget = stacks.find((ips) => addressSpace.findVma(ips[1])?.file === file)!;
    const buf = new Uint8Array(128 * 32);
    const size = getStack(inTarget, buf, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID, { addressSpace });
    assertGreater(size, 0);
    const frames = new StackBuildIdView(buf);
    assertEquals(frames.status(1), status);
    if (status === BPF_STACK_BUILD_ID_VALID) assertEquals(toHex(frames.buildId(1)), TARGET_BUILD_ID);
    else assertEquals(frames.ip(1), inTarget[1]);
  }
});

Deno.test("build_id: only the page that holds the note matters", () => {
  const bytes = load("basic").recording.open("/opt/demo/target")!;
  const whole = mappedFile(bytes);
  const asked = new Set<number>();
  const watched: MappedFile = {
    readPage(index) {
      asked.add(index);
      return whole.readPage(index);
    },
  };
  const id = new Uint8Array(20);
  assertEquals(buildIdParse(watched, id, "6.18"), 0);
  assertEquals(toHex(id), TARGET_BUILD_ID);
  assertEquals([...asked], [0]);
  assert(bytes.length > 4096);
});

Deno.test("stacktrace_build_id_nmi: the second translation within one NMI keeps every frame as IP", () => {
  const { addressSpace, stacks } = load("basic");
  const ips = stacks.find((ips) => ips.length > 5)!;
  const statuses = (context: { nmi: boolean; irqWorkBusy: boolean }) => {
    const buf = new Uint8Array(32 * ips.length);
    getStack(ips, buf, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID, { addressSpace, ...context });
    const frames = new StackBuildIdView(buf);
    return new Set(Array.from(ips, (_, i) => frames.status(i)));
  };
  assert(statuses({ nmi: true, irqWorkBusy: false }).has(BPF_STACK_BUILD_ID_VALID));
  assertEquals(statuses({ nmi: true, irqWorkBusy: true }), new Set([BPF_STACK_BUILD_ID_IP]));
});
