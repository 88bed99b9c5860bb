// Owns what readelf says of a file's symbols and sections: evidence for differences, never our own reader's.
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One symbol, with where its section ends and whether code is in it. */
export interface SymbolFact {
  value: bigint;
  size: bigint;
  type: string;
  sectionEnd: bigint;
  executable: boolean;
}

const FACTS = new Map<string, Map<string, SymbolFact[]>>();

/** The symbols of a file by name, of all its tables. Read once. */
export function symbolFacts(path: string): Map<string, SymbolFact[]> {
  let facts = FACTS.get(path);
  if (facts === undefined) FACTS.set(path, facts = readFacts(path));
  return facts;
}

/** The output of a program, by way of a file: pipes deadlock where it is large. */
function outputOf(command: string, ...args: string[]): string {
  const directory = mkdtempSync(join(tmpdir(), "facts-"));
  const out = openSync(join(directory, "out"), "w");
  try {
    spawnSync(command, args, { stdio: ["ignore", out, "ignore"] });
    return readFileSync(join(directory, "out"), "utf8");
  } finally {
    closeSync(out);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What llvm-dwarfdump finds at an address. */
export function lookupText(path: string, address: bigint): string {
  return outputOf("llvm-dwarfdump", `--lookup=0x${address.toString(16)}`, path);
}

function readFacts(path: string): Map<string, SymbolFact[]> {
  const sections = new Map<string, { end: bigint; executable: boolean }>();
  for (const line of outputOf("readelf", "-SW", path).split("\n")) {
    const match = /^\s*\[\s*(\d+)\]\s+\S*\s+[A-Z]\S*\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+\S+\s+([A-Zop]*)/
      .exec(line);
    if (match === null) continue;
    const end = BigInt(`0x${match[2]}`) + BigInt(`0x${match[3]}`);
    sections.set(match[1], { end, executable: match[4].includes("X") });
  }
  const facts = new Map<string, SymbolFact[]>();
  for (const line of outputOf("readelf", "-sW", path).split("\n")) {
    const match = /^\s*\d+:\s+([0-9a-f]+)\s+(\d+|0x[0-9a-f]+)\s+(\S+)\s+\S+\s+\S+\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)/
      .exec(line);
    if (match === null) continue;
    const section = sections.get(match[4]);
    const fact: SymbolFact = {
      value: BigInt(`0x${match[1]}`),
      size: BigInt(match[2]),
      type: match[3],
      sectionEnd: section?.end ?? 0n,
      executable: section?.executable ?? false,
    };
    facts.set(match[5], [...(facts.get(match[5]) ?? []), fact]);
  }
  return facts;
}
