// Owns what leads from a stripped file to its debug files: the GNU link sections, and the paths they stand for.
import { crc32 } from "../base/crc32.ts";
import { FormatError } from "../base/format_error.ts";
import { toHex, viewOf } from "../base/bytes.ts";
import type { ElfFile } from "./elf_file.ts";
import { locateSection, type SectionData } from "./section_data.ts";
import { decodeText } from "./string_table.ts";

/** Contents of `.gnu_debuglink`: the file that holds the debug information of this one. */
export interface DebugLink {
  /** A file name without folders, as the section has it; see {@linkcode debugFilePaths} for what is not used. */
  name: string;
  /** CRC-32 of the whole of that file. */
  crc: number;
}

/** Contents of `.gnu_debugaltlink`: the file with what dwz moved out of several debug files. */
export interface DebugAltLink {
  /** A path, absolute or relative to the folder of the file that has the link. */
  name: string;
  /** Build id of that file, a copy. */
  buildId: Uint8Array;
}

/** Where distributions put debug files. */
export const DEFAULT_DEBUG_ROOT = "/usr/lib/debug";

/** Linux's PATH_MAX, its closing zero byte included. */
const MOST_PATH_BYTES = 4096;
/** Linux's NAME_MAX. */
const MOST_NAME_BYTES = 255;

/** The zero-terminated name at the start of a link section, and where the zero is. */
function linkName(data: SectionData): { name: string; zero: number } {
  const { name: field, stored, fileOffset: offset } = data;
  if (data.compression !== undefined) {
    throw new FormatError("is compressed, which debuggers do not expect", { offset, field });
  }
  const zero = stored.subarray(0, MOST_PATH_BYTES).indexOf(0);
  if (zero < 0) {
    const problem = stored.length < MOST_PATH_BYTES
      ? "has a name without an end"
      : `has a name of ${MOST_PATH_BYTES} bytes or more, which no path has`;
    throw new FormatError(problem, { offset, field });
  }
  if (zero === 0) throw new FormatError("has an empty name", { offset, field });
  return { name: decodeText(stored, 0, zero), zero };
}

/**
 * Reads `.gnu_debuglink`: a zero-terminated name, padding up to a multiple of 4, and a CRC-32 in the byte order of
 * the file. GDB manual, "Separate Debug Files".
 *
 * @returns `undefined` where the file has no such section.
 * @throws {FormatError} If the section is cut, its name is empty, has no end or 4096 bytes or more, or the section
 *   headers are malformed.
 */
export function readDebugLink(file: ElfFile): DebugLink | undefined {
  const data = locateSection(file, ".gnu_debuglink");
  if (data === undefined) return undefined;
  const { name, zero } = linkName(data);
  const { stored, fileOffset } = data;
  const at = Math.ceil((zero + 1) / 4) * 4;
  if (stored.length < at + 4) {
    throw new FormatError(`needs ${at + 4} bytes, the section has ${stored.length}`, {
      offset: fileOffset + at,
      field: "crc",
    });
  }
  return { name, crc: viewOf(stored).getUint32(at, file.littleEndian) };
}

/**
 * Reads `.gnu_debugaltlink`, which dwz writes: a zero-terminated name, and all bytes after it are a build id.
 *
 * @returns `undefined` where the file has no such section.
 * @throws {FormatError} If the name is empty, has no end or 4096 bytes or more, no build id follows it, or the
 *   section headers are malformed.
 */
export function readDebugAltLink(file: ElfFile): DebugAltLink | undefined {
  const data = locateSection(file, ".gnu_debugaltlink");
  if (data === undefined) return undefined;
  const { name, zero } = linkName(data);
  const { stored, fileOffset, name: field } = data;
  if (stored.length === zero + 1) {
    throw new FormatError("ends without a build id", { offset: fileOffset + zero + 1, field });
  }
  return { name, buildId: stored.slice(zero + 1) };
}

/**
 * Whether `bytes` are the debug file that `link` means: their CRC-32 is the link's. A guard against an old or
 * damaged file, and none against a forged one.
 *
 * @param bytes The whole file.
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { debugLinkMatches } from "@bpf/stackmap";
 *
 * const bytes = new TextEncoder().encode("123456789");
 * assert(debugLinkMatches({ name: "bash.debug", crc: 0xcbf43926 }, bytes));
 * ```
 */
export function debugLinkMatches(link: DebugLink, bytes: Uint8Array): boolean {
  return crc32(bytes) === link.crc;
}

/** Whether a name out of a file can be joined to a folder and stay in it, on any system. */
function isFileName(name: string): boolean {
  // Three bytes a UTF-16 unit at most, so most names are settled without encoding them.
  return name !== "" && name !== "." && name !== ".." && !/[\0/\\]/.test(name) &&
    (3 * name.length <= MOST_NAME_BYTES || new TextEncoder().encode(name).length <= MOST_NAME_BYTES);
}

/** A path's folder: `""` for a bare name, `"/"` for what is in the root. */
function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash <= 0 ? path.slice(0, slash + 1) : path.slice(0, slash);
}

function join(folder: string, name: string): string {
  return folder === "" || folder.endsWith("/") ? folder + name : `${folder}/${name}`;
}

/** `ab/cdef….debug`; `undefined` for an id that is too short to be split, or too long for a file name. */
function buildIdName(buildId: Uint8Array): string | undefined {
  if (buildId.length < 2 || 2 * (buildId.length - 1) + ".debug".length > MOST_NAME_BYTES) return undefined;
  return `${toHex(buildId.subarray(0, 1))}/${toHex(buildId.subarray(1))}.debug`;
}

/** What {@linkcode debugFilePaths} goes by. Each piece that is not known leaves out the paths it would give. */
export interface DebugFileQuery {
  /**
   * Path of the file whose debug information is missing, separated by `/`. Debuggers look where it really is, so
   * symbolic links should be resolved.
   */
  path?: string | undefined;
  /** Its build id. */
  buildId?: Uint8Array | undefined;
  /** Its link. */
  link?: DebugLink | undefined;
  /** Folders of debug files in the order to search; `/usr/lib/debug` alone if not given. */
  roots?: readonly string[] | undefined;
}

/**
 * Where GDB, LLVM's tools and elfutils look for a separate debug file, in GDB's order, each path once:
 *
 * 1. in each root, `.build-id/ab/cdef….debug`, the build id in hex;
 * 2. by the link's name beside the file, then in `.debug/` beside it;
 * 3. by the link's name in each root under the file's own folder, if `path` is absolute.
 *
 * Nothing is opened. Whoever opens them checks the build id, or {@linkcode debugLinkMatches}: a path can exist and
 * be another version's.
 *
 * A link's name is a hostile file's choice. It is used only as a name in those folders: one with `/`, `\` or a zero
 * character, `.`, `..`, empty, or longer than 255 bytes gives no paths. A file that links to itself is left out.
 * Bytes that are not UTF-8 have become U+FFFD, and such a file is not found. Build ids under 2 bytes give no
 * paths, and neither do those that make a name over 255 bytes.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { debugFilePaths } from "@bpf/stackmap";
 *
 * const link = { name: "tool.debug", crc: 0 };
 * assertEquals(debugFilePaths({ path: "/usr/bin/tool", buildId: Uint8Array.of(0xab, 0xcd, 0xef), link }), [
 *   "/usr/lib/debug/.build-id/ab/cdef.debug",
 *   "/usr/bin/tool.debug",
 *   "/usr/bin/.debug/tool.debug",
 *   "/usr/lib/debug/usr/bin/tool.debug",
 * ]);
 * ```
 */
export function debugFilePaths(query: DebugFileQuery): string[] {
  const { path, buildId, link, roots = [DEFAULT_DEBUG_ROOT] } = query;
  const out = new Set<string>();
  const byId = buildId === undefined ? undefined : buildIdName(buildId);
  if (byId !== undefined) { for (const root of roots) out.add(join(root, `.build-id/${byId}`)); }
  if (path !== undefined && link !== undefined && isFileName(link.name)) {
    const folder = folderOf(path);
    out.add(join(folder, link.name));
    out.add(join(folder, `.debug/${link.name}`));
    if (folder.startsWith("/")) {
      for (const root of roots) out.add(join(join(root, folder.slice(1)), link.name));
    }
    out.delete(path);
  }
  return [...out];
}

/** What {@linkcode altFilePaths} goes by. */
export interface AltFileQuery {
  /** The link. */
  link: DebugAltLink;
  /** Path of the file that has the link, separated by `/`, symbolic links resolved; without it, relative names give
   * no path of their own. */
  path?: string | undefined;
  /** Folders of debug files in the order to search; `/usr/lib/debug` alone if not given. */
  roots?: readonly string[] | undefined;
  /**
   * Leave out the link's own path unless it is below one of `roots`; false if not given. For services that look up
   * files which others send.
   */
  onlyRoots?: boolean | undefined;
}

/** The path that a link's name means: the `../` it begins with are taken off an absolute folder. */
function resolveAltName(name: string, path: string | undefined): string | undefined {
  if (name.startsWith("/")) return name;
  if (path === undefined) return undefined;
  let folder = folderOf(path);
  let rest = name;
  while (folder.startsWith("/") && /^\.\.?\//.test(rest)) {
    if (rest.startsWith("../")) folder = folderOf(folder);
    rest = rest.slice(rest.indexOf("/") + 1);
  }
  return join(folder, rest);
}

function hasDotDot(path: string): boolean {
  return /(^|[/\\])\.\.([/\\]|$)/.test(path);
}

/**
 * Where GDB looks for the file that a `.gnu_debugaltlink` means, in its order, each path once:
 *
 * 1. the link's name, from the folder of the file that has the link if it is not absolute. Leading `../` are taken
 *    off an absolute folder, so that the path can be compared; they mean the same where `path` has no symbolic
 *    links;
 * 2. in each root, `.build-id/ab/cdef….debug`;
 * 3. where the name has `/.dwz/` in it: in each root, that and all after it.
 *
 * Nothing is opened. Whoever opens them checks the build id against the link's, which is the only proof.
 *
 * The name is a hostile file's choice, and by design may be absolute or lead upwards: the first path can be any
 * (`/dev/zero`, `../../etc/passwd`). Open only regular files, or ask for `onlyRoots`. The others stay in the roots:
 * `..` after `/.dwz/` gives none. A name that is empty or has a zero character gives no path but by build id.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { altFilePaths } from "@bpf/stackmap";
 *
 * const link = { name: "../../.dwz/x86_64-linux-gnu/libc6.debug", buildId: Uint8Array.of(0x12, 0x34) };
 * assertEquals(altFilePaths({ link, path: "/usr/lib/debug/.build-id/ab/cdef.debug" }), [
 *   "/usr/lib/debug/.dwz/x86_64-linux-gnu/libc6.debug",
 *   "/usr/lib/debug/.build-id/12/34.debug",
 * ]);
 * ```
 */
export function altFilePaths(query: AltFileQuery): string[] {
  const { link, path, roots = [DEFAULT_DEBUG_ROOT], onlyRoots = false } = query;
  const { name } = link;
  const out = new Set<string>();
  const usable = name !== "" && !name.includes("\0");
  const own = usable ? resolveAltName(name, path) : undefined;
  const inRoots = (one: string): boolean =>
    !hasDotDot(one) && roots.some((root) => root !== "" && one.startsWith(root.endsWith("/") ? root : `${root}/`));
  if (own !== undefined && own !== path && (!onlyRoots || inRoots(own))) out.add(own);
  const byId = buildIdName(link.buildId);
  if (byId !== undefined) { for (const root of roots) out.add(join(root, `.build-id/${byId}`)); }
  const dwz = usable ? name.indexOf("/.dwz/") : -1;
  const shared = dwz < 0 ? "" : name.slice(dwz + 1);
  if (shared !== "" && !hasDotDot(shared)) { for (const root of roots) out.add(join(root, shared)); }
  return [...out];
}
