// Owns the tests of maps of the running kernel: every command, walks while entries vanish, pins, ids, descriptors.
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BPF_F_STACK_BUILD_ID,
  BPF_MAP_TYPE_STACK_TRACE,
  decodeStacks,
  decodeStackValue,
  ERRNO,
  listStacks,
} from "../mod.ts";
import { viewOf } from "../src/base/bytes.ts";
import {
  BPF_EXIST,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_NOEXIST,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BpfAssembler,
  BpfMap,
  type BpfMapOptions,
  BpfProgram,
  dumpStackMap,
  LinuxError,
  mapKeys,
  openRawTracepoint,
  PERF_COUNT_SW_CPU_CLOCK,
  PERF_TYPE_SOFTWARE,
  PerfEvent,
  possibleCpuCount,
  stackIds,
} from "../src/linux/linux.ts";
import { fillStacks, noBpf } from "./linux_fixture.ts";

const hash: BpfMapOptions = { type: BPF_MAP_TYPE_HASH, valueSize: 8, maxEntries: 64 };

function u64(value: number): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(value)]).buffer);
}

function numberOf(key: Uint8Array): number {
  return viewOf(key).getUint32(0, true);
}

function codeOf(call: () => unknown): string {
  return assertThrows(call, LinuxError).code;
}

Deno.test({
  name: `elements of a hash map: update, look up, look up and delete, delete${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using map = BpfMap.create(hash);
    assertEquals(map.lookup(1), undefined);
    map.update(1, u64(11));
    map.update(new Uint8Array([2, 0, 0, 0]), u64(22), BPF_NOEXIST);
    assertEquals(map.lookup(1), u64(11));
    assertEquals(map.lookup(new Uint8Array([1, 0, 0, 0])), u64(11));
    const into = new Uint8Array(10).fill(0xee);
    assertEquals(map.lookup(2, into), into);
    assertEquals(into, new Uint8Array([...u64(22), 0xee, 0xee]));
    assertEquals(codeOf(() => map.update(1, u64(0), BPF_NOEXIST)), "EEXIST");
    assertEquals(codeOf(() => map.update(3, u64(0), BPF_EXIST)), "ENOENT");
    assertEquals(codeOf(() => map.update(3, u64(0), 99)), "EINVAL");
    assertEquals(map.lookupAndDelete(2), u64(22));
    assertEquals(map.lookupAndDelete(2), undefined);
    assertEquals([map.delete(1), map.delete(1)], [true, false]);
    assertEquals(map.nextKey(), undefined);
    for (let i = 0; i < 64; i++) map.update(i, u64(i));
    assertEquals(codeOf(() => map.update(64, u64(0))), "E2BIG");
  },
});

Deno.test({
  name: `methods that end in Errno return 0 or -errno, and leave the value alone${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using map = BpfMap.create(hash);
    const value = new Uint8Array(8).fill(0xee);
    const next = new Uint8Array(4).fill(0xee);
    assertEquals(
      [map.lookupErrno(5, value), map.lookupAndDeleteErrno(5, value), map.deleteErrno(5)],
      [-ERRNO.ENOENT, -ERRNO.ENOENT, -ERRNO.ENOENT],
    );
    assertEquals([map.nextKeyErrno(undefined, next), map.nextKeyErrno(5, next)], [-ERRNO.ENOENT, -ERRNO.ENOENT]);
    assertEquals([value, next], [new Uint8Array(8).fill(0xee), new Uint8Array(4).fill(0xee)]);
    assertEquals(map.updateErrno(5, u64(1), BPF_EXIST), -ERRNO.ENOENT);
    assertEquals([map.updateErrno(5, u64(7)), map.nextKeyErrno(undefined, next), numberOf(next)], [0, 0, 5]);
    assertEquals([map.lookupErrno(5, value), value], [0, u64(7)]);
  },
});

Deno.test({
  name: `an array can't be deleted from, and a stack map can't be updated${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using array = BpfMap.create({ ...hash, type: BPF_MAP_TYPE_ARRAY });
    assertEquals(codeOf(() => array.delete(1)), "EINVAL");
    assertEquals(array.lookup(63), u64(0));
    assertEquals(array.lookup(64), undefined);
    using stacks = BpfMap.create({ type: BPF_MAP_TYPE_STACK_TRACE, valueSize: 64, maxEntries: 4 });
    assertEquals(codeOf(() => stacks.update(1, new Uint8Array(64))), "EINVAL");
    assertEquals([dumpStackMap(stacks).length, stacks.lookup(3), stacks.lookup(4)], [0, undefined, undefined]);
    assertThrows(() => [...stackIds(array)], TypeError, "not a stack map");
  },
});

Deno.test({
  name: `keys and values of the wrong size never reach the kernel${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using map = BpfMap.create(hash);
    assertThrows(() => map.lookup(new Uint8Array(3)), RangeError, "4 bytes");
    assertThrows(() => map.lookup(1, new Uint8Array(7)), RangeError, "8 bytes");
    assertThrows(() => map.update(1, new Uint8Array(9)), RangeError, "8 bytes");
    assertThrows(() => map.nextKeyErrno(1, new Uint8Array(8)), RangeError, "4 bytes");
    using wide = BpfMap.create({ ...hash, keySize: 8 });
    assertThrows(() => wide.lookup(1), TypeError, "8 bytes");
    wide.update(u64(9), u64(1));
    assertEquals([...mapKeys(wide)], [u64(9)]);
  },
});

Deno.test({
  name: `a map with a value for each CPU gives them all${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using map = BpfMap.create({ ...hash, type: BPF_MAP_TYPE_PERCPU_HASH, valueSize: 4 });
    assertEquals(map.lookupSize, 8 * possibleCpuCount());
    const values = new Uint8Array(map.lookupSize);
    for (let cpu = 0; cpu < possibleCpuCount(); cpu++) values[8 * cpu] = cpu + 1;
    map.update(1, values);
    assertEquals(map.lookup(1), values);
  },
});

Deno.test({
  name: `mapKeys() gives each key once while keys are deleted and come${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using map = BpfMap.create({ ...hash, maxEntries: 1000 });
    const fill = () => Array.from({ length: 500 }, (_, i) => map.update(i, u64(i)));
    fill();
    const walked: number[] = [];
    for (const key of mapKeys(map)) {
      walked.push(numberOf(key));
      map.delete(key);
    }
    assertEquals(walked.sort((a, b) => a - b), Array.from({ length: 500 }, (_, i) => i));
    assertEquals(map.nextKey(), undefined);
    // Half of them vanish in the middle of the walk, also the one that would be next: those that stay are all given.
    fill();
    const seen = new Set<number>();
    for (const key of mapKeys(map)) {
      assert(!seen.has(numberOf(key)));
      seen.add(numberOf(key));
      if (seen.size === 100) { for (let i = 0; i < 500; i += 2) map.delete(i); }
    }
    for (let i = 1; i < 500; i += 2) assert(seen.has(i), String(i));
  },
});

Deno.test({
  name: `a walk over a map that never stays says so${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using map = BpfMap.create(hash);
    for (let i = 0; i < 8; i++) map.update(i, u64(i));
    // Stands between the walk and the map: the kernel begins again at each second step.
    let step = 0;
    const first = map.nextKey()!;
    const flighty = new Proxy(map, {
      get: (target, name) =>
        name === "nextKey" ? (key?: Uint8Array) => step++ % 2 === 0 ? first : target.nextKey(key) : undefined,
    });
    assertEquals(codeOf(() => [...mapKeys(flighty)]), "EAGAIN");
  },
});

Deno.test({
  name: `stackIds() and dumpStackMap() see every stack that stays${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using map = BpfMap.create({ type: BPF_MAP_TYPE_STACK_TRACE, valueSize: 32 * 8, maxEntries: 1000 });
    assertEquals(fillStacks(map) > 0, true);
    const ids = [...stackIds(map)];
    assert(ids.length > 1, `${ids.length} stacks`);
    assertEquals(ids, ids.toSorted((a, b) => a - b));
    const stacks = listStacks(decodeStacks(dumpStackMap(map), map));
    assertEquals(stacks.map(({ id }) => id), ids);
    assertEquals(decodeStackValue(map.lookup(ids[0])!), stacks[0].frames);
    // Every id vanishes as soon as it was given, so that the kernel begins again each time.
    const walked: number[] = [];
    for (const id of stackIds(map)) {
      walked.push(id);
      assertEquals(map.delete(id), true);
      assertEquals(map.delete(id), false);
    }
    assertEquals(walked, ids);
    assertEquals(dumpStackMap(map).length, 0);
  },
});

Deno.test({
  name: `a walk over a stack map goes on behind an id that vanished${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using map = BpfMap.create({ type: BPF_MAP_TYPE_STACK_TRACE, valueSize: 32 * 8, maxEntries: 1000 });
    fillStacks(map);
    const ids = [...stackIds(map)];
    const gone = ids[ids.length >> 1];
    const walked: number[] = [];
    for (const id of stackIds(map)) {
      walked.push(id);
      if (id === gone) map.delete(id);
    }
    assertEquals(walked, ids);
  },
});

Deno.test({
  name: `info() says what the map is, and openById() opens it again${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    using map = BpfMap.create({
      type: BPF_MAP_TYPE_STACK_TRACE,
      valueSize: 127 * 32,
      maxEntries: 100,
      mapFlags: BPF_F_STACK_BUILD_ID,
      name: "of_a_test",
    });
    const info = map.info();
    assertEquals(
      [info.type, info.key_size, info.value_size, info.max_entries, info.map_flags],
      [BPF_MAP_TYPE_STACK_TRACE, 4, 127 * 32, 100, BPF_F_STACK_BUILD_ID],
    );
    assertEquals(new TextDecoder().decode(info.name), "of_a_test".padEnd(16, "\0"));
    assert(BpfMap.ids().includes(info.id));
    using again = BpfMap.openById(info.id);
    assertEquals(
      [again.type, again.keySize, again.valueSize, again.maxEntries, again.mapFlags, again.lookupSize],
      [map.type, map.keySize, map.valueSize, map.maxEntries, map.mapFlags, map.lookupSize],
    );
    map.close();
    assertEquals(again.info().id, info.id);
    again.close();
    assertEquals(codeOf(() => BpfMap.openById(0xfffffffe)), "ENOENT");
  },
});

Deno.test({
  name: `a closed map answers EBADF, whatever has its number now${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const map = BpfMap.create(hash);
    const { fd } = map;
    map.close();
    map.close();
    assertEquals(map.fd, -1);
    using other = BpfMap.create(hash);
    assertEquals(other.fd, fd);
    for (
      const call of [
        () => map.lookup(1),
        () => map.lookupErrno(1, new Uint8Array(8)),
        () => map.update(1, u64(1)),
        () => map.delete(1),
        () => map.nextKey(),
        () => map.info(),
        () => map.pin("/sys/fs/bpf/closed"),
      ]
    ) assertEquals(codeOf(call), "EBADF");
    assertEquals(other.nextKey(), undefined);
  },
});

/** Runs `test` with a bpf file system of its own; the reason if there can't be one. */
function withBpfFs(test: (folder: string) => void): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "stackmap-bpf-"));
  try {
    try {
      execFileSync("mount", ["-t", "bpf", "bpf", folder], { stdio: "pipe" });
    } catch (error) {
      return `no bpf file system can be mounted: ${error instanceof Error ? error.message : error}`;
    }
    try {
      test(folder);
    } finally {
      execFileSync("umount", [folder]);
    }
  } finally {
    rmdirSync(folder);
  }
}

Deno.test({
  name: `a pinned map is opened by its path${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const reason = withBpfFs((folder) => {
      {
        using map = BpfMap.create(hash);
        map.update(3, u64(33));
        map.pin(`${folder}/map`);
        assertEquals(codeOf(() => map.pin(`${folder}/map`)), "EEXIST");
        assertEquals(codeOf(() => map.pin(`${folder}/none/map`)), "ENOENT");
      }
      using map = BpfMap.openPinned(`${folder}/map`);
      assertEquals([map.type, map.valueSize, map.lookup(3)], [BPF_MAP_TYPE_HASH, 8, u64(33)]);
      assertEquals(codeOf(() => BpfMap.openPinned(`${folder}/none`)), "ENOENT");
      const insns = new BpfAssembler().alu("mov", "r0", 0).exit().bytes();
      using program = BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns });
      program.pin(`${folder}/program`);
      assert(assertThrows(() => BpfMap.openPinned(`${folder}/program`), LinuxError).message.includes("not a map"));
    });
    if (reason !== undefined) console.log(`not tested: ${reason}`);
    using map = BpfMap.create(hash);
    assertEquals(codeOf(() => map.pin(`${tmpdir()}/not-bpf`)), "EPERM");
    assertThrows(() => map.pin("a\0b"), TypeError, "NUL");
  },
});

Deno.test({
  name: `BPF_MAP_CREATE is answered for any attributes${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const attr = { map_type: BPF_MAP_TYPE_STACK_TRACE, key_size: 4, value_size: 8, max_entries: 1 };
    assertEquals(BpfMap.tryCreate({ ...attr, value_size: 7 }), -ERRNO.EINVAL);
    assertEquals(BpfMap.tryCreate({ ...attr, key_size: 8 }), -ERRNO.EINVAL);
    assertEquals(BpfMap.tryCreate({ ...attr, max_entries: 0 }), -ERRNO.EINVAL);
    const fd = BpfMap.tryCreate(attr);
    assert(fd >= 0);
    using map = new BpfMap(fd, { type: attr.map_type, valueSize: 8, maxEntries: 1 });
    assertEquals(map.info().value_size, 8);
    assertEquals(codeOf(() => BpfMap.create({ ...hash, valueSize: 0 })), "EINVAL");
    assertThrows(() => BpfMap.create({ ...hash, name: "seventeen letters" }), RangeError, "name");
  },
});

Deno.test({
  name: `1,000 times opening and closing leaves no descriptor behind${noBpf.why}`,
  ignore: noBpf.ignore,
  fn() {
    const open = () => readdirSync("/proc/self/fd").length;
    const insns = new BpfAssembler().alu("mov", "r0", 0).exit().bytes();
    const once = (attach: boolean): void => {
      using map = BpfMap.create(hash);
      using _again = BpfMap.openById(map.info().id);
      using program = BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns });
      using _link = attach ? openRawTracepoint("sys_enter", program) : undefined;
      using _event = PerfEvent.open({ type: PERF_TYPE_SOFTWARE, config: PERF_COUNT_SW_CPU_CLOCK, disabled: true });
    };
    once(true);
    const before = open();
    // Detaching takes the kernel 15 ms: it waits for all CPUs.
    for (let i = 0; i < 1000; i++) once(i % 100 === 0);
    // Tests beside this one, in the same process, have some open, too.
    assertLess(open() - before, 100);
  },
});
