// symbolizeHandler(): bodies and answers, errors, tokens, CORS, problems, cancellation, metrics; without a server.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { gunzipSync, gzipSync } from "node:zlib";
import {
  type BinaryStore,
  encodePprof,
  encodeRecording,
  type IndexedBinary,
  memoryStore,
  type SymbolizeAnswer,
  symbolizeHandler,
  type SymbolizeHandlerOptions,
  Symbolizer,
} from "../mod.ts";
import { StoreError } from "../src/store/store.ts";
import { toHex } from "../src/base/bytes.ts";
import { baseName, moduleName } from "../src/serve/answer.ts";
import { readProfile } from "./pprof_reader.ts";
import { samples } from "./recording_fixture.ts";
import {
  archive,
  asBigEndian,
  asJson,
  manyStacks,
  post,
  recordedFiles,
  recording,
  remembering,
  targetProgram,
  targetStore,
} from "./serve_fixtures.ts";

const DUMP = "application/octet-stream";
const JSON_TYPE = "application/json";
const GZIP = "application/gzip";
const ID = "ab".repeat(20);
const ONE = JSON.stringify({ stacks: [{ frames: [{ ip: "0x401136" }] }] });

function make(options: Partial<SymbolizeHandlerOptions> = {}): (request: Request) => Promise<Response> {
  return symbolizeHandler({
    store: targetStore(),
    onError: (error) => {
      throw error;
    },
    ...options,
  });
}

async function answerOf(response: Response): Promise<SymbolizeAnswer> {
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("content-type"), "application/json");
  return await response.json();
}

async function errorOf(response: Response): Promise<[status: number, error: string, detail: string]> {
  assertEquals(response.headers.get("content-type"), "application/json");
  const { error, detail, ...more } = await response.json();
  assertEquals(more, {});
  return [response.status, error, detail];
}

Deno.test("POST /symbolize answers a dump, JSON and a recording of the same stacks alike", async () => {
  const handler = make();
  for (const name of ["basic", "fuzz-31"]) {
    const read = await recording(name);
    const dump = recordedFiles(name).get("bid.bin")!;
    const whole = await answerOf(await handler(post(archive(name), GZIP)));
    const { missing, ...rest } = whole;
    const plain = { ...rest, stacks: rest.stacks.map(({ id, frames }) => ({ id, frames })) };
    const others = {
      "an unpacked archive": await answerOf(
        await handler(post(new Uint8Array(gunzipSync(archive(name))), "application/x-tar")),
      ),
      "JSON": { ...await answerOf(await handler(post(asJson(read), JSON_TYPE))), missing },
      "gzip of a dump": await answerOf(
        await handler(post(new Uint8Array(gzipSync(dump)), DUMP, { headers: { "content-encoding": "gzip" } })),
      ),
      "a big-endian dump": await answerOf(
        await handler(post(asBigEndian(read), DUMP, { query: "?littleEndian=0&valueSize=4064&flags=0x20" })),
      ),
      "a dump": await answerOf(await handler(post(dump, DUMP))),
    };
    for (const [kind, answer] of Object.entries(others)) {
      const counted = kind === "JSON" || kind.includes("archive");
      assertEquals(answer, counted ? whole : { ...plain, missing: [] }, `${name}: ${kind}`);
    }
    // And the frames are those of a symbolizer that was asked directly.
    const symbolizer = new Symbolizer();
    await symbolizer.add(targetProgram().bytes);
    const direct = symbolizer.lookupColumns(read.stacks);
    whole.stacks.forEach(({ id, count, frames }, s) => {
      assertEquals([id, count], [read.stacks.ids[s], read.counts.get(id)]);
      const expected: (string | undefined)[] = [];
      for (let row = read.stacks.first[s]; row < read.stacks.first[s + 1]; row++) {
        const found = direct.frames(row).map((frame) => `${frame.demangled} ${frame.file}:${frame.line}`);
        expected.push(...found.length > 0 ? found : [direct.reason(row)]);
      }
      const got = frames.map((f) => whole.frames[f]).map((f) => f.reason ?? `${f.function} ${f.file}:${f.line}`);
      assertEquals(got, expected);
    });
  }
});

Deno.test("POST /symbolize tells of each frame what is known, and why the rest is not", async () => {
  const { buildId } = targetProgram();
  const hex = toHex(buildId);
  const body = JSON.stringify({
    stacks: [{
      id: 7,
      frames: [
        { buildId: hex, offset: 0x11ee },
        { buildId: hex.toUpperCase(), offset: "0x11EE" },
        { buildId: "abcd", offset: "0xffffffffffffffff" },
        { ip: "0xffffffff81000000" },
      ],
    }, { frames: [] }],
  });
  const { frames, stacks, missing, problems } = await answerOf(await make()(post(body, JSON_TYPE)));
  assertEquals(stacks, [{ id: 7, frames: [0, 1, 2, 3] }, { id: 1, frames: [] }]);
  const place = { module: "target", buildId: hex, offset: "0x11ee", address: "0x11ee" };
  assertEquals(frames[0], { function: "rec", file: "/src/target.c", line: 8, column: 69, ...place });
  assertEquals({ ...frames[1], column: 0 }, { ...frames[0], column: 0 });
  assertEquals(frames[2], {
    buildId: "abcd".padEnd(40, "0"),
    offset: "0xffffffffffffffff",
    reason: "no-such-binary",
  });
  assertEquals(frames[3], { ip: "0xffffffff81000000", reason: "no-build-id" });
  assertEquals(missing, []);
  assertEquals(problems.map(({ buildId, reason }) => [buildId, reason]), [["abcd".padEnd(40, "0"), "not-found"]]);
});

Deno.test("JSON of many objects and lists, which cost far more than their characters, is refused unread", async () => {
  const handler = make({ limits: { maxStacks: 10, maxFrames: 10 } });
  const ask = async (text: string) => (await handler(post(text, JSON_TYPE))).status;
  const nested = (count: number) => `{"stacks":[],"more":${"[".repeat(count)}${"]".repeat(count)}}`;
  assertEquals(await ask(nested(100)), 200);
  assertEquals(await ask(nested(100_000)), 413);
  assertEquals(await ask(`{"stacks":[${"{},".repeat(100_000)}{}]}`), 413);
});

Deno.test("programs of a debuginfod are called by the names it tells, others by their paths", () => {
  const names: [string, string | undefined][] = [
    ["https://d.example/buildid/abcd/executable#/bash", "bash"],
    ["https://d.example/buildid/abcd/debuginfo#/usr/lib/debug/.build-id/ab/cdef0123456789.debug", undefined],
    ["https://d.example/buildid/abcd/executable", undefined],
    ["https://b.example/libx.so?…", "libx.so"],
    ["/home/me/c#/prog?", "prog?"],
    ["memory:abcd/gsym", undefined],
    ["", undefined],
  ];
  for (const [name, base] of names) assertEquals(baseName(name), base);
  const file = { name: names[2][0], files: [names[2][0], names[1][0], names[0][0]] } as unknown as IndexedBinary;
  assertEquals(moduleName(file), "bash");
});

Deno.test("POST /symbolize answers folded stacks and pprof, by query or Accept", async () => {
  const handler = make();
  const body = archive("basic");
  const read = await recording("basic");
  const folded = await (await handler(post(body, GZIP, { query: "?format=folded" }))).text();
  const total = folded.trimEnd().split("\n").reduce((sum, line) => sum + Number(/ (\d+)$/.exec(line)![1]), 0);
  assertEquals(total, [...read.counts.values()].reduce((sum, count) => sum + count, 0));
  assertMatch(folded, /^93ac61ec\+0x2724a \[unknown\];main;a;rec;rec;93ac61ec\+0x101829 \[unknown\] 2$/m);
  assertMatch(folded, /^\[missing stack -17\] 20$/m);
  assertEquals(folded, await (await handler(post(body, GZIP, { headers: { accept: "text/plain" } }))).text());

  const symbolizer = new Symbolizer();
  await symbolizer.add(targetProgram().bytes, { name: "target" });
  const expected = encodePprof(read.stacks, symbolizer.lookupColumns(read.stacks), {
    counts: read.counts,
    binaries: symbolizer.binaries,
    comments: ["no store has 93ac61ec5a8eb1396f9fbd350e3169a558528a40"],
  });
  const packed = await handler(post(body, GZIP, { headers: { accept: "application/octet-stream" } }));
  assertEquals(packed.headers.get("x-stackmap-problems"), "1");
  assertMatch(packed.headers.get("content-disposition")!, /profile\.pb\.gz/);
  assertEquals(new Uint8Array(gunzipSync(new Uint8Array(await packed.arrayBuffer()))), expected);
  const plain = await handler(post(body, GZIP, { query: "?format=pprof&gzip=0" }));
  assertEquals(new Uint8Array(await plain.arrayBuffer()), expected);

  const accepts: [accept: string, type: string][] = [
    ["*/*", "application/json"],
    ["text/html, application/xhtml+xml, */*;q=0.8", "application/json"],
    ["text/*", "text/plain; charset=utf-8"],
    ["application/json;q=0.2, text/plain;q=0.9", "text/plain; charset=utf-8"],
    ["application/vnd.google.protobuf", "application/octet-stream"],
    ["application/json;q=0, */*", "text/plain; charset=utf-8"],
  ];
  for (const [accept, type] of accepts) {
    const response = await handler(post(ONE, JSON_TYPE, { headers: { accept } }));
    assertEquals([response.status, response.headers.get("content-type")], [200, type], accept);
    await response.arrayBuffer();
  }
});

Deno.test("POST /symbolize tells the processes of samples, in each form", async () => {
  const handler = make();
  const body = await encodeRecording(samples());
  const { stacks, processes } = await answerOf(await handler(post(body, GZIP)));
  assertEquals(stacks.map(({ pid }) => pid).slice(0, 5), [10, 10, 11, 10, 12]);
  // Of one process nothing is known but its number.
  assertEquals([stacks.some(({ pid }) => pid === 13), processes!.map(({ pid }) => pid)], [true, [10, 11, 12, 14]]);
  assertEquals(processes![2], { pid: 12, comm: "kworker/0:1" });
  const folded = await (await handler(post(body, GZIP, { query: "?format=folded" }))).text();
  assertMatch(folded, /^node;\[lost stack: EEXIST\] 3$/m);
  assertMatch(folded, /^kworker\/0:1;/m);
  assertMatch(folded, /^\[lost stack: ENOMEM\] 8$/m);
  const packed = await (await handler(post(body, GZIP, { query: "?format=pprof" }))).arrayBuffer();
  const profile = readProfile(new Uint8Array(gunzipSync(new Uint8Array(packed))));
  const byPid = new Map<unknown, number>();
  for (const { labels, value } of profile.samples) {
    byPid.set(`${labels.pid} ${labels.comm}`, (byPid.get(`${labels.pid} ${labels.comm}`) ?? 0) + value[0]);
  }
  assertEquals([...byPid].sort(), [
    ["10 node", 25],
    ["11 node", 2],
    ["12 kworker/0:1", 4],
    ["13 undefined", 8],
    ["14 other", 9],
  ]);
});

Deno.test("POST /symbolize tells a process's name once, however many stacks it has", async () => {
  const rows = 20_000;
  const size = async (comm: string): Promise<number> => {
    const stacks = {
      ...samples().stacks,
      pid: new Uint32Array(rows).fill(10),
      userStack: new Int32Array(rows),
      kernelStack: new Int32Array(rows).fill(-14),
      count: new Float64Array(rows).fill(1),
    };
    const body = await encodeRecording(samples({ stacks, processes: [{ pid: 10, comm }] }));
    return (await (await make()(post(body, GZIP))).text()).length;
  };
  // A control character takes six characters.
  assertEquals(await size("\x9b".repeat(200)) - await size(""), 1200);
});

Deno.test("POST /symbolize adds up folded stacks whose names are equal", async () => {
  const { buildId } = targetProgram();
  const frame = (offset: number) => ({ buildId: toHex(buildId), offset });
  const body = JSON.stringify({
    stacks: [{ frames: [frame(0x11ee)], count: 3 }, { frames: [frame(0x11e1)], count: 4 }, {
      frames: [],
      count: 2,
    }],
  });
  const response = await make()(post(body, JSON_TYPE, { query: "?format=folded&demangle=0" }));
  assertEquals(await response.text(), "rec 7\n[empty stack] 2\n");
});

Deno.test("POST /symbolize streams large answers as one JSON document", async () => {
  const { dump } = manyStacks(1000, 100);
  const response = await make()(post(dump, DUMP));
  const chunks: Uint8Array[] = [];
  for (const reader = response.body!.getReader();;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
  }
  assert(
    chunks.length > 3 && chunks.every((chunk) => chunk.length < 100_000),
    `${chunks.map((one) => one.length)}`,
  );
  const text = new TextDecoder().decode(new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()));
  const { frames, stacks } = JSON.parse(text) as SymbolizeAnswer;
  assertEquals(stacks.length, 1000);
  assert(stacks.every((stack) => stack.frames.length >= 100 && stack.frames.every((f) => f < frames.length)));
  // A reader that leaves ends it.
  const left = (await make()(post(dump, DUMP))).body!;
  const reader = left.getReader();
  await reader.read();
  await reader.cancel();
});

Deno.test("what is wrong with a request is said: status, code and where", async () => {
  const handler = make({ limits: { maxBodyBytes: 100_000, maxStacks: 100, maxFrames: 200, maxBuildIds: 3 } });
  const stacks = (...frames: unknown[]) => JSON.stringify({ stacks: [{ frames }] });
  const frame = { buildId: ID, offset: 1 };
  const bomb = new Uint8Array(gzipSync(new Uint8Array(1 << 24)));
  const cases: [request: Request, status: number, error: string, detail: RegExp][] = [
    [new Request("http://x/"), 404, "not-found", /\/symbolize/],
    [new Request("http://x/symbolize/"), 404, "not-found", /\/symbolize/],
    [new Request("http://x/symbolize"), 405, "method-not-allowed", /only POST/],
    [new Request("http://x/symbolize", { method: "OPTIONS" }), 405, "method-not-allowed", /only POST/],
    [new Request("http://x/healthz", { method: "DELETE" }), 405, "method-not-allowed", /only GET, HEAD/],
    [post(ONE, JSON_TYPE, { headers: { accept: "image/png" } }), 406, "not-acceptable", /text\/plain/],
    [post(ONE, JSON_TYPE, { query: "?format=xml" }), 400, "malformed", /format="xml"/],
    [post(ONE, JSON_TYPE, { query: "?demangle=maybe" }), 400, "malformed", /demangle="maybe"/],
    [post(ONE, "text/html"), 415, "unsupported-type", /"text\/html" is none of/],
    [post(ONE, JSON_TYPE, { headers: { "content-encoding": "br" } }), 415, "unsupported-encoding", /gzip/],
    [post(ONE, JSON_TYPE, { headers: { "content-encoding": "gzip" } }), 400, "malformed", /not gzip/],
    [
      post(new Uint8Array(4069), DUMP),
      400,
      "malformed",
      /^key at offset 4068: the last record has 1 of 4068 bytes$/,
    ],
    [post(new Uint8Array(8), DUMP, { query: "?valueSize=33" }), 400, "malformed", /valueSize=33/],
    [post(new Uint8Array(8), DUMP, { query: "?valueSize=1e3" }), 400, "malformed", /valueSize="1e3"/],
    [post(new Uint8Array(8), DUMP, { query: "?valueSize=99999999999" }), 400, "malformed", /valueSize/],
    [post(new Uint8Array(8), DUMP, { query: "?flags=-1" }), 400, "malformed", /flags/],
    [post(new Uint8Array(100_001), DUMP), 413, "too-large", /more than 100000 bytes/],
    [post(bomb, DUMP, { headers: { "content-encoding": "gzip" } }), 413, "too-large", /bytes unpacked/],
    [post(bomb, GZIP), 413, "too-large", /recording unpacks to more than 100000 bytes/],
    [post(new Uint8Array(101 * 12), DUMP, { query: "?valueSize=8&flags=0" }), 413, "too-large", /100 stacks/],
    [post(JSON.stringify({ stacks: Array(101).fill({ frames: [] }) }), JSON_TYPE), 413, "too-large", /100 stacks/],
    [post(stacks(...Array(201).fill(frame)), JSON_TYPE), 413, "too-large", /200 frames/],
    [
      post(stacks(...["01", "02", "03", "04"].map((buildId) => ({ buildId, offset: 1 }))), JSON_TYPE),
      413,
      "too-large",
      /3 build IDs/,
    ],
    [post(new Uint8Array(10), GZIP), 400, "malformed", /meta\.json at offset 0: is missing/],
    [post(Uint8Array.of(0x1f, 0x8b, 8), GZIP), 400, "malformed", /gzip data at offset 0/],
    [post("{", JSON_TYPE), 400, "malformed", /not JSON/],
    [post(Uint8Array.of(0xff), JSON_TYPE), 400, "malformed", /not UTF-8/],
    [post("[]", JSON_TYPE), 400, "malformed", /^stacks is not a list$/],
    [post('{"stacks":[5]}', JSON_TYPE), 400, "malformed", /^stacks\[0\]\.frames is not a list$/],
    [post(stacks({}), JSON_TYPE), 400, "malformed", /^stacks\[0\]\.frames\[0\] has not one of ip and buildId$/],
    [post(stacks({ ...frame, ip: 1 }), JSON_TYPE), 400, "malformed", /has not one of/],
    [
      post(stacks(frame, { buildId: "../../etc", offset: 1 }), JSON_TYPE),
      400,
      "malformed",
      /frames\[1\]\.buildId "\.\./,
    ],
    [post(stacks({ buildId: "abc", offset: 1 }), JSON_TYPE), 400, "malformed", /2 to 40 hex digits/],
    [post(stacks({ buildId: "", offset: 1 }), JSON_TYPE), 400, "malformed", /2 to 40 hex digits/],
    [post(stacks({ buildId: "ab".repeat(21), offset: 1 }), JSON_TYPE), 400, "malformed", /2 to 40 hex digits/],
    [post(stacks({ buildId: 5, offset: 1 }), JSON_TYPE), 400, "malformed", /not a text/],
    [post(stacks({ buildId: ID }), JSON_TYPE), 400, "malformed", /offset is neither/],
    [post(stacks({ buildId: ID, offset: -1 }), JSON_TYPE), 400, "malformed", /53 bits/],
    [post(stacks({ buildId: ID, offset: 2 ** 53 }), JSON_TYPE), 400, "malformed", /53 bits/],
    [post(stacks({ ip: "0x10000000000000000" }), JSON_TYPE), 400, "malformed", /ip is neither/],
    [post('{"stacks":[{"id":-1,"frames":[]}]}', JSON_TYPE), 400, "malformed", /stacks\[0\]\.id/],
    [post('{"stacks":[{"id":1,"frames":[]},{"frames":[]}]}', JSON_TYPE), 400, "malformed", /stacks\[1\]\.id 1 is/],
    [post('{"stacks":[{"count":1.5,"frames":[]}]}', JSON_TYPE), 400, "malformed", /stacks\[0\]\.count/],
  ];
  for (const [request, status, error, detail] of cases) {
    const response = await handler(request);
    if (status === 405) assert(response.headers.has("allow"));
    const [gotStatus, gotError, gotDetail] = await errorOf(response);
    assertEquals([gotStatus, gotError], [status, error], `${detail}: ${gotDetail}`);
    assertMatch(gotDetail, detail);
  }
});

Deno.test("a token protects everything but /healthz; wrong, short, long, absent ones are refused", async () => {
  const handler = make({ token: ["first-token", "second"] });
  for (const authorization of ["Bearer first-token", "bearer second", "BEARER  second "]) {
    assertEquals((await handler(post(ONE, JSON_TYPE, { headers: { authorization } }))).status, 200);
    assertEquals((await handler(new Request("http://x/metrics", { headers: { authorization } }))).status, 200);
  }
  const wrong = [
    "",
    "Bearer",
    "Bearer ",
    "Basic first-token",
    "first-token",
    "Bearer first-toke",
    "Bearer first-token2",
  ];
  for (const authorization of [...wrong, "Bearer first-token second", `Bearer ${"x".repeat(50_000)}`]) {
    for (const path of ["/symbolize", "/metrics", "/", "/healthz/x"]) {
      const response = await handler(new Request(`http://x${path}`, { headers: { authorization } }));
      assertMatch(response.headers.get("www-authenticate")!, /^Bearer/);
      assertEquals((await errorOf(response))[0], 401);
    }
  }
  const health = await handler(new Request("http://x/healthz"));
  assertEquals([health.status, await health.text()], [200, "ok\n"]);
  assertEquals(await (await handler(new Request("http://x/healthz", { method: "HEAD" }))).text(), "");
  for (const token of ["", [], ["a", ""], "two words", "caf\u00e9"]) {
    let thrown: unknown;
    try {
      make({ token });
    } catch (error) {
      thrown = error;
    }
    assert(thrown instanceof RangeError);
  }
});

Deno.test("pages of the origins named may read answers, and no others", async () => {
  const headers = { origin: "https://a.example", "access-control-request-method": "POST" };
  const ask = (handler: (request: Request) => Promise<Response>, origin: string) =>
    handler(new Request("http://x/symbolize", { method: "OPTIONS", headers: { ...headers, origin } }));
  const some = make({ cors: ["https://a.example"], token: "t" });
  const preflight = await ask(some, "https://a.example");
  assertEquals(preflight.status, 204);
  assertEquals(preflight.headers.get("access-control-allow-origin"), "https://a.example");
  assertEquals(preflight.headers.get("access-control-allow-methods"), "POST");
  assertMatch(preflight.headers.get("access-control-allow-headers")!, /authorization/);
  assertEquals((await ask(some, "https://b.example")).headers.get("access-control-allow-origin"), null);
  assertEquals((await ask(some, "https://b.example")).headers.get("vary"), "origin");
  const refused = await some(post(ONE, JSON_TYPE, { headers: { origin: "https://a.example" } }));
  assertEquals([refused.status, refused.headers.get("access-control-allow-origin")], [401, "https://a.example"]);
  assertEquals(
    (await ask(make({ cors: "*" }), "https://b.example")).headers.get("access-control-allow-origin"),
    "*",
  );
  const none = await ask(make(), "https://a.example");
  assertEquals([none.status, none.headers.get("access-control-allow-origin")], [405, null]);
  make({ cors: ["null", "http://localhost:8000", "chrome-extension://abc"] });
  for (
    const cors of ["https://a.example" as "*", ["*"], ["https://a.example/"], ["a.example"], ["https://A.example"]]
  ) {
    assertThrows(() => make({ cors }), RangeError, "cors");
  }
});

Deno.test("the prefix stands before all paths", async () => {
  const handler = make({ prefix: "/bpf/v1" });
  assertEquals((await handler(new Request("http://x/bpf/v1/healthz"))).status, 200);
  for (const path of ["/healthz", "/bpf/v1", "/bpf/v1healthz", "/bpf/v1//healthz", "/bpf"]) {
    assertEquals((await handler(new Request(`http://x${path}`))).status, 404, path);
  }
  for (const prefix of ["bpf", "/", "/a/", "/a?b"]) {
    let thrown: unknown;
    try {
      make({ prefix });
    } catch (error) {
      thrown = error;
    }
    assert(thrown instanceof RangeError, prefix);
  }
});

Deno.test("a build ID that can't be had fails alone, with its reason", async () => {
  const { bytes, buildId } = targetProgram();
  const inner = memoryStore([{ buildId, item: "executable", bytes }]);
  const store: BinaryStore = {
    find(id, item, options) {
      if (id[0] === 1) {
        return Promise.reject(new StoreError("status", "http://up.test/1: status 500", { status: 500 }));
      }
      if (id[0] === 2) throw new Error("secret of the inside");
      return inner.find(id, item, options);
    },
  };
  const frames = [buildId, new Uint8Array(20).fill(1), new Uint8Array(20).fill(2), new Uint8Array(20).fill(3)].map((
    id,
  ) => (
    { buildId: toHex(id), offset: 0x11ee }
  ));
  const body = JSON.stringify({ stacks: [{ frames }] });
  const response = await make({ store })(post(body, JSON_TYPE));
  assertEquals(response.headers.get("x-stackmap-problems"), "3");
  const answer = await answerOf(response);
  assertEquals(answer.frames.map((frame) => frame.function ?? frame.reason), [
    "rec",
    "no-such-binary",
    "no-such-binary",
    "no-such-binary",
  ]);
  assertEquals(answer.problems.map(({ reason }) => reason).sort(), ["not-found", "status", "unreachable"]);
});

Deno.test("what the symbolizer can't keep together is a problem of its build IDs", async () => {
  const { bytes, buildId } = targetProgram();
  const at = toHex(bytes).indexOf(toHex(buildId)) / 2;
  const ids = [1, 2, 3].map((byte) => new Uint8Array(20).fill(byte));
  const store = memoryStore(ids.map((id) => {
    const copy = bytes.slice();
    copy.set(id, at);
    return { buildId: id, item: "executable", bytes: copy };
  }));
  const handler = make({ store, symbolizer: new Symbolizer({ maxBytes: 1 }), concurrency: 1 });
  const frames = ids.map((id) => ({ buildId: toHex(id), offset: 0x11ee }));
  const answer = await answerOf(await handler(post(JSON.stringify({ stacks: [{ frames }] }), JSON_TYPE)));
  const reasons = answer.frames.map((frame) => frame.function ?? frame.reason).sort();
  assertEquals(reasons, ["evicted", "evicted", "rec"]);
  assertEquals(answer.problems.map(({ reason }) => reason), ["too-large", "too-large"]);
  // One at a time they fit.
  for (const frame of frames) {
    const { frames } = await answerOf(
      await handler(post(JSON.stringify({ stacks: [{ frames: [frame] }] }), JSON_TYPE)),
    );
    assertEquals(frames[0].function, "rec");
  }
});

Deno.test("what nobody expected is a 500 without details, and onError is told", async () => {
  const errors: unknown[] = [];
  const symbolizer = new Symbolizer();
  symbolizer.symbolize = () => Promise.reject(new Error("secret"));
  const handler = make({ symbolizer, onError: (error) => errors.push(error) });
  const response = await handler(post(ONE, JSON_TYPE));
  const text = await response.text();
  assertEquals(response.status, 500);
  assert(!text.includes("secret"));
  assertEquals(errors.map((error) => (error as Error).message), ["secret"]);
});

/** A store that never says whether it has an ELF file; it tells of each signal that was aborted. */
function hanging(): { store: BinaryStore; aborted: unknown[]; asked: Promise<void> } {
  const aborted: unknown[] = [];
  let tell: () => void;
  const asked = new Promise<void>((resolve) => tell = resolve);
  const store: BinaryStore = {
    find: (_id, item, options) => {
      if (item === "gsym") return Promise.resolve(undefined);
      tell();
      const signal = options!.signal!;
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => {
          aborted.push(signal.reason);
          reject(signal.reason);
        })
      );
    },
  };
  return { store, aborted, asked };
}

const OF_UNKNOWN = JSON.stringify({ stacks: [{ frames: [{ buildId: ID, offset: 1 }] }] });

Deno.test("a client that leaves ends the work of the store", async () => {
  const { store, aborted, asked } = hanging();
  const controller = new AbortController();
  const answer = make({ store })(post(OF_UNKNOWN, JSON_TYPE, { signal: controller.signal }));
  await asked;
  controller.abort();
  assertEquals((await answer).status, 499);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert(aborted.length > 0);
  assertEquals((await make()(post(ONE, JSON_TYPE, { signal: controller.signal }))).status, 499);
});

Deno.test("a slow store costs its build IDs, a slow body the request, a full house a 429", async () => {
  const limits = { maxMilliseconds: 60, maxBodyBytes: 1 << 16, maxBodiesBytes: 1 << 16 };
  const { store } = hanging();
  const handler = make({ store, limits });
  const { frames, problems } = await answerOf(await handler(post(OF_UNKNOWN, JSON_TYPE)));
  assertEquals(frames[0].reason, "no-such-binary");
  assertEquals(problems.map(({ reason }) => reason), ["timeout"]);
  let cancelled = false;
  const body = () =>
    new ReadableStream({
      cancel() {
        cancelled = true;
      },
    });
  // The first takes all the room there is, since it does not say how much it needs.
  const first = handler(post(body(), JSON_TYPE));
  const second = handler(post(ONE, JSON_TYPE, { headers: { "content-length": "60" } }));
  assertEquals((await errorOf(await first)).slice(0, 2), [408, "timeout"]);
  assert(cancelled);
  const late = await second;
  assert(late.status === 429 || late.status === 200, `${late.status}`);
  assertEquals((await handler(post(ONE, JSON_TYPE))).status, 200); // there is room again
});

Deno.test("GET /metrics tells of requests, frames, bytes, the store, memory and latency", async () => {
  const handler = make();
  await (await handler(post(archive("basic"), GZIP))).text();
  await handler(post("{", JSON_TYPE));
  await handler(new Request("http://x/nowhere-in-particular"));
  const response = await handler(new Request("http://x/metrics"));
  assertMatch(response.headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  const value = (name: string) =>
    Number(text.split("\n").find((line) => line.startsWith(`${name} `))!.split(" ").pop());
  assertEquals(value('stackmap_requests_total{route="/symbolize",status="200"}'), 1);
  assertEquals(value('stackmap_requests_total{route="/symbolize",status="400"}'), 1);
  assertEquals(value('stackmap_requests_total{route="other",status="404"}'), 1);
  assert(value('stackmap_frames_total{result="resolved"}') > 1000);
  assert(value('stackmap_frames_total{result="no-such-binary"}') > 100);
  assert(value('stackmap_bytes_total{direction="in"}') > 20_000);
  assert(value('stackmap_bytes_total{direction="out"}') > 10_000);
  assertEquals(value('stackmap_store_requests_total{item="executable",result="found"}') > 0, true);
  assert(value("stackmap_retained_bytes") > 0);
  assertEquals(value("stackmap_request_seconds_count"), 2);
  assertEquals(value('stackmap_request_seconds_bucket{le="+Inf"}'), 2);
  for (const line of text.trimEnd().split("\n")) {
    assertMatch(line, /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{.+\})? [\d.e+-]+)$/);
  }
});

Deno.test("warm requests ask the store nothing", async () => {
  const { store, asked } = remembering(targetStore());
  const handler = make({ store });
  const { dump } = manyStacks(10, 30);
  await (await handler(post(dump, DUMP))).text();
  const before = asked.length;
  assert(before > 0);
  for (let i = 0; i < 5; i++) await (await handler(post(dump, DUMP))).text();
  assertEquals(asked.length, before);
});
