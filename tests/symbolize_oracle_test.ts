// Owns the comparison with llvm-symbolizer in CI's size: a few builds, a few hundred addresses of each.
// `deno task oracle` is the whole of it.
import { assert, assertEquals } from "@std/assert";
import { Symbolizer } from "../src/symbolize/symbolizer.ts";
import { buildRecipes } from "./oracle/build.ts";
import { passes, percentages, type Score } from "./oracle/compare.ts";
import { measure } from "./oracle/measure.ts";
import { scoreText } from "./oracle/report.ts";
import type { Subject } from "./oracle/subject.ts";
import { systemRecipes } from "./oracle/system.ts";
import { missingTools, Workspace } from "./oracle/tools.ts";
import { inNode, leftInNode } from "./left_out.ts";

/** One of each compiler, version and container; the names are those of `deno task oracle --list`. */
const NAMES = [
  "calc gcc O2 gdwarf-5 gz=zlib",
  "calc clang O2 gdwarf-4",
  "shapes gcc O2 gdwarf-4",
  "odd gcc O2 gdwarf-5",
  "odd gcc O2 gdwarf-4 + split",
  "calc gcc O2 gdwarf-5 gsplit-dwarf + dwo",
  "calc clang O2 gdwarf-5 gsplit-dwarf fsplit-dwarf-inlining + dwp",
  "freestanding clang target=mips-linux-gnu O2 gdwarf-5, lld",
  "system libkrb5",
  "system libc",
];
const ADDRESSES = 300;
const SEED = 20240607;

const lacking = missingTools(["llvm-symbolizer", "llvm-dwarfdump", "readelf"]);
if (lacking !== undefined) console.log(`skipped: ${lacking}`);

Deno.test({
  name: `names, files, lines and inlined calls equal llvm-symbolizer's${leftInNode}`,
  ignore: lacking !== undefined || inNode,
  fn: async () => {
    const ws = new Workspace();
    const scores: Score[] = [];
    try {
      const recipes = [...buildRecipes(ws), ...systemRecipes(ws)].filter(({ name }) => NAMES.includes(name));
      assertEquals(recipes.length, NAMES.length, "a recipe was renamed");
      const work = async (): Promise<void> => {
        for (let recipe = recipes.shift(); recipe !== undefined; recipe = recipes.shift()) {
          const { name, tools, make } = recipe;
          const missing = missingTools(tools);
          let subjects: Subject[] = [];
          try {
            if (missing !== undefined) throw new Error(missing);
            subjects = await make();
          } catch (error) {
            console.log(`skipped ${name}: ${error instanceof Error ? error.message : error}`);
          }
          for (const subject of subjects) {
            scores.push(await measure(ws, Symbolizer, subject, { addresses: ADDRESSES, seed: SEED, quick: true }));
          }
        }
      };
      await Promise.all([work(), work()]);
    } finally {
      ws.close();
    }
    const total = scores.reduce((sum, { addresses }) => sum + addresses, 0);
    console.log(`${scores.length} files, ${total} addresses, seed ${SEED}`);
    for (const score of scores) {
      const { names, lines, chains } = percentages(score);
      // Of a few hundred, one difference is more than a thousandth.
      const few = 100 - 100 * 1.5 / score.addresses;
      const good = passes(score) || (Math.min(names, lines, chains) >= few && score.offsetsUnlike === 0);
      assert(good, scoreText(score, 3));
    }
  },
});
