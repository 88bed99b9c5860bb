// Owns the edge test: the documentation's services in four runtimes, all fed by a real debuginfod, have one answer.
import { assert, assertEquals } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { buildProgram, NAMES, recording, writeBinaries } from "./corpus.ts";
import { DEBUGINFOD, RUNTIMES, type Server, startDebuginfod, startExample } from "./servers.ts";

// The test starts all runtimes itself: once is enough.
const isDeno = process.versions.deno !== undefined;
const why = !isDeno
  ? " (skipped: run from Deno)"
  : DEBUGINFOD === undefined
  ? " (skipped: no debuginfod here)"
  : "";

const FORMATS = ["json", "folded", "pprof"];

Deno.test({
  name: `the examples for ${RUNTIMES.join(", ")} symbolize the recordings through debuginfod, all alike${why}`,
  ignore: why !== "",
  async fn() {
    const directory = mkdtempSync(join(tmpdir(), "stackmap-edge-"));
    const servers: Server[] = [];
    try {
      const target = await writeBinaries(directory);
      buildProgram(directory);
      const debuginfod = await startDebuginfod([directory], target);
      servers.push(debuginfod);
      const examples = await Promise.all(RUNTIMES.map((runtime) => startExample(runtime, debuginfod.url)));
      servers.push(...examples);
      for (const name of NAMES) {
        for (const format of FORMATS) {
          const answers = await Promise.all(examples.map(async ({ url }) => {
            const response = await fetch(`${url}/symbolize?format=${format}`, {
              method: "POST",
              headers: { "content-type": "application/gzip" },
              body: recording(name),
            });
            assertEquals(response.status, 200);
            const body = format === "pprof"
              ? new Response(response.body!.pipeThrough(new DecompressionStream("gzip")))
              : response;
            return new Uint8Array(await body.arrayBuffer());
          }));
          for (let i = 1; i < answers.length; i++) {
            assert(
              sameBytes(answers[i], answers[0]),
              `${name} as ${format}: ${RUNTIMES[i]} differs from ${RUNTIMES[0]}`,
            );
          }
          if (format !== "folded" || name.startsWith("fuzz")) continue;
          // What the program is known to do, from testdata/linux-6.18/target.c.
          const folded = new TextDecoder().decode(answers[0]);
          assert(/(^|;)main;/m.test(folded), folded.slice(0, 1000));
        }
      }
      const { frames } = await symbolized(examples[0].url, "basic");
      const lines = frames.filter(({ file }) => file?.endsWith("target.c"));
      assert(lines.length > 0 && lines.every(({ line }) => line !== undefined), JSON.stringify(frames.slice(0, 5)));
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
      rmSync(directory, { recursive: true, force: true });
    }
  },
});

async function symbolized(url: string, name: string): Promise<{ frames: { file?: string; line?: number }[] }> {
  const response = await fetch(`${url}/symbolize`, {
    method: "POST",
    headers: { "content-type": "application/gzip" },
    body: recording(name),
  });
  return await response.json();
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
