// Owns Rust's names: what demangleRust takes for one, and the legacy mangling (_ZN…17h<hash>E).
import { demangleRustV0 } from "./rust_v0.ts";
import { MOST_OUTPUT } from "./rust_v0_reader.ts";

/** Different digits that a legacy name's hash has at least: 16 random ones have fewer once in 2 × 10^7. */
const DISTINCT_DIGITS = 5;
/** Characters of the last element of a legacy name: `h` and 16 digits. */
const HASH_LENGTH = 17;

/** What `$…$` stands for; `$u7e$` and the like are computed. */
const ESCAPES: Readonly<Record<string, string>> = {
  SP: "@",
  BP: "*",
  RF: "&",
  LT: "<",
  GT: ">",
  LP: "(",
  RP: ")",
  C: ",",
};

/** Whether `h` and 16 lower-case hex digits are at `at`, with enough different ones to tell a hash from a word. */
function isHash(name: string, at: number): boolean {
  if (name.charCodeAt(at) !== 0x68) return false;
  let seen = 0;
  let distinct = 0;
  for (let i = at + 1; i < at + HASH_LENGTH; i++) {
    const code = name.charCodeAt(i);
    let value: number;
    if (code >= 0x30 && code <= 0x39) value = code - 0x30;
    else if (code >= 0x61 && code <= 0x66) value = code - 0x57;
    else return false;
    if ((seen & (1 << value)) === 0) distinct++;
    seen |= 1 << value;
  }
  return distinct >= DISTINCT_DIGITS;
}

/** The character that an escape's name stands for; `undefined` for an unknown one. */
function escaped(escape: string): string | undefined {
  if (Object.hasOwn(ESCAPES, escape)) return ESCAPES[escape];
  if (!/^u[0-9a-f]{1,6}$/.test(escape)) return undefined;
  const point = parseInt(escape.slice(1), 16);
  const control = point < 0x20 || (point >= 0x7f && point < 0xa0);
  if (control || point > 0x10_ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined;
  return String.fromCodePoint(point);
}

/** One element of a legacy path with its escapes undone; from the first unknown escape on it stays as it is. */
function unescape(element: string): string {
  if (!element.includes("$") && !element.includes("..")) return element;
  let out = "";
  // An identifier can't begin with `$`, so the compiler puts `_` before it.
  let at = element.startsWith("_$") ? 1 : 0;
  while (at < element.length) {
    if (element[at] === ".") {
      const two = element[at + 1] === ".";
      out += two ? "::" : ".";
      at += two ? 2 : 1;
    } else if (element[at] === "$") {
      const end = element.indexOf("$", at + 1);
      const character = end < 0 ? undefined : escaped(element.slice(at + 1, end));
      if (character === undefined) break;
      out += character;
      at = end + 1;
    } else {
      let end = at + 1;
      while (end < element.length && element[end] !== "." && element[end] !== "$") end++;
      out += element.slice(at, end);
      at = end;
    }
  }
  return out + element.slice(at);
}

/** The legacy name at `at`, just after `ZN`. */
function demangleLegacy(name: string, at: number): string | undefined {
  let out = "";
  let last = "";
  let lastAt = 0;
  for (let count = 0;; count++) {
    const first = at;
    let length = 0;
    for (; at < name.length && at - first < 7; at++) {
      const value = name.charCodeAt(at) - 0x30;
      if (!(value >= 0 && value <= 9)) break;
      length = length * 10 + value;
    }
    if (at === first) {
      // The last element is the hash and is left out.
      if (count < 2 || name[at] !== "E" || last.length !== HASH_LENGTH || !isHash(name, lastAt)) return undefined;
      break;
    }
    if (length === 0 || length > name.length - at) return undefined;
    if (count > 0) out += out === "" ? unescape(last) : `::${unescape(last)}`;
    last = name.slice(at, at + length);
    lastAt = at;
    at += length;
  }
  const suffix = name.slice(at + 1);
  // Anything else after the name is a C++ function's parameters.
  if (suffix !== "" && suffix[0] !== ".") return undefined;
  return /^\.llvm\.[0-9A-F@]+$/.test(suffix) ? out : out + suffix;
}

/**
 * A Rust symbol's name as source spells it, or `undefined` where `mangled` is no Rust name, is malformed, or passes a
 * limit: 500 levels of nesting, 131,072 characters, 131,072 steps (back references make names exponential).
 *
 * **Legacy** names, `_ZN…17h<16 hex digits>E` (with `__ZN` and `ZN`, as Mach-O and Windows have them): the hash is
 * left out, as `c++filt -i` and rustc-demangle's `{:#}` do; plain `c++filt` and rustc-demangle's `{}` print it, and
 * llvm-cxxfilt takes such a name for C++ and prints hash and escapes. Only a hash of at least five different digits
 * tells Rust from C++. A suffix `.llvm.<hex>` is dropped, others (`.cold`) stay as they are; that is rustc-demangle's
 * rule, `c++filt` drops all.
 *
 * **v0** names, `_R…` (and `__R`), RFC 2603: as llvm-cxxfilt 14 prints them, without hashes of crates and types of
 * constants, like `c++filt -i`; `c++filt` prints `core[846817f741e54dfd]` and `3: usize`. A suffix follows in
 * parentheses: `a::b (.llvm.1234)`, where rustc-demangle writes `a::b` and, for `.cold`, `a::b.cold`. Characters
 * beyond ASCII in constants are written `'\u{2202}'`; rustc-demangle prints them. Structural constants and pattern
 * types, which llvm-cxxfilt 14 doesn't know, are as rustc-demangle prints them: `{&[1, 2]}`, `u8 is 0..=9`.
 *
 * @param mangled The symbol's name, without a version (`@…`).
 */
export function demangleRust(mangled: string): string | undefined {
  if (mangled.length > MOST_OUTPUT) return undefined;
  const first = mangled.charCodeAt(0);
  // Z, or up to two underscores before it; anything else is told apart without a look at the rest.
  if (first !== 0x5f && first !== 0x5a) return undefined;
  if (mangled.startsWith("_R")) return demangleRustV0(mangled, 2);
  if (mangled.startsWith("__R")) return demangleRustV0(mangled, 3);
  // Most C++ names end here.
  if (!mangled.includes("17h")) return undefined;
  const start = mangled.indexOf("ZN");
  if (start < 0 || start > 2 || (start > 0 && mangled.slice(0, start) !== "__".slice(0, start))) return undefined;
  // deno-lint-ignore no-control-regex
  if (/[^\x00-\x7f]/.test(mangled)) return undefined;
  return demangleLegacy(mangled, start + 2);
}
