// Owns the tests of GSYM files in the Symbolizer: whole and by ranges, beside ELF files, failing and malformed.
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type ByteSource,
  byteSource,
  type FrameColumns,
  GsymCreator,
  type GsymCreatorOptions,
  PF_R,
  PF_X,
  PT_LOAD,
  RangedGsym,
  type SymbolizedFrame,
  Symbolizer,
} from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";

const ID = Uint8Array.from({ length: 20 }, (_, i) => i + 1);
const TEXT = {
  p_type: PT_LOAD,
  p_flags: PF_R | PF_X,
  p_offset: 0x1000n,
  p_vaddr: 0x40_1000n,
  p_paddr: 0n,
  p_filesz: 0x10_0000n,
  p_memsz: 0x10_0000n,
  p_align: 0x1000n,
};
const COUNT = 4000;

/** 4,000 functions of 64 bytes, each with lines and a call inlined into its second half. */
function gsymFile(options: GsymCreatorOptions = {}): Uint8Array {
  const creator = new GsymCreator({ uuid: ID, segments: [TEXT], ...options });
  for (let i = 0; i < COUNT; i++) {
    const address = 0x40_1000n + BigInt(64 * i);
    creator.add({
      address,
      size: 64,
      name: `function_${i}`,
      lines: [{ address, file: "/src/a.c", line: i + 1 }, {
        address: address + 32n,
        file: `/src/${i % 7}.h`,
        line: 9,
      }],
      inlined: [{
        name: `inlined_${i % 5}`,
        ranges: [{ start: address + 32n, end: address + 64n }],
        callFile: "/src/a.c",
        callLine: i + 2,
      }],
    });
  }
  return creator.toBytes();
}

/** Frames at file offsets, innermost all. */
function framesAt(offsets: readonly number[], id: Uint8Array = ID): FrameColumns {
  return {
    idIndex: new Int32Array(offsets.length),
    offsetHi: new Uint32Array(offsets.length),
    offsetLo: Uint32Array.from(offsets),
    buildIds: id,
  };
}

const names = (frames: SymbolizedFrame[]): string[] =>
  frames.map(({ name, file, line, inlined, source }) =>
    `${name} ${file}:${line}${inlined ? " inlined" : ""} ${source}`
  );

/** A source that counts, waits a turn, and can be made to fail. */
function slowSource(
  bytes: Uint8Array,
): ByteSource & { reads: number; failure: Error | undefined; running: number } {
  const inner = byteSource(bytes);
  return {
    size: bytes.length,
    reads: 0,
    running: 0,
    failure: undefined,
    async read(offset, length, options) {
      this.reads++;
      this.running++;
      try {
        await new Promise((resolve) => setTimeout(resolve, 1));
        options?.signal?.throwIfAborted();
        if (this.failure !== undefined) throw this.failure;
        return await inner.read(offset, length, options);
      } finally {
        this.running--;
      }
    },
  };
}

for (const version of [1, 2] as const) {
  for (const littleEndian of [true, false]) {
    const kind = `version ${version}, ${littleEndian ? "little" : "big"}-endian`;
    Deno.test(`a whole GSYM file answers at once, by its own segments: ${kind}`, async () => {
      const symbolizer = new Symbolizer();
      const bytes = gsymFile({ version, littleEndian });
      const { status, debugInfo, problems } = await symbolizer.add(bytes, { name: "a.gsym" });
      assertEquals([status, debugInfo, problems.length], ["added", true, 0]);
      const found = symbolizer.lookup(ID, 0x1000n + 64n * 10n + 40n);
      assertEquals(found.address, 0x40_1000n + 64n * 10n + 40n);
      assertEquals(names(found.frames), ["inlined_0 /src/3.h:9 inlined GSYM", "function_10 /src/a.c:12 GSYM"]);
      // The byte before a return address is looked up.
      assertEquals(symbolizer.lookup(ID, 0x1040n, { returnAddress: true }).frames[1].name, "function_0");
      assertEquals(symbolizer.lookup(ID, 0x1000n + BigInt(64 * COUNT)).reason, "no-symbol-here");
      assertEquals(symbolizer.lookup(ID, 0x10n).reason, "outside-every-segment");
      assertEquals((await symbolizer.add(bytes)).status, "duplicate");
      assert(symbolizer.retainedBytes >= bytes.length);
    });
  }
}

Deno.test("a GSYM file read by ranges says not-loaded, and symbolize() answers as the whole file does", async () => {
  const bytes = gsymFile();
  const whole = new Symbolizer();
  await whole.add(bytes);
  const random = new SeededRandom(3);
  const offsets = Array.from({ length: 3000 }, () => 0x1000 + random.below(64 * COUNT + 4096));
  const expected = whole.lookupColumns(framesAt(offsets));
  for (const maxBytes of [1 << 24, 1 << 16, 0]) {
    const symbolizer = new Symbolizer();
    const source = slowSource(bytes);
    const gsym = await RangedGsym.open(source, { maxBytes, pageSize: 512 });
    assertEquals((await symbolizer.add(gsym)).status, "added");
    assertEquals(symbolizer.lookup(ID, 0x1000n).reason, "not-loaded");
    assertEquals(symbolizer.lookupColumns(framesAt([0x1000])).reason(0), "not-loaded");
    // Two at once, of which one is stopped.
    const stopped = new AbortController();
    const [answer] = await Promise.all([
      symbolizer.symbolize(framesAt(offsets)),
      assertRejects(
        () => {
          const promise = symbolizer.symbolize(framesAt(offsets.toReversed()), { signal: stopped.signal });
          stopped.abort(new Error("enough"));
          return promise;
        },
        Error,
        "enough",
      ),
    ]);
    assertEquals(answer.failures.size, 0);
    for (let i = 0; i < offsets.length; i++) {
      assertEquals(answer.reason(i), expected.reason(i));
      assertEquals(answer.frames(i), expected.frames(i), `cache of ${maxBytes} bytes, offset ${offsets[i]}`);
    }
    assertEquals(source.running, 0);
  }
});

Deno.test("what keeps parts of a GSYM file from coming is told, other binaries are answered, and it is tried again", async () => {
  const symbolizer = new Symbolizer();
  const source = slowSource(gsymFile());
  await symbolizer.add(await RangedGsym.open(source), { name: "far" });
  const other = ID.toReversed();
  await symbolizer.add(gsymFile({ uuid: other }), { name: "here" });
  const frames = {
    ...framesAt([0x1000, 0x1000, 0x2000]),
    idIndex: Int32Array.of(0, 1, 0),
    buildIds: Uint8Array.of(...ID, ...other),
  };
  source.failure = new Error("the bucket is gone");
  const answer = await symbolizer.symbolize(frames);
  assertEquals([0, 1, 2].map((i) => answer.reason(i)), ["not-loaded", undefined, "not-loaded"]);
  assertEquals([...answer.failures], [[0, source.failure]]);
  source.failure = undefined;
  const again = await symbolizer.symbolize(frames);
  assertEquals([0, 1, 2].map((i) => again.reason(i)), [undefined, undefined, undefined]);
  assertEquals(again.frame(again.first[2]).name, "function_64");
  await assertRejects(
    () => symbolizer.symbolize(frames, { signal: AbortSignal.abort(new Error("no")) }),
    Error,
    "no",
  );
});

Deno.test("segments come from the GSYM file, from program headers, or from the executable, in any order", async () => {
  const bare = gsymFile({ segments: [] });
  const symbolizer = new Symbolizer();
  await symbolizer.add(bare);
  assertEquals(symbolizer.lookup(ID, 0x1000n).reason, "no-segments");
  assertEquals(symbolizer.lookupAddress(ID, 0x40_1000n).frames[0].name, "function_0");
  assertEquals(symbolizer.addSegments([TEXT], { buildId: ID, name: "a.out" }).status, "merged");
  assertEquals(symbolizer.lookup(ID, 0x1000n).frames[0].name, "function_0");
  assertEquals(symbolizer.binary(ID)?.name, "a.out");
  const later = new Symbolizer();
  later.addSegments([TEXT], { buildId: ID });
  assertEquals(later.lookup(ID, 0x1000n).reason, "no-symbols");
  assertEquals((await later.add(bare)).status, "merged");
  assertEquals(later.lookup(ID, 0x1000n).frames[0].name, "function_0");
  const moved = { ...TEXT, p_vaddr: 0x80_0000n };
  assertEquals((await later.add(gsymFile({ segments: [moved] }))).status, "conflict");
});

Deno.test("a GSYM file of another program, or of none, is refused", async () => {
  const symbolizer = new Symbolizer();
  assertEquals((await symbolizer.add(gsymFile(), { buildId: ID.toReversed() })).status, "mismatch");
  const nameless = gsymFile({ uuid: new Uint8Array(0) });
  assertEquals((await symbolizer.add(nameless)).status, "no-build-id");
  assertEquals((await symbolizer.add(nameless, { buildId: ID })).status, "added");
  await assertRejects(() => symbolizer.add(nameless, { buildId: new Uint8Array(0) }), RangeError);
});

Deno.test("what is malformed in a GSYM function is the reason there, and nowhere else", async () => {
  const bytes = gsymFile({ layout: "compact" });
  const view = new DataView(bytes.buffer);
  // Version 1: info offsets behind the address table; the name is at 4 of a FunctionInfo.
  const at = view.getUint32(48 + 4 * COUNT + 4 * 5, true);
  view.setUint32(at + 4, 0xffff_fff0, true);
  const symbolizer = new Symbolizer();
  await symbolizer.add(bytes);
  const found = symbolizer.lookup(ID, 0x1000n + 64n * 5n);
  assert(found.problem !== undefined, JSON.stringify(found.frames));
  assertEquals(symbolizer.lookup(ID, 0x1000n + 64n * 6n).problem, undefined);
  const columns = symbolizer.lookupColumns(framesAt([0x1000 + 64 * 5, 0x1000 + 64 * 6]));
  assertEquals([columns.problem(0) !== undefined, columns.problem(1)], [true, undefined]);
});

Deno.test("binaries with GSYM files are let go of to keep a limit, and can be added again", async () => {
  const size = gsymFile().length;
  const symbolizer = new Symbolizer({ maxBytes: 2.5 * size });
  const ids = [1, 2, 3].map((i) => ID.map((byte) => byte ^ (i << 4)));
  for (const uuid of ids) await symbolizer.add(gsymFile({ uuid }));
  assertEquals(ids.map((id) => symbolizer.lookup(id, 0x1000n).reason), ["evicted", undefined, undefined]);
  assertEquals((await symbolizer.add(gsymFile({ uuid: ids[0] }))).status, "added");
  assertEquals(symbolizer.lookup(ids[0], 0x1000n).reason, undefined);
  assert(symbolizer.retainedBytes <= 2.5 * size);
});
