// Owns the layer check: which room of src/ may import which, and what no file there may do.
import { assert, assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Longest file of src/, in lines: the goal is about 400. docs/architecture.md says both. */
const MOST_LINES = 450;

/**
 * What each room may import besides itself. `name (types)` allows `import type` only. docs/architecture.md says the
 * same, and which of the rooms are planned only. Whoever may import elf may take ELF's constants from uapi as well.
 */
const ARROWS: Record<string, readonly string[]> = {
  base: [],
  compress: ["base"],
  demangle: ["base"],
  uapi: ["base"],
  memory: ["base"],
  elf: ["compress", "uapi", "base"],
  kernel: ["memory", "uapi", "base"],
  dump: ["uapi", "base"],
  dwarf: ["elf", "uapi", "base"],
  gsym: ["elf", "uapi", "base"],
  symbolize: ["dwarf", "gsym", "elf", "demangle", "compress", "dump", "uapi", "base"],
  convert: ["symbolize", "dwarf", "gsym", "elf", "uapi", "base"],
  store: ["symbolize", "gsym", "elf", "uapi", "base"],
  recording: ["memory", "dump", "uapi", "base"],
  profile: ["symbolize (types)", "dump", "uapi", "base"],
  serve: ["store", "recording", "profile", "symbolize", "gsym", "dump", "elf", "uapi", "base"],
  linux: ["recording (types)", "dump", "memory", "uapi", "base"],
  cli: [
    "mod.ts",
    "linux",
    "serve",
    "profile",
    "recording",
    "store",
    "convert",
    "symbolize",
    "gsym",
    "dwarf",
    "dump",
    "kernel",
    "elf",
    "memory",
    "uapi",
    "base",
  ],
};

/** Rooms that are named for what is to come; src/ does not have them yet. */
const PLANNED: readonly string[] = [];

/** Rooms for one runtime's own interfaces; everything else runs anywhere and is all that mod.ts exports. */
const HOST_ROOMS: readonly string[] = ["cli", "linux"];

/** One import or re-export of a file. */
interface Import {
  specifier: string;
  typeOnly: boolean;
}

/**
 * `source` with comments blanked and, apart from it, the same with string contents blanked too. Regular expression
 * literals are told from divisions by what stands before them.
 */
function strip(source: string): { code: string; bare: string } {
  let code = "";
  let bare = "";
  // Comment, string or template chunk, regular expression, any other character.
  const token =
    /\/\/[^\n]*|\/\*[^]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[dgimsuvy]*|[^]/gy;
  while (token.lastIndex < source.length) {
    const at = token.lastIndex;
    let text = token.exec(source)![0];
    const first = text[0];
    if (text.startsWith("//") || text.startsWith("/*")) {
      text = text.replace(/[^\n]/g, " ");
      code += text;
      bare += text;
      continue;
    }
    if (
      first === "/" && text.length > 1 &&
      !/(?:^|[([{,;=:!&|?+\-*%<>~^}]|\b(?:return|typeof|case|in|of))\s*$/.test(bare)
    ) {
      text = first; // a division
      token.lastIndex = at + 1;
    }
    code += text;
    // A template keeps its code: `${Deno.args}` is code as well.
    const quoted = text.length > 1 && (first === '"' || first === "'" || first === "/");
    bare += quoted ? first + text.slice(1, -1).replace(/[^\n]/g, " ") + first : text;
  }
  return { code, bare };
}

function importsOf(code: string): Import[] {
  const found: Import[] = [];
  const statement = /\b(import|export)\b(\s+type\b(?!\s+from\b|\s*,))?[^"'`;]*?\bfrom\s*(["'])([^"'\n]+)\3/g;
  for (const match of code.matchAll(statement)) {
    const named = /\{([^}]*)\}/.exec(match[0])?.[1].split(",").map((name) => name.trim()).filter((name) =>
      name !== ""
    );
    const allTypes = named !== undefined && named.length > 0 && named.every((name) => name.startsWith("type ")) &&
      !/\b(?:import|export)\s+\w+\s*,/.test(match[0]);
    found.push({ specifier: match[4], typeOnly: match[2] !== undefined || allTypes });
  }
  for (const match of code.matchAll(/\bimport\s*(["'])([^"'\n]+)\1/g)) {
    found.push({ specifier: match[2], typeOnly: false });
  }
  for (const match of code.matchAll(/\bimport\s*\(\s*(["'`])([^"'`\n]+)\1/g)) {
    found.push({ specifier: match[2], typeOnly: false });
  }
  return found;
}

function roomOf(path: string): string {
  const [top, room] = path.split("/");
  return top === "src" ? room : top;
}

/** What is wrong with the file at `path` (from the root, with `/`), one line each. */
function problemsOf(path: string, source: string): string[] {
  const problems: string[] = [];
  const room = roomOf(path);
  const { code, bare } = strip(source);
  const host = HOST_ROOMS.includes(room);
  const say = (problem: string): void => void problems.push(`${path}: ${problem}`);

  if (path !== "mod.ts" && !(room in ARROWS)) say(`room ${room} has no arrows in tests/layers_test.ts`);
  if (!/^(?:#!.*\n)?\/\/ Owns /.test(source)) say('does not start with a comment "// Owns …"');
  const lines = source.split("\n").length - 1;
  if (lines > MOST_LINES) say(`has ${lines} lines, over ${MOST_LINES}`);

  for (const { specifier, typeOnly } of importsOf(code)) {
    if (!/^\.{1,2}\//.test(specifier)) {
      if (!host || !specifier.startsWith("node:")) say(`imports "${specifier}"`);
      continue;
    }
    const target = roomOf(posix.join(posix.dirname(path), specifier));
    if (path === "mod.ts") {
      if (HOST_ROOMS.includes(target)) say(`exports "${specifier}", which needs one runtime`);
    } else if (target !== room) {
      const arrows = ARROWS[room] ?? [];
      if (!arrows.includes(target) && !(typeOnly && arrows.includes(`${target} (types)`))) {
        say(`imports "${specifier}": ${room} must not import ${target}`);
      }
    }
  }
  if (!host) {
    const global = /(?<![.\w$])(?:Deno|Bun|process|Buffer|require|__dirname|__filename)\s*(?=\.|\[|\(|\?\.)/g;
    for (const match of bare.matchAll(global)) say(`uses ${match[0].trim()}, which not every runtime has`);
  }
  if (path === "mod.ts") {
    const rest = code.replace(/\bexport\s+(?:type\s+)?\{[^}]*\}\s*from\s*"[^"]+";/g, "").trim();
    if (rest !== "") say(`holds more than named re-exports: ${rest.slice(0, 60)}`);
  }
  return problems;
}

/** Groups of files that import each other at run time, each as one line. */
function cyclesOf(files: ReadonlyMap<string, string>): string[] {
  const edges = new Map<string, string[]>();
  for (const [path, source] of files) {
    const targets = importsOf(strip(source).code).filter((entry) =>
      !entry.typeOnly && entry.specifier.startsWith(".")
    );
    edges.set(path, targets.map((entry) => posix.join(posix.dirname(path), entry.specifier)));
  }
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: string[]): void => {
    if (trail.includes(path)) {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
      return;
    }
    if (done.has(path)) return;
    for (const target of edges.get(path) ?? []) walk(target, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) walk(path, []);
  return cycles;
}

function sources(): Map<string, string> {
  const paths = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
    .map((path) => `src/${path.replaceAll("\\", "/")}`)
    .filter((path) => path.endsWith(".ts"))
    .sort();
  return new Map(["mod.ts", ...paths].map((path) => [path, readFileSync(join(ROOT, path), "utf8")]));
}

Deno.test("every file of src/ and mod.ts keeps to the layers", () => {
  const files = sources();
  assert(files.size > 5);
  assertEquals([...files].flatMap(([path, source]) => problemsOf(path, source)), []);
});

Deno.test("no files of src/ import each other in a circle", () => {
  assertEquals(cyclesOf(sources()), []);
});

Deno.test("the arrows between rooms have no circle", () => {
  const rooms = Object.entries(ARROWS).map(([room, to]): [string, string] => [
    `src/${room}/a.ts`,
    to.map((other) => `import { a } from "../${other.replace(" (types)", "")}/a.ts";`).join("\n"),
  ]);
  assertEquals(cyclesOf(new Map(rooms)), []);
});

/** The arrows that docs/architecture.md draws: room to what stands behind the arrow, in each of its two tables. */
function drawnArrows(heading: string): Map<string, string[]> {
  const text = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");
  if (!text.includes(`\n## ${heading}\n`)) return new Map(); // no rooms are planned
  const section = text.slice(text.indexOf(`\n## ${heading}\n`)).split("\n## ")[1];
  const table = section.split("\n```")[1];
  const drawn = new Map<string, string[]>();
  // A row may go on in the next line; the arrow stands in its last.
  for (const [, room, arrows] of table.matchAll(/^src\/(\w+)\/[^→]*?(?:→ (.*)|imports nothing)$/gm)) {
    const names = (arrows ?? "").replace(/, never .*/, "").match(/[\w.]+(?: \(types\))?/g) ?? [];
    drawn.set(room, names);
  }
  return drawn;
}

Deno.test("docs/architecture.md draws the arrows that are checked, and names the rooms that are planned", () => {
  const today = drawnArrows("Rooms");
  const planned = drawnArrows("Planned rooms");
  const existing = readdirSync(join(ROOT, "src")).sort();
  assertEquals([...planned.keys()].sort(), [...PLANNED].sort());
  assertEquals([...today.keys()].sort(), Object.keys(ARROWS).filter((room) => !PLANNED.includes(room)).sort());
  assertEquals(existing.filter((room) => !today.has(room)), []);
  for (const [room, names] of [...today, ...planned]) {
    const everything = room === "cli" && names.join(" ") === "anything";
    const expected = everything
      ? names
      : [...ARROWS[room]].filter((to) => planned.has(room) || !PLANNED.includes(to));
    assertEquals([...names].sort(), [...expected].sort(), room);
  }
});

Deno.test("the layer check catches what it forbids", async (t) => {
  const own = "// Owns a test.\n";
  const caught: Record<string, [path: string, source: string]> = {
    "base importing uapi": ["src/base/a.ts", `${own}import { ERRNO } from "../uapi/errno.ts";\n`],
    "kernel importing elf": ["src/kernel/a.ts", `${own}import {\n  a,\n  b,\n} from "../elf/a.ts";\n`],
    "symbolize re-exporting kernel": ["src/symbolize/a.ts", `${own}export { a } from "../kernel/a.ts";\n`],
    "a star re-export": ["src/base/a.ts", `${own}export * from "../uapi/a.ts";\n`],
    "an import for its effects": ["src/base/a.ts", `${own}import "../uapi/a.ts";\n`],
    "a dynamic import": ["src/base/a.ts", `${own}const a = await import("../uapi/a.ts");\n`],
    "a type import where no arrow is": ["src/base/a.ts", `${own}import type { A } from "../uapi/a.ts";\n`],
    "profile importing a value of symbolize": [
      "src/profile/a.ts",
      `${own}import { a, type B } from "../symbolize/a.ts";\n`,
    ],
    "profile importing a value of symbolize behind a type": [
      "src/profile/a.ts",
      `${own}import { type B } from "../symbolize/a.ts";\nimport { a } from "../symbolize/a.ts";\n`,
    ],
    "profile importing elf": ["src/profile/a.ts", `${own}import type { A } from "../elf/a.ts";\n`],
    "anything importing mod.ts": ["src/elf/a.ts", `${own}import { a } from "../../mod.ts";\n`],
    "anything importing the command line": ["src/store/a.ts", `${own}import { a } from "../cli/a.ts";\n`],
    "node: outside the host rooms": ["src/elf/a.ts", `${own}import { readFileSync } from "node:fs";\n`],
    "npm:": ["src/cli/a.ts", `${own}import a from "npm:left-pad";\n`],
    "jsr:": ["src/cli/a.ts", `${own}import a from "jsr:@std/fs";\n`],
    "https:": ["src/elf/a.ts", `${own}import a from "https://example.com/a.ts";\n`],
    "a bare package": ["src/elf/a.ts", `${own}import { assert } from "@std/assert";\n`],
    "Deno's global": ["src/elf/a.ts", `${own}export const a = Deno.readFileSync("a");\n`],
    "a global inside a template": ["src/elf/a.ts", `${own}export const a = \`\${process.pid}\`;\n`],
    "a global after a regular expression with a quote": [
      "src/elf/a.ts",
      `${own}export const a = /["']/.test(Bun.version);\n`,
    ],
    "a missing first comment": ["src/elf/a.ts", "export const a = 1;\n"],
    "a file that is too long": ["src/elf/a.ts", own + "\n".repeat(MOST_LINES)],
    "a room nobody planned": ["src/misc/a.ts", own],
    "mod.ts exporting the command line": ["mod.ts", `${own}export { main } from "./src/cli/main.ts";\n`],
    "mod.ts holding code": ["mod.ts", `${own}export const a = 1;\n`],
    "mod.ts exporting everything of a file": ["mod.ts", `${own}export * from "./src/base/a.ts";\n`],
  };
  for (const [name, [path, source]] of Object.entries(caught)) {
    await t.step(name, () => assertEquals(problemsOf(path, source).length, 1, problemsOf(path, source).join("\n")));
  }
});

Deno.test("the layer check lets through what is allowed", async (t) => {
  const own = "// Owns a test.\n";
  const allowed: Record<string, [path: string, source: string]> = {
    "an arrow": ["src/kernel/a.ts", `${own}import { a } from "../memory/a.ts";\nimport { b } from "./b.ts";\n`],
    "types of symbolize in profile": ["src/profile/a.ts", `${own}import type { A } from "../symbolize/a.ts";\n`],
    "constants of uapi and types of dump in profile": [
      "src/profile/a.ts",
      `${own}import { a } from "../uapi/a.ts";\nimport type { A } from "../dump/a.ts";\n`,
    ],
    "inline types of symbolize in profile": [
      "src/profile/a.ts",
      `${own}import { type A, type B } from "../symbolize/a.ts";\n`,
    ],
    "forbidden names in comments": [
      "src/elf/a.ts",
      `${own}/** import { a } from "@std/assert"; Deno.test() */\n// Bun.x\n`,
    ],
    "forbidden names in strings": ["src/elf/a.ts", `${own}export const a = "Deno.test() // not code";\n`],
    "properties of that name": [
      "src/elf/a.ts",
      `${own}export const a = (x: { process: string }) => x.process.length / 2 / 1;\n`,
    ],
    "node: in the command line": [
      "src/cli/a.ts",
      `#!/usr/bin/env -S deno run\n${own}import "node:fs";\nDeno.exit(0);\n`,
    ],
    "re-exports in mod.ts": [
      "mod.ts",
      `${own}export {\n  a,\n  type B,\n} from "./src/base/a.ts";\nexport type { C } from "./src/elf/c.ts";\n`,
    ],
  };
  for (const [name, [path, source]] of Object.entries(allowed)) {
    await t.step(name, () => assertEquals(problemsOf(path, source), []));
  }
});

Deno.test("the circle check sees circles and forgives circles of types", () => {
  const files = (second: string) =>
    new Map([
      ["src/elf/a.ts", 'import { b } from "./b.ts";'],
      ["src/elf/b.ts", second],
    ]);
  assertEquals(cyclesOf(files('import { a } from "./a.ts";')), ["src/elf/a.ts → src/elf/b.ts → src/elf/a.ts"]);
  assertEquals(cyclesOf(files('import type { A } from "./a.ts";')), []);
});
