// Owns the tests of links to debug files: sections, paths, hostile names; objcopy, dwz and GDB as oracles.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FormatError, readBuildId } from "../mod.ts";
import { bytesEqual, fromHex, toHex, viewOf } from "../src/base/bytes.ts";
import {
  altFilePaths,
  debugFilePaths,
  type DebugLink,
  debugLinkMatches,
  readDebugAltLink,
  readDebugLink,
} from "../src/elf/debug_links.ts";
import { ElfFile } from "../src/elf/elf_file.ts";
import { SHF_COMPRESSED, SHT_NOBITS } from "../src/uapi/elf.ts";
import { buildElf, concat, FORMATS, type SectionSpec } from "./elf_builder.ts";
import { fuzzParser } from "./fuzz.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const ID = fromHex("839183cc94071dc82fb86ceaffe21164a75aabac")!;
const ID_PATH = ".build-id/83/9183cc94071dc82fb86ceaffe21164a75aabac.debug";

function linkContents(name: string, crc: number, littleEndian: boolean): Uint8Array {
  const text = ascii(`${name}\0`);
  const bytes = new Uint8Array(Math.ceil(text.length / 4) * 4 + 4);
  bytes.set(text);
  viewOf(bytes).setUint32(bytes.length - 4, crc, littleEndian);
  return bytes;
}

const linkSection = (contents: Uint8Array): SectionSpec => ({ name: ".gnu_debuglink", sh_type: 1, contents });
const altSection = (contents: Uint8Array): SectionSpec => ({ name: ".gnu_debugaltlink", sh_type: 1, contents });
const fileOf = (...sections: SectionSpec[]): ElfFile => new ElfFile(buildElf({ sections }));

Deno.test("both links are read in each class and byte order, whatever the name's padding", () => {
  for (const { name: _, ...format } of FORMATS) {
    for (const name of ["a", "ab", "abc", "abcd", "libc-2.36.so.debug", "größe.debug"]) {
      const bytes = buildElf({
        ...format,
        sections: [
          linkSection(linkContents(name, 0xfedc_ba98, format.littleEndian)),
          altSection(concat(ascii(`../${name}\0`), ID)),
        ],
      });
      const file = new ElfFile(bytes);
      assertEquals(readDebugLink(file), { name, crc: 0xfedc_ba98 });
      const alt = readDebugAltLink(file)!;
      assertEquals(alt, { name: `../${name}`, buildId: ID });
      assert(alt.buildId.buffer !== bytes.buffer);
    }
  }
});

Deno.test("a file without the sections, or with their NOBITS twins, has no links", () => {
  const twin = { sh_type: SHT_NOBITS, sh_size: 20n };
  for (
    const file of [
      fileOf(),
      new ElfFile(buildElf({})),
      fileOf({ name: ".gnu_debuglink", ...twin }, { name: ".gnu_debugaltlink", ...twin }),
    ]
  ) {
    assertEquals(readDebugLink(file), undefined);
    assertEquals(readDebugAltLink(file), undefined);
  }
});

Deno.test("links that are cut, empty, endless or compressed are FormatErrors", () => {
  const link = linkContents("abc", 1, true);
  const alt = concat(ascii("abc\0"), ID);
  const endless = new Uint8Array(100_000).fill(0x61);
  for (let length = 1; length < link.length; length++) {
    assertThrows(() => readDebugLink(fileOf(linkSection(link.subarray(0, length)))), FormatError);
  }
  for (let length = 1; length < 5; length++) {
    assertThrows(() => readDebugAltLink(fileOf(altSection(alt.subarray(0, length)))), FormatError);
  }
  assertEquals(readDebugAltLink(fileOf(altSection(alt.subarray(0, 5))))?.buildId.length, 1);
  const long = (bytes: number): Uint8Array => concat(endless.subarray(0, bytes), new Uint8Array(20));
  for (const bad of [endless, new Uint8Array(20), concat(ascii("\0abc\0"), ID), long(4096)]) {
    assertThrows(() => readDebugLink(fileOf(linkSection(bad))), FormatError);
    assertThrows(() => readDebugAltLink(fileOf(altSection(bad))), FormatError);
  }
  assertEquals(readDebugAltLink(fileOf(altSection(long(4095))))?.name.length, 4095);
  const sh_flags = BigInt(SHF_COMPRESSED);
  const header = concat(Uint8Array.of(1), new Uint8Array(23));
  assertThrows(() => readDebugLink(fileOf({ ...linkSection(concat(header, link)), sh_flags })), FormatError);
  assertThrows(() => readDebugAltLink(fileOf({ ...altSection(concat(header, alt)), sh_flags })), FormatError);
});

Deno.test("a link matches the bytes that have its CRC-32 and no others", () => {
  const link: DebugLink = { name: "x", crc: 0xcbf4_3926 };
  assertEquals(debugLinkMatches(link, ascii("123456789")), true);
  assertEquals(debugLinkMatches(link, ascii("123456780")), false);
  assertEquals(debugLinkMatches({ name: "x", crc: 0 }, new Uint8Array(0)), true);
});

Deno.test("debug files are looked for by build id, beside the file, in .debug, and under each root", () => {
  const link = { name: "a.debug", crc: 0 };
  assertEquals(debugFilePaths({ path: "/usr/bin/a", buildId: ID, link }), [
    `/usr/lib/debug/${ID_PATH}`,
    "/usr/bin/a.debug",
    "/usr/bin/.debug/a.debug",
    "/usr/lib/debug/usr/bin/a.debug",
  ]);
  assertEquals(debugFilePaths({ path: "/usr/bin/a", buildId: ID, link, roots: ["/r1", "/r2/"] }), [
    `/r1/${ID_PATH}`,
    `/r2/${ID_PATH}`,
    "/usr/bin/a.debug",
    "/usr/bin/.debug/a.debug",
    "/r1/usr/bin/a.debug",
    "/r2/usr/bin/a.debug",
  ]);
  assertEquals(debugFilePaths({ path: "/a", link }), ["/a.debug", "/.debug/a.debug", "/usr/lib/debug/a.debug"]);
  assertEquals(debugFilePaths({ path: "bin/a", link }), ["bin/a.debug", "bin/.debug/a.debug"]);
  assertEquals(debugFilePaths({ path: "a", link }), ["a.debug", ".debug/a.debug"]);
  assertEquals(debugFilePaths({ buildId: ID, link }), [`/usr/lib/debug/${ID_PATH}`]);
  assertEquals(debugFilePaths({ path: "/usr/bin/a" }), []);
  assertEquals(debugFilePaths({ path: "/b/a", buildId: ID, link, roots: [] }), ["/b/a.debug", "/b/.debug/a.debug"]);
  // A file in a root, which links to its own name: neither itself nor anything twice.
  assertEquals(debugFilePaths({ path: "/r/a.debug", link, roots: ["/", "/"] }), ["/r/.debug/a.debug"]);
});

Deno.test("hostile names of a debug link lead nowhere", () => {
  const names = [
    "",
    ".",
    "..",
    "/",
    "/etc/passwd",
    "../../etc/passwd",
    "a/b",
    "..\\..\\x",
    "a\0b",
    "x".repeat(256),
  ];
  for (const name of [...names, "é".repeat(128), "/".repeat(1e6)]) {
    assertEquals(debugFilePaths({ path: "/usr/bin/a", link: { name, crc: 0 } }), [], name.slice(0, 300));
  }
  for (const name of ["...", "..a", "x".repeat(255), "é".repeat(127), "a b\n", "\ufffd"]) {
    assertEquals(debugFilePaths({ path: "/usr/bin/a", link: { name, crc: 0 } }).length, 3, name);
  }
  for (const length of [0, 1, 126, 65536]) {
    assertEquals(debugFilePaths({ buildId: new Uint8Array(length) }), [], String(length));
  }
  for (const length of [2, 8, 20, 32, 125]) {
    const [path] = debugFilePaths({ buildId: new Uint8Array(length).fill(0xab) });
    assertEquals(path, `/usr/lib/debug/.build-id/ab/${"ab".repeat(length - 1)}.debug`);
  }
});

Deno.test("alternate files are looked for as linked, by build id, and by the part after .dwz", () => {
  const byId = `/usr/lib/debug/${ID_PATH}`;
  const of = (name: string, path?: string): string[] => altFilePaths({ link: { name, buildId: ID }, path });
  const debian = "../../.dwz/x86_64-linux-gnu/libc6.debug";
  const shared = "/usr/lib/debug/.dwz/x86_64-linux-gnu/libc6.debug";
  // From a .build-id folder the name means the file under the root: one path and not two.
  assertEquals(of(debian, "/usr/lib/debug/.build-id/ab/cd.debug"), [shared, byId]);
  assertEquals(of(debian, "/home/me/x/y.debug"), ["/home/.dwz/x86_64-linux-gnu/libc6.debug", byId, shared]);
  assertEquals(of(debian), [byId, shared]);
  assertEquals(of(debian, "x/y.debug"), [`x/${debian}`, byId, shared]);
  assertEquals(of("/srv/common.dwz", "/x/y"), ["/srv/common.dwz", byId]);
  assertEquals(of("common.dwz", "/x/y"), ["/x/common.dwz", byId]);
  assertEquals(of("common.dwz", "y"), ["common.dwz", byId]);
  assertEquals(of("./sub/../c", "/x/y"), ["/x/sub/../c", byId]);
  assertEquals(of("../../../../etc/passwd", "/x/y"), ["/etc/passwd", byId]);
  assertEquals(altFilePaths({ link: { name: "/a/.dwz/b", buildId: ID }, roots: ["/r1", "/r2"] }), [
    "/a/.dwz/b",
    `/r1/${ID_PATH}`,
    `/r2/${ID_PATH}`,
    "/r1/.dwz/b",
    "/r2/.dwz/b",
  ]);
});

Deno.test("hostile names of an alternate link stay in the roots where that is asked for", () => {
  const byId = `/usr/lib/debug/${ID_PATH}`;
  const of = (name: string, roots?: string[]): string[] =>
    altFilePaths({ link: { name, buildId: ID }, path: "/usr/lib/debug/.build-id/ab/c", roots, onlyRoots: true });
  const outside = [
    "/etc/passwd",
    "../../../../etc/passwd",
    "/usr/lib/debug",
    "/usr/lib/debugger/x",
    "a/../../../../x",
  ];
  for (const name of [...outside, "/usr/lib/debug/../../../etc/passwd", "", "a\0b", "/usr/lib/debug/..\\..\\x"]) {
    assertEquals(of(name), [byId], name);
  }
  assertEquals(of("../../.dwz/x"), ["/usr/lib/debug/.dwz/x", byId]);
  assertEquals(of("/etc/passwd", [""]), [ID_PATH]);
  // Not even then: what follows .dwz could lead out.
  const up = { name: "/a/.dwz/../../etc/passwd", buildId: ID };
  assertEquals(altFilePaths({ link: up }), ["/a/.dwz/../../etc/passwd", byId]);
  assertEquals(altFilePaths({ link: { name: "\0/.dwz/x", buildId: new Uint8Array(1) } }), []);
});

const SAMPLES = FORMATS.map(({ name: _, ...format }) =>
  buildElf({
    ...format,
    sections: [
      linkSection(linkContents("a.debug", 7, format.littleEndian)),
      altSection(concat(ascii("../../.dwz/x\0"), ID)),
    ],
  })
);

Deno.test("hostile links end in links, none, or a FormatError, and in paths where they should", () => {
  fuzzParser("debug links", SAMPLES, (bytes) => {
    const file = new ElfFile(bytes);
    const link = readDebugLink(file);
    for (const path of debugFilePaths({ path: "/b/a", link, roots: ["/r"] })) {
      if (!/^(\/b|\/b\/\.debug|\/r\/b)\/[^/]+$/.test(path)) throw new Error(`leads to ${path}`);
    }
    const alt = readDebugAltLink(file);
    if (alt === undefined) return;
    for (const path of altFilePaths({ link: alt, path: "/r/a/b", roots: ["/r"], onlyRoots: true })) {
      if (!path.startsWith("/r/") || /(^|\/)\.\.(\/|$)/.test(path)) throw new Error(`leads to ${path}`);
    }
  });
});

function missing(...tools: string[]): string {
  const absent = tools.filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
  return absent.length === 0 ? "" : ` (skipped: not installed: ${absent})`;
}

function run(tool: string, ...args: string[]): string {
  // GDB asks no server for what it doesn't find.
  const env = { ...process.env, DEBUGINFOD_URLS: "" };
  const { status, stdout, stderr } = spawnSync(tool, args, { encoding: "utf8", env });
  if (status !== 0) throw new Error(`${tool} ${args.join(" ")}: ${stderr}`);
  return stdout + stderr;
}

const SOURCE = `
#include <stdio.h>
struct node { int value; const char *name; struct node *next; };
static int sum(struct node *at) { int n = 0; for (; at; at = at->next) n += at->value; return n; }
int main(void) { struct node one = { 1, "one", 0 }; return printf("%d\\n", sum(&one)); }
`;

/** A folder with `a` and `b` (stripped, linked to their debug files) and `a.debug` and `b.debug`. */
function linked(use: (folder: string) => void): void {
  const folder = realpathSync(mkdtempSync(`${tmpdir()}/stackmap-`));
  try {
    for (const [one, level] of [["a", "-O0"], ["b", "-O1"]]) {
      const path = `${folder}/${one}`;
      writeFileSync(`${path}.c`, SOURCE);
      run("gcc", "-g", level, "-Wl,--build-id=sha1", "-o", path, `${path}.c`);
      run("objcopy", "--only-keep-debug", path, `${path}.debug`);
      run("objcopy", "--strip-debug", `--add-gnu-debuglink=${path}.debug`, path);
    }
    use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const whyGcc = missing("gcc", "objcopy");
Deno.test({
  name: `the link that objcopy adds names the debug file and has its CRC-32${whyGcc}`,
  ignore: whyGcc !== "",
  fn() {
    linked((folder) => {
      const link = readDebugLink(new ElfFile(readFileSync(`${folder}/a`)))!;
      assertEquals(link.name, "a.debug");
      assertEquals(debugLinkMatches(link, readFileSync(`${folder}/a.debug`)), true);
      assertEquals(debugLinkMatches(link, readFileSync(`${folder}/b.debug`)), false);
      const debug = new ElfFile(readFileSync(`${folder}/a.debug`));
      assertEquals([readDebugLink(debug), readDebugAltLink(debug)], [undefined, undefined]);
    });
  },
});

const whyGdb = whyGcc || missing("gdb");
Deno.test({
  name: `GDB tries the same paths in the same order${whyGdb}`,
  ignore: whyGdb !== "",
  fn() {
    linked((folder) => {
      const path = `${folder}/a`;
      const bytes = readFileSync(path);
      rmSync(`${path}.debug`);
      const roots = [`${folder}/r1`, `${folder}/r2`];
      const ours = debugFilePaths({
        path,
        buildId: readBuildId(bytes),
        link: readDebugLink(new ElfFile(bytes)),
        roots,
      });
      assertEquals(ours.length, 6);
      const commands = [
        `set debug-file-directory ${roots.join(":")}`,
        "set debug separate-debug-file on",
        `file ${path}`,
      ];
      const output = run("gdb", "-nx", "-batch", ...commands.flatMap((command) => ["-ex", command]));
      const theirs = [...output.matchAll(/^\s*Trying (?:target:)?(\/.*?)\.\.\. no/gm)].map((m) =>
        m[1].replace(/\/\/+/g, "/")
      );
      if (theirs.length === 0) console.log("skipped: this GDB does not print what it tries");
      else assertEquals([...new Set(theirs)], ours);
    });
  },
});

const whyDwz = whyGcc || missing("dwz");
Deno.test({
  name: `the link that dwz writes names the common file and its build id; GDB finds it where we look${whyDwz}`,
  ignore: whyDwz !== "",
  fn() {
    const haveGdb = missing("gdb") === "";
    if (!haveGdb) console.log("skipped in part: gdb is not installed");
    for (const given of ["common.dwz", "../../.dwz/arch/common.dwz"]) {
      linked((folder) => {
        run("dwz", "-m", `${folder}/common.dwz`, "-M", given, `${folder}/a.debug`, `${folder}/b.debug`);
        const common = readFileSync(`${folder}/common.dwz`);
        rmSync(`${folder}/common.dwz`);
        for (const one of ["a", "b"]) {
          const link = readDebugAltLink(new ElfFile(readFileSync(`${folder}/${one}.debug`)))!;
          assertEquals(link.name, given);
          assert(bytesEqual(link.buildId, readBuildId(common)!), toHex(link.buildId));
        }
        // The debug file moves into a folder deep enough for both names.
        const root = `${folder}/root`;
        const path = `${root}/x/y/a.debug`;
        mkdirSync(`${root}/x/y`, { recursive: true });
        copyFileSync(`${folder}/a.debug`, path);
        const link = readDebugAltLink(new ElfFile(readFileSync(path)))!;
        const roots = [root, `${folder}/other`];
        const paths = altFilePaths({ link, path, roots });
        assertEquals(paths.length, given === "common.dwz" ? 3 : 4);
        for (const place of haveGdb ? paths : []) {
          mkdirSync(place.slice(0, place.lastIndexOf("/")), { recursive: true });
          writeFileSync(place, common);
          const found = (): boolean =>
            !run(
              "gdb",
              "-nx",
              "-batch",
              "-ex",
              `set debug-file-directory ${roots.join(":")}`,
              "-ex",
              `file ${path}`,
            )
              .includes("could not find '.gnu_debugaltlink'");
          assertEquals(found(), true, place);
          rmSync(place);
          assertEquals(found(), false, place);
        }
        assertEquals(existsSync(paths[0]), false);
      });
    }
  },
});
