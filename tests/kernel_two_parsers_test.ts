// The kernel's build-id parsers and the general reader beside each other: each allowed difference has a name, and its
// cause is looked up in the file's bytes.
import { assert, assertGreater } from "@std/assert";
import { explainBuildIdParse, FormatError, KERNEL_RELEASES, type KernelRelease, mappedFile } from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";
import { SeededRandom } from "../src/base/random.ts";
import { locateBuildId, type LocatedBuildId } from "../src/elf/build_id.ts";
import { readTestdata } from "./fixtures.ts";
import { buildElf, ROWS } from "./kernel_elf.ts";

interface Case {
  release: KernelRelease;
  bytes: Uint8Array;
  /** What the kernel's parser finds. */
  kernel: Uint8Array | undefined;
  /** What the general reader finds. */
  general: LocatedBuildId | undefined;
}

// Little-endian reads as the kernel makes them; 0 past the end.
const word = (bytes: Uint8Array, at: number, size: number): number => {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
};

function shape(bytes: Uint8Array) {
  const is64 = bytes[4] === 2;
  const ehsize = is64 ? 64 : 52;
  const phsize = is64 ? 56 : 32;
  const phoff = is64 ? word(bytes, 32, 8) : word(bytes, 28, 4);
  const phnum = word(bytes, is64 ? 56 : 44, 2);
  const notesAt = (base: number) => {
    const notes: { start: number; end: number }[] = [];
    for (let i = 0, at = base; i < phnum && at < bytes.length; i++, at += phsize) {
      if (word(bytes, at, 4) !== 4) continue;
      const start = is64 ? word(bytes, at + 8, 8) : word(bytes, at + 4, 4);
      notes.push({ start, end: start + word(bytes, at + (is64 ? 32 : 16), 4) });
    }
    return notes;
  };
  return { ehsize, phsize, phoff, phnum, phentsize: word(bytes, is64 ? 54 : 42, 2), notesAt };
}

// Whether the ID stands behind a name that is not "GNU\0" wherever it stands in the file.
function otherName({ bytes, kernel }: Case): boolean {
  const hex = toHex(bytes);
  return !hex.includes(`474e5500${toHex(kernel!)}`);
}

const wrapsSize = ({ bytes }: Case) => {
  for (let at = 0; at + 4 <= bytes.length; at += 4) if (word(bytes, at, 4) > 0xfffffffc) return true;
  return false;
};

type Holds = (c: Case) => boolean;
const only = (release: KernelRelease, holds: Holds): Holds => (c) => c.release === release && holds(c);
const since = (first: KernelRelease, holds: Holds): Holds => (c) =>
  KERNEL_RELEASES.indexOf(c.release) >= KERNEL_RELEASES.indexOf(first) && holds(c);

// The kernel finds an ID, the general reader none.
const KERNEL_ALONE: [string, Holds][] = [
  ["every file is read as little-endian", (c) => c.bytes[5] !== 1],
  ["e_phentsize is not looked at", (c) => shape(c.bytes).phentsize !== shape(c.bytes).phsize],
  [
    "4.17 looks behind the ELF header whatever e_phoff says",
    only("4.17", (c) => shape(c.bytes).phoff !== shape(c.bytes).ehsize),
  ],
  ["4.17 does not check the note's name", only("4.17", otherName)],
  ["a size of 2^32 - 1 is rounded up to 0 and the search goes on", wrapsSize],
  [
    "4.17 lets the descriptor leave its segment",
    only("4.17", (c) => {
      const at = toHex(c.bytes).indexOf(toHex(c.kernel!)) / 2;
      return at + 20 > shape(c.bytes).notesAt(shape(c.bytes).ehsize)[0].end;
    }),
  ],
];

// The kernel finds an ID in the first page only, in segments that end there.
const beyondFirstPage = ({ bytes, general }: Case, segments: number): boolean => {
  const { notesAt, ehsize, phsize, phnum } = shape(bytes);
  const at = general!.fileOffset;
  return phnum > (4096 - ehsize) / phsize ||
    !notesAt(ehsize).slice(0, segments).some(({ start, end }) => end <= 4096 && at >= start && at < end);
};

// The general reader finds an ID, the kernel none or another.
const GENERAL_ELSEWHERE: [string, Holds][] = [
  ["no kernel keeps more than 20 bytes", (c) => c.general!.buildId.length > 20],
  ["only executables and shared objects are read", (c) => ![2, 3].includes(word(c.bytes, 16, 2))],
  ["4.17 takes 20 bytes only", only("4.17", (c) => c.general!.buildId.length !== 20)],
  [
    "4.17 looks at the first note segment behind the ELF header, in the first page",
    only("4.17", (c) => beyondFirstPage(c, 1)),
  ],
  ["4.17 takes an earlier note with another name", only("4.17", (c) => c.kernel !== undefined && otherName(c))],
  [
    "6.1 refuses program headers elsewhere than behind the ELF header",
    only("6.1", (c) => shape(c.bytes).phoff !== shape(c.bytes).ehsize),
  ],
  ["6.1 looks at the first page", only("6.1", (c) => beyondFirstPage(c, Infinity))],
  ["since 6.12 256 program headers are looked at", since("6.12", (c) => shape(c.bytes).phnum > 256)],
  [
    "since 6.12 a note segment must end below 4 GiB",
    since("6.12", (c) => shape(c.bytes).notesAt(shape(c.bytes).phoff).some(({ end }) => end >= 2 ** 32)),
  ],
  [
    "since 6.1 a note must be whole in its segment, padding included",
    since("6.1", (c) => {
      const end = c.general!.fileOffset + (c.general!.buildId.length + 3 & ~3);
      return shape(c.bytes).notesAt(shape(c.bytes).phoff).every((note) => end > note.end);
    }),
  ],
  ["a size of 2^32 - 1 is rounded up to 0 and the search goes on", wrapsSize],
];

function difference(c: Case): string | undefined {
  const { kernel, general } = c;
  if (general === undefined) {
    return kernel === undefined ? "same" : KERNEL_ALONE.find(([, holds]) => holds(c))?.[0];
  }
  if (kernel !== undefined && toHex(general.buildId).padEnd(40, "0") === toHex(kernel)) return "same";
  return GENERAL_ELSEWHERE.find(([, holds]) => holds(c))?.[0];
}

Deno.test("the kernel's parsers and the general reader differ only in the ways that are listed", () => {
  const random = new SeededRandom(11);
  const pages = readTestdata("linux-4.17/pages.bin.gz");
  const files: Uint8Array[] = [];
  for (let at = 0; at < pages.length; at += 4096) files.push(pages.slice(at, at + 4096));
  for (let i = 0; i < 2000; i++) {
    const [, row] = ROWS[random.below(ROWS.length)];
    const buildId = random.fill(new Uint8Array(1 + random.below(24)));
    files.push(buildElf({ buildId, is64: random.chance(0.5), ...row }));
  }
  const seen = new Map<string, number>();
  for (const [i, bytes] of files.entries()) {
    let general: LocatedBuildId | undefined;
    try {
      general = locateBuildId((offset, length) => bytes.subarray(offset, offset + length));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
    for (const release of KERNEL_RELEASES) {
      const kernel = explainBuildIdParse(mappedFile(bytes), release).buildId;
      const name = difference({ release, bytes, kernel, general });
      assert(
        name !== undefined,
        `file ${i}, ${release}: ${kernel && toHex(kernel)}, ${general && toHex(general.buildId)}`,
      );
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
  }
  for (const [name, count] of seen) console.log(`  ${count} × ${name}`);
  assertGreater(seen.get("same")!, 1000);
  for (const [name] of [...KERNEL_ALONE, ...GENERAL_ELSEWHERE]) assert(seen.has(name), `never seen: ${name}`);
});
