// Owns the choice between the manglings: Rust v0, Rust legacy, Itanium C++.
import { demangleItanium } from "./itanium.ts";
import { demangleRust } from "./rust.ts";

/**
 * A symbol's name as source spells it; `name` itself where it is in no known mangling, malformed, or passes a limit
 * of its demangler. Never throws.
 *
 * C++ names are those of the Itanium ABI, which all but Microsoft's compilers use, written as `llvm-cxxfilt` writes them;
 * Rust names those of v0 and of the legacy mangling, without its hash, as `c++filt` does. Rust comes first: its legacy
 * names are C++ names too, told apart by that hash. The result is at most 131,072 UTF-16 code units long.
 *
 * @param name As in the symbol table, with or without a version (`@GLIBCXX_3.4`).
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { demangle } from "@bpf/stackmap";
 *
 * assertEquals(demangle("_ZNSt6vectorIiSaIiEE9push_backEOi"), "std::vector<int, std::allocator<int> >::push_back(int&&)");
 * assertEquals(demangle("_RNvNtCs1234_7mycrate3foo3bar"), "mycrate::foo::bar");
 * assertEquals(demangle("main"), "main");
 * ```
 */
export function demangle(name: string): string {
  const at = name.indexOf("@");
  const bare = at > 0 ? name.slice(0, at) : name;
  const source = demangleRust(bare) ?? demangleItanium(bare);
  return source === undefined ? name : source + name.slice(bare.length);
}
