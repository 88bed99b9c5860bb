// Owns what the smoke test does inside workerd: a few calls into each room, through the bundle only.
// Each exported object with a test() is one test. To cover a new room, add one below.
// deno-lint-ignore-file -- stackmap.js is made by workerd_test.ts
import * as stackmap from "./stackmap.js";

function same(actual, expected) {
  const show = (value) => JSON.stringify(value, (_, v) => typeof v === "bigint" ? `${v}n` : v);
  if (show(actual) !== show(expected)) throw new Error(`${show(actual)} is not ${show(expected)}`);
}

export const noHostGlobals = {
  test() {
    same([typeof Deno, typeof Bun, typeof require], ["undefined", "undefined", "undefined"]);
  },
};

export const uapi = {
  test() {
    const build_id = new Uint8Array(20).fill(0xab);
    for (const littleEndian of [true, false]) {
      const bytes = stackmap.encodeStackBuildId({ status: 1, build_id, offset: 0x1122334455667788n }, littleEndian);
      same(bytes.length, stackmap.SIZEOF_BPF_STACK_BUILD_ID);
      same(bytes[24], littleEndian ? 0x88 : 0x11);
      same(stackmap.decodeStackBuildId(bytes, 0, littleEndian).offset, 0x1122334455667788n);
      same(new stackmap.StackBuildIdView(bytes, littleEndian).depth(), 1);
    }
    same(stackmap.errnoName(-stackmap.ERRNO.EEXIST), "EEXIST");
  },
};

export const formatErrors = {
  test() {
    try {
      stackmap.decodeStackBuildId(new Uint8Array(31));
    } catch (error) {
      same([error instanceof stackmap.FormatError, error.offset, error.field], [true, 0, "bpf_stack_build_id"]);
      return;
    }
    throw new Error("31 bytes were taken for 32");
  },
};

export const kernelModel = {
  test() {
    const map = new stackmap.StackMap({ valueSize: 8 * 127, maxEntries: 64 }, {
      kernel: "6.18",
      nrCpus: 2,
      seed: 1,
    });
    const ips = BigUint64Array.of(0x7f00_0000_1000n, 0x7f00_0000_2000n);
    const id = map.getStackid(ips, stackmap.BPF_F_USER_STACK);
    const value = new Uint8Array(8 * 127);
    same([id >= 0, map.copy(id, value), map.getNextKey()], [true, 0, id]);
    same(new DataView(value.buffer).getBigUint64(8, true), ips[1]);
    same(map.delete(id), 0);
    same(map.delete(id), -stackmap.ERRNO.ENOENT);
  },
};
