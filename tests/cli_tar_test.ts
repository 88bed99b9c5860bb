// Archives of recordings: gunzip() and readTar(), and what they refuse.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { gzipSync } from "node:zlib";
import { FormatError } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { gunzip, readTar } from "../src/recording/tar.ts";
import { inDirectory, run } from "./cli_run.ts";
import { readTestdata } from "./fixtures.ts";
import { fuzzParser } from "./fuzz.ts";
import { writeFileSync } from "node:fs";

const gzip = (bytes: Uint8Array): Uint8Array => new Uint8Array(gzipSync(bytes));

/** Writes the checksum that a header has to have. */
function sign(tar: Uint8Array, at: number = 0): Uint8Array {
  let sum = 256;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += tar[at + i];
  tar.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), at + 148);
  return tar;
}

/** An archive of one entry. */
function tarOf({ name = "a", type = "0", prefix = "", magic = "ustar\0" }, content: Uint8Array): Uint8Array {
  const tar = new Uint8Array(512 + Math.ceil(content.length / 512) * 512 + 1024);
  const put = (text: string, at: number) => tar.set(new TextEncoder().encode(text), at);
  put(name, 0);
  put(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  put(type, 156);
  put(magic, 257);
  put(prefix, 345);
  tar.set(content, 512);
  return sign(tar);
}

Deno.test("gunzip() unpacks up to its limit, whatever length the archive claims", async () => {
  const data = new SeededRandom(1).fill(new Uint8Array(100_000));
  for (const bytes of [new Uint8Array(0), data.subarray(0, 1), data, new Uint8Array(5_000_000)]) {
    assertEquals((await gunzip(gzip(bytes))).length, bytes.length);
  }
  assertEquals(await gunzip(gzip(data)), data);
  assertEquals((await gunzip(gzip(data), 100_000)).length, 100_000);
  await assertRejects(() => gunzip(gzip(data), 99_999), RangeError, "more than 99999 bytes");
});

Deno.test("gunzip() stops a bomb at 256 MiB", async () => {
  await assertRejects(() => gunzip(gzip(new Uint8Array(2 ** 28 + 1))), RangeError, "more than 268435456 bytes");
});

Deno.test("gunzip() says of what is not gzip, is cut or damaged that it is", async () => {
  const whole = gzip(new TextEncoder().encode("a recording ".repeat(20)));
  const inputs: Uint8Array[] = [new Uint8Array(30), new TextEncoder().encode("plain text")];
  for (let length = 0; length < whole.length; length++) inputs.push(whole.subarray(0, length));
  const claim = whole.slice();
  claim[claim.length - 1] = 0x10; // 256 MiB and more
  inputs.push(claim);
  for (const input of inputs) {
    await assertRejects(() => gunzip(input), FormatError, "is not gzip, or is cut short");
  }
  await inDirectory(async (dir) => {
    writeFileSync(`${dir}/cut.tar.gz`, whole.subarray(0, 20));
    const { code, err } = await run("replay", `${dir}/cut.tar.gz`);
    assertEquals(code, 1);
    assert(err.startsWith(`stackmap: ${dir}/cut.tar.gz: gzip data at offset 0: is not gzip, or is cut short`), err);
  });
});

Deno.test("gunzip() survives 2,000 mutations and changes no input", async () => {
  const seed = 1;
  const random = new SeededRandom(seed);
  const sample = gzip(readTestdata("linux-6.18/exhausted.tar.gz").subarray(0, 2048));
  let unpacked = 0;
  for (let i = 0; i < 2000; i++) {
    const input = sample.slice();
    for (let change = random.below(4); change >= 0; change--) input[random.below(input.length)] = random.below(256);
    const before = input.slice();
    try {
      await gunzip(input, 1 << 20);
      unpacked++;
    } catch (error) {
      const refused = error instanceof FormatError ||
        (error instanceof RangeError && /unpacks to/.test(error.message));
      if (!refused) throw new Error(`seed ${seed}, mutation ${i}`, { cause: error });
    }
    assertEquals(input, before);
  }
  assert(unpacked > 0); // the header has bytes that don't matter
});

Deno.test("readTar() reads regular files and their prefixes, and leaves directories out", () => {
  const content = new Uint8Array(600).fill(7);
  assertEquals([...readTar(tarOf({}, content))], [["a", content]]);
  assertEquals([...readTar(tarOf({ name: "./b", type: "\0" }, content)).keys()], ["b"]);
  assertEquals([...readTar(tarOf({ prefix: "some/where" }, content)).keys()], ["some/where/a"]);
  // GNU tar's own format keeps times in that field.
  assertEquals([...readTar(tarOf({ prefix: "14736462", magic: "ustar  \0" }, content)).keys()], ["a"]);
  assertEquals(readTar(tarOf({ type: "5" }, new Uint8Array(0))).size, 0);
  assertEquals(readTar(new Uint8Array(0)).size, 0);
});

Deno.test("readTar() refuses what it would lose: long names, pax headers, links", () => {
  for (
    const [type, name] of [["L", "long name of GNU tar"], ["x", "pax header"], ["2", "symbolic link"], ["Z", ""]]
  ) {
    const error = assertThrows(() => readTar(tarOf({ type }, new Uint8Array(9))), FormatError, name);
    assertEquals([error.offset, error.field, error.value], [156, "typeflag", type]);
  }
});

Deno.test("readTar() refuses a header whose checksum is wrong, and archives that are cut short", () => {
  const tar = tarOf({}, new Uint8Array(600));
  for (const at of [0, 130, 300, 511]) {
    const damaged = tar.slice();
    damaged[at] ^= 1;
    const error = assertThrows(() => readTar(damaged), FormatError, "is not the header's sum");
    assertEquals([error.offset, error.field], [148, "checksum"]);
  }
  for (const length of [1, 511, 512, 1000, 1111]) assertThrows(() => readTar(tar.subarray(0, length)), FormatError);
  assertEquals(readTar(tar.subarray(0, 1112)).get("a")?.length, 600); // without padding and end
  const error = assertThrows(() => readTar(new Uint8Array(600).fill(0x39)), FormatError);
  assertEquals(error.field, "checksum");
});

Deno.test("readTar() survives truncation and mutations", () => {
  const tar = readTestdata("linux-6.18/exhausted.tar.gz");
  const samples = [tar.slice(0, 4096), tarOf({ prefix: "p" }, new Uint8Array(100))];
  fuzzParser("readTar", samples, (bytes) => readTar(bytes));
  // With headers signed anew, so that mutations come as far as what follows the checksum.
  fuzzParser("readTar, signed", samples, (bytes) => {
    const signed = bytes.slice();
    for (let at = 0; at + 512 <= signed.length && signed[at] !== 0; at += 512) sign(signed, at);
    return readTar(signed);
  });
});
