// buildIdHandler(): a debuginfod over a store; ranges, methods, ids that are none, and what stores fail with.
import { assert, assertEquals } from "@std/assert";
import {
  type BinaryStore,
  buildIdHandler,
  type BuildIdHandlerOptions,
  memoryStore,
  type StoredFile,
} from "../mod.ts";
import { StoreError, type StoreErrorReason } from "../src/store/store.ts";
import { toHex } from "../src/base/bytes.ts";
import { remembering, targetProgram } from "./serve_fixtures.ts";

const { bytes, buildId } = targetProgram();
const HEX = toHex(buildId);
const FILES = memoryStore([
  { buildId, item: "executable", bytes, name: "/opt/demo/\u00fc target" },
  { buildId, item: "section/.text", bytes: bytes.subarray(0x10a0, 0x13c7) },
  { buildId, item: "gsym", bytes: Uint8Array.of(1, 2, 3) },
]);

const make = (options: Partial<BuildIdHandlerOptions> = {}) => buildIdHandler({ store: FILES, ...options });
const ask = (path: string, init: RequestInit = {}, handler = make()) =>
  handler(new Request(`http://stackmap.test${path}`, init));
const bodyOf = async (response: Response) => new Uint8Array(await response.arrayBuffer());

Deno.test("GET /buildid/… gives files with debuginfod's headers, and HEAD the headers alone", async () => {
  for (const hex of [HEX, HEX.toUpperCase()]) {
    const response = await ask(`/buildid/${hex}/executable`);
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("x-debuginfod-size"), `${bytes.length}`);
    assertEquals(response.headers.get("x-debuginfod-file"), "? target");
    assertEquals(response.headers.get("content-type"), "application/octet-stream");
    assertEquals(await bodyOf(response), bytes);
  }
  assertEquals((await bodyOf(await ask(`/buildid/${HEX}/section/.text`))).length, 0x327);
  assertEquals((await bodyOf(await ask(`/buildid/${HEX}/section/%2Etext`))).length, 0x327);
  assertEquals(await bodyOf(await ask(`/buildid/${HEX}/gsym`)), Uint8Array.of(1, 2, 3));
  const head = await ask(`/buildid/${HEX}/executable`, { method: "HEAD" });
  assertEquals([head.status, head.headers.get("x-debuginfod-size")], [200, `${bytes.length}`]);
  assertEquals((await bodyOf(head)).length, 0);
  assertEquals((await ask(`/up/buildid/${HEX}/gsym`, {}, make({ prefix: "/up" }))).status, 200);
});

Deno.test("one range of a file can be had: 206 for its bytes, 416 outside of it", async () => {
  const size = bytes.length;
  const cases: [range: string, status: number, start: number, end: number][] = [
    ["bytes=0-3", 206, 0, 4],
    ["bytes=100-", 206, 100, size],
    ["bytes=-10", 206, size - 10, size],
    [`bytes=-${size + 5}`, 206, 0, size],
    [`bytes=${size - 1}-999999999`, 206, size - 1, size],
    [`bytes=${size}-`, 416, 0, 0],
    ["bytes=-0", 416, 0, 0],
    ["bytes=5-3", 200, 0, size],
    ["bytes=0-1,3-4", 200, 0, size],
    ["lines=0-1", 200, 0, size],
    ["bytes=-", 200, 0, size],
    ["bytes=99999999999999999999-", 200, 0, size],
  ];
  for (const [range, status, start, end] of cases) {
    const response = await ask(`/buildid/${HEX}/executable`, { headers: { range } });
    assertEquals(response.status, status, range);
    const contentRange = response.headers.get("content-range");
    if (status === 416) assertEquals(contentRange, `bytes */${size}`);
    else {
      assertEquals(contentRange, status === 206 ? `bytes ${start}-${end - 1}/${size}` : null);
      assertEquals(await bodyOf(response), bytes.subarray(start, end), range);
    }
  }
  // More than one piece; and a reader that leaves early.
  const large = new Uint8Array(1_000_000).map((_, i) => i * 7);
  const store = memoryStore([{ buildId, item: "debuginfo", bytes: large }]);
  const range = { headers: { range: "bytes=10-900000" } };
  assertEquals(
    await bodyOf(await ask(`/buildid/${HEX}/debuginfo`, range, make({ store }))),
    large.subarray(10, 900_001),
  );
  const reader = (await ask(`/buildid/${HEX}/debuginfo`, range, make({ store }))).body!.getReader();
  await reader.read();
  await reader.cancel();
  const changed = await ask(`/buildid/${HEX}/executable`, { headers: { range: "bytes=0-3", "if-range": '"x"' } });
  assertEquals([changed.status, (await bodyOf(changed)).length], [200, size]);
});

Deno.test("nothing that is no build ID or item comes near the store", async () => {
  const { store, asked } = remembering(FILES);
  const handler = make({ store });
  const paths: [path: string, status: number][] = [
    ["/", 404],
    ["/buildid", 404],
    [`/buildid/${HEX}`, 404],
    [`/buildid/${HEX}/`, 404],
    [`/buildid/${HEX}/source/usr/include/a.h`, 404],
    [`/buildid/${HEX}/section`, 404],
    [`/buildid/${HEX}/section/`, 404],
    [`/buildid/${HEX}/section/a%2Fb`, 404],
    [`/buildid/${HEX}/section/%2e%2e%2f%2e%2e`, 404],
    [`/buildid/${HEX}/section/%00`, 404],
    [`/buildid/${HEX}/section/%ff`, 400],
    [`/buildid/${HEX}/section/${"a".repeat(200)}`, 404],
    [`/buildid/${HEX}/executable/..%2f..`, 404],
    ["/buildid/abc/executable", 400],
    ["/buildid/..%2f..%2fetc/executable", 400],
    [`/buildid/${"ab".repeat(33)}/executable`, 400],
    ["/buildid/%61%62/executable", 400],
    ["/buildid/../../etc/passwd", 404],
    ["//buildid/abcd/executable", 404],
    ["/buildid//executable", 400],
  ];
  for (const [path, status] of paths) {
    const response = await handler(new Request(`http://x${path}`));
    assertEquals(response.status, status, path);
    assertEquals(response.headers.get("content-type"), "text/plain; charset=utf-8");
    await response.text();
  }
  assertEquals(asked, []);
  assertEquals((await ask("/buildid/abcd/executable")).status, 404);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
    const response = await ask(`/buildid/${HEX}/executable`, { method });
    assertEquals([response.status, response.headers.get("allow")], [405, "GET, HEAD"]);
  }
});

Deno.test("what the store could not do is a 502 or 504 that tells no more than the reason", async () => {
  const failing = (error: () => Promise<StoredFile | undefined>): BinaryStore => ({ find: error });
  const reasons: [StoreErrorReason, number][] = [
    ["unreachable", 502],
    ["status", 502],
    ["too-large", 502],
    ["wrong-build-id", 502],
    ["timeout", 504],
  ];
  const told: unknown[] = [];
  const onError = (error: unknown) => told.push(error);
  for (const [reason, status] of reasons) {
    const store = failing(() => Promise.reject(new StoreError(reason, "http://secret.test/")));
    const response = await ask(`/buildid/${HEX}/executable`, {}, make({ store, onError }));
    assertEquals(response.status, status);
    assert(!(await response.text()).includes("secret"));
  }
  const broken = await ask(
    `/buildid/${HEX}/gsym`,
    {},
    make({ store: failing(() => Promise.reject(new Error("secret"))), onError }),
  );
  assertEquals([broken.status, await broken.text()], [500, "something went wrong\n"]);
  assertEquals(told.length, reasons.length + 1);
  const never: BinaryStore = {
    find: (_id, _item, options) =>
      new Promise((_, reject) => options!.signal!.addEventListener("abort", () => reject(options!.signal!.reason))),
  };
  const slow = await ask(`/buildid/${HEX}/gsym`, {}, make({ store: never, maxMilliseconds: 20 }));
  assertEquals(slow.status, 504);
  const controller = new AbortController();
  const left = ask(`/buildid/${HEX}/gsym`, { signal: controller.signal }, make({ store: never }));
  setTimeout(() => controller.abort(), 5);
  assertEquals((await left).status, 499);
});

Deno.test("tokens and origins are those of symbolizeHandler()", async () => {
  const handler = make({ token: "t", cors: "*" });
  const refused = await ask(`/buildid/${HEX}/gsym`, {}, handler);
  assertEquals([refused.status, refused.headers.get("access-control-allow-origin")], [401, "*"]);
  const passed = await ask(`/buildid/${HEX}/gsym`, { headers: { authorization: "Bearer t" } }, handler);
  assertEquals(passed.status, 200);
  const preflight = await ask(`/buildid/${HEX}/gsym`, {
    method: "OPTIONS",
    headers: { origin: "https://a.example", "access-control-request-method": "GET" },
  }, handler);
  assertEquals([preflight.status, preflight.headers.get("access-control-allow-methods")], [204, "GET, HEAD"]);
});
