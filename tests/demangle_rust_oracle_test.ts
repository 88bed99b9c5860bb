// Owns the comparison of Rust's demangled names with llvm-cxxfilt and c++filt, over every symbol of real binaries.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { assert } from "@std/assert";
import { demangleRust } from "../src/demangle/rust.ts";
import { leftToDeno, notDeno } from "./left_out.ts";

/** Differences shown for each tool. */
const SHOWN = 20;

/** Std's generics, const generics, lifetimes, foreign identifiers: all that v0 has a letter for. */
const PROGRAM = `
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
trait Shape { fn area(&self) -> f64; fn each<F: for<'a> Fn(&'a str) -> &'a str>(&self, f: F) -> String; }
struct Square<T>(T);
impl<T: Into<f64> + Copy> Shape for Square<T> {
  fn area(&self) -> f64 { let x: f64 = self.0.into(); x * x }
  fn each<F: for<'a> Fn(&'a str) -> &'a str>(&self, f: F) -> String {
    (0..3).map(|i| f(&i.to_string()).to_string()).collect()
  }
}
struct List<T, const N: usize>([T; N]);
impl<T: Debug, const N: usize> List<T, N> { #[inline(never)] fn show(&self) -> String { format!("{:?}", self.0) } }
struct Consts<const B: bool, const C: char, const I: i32>;
impl<const B: bool, const C: char, const I: i32> Consts<B, C, I> {
  #[inline(never)] fn go(&self) -> i32 { if B { I } else { C as i32 } }
}
#[inline(never)] fn nested<T: Debug + ?Sized>(t: &T) -> usize {
  let c = || format!("{:?}", t).len();
  let d = move || c() + 1;
  d()
}
#[inline(never)] fn ty<T: ?Sized>() -> &'static str { std::any::type_name::<T>() }
mod größe {
  #[inline(never)] pub fn maß(x: u32) -> u32 { x + 1 }
  pub mod ßß { #[inline(never)] pub fn 東京<T: Copy>(x: T) -> T { x } }
}
type Callback = dyn for<'a> Fn(&'a u8, &'a str) -> &'a u8 + Send;
#[inline(never)] fn call<F: Fn() -> usize>(f: F) -> usize { f() }
fn main() {
  let s = Square(2.0f32);
  println!("{} {} {}", s.area(), s.each(|x| x), List([1u8, 2, 3]).show() + &List(["a"]).show());
  println!("{}{}", Consts::<true, 'a', -5>.go(), Consts::<false, 'b', { i32::MIN }>.go());
  println!("{} {}", nested(&(1u8, "x", [1i64; 3])), nested("x") + nested(&Box::new(vec![Some(1)])));
  println!("{}{}{}", ty::<*const u8>(), ty::<*mut [u8]>(), ty::<fn(i32) -> !>());
  println!("{}{}", ty::<unsafe extern "C" fn(u8, ...) -> ()>(), ty::<Box<Callback>>());
  println!("{}{}{}", ty::<(u8,)>(), ty::<()>(), ty::<&'static mut dyn Iterator<Item = u32>>());
  println!("{}{}", ty::<dyn Send>(), ty::<for<'a, 'b> fn(&'a u8, &'b mut u8) -> &'a u8>());
  println!("{}{}", ty::<extern "system" fn()>(), ty::<dyn for<'a> Fn(&'a dyn for<'b> Fn(&'a u8, &'b u8))>());
  println!("{}{}", größe::maß(1), größe::ßß::東京(1u128));
  let mut m: BTreeMap<String, Vec<Option<Result<i32, Box<dyn std::error::Error + Send + Sync>>>>> = BTreeMap::new();
  m.insert("a".into(), vec![Some(Ok(1))]);
  let mut h: HashMap<(u8, char), HashSet<i16>> = HashMap::new();
  h.entry((1, 'a')).or_default().insert(5);
  let v: VecDeque<f64> = (0..5).map(|x| x as f64).rev().collect();
  println!("{:?}{:?}{:?}", m, h, v);
  let t = std::thread::spawn(move || { let c = || call(|| call(|| 3usize)); c() });
  let mut z = vec![3, 1, 2];
  z.sort_by(|a, b| b.cmp(a));
  z.sort_unstable_by_key(|k| *k);
  println!("{:?} {}", z, t.join().unwrap());
  let f: fn(i32) -> Option<i32> = Some;
  let b: Box<dyn FnOnce() -> usize> = Box::new(|| 1);
  println!("{:?} {}", [1, 2].map(f), b());
}
`;

function run(tool: string, args: string[], input = ""): string | undefined {
  // The shell opens the input: Deno's spawnSync writes all of `input` before it reads, so that both sides wait
  // once a pipe is full, and takes no descriptor for stdin.
  const directory = mkdtempSync(join(tmpdir(), "stackmap-"));
  const path = join(directory, "input");
  writeFileSync(path, input);
  try {
    const { status, stdout } = spawnSync("sh", ["-c", 'exec "$@" < "$0"', path, tool, ...args], {
      encoding: "utf8",
      maxBuffer: 1 << 30,
      timeout: 60_000,
      // A stable compiler has the switch for legacy names only this way.
      env: { ...process.env, RUSTC_BOOTSTRAP: "1", LC_ALL: "C.UTF-8" },
    });
    return status === 0 ? stdout : undefined;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function findRustc(): string | undefined {
  return ["rustc", join(homedir(), ".cargo/bin/rustc"), "/usr/local/cargo/bin/rustc"].find((one) =>
    run(one, ["--version"]) !== undefined
  );
}

/** Rust's names in the symbol tables of `files`. */
function namesOf(files: string[]): string[] {
  const names = new Set<string>();
  for (const file of files) {
    for (const flags of [[], ["-D"]]) {
      // nm fails on the metadata inside of an rlib and prints the rest all the same.
      const { stdout } = spawnSync("nm", [...flags, "--format=posix", file], {
        encoding: "utf8",
        maxBuffer: 1 << 30,
      });
      for (const line of (stdout ?? "").split("\n")) {
        const space = line.indexOf(" ");
        const name = space < 0 ? line : line.slice(0, space);
        if (/^_R[A-Z]|^_ZN.*17h[0-9a-f]{16}E/.test(name)) names.add(name);
      }
    }
  }
  return [...names].sort();
}

/** Programs compiled by both manglings with and without optimization. */
function programNames(rustc: string): string[] {
  const directory = mkdtempSync(join(tmpdir(), "stackmap-"));
  try {
    writeFileSync(join(directory, "program.rs"), PROGRAM);
    const files: string[] = [];
    for (const mangling of ["legacy", "v0"]) {
      for (const level of ["0", "2"]) {
        const out = join(directory, `${mangling}${level}`);
        const flags = [
          "-Z",
          "unstable-options",
          "-C",
          `symbol-mangling-version=${mangling}`,
          "-C",
          `opt-level=${level}`,
        ];
        const ok = run(rustc, ["--edition", "2021", ...flags, "-o", out, join(directory, "program.rs")]);
        if (ok === undefined) console.log(`rustc doesn't compile with ${flags.join(" ")}`);
        else files.push(out);
      }
    }
    return namesOf(files);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Libraries of the compiler and its standard library. */
function standardNames(rustc: string): string[] {
  const root = run(rustc, ["--print", "sysroot"])?.trim();
  if (root === undefined) return [];
  const files: string[] = [];
  for (const directory of [join(root, "lib"), join(root, "lib/rustlib/x86_64-unknown-linux-gnu/lib")]) {
    if (!existsSync(directory)) continue;
    for (const name of readdirSync(directory)) {
      if (/\.(so|rlib)$/.test(name) && statSync(join(directory, name)).isFile()) files.push(join(directory, name));
    }
  }
  return namesOf(files);
}

const isV0 = (name: string): boolean => name.startsWith("_R");
/** What c++filt leaves out: everything from the first dot after the name. */
const withoutSuffix = (name: string, out: string): string => {
  if (isV0(name)) return out.replace(/ \(\.[^)]*\)$/, "");
  const suffix = name.slice(name.lastIndexOf("E", name.search(/17h[0-9a-f]{16}E/) + 20) + 1);
  return out.endsWith(suffix) ? out.slice(0, out.length - suffix.length) : out;
};

interface Oracle {
  tool: string;
  args: string[];
  /** Names that the tool demangles as this package means to. */
  takes(name: string): boolean;
  /** Our answer in the tool's terms. */
  ours(name: string, out: string): string;
}

const ORACLES: readonly Oracle[] = [
  // It takes legacy names for C++.
  { tool: "llvm-cxxfilt", args: [], takes: isV0, ours: (_, out) => out },
  { tool: "llvm-cxxfilt-14", args: [], takes: isV0, ours: (_, out) => out },
  { tool: "c++filt", args: ["-i"], takes: () => true, ours: withoutSuffix },
];

function compare(what: string, names: string[]): void {
  for (const { tool, args, takes, ours } of ORACLES) {
    if (run(tool, args, "_RNvC1a1b\n")?.trim() !== "a::b") {
      console.log(`${what}: ${tool} is not there, or too old for v0 names`);
      continue;
    }
    const taken = names.filter(takes);
    const theirs = run(tool, args, taken.join("\n") + "\n")!.split("\n");
    const start = performance.now();
    const mine = taken.map((name) => demangleRust(name) ?? name);
    const time = performance.now() - start;
    const different: string[] = [];
    taken.forEach((name, i) => {
      const out = ours(name, mine[i]);
      if (out !== theirs[i]) different.push(`${name}\n  ours   ${out}\n  theirs ${theirs[i]}`);
    });
    console.log(
      `${what}: ${tool}: ${taken.length} names, ${taken.filter(isV0).length} v0, ${different.length} differ; ` +
        `${(1000 * time / Math.max(taken.length, 1)).toFixed(1)} µs a name`,
    );
    for (const one of different.slice(0, SHOWN)) console.log(one);
    // Of a few names, a handful of the tool's own mistakes is more than a thousandth.
    assert(different.length <= Math.max(taken.length / 1000, 5), `${tool}: ${different.length} of ${taken.length}`);
  }
}

const rustc = findRustc();
const ready = rustc !== undefined && run("nm", ["--version"]) !== undefined;
if (!ready) console.log("skipped: rustc or nm is not there");

Deno.test({
  name: `names of compiled Rust programs, legacy and v0, equal llvm-cxxfilt's and c++filt's${leftToDeno}`,
  ignore: !ready || notDeno,
  fn: () => compare("programs", programNames(rustc!)),
});

Deno.test({
  name: `names of Rust's standard library equal llvm-cxxfilt's and c++filt's${leftToDeno}`,
  ignore: !ready || notDeno,
  // `deno task oracle` takes all.
  fn: () => compare("every eighth of the standard library", standardNames(rustc!).filter((_, i) => i % 8 === 0)),
});
