// Owns the tests of BinaryLoader: what it asks stores for, in which order, what it adds, and what it says went wrong.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  BinaryLoader,
  type BinaryLoaderOptions,
  type BinaryProblem,
  type BinaryStore,
  byteSource,
  cachedStore,
  debuginfodStore,
  httpStore,
  memoryStore,
  parsePhdrs,
  readBuildId,
  storedFile,
  StoreError,
  type StoreItem,
  Symbolizer,
  verifiedStore,
} from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";
import { buildElf } from "./elf_builder.ts";
import { makeId, makeProgram, nameOf, padded, type Program } from "./edge/programs.ts";
import { remembering } from "./serve_fixtures.ts";
import { type Answer, ranged, sleep, until, withServer } from "./store_server.ts";

type Item = "executable" | "debuginfo" | "gsym";
type Files = Partial<Record<Item, Uint8Array>>;

/** A store of some files of some programs, and what it was asked. */
function storeOf(...programs: [Uint8Array, Files][]): ReturnType<typeof remembering> {
  const files = programs.flatMap(([buildId, of]) =>
    Object.entries(of).map(([item, bytes]) => ({ buildId, item: item as Item, bytes }))
  );
  return remembering(memoryStore(files));
}

/** The reasons of problems by hex of the ID; each ID has one at most. */
function reasons(problems: BinaryProblem[]): Record<string, string> {
  const found = Object.fromEntries(problems.map(({ buildId, reason }) => [toHex(buildId), reason]));
  assertEquals(Object.keys(found).length, problems.length, "one problem each");
  for (const { message } of problems) assert(message.length > 10 && !message.includes("\n"), message);
  return found;
}

async function loaded(
  store: BinaryStore,
  ids: Uint8Array[],
  options?: BinaryLoaderOptions,
): Promise<{ names: (string | undefined)[]; problems: BinaryProblem[]; symbolizer: Symbolizer }> {
  const symbolizer = new Symbolizer();
  const problems = await new BinaryLoader(symbolizer, store, options).load(ids);
  return { names: await Promise.all(ids.map((id) => nameOf(symbolizer, id))), problems, symbolizer };
}

const P: Program = makeProgram(makeId(1));

Deno.test("BinaryLoader takes GSYM, else debug file and head, else the program; and asks no more than it needs", async () => {
  const { id, executable, debuginfo, gsym, bareGsym, largeGsym } = P;
  const cases: [string, Files, name: string, asked: string[], problems: string[]][] = [
    ["GSYM with segments", { gsym, executable, debuginfo }, "in_gsym", ["gsym"], []],
    ["a large one", { gsym: largeGsym, executable, debuginfo }, "in_gsym", ["gsym"], []],
    ["GSYM without", { gsym: bareGsym, executable, debuginfo }, "in_gsym", ["gsym", "executable"], []],
    ["GSYM without, no program", { gsym: bareGsym, debuginfo }, "in_gsym", [
      ...["gsym", "executable", "debuginfo"],
    ], []],
    ["GSYM alone", { gsym: bareGsym }, "no-segments", ["gsym", "executable", "debuginfo"], ["not-found"]],
    ["debug file", { executable, debuginfo }, "in_debuginfo", ["gsym", "debuginfo", "executable"], []],
    ["debug file alone", { debuginfo }, "in_debuginfo", ["gsym", "debuginfo", "executable"], []],
    ["program alone", { executable }, "in_executable", ["gsym", "debuginfo", "executable", "executable"], []],
    ["nothing", {}, "no-such-binary", ["gsym", "debuginfo", "executable"], ["not-found"]],
  ];
  for (const [what, files, name, expected, problems] of cases) {
    const { store, asked } = storeOf([id, files]);
    const found = await loaded(store, [id]);
    assertEquals(found.names, [name], what);
    assertEquals(asked.map(({ item }) => item), expected, what);
    assertEquals(found.problems.map(({ reason }) => reason), problems, what);
    const known = found.symbolizer.binary(id);
    if (known !== undefined) assertEquals(known.reconstructed, "debuginfo" in files && !("executable" in files));
  }
});

Deno.test("over HTTP it reads a large GSYM file by ranges, and of a program beside a debug file the head", async () => {
  const { id, hex, debuginfo, bareGsym, largeGsym } = P;
  const { executable } = makeProgram(id, 3 << 20);
  const files: Record<string, Uint8Array> = {
    ...{ "/ranged/gsym": largeGsym, "/bare/gsym": bareGsym, "/bare/executable": executable },
    ...{ "/debug/debuginfo": debuginfo, "/debug/executable": executable, "/program/executable": executable },
  };
  const answer: Answer = (response, request, n) => {
    const bytes = files[request.url!.replace(`/${hex}`, "")];
    if (bytes !== undefined) return ranged(bytes, { etag: '"1"' })(response, request, n);
    response.writeHead(404).end();
  };
  await withServer(answer, async ({ url, requests }) => {
    for (
      const [folder, name, ranges] of [
        ["ranged", "in_gsym", 6],
        ["bare", "in_gsym", 2],
        ["debug", "in_debuginfo", 3],
        ["program", "in_executable", 5],
      ] as const
    ) {
      const from = requests.length;
      const symbolizer = new Symbolizer();
      const store = httpStore({ url: (of, item) => `${url}/${folder}/${of}/${item}` });
      assertEquals(await new BinaryLoader(symbolizer, store).load([id]), [], folder);
      assertEquals(await nameOf(symbolizer, id), name);
      const sent = requests.slice(from);
      assert(sent.length <= ranges, `${folder}: ${sent.map(({ path, headers }) => path + headers.range)}`);
      if (folder === "bare" || folder === "debug") {
        const head = sent.filter(({ path }) => path.endsWith("/executable"));
        assertEquals(head.map(({ headers }) => headers.range), ["bytes=0-4095"]);
      }
      if (folder === "ranged") {
        const range = /^bytes=(\d*)-(\d*)$/;
        const bytes = sent.reduce((sum, { headers }) => {
          const [, start, end] = range.exec(headers.range!)!;
          return sum + (start === "" ? Number(end) : Number(end) + 1 - Number(start));
        }, 0);
        assert(bytes < largeGsym.length / 2, `${bytes} of ${largeGsym.length}`);
      }
    }
  });
});

Deno.test("of a program that a debuginfod sends whole it takes the head, and cancels the rest", async () => {
  const { id, debuginfo } = P;
  const { executable } = makeProgram(id, 64 << 20);
  let sent = 0;
  const answer: Answer = (response, request) => {
    if (request.url!.endsWith("/debuginfo")) return void response.end(debuginfo);
    response.writeHead(200, { "content-length": executable.length });
    // What comes after the first 8 KiB never does.
    response.write(executable.subarray(0, sent = 8192));
  };
  await withServer(answer, async (server) => {
    const store = cachedStore(debuginfodStore({ servers: server.url }));
    const start = performance.now();
    const { names, problems, symbolizer } = await loaded(store, [id]);
    assertEquals([names, problems], [["in_debuginfo"], []]);
    assertEquals([sent, symbolizer.binary(id)!.reconstructed], [8192, false]);
    assert(performance.now() - start < 2000);
    assert(await until(() => server.abandoned === 1), "the program's request was cancelled");
    assertEquals(server.requests.length, 2);
  });
});

Deno.test("a GSYM file that a server sends whole, without ranges, is read and its request ended", async () => {
  const { id, largeGsym } = P;
  await withServer((response) => response.end(largeGsym), async (server) => {
    const store = httpStore({ url: () => `${server.url}/x` });
    assertEquals((await loaded(store, [id])).names, ["in_gsym"]);
    assertEquals([server.requests.length, server.abandoned], [1, 0]);
  });
  // Aborted while it comes: the request ends too.
  await withServer(
    (response) => void response.writeHead(200).write(largeGsym.subarray(0, 5000)),
    async (server) => {
      const controller = new AbortController();
      const loader = new BinaryLoader(new Symbolizer(), httpStore({ url: () => `${server.url}/x` }));
      const loading = loader.load([id], { signal: controller.signal });
      await until(() => server.requests.length === 1);
      controller.abort(new Error("enough"));
      await assertRejects(() => loading, Error, "enough");
      assert(await until(() => server.abandoned === 1), "the request was cancelled");
    },
  );
});

Deno.test("the head is read as far as program headers and build ID reach, and another's is refused", async () => {
  const { id } = P;
  const code = { p_type: 1, p_flags: 5, p_vaddr: 0x4010b0n, p_align: 0x1000n };
  // Its notes stand behind the first page.
  const far = (buildId: Uint8Array) =>
    buildElf({ buildId, segments: [{ ...code, contents: new Uint8Array(9000) }] });
  const symbols = [{ name: "in_debuginfo", st_value: code.p_vaddr, st_size: 0x100n }];
  const debuginfo = buildElf({ buildId: id, segments: [{ ...code, p_memsz: 9000n }], symbols });
  for (const [executable, problems] of [[far(id), []], [far(makeId(9)), ["wrong-build-id"]]] as const) {
    const { store, asked } = storeOf([id, { debuginfo, executable }]);
    const found = await loaded(store, [id]);
    assertEquals([found.names, found.problems.map(({ reason }) => reason)], [["in_debuginfo"], [...problems]]);
    assertEquals(found.symbolizer.binary(id)!.reconstructed, problems.length > 0);
    assertEquals(asked.map(({ item }) => item), ["gsym", "debuginfo", "executable", "executable"]);
  }
});

const TOOLS = ["gcc", "dwz", "strip"];
const missing = TOOLS.filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
const why = missing.length > 0 ? ` (skipped: not installed: ${missing})` : "";

Deno.test({
  name: `the file that debug files share (dwz) is loaded too; without it the rest is there, and a problem${why}`,
  ignore: why !== "",
  async fn() {
    const directory = mkdtempSync(`${tmpdir()}/stackmap-`);
    const run = (tool: string, ...args: string[]) => {
      const { status, stderr } = spawnSync(tool, args, { cwd: directory, encoding: "utf8" });
      if (status !== 0) throw new Error(`${tool}: ${stderr}`);
    };
    try {
      writeFileSync(
        `${directory}/a.c`,
        `static inline __attribute__((always_inline)) int a_long_inlined_name(int x) { return x * x; }
int __attribute__((noinline)) work(int x) { return a_long_inlined_name(x) + a_long_inlined_name(x + 1); }
int main(int argc, char **argv) { (void)argv; return work(argc); }
`,
      );
      run("gcc", "-O2", "-g", "-Wl,--build-id=sha1", "-o", "one", "a.c");
      run("gcc", "-O2", "-g", "-DOTHER", "-Wl,--build-id=sha1", "-o", "two", "a.c");
      run("dwz", "-m", "shared", "-M", "shared", "one", "two");
      const [one, shared] = ["one", "shared"].map((name) => new Uint8Array(readFileSync(`${directory}/${name}`)));
      const id = readBuildId(one)!, alternate = readBuildId(shared)!;
      const code = parsePhdrs(one).find(({ p_type, p_flags }) => p_type === 1 && (p_flags & 1) !== 0)!;
      const functions = (symbolizer: Symbolizer): Set<string | undefined> => {
        const names = new Set<string | undefined>();
        for (let at = code.p_offset; at < code.p_offset + code.p_filesz; at++) {
          for (const { name } of symbolizer.lookup(id, at).frames) names.add(name);
        }
        return names;
      };
      for (const [files, problems] of [[{ debuginfo: shared }, {}], [{}, { [toHex(id)]: "not-found" }]] as const) {
        const { store } = storeOf([id, { debuginfo: one, executable: one }], [alternate, files]);
        const symbolizer = new Symbolizer();
        assertEquals(reasons(await new BinaryLoader(symbolizer, store).load([id])), problems);
        const names = functions(symbolizer);
        assert(names.has("work"));
        assertEquals(names.has("a_long_inlined_name"), "debuginfo" in files);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
});

Deno.test("IDs of 8 and 16 bytes are found when asked for padded to 20, whatever the longer forms end in", async () => {
  for (const length of [8, 16]) {
    const id = makeId(40 + length, length);
    const files: Files[] = Object.entries(makeProgram(id))
      .filter(([item]) => ["gsym", "debuginfo", "executable"].includes(item)).map(([item, bytes]) => ({
        [item]: bytes,
      }));
    for (const of of files) {
      const { store, asked } = storeOf([id, of]);
      const { names, problems } = await loaded(store, [padded(id)]);
      assertEquals([names, problems], [[`in_${Object.keys(of)}`], []]);
      assertEquals(new Set(asked.map((one) => one.id.length / 2)), new Set(length === 8 ? [20, 16, 8] : [20, 16]));
    }
    // A server that has no word for the padded form, and says so with an error.
    const inner = storeOf([id, files[0]]).store;
    const strict: BinaryStore = {
      find: (asked, item, options) =>
        asked.length === 20
          ? Promise.reject(new StoreError("status", `status 400 for ${toHex(asked)}`))
          : inner.find(asked, item, options),
    };
    assertEquals((await loaded(strict, [padded(id)])).problems, []);
    // Nobody has it: one problem, of the ID as it was asked for.
    const none = await loaded(storeOf().store, [padded(id)]);
    assertEquals(reasons(none.problems), { [toHex(padded(id))]: "not-found" });
  }
  const { store, asked } = storeOf();
  assertEquals(reasons(await new BinaryLoader(new Symbolizer(), store).load([new Uint8Array(20)])), {
    ["00".repeat(20)]: "not-found",
  });
  assertEquals(new Set(asked.map(({ id }) => id.length)), new Set([40]));
});

Deno.test("in every role: another's file, a malformed one, and one that is too large are told and not used", async () => {
  const { id } = P;
  const other = makeProgram(makeId(2));
  const junk = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) & 0xff);
  const cut = (bytes: Uint8Array) => bytes.slice(0, 20);
  const roles: [Item, good: Files, name: string][] = [
    ["gsym", { executable: P.executable, debuginfo: P.debuginfo }, "in_debuginfo"],
    ["debuginfo", { executable: P.executable }, "in_executable"],
    ["executable", { debuginfo: P.debuginfo }, "in_debuginfo"],
    ["executable", { gsym: P.bareGsym, debuginfo: P.debuginfo }, "in_gsym"],
    ["executable", {}, "no-such-binary"],
  ];
  for (const [item, good, name] of roles) {
    for (
      const [bytes, reason] of [[other[item], "wrong-build-id"], [junk, "malformed"], [
        cut(P[item]),
        "malformed",
      ]] as [
        Uint8Array,
        string,
      ][]
    ) {
      const { store } = storeOf([id, { ...good, [item]: bytes }]);
      const found = await loaded(store, [id]);
      assertEquals(found.names, [name], `${item}: ${reason}`);
      assertEquals(reasons(found.problems), { [toHex(id)]: reason }, item);
      // A store that checks says the same of another's file.
      const checked = await loaded(verifiedStore(store), [id]);
      assertEquals([checked.names, reasons(checked.problems)], [[name], { [toHex(id)]: "wrong-build-id" }]);
    }
  }
  // A program without a build ID is not the one that was asked for, whatever segments it has.
  const nameless = P.executable.map((byte, i, all) =>
    byte === 0x47 && all[i + 1] === 0x4e && all[i + 2] === 0x55 ? 0 : byte
  );
  const unnamed = await loaded(storeOf([id, { executable: nameless, gsym: P.bareGsym }]).store, [id]);
  assertEquals([unnamed.names, reasons(unnamed.problems)], [["no-segments"], { [toHex(id)]: "wrong-build-id" }]);
  const large = makeProgram(id, 100_000).executable;
  const options = { maxFileBytes: 20_000 };
  const tooLarge = await loaded(storeOf([id, { executable: large }]).store, [id], options);
  assertEquals(reasons(tooLarge.problems), { [toHex(id)]: "too-large" });
  const debug = await loaded(storeOf([id, { executable: P.executable, debuginfo: large }]).store, [id], options);
  assertEquals([debug.names, reasons(debug.problems)], [["in_executable"], { [toHex(id)]: "too-large" }]);
  // Only the head is taken of the program, and ranges of the GSYM file: these may be large.
  const head = storeOf([id, { executable: large, debuginfo: P.debuginfo }]).store;
  assertEquals((await loaded(head, [id], options)).problems, []);
  assertEquals((await loaded(storeOf([id, { gsym: P.largeGsym }]).store, [id], options)).names, ["in_gsym"]);
});

Deno.test("failures are remembered for a while, whether anything was had or not, and evicted binaries come again", async () => {
  const files = memoryStore();
  const { store, asked } = remembering(files);
  const symbolizer = new Symbolizer();
  const loader = new BinaryLoader(symbolizer, store, { retryAfterMs: 100 });
  assertEquals((await loader.load([P.id]))[0].reason, "not-found");
  const before = asked.length;
  assertEquals((await loader.load([P.id]))[0].reason, "not-found");
  assertEquals(asked.length, before);
  files.add({ buildId: P.id, item: "gsym", bytes: P.gsym });
  await sleep(120);
  assertEquals(await loader.load([P.id]), []);
  assertEquals([asked.length, await nameOf(symbolizer, P.id)], [before + 1, "in_gsym"]);
  await sleep(120);
  assertEquals(await loader.load([P.id]), []);
  assertEquals(asked.length, before + 1); // what is here is not asked for again
  symbolizer.evict(P.id);
  assertEquals(await loader.load([P.id]), []);
  assertEquals([asked.length, await nameOf(symbolizer, P.id)], [before + 2, "in_gsym"]);
  // Evicted, and then the store is down: that is remembered too.
  symbolizer.evict(P.id);
  let questions = 0;
  let down = true;
  const broken = new BinaryLoader(symbolizer, {
    find: (
      ...args
    ) => (questions++, down ? Promise.reject(new StoreError("status", "status 500")) : store.find(...args)),
  }, { retryAfterMs: 100 });
  assertEquals((await broken.load([P.id]))[0].reason, "status");
  const then = questions;
  assertEquals((await broken.load([P.id]))[0].reason, "status");
  assertEquals(questions, then);
  await sleep(120);
  down = false;
  assertEquals(await broken.load([P.id]), []);
  // A part is missing for good: what was had is not fetched again for its sake.
  const partial = remembering(memoryStore([
    { buildId: P.id, item: "gsym", bytes: new Uint8Array(100) },
    { buildId: P.id, item: "debuginfo", bytes: P.debuginfo },
  ]));
  const patient = new BinaryLoader(new Symbolizer(), partial.store, { retryAfterMs: 100 });
  for (let i = 0; i < 3; i++, await sleep(120)) assertEquals((await patient.load([P.id]))[0].reason, "malformed");
  assertEquals(partial.asked.length, 3);
});

/** A store whose answers wait until they are let go. */
function gated(inner: BinaryStore): { store: BinaryStore; open(): void; most: number; asked: number } {
  let open!: () => void;
  let under = 0;
  const opened = new Promise<void>((resolve) => open = resolve);
  const state = {
    most: 0,
    asked: 0,
    open,
    store: {
      async find(buildId: Uint8Array, item: StoreItem, options?: { signal?: AbortSignal | undefined }) {
        state.asked++;
        state.most = Math.max(state.most, ++under);
        await opened;
        under--;
        return await inner.find(buildId, item, options);
      },
    },
  };
  return state;
}

Deno.test("100 who load the same at a time cause one search for each ID, also one who comes later; one may leave", async () => {
  const programs = Array.from({ length: 20 }, (_, i) => makeProgram(makeId(100 + i)));
  const ids = programs.map(({ id }) => id);
  const gate = gated(
    memoryStore(programs.map(({ id, gsym }) => ({ buildId: id, item: "gsym" as const, bytes: gsym }))),
  );
  const symbolizer = new Symbolizer();
  const loader = new BinaryLoader(symbolizer, gate.store, { concurrency: 4 });
  const controllers = Array.from({ length: 100 }, () => new AbortController());
  const all = controllers.map(({ signal }, i) => loader.load(i % 2 === 0 ? ids : [...ids].reverse(), { signal }));
  controllers[0].abort(new Error("left"));
  await assertRejects(() => all[0], Error, "left");
  await sleep(1);
  assertEquals(gate.most, 8); // 4 from either end
  gate.open();
  const late = loader.load(ids);
  for (const problems of await Promise.all([...all.slice(1), late])) assertEquals(problems, []);
  assertEquals(gate.asked, 20);
  for (const id of ids) assertEquals(await nameOf(symbolizer, id), "in_gsym");

  const alone = gated(memoryStore());
  const one = new BinaryLoader(new Symbolizer(), alone.store, { concurrency: 3 }).load(ids);
  await sleep(1);
  alone.open();
  assertEquals((await one).length, 20);
  assert(alone.most <= 3 * 2, `${alone.most}: debug file and head of an ID are asked for together`);
});

Deno.test("what an aborted call had brought in part is completed by the next", async () => {
  const { id, debuginfo, executable, bareGsym } = P;
  for (const files of [{ gsym: bareGsym }, { debuginfo }] as Files[]) {
    const inner = storeOf([id, { ...files, executable }]);
    let slow = true;
    const store: BinaryStore = {
      find: (asked, item, options) =>
        slow && item === "executable"
          ? new Promise((_, reject) =>
            options!.signal!.addEventListener("abort", () => reject(options!.signal!.reason), { once: true })
          )
          : inner.store.find(asked, item, options),
    };
    const symbolizer = new Symbolizer();
    const loader = new BinaryLoader(symbolizer, store);
    const controller = new AbortController();
    const left = loader.load([id], { signal: controller.signal });
    await until(() => symbolizer.binary(id) !== undefined);
    controller.abort(new Error("left"));
    await assertRejects(() => left, Error, "left");
    slow = false;
    assertEquals(await loader.load([id]), []);
    assertEquals(await nameOf(symbolizer, id), `in_${Object.keys(files)}`);
    assertEquals(symbolizer.binary(id)!.reconstructed, false);
  }
});

Deno.test("a store that throws, answers and hangs as it likes costs its IDs alone", async () => {
  const good = makeProgram(makeId(60));
  const odd: unknown[] = [
    ...[undefined, null, 0, "text\nof two lines", Symbol("odd"), Object.create(null), new Error("plain")],
    ...[Object.assign(new Error("odd"), { message: { toString: () => "object" } }), new RangeError("range")],
    new Proxy({}, {
      get() {
        throw new Error("trap");
      },
    }),
  ];
  const file = storedFile("odd", byteSource(P.gsym));
  const answers: (() => unknown)[] = [
    ...odd.map((thrown) => () => {
      throw thrown;
    }),
    ...odd.map((thrown) => () => Promise.reject(thrown)),
    () => Promise.resolve(null),
    () => Promise.resolve({}),
    () => Promise.resolve(7),
    // Files whose parts fail.
    () => ({
      ...file,
      source: undefined,
      bytes: () => Promise.reject("bytes"),
      cancel: () => Promise.reject("no"),
    }),
    () => ({
      ...file,
      source: undefined,
      head: () => new Uint8Array(0),
      bytes: () => new Uint8Array(0),
      cancel() {
        throw new Error("cancel");
      },
    }),
    () => ({ ...file, source: { size: 1 << 30, read: () => Promise.resolve(new Uint8Array(1)) } }),
    () => ({ ...file, source: { size: NaN, read: () => Promise.reject(undefined) } }),
  ];
  const ids = answers.map((_, i) => makeId(61 + i));
  const store: BinaryStore = {
    find(asked, item, options) {
      const at = ids.findIndex((id) => toHex(id) === toHex(asked));
      if (at >= 0) return answers[at]() as ReturnType<BinaryStore["find"]>;
      return memoryStore([{ buildId: good.id, item: "gsym", bytes: good.gsym }]).find(asked, item, options);
    },
  };
  const symbolizer = new Symbolizer();
  const problems = await new BinaryLoader(symbolizer, store, { concurrency: 3 }).load([...ids, good.id]);
  assertEquals(new Set(problems.map(({ buildId }) => toHex(buildId))), new Set(ids.map(toHex)));
  for (const { message } of problems) assertEquals(typeof message, "string");
  assertEquals(await nameOf(symbolizer, good.id), "in_gsym");
  // One that neither answers nor heeds the signal: who asked leaves all the same.
  const signal = AbortSignal.timeout(20);
  const deaf = new BinaryLoader(symbolizer, { find: () => new Promise(() => {}) });
  await assertRejects(() => deaf.load([makeId(99)], { signal }), DOMException);
  await assertRejects(() => deaf.load([], { signal }), DOMException);
});
