// Owns the tests of the stores that need no server: identifiers, memory, trees, order, checking and caching.
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import {
  type BinaryStore,
  buildIdTreeStore,
  type ByteSource,
  byteSource,
  cachedStore,
  type CacheLike,
  encodeNote,
  inOrderStore,
  isBuildId,
  memoryStore,
  NT_GNU_BUILD_ID,
  parseBuildId,
  parseStoreItem,
  racedStore,
  SHT_NOTE,
  type StoredFile,
  StoreError,
  type StoreItem,
  verifiedStore,
} from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { gsymUuidPlace } from "../src/store/gsym_uuid.ts";
import { MissingFiles } from "../src/store/missing_files.ts";
import { SHT_NOBITS } from "../src/uapi/elf.ts";
import { buildElf, FORMATS, makeIdent } from "./elf_builder.ts";
import { fuzzParser } from "./fuzz.ts";
import { BUILD_ID, fails, HEX, program, sleep } from "./store_server.ts";

const FILE = program(10_000);
const one = (bytes: Uint8Array = FILE, item: StoreItem = "executable", name = "one") =>
  memoryStore([{ buildId: BUILD_ID, item, bytes, name }]);

/** A store whose files are no objects of ours, come in two chunks, and count what becomes of them. */
function foreign(bytes: Uint8Array): BinaryStore & { finds: number; cancelled: number; reads: number } {
  const store = {
    finds: 0,
    cancelled: 0,
    reads: 0,
    find(): Promise<StoredFile> {
      store.finds++;
      let over = false;
      const file: StoredFile = {
        name: "foreign",
        size: bytes.length,
        source: undefined,
        head: (length) => Promise.resolve(bytes.slice(0, length)),
        bytes: () => {
          store.reads++;
          return Promise.resolve(bytes);
        },
        stream: () =>
          new ReadableStream({
            async start(controller) {
              store.reads++;
              await sleep(5);
              controller.enqueue(bytes.slice(0, 5000));
              controller.enqueue(bytes.slice(5000));
              controller.close();
            },
          }),
        cancel: () => {
          if (!over) store.cancelled++;
          over = true;
          return Promise.resolve();
        },
      };
      return sleep(5).then(() => file);
    },
  };
  return store;
}

function failing(reason: "unreachable" | "status" | "wrong-build-id", status?: number): BinaryStore {
  return { find: () => Promise.reject(new StoreError(reason, `it is ${reason}`, status ? { status } : {})) };
}

Deno.test("isBuildId() and parseStoreItem() let nothing through that means something in a path", () => {
  assert(isBuildId("ab") && isBuildId("A".repeat(64)) && isBuildId(HEX));
  for (const text of ["", "a", "abc", "a".repeat(66), "0x12", "ab/cd", "..", "ab\n", " abcd", "ａｂ", "ab%2f"]) {
    assert(!isBuildId(text), text);
    assertEquals(parseBuildId(text), undefined);
  }
  assertEquals(parseBuildId(HEX.toUpperCase()), BUILD_ID);
  for (const text of ["executable", "debuginfo", "gsym", "section/.text", "section/...", "section/.a b%"]) {
    assertEquals(parseStoreItem(text), text);
  }
  const bad = [
    "",
    "source",
    "section",
    "section/",
    "section/.",
    "section/..",
    "section/a/b",
    "section/\n",
    "section/é",
  ];
  for (const text of [...bad, `section/${"a".repeat(129)}`, "executable/", "__proto__", "section/.text\n"]) {
    assertEquals(parseStoreItem(text), undefined, text);
  }
});

Deno.test("memoryStore() gives ranges, and refuses what can't be asked for", async () => {
  const store = one();
  const file = await store.find(BUILD_ID, "executable");
  assertEquals([file?.name, file?.size], ["one", FILE.length]);
  assertEquals(await file!.head(1 << 20), FILE);
  assertEquals(await file!.source!.read(10, 5), FILE.slice(10, 15));
  assertEquals(new Uint8Array(await new Response(file!.stream()).arrayBuffer()), FILE);
  await fails("too-large", () => file!.bytes({ maxBytes: 9 }));
  assertEquals(await store.find(BUILD_ID, "debuginfo"), undefined);
  assertEquals(await store.find(new Uint8Array(33), "executable"), undefined);
  await assertRejects(() => store.find(new Uint8Array(0), "executable"), RangeError);
  await assertRejects(() => store.find(BUILD_ID, "section/.." as StoreItem), TypeError);
  assertThrows(() => store.add({ buildId: new Uint8Array(33), item: "gsym", bytes: FILE }), RangeError);
  const signal = AbortSignal.abort(new Error("enough"));
  await assertRejects(() => store.find(BUILD_ID, "executable", { signal }), Error, "enough");
});

/** A tree in memory; it notes what is opened and how many bytes are read. */
function tree(files: Record<string, Uint8Array>) {
  const told = { opened: [] as string[], bytes: 0 };
  const read = (path: string): ByteSource | undefined => {
    told.opened.push(path);
    if (files[path] === undefined) return undefined;
    const source = byteSource(files[path]);
    return {
      size: source.size,
      read(offset, length, options) {
        told.bytes += length;
        return source.read(offset, length, options);
      },
    };
  };
  return { told, read };
}

const PATH = `/.build-id/${HEX.slice(0, 2)}/${HEX.slice(2)}`;

Deno.test("buildIdTreeStore() finds files under its roots, and passes over wrong ones", async () => {
  const wrong = program(100, Uint8Array.of(1, 2));
  const { told, read } = tree({ [`/a${PATH}`]: wrong, [`/b${PATH}`]: FILE, [`/a${PATH}.debug`]: wrong });
  const store = buildIdTreeStore(read, { roots: ["/a", "/b"] });
  assertEquals(await (await store.find(BUILD_ID, "executable"))?.bytes(), FILE);
  assertEquals(told.opened, [`/a${PATH}`, `/b${PATH}`]);
  await fails("wrong-build-id", () => store.find(BUILD_ID, "debuginfo"));
  assertEquals(await store.find(BUILD_ID, "gsym"), undefined);
  assertEquals(told.opened.at(-1), `/b${PATH}.gsym`);
  assertEquals(await store.find(Uint8Array.of(1), "executable"), undefined);
  const broken = buildIdTreeStore(() => {
    throw new Error("EIO");
  });
  assertEquals((await fails("unreachable", () => broken.find(BUILD_ID, "gsym"))).message.endsWith("EIO"), true);
});

Deno.test("buildIdTreeStore() takes a section from the file that has it, and reads little else", async () => {
  for (const { is64, littleEndian, name } of FORMATS) {
    const text = Uint8Array.from({ length: 100_000 }, (_, i) => i & 0xff);
    const info = Uint8Array.of(1, 2, 3);
    const make = (debug: boolean) =>
      buildElf({
        is64,
        littleEndian,
        buildId: BUILD_ID,
        sections: [
          debug
            ? { name: ".text", sh_type: SHT_NOBITS, sh_size: 100_000n }
            : { name: ".text", sh_type: 1, contents: text },
          { name: debug ? ".debug_info" : ".data", sh_type: 1, contents: info },
        ],
      });
    const { told, read } = tree({ [`/a${PATH}`]: make(false), [`/a${PATH}.debug`]: make(true) });
    const store = buildIdTreeStore(read, { roots: ["/a"] });
    const debugInfo = await store.find(BUILD_ID, "section/.debug_info");
    assertEquals([debugInfo?.size, debugInfo?.name], [3, `/a${PATH}.debug(.debug_info)`], name);
    assertEquals(await debugInfo?.bytes(), info);
    const found = await store.find(BUILD_ID, "section/.text");
    assertEquals([found?.size, found?.name], [100_000, `/a${PATH}(.text)`]);
    assert(told.bytes < 40_000, `${told.bytes} bytes were read`);
    assertEquals(await found?.source?.read(99_000, 10), text.slice(99_000, 99_010));
    assertEquals(await found?.bytes(), text);
    assertEquals(await found?.head(4), text.slice(0, 4));
    assertEquals(await store.find(BUILD_ID, "section/.nope"), undefined);
  }
});

Deno.test("buildIdTreeStore() finds sections by extended numbers, and says what is malformed", async () => {
  const elf = (extendedSections: boolean) =>
    buildElf({
      buildId: BUILD_ID,
      extendedSections,
      sections: [{ name: ".x", sh_type: 1, contents: Uint8Array.of(7) }],
    });
  const extended = buildIdTreeStore(tree({ [`/a${PATH}.debug`]: elf(true) }).read, { roots: ["/a"] });
  assertEquals(await (await extended.find(BUILD_ID, "section/.x"))?.bytes(), Uint8Array.of(7));
  const broken = elf(false);
  new DataView(broken.buffer).setUint16(60, 60_000, true); // e_shnum: the headers pass the file's end
  const malformed = buildIdTreeStore(tree({ [`/a${PATH}`]: broken }).read, { roots: ["/a"] });
  await fails("wrong-build-id", () => malformed.find(BUILD_ID, "section/.x"));
  const without = elf(false);
  without.fill(0, 40, 48); // e_shoff
  const bare = buildIdTreeStore(tree({ [`/a${PATH}`]: without }).read, { roots: ["/a"] });
  assertEquals(await bare.find(BUILD_ID, "section/.x"), undefined);
});

Deno.test("verifiedStore() follows the headers of a file that is read by ranges to a note at its end", async () => {
  const ident = { e_ident: makeIdent(true, true) };
  const farBehind = buildElf({
    sections: [
      { name: ".text", sh_type: 1, contents: new Uint8Array(200_000) },
      {
        name: ".note.gnu.build-id",
        sh_type: SHT_NOTE,
        contents: encodeNote({ n_type: NT_GNU_BUILD_ID, name: "GNU", desc: BUILD_ID }, ident),
      },
    ],
  });
  const { told, read } = tree({ [`/a${PATH}`]: farBehind });
  const store = buildIdTreeStore(read, { roots: ["/a"], maxBytes: 100_000 });
  const file = await store.find(BUILD_ID, "executable");
  assert(told.bytes < 80_000, `${told.bytes} bytes were read`);
  await fails("too-large", () => file!.bytes());
  const reader = file!.stream().getReader();
  await fails("too-large", () => reader.read());
});

Deno.test("a tree with malformed files ends in an answer or a StoreError, and reads little", async () => {
  const random = new SeededRandom(4);
  const good = buildElf({
    buildId: BUILD_ID,
    sections: [{ name: ".text", sh_type: 1, contents: new Uint8Array(99) }],
  });
  for (let i = 0; i < 1000; i++) {
    const bytes = good.slice(0, i % 4 === 0 ? random.below(good.length) : good.length);
    for (let k = 0; k < 3 && bytes.length > 0; k++) bytes[random.below(bytes.length)] = random.below(256);
    const { told, read } = tree({ [`/a${PATH}`]: bytes });
    const store = buildIdTreeStore(read, { roots: ["/a"] });
    try {
      await (await store.find(BUILD_ID, "section/.text"))?.bytes();
    } catch (error) {
      assertInstanceOf(error, StoreError, `mutation ${i} of seed 4`);
    }
    assert(told.bytes < 40 * good.length);
  }
});

Deno.test("verifiedStore() checks programs, notes and files of foreign stores", async () => {
  const wrong = program(10_000, Uint8Array.of(1, 2));
  for (const make of [(bytes: Uint8Array) => one(bytes), foreign]) {
    assertEquals(await (await verifiedStore(make(FILE)).find(BUILD_ID, "executable"))?.bytes(), FILE);
    const bad = make(wrong);
    await fails("wrong-build-id", () => verifiedStore(bad).find(BUILD_ID, "executable"));
    if ("cancelled" in bad) assertEquals(bad.cancelled, 1);
  }
  assertEquals(await verifiedStore(foreign(FILE)).find(new Uint8Array(33), "executable"), undefined);
  const item = "section/.note.gnu.build-id";
  for (const littleEndian of [true, false]) {
    const ident = { e_ident: makeIdent(true, littleEndian) };
    const note = (desc: Uint8Array) => encodeNote({ n_type: NT_GNU_BUILD_ID, name: "GNU", desc }, ident);
    assert(await verifiedStore(one(note(BUILD_ID), item)).find(BUILD_ID, item));
    await fails("wrong-build-id", () => verifiedStore(one(note(Uint8Array.of(1)), item)).find(BUILD_ID, item));
  }
  await fails("wrong-build-id", () => verifiedStore(one(new Uint8Array(40), item)).find(BUILD_ID, item));
  assert(await verifiedStore(one(new Uint8Array(40), "section/.text")).find(BUILD_ID, "section/.text"));
});

Deno.test("gsymUuidPlace() ends in a place or a FormatError for any bytes", () => {
  const v2 = new Uint8Array(100);
  v2.set([0x4d, 0x59, 0x53, 0x47, 2, 0, 4]);
  v2.set([1, 0, 0, 0], 20);
  v2.set([6, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 20], 40);
  assertEquals(gsymUuidPlace(v2), { offset: 80, size: 20 });
  fuzzParser("gsymUuidPlace", [v2], gsymUuidPlace, { mutations: 10_000 });
});

Deno.test("inOrderStore() and racedStore() report errors only if nobody has the file", async () => {
  for (const join of [inOrderStore, racedStore]) {
    const found = await join(failing("unreachable"), memoryStore(), one()).find(BUILD_ID, "executable");
    assertEquals(found?.name, "one");
    assertEquals(await join().find(BUILD_ID, "executable"), undefined);
    assertEquals(await join(memoryStore(), memoryStore()).find(BUILD_ID, "executable"), undefined);
    const single = await fails("status", () => join(memoryStore(), failing("status", 500)).find(BUILD_ID, "gsym"));
    assertEquals(single.status, 500);
    const both = await fails(
      "status",
      () => join(failing("status", 403), failing("unreachable")).find(BUILD_ID, "gsym"),
    );
    assertEquals([both.status, both.message], [403, "it is status; it is unreachable"]);
    assertEquals((both.cause as AggregateError).errors.length, 2);
    const mistaken: BinaryStore = { find: () => Promise.reject(new TypeError("a mistake")) };
    await assertRejects(() => join(mistaken).find(BUILD_ID, "gsym"), TypeError, "a mistake");
    const signal = AbortSignal.abort(new Error("enough"));
    await assertRejects(() => join(one()).find(BUILD_ID, "executable", { signal }), Error, "enough");
  }
  const slow = foreign(FILE);
  assertEquals((await racedStore(slow, one()).find(BUILD_ID, "executable"))?.name, "one");
  await sleep(10);
  assertEquals(slow.cancelled, 1);
});

Deno.test("cachedStore() asks once for what it keeps, makes room, and counts", async () => {
  const files = Array.from({ length: 4 }, (_, i) => ({
    buildId: Uint8Array.of(i, i),
    item: "section/.text" as const,
    bytes: new Uint8Array(i === 3 ? 900 : 400),
  }));
  const store = cachedStore(memoryStore(files), { maxBytes: 1000, maxFileBytes: 500, negativeTtlMs: 20 });
  const get = async (i: number) => await (await store.find(Uint8Array.of(i, i), "section/.text"))?.bytes();
  for (const i of [0, 1, 0, 2, 0, 1]) assertEquals((await get(i))?.length, 400);
  // 0 1, then 1 0, then 2 makes 1 go, then 1 makes 2 go.
  const expected = { hits: 2, misses: 4, evictions: 2, entries: 2, bytes: 800 };
  assertEquals(store.stats, { ...expected, cacheHits: 0, negativeHits: 0, shared: 0 });
  assertEquals((await get(3))?.length, 900);
  assertEquals([store.stats.entries, await get(4), await get(4), store.stats.negativeHits], [
    2,
    undefined,
    undefined,
    1,
  ]);
  await sleep(25);
  await get(4);
  assertEquals(store.stats.negativeHits, 1);
  store.clear();
  assertEquals([store.stats.entries, store.stats.bytes], [0, 0]);
  const few = cachedStore(memoryStore(files), { maxEntries: 1, ttlMs: 20 });
  for (const i of [0, 1]) await (await few.find(Uint8Array.of(i, i), "section/.text"))?.bytes();
  assertEquals(few.stats.entries, 1);
  await sleep(25);
  await few.find(Uint8Array.of(1, 1), "section/.text");
  assertEquals([few.stats.hits, few.stats.misses], [0, 3]);
});

Deno.test("MissingFiles forgets the oldest of too many", () => {
  const missing = new MissingFiles(60_000, 2);
  for (const key of ["a", "b", "a", "c"]) missing.add(key);
  assertEquals(["a", "b", "c"].map((key) => missing.has(key)), [true, false, true]);
  const never = new MissingFiles(0);
  never.add("a");
  assertEquals(never.has("a"), false);
});

Deno.test("cachedStore() lets many share one reading, and keeps no errors", async () => {
  const inner = foreign(FILE);
  const store = cachedStore(inner);
  const ask = async () => await (await store.find(BUILD_ID, "executable"))!.bytes();
  const all = await Promise.all(Array.from({ length: 50 }, ask));
  assertEquals([inner.finds, inner.reads, store.stats.shared, store.stats.misses], [1, 1, 49, 1]);
  assert(all.every((bytes) => bytes === all[0]));
  assertEquals(await ask(), FILE);
  assertEquals([inner.finds, store.stats.hits], [1, 1]);

  let broken = true;
  const unsure: BinaryStore = {
    find: (...given) => broken ? Promise.reject(new StoreError("timeout", "late")) : one().find(...given),
  };
  const behind = cachedStore(unsure);
  const failed = await Promise.allSettled([1, 2].map(() => behind.find(BUILD_ID, "executable")));
  assert(failed.every(({ status }) => status === "rejected"));
  broken = false;
  assert(await behind.find(BUILD_ID, "executable"));
});

Deno.test("cachedStore() cancels a search when nobody asks any more, and a file that is left unread", async () => {
  let aborted = 0;
  const silent: BinaryStore = {
    find: (_id, _item, { signal } = {}) =>
      new Promise((_, reject) => {
        signal!.addEventListener("abort", () => {
          aborted++;
          reject(signal!.reason);
        });
      }),
  };
  const store = cachedStore(silent);
  const controllers = [new AbortController(), new AbortController()];
  const asked = controllers.map(({ signal }) =>
    store.find(BUILD_ID, "executable", { signal }).catch((error) => error.message)
  );
  controllers[0].abort(new Error("first"));
  assertEquals([await asked[0], aborted], ["first", 0]);
  controllers[1].abort(new Error("second"));
  assertEquals([await asked[1], aborted], ["second", 1]);

  const inner = foreign(FILE);
  const behind = cachedStore(inner);
  const [a, b] = await Promise.all([1, 2].map(() => behind.find(BUILD_ID, "executable")));
  await a!.cancel();
  assertEquals(inner.cancelled, 0);
  assertEquals(await b!.head(10), FILE.slice(0, 10));
  await sleep(1);
  assertEquals([inner.cancelled, inner.finds], [1, 1]);
  await assertRejects(() => b!.bytes(), TypeError, "already");
});

Deno.test("cachedStore() asks once more for those whom another's request failed", async () => {
  for (const use of ["find", "bytes", "head", "stream"] as const) {
    let finds = 0;
    const gone = () => Promise.reject(new Error("the request that began this has ended"));
    const ending: BinaryStore = {
      async find(...given) {
        const first = finds++ === 0;
        await sleep(2);
        if (!first) return await one().find(...given);
        if (use === "find") return await gone();
        const stream = () => new ReadableStream({ pull: gone });
        return {
          name: "gone",
          size: 9,
          source: undefined,
          head: gone,
          bytes: gone,
          stream,
          cancel: async () => {},
        };
      },
    };
    const store = cachedStore(ending);
    const ask = async () => {
      const file = (await store.find(BUILD_ID, "executable"))!;
      if (use === "head") return await file.head(FILE.length);
      if (use === "stream") return new Uint8Array(await new Response(file.stream()).arrayBuffer());
      return await file.bytes();
    };
    const all = await Promise.allSettled([1, 2, 3, 4].map(ask));
    // The one who began a search is told why it failed; what failed afterwards may be another's fault.
    const failed = all.filter(({ status }) => status === "rejected").length;
    assertEquals([finds, failed], [2, use === "find" ? 1 : 0], use);
    for (const result of all) if (result.status === "fulfilled") assertEquals(result.value, FILE);
  }
});

Deno.test("cachedStore() gives each who shares what it can take", async () => {
  const inner = foreign(FILE);
  const store = cachedStore(inner);
  const find = async () => (await store.find(BUILD_ID, "executable"))!;
  const [a, b, c, d] = await Promise.all([find(), find(), find(), find()]);
  const small = a.bytes({ maxBytes: 100 });
  const [failed, whole, head, stream] = await Promise.allSettled([
    small,
    b.bytes(),
    c.head(7),
    new Response(d.stream()).arrayBuffer(),
  ]);
  assert(failed.status === "rejected" && failed.reason.reason === "too-large");
  assertEquals(whole.status === "fulfilled" && whole.value, FILE);
  assertEquals(head.status === "fulfilled" || head.reason.reason === "too-large", true);
  assert(stream.status === "fulfilled");
  assertEquals(new Uint8Array(stream.value), FILE);
});

Deno.test("cachedStore() uses a second level, and never what is wrong in it", async () => {
  const held = new Map<string, Response>();
  const cache: CacheLike = {
    match: (url) => Promise.resolve(held.get(url)?.clone()),
    put: (url, response) => Promise.resolve(void held.set(url, response)),
    delete: (url) => Promise.resolve(held.delete(url)),
  };
  const options = { cache, cacheUrl: "https://cache.example/v1/" };
  const get = async (store: BinaryStore) => await (await store.find(BUILD_ID, "executable"))!.bytes();
  assertEquals(await get(cachedStore(one(), options)), FILE);
  const url = `https://cache.example/v1/${HEX}/executable`;
  assertEquals([...held.keys()], [url]);
  assertEquals(held.get(url)!.headers.get("content-length"), `${FILE.length}`);
  const second = cachedStore(memoryStore(), options);
  assertEquals(await get(second), FILE);
  assertEquals([second.stats.cacheHits, second.stats.misses], [1, 0]);
  held.set(url, new Response(program(99, Uint8Array.of(1)).slice()));
  assertEquals(await get(cachedStore(one(), options)), FILE);
  assertEquals(held.get(url)!.headers.get("content-length"), `${FILE.length}`);
  const broken: CacheLike = {
    match: () => Promise.reject(new Error("broken")),
    put: () => Promise.reject(new Error("broken")),
    delete: () => Promise.reject(new Error("broken")),
  };
  assertEquals(await get(cachedStore(one(), { cache: broken })), FILE);
});
