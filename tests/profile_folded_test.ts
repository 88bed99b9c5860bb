// Folded stacks: aggregation after decoding, names, and the text form.
import { assertEquals } from "@std/assert";
import {
  BPF_F_STACK_BUILD_ID,
  decodeStacks,
  encodeStacks,
  type FoldedFrame,
  foldStacks,
  formatFolded,
  frameFallbackName,
  type StackInput,
} from "../mod.ts";

const LAYOUT = { valueSize: 8 * 32, mapFlags: BPF_F_STACK_BUILD_ID };
const ID = new Uint8Array(20).fill(0xab);
const valid = (offset: number) => ({ status: 1, build_id: ID, offset: BigInt(offset) });
const decode = (stacks: StackInput[]) => decodeStacks(encodeStacks(stacks, LAYOUT), LAYOUT);
const NAMES = new Map([[0x10n, "leaf"], [0x20n, "mid"], [0x30n, "main"], [0x11n, "leaf"]]);
const name = (frame: FoldedFrame) => NAMES.get(frame.offset);

Deno.test("foldStacks() prints the outermost frame first and adds up ids of one logical stack", () => {
  const columns = decode([
    { id: 1, frames: [valid(0x10), valid(0x20), valid(0x30)] },
    { id: 2, frames: [valid(0x11), valid(0x20), valid(0x30)] },
    { id: 3, frames: [valid(0x30)] },
  ]);
  const folded = foldStacks(columns, name, [[1, 5], [2, 7], [3, 1]]);
  assertEquals([...folded], [["main;mid;leaf", 12], ["main", 1]]);
  assertEquals(formatFolded(folded), "main 1\nmain;mid;leaf 12\n");
});

Deno.test("foldStacks() counts each stack of the dump once where no counts are given", () => {
  const frames = [valid(0x10), valid(0x30)];
  assertEquals([...foldStacks(decode([{ id: 1, frames }, { id: 9, frames }]), name)], [["main;leaf", 2]]);
});

Deno.test("foldStacks() keeps counts of ids that the dump does not hold, errors among them", () => {
  const folded = foldStacks(decode([]), name, new Map([[4, 2], [-17, 3]]));
  assertEquals([...folded], [["[missing stack 4]", 2], ["[missing stack -17]", 3]]);
});

Deno.test("foldStacks() takes the last of stacks with one key, and names a stack without frames", () => {
  const columns = decode([{ id: 1, frames: [valid(0x10)] }, { id: 1, frames: [valid(0x30)] }, {
    id: 2,
    frames: [],
  }]);
  assertEquals([...foldStacks(columns, name, [[1, 1], [2, 6]])], [["main", 1], ["[empty stack]", 6]]);
});

Deno.test("foldStacks() calls a stack without frames what the columns say", () => {
  const columns = decode([{ id: 1, frames: [] }, { id: 2, frames: [] }, { id: 3, frames: [valid(0x10)] }]);
  const named = { ...columns, names: ["[lost; stack]"], emptyIndex: Int32Array.of(0, -1, 0) };
  const root = () => "comm";
  assertEquals([...foldStacks(named, name, undefined, { root }).keys()], [
    "comm;[lost: stack]",
    "comm;[empty stack]",
    "comm;leaf",
  ]);
});

Deno.test("foldStacks() replaces what a terminal would obey", () => {
  const columns = decode([{ id: 1, frames: [valid(0x10)] }]);
  const hostile = "a\u001b[2Jb\u009b2Jc\u0085d\u007fe\u202ef\u200e\u200fg\u2066\u2069h\u061ci\u2028j";
  assertEquals(
    [...foldStacks(columns, () => hostile, undefined, { root: () => "\u009b31mroot" }).keys()],
    [" 31mroot;a [2Jb 2Jc d e f g h i j"],
  );
  assertEquals([...foldStacks(columns, () => "żółć 漢字 é").keys()], ["żółć 漢字 é"]);
});

Deno.test("foldStacks() marks addresses, unnamed frames and unknown statuses", () => {
  const columns = decode([{
    id: 1,
    frames: [
      { status: 2, ip: 0xffff_ffff_8100_0000n },
      valid(0x1136),
      { status: -7, build_id: ID, offset: 1n },
      { status: 2, ip: 0x401136n },
    ],
  }]);
  const line = "0x401136 [ip];abababab+0x1 [unknown status -7];abababab+0x1136 [unknown];0xffffffff81000000 [ip]";
  assertEquals([...foldStacks(columns, () => "")], [[line, 1]]);
});

Deno.test("foldStacks() tells kernel addresses apart that are one number as a double", () => {
  const frames = [{ status: 2, ip: 0xffff_ffff_8100_0001n }, { status: 2, ip: 0xffff_ffff_8100_0002n }];
  const [line] = foldStacks(decode([{ id: 1, frames }]), () => undefined).keys();
  assertEquals(line, "0xffffffff81000002 [ip];0xffffffff81000001 [ip]");
});

Deno.test("foldStacks() replaces what the format has no escapes for", () => {
  const folded = foldStacks(decode([{ id: 1, frames: [valid(1)] }]), () => "Lfoo;\r\n\tbar baz\u007f");
  assertEquals(formatFolded(folded), "Lfoo: bar baz  1\n");
});

Deno.test("foldStacks() asks once per distinct frame, and says which is innermost", () => {
  const asked: string[] = [];
  const stack = (id: number) => ({ id, frames: [valid(0x10), valid(0x10), valid(0x10)] });
  foldStacks(decode([stack(1), stack(2), stack(3)]), (frame) => {
    asked.push(`${frame.build_id[0]} ${frame.ip} ${frame.innermost}`);
    return "f";
  });
  assertEquals(asked, ["171 16 false", "171 16 true"]);
});

Deno.test("frameFallbackName() shows the first four bytes of the build id", () => {
  const frame = { status: 1, build_id: new Uint8Array(20).map((_, i) => i), offset: 16n, ip: 16n };
  assertEquals(frameFallbackName(frame), "00010203+0x10 [unknown]");
});

Deno.test("a name over 1,024 characters is cut, and stays apart from others that start alike", () => {
  const layout = { valueSize: 8 * 3000 };
  const frames = Array.from({ length: 3000 }, (_, i) => ({ status: 2, ip: BigInt(i + 1) }));
  const columns = decodeStacks(encodeStacks([{ id: 1, frames }], layout), layout);
  const long = "x".repeat(60_000);
  const [line] = foldStacks(columns, (frame) => `${long}${frame.ip % 2n}`).keys();
  const names = line.split(";");
  assertEquals([names.length, new Set(names).size, names[0].length], [3000, 2, 1009]);
  assertEquals(line.length, 3000 * 1010 - 1);
  const kept = "y".repeat(1024);
  assertEquals([...foldStacks(columns, () => kept).keys()][0].split(";")[0], kept);
});
