// Owns how the command line finds what belongs to a binary: its separate debug file and what that shares with others.
import { bytesEqual } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import { readBuildId } from "../elf/build_id.ts";
import {
  altFilePaths,
  type DebugAltLink,
  debugFilePaths,
  debugLinkMatches,
  DEFAULT_DEBUG_ROOT,
} from "../elf/debug_links.ts";
import type { SymbolizerAddResult } from "../symbolize/symbolization.ts";
import type { Symbolizer } from "../symbolize/symbolizer.ts";
import type { Host } from "./host.ts";

/** Where to look for what {@linkcode addWithDebugFiles} adds. */
export interface DebugFileOptions {
  /** Directories with a `.build-id` tree; `/usr/lib/debug` by default. */
  roots?: readonly string[] | undefined;
  /** The id to use if the file has none. */
  buildId?: Uint8Array;
}

/** What files are added to: a {@linkcode Symbolizer}, or what listens in between. */
export type FileTaker = Pick<Symbolizer, "add">;

/** What became of a file, and which others were added for it. */
export interface AddedFiles extends SymbolizerAddResult {
  files: string[];
}

/**
 * Adds the file at `path` and, where it has no DWARF of its own, the first separate debug file that is really its own:
 * by build id below the roots, or by the name and CRC of its .gnu_debuglink; and the file with what dwz moved out.
 */
export async function addWithDebugFiles(
  host: Host,
  symbolizer: FileTaker,
  path: string,
  bytes: Uint8Array,
  { roots = [DEFAULT_DEBUG_ROOT], buildId }: DebugFileOptions = {},
): Promise<AddedFiles> {
  let result = await symbolizer.add(bytes, { name: path });
  if (result.status === "no-build-id" && buildId !== undefined) {
    result = await symbolizer.add(bytes, { name: path, buildId });
  }
  const files = [path];
  const id = result.buildId;
  if (id === undefined || result.binary === undefined || result.status === "conflict") return { ...result, files };
  if (result.debugInfo) {
    await addAlternate(host, symbolizer, path, bytes, id, result.debugAltLink, roots, files);
    return { ...result, files };
  }
  const query = { path, buildId: id, roots, ...(result.debugLink === undefined ? {} : { link: result.debugLink }) };
  for (const candidate of debugFilePaths(query)) {
    const debug = readIfThere(host, candidate);
    if (debug === undefined) continue;
    const own = idOf(debug);
    const matches = own !== undefined
      ? bytesEqual(own, id)
      : result.debugLink !== undefined && debugLinkMatches(result.debugLink, debug);
    if (!matches) {
      files.push(`${candidate} (not used: its build ID or CRC is another)`);
      continue;
    }
    const added = await symbolizer.add(debug, { name: candidate, buildId: id });
    files.push(candidate);
    result.problems = [...result.problems, ...added.problems];
    result.debugInfo ||= added.debugInfo;
    await addAlternate(host, symbolizer, candidate, debug, id, added.debugAltLink, roots, files);
    break;
  }
  return { ...result, files };
}

async function addAlternate(
  host: Host,
  symbolizer: FileTaker,
  path: string,
  bytes: Uint8Array,
  buildId: Uint8Array,
  link: DebugAltLink | undefined,
  roots: readonly string[],
  files: string[],
): Promise<void> {
  if (link === undefined) return;
  for (const candidate of altFilePaths({ link, path, roots })) {
    const alternate = readIfThere(host, candidate);
    const own = alternate === undefined ? undefined : idOf(alternate);
    if (alternate === undefined || own === undefined || !bytesEqual(own, link.buildId)) continue;
    await symbolizer.add(bytes, { name: path, buildId, alternate });
    files.push(candidate);
    return;
  }
  files.push(`${link.name} (not found: some names and inlined calls are missing)`);
}

/**
 * Adds the .dwo files that lookups have missed, from where the compiler put them. Returns whether there were any, so
 * that looking up again knows more.
 */
export async function addMissingSplits(
  host: Host,
  symbolizer: Symbolizer,
  buildId: Uint8Array,
  files: string[],
): Promise<boolean> {
  let added = false;
  for (const path of symbolizer.missingSplits(buildId)) {
    const bytes = readIfThere(host, path);
    files.push(bytes === undefined ? `${path} (not found: inlined calls are missing)` : path);
    if (bytes === undefined) continue;
    try {
      added = (await symbolizer.add(bytes, { name: path, buildId })).debugInfo || added;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return added;
}

function readIfThere(host: Host, path: string): Uint8Array | undefined {
  try {
    return host.kind(path) === "file" ? host.readFile(path) : undefined;
  } catch {
    return undefined; // may not be read; the next place may
  }
}

function idOf(bytes: Uint8Array): Uint8Array | undefined {
  try {
    return readBuildId(bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return undefined;
  }
}
