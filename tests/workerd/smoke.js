// Owns what the smoke test does inside workerd: the main job and a few calls into each room, through the bundle only.
// Each exported object with a test() is one test. To cover a new room, add one below.
// deno-lint-ignore-file -- stackmap.js is made by workerd_test.ts
import * as stackmap from "./stackmap.js";
import expected from "./expected.json";
import program_bin from "./program.bin";

function same(actual, expected) {
  const show = (value) => JSON.stringify(value, (_, v) => typeof v === "bigint" ? `${v}n` : v);
  if (show(actual) !== show(expected)) throw new Error(`${show(actual)} is not ${show(expected)}`);
}

export const noHostGlobals = {
  test() {
    same([typeof Deno, typeof Bun, typeof require], ["undefined", "undefined", "undefined"]);
  },
};

export const uapi = {
  test() {
    const build_id = new Uint8Array(20).fill(0xab);
    for (const littleEndian of [true, false]) {
      const bytes = stackmap.encodeStackBuildId({ status: 1, build_id, offset: 0x1122334455667788n }, littleEndian);
      same(bytes.length, stackmap.SIZEOF_BPF_STACK_BUILD_ID);
      same(bytes[24], littleEndian ? 0x88 : 0x11);
      same(stackmap.decodeStackBuildId(bytes, 0, littleEndian).offset, 0x1122334455667788n);
      same(new stackmap.StackBuildIdView(bytes, littleEndian).depth(), 1);
    }
    same(stackmap.errnoName(-stackmap.ERRNO.EEXIST), "EEXIST");
  },
};

export const formatErrors = {
  test() {
    try {
      stackmap.decodeStackBuildId(new Uint8Array(31));
    } catch (error) {
      same([error instanceof stackmap.FormatError, error.offset, error.field], [true, 0, "bpf_stack_build_id"]);
      return;
    }
    throw new Error("31 bytes were taken for 32");
  },
};

export const kernelModel = {
  test() {
    const map = new stackmap.StackMap({ valueSize: 8 * 127, maxEntries: 64 }, {
      kernel: "6.18",
      nrCpus: 2,
      seed: 1,
    });
    const ips = BigUint64Array.of(0x7f00_0000_1000n, 0x7f00_0000_2000n);
    const id = map.getStackid(ips, stackmap.BPF_F_USER_STACK);
    const value = new Uint8Array(8 * 127);
    same([id >= 0, map.copy(id, value), map.getNextKey()], [true, 0, id]);
    same(new DataView(value.buffer).getBigUint64(8, true), ips[1]);
    same(map.delete(id), 0);
    same(map.delete(id), -stackmap.ERRNO.ENOENT);
  },
};

// A 64-bit little-endian executable with one segment, a build ID and one symbol, made by the bundle's own encoders.
function program(build_id) {
  const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const ident = { e_ident };
  const { encodeEhdr, encodeNote, encodePhdr, encodeShdr, encodeSym } = stackmap;
  const note = encodeNote({ n_type: 3, name: "GNU", desc: build_id }, ident);
  const symbols = [
    ...encodeSym({}, ident),
    ...encodeSym(
      { st_name: 1, st_info: 0x12, st_shndx: 1, st_value: 0x401000n, st_size: 0x100n },
      ident,
    ),
  ];
  const strings = new TextEncoder().encode("\0work\0");
  const contents = [note, symbols, strings];
  const offsets = [64 + 2 * 56];
  for (const part of contents) offsets.push(offsets.at(-1) + part.length);
  const place = (i) => ({ sh_offset: BigInt(offsets[i]), sh_size: BigInt(contents[i].length) });
  return Uint8Array.from([
    ...encodeEhdr({
      e_ident,
      e_type: 2,
      e_phoff: 64n,
      e_phentsize: 56,
      e_phnum: 2,
      e_shoff: BigInt(offsets[3]),
      e_shentsize: 64,
      e_shnum: 4,
      e_shstrndx: 3,
    }),
    ...encodePhdr(
      { p_type: 1, p_flags: 5, p_vaddr: 0x400000n, p_filesz: 0x2000n, p_memsz: 0x2000n, p_align: 0x1000n },
      ident,
    ),
    ...encodePhdr({ p_type: 4, p_offset: BigInt(offsets[0]), p_filesz: BigInt(note.length) }, ident),
    ...contents.flatMap((part) => [...part]),
    ...encodeShdr({}, ident),
    ...encodeShdr({ sh_type: 1, sh_flags: 6n, sh_addr: 0x400000n, sh_size: 0x2000n }, ident),
    ...encodeShdr({ sh_type: 2, sh_link: 3, sh_entsize: 24n, ...place(1) }, ident),
    ...encodeShdr({ sh_type: 3, ...place(2) }, ident),
  ]);
}

export const mainJob = {
  test() {
    const build_id = new Uint8Array(20).fill(0xcd);
    const index = new stackmap.BuildIdIndex();
    same(index.add(program(build_id), { name: "/opt/app" }).status, "added");
    same(stackmap.readBuildId(program(build_id)), build_id);
    const { symbol, binary, address } = index.resolve(build_id, 0x1010n);
    same([symbol?.name, symbol?.offset, binary?.name, address], ["work", 0x10n, "/opt/app", 0x401010n]);

    const layout = { valueSize: 32 * 4, mapFlags: stackmap.BPF_F_STACK_BUILD_ID };
    const valid = (offset) => ({ status: stackmap.BPF_STACK_BUILD_ID_VALID, build_id, offset });
    // The second frame is a return address behind the last byte of work().
    const dump = stackmap.encodeStacks([
      { id: 3, frames: [valid(0x1010n), valid(0x1100n), { status: 2, ip: 0xffff_ffff_8100_0000n }] },
      { id: 9, frames: [valid(0x1020n), valid(0x1900n)] },
    ], layout);
    const columns = stackmap.decodeStacks(dump, layout);
    const name = (frame) =>
      frame.status === stackmap.BPF_STACK_BUILD_ID_VALID
        ? index.resolve(frame.build_id, frame.offset, { returnAddress: !frame.innermost }).symbol?.name
        : undefined;
    const folded = stackmap.formatFolded(stackmap.foldStacks(columns, name, [[3, 5], [9, 2], [-17, 1]]));
    same(
      folded,
      "0xffffffff81000000 [ip];work;work 5\n[missing stack -17] 1\ncdcdcdcd+0x1900 [unknown];work 2\n",
    );
    same([...index.resolveColumns(columns).reason].map((code) => stackmap.RESOLVE_REASONS[code]), [
      "resolved",
      "resolved",
      "no-build-id",
      "resolved",
      "no-symbol-here",
    ]);

    const json = new TextEncoder().encode(stackmap.formatBpftoolDump(dump, layout.valueSize));
    const parsed = stackmap.parseBpftoolDump(json);
    same([parsed.valueSize, parsed.dump], [layout.valueSize, dump]);
    same(stackmap.looksLikeBuildIds(parsed.dump, parsed.valueSize), true);
  },
};

// A program by gcc -g -gz=zlib, and what addr2line says of its addresses: none of either where there is no gcc.
export const symbolizer = {
  async test() {
    same(stackmap.demangle("_ZN3foo3barEi"), "foo::bar(int)");
    const symbolizer = new stackmap.Symbolizer();
    if (expected.length === 0) return console.log("no gcc here: no DWARF was read");
    const { status, buildId, debugInfo, problems } = await symbolizer.add(new Uint8Array(program_bin));
    same([status, debugInfo, problems], ["added", true, []]);
    for (const { address, lines } of expected) {
      const { frames } = symbolizer.lookupAddress(buildId, BigInt(address));
      same(frames.flatMap(({ name, file, line }) => [name, `${file}:${line}`]), lines);
    }
  },
};
