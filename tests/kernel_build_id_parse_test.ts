// buildIdParse(): each limit and mistake of each release, on files made byte by byte.
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type BuildIdOutcome,
  buildIdParse,
  explainBuildIdParse,
  KERNEL_RELEASES,
  type KernelRelease,
  type MappedFile,
  mappedFile,
} from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";
import { fuzzParser } from "./fuzz.ts";
import { buildElf, ROWS } from "./kernel_elf.ts";

const ID = Uint8Array.from({ length: 20 }, (_, i) => 0xa0 + i);

function answer(bytes: Uint8Array, kernel: KernelRelease): BuildIdOutcome {
  const { errno, outcome, buildId } = explainBuildIdParse(mappedFile(bytes), kernel);
  const into = new Uint8Array(20).fill(0xee);
  assertEquals(buildIdParse(mappedFile(bytes), into, kernel), errno);
  assertEquals(into, buildId ?? new Uint8Array(20).fill(0xee), "untouched unless found");
  assertEquals(errno, { found: 0, "page-not-cached": -14 }[outcome as string] ?? -22);
  return outcome;
}

for (const is64 of [true, false]) {
  Deno.test(`buildIdParse() keeps each release's limits in ${is64 ? 64 : 32}-bit files`, () => {
    for (const [name, shape, first, hardened, now] of ROWS) {
      const bytes = buildElf({ buildId: ID, is64, ...shape });
      const answers = KERNEL_RELEASES.map((release) => answer(bytes, release));
      assertEquals(answers, [first, hardened, now, now], name);
    }
  });
}

Deno.test("buildIdParse() zero-pads a short ID", () => {
  const id = new Uint8Array(20).fill(0xee);
  assertEquals(buildIdParse(mappedFile(buildElf({ buildId: ID.slice(0, 3) })), id, "6.18"), 0);
  assertEquals(toHex(id), "a0a1a2" + "00".repeat(17));
});

Deno.test("buildIdParse() refuses what is no ELF executable, and a file of nothing has no page", () => {
  const file = buildElf({ buildId: ID });
  for (const kernel of KERNEL_RELEASES) {
    assertEquals(answer(new Uint8Array(0), kernel), "page-not-cached");
    assertEquals(answer(file.slice(0, 3), kernel), "not-elf");
    const otherClass = file.slice();
    otherClass[4] = 3;
    assertEquals(answer(otherClass, kernel), "unknown-class");
    const bigEndian = file.slice();
    bigEndian[5] = 2; // not looked at
    assertEquals(answer(bigEndian, kernel), "found");
    bigEndian.set([0, 3], 16); // but e_type is read little-endian
    assertEquals(answer(bigEndian, kernel), "wrong-e_type");
  }
});

Deno.test("buildIdParse() needs only the pages it reads to be in the page cache", () => {
  const bytes = buildElf({ buildId: ID, phoff: 4096 + 100, noteOffset: 3 * 4096 - 20 });
  const whole = mappedFile(bytes);
  const without = (missing: number): MappedFile => ({
    readPage: (index) => index === missing ? undefined : whole.readPage(index),
  });
  const errno = (missing: number) => explainBuildIdParse(without(missing), "6.18");
  assertEquals(errno(-1).outcome, "found");
  assertEquals([errno(0).errno, errno(0).outcome], [-14, "page-not-cached"]);
  assertEquals([errno(1).errno, errno(1).outcome], [-14, "page-not-cached"]); // program headers: the search ends
  assertEquals([errno(2).errno, errno(2).outcome], [-22, "page-not-cached"]); // a note: the next segment is tried
  assertEquals([errno(3).errno, errno(3).outcome], [-22, "page-not-cached"]);
  assertEquals(errno(4).outcome, "found");
});

Deno.test("buildIdParse() survives offsets that wrap", () => {
  const make = (phoff: bigint, offset: bigint, filesz: bigint) => {
    const bytes = buildElf({ buildId: ID, length: 8192 });
    const view = new DataView(bytes.buffer);
    view.setBigUint64(64 + 8, offset, true);
    view.setBigUint64(64 + 32, filesz, true);
    view.setBigUint64(32, phoff, true);
    return bytes;
  };
  assertEquals(answer(make(2n ** 64n - 8n, 120n, 36n), "6.18"), "phdrs-overflow");
  assertEquals(answer(make(2n ** 63n, 120n, 36n), "6.18"), "page-not-cached");
  assertEquals(answer(make(2n ** 40n, 120n, 36n), "6.18"), "page-not-cached");
  for (const kernel of KERNEL_RELEASES) {
    assertEquals(answer(make(64n, 2n ** 64n - 8n, 36n), kernel), "note-out-of-range");
    assertEquals(answer(make(64n, 2n ** 32n - 8n, 36n), kernel), "note-out-of-range");
    assertEquals(answer(make(64n, 120n, 2n ** 32n + 36n), kernel), "found"); // p_filesz is cut to 32 bits
  }
});

Deno.test("buildIdParse() goes on where each release does if a note's size wraps", () => {
  const make = (namesz: number, descsz: number) => {
    const bytes = buildElf({ buildId: ID, before: [["GNU\0", 1, 16]] });
    const view = new DataView(bytes.buffer);
    view.setUint32(120, namesz, true);
    view.setUint32(124, descsz, true);
    return bytes;
  };
  const answers = (namesz: number, descsz: number) =>
    KERNEL_RELEASES.map((kernel) => answer(make(namesz, descsz), kernel) === "found");
  assertEquals(answers(4, 16), [true, true, true, true]);
  // In a u32 it rounds to 0: the next note is 32 bytes on.
  for (const size of [0xfffffffd, 0xffffffff]) {
    assertEquals(answers(size, 20), [true, false, true, true]);
    assertEquals(answers(20, size), [true, false, true, true]);
  }
  // The offset wraps as well, in 4.17 alone: forwards, onto the next note, and backwards.
  assertEquals(answers(0xfffffffc, 24), [true, false, false, false]);
  assertEquals(answers(0xfffffff0, 36), [true, false, false, false]);
  assertEquals(answers(0xfffffff0, 0), [false, false, false, false]);
});

Deno.test("buildIdParse() of 4.17 reads zeros where the descriptor runs over the page's end", () => {
  const bytes = buildElf({ buildId: ID, noteOffset: 4080, noteSize: 16, length: 8192 });
  const id = new Uint8Array(20).fill(0xee);
  assertEquals(buildIdParse(mappedFile(bytes), id, "4.17"), 0);
  assertEquals(id, new Uint8Array(20)); // in the kernel: whatever memory follows the page
});

Deno.test("buildIdParse() wants room for 20 bytes", () => {
  assertThrows(
    () => buildIdParse(mappedFile(new Uint8Array(1)), new Uint8Array(19), "6.18"),
    RangeError,
    "20 bytes",
  );
  assertThrows(
    () => buildIdParse(mappedFile(new Uint8Array(1)), new Uint8Array(20), "5.4" as KernelRelease),
    RangeError,
  );
});

Deno.test("buildIdParse() of all releases survives truncation and mutations", () => {
  const samples = [
    buildElf({ buildId: ID, before: [["GNU\0", 5, 32]], emptyNotes: 1 }),
    buildElf({ buildId: ID, is64: false, loads: 3 }),
    buildElf({ buildId: ID.slice(0, 8), noteOffset: 4080, phoff: 600 }),
  ];
  for (const kernel of KERNEL_RELEASES) {
    fuzzParser(`buildIdParse ${kernel}`, samples, (bytes) => {
      const result = buildIdParse(mappedFile(bytes), new Uint8Array(20), kernel);
      assert(result === 0 || result === -14 || result === -22);
    });
  }
});
