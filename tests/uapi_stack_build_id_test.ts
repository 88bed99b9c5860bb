// Owns the tests of struct bpf_stack_build_id: bytes by hand, the C header, views, and hostile input.
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  BPF_STACK_BUILD_ID_EMPTY,
  BPF_STACK_BUILD_ID_IP,
  BPF_STACK_BUILD_ID_VALID,
  decodeStackBuildId,
  encodeStackBuildId,
  FormatError,
  SIZEOF_BPF_STACK_BUILD_ID,
  StackBuildIdView,
} from "../mod.ts";
import { fromHex, toHex } from "../src/base/bytes.ts";
import { SeededRandom } from "../src/base/random.ts";
import { fuzzParser } from "./fuzz.ts";
import { evaluate, needsHeaders } from "./uapi_gcc.ts";

const ID = fromHex("000102030405060708090a0b0c0d0e0f10111213")!;
const LITTLE = "01000000000102030405060708090a0b0c0d0e0f101112138877665544332211";
const BIG = "00000001000102030405060708090a0b0c0d0e0f101112131122334455667788";

Deno.test("encodeStackBuildId() writes the bytes written by hand, in both byte orders", () => {
  const record = { status: BPF_STACK_BUILD_ID_VALID, build_id: ID, offset: 0x1122334455667788n };
  assertEquals(toHex(encodeStackBuildId(record)), LITTLE);
  assertEquals(toHex(encodeStackBuildId(record, false)), BIG);
});

Deno.test("decodeStackBuildId() reads them back, at any offset", () => {
  const bytes = fromHex(`ffffff${LITTLE}${BIG}`)!;
  const expected = { status: 1, build_id: ID, offset: 0x1122334455667788n, ip: 0x1122334455667788n };
  assertEquals(decodeStackBuildId(bytes, 3), expected);
  assertEquals(decodeStackBuildId(bytes, 35, false), expected);
  assertEquals(decodeStackBuildId(bytes.subarray(3)), expected);
});

Deno.test("decodeStackBuildId() gives a status with its sign and an id of its own", () => {
  const bytes = fromHex(LITTLE.replace("01000000", "fffffffe"))!;
  const record = decodeStackBuildId(bytes);
  assertEquals(record.status, -16777217);
  assertEquals(decodeStackBuildId(bytes, 0, false).status, -2);
  bytes.fill(0);
  assertEquals(record.build_id, ID);
});

Deno.test("encodeStackBuildId() pads short ids with zeros over what was there, and takes ip for offset", () => {
  const into = new Uint8Array(40).fill(0xee);
  const record = { status: BPF_STACK_BUILD_ID_IP, build_id: new Uint8Array([9]), ip: 0xffffffff81000000n };
  assertStrictEquals(encodeStackBuildId(record, true, into, 4), into);
  assertEquals(toHex(into), `eeeeeeee0200000009${"00".repeat(19)}00000081ffffffffeeeeeeee`);
  assertEquals(toHex(encodeStackBuildId({ status: BPF_STACK_BUILD_ID_EMPTY })), "00".repeat(32));
  assertEquals(decodeStackBuildId(encodeStackBuildId({ status: 1, offset: 1n, ip: 2n })).ip, 1n);
});

Deno.test("encodeStackBuildId() refuses what the struct can't hold, and then writes nothing", () => {
  const into = new Uint8Array(32).fill(0xee);
  const bad: [record: Parameters<typeof encodeStackBuildId>[0], at: number, message: string][] = [
    [{ status: 2 ** 31 }, 0, "__s32"],
    [{ status: 0.5 }, 0, "__s32"],
    [{ status: NaN }, 0, "__s32"],
    [{ status: 1, offset: -1n }, 0, "__u64"],
    [{ status: 1, ip: 2n ** 64n }, 0, "__u64"],
    [{ status: 1, build_id: new Uint8Array(21) }, 0, "20 bytes, not 21"],
    [{ status: 1 }, 1, "32 bytes at 1"],
    [{ status: 1 }, -1, "32 bytes at -1"],
    [{ status: 1 }, NaN, "32 bytes"],
  ];
  for (const [record, at, message] of bad) {
    assertThrows(() => encodeStackBuildId(record, true, into, at), RangeError, message);
  }
  assertEquals(into, new Uint8Array(32).fill(0xee));
});

Deno.test("decodeStackBuildId() throws FormatError where fewer than 32 bytes are left", () => {
  const bytes = fromHex(LITTLE)!;
  for (let length = 0; length < 32; length++) {
    const error = assertThrows(() => decodeStackBuildId(bytes.subarray(0, length)), FormatError);
    assertEquals([error.offset, error.field], [0, "bpf_stack_build_id"]);
  }
  for (const at of [1, 32, -1, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => decodeStackBuildId(bytes, at), FormatError);
  }
});

Deno.test("encode and decode undo each other for 2,000 random records", () => {
  const seed = 4;
  console.log(`seed ${seed}`);
  const random = new SeededRandom(seed);
  for (let i = 0; i < 2000; i++) {
    const offset = BigInt(random.nextUint32()) << 32n | BigInt(random.nextUint32());
    const record = {
      status: random.nextUint32() | 0,
      build_id: random.fill(new Uint8Array(20)),
      offset,
      ip: offset,
    };
    const littleEndian = random.chance(0.5);
    assertEquals(decodeStackBuildId(encodeStackBuildId(record, littleEndian), 0, littleEndian), record);
  }
});

Deno.test("StackBuildIdView reads and writes the caller's bytes in place", () => {
  for (const littleEndian of [true, false]) {
    const backing = new Uint8Array(8 + 3 * 32);
    const bytes = backing.subarray(8);
    const view = new StackBuildIdView(bytes, littleEndian);
    assertEquals([view.length, view.littleEndian, view.depth()], [3, littleEndian, 0]);
    view.set(0, { status: BPF_STACK_BUILD_ID_VALID, build_id: ID, offset: 0x1136n });
    view.set(1, { status: BPF_STACK_BUILD_ID_IP, ip: 0x7f00_0000_1000n });
    assertEquals(decodeStackBuildId(backing, 8, littleEndian), view.get(0));
    assertEquals([view.status(0), view.status(1), view.status(2)], [1, 2, 0]);
    assertEquals([view.offset(0), view.ip(1), view.offset(1)], [0x1136n, 0x7f00_0000_1000n, 0x7f00_0000_1000n]);
    assertEquals(view.buildId(0), ID);
    assertStrictEquals(view.buildId(0).buffer, backing.buffer);
    assertEquals(view.depth(), 2);
    view.set(2, { status: BPF_STACK_BUILD_ID_IP, ip: 1n });
    assertEquals(view.depth(), 3);
    view.set(0, { status: BPF_STACK_BUILD_ID_EMPTY });
    assertEquals(view.depth(), 0);
  }
});

Deno.test("StackBuildIdView refuses odd lengths and indices outside", () => {
  assertEquals(new StackBuildIdView(new Uint8Array(0)).depth(), 0);
  for (const length of [1, 31, 33, 63]) {
    const error = assertThrows(() => new StackBuildIdView(new Uint8Array(length)), FormatError);
    assertEquals(error.offset, length - length % 32);
  }
  const view = new StackBuildIdView(new Uint8Array(64));
  for (const index of [-1, 2, NaN]) {
    assertThrows(() => view.status(index), RangeError, "of 2 frames");
    assertThrows(() => view.buildId(index), RangeError);
    assertThrows(() => view.offset(index), RangeError);
    assertThrows(() => view.get(index), RangeError);
    assertThrows(() => view.set(index, { status: 0 }), RangeError);
  }
});

const gcc = needsHeaders("linux/bpf.h");
Deno.test({
  name: `struct bpf_stack_build_id has the offsets and size of <linux/bpf.h>${gcc.why}`,
  ignore: gcc.ignore,
  fn() {
    const fields = ["status", "build_id", "offset", "ip"];
    const expressions = [
      "sizeof(struct bpf_stack_build_id)",
      ...fields.map((field) => `offsetof(struct bpf_stack_build_id, ${field})`),
    ];
    const [size, ...offsets] = evaluate(["linux/bpf.h"], expressions).map(Number);
    assertEquals(size, SIZEOF_BPF_STACK_BUILD_ID);
    const first = (record: Parameters<typeof encodeStackBuildId>[0]) =>
      encodeStackBuildId(record).findIndex((byte) => byte !== 0);
    assertEquals(offsets, [
      first({ status: -1 }),
      first({ status: 0, build_id: new Uint8Array(20).fill(1) }),
      first({ status: 0, offset: 2n ** 64n - 1n }),
      first({ status: 0, ip: 2n ** 64n - 1n }),
    ]);
  },
});

const samples = [fromHex(LITTLE)!, fromHex(BIG)!, fromHex(LITTLE + BIG + LITTLE + "00".repeat(32))!];

Deno.test("decodeStackBuildId() withstands truncation and mutation", () => {
  fuzzParser("decodeStackBuildId", samples, (bytes) => {
    decodeStackBuildId(bytes, 0, false);
    return decodeStackBuildId(bytes, bytes.length - 32);
  });
});

Deno.test("StackBuildIdView withstands truncation and mutation", () => {
  fuzzParser("StackBuildIdView", samples, (bytes) => {
    const view = new StackBuildIdView(bytes);
    for (let i = 0; i < view.length; i++) view.get(i);
    return view.depth();
  });
});
