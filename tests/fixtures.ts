// Owns reading of testdata: gzip and lines. Needs node:fs and node:zlib, which all three runtimes have.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const TESTDATA = new URL("../testdata/", import.meta.url);

/** The bytes of a file below testdata/, unpacked if its name ends in .gz. */
export function readTestdata(path: string): Uint8Array {
  const bytes = readFileSync(new URL(path, TESTDATA));
  return new Uint8Array(path.endsWith(".gz") ? gunzipSync(bytes) : bytes);
}

/** The text of a file below testdata/ as lines, without the empty one at the end. */
export function readTestdataLines(path: string): string[] {
  return new TextDecoder().decode(readTestdata(path)).replace(/\n$/, "").split("\n");
}

/** The names of the recordings of a running 6.18 kernel in testdata/linux-6.18. */
export const RECORDINGS = [
  "basic",
  "collisions",
  "crafted",
  "exhausted",
  "fuzz-31",
  "fuzz-32",
  "interpreter",
  "reuse",
  "reuse-fast",
  "skip",
] as const;

/** The names of those of a running 6.1 and a running 6.12, in testdata/linux-6.1 and testdata/linux-6.12. */
export const LONGTERM_RECORDINGS = [
  "basic",
  "collisions",
  "crafted",
  "exhausted",
  "reuse",
  "reuse-fast",
  "skip",
] as const;
