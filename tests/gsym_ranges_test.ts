// Owns tests of reading GSYM files by ranges: which reads are made, what is kept, what aborting and failing do.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type ByteSource, byteSource, GsymReader, RangedGsym } from "../mod.ts";
import { viewOf } from "../src/base/bytes.ts";
import { encodeAppendix, SIZEOF_FOOTER } from "../src/gsym/appendix.ts";
import { GsymCreator } from "../src/gsym/creator.ts";
import { GSYM_MISS, lookupOf } from "../src/gsym/lookup.ts";
import { type Bytes, FORMATS, functionInfo, gsymFile, sampleFile, stringTable } from "./gsym_builder.ts";

interface Watched extends ByteSource {
  reads: [offset: number, length: number][];
  aborted: number;
  most: number;
}

/** A source that answers later, and says what was asked for. @param fail Whether a read fails. */
function watched(bytes: Uint8Array, fail: (read: number) => boolean = () => false): Watched {
  let running = 0;
  const source: Watched = {
    size: bytes.length,
    reads: [],
    aborted: 0,
    most: 0,
    async read(offset, length, { signal } = {}) {
      const number = source.reads.push([offset, length]);
      source.most = Math.max(source.most, ++running);
      try {
        await new Promise<void>((resolve, reject) => {
          const timer = setTimeout(resolve, 2);
          signal?.addEventListener("abort", () => {
            clearTimeout(timer);
            source.aborted++;
            reject(signal.reason);
          });
        });
      } finally {
        running--;
      }
      if (fail(number)) throw new Error(`read ${number} failed`);
      return bytes.slice(offset, offset + length);
    },
  };
  return source;
}

/** A file with many functions. */
function large(functions: number, layout: "ranged" | "compact" = "ranged", version: 1 | 2 = 1): Uint8Array {
  const creator = new GsymCreator({ layout, version, uuid: new Uint8Array(20).fill(3) });
  for (let i = 0; i < functions; i++) {
    const address = 0x1000n + BigInt(i) * 64n;
    const file = `/src/dir${i % 50}/file${Math.floor(i / 20)}.c`;
    creator.add({
      address,
      size: 60,
      name: `a_function_with_quite_a_long_name_${i}`,
      lines: Array.from(
        { length: 6 },
        (_, row) => ({ address: address + BigInt(8 * row), file, line: 10 * i + row }),
      ),
      inlined: [{
        name: `inlined_${i % 100}`,
        ranges: [{ start: address + 8n, end: address + 20n }],
        callFile: file,
        callLine: i,
      }],
    });
  }
  return creator.toBytes();
}

const LARGE = large(40_000);
const MEMORY = new GsymReader(LARGE);

for (const format of FORMATS) {
  const order = format.littleEndian ? "little" : "big";
  Deno.test(`by pages a file of version ${format.version}, ${order}-endian, answers as in memory`, async () => {
    const bytes = sampleFile(format);
    const memory = new GsymReader(bytes);
    const gsym = await RangedGsym.open(byteSource(bytes), { pageSize: 512 });
    assertEquals([gsym.version, gsym.littleEndian, gsym.functionCount], [format.version, format.littleEndian, 5]);
    assertEquals([gsym.uuid, gsym.baseAddress, gsym.segments], [memory.uuid, memory.baseAddress, undefined]);
    for (let offset = -2n; offset < 0x500n; offset++) {
      assertEquals(await gsym.lookup(0x40_0000n + offset), memory.lookup(0x40_0000n + offset));
    }
  });
}

Deno.test("a cold lookup takes 5 requests and 128 KiB where the file has blocks", async () => {
  for (const index of [0, 1, 777, 20_000, 39_999]) {
    const source = watched(LARGE);
    const gsym = await RangedGsym.open(source);
    assertEquals(gsym.requests, 1);
    const address = MEMORY.functionAddress(index) + 9n;
    assertEquals(await gsym.lookup(address), MEMORY.lookup(address));
    assert(gsym.requests <= 5, `${gsym.requests} requests: ${JSON.stringify(source.reads)}`);
    assert(gsym.bytesRead <= 128 * 1024, `${gsym.bytesRead} bytes`);
    assertEquals(gsym.requests, source.reads.length);
    const before = gsym.requests;
    await gsym.lookup(address + 16n);
    assertEquals(gsym.requests, before, "warm");
  }
});

Deno.test("without blocks a lookup answers the same, in a few rounds", async () => {
  const compact = large(15_000, "compact");
  const functions = Array.from({ length: 30_000 }, (_, i) => i);
  const plain = gsymFile({
    ...FORMATS[0],
    base: 0x1000n,
    addrOffSize: 4,
    functions: functions.map((i) => [i * i, functionInfo(FORMATS[0], 1, 1, [])]),
    strings: stringTable("f").strings,
    files: [[0, 0]],
    uuid: new Uint8Array(0),
  });
  for (
    const [bytes, index] of [[compact, 3], [compact, 11_234], [plain, 0], [plain, 12_345], [plain, 29_999]] as const
  ) {
    const memory = new GsymReader(bytes);
    const gsym = await RangedGsym.open(byteSource(bytes));
    const address = memory.functionAddress(index);
    assertEquals(await gsym.lookup(address), memory.lookup(address));
    assert(gsym.requests <= 12, `${gsym.requests} requests`);
    assertEquals(await gsym.lookup(0xfffn), undefined);
  }
});

Deno.test("concurrent lookups share reads; many addresses take few", async () => {
  const source = watched(LARGE);
  const gsym = await RangedGsym.open(source);
  const address = MEMORY.functionAddress(10_000);
  const answers = await Promise.all(Array.from({ length: 200 }, () => gsym.lookup(address)));
  for (const answer of answers) assertEquals(answer, MEMORY.lookup(address));
  assert(gsym.requests <= 5, `${gsym.requests} requests`);
  assert(source.most >= 3, "reads of one round run at the same time");

  const all = await RangedGsym.open(byteSource(LARGE), { maxBytes: 1 << 20 });
  const addresses = BigUint64Array.from(
    { length: 3000 },
    (_, i) => 0x1000n + BigInt((i * 7919) % 40_000) * 64n + 10n,
  );
  const found = await all.lookupAll(addresses);
  addresses.forEach((one, i) => assertEquals(found[i], MEMORY.lookup(one)));
  assert(all.cachedBytes <= 2 << 20, `${all.cachedBytes} bytes are kept`);
});

Deno.test("a cache that is too small for one lookup still answers", async () => {
  const gsym = await RangedGsym.open(byteSource(LARGE), { maxBytes: 0, pageSize: 512 });
  const addresses = Array.from({ length: 50 }, (_, i) => MEMORY.functionAddress(i * 800) + 3n);
  const found = await Promise.all(addresses.map((address) => gsym.lookup(address)));
  assertEquals(found, addresses.map((address) => MEMORY.lookup(address)));
});

Deno.test("an aborted lookup rejects; a read goes on while somebody waits for it", async () => {
  const source = watched(LARGE);
  const gsym = await RangedGsym.open(source);
  const address = MEMORY.functionAddress(5000);
  const first = new AbortController();
  const aborted = gsym.lookup(address, { signal: first.signal });
  const other = gsym.lookup(address);
  await Promise.resolve();
  await Promise.resolve();
  first.abort(new Error("enough"));
  await assertRejects(() => aborted, Error, "enough");
  assertEquals(await other, MEMORY.lookup(address));
  assertEquals(source.aborted, 0);

  const second = new AbortController();
  const far = MEMORY.functionAddress(35_000);
  const alone = gsym.lookup(far, { signal: second.signal });
  await new Promise((resolve) => setTimeout(resolve, 0));
  second.abort(new Error("enough"));
  await assertRejects(() => alone, Error, "enough");
  assert(source.aborted > 0);
  assertEquals(await gsym.lookup(far), MEMORY.lookup(far), "it can be asked for again");
  await assertRejects(() => gsym.lookup(far, { signal: AbortSignal.abort(new Error("before")) }), Error, "before");
  await assertRejects(
    () => RangedGsym.open(source, { signal: AbortSignal.abort(new Error("open")) }).then(),
    Error,
  );
});

Deno.test("a failed read rejects the lookups that need it, and is not remembered", async () => {
  const gsym = await RangedGsym.open(watched(LARGE, (read) => read === 2));
  const address = MEMORY.functionAddress(5000);
  await assertRejects(() => gsym.lookup(address), Error, "read 2 failed");
  assertEquals(await gsym.lookup(address), MEMORY.lookup(address));
  const short: ByteSource = { size: 1000, read: () => Promise.resolve(new Uint8Array(3)) };
  await assertRejects(() => RangedGsym.open(short), RangeError);
  // What breaks the contract rejects as well: nothing hangs, nothing is thrown where nobody hears it.
  for (const wrong of [[1, 2, 3], null, undefined, "abc"]) {
    let reads = 0;
    const source = byteSource(LARGE);
    const later = await RangedGsym.open({
      size: LARGE.length,
      read: (offset, length) =>
        ++reads === 1 ? source.read(offset, length) : Promise.resolve(wrong as unknown as Uint8Array),
    });
    await assertRejects(() => later.lookup(address), TypeError);
  }
});

Deno.test("blocks that lie change no answer", async () => {
  for (const format of [FORMATS[0], FORMATS[3]]) {
    const { strings, at } = stringTable("f", "g");
    const functions = Array.from({ length: 3000 }, (_, i): [number, Bytes] => [
      16 * i,
      functionInfo(format, 16, i % 2 === 0 ? at.f : at.g, []),
    ]);
    for (let lie = 0; lie < 6; lie++) {
      const bytes = gsymFile({
        ...format,
        base: 0x1000n,
        addrOffSize: 4,
        functions,
        strings,
        files: [[0, 0]],
        uuid: new Uint8Array(0),
        appendix: ({ infos, end, strings, files }) => ({
          blocks: {
            first: lie === 1
              ? Uint32Array.of(0, 7, 14, 21)
              : lie === 2
              ? Uint32Array.of(2 ** 31, 5, 0, 3000)
              : Uint32Array.of(0, 1000, 2000, 3000),
            address: lie === 3 ? Float64Array.of(32000, 16000, 0, 0) : Float64Array.of(0, 16000, 32000, 48000),
            infos: lie === 4
              ? Uint32Array.of(end, 3, 0xffff_ffff, 0)
              : Uint32Array.of(infos[0], infos[1000] + (lie === 5 ? 4 : 0), infos[2000], end),
            strings: Uint32Array.of(strings, strings, strings, strings),
            files: Uint32Array.of(files, files, files, files + (lie === 0 ? 4 : 8 * 3)),
          },
        }),
      });
      const memory = new GsymReader(bytes);
      const gsym = await RangedGsym.open(byteSource(bytes), { pageSize: 512 });
      for (const index of [0, 6, 7, 999, 1000, 1500, 2999]) {
        const address = memory.functionAddress(index) + 2n;
        assertEquals(await gsym.lookup(address), memory.lookup(address), `lie ${lie}, function ${index}`);
      }
    }
  }
});

Deno.test("a block that ends before it begins makes no room for a hint of any size", async () => {
  const footer = viewOf(LARGE).getUint32(LARGE.length - SIZEOF_FOOTER, true);
  const tables = LARGE.subarray(0, LARGE.length - footer);
  for (const piece of ["infos", "files"] as const) {
    const blocks = {
      address: Float64Array.of(0, 64 * 40_000),
      first: Uint32Array.of(0, 40_000),
      infos: Uint32Array.of(0, 0),
      files: Uint32Array.of(0, 0),
      strings: Uint32Array.of(0, tables.length),
      [piece]: Uint32Array.of(0xffff_ffff, 0),
    };
    const appendix = encodeAppendix({ blocks }, true);
    const bytes = new Uint8Array(tables.length + appendix.length);
    bytes.set(tables);
    bytes.set(appendix, tables.length);
    const gsym = await RangedGsym.open(byteSource(bytes));
    const address = MEMORY.functionAddress(20_000) + 9n;
    assertEquals(await gsym.lookup(address), MEMORY.lookup(address));
    assert(gsym.bytesRead <= 512 * 1024, `${gsym.bytesRead} bytes`);
  }
});

Deno.test("names and room for pages stay within limits, however long a reader is used", async () => {
  const maxBytes = 1 << 18;
  const gsym = await RangedGsym.open(byteSource(LARGE), { maxBytes });
  const first = lookupOf(gsym);
  while (first.lookup(0, 0x1009) === GSYM_MISS) await first.fetchMissing();
  const name = first.name(1);
  const reader = new GsymReader(LARGE);
  let most = 0;
  for (let from = 0; from < 12_000; from += 2000) {
    const addresses = Array.from({ length: 2000 }, (_, i) => 0x1000n + BigInt(64 * (from + i)));
    const found = await gsym.lookupAll(addresses);
    assertEquals(found[1999]?.frames[0].name, `a_function_with_quite_a_long_name_${from + 1999}`);
    assertEquals(found[1999], reader.lookup(addresses[1999]));
    most = Math.max(most, lookupOf(gsym).names.retainedBytes);
  }
  assert(lookupOf(gsym) !== first && most < 2 << 20, `${most} bytes of names`);
  assertEquals(first.functions.names[name], "a_function_with_quite_a_long_name_0");
  assertEquals([reader.file(1), MEMORY.functionCount], ["/src/dir0/file0.c", 40_000]);

  await Promise.all(Array.from({ length: 500 }, (_, i) => gsym.lookup(0x1000n + BigInt(64 * 79 * i))));
  for (let i = 0; i < 20; i++) await gsym.lookup(0x1000n + BigInt(64 * 1999 * i));
  const { retainedBytes, names, window } = lookupOf(gsym);
  assert(window.pages!.roomBytes <= 4 * maxBytes, `room for ${window.pages!.roomBytes} bytes`);
  assert(retainedBytes >= window.pages!.roomBytes + names.retainedBytes);
});

Deno.test("many lookups may miss before one fetch, as the symbolizer does it", async () => {
  const gsym = await RangedGsym.open(byteSource(LARGE));
  const lookup = lookupOf(gsym);
  let left = Array.from({ length: 300 }, (_, i) => 0x1000 + 64 * ((i * 131) % 40_000) + 9);
  let rounds = 0;
  while (left.length > 0) {
    assert(++rounds < 40);
    left = left.filter((address) => {
      const count = lookup.lookup(0, address);
      if (count === GSYM_MISS) return true;
      assertEquals(count, 2);
      assertEquals(
        lookup.functions.names[lookup.name(1)],
        `a_function_with_quite_a_long_name_${(address - 0x1009) / 64}`,
      );
      return false;
    });
    await lookup.fetchMissing();
  }
  assert(lookup.retainedBytes >= gsym.cachedBytes);
});
