// Owns the tests of the Zstandard decompressor: known answers, round trips of zstd, limits, fuzzing.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FormatError } from "../mod.ts";
import { bytesEqual, fromHex, viewOf } from "../src/base/bytes.ts";
import { SeededRandom } from "../src/base/random.ts";
import { xxh64 } from "../src/compress/xxh64.ts";
import { decompressZstd } from "../src/compress/zstd.ts";
import { fuzzParser } from "./fuzz.ts";

const MIB = 1 << 20;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const hex = (digits: string): Uint8Array => fromHex(digits.replace(/\s/g, ""))!;
const concat = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(parts.flatMap((part) => [...part]));

/** Frames by hand: magic, a descriptor for a single segment of one size byte, blocks. */
const frame = (size: number, blocks: string): Uint8Array =>
  concat(hex("28b52ffd 20"), Uint8Array.of(size), hex(blocks));

const HELLO = frame(5, "290000 68656c6c6f"); // raw, last
const RUN = frame(200, "430600 61"); // RLE of 200, last
const SKIPPABLE = hex("5f2a4d18 03000000 010203");

function haveZstd(): boolean {
  const found = ["/usr/bin/zstd", "/usr/local/bin/zstd", "/opt/homebrew/bin/zstd"].some((path) => existsSync(path));
  if (!found) console.log("skipped: zstd is not installed");
  return found;
}

/** Runs `zstd` on files: large pipes into a child stall in some runtimes. */
function withZstd(run: (pack: (data: Uint8Array, args: string[]) => Uint8Array) => void): void {
  const folder = mkdtempSync(`${tmpdir()}/compress-`);
  try {
    run((data, args) => {
      writeFileSync(`${folder}/in`, data);
      const { status } = spawnSync("zstd", ["-q", "-f", ...args, `${folder}/in`, "-o", `${folder}/out`], {
        stdio: "ignore",
      });
      assertEquals(status, 0);
      return readFileSync(`${folder}/out`);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Words in random order: literals, matches and repeated offsets of every kind. */
function words(seed: number, length: number): Uint8Array {
  const random = new SeededRandom(seed);
  const list = Array.from({ length: 300 }, () => random.fill(new Uint8Array(1 + random.below(12))));
  const out = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const word = list[Math.floor(list.length * (random.below(1000) / 1000) ** 2)];
    out.set(word.subarray(0, length - at), at);
    at += word.length;
  }
  return out;
}

function binaries(most: number): Uint8Array {
  const out = new Uint8Array(most);
  let length = 0;
  for (const entry of readdirSync("/usr/bin").sort()) {
    const path = `/usr/bin/${entry}`;
    if (!existsSync(path) || !statSync(path).isFile() || statSync(path).size > 4 * MIB) continue;
    const data = readFileSync(path).subarray(0, most - length);
    out.set(data, length);
    length += data.length;
    if (length === most) break;
  }
  return out.subarray(0, length);
}

Deno.test("xxh64 gives the published answers", () => {
  const of = (input: string) => {
    const view = viewOf(new TextEncoder().encode(input));
    return xxh64(view, 0, view.byteLength).map((half) => half.toString(16).padStart(8, "0")).join("");
  };
  assertEquals(of(""), "ef46db3751d8e999");
  assertEquals(of("a"), "d24ec4f1a98c6e5b");
  assertEquals(of("abc"), "44bc2cf5ad770999");
});

Deno.test("zstd: raw and RLE blocks, several frames, skippable frames", () => {
  assertEquals(text(decompressZstd(HELLO, 5)), "hello");
  assertEquals(text(decompressZstd(RUN, 200)), "a".repeat(200));
  assertEquals(text(decompressZstd(concat(SKIPPABLE, HELLO, SKIPPABLE, HELLO), 10)), "hellohello");
  assertEquals(decompressZstd(SKIPPABLE, 0).length, 0);
  assertEquals(decompressZstd(frame(0, "010000"), 0).length, 0);
  const out = decompressZstd(HELLO, 100);
  assertEquals(out.buffer.byteLength, 5);
});

Deno.test("zstd: what is malformed, unsupported or over the limit is a FormatError", () => {
  const fails = (bytes: Uint8Array, limit: number, field: string, problem: string): void => {
    const error = assertThrows(() => decompressZstd(bytes, limit), FormatError, problem);
    assertEquals(error.field, field);
  };
  fails(new Uint8Array(0), 10, "Magic_Number", "needs 4 bytes");
  fails(hex("28b52ffe"), 10, "Magic_Number", "is not Zstandard's");
  fails(HELLO, 4, "Frame_Content_Size", "unpacks to more than 4 bytes");
  fails(hex("28b52ffd 0000 430600 61"), 199, "Block_Header", "unpacks to more than 199 bytes");
  fails(hex("28b52ffd 21 07 05 290000 68656c6c6f"), 9, "Dictionary_ID", "dictionaries are not supported");
  fails(hex("28b52ffd 28 05"), 9, "Frame_Header_Descriptor", "reserved bit");
  fails(frame(5, "070000"), 9, "Block_Header", "reserved block type");
  fails(frame(6, "290000 68656c6c6f"), 9, "Frame_Content_Size", "does not match the 5 bytes");
  fails(concat(HELLO, Uint8Array.of(0)), 9, "Magic_Number", "needs 4 bytes");
  fails(hex("502a4d18 04000000 010203"), 9, "Frame_Size", "needs 4 bytes, 3 are left");
  fails(hex("28b52ffd 24 05 290000 68656c6c6f 00000000"), 9, "Content_Checksum", "does not match");
  assertThrows(() => decompressZstd(HELLO, -1), RangeError);
  assertThrows(() => decompressZstd(HELLO, 1.5), RangeError);
});

Deno.test("zstd: a bomb stops at the limit", () => {
  // 100 RLE blocks of 128 KiB in 400 bytes, with a window that allows them; the size is not announced.
  const blocks = Array.from({ length: 100 }, (_, i) => i === 99 ? "03001000" : "02001000").join("");
  const bomb = hex(`28b52ffd 0038 ${blocks}`);
  assertEquals(decompressZstd(bomb, 100 * 131072).length, 100 * 131072);
  assertThrows(() => decompressZstd(bomb, MIB), FormatError, `unpacks to more than ${MIB} bytes`);
  // An announced size of 2^40 bytes: nothing is allocated for it.
  const boast = hex("28b52ffd e0 0000000000010000 290000 68656c6c6f");
  assertThrows(() => decompressZstd(boast, 2 ** 45), FormatError, "unpacks to more than 2147483647 bytes");
});

Deno.test("zstd: round trips of the zstd tool", () => {
  if (!haveZstd()) return;
  const inputs: Record<string, Uint8Array> = {
    "nothing": new Uint8Array(0),
    "one byte": Uint8Array.of(7),
    "random bytes": new SeededRandom(1).fill(new Uint8Array(300_000)),
    "zeros": new Uint8Array(3 * MIB),
    "words": words(2, 400_000),
    "half-bytes": new SeededRandom(3).fill(new Uint8Array(200_000)).map((byte) => byte & 15),
    "few words": words(4, 700),
    "short": words(5, 60),
  };
  const levels = [["-1"], ["-3", "--no-check"], ["-3", "--no-content-size"], ["--fast=5"], ["-19"], [
    "--ultra",
    "-22",
    "--long=27",
  ]];
  withZstd((pack) => {
    for (const [name, data] of Object.entries(inputs)) {
      for (const args of levels) {
        const packed = pack(data, args);
        const before = packed.slice();
        assert(bytesEqual(decompressZstd(packed, data.length), data), `${name} ${args.join(" ")}`);
        assert(bytesEqual(packed, before), "changed its input");
        if (data.length === 0) continue;
        assertThrows(() => decompressZstd(packed, data.length - 1), FormatError, "unpacks to more than");
      }
    }
  });
});

Deno.test("zstd: round trips of 10 MiB of binaries", () => {
  if (!haveZstd()) return;
  if (!existsSync("/usr/bin")) return console.log("skipped: there is no /usr/bin");
  const data = binaries(10 * MIB);
  withZstd((pack) => {
    for (const args of [["-1"], ["-3"], ["-12", "--long=27"]]) {
      assert(bytesEqual(decompressZstd(pack(data, args), data.length), data), args.join(" "));
    }
  });
});

Deno.test("zstd: fuzzing", () => {
  const samples = [HELLO, RUN, concat(SKIPPABLE, HELLO)];
  if (haveZstd()) {
    withZstd((pack) => {
      for (const args of [["-1"], ["-19"], ["-3", "--no-check"], ["-3", "--no-content-size", "--no-check"]]) {
        samples.push(pack(words(6, 900), args), pack(words(7, 3000).map((byte) => byte & 31), args));
      }
    });
  }
  fuzzParser("decompressZstd", samples, (bytes) => decompressZstd(bytes, MIB));
});
