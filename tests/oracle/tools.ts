// Owns running other programs: arguments in, output through files, so that no pipe can fill up and block.
import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** How a program ended. `stdoutPath` stays until the next `discard()` of the run or the end of the workspace. */
export interface Ran {
  status: number;
  stdoutPath: string;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  /** A file for the standard input. */
  input?: string;
  env?: Record<string, string>;
  seconds?: number;
}

/** A directory for everything a run of the oracle writes. */
export class Workspace {
  readonly directory: string;
  readonly #kept: boolean;
  #count = 0;

  constructor(keep?: string) {
    this.#kept = keep !== undefined;
    if (keep !== undefined) mkdirSync(keep, { recursive: true });
    this.directory = keep ?? mkdtempSync(join(tmpdir(), "oracle-"));
    mkdirSync(join(this.directory, "scratch"), { recursive: true });
  }

  /** A path that nothing has used yet. */
  scratch(name: string): string {
    return join(this.directory, "scratch", `${this.#count++}-${name}`);
  }

  folder(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  close(): void {
    if (!this.#kept) rmSync(this.directory, { recursive: true, force: true });
  }

  async run(command: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const stdoutPath = this.scratch("out");
    const stderrPath = this.scratch("err");
    const script = 'in=$1 out=$2 err=$3; shift 3; exec "$@" <"$in" >"$out" 2>"$err"';
    const args = ["-c", script, "sh", options.input ?? "/dev/null", stdoutPath, stderrPath, ...command];
    const status = await new Promise<number>((resolve) => {
      const child = spawn("sh", args, {
        stdio: "ignore",
        timeout: (options.seconds ?? 120) * 1000,
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        // No downloads: a symbolizer may ask a server for debug files.
        env: { ...process.env, LC_ALL: "C.UTF-8", DEBUGINFOD_URLS: "", ...options.env },
      });
      child.on("error", () => resolve(-1));
      child.on("close", (code: number | null) => resolve(code ?? -1));
    });
    const stderr = readFileSync(stderrPath, "utf8");
    rmSync(stderrPath, { force: true });
    return { status, stdoutPath, stderr };
  }

  /** The whole output of a program that must succeed. */
  async text(command: readonly string[], options: RunOptions = {}): Promise<string> {
    const ran = await this.run(command, options);
    const text = readFileSync(ran.stdoutPath, "utf8");
    rmSync(ran.stdoutPath, { force: true });
    if (ran.status !== 0) {
      const line = ran.stderr.split("\n").find((one) => /error|cannot|not |invalid/i.test(one)) ?? ran.stderr;
      throw new Error(`${command.slice(0, 3).join(" ")} …: ${line.trim().slice(0, 200) || `status ${ran.status}`}`);
    }
    return text;
  }

  /** The lines of a program's output, a megabyte at a time. The status is not looked at. */
  async *lines(command: readonly string[], options: RunOptions = {}): AsyncGenerator<string> {
    const { stdoutPath } = await this.run(command, options);
    try {
      yield* fileLines(stdoutPath);
    } finally {
      rmSync(stdoutPath, { force: true });
    }
  }
}

/** The lines of a file, read a megabyte at a time. */
export function* fileLines(path: string): Generator<string> {
  const file = openSync(path, "r");
  const buffer = new Uint8Array(1 << 20);
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const count = readSync(file, buffer, 0, buffer.length, null);
      if (count === 0) break;
      const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: true })).split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
    if (rest !== "") yield rest;
  } finally {
    closeSync(file);
  }
}

/** Programs and the Debian package that brings each. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  "llvm-symbolizer": "llvm",
  "llvm-dwarfdump": "llvm",
  "llvm-cxxfilt": "llvm",
  "llvm-dwp": "llvm",
  clang: "clang",
  "clang++": "clang",
  "ld.lld": "lld",
  gcc: "gcc",
  "g++": "g++",
  readelf: "binutils",
  addr2line: "binutils",
  objcopy: "binutils",
  objdump: "binutils",
  "c++filt": "binutils",
  nm: "binutils",
  dwp: "binutils",
  dwz: "dwz",
  xz: "xz-utils",
  rustc: "rustc",
};

/** Folders that a compiler's own installer uses, besides PATH. */
const MORE_FOLDERS = [join(homedir(), ".cargo/bin"), "/usr/local/cargo/bin"];

const found = new Map<string, string | undefined>();

/** A program's path in PATH or where its own installer puts it; undefined where it is not there. */
export function findTool(name: string): string | undefined {
  if (!found.has(name)) {
    const folders = [...(process.env.PATH ?? "").split(":"), ...MORE_FOLDERS];
    const path = folders.map((folder) => join(folder, name)).find((one) =>
      statSync(one, { throwIfNoEntry: false })?.isFile() && spawnSync(one, ["--version"]).error === undefined
    );
    found.set(name, path);
  }
  return found.get(name);
}

/** Why a program can't be used, in words for the report; undefined where all of them are there. */
export function missingTools(names: readonly string[]): string | undefined {
  const missing = names.filter((name) => findTool(name) === undefined);
  if (missing.length === 0) return undefined;
  const packages = new Set(missing.map((name) => PACKAGE_OF[name] ?? name));
  return `${missing.join(", ")} not found: Debian package ${[...packages].join(" ")}`;
}

/** All programs the oracle can use, for the list of what is missing. */
export function allTools(): string[] {
  return Object.keys(PACKAGE_OF);
}
