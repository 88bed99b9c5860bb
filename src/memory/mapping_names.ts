// Owns names of addresses by the mapping that holds them: lines of /proc/PID/maps, also of a text that was cut
// short.
import {
  type AddressLines,
  type AddressNames,
  addressNames,
  HexReader,
  lineEnd,
  mostLines,
} from "./address_names.ts";
import { latestOfEach, rangeColumns } from "./address_ranges.ts";

/** Longest name of a file (`NAME_MAX`), and of what is shown of any mapping's. */
const MOST_NAME = 255;
const DELETED = " (deleted)";

/** Of a mapping: what it is called, and of a file what to add to an address of it for the offset in the file. */
interface Mapping {
  name: string;
  bias: number | undefined;
}

/**
 * Mappings of a process by address. Unlike `parseProcMaps()` it takes whatever is there: the text is read a page
 * at a time while the process goes on, so that lines may overlap (the later one counts), and the last may be cut.
 */
export class MappingNames {
  readonly #text: AddressLines;
  readonly #lines: AddressNames;
  readonly #mappings = new Map<number, Mapping>();

  /** @param text Lines of `/proc/PID/maps`, all or some. */
  constructor(text: string) {
    this.#text = mappingLines(text);
    this.#lines = addressNames(this.#text);
  }

  /**
   * What is known of an address: `libfoo.so+0x1234` with the offset in the file, or the name of what is no file,
   * such as `[vdso]`; `undefined` in anonymous memory and outside of every mapping.
   *
   * @param back 1 to look for the byte before the address, which belongs to the call.
   */
  lookup(hi: number, lo: number, back: number): string | undefined {
    const line = this.#lines.find(lo < back ? hi - 1 : hi, (lo - back) >>> 0);
    if (line < 0) return undefined;
    let mapping = this.#mappings.get(line);
    if (mapping === undefined) this.#mappings.set(line, mapping = this.#mapping(line, hi, lo, back));
    const { name, bias } = mapping;
    if (bias === undefined) return name;
    return `${name}+0x${(hi * 0x1_0000_0000 + lo + bias).toString(16)}`;
  }

  #mapping(line: number, hi: number, lo: number, back: number): Mapping {
    const { text, nameAt } = this.#text;
    const { offset } = this.#lines.lookup(lo < back ? hi - 1 : hi, (lo - back) >>> 0)!;
    // All of the name: what is shown of a path is at its end.
    const [file, path] = fileAndPath(text.slice(nameAt[line], lineEnd(text, nameAt[line])));
    const shown = (path.endsWith(DELETED) ? path.slice(0, -DELETED.length) : path).slice(-MOST_NAME);
    const address = hi * 0x1_0000_0000 + lo;
    const bias = file + offset + back - address;
    // Addresses of programs and offsets of files have less than 53 bits.
    const exact = path.startsWith("/") && Number.isSafeInteger(address) && Number.isSafeInteger(file) &&
      Number.isSafeInteger(bias);
    return { name: path.startsWith("/") ? shown.replace(/^.*\//s, "") : shown, bias: exact ? bias : undefined };
  }

  /** The lines that some addresses need; see {@linkcode AddressNames.subset}. */
  subset(addresses: { readonly hi: ArrayLike<number>; readonly lo: ArrayLike<number> }): string {
    return this.#lines.subset(addresses);
  }
}

/** The offset in a file, and the path, of what a line has behind the permissions. */
function fileAndPath(fields: string): [offset: number, path: string] {
  const match = /^([0-9a-f]+) \S+ \d+ *([^]*)$/.exec(fields);
  return match === null ? [NaN, ""] : [parseInt(match[1], 16), match[2]];
}

/** The lines of a text by the addresses that they map; a line's name is what it has from the file's offset on. */
function mappingLines(text: string): AddressLines {
  const most = mostLines(text);
  const ranges = rangeColumns(most);
  const at = new Uint32Array(most), nameAt = new Uint32Array(most);
  const number = new HexReader(text);
  let skipped = 0;
  for (let start = 0; start < text.length;) {
    let stop = text.indexOf("\n", start);
    if (stop < 0) stop = text.length;
    const dash = number.read(start);
    const { hi, lo } = number;
    const end = dash > 0 && text[dash] === "-" ? number.read(dash + 1) : -1;
    const isRange = number.hi > hi || (number.hi === hi && number.lo > lo);
    if (end > 0 && isRange && text[end] === " " && text[end + 5] === " " && end + 5 < stop) {
      const line = ranges.count++;
      ranges.startHi[line] = hi;
      ranges.startLo[line] = lo;
      ranges.lastLo[line] = (number.lo - 1) >>> 0;
      ranges.lastHi[line] = number.lo === 0 ? number.hi - 1 : number.hi;
      ranges.line[line] = line;
      at[line] = start;
      // Names end where the line does; what ends with the inode and spaces is anonymous.
      const fields = text.slice(end + 6, Math.min(stop, end + 6 + MOST_FIELDS));
      nameAt[line] = /^[0-9a-f]+ \S+ \d+ +\S/.test(fields) ? end + 6 : 0;
    } else {
      skipped++;
    }
    start = stop + 1;
  }
  const count = ranges.count;
  return {
    text,
    ranges: latestOfEach(ranges),
    at: at.subarray(0, count),
    nameAt: nameAt.subarray(0, count),
    skipped,
    restricted: false,
  };
}

/** Characters up to the path: offset, device, inode, and spaces up to column 74. */
const MOST_FIELDS = 128;
