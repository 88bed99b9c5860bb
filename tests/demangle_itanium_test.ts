// Owns the tests of C++ names: known answers, the machine's C++ libraries against llvm-cxxfilt, bombs, fuzzing.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { assert, assertEquals } from "@std/assert";
import { demangleItanium } from "../src/demangle/itanium.ts";
import { fuzzParser } from "./fuzz.ts";
import { KNOWN_ANSWERS } from "./demangle_itanium_answers.ts";
import { leftToDeno, notDeno } from "./left_out.ts";

/** Oracles, the best one first. GNU's writes lambdas and some expressions in its own way. */
const TOOLS = ["llvm-cxxfilt", "llvm-cxxfilt-14", "c++filt"];
const LIBRARY_ROOTS = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
/** Names compared, at most. */
const MOST_NAMES = 200_000;
/** Files looked at, at most, and the smallest that is. */
const MOST_FILES = 1500;
const SMALLEST_FILE = 20_000;

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const textOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

Deno.test("C++ names are written as llvm-cxxfilt writes them", () => {
  assert(KNOWN_ANSWERS.length > 200);
  for (const [name, expected] of KNOWN_ANSWERS) assertEquals(demangleItanium(name) ?? name, expected, name);
});

// No tool at hand writes these, so they pin our reading of the ABI's text and prove nothing beyond it.
Deno.test("C++ names that LLVM 14 leaves mangled or misprints are written as the ABI's grammar reads", () => {
  const answers: readonly (readonly [string, string])[] = [
    ["_ZGTtNSt11logic_errorC1EPKc", "transaction clone for std::logic_error::logic_error(char const*)"],
    ["_ZN1AawEv", "A::operator co_await()"],
    ["_Z1fDB7_", "f(_BitInt(7))"],
    ["_Z1fDU7_", "f(unsigned _BitInt(7))"],
    ["_Z1fDF16b", "f(std::bfloat16_t)"],
    ["_Z1fIiEDTssfp_Li1EET_", "decltype((fp) <=> (1)) f<int>(int)"],
    ["_Z1fIiEDTdlfp_ET_", "decltype(delete fp) f<int>(int)"],
    ["_Z1fIiEDTgsna_T_EES0_", "decltype(::new[] int) f<int>(int)"],
    ["_Z1fIiEDTnw_T_ilLi1EEES0_", "decltype(new int{1}) f<int>(int)"],
    ["_Z1fIiQLb1EEvT_", "void f<int, requires true>(int)"],
    ["_Z1fIiEvT_QLb1E", "void f<int>(int) requires true"],
    ["_Z1fITniLi3EEvv", "void f<3>()"],
    ["_Z1fITkTyiEvT_", ""],
    ["_Z1fITyiEvT_", "void f<int>(int)"],
    ["_Z1fIiEDTsrSt6vectorIT_E3barES1_", "decltype(std::vector<int>::bar) f<int>(int)"],
    ["_ZNSt8ios_base7failureB5cxx11D1Ev", "std::ios_base::failure[abi:cxx11]::~failure()"],
    ["_ZNK3StrcvSt6vectorIcSaIcEEEv", "Str::operator std::vector<char, std::allocator<char> >() const"],
  ];
  for (const [name, expected] of answers) assertEquals(demangleItanium(name) ?? "", expected, name);
});

Deno.test("what is no C++ name gives undefined", () => {
  const names = [
    "",
    "_",
    "Z",
    "_Z",
    "__Z1fv",
    "main",
    "_ZE",
    "_ZN",
    "_ZNE",
    "_Z1",
    "_Z2f",
    "_Z1fS_",
    "_Z1fT_",
    "_Z0v",
  ];
  names.push("_Z1f1AIXT_EE", "_Z1fvv@@V1", "_Z1fv junk", "___Z1fv", "___Z1fv_block", "_ZTQ1A", "_Z1fSz", "_Z1fS1_");
  names.push("_Z99999999999999999999f", "_Z1fDz", "_ZN1AC9Ev", "_Z1fA3", "_RNvC1a1b", "_Z1f\u00e9");
  for (const name of names) assertEquals(demangleItanium(name), undefined, name);
});

Deno.test("names that nest deeply or stand for huge texts give undefined, soon", () => {
  const start = performance.now();
  for (
    const piece of ["P", "N1a", "F", "1AI", "DTng", "Z1f", "XadL_Z", "U1aI", "A", "K", "DpT", "NUlT", "J", "cv"]
  ) {
    assertEquals(demangleItanium(`_Z1f${piece.repeat(100_000)}`), undefined, piece);
    assertEquals(demangleItanium(`_Z1fI${piece.repeat(50_000)}${"E".repeat(50_000)}v`), undefined, piece);
  }
  assertEquals(demangleItanium(`_Z1f${"P".repeat(200_000)}i`), undefined);
  assertEquals(demangleItanium(`_Z1f${"P".repeat(100)}i`), `f(int${"*".repeat(100)})`);
  // Each type holds the one before twice.
  const digit = (i: number): string => i === 0 ? "S_" : `S${(i - 1).toString(36).toUpperCase()}_`;
  let twice = "1a";
  for (let i = 0; i < 60; i++) twice += `FvPFv${digit(2 * i)}${digit(2 * i)}EE`;
  demangleItanium(`_Z1f${twice}`);
  let template = "_Z1f1aIiiE";
  for (let i = 0; i < 200; i++) template += `S_I${digit(i + 1)}${digit(i + 1)}E`;
  assertEquals(demangleItanium(template), undefined);
  // Empty packs print nothing, however many there are.
  let packs = "_Z1fIJEEv1aIJDpT_EE";
  for (let i = 3; i < 60; i++) packs += `S1_IJ${digit(i)}${digit(i)}EE`;
  demangleItanium(packs);
  // Chains through substitutions are deeper than the parser ever was.
  let chain = "_Z1fPi";
  for (let i = 0; i < 5000; i++) chain += `P${digit(i)}`;
  assertEquals(demangleItanium(chain), undefined);
  assertEquals(demangleItanium("_ZN1AcvT_I1BIT_EEEv")?.length ?? 0, 0);
  assert(performance.now() - start < 5000, `${performance.now() - start} ms`);
});

Deno.test("mutated C++ names end in a text or undefined", () => {
  const samples = KNOWN_ANSWERS.map(([name]) => bytesOf(name));
  fuzzParser("demangleItanium", samples, (bytes) => demangleItanium(textOf(bytes)), { callLimit: 500 });
});

/** Shared libraries, each under the name it has first: links to one file are followed once. */
function libraries(): string[] {
  const found = new Map<number, string>();
  for (const root of LIBRARY_ROOTS) {
    let entries: string[] = [];
    try {
      entries = readdirSync(root);
    } catch {
      continue;
    }
    for (const entry of entries.sort()) {
      if (!/\.so(\.|$)/.test(entry) || found.size >= MOST_FILES) continue;
      const path = `${root}/${entry}`;
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat === undefined || !stat.isFile() || stat.size < SMALLEST_FILE || found.has(stat.ino)) continue;
      found.set(stat.ino, path);
    }
  }
  // The C++ library itself comes first, so that no limit cuts it off.
  return [...found.values()].sort((a, b) => Number(b.includes("libstdc++")) - Number(a.includes("libstdc++")));
}

function works(tool: string): boolean {
  return spawnSync(tool, ["--version"]).status === 0;
}

/** What one process of `tool` writes for `names`. */
function filtered(tool: string, names: readonly string[]): string[] {
  const directory = mkdtempSync(`${tmpdir()}/stackmap-`);
  try {
    writeFileSync(`${directory}/names`, `${names.join("\n")}\n`);
    // A shell gives the file as the input: not every runtime's spawnSync does.
    const { stdout } = spawnSync("sh", ["-c", '"$0" < "$1"', tool, `${directory}/names`], {
      encoding: "utf8",
      maxBuffer: 1 << 30,
    });
    return stdout.split("\n");
  } finally {
    rmSync(directory, { recursive: true });
  }
}

Deno.test({
  name: `the C++ names of the machine's libraries are written as llvm-cxxfilt writes them${leftToDeno}`,
  ignore: notDeno,
  fn: () => {
    const tool = TOOLS.find(works);
    if (tool === undefined || !works("nm")) {
      console.log(`skipped: nm or all of ${TOOLS.join(", ")} are not installed`);
      return;
    }
    const seen = new Set<string>();
    const counts = new Map<string, { from: number; to: number }>();
    const paths = libraries();
    for (let i = 0; i < paths.length && seen.size < MOST_NAMES; i += 50) {
      // -A: the file's name stands in front of each symbol.
      const { stdout } = spawnSync("nm", ["-D", "-A", ...paths.slice(i, i + 50)], {
        encoding: "utf8",
        maxBuffer: 1 << 30,
      });
      for (const line of stdout.split("\n")) {
        const at = line.indexOf(" _Z");
        if (at < 0 || seen.size >= MOST_NAMES) continue;
        const version = line.indexOf("@", at);
        const name = line.slice(at + 1, version < 0 ? undefined : version);
        if (seen.has(name)) continue;
        const path = line.slice(0, line.indexOf(":"));
        const count = counts.get(path) ?? { from: seen.size, to: seen.size };
        seen.add(name);
        counts.set(path, { from: count.from, to: seen.size });
      }
    }
    const names = [...seen];
    if (names.length === 0) {
      console.log("skipped: no C++ library found");
      return;
    }
    const expected = filtered(tool, names);
    const start = performance.now();
    const got = names.map((name) => demangleItanium(name) ?? name);
    const elapsed = performance.now() - start;
    let shown = 0;
    let different = 0;
    let refused = 0;
    for (const [path, { from, to }] of counts) {
      let equal = 0;
      for (let i = from; i < to; i++) {
        if (got[i] === expected[i]) {
          equal++;
        } else if (expected[i] === names[i]) {
          // The tool does not know the name; ours does.
          refused++;
        } else {
          different++;
          if (shown++ < 10) console.log(`${names[i]}\n  ${tool}: ${expected[i]}\n  ours: ${got[i]}`);
        }
      }
      if (to - from > 1000) console.log(`${path}: ${equal} of ${to - from} equal`);
    }
    const each = elapsed * 1000 / names.length;
    console.log(
      `${names.length} names, ${tool}: ${different} written differently, ${refused} that it does not know; ` +
        `${each.toFixed(1)} µs each`,
    );
    const goal = tool === "c++filt" ? 0.9 : 0.999;
    assert(different <= (1 - goal) * names.length, `${different} of ${names.length} names differ`);
  },
});
