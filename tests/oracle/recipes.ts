// Owns the list of builds: which program, compiler, flags, and what is done to the result.

export type Program = "calc" | "shapes" | "odd" | "freestanding";
export type Compiler = "gcc" | "clang";

/** What happens to the linked file. */
export type After =
  | "zlib-gnu"
  | "zstd"
  | "split"
  | "dwz"
  | "dwo"
  | "dwp"
  | "symtab"
  | "dynsym"
  | "minidebug";

/** A build of a C or C++ program. */
export interface Build {
  name: string;
  program: Program;
  compiler: Compiler;
  flags: string[];
  link: string[];
  after?: After;
  /** The second program of a `dwz -m` run. */
  partner?: Program;
  tools: string[];
  note?: string;
}

export const SOURCES: Readonly<Record<Program, readonly string[]>> = {
  calc: ["calc/main.c", "calc/report.c", "calc/parse/lexer.c", "calc/eval/eval.c"],
  shapes: ["shapes/main.cpp", "shapes/algorithms.cpp", "shapes/geometry/shape.cpp"],
  odd: ["odd/odd.c", "odd/twin.c", "odd/pieces.S"],
  freestanding: ["freestanding/freestanding.c"],
};

const builds: Build[] = [];

/** Flags of programs without any library; no subject's name has them. */
const BARE = ["-ffreestanding", "-fno-stack-protector"];
const BARE_LINK = ["-nostdlib", "-static", "-Wl,--build-id"];

function build(
  program: Program,
  compiler: Compiler,
  flags: string,
  more: { name?: string; link?: string; after?: After; partner?: Program; tools?: string[]; note?: string } = {},
): void {
  const words = flags.split(" ");
  const link = more.link === undefined ? [] : more.link.split(" ");
  const short = (some: string[]): string => some.map((word) => word.replace(/^-+/, "")).join(" ");
  const own = link.filter((word) =>
    !words.includes(word) && (program !== "freestanding" || !BARE_LINK.includes(word))
  );
  const linked = short(own).replace("fuse-ld=", "");
  const title = (more.name ?? "") + short(words.filter((word) => !BARE.includes(word))) +
    (linked === "" ? "" : `, ${linked}`);
  const tools = [program === "shapes" ? (compiler === "gcc" ? "g++" : "clang++") : compiler];
  if (link.includes("-fuse-ld=lld")) tools.push("ld.lld");
  if (more.after !== undefined) tools.push("objcopy");
  if (more.after === "dwz" || more.partner !== undefined) tools.push("dwz");
  if (more.after === "minidebug") tools.push("xz");
  builds.push({
    name: `${program} ${compiler} ${title}${more.after === undefined ? "" : ` + ${more.after}`}`,
    program,
    compiler,
    flags: words,
    link,
    tools: [...tools, ...more.tools ?? []],
    ...(more.after === undefined ? {} : { after: more.after }),
    ...(more.partner === undefined ? {} : { partner: more.partner }),
    ...(more.note === undefined ? {} : { note: more.note }),
  });
}

// The square of programs, compilers, levels and versions.
for (const program of ["calc", "shapes", "odd"] as const) {
  for (const compiler of ["gcc", "clang"] as const) {
    for (const level of ["-O0", "-O2"]) {
      for (const version of ["-gdwarf-4", "-gdwarf-5"]) build(program, compiler, `${level} ${version}`);
    }
  }
}

// Compressed sections.
build("calc", "gcc", "-O2 -gdwarf-5 -gz=zlib", { link: "-gz=zlib" });
build("shapes", "clang", "-O2 -gdwarf-4 -gz=zlib", { link: "-gz=zlib" });
build("shapes", "gcc", "-O2 -gdwarf-5", { after: "zlib-gnu" });
build("calc", "clang", "-O2 -gdwarf-4", { after: "zlib-gnu" });
build("shapes", "gcc", "-O2 -gdwarf-5", {
  after: "zstd",
  note: "llvm-symbolizer 14 is asked about the plain file",
});
build("calc", "clang", "-O2 -gdwarf-5", {
  after: "zstd",
  note: "llvm-symbolizer 14 is asked about the plain file",
});

// Separate debug files, with and without the executable beside them.
build("calc", "gcc", "-O2 -gdwarf-5", { after: "split" });
build("shapes", "clang", "-O2 -gdwarf-5", { after: "split" });
build("odd", "gcc", "-O2 -gdwarf-4", { after: "split" });
build("calc", "gcc", "-O2 -gdwarf-4 -no-pie -fno-pie", { after: "split", link: "-no-pie" });
build("shapes", "gcc", "-O2 -gdwarf-5", { after: "dwz" });
build("shapes", "gcc", "-O2 -gdwarf-4", { after: "dwz" });
build("calc", "gcc", "-O2 -gdwarf-4", { partner: "odd", name: "dwz -m: " });
build("calc", "gcc", "-O2 -gdwarf-5", { partner: "odd", name: "dwz -m: " });

// Split DWARF.
for (const version of ["-gdwarf-4", "-gdwarf-5"]) {
  build("shapes", "clang", `-O2 ${version} -gsplit-dwarf`, { after: "dwo" });
  build("calc", "gcc", `-O2 ${version} -gsplit-dwarf`, { after: "dwo" });
  build("calc", "clang", `-O0 ${version} -gsplit-dwarf`, { after: "dwo" });
  build("shapes", "clang", `-O2 ${version} -gsplit-dwarf`, { after: "dwp", tools: ["llvm-dwp"] });
  // GNU dwp 2.40 crashes on gcc's DWARF 5.
  const packer = version === "-gdwarf-4" ? "dwp" : "llvm-dwp";
  build("shapes", "gcc", `-O2 ${version} -gsplit-dwarf`, { after: "dwp", tools: [packer] });
  build("calc", "clang", `-O2 ${version} -gsplit-dwarf -fsplit-dwarf-inlining`, {
    after: "dwp",
    tools: ["llvm-dwp"],
  });
}

// Old and large formats.
build("calc", "gcc", "-O2 -gdwarf-2 -gstrict-dwarf");
build("shapes", "gcc", "-O2 -gdwarf-3 -gstrict-dwarf");
build("calc", "clang", "-O2 -gdwarf-2");
build("shapes", "clang", "-O2 -gdwarf-3");
build("calc", "gcc", "-O2 -gdwarf-5 -gdwarf64");
build("shapes", "clang", "-O2 -gdwarf-5 -gdwarf64");
build("calc", "gcc", "-O2 -gdwarf-4 -gdwarf64");

// Little debug information, or none.
build("shapes", "gcc", "-O2 -g1");
build("shapes", "clang", "-O2 -gline-tables-only");
build("calc", "clang", "-O2 -gline-tables-only -gdwarf-4");
build("odd", "gcc", "-O2 -g", { after: "symtab" });
build("shapes", "clang", "-O2 -g", { after: "symtab" });
build("odd", "gcc", "-O2 -g -rdynamic", { after: "dynsym", link: "-rdynamic" });
build("calc", "gcc", "-O2 -g", { after: "minidebug", note: "llvm-symbolizer 14 is asked about the symbols' file" });

// Linkers, layouts, whole-program optimization, type units.
build("odd", "clang", "-O2 -gdwarf-5 -fno-pie", { link: "-no-pie -fuse-ld=lld" });
build("odd", "gcc", "-O2 -gdwarf-5", { link: "-static" });
build("calc", "clang", "-O2 -gdwarf-5", { link: "-static-pie" });
for (const version of ["-gdwarf-4", "-gdwarf-5"]) {
  build("calc", "gcc", `-O2 ${version} -ffunction-sections`, { link: "-Wl,--gc-sections" });
  build("calc", "clang", `-O2 ${version} -ffunction-sections`, { link: "-Wl,--gc-sections -fuse-ld=lld" });
}
build("shapes", "clang", "-O2 -gdwarf-4 -ffunction-sections", {
  name: "lld icf: ",
  link: "-Wl,--gc-sections -Wl,--icf=all -fuse-ld=lld",
});
build("shapes", "gcc", "-O2 -gdwarf-5 -flto");
build("calc", "clang", "-O2 -gdwarf-5 -flto", { link: "-fuse-ld=lld" });
build("shapes", "gcc", "-O2 -gdwarf-4 -fdebug-types-section");
build("shapes", "gcc", "-O2 -gdwarf-5 -fdebug-types-section");
build("shapes", "gcc", "-O3 -g");
build("shapes", "clang", "-Os -g");
build("odd", "gcc", "-Og -g");
build("calc", "gcc", "-O2 -g -ffile-prefix-map=calc=/usr/src/calc -freorder-blocks-and-partition");

// Other word sizes and byte orders, without any library.
for (const compiler of ["gcc", "clang"] as const) {
  for (const flags of ["-O0 -gdwarf-5", "-O2 -gdwarf-4", "-O2 -gdwarf-5"]) {
    build("freestanding", compiler, `${flags} -m32 ${BARE.join(" ")}`, { link: `-m32 ${BARE_LINK.join(" ")}` });
  }
}
build("shapes", "gcc", "-O2 -g -m32", { link: "-m32", tools: [] });
const TARGETS = ["powerpc64-linux-gnu -mabi=elfv2", "powerpc-linux-gnu", "mips-linux-gnu", "mips64-linux-gnuabi64"];
TARGETS.push("aarch64_be-linux-gnu", "aarch64-linux-gnu", "arm-linux-gnueabi -mthumb", "riscv64-linux-gnu");
for (const target of TARGETS) {
  for (const flags of ["-O0 -gdwarf-5", "-O2 -gdwarf-4", "-O2 -gdwarf-5"]) {
    build("freestanding", "clang", `--target=${target} ${flags} ${BARE.join(" ")}`, {
      link: `--target=${target} ${BARE_LINK.join(" ")} -fuse-ld=lld`,
    });
  }
}

export const BUILDS: readonly Build[] = builds;
