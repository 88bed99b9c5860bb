// Owns the tests of union bpf_attr: bytes by hand, offsets against the C header, and hostile input.
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  decodeMapCreateAttr,
  decodeMapElemAttr,
  encodeMapCreateAttr,
  encodeMapElemAttr,
  FormatError,
  type MapCreateAttr,
  type MapElemAttr,
} from "../mod.ts";
import { fuzzParser } from "./fuzz.ts";
import { evaluate, isKnown, needsHeaders } from "./uapi_gcc.ts";

const create: Required<MapCreateAttr> = {
  map_type: 7,
  key_size: 4,
  value_size: 4064,
  max_entries: 16384,
  map_flags: 0x20,
  inner_map_fd: 11,
  numa_node: 12,
  map_name: new TextEncoder().encode("stackmap\0\0\0\0\0\0\0\0"),
  map_ifindex: 13,
  btf_fd: 14,
  btf_key_type_id: 15,
  btf_value_type_id: 16,
  btf_vmlinux_value_type_id: 17,
  map_extra: 0xfedcba9876543210n,
  value_type_btf_obj_fd: -1,
  map_token_fd: -2,
};
const elem: Required<MapElemAttr> = { map_fd: 5, key: 0x7ffc_0000_1000n, value: 2n ** 64n - 1n, flags: 4n };

Deno.test("a BPF_MAP_CREATE attr decodes to what was encoded, in both byte orders", () => {
  for (const littleEndian of [true, false]) {
    const bytes = encodeMapCreateAttr(create, littleEndian);
    assertEquals(bytes.length, 80);
    assertEquals(decodeMapCreateAttr(bytes, littleEndian), create);
  }
  assertEquals([...encodeMapCreateAttr(create).subarray(0, 12)], [7, 0, 0, 0, 4, 0, 0, 0, 0xe0, 0x0f, 0, 0]);
  assertEquals([...encodeMapCreateAttr(create, false).subarray(0, 12)], [0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0x0f, 0xe0]);
  assertEquals([...encodeMapCreateAttr(create).subarray(72)], [255, 255, 255, 255, 254, 255, 255, 255]);
});

Deno.test("a BPF_MAP_*_ELEM attr decodes to what was encoded, in both byte orders", () => {
  for (const littleEndian of [true, false]) {
    const bytes = encodeMapElemAttr(elem, littleEndian);
    assertEquals(bytes.length, 32);
    assertEquals(decodeMapElemAttr(bytes, littleEndian), elem);
  }
  assertEquals([...encodeMapElemAttr(elem).subarray(0, 16)], [
    5,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0x10,
    0,
    0,
    0xfc,
    0x7f,
    0,
    0,
  ]);
});

Deno.test("absent fields of an attr are zero, and a short name is zero-padded", () => {
  const bytes = encodeMapCreateAttr({
    map_type: 7,
    key_size: 4,
    value_size: 8,
    max_entries: 1,
    map_name: new Uint8Array([65]),
  });
  const decoded = decodeMapCreateAttr(bytes);
  assertEquals([decoded.map_extra, decoded.map_token_fd, decoded.map_flags], [0n, 0, 0]);
  assertEquals(decoded.map_name, new Uint8Array([65, ...new Array(15).fill(0)]));
  assertEquals(decodeMapElemAttr(encodeMapElemAttr({ map_fd: 1, key: 0n })), {
    map_fd: 1,
    key: 0n,
    value: 0n,
    flags: 0n,
  });
});

Deno.test("a shorter attr is zero-extended, at every length", () => {
  const bytes = encodeMapCreateAttr(create);
  for (let length = 0; length <= bytes.length; length++) {
    const extended = new Uint8Array(80);
    extended.set(bytes.subarray(0, length));
    assertEquals(decodeMapCreateAttr(bytes.subarray(0, length)), decodeMapCreateAttr(extended));
  }
});

Deno.test("a longer attr must be zero past the known fields", () => {
  const bytes = new Uint8Array(120);
  bytes.set(encodeMapCreateAttr(create));
  assertEquals(decodeMapCreateAttr(bytes), create);
  bytes[100] = 3;
  const error = assertThrows(() => decodeMapCreateAttr(bytes), FormatError, "not zero");
  assertEquals([error.offset, error.value], [100, 3]);
  assertThrows(() => decodeMapElemAttr(new Uint8Array(33).fill(1)), FormatError);
});

Deno.test("encoding an attr refuses what its fields can't hold", () => {
  assertThrows(() => encodeMapCreateAttr({ ...create, max_entries: 2 ** 32 }), RangeError, "max_entries");
  assertThrows(() => encodeMapCreateAttr({ ...create, map_name: new Uint8Array(17) }), RangeError, "map_name");
  assertThrows(() => encodeMapElemAttr({ map_fd: -1, key: 0n }), RangeError, "map_fd");
  assertThrows(() => encodeMapElemAttr({ map_fd: 1, key: 2n ** 64n }), RangeError, "key");
});

const gcc = needsHeaders("linux/bpf.h");
Deno.test({
  name: `the fields of union bpf_attr stand where <linux/bpf.h> puts them${gcc.why}`,
  ignore: gcc.ignore,
  fn() {
    // Where a field stands is learnt from the codec alone: the bytes that change when only it is set.
    const places = (encode: (field: string) => Uint8Array, fields: string[]) =>
      fields.map((field) => {
        const set = [...encode(field).entries()].filter(([, byte]) => byte !== 0).map(([at]) => at);
        return [set[0], set.length];
      });
    const full = (given: number | bigint | Uint8Array): number | bigint | Uint8Array => {
      if (typeof given === "bigint") return 2n ** 64n - 1n;
      if (given instanceof Uint8Array) return new Uint8Array(16).fill(0xff);
      return given < 0 ? -1 : 2 ** 32 - 1;
    };
    const known = (fields: string[]) => {
      const have = fields.filter((field) => isKnown(["linux/bpf.h"], `offsetof(union bpf_attr, ${field})`));
      const lacking = fields.filter((field) => !have.includes(field));
      if (lacking.length > 0) console.log(`not compared, newer than this header: ${lacking.join(", ")}`);
      return have;
    };
    const createFields = known(Object.keys(create));
    assert(createFields.length >= 13);
    const elemFields = known(Object.keys(elem));
    assertEquals(elemFields.length, 4);
    const blankCreate = { map_type: 0, key_size: 0, value_size: 0, max_entries: 0 };
    const ours = [
      ...places((field) => {
        const value = full(create[field as keyof MapCreateAttr]);
        return encodeMapCreateAttr({ ...blankCreate, [field]: value });
      }, createFields),
      ...places((field) => {
        return encodeMapElemAttr({ map_fd: 0, key: 0n, [field]: full(elem[field as keyof MapElemAttr]) });
      }, elemFields),
    ];
    // batch has a map_fd and flags of its own; the element command's are the unnamed struct's.
    const expressions = [...createFields, ...elemFields].flatMap((field) => [
      `offsetof(union bpf_attr, ${field})`,
      `sizeof(((union bpf_attr *)0)->${field})`,
    ]);
    assertEquals(ours.flat(), evaluate(["linux/bpf.h"], expressions).map(Number));
    const next = evaluate(["linux/bpf.h"], ["offsetof(union bpf_attr, next_key)"]);
    assertEquals(Number(next[0]), 16);
  },
});

Deno.test("decodeMapCreateAttr() withstands truncation and mutation", () => {
  const long = new Uint8Array(120);
  long.set(encodeMapCreateAttr(create));
  fuzzParser(
    "decodeMapCreateAttr",
    [encodeMapCreateAttr(create), encodeMapCreateAttr(create, false), long],
    (bytes) => {
      decodeMapCreateAttr(bytes, true);
      return decodeMapCreateAttr(bytes, false);
    },
  );
});

Deno.test("decodeMapElemAttr() withstands truncation and mutation", () => {
  fuzzParser(
    "decodeMapElemAttr",
    [encodeMapElemAttr(elem), new Uint8Array(64)],
    (bytes) => decodeMapElemAttr(bytes),
  );
});
