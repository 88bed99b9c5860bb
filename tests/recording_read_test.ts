// Recordings as a symbolizer needs them: readRecording(), what it refuses, and its limit.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { gunzipSync, gzipSync } from "node:zlib";
import { BPF_F_STACK_BUILD_ID, decodeStacks, encodeStacks, FormatError, readRecording } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { RECORDINGS } from "./fixtures.ts";
import { archive, recordedFiles } from "./serve_fixtures.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** An archive in tar's format. */
function tarOf(files: Record<string, Uint8Array>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, content] of Object.entries(files)) {
    const header = new Uint8Array(512);
    header.set(encode(name), 0);
    header.set(encode(`${content.length.toString(8).padStart(11, "0")}\0`), 124);
    header.set(encode("0"), 156);
    header.set(encode("ustar\0"), 257);
    header.fill(0x20, 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.set(encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
    parts.push(header, content, new Uint8Array((512 - content.length % 512) % 512));
  }
  parts.push(new Uint8Array(1024));
  const tar = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    tar.set(part, at);
    at += part.length;
  }
  return tar;
}

const META = { name: "made", kernel: "6.18", helperFlags: 256, depthBuildId: 2, files: { "/a": "files/0" } };
const LAYOUT = { valueSize: 64, mapFlags: BPF_F_STACK_BUILD_ID };

function event(id: number): Uint8Array {
  const bytes = new Uint8Array(1056);
  new DataView(bytes.buffer).setBigInt64(16, BigInt(id), true);
  return bytes;
}

function made(
  changes: Record<string, Uint8Array | undefined> = {},
  meta: Record<string, unknown> = {},
): Uint8Array {
  const files: Record<string, Uint8Array | undefined> = {
    "meta.json": encode(JSON.stringify({ ...META, ...meta })),
    "bid.bin": encodeStacks([{ id: 3, frames: [{ status: 2, ip: 0x401136n }] }], LAYOUT),
    "events.bin": Uint8Array.of(...event(3), ...event(-17), ...event(3)),
    "files/0": Uint8Array.of(1, 2, 3),
    ...changes,
  };
  const there = Object.entries(files).filter((entry): entry is [string, Uint8Array] => entry[1] !== undefined);
  return tarOf(Object.fromEntries(there));
}

Deno.test("readRecording() reads every recording of testdata, packed and unpacked", async () => {
  for (const name of RECORDINGS) {
    const files = recordedFiles(name);
    const meta = JSON.parse(new TextDecoder().decode(files.get("meta.json")));
    const recording = await readRecording(archive(name));
    assertEquals([recording.name, recording.kernel], [meta.name, meta.kernel]);
    assertEquals(recording.skipped, meta.helperFlags & 0xff);
    assertEquals(recording.layout, { valueSize: meta.depthBuildId * 32, mapFlags: BPF_F_STACK_BUILD_ID });
    assertEquals(recording.stacks, decodeStacks(files.get("bid.bin")!, recording.layout));
    const calls = [...recording.counts.values()].reduce((sum, count) => sum + count, 0);
    assertEquals(calls, files.get("events.bin")!.length / 1056);
    for (const id of recording.stacks.ids) {
      assert(recording.counts.has(id), `${name}: stack ${id} was never returned`);
    }
    assertEquals([...recording.files.keys()], Object.keys(meta.files));
    if (name === "basic") {
      assertEquals(await readRecording(new Uint8Array(gunzipSync(archive(name)))), recording);
    }
  }
});

Deno.test("readRecording() counts ids and errors, and keeps copies of files by their mapped path", async () => {
  const { counts, files, stacks, skipped } = await readRecording(made());
  assertEquals([...counts], [[3, 2], [-17, 1]]);
  assertEquals([...files], [["/a", Uint8Array.of(1, 2, 3)]]);
  assertEquals([[...stacks.ids], skipped], [[3], 0]);
  assertEquals((await readRecording(made({}, { helperFlags: 258 }))).skipped, 2);
  assertEquals((await readRecording(made({ "files/0": undefined }))).files.size, 0);
});

Deno.test("readRecording() names the file that is missing or malformed", async () => {
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "meta.json"],
    [encode("no archive at all"), "header"],
    [made({ "meta.json": undefined }), "meta.json"],
    [made({ "meta.json": encode("{") }), "meta.json"],
    [made({ "meta.json": encode("[]") }), "meta.json"],
    [made({}, { version: 99 }), "meta.json version"],
    [made({}, { depthBuildId: undefined }), "meta.json version"],
    [made({}, { depthBuildId: 0 }), "meta.json depthBuildId"],
    [made({}, { depthBuildId: "2" }), "meta.json depthBuildId"],
    [made({}, { helperFlags: -1 }), "meta.json helperFlags"],
    [made({}, { name: 5 }), "meta.json name"],
    [made({}, { kernel: null }), "meta.json kernel"],
    [made({}, { files: [] }), "meta.json files"],
    [made({ "bid.bin": undefined }), "bid.bin"],
    [made({ "bid.bin": new Uint8Array(67) }), "bid.bin value"],
    [made({ "events.bin": undefined }), "events.bin"],
    [made({ "events.bin": new Uint8Array(1057) }), "events.bin"],
    [made({ "events.bin": new Uint8Array(1056).fill(0x7f) }), "events.bin id_bid"],
  ];
  for (const [bytes, field] of cases) {
    const error = await assertRejects(() => readRecording(bytes), FormatError);
    assertEquals(error.field, field, error.message);
  }
  const error = await assertRejects(() => readRecording(made({ "bid.bin": new Uint8Array(67) })), FormatError);
  assertEquals(error.message, "bid.bin value at offset 0: the last record has 67 of 68 bytes");
});

Deno.test("readRecording() unpacks no more than it may", async () => {
  const bomb = new Uint8Array(gzipSync(new Uint8Array(1 << 24)));
  await assertRejects(() => readRecording(bomb, { maxBytes: 1 << 20 }), RangeError, "more than 1048576 bytes");
  await assertRejects(() => readRecording(made(), { maxBytes: 1000 }), RangeError, "more than 1000 bytes");
});

Deno.test("readRecording() survives mutations, and changes no input", async () => {
  const seed = 1;
  const random = new SeededRandom(seed);
  const sample = made();
  for (let i = 0; i < 3000; i++) {
    const input = sample.slice(0, random.chance(0.1) ? random.below(sample.length) : sample.length);
    for (let change = random.below(4); change >= 0 && input.length > 0; change--) {
      input[random.below(input.length)] = random.below(256);
    }
    // Headers are signed anew, so that mutations come further than the checksum.
    for (let at = 0; at + 512 <= input.length && input[at] !== 0 && i % 2 === 0; at += 512) {
      input.fill(0x20, at + 148, at + 156);
      const sum = input.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
      input.set(encode(`${sum.toString(8).padStart(6, "0")}\0 `), at + 148);
    }
    const before = input.slice();
    try {
      await readRecording(input, { maxBytes: 1 << 20 });
    } catch (error) {
      const refused = error instanceof FormatError ||
        (error instanceof RangeError && /more than/.test(error.message));
      if (!refused) throw new Error(`seed ${seed}, mutation ${i}`, { cause: error });
    }
    assertEquals(input, before);
  }
});
