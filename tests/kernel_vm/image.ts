// Owns the machine's disks: the root file system, the project, and the RAM disk that the kernel starts from.
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { decompressXz } from "../../src/compress/xz.ts";
import { decompressZstd } from "../../src/compress/zstd.ts";
import { type CpioEntry, packCpio } from "./cpio.ts";
import { type Apt, codename, denoFor, unpackPackage } from "./packages.ts";
import { type Run, runTool } from "./tools.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const PROJECT = join(HERE, "../..");

// Tests copy programs and run the copies, which busybox, one program with many names, can't stand in for.
const PACKAGES = ["busybox-static", "coreutils", "dash", "gcc", "libc6-dev"];
// Those that a kernel has built in, or does not know, have no file and are left out.
const MODULES = ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_console", "crc32c_generic", "ext4"];
const MODULE_LIMIT = 64 * 1024 * 1024;
const MIB = 1024 * 1024;

/** An ext4 image of a folder, with so much room besides. */
async function makeImage(run: Run, folder: string, image: string, freeMib: number): Promise<void> {
  let size = 0;
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    size += Math.ceil(lstatSync(join(folder, name)).size / 4096 + 1) * 4096;
  }
  // All features are named, since defaults differ. No journal: what is written is gone after the run anyway.
  const features = "none,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_index,extra_isize";
  rmSync(image, { force: true });
  const sizeMib = Math.ceil(size * 1.1 / MIB) + freeMib;
  const options = ["-q", "-b", "4096", "-O", features, "-m", "0", "-d", folder];
  await runTool(run, "mkfs.ext4", [...options, image, `${sizeMib}M`]);
}

/** The root file system: made once for each architecture, Debian release and version of Deno. */
export async function rootImage(run: Run, apt: Apt): Promise<string> {
  // The code that makes it is part of what it depends on.
  const key = JSON.stringify([PACKAGES, process.versions.deno, makeRoot.toString(), makeImage.toString()]);
  const hash = createHash("sha256").update(key).digest("hex").slice(0, 8);
  const image = join(run.directory, `root-${codename()}-${run.architecture}-${hash}.ext4`);
  if (existsSync(image)) return image;
  const deno = await denoFor(run);
  run.progress(`fetching ${PACKAGES.join(", ")} for ${run.architecture}`);
  const packages = await apt.downloadAll(PACKAGES);
  run.progress("making the root file system");
  const root = join(run.scratch, "root");
  await makeRoot(run, root, packages, deno);
  const made = join(run.scratch, "root.ext4");
  await makeImage(run, root, made, 3000);
  renameSync(made, image);
  return image;
}

async function makeRoot(run: Run, root: string, packages: string[], deno: string): Promise<void> {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    // Before the packages, which bring files below both /lib and /usr/lib.
    mkdirSync(join(root, "usr", name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  for (const name of ["proc", "sys", "dev", "tmp", "run", "work", "root", "etc", "var/tmp"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  for (const file of packages) await unpackPackage(run, file, root);
  chmodSync(join(root, "tmp"), 0o1777);
  chmodSync(join(root, "var/tmp"), 0o1777);
  copyFileSync(deno, join(root, "usr/bin/deno"));
  chmodSync(join(root, "usr/bin/deno"), 0o755);
  // These are made where a package is installed.
  for (const [name, program] of [["cc", "gcc"], ["sh", "dash"]]) {
    if (!existsSync(join(root, "usr/bin", name))) symlinkSync(program, join(root, "usr/bin", name));
  }
  writeFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  );
  writeFileSync(join(root, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
  writeFileSync(join(root, "etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n");
}

/** The project as the working tree has it, committed or not. */
export async function projectImage(run: Run): Promise<string> {
  const folder = join(run.scratch, "project");
  mkdirSync(folder);
  const listed = await runTool(run, "git", ["ls-files", "-z", "-co", "--exclude-standard"], { cwd: PROJECT });
  for (const name of new Set(listed.split("\0"))) {
    // Git lists files, too, that are deleted but not yet in the index.
    if (name === "" || !existsSync(join(PROJECT, name))) continue;
    cpSync(join(PROJECT, name), join(folder, name), { verbatimSymlinks: true });
  }
  const image = join(run.scratch, "project.ext4");
  await makeImage(run, folder, image, 300);
  return image;
}

/** A folder with the kernel's package unpacked. */
export async function kernelFolder(run: Run, apt: Apt, name: string): Promise<string> {
  const folder = join(run.directory, name);
  if (existsSync(folder)) return folder;
  run.progress(`fetching ${name}`);
  const file = await apt.downloadOne(name);
  const made = join(run.scratch, "kernel");
  await unpackPackage(run, file, made);
  renameSync(made, folder);
  return folder;
}

/** The kernel itself. */
export function kernelFile(folder: string): string {
  const name = readdirSync(join(folder, "boot")).find((name) => name.startsWith("vmlinuz-"));
  if (name === undefined) throw new Error(`no kernel in ${folder}/boot`);
  return join(folder, "boot", name);
}

/** The modules that the kernel needs to reach its disks, with those that they need, in an order to load them. */
function modules(folder: string): Map<string, Uint8Array> {
  const files = new Map<string, string>();
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const match = /([^/]+)\.ko(\.\w+)?$/.exec(name);
    if (match !== null) files.set(match[1].replaceAll("-", "_"), join(folder, name));
  }
  const loaded = new Map<string, Uint8Array>();
  const load = (name: string) => {
    const file = files.get(name);
    if (file === undefined || loaded.has(name)) return;
    const bytes = unpacked(file);
    // The package has no modules.dep: that is made where it is installed.
    const needs = /depends=([\w,-]*)\0/.exec(new TextDecoder("latin1").decode(bytes))?.[1] ?? "";
    for (const needed of needs.split(",")) load(needed.replaceAll("-", "_"));
    loaded.set(name, bytes);
  };
  MODULES.forEach(load);
  return loaded;
}

function unpacked(file: string): Uint8Array {
  const bytes = readFileSync(file);
  if (file.endsWith(".xz")) return decompressXz(bytes, MODULE_LIMIT);
  return file.endsWith(".zst") ? decompressZstd(bytes, MODULE_LIMIT) : bytes;
}

/** The words as a shell reads them back. */
function quoted(words: string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}

/** The RAM disk: busybox, modules, the scripts of this folder, and the command. */
export async function ramDisk(run: Run, apt: Apt, folder: string, command: string[]): Promise<string> {
  const busybox = join(run.directory, `busybox-${run.architecture}`);
  if (!existsSync(busybox)) await fetchBusybox(run, apt, busybox);
  const text = (text: string) => new TextEncoder().encode(text);
  const loaded = modules(folder);
  const entries: CpioEntry[] = ["bin", "dev", "proc", "sys", "root", "modules"].map((path) => ({
    path,
    mode: 0o755,
  }));
  entries.push(
    { path: "bin/busybox", mode: 0o755, bytes: readFileSync(busybox) },
    { path: "init", mode: 0o755, bytes: readFileSync(join(HERE, "init.sh")) },
    { path: "run.sh", mode: 0o755, bytes: readFileSync(join(HERE, "run.sh")) },
    { path: "command.sh", mode: 0o755, bytes: text(`exec ${quoted(command)}\n`) },
    { path: "modules/order", mode: 0o644, bytes: text([...loaded.keys()].map((name) => `${name}\n`).join("")) },
  );
  for (const [name, bytes] of loaded) entries.push({ path: `modules/${name}`, mode: 0o644, bytes });
  const file = join(run.scratch, "initrd");
  writeFileSync(file, gzipSync(packCpio(entries), { level: 1 }));
  return file;
}

async function fetchBusybox(run: Run, apt: Apt, path: string): Promise<void> {
  const folder = join(run.scratch, "busybox");
  await unpackPackage(run, await apt.downloadOne("busybox-static"), folder);
  const found = ["usr/bin/busybox", "bin/busybox"].map((name) => join(folder, name)).find(existsSync);
  if (found === undefined) throw new Error("no busybox in busybox-static");
  renameSync(found, path);
}
