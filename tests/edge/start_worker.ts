// Owns how a test starts a worker of its own in workerd.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { bundle, type Server } from "./servers.ts";

function workerd(): string {
  const installed = fileURLToPath(
    new URL("../../.ci/node_modules/@cloudflare/workerd-linux-64/bin/workerd", import.meta.url),
  );
  const places = [installed, ...process.env.PATH!.split(delimiter).map((directory) => join(directory, "workerd"))];
  return places.find((path) => existsSync(path))!;
}

/** Starts a worker of this directory, with the URL of a server in its DEBUGINFOD_URLS. */
export async function startWorker(name: string, servers: string): Promise<Server> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  const directory = mkdtempSync(join(tmpdir(), "stackmap-workerd-"));
  bundle(fileURLToPath(new URL(name, import.meta.url)), join(directory, "worker.js"));
  writeFileSync(
    join(directory, "worker.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
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
`,
  );
  const child = spawn(workerd(), ["serve", "worker.capnp"], { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (data) => output += data);
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  const server: Server = {
    url,
    pid: child.pid!,
    output: () => output,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
  for (let i = 0; i < 200; i++) {
    try {
      const response = await fetch(`${url}/healthz`);
      await response.body?.cancel();
      if (response.ok) return server;
    } catch { /* not listening yet */ }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await server.stop();
  throw new Error(`workerd does not answer:\n${output}`);
}
