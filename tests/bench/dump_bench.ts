// Owns the benchmarks of decoding: dense and zero-padded dumps into columns.
import { BPF_F_STACK_BUILD_ID, encodeStackBuildId, type StackColumns, StackDecoder } from "../../mod.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { type Bench, mix } from "./harness.ts";

const DISTINCT_IDS = 2000;

// Frames of skewed build IDs (a few binaries have most frames), one in a hundred not translated.
function makeDump(stacks: number, depth: number, used: (random: SeededRandom) => number): Uint8Array {
  const random = new SeededRandom(1);
  const ids = Array.from({ length: DISTINCT_IDS }, () => random.fill(new Uint8Array(20)));
  const record = 4 + 32 * depth;
  const dump = new Uint8Array(stacks * record);
  const view = new DataView(dump.buffer);
  for (let s = 0; s < stacks; s++) {
    view.setUint32(s * record, 2 * s, true);
    const frames = used(random);
    for (let f = 0; f < frames; f++) {
      const part = random.nextUint32() / 0x1_0000_0000;
      const frame = random.chance(0.01)
        ? { status: 2, ip: 0x7f00_0000_0000n + BigInt(random.nextUint32()) }
        : { status: 1, build_id: ids[Math.floor(DISTINCT_IDS * part ** 3)], offset: BigInt(random.below(1 << 24)) };
      encodeStackBuildId(frame, true, dump, s * record + 4 + 32 * f);
    }
  }
  return dump;
}

function sumColumns(columns: StackColumns): number {
  const { ids, first, status, idIndex, offsetLo, offsetHi } = columns;
  let h = 0;
  for (let s = 0; s < ids.length; s++) h = mix(mix(h, ids[s]), first[s + 1]);
  for (let r = 0; r < status.length; r++) {
    h = mix(mix(mix(mix(h, status[r]), idIndex[r]), offsetLo[r]), offsetHi[r]);
  }
  return h >>> 0;
}

function decodeBench(
  name: string,
  command: string,
  dump: Uint8Array,
  depth: number,
  targets: Bench["targets"],
): Bench {
  const decoder = new StackDecoder({ valueSize: 32 * depth, mapFlags: BPF_F_STACK_BUILD_ID });
  let columns: StackColumns;
  return {
    name,
    targets,
    inputs: [dump],
    command,
    args: [depth],
    run: () => {
      columns = decoder.decode(dump);
    },
    sum: () => sumColumns(columns),
  };
}

/** Makes the benchmarks one by one, so that the memory of one is free for the next. */
export const dumpBenches: (() => Bench)[] = [
  () =>
    decodeBench(
      "decode 1,000,000 frames, ids interned",
      "decode",
      makeDump(8000, 125, () => 125),
      125,
      { v8: [0.70, 0.50], jsc: [0.90, 0.63] },
    ),
  () =>
    decodeBench(
      "decode 8,192 × 127 zero-padded, against memcpy",
      "copy",
      makeDump(8192, 127, (random) => 10 + random.below(31)),
      127,
      { v8: [0.80, 0.67], jsc: [0.80, 0.84] },
    ),
];
