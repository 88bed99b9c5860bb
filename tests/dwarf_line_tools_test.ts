// Owns the comparison of line tables with llvm-dwarfdump and llvm-symbolizer on what gcc and clang compile.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { assert, assertEquals } from "@std/assert";
import { ElfFile } from "../src/elf/elf_file.ts";
import { LineProgram } from "../src/dwarf/line_program.ts";
import { lineContext } from "./dwarf_line_builder.ts";
import { leftToDeno, notDeno } from "./left_out.ts";
import { TextTable } from "../src/dwarf/text_table.ts";

const HEADER = `
static inline __attribute__((always_inline)) int twice(int x) {
  if (x > 3)
    return x * 2;
  return x + x - 1;
}
`;
const SOURCE = `
#include "inc/twice.h"
#include "../up.h"
extern int other(int);
__attribute__((cold, noinline)) int rare(int x) { return other(x) * 7; }
__attribute__((noinline)) int dropped(int x) { return x * 11 + twice(x); }
${Array.from({ length: 20 }, (_, i) => `int unused${i}(int x) { return twice(x) + ${i}; }`).join("\n")}
#line 70000 "/generated/table.c"
int generated(int x) { int sum = 0; for (int i = 0; i < x; i++) sum += twice(i) * other(i); return sum; }
#line 5 "relative.y"
int entry(int x) {
  switch (x) { case 1: return rare(x); case 2: return up(x);
    case 3: return generated(x); default: return twice(x) + other(x); }
}
`;
const OTHER = "int other(int x) {\n  return x ^ 5;\n}\nint more(int x) { return other(x) + 1; }\n";

function missing(...tools: string[]): string[] {
  return tools.filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
}

function run(cwd: string, tool: string, args: string[], input?: string): string {
  const { status, stdout, stderr } = spawnSync(tool, args, { cwd, input, encoding: "utf8", maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${tool} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

type Row = [address: number, line: number, column: number, file: number];

/** The sequences of each unit that `llvm-dwarfdump --debug-line` prints, by the unit's offset. */
function dump(cwd: string, path: string): Map<number, Row[][]> {
  const units = new Map<number, Row[][]>();
  let unit: Row[][] = [];
  let rows: Row[] = [];
  for (const line of run(cwd, "llvm-dwarfdump", ["--debug-line", path]).split("\n")) {
    const head = /^debug_line\[(0x[0-9a-f]+)\]/.exec(line);
    if (head !== null) units.set(Number(head[1]), unit = []);
    const row = /^(0x[0-9a-f]{16}) +(\d+) +(\d+) +(\d+)/.exec(line);
    if (row === null) continue;
    rows.push([Number(row[1]), Number(row[2]), Number(row[3]), Number(row[4])]);
    if (!line.includes("end_sequence")) continue;
    if (rows[0][0] < rows[rows.length - 1][0]) unit.push(rows);
    rows = [];
  }
  // Array's sort is stable.
  for (const sequences of units.values()) sequences.sort((a, b) => a.at(-1)![0] - b.at(-1)![0]);
  return units;
}

/** The row that LLVM finds: in the first sequence that ends behind the address, the last that begins before. */
function expected(sequences: Row[][], address: number): Row | undefined {
  const sequence = sequences.find((rows) => rows[rows.length - 1][0] > address);
  return sequence?.slice(0, -1).findLast((row) => row[0] <= address);
}

function sectionOf(file: ElfFile, name: string): Uint8Array {
  const section = file.section(name);
  return section === undefined ? new Uint8Array(0) : file.sectionBytes(section);
}

function compare(cwd: string, path: string): { addresses: number; paths: number } {
  const file = new ElfFile(new Uint8Array(readFileSync(`${cwd}/${path}`)));
  const context = lineContext(sectionOf(file, ".debug_line"), {
    littleEndian: file.littleEndian,
    addressSize: file.is64 ? 8 : 4,
    str: new TextTable(sectionOf(file, ".debug_str")),
    lineStr: new TextTable(sectionOf(file, ".debug_line_str")),
    compDir: cwd,
  });
  const linked = file.ehdr.e_type !== 1;
  let addresses = 0;
  let paths = 0;
  const asked: number[] = [];
  const answers: string[] = [];
  const units = dump(cwd, path);
  assert(units.size > 0, "there are units");
  for (const [offset, sequences] of units) {
    const program = LineProgram.parse(context, offset);
    const { rows } = program;
    assertEquals(program.problem, undefined);
    // Sequences from 0 on, where nothing is in a linked file, are decided otherwise.
    const apart = linked ? sequences.filter((one) => one[0][0] > 0) : sequences;
    assert(apart.length > 0, "there are sequences");
    for (const address of apart.flat().flatMap(([at]) => [at - 1, at, at + 1])) {
      const want = expected(sequences, address);
      const row = rows.lookup(address);
      const found = row < 0 ? undefined : [rows.line(row), rows.column(row), rows.file(row)];
      assertEquals(found, want?.slice(1), `${path}, unit ${offset}, address ${address.toString(16)}`);
      addresses++;
      if (!linked || row < 0) continue;
      asked.push(address);
      answers.push(`${program.filePath(rows.file(row))}:${rows.line(row)}:${rows.column(row)}`);
    }
  }
  if (linked) {
    const input = asked.map((address) => `0x${address.toString(16)}\n`).join("");
    const options = ["--no-inlines", "--functions=none", `--obj=${path}`];
    const said = run(cwd, "llvm-symbolizer", options, input).split("\n").filter((line) => line !== "");
    assertEquals(answers, said);
    paths += said.length;
  }
  return { addresses, paths };
}

const LINKED: [string, string[]][] = [
  ["gcc", ["-gdwarf-2", "-O0"]],
  ["gcc", ["-gdwarf-3", "-O2"]],
  ["gcc", ["-gdwarf-4", "-O2", "-ffunction-sections", "-Wl,--gc-sections,-e,entry"]],
  ["gcc", ["-gdwarf-5", "-O2", "-ffunction-sections", "-Wl,--gc-sections,-e,entry"]],
  ["gcc", ["-gdwarf-5", "-gdwarf64", "-O2"]],
  ["gcc", ["-gdwarf-5", "-O0", "-gno-as-loc-support"]],
  ["clang", ["-gdwarf-2", "-O2"]],
  ["clang", ["-gdwarf-4", "-O0", "-ffunction-sections", "-Wl,--gc-sections,-e,entry"]],
  ["clang", ["-gdwarf-5", "-O2", "-ffunction-sections", "-Wl,--gc-sections,-e,entry"]],
  ["clang", ["-gdwarf-5", "-gdwarf64", "-O2"]],
];

/** Objects of other machines, by clang alone; version 4, whose names need no relocation. */
const OBJECTS = ["powerpc64-linux-gnu", "mips-linux-gnu", "arm-linux-gnueabi", "hexagon"];

Deno.test({
  name: `rows and paths of compiled programs equal those of llvm-dwarfdump and llvm-symbolizer${leftToDeno}`,
  ignore: notDeno,
  fn: () => {
    const without = missing("gcc", "clang", "llvm-dwarfdump", "llvm-symbolizer");
    if (without.length > 0) return console.log(`skipped: not installed: ${without}`);
    const cwd = realpathSync(mkdtempSync(`${tmpdir()}/stackmap-`));
    try {
      mkdirSync(`${cwd}/project/inc`, { recursive: true });
      const work = `${cwd}/project`;
      writeFileSync(`${cwd}/up.h`, "static inline int up(int x) {\n  return x -\n    9;\n}\n");
      writeFileSync(`${work}/inc/twice.h`, HEADER);
      writeFileSync(`${work}/a.c`, SOURCE);
      writeFileSync(`${work}/other.c`, OTHER);
      const total = { addresses: 0, paths: 0 };
      const checked = (path: string) => {
        const { addresses, paths } = compare(work, path);
        total.addresses += addresses;
        total.paths += paths;
      };
      LINKED.forEach(([compiler, flags], index) => {
        const sources = ["./a.c", `${work}/other.c`];
        run(work, compiler, [
          "-nostdlib",
          "-no-pie",
          "-gz=none",
          ...flags,
          "-Wl,-e,entry",
          "-o",
          `p${index}`,
          ...sources,
        ]);
        checked(`p${index}`);
      });
      for (const target of OBJECTS) {
        const { status } = spawnSync(
          "clang",
          [`--target=${target}`, "-gdwarf-4", "-O1", "-c", "a.c", "-o", target],
          {
            cwd: work,
          },
        );
        if (status === 0) checked(target);
        else console.log(`skipped: clang can't compile for ${target}`);
      }
      console.log(`${total.addresses} addresses and ${total.paths} paths are equal`);
    } finally {
      rmSync(cwd, { recursive: true });
    }
  },
});
