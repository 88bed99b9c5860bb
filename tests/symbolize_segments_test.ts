// Owns the tests of the way from file offset to virtual address: page rounding, debug files, hostile segments.
import { assertEquals } from "@std/assert";
import type { PageSize, Phdr } from "../mod.ts";
import { SegmentTable } from "../src/symbolize/segments.ts";

const R = 4;
const RX = 5;
const RW = 6;

function load(
  p_flags: number,
  p_offset: bigint,
  p_vaddr: bigint,
  p_filesz: bigint,
  more: Partial<Phdr> = {},
): Phdr {
  return {
    p_type: 1,
    p_flags,
    p_offset,
    p_vaddr,
    p_paddr: p_vaddr,
    p_filesz,
    p_memsz: p_filesz,
    p_align: 0x1000n,
    ...more,
  };
}

/** Segment and address of a file offset; `undefined` outside every segment. */
function locate(table: SegmentTable, offset: bigint): [number, bigint] | undefined {
  const hi = Number(offset >> 32n);
  const lo = Number(offset & 0xffff_ffffn);
  const segment = table.find(hi, lo);
  if (segment < 0) return undefined;
  return [segment, (BigInt(table.addressHi(segment, hi, lo)) << 32n) | BigInt(table.addressLo(segment, lo))];
}

Deno.test("an offset moves by p_vaddr - p_offset of the segment that holds it", () => {
  // A non-PIE of GNU ld, and lld's way of keeping offsets dense while addresses skip a page.
  const ld = SegmentTable.fromPhdrs([load(R, 0n, 0x400000n, 0x4f8n), load(RX, 0x1000n, 0x401000n, 0x175n)]);
  assertEquals(locate(ld, 0x1126n), [1, 0x401126n]);
  assertEquals(locate(ld, 0x10n), [0, 0x400010n]);
  const lld = SegmentTable.fromPhdrs([load(R, 0n, 0n, 0x71cn), load(RX, 0x720n, 0x1720n, 0x1f0n)]);
  assertEquals(locate(lld, 0x729n), [1, 0x1729n]);
  assertEquals(locate(lld, 0x71bn), [0, 0x71bn]);
});

Deno.test("bytes of no segment, mapped with a segment's first or last page, count to it; executable first", () => {
  const table = SegmentTable.fromPhdrs([
    load(R, 0n, 0n, 0x100n),
    load(RX, 0x1900n, 0x2900n, 0x300n),
    load(RW, 0x1d00n, 0x4d00n, 0x80n),
  ]);
  assertEquals(locate(table, 0x1800n), [1, 0x2800n]);
  assertEquals(locate(table, 0x1f00n), [1, 0x2f00n]);
  assertEquals(locate(table, 0x1d10n), [2, 0x4d10n]);
  assertEquals(locate(table, 0x200n), [0, 0x200n]);
  assertEquals(locate(table, 0x2000n), undefined);
});

Deno.test("rounding follows the page size of the machine that mapped the file", () => {
  const phdrs = [load(RX, 0x11000n, 0x21000n, 0x100n, { p_align: 0x10000n })];
  const first = (pageSize: PageSize): bigint => {
    const table = SegmentTable.fromPhdrs(phdrs, pageSize);
    for (let offset = 0n; offset < 0x11000n; offset += 0x100n) if (locate(table, offset)) return offset;
    return 0x11000n;
  };
  assertEquals(first(4096), 0x11000n);
  assertEquals(first(16384), 0x10000n);
  assertEquals(first(65536), 0x10000n);
  assertEquals(locate(SegmentTable.fromPhdrs(phdrs, 65536), 0x1ff00n), [0, 0x2ff00n]);
  assertEquals(locate(SegmentTable.fromPhdrs(phdrs, 16384), 0x14000n), undefined);
});

Deno.test("an executable segment wins where two hold the offset, whatever their order", () => {
  const data = load(R, 0n, 0n, 0x2000n);
  const text = load(RX, 0x1000n, 0x11000n, 0x1000n);
  assertEquals(locate(SegmentTable.fromPhdrs([data, text]), 0x1234n), [1, 0x11234n]);
  assertEquals(locate(SegmentTable.fromPhdrs([text, data]), 0x1234n), [0, 0x11234n]);
});

Deno.test("p_memsz beyond the file maps nothing of it", () => {
  const table = SegmentTable.fromPhdrs([
    load(RW, 0n, 0n, 0x1000n, { p_memsz: 0x9000n }),
    load(RX, 0x2000n, 0xb000n, 0x10n),
  ]);
  assertEquals(locate(table, 0x2004n), [1, 0xb004n]);
  assertEquals(locate(table, 0x1004n), undefined);
});

Deno.test("wrapped offsets, those past 2^53, and segments past 2^53 are outside", () => {
  const table = SegmentTable.fromPhdrs([
    load(RX, 0n, 0x1000n, 0x1000n),
    load(RX, 0xffff_ffff_ffff_f000n, 0n, 0x1000n),
    load(RX, 1n, 0n, 0xffff_ffff_ffff_ffffn),
  ]);
  assertEquals(locate(table, 0xffff_ffff_ffff_f123n), undefined);
  assertEquals(locate(table, 1n << 53n), undefined);
  assertEquals(locate(table, 0xfffn), [0, 0x1fffn]);
});

Deno.test("addresses carry over 32 bits and wrap at 64", () => {
  const kernel = SegmentTable.fromPhdrs([load(RX, 0x20_0000n, 0xffff_ffff_8100_0000n, 0x10_0000_0000n)]);
  assertEquals(locate(kernel, 0x20_1000n), [0, 0xffff_ffff_8100_1000n]);
  assertEquals(locate(kernel, 0x8000_0000n), [0, 0x0000_0000_00e0_0000n]);
  const low = SegmentTable.fromPhdrs([load(RX, 0x1000n, 0xffff_f000n, 0x10000n)]);
  assertEquals(locate(low, 0x2000n), [0, 0x1_0000_0000n]);
});

Deno.test("offsets that objcopy zeroed are rebuilt and the table is marked", () => {
  // Program headers of a GNU ld PIE and of its objcopy --only-keep-debug file.
  const real = [
    load(R, 0n, 0n, 0x618n),
    load(RX, 0x1000n, 0x1000n, 0x175n),
    load(R, 0x2000n, 0x2000n, 0xf8n),
    load(RW, 0x2dd0n, 0x3dd0n, 0x24cn, { p_memsz: 0x250n }),
  ];
  const debug = real.map((phdr, i) => ({
    ...phdr,
    p_offset: i === 3 ? 0xdd0n : 0n,
    p_filesz: i === 0 ? 0x39cn : 0n,
  }));
  const whole = SegmentTable.fromPhdrs(real);
  const rebuilt = SegmentTable.fromPhdrs(debug);
  assertEquals([whole.reconstructed, rebuilt.reconstructed], [false, true]);
  assertEquals(whole.layout, rebuilt.layout);
  for (let offset = 0n; offset < 0x4000n; offset++) assertEquals(locate(rebuilt, offset), locate(whole, offset));
});

Deno.test("alignment 0 and hostile sizes do not stop the rebuilding", () => {
  const table = SegmentTable.fromPhdrs([
    load(RX, 0n, 0x123n, 0n, { p_memsz: 0x10n, p_align: 0n }),
    load(RX, 0n, 0xffff_ffff_ffff_ffffn, 0n, { p_memsz: 0xffff_ffff_ffff_ffffn, p_align: 0xffff_ffff_ffff_ffffn }),
    load(RX, 0n, 0x1000n, 0n, { p_memsz: 0x10n }),
  ]);
  assertEquals(table.reconstructed, true);
  assertEquals(locate(table, 0x4n), [0, 0x127n]);
});

Deno.test("without any executable segment all count as such", () => {
  assertEquals(SegmentTable.fromPhdrs([load(R, 0n, 0n, 1n)]).isExecutable(0), true);
  const both = SegmentTable.fromPhdrs([load(R, 0n, 0n, 1n), load(RX, 0n, 0n, 1n)]);
  assertEquals([both.isExecutable(0), both.isExecutable(1)], [false, true]);
});
