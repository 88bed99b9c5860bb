// Owns the command `deno task oracle`: builds, compares, prints, and the exit status.
import process from "node:process";
import { parseArgs } from "node:util";
import { buildRecipes } from "./build.ts";
import { passes, type Score } from "./compare.ts";
import { compareDemangling } from "./demangling.ts";
import { measure } from "./measure.ts";
import { loadSymbolizer, type SymbolizerClass } from "./ours.ts";
import { comparePairs } from "./pairs.ts";
import { scoreText, type Skipped, tableText, totalText } from "./report.ts";
import type { Recipe } from "./subject.ts";
import { systemRecipes } from "./system.ts";
import { allTools, missingTools, Workspace } from "./tools.ts";

const HELP = `deno task oracle [options]

Compares the symbolizer with llvm-symbolizer and addr2line (in stubs of the procedure linkage table: with objdump) on
programs built here and on Debian's own files, separate debug files with their executables, and demangled names with
llvm-cxxfilt and c++filt.

  --only TEXT       subjects whose name contains TEXT (of several with commas: all); "pairs" and "demangling" too
  --addresses N     addresses of each subject; 5000. Files with less code give every byte of it
  --seed S          seed of the choice of addresses
  --examples N      differences printed of each group; 2
  --jobs N          subjects at a time; 2
  --keep DIR        build in DIR and leave it there, so that the printed commands can be run
  --symbolizer URL  another module that exports a class Symbolizer, from this folder
  --list            print the subjects' names and stop

Debian packages: llvm clang lld gcc g++ g++-multilib binutils dwz xz-utils libc6-dbg libstdc++6-12-dbg
python3.11-dbg binutils-x86-64-linux-gnu-dbg libbinutils-dbg libkrb5-dbg valgrind-dbg; rustc from PATH.
What is missing is skipped with its reason. Exit status 1: a goal missed; 2: nothing could be compared.`;

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    only: { type: "string", default: "" },
    addresses: { type: "string", default: "5000" },
    seed: { type: "string", default: "1" },
    examples: { type: "string", default: "2" },
    jobs: { type: "string", default: "2" },
    keep: { type: "string" },
    symbolizer: { type: "string" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

/** Makes and measures the recipes, some at a time, in the order of the list. */
async function runAll(
  ws: Workspace,
  recipes: readonly Recipe[],
  Symbolizer: SymbolizerClass,
): Promise<[Score[], Skipped[], string[]]> {
  const scores: Score[][] = recipes.map(() => []);
  const skipped: Skipped[] = [];
  const failures: string[] = [];
  const options = { addresses: Number(values.addresses), seed: Number(values.seed) };
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < recipes.length) {
      const index = next++;
      const { name, tools, make } = recipes[index];
      const lacking = missingTools(["llvm-symbolizer", "llvm-dwarfdump", "readelf", ...tools]);
      if (lacking !== undefined) {
        skipped.push({ name, reason: lacking });
        continue;
      }
      try {
        for (const subject of await make()) {
          const score = await measure(ws, Symbolizer, subject, options).catch((error: unknown) => {
            // A file that could not be made is skipped; one that we fail on is a failure.
            failures.push(
              `${subject.name}: ${error instanceof Error ? error.stack ?? error.message : String(error)}`,
            );
            return undefined;
          });
          if (score === undefined) continue;
          scores[index].push(score);
          const text = scoreText(score, Number(values.examples));
          if (text !== "") console.log(text);
        }
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        skipped.push({ name, reason: text });
      }
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, work));
  return [scores.flat(), skipped, failures];
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const ws = new Workspace(values.keep);
  process.on("SIGINT", () => {
    ws.close();
    process.exit(130);
  });
  try {
    const wanted = values.only.split(",");
    const takes = (name: string): boolean => wanted.every((one) => name.includes(one));
    const recipes = [...buildRecipes(ws), ...systemRecipes(ws)].filter(({ name }) => takes(name));
    if (values.list) {
      for (const { name } of recipes) console.log(name);
      return 0;
    }
    const lacking = missingTools(allTools());
    if (lacking !== undefined) console.log(`missing: ${lacking}`);
    console.log(`seed ${values.seed}, ${values.addresses} addresses of each subject, in ${ws.directory}`);
    const start = performance.now();
    const Symbolizer = await loadSymbolizer(values.symbolizer);
    const [scores, skipped, failures] = await runAll(ws, recipes, Symbolizer);
    const clock = (): string => `${((performance.now() - start) / 1000).toFixed(0)} s`;
    let good = scores.every(passes) && failures.length === 0;
    let done = scores.length;
    for (const text of failures) console.log(`FAILED ${text}`);
    const sections = [`\n${tableText(scores, skipped)}\n\n${totalText(scores)}\nafter ${clock()}`];
    if (takes("pairs")) {
      const { results, text, passed } = await comparePairs(ws, Symbolizer, Number(values.seed));
      sections.push(`\npairs\n${text.join("\n")}\nafter ${clock()}`);
      good &&= passed;
      done += results.length;
    }
    if (takes("demangling")) {
      const { results, text, passed } = await compareDemangling(ws, Number(values.examples));
      sections.push(`\ndemangling\n${text.join("\n")}`);
      good &&= passed;
      done += results.length;
    }
    for (const text of sections) console.log(text);
    console.log(
      `\n${good ? "PASS" : "FAIL"}, seed ${values.seed}, ${clock()}`,
    );
    return done === 0 ? 2 : good ? 0 : 1;
  } finally {
    ws.close();
  }
}

process.exitCode = await main();
