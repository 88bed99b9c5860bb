// Owns the check that tests leave alone what is the whole process's: in Deno files run beside each other in threads.
import { assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const TESTS = new URL(".", import.meta.url);
const CHANGES =
  /process\.env(?:\.\w+|\[[^\]]+\])\s*(?:\?\?|\|\|)?=[^=]|delete process\.env|env\.(?:set|delete)\(|chdir\(|umask\(/;

/** The lines of a file that change environment, working directory or umask. */
function changes(text: string): string[] {
  return text.split("\n").filter((line) => CHANGES.test(line) && !/^\s*(?:\/\/|\*)/.test(line));
}

Deno.test("no test changes environment, working directory or umask of the process it shares with others", () => {
  const files = readdirSync(fileURLToPath(TESTS)).filter((name) =>
    name.endsWith(".ts") && name !== "isolation_test.ts"
  );
  const found = files.map((name) => [name, ...changes(readFileSync(new URL(name, TESTS), "utf8"))]);
  assertEquals(found.filter(([, ...lines]) => lines.length > 0), []);
});

Deno.test("the check sees such changes, and lets reading pass", () => {
  for (
    const line of [
      'process.env.A = "1";',
      'process.env["A"] = "1";',
      "process.env[name] ??= before;",
      "delete process.env.A;",
      'Deno.env.set("A", "1");',
      'process.chdir("/");',
      "process.umask(0);",
    ]
  ) assertEquals(changes(line), [line]);
  assertEquals(
    changes('if (process.env.A === "1") run({ env: { ...process.env, A: "2" } });\n// process.chdir()'),
    [],
  );
});
