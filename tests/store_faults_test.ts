// Owns the tests of the debuginfod store against servers that misbehave.
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { gzipSync } from "node:zlib";
import {
  type BinaryStore,
  type DebuginfodOptions,
  debuginfodStore,
  encodeNote,
  NT_GNU_BUILD_ID,
  SHT_NOTE,
  type StoredFile,
} from "../mod.ts";
import { buildElf, makeIdent } from "./elf_builder.ts";
import { type Answer, BUILD_ID, deadUrl, fails, HEX, program, sleep, until, withServer } from "./store_server.ts";

const FILE = program(20_000);
const good: Answer = (response) => void response.end(FILE);
const status = (code: number, headers: Record<string, string> = {}): Answer => (response) => {
  response.writeHead(code, headers);
  response.end("no");
};

/** What makes a store impatient; a loaded machine can need longer for the simplest answer. */
const SOON = { timeoutMs: 80 };
const STALLED = { stallMs: 60 };

function store(servers: string | string[], options: Partial<DebuginfodOptions> = {}): BinaryStore {
  return debuginfodStore({
    servers,
    retries: 1,
    backoffMs: 4,
    negativeTtlMs: 40,
    ...options,
  });
}

function find(servers: string | string[], options?: Partial<DebuginfodOptions>): Promise<StoredFile | undefined> {
  return store(servers, options).find(BUILD_ID, "executable");
}

Deno.test("debuginfodStore() asks for a lowercase build ID, and gives size and bytes", async () => {
  await withServer((response, request) => {
    assertEquals(request.url, `/sub/buildid/${HEX}/executable`);
    response.writeHead(200, { "content-length": FILE.length });
    response.end(FILE);
  }, async ({ url, requests }) => {
    const file = await find(`${url}/sub/`, { maxBytes: 50_000 });
    assertEquals([file?.size, file?.source], [FILE.length, undefined]);
    assertEquals(await file?.bytes(), FILE);
    assertEquals(requests[0].headers["x-debuginfod-maxsize"], "50000");
  });
});

Deno.test("debuginfodStore() escapes a section's name", async () => {
  await withServer((response) => void response.end("x"), async ({ url, requests }) => {
    const file = await store(url).find(BUILD_ID, "section/.a b%?#\\");
    assertEquals(await file?.bytes(), new Uint8Array([120]));
    assertEquals(requests[0].path, `/buildid/${HEX}/section/.a%20b%25%3F%23%5C`);
  });
});

Deno.test("a server that is down is unreachable, and a later one answers", async () => {
  const down = await deadUrl();
  const error = await fails("unreachable", () => find(down));
  assertStringIncludes(error.message, down);
  await withServer(good, async ({ url }) => {
    const file = await find(`${down}  ${url}`);
    assertEquals(await file?.bytes(), FILE);
  });
});

Deno.test("a server that says nothing, that stalls, or drips is a timeout", async () => {
  await withServer(() => {}, async (server) => {
    await fails("timeout", () => find(server.url, SOON));
    assertEquals(server.requests.length, 1);
    assert(await until(() => server.abandoned === 1), "the request is closed");
  });
  await withServer((response) => {
    response.write(FILE.subarray(0, 5000));
  }, async (server) => {
    const file = await find(server.url, STALLED);
    await fails("timeout", () => file!.bytes());
    assert(await until(() => server.abandoned === 1), "the request is closed");
  });
  await withServer((response) => {
    response.write(FILE.subarray(0, 5000));
    const drip = setInterval(() => response.write("x"), 20);
    response.on("close", () => clearInterval(drip));
  }, async ({ url }) => {
    const file = await find(url, { ...STALLED, minBytesPerSecond: 1_000_000 });
    assertStringIncludes((await fails("timeout", () => file!.bytes())).message, "bytes a second");
  });
});

Deno.test("404 is no file, and remembered for a while", async () => {
  await withServer(status(404), async ({ url, requests }) => {
    const one = store(url);
    assertEquals(await one.find(BUILD_ID, "executable"), undefined);
    assertEquals(await one.find(BUILD_ID, "executable"), undefined);
    assertEquals(await one.find(BUILD_ID, "gsym"), undefined);
    assertEquals(requests.length, 1);
    await sleep(50);
    assertEquals(await one.find(BUILD_ID, "executable"), undefined);
    assertEquals(requests.length, 2);
  });
});

Deno.test("500 is asked again, and reported if it stays", async () => {
  await withServer(
    (response, request, n) => (n === 0 ? status(500) : good)(response, request, n),
    async ({ url }) => {
      assertEquals(await (await find(url))?.bytes(), FILE);
    },
  );
  await withServer(status(500), async ({ url, requests }) => {
    const pauses: number[] = [];
    const options = {
      retries: 3,
      backoffMs: 100,
      random: () => 0.5,
      sleep: (ms: number) => Promise.resolve(void pauses.push(ms)),
    };
    const error = await fails("status", () => find(url, options));
    assertEquals([error.status, requests.length, pauses], [500, 4, [75, 150, 300]]);
  });
  await withServer(status(403), async ({ url, requests }) => {
    assertEquals((await fails("status", () => find(url))).status, 403);
    assertEquals(requests.length, 1);
  });
});

Deno.test("Retry-After can be a date, and what is neither number nor date is none", async () => {
  const pauses: number[] = [];
  const options = { sleep: (ms: number) => Promise.resolve(void pauses.push(ms)), random: () => 0 };
  for (const text of [new Date(Date.now() + 3500).toUTCString(), "soon", ""]) {
    await withServer(
      (response, request, n) => (n === 0 ? status(503, { "retry-after": text }) : good)(response, request, n),
      async ({ url }) => assertEquals(await (await find(url, options))?.bytes(), FILE),
    );
  }
  assert(pauses[0] > 1000 && pauses[0] <= 3500, `${pauses[0]} ms`);
  assertEquals(pauses.slice(1), [4, 4]);
});

Deno.test("an abort ends the pause before a retry", async () => {
  await withServer(status(503), async ({ url, requests }) => {
    const controller = new AbortController();
    const found = store(url, { backoffMs: 60_000 }).find(BUILD_ID, "executable", { signal: controller.signal });
    await until(() => requests.length === 1);
    await sleep(10);
    controller.abort(new Error("enough"));
    assertEquals(await found.catch((error) => error.message), "enough");
  });
});

Deno.test("debuginfodStore() refuses servers that are none, and works without any", async () => {
  for (const servers of ["debuginfod.example", "file:///tmp", ["http://"]]) {
    assertThrows(() => debuginfodStore({ servers }), TypeError);
  }
  assertEquals(await find(""), undefined);
  // A browser shows of a redirection nothing but that it is one.
  const hidden = () => Promise.resolve({ status: 0, headers: new Headers(), body: null } as Response);
  await fails("refused", () => find("https://a.example", { fetch: hidden }));
  const broken = () => Promise.reject(new TypeError("fetch failed", { cause: new Error("no such host") }));
  const error = await fails("unreachable", () => find("https://a.example", { fetch: broken }));
  assertEquals(error.message, `https://a.example/buildid/${HEX}/executable: fetch failed: no such host`);
});

Deno.test("Retry-After is heeded within limits", async () => {
  const pauses: number[] = [];
  const options = { sleep: (ms: number) => Promise.resolve(void pauses.push(ms)) };
  await withServer(
    (response, request, n) => (n === 0 ? status(429, { "retry-after": "3" }) : good)(response, request, n),
    async ({ url }) => {
      assertEquals(await (await find(url, options))?.bytes(), FILE);
      assertEquals(pauses, [3000]);
    },
  );
  await withServer(status(503, { "retry-after": "3600" }), async ({ url, requests }) => {
    assertEquals((await fails("status", () => find(url, options))).status, 503);
    assertEquals([requests.length, pauses.length], [1, 1]);
  });
});

Deno.test("a body that breaks off is cut-short, with and without a length", async () => {
  for (const headers of [{ "content-length": FILE.length }, {}]) {
    await withServer((response) => {
      response.writeHead(200, headers);
      response.write(FILE.subarray(0, 9000), () => setTimeout(() => response.destroy(), 5));
    }, ({ url }) => fails("cut-short", async () => (await find(url))!.bytes()));
  }
});

Deno.test("a connection that breaks between headers and body is cut-short, where the body itself throws", async () => {
  const broken = () => {
    const response = new Response("never read");
    Object.defineProperty(response, "body", {
      get() {
        throw new TypeError("ECONNRESET"); // as in Bun
      },
    });
    return Promise.resolve(response);
  };
  await fails("cut-short", async () => (await find("http://localhost", { fetch: broken }))!.bytes());
  // Nobody waits for the answer any more when it comes.
  const late = () => sleep(60).then(broken);
  await fails("timeout", () => find("http://localhost", { fetch: late, timeoutMs: 10 }));
  await sleep(100);
});

Deno.test("another build ID, and what is no ELF file, is never used", async () => {
  const other = program(9000, Uint8Array.of(1, 2, 3, 4));
  for (const bytes of [other, new Uint8Array(9000), new TextEncoder().encode("<html>"), new Uint8Array(0)]) {
    await withServer((response) => void response.end(bytes), async (bad) => {
      await fails("wrong-build-id", () => find(bad.url));
      assert(await until(() => bad.abandoned <= 1));
      await withServer(good, async ({ url }) => {
        for (const mode of ["in-order", "race"] as const) {
          assertEquals(await (await find([bad.url, url], { mode }))?.bytes(), FILE);
        }
      });
    });
  }
});

Deno.test("a debug file whose build ID stands far behind is checked by bytes()", async () => {
  const farBehind = (buildId: Uint8Array) =>
    buildElf({
      sections: [
        { name: ".text", sh_type: 1, contents: new Uint8Array(20_000) },
        {
          name: ".note.gnu.build-id",
          sh_type: SHT_NOTE,
          contents: encodeNote({ n_type: NT_GNU_BUILD_ID, name: "GNU", desc: buildId }, {
            e_ident: makeIdent(true, true),
          }),
        },
      ],
    });
  const right = farBehind(BUILD_ID);
  await withServer((response) => void response.end(right), async ({ url }) => {
    assertEquals(await (await find(url))?.bytes(), right);
    assertEquals(await (await find(url))?.head(5000), right.slice(0, 5000));
    assertEquals(new Uint8Array(await new Response((await find(url))!.stream()).arrayBuffer()), right);
    const one = store(url);
    const both = await Promise.all([1, 2].map(() => one.find(BUILD_ID, "executable")));
    assertEquals(await both[0]?.head(5000), right.slice(0, 5000));
    await both[1]?.cancel();
  });
  const wrong = farBehind(Uint8Array.of(1, 2, 3));
  await withServer((response) => void response.end(wrong), async ({ url }) => {
    const file = await find(url);
    await fails("wrong-build-id", () => file!.bytes());
  });
});

Deno.test("a gzip bomb and an endless body stop at the limit", async () => {
  const bomb = gzipSync(Buffer.concat([FILE, new Uint8Array(30 << 20)]));
  await withServer((response) => {
    response.writeHead(200, { "content-encoding": "gzip", "content-length": bomb.length });
    response.end(bomb);
  }, async ({ url }) => {
    const file = await find(url, { maxBytes: 1 << 20 });
    await fails("too-large", () => file!.bytes());
  });
  await withServer((response) => {
    response.write(FILE);
    const more = () => {
      while (!response.destroyed && response.write(new Uint8Array(65536)));
    };
    response.on("drain", more);
    more();
  }, async (server) => {
    const file = await find(server.url, { maxBytes: 1 << 20 });
    assertEquals(file?.size, undefined);
    await fails("too-large", () => file!.bytes());
    const again = await find(server.url);
    await fails("too-large", () => again!.bytes({ maxBytes: 100_000 }));
    assert(await until(() => server.abandoned === 2), "both are closed");
  });
  await withServer(good, async ({ url }) => {
    await fails("too-large", () => find(url, { maxBytes: 100 }));
  });
  await withServer(status(406), async ({ url }) => {
    await fails("too-large", () => find(url, { maxBytes: 100 }));
  });
});

Deno.test("what gzip unpacks to has the size that X-DEBUGINFOD-SIZE says", async () => {
  const packed = gzipSync(FILE);
  for (
    const [told, reason] of [[FILE.length, undefined], [FILE.length + 1, "cut-short"], [9000, "too-large"]] as const
  ) {
    await withServer((response) => {
      response.writeHead(200, {
        "content-encoding": "gzip",
        "content-length": packed.length,
        "x-debuginfod-size": told,
      });
      response.end(packed);
    }, async ({ url }) => {
      if (reason !== undefined) return void await fails(reason, async () => await (await find(url))!.bytes());
      const file = await find(url);
      assertEquals(file?.size, told);
      assertEquals(await file?.bytes(), FILE);
    });
  }
});

Deno.test("redirections are followed within a host, three times, and elsewhere only if allowed", async () => {
  await withServer((response, request, n) => {
    if (n === 0) status(302, { location: `/moved${request.url}` })(response, request, n);
    else good(response, request, n);
  }, async ({ url, requests }) => {
    assertEquals(await (await find(url))?.bytes(), FILE);
    assertEquals(requests[1].path, `/moved/buildid/${HEX}/executable`);
  });
  await withServer(
    (response, request, n) => status(302, { location: request.url! })(response, request, n),
    async ({ url, requests }) => {
      await fails("refused", () => find(url));
      assertEquals(requests.length, 4);
    },
  );
  await withServer(good, async (target) => {
    await withServer(status(307, { location: `${target.url}/x` }), async ({ url }) => {
      await fails("refused", () => find(url));
      assertEquals(target.requests.length, 0);
      const options = { allowRedirect: () => true, headers: { authorization: "secret" } };
      assertEquals(await (await find(url, options))?.bytes(), FILE);
      assertEquals([target.requests[0].path, target.requests[0].headers.authorization], ["/x", undefined]);
    });
  });
  for (const location of ["file:///etc/passwd", "data:,x", "http://"]) {
    await withServer(status(301, { location }), async ({ url }) => {
      await fails("refused", () => find(url, { allowRedirect: () => true }));
    });
  }
  const fetch = () =>
    Promise.resolve(new Response(null, { status: 301, headers: { location: "http://a.example/" } }));
  await fails("refused", () => find("https://a.example", { fetch, allowRedirect: () => true }));
});

Deno.test("servers that race: the first that has the file wins, the others are closed", async () => {
  await withServer(() => {}, async (silent) => {
    await withServer(status(404), async (none) => {
      await withServer(good, async ({ url }) => {
        const file = await find([silent.url, none.url, url], { mode: "race" });
        assert(await until(() => silent.abandoned === 1), "the slow one is closed");
        assertEquals(await file?.bytes(), FILE);
      });
      const error = await fails("timeout", () => find([silent.url, none.url], { ...SOON, mode: "race" }));
      assertStringIncludes(error.message, silent.url);
    });
  });
});

Deno.test("50 who ask at a time cause one request, and get the same bytes", async () => {
  await withServer((response) => {
    response.write(FILE.subarray(0, 5000));
    setTimeout(() => response.end(FILE.subarray(5000)), 20);
  }, async ({ url, requests }) => {
    const one = store(url);
    const ask = async () => await (await one.find(BUILD_ID, "executable"))!.bytes();
    const all = await Promise.all(Array.from({ length: 50 }, ask));
    assertEquals(requests.length, 1);
    assertEquals(all[0], FILE);
    assert(all.every((bytes) => bytes === all[0]), "one array for all");
    assertEquals(await ask(), FILE);
    assertEquals(requests.length, 2);
  });
});

Deno.test("who gives up leaves the others theirs, and the last one closes the request", async () => {
  let finish = () => {};
  await withServer((response) => {
    response.write(FILE.subarray(0, 5000));
    finish = () => void response.end(FILE.subarray(5000));
  }, async (server) => {
    const one = store(server.url);
    const controllers = Array.from({ length: 10 }, () => new AbortController());
    const ask = async ({ signal }: AbortController) =>
      await (await one.find(BUILD_ID, "executable", { signal }))!.bytes();
    const all = Promise.allSettled(controllers.map(ask));
    await until(() => server.requests.length === 1);
    for (const controller of controllers.slice(1)) controller.abort(new Error("enough"));
    await sleep(10);
    finish();
    const results = await all;
    assertEquals(results[0].status === "fulfilled" && results[0].value, FILE);
    for (const result of results.slice(1)) {
      assertEquals(result.status === "rejected" && result.reason.message, "enough");
    }
    const more = controllers.slice(5).map(() => new AbortController());
    const rest = Promise.allSettled(more.map(ask));
    await until(() => server.requests.length === 2);
    await sleep(10);
    for (const controller of more) controller.abort(new Error("enough"));
    assert((await rest).every((result) => result.status === "rejected"));
    assert(await until(() => server.abandoned === 1), "the request is closed");
  });
});

Deno.test("an abort ends the search, and a head ends the request", async () => {
  await withServer(() => {}, async (server) => {
    const controller = new AbortController();
    const found = store(server.url).find(BUILD_ID, "executable", {
      signal: controller.signal,
    });
    await until(() => server.requests.length === 1);
    controller.abort(new Error("enough"));
    assertEquals(await found.catch((error) => error.message), "enough");
    assert(await until(() => server.abandoned === 1));
  });
  await withServer((response) => void response.write(FILE.subarray(0, 6000)), async (server) => {
    const one = store(server.url);
    const heads = await Promise.all(
      [5000, 64].map(async (length) => (await one.find(BUILD_ID, "executable"))!.head(length)),
    );
    assertEquals(heads, [FILE.slice(0, 5000), FILE.slice(0, 64)]);
    assertEquals(server.requests.length, 1);
    assert(await until(() => server.abandoned === 1));
    const file = await one.find(BUILD_ID, "executable");
    const reader = file!.stream().getReader();
    assert((await reader.read()).value!.length > 0);
    await reader.cancel();
    assert(await until(() => server.abandoned === 2));
    const left = await one.find(BUILD_ID, "executable");
    await left!.cancel();
    assert(await until(() => server.abandoned === 3));
  });
});

Deno.test("stream() gives the whole file, to one and to several", async () => {
  await withServer(good, async ({ url }) => {
    const one = store(url);
    const ask = async () => {
      const file = await one.find(BUILD_ID, "executable");
      return new Uint8Array(await new Response(file!.stream()).arrayBuffer());
    };
    assertEquals(await ask(), FILE);
    assertEquals(await Promise.all([ask(), ask()]), [FILE, FILE]);
  });
});

Deno.test("streams of a large file are opened for each who asks: it is never in memory as a whole", async () => {
  const CHUNK = 1 << 20, COUNT = 12;
  let requests = 0, sent = 0;
  const fetch = () => {
    requests++;
    let n = 0;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        const chunk = new Uint8Array(CHUNK);
        if (n === 0) chunk.set(FILE);
        controller.enqueue(chunk);
        sent++;
        if (++n === COUNT) controller.close();
      },
    }, { highWaterMark: 0 });
    return Promise.resolve(new Response(body, { headers: { "content-length": `${COUNT * CHUNK}` } }));
  };
  const one = store("https://d.example", { fetch });
  const files = await Promise.all([1, 2].map(() => one.find(BUILD_ID, "executable")));
  assertEquals(requests, 1);
  const readers = files.map((file) => file!.stream().getReader());
  for (const reader of readers) assertEquals((await reader.read()).value?.length, CHUNK);
  assert(sent <= 4, `${sent}`);
  assertEquals(requests <= 3, true);
  await readers[0].cancel();
  let length = CHUNK;
  for (let read = await readers[1].read(); !read.done; read = await readers[1].read()) length += read.value.length;
  assertEquals(length, COUNT * CHUNK);
});

Deno.test("times without end are none that end at once", async () => {
  await withServer((response) => void setTimeout(() => response.end(FILE), 20), async ({ url }) => {
    const file = await find(url, { timeoutMs: Infinity, stallMs: Infinity });
    assertEquals((await file!.bytes()).length, FILE.length);
  });
});

Deno.test("a section that a server doesn't know is taken from the file, if that is wanted", async () => {
  await withServer((response, request, n) => {
    if (request.url!.includes("/section/")) status(n % 2 === 0 ? 400 : 404)(response, request, n);
    else if (request.url!.endsWith("debuginfo")) status(404)(response, request, n);
    else good(response, request, n);
  }, async ({ url, requests }) => {
    assertEquals((await fails("status", () => store(url).find(BUILD_ID, "section/.text"))).status, 400);
    assertEquals(await store(url).find(BUILD_ID, "section/.text"), undefined);
    const one = store(url, { sectionsFromFiles: true });
    const file = await one.find(BUILD_ID, "section/.text");
    assertEquals(file?.size, 20_000);
    assertEquals((await file!.bytes())[100], 700 & 255);
    assertEquals(await one.find(BUILD_ID, "section/.nope"), undefined);
    assertEquals(requests.length, 8);
  });
});
