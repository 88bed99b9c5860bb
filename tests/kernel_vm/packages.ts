// Owns what comes from package archives: Debian's packages by apt, for any architecture, and Deno by npm.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { ARCHITECTURES, MissingError, type Run, runTool } from "./tools.ts";

/** The lists of packages are fetched again when they are older. */
const LISTS_MILLISECONDS = 24 * 3600 * 1000;

/** Debian's name of the host's release, as its package sources say it. */
export function codename(): string {
  const text = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  return /^VERSION_CODENAME=(\S+)/m.exec(text)?.[1] ?? "stable";
}

// Debian's suites by name; those of other vendors, if their name is another one, only cost time.
function isSuite(suite: string): boolean {
  const [name] = suite.split(/[-/]/);
  return [codename(), "stable", "oldstable", "testing", "unstable", "sid"].includes(name) &&
    /^\w+([-/](updates|security|backports|proposed-updates))?$/.test(suite);
}

/** The lines of /etc/apt/sources.list and its like that speak of Debian, for whatever architecture. */
function debianLines(text: string): string {
  return text.split("\n").filter((line) => {
    const words = line.replace(/\[.*?\]/, "").trim().split(/\s+/);
    return words[0] === "deb" && isSuite(words[2] ?? "") && words.includes("main");
  }).map((line) => line.replace(/\barch=\S*?(?=[\s\]])/, "")).join("\n");
}

/** The same for the format with a paragraph for each source. */
function debianParagraphs(text: string): string {
  const lines = text.split("\n").filter((line) => !line.startsWith("#")).join("\n");
  return lines.split(/\n\s*\n/).filter((paragraph) => {
    const words = (field: string) =>
      new RegExp(`^${field}:(.*)`, "im").exec(paragraph)?.[1].trim().split(/\s+/) ?? [];
    return words("Types").includes("deb") && words("Enabled")[0] !== "no" && words("Components").includes("main") &&
      words("Suites").some(isSuite);
  }).map((paragraph) => paragraph.replace(/^Architectures:.*\n?/im, "")).join("\n\n");
}

/** apt with folders of its own, so that neither the host's packages nor its lists are touched. */
export class Apt {
  readonly #run: Run;
  readonly #folder: string;
  readonly #environment: Record<string, string>;

  constructor(run: Run) {
    this.#run = run;
    this.#folder = join(run.directory, `apt-${run.architecture}`);
    this.#environment = { APT_CONFIG: join(this.#folder, "apt.conf") };
    for (const name of ["state/lists/partial", "cache", "sources"]) {
      mkdirSync(join(this.#folder, name), { recursive: true });
    }
    this.#writeSources();
    this.#writeConfiguration();
  }

  #writeSources(): void {
    let found = "";
    const keep = (path: string) => {
      if (!existsSync(path)) return;
      const isLines = path.endsWith(".list");
      const kept = (isLines ? debianLines : debianParagraphs)(readFileSync(path, "utf8"));
      found += kept;
      writeFileSync(join(this.#folder, "sources", path.slice(path.lastIndexOf("/") + 1)), `${kept}\n`);
    };
    rmSync(join(this.#folder, "sources"), { recursive: true });
    mkdirSync(join(this.#folder, "sources"));
    keep("/etc/apt/sources.list");
    const parts = "/etc/apt/sources.list.d";
    for (const name of existsSync(parts) ? readdirSync(parts) : []) {
      if (/\.(list|sources)$/.test(name)) keep(join(parts, name));
    }
    if (found === "") throw new MissingError("apt has no source of Debian packages in /etc/apt");
  }

  #writeConfiguration(): void {
    const { architecture } = this.#run;
    const status = join(this.#folder, "state/status");
    writeFileSync(status, "");
    // It is read before the host's configuration, to take the main file's place, and then as the main file: what the
    // host wants done after an update is for the host's own lists.
    const lines = [
      "#clear APT::Architectures;",
      "#clear APT::Update::Pre-Invoke;",
      "#clear APT::Update::Post-Invoke;",
      "#clear APT::Update::Post-Invoke-Success;",
      `APT::Architecture "${architecture}";`,
      `APT::Architectures { "${architecture}"; };`,
      'APT::Sandbox::User "root";',
      'Acquire::Languages "none";',
      `Dir::State "${join(this.#folder, "state")}";`,
      `Dir::State::status "${status}";`,
      `Dir::Cache "${join(this.#folder, "cache")}";`,
      `Dir::Log "${this.#folder}";`,
      `Dir::Etc::main "${this.#environment.APT_CONFIG}";`,
      'Dir::Etc::sourcelist "/dev/null";',
      `Dir::Etc::sourceparts "${join(this.#folder, "sources")}";`,
      'Dir::Etc::preferences "/dev/null";',
      'Dir::Etc::preferencesparts "/dev/null";',
    ];
    writeFileSync(this.#environment.APT_CONFIG, `${lines.join("\n")}\n`);
  }

  #apt(program: string, args: string[], cwd: string = this.#folder): Promise<string> {
    return runTool(this.#run, program, args, { cwd, env: this.#environment });
  }

  /** Fetches the lists of packages, once a day at most. */
  async update(): Promise<void> {
    const fetched = join(this.#folder, "fetched");
    const isThere = existsSync(fetched);
    if (isThere && Date.now() - statSync(fetched).mtimeMs < LISTS_MILLISECONDS) return;
    this.#run.progress(`fetching Debian's lists of packages for ${this.#run.architecture}`);
    try {
      await this.#apt("apt-get", ["update", "-q", "--error-on=any"]);
      writeFileSync(fetched, "");
    } catch (error) {
      // Yesterday's lists are good enough where there is no network today.
      if (!isThere || this.#run.signal.aborted) throw error;
      this.#run.progress(`the lists stay as they are: ${error}`);
    }
  }

  /** The newest package with a kernel of that release for virtual machines. */
  async newestKernel(linux: string): Promise<string> {
    const text = await this.#apt("apt-cache", ["search", "--names-only", "^linux-image-"]);
    const cloud = `-cloud-${this.#run.architecture}`;
    // Three numbers at least: what has fewer only depends on another package.
    const names = text.split("\n").map((line) => line.split(" ")[0])
      .filter((name) => /^linux-image-\d+\.\d+\.\d/.test(name) && name.endsWith(cloud));
    const isWanted = (name: string) => {
      const rest = name.slice("linux-image-".length);
      return rest.startsWith(linux) && !/^\d/.test(rest.slice(linux.length));
    };
    const newest = names.filter(isWanted).sort(new Intl.Collator("en", { numeric: true }).compare).at(-1);
    if (newest !== undefined) return newest;
    const releases = new Set(names.map((name) => /\d+\.\d+/.exec(name)![0]));
    throw new MissingError(
      `apt knows no package linux-image-${linux}…${cloud}; it knows ${
        [...releases].join(", ") || "no kernel at all"
      }`,
    );
  }

  /** Downloads one package, without what it depends on. */
  async downloadOne(name: string): Promise<string> {
    const folder = join(this.#run.scratch, name);
    mkdirSync(folder);
    await this.#apt("apt-get", ["download", "-q", name], folder);
    return join(folder, readdirSync(folder)[0]);
  }

  /** Downloads packages with all that they depend on. */
  async downloadAll(names: string[]): Promise<string[]> {
    const archives = join(this.#run.scratch, "archives");
    mkdirSync(join(archives, "partial"), { recursive: true });
    const install = ["install", "--download-only", "-q", "-y", "--no-install-recommends", ...names];
    await this.#apt("apt-get", ["-o", `Dir::Cache::archives=${archives}`, ...install]);
    return readdirSync(archives).filter((name) => name.endsWith(".deb")).map((name) => join(archives, name));
  }
}

/** Unpacks a Debian package. Links to folders that are there, such as /lib, stay; dpkg-deb -x would replace them. */
export async function unpackPackage(run: Run, file: string, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const script = 'dpkg-deb --fsys-tarfile "$1" | tar -xf - --keep-directory-symlink -C "$2"';
  await runTool(run, "sh", ["-c", script, "sh", file, folder]);
}

/** The Deno that runs this, for the machine's architecture. */
export async function denoFor(run: Run): Promise<string> {
  const { node, denoPackage } = ARCHITECTURES[run.architecture];
  if (node === process.arch) return process.execPath;
  const version = process.versions.deno!;
  const path = join(run.directory, `deno-${version}-${run.architecture}`);
  if (existsSync(path)) return path;
  run.progress(`fetching Deno ${version} for ${run.architecture}`);
  const folder = join(run.scratch, "deno");
  mkdirSync(folder);
  const pack = (wanted: string) =>
    runTool(run, "npm", ["pack", "--silent", `${denoPackage}@${wanted}`], { cwd: folder });
  try {
    await pack(version);
  } catch (error) {
    if (run.signal.aborted) throw error;
    const [major, minor] = version.split(".");
    run.progress(`npm has no ${denoPackage} ${version}: taking its newest ${major}.${minor}`);
    await pack(`~${major}.${minor}.0`);
  }
  await runTool(run, "tar", ["-xzf", readdirSync(folder)[0], "package/deno"], { cwd: folder });
  copyFileSync(join(folder, "package/deno"), join(run.scratch, "deno-file"));
  renameSync(join(run.scratch, "deno-file"), path);
  return path;
}
