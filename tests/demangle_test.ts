// Owns the tests of the choice between manglings.
import { assertEquals } from "@std/assert";
import { demangle } from "../src/demangle/demangle.ts";

Deno.test("a name demangles by its own mangling, Rust before C++; anything else comes back unchanged", () => {
  assertEquals(demangle("_RNvC1a1b"), "a::b");
  assertEquals(demangle("_ZN3foo3bar17h05af221e174051e9E"), "foo::bar");
  assertEquals(demangle("_ZN3foo3barEv"), "foo::bar()");
  assertEquals(demangle("_ZN3foo17h1111111111111111E"), "foo::h1111111111111111");
  for (
    const name of [
      "",
      "main",
      "_",
      "_R",
      "_Z",
      "_ZN",
      "_RNvC1a",
      "RNvC1a1b",
      "memcpy",
      "Zebra",
      "__libc_start_main",
    ]
  ) {
    assertEquals(demangle(name), name);
  }
});
