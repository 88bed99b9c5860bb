// buildIdParse(): each limit and mistake of each release, on files made byte by byte; and beside the general reader.
import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import {
  type BuildIdOutcome,
  buildIdParse,
  explainBuildIdParse,
  KERNEL_RELEASES,
  type KernelRelease,
  type MappedFile,
  mappedFile,
  readBuildId,
} from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { toHex } from "../src/base/bytes.ts";
import { FormatError } from "../mod.ts";
import { fuzzParser } from "./fuzz.ts";
import { buildElf, type ElfShape } from "./kernel_elf.ts";
import { readTestdata } from "./fixtures.ts";

const ID = Uint8Array.from({ length: 20 }, (_, i) => 0xa0 + i);

function answer(bytes: Uint8Array, kernel: KernelRelease): BuildIdOutcome {
  const { errno, outcome, buildId } = explainBuildIdParse(mappedFile(bytes), kernel);
  const into = new Uint8Array(20).fill(0xee);
  assertEquals(buildIdParse(mappedFile(bytes), into, kernel), errno);
  assertEquals(into, buildId ?? new Uint8Array(20).fill(0xee), "untouched unless found");
  assertEquals(errno, { found: 0, "page-not-cached": -14 }[outcome as string] ?? -22);
  return outcome;
}

type Row = [string, Omit<ElfShape, "buildId"> & { buildId?: Uint8Array }, BuildIdOutcome, BuildIdOutcome];

const ROWS: Row[] = [
  ["a plain file", {}, "found", "found"],
  ["an executable", { type: 2 }, "found", "found"],
  ["a relocatable file", { type: 1 }, "wrong-e_type", "wrong-e_type"],
  ["a core file", { type: 4 }, "wrong-e_type", "wrong-e_type"],
  ["program headers elsewhere", { phoff: 512 }, "no-note-segment", "found"],
  ["a note in the second page", { noteOffset: 4096 }, "note-out-of-range", "found"],
  ["a note across the page's end", { noteOffset: 4080 }, "note-out-of-range", "found"],
  ["a note that ends with the page", { noteOffset: 4060 }, "found", "found"],
  ["an empty note segment first", { emptyNotes: 1 }, "no-build-id-note", "found"],
  ["another note first", { before: [["GNU\0", 1, 16]] }, "found", "found"],
  ["another name of four bytes", { name: "XYZ\0" }, "found", "no-build-id-note"],
  ["another type", { noteType: 4 }, "no-build-id-note", "no-build-id-note"],
  ["a name of five bytes", { name: "GNU!\0" }, "no-build-id-note", "no-build-id-note"],
  ["an ID of 8 bytes", { buildId: ID.slice(0, 8) }, "no-build-id-note", "found"],
  ["an ID of 1 byte", { buildId: ID.slice(0, 1) }, "no-build-id-note", "found"],
  ["an ID of 0 bytes", { buildId: ID.slice(0, 0) }, "no-build-id-note", "no-build-id-note"],
  ["an ID of 21 bytes", { buildId: new Uint8Array(21) }, "no-build-id-note", "no-build-id-note"],
  ["a segment that ends in the ID", { noteSize: 35 }, "found", "no-build-id-note"],
  ["a segment of a header and one byte", { noteSize: 13 }, "found", "no-build-id-note"],
  ["a segment of a header", { noteSize: 12 }, "no-build-id-note", "no-build-id-note"],
  ["more headers than the page holds", { phnum: 200, length: 40000 }, "too-many-phdrs", "found"],
  ["more headers than the file holds", { phnum: 200, length: 4000 }, "too-many-phdrs", "found"],
  ["the note at header 256", { loads: 255 }, "too-many-phdrs", "found"],
  ["the note at header 257", { loads: 256 }, "too-many-phdrs", "no-note-segment"],
  [
    "the note segment's size near 2^32",
    { noteSize: 0xffffffff },
    "note-out-of-range",
    "note-out-of-range",
  ],
];

for (const is64 of [true, false]) {
  Deno.test(`buildIdParse() keeps each release's limits in ${is64 ? 64 : 32}-bit files`, () => {
    for (const [name, shape, old, now] of ROWS) {
      const bytes = buildElf({ buildId: ID, is64, ...shape });
      assertEquals(answer(bytes, "4.17"), old, `${name}, 4.17`);
      assertEquals(answer(bytes, "6.18"), now, `${name}, 6.18`);
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

Deno.test("buildIdParse() of 4.17 ends the search where a note's size wraps", () => {
  const make = (namesz: number, descsz: number) => {
    const bytes = buildElf({ buildId: ID, before: [["GNU\0", 1, 16]] });
    const view = new DataView(bytes.buffer);
    view.setUint32(120, namesz, true);
    view.setUint32(124, descsz, true);
    return bytes;
  };
  assertEquals(answer(make(4, 16), "4.17"), "found");
  assertEquals(answer(make(0xffffffff, 20), "4.17"), "found"); // rounds to 0: the next note is 32 bytes on
  assertEquals(answer(make(0xfffffff0, 0), "4.17"), "no-build-id-note"); // 2^32 − 4: wraps backwards
  assertEquals(answer(make(0xfffffff0, 36), "4.17"), "found"); // wraps forwards, onto the next note
  assertEquals(answer(make(0xfffffff0, 36), "6.18"), "no-build-id-note");
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

// The kernel's parsers and the general reader beside each other. Each allowed difference has a name.
function allowedDifference(
  kernel: { outcome: BuildIdOutcome; buildId?: Uint8Array },
  general: Uint8Array | undefined | FormatError,
  release: KernelRelease,
  bytes: Uint8Array,
): string | undefined {
  const found = kernel.buildId;
  if (general instanceof FormatError || general === undefined) {
    if (found === undefined) return "same";
    if (bytes[5] !== 1) return "the kernel reads every file as little-endian";
    if (release === "4.17") return "4.17 checks neither the name nor e_phoff nor the note's end";
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const [at, size] = bytes[4] === 2 ? [54, 56] : [42, 32];
    if (view.getUint16(at, true) !== size) return "6.18 does not look at e_phentsize";
    for (let word = 0; word + 4 <= bytes.length; word += 4) {
      if (view.getUint32(word, true) > 0xfffffffc) return "6.18 rounds a size of 2^32 - 1 up to 0 and goes on";
    }
    return undefined;
  }
  if (found === undefined) {
    if (general.length > 20) return "no kernel keeps more than 20 bytes";
    if (kernel.outcome === "wrong-e_type") return "the kernel reads executables and shared objects only";
    if (release === "4.17" && general.length !== 20) return "4.17 takes 20 bytes only";
    if (release === "4.17") return "4.17 looks at the first note segment, behind the ELF header, in the first page";
    const phnum = bytes[4] === 2 ? bytes[56] | bytes[57] << 8 : bytes[44] | bytes[45] << 8;
    if (kernel.outcome === "no-note-segment" && phnum > 256) return "6.18 looks at 256 program headers";
    if (kernel.outcome === "note-out-of-range") return "6.18 wants a note segment to end below 4 GiB";
    if (kernel.outcome === "no-build-id-note") return "6.18 wants the last note whole, padding included";
    return undefined;
  }
  if (general.length > 20) return "the kernel passes over an ID of more than 20 bytes and takes the next";
  const padded = new Uint8Array(20);
  padded.set(general);
  if (toHex(padded) === toHex(found)) return "same";
  return release === "4.17" ? "4.17 takes another note" : undefined;
}

Deno.test("the kernel's parsers and the general reader differ only in the ways that are listed", () => {
  const random = new SeededRandom(11);
  const seen = new Map<string, number>();
  const pages = readTestdata("linux-4.17/pages.bin.gz");
  const files: Uint8Array[] = [];
  for (let at = 0; at < pages.length; at += 4096) files.push(pages.slice(at, at + 4096));
  for (let i = 0; i < 2000; i++) {
    const row = ROWS[random.below(ROWS.length)];
    files.push(
      buildElf({ buildId: random.fill(new Uint8Array(1 + random.below(24))), is64: random.chance(0.5), ...row[1] }),
    );
  }
  for (const [i, bytes] of files.entries()) {
    let general: Uint8Array | undefined | FormatError;
    try {
      general = readBuildId(bytes);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      general = error;
    }
    for (const release of KERNEL_RELEASES) {
      const kernel = explainBuildIdParse(mappedFile(bytes), release);
      const difference = allowedDifference(kernel, general, release, bytes);
      assert(
        difference !== undefined,
        `file ${i}, ${release}: ${kernel.buildId && toHex(kernel.buildId)} and ${general}`,
      );
      seen.set(difference, (seen.get(difference) ?? 0) + 1);
    }
  }
  for (const [difference, count] of seen) console.log(`  ${count} × ${difference}`);
  assertGreater(seen.get("same")!, 1000);
});

Deno.test("buildIdParse() of both releases survives truncation and 100,000 mutations", () => {
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
