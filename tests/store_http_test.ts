// Owns the tests of the store over HTTP with ranges, against servers that have them, have not, or get them wrong.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type BinaryStore, httpStore, type HttpStoreOptions, StoreError, type StoreItem } from "../mod.ts";
import { encodeAppendix } from "../src/gsym/appendix.ts";
import { concat } from "./elf_builder.ts";
import { type Answer, BUILD_ID, fails, HEX, program, ranged, sleep, until, withServer } from "./store_server.ts";

const FILE = program(100_000);
const ETAG = { etag: '"one"' };

function store(base: string, options: Partial<HttpStoreOptions> = {}): BinaryStore {
  return httpStore({ url: (hex, item) => `${base}/${item}/${hex}`, retries: 1, backoffMs: 4, ...options });
}

/** A GSYM file of version 1 without functions, as far as its head goes. */
function gsym(size: number, { appendix = false, littleEndian = true, buildId = BUILD_ID } = {}): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x4753594d, littleEndian);
  view.setUint16(4, 1, littleEndian);
  bytes[6] = 4;
  bytes[7] = buildId.length;
  bytes.set(buildId, 28);
  return appendix ? concat(bytes, encodeAppendix({ head: bytes.slice(0, 48) }, littleEndian)) : bytes;
}

/** A GSYM file of version 2, its UUID behind its directory. */
function gsymV2(buildId: Uint8Array, at: number = 60): Uint8Array {
  const bytes = new Uint8Array(at + buildId.length + 100);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x4753594d, true);
  view.setUint16(4, 2, true);
  view.setUint32(20, 6, true);
  view.setBigUint64(24, BigInt(at), true);
  view.setBigUint64(32, BigInt(buildId.length), true);
  bytes.set(buildId, at);
  return bytes;
}

Deno.test("names and messages tell no password, and no query, which can be a signature", async () => {
  const url = "https://me:pw@b.example/x?signature=abc";
  const refusing = (): Promise<Response> => Promise.reject(new TypeError(`error sending request for url (${url})`));
  for (const fetch of [refusing, () => Promise.resolve(new Response(null, { status: 500 }))]) {
    const error = await store("", { url: () => url, retries: 0, fetch }).find(BUILD_ID, "executable").catch((e) =>
      e
    );
    assert(error instanceof StoreError);
    assertStringIncludes(error.message, "https://b.example/x?…");
    assert(!/pw|abc/.test(error.message), error.message);
  }
  const fetch = () => Promise.resolve(new Response(FILE.slice()));
  const file = await store("", { url: () => url, fetch }).find(BUILD_ID, "executable");
  assertEquals(file?.name, "https://b.example/x?…");
  await file?.cancel();
});

Deno.test("httpStore() learns size and head from its first request, and reads exact ranges", async () => {
  await withServer(ranged(FILE, ETAG), async ({ url, requests }) => {
    const file = await store(url, { headers: { authorization: "x" } }).find(BUILD_ID, "executable");
    assertEquals([file?.name, file?.size], [`${url}/executable/${HEX}`, FILE.length]);
    assertEquals(await file?.head(100), FILE.slice(0, 100));
    const source = file!.source!;
    assertEquals(await source.read(64, 4000), FILE.slice(64, 4064));
    assertEquals(requests.map(({ headers }) => headers.range), ["bytes=0-4095"]);
    assertEquals(await source.read(50_000, 1000), FILE.slice(50_000, 51_000));
    assertEquals(await source.read(4000, 1000), FILE.slice(4000, 5000));
    assertEquals(await source.read(FILE.length, 0), new Uint8Array(0));
    const { headers } = requests[1];
    assertEquals([headers.range, headers["if-range"], headers.authorization], ["bytes=50000-50999", '"one"', "x"]);
    assertEquals(requests[2].headers.range, "bytes=4096-4999");
    assertEquals(await file?.bytes(), FILE);
    assertEquals(requests[3].headers.range, `bytes=4096-${FILE.length - 1}`);
    assertEquals(new Uint8Array(await new Response(file!.stream()).arrayBuffer()), FILE);
    assertEquals(requests.length, 5);
    const outside = await source.read(FILE.length - 1, 2).catch((error) => error);
    assert(outside instanceof RangeError);
  });
});

Deno.test("httpStore() begins a GSYM file at its end, and reads its UUID from there", async () => {
  const file = gsym(100_000, { appendix: true });
  await withServer(ranged(file, ETAG), async ({ url, requests }) => {
    const found = await store(url).find(BUILD_ID, "gsym");
    assertEquals(await found!.source!.read(file.length - 30_000, 30_000), file.slice(-30_000));
    assertEquals(requests.map(({ headers }) => headers.range), ["bytes=-32768"]);
    assertEquals(await found!.bytes(), file);
    assertEquals(requests[1].headers.range, `bytes=0-${file.length - 32768 - 1}`);
  });
});

Deno.test("httpStore() checks the UUID of GSYM files of both versions and byte orders", async () => {
  for (const littleEndian of [true, false]) {
    for (const appendix of [true, false]) {
      for (const size of [60, 100_000]) {
        await withServer(ranged(gsym(size, { appendix, littleEndian })), async ({ url }) => {
          assertEquals((await store(url).find(BUILD_ID, "gsym"))!.source!.size > 59, true);
          await fails("wrong-build-id", () => store(url).find(Uint8Array.of(1, 2), "gsym"));
        });
      }
    }
  }
  const long = Uint8Array.from({ length: 32 }, (_, i) => i);
  for (const at of [60, 9000]) {
    await withServer(ranged(gsymV2(long, at)), async ({ url }) => {
      assert(await store(url).find(long, "gsym"));
      await fails("wrong-build-id", () => store(url).find(BUILD_ID, "gsym"));
    });
  }
  for (const bytes of [gsym(60, { buildId: new Uint8Array(0) }), new Uint8Array(60), FILE]) {
    await withServer(ranged(bytes), async ({ url }) => {
      await fails("wrong-build-id", () => store(url).find(BUILD_ID, "gsym"));
    });
  }
});

Deno.test("httpStore() takes the whole from a server without ranges", async () => {
  for (const headers of [{ "content-length": FILE.length }, {}]) {
    await withServer((response) => {
      response.writeHead(200, headers);
      response.end(FILE);
    }, async ({ url, requests }) => {
      const find = () => store(url).find(BUILD_ID, "executable");
      const file = await find();
      assertEquals([file?.source, file?.size], [undefined, headers["content-length"]]);
      assertEquals(await file?.bytes(), FILE);
      assertEquals(await (await find())?.head(5000), FILE.slice(0, 5000));
      assertEquals(new Uint8Array(await new Response((await find())!.stream()).arrayBuffer()), FILE);
      assertEquals(requests.length, 3);
    });
  }
});

Deno.test("httpStore() reads files shorter than its first range, and empty ones", async () => {
  const small = program();
  await withServer(ranged(small), async ({ url, requests }) => {
    const file = await store(url).find(BUILD_ID, "executable");
    assertEquals(await file?.bytes(), small);
    assertEquals(requests.length, 1);
  });
  for (const item of ["section/.x", "executable", "gsym"] as StoreItem[]) {
    await withServer(ranged(new Uint8Array(0)), async ({ url }) => {
      if (item !== "section/.x") return void await fails("wrong-build-id", () => store(url).find(BUILD_ID, item));
      const file = await store(url).find(BUILD_ID, item);
      assertEquals([file?.size, await file?.bytes()], [0, new Uint8Array(0)]);
    });
  }
  // A server that can't do suffixes.
  const whole = gsym(60);
  await withServer((response, request) => {
    response.writeHead(request.headers.range === undefined ? 200 : 416);
    response.end(request.headers.range === undefined ? whole : "");
  }, async ({ url }) => {
    assertEquals(await (await store(url).find(BUILD_ID, "gsym"))?.bytes(), whole);
  });
});

Deno.test("httpStore() refuses ranges that it did not ask for", async () => {
  const answers: Record<string, Answer> = {
    "another range": (response) => {
      response.writeHead(206, { "content-range": `bytes 1-4096/${FILE.length}` });
      response.end(FILE.subarray(1, 4097));
    },
    "a shorter range": (response) => {
      response.writeHead(206, { "content-range": `bytes 0-99/${FILE.length}` });
      response.end(FILE.subarray(0, 100));
    },
    "no range": (response) => {
      response.writeHead(206);
      response.end(FILE);
    },
    "no size": (response) => {
      response.writeHead(206, { "content-range": "bytes 0-4095/*" });
      response.end(FILE.subarray(0, 4096));
    },
    "several ranges": (response) => {
      response.writeHead(206, { "content-type": "multipart/byteranges; boundary=x" });
      response.end("--x--");
    },
    "more bytes than it says": (response) => {
      response.writeHead(206, { "content-range": `bytes 0-4095/${FILE.length}` });
      response.end(FILE);
    },
  };
  for (const answer of Object.values(answers)) {
    await withServer(answer, async ({ url }) => {
      await fails("refused", () => store(url).find(BUILD_ID, "executable"));
    });
  }
  await withServer((response) => {
    response.writeHead(206, { "content-range": `bytes 0-4095/${FILE.length}` });
    response.end(FILE.subarray(0, 4000));
  }, async ({ url }) => {
    await fails("cut-short", () => store(url).find(BUILD_ID, "executable"));
  });
  // Right at first, wrong later.
  for (
    const [later, reason] of [[answers["another range"], "refused"], [answers["no range"], "refused"]] as const
  ) {
    await withServer(
      (response, request, n) => (n === 0 ? ranged(FILE) : later)(response, request, n),
      async ({ url }) => {
        const file = await store(url).find(BUILD_ID, "executable");
        await fails(reason, () => file!.source!.read(50_000, 10));
      },
    );
  }
});

Deno.test("httpStore() gives nothing of a file that changed meanwhile", async () => {
  const changed = { etag: '"two"' };
  const later: Record<string, Answer> = {
    "If-Range answered with the whole": ranged(FILE, changed),
    "If-Range ignored": (response, request, n) => {
      delete request.headers["if-range"];
      ranged(FILE, changed)(response, request, n);
    },
    "another size": (response, request, n) => {
      delete request.headers["if-range"];
      ranged(FILE.subarray(0, 90_000), ETAG)(response, request, n);
    },
    "412": (response) => {
      response.writeHead(412);
      response.end();
    },
    "416": ranged(FILE.subarray(0, 5000), ETAG),
  };
  for (const answer of Object.values(later)) {
    await withServer(
      (response, request, n) => (n === 0 ? ranged(FILE, ETAG) : answer)(response, request, n),
      async ({ url }) => {
        const file = await store(url).find(BUILD_ID, "executable");
        assertStringIncludes((await fails("refused", () => file!.source!.read(50_000, 10))).message, "changed");
        await fails("refused", () => file!.bytes());
        assertEquals(await file!.source!.read(0, 4), FILE.slice(0, 4));
      },
    );
  }
  for (const headers of [{ "last-modified": "Sun, 22 Nov 2026 09:01:50 GMT" }, { etag: 'W/"weak"' }]) {
    await withServer(ranged(FILE, headers as Record<string, string>), async ({ url, requests }) => {
      const file = await store(url).find(BUILD_ID, "executable");
      assertEquals(await file!.source!.read(50_000, 10), FILE.slice(50_000, 50_010));
      assertEquals(requests[1].headers["if-range"], headers["last-modified"]);
    });
  }
});

Deno.test("httpStore() says what is absent, what is an error, and where it asks nobody", async () => {
  await withServer((response, request) => {
    response.writeHead(Number(request.url!.slice(1, 4)));
    response.end();
  }, async ({ url, requests }) => {
    const find = (code: number, options: Partial<HttpStoreOptions> = {}) =>
      httpStore({ url: () => `${url}/${code}`, retries: 0, ...options }).find(BUILD_ID, "gsym");
    assertEquals(await find(404), undefined);
    assertEquals(await find(410), undefined);
    assertEquals((await fails("status", () => find(403))).status, 403);
    assertEquals(await find(403, { absentStatuses: [403] }), undefined);
    assertEquals((await fails("status", () => find(500))).status, 500);
    const before = requests.length;
    assertEquals(await store("").find(new Uint8Array(33), "gsym"), undefined);
    assertEquals(await httpStore({ url: () => undefined }).find(BUILD_ID, "gsym"), undefined);
    assertEquals(requests.length, before);
  });
});

Deno.test("httpStore() refuses ranges that are packed, and reports what a later read meets", async () => {
  await withServer((response) => {
    response.writeHead(206, { "content-range": `bytes 0-4095/${FILE.length}`, "content-encoding": "x-what" });
    response.end(FILE.subarray(0, 4096));
  }, async ({ url }) => void await fails("refused", () => store(url).find(BUILD_ID, "executable")));
  await withServer((response, request, n) => {
    if (n === 0) return ranged(FILE)(response, request, n);
    response.writeHead(n === 1 ? 403 : 206, { "content-range": `bytes 5000-5009/${FILE.length}` });
    response.end("12345");
  }, async ({ url }) => {
    const file = await store(url).find(BUILD_ID, "executable");
    assertEquals((await fails("status", () => file!.source!.read(5000, 10))).status, 403);
    await fails("cut-short", () => file!.source!.read(5000, 10));
    const reader = file!.stream().getReader();
    assertEquals((await reader.read()).value, FILE.slice(0, 4096));
    await reader.cancel();
  });
});

Deno.test("httpStore() keeps its limit, and an abort ends its reads", async () => {
  await withServer((response, request, n) => {
    if (n === 0) return ranged(FILE)(response, request, n);
    response.writeHead(206, { "content-range": `bytes 50000-50999/${FILE.length}`, "content-length": 1000 });
    response.write("x");
  }, async (server) => {
    const file = await store(server.url, { maxBytes: 50_000 }).find(BUILD_ID, "executable");
    await fails("too-large", () => file!.bytes());
    await fails("too-large", () => new Response(file!.stream()).arrayBuffer());
    const controller = new AbortController();
    const read = file!.source!.read(50_000, 1000, { signal: controller.signal }).catch((error) => error.message);
    await until(() => server.requests.length === 2);
    await sleep(10);
    controller.abort(new Error("enough"));
    assertEquals(await read, "enough");
    assert(await until(() => server.abandoned === 1));
    const again = file!.source!.read(50_000, 1000).catch((error) => error.name);
    await until(() => server.requests.length === 3);
    await sleep(10);
    await file!.cancel();
    assertEquals(await again, "AbortError");
    assert(await until(() => server.abandoned === 2));
  });
});
