// Owns flame graphs: folded stacks to one SVG file, which is a picture everywhere and can be searched in a browser.
import { cutName, plainText } from "../base/plain_text.ts";
import {
  BASELINE,
  CHARACTER_WIDTH,
  FLAME_GRAPH_SCRIPT,
  FLAME_GRAPH_STYLE,
  LEAST_TEXT,
  MARGIN,
  TEXT_MARGIN,
} from "./flame_graph_script.ts";

/** What {@linkcode flameGraph} may be told. */
export interface FlameGraphOptions {
  /** Heading; "Flame graph" by default. */
  title?: string;
  /** Text below the heading, before what is said of the samples. */
  subtitle?: string;
  /** Unit of the counts; "samples" by default. */
  unit?: string;
  /** Width of the picture in pixels: a whole number from 300 to 10,000; 1,200 by default. */
  width?: number;
}

/** Height of a frame in pixels, and of the gap above it. */
const FRAME_HEIGHT = 15;
const LEVEL_HEIGHT = 16;
/** Space above the frames, and below them. */
const HEADER_HEIGHT = 60;
const FOOTER_HEIGHT = 30;
/** Frames narrower than this are left out, in pixels. */
const LEAST_WIDTH = 0.1;
/** Most frames of a stack that are drawn, and most frames in all. */
const MOST_LEVELS = 4096;
const MOST_FRAMES = 200_000;
/** Most characters of all names together, as the file has them. */
const MOST_NAMES = 1 << 25;
/** A name that is cut to so many characters has under 167 with escapes, of which each has six at most. */
const LEAST_CUT = 27;
/** Most that the counts may add up to: it bounds what a frame's text takes. */
const MOST_COUNT = 2 ** 96;
/** Most characters of the lines above the frames, and of a unit. */
const MOST_TITLE = 1024;
const MOST_UNIT = 32;

/**
 * Draws a flame graph: outermost frames at the bottom, what they called above them, each as wide as its share of
 * all counts. Frames of one name above one frame are one. They stand in the order of their names (by code units,
 * with a semicolon behind them), right of what the frame below counts itself, so that the picture depends on
 * nothing but the counts.
 *
 * The colour is the name's, in each picture: yellow for names with `::`, which C++ and Rust have, green for those
 * that the compilers of Node.js and Python report, orange for others, and grey for frames without a name
 * (`[unknown]`, `[ip]`, `libfoo.so+0x1234`). Names alone don't tell the kernel's frames from a program's.
 *
 * Opened in a browser, a click on a frame zooms in, one on a frame below it out again; Ctrl-F or "search" colours
 * the frames whose names have a text in them, or match it as a regular expression, without regard to case, and
 * tells their share, in which a frame above another counts once; Escape ends both. Where scripts don't run, it is a
 * still picture with tooltips. It refers to nothing outside of the file.
 *
 * Frames narrower than 0.1 pixels are left out, and those of a stack after its 4,096th. If over 200,000 remain, the
 * narrowest go, in steps of 1/16 of a power of two, and of one step the innermost. The text below the heading says
 * how many. A name has at most 32 Mi characters divided by the number of frames, escapes included, which is 167 or
 * more. So the file has at most some 150 million characters, whatever the input.
 *
 * Takes time and memory in proportion to the text of the stacks, and n log n for sorting them: 1.2 to 1.5 s for
 * 100,000 stacks of 60 frames (128 MB) in V8, 1.1 s in JavaScriptCore.
 *
 * @param folded Count per stack, `outermost;…;innermost`, as {@linkcode foldStacks} gives it. Counts are whole
 * numbers, exact if all together are at most 2^53. Stacks that count 0 are left out.
 * @returns The text of an SVG file, well-formed XML whatever is in names. Without samples it says so.
 * @throws {RangeError} If a count is no whole number, if all are more than 2^96, or if `width` is none of those
 * above.
 */
export function flameGraph(folded: ReadonlyMap<string, number>, options: FlameGraphOptions = {}): string {
  const { width = 1200 } = options;
  if (!(Number.isInteger(width) && width >= 300 && width <= 10_000)) {
    throw new RangeError(`width must be a whole number from 300 to 10000, not ${width}`);
  }
  const stacks = sortedStacks(folded);
  const layout = layOut(stacks, width - 2 * MARGIN);
  const [title, subtitle] = [options.title ?? "Flame graph", options.subtitle ?? ""].map((text) =>
    xmlText(cutName(text, MOST_TITLE))
  );
  const unit = xmlText(cutName(options.unit ?? "samples", MOST_UNIT));
  const amount = (count: number): string =>
    `${grouped(count)} ${count === 1 && unit === "samples" ? "sample" : unit}`;
  const said = [subtitle, stacks.total === 0 ? `no ${unit}` : amount(stacks.total)];
  if (layout.leftOut > 0) said.push(`${counted(layout.leftOut, "frame")} too narrow to be drawn`);
  if (layout.cut > 0) said.push(`${counted(layout.cut, "stack")} cut after ${grouped(MOST_LEVELS)} frames`);
  const below = said.filter((text) => text !== "").join(" · ");
  return draw(layout, { title, below, width, amount, total: stacks.total });
}

/** Stacks in order: those that begin with the same frames are neighbours. */
interface SortedStacks {
  /** Frames, each with a semicolon behind it. */
  lines: string[];
  /** Count of each, none of them 0. */
  counts: Float64Array;
  total: number;
}

function sortedStacks(folded: ReadonlyMap<string, number>): SortedStacks {
  const lines: string[] = [];
  for (const [stack, count] of folded) {
    if (!(Number.isInteger(count) && count >= 0)) {
      throw new RangeError(`a stack's count must be a whole number, not ${count}`);
    }
    // The semicolon behind the last frame keeps "a" beside "a;b", and "a b" out of their way.
    if (count > 0) lines.push(`${stack};`);
  }
  // Without a comparison of our own this is a fifth of the time: 0.2 s for 100,000 stacks of 60 frames.
  lines.sort();
  const counts = Float64Array.from(lines, (line) => folded.get(line.slice(0, -1))!);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total > MOST_COUNT) throw new RangeError(`the counts add up to ${total}, over 2^96`);
  return { lines, counts, total };
}

/** Called for each frame when all stacks that go through it are counted: inner frames before their outer ones. */
type FrameVisitor = (level: number, start: number, count: number, line: string, from: number, end: number) => void;

/**
 * Walks over the frames that the stacks make together. `start` is the count of all that stands left of a frame, its
 * name is `line` from `from` to before `end`, and the outermost is of level 0.
 *
 * @returns How many stacks have more frames than are drawn.
 */
function walkFrames({ lines, counts }: SortedStacks, visit: FrameVisitor): number {
  // Of each open frame: where its name ends in the line before, and what stands left of it.
  const ends = new Int32Array(MOST_LEVELS);
  const starts = new Float64Array(MOST_LEVELS);
  let open = 0, left = 0, cut = 0;
  let before = "";
  const closeTo = (level: number): void => {
    while (open > level) {
      open--;
      visit(open, starts[open], left - starts[open], before, open === 0 ? 0 : ends[open - 1] + 1, ends[open]);
    }
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    const most = Math.min(line.length, before.length);
    let same = 0;
    while (same < most && line.charCodeAt(same) === before.charCodeAt(same)) same++;
    let level = 0;
    while (level < open && ends[level] < same) level++;
    closeTo(level);
    let from = level === 0 ? 0 : ends[level - 1] + 1;
    for (; from < line.length && open < MOST_LEVELS; open++) {
      starts[open] = left;
      ends[open] = line.indexOf(";", from);
      from = ends[open] + 1;
    }
    if (from < line.length) cut++;
    left += counts[i];
    before = line;
  }
  closeTo(0);
  return cut;
}

/** The frames that are drawn, but "all", outer before inner, then from left to right. */
interface FlameLayout {
  levels: number[];
  /** What stands left of each, and how much it counts. */
  starts: number[];
  counts: number[];
  names: string[];
  /** The frames' numbers in the order to draw them. */
  order: Uint32Array;
  /** How many levels there are. */
  height: number;
  /** Frames that are too narrow. */
  leftOut: number;
  /** Stacks that have more frames than are drawn. */
  cut: number;
}

/** @param width That of all frames together, in pixels. */
function layOut(stacks: SortedStacks, width: number): FlameLayout {
  const levels: number[] = [], starts: number[] = [], counts: number[] = [], names: string[] = [];
  const least = LEAST_WIDTH / width;
  const rank = frameRanks();
  const ranked = new Uint32Array(rank(least, MOST_LEVELS)); // how many frames have each rank
  let leftOut = 0;
  const collect = (limit: number): number =>
    walkFrames(stacks, (level, start, count, line, from, end) => {
      const share = count / stacks.total;
      const at = share < least ? Infinity : rank(share, level);
      if (at < Infinity) ranked[at]++;
      if (at >= limit) {
        leftOut++;
      } else if (levels.length <= MOST_FRAMES) { // one more shows that they are too many
        levels.push(level);
        starts.push(start);
        counts.push(count);
        names.push(line.slice(from, end));
      }
    });
  const cut = collect(Infinity);
  if (levels.length > MOST_FRAMES) {
    for (const column of [levels, starts, counts, names]) column.length = 0;
    leftOut = 0;
    let sum = 0;
    collect(ranked.findIndex((frames) => (sum += frames) > MOST_FRAMES));
  }
  const order = Uint32Array.from(levels, (_, i) => i);
  order.sort((a, b) => starts[a] - starts[b] || levels[a] - levels[b]);
  const height = levels.reduce((most, level) => Math.max(most, level + 1), 0);
  return { levels, starts, counts, names, order, height, leftOut, cut };
}

/**
 * Which frames to draw rather than others, by their share and their level: the lower, the rather. Wide ones come
 * before narrow ones, outer ones before inner ones, and so no frame before the one that it stands on.
 */
function frameRanks(): (share: number, level: number) => number {
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  // Exponent and the four bits below it, from the share of all down.
  float[0] = 1;
  const widest = bits[0] >>> 19;
  return (share, level) => {
    float[0] = share;
    return (widest - (bits[0] >>> 19)) * MOST_LEVELS + level;
  };
}

/** What is drawn besides the frames. */
interface FlameText {
  title: string;
  /** The line below it. */
  below: string;
  /** The picture's, in pixels. */
  width: number;
  total: number;
  /** A count with its unit. */
  amount: (count: number) => string;
}

const BACKGROUND = "#fdfcf9";
const TEXT = "#1c1917";
const QUIET_TEXT = "#57534e";
const SANS = "system-ui, Verdana, sans-serif";
const MONOSPACE = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
/** Width of the heading's characters, in pixels: that of wide ones, as all must fit. */
const HEADING_CHARACTER = 11.5;

function draw(layout: FlameLayout, text: FlameText): string {
  const { title, below, width, total } = text;
  const height = HEADER_HEIGHT + (layout.height + 1) * LEVEL_HEIGHT + FOOTER_HEIGHT;
  const middle = width / 2;
  const room = width - 2 * MARGIN;
  const bar = height - FOOTER_HEIGHT;
  const out = [
    `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"
  role="img" aria-label="${escapeXml(`${title}: ${below}`)}" font-family="${SANS}" font-size="12" fill="${TEXT}">
<title>${escapeXml(title)}</title>
<style>${FLAME_GRAPH_STYLE}</style>
<rect width="${width}" height="${height}" fill="${BACKGROUND}"/>
<g text-anchor="middle">
<text x="${middle}" y="27" font-size="18">${escapeXml(fitText(title, room / HEADING_CHARACTER))}</text>
<text x="${middle}" y="46" fill="${QUIET_TEXT}">${escapeXml(fitText(below, room / CHARACTER_WIDTH))}</text>
</g>
<g class="frames" font-family="${MONOSPACE}">
`,
  ];
  if (total > 0) drawFrames(out, layout, text);
  out.push(
    `</g>
<g class="bar">
<rect y="${bar + 5}" width="${width}" height="${FOOTER_HEIGHT - 5}" fill="${BACKGROUND}"/>
<text class="details" x="${MARGIN}" y="${bar + 21}" font-family="${MONOSPACE}"/>
<g fill="${QUIET_TEXT}" text-anchor="end">
<text class="matched" x="${width - 160}" y="${bar + 21}"/>
<text class="reset button off" x="${width - 70}" y="${bar + 21}" visibility="hidden">reset zoom</text>
<text class="search button" x="${width - MARGIN}" y="${bar + 21}" visibility="hidden">search</text>
</g>
</g>
`,
  );
  // Without frames there is nothing to do.
  if (total > 0) out.push(`<script><![CDATA[${FLAME_GRAPH_SCRIPT}]]></script>\n`);
  out.push("</svg>\n");
  return out.join("");
}

/** A name as it is drawn: cut, with escapes, and its colour. */
interface Look {
  name: string;
  escaped: string;
  fill: string;
}

function drawFrames(out: string[], layout: FlameLayout, { width, amount, total }: FlameText): void {
  const { levels, starts, counts, names, order } = layout;
  const floor = HEADER_HEIGHT + layout.height * LEVEL_HEIGHT;
  const scale = (width - 2 * MARGIN) / total;
  const frame = ({ name, escaped, fill }: Look, level: number, start: number, count: number): void => {
    const x = rounded(MARGIN + start * scale);
    const wide = rounded(rounded(MARGIN + (start + count) * scale) - x);
    const y = floor - level * LEVEL_HEIGHT;
    const label = fitText(name, (wide - TEXT_MARGIN) / CHARACTER_WIDTH);
    out.push(
      `<g><title>${escaped}\n${escapeXml(amount(count))}, ${(100 * count / total).toFixed(2)} %</title>`,
      `<rect x="${x}" y="${y}" width="${wide}" height="${FRAME_HEIGHT}" fill="${fill}"`,
      wide > 4 ? ' rx="1.5"/>' : "/>", // round corners would leave nothing of a narrower one
      label === ""
        ? ""
        : `<text x="${rounded(x + TEXT_MARGIN / 2)}" y="${y + BASELINE}">${escapeXml(label)}</text>`,
      "</g>\n",
    );
  };
  frame({ name: "all", escaped: "all", fill: "#d6d3d1" }, 0, 0, total);
  const most = Math.floor(MOST_NAMES / order.length);
  const looks = new Map<string, Look>();
  for (const i of order) {
    let look = looks.get(names[i]);
    if (look === undefined) looks.set(names[i], look = lookOf(names[i], most));
    frame(look, levels[i] + 1, starts[i], counts[i]);
  }
}

/** Pixels with four decimals, with which a frame of 0.1 is in its place when it is zoomed to the whole width. */
function rounded(pixels: number): number {
  return Math.round(pixels * 1e4) / 1e4;
}

/** @param most Most characters of the name, escapes included; 167 or more. */
function lookOf(text: string, most: number): Look {
  let name = xmlText(text);
  let escaped = escapeXml(name);
  for (let length = most; escaped.length > most;) {
    name = xmlText(cutName(text, length));
    escaped = escapeXml(name);
    length = Math.max(LEAST_CUT, length - Math.ceil((escaped.length - most) / 2));
  }
  return { name, escaped, fill: fillOf(text) };
}

/** Names that say only where an address is, or what is missing: `[heap]`, `0x1234 [ip]`, `libfoo.so+0x1234`. */
const UNNAMED = /^\[[^\]]*\]$|\+0x[0-9a-f]+$| \[(?:ip|unknown(?: status \d+)?)\]$/;
/** How the perf maps of Node.js and Python begin names. */
const COMPILED = /^(?:JS|py|LazyCompile|Function|Script|Eval|RegExp|Builtin|BytecodeHandler|Stub):/;

/** A colour on which dark text can be read, by kind of name, then by a hash of it. */
function fillOf(name: string): string {
  let hash = 0x811c9dc5; // FNV-1a over UTF-16 code units
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x0100_0193);
  hash ^= hash >>> 15;
  const tint = (hash & 0xff) / 255, shade = ((hash >>> 8) & 0xff) / 255;
  if (UNNAMED.test(name)) return hslColour(40, 0.05, 0.76 + 0.1 * shade);
  if (COMPILED.test(name)) return hslColour(90 + 50 * tint, 0.5, 0.64 + 0.12 * shade);
  if (name.includes("::")) return hslColour(42 + 12 * tint, 0.88, 0.6 + 0.14 * shade);
  return hslColour(12 + 22 * tint, 0.92, 0.68 + 0.12 * shade);
}

/** `#rrggbb` of a hue in degrees, a saturation and a lightness from 0 to 1. */
function hslColour(hue: number, saturation: number, lightness: number): string {
  const part = (n: number): string => {
    const k = (n + hue / 30) % 12;
    const value = lightness -
      saturation * Math.min(lightness, 1 - lightness) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return `#${part(0)}${part(8)}${part(4)}`;
}

/** What has room for so many characters, cut with "…"; nothing where less than three would be left. */
function fitText(text: string, characters: number): string {
  const room = Math.floor(characters);
  let used = 0, cut = 0;
  for (const one of text) {
    used += one >= "\u1100" ? 2 : 1; // East Asian characters and emoji are wide
    if (used > room) return room < LEAST_TEXT ? "" : `${text.slice(0, cut)}…`;
    if (used < room) cut += one.length;
  }
  return text;
}

/** What XML 1.0 has no place for besides control characters: halves of surrogate pairs, U+FFFE and U+FFFF. */
const NOT_XML = /[\p{Surrogate}\ufffe\uffff]/gu;

/** Text on one line, of characters that XML allows. */
function xmlText(text: string): string {
  return plainText(text).replace(NOT_XML, "\ufffd");
}

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** For text of elements, and of attributes in double quotes. */
function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (one) => ESCAPES[one]);
}

/** A whole number with commas; in full, however large. */
function grouped(count: number): string {
  return BigInt(count).toString().replace(/\B(?=(?:\d{3})+$)/g, ",");
}

function counted(count: number, what: string): string {
  return `${grouped(count)} ${what}${count === 1 ? "" : "s"}`;
}
