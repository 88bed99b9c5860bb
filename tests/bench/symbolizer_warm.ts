// Owns the warm part of the symbolizer's benchmark: lookups in one process, on a program of 100,000 functions.
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Symbolizer, SymbolTable } from "../../mod.ts";
import { SeededRandom } from "../../src/base/random.ts";

const FUNCTIONS = 100_000;
const FILES = 20;
const LOOKUPS = 100_000;
const TURNS = 15;
/** What blazesym needs for one of them on machines of this kind, in ns: the goals are multiples of its speed. */
const BLAZESYM = { name: 903, line: 1000 };

/** A program with so many functions of a few lines each; `undefined` where there is no gcc. */
function build(directory: string): string | undefined {
  const objects: string[] = [];
  for (let file = 0; file < FILES; file++) {
    const source = join(directory, `part${file}.c`);
    const out = openSync(source, "w");
    for (let f = 0; f < FUNCTIONS / FILES; f++) {
      const name = `part${file}_function_number_${f}`;
      writeSync(out, `int ${name}(int x)\n{\n  x += ${f};\n  x *= x;\n  return x ^ ${file};\n}\n`);
    }
    if (file === 0) writeSync(out, "int main(void) { return part0_function_number_0(1); }\n");
    closeSync(out);
    const object = join(directory, `part${file}.o`);
    if (spawnSync("gcc", ["-c", "-g", "-O1", "-o", object, source]).status !== 0) return undefined;
    objects.push(object);
  }
  const program = join(directory, "program");
  return spawnSync("gcc", ["-o", program, ...objects]).status === 0 ? program : undefined;
}

function report(name: string, goal: number | undefined, turn: () => number): void {
  const ns: number[] = [];
  let sum = 0;
  for (let i = 0; i < TURNS; i++) {
    const start = performance.now();
    sum += turn();
    ns.push((performance.now() - start) * 1e6 / LOOKUPS);
  }
  const sorted = ns.slice(3).sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1];
  const verdict = goal === undefined ? "" : `  goal ${goal.toFixed(0)}: ${median <= goal ? "met" : "not met"}`;
  console.log(
    `${name.padEnd(52)} ${median.toFixed(0).padStart(5)} ns (least ${sorted[0].toFixed(0)})${verdict}  [${sum}]`,
  );
}

/** Builds the program in `directory` and prints what one lookup of each kind takes, and what is kept for a symbol. */
export async function measureWarm(directory: string): Promise<void> {
  console.log(`\nwarm, ${LOOKUPS} random addresses among ${FUNCTIONS} functions`);
  const program = build(directory);
  if (program === undefined) return console.log("skipped: no gcc");
  const bytes = new Uint8Array(readFileSync(program));
  const table = SymbolTable.fromElf(bytes)!;
  const random = new SeededRandom(2);
  const lo = new Uint32Array(LOOKUPS);
  const hi = new Uint32Array(LOOKUPS);
  for (let i = 0; i < LOOKUPS; i++) {
    const symbol = table.get(random.below(table.length));
    lo[i] = Number(symbol.address) + random.below(Math.max(1, Number(symbol.size)));
  }
  report("function with its name (SymbolTable)", BLAZESYM.name / 10, () => {
    let sum = 0;
    for (let i = 0; i < LOOKUPS; i++) {
      const symbol = table.lookup(0, lo[i]);
      if (symbol >= 0) sum += table.name(symbol).length;
    }
    return sum;
  });
  const symbolizer = new Symbolizer();
  const { buildId } = await symbolizer.add(bytes);
  report("function, file and line (lookupAddresses)", BLAZESYM.line / 5, () => {
    const answer = symbolizer.lookupAddresses(buildId!, { hi, lo });
    let sum = 0;
    for (let i = 0; i < LOOKUPS; i++) sum += answer.line(answer.first[i]) ?? 0;
    return sum;
  });
  report("the same, with every name and path as text", undefined, () => {
    const answer = symbolizer.lookupAddresses(buildId!, { hi, lo });
    let sum = 0;
    for (let i = 0; i < LOOKUPS; i++) {
      const row = answer.first[i];
      sum += (answer.line(row) ?? 0) + (answer.name(row)?.length ?? 0) + (answer.file(row)?.length ?? 0);
    }
    return sum;
  });
  report("one at a time, as objects (lookupAddress)", undefined, () => {
    let sum = 0;
    for (let i = 0; i < LOOKUPS; i++) sum += symbolizer.lookupAddress(buildId!, BigInt(lo[i])).frames[0].line ?? 0;
    return sum;
  });
  const strings = /\.strtab\s+\S+\s+\S+\s+\S+\s+([0-9a-f]+)/.exec(
    spawnSync("readelf", ["-SW", program], { encoding: "utf8" }).stdout,
  );
  if (strings === null) return;
  const kept = (table.retainedBytes - parseInt(strings[1], 16)) / table.length;
  console.log(
    `kept besides the string table: ${kept.toFixed(1)} bytes a symbol; goal 16: ${kept <= 16 ? "met" : "not met"}`,
  );
}
