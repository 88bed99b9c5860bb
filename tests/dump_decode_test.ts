// Raw dumps and values: columns, byte orders, alignments, ends of traces, and encoding back.
import { assertEquals, assertNotStrictEquals, assertThrows } from "@std/assert";
import {
  BPF_F_STACK_BUILD_ID,
  buildIdAt,
  decodeStacks,
  decodeStackValue,
  encodeStacks,
  FormatError,
  frameAt,
  listStacks,
  looksLikeBuildIds,
  STACK_STATUS_OTHER,
  StackDecoder,
  type StackInput,
} from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";

const ID_A = new Uint8Array(20).map((_, i) => i + 1);
const ID_B = new Uint8Array(20).fill(0xbb);
const BUILD_IDS = { valueSize: 4 * 32, mapFlags: BPF_F_STACK_BUILD_ID };
const PLAIN = { valueSize: 4 * 8 };

const STACKS: StackInput[] = [
  {
    id: 7,
    frames: [
      { status: 1, build_id: ID_A, offset: 0x1_2345_6789n },
      { status: 2, ip: 0xffff_ffff_8100_0000n },
      { status: 1, build_id: ID_B, offset: 0xffff_ffff_ffff_f000n },
      { status: 1, build_id: ID_A, offset: 1n },
    ],
  },
  { id: 0xffff_ffff, frames: [] },
  { id: 3, frames: [{ status: 1, build_id: ID_B, offset: 0n }] },
];

Deno.test("decodeStacks() gives ids, row ranges, statuses, interned build ids and halves of offsets", () => {
  const columns = decodeStacks(encodeStacks(STACKS, BUILD_IDS), BUILD_IDS);
  assertEquals([...columns.ids], [7, 0xffff_ffff, 3]);
  assertEquals([...columns.first], [0, 4, 4, 5]);
  assertEquals([...columns.status], [1, 2, 1, 1, 1]);
  assertEquals([...columns.idIndex], [0, -1, 1, 0, 1]);
  assertEquals([...columns.offsetLo], [0x2345_6789, 0x8100_0000, 0xffff_f000, 1, 0]);
  assertEquals([...columns.offsetHi], [1, 0xffff_ffff, 0xffff_ffff, 0, 0]);
  assertEquals([...columns.buildIds], [...ID_A, ...ID_B]);
  assertEquals(columns.otherStatus.size, 0);
});

Deno.test("decodeStacks() gives the same columns in both byte orders and at every alignment", () => {
  for (const layout of [BUILD_IDS, PLAIN]) {
    const stacks = layout === BUILD_IDS ? STACKS : [
      { id: 5, frames: [{ status: 2, ip: 0x1_0000_0000n }, { status: 2, ip: 0xffff_ffff_8100_0000n }] },
      { id: 6, frames: [1n, 2n, 3n, 4n].map((ip) => ({ status: 2, ip })) },
    ];
    const expected = listStacks(decodeStacks(encodeStacks(stacks, layout), layout));
    for (const littleEndian of [true, false]) {
      const dump = encodeStacks(stacks, { ...layout, littleEndian });
      for (let shift = 0; shift < 8; shift++) {
        const bytes = new Uint8Array(dump.length + 16);
        bytes.set(dump, shift);
        const columns = decodeStacks(bytes.subarray(shift, shift + dump.length), { ...layout, littleEndian });
        assertEquals(listStacks(columns), expected);
        assertEquals(encodeStacks(columns, { ...layout, littleEndian }), dump);
      }
    }
  }
});

Deno.test("decodeStacks() converts a big-endian dump of many chunks like a small one", () => {
  const random = new SeededRandom(20);
  const ids = Array.from({ length: 50 }, () => random.fill(new Uint8Array(20)));
  const stacks = Array.from({ length: 700 }, (_, id) => ({
    id,
    frames: Array.from({ length: random.below(5) }, () => ({
      status: 1 + random.below(2),
      build_id: ids[random.below(50)],
      offset: BigInt(random.nextUint32()) << BigInt(random.below(32)),
    })),
  }));
  const little = decodeStacks(encodeStacks(stacks, BUILD_IDS), BUILD_IDS);
  const layout = { ...BUILD_IDS, littleEndian: false };
  assertEquals(decodeStacks(encodeStacks(stacks, layout), layout), little);
});

Deno.test("decodeStacks() ends a trace at status EMPTY and looks at nothing after it", () => {
  const dump = encodeStacks([STACKS[0]], BUILD_IDS);
  dump.fill(0, 4 + 2 * 32, 4 + 2 * 32 + 4);
  assertEquals([...decodeStacks(dump, BUILD_IDS).idIndex], [0, -1]);
});

Deno.test("decodeStacks() ends a plain trace at address zero and at nothing else", () => {
  const dump = encodeStacks([{ id: 1, frames: [1n << 32n, 1n, 5n].map((ip) => ({ status: 2, ip })) }], PLAIN);
  const columns = decodeStacks(dump, PLAIN);
  assertEquals([...columns.offsetLo], [0, 1, 5]);
  assertEquals([...columns.offsetHi], [1, 0, 0]);
  assertEquals([...columns.status], [2, 2, 2]);
  assertEquals([...columns.idIndex], [-1, -1, -1]);
  dump.fill(0, 4 + 8, 4 + 16);
  assertEquals(decodeStacks(dump, PLAIN).status.length, 1);
});

Deno.test("decodeStacks() keeps a frame whose status the UAPI does not define, with all its fields", () => {
  for (const status of [3, 255, 256, -1, -0x8000_0000]) {
    for (const littleEndian of [true, false]) {
      const layout = { ...BUILD_IDS, littleEndian };
      const frames = [{ status, build_id: ID_A, offset: 9n }, { status: 1, build_id: ID_A, offset: 1n }];
      const dump = encodeStacks([{ id: 1, frames }], layout);
      const columns = decodeStacks(dump, layout);
      assertEquals([...columns.status], [STACK_STATUS_OTHER, 1]);
      assertEquals([...columns.otherStatus], [[0, status]]);
      assertEquals([...columns.idIndex], [0, 0]);
      assertEquals(frameAt(columns, 0), { status, build_id: ID_A, offset: 9n, ip: 9n });
      assertEquals(encodeStacks(columns, layout), dump);
    }
  }
});

Deno.test("decodeStacks() keeps a key that occurs twice twice, in order", () => {
  const stacks = [STACKS[2], { ...STACKS[0], id: 3 }, STACKS[2]];
  assertEquals([...decodeStacks(encodeStacks(stacks, BUILD_IDS), BUILD_IDS).ids], [3, 3, 3]);
});

Deno.test("decodeStacks() drops the build id of an IP frame, where 4.17 leaves stale bytes", () => {
  const dump = encodeStacks([{ id: 1, frames: [{ status: 2, build_id: ID_A, ip: 5n }] }], BUILD_IDS);
  const columns = decodeStacks(dump, BUILD_IDS);
  assertEquals(columns.buildIds.length, 0);
  assertEquals(frameAt(columns, 0).build_id, new Uint8Array(20));
});

Deno.test("decodeStacks() numbers an all-zero build id like any other", () => {
  const frames = [{ status: 1, offset: 1n }, { status: 1, build_id: ID_A, offset: 1n }, { status: 1, offset: 2n }];
  const columns = decodeStacks(encodeStacks([{ id: 1, frames }], BUILD_IDS), BUILD_IDS);
  assertEquals([...columns.idIndex], [0, 1, 0]);
  assertEquals(buildIdAt(columns, 0), new Uint8Array(20));
});

Deno.test("decodeStacks() throws FormatError with the offset of a record that is cut short", () => {
  const dump = encodeStacks(STACKS, BUILD_IDS);
  for (
    const [length, offset, field] of [[133, 132, "key"], [135, 132, "key"], [136, 132, "value"], [3, 0, "key"]]
  ) {
    const error = assertThrows(() => decodeStacks(dump.subarray(0, length as number), BUILD_IDS), FormatError);
    assertEquals([error.offset, error.field], [offset as number, field as string]);
  }
  assertEquals(decodeStacks(new Uint8Array(0), BUILD_IDS).first.length, 1);
  // A value size beyond all memory is no reason to ask for memory.
  assertEquals(decodeStacks(new Uint8Array(0), { ...BUILD_IDS, valueSize: 2 ** 45 }).first.length, 1);
  assertThrows(() => decodeStacks(new Uint8Array(9), { ...BUILD_IDS, valueSize: 2 ** 45 }), FormatError);
});

Deno.test("decodeStacks() throws RangeError for a value size that holds no whole number of frames", () => {
  for (const valueSize of [0, -32, 33, 8, 1.5, NaN]) {
    assertThrows(() => decodeStacks(new Uint8Array(0), { ...BUILD_IDS, valueSize }), RangeError, "valueSize");
  }
  assertThrows(() => decodeStacks(new Uint8Array(0), { valueSize: 12 }), RangeError, "multiple of 8");
});

Deno.test("StackDecoder decodes dump after dump into the same memory", () => {
  const decoder = new StackDecoder(BUILD_IDS);
  const large = encodeStacks([...STACKS, ...STACKS], BUILD_IDS);
  const small = encodeStacks([STACKS[2]], BUILD_IDS);
  const first = decoder.decode(large);
  assertEquals(first, decodeStacks(large, BUILD_IDS));
  const second = decoder.decode(small);
  assertEquals(second, decodeStacks(small, BUILD_IDS));
  assertEquals(first.offsetLo.buffer === second.offsetLo.buffer, true);
  const third = decoder.decode(encodeStacks([...STACKS, ...STACKS, ...STACKS], BUILD_IDS));
  assertNotStrictEquals(third.offsetLo.buffer, first.offsetLo.buffer);
});

Deno.test("decodeStacks() gives memory of its own that is no larger than twice what it needs", () => {
  const dump = encodeStacks(Array.from({ length: 1000 }, (_, id) => ({ ...STACKS[2], id })), BUILD_IDS);
  const a = decodeStacks(dump, BUILD_IDS);
  assertEquals(a.status.buffer.byteLength, 1000);
  assertEquals(a.offsetHi.buffer.byteLength, 4000);
  assertNotStrictEquals(decodeStacks(dump, BUILD_IDS).status.buffer, a.status.buffer);
});

Deno.test("decodeStackValue() gives the frames of one value, as long as it is a whole number of frames", () => {
  const value = encodeStacks([STACKS[0]], BUILD_IDS).subarray(4);
  const flags = { mapFlags: BPF_F_STACK_BUILD_ID };
  assertEquals(decodeStackValue(value, flags).map((frame) => frame.status), [1, 2, 1, 1]);
  assertEquals(decodeStackValue(value.subarray(0, 32), flags).length, 1);
  assertEquals(decodeStackValue(new Uint8Array(0)), []);
  const error = assertThrows(() => decodeStackValue(value.subarray(0, 40), flags), FormatError);
  assertEquals([error.offset, error.field], [32, "value"]);
});

Deno.test("encodeStacks() refuses what would not decode to the same", () => {
  const one = (frame: { status: number; ip?: bigint }, layout: typeof PLAIN = BUILD_IDS) => () =>
    encodeStacks([{ id: 1, frames: [frame] }], layout);
  assertThrows(one({ status: 0 }), RangeError, "status 0");
  assertThrows(one({ status: 1, ip: 5n }, PLAIN), RangeError, "without build IDs");
  assertThrows(one({ status: 2, ip: 0n }, PLAIN), RangeError, "address 0");
  assertThrows(one({ status: 2, ip: 1n << 64n }, PLAIN), RangeError, "address");
  assertThrows(() => encodeStacks([{ id: -17, frames: [] }], PLAIN), RangeError, "__u32");
  const frames = Array.from({ length: 5 }, () => ({ status: 2, ip: 1n }));
  assertThrows(() => encodeStacks([{ id: 1, frames }], PLAIN), RangeError, "more than 4 frames");
});

Deno.test("buildIdAt() and frameAt() throw RangeError beside the columns", () => {
  const columns = decodeStacks(encodeStacks(STACKS, BUILD_IDS), BUILD_IDS);
  for (const index of [-1, 2, 0.5]) assertThrows(() => buildIdAt(columns, index), RangeError);
  for (const row of [-1, 5, NaN]) assertThrows(() => frameAt(columns, row), RangeError);
});

Deno.test("looksLikeBuildIds() tells maps apart by statuses and padding", () => {
  const dump = encodeStacks(STACKS, BUILD_IDS);
  assertEquals(looksLikeBuildIds(dump, 128), true);
  assertEquals(looksLikeBuildIds(encodeStacks(STACKS, { ...BUILD_IDS, littleEndian: false }), 128), false);
  assertEquals(looksLikeBuildIds(encodeStacks(STACKS, { ...BUILD_IDS, littleEndian: false }), 128, false), true);
  assertEquals(looksLikeBuildIds(dump, 24), false);
  assertEquals(looksLikeBuildIds(dump, 0), false);
  const dirty = dump.slice();
  dirty[dirty.length - 1] = 1;
  assertEquals(looksLikeBuildIds(dirty, 128), false);
  const plain = { valueSize: 128 };
  const frames = [{ status: 2, ip: 0x7fff_0000_1000n }];
  assertEquals(looksLikeBuildIds(encodeStacks([{ id: 1, frames }], plain), 128), false);
});
