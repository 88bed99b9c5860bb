// Owns turning the list of builds into files: compiling, linking, and what is done to the linked file.
import { cpSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type Build, BUILDS, type Program, SOURCES } from "./recipes.ts";
import type { Recipe, Subject } from "./subject.ts";
import { findTool, type Workspace } from "./tools.ts";

const PROGRAMS = new URL("../../testdata/programs/", import.meta.url);
const IGNORED = "-w";

/** All C and C++ builds, then the Rust ones. */
export function buildRecipes(workspace: Workspace): Recipe[] {
  const sources = join(workspace.directory, "src");
  cpSync(PROGRAMS, sources, { recursive: true });
  const c = BUILDS.map((build, index): Recipe => ({
    name: build.name,
    tools: build.tools,
    make: () => makeC(workspace, sources, build, `c${index}`),
  }));
  const rust: Recipe[] = [];
  for (const program of ["ledger", "words"]) {
    for (const mangling of ["legacy", "v0"]) {
      for (const level of ["0", "2"]) {
        const name = `rust ${program} ${mangling} -O${level}`;
        rust.push({
          name,
          tools: ["rustc"],
          make: () => makeRust(workspace, sources, name, program, mangling, level),
        });
      }
    }
  }
  return [...c, ...rust];
}

async function link(ws: Workspace, src: string, build: Build, program: Program, folder: string): Promise<string> {
  const out = ws.folder(folder);
  const cxx = program === "shapes";
  const compiler = build.compiler === "gcc" ? (cxx ? "g++" : "gcc") : (cxx ? "clang++" : "clang");
  const objects: string[] = [];
  for (const source of SOURCES[program]) {
    // Relative to the sources, so that compilation directories and relative names matter.
    const object = `../${folder}/${basename(source).replace(/\.\w+$/, ".o")}`;
    const standard = cxx ? ["-std=c++17"] : [];
    // -flto and split units say nothing to an assembler.
    const flags = source.endsWith(".S") ? build.flags.filter((one) => !/^-(flto|gsplit)/.test(one)) : build.flags;
    await ws.text([compiler, ...standard, IGNORED, ...flags, "-c", source, "-o", object], { cwd: src });
    objects.push(object);
  }
  const ltoFlags = build.flags.includes("-flto") ? build.flags : [];
  const result = join(out, program);
  await ws.text([compiler, ...ltoFlags, ...objects, ...build.link, "-o", result], { cwd: src });
  return result;
}

async function makeC(ws: Workspace, src: string, build: Build, folder: string): Promise<Subject[]> {
  const exe = await link(ws, src, build, build.program, folder);
  const one = (subject: Omit<Subject, "name"> & { suffix?: string }): Subject => {
    const { suffix, ...rest } = subject;
    return {
      ...rest,
      name: build.name + (suffix ?? ""),
      ...(build.program === "shapes" ? { demangled: true } : {}),
      ...(build.note === undefined ? {} : { note: build.note }),
    };
  };
  const plain = { files: [{ path: exe }], asked: exe, mapped: exe };
  if (build.partner !== undefined) return await dwzMulti(ws, src, build, exe, folder, one);
  switch (build.after) {
    case undefined:
      return [one(plain)];
    case "zlib-gnu":
    case "zstd": {
      const packed = `${exe}.packed`;
      await ws.text(["objcopy", `--compress-debug-sections=${build.after}`, exe, packed]);
      const asked = build.after === "zstd" ? exe : packed;
      return [one({ files: [{ path: packed }], asked, askedGnu: exe, mapped: exe })];
    }
    case "split": {
      const debug = `${exe}.debug`;
      const stripped = `${exe}.stripped`;
      await ws.text(["objcopy", "--only-keep-debug", exe, debug]);
      await ws.text(["objcopy", "--strip-all", exe, stripped]);
      return [
        one({ files: [{ path: stripped }, { path: debug }], asked: debug, askedGnu: exe, mapped: stripped }),
        one({ suffix: ", alone", files: [{ path: debug }], asked: debug, askedGnu: exe, mapped: exe }),
      ];
    }
    case "dwz": {
      const small = `${exe}.dwz`;
      await ws.text(["dwz", "-o", small, exe]);
      return [one({ files: [{ path: small }], asked: small, askedGnu: exe, mapped: exe })];
    }
    case "dwo": {
      const dwos = readdirSync(join(ws.directory, folder)).filter((name) => name.endsWith(".dwo"));
      const files = [{ path: exe }, ...dwos.map((name) => ({ path: join(ws.directory, folder, name) }))];
      return [one({ ...plain, files, askedCwd: src })];
    }
    case "dwp": {
      const dwp = `${exe}.dwp`;
      const tool = build.tools.includes("llvm-dwp") ? "llvm-dwp" : "dwp";
      await ws.text([tool, "-e", exe, "-o", dwp], { cwd: src });
      return [one({ ...plain, files: [{ path: exe }, { path: dwp }], askedArgs: [`--dwp=${dwp}`], askedCwd: src })];
    }
    case "symtab": {
      const bare = `${exe}.symtab`;
      await ws.text(["objcopy", "--strip-debug", exe, bare]);
      return [one({ files: [{ path: bare }], asked: bare, mapped: bare })];
    }
    case "dynsym": {
      const bare = `${exe}.dynsym`;
      await ws.text(["objcopy", "--strip-all", exe, bare]);
      return [one({ files: [{ path: bare }], asked: bare, mapped: bare })];
    }
    default: {
      // "minidebug"
      const symbols = `${exe}.symtab`;
      const mini = `${exe}.mini`;
      const packed = `${exe}.withmini`;
      await ws.text(["objcopy", "--strip-debug", exe, symbols]);
      await ws.text(["objcopy", "--only-keep-debug", symbols, mini]);
      await ws.text(["xz", "-k", "--check=crc32", mini]);
      await ws.text(["objcopy", "--strip-all", "--add-section", `.gnu_debugdata=${mini}.xz`, exe, packed]);
      return [one({ files: [{ path: packed }], asked: symbols, mapped: packed })];
    }
  }
}

/** Two programs share an alternate file; llvm-symbolizer 14 doesn't read it, so the untouched copies are asked. */
async function dwzMulti(
  ws: Workspace,
  src: string,
  build: Build,
  exe: string,
  folder: string,
  one: (subject: Omit<Subject, "name"> & { suffix?: string }) => Subject,
): Promise<Subject[]> {
  const other = await link(ws, src, build, build.partner!, `${folder}p`);
  const work = ws.folder(`${folder}m`);
  const common = join(work, "common.debug");
  const small = [exe, other].map((path) => join(work, basename(path)));
  cpSync(exe, small[0]);
  cpSync(other, small[1]);
  await ws.text(["dwz", "-m", common, "-M", common, ...small]);
  if (statSync(common, { throwIfNoEntry: false }) === undefined) throw new Error("dwz found nothing to share");
  return [exe, other].map((path, i) =>
    one({
      suffix: `: ${basename(path)}`,
      files: [{ path: small[i], alternate: common }],
      asked: path,
      mapped: path,
      note: "llvm-symbolizer 14 doesn't read alternate files: it is asked about the copy before dwz",
    })
  );
}

async function makeRust(
  ws: Workspace,
  src: string,
  name: string,
  program: string,
  mangling: string,
  level: string,
): Promise<Subject[]> {
  const folder = ws.folder(name.replaceAll(" ", "-"));
  const exe = join(folder, program);
  const flags = ["-g", "-Z", "unstable-options", "-C", `symbol-mangling-version=${mangling}`];
  const command = [findTool("rustc")!, "--edition", "2021", ...flags, "-C", `opt-level=${level}`, "-o", exe];
  // A stable compiler has the switch for legacy names only this way.
  await ws.text([...command, `rust/${program}.rs`], { cwd: src, env: { RUSTC_BOOTSTRAP: "1" } });
  return [{ name, files: [{ path: exe }], asked: exe, mapped: exe, demangled: true }];
}

/** Writes a list of numbers as tools take them on standard input. */
export function writeAddresses(ws: Workspace, addresses: readonly bigint[]): string {
  const path = ws.scratch("addresses");
  writeFileSync(path, addresses.map((one) => `0x${one.toString(16)}\n`).join(""));
  return path;
}
