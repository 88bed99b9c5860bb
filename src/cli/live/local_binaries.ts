// Owns finding binaries on this machine: which files processes execute from, by build ID and by address.
import { toHex } from "../../base/bytes.ts";
import { FormatError } from "../../base/format_error.ts";
import { readBuildIdFrom } from "../../elf/build_id.ts";
import { parseProcMaps, type ProcMapsEntry } from "../../memory/proc_maps.ts";
import { BPF_BUILD_ID_SIZE } from "../../uapi/bpf.ts";
import { type Host, walk } from "../host.ts";

/** A file that was executed from. */
export interface LocalBinary {
  /** Its path as the process saw it. */
  readonly name: string;
  /** Its build ID as the kernel pads it. Of a file that has none (or more than 20 bytes of it), one that is made up. */
  readonly buildId: Uint8Array;
  /** Whether the id is the file's own, so that frames can have it. */
  readonly own: boolean;
  /** The whole file; `undefined` if it can't be read any more. */
  read(): Uint8Array | undefined;
}

/** A place in a file that a process executes from. */
export interface FilePlace {
  binary: LocalBinary;
  /** In bytes. */
  fileOffset: bigint;
}

/** Most bytes of a file that is read: what a process maps may be sparse, and as large as it likes. */
const MOST_BYTES = 1 << 30;
/** Most bytes of files of other mount namespaces that are kept: those can be gone with their last process. */
const MOST_KEPT_BYTES = 1 << 28;
/** Where programs and libraries are, for those whose processes were too short to be seen. */
const USUAL_PLACES = ["/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/local", "/usr/lib", "/usr/lib64", "/opt"];
/** Most files that are looked at there. */
const MOST_FILES = 200_000;

/** Files of this machine's processes. */
export class LocalBinaries {
  readonly #host: Host;
  /** By device, inode and path; `undefined` where the file could not be read. */
  readonly #files = new Map<string, LocalBinary | undefined>();
  readonly #byId = new Map<string, LocalBinary>();
  #madeUp = 0;
  #keptBytes = 0;

  constructor(host: Host) {
    this.#host = host;
  }

  /**
   * Takes in what a process executes from, and reads the build IDs of files that are new.
   *
   * @param maps Text of its `/proc/PID/maps`.
   */
  add(pid: number, maps: string): void {
    for (const entry of entriesOf(maps)) if (entry.perms[2] === "x") this.#file(pid, entry);
  }

  /** Takes in a file, or all below a directory; whether anything is there. */
  addPath(path: string): boolean {
    let found = false;
    for (const file of walk(this.#host, path, (at, error) => this.#host.writeError(`${at}: ${error.message}\n`))) {
      this.#once(file, () => this.#open(file, [file], false));
      found = true;
    }
    return found;
  }

  /** The binary with a build ID, 20 bytes as the kernel pads it. */
  find(buildId: Uint8Array): LocalBinary | undefined {
    return this.#byId.get(toHex(buildId));
  }

  /**
   * Which place of which file was mapped at an address of a process.
   *
   * @param entries Its mappings: {@linkcode entriesOf}.
   * @returns `undefined` if no file was, or it can't be read any more.
   */
  place(pid: number, entries: readonly ProcMapsEntry[], ip: bigint): FilePlace | undefined {
    const entry = entryOf(entries, ip);
    if (entry === undefined) return undefined;
    const binary = this.#file(pid, entry);
    return binary && { binary, fileOffset: ip - entry.start + entry.offset };
  }

  /**
   * Looks for build IDs where programs and libraries usually are.
   *
   * @param wanted Hexadecimal, 40 digits; those that are found are taken out.
   */
  search(wanted: Set<string>): void {
    let seen = 0;
    const seenPaths = new Set<string>();
    for (const place of USUAL_PLACES) {
      const pending = [place];
      for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
        let entries: ReturnType<Host["list"]>;
        try {
          entries = this.#host.list(path);
        } catch {
          continue;
        }
        for (const { name, kind } of entries) {
          if (wanted.size === 0 || seen > MOST_FILES) return;
          const at = `${path}/${name}`;
          if (kind === "directory") pending.push(at);
          // Programs, libraries and compilers' parts; not the many files that can be no ELF file by their names.
          if (
            kind !== "file" || seenPaths.has(at) ||
            /\.(?:h|hpp|py|pyc|js|ts|json|md|gz|html|pl|pm|a|o|txt)$/.test(name)
          ) {
            continue;
          }
          seenPaths.add(at);
          seen++;
          if (this.#host.interactive() && seen % 500 === 0) {
            this.#host.writeError(`\rlooking for ${wanted.size} binaries: ${seen} files …`);
          }
          const binary = this.#open(at, [at], false);
          if (binary?.own && wanted.delete(toHex(binary.buildId))) this.#byId.set(toHex(binary.buildId), binary);
        }
      }
    }
  }

  #file(pid: number, entry: ProcMapsEntry): LocalBinary | undefined {
    const { path, dev, inode, deleted, start, end } = entry;
    if (path !== "[vdso]" && !path.startsWith("/")) return undefined;
    // Every process has the same vDSO, and this one's can be read.
    if (path === "[vdso]") return this.#once("[vdso]", () => vdso(this.#host));
    return this.#once(`${dev} ${inode} ${path}`, () => {
      // The mapping itself leads to what is mapped, whatever stands at the path by now; it takes more rights.
      const mapping = `/proc/${pid}/map_files/${start.toString(16)}-${end.toString(16)}`;
      const paths = deleted ? [] : [`/proc/${pid}/root${path}`, path];
      const foreign = this.#host.readLink(`/proc/${pid}/ns/mnt`) !== this.#host.readLink("/proc/self/ns/mnt");
      return this.#open(path, [mapping, ...paths], foreign || deleted);
    });
  }

  #once(key: string, open: () => LocalBinary | undefined): LocalBinary | undefined {
    if (this.#files.has(key)) return this.#files.get(key);
    const binary = open();
    this.#files.set(key, binary);
    if (binary?.own) this.#byId.set(toHex(binary.buildId), binary);
    return binary;
  }

  /** The first of some paths that can be read. @param keep Whether its bytes are needed now: later it may be gone. */
  #open(name: string, paths: readonly string[], keep: boolean): LocalBinary | undefined {
    for (const path of paths) {
      try {
        if (this.#host.kind(path) !== "file") continue;
        const id = this.#buildIdOf(path);
        let kept: Uint8Array | undefined;
        if (keep && this.#keptBytes < MOST_KEPT_BYTES) {
          kept = this.#whole(path);
          this.#keptBytes += kept.length;
        }
        const later = [path, ...paths.filter((other) => other !== path)];
        const read = () => kept ?? this.#read(later, id);
        return { name, read, ...this.#idOf(id) };
      } catch {
        // Not readable; the next path may be.
      }
    }
    return undefined;
  }

  #buildIdOf(path: string): Uint8Array | undefined {
    const file = this.#host.open(path);
    try {
      return readBuildIdFrom((offset, length) => file.read(offset, length))?.slice();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      return undefined;
    } finally {
      file.close();
    }
  }

  /** The file's bytes from the first path that still leads to it. */
  #read(paths: readonly string[], id: Uint8Array | undefined): Uint8Array | undefined {
    for (const path of paths) {
      try {
        const now = this.#buildIdOf(path);
        if ((now === undefined ? "" : toHex(now)) === (id === undefined ? "" : toHex(id))) {
          return this.#whole(path);
        }
      } catch {
        // gone, with its process perhaps
      }
    }
    return undefined;
  }

  #whole(path: string): Uint8Array {
    const file = this.#host.open(path);
    try {
      if (file.read(MOST_BYTES, 1).length > 0) throw new RangeError(`has more than ${MOST_BYTES} bytes`);
    } finally {
      file.close();
    }
    return this.#host.readFile(path);
  }

  #idOf(id: Uint8Array | undefined): Pick<LocalBinary, "buildId" | "own"> {
    const buildId = new Uint8Array(BPF_BUILD_ID_SIZE);
    const own = id !== undefined && id.length <= BPF_BUILD_ID_SIZE;
    if (own) {
      buildId.set(id);
    } else {
      buildId.fill(0xff);
      new DataView(buildId.buffer).setUint32(0, ++this.#madeUp);
    }
    return { buildId, own };
  }
}

/** The mappings that a text of /proc/PID/maps shows; none where it is torn: the kernel writes it page by page. */
export function entriesOf(maps: string): ProcMapsEntry[] {
  try {
    return parseProcMaps(maps);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return [];
  }
}

/** The mapping that holds an address. */
export function entryOf(entries: readonly ProcMapsEntry[], ip: bigint): ProcMapsEntry | undefined {
  let low = 0;
  for (let high = entries.length; low < high;) {
    const middle = (low + high) >>> 1;
    if (entries[middle].end <= ip) low = middle + 1;
    else high = middle;
  }
  return low < entries.length && entries[low].start <= ip ? entries[low] : undefined;
}

/** The vDSO, an ELF file that the kernel maps into every process. */
function vdso(host: Host): LocalBinary | undefined {
  try {
    const maps = new TextDecoder().decode(host.readFile("/proc/self/maps"));
    const entry = entriesOf(maps).find(({ path }) => path === "[vdso]");
    if (entry === undefined) return undefined;
    const memory = host.open("/proc/self/mem");
    try {
      const bytes = memory.read(Number(entry.start), Number(entry.end - entry.start)).slice();
      const buildId = new Uint8Array(BPF_BUILD_ID_SIZE).fill(0xff);
      return { name: "[vdso]", buildId, own: false, read: () => bytes };
    } finally {
      memory.close();
    }
  } catch {
    return undefined; // its frames keep their addresses
  }
}
