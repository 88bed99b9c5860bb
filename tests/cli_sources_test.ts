// Owns the tests of where `symbolize` takes binaries from besides ELF files: GSYM files and debuginfod servers.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { buildIdHandler, elfToGsym, memoryStore, readBuildId } from "../mod.ts";
import { readTar } from "../src/recording/tar.ts";
import { inDirectory, run } from "./cli_run.ts";
import { readTestdata } from "./fixtures.ts";

const files = readTar(readTestdata("linux-6.18/basic.tar.gz"));
const target = files.get("files/0000")!;

Deno.test("symbolize takes GSYM files, named or found in a directory, and answers as with the ELF file", async () => {
  await inDirectory(async (dir) => {
    writeFileSync(`${dir}/bid.bin`, files.get("bid.bin")!);
    mkdirSync(`${dir}/elf`);
    writeFileSync(`${dir}/elf/target`, target);
    mkdirSync(`${dir}/gsym`);
    const { chunks } = await elfToGsym(target);
    for (const chunk of chunks()) writeFileSync(`${dir}/gsym/target`, chunk, { flag: "a" });
    writeFileSync(`${dir}/gsym/broken`, "MYSG");
    const elf = await run("symbolize", "--dump", `${dir}/bid.bin`, "--elf", `${dir}/elf`);
    for (const path of ["gsym", "gsym/target"]) {
      const gsym = await run("symbolize", "--dump", `${dir}/bid.bin`, "--elf", `${dir}/${path}`);
      assertEquals([gsym.code, gsym.out, gsym.err], [0, elf.out, elf.err]);
    }
    const broken = await run("symbolize", "--dump", `${dir}/bid.bin`, "--elf", `${dir}/gsym/broken`);
    assertEquals(broken.code, 1);
    assertStringIncludes(broken.err, "broken: ");
  });
});

/** A debuginfod that has the program; what is asked for goes to `asked`. */
async function serve(asked: string[]): Promise<{ url: string; close(): void }> {
  const store = memoryStore([{
    buildId: readBuildId(target)!,
    item: "executable",
    bytes: target,
    name: "/opt/target",
  }]);
  const handler = buildIdHandler({ store });
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    asked.push(incoming.url!);
    const response = await handler(new Request(`http://localhost${incoming.url}`));
    outgoing.writeHead(response.status, [...response.headers].flat());
    outgoing.end(new Uint8Array(await response.arrayBuffer()));
  };
  const server = createServer((incoming, outgoing) => void answer(incoming, outgoing));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

Deno.test("symbolize asks debuginfod servers for what is missing; that one is down is told, and a failure", async () => {
  const asked: string[] = [];
  const server = await serve(asked);
  try {
    await inDirectory(async (dir) => {
      writeFileSync(`${dir}/bid.bin`, files.get("bid.bin")!);
      writeFileSync(`${dir}/target`, target);
      const local = await run("symbolize", "--dump", `${dir}/bid.bin`, "--elf", `${dir}/target`);
      const found = await run("symbolize", "--dump", `${dir}/bid.bin`, "--debuginfod", server.url);
      assertEquals([found.code, found.out], [0, local.out]);
      assertMatch(found.err, /no store has 93ac61ec[^]*2161 frames in 116 stacks: 1931 resolved/);
      const before = asked.length;
      await run("symbolize", "--dump", `${dir}/bid.bin`, "--elf", `${dir}/target`, "--debuginfod", server.url);
      const again = asked.slice(before);
      assertEquals(again.filter((path) => path.includes("7676d378")), [], "what is at hand is not asked for");
    });
  } finally {
    server.close();
  }
  await inDirectory(async (dir) => {
    writeFileSync(`${dir}/bid.bin`, files.get("bid.bin")!);
    const down = await run("symbolize", "--dump", `${dir}/bid.bin`, "--debuginfod", server.url);
    assertEquals(down.code, 1);
    assertStringIncludes(down.err, server.url);
    const none = await run("symbolize", "--dump", `${dir}/bid.bin`, "--debuginfod", "ftp://example.com");
    assertEquals(none.code, 2);
  });
});
