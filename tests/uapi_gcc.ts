// Owns how the UAPI tests ask a C compiler: which offsets, sizes and numbers the system's headers have.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether gcc compiles a program with `headers`. */
function works(headers: readonly string[]): boolean {
  try {
    execFileSync("gcc", ["-fsyntax-only", "-x", "c", "-"], {
      input: include(headers),
      stdio: ["pipe", "ignore", "ignore"],
    });
    return true;
  } catch {
    return false;
  }
}

function include(headers: readonly string[]): string {
  return headers.map((header) => `#include <${header}>\n`).join("");
}

/** For a test that needs gcc and headers: whether to skip it, and the reason as an end of its name. */
export function needsHeaders(...headers: string[]): { ignore: boolean; why: string } {
  const ignore = !works(headers);
  return { ignore, why: ignore ? ` (skipped: gcc or <${headers.join(">, <")}> is missing)` : "" };
}

/** Whether the headers know this C expression. */
export function isKnown(headers: readonly string[], expression: string): boolean {
  try {
    execFileSync("gcc", ["-fsyntax-only", "-x", "c", "-"], {
      input: `#include <stddef.h>\n${include(headers)}long long probe = (long long)(${expression});\n`,
      stdio: ["pipe", "ignore", "ignore"],
    });
    return true;
  } catch {
    return false;
  }
}

/** The values of C integer expressions, through one compiled program. */
export function evaluate(headers: readonly string[], expressions: readonly string[]): bigint[] {
  const lines = expressions.map((expression) => `  printf("%llu\\n", (unsigned long long)(${expression}));\n`);
  const source = `#include <stddef.h>\n#include <stdio.h>\n${include(headers)}int main(void) {\n${
    lines.join("")
  }  return 0;\n}\n`;
  const directory = mkdtempSync(join(tmpdir(), "stackmap-uapi-"));
  try {
    const program = join(directory, "a.out");
    writeFileSync(join(directory, "a.c"), source);
    execFileSync("gcc", ["-o", program, join(directory, "a.c")], { stdio: "pipe" });
    const output = execFileSync(program, [], { encoding: "utf8" });
    return output.trim().split("\n").map(BigInt);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Macros that the headers define, name to text. */
export function macros(headers: readonly string[]): Map<string, string> {
  const output = execFileSync("gcc", ["-dM", "-E", "-x", "c", "-"], { input: include(headers), encoding: "utf8" });
  return new Map([...output.matchAll(/^#define (\w+) (.*)$/gm)].map((match) => [match[1], match[2]]));
}
