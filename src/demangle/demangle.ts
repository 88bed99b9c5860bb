// Owns the choice between the manglings: Rust v0, Rust legacy, Itanium C++.
import { demangleItanium } from "./itanium.ts";
import { demangleRust } from "./rust.ts";

/**
 * A symbol's name as source spells it; `name` itself where it is in no known mangling, malformed, or passes a limit
 * of its demangler. Never throws.
 *
 * Rust comes first: its legacy names are C++ names too, told apart by their hash.
 */
export function demangle(name: string): string {
  return demangleRust(name) ?? demangleItanium(name) ?? name;
}
