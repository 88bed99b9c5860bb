// Owns running other programs: which of them the machine lacks, what they print, and that they end with us.
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

/** What a step needs to know of the whole run. */
export interface Run {
  /** Debian's name of the architecture. */
  architecture: Architecture;
  /** Folder for everything that later runs can use again. */
  directory: string;
  /** Folder of this run alone; it goes with it. */
  scratch: string;
  /** Ends what is under way. */
  signal: AbortSignal;
  /** Says what takes time. */
  progress: (text: string) => void;
}

export type Architecture = "amd64" | "arm64";

/** What the architectures are called elsewhere. */
export const ARCHITECTURES: Record<Architecture, {
  node: string;
  denoPackage: string;
  qemu: string;
  qemuPackage: string;
}> = {
  amd64: {
    node: "x64",
    denoPackage: "@deno/linux-x64-glibc",
    qemu: "qemu-system-x86_64",
    qemuPackage: "qemu-system-x86",
  },
  arm64: {
    node: "arm64",
    denoPackage: "@deno/linux-arm64-glibc",
    qemu: "qemu-system-aarch64",
    qemuPackage: "qemu-system-arm",
  },
};

/** Something is missing that the user can bring. */
export class MissingError extends Error {
  override name = "MissingError";
}

// mkfs.ext4 is where the search path of users often does not lead.
const SEARCH_PATH = [process.env.PATH ?? "", "/usr/sbin", "/sbin"].join(delimiter);

function exists(program: string): boolean {
  return SEARCH_PATH.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return folder !== "";
    } catch {
      return false;
    }
  });
}

/**
 * Looks for all programs that a run will call.
 *
 * @throws {MissingError} With the Debian packages that bring what is missing.
 */
export function checkTools(architecture: Architecture): void {
  const { qemu, qemuPackage, node } = ARCHITECTURES[architecture];
  const needed: Record<string, string> = {
    [qemu]: qemuPackage,
    "mkfs.ext4": "e2fsprogs",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    tar: "tar",
    git: "git",
    ...(node === process.arch ? {} : { npm: "npm" }),
  };
  const missing = Object.keys(needed).filter((program) => !exists(program));
  if (missing.length === 0) return;
  const packages = missing.map((program) => needed[program]).join(" ");
  throw new MissingError(
    `missing: ${missing.join(", ")}. On Debian: apt-get install --no-install-recommends ${packages}`,
  );
}

/** Runs a program to its end and returns what it printed; what went wrong is in the error's message. */
export function runTool(
  run: Run,
  program: string,
  args: string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd ?? run.directory,
      env: { ...process.env, ...options.env, PATH: SEARCH_PATH, LC_ALL: "C" },
      stdio: ["ignore", "pipe", "pipe"],
      signal: run.signal,
    });
    let [output, errors] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => errors += text);
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) return resolve(output);
      reject(new Error(`${program} ${args.join(" ")} failed (${status}):\n${errors.trim() || output.trim()}`));
    });
  });
}
