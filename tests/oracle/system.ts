// Owns what Debian installs: libraries and programs with their separate debug files, and pairs of both by build ID.
import { closeSync, existsSync, openSync, readdirSync, readSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { noteBuildId } from "./ours.ts";
import type { Recipe } from "./subject.ts";
import type { Workspace } from "./tools.ts";

export const DEBUG_ROOT = "/usr/lib/debug";
const LIBRARIES = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
/** Where packages put executables; the debug tree itself is left out. */
const ROOTS = ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/lib64"];

/** Names of what is compared, the package of its debug file, and where it is looked for. */
const WANTED: readonly {
  name: string;
  debugPackage: string;
  paths: readonly string[];
  /** The file has its own debug information. */
  whole?: boolean;
}[] = [
  { name: "libc", debugPackage: "libc6-dbg", paths: inLibraries("libc.so.6") },
  { name: "libm", debugPackage: "libc6-dbg", paths: inLibraries("libm.so.6") },
  { name: "ld.so", debugPackage: "libc6-dbg", paths: inLibraries("ld-linux-x86-64.so.2") },
  // Debian's package is no debug file of the installed library but a second build, unstripped and unoptimized.
  { name: "libstdc++", debugPackage: "libstdc++6-12-dbg", paths: inLibraries("debug/libstdc++.so.6"), whole: true },
  { name: "python3.11", debugPackage: "python3.11-dbg", paths: ["/usr/bin/python3.11"] },
  { name: "as", debugPackage: "binutils-x86-64-linux-gnu-dbg", paths: ["/usr/bin/x86_64-linux-gnu-as"] },
  { name: "ld.gold", debugPackage: "binutils-x86-64-linux-gnu-dbg", paths: ["/usr/bin/x86_64-linux-gnu-ld.gold"] },
  { name: "libbfd", debugPackage: "libbinutils-dbg", paths: inLibraries("libbfd-2.40-system.so") },
  { name: "libkrb5", debugPackage: "libkrb5-dbg", paths: inLibraries("libkrb5.so.3") },
  { name: "memcheck", debugPackage: "valgrind-dbg", paths: ["/usr/libexec/valgrind/memcheck-amd64-linux"] },
];

/** Programs without any debug file here, of their own symbol table. */
const BARE = [
  { name: "libstdc++", path: "/usr/lib/x86_64-linux-gnu/libstdc++.so.6" },
  { name: "bash", path: "/usr/bin/bash" },
  { name: "libLLVM", path: "/usr/lib/llvm-14/lib/libLLVM-14.so.1" },
];

function inLibraries(name: string): string[] {
  return LIBRARIES.map((folder) => join(folder, name));
}

/** Recipes of the machine's own files. What isn't installed says so when it is made. */
export function systemRecipes(ws: Workspace): Recipe[] {
  const recipes = WANTED.map(({ name, debugPackage, paths, whole }): Recipe => ({
    name: `system ${name}`,
    tools: [],
    make: async () => {
      const path = paths.find((one) => existsSync(one));
      if (path === undefined) {
        throw new Error(`${paths[0]} not found (its debug file: Debian package ${debugPackage})`);
      }
      const real = realpathSync(path);
      if (whole) {
        return [{ name: `system ${name}`, files: [{ path: real }], asked: real, mapped: real, demangled: true }];
      }
      const debug = debugFileOf(real);
      if (debug === undefined) {
        throw new Error(`no debug file for ${real}: Debian package ${debugPackage}, of the same version`);
      }
      const alternate = await alternateOf(ws, debug);
      return [{
        name: `system ${name}`,
        files: [{ path: real }, { path: debug, ...(alternate === undefined ? {} : { alternate }) }],
        asked: debug,
        askedGnu: real,
        mapped: real,
        demangled: name === "ld.gold",
        ...(alternate === undefined ? {} : { note: `with ${alternate}, which llvm-symbolizer 14 doesn't read` }),
      }];
    },
  }));
  for (const { name, path } of BARE) {
    recipes.push({
      name: `system ${name}, no debug file`,
      tools: [],
      make: () => {
        if (!existsSync(path)) return Promise.reject(new Error(`${path} is not installed`));
        const real = realpathSync(path);
        const note = name === "bash" ? "Debian's bash-dbgsym is in another archive than the packages here" : "";
        return Promise.resolve([{
          name: `system ${name}, no debug file`,
          files: [{ path: real }],
          asked: real,
          mapped: real,
          demangled: name.startsWith("lib"),
          ...(note === "" ? {} : { note }),
        }]);
      },
    });
  }
  return recipes;
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
}

/** The first 64 KiB. */
function headOf(path: string): Uint8Array | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    const buffer = new Uint8Array(1 << 16);
    const magic = readSync(file, buffer, 0, 4, 0);
    if (magic < 4 || buffer[0] !== 0x7f || buffer[1] !== 0x45 || buffer[2] !== 0x4c || buffer[3] !== 0x46) {
      return undefined;
    }
    return buffer.subarray(0, readSync(file, buffer, 0, buffer.length, 0));
  } catch {
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** The debug file that belongs to a file by build ID. */
function debugFileOf(path: string): string | undefined {
  const head = headOf(path);
  const id = head === undefined ? undefined : noteBuildId(head);
  if (id === undefined) return undefined;
  const digits = hex(id);
  const debug = join(DEBUG_ROOT, ".build-id", digits.slice(0, 2), `${digits.slice(2)}.debug`);
  return existsSync(debug) ? debug : undefined;
}

/** The file that .gnu_debugaltlink names, if it has one and it is there. */
export async function alternateOf(ws: Workspace, debug: string): Promise<string | undefined> {
  const dump = await ws.text(["readelf", "-SW", debug]);
  if (!dump.includes(".gnu_debugaltlink")) return undefined;
  const strings = await ws.text(["readelf", "-p", ".gnu_debugaltlink", debug]);
  const name = /\]\s+(\S+\.debug)/.exec(strings)?.[1];
  if (name === undefined) return undefined;
  const path = resolve(dirname(realpathSync(debug)), name);
  const other = join(DEBUG_ROOT, ".dwz", "x86_64-linux-gnu", basename(name));
  return [path, other].find((one) => existsSync(one));
}

export interface Pair {
  executable: string;
  debug: string;
  buildId: string;
}

/** Every installed executable or library whose debug file is installed too, by build ID. */
export function findPairs(): Pair[] {
  const debugs = new Map<string, string>();
  const tree = join(DEBUG_ROOT, ".build-id");
  if (!existsSync(tree)) return [];
  for (const folder of readdirSync(tree)) {
    for (const name of readdirSync(join(tree, folder))) {
      if (name.endsWith(".debug")) debugs.set(folder + name.slice(0, -6), join(tree, folder, name));
    }
  }
  const pairs: Pair[] = [];
  const seen = new Set<string>();
  const visit = (folder: string, depth: number): void => {
    if (folder === DEBUG_ROOT || depth > 8) return;
    let entries;
    try {
      entries = readdirSync(folder, { withFileTypes: true });
    } catch {
      return;
    }
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path, depth + 1);
      else if (entry.isFile() && !/\.(py|pyc|h|hpp|a|o|js|json|txt|html|pm|pl)$/.test(entry.name)) {
        const head = headOf(path);
        const id = head === undefined ? undefined : noteBuildId(head);
        if (id === undefined) continue;
        const buildId = hex(id);
        const debug = debugs.get(buildId);
        if (debug === undefined || seen.has(buildId)) continue;
        seen.add(buildId);
        pairs.push({ executable: path, debug, buildId });
      }
    }
  };
  for (const root of ROOTS) visit(root, 0);
  return pairs.sort((a, b) => a.executable < b.executable ? -1 : 1);
}
