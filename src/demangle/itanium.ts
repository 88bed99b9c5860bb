// Owns demangling of C++ names of the Itanium ABI, which all but Microsoft's compilers use: prefix and suffix.
import { fail, NotMangled } from "./itanium_cursor.ts";
import { Parser } from "./itanium_expressions.ts";
import { type Node, sequence } from "./itanium_node.ts";
import { Printer } from "./itanium_print.ts";

/**
 * The C++ declaration that a linker symbol stands for, as `llvm-cxxfilt` writes it: `_ZN3foo3barEi` is
 * `foo::bar(int)`. Behind a name whose symbol a compiler has split or cloned stands that suffix: `foo() (.cold)`.
 *
 * @param mangled The symbol's name, without a version (`@GLIBCXX_3.4`).
 * @returns `undefined` for anything but a valid name: begins with neither `_Z` nor `___Z` (a block), is malformed
 *   or cut, nests deeper than some hundred levels, or stands for more than 131,072 UTF-16 code units.
 */
export function demangleItanium(mangled: string): string | undefined {
  const block = mangled.startsWith("___Z");
  if (!block && !mangled.startsWith("_Z")) return undefined;
  try {
    return Printer.print(parse(mangled, block));
  } catch (error) {
    if (error instanceof NotMangled) return undefined;
    throw error;
  }
}

function parse(mangled: string, block: boolean): Node {
  const parser = new Parser(mangled, block ? 4 : 2);
  const name = parser.encoding();
  if (block) {
    if (!parser.takeText("_block_invoke")) fail();
    else if (parser.take(0x5f)) parser.number();
    else parser.digits();
    if (parser.look() === 0x2e) parser.at = mangled.length;
  }
  const suffix = parser.look() === 0x2e ? mangled.slice(parser.at) : "";
  if (parser.at + suffix.length !== mangled.length) fail();
  if (block) return sequence("invocation function for block in ", name);
  return suffix === "" ? name : sequence(name, ` (${suffix})`);
}
