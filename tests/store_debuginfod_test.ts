// Owns the tests of the debuginfod store against Debian's debuginfod on loopback, where it and gcc are installed.
import { assert, assertEquals } from "@std/assert";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { debuginfodStore, readBuildId } from "../mod.ts";
import { fails, sleep } from "./store_server.ts";

const SOURCE = `#include <stdio.h>
int thrice(int x) { return 3 * x; }
int main(int c, char **v) { (void)v; printf("%d\\n", thrice(c)); return 0; }
`;

/** A free port, until somebody takes it. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const missing = ["debuginfod", "gcc", "objcopy"].filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
if (missing.length > 0) console.log(`Skipping the real debuginfod: ${missing.join(", ")} not installed`);

Deno.test({
  name: "debuginfodStore() gets from a real debuginfod what is in the files",
  ignore: missing.length > 0,
  async fn() {
    const directory = mkdtempSync(join(tmpdir(), "stackmap-"));
    const path = (...names: string[]) => join(directory, ...names);
    const run = (tool: string, ...args: string[]) => assertEquals(spawnSync(tool, args).status, 0, tool);
    let server: ChildProcess | undefined;
    try {
      mkdirSync(path("files"));
      writeFileSync(path("a.c"), SOURCE);
      run("gcc", "-g", "-O1", "-gz=zlib", "-Wl,--build-id", "-o", path("a"), path("a.c"));
      run("objcopy", "--only-keep-debug", path("a"), path("files", "a.debug"));
      run("objcopy", "--strip-debug", path("a"), path("files", "a"));
      run("objcopy", "-O", "binary", "--dump-section", `.text=${path("text")}`, path("a"), path("junk"));
      const program = new Uint8Array(readFileSync(path("files", "a")));
      const debug = new Uint8Array(readFileSync(path("files", "a.debug")));
      const buildId = readBuildId(program)!;
      const port = await freePort();
      const args = ["-F", "-p", `${port}`, "-d", ":memory:", path("files")];
      server = spawn("debuginfod", args, { stdio: "ignore", env: { ...process.env, DEBUGINFOD_URLS: "" } });
      const exited = new Promise((resolve) => server!.once("exit", resolve));
      const servers = `http://127.0.0.1:${port}`;
      // It listens before it has looked at the files.
      for (let i = 0; i < 100; i++) {
        const store = debuginfodStore({ servers, retries: 0 });
        const there = await Promise.all((["executable", "debuginfo"] as const).map(async (item) => {
          const file = await store.find(buildId, item).catch(() => undefined);
          await file?.cancel();
          return file !== undefined;
        }));
        if (there.every(Boolean)) break;
        await sleep(50);
      }

      const store = debuginfodStore({ servers });
      const executable = await store.find(buildId, "executable");
      assertEquals([executable?.size, executable?.source], [program.length, undefined]);
      assertEquals(await executable?.bytes(), program);
      const debuginfo = await store.find(buildId, "debuginfo");
      assertEquals(debuginfo?.size, debug.length);
      assertEquals(await debuginfo?.head(4096), debug.slice(0, 4096));
      assertEquals(await (await store.find(buildId, "debuginfo"))?.bytes(), debug);
      const text = await store.find(buildId, "section/.text");
      assertEquals(await text?.bytes(), new Uint8Array(readFileSync(path("text"))));
      // As it stands in the file: an Elf64_Chdr of ELFCOMPRESS_ZLIB, then zlib's own header.
      const info = await (await store.find(buildId, "section/.debug_info"))!.bytes();
      assertEquals([info[0], info[24]], [1, 0x78]);
      assert(await store.find(buildId, "section/.note.gnu.build-id").then((file) => file?.bytes()));
      for (const item of ["section/.bss", "section/.nope", "gsym"] as const) {
        assertEquals(await store.find(buildId, item), undefined);
      }
      assertEquals(await store.find(new Uint8Array(20), "debuginfo"), undefined);
      await fails("too-large", () => debuginfodStore({ servers, maxBytes: 1000 }).find(buildId, "debuginfo"));
      server.kill();
      await exited;
      await fails("unreachable", () => debuginfodStore({ servers, backoffMs: 1 }).find(buildId, "executable"));
    } finally {
      server?.kill("SIGKILL");
      rmSync(directory, { recursive: true });
    }
  },
});
