// Owns the text of /proc/PID/maps (fs/proc/task_mmu.c, show_map_vma()).
import { FormatError } from "../base/format_error.ts";

/** One line of /proc/PID/maps. */
export interface ProcMapsEntry {
  /** First address. */
  start: bigint;
  /** Address after the last. */
  end: bigint;
  /** Four characters such as `r-xp`. */
  perms: string;
  /** Byte offset into the file. */
  offset: bigint;
  /** Device as `major:minor`, hexadecimal. */
  dev: string;
  /** Inode number; 0 where no file is mapped. */
  inode: bigint;
  /**
   * The path as the process sees it, or a name such as `[vdso]`; empty for anonymous memory. `\012`, the one
   * escape that the kernel writes here, is a newline again. ` (deleted)` is cut off.
   */
  path: string;
  /** Whether the kernel marked the path as deleted: another file may stand there now. */
  deleted: boolean;
}

const LINE =
  /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][ps]) ([0-9a-f]{1,16}) ([0-9a-f]+:[0-9a-f]+) ([0-9]{1,20})(?: *| +(\S[^]*))$/;
const DELETED = " (deleted)";

/**
 * Parses the text of `/proc/PID/maps`. Paths keep their spaces; a file whose own name ends in ` (deleted)` can't be
 * told from a deleted one, here as for every reader of that text.
 *
 * @returns One entry a line, in the file's order.
 * @throws {FormatError} For a line that is not of the form, is not page-aligned or overlaps the one before, with the character offset of the line; `field` names
 * the line's number.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseProcMaps } from "@bpf/stackmap";
 *
 * const [entry] = parseProcMaps("00400000-00401000 r-xp 00001000 fe:00 42    /opt/my app (deleted)\n");
 * assertEquals([entry.path, entry.deleted, entry.offset], ["/opt/my app", true, 4096n]);
 * ```
 */
export function parseProcMaps(text: string): ProcMapsEntry[] {
  const entries: ProcMapsEntry[] = [];
  let lastEnd = 0n;
  for (let at = 0, line = 1; at < text.length; line++) {
    let stop = text.indexOf("\n", at);
    if (stop < 0) stop = text.length;
    if (stop > at) {
      const entry = parseLine(text.slice(at, stop), at, line);
      if (entry.start < lastEnd) {
        throw lineError("starts below the end of the line before", at, line, text.slice(at, stop));
      }
      lastEnd = entry.end;
      entries.push(entry);
    }
    at = stop + 1;
  }
  return entries;
}

function lineError(problem: string, offset: number, line: number, text: string): FormatError {
  return new FormatError(problem, { offset, field: `line ${line}`, value: text.slice(0, 100) });
}

function parseLine(text: string, offset: number, line: number): ProcMapsEntry {
  const match = LINE.exec(text);
  if (match === null) throw lineError("is not a line of /proc/PID/maps", offset, line, text);
  const [, start, end, perms, fileOffset, dev, inode, name = ""] = match;
  const deleted = name.endsWith(DELETED);
  const path = (deleted ? name.slice(0, -DELETED.length) : name).replaceAll("\\012", "\n");
  const entry = {
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    perms,
    offset: BigInt(`0x${fileOffset}`),
    dev,
    inode: BigInt(inode),
    path,
    deleted,
  };
  if (entry.start >= entry.end) throw lineError("ends before it starts", offset, line, text);
  if (((entry.start | entry.end | entry.offset) & 0xfffn) !== 0n) {
    throw lineError("is not aligned to pages of 4096 bytes", offset, line, text);
  }
  return entry;
}
