// Owns the tests of flame graphs: geometry and counts by sums made apart, hostile names, bounds; expat, a browser.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { SeededRandom } from "../src/base/random.ts";
import { flameGraph, type FlameGraphOptions } from "../src/profile/flame_graph.ts";
import { assertGrowth, milliseconds } from "./growth.ts";

/** An element of a file that {@linkcode readXml} read. */
interface XmlElement {
  name: string;
  attributes: Record<string, string>;
  children: XmlElement[];
  /** All text in it, CDATA sections among it, but not that of its children. */
  text: string;
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"' };

function xmlUnescape(text: string): string {
  assert(!/[<>]|&(?!(?:amp|lt|gt|quot);)/.test(text), `not escaped: ${text.slice(0, 100)}`);
  return text.replace(/&(\w+);/g, (_, name) => ENTITIES[name]);
}

/** Reads the XML that flame graphs use, and nothing else: no comments, no single quotes, no document type. */
function readXml(text: string): XmlElement {
  // XML 1.0's Char. Under the flag `u` a surrogate that is half of a pair is no character of its own.
  const other = /[^\t\n\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.exec(text);
  assertEquals(other?.index, undefined, "a character that XML does not allow");
  const outside: XmlElement = { name: "", attributes: {}, children: [], text: "" };
  const open = [outside];
  const declaration = '<?xml version="1.0" encoding="UTF-8"?>\n';
  assert(text.startsWith(declaration));
  const token = /<!\[CDATA\[([^]*?)\]\]>|<\/([a-z]+)>|<([a-z]+)((?:\s+[a-zA-Z:-]+="[^"<]*")*)\s*(\/?)>|[^<]+/y;
  token.lastIndex = declaration.length;
  while (token.lastIndex < text.length) {
    const at = token.lastIndex;
    const match = token.exec(text);
    assert(match !== null, `no XML at ${at}: ${text.slice(at, at + 100)}`);
    const [all, section, closed, opened, attributes, empty] = match;
    const top = open[open.length - 1];
    if (section !== undefined) {
      top.text += section;
    } else if (closed !== undefined) {
      assertEquals(open.pop()!.name, closed);
    } else if (opened !== undefined) {
      const element: XmlElement = { name: opened, attributes: {}, children: [], text: "" };
      for (const [, name, value] of attributes.matchAll(/([a-zA-Z:-]+)="([^"]*)"/g)) {
        assert(!(name in element.attributes), `${name} twice`);
        element.attributes[name] = xmlUnescape(value);
      }
      top.children.push(element);
      if (empty === "") open.push(element);
    } else {
      top.text += xmlUnescape(all);
    }
  }
  assertEquals(open.length, 1);
  assertEquals([outside.children.length, outside.text.trim()], [1, ""]);
  return outside.children[0];
}

function* elementsIn(element: XmlElement): Generator<XmlElement> {
  yield element;
  for (const child of element.children) yield* elementsIn(child);
}

const partOf = (svg: XmlElement, name: string): XmlElement =>
  [...elementsIn(svg)].find((element) => element.attributes.class?.split(" ").includes(name))!;

/** A frame of a picture. */
interface Frame {
  /** Names from "all" on, with a line feed between them, found by what stands below it. */
  path: string;
  name: string;
  /** What its tooltip says below the name. */
  share: string;
  count: number;
  x: number;
  y: number;
  width: number;
  fill: string;
  label: string | undefined;
}

/** The picture, its frames in the order of the file; each must stand within one of the level below it. */
function readPicture(text: string): { svg: XmlElement; below: string; frames: Frame[] } {
  const svg = readXml(text);
  const frames: Frame[] = [];
  // Of each level the frame that was read last: outer frames come before inner ones, left before right.
  const last: Frame[] = [];
  for (const { name: element, children } of partOf(svg, "frames").children) {
    const [title, rect, label] = children;
    assertEquals([element, title.name, rect.name], ["g", "title", "rect"]);
    const [name, share, ...more] = title.text.split("\n");
    assertEquals(more, []);
    const [x, y, width] = ["x", "y", "width"].map((key) => Number(rect.attributes[key]));
    const count = Number(/^[\d,]+/.exec(share)![0].replaceAll(",", ""));
    const level = frames.length === 0 ? 0 : (frames[0].y - y) / 16;
    const parent = last[level - 1];
    if (level > 0) {
      assert(x >= parent.x - 1e-9 && x + width <= parent.x + parent.width + 1e-9, `${name} stands on nothing`);
    }
    const before = last[level];
    assert(before === undefined || before.x + before.width <= x + 1e-9, `${name} covers ${before?.name}`);
    const path = level === 0 ? name : `${parent.path}\n${name}`;
    const frame = { path, name, share, count, x, y, width, fill: rect.attributes.fill, label: label?.text };
    assertEquals(label === undefined ? undefined : label.attributes.y, label && String(y + 11.5));
    last.splice(level, Infinity, frame);
    frames.push(frame);
  }
  return { svg, below: svg.children[3]?.children[1]?.text, frames };
}

/** Count per path, as {@linkcode Frame} has it. */
function sumsOf(folded: ReadonlyMap<string, number>): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [stack, count] of folded) {
    let path = "all";
    if (count > 0) sums.set(path, (sums.get(path) ?? 0) + count);
    for (const name of stack.split(";")) {
      path += `\n${name}`;
      if (count > 0) sums.set(path, (sums.get(path) ?? 0) + count);
    }
  }
  return sums;
}

const pictureOf = (stacks: Record<string, number>, options?: FlameGraphOptions) =>
  readPicture(flameGraph(new Map(Object.entries(stacks)), options));

Deno.test("flameGraph() draws frames as wide as their share, in the order of their names", () => {
  const { svg, below, frames } = pictureOf({ "d": 4, "a;c": 1, "a;b": 3, "a;b;e": 2 }, {
    width: 1020,
    title: "Mine",
    subtitle: "99 Hz",
  });
  assertEquals(frames.map(({ name, share, x, y, width }) => [name, share, x, y, width]), [
    ["all", "10 samples, 100.00 %", 10, 108, 1000],
    ["a", "6 samples, 60.00 %", 10, 92, 600],
    ["b", "5 samples, 50.00 %", 10, 76, 500],
    ["e", "2 samples, 20.00 %", 310, 60, 200],
    ["c", "1 sample, 10.00 %", 510, 76, 100],
    ["d", "4 samples, 40.00 %", 610, 92, 400],
  ]);
  const { width, height, role, viewBox } = svg.attributes;
  assertEquals([width, height, role, viewBox], ["1020", "154", "img", "0 0 1020 154"]);
  assertEquals(svg.attributes["aria-label"], "Mine: 99 Hz · 10 samples");
  assertEquals(below, "99 Hz · 10 samples");
  assertEquals(svg.children[0].text, "Mine");
});

Deno.test("flameGraph() keeps frames together whose names begin alike", () => {
  const { frames } = pictureOf({
    "a": 1,
    "a b": 2,
    "a;x": 4,
    "a!;x": 8,
    "a0": 16,
    "b": 32,
    "a;x;x": 64,
    "a~": 128,
  });
  assertEquals(frames.map(({ path, count }) => [path.replaceAll("\n", ";"), count]), [
    ["all", 255],
    ["all;a b", 2],
    ["all;a!", 8],
    ["all;a!;x", 8],
    ["all;a0", 16],
    ["all;a", 69],
    ["all;a;x", 68],
    ["all;a;x;x", 64],
    ["all;a~", 128],
    ["all;b", 32],
  ]);
});

Deno.test("flameGraph()'s counts and widths are the sums of all stacks, in whatever order they come", () => {
  const seed = 20_240_517;
  const random = new SeededRandom(seed);
  const names = ["main", "main.0", "all", "λ", "operator<", "", "a b", "a", "😀", "x&y", "0x1 [ip]", "toString"];
  for (let round = 0; round < 8; round++) {
    const folded = new Map<string, number>();
    for (let i = 0; i < 300; i++) {
      const depth = 1 + random.below(round < 4 ? 5 : 40);
      const stack = Array.from({ length: depth }, () => names[random.below(1 + random.below(names.length))]);
      folded.set(stack.join(";"), random.below(4) === 0 ? 0 : random.below(round % 2 === 0 ? 50 : 2 ** 32) + 1);
    }
    const width = 300 + random.below(2000);
    const text = flameGraph(folded, { width });
    const sums = sumsOf(folded);
    const total = sums.get("all")!;
    const { frames, below } = readPicture(text);
    const pixels = (count: number) => count / total * (width - 20);
    for (const { path, count, width, share } of frames) {
      assertEquals(count, sums.get(path), `${path} of seed ${seed}, round ${round}`);
      assert(Math.abs(width - pixels(count)) < 2e-4, `${path} is ${width} wide: seed ${seed}, round ${round}`);
      assert(share.endsWith(`, ${(100 * count / total).toFixed(2)} %`), share);
    }
    const wide = [...sums].filter(([, count]) => pixels(count) >= 0.1).map(([path]) => path);
    assertEquals(frames.map(({ path }) => path).sort(), wide.sort(), `seed ${seed}, round ${round}`);
    const narrow = sums.size - wide.length;
    assertEquals(
      /([\d,]+) frames? too/.exec(below)?.[1],
      narrow === 0 ? undefined : narrow.toLocaleString("en-US"),
    );

    const shuffled = [...folded].map((stack) => ({ stack, at: random.nextUint32() }));
    shuffled.sort((a, b) => a.at - b.at);
    assertEquals(flameGraph(new Map(shuffled.map(({ stack }) => stack)), { width }), text);
  }
});

Deno.test("flameGraph() counts exactly up to 2^53, and takes more", () => {
  const { frames } = pictureOf({ "a": 2 ** 53 - 1, "a;b": 1, "c": 0 });
  assertEquals(frames.map(({ name, share }) => [name, share]), [
    ["all", "9,007,199,254,740,992 samples, 100.00 %"],
    ["a", "9,007,199,254,740,992 samples, 100.00 %"],
  ]);
  const more = pictureOf({ "a": 2 ** 80, "b": 2 ** 80, "c": 1 }).frames;
  assertEquals(more[1].share, "1,208,925,819,614,629,174,706,176 samples, 50.00 %");
  assertEquals(more[2].width, 590);
});

Deno.test("flameGraph() refuses counts that are none, and widths that are too small or too large", () => {
  for (const count of [-1, 0.5, NaN, Infinity]) {
    assertThrows(() => flameGraph(new Map([["a", count]])), RangeError, "count must be a whole number");
  }
  for (const large of [2 ** 96, Number.MAX_VALUE]) {
    assertThrows(() => flameGraph(new Map([["a", large], ["b", large]])), RangeError, "over 2^96");
  }
  for (const width of [299, 10_001, 512.5, NaN]) {
    assertThrows(() => flameGraph(new Map(), { width }), RangeError, "width must be");
  }
});

Deno.test("flameGraph() says that there are no samples", () => {
  for (const folded of [new Map<string, number>(), new Map([["a;b", 0]])]) {
    const { svg, below, frames } = readPicture(flameGraph(folded));
    assertEquals([below, frames.length], ["no samples", 0]);
    assertEquals([...elementsIn(svg)].filter(({ name }) => name === "script"), []);
    assertEquals(svg.attributes["aria-label"], "Flame graph: no samples");
  }
  assertEquals(pictureOf({}, { unit: "allocated bytes" }).below, "no allocated bytes");
});

Deno.test("flameGraph() counts in the unit that it is told", () => {
  const { frames, below } = pictureOf({ "a": 1, "b": 1234 }, { unit: "ms" });
  assertEquals(frames.map(({ share }) => share), ["1,235 ms, 100.00 %", "1 ms, 0.08 %", "1,234 ms, 99.92 %"]);
  assertEquals(below, "1,235 ms");
});

Deno.test("text stands in a frame where it fits, and is cut by characters as wide as they are", () => {
  const wide = "漢字".repeat(40), faces = "😀".repeat(40), long = "function_".repeat(30);
  const { frames } = pictureOf({ [wide]: 9, [faces]: 9, [long]: 9, "short": 9, "ab": 1, "other": 1, "漢": 1 }, {
    width: 700,
  });
  for (const { name, label, width } of frames) {
    if (label === undefined) continue;
    const columns = [...label].reduce((sum, one) => sum + (one.length > 1 || /[漢字]/.test(one) ? 2 : 1), 0);
    assert(columns * 7.25 + 6 <= width, `${label} in ${width}`);
    if (label === name) continue;
    assert(label.endsWith("…") && name.startsWith(label.slice(0, -1)) && label.length > 2);
    // Nothing more would fit.
    assert((columns + 2) * 7.25 + 6 > width, `${label} in ${width}`);
    assert(!/[\ud800-\udbff]…$/.test(label), "half of a character");
  }
  const labels = new Map(frames.map(({ name, label }) => [name, label]));
  assertEquals([labels.get("short"), labels.get("ab"), labels.get("other")], ["short", undefined, undefined]);
  assertEquals([labels.get(long)?.length, labels.get(wide)?.length, labels.get(faces)?.length], [20, 10, 19]);
});

const channel = (value: number): number => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
/** Luminance as WCAG 2 defines it. */
function luminance(colour: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => channel(parseInt(colour.slice(at, at + 2), 16) / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

Deno.test("names can be read on their colours, which tell the kinds apart and stay the same", () => {
  const names = {
    grey: [
      "[heap]",
      "[missing stack -17]",
      "0xffffffff81000000 [ip]",
      "ab+0x1 [unknown]",
      "libc.so.6+0x12",
      "[vdso]",
    ],
    green: ["JS:*add /srv/app.js:3:1", "LazyCompile:~f a.js:1", "py::walk:/usr/lib/os.py", "Builtin:JSEntry"],
    yellow: ["std::vector<int>::push_back(int&&)", "<alloc::vec::Vec<T>>::push"],
    orange: [
      "main",
      "do_syscall_64",
      "operator delete[]",
      "a[]",
      "nft_do_chain [nf_tables]",
      "x+0x10 y",
      "unknown",
    ],
  };
  const many: Record<string, number> = {};
  for (let i = 0; i < 300; i++) {
    many[`f${i}`] =
      many[`f::${i}`] =
      many[`JS:${i}`] =
      many[`[${i}]`] =
        1;
  }
  for (const name of Object.values(names).flat()) many[`;;${name}`] = 50;
  const { svg, frames } = pictureOf(many, { width: 3000 });
  const fills = new Map(frames.map(({ name, fill }) => [name, fill]));
  const kindOf = (colour: string): string => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    if (Math.max(r, g, b) - Math.min(r, g, b) < 16) return "grey";
    if (g > r) return "green";
    return r - g < 50 ? "yellow" : "orange";
  };
  for (const [kind, members] of Object.entries(names)) {
    for (const name of members) assertEquals(kindOf(fills.get(name)!), kind, `${name} is ${fills.get(name)}`);
  }
  assertEquals(svg.attributes.fill, "#1c1917");
  for (const [name, fill] of fills) {
    assertMatch(fill, /^#[0-9a-f]{6}$/);
    const contrast = (luminance(fill) + 0.05) / (luminance(svg.attributes.fill) + 0.05);
    assert(contrast >= 7, `${name}: ${contrast.toFixed(2)} on ${fill}`);
  }
  assert(new Set(fills.values()).size > 500);
  for (const { name, fill } of pictureOf({ "other;main;std::vector<int>::push_back(int&&);x": 1 }).frames) {
    if (fills.has(name)) assertEquals(fill, fills.get(name));
  }
});

/** Names as a hostile file has them, and how they are to be shown. */
const HOSTILE: readonly (readonly [name: string, shown: string])[] = [
  "</script><script>globalThis.broken = 1</script>",
  "]]><script>globalThis.broken = 1</script><![CDATA[",
  "</title><script xmlns='http://www.w3.org/2000/svg'>globalThis.broken = 1</script>",
  '" onload="globalThis.broken = 1',
  "&amp;&lt;&#60;&bogus; & <!-- -- > <?php ?> %s ${broken} $& $1",
  "<!DOCTYPE svg [<!ENTITY a 'b'>]>",
  "javascript:globalThis.broken = 1",
  "漢字 λ 😀 é",
  "  spaces  ",
].map((name) => [name, name] as const).concat([
  ["half \ud83d of", "half \ufffd of"],
  ["other \ude00 half", "other \ufffd half"],
  ["turned \ude00\ud83d", "turned \ufffd\ufffd"],
  ["\ufffe and \uffff", "\ufffd and \ufffd"],
  ["nul \0 esc \x1b[31m del \x7f c1 \x9b next \x85", "nul   esc  [31m del   c1   next  "],
  ["line\nfeed\r\ttab", "line feed tab"],
  ["\u202eright to left\u2069", " right to left "],
]);

const hostileStacks = (): Map<string, number> =>
  new Map(HOSTILE.map(([text], i): [string, number] => {
    const name = text.replaceAll(";", ":"); // as foldStacks() does
    return [`${name};${name};leaf ${name}`, i + 5];
  }));

/** Each element that a flame graph has, and its attributes. */
const ALLOWED: Record<string, string[]> = {
  svg: ["xmlns", "width", "height", "viewBox", "role", "aria-label", "font-family", "font-size", "fill"],
  title: [],
  style: [],
  script: [],
  g: ["class", "text-anchor", "font-family", "fill"],
  rect: ["x", "y", "width", "height", "fill", "rx"],
  text: ["x", "y", "class", "fill", "font-size", "font-family", "visibility"],
};

Deno.test("names, headings and units are never markup, whatever they are", () => {
  const plain = [...elementsIn(pictureOf({ a: 1 }).svg)];
  const ofKind = (elements: XmlElement[], kind: string) => elements.filter(({ name }) => name === kind);
  for (const [title, shown] of HOSTILE) {
    const text = flameGraph(hostileStacks(), { title, subtitle: title, unit: title });
    const { svg, frames } = readPicture(text);
    const elements = [...elementsIn(svg)];
    for (const { name, attributes } of elements) {
      for (const attribute of Object.keys(attributes)) {
        assert(ALLOWED[name].includes(attribute), `${name} ${attribute}`);
      }
    }
    for (const kind of ["script", "style"]) {
      assertEquals(ofKind(elements, kind).map(({ text }) => text), ofKind(plain, kind).map(({ text }) => text));
    }
    assertEquals(
      frames.filter(({ y }) => y === frames[0].y - 16).map(({ name }) => name).sort(),
      HOSTILE.map(([, shown]) => shown.replaceAll(";", ":")).sort(),
    );
    assertEquals(svg.children[0].text, shown);
    assert(svg.attributes["aria-label"].startsWith(`${shown}: ${shown} · `));
  }
});

Deno.test("a flame graph refers to nothing outside of its file, and runs no text as code", () => {
  const text = flameGraph(hostileStacks());
  const svg = readXml(text);
  assertEquals([...text.matchAll(/href|url\(|@import/g)].length, 0);
  const script = [...elementsIn(svg)].find(({ name }) => name === "script")!.text;
  assertEquals(/innerHTML|outerHTML|insertAdjacent|eval|Function\(|document\.write|on[a-z]+=/.exec(script), null);
  new Function(script); // it is a program
});

Deno.test("frames after the 4,096th of a stack are not drawn, and that is said", () => {
  const deep = (frames: number) => Array.from({ length: frames }, (_, i) => `f${i}`).join(";");
  const { svg, frames, below } = pictureOf({ [deep(4096)]: 1, [deep(5000)]: 1, [`${deep(4999)};x`]: 2, "x": 1 });
  assertEquals(frames.length, 4096 + 2);
  assertEquals(frames[4096].share, "4 samples, 80.00 %");
  assertEquals(below, "5 samples · 2 stacks cut after 4,096 frames");
  assertEquals(svg.attributes.height, String(60 + 4097 * 16 + 30));
});

Deno.test("at most 200,000 frames are drawn: the widest, and of those as wide the outermost", () => {
  // 10,000 stacks of 25 frames with names of their own, half of them twice as wide.
  const folded = new Map<string, number>();
  const stack = Array.from({ length: 24 }, (_, i) => `;level ${i}, ${"&x<y".repeat(25)}`).join("");
  for (let i = 0; i < 10_000; i++) folded.set(`${i}${stack}`, 1 + i % 2);
  const started = performance.now();
  const text = flameGraph(folded, { width: 3000 });
  console.log(`250,000 frames of 100 characters: ${(performance.now() - started).toFixed(0)} ms`);
  assert(text.includes(">15,000 samples · 50,000 frames too narrow to be drawn<"));
  // All 25 of the 5,000 wide ones, and of the others the 15 that are left: none without what it stands on.
  const perLevel = new Map<string, number>();
  const names = new Set<string>();
  const pattern = /<title>([^\n<]*)\n(\d) samples?,.*?<rect x="([\d.]+)" y="(\d+)"/g;
  for (const [, name, count, , y] of text.matchAll(pattern)) {
    const key = `${count} at ${y}`;
    perLevel.set(key, (perLevel.get(key) ?? 0) + 1);
    if (name.startsWith("level")) names.add(name);
  }
  const floor = 60 + 25 * 16;
  const expected = Array.from({ length: 25 }, (_, i): [string, number] => [`2 at ${floor - 16 * (i + 1)}`, 5000]);
  for (let i = 1; i <= 15; i++) expected.push([`1 at ${floor - 16 * i}`, 5000]);
  assertEquals([...perLevel].sort(), expected.sort());
  // Names are cut to 167 characters with escapes, not to many fewer, and stay different.
  assert(text.length < 110e6, `${text.length} characters`);
  assertEquals(names.size, 24);
  for (const name of names) assert(name.length <= 167 && name.length > 120 && /…[0-9a-f]{8}$/.test(name), name);
});

Deno.test("time grows like the stacks", () => {
  const random = new SeededRandom(7);
  const counts: Record<string, number> = {};
  const stacks: string[] = [];
  while (stacks.length < 8000) {
    const frames = Array.from({ length: 40 }, (_, depth) => `function_${depth < 20 ? depth : random.below(3)}`);
    counts[frames[20]] = (counts[frames[20]] ?? 0) + 1;
    stacks.push(frames.join(";"));
  }
  const [some, all] = [1000, 8000].map((count) => new Map(stacks.slice(0, count).map((stack) => [stack, 1])));
  assertEquals(all.size, 8000);
  const [small, large] = [some, all].map((folded) => () => milliseconds(() => flameGraph(folded)));
  assertGrowth("1,000 stacks of 40 frames, and 8 times as many", small, large, { times: 32, least: 5, rounds: 2 });
  const { frames } = readPicture(flameGraph(all));
  const level21 = frames.filter(({ y }) => y === frames[0].y - 21 * 16);
  assertEquals(Object.fromEntries(level21.map(({ name, count }) => [name, count])), counts);
});

/** First of some programs that there is on PATH. */
function programOf(names: readonly string[], reason: string): string | undefined {
  const path = (process.env.PATH ?? "").split(delimiter);
  const found = names.flatMap((name) => path.map((folder) => join(folder, name))).find((file) => existsSync(file));
  if (found === undefined) console.log(`skipped: ${reason}: none of ${names.join(", ")} is installed`);
  return found;
}

const python = programOf(["python3"], "flame graphs beside expat");

Deno.test({
  name: "expat finds flame graphs well-formed, and the names in them that there were",
  ignore: python === undefined,
  fn() {
    const [title] = HOSTILE[1];
    const text = flameGraph(hostileStacks(), { title, subtitle: title, unit: title });
    const program = `
import sys, json, xml.dom.minidom as dom
document = dom.parseString(sys.stdin.buffer.read())
texts = lambda tag: ["".join(node.data for node in one.childNodes) for one in document.getElementsByTagName(tag)]
print(json.dumps({ tag: texts(tag) for tag in ["title", "script", "text"] }))
`;
    const { status, stdout, stderr } = spawnSync(python!, ["-c", program], { input: text, encoding: "utf8" });
    assertEquals(status, 0, stderr);
    const elements = [...elementsIn(readXml(text))];
    const texts = (kind: string) => elements.filter(({ name }) => name === kind).map(({ text }) => text);
    assertEquals(JSON.parse(stdout), { title: texts("title"), script: texts("script"), text: texts("text") });
  },
});

const browser = programOf(
  ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
  "flame graphs in a browser",
);

/** What the browser sees of a frame: name, place, text, and whether it is hidden, dim and found. */
type Seen = [name: string, x: number, width: number, label: string, dim: boolean, found: boolean];

/** Runs in the picture, in the browser: does what a user does, and leaves what is to be seen in an attribute. */
const USER = String.raw`
const seen = () => [...document.querySelectorAll(".frames > g")].flatMap((g) => {
  const [title, rect, text] = g.children;
  if (getComputedStyle(g).display === "none") return [];
  const found = getComputedStyle(rect).fill === "rgb(231, 139, 245)";
  const [x, width] = [rect.getAttribute("x"), rect.getAttribute("width")].map(Number);
  const name = title.textContent.split("\n")[0];
  return [[name, x, width, text?.textContent ?? "", getComputedStyle(g).opacity !== "1", found]];
});
const part = (name) => document.querySelector("." + name);
const shown = (name) => getComputedStyle(part(name)).display !== "none" && !part(name).hasAttribute("visibility");
const frame = (start) => [...document.querySelectorAll(".frames > g")].find((g) => g.textContent.startsWith(start));
const press = (key, target = window, ctrlKey = false) =>
  !target.dispatchEvent(new KeyboardEvent("keydown", { key, ctrlKey, bubbles: true, cancelable: true }));
const on = (kind, target) => target.dispatchEvent(new MouseEvent(kind, { bubbles: true }));
const searchFor = (text) => {
  let asked;
  window.prompt = (_, before) => {
    asked = before;
    return text;
  };
  return () => asked;
};
const log = { errors: [] };
window.addEventListener("error", (event) => log.errors.push(event.message));
log.start = seen();
log.buttons = [shown("reset"), shown("search"), document.documentElement.getAttribute("role")];
on("click", frame("mid\n").querySelector("rect"));
log.zoomed = seen();
log.zoomedReset = shown("reset");
on("click", part("reset"));
log.reset = seen();
on("click", frame("mid\n").querySelector("rect"));
on("click", frame("all\n").querySelector("rect"));
log.all = seen();
searchFor("^(MID|leaf).?$");
log.prevented = press("f", window, true);
log.search = [part("matched").textContent, seen().filter((one) => one[5]).map((one) => one[0])];
let asked = searchFor("OP(");
press("Enter", part("search"));
log.plain = [part("matched").textContent, seen().filter((one) => one[5]).map((one) => one[0]), asked()];
searchFor(null);
press("F3");
log.cancelled = part("matched").textContent;
on("mouseover", frame("op(").querySelector("rect"));
log.details = part("details").textContent;
on("mouseover", document.documentElement);
log.noDetails = part("details").textContent;
on("click", frame("op(").querySelector("text"));
press("Escape");
log.escaped = [seen(), part("matched").textContent, shown("reset")];
log.broken = globalThis.broken ?? null;
document.documentElement.setAttribute("data-log", encodeURIComponent(JSON.stringify(log)));
`;

Deno.test({
  name: "in a browser a click zooms in and out, search colours what it finds, and names are no code",
  ignore: browser === undefined,
  fn() {
    const folded = new Map([["main;mid;leaf1", 30], ["main;mid;leaf2;mid;leaf1", 20], ["main;op(int&)", 40], [
      "start;midst",
      60,
    ], [`main;${"long_".repeat(60)}`, 50]]);
    for (const [stack, count] of hostileStacks()) folded.set(`main;${stack}`, count);
    const text = flameGraph(folded);
    const folder = mkdtempSync(join(tmpdir(), "flame-graph-"));
    try {
      const file = join(folder, "test.svg");
      writeFileSync(file, text.replace(/<\/svg>\n$/, () => `<script><![CDATA[${USER}]]></script></svg>\n`));
      const { stdout, stderr } = spawnSync(browser!, [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        `--user-data-dir=${join(folder, "profile")}`,
        "--dump-dom",
        pathToFileURL(file).href,
      ], { encoding: "utf8", timeout: 60_000, maxBuffer: 1 << 26 });
      if (!stdout.includes("<svg")) {
        console.log(`skipped: ${browser} does not run here: ${stderr.slice(-200)}`);
        return;
      }
      const log = JSON.parse(decodeURIComponent(/ data-log="([^"]*)"/.exec(stdout)?.[1] ?? "%22%22"));
      checkLog(log, readPicture(text).frames);
    } finally {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  },
});

function checkLog(log: Record<string, unknown>, frames: Frame[]): void {
  assertEquals([log.errors, log.broken], [[], null]);
  const still = frames.map(({ name, x, width, label = "" }): Seen => [name, x, width, label, false, false]);
  const same = (state: unknown): void => {
    const round = ([name, x, width, ...rest]: Seen): Seen => [name, +x.toFixed(6), +width.toFixed(6), ...rest];
    assertEquals((state as Seen[]).map(round), still.map(round));
  };
  for (const state of [log.start, log.reset, log.all, (log.escaped as unknown[])[0]]) same(state);
  assertEquals(log.buttons, [false, true, "group"]);

  // "mid" counts 50: what is below it is as wide as all, what is above it as wide as its share of it.
  const zoomed = (log.zoomed as Seen[]).map((
    [name, x, width, , dim],
  ) => [name, Math.round(x), Math.round(width), dim]);
  const leaf1 = 10 + 1180 * 30 / 50;
  assertEquals(zoomed, [
    ["all", 10, 1180, true],
    ["main", 10, 1180, true],
    ["mid", 10, 1180, false],
    ["leaf1", 10, leaf1 - 10, false],
    ["leaf2", leaf1, 1180 - leaf1 + 10, false],
    ["mid", leaf1, 1180 - leaf1 + 10, false],
    ["leaf1", leaf1, 1180 - leaf1 + 10, false],
  ]);
  assertEquals((log.zoomed as Seen[]).map(([name, , , label]) => [name, label]).filter(([a, b]) => a !== b), []);
  assertEquals(log.zoomedReset, true);

  const total = frames[0].count;
  const share = (count: number): string => `matched: ${(100 * count / total).toFixed(2)} %`;
  assertEquals(log.prevented, true);
  assertEquals(log.search, [share(50), ["mid", "leaf1", "leaf2", "mid", "leaf1"]]);
  assertEquals(log.plain, [share(40), ["op(int&)"], "^(MID|leaf).?$"]);
  assertEquals(log.cancelled, share(40));
  assertEquals(log.details, `op(int&) · 40 samples, ${(100 * 40 / total).toFixed(2)} %`);
  assertEquals(log.noDetails, "");
  assertEquals((log.escaped as unknown[]).slice(1), ["", false]);
}
