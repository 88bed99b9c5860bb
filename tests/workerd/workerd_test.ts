// Owns the edge smoke test: mod.ts bundled into one file, run by the workerd that Cloudflare Workers run on.
import { assertEquals, assertMatch } from "@std/assert";
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

const SOURCE = `static int twice(int x) { return x + x; }
__attribute__((noinline)) int work(int x)
{
  return twice(x) * 3;
}
int main(int argc, char **argv) { (void)argv; return work(argc); }
`;

/** A program with compressed DWARF, and what addr2line says of each byte of work(); both empty without the tools. */
function writeProgram(directory: string): void {
  const path = (name: string) => join(directory, name);
  writeFileSync(path("program.bin"), "");
  writeFileSync(path("expected.json"), "[]");
  writeFileSync(path("program.c"), SOURCE);
  const tool = (command: string, ...args: string[]) =>
    spawnSync(command, args, { encoding: "utf8", cwd: directory });
  const flags = ["-g", "-gz=zlib", "-O2", "-Wl,--build-id"];
  if (tool("gcc", ...flags, "-o", "program", "program.c").status !== 0) return;
  const [, at, size] = /^([0-9a-f]+) ([0-9a-f]+) T work$/m.exec(tool("nm", "-S", "program").stdout ?? "") ?? [];
  if (at === undefined) return;
  const expected = Array.from({ length: parseInt(size, 16) }, (_, i) => {
    const address = `0x${(parseInt(at, 16) + i).toString(16)}`;
    const lines = tool("addr2line", "-f", "-i", "-e", "program", address).stdout.trim().split("\n");
    return { address, lines: lines.map((line) => line.replace(/ \(discriminator \d+\)$/, "")) };
  });
  copyFileSync(path("program"), path("program.bin"));
  writeFileSync(path("expected.json"), JSON.stringify(expected));
}

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
      writeProgram(directory);
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
