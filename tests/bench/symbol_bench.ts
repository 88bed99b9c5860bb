// Owns the benchmark of symbol tables: random address to symbol.
import { SymbolTable } from "../../mod.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { type Bench, sumWords } from "./harness.ts";

const SYMBOLS = 100_000;
const LOOKUPS = 1 << 18;

function symbolBench(): Bench {
  const random = new SeededRandom(4);
  const starts = new BigUint64Array(SYMBOLS);
  const sizes = new Uint32Array(SYMBOLS);
  let next = 0x1000;
  // Sizes as in real programs: most small, a few large, padded to 16.
  for (let i = 0; i < SYMBOLS; i++) {
    starts[i] = BigInt(next);
    sizes[i] = 1 + Math.floor(1500 * (random.nextUint32() / 0x1_0000_0000) ** 4) + random.below(100);
    next = Math.ceil((next + sizes[i]) / 16) * 16;
  }
  const table = SymbolTable.fromSymbols(
    Array.from(starts, (address, i) => ({ name: `f${i}`, address, size: BigInt(sizes[i]) })),
  );
  const addressHi = new Uint32Array(LOOKUPS);
  const addressLo = new Uint32Array(LOOKUPS);
  const addresses = new BigUint64Array(LOOKUPS);
  for (let i = 0; i < LOOKUPS; i++) {
    addressLo[i] = 0x1000 + random.below(next - 0x1000);
    addresses[i] = BigInt(addressLo[i]);
  }
  const out = new Int32Array(LOOKUPS);
  return {
    name: "random address to symbol among 100,000",
    targets: { v8: [1.2, 3.72], jsc: [2.2, 3.45] },
    inputs: [new Uint8Array(addresses.buffer), new Uint8Array(starts.buffer), new Uint8Array(sizes.buffer)],
    command: "symbols",
    args: ["%1", "%2"],
    run: () => table.lookupColumns(addressHi, addressLo, out),
    sum: () => sumWords(out),
  };
}

/** Makes the benchmarks one by one. */
export const symbolBenches: (() => Bench)[] = [symbolBench];
