// Owns the tests of SymbolTable: which symbol answers, against a naive search, in both forms and all formats.
import { assertEquals, assertThrows } from "@std/assert";
import { FormatError, parseEhdr, SymbolTable } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { buildElf, FORMATS, type SymbolSpec } from "./elf_builder.ts";

const FUNC = 2;
const NOTYPE = 0;
const IFUNC = 10;
const TEXT = { name: ".text", sh_type: 1, sh_flags: 6n, sh_addr: 0x1000n, sh_size: 0x1000n };
const DATA = { name: ".data", sh_type: 1, sh_flags: 3n, sh_addr: 0x8000n, sh_size: 0x1000n };

function table(symbols: SymbolSpec[], more: Parameters<typeof buildElf>[0] = {}): SymbolTable {
  return SymbolTable.fromElf(buildElf({ sections: [TEXT, DATA], symbols, ...more }))!;
}

function nameAt(symbols: SymbolTable, address: bigint): string | undefined {
  return symbols.find(address)?.name;
}

for (const { name, ...format } of FORMATS) {
  Deno.test(`symbols of a ${name} file are found at their first and last byte, not outside`, () => {
    const symbols = table([
      { name: "main", st_value: 0x1100n, st_size: 0x20n },
      { name: "_init", st_value: 0x1000n, st_size: 0x10n },
      { name: "naïve", st_value: 0x1130n, st_size: 1n },
    ], format);
    assertEquals(symbols.length, 3);
    assertEquals(symbols.kind, ".symtab");
    const names = [0xfffn, 0x1000n, 0x100fn, 0x1010n, 0x10ffn, 0x1100n, 0x111fn, 0x1120n, 0x1130n, 0x1131n]
      .map((address) => nameAt(symbols, address));
    const none = undefined;
    assertEquals(names, [none, "_init", "_init", none, none, "main", "main", none, "naïve", none]);
    assertEquals(symbols.get(1), { name: "main", address: 0x1100n, size: 0x20n });
    assertEquals(symbols.lookup(1, 0x1100), -1);
    assertEquals(
      table([{ name: "d", st_value: 0x1100n, st_size: 1n }], { ...format, dynamic: true }).kind,
      ".dynsym",
    );
  });
}

Deno.test("of aliases the largest answers, of equal ones the later, whatever their type and binding", () => {
  const at = (symbols: SymbolSpec[]) =>
    nameAt(table(symbols.map((symbol) => ({ st_value: 0x1100n, st_size: 8n, ...symbol }))), 0x1100n);
  assertEquals(at([{ name: "local", bind: 0 }, { name: "weak", bind: 2 }, { name: "global", bind: 1 }]), "global");
  assertEquals(at([{ name: "global", bind: 1 }, { name: "weak", bind: 2 }]), "weak");
  assertEquals(at([{ name: "first" }, { name: "second" }]), "second");
  assertEquals(at([{ name: "large", st_size: 9n, bind: 0 }, { name: "small", bind: 1 }]), "large");
  assertEquals(at([{ name: "f", type: FUNC, bind: 0 }, { name: "label", type: NOTYPE, bind: 1 }]), "label");
  assertEquals(at([{ name: "f", bind: 0 }, { name: "label", type: NOTYPE, st_size: 0n }]), "f");
  assertEquals(at([{ name: "huge", st_size: 1n << 33n }, { name: "f" }]), "huge");
});

Deno.test("where symbols overlap the one that starts last answers, and the outer one again after it", () => {
  const symbols = table([
    { name: "outer", st_value: 0x1000n, st_size: 0x100n },
    { name: "inner", st_value: 0x1040n, st_size: 0x20n },
    { name: "innermost", st_value: 0x1050n, st_size: 4n },
    { name: "late", st_value: 0x10f0n, st_size: 0x20n },
  ]);
  const names = [0x103fn, 0x1040n, 0x1050n, 0x1054n, 0x1060n, 0x10efn, 0x10f0n, 0x1100n, 0x1110n];
  assertEquals(names.map((address) => nameAt(symbols, address)), [
    "outer",
    "inner",
    "innermost",
    "inner",
    "outer",
    "outer",
    "late",
    "late",
    undefined,
  ]);
  assertEquals(symbols.find(0x1060n), { name: "outer", address: 0x1000n, size: 0x100n });
});

Deno.test("a symbol without a size reaches to the next or the end of its section, whatever lies around it", () => {
  const symbols = table([
    { name: "_start", type: NOTYPE, st_value: 0x1000n },
    { name: "f", st_value: 0x1100n, st_size: 0x40n },
    { name: "label", type: NOTYPE, st_value: 0x1120n, bind: 0 },
    { name: "last", st_value: 0x1f00n },
  ]);
  const names = [0x10ffn, 0x1100n, 0x1120n, 0x113fn, 0x1140n, 0x1f00n, 0x1fffn, 0x2000n];
  assertEquals(names.map((address) => nameAt(symbols, address)), [
    "_start",
    "f",
    "label",
    "label",
    "label",
    "last",
    "last",
    undefined,
  ]);
  assertEquals(symbols.find(0x1fffn)?.size, 0n);
  const alone = SymbolTable.fromSymbols([{ name: "alone", address: 0xffff_ffff_ffff_ffffn }]);
  assertEquals(alone.find(0xffff_ffff_ffff_fffen), undefined);
});

Deno.test("only defined, named code symbols take part", () => {
  const symbols = table([
    { name: "f", st_value: 0x1000n, st_size: 1n },
    { name: "ifunc", type: IFUNC, st_value: 0x1001n, st_size: 1n },
    { name: "asm", type: NOTYPE, st_value: 0x1002n, st_size: 1n },
    { name: "data", type: 1, st_value: 0x1003n, st_size: 1n, st_shndx: 2 },
    { name: "_edata", type: NOTYPE, st_value: 0x1004n, st_size: 1n, st_shndx: 2 },
    { name: "undefined", st_value: 0x1005n, st_size: 1n, st_shndx: 0 },
    { name: "absolute", st_value: 0x1006n, st_size: 1n, st_shndx: 0xfff1 },
    { name: "common", st_value: 0x1007n, st_size: 1n, st_shndx: 0xfff2 },
    { name: "", st_value: 0x1008n, st_size: 1n },
    { name: "$x", type: NOTYPE, st_value: 0x1009n, st_size: 1n },
    { name: "$d.7", type: NOTYPE, st_value: 0x100an, st_size: 1n },
    { name: "$data", st_value: 0x100bn, st_size: 1n },
    { name: "section", type: 3, st_value: 0x100cn, st_size: 1n },
    { name: "file", type: 4, st_value: 0x100dn, st_size: 1n },
    { name: "tls", type: 6, st_value: 0x100en, st_size: 1n },
    { name: "nowhere", st_value: 0x100fn, st_size: 1n, st_name: 0xffff_fff0 },
  ]);
  const names = Array.from({ length: symbols.length }, (_, i) => symbols.name(i));
  assertEquals(names, ["f", "ifunc", "asm", "$data"]);
});

Deno.test("SHN_XINDEX symbols find their section in SHT_SYMTAB_SHNDX", () => {
  const words = new Uint8Array(12);
  words[8] = 2; // symbol 2 is in section 2
  const symbols = [{ name: "no", st_shndx: 0xffff, st_value: 0x1000n }, {
    name: "f",
    st_shndx: 0xffff,
    st_value: 0x1001n,
  }];
  const shndx = { name: ".symtab_shndx", sh_type: 18, sh_link: 4, contents: words };
  const f = table(symbols, { sections: [DATA, TEXT, shndx] });
  assertEquals([f.length, f.name(0)], [1, "f"]);
  assertEquals(table(symbols).length, 0);
});

Deno.test("on 32-bit ARM the Thumb bit is no part of the address", () => {
  const arm = { is64: false, ehdr: { e_machine: 40 } };
  assertEquals(table([{ name: "f", st_value: 0x1001n, st_size: 4n }], arm).address(0), 0x1000n);
});

Deno.test("files without usable tables have no symbols", () => {
  assertEquals(SymbolTable.fromElf(buildElf()), undefined);
  assertEquals(SymbolTable.fromElf(buildElf({ symbols: [] })), undefined);
  const relocatable = buildElf({ sections: [TEXT], symbols: [{ name: "f" }], ehdr: { e_type: 1 } });
  assertEquals(SymbolTable.fromElf(relocatable), undefined);
  const bytes = buildElf({ sections: [TEXT], symbols: [{ name: "f" }] });
  // Section 2 is .symtab: its contents out of the file.
  new DataView(bytes.buffer).setBigUint64(Number(parseEhdr(bytes).e_shoff) + 2 * 64 + 24, 1n << 60n, true);
  assertThrows(() => SymbolTable.fromElf(bytes), FormatError);
});

Deno.test("contracts: indices, column lengths and numbers are checked", () => {
  const symbols = SymbolTable.fromSymbols([{ name: "f", address: 0x1000n, size: 1n }]);
  assertThrows(() => symbols.name(1), RangeError);
  assertThrows(() => symbols.get(-1), RangeError);
  assertThrows(() => symbols.lookupColumns(new Uint32Array(1), new Uint32Array(2), new Int32Array(2)), RangeError);
  assertThrows(() => SymbolTable.fromSymbols([{ name: "f", address: -1n }]), RangeError);
  assertEquals(symbols.find(-1n), undefined);
  assertEquals(symbols.find(1n << 64n), undefined);
  const none = SymbolTable.fromSymbols([]);
  assertEquals([none.length, none.lookup(0, 0)], [0, -1]);
});

interface Plain {
  name: string;
  address: bigint;
  size: bigint;
}

/** The rules again, one symbol after another. */
function naive(symbols: Plain[], address: bigint): string | undefined {
  const starts = new Map<bigint, Plain>();
  for (const symbol of symbols) {
    const known = starts.get(symbol.address);
    if (known === undefined || symbol.size >= known.size) starts.set(symbol.address, symbol);
  }
  let best: Plain | undefined;
  for (const symbol of starts.values()) {
    if (
      address >= symbol.address && address < symbol.address + symbol.size && symbol.address >= (best?.address ?? 0n)
    ) {
      best = symbol;
    }
  }
  return best?.name;
}

for (
  const [what, base, span, step] of [
    ["close together", 0x40_1000n, 0x1000, 1n],
    ["at the end of 4 GiB", 0xffff_0000n, 0xf000, 1n],
    ["across a 4 GiB line", 0x2_ffff_f800n, 0x1000, 1n],
    ["as far apart as the kernel's", 0xffff_ffff_8000_0000n, 0x7fff, 0x1_0000n],
    ["over the whole address space", 0n, 0xffff, 0x1_0000_0000_0001n],
  ] as const
) {
  Deno.test(`lookups among symbols ${what} equal a naive search`, () => {
    const seed = 7;
    const random = new SeededRandom(seed);
    for (let round = 0; round < 40; round++) {
      const symbols: Plain[] = Array.from({ length: 1 + random.below(60) }, (_, i) => ({
        name: `f${i}`,
        address: base + BigInt(random.below(span)) * step,
        size: BigInt(1 + random.below(random.chance(0.1) ? span : 64)) * step,
      }));
      // Nothing may pass the end of the address space: there sizes are cut, and naive() does not know.
      for (const one of symbols) if (one.address + one.size >= 1n << 64n) one.size = (1n << 64n) - 1n - one.address;
      const table = SymbolTable.fromSymbols(symbols);
      const hi = new Uint32Array(300);
      const lo = new Uint32Array(300);
      const out = new Int32Array(300);
      const addresses = Array.from(out, (_, i) => {
        const { address, size } = symbols[random.below(symbols.length)];
        const edges = [
          address - 1n,
          address,
          address + 1n,
          address + size - 1n,
          address + size,
          address + size / 2n,
        ];
        const far = base + BigInt(random.below(span * 2)) * step;
        const one = BigInt.asUintN(64, i % 7 === 6 ? far : edges[i % 7]);
        hi[i] = Number(one >> 32n);
        lo[i] = Number(one & 0xffff_ffffn);
        return one;
      });
      table.lookupColumns(hi, lo, out);
      addresses.forEach((address, i) => {
        const index = out[i];
        const where = `seed ${seed}, round ${round}, address 0x${address.toString(16)}`;
        assertEquals(index < 0 ? undefined : table.name(index), naive(symbols, address), where);
        if (index >= 0) assertEquals(table.get(index), symbols.find((s) => s.name === table.name(index)), where);
      });
    }
  });
}

Deno.test("many symbols in one bucket, and 16 bytes a symbol at most", () => {
  const dense = Array.from(
    { length: 5000 },
    (_, i) => ({ name: "f", address: 0x1000n + BigInt(i) * 2n, size: 1n }),
  );
  const table = SymbolTable.fromSymbols([...dense, { name: "far", address: 0x4000_0000n, size: 8n }]);
  for (let i = 0; i < 5000; i++) {
    assertEquals(table.lookup(0, 0x1000 + 2 * i), i);
    assertEquals(table.lookup(0, 0x1001 + 2 * i), -1);
  }
  assertEquals(nameAt(table, 0x4000_0007n), "far");
  const even = Array.from({ length: 20_000 }, (_, i) => ({ name: "f", address: BigInt(i) * 64n, size: 60n }));
  const { retainedBytes, length } = SymbolTable.fromSymbols(even);
  assertEquals(length, 20_000);
  // "f" and a zero byte for each.
  assertEquals(retainedBytes - 2 * length <= 16 * length, true);
});

Deno.test("deep nesting ends after a bound, and the wide form says what it keeps", () => {
  const nested = Array.from({ length: 500 }, (_, i) => ({
    name: `f${i}`,
    address: BigInt(i),
    size: 10_000n - 2n * BigInt(i),
  }));
  const table = SymbolTable.fromSymbols(nested);
  assertEquals(nameAt(table, 499n), "f499");
  assertEquals(nameAt(table, 9_600n), undefined);
  assertEquals(nameAt(table, 9_501n), "f498");
  const wide = SymbolTable.fromSymbols([...nested, { name: "far", address: 1n << 40n, size: 0n }]);
  assertEquals(nameAt(wide, 9_501n), "f498");
  assertEquals(wide.find(1n << 40n), { name: "far", address: 1n << 40n, size: 0n });
  assertEquals(wide.retainedBytes > 501 * 17, true);
});
