// Recordings made anew on the running kernel: the model replays them, and they are of the form that testdata has.
import { assert, assertEquals, assertGreater, assertMatch, assertThrows } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { parseProcMaps } from "../mod.ts";
import { readTar } from "../src/recording/tar.ts";
import { LONGTERM_RECORDINGS, readTestdata, RECORDINGS } from "./fixtures.ts";
import { pack } from "./kernel_fixtures/archive.ts";
import { checkMappings, MappingsChanged } from "./kernel_fixtures/observe.ts";
import { record, RECORDABLE, whyNoRecording } from "./kernel_fixtures/recordings.ts";
import { provenProfile } from "./kernel_proof/running.ts";

const reason = whyNoRecording();
const ignore = reason !== undefined;
const why = ignore ? ` (skipped: ${reason})` : "";
const decoder = new TextDecoder();

function metaOf(files: ReadonlyMap<string, Uint8Array>): Record<string, unknown> {
  return JSON.parse(decoder.decode(files.get("meta.json")));
}

Deno.test("testdata's recordings have the parameters that they are recorded anew with, and name no odd path", () => {
  for (const [name, { parameters: { helperFlags, maxEntries, depthIp, depthBuildId } }] of RECORDABLE) {
    assert((RECORDINGS as readonly string[]).includes(name), name);
    const isLongterm = (LONGTERM_RECORDINGS as readonly string[]).includes(name);
    for (const kernel of isLongterm ? ["6.1", "6.12", "6.18"] : ["6.18"]) {
      const files = readTar(readTestdata(`linux-${kernel}/${name}.tar.gz`));
      const { nrCpus: _, files: mapped, ...rest } = metaOf(files);
      const parameters = { helperFlags, maxEntries, depthIp, depthBuildId };
      assertEquals(rest, { name, kernel, pageSize: 4096, ...parameters });
      const paths = parseProcMaps(decoder.decode(files.get("maps"))).map(({ path }) => path);
      for (const path of [...Object.keys(mapped as object), ...paths]) {
        assertMatch(path, /^(\/opt\/demo\/.*|\/usr\/lib\/.*|\/dev\/zero|\[.*|anon_inode:.*|)$/);
      }
    }
  }
});

Deno.test("a recording that the model does not give is told from others", async () => {
  const files = new Map(readTar(readTestdata("linux-6.18/exhausted.tar.gz")));
  assertEquals((await pack(files)).difference, undefined);
  files.set("bid.bin", files.get("bid.bin")!.slice());
  files.get("bid.bin")![9] ^= 1;
  assertEquals((await pack(files)).difference, "the map of build IDs from byte 9 on");
});

Deno.test("checkMappings() refuses only changes that an address meets", () => {
  const line = (start: string, end: string) => `${start}-${end} r-xp 00000000 fe:00 1 /opt/demo/target\n`;
  const events = new Uint8Array(1056);
  new DataView(events.buffer).setBigInt64(24, 8n, true);
  new DataView(events.buffer).setBigUint64(40, 0x1800n, true);
  checkMappings(line("1000", "2000"), line("1000", "2000") + line("5000", "6000"), events);
  for (const after of [line("1000", "3000"), line("5000", "6000"), ""]) {
    assertThrows(() => checkMappings(line("1000", "2000"), after, events), MappingsChanged, "the mapping for 1800");
  }
});

for (const name of ["skip", "crafted"]) {
  Deno.test({
    name:
      `the recording ${name}, made anew on this kernel, replays identically and has the form of testdata's${why}`,
    ignore,
    async fn() {
      const parent = mkdtempSync(join(tmpdir(), "stackmap-fixtures-"));
      try {
        const files = await record(name, `${parent}/demo`);
        const { archive, summary, difference } = await pack(files);
        assertEquals(difference, undefined, summary);
        assertEquals(readTar(new Uint8Array(gunzipSync(archive))), files);
        const kept = readTar(readTestdata(`linux-${provenProfile()}/${name}.tar.gz`));
        assertEquals([...files.keys()].slice(0, 6), [...kept.keys()].slice(0, 6));
        const [meta, keptMeta] = [files, kept].map(metaOf);
        assertEquals(Object.keys(meta), Object.keys(keptMeta));
        assertEquals({ ...meta, nrCpus: 0, files: {} }, { ...keptMeta, nrCpus: 0, files: {} });
        const copies = [...files.keys()].filter((file) => file.startsWith("files/"));
        assertEquals(Object.values(meta.files as object), copies);
        const calls = files.get("events.bin")!.length / 1056;
        assertGreater(calls, 80);
        assertEquals(calls, Math.floor(calls));
      } finally {
        rmSync(parent, { recursive: true, force: true });
      }
    },
  });
}
