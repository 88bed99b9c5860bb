// Owns the edge smoke test: mod.ts bundled into one file, run by the workerd that Cloudflare Workers run on.
import { assertEquals, assertMatch } from "@std/assert";
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Full path of a program: as CI installs it, or from PATH. */
function find(name: string, installed: string): string | undefined {
  const places = [
    join(ROOT, ".ci/node_modules", installed),
    ...(process.env.PATH ?? "").split(delimiter).map((directory) => join(directory, name)),
  ];
  return places.find((path) => existsSync(path));
}

const bun = find("bun", "@oven/bun-linux-x64/bin/bun");
const workerd = find("workerd", "@cloudflare/workerd-linux-64/bin/workerd");
const missing = [bun === undefined && "bun", workerd === undefined && "workerd"].filter(Boolean).join(" and ");
const why = missing === "" ? "" : ` (skipped: no ${missing} here)`;

Deno.test({
  name: `a bundle of mod.ts works in workerd${why}`,
  ignore: missing !== "",
  fn() {
    const directory = mkdtempSync(join(tmpdir(), "stackmap-workerd-"));
    try {
      const bundle = join(directory, "stackmap.js");
      execFileSync(bun!, [
        "build",
        join(ROOT, "mod.ts"),
        "--target",
        "browser",
        "--format",
        "esm",
        "--outfile",
        bundle,
      ], {
        stdio: "pipe",
      });
      // One file that stands alone: whatever it imported, a browser or worker would have to find.
      const imports = readFileSync(bundle, "utf8").match(/^import\b.*$/gm) ?? [];
      assertEquals(imports, []);
      for (const file of ["smoke.js", "smoke.capnp"]) copyFileSync(join(HERE, file), join(directory, file));
      const run = spawnSync(workerd!, ["test", join(directory, "smoke.capnp"), "--verbose"], {
        encoding: "utf8",
        timeout: 60_000,
      });
      const output = `${run.stdout}${run.stderr}`;
      assertEquals(run.status, 0, output);
      const expected = [...readFileSync(join(HERE, "smoke.js"), "utf8").matchAll(/^export const (\w+) = \{$/gm)];
      for (const [, name] of expected) assertMatch(output, new RegExp(`\\[ PASS \\].*${name}`), output);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
});
