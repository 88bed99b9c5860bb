// Owns the program that starts and stops recorders in a process of its own, and says what stayed open.
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { BpfMap, BpfProgram, StackRecorder } from "../src/linux/linux.ts";

const cycles = Number(process.argv[2] ?? 20);

/** Ids of the maps and programs whose descriptors this process has. */
function held(kind: "map_id" | "prog_id"): number[] {
  return readdirSync("/proc/self/fdinfo").flatMap((fd) => {
    try {
      const text = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      return [...text.matchAll(new RegExp(`^${kind}:\\s*(\\d+)`, "gm"))].map((match) => Number(match[1]));
    } catch {
      return []; // the descriptor of the folder itself
    }
  });
}

const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

function cycle(target: { pid?: number }): { maps: number[]; programs: number[]; samples: number } {
  using recorder = StackRecorder.open({ ...target, frequency: 4999 });
  recorder.start();
  const until = Date.now() + 3;
  while (Date.now() < until);
  recorder.poll();
  recorder.stop();
  recorder.take();
  return { maps: held("map_id"), programs: held("prog_id"), samples: recorder.samples };
}

cycle({});
const before = openDescriptors();
const begun = performance.now();
const maps = new Set<number>();
const programs = new Set<number>();
let samples = 0;
for (let i = 0; i < cycles; i++) {
  const made = cycle(i % 2 === 0 ? {} : { pid: process.pid });
  for (const id of made.maps) maps.add(id);
  for (const id of made.programs) programs.add(id);
  samples += made.samples;
}
const milliseconds = performance.now() - begun;
const after = openDescriptors();
// The kernel frees them a little later than the last descriptor closes.
const left = (): number =>
  BpfMap.ids().filter((id) => maps.has(id)).length + BpfProgram.ids().filter((id) => programs.has(id)).length;
for (let i = 0; i < 300 && left() > 0; i++) await new Promise((resolve) => setTimeout(resolve, 100));
console.log(JSON.stringify({
  cycles,
  before,
  after,
  made: maps.size + programs.size,
  left: left(),
  samples,
  millisecondsPerCycle: Math.round(10 * milliseconds / cycles) / 10,
}));
