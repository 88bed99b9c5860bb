// Owns the comparison of lookups with llvm-gsymutil's, in GSYM files that it made of what gcc and clang compile.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { GsymReader } from "../mod.ts";
import { SeededRandom } from "../src/base/random.ts";
import { leftToDeno, notDeno } from "./left_out.ts";

const PROGRAMS = fileURLToPath(new URL("../testdata/programs/", import.meta.url));
const ADDRESSES = 5000;
const SEED = 20240611;
const CALC = ["calc/main.c", "calc/report.c", "calc/parse/lexer.c", "calc/eval/eval.c"];
const SHAPES = ["shapes/main.cpp", "shapes/algorithms.cpp", "shapes/geometry/shape.cpp"];
const BUILDS: [name: string, command: string[]][] = [
  ["calc by gcc", ["gcc", "-w", "-O2", "-gdwarf-4", ...CALC]],
  ["calc by clang", ["clang", "-w", "-O2", "-gdwarf-5", ...CALC]],
  ["shapes by g++", ["g++", "-w", "-O2", "-std=c++17", "-gdwarf-4", ...SHAPES]],
];

const GSYMUTIL = ["llvm-gsymutil", "llvm-gsymutil-14"].find((tool) => spawnSync(tool, ["--version"]).status === 0);
const lacking = GSYMUTIL === undefined ? "no llvm-gsymutil" : undefined;
if (lacking !== undefined) console.log(`skipped: ${lacking}`);

/** Runs a command; input and output are files, since both may be larger than a pipe. */
function run(directory: string, command: string[], input = ""): string {
  writeFileSync(`${directory}/input`, input);
  const line = [...command.map((word) => `'${word}'`), `<'${directory}/input'`, `>'${directory}/output'`];
  const { status, stderr } = spawnSync("sh", ["-c", line.join(" ")], { cwd: PROGRAMS, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return readFileSync(`${directory}/output`, "utf8");
}

/** A lookup as llvm-gsymutil prints it, without the address before it. */
function answer(gsym: GsymReader, address: bigint): string {
  const found = gsym.lookup(address);
  if (found === undefined) return `error: address 0x${address.toString(16)} is not in GSYM`;
  return found.frames.map(({ name, file, line, offset }, i) => {
    const place = file === undefined ? "" : ` @ ${file}:${line}`;
    return `${name}${offset > 0 ? ` + ${offset}` : ""}${place}${i + 1 < found.frames.length ? " [inlined]" : ""}`;
  }).map((line) => line.trim()).join("\n"); // a function without a name
}

Deno.test({
  name: `lookups equal llvm-gsymutil's${leftToDeno}`,
  ignore: lacking !== undefined || notDeno,
  fn: async (t) => {
    const directory = mkdtempSync(`${tmpdir()}/gsym-`);
    try {
      for (const [name, [compiler, ...flags]] of BUILDS) {
        if (spawnSync(compiler, ["--version"]).status !== 0) {
          console.log(`skipped ${name}: no ${compiler}`);
          continue;
        }
        await t.step(name, () => {
          const program = `${directory}/program`;
          const path = `${directory}/program.gsym`;
          run(directory, [compiler, ...flags, "-o", program]);
          run(directory, [GSYMUTIL!, `--convert=${program}`, `--out-file=${path}`]);
          const gsym = new GsymReader(new Uint8Array(readFileSync(path)));
          const functions = [...gsym];
          // llvm-gsymutil 14 doesn't go back to the first of functions at one address.
          const at = new Set<bigint>();
          const twice = new Set(
            functions.map(({ address }) => address).filter((one) => at.has(one) || !at.add(one)),
          );
          const random = new SeededRandom(SEED);
          const addresses = functions.flatMap((
            { address, size },
          ) => [address, address - 1n, address + BigInt(size)]);
          while (addresses.length < ADDRESSES) {
            const { address, size } = functions[random.below(functions.length)];
            addresses.push(address + BigInt(random.below(size + 2)));
          }
          const input = addresses.map((address) => `0x${address.toString(16)} ${path}\n`).join("");
          const said = run(directory, [GSYMUTIL!, "--addresses-from-stdin"], input).split("\n\n");
          let compared = 0;
          let inlined = 0;
          addresses.forEach((address, i) => {
            const head = `0x${address.toString(16).padStart(16, "0")}: `;
            const theirs = said[i].split("\n").map((line) =>
              (line.startsWith(head) ? line.slice(head.length) : line).trim()
            );
            if (twice.has(gsym.lookup(address)?.start ?? -1n)) return;
            // Where it gives up for want of a line, the function is named.
            if (theirs[0].endsWith("is not in the line table")) return;
            assertEquals(answer(gsym, address), theirs.join("\n"), head);
            compared++;
            if (theirs.length > 1) inlined++;
          });
          console.log(
            `${name}: ${compared} of ${addresses.length} alike, ${inlined} with inlined calls, seed ${SEED}`,
          );
          assert(compared >= 0.95 * addresses.length && inlined > 0);
        });
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
});
