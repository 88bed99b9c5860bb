// Owns the comparison with `readelf -n` over every ELF file under /usr/bin, /usr/sbin and /usr/lib.
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { assert, assertEquals } from "@std/assert";
import { elfNotes, readBuildId, readBuildIdFrom } from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";

const ROOTS = ["/usr/bin", "/usr/sbin", "/usr/lib"];

function haveReadelf(): boolean {
  if (!existsSync("/usr/bin/readelf")) {
    console.log("skipped: readelf (binutils) is not installed");
    return false;
  }
  return true;
}

/** Paths of regular files; symbolic links are not followed. */
function* filesUnder(directory: string): Generator<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) yield* filesUnder(path);
    else if (entry.isFile()) yield path;
  }
}

/** What `readelf -nW` prints; it exits with 1 where it warned about any file, which is no matter here. */
function readelf(...paths: string[]): string {
  const { stdout } = spawnSync("readelf", ["-nW", ...paths], {
    encoding: "latin1",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "ignore"],
    env: { LC_ALL: "C" },
  });
  return stdout;
}

/** Every id that `readelf -n` prints for each of these ELF files. */
function readelfIds(paths: string[]): Map<string, string[]> {
  const ids = new Map<string, string[]>(paths.map((path) => [path, []]));
  for (let i = 0; i < paths.length; i += 2000) {
    // /dev/null makes the number of files two at least, so that each is headed by its name.
    const text = readelf("/dev/null", ...paths.slice(i, i + 2000));
    let current: string[] | undefined;
    for (const line of text.split("\n")) {
      if (line.startsWith("File: ")) current = ids.get(line.slice(6));
      const id = / Build ID: ([0-9a-f]+)$/.exec(line);
      if (id !== null) current?.push(id[1]);
    }
  }
  return ids;
}

const buffer = new Uint8Array(0x10000);

/** Counts reads; hands out one buffer again and again, as the contract of ReadAt allows. */
function fileReader(fd: number, count: { reads: number; bytes: number }) {
  return (offset: number, length: number): Uint8Array => {
    const into = length <= buffer.length ? buffer : new Uint8Array(length);
    const got = readSync(fd, into, 0, length, offset);
    count.reads++;
    count.bytes += got;
    return into.subarray(0, got);
  };
}

Deno.test({
  name: "readBuildIdFrom() agrees with readelf -n on every ELF file under /usr/bin, /usr/sbin and /usr/lib",
  ignore: !haveReadelf(),
  fn() {
    const ours = new Map<string, string>();
    const count = { reads: 0, bytes: 0 };
    let seen = 0;
    let inHead = 0;
    for (const root of ROOTS) {
      if (!existsSync(root)) continue;
      for (const path of filesUnder(root)) {
        seen++;
        const fd = openSync(path, "r");
        try {
          const read = fileReader(fd, count);
          const head = read(0, 4096);
          if (head.length < 16 || head[0] !== 0x7f || head[1] !== 0x45 || head[2] !== 0x4c || head[3] !== 0x46) {
            continue;
          }
          const fromHead = readBuildId(head);
          const id = readBuildIdFrom(read);
          if (fromHead !== undefined) {
            assertEquals(toHex(fromHead), toHex(id!), path);
            inHead++;
          }
          ours.set(path, id === undefined ? "" : toHex(id));
        } finally {
          closeSync(fd);
        }
      }
    }
    const theirs = readelfIds([...ours.keys()]);
    let withId = 0;
    const different: string[] = [];
    for (const [path, id] of ours) {
      const expected = theirs.get(path)!;
      if (expected.length > 0) withId++;
      if (id !== (expected[0] ?? "")) different.push(`${path}: ours ${id || "none"}, readelf ${expected}`);
    }
    console.log(
      `readelf -n: ${seen} files, ${ours.size} ELF, ${withId} with a build id, ${inHead} of them in the first ` +
        `4096 bytes, ${different.length} differ`,
    );
    assertEquals(different.slice(0, 20), []);
  },
});

Deno.test({
  name: "elfNotes() lists owners, sizes and types as readelf -n does",
  ignore: !haveReadelf(),
  fn() {
    const paths = ["/usr/bin/readelf", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/crt1.o"];
    for (const path of paths.filter((one) => existsSync(one))) {
      const expected = [...readelf(path).matchAll(/^ {2}(\S+) +0x([0-9a-f]{8})\t/gm)].map((m) =>
        `${m[1]} ${parseInt(m[2], 16)}`
      );
      const notes = [...elfNotes(readFileSync(path))].map((note) => `${note.name} ${note.n_descsz}`);
      assert(notes.length > 0);
      assertEquals(notes, expected, path);
    }
  },
});
