// Owns the comparison of demangled names of libstdc++, libLLVM and Rust's standard library beside the tools' own.
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { demangle } from "../../src/demangle/demangle.ts";
import { findTool, missingTools, type Workspace } from "./tools.ts";

/** Goal, in percent. */
const GOAL = 99.9;
const LIBRARIES = [
  {
    name: "libstdc++",
    paths: [
      "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
      "/usr/lib/x86_64-linux-gnu/debug/libstdc++.so.6",
    ],
  },
  { name: "libLLVM", paths: ["/usr/lib/llvm-14/lib/libLLVM-14.so.1", "/usr/lib/x86_64-linux-gnu/libLLVM-15.so.1"] },
];

export interface DemangleResult {
  name: string;
  names: number;
  /** Equal to llvm-cxxfilt's answer, or for Rust's legacy names to c++filt's. */
  equal: number;
  /** Equal to c++filt's alone: llvm-cxxfilt's is the one at fault. Each cause is in `causes` too. */
  equalToOther: number;
  /** Causes of differences, with counts and examples. */
  causes: Map<string, { count: number; examples: string[] }>;
}

export interface DemangleSummary {
  results: DemangleResult[];
  text: string[];
  passed: boolean;
}

/** How a cause says that the second tool agrees with us. */
const AS_OTHER = "as c++filt";
const LEGACY_RUST = /^_ZN.*17h[0-9a-f]{16}E/;

/** Compares every symbol of the libraries that are here. */
export async function compareDemangling(ws: Workspace, examples: number): Promise<DemangleSummary> {
  const lacking = missingTools(["llvm-cxxfilt", "c++filt", "nm"]);
  if (lacking !== undefined) return { results: [], text: [`skipped: ${lacking}`], passed: true };
  const text: string[] = [];
  const results: DemangleResult[] = [];
  const rust = await rustLibraries(ws);
  const sets = [...LIBRARIES, { name: "Rust's standard library and compiler", paths: rust }];
  for (const { name, paths } of sets) {
    const present = paths.filter((path) => existsSync(path));
    if (present.length === 0) {
      text.push(`skipped ${name}: none of its files is here`);
      continue;
    }
    const names = await mangledNames(ws, present);
    results.push(await compareNames(ws, name, names));
  }
  let passed = true;
  for (const { name, names, equal, equalToOther, causes } of results) {
    const percent = 100 * (equal + equalToOther) / Math.max(names, 1);
    const good = percent >= GOAL;
    if (!good) passed = false;
    text.push(
      `${
        good ? "PASS" : "FAIL"
      } ${name}: of ${names} names ${equal} equal, ${equalToOther} equal to c++filt's where ` +
        `llvm-cxxfilt is at fault (together ${percent.toFixed(4)} %)`,
    );
    for (const [cause, { count, examples: some }] of [...causes].sort((a, b) => b[1].count - a[1].count)) {
      text.push(`    ${count} × ${cause}`);
      for (const one of some.slice(0, examples)) text.push(`      ${one.slice(0, 1500)}`);
    }
  }
  return { results, text, passed };
}

async function rustLibraries(ws: Workspace): Promise<string[]> {
  const rustc = findTool("rustc");
  if (rustc === undefined) return [];
  const root = (await ws.text([rustc, "--print", "sysroot"])).trim();
  const host = /host: (\S+)/.exec(await ws.text([rustc, "-vV"]))?.[1] ?? "";
  const files: string[] = [];
  for (const folder of [join(root, "lib"), join(root, "lib/rustlib", host, "lib")]) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder).sort()) {
      if (/\.(so|rlib)$/.test(name)) files.push(join(folder, name));
    }
  }
  return files;
}

async function mangledNames(ws: Workspace, paths: readonly string[]): Promise<string[]> {
  const names = new Set<string>();
  for (const path of paths) {
    for (const flags of [[], ["-D"]]) {
      // nm fails on the metadata inside of an rlib and prints the rest all the same.
      for await (const line of ws.lines(["nm", ...flags, "--format=posix", path])) {
        const match = /^(_Z|_R)[^\s@]*/.exec(line);
        if (match !== null) names.add(match[0]);
      }
    }
  }
  return [...names];
}

async function filter(ws: Workspace, command: readonly string[], names: readonly string[]): Promise<string[]> {
  const input = ws.scratch("names");
  writeFileSync(input, `${names.join("\n")}\n`);
  const answers: string[] = [];
  for await (const line of ws.lines(command, { input })) answers.push(line);
  if (answers.length !== names.length) {
    throw new Error(`${command[0]} wrote ${answers.length} of ${names.length} names`);
  }
  return answers;
}

async function compareNames(ws: Workspace, name: string, names: readonly string[]): Promise<DemangleResult> {
  const result: DemangleResult = { name, names: names.length, equal: 0, equalToOther: 0, causes: new Map() };
  const llvm = await filter(ws, ["llvm-cxxfilt"], names);
  const gnu = await filter(ws, ["c++filt", "-i"], names);
  names.forEach((mangled, i) => {
    const ours = demangle(mangled);
    const cause = causeOf(mangled, ours, llvm[i], gnu[i]);
    if (cause === undefined) {
      result.equal++;
      return;
    }
    if (cause.includes(AS_OTHER)) result.equalToOther++;
    const entry = result.causes.get(cause) ?? { count: 0, examples: [] };
    result.causes.set(cause, entry);
    if (entry.count++ < 20) {
      entry.examples.push(`${mangled}\n        ours ${ours}\n        llvm ${llvm[i]}\n        GNU  ${gnu[i]}`);
    }
  });
  return result;
}

/** Undefined where the name is equal to that of the tool that knows its mangling. */
function causeOf(mangled: string, ours: string, llvm: string, gnu: string): string | undefined {
  if (LEGACY_RUST.test(mangled)) {
    // llvm-cxxfilt 14 knows no legacy Rust names: it takes them for C++. c++filt drops what follows the hash.
    const suffix = /17h[0-9a-f]{16}E(.*)$/.exec(mangled)![1];
    if (ours === gnu || (suffix !== "" && ours === gnu + suffix)) return undefined;
    return ours === llvm ? "legacy Rust: llvm-cxxfilt's, unlike c++filt's" : "legacy Rust: unlike c++filt";
  }
  if (ours === llvm) return undefined;
  // c++filt writes " [clone .x]", llvm-cxxfilt " (.x)".
  const plain = ours.replace(/ \((\.[^()]*)\)$/, " [clone $1]");
  if (llvm === mangled) {
    const kind = mangled.startsWith("_ZGT") ? "a transaction clone" : "a name";
    return `llvm-cxxfilt leaves ${kind} mangled, ours ${
      plain === gnu ? "is as c++filt's" : "differs from c++filt's"
    }`;
  }
  if (ours === mangled) return `we leave a name mangled, c++filt ${gnu === mangled ? "does too" : "doesn't"}`;
  return `unlike llvm-cxxfilt's, ${plain === gnu ? "as c++filt's" : "of no tool"}`;
}
