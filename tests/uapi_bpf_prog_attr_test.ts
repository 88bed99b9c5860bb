// Owns the tests of the structs and numbers that programs and perf events need, against the system's C headers.
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { StructLayout } from "../src/base/struct.ts";
import { viewOf } from "../src/base/bytes.ts";
import * as insn from "../src/uapi/bpf_insn.ts";
import * as obj from "../src/uapi/bpf_obj_attr.ts";
import * as prog from "../src/uapi/bpf_prog_attr.ts";
import * as perf from "../src/uapi/perf_event_attr.ts";
import { FormatError } from "../mod.ts";
import { evaluate, isKnown, needsHeaders } from "./uapi_gcc.ts";

const gcc = needsHeaders("linux/bpf.h", "linux/perf_event.h", "sys/ioctl.h");
const HEADERS = ["sys/ioctl.h", "linux/bpf.h", "linux/perf_event.h"];

function numbersOf(module: object): [string, number][] {
  return Object.entries(module).filter((entry): entry is [string, number] =>
    typeof entry[1] === "number" && !entry[0].startsWith("SIZEOF_")
  );
}

Deno.test({
  name: `opcodes and perf constants are those of the headers${gcc.why}`,
  ignore: gcc.ignore,
  fn() {
    const ours = [...numbersOf(insn), ...numbersOf(perf)];
    assert(ours.length > 60);
    const theirs = evaluate(HEADERS, ours.map(([name]) => name));
    assertEquals(ours.map(([name, value]) => [name, BigInt(value)]), ours.map(([name], i) => [name, theirs[i]]));
    assertEquals(evaluate(HEADERS, ["sizeof(struct bpf_insn)"]), [BigInt(insn.SIZEOF_BPF_INSN)]);
  },
});

Deno.test({
  name: `structs of programs, objects and perf events stand where the headers put them${gcc.why}`,
  ignore: gcc.ignore,
  fn() {
    // What headers of 2021 may lack; asking for every field would take gcc seconds.
    const late = ["btf_vmlinux_id", "map_extra", "verified_insns", "attach_btf_obj_id", "sig_data", "batch_size"];
    // Layout, the C type, and where in it the fields are.
    const places: [layout: StructLayout, type: string, prefix: string][] = [
      [prog.PROG_LOAD, "union bpf_attr", ""],
      [prog.PROG_TEST_RUN, "union bpf_attr", "test."],
      [prog.RAW_TRACEPOINT, "union bpf_attr", "raw_tracepoint."],
      [obj.OBJ, "union bpf_attr", ""],
      [obj.GET_ID, "union bpf_attr", ""],
      [obj.INFO, "union bpf_attr", "info."],
      [obj.MAP_INFO, "struct bpf_map_info", ""],
      [obj.PROG_INFO, "struct bpf_prog_info", ""],
      [perf.PERF_EVENT_ATTR, "struct perf_event_attr", ""],
    ];
    for (const [layout, type, prefix] of places) {
      const fields = layout.fields.filter(({ name }) =>
        name !== "flags" && name !== "gpl_compatible" && // bit fields
        (!late.includes(name) || isKnown(HEADERS, `offsetof(${type}, ${prefix}${name})`))
      );
      assert(fields.length >= layout.fields.length - 2, layout.name);
      const theirs = evaluate(
        HEADERS,
        fields.flatMap(({ name }) => [
          `offsetof(${type}, ${prefix}${name})`,
          `sizeof(((${type} *)0)->${prefix}${name})`,
        ]),
      );
      assertEquals(fields.flatMap(({ offset, size }) => [offset, size]), theirs.map(Number), layout.name);
    }
    // Later headers have more fields at the end.
    const sizes = evaluate(HEADERS, [
      "sizeof(struct bpf_map_info)",
      "sizeof(struct bpf_prog_info)",
      "sizeof(struct perf_event_attr)",
    ]);
    [obj.MAP_INFO, obj.PROG_INFO, perf.PERF_EVENT_ATTR].forEach(({ size, name }, i) =>
      assert(size <= Number(sizes[i]), name)
    );
  },
});

Deno.test({
  name: `every bit of perf_event_attr is where gcc puts it${gcc.why}`,
  ignore: gcc.ignore,
  fn() {
    const names = [...new Set(perf.PERF_EVENT_ATTR_FLAGS)];
    const theirs = evaluate(
      HEADERS,
      names.map((name) => `({ struct perf_event_attr a = { .${name} = 1 }; ((unsigned long long *)&a)[5]; })`),
    );
    const ours = names.map((name) => {
      const bits = name === "precise_ip" ? { precise_ip: 1 } : { [name]: true };
      return viewOf(perf.encodePerfEventAttr({ type: 0, config: 0, ...bits })).getBigUint64(40, true);
    });
    assertEquals(ours, theirs);
  },
});

Deno.test("perf_event_attr mirrors its bits on a big-endian machine", () => {
  const little = perf.encodePerfEventAttr({ type: 1, config: 2n, disabled: true, precise_ip: 2, sample_freq: 99 });
  const big = perf.encodePerfEventAttr(
    { type: 1, config: 2n, disabled: true, precise_ip: 2, sample_freq: 99 },
    false,
  );
  assertEquals(viewOf(little).getBigUint64(40, true), 1n | 2n << 15n);
  // C's bit fields begin at the top there: disabled is the first bit, precise_ip the two after fifteen.
  assertEquals(viewOf(big).getBigUint64(40, false), 1n << 63n | 1n << 48n);
  assertEquals([viewOf(big).getUint32(4), viewOf(big).getBigUint64(16)], [128, 99n]);
});

Deno.test("perf_event_attr refuses what its fields can't hold", () => {
  const attr = { type: 1, config: 0 };
  assertThrows(() => perf.encodePerfEventAttr({ ...attr, precise_ip: 4 }), RangeError, "precise_ip");
  assertThrows(
    () => perf.encodePerfEventAttr({ ...attr, sample_max_stack: 65536 }),
    RangeError,
    "sample_max_stack",
  );
  assertThrows(
    () => perf.encodePerfEventAttr({ ...attr, sample_freq: 1, sample_period: 1 }),
    TypeError,
    "one field",
  );
});

Deno.test("instructions are encoded in both byte orders", () => {
  const given = [{ code: 0x7b, dst_reg: 10, src_reg: 1, off: -8, imm: 0x01020304 }];
  assertEquals([...insn.encodeInsns(given)], [0x7b, 0x1a, 0xf8, 0xff, 4, 3, 2, 1]);
  assertEquals([...insn.encodeInsns(given, false)], [0x7b, 0xa1, 0xff, 0xf8, 1, 2, 3, 4]);
  for (
    const bad of [{ code: 256 }, { dst_reg: 16 }, { src_reg: -1 }, { off: 32768 }, { imm: 2 ** 32 }, { imm: 0.5 }]
  ) {
    assertThrows(() => insn.encodeInsns([{ ...given[0], ...bad }]), RangeError, "instruction 0");
  }
});

Deno.test("attrs of programs and objects have their fields' bytes; infos that are short are refused", () => {
  const load = prog.encodeProgLoadAttr({ prog_type: 17, insn_cnt: 2, insns: 0x1122n, license: 0x3344n });
  assertEquals([load.length, load[0], load[4], load[8], load[16]], [72, 17, 2, 0x22, 0x44]);
  assertEquals([...prog.encodeRawTracepointAttr({ name: 1n, prog_fd: 7 })], [
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    7,
    ...Array(7).fill(0),
  ]);
  const run = { prog_fd: 3, retval: 5, data_in: 2n ** 64n - 1n };
  const decoded = prog.decodeProgTestRunAttr(prog.encodeProgTestRunAttr(run));
  assertEquals([decoded.prog_fd, decoded.retval, decoded.data_in, decoded.cpu], [3, 5, 2n ** 64n - 1n, 0]);
  assertEquals(obj.encodeObjAttr({ pathname: 1n, bpf_fd: 2 }).length, 16);
  assertEquals([...obj.encodeGetIdAttr({ start_id: 258 })].slice(0, 4), [2, 1, 0, 0]);
  assertEquals([...obj.encodeInfoAttr({ bpf_fd: 1, info_len: 88, info: 255n })].slice(4, 9), [88, 0, 0, 0, 255]);
  assertThrows(() => obj.decodeMapInfo(new Uint8Array(87)), FormatError);
  assertThrows(() => obj.decodeProgInfo(new Uint8Array(231)), FormatError);
});
