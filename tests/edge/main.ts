// Owns `deno task edge`: CPU time and memory of warm requests, and 200 clients at once, in each runtime.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { buildProgram, recording, writeBinaries } from "./corpus.ts";
import { load, quantile, type Shot } from "./load.ts";
import {
  cpuMilliseconds,
  DEBUGINFOD,
  memoryKib,
  type RuntimeName,
  RUNTIMES,
  type Server,
  startDebuginfod,
  startExample,
} from "./servers.ts";
import { dumpOf } from "./stacks.ts";

const HELP = `usage: deno task edge [--seconds N] [--clients N] [--only RUNTIME]

Starts debuginfod over real binaries and the services of docs/examples, and measures for each runtime
  - CPU time and memory of requests with 1,000 stacks of 30 frames, cold and warm;
  - answers to 200 clients at once for 30 seconds, the service pinned to one core.
`;

const args = process.argv.slice(2);
if (args.includes("--help")) {
  console.log(HELP);
  process.exit(0);
}
const option = (name: string, fallback: string): string => {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? fallback : args[at + 1];
};
const SECONDS = Number(option("seconds", "30"));
const CLIENTS = Number(option("clients", "200"));
const only = option("only", "");
/** Warm requests that CPU time is measured over. */
const WARM = 50;

const mib = (kib: number): string => `${(kib / 1024).toFixed(0)} MiB`;

/** Posts a body; returns the answer's length and the milliseconds it took. */
async function post(
  url: string,
  type: string,
  body: Uint8Array<ArrayBuffer>,
): Promise<{ length: number; ms: number }> {
  const start = performance.now();
  const response = await fetch(url, { method: "POST", headers: { "content-type": type }, body });
  const { byteLength } = await response.arrayBuffer();
  if (response.status !== 200) throw new Error(`${url}: ${response.status}`);
  return { length: byteLength, ms: performance.now() - start };
}

async function measureRequests(server: Server, dump: Uint8Array<ArrayBuffer>): Promise<void> {
  const url = `${server.url}/symbolize?valueSize=960`;
  const idle = memoryKib(server.pid).now;
  const before = cpuMilliseconds(server.pid);
  const cold = await post(url, "application/octet-stream", dump);
  const coldCpu = cpuMilliseconds(server.pid) - before;
  for (let i = 0; i < WARM; i++) await post(url, "application/octet-stream", dump);
  for (const format of ["json", "folded", "pprof"]) {
    const from = cpuMilliseconds(server.pid);
    const times: number[] = [];
    for (let i = 0; i < WARM; i++) {
      times.push((await post(`${url}&format=${format}`, "application/octet-stream", dump)).ms);
    }
    const cpu = (cpuMilliseconds(server.pid) - from) / WARM;
    const wall = quantile(Float64Array.from(times).sort(), 0.5);
    console.log(`  1,000 × 30 frames, warm, ${format.padEnd(6)} ${cpu.toFixed(1)} ms CPU, ${wall.toFixed(1)} ms`);
  }
  const { now, peak } = memoryKib(server.pid);
  console.log(
    `  the first one, with loading: ${coldCpu} ms CPU, ${cold.ms.toFixed(0)} ms; answer ${cold.length} bytes`,
  );
  console.log(`  resident: idle ${mib(idle)}, now ${mib(now)}, peak ${mib(peak)}`);
}

async function measureLoad(server: Server, shots: readonly Shot[]): Promise<boolean> {
  spawnSync("taskset", ["-acp", "0", `${server.pid}`]);
  const memory: number[] = [];
  const before = cpuMilliseconds(server.pid);
  const found = await load(shots, CLIENTS, SECONDS, () => memory.push(memoryKib(server.pid).now));
  const cpu = (cpuMilliseconds(server.pid) - before) / found.requests;
  const part = (from: number, to: number) =>
    Math.max(...memory.slice(Math.floor(from * memory.length), Math.ceil(to * memory.length)));
  const errors = [...found.failures].map(([problem, count]) => `${count} × ${problem}`).join(", ") || "no errors";
  console.log(
    `  ${CLIENTS} clients, ${found.seconds.toFixed(0)} s, one core: ${found.requests} requests, ` +
      `${(found.requests / found.seconds).toFixed(0)}/s, ${errors}; p50 ${
        quantile(found.times, 0.5).toFixed(0)
      } ms, ` +
      `p99 ${quantile(found.times, 0.99).toFixed(0)} ms; ${cpu.toFixed(2)} ms CPU each`,
  );
  console.log(
    `  resident, most in each third: ${mib(part(0, 1 / 3))}, ${mib(part(1 / 3, 2 / 3))}, ${mib(part(2 / 3, 1))}`,
  );
  return found.failures.size === 0;
}

async function measure(runtime: RuntimeName, debuginfod: Server, directory: string): Promise<boolean> {
  console.log(`\n${runtime}`);
  const server = await startExample(runtime, debuginfod.url);
  try {
    const dump = dumpOf(directory, { stacks: 1000, frames: 30, distinct: 3000, seed: 1 });
    await measureRequests(server, dump);
    const small = dumpOf(directory, { stacks: 20, frames: 30, distinct: 300, seed: 2 });
    const kinds: [string, string, Uint8Array<ArrayBuffer>][] = [
      ["?valueSize=960", "application/octet-stream", small],
      ["?valueSize=960&format=folded", "application/octet-stream", small],
      ["?valueSize=960&format=pprof", "application/octet-stream", small],
      ["", "application/gzip", recording("basic")],
    ];
    const shots: Shot[] = [];
    for (const [query, type, body] of kinds) {
      const url = `${server.url}/symbolize${query}`;
      const { length } = await post(url, type, body);
      // Compared as it comes over the wire, unpacked or not.
      shots.push({
        url,
        headers: { "content-type": type, "accept-encoding": "identity" },
        body,
        answerLength: length,
      });
    }
    return await measureLoad(server, shots);
  } finally {
    await server.stop();
  }
}

if (DEBUGINFOD === undefined) {
  console.log("skipped: no debuginfod here (Debian's package debuginfod)");
  process.exit(0);
}
const directory = mkdtempSync(join(tmpdir(), "stackmap-edge-"));
let good = true;
try {
  const target = await writeBinaries(directory);
  buildProgram(directory);
  console.log(`binaries: ${readdirSync(directory).join(", ")}`);
  const debuginfod = await startDebuginfod([directory], target);
  try {
    for (const runtime of RUNTIMES) {
      if (only === "" || only === runtime) good = await measure(runtime, debuginfod, directory) && good;
    }
  } finally {
    await debuginfod.stop();
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
process.exit(good ? 0 : 1);
