// Owns the benchmark of symbolization beside the native tools: whole processes, interleaved, with peak memory; and warm
// lookups in one process.
//   deno task bench:symbolizer [--rounds N] [NAME-PART…]
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { SeededRandom } from "../../src/base/random.ts";
import { measureWarm } from "./symbolizer_warm.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const LIBC = "/lib/x86_64-linux-gnu/libc.so.6";
const SEED = 1;

const args = process.argv.slice(2);
const roundsAt = args.indexOf("--rounds");
const rounds = roundsAt < 0 ? 7 : Number(args[roundsAt + 1]);
const parts = args.filter((arg, i) => !arg.startsWith("-") && (roundsAt < 0 || i !== roundsAt + 1));
const wanted = (name: string) => parts.length === 0 || parts.some((part) => name.includes(part));

/** One command and what it took. */
interface Contender {
  name: string;
  command: string[];
  ms: number[];
  peakKiB: number;
}

const work = mkdtempSync(join(tmpdir(), "symbolizer-bench-"));

function has(command: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;
}

function output(command: string, ...rest: string[]): string {
  return spawnSync(command, rest, { encoding: "utf8", maxBuffer: 1 << 28 }).stdout;
}

/** Debian's debug file of libc (libc6-dbg). */
function debugFile(): string | undefined {
  const id = /Build ID: ([0-9a-f]+)/.exec(output("readelf", "-n", LIBC))?.[1] ?? "";
  const path = `/usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`;
  return existsSync(path) ? path : undefined;
}

/** Random addresses in .text, a line each. */
function addresses(count: number): string {
  const match = /\.text\s+\S+\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)/.exec(output("readelf", "-SW", LIBC))!;
  const [start, size] = [parseInt(match[1], 16), parseInt(match[2], 16)];
  const random = new SeededRandom(SEED);
  return Array.from({ length: count }, () => `0x${(start + random.below(size)).toString(16)}\n`).join("");
}

/** Runs a command with the file as standard input; milliseconds, peak resident KiB, and where the output is. */
async function run(command: string[], input: string): Promise<{ ms: number; peakKiB: number; out: string }> {
  const out = join(work, "out");
  // The shell's time covers the same steps for all; GNU time writes the peak.
  const peak = join(work, "peak");
  const measured = has("/usr/bin/time") ? ["/usr/bin/time", "-o", peak, "-f", "%M", ...command] : command;
  const start = performance.now();
  const status = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(measured[0], measured.slice(1), {
      stdio: [openSync(input, "r"), openSync(out, "w"), "ignore"],
      env: { ...process.env, DEBUGINFOD_URLS: "", NO_COLOR: "1" },
    });
    child.on("error", reject);
    child.on("close", resolve);
  });
  const ms = performance.now() - start;
  if (status !== 0) throw new Error(`${command.join(" ")}: exit code ${status}`);
  return {
    ms,
    peakKiB: existsSync(peak) ? Number(readFileSync(peak, "utf8")) : NaN,
    out: readFileSync(out, "utf8"),
  };
}

/** Names of functions in an output of two lines a frame; a "@VERSION" and what demanglers differ in are left out. */
function names(out: string): string[] {
  return out.split("\n").filter((_, i, lines) => /^[A-Za-z_?]/.test(lines[i]) && !/:[0-9?]+/.test(lines[i]))
    .map((line) => line.replace(/@.*/, ""));
}

async function compare(title: string, contenders: Contender[], input: string): Promise<void> {
  if (!wanted(title)) return;
  const first = new Map<string, string>();
  for (let round = 0; round < rounds; round++) {
    // Who goes first changes, so that nobody always meets a cold or a warm machine.
    for (let k = 0; k < contenders.length; k++) {
      const one = contenders[(k + round) % contenders.length];
      const { ms, peakKiB, out } = await run(one.command, input);
      one.ms.push(ms);
      one.peakKiB = peakKiB;
      if (round === 0) first.set(one.name, out);
    }
  }
  const reference = names(first.get("llvm-symbolizer")!);
  const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1];
  const native = contenders[0];
  console.log(`\n${title}`);
  console.log(`| ${"".padEnd(24)} | median ms |  least ms | llvm's time / its | peak MiB | names as llvm's |`);
  console.log(`|${"-".repeat(26)}|----------:|----------:|------------------:|---------:|----------------:|`);
  for (const { name, ms, peakKiB } of contenders) {
    const ratio = median(ms.map((one, i) => native.ms[i] / one));
    const mine = names(first.get(name)!);
    const same = mine.filter((one, i) => one === reference[i]).length;
    const agreement = mine.length === reference.length
      ? `${(100 * same / mine.length).toFixed(2)} %`
      : "other frames";
    console.log(
      `| ${name.padEnd(24)} | ${median(ms).toFixed(1).padStart(9)} | ${Math.min(...ms).toFixed(1).padStart(9)} | ${
        ratio.toFixed(2).padStart(17)
      } | ${(peakKiB / 1024).toFixed(1).padStart(8)} | ${agreement.padStart(15)} |`,
    );
  }
}

function contenders(file: string, bundle: string): Contender[] {
  const bin = fileURLToPath(new URL("../../.ci/node_modules/", import.meta.url));
  const deno = process.versions.deno !== undefined ? process.execPath : join(bin, "@deno/linux-x64-glibc/deno");
  const bun = join(bin, "@oven/bun-linux-x64/bin/bun");
  const ours = ["addr2line", "--elf", file, "--linkage-names"];
  const all: [string, string[]][] = [
    ["llvm-symbolizer", ["llvm-symbolizer", `--obj=${file}`, "--no-demangle"]],
    ["addr2line", ["addr2line", "-f", "-i", "-e", file]],
    ["eu-addr2line", ["eu-addr2line", "-f", "-i", "-e", file]],
    ["Deno, the source", [deno, "run", "--no-config", "--no-check", "--allow-read", MAIN, ...ours]],
    ["Deno, one bundled file", [deno, "run", "--no-config", "--no-check", "--allow-read", bundle, ...ours]],
    ["Bun, one bundled file", [bun, bundle, ...ours]],
  ];
  return all.filter(([, [command]]) => has(command)).map(([name, command]) => ({
    name,
    command,
    ms: [],
    peakKiB: 0,
  }));
}

const debug = debugFile();
const bun = fileURLToPath(new URL("../../.ci/node_modules/@oven/bun-linux-x64/bin/bun", import.meta.url));
try {
  console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${rounds} rounds, seed ${SEED}`);
  if (debug === undefined || !has("llvm-symbolizer") || !existsSync(bun)) {
    console.log("skipped beside native tools: needs libc6-dbg, llvm, and npm ci --prefix .ci");
  } else {
    const bundle = join(work, "stackmap.js");
    spawnSync(bun, ["build", MAIN, "--target", "node", "--minify-syntax", "--outfile", bundle]);
    // A bundler makes the dynamic imports one file; nothing else changes.
    const plain = join(work, "libc.debug");
    spawnSync("objcopy", ["--decompress-debug-sections", debug, plain]);
    const symbols = join(work, "libc.symbols");
    spawnSync("objcopy", ["--strip-debug", plain, symbols]);
    // Else llvm-symbolizer and eu-addr2line would follow the build id into /usr/lib/debug.
    for (const file of [plain, symbols]) spawnSync("objcopy", ["--remove-section=.note.gnu.build-id", file]);
    const input = join(work, "addresses");
    for (const count of [1, 10_000, 100_000]) {
      writeFileSync(input, addresses(count));
      // eu-addr2line takes many seconds for 100,000.
      const all = contenders(plain, bundle).filter(({ name }) => count < 100_000 || name !== "eu-addr2line");
      await compare(`libc, ${count} addresses, inlined frames, file and line`, all, input);
    }
    writeFileSync(input, addresses(10_000));
    await compare("libc as Debian ships it (zlib), 10000 addresses", contenders(debug, bundle), input);
    writeFileSync(input, addresses(100_000));
    // eu-addr2line fails without DWARF.
    const named = contenders(symbols, bundle).filter(({ name }) => name !== "eu-addr2line");
    await compare("libc, 100000 addresses, symbol names alone", named, input);
  }
  if (wanted("warm")) await measureWarm(work);
} finally {
  rmSync(work, { recursive: true, force: true });
}
