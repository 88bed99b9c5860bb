// Hostile requests to both handlers: no 5xx, bounded memory and time, no store asked for what is no build ID.
import { assert, assertEquals, assertMatch } from "@std/assert";
import process from "node:process";
import { gzipSync } from "node:zlib";
import {
  BPF_F_STACK_BUILD_ID,
  buildIdHandler,
  encodeStacks,
  memoryStore,
  parseStoreItem,
  type StoreItem,
  symbolizeHandler,
} from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { toHex } from "../src/base/bytes.ts";
import { writeTar } from "../src/recording/tar_writer.ts";
import { archive, asJson, manyStacks, post, recording, remembering, targetProgram } from "./serve_fixtures.ts";

const REQUESTS = Number(process.env.FUZZ_MUTATIONS || 10_000);
const SEED = Number(process.env.FUZZ_SEED || 1);

const SMUGGLED = [
  "../..",
  "%2e%2e",
  "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
  "..%5c..",
  "http://evil.test/x",
  "//evil.test/",
  "file:///etc/passwd",
  "abcd%00",
  "abcd\\u0000",
  "ab/cd",
  "ABCD\\u0130",
  "0x1234",
  "__proto__",
  "constructor",
  "-1",
  "",
];
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X-ODD"];
const TYPES = [
  "application/json",
  "application/octet-stream",
  "application/gzip",
  "application/x-tar",
  "text/plain",
  "multipart/form-data; boundary=x",
  "application/json; charset=utf-16",
  "a".repeat(3000),
];
const HEADERS: [name: string, values: string[]][] = [
  ["accept", ["*/*", "text/plain", "application/octet-stream", "x", ",".repeat(5000), "*/*;q=-1", "a/b;q=NaN"]],
  ["content-encoding", ["gzip", "gzip, gzip", "br", "identity", "GZIP"]],
  ["content-length", ["0", "5", "-1", "99999999999999", "1e9", "0x10"]],
  ["authorization", ["Bearer", "Bearer x", `Bearer ${"y".repeat(9000)}`, "Basic eDp5"]],
  ["origin", ["null", "https://a.example", "x".repeat(3000)]],
  ["access-control-request-method", ["POST", "GET", "x"]],
  ["range", ["bytes=0-0", "bytes=-1", "bytes=99999-", `bytes=${"0-0,".repeat(1000)}`, "bytes=1e3-", "bytes=-"]],
  ["host", ["evil.test"]],
  ["x-forwarded-for", ["127.0.0.1"]],
];
const NUMBERS = [
  "0",
  "-1",
  "1e999",
  "4294967296",
  "9007199254740993",
  "18446744073709551616",
  "null",
  "{}",
  '"0x"',
];

/** A body, and what it is. */
interface Body {
  type: string;
  body: Uint8Array | string;
}

/** Makes requests out of valid ones. */
class Hostile {
  readonly #random: SeededRandom;
  readonly #bodies: readonly (Body & { body: Uint8Array })[];
  readonly #ids: readonly string[];

  constructor(random: SeededRandom, bodies: readonly (Body & { body: Uint8Array })[], ids: readonly string[]) {
    this.#random = random;
    this.#bodies = bodies;
    this.#ids = ids;
  }

  #of<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)];
  }

  #id(): string {
    return this.#random.chance(0.5) ? this.#of(this.#ids) : this.#of(SMUGGLED);
  }

  #path(): string {
    const random = this.#random;
    switch (random.below(10)) {
      case 0:
        return `/${this.#of(SMUGGLED)}`;
      case 1:
      case 2:
        return `/buildid/${this.#id()}/${
          this.#of(["executable", "debuginfo", "gsym", "source/a.c", "section/.text", ".."])
        }`;
      case 3:
        return `/buildid/${this.#id()}/section/${this.#of(SMUGGLED)}`;
      case 4:
        return this.#of(["/metrics", "/healthz", "/", "/symbolize/", "/SYMBOLIZE", "//symbolize"]);
      default:
        return `/symbolize${this.#query()}`;
    }
  }

  #query(): string {
    const names = ["valueSize", "flags", "littleEndian", "skipped", "format", "demangle", "gzip", "x"];
    const values = [
      "0",
      "1",
      "8",
      "64",
      "4064",
      "4294967295",
      "-1",
      "json",
      "folded",
      "pprof",
      "%00",
      "NaN",
      "0x20",
    ];
    let query = "";
    for (let count = this.#random.below(4); count > 0; count--) query += `&${this.#of(names)}=${this.#of(values)}`;
    return query.replace("&", "?");
  }

  #mutated(base: Uint8Array): Uint8Array {
    const random = this.#random;
    const bytes = base.slice(0, random.chance(0.2) ? random.below(base.length + 1) : base.length);
    if (bytes.length === 0) return bytes;
    for (let change = random.below(6); change > 0; change--) bytes[random.below(bytes.length)] = random.below(256);
    return bytes;
  }

  #json(): string {
    const random = this.#random;
    const frames = Array.from(
      { length: random.below(6) },
      () =>
        random.chance(0.5)
          ? `{"buildId":"${this.#id()}","offset":${random.chance(0.5) ? '"0x1136"' : this.#of(NUMBERS)}}`
          : `{"ip":${random.chance(0.5) ? '"0xffffffff81000000"' : this.#of(NUMBERS)}}`,
    );
    const stack = `{"id":${random.chance(0.5) ? random.below(9) : this.#of(NUMBERS)},"frames":[${frames}]}`;
    switch (random.below(6)) {
      case 0:
        return "[".repeat(random.below(100_000));
      case 1:
        return `{"stacks":${'{"frames":['.repeat(random.below(20_000))}`;
      case 2:
        return `{"stacks":[${Array(random.below(3000)).fill(stack).join()}]}`;
      default:
        return `{"stacks":[${stack}${random.chance(0.1) ? "," : ""}]}`;
    }
  }

  #body(): Body {
    if (this.#random.chance(0.25)) return { type: "application/json", body: this.#json() };
    const { type, body } = this.#of(this.#bodies);
    return { type, body: this.#random.chance(0.4) ? body : this.#mutated(body) };
  }

  request(): Request {
    const random = this.#random;
    const path = this.#path();
    const usual = path.startsWith("/symbolize") ? "POST" : "GET";
    const method = random.chance(0.85) ? usual : this.#of(METHODS);
    const { type, body } = this.#body();
    const headers = new Headers();
    if (random.chance(0.97)) headers.set("content-type", random.chance(0.8) ? type : this.#of(TYPES));
    for (let count = random.below(4) - 1; count > 0; count--) {
      const [name, values] = this.#of(HEADERS);
      headers.set(name, this.#of(values));
    }
    if (method === "OPTIONS" && random.chance(0.5)) {
      headers.set("origin", "https://a.example");
      headers.set("access-control-request-method", "POST");
    }
    const sent = method === "GET" || method === "HEAD" ? null : body;
    return new Request(`http://stackmap.test${path}`, { method, headers, body: sent as BodyInit });
  }
}

Deno.test(`${REQUESTS} hostile requests: no 5xx, and the store sees nothing but valid ids and items`, async () => {
  console.log(`hostile requests: seed ${SEED}, ${REQUESTS} requests`);
  const { bytes, buildId } = targetProgram();
  const { store, asked } = remembering(memoryStore([{ buildId, item: "executable", bytes, name: "target" }]));
  const onError = (error: unknown) => {
    throw new Error("an error that nobody expected", { cause: error });
  };
  const limits = {
    maxBodyBytes: 1 << 18,
    maxBodiesBytes: 1 << 20,
    maxStacks: 2000,
    maxFrames: 10_000,
    maxBuildIds: 64,
  };
  const handlers = [
    symbolizeHandler({ store, onError, limits, cors: ["https://a.example"] }),
    symbolizeHandler({ store, onError, limits, token: "secret" }),
    buildIdHandler({ store, onError }),
  ];
  const small = manyStacks(3, 5);
  const text = (json: string) => new TextEncoder().encode(json);
  const few = `{"stacks":[{"id":1,"frames":[{"buildId":"${
    toHex(buildId)
  }","offset":"0x11ee"},{"ip":"0x401136"}]}]}`;
  const bodies = [
    { type: "application/gzip", body: archive("exhausted") },
    { type: "application/octet-stream", body: small.dump },
    { type: "application/json", body: text(asJson(await recording("exhausted")).slice(0, 4000)) },
    { type: "application/json", body: text(few) },
    { type: "application/json", body: text(few.repeat(2)) },
    { type: "application/octet-stream", body: manyStacks(1, 30).dump },
    { type: "application/gzip", body: new Uint8Array(gzipSync(small.dump)) },
    { type: "application/gzip", body: new Uint8Array(gzipSync(new Uint8Array(1 << 22))) },
    { type: "application/octet-stream", body: new Uint8Array(0) },
  ];
  const hostile = new Hostile(new SeededRandom(SEED), bodies, [toHex(buildId), "abcd", "00".repeat(20)]);
  const statuses = new Map<number, number>();
  // What is used, not what the allocator has set aside: garbage included, so it is a bound on that as well.
  const used = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  let peak = before;
  for (let i = 0; i < REQUESTS; i++) {
    const request = hostile.request();
    const what = `seed ${SEED}, request ${i}: ${request.method} ${request.url}`;
    const which = new URL(request.url).pathname.startsWith("/buildid") ? 2 : i % 8 === 0 ? 1 : 0;
    const start = performance.now();
    const response = await handlers[which](request);
    const answer = await response.arrayBuffer();
    assert(response.status < 500, `${what}: ${response.status}`);
    assert(performance.now() - start < 2000, `${what}: took ${performance.now() - start} ms`);
    assert(answer.byteLength < 1 << 23, `${what}: answered ${answer.byteLength} bytes`);
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    if (i % 100 === 0) peak = Math.max(peak, used());
  }
  const seen = new Set(asked.map(({ id, item }) => `${id} ${item}`));
  for (const one of seen) {
    const [id, item] = one.split(" ");
    assertMatch(id, /^(?:[0-9a-f]{2}){1,32}$/);
    assertEquals(parseStoreItem(item), item as StoreItem);
  }
  const grown = (peak - before) / 2 ** 20;
  console.log(
    [...statuses].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`).join(", ") +
      `; the store was asked for ${seen.size} things; memory grew by ${grown.toFixed(0)} MiB`,
  );
  assert(grown < 300, `memory grew by ${grown} MiB`);
  // Far from all may be refused at the door, else nothing was tested.
  if (REQUESTS >= 1000) {
    for (const status of [200, 204, 400, 401, 404, 405, 406, 413, 415]) {
      assert(statuses.has(status), `no ${status}`);
    }
    assert(statuses.get(200)! > REQUESTS / 30, `${statuses.get(200)} answered`);
  }
});

/** A recording of one stack of so many addresses, each in the one line of its perf map. */
function longName(depth: number, line: string): Uint8Array {
  const text = (content: string) => new TextEncoder().encode(content);
  const frames = Array.from({ length: depth }, (_, i) => ({ status: 2, ip: 0x7f00_0000_0010n + BigInt(i) }));
  const meta = {
    format: "stackmap recording",
    version: 1,
    ...{ name: "x", kernel: "6.18", machine: "x86_64", started: "", seconds: 1, frequency: 99, nrCpus: 1 },
    ...{ depth, userDepth: depth, kernelDepth: 1, uncounted: 0, processes: [], binaries: {} },
  };
  const layout = { valueSize: 32 * depth, mapFlags: BPF_F_STACK_BUILD_ID };
  return gzipSync(writeTar(
    new Map([
      ["meta.json", text(JSON.stringify(meta))],
      ["user.bin", encodeStacks([{ id: 0, frames }], layout)],
      ["kernel.bin", new Uint8Array(0)],
      ["counts.bin", new Uint8Array(Int32Array.of(0, 0, -14, 0, 1, 0).buffer)],
      ["0/perf.map", text(line)],
    ]),
    0,
  ));
}

Deno.test("a name of megabytes that thousands of frames share is neither hashed nor copied for each", async () => {
  const handler = symbolizeHandler({ store: memoryStore([]) });
  const ask = async (body: Uint8Array, format: string) => {
    const query = `?gzip=0&format=${format}`;
    const response = await handler(post(body, "application/gzip", { query }));
    assertEquals(response.status, 200);
    return new Uint8Array(await response.arrayBuffer());
  };
  const depth = 4000;
  const body = longName(depth, `7f0000000000 10000000 ${"a".repeat(3_000_000)}\n`);
  assert(body.length < 20_000);
  const most = { json: depth * 4300, folded: depth * 1100, pprof: depth * 50 };
  for (const [format, bytes] of Object.entries(most)) {
    const start = performance.now();
    const answer = await ask(body, format);
    const took = performance.now() - start;
    console.log(`${format}: ${answer.length} bytes in ${took.toFixed(0)} ms`);
    assert(answer.length < bytes, `${format}: ${answer.length} bytes`);
    assert(took < 5000, `${format}: ${took} ms`);
  }
  // What all frames repeat is bounded, too.
  const frames = longName(20_000, `7f0000000000 10000000 ${"a".repeat(3000)}\n`);
  const { length } = await ask(frames, "json");
  assert(length > 1 << 24 && length < 1.5 * 2 ** 24, `${length} bytes`);
});

Deno.test("answers have no raw control characters, whatever a name has", async () => {
  const handler = symbolizeHandler({ store: memoryStore([]) });
  const hostile = "\u009b31m\u202e\u001b[2J\u2028";
  for (const format of ["json", "folded"]) {
    const body = longName(3, `7f0000000000 1000 ${hostile}\n`);
    const response = await handler(post(body, "application/gzip", { query: `?format=${format}` }));
    const text = await response.text();
    // deno-lint-ignore no-control-regex
    assert(!/[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]/.test(text), JSON.stringify(text));
    if (format === "json") assertEquals(JSON.parse(text).frames[0].function, hostile);
  }
  const refused = await handler(post(`{"stacks":[{"frames":[{"ip":"\u009b"}]}]}`, "application/json"));
  const wrong = await handler(
    post(`{"stacks":[{"frames":[{"buildId":"\u009b","offset":1}]}]}`, "application/json"),
  );
  for (const response of [refused, wrong]) {
    assertEquals(response.status, 400);
    assert(!/[\x7f-\x9f]/.test(await response.text()));
  }
});
