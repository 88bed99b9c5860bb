// Dumps that a running 6.18 kernel wrote: decoded, encoded back byte for byte, and the same through bpftool's JSON.
import { assertEquals, assertGreater } from "@std/assert";
import {
  BPF_F_STACK_BUILD_ID,
  decodeStacks,
  decodeStackValue,
  encodeStacks,
  formatBpftoolDump,
  listStacks,
  looksLikeBuildIds,
  parseBpftoolDump,
} from "../mod.ts";
import { readTar } from "../src/recording/tar.ts";
import { readTestdata, RECORDINGS } from "./fixtures.ts";

for (const name of RECORDINGS) {
  Deno.test(`the dumps of the recording ${name} decode and encode back byte for byte`, () => {
    const files = readTar(readTestdata(`linux-6.18/${name}.tar.gz`));
    const meta = JSON.parse(new TextDecoder().decode(files.get("meta.json")!));
    const layouts = [
      { file: "ip.bin", valueSize: 8 * meta.depthIp },
      { file: "bid.bin", valueSize: 32 * meta.depthBuildId, mapFlags: BPF_F_STACK_BUILD_ID },
    ];
    for (const { file, ...layout } of layouts) {
      const dump = files.get(file)!;
      const columns = decodeStacks(dump, layout);
      assertGreater(columns.status.length, 0);
      assertEquals(columns.otherStatus.size, 0);
      assertEquals(encodeStacks(columns, layout), dump);
      const stacks = listStacks(columns);
      assertEquals(encodeStacks(stacks, layout), dump);
      assertEquals(decodeStackValue(dump.slice(4, 4 + layout.valueSize), layout), stacks[0].frames);
      assertEquals(looksLikeBuildIds(dump, layout.valueSize), layout.mapFlags !== undefined);
      const json = formatBpftoolDump(dump, layout.valueSize);
      assertEquals(parseBpftoolDump(json), { dump, valueSize: layout.valueSize, missing: [] });
    }
  });
}

for (const name of ["ip", "bid"]) {
  const raw = () => readTestdata(`bpftool/${name}.raw`);
  const valueSize = name === "ip" ? 64 : 256;

  Deno.test(`parseBpftoolDump() reads what bpftool map dump -j printed for the map ${name}`, () => {
    assertEquals(parseBpftoolDump(readTestdata(`bpftool/${name}.json`)), { dump: raw(), valueSize, missing: [] });
  });

  Deno.test(`parseBpftoolDump() reads what bpftool map dump -jp printed for the map ${name}`, () => {
    const json = readTestdata(`bpftool/${name}.pretty.json`);
    assertEquals(parseBpftoolDump(json), { dump: raw(), valueSize, missing: [] });
  });

  Deno.test(`formatBpftoolDump() writes what bpftool map dump -j printed for the map ${name}`, () => {
    const expected = new TextDecoder().decode(readTestdata(`bpftool/${name}.json`));
    assertEquals(formatBpftoolDump(raw(), valueSize), expected);
  });
}
