// Owns finding binaries on this machine: which files processes execute from, by build ID and by address.
import { toHex } from "../../base/bytes.ts";
import { FormatError } from "../../base/format_error.ts";
import { readBuildId, readBuildIdFrom } from "../../elf/build_id.ts";
import type { ProcMapsEntry } from "../../memory/proc_maps.ts";
import { BPF_BUILD_ID_SIZE } from "../../uapi/bpf.ts";
import { type Host, walk } from "../host.ts";
import { eventLoopTurn, LeftOut, LIVE_LIMITS, type LiveLimits, sizeText } from "./limits.ts";
import { codeLines, entriesOf, type Mappings } from "./mappings.ts";
import { openRegular, type RegularFile } from "./regular_file.ts";

/** A file that was executed from. */
export interface LocalBinary {
  /** Its path as the process saw it. */
  readonly name: string;
  /** Its build ID in full; of a file that has none, one of 20 bytes that is made up. A symbolizer knows it by that. */
  readonly id: Uint8Array;
  /** Whether frames that the kernel wrote can have its id: not if it is made up or too long, and not the vDSO's. */
  readonly own: boolean;
  /** Whether it can still be read. */
  isThere(): boolean;
  /** The whole file; `undefined` if it can't be read any more, is left out, or no ELF file. */
  read(): Uint8Array | undefined;
}

/** A place in a file that a process executes from. */
export interface FilePlace {
  binary: LocalBinary;
  /** In bytes. */
  fileOffset: bigint;
}

/** Where programs and libraries are, for those whose processes were too short to be seen. */
const USUAL_PLACES = ["/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/local", "/usr/lib", "/usr/lib64", "/opt"];
/** Most files that are looked at there. */
const MOST_FILES = 200_000;
/** Programs, libraries and compilers' parts have other names. */
const NO_BINARY = /\.(?:h|hpp|py|pyc|js|ts|json|md|gz|html|pl|pm|a|o|txt)$/;
/** From this size on a file is taken for an attempt if an eighth of it at most is more than holes. */
const LARGE = 1 << 26;

/** Files of this machine's processes. Those that were opened stay open until `close()`. */
export class LocalBinaries implements Disposable {
  /** What is not taken in. */
  readonly limits: LiveLimits;
  readonly leftOut: LeftOut = new LeftOut();
  readonly #host: Host;
  /** By device, inode and path. */
  readonly #files = new Map<string, LocalBinary>();
  /** Keys of those that could not be opened, each with the process that had it: another may have it readable. */
  readonly #failed = new Set<string>();
  readonly #byId = new Map<string, LocalBinary>();
  readonly #open = new Set<RegularFile>();
  #madeUp = 0;
  #readBytes = 0;

  constructor(host: Host, limits: Partial<LiveLimits> = {}) {
    this.#host = host;
    this.limits = { ...LIVE_LIMITS, ...limits };
  }

  /** Those that were found, in the order in which they were. */
  get taken(): LocalBinary[] {
    return [...this.#files.values()];
  }

  /** Closes the files. What was not read by then is read by its path, if that still leads to it. */
  close(): void {
    for (const file of this.#open) file[Symbol.dispose]();
    this.#open.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Takes in what a process executes from, and reads the build IDs of files that are new.
   *
   * @param maps Lines of its `/proc/PID/maps`.
   */
  add(pid: number, maps: string): void {
    for (const entry of entriesOf(codeLines(maps).join("\n"))) if (entry.perms[2] === "x") this.#file(pid, entry);
  }

  /** Takes in a file, or all below a directory; whether anything is there. */
  addPath(path: string): boolean {
    let found = false;
    for (const file of walk(this.#host, path, (at, error) => this.#host.writeError(`${at}: ${error.message}\n`))) {
      this.#remember(file, this.#take(file, [file]));
      found = true;
    }
    return found;
  }

  /** The binary with a build ID, 20 bytes as the kernel pads it or as {@linkcode paddedId} does. */
  find(buildId: Uint8Array): LocalBinary | undefined {
    return this.#byId.get(toHex(buildId));
  }

  /** Which place of which file was mapped at an address of a process, given as upper and lower 32 bits. */
  place(pid: number, mappings: Mappings, hi: number, lo: number): FilePlace | undefined {
    const entry = mappings.at(hi, lo);
    if (entry === undefined) return undefined;
    const binary = this.#file(pid, entry);
    return binary && { binary, fileOffset: ((BigInt(hi) << 32n) | BigInt(lo)) - entry.start + entry.offset };
  }

  /**
   * Looks for build IDs where programs and libraries usually are.
   *
   * @param wanted Hexadecimal, 40 digits; those that are found are taken out.
   */
  async search(wanted: Set<string>, isStopped: () => boolean): Promise<void> {
    const interactive = this.#host.interactive();
    let seen = 0;
    try {
      for (const path of this.#usualFiles()) {
        if (wanted.size === 0 || seen > MOST_FILES || isStopped()) return;
        if (++seen % 100 === 0) await eventLoopTurn();
        if (interactive && seen % 500 === 0) {
          const what = wanted.size === 1 ? "1 binary" : `${wanted.size} binaries`;
          this.#host.writeError(`\rlooking for ${what}: ${seen} files …\x1b[K`);
        }
        const id = buildIdAt(path);
        if (id === undefined || id.length > BPF_BUILD_ID_SIZE || !wanted.delete(toHex(paddedId(id)))) continue;
        const binary = this.#take(path, [path]);
        // Instead of the one that can't be read any more.
        if (binary?.own) this.#byId.set(toHex(paddedId(binary.id)), binary);
      }
    } finally {
      if (interactive && seen >= 500) this.#host.writeError("\r\x1b[K");
    }
  }

  *#usualFiles(): Generator<string> {
    const pending = USUAL_PLACES.toReversed();
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      let entries: ReturnType<Host["list"]>;
      try {
        entries = this.#host.list(path);
      } catch {
        continue;
      }
      for (const { name, kind } of entries) {
        if (kind === "directory") pending.push(`${path}/${name}`);
        else if (kind === "file" && !NO_BINARY.test(name)) yield `${path}/${name}`;
      }
    }
  }

  #file(pid: number, entry: ProcMapsEntry): LocalBinary | undefined {
    const { path, dev, inode, deleted, start, end } = entry;
    const isVdso = path === "[vdso]";
    if (!isVdso && !path.startsWith("/")) return undefined;
    // All processes have the same vDSO, this one too. Those of 32 bits have another, whose frames keep their addresses.
    if (isVdso && end <= 0x1_0000_0000n) return undefined;
    const key = isVdso ? path : `${dev} ${inode} ${path}`;
    const known = this.#files.get(key);
    if (known !== undefined) return known;
    const failure = `${pid} ${key}`;
    if (this.#failed.has(failure)) return undefined;
    if (this.#files.size >= this.limits.files) {
      this.leftOut.add(`binaries beyond ${this.limits.files}`, path);
      return undefined;
    }
    let binary: LocalBinary | undefined;
    if (isVdso) {
      binary = this.#vdso();
    } else {
      // The mapping itself leads to what is mapped, whatever stands at the path by now; it takes more rights.
      const mapping = `/proc/${pid}/map_files/${start.toString(16)}-${end.toString(16)}`;
      binary = this.#take(path, deleted ? [mapping] : [mapping, `/proc/${pid}/root${path}`, path]);
    }
    if (binary === undefined) {
      if (this.#failed.size >= this.limits.files) this.#failed.clear();
      this.#failed.add(failure);
    }
    return this.#remember(key, binary);
  }

  #remember(key: string, binary: LocalBinary | undefined): LocalBinary | undefined {
    if (binary === undefined) return undefined;
    this.#files.set(key, binary);
    // One that the kernel can report goes before one that it can't.
    const id = toHex(paddedId(binary.id));
    if (binary.id.length <= BPF_BUILD_ID_SIZE && (binary.own || !this.#byId.has(id))) this.#byId.set(id, binary);
    return binary;
  }

  /** The first of some paths that is a regular file and can be read. */
  #take(name: string, paths: readonly string[]): LocalBinary | undefined {
    for (const path of paths) {
      let file: RegularFile;
      try {
        file = openRegular(path);
      } catch {
        continue; // the next path may be
      }
      let held = false;
      try {
        const id = buildIdOf(file);
        const own = id !== undefined && id.length <= BPF_BUILD_ID_SIZE;
        const { inode } = file;
        // Another file without an id may stand at the path by then, or at the same path of another root.
        const isSame = (other: RegularFile) =>
          hexOf(buildIdOf(other)) === hexOf(id) && (id !== undefined || other.inode === inode);
        const later = [path, ...paths.filter((other) => other !== path)];
        const read = <T>(use: (file: RegularFile) => T) => this.#read(file, later, isSame, use);
        held = this.#open.size < this.limits.openFiles && isElf(file);
        if (held) this.#open.add(file);
        return {
          name,
          id: id ?? this.#madeUpId(),
          own,
          isThere: () => read(() => true) ?? false,
          read: () => read((from) => this.#whole(name, from)),
        };
      } catch {
        // An error of the disk, perhaps.
      } finally {
        if (!held) file[Symbol.dispose]();
      }
    }
    return undefined;
  }

  #madeUpId(): Uint8Array {
    const id = new Uint8Array(BPF_BUILD_ID_SIZE).fill(0xff);
    new DataView(id.buffer).setUint32(0, ++this.#madeUp);
    return id;
  }

  /** Uses a file where it is open, or else at the first path that still leads to it. */
  #read<T>(
    open: RegularFile,
    paths: readonly string[],
    isSame: (file: RegularFile) => boolean,
    use: (file: RegularFile) => T,
  ): T | undefined {
    // Even so another may have been written into it.
    if (this.#open.has(open) && isSame(open)) return use(open);
    for (const path of paths) {
      try {
        using file = openRegular(path);
        if (isSame(file)) return use(file);
      } catch {
        // gone, with its process perhaps
      }
    }
    return undefined;
  }

  #whole(name: string, file: RegularFile): Uint8Array | undefined {
    const { size, storedBytes } = file;
    const { fileBytes, allFilesBytes } = this.limits;
    const why = size > fileBytes
      ? `files of more than ${sizeText(fileBytes)}`
      : size > LARGE && storedBytes > 0 && storedBytes < size / 8
      ? "files that are mostly holes"
      : size > allFilesBytes - this.#readBytes
      ? `files beyond ${sizeText(allFilesBytes)} in all`
      : undefined;
    if (why !== undefined) {
      this.leftOut.add(why, `${name} (${sizeText(size)})`);
      return undefined;
    }
    // What is mapped need not be a program: shared memory, data.
    if (!isElf(file)) return undefined;
    this.#readBytes += size;
    return file.read(0, size);
  }

  /** The vDSO of this process, an ELF file that the kernel maps into every one. */
  #vdso(): LocalBinary | undefined {
    try {
      const maps = new TextDecoder().decode(this.#host.readFile("/proc/self/maps"));
      const entry = entriesOf(maps).find(({ path }) => path === "[vdso]");
      if (entry === undefined) return undefined;
      using memory = openRegular("/proc/self/mem");
      const bytes = memory.read(Number(entry.start), Number(entry.end - entry.start));
      const id = readBuildId(bytes) ?? this.#madeUpId();
      return { name: "[vdso]", id, own: false, isThere: () => true, read: () => bytes };
    } catch {
      return undefined; // its frames keep their addresses
    }
  }
}

/** An id as the kernel pads it: 20 bytes. A longer one is cut, and is not what frames have. */
export function paddedId(id: Uint8Array): Uint8Array {
  const padded = new Uint8Array(BPF_BUILD_ID_SIZE);
  padded.set(id.subarray(0, BPF_BUILD_ID_SIZE));
  return padded;
}

function hexOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : toHex(bytes);
}

function isElf(file: RegularFile): boolean {
  return hexOf(file.read(0, 4)) === "7f454c46";
}

/** The build ID of an open file; `undefined` if it has none, or is no ELF file. */
function buildIdOf(file: RegularFile): Uint8Array | undefined {
  try {
    return readBuildIdFrom((offset, length) => file.read(offset, length));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return undefined;
  }
}

function buildIdAt(path: string): Uint8Array | undefined {
  try {
    using file = openRegular(path);
    return buildIdOf(file);
  } catch {
    return undefined;
  }
}
