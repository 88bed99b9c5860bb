// Owns the tests of BuildIdIndex on hand-made files: what add() reports, what resolve() and the batch form answer.
import { assertEquals, assertThrows } from "@std/assert";
import {
  BuildIdIndex,
  FormatError,
  type PageSize,
  parseEhdr,
  RESOLVE_REASONS,
  type ResolvedColumns,
} from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { buildElf, FORMATS, type SegmentSpec, type SymbolSpec } from "./elf_builder.ts";

const ID = Uint8Array.from({ length: 20 }, (_, i) => 0xa0 + i);
const TEXT = { name: ".text", sh_type: 1, sh_flags: 6n, sh_addr: 0x401000n, sh_size: 0x1000n };
const SEGMENTS: SegmentSpec[] = [
  { p_type: 1, p_flags: 4, p_vaddr: 0x400000n, p_filesz: 0x800n, p_memsz: 0x800n, p_align: 0x1000n },
  {
    p_type: 1,
    p_flags: 5,
    p_offset: 0x1000n,
    p_vaddr: 0x401000n,
    p_filesz: 0x200n,
    p_memsz: 0x200n,
    p_align: 0x1000n,
  },
];
const SYMBOLS: SymbolSpec[] = [
  { name: "main", st_value: 0x401100n, st_size: 0x20n },
  { name: "next", st_value: 0x401120n, st_size: 0x20n },
];

function file(spec: Parameters<typeof buildElf>[0] = {}): Uint8Array {
  return buildElf({ buildId: ID, segments: SEGMENTS, sections: [TEXT], symbols: SYMBOLS, ...spec });
}

function padded(id: Uint8Array): Uint8Array {
  const out = new Uint8Array(20);
  out.set(id);
  return out;
}

for (const { name, ...format } of FORMATS) {
  Deno.test(`a frame in a ${name} file resolves to binary, address and symbol`, () => {
    const index = new BuildIdIndex();
    const bytes = file(format);
    const before = bytes.slice();
    const { status, buildId, kernelReports, binary, problems } = index.add(bytes, { name: "a.out" });
    assertEquals([status, buildId, kernelReports, problems], ["added", ID, true, []]);
    assertEquals(index.binaries, [binary!]);
    assertEquals([binary?.name, binary?.symbolKind, binary?.files], ["a.out", ".symtab", ["a.out"]]);
    const result = index.resolve(ID, 0x1104n);
    assertEquals(result.binary, binary);
    assertEquals(result.address, 0x401104n);
    assertEquals(result.reconstructed, false);
    assertEquals(result.symbol, { name: "main", address: 0x401100n, size: 0x20n, offset: 4n });
    assertEquals(result.reason, undefined);
    assertEquals(bytes, before);
  });
}

Deno.test("each frame without a symbol says why", () => {
  const index = new BuildIdIndex();
  index.add(file());
  const bare = Uint8Array.of(1);
  index.add(buildElf({ buildId: bare, segments: SEGMENTS }));
  const objectFile = Uint8Array.of(2);
  index.add(buildElf({ buildId: objectFile, sections: [TEXT] }));
  const reason = (id: Uint8Array, offset: bigint) => index.resolve(id, offset).reason;
  assertEquals(reason(Uint8Array.of(9), 0n), "no-such-binary");
  assertEquals(reason(new Uint8Array(0), 0n), "no-such-binary");
  assertEquals(reason(new Uint8Array(20), 0n), "no-such-binary");
  assertEquals(reason(ID, 0x9000n), "outside-every-segment");
  assertEquals(reason(ID, 0xffff_ffff_ffff_f000n), "outside-every-segment");
  assertEquals(reason(ID, -1n), "outside-every-segment");
  assertEquals(reason(ID, 1n << 64n), "outside-every-segment");
  assertEquals(reason(ID, 0x100n), "not-an-executable-mapping");
  assertEquals(index.resolve(ID, 0x100n).address, 0x400100n);
  assertEquals(reason(ID, 0x1010n), "no-symbol-here");
  assertEquals(reason(bare, 0x1010n), "no-symbols");
  assertEquals(index.resolve(bare, 0x1010n).address, 0x401010n);
  assertEquals(reason(objectFile, 0x1010n), "no-segments");
});

Deno.test("a return address is looked up one byte earlier and reported as it is", () => {
  const index = new BuildIdIndex();
  index.add(file());
  const returnAddress = { returnAddress: true };
  // The call was main's last instruction.
  assertEquals(index.resolve(ID, 0x1120n).symbol?.name, "next");
  const result = index.resolve(ID, 0x1120n, returnAddress);
  assertEquals(result.address, 0x401120n);
  assertEquals(result.symbol, { name: "main", address: 0x401100n, size: 0x20n, offset: 0x20n });
  // One past the segment's last page: the byte before is inside.
  assertEquals(index.resolve(ID, 0x2000n).reason, "outside-every-segment");
  assertEquals(index.resolve(ID, 0x2000n, returnAddress).address, 0x402000n);
  assertEquals(index.resolve(ID, 0n, returnAddress).reason, "outside-every-segment");
});

Deno.test("an id matches as in the file and padded with zeros, and keeps the zeros it ends with", () => {
  for (const length of [1, 8, 16, 19, 20]) {
    const index = new BuildIdIndex();
    const id = Uint8Array.from({ length }, (_, i) => i);
    assertEquals(index.add(file({ buildId: id })).kernelReports, true);
    assertEquals(index.resolve(id, 0x1100n).symbol?.name, "main");
    assertEquals(index.resolve(padded(id), 0x1100n).symbol?.name, "main");
    assertEquals(index.binary(padded(id)), index.binaries[0]);
    assertEquals(index.binary(Uint8Array.of(7, ...id)), undefined);
  }
  const index = new BuildIdIndex();
  const short = Uint8Array.of(1, 2);
  const ending = Uint8Array.of(1, 2, 0);
  assertEquals(index.add(file({ buildId: short })).status, "added");
  // The kernel pads both to the same 20 bytes: nobody can tell their frames apart.
  const { status, binary } = index.add(file({ buildId: ending }));
  assertEquals([status, binary], ["conflict", index.binaries[0]]);
  assertEquals(index.binaries.length, 1);
});

Deno.test("ids over 20 bytes are reported and answer only to themselves", () => {
  const index = new BuildIdIndex();
  const long = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const { status, kernelReports } = index.add(file({ buildId: long }));
  assertEquals([status, kernelReports], ["added", false]);
  assertEquals(index.resolve(long, 0x1100n).symbol?.name, "main");
  assertEquals(index.resolve(long.subarray(0, 20), 0x1100n).reason, "no-such-binary");
  assertEquals(index.add(file({ buildId: long })).status, "duplicate");
});

Deno.test("add() reports duplicates, conflicts, mismatches and files without an id", () => {
  const index = new BuildIdIndex();
  assertEquals(index.add(file(), { name: "a", buildId: ID }).status, "added");
  assertEquals(index.add(file(), { name: "b" }).status, "duplicate");
  const moved = SEGMENTS.map((segment) => ({ ...segment, p_vaddr: segment.p_vaddr! + 0x1000n }));
  const conflict = index.add(file({ segments: moved }), { name: "c" });
  assertEquals([conflict.status, conflict.binary?.name], ["conflict", "a"]);
  assertEquals(index.add(file(), { buildId: Uint8Array.of(1) }).status, "mismatch");
  assertEquals(index.add(file(), { buildId: new Uint8Array(21) }).status, "mismatch");
  const without = buildElf({ segments: SEGMENTS });
  assertEquals(index.add(without).status, "no-build-id");
  const given = Uint8Array.of(5, 6);
  assertEquals(index.add(without, { buildId: given }).buildId, given);
  assertEquals(
    index.add(file({ buildId: Uint8Array.of(9) }), { buildId: padded(Uint8Array.of(9)) }).status,
    "added",
  );
  assertEquals(index.binaries.map((binary) => binary.files), [["a"], [""], [""]]);
  assertThrows(() => index.add(file(), { buildId: new Uint8Array(0) }), RangeError);
  assertThrows(() => index.add(new Uint8Array(100)), FormatError);
  assertThrows(() => new BuildIdIndex({ pageSize: 8192 as PageSize }), RangeError);
});

Deno.test("an executable and its debug file complement each other in either order", () => {
  const dropped = SEGMENTS.map((segment) => ({ ...segment, p_offset: 0n, p_filesz: 0n }));
  const debug = file({ segments: dropped });
  const stripped = file({ symbols: [{ name: "exported", st_value: 0x401180n, st_size: 8n }], dynamic: true });
  const frame = (index: BuildIdIndex) => {
    const { address, reconstructed, symbol } = index.resolve(ID, 0x1104n);
    return [address, reconstructed, symbol?.name];
  };
  const one = new BuildIdIndex();
  one.add(stripped, { name: "prog" });
  assertEquals(frame(one), [0x401104n, false, undefined]);
  assertEquals(one.add(debug, { name: "prog.debug" }).status, "merged");
  assertEquals(frame(one), [0x401104n, false, "main"]);
  const other = new BuildIdIndex();
  other.add(debug, { name: "prog.debug" });
  // Rebuilt: the second segment follows the first at the next offset congruent to its address.
  assertEquals(frame(other), [0x401104n, true, "main"]);
  assertEquals(other.add(stripped, { name: "prog" }).status, "merged");
  assertEquals(frame(other), [0x401104n, false, "main"]);
  assertEquals(other.binaries[0].name, "prog");
  for (const index of [one, other]) {
    assertEquals(index.binaries[0].symbolKind, ".symtab");
    assertEquals(index.binaries[0].files.length, 2);
    assertEquals(index.add(debug).status, "duplicate");
  }
});

Deno.test("a file with broken parts is taken in as far as it is good", () => {
  const bytes = file();
  const { e_shoff } = parseEhdr(bytes);
  // Section 2 is .symtab: its contents out of the file.
  new DataView(bytes.buffer).setBigUint64(Number(e_shoff) + 2 * 64 + 24, 1n << 60n, true);
  const index = new BuildIdIndex();
  const { status, problems } = index.add(bytes);
  assertEquals([status, problems.map((problem) => problem.field)], ["added", ["sh_offset"]]);
  assertEquals(index.resolve(ID, 0x1104n).reason, "malformed-symbols");
  assertEquals(index.resolve(ID, 0x1104n).address, 0x401104n);
  // A good copy of the same program mends it.
  assertEquals(index.add(file()).status, "merged");
  assertEquals(index.resolve(ID, 0x1104n).symbol?.name, "main");
  // The head alone has segments; program headers cut off leave the symbols without addresses.
  const head = new BuildIdIndex();
  assertEquals(head.add(file().subarray(0, 300)).problems.map((problem) => problem.field), ["e_shoff"]);
  assertEquals(head.resolve(ID, 0x1104n).address, 0x401104n);
  const lost = file({ noteSection: true });
  new DataView(lost.buffer).setUint16(54, 1, true);
  const noSegments = new BuildIdIndex();
  assertEquals(noSegments.add(lost).problems.map((problem) => problem.field), ["e_phentsize"]);
  assertEquals(noSegments.resolve(ID, 0x1104n).reason, "no-segments");
  assertEquals(noSegments.add(file()).status, "merged");
  assertEquals(noSegments.resolve(ID, 0x1104n).symbol?.name, "main");
});

Deno.test("resolveColumns() answers as resolve() does, for every frame of every stack", () => {
  const seed = 11;
  const random = new SeededRandom(seed);
  const index = new BuildIdIndex();
  const ids: Uint8Array[] = [];
  for (let i = 0; i < 100; i++) {
    // Ids that share words, as those set by hand do.
    const id = Uint8Array.from({ length: 1 + (i % 20) }, () => random.below(2));
    id[id.length - 1] = i + 1;
    ids.push(id);
    if (i % 5 !== 0) index.add(file({ buildId: id, symbols: i % 3 === 0 ? [] : SYMBOLS }));
  }
  const buildIds = new Uint8Array(20 * ids.length);
  ids.forEach((id, i) => buildIds.set(id, 20 * i));
  const count = 3000;
  const first = Uint32Array.of(0, 0, 7, 7, 1000, 2999, count);
  const starts = new Set(first);
  const frames = {
    idIndex: Int32Array.from({ length: count }, () => random.below(ids.length + 2) - 1),
    offsetHi: Uint32Array.from({ length: count }, () => random.chance(0.05) ? 0xffff_ffff : 0),
    offsetLo: Uint32Array.from({ length: count }, () => 0x1000 + random.below(random.chance(0.5) ? 0x180 : 0x1800)),
    buildIds,
  };
  const check = (out: ResolvedColumns, isReturnAddress: (row: number) => boolean): void => {
    for (let row = 0; row < count; row++) {
      const id = frames.idIndex[row];
      const reason = RESOLVE_REASONS[out.reason[row]];
      if (id < 0 || id >= ids.length) {
        assertEquals([out.binary[row], out.symbol[row], reason], [-1, -1, "no-build-id"]);
        continue;
      }
      const offset = (BigInt(frames.offsetHi[row]) << 32n) | BigInt(frames.offsetLo[row]);
      const one = index.resolve(ids[id], offset, { returnAddress: isReturnAddress(row) });
      assertEquals(reason, one.reason ?? "resolved", `seed ${seed}, row ${row}`);
      assertEquals(index.binaries[out.binary[row]], one.binary);
      const address = (BigInt(out.addressHi[row]) << 32n) | BigInt(out.addressLo[row]);
      assertEquals(address, one.address ?? 0n);
      const name = out.symbol[row] < 0 ? undefined : one.binary!.symbols!.name(out.symbol[row]);
      assertEquals(name, one.symbol?.name);
    }
  };
  const out = index.resolveColumns({ ...frames, first });
  check(out, (row) => !starts.has(row));
  assertEquals(index.resolveColumns(frames, out), out);
  check(out, () => false);
  assertThrows(() => index.resolveColumns({ ...frames, offsetLo: new Uint32Array(1) }), RangeError);
});
