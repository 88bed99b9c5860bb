// Owns the benchmarks of the kernel model: hashing, stack ids, translation of addresses.
import {
  AddressSpace,
  BPF_F_FAST_STACK_CMP,
  BPF_F_REUSE_STACKID,
  BPF_F_USER_BUILD_ID,
  BPF_F_USER_STACK,
  getStack,
  jhash2,
  mappedFile,
  StackMap,
} from "../../mod.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { buildElf } from "../kernel_elf.ts";
import { type Bench, sumWords } from "./harness.ts";

const BUCKETS = 16384;
const FRAMES = 20;
// Stacks that are asked for again and again: a profile's hot ones.
const HOT = 2048;
const HASHED = 256;

// User-space addresses at random, `frames` a stack.
function makeStacks(stacks: number, frames: number): BigUint64Array {
  const random = new SeededRandom(2);
  const ips = new BigUint64Array(stacks * frames);
  const words = new Uint32Array(ips.buffer);
  for (let i = 0; i < words.length; i += 2) {
    words[i] = random.nextUint32();
    words[i + 1] = random.below(0x8000);
  }
  return ips;
}

const bytesOf = (array: BigUint64Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

function jhashBench(frames: number, targets: Bench["targets"]): Bench {
  const ips = makeStacks(HASHED, frames);
  const stacks = Array.from({ length: HASHED }, (_, s) => new Uint32Array(ips.buffer, 8 * frames * s, 2 * frames));
  let h = 0;
  return {
    name: `jhash2 of ${frames} frames`,
    targets,
    inputs: [bytesOf(ips)],
    command: "jhash2",
    args: [frames],
    run: () => {
      h = 0;
      for (let s = 0; s < stacks.length; s++) h = ((h ^ jhash2(stacks[s], 0)) + 1) | 0;
    },
    sum: () => h >>> 0,
  };
}

// For so many buckets two stacks each that fall into it: all the first ones, then all the second ones.
function makePairs(): BigUint64Array {
  const pool = makeStacks(5 * BUCKETS, FRAMES);
  const seen = new Map<number, number[]>();
  for (let s = 0; s * FRAMES < pool.length; s++) {
    const bucket = jhash2(new Uint32Array(pool.buffer, 8 * FRAMES * s, 2 * FRAMES), 0) & (BUCKETS - 1);
    const stacks = seen.get(bucket);
    if (stacks === undefined) seen.set(bucket, [s]);
    else stacks.push(s);
  }
  const pairs = [...seen.values()].filter((stacks) => stacks.length > 1).slice(0, HOT);
  const ips = new BigUint64Array(2 * HOT * FRAMES);
  pairs.forEach((stacks, i) => {
    for (const second of [0, 1]) {
      const from = stacks[second] * FRAMES;
      ips.set(pool.subarray(from, from + FRAMES), (second * pairs.length + i) * FRAMES);
    }
  });
  return ips;
}

// `hit` and `fast` ask for stacks that the map holds; `miss` for ones whose bucket another stack owns, replacing it.
function stackidBench(kind: "hit" | "fast compare" | "miss", targets: Bench["targets"]): Bench {
  const pairs = makePairs();
  const ips = kind === "miss" ? pairs : pairs.slice(0, pairs.length / 2);
  const flags = kind === "hit" ? 0 : kind === "miss" ? BPF_F_REUSE_STACKID : BPF_F_FAST_STACK_CMP;
  const stacks = Array.from({ length: ips.length / FRAMES }, (_, s) => ips.subarray(s * FRAMES, (s + 1) * FRAMES));
  const map = new StackMap({ valueSize: 8 * 127, maxEntries: BUCKETS });
  for (const stack of stacks) map.getStackid(stack, BPF_F_USER_STACK);
  let h = 0;
  return {
    name: `getStackid, 16,384 buckets, 20 frames: ${kind}`,
    targets,
    inputs: [bytesOf(ips)],
    command: "getstackid",
    args: [flags, kind === "hit" ? 0 : kind === "miss" ? 1 : 2],
    run: () => {
      h = 0;
      for (let s = 0; s < stacks.length; s++) {
        h = ((h ^ map.getStackid(stacks[s], flags | BPF_F_USER_STACK)) + 1) | 0;
      }
    },
    sum: () => h >>> 0,
  };
}

function translateBench(): Bench {
  const random = new SeededRandom(3);
  const table = new Uint8Array(300 * 48);
  const view = new DataView(table.buffer);
  const vmas = Array.from({ length: 300 }, (_, i) => {
    const start = 0x7f00_0000_0000n + BigInt(i) * 0x100_0000n;
    const end = start + BigInt(1 + random.below(4000)) * 0x1000n;
    const pgoff = BigInt(random.below(1000));
    const buildId = random.fill(new Uint8Array(20));
    view.setBigUint64(48 * i, start, true);
    view.setBigUint64(48 * i + 8, end, true);
    view.setBigUint64(48 * i + 16, pgoff, true);
    table.set(buildId, 48 * i + 24);
    return { start, end, pgoff, file: mappedFile(buildElf({ buildId })) };
  });
  const addressSpace = new AddressSpace(vmas);
  const stackCount = 4096;
  const ips = new BigUint64Array(stackCount * FRAMES);
  for (let i = 0; i < ips.length; i++) {
    const { start, end } = vmas[random.below(vmas.length)];
    ips[i] = start + BigInt(random.below(Number(end - start)));
  }
  const out = new Uint8Array(stackCount * FRAMES * 32);
  const stacks = Array.from({ length: stackCount }, (_, s) => ips.subarray(s * FRAMES, (s + 1) * FRAMES));
  const bufs = stacks.map((_, s) => out.subarray(s * FRAMES * 32, (s + 1) * FRAMES * 32));
  const context = { addressSpace };
  return {
    name: "translate addresses to build-id records, 300 VMAs",
    targets: { v8: [0.50, 0.54], jsc: [0.75, 0.55] },
    inputs: [bytesOf(ips), table],
    command: "translate",
    args: ["%1"],
    run: () => {
      for (let s = 0; s < stackCount; s++) {
        getStack(stacks[s], bufs[s], BPF_F_USER_STACK | BPF_F_USER_BUILD_ID, context);
      }
    },
    sum: () => sumWords(new Uint32Array(out.buffer)),
  };
}

/** Makes the benchmarks one by one. */
export const kernelBenches: (() => Bench)[] = [
  () => jhashBench(20, { v8: [0.95, 0.68], jsc: [0.70, 0.61] }),
  () => jhashBench(127, { v8: [1.0, 0.86], jsc: [0.75, 0.57] }),
  () => stackidBench("hit", { v8: [0.80, 0.42], jsc: [0.55, 0.36] }),
  () => stackidBench("fast compare", { v8: [0.95, 0.49], jsc: [0.75, 0.44] }),
  () => stackidBench("miss", { v8: [0.75, 0.37], jsc: [0.55, 0.30] }),
  translateBench,
];
