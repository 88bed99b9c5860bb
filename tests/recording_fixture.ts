// Owns samples that tests of recordings start from.
import { BPF_F_STACK_BUILD_ID, encodeStacks, type SampleRecording } from "../mod.ts";

export const DEPTH = 6;
export const BUILD_ID: Uint8Array = new Uint8Array(20).fill(7);
export const HEX_ID: string = "07".repeat(20);
const userLayout = { valueSize: 32 * DEPTH, mapFlags: BPF_F_STACK_BUILD_ID };
const ip = (address: bigint) => ({ status: 2, ip: address });
const valid = (offset: bigint) => ({ status: 1, build_id: BUILD_ID, offset });

export const MAPS = `\
55d000001000-55d000003000 r-xp 00001000 fe:00 21                         /opt/no id/libfoo.so
55d000100000-55d000200000 rw-p 00000000 00:00 0                          [heap]
7f0000001000-7f0000002000 rwxp 00000000 00:00 0 
7ffe00000000-7ffe00002000 r-xp 00000000 00:00 0                          [vdso]
`;

/** Three stacks of processes, two of the kernel, in rows with every kind of loss. */
export function samples(changes: Partial<SampleRecording> = {}): SampleRecording {
  const rows: [pid: number, user: number, kernel: number, count: number][] = [
    [10, 0, 0, 5],
    [10, 0, -14, 7],
    [11, 0, -14, 2],
    [10, 1, 1, 1],
    [12, -14, 1, 4],
    [10, -17, -14, 3],
    [10, -14, -14, 2],
    [10, -17, 0, 6],
    [10, 0, -12, 1],
    [13, -12, -17, 8],
    [14, 2, -14, 9],
  ];
  return {
    name: "pid 10",
    kernel: "6.18.5",
    machine: "x86_64",
    started: "2026-01-02T03:04:05.678Z",
    seconds: 2.5,
    frequency: 99,
    nrCpus: 4,
    stacks: {
      depth: DEPTH,
      userDepth: DEPTH,
      kernelDepth: DEPTH,
      userStacks: encodeStacks([
        // Compiled code as a return address at the very end of its function; an address that nothing names.
        { id: 0, frames: [valid(0x1136n), ip(0x7f0000001080n), ip(0x7f0000009000n)] },
        { id: 1, frames: [ip(0x7ffe00000010n), ip(0x55d000001234n), ip(0x7f0000001080n), ip(0x55d000100008n)] },
        { id: 2, frames: [ip(0x7f0000001080n)] },
      ], userLayout),
      kernelStacks: encodeStacks([
        { id: 0, frames: [ip(0xffffffff81000010n), ip(0xffffffff81001000n), ip(0xffffffffc0201004n)] },
        { id: 1, frames: [ip(0xffffffff81001000n), ip(0xffffffff70000000n)] },
      ], { valueSize: 8 * DEPTH }),
      pid: Uint32Array.from(rows, (row) => row[0]),
      userStack: Int32Array.from(rows, (row) => row[1]),
      kernelStack: Int32Array.from(rows, (row) => row[2]),
      count: Float64Array.from(rows, (row) => row[3]),
      uncounted: 3,
    },
    processes: [
      {
        pid: 10,
        comm: "node",
        maps: MAPS,
        perfMap:
          "7f0000001000 80 JS:*old /a.js\n7f0000001040 40 JS:*leaf; /a.js:1\n7f0000005000 10 JS:unused\n7f00",
      },
      { pid: 11, comm: "node" },
      { pid: 12, comm: "kworker/0:1" },
      { pid: 14, comm: "other", perfMap: "7f0000001000 100 JS:another\n" },
    ],
    kallsyms: "ffffffff81000000 T schedule\nffffffff81000800 t do_idle\nffffffff81001000 T _after\n" +
      "ffffffff81002000 T unused\nffffffffc0201000 t nft_do\t[nf_tables]\n",
    binaries: { [HEX_ID]: "/usr/bin/node" },
    ...changes,
  };
}
