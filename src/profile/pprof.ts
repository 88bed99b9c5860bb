// Owns pprof profiles: symbolized stacks and counts to the bytes of google/pprof's profile.proto.
import { toHex } from "../base/bytes.ts";
import { cameName, emptyName, type StackColumns } from "../dump/columns.ts";
import type { SymbolizedColumns } from "../symbolize/symbolized_columns.ts";
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";
import { type DistinctFrames, distinctFrames } from "./pprof_frames.ts";
import { type Labels, LabelSets, putLabels } from "./pprof_labels.ts";
import { isKernelAddress, pageOf, putPage } from "./pprof_pages.ts";
import { ProtoWriter } from "./pprof_wire.ts";

/** What {@linkcode encodePprof} may be told. */
export interface PprofOptions {
  /**
   * How often each stack id occurred, as {@linkcode foldStacks} takes it: whole numbers from 0 to 2^53 − 1. Ids
   * that are not in the dump become a sample of one function `[missing stack ID]`. Without counts each stack counts
   * 1.
   */
  counts?: Iterable<readonly [id: number, count: number]>;
  /**
   * Whether the helper left out frames, so that even the first frame of a stack is a return address. Columns that
   * say which rows are innermost go before.
   */
  skipped?: boolean;
  /**
   * Labels of a stack, by its position in `columns.ids`, such as `{ comm: "node", pid: 1234 }`, which is what perf's
   * converter calls them: text, or whole numbers up to 2^53 − 1; `""` and 0 are as good as no label, as readers take
   * them. pprof filters by labels (`-tagfocus=comm=node`) and makes frames of them (`-tagroot=comm`). Equal stacks with
   * other labels are other samples.
   */
  labels?: (stack: number) => Readonly<Record<string, string | number>> | undefined;
  /** What is counted, and in which unit; `{ type: "samples", unit: "count" }` by default. */
  sampleType?: { type: string; unit: string };
  /** How often a sample was taken: its kind and unit, and that many of the unit between two. */
  period?: { type: string; unit: string; value: number };
  /** When the profile began, in milliseconds since 1970. */
  timeMilliseconds?: number;
  /** How long it took, in milliseconds. */
  durationMilliseconds?: number;
  /**
   * The file name of a binary, as it is to appear; `undefined` if not known. By default the name it was added with.
   *
   * @param buildId As in the kernel's struct, 20 bytes, zero-padded.
   * @param name The name that the binary was added with; `undefined` where none was.
   */
  fileName?: (buildId: Uint8Array, name: string | undefined) => string | undefined;
  /** The build ID as in the file, without padding, of the binary with a number of `resolved.binary`. */
  binaries?: readonly { readonly buildId: Uint8Array; readonly name: string }[];
  /** Whether function names are demangled; the linkage name is `system_name` in any case. True by default. */
  demangle?: boolean;
  /** Remarks for the reader. */
  comments?: readonly string[];
}

// Fields of profile.proto.
const PROFILE = {
  sampleType: 1,
  sample: 2,
  mapping: 3,
  location: 4,
  function: 5,
  string: 6,
  timeNanos: 9,
  durationNanos: 10,
  periodType: 11,
  period: 12,
  comment: 13,
} as const;

const TWO32 = 0x1_0000_0000;
/** What stands for the build ID's number in the mapping of the kernel, and for its key. */
const KERNEL = -1;

/**
 * Encodes stacks as a profile of google/pprof: the bytes of `profile.proto`, not compressed. Files of profiles
 * (`.pb.gz`) are gzip of them; readers take both.
 *
 * Samples have their innermost frame first, as everything here has, and equal stacks are one sample. There is one
 * location for each distinct address of a binary, with a line for each inlined call, innermost first. Its `address`
 * lies within the call instruction for return addresses, one byte before them, as the format allows and as readers
 * need that symbolize by it. Frames that nobody could name keep mapping and address, so that a reader with the
 * binary can; frames that the kernel did not translate have their address and no mapping, and a name where one came
 * with the stacks. Named frames of the kernel are in a mapping `[kernel.kallsyms]`, as perf has them.
 *
 * **Mappings.** A stack map tells no addresses of mappings, so there are two kinds, both made up such that readers
 * come to the right address of the file:
 *
 * - Where the address in the file is known, `address` is that address, and the mapping is the whole address space:
 *   `memory_start` 0, `memory_limit` 2^64 − 1, `file_offset` 0. pprof and Parca take this as "already normalized"
 *   and Pyroscope takes any address as it is. A limit of 0 would say the same, but pprof refuses to look up
 *   addresses that are not below the limit.
 * - Where it is not, since the binary is not at hand, `address` is the file offset, and `memory_start` and
 *   `file_offset` are the same page, the first one used: the file as if it was mapped where its offsets are. pprof
 *   and Parca then compute the address by the file's program headers. The mapping must not begin before the
 *   executable segment for that, hence the first page used rather than 0.
 *
 * @param columns What {@linkcode decodeStacks} gave. Where a key occurs twice, its last stack counts.
 * @param symbolized What a {@linkcode Symbolizer} made of the same columns.
 * @throws {RangeError} If a count is no such number, or the two are not of the same rows.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeStacks, encodePprof, encodeStacks, Symbolizer } from "@bpf/stackmap";
 *
 * const layout = { valueSize: 127 * 8 };
 * const columns = decodeStacks(encodeStacks([{ id: 3, frames: [{ status: 2, ip: 0x401136n }] }], layout), layout);
 * const profile = encodePprof(columns, new Symbolizer().lookupColumns(columns), { counts: [[3, 5]] });
 * assertEquals(profile.subarray(0, 2), Uint8Array.of(0x0a, 4)); // sample_type, a message of 4 bytes
 * ```
 */
export function encodePprof(
  columns: StackColumns,
  symbolized: SymbolizedColumns,
  options: PprofOptions = {},
): Uint8Array {
  if (symbolized.first.length !== columns.status.length) {
    throw new RangeError(`${symbolized.first.length} symbolized frames of ${columns.status.length}`);
  }
  const distinct = distinctFrames(columns, options.skipped === true);
  return new PprofEncoder(columns, distinct, distinct.row, symbolized, options).encode();
}

/**
 * {@linkcode encodePprof} where each distinct frame was symbolized once: row i of `symbolized` is frame number i.
 */
export function encodePprofOfDistinct(
  columns: StackColumns,
  distinct: DistinctFrames,
  symbolized: SymbolizedColumns,
  options: PprofOptions,
): Uint8Array {
  const rows = Uint32Array.from(distinct.row.keys());
  return new PprofEncoder(columns, distinct, rows, symbolized, options).encode();
}

/** A made-up mapping. */
interface Mapping {
  id: number;
  idIndex: number;
  binary: number;
  /** Whether its addresses are those of the file. */
  normalized: boolean;
  /** First and last page of its locations, where their addresses are file offsets. */
  firstPage: number;
  lastPage: number;
  /** Locations by address: safe integers as they are, larger ones as text. */
  locations: Map<number | string, number>;
  names: boolean;
  files: boolean;
  lines: boolean;
  inlined: boolean;
}

class PprofEncoder {
  readonly #columns: StackColumns;
  readonly #symbolized: SymbolizedColumns;
  readonly #options: PprofOptions;
  readonly #distinct: DistinctFrames;
  /** Where in the symbolized columns a distinct frame is. */
  readonly #at: Uint32Array;
  readonly #out = new ProtoWriter();
  readonly #inner = new ProtoWriter();
  readonly #nested = new ProtoWriter();
  readonly #strings: string[] = [""];
  readonly #numbers = new Map<string, number>([["", 0]]);
  readonly #functions = new Map<string, number>();
  /** Numbers of functions by row of the symbolized columns, where they are known. */
  readonly #functionOfRow: Int32Array;
  readonly #mappings = new Map<number, Mapping>();
  /** Addresses without a mapping. */
  readonly #bare = new Map<number | string, number>();
  readonly #notes = new Map<string, number>();
  readonly #labels = new LabelSets((text) => this.#string(text));
  #locations = 0;

  constructor(
    columns: StackColumns,
    distinct: DistinctFrames,
    at: Uint32Array,
    symbolized: SymbolizedColumns,
    options: PprofOptions,
  ) {
    this.#columns = columns;
    this.#distinct = distinct;
    this.#at = at;
    this.#symbolized = symbolized;
    this.#options = options;
    this.#functionOfRow = new Int32Array(symbolized.length);
  }

  encode(): Uint8Array {
    const { sampleType = { type: "samples", unit: "count" }, period, comments = [] } = this.#options;
    const out = this.#out;
    this.#valueType(PROFILE.sampleType, sampleType);
    this.#samples();
    this.#writeMappings();
    if (this.#options.timeMilliseconds !== undefined) {
      this.#nanoseconds(PROFILE.timeNanos, this.#options.timeMilliseconds);
    }
    if (this.#options.durationMilliseconds !== undefined) {
      this.#nanoseconds(PROFILE.durationNanos, this.#options.durationMilliseconds);
    }
    if (period !== undefined) {
      this.#valueType(PROFILE.periodType, period);
      out.number(PROFILE.period, checked(period.value, "period"));
    }
    for (const comment of comments) out.number(PROFILE.comment, this.#string(comment));
    for (const text of this.#strings) out.string(PROFILE.string, text);
    return out.bytes().slice();
  }

  #string(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#strings.push(text) - 1;
      this.#numbers.set(text, number);
    }
    return number;
  }

  #valueType(field: number, { type, unit }: { type: string; unit: string }): void {
    const inner = this.#inner.reset();
    inner.number(1, this.#string(type));
    inner.number(2, this.#string(unit));
    this.#out.message(field, inner.bytes());
  }

  #nanoseconds(field: number, milliseconds: number): void {
    const nanoseconds = BigInt(Math.round(checked(milliseconds, "time"))) * 1_000_000n;
    this.#out.u64(field, Number(BigInt.asUintN(32, nanoseconds >> 32n)), Number(BigInt.asUintN(32, nanoseconds)));
  }

  // Samples, and with each the locations that are new.
  #samples(): void {
    const { ids, first } = this.#columns;
    const { counts, labels: labelsOf } = this.#options;
    const totals = new Map<string, { locations: readonly number[]; labels: Labels | undefined; count: number }>();
    const add = (locations: readonly number[], count: number, labels?: Labels): void => {
      const key = labels === undefined ? locations.join() : `${locations.join()};${labels.number}`;
      const known = totals.get(key);
      if (known === undefined) totals.set(key, { locations, labels, count });
      else known.count = checked(known.count + count, "the sum of counts");
    };
    const locationOf = new Uint32Array(this.#distinct.row.length);
    const stack = (s: number): number[] => {
      const locations: number[] = [];
      for (let row = first[s]; row < first[s + 1]; row++) {
        const frame = this.#distinct.frame[row];
        locations.push(locationOf[frame] ||= this.#location(frame));
      }
      return locations.length === 0 ? [this.#note(emptyName(this.#columns, s))] : locations;
    };
    if (counts === undefined) {
      for (let s = 0; s < ids.length; s++) add(stack(s), 1, this.#labels.of(labelsOf?.(s)));
    } else {
      const byId = new Map<number, number>();
      ids.forEach((id, s) => byId.set(id, s));
      for (const [id, count] of counts) {
        const s = byId.get(id);
        checked(count, "count");
        if (s === undefined) add([this.#note(`[missing stack ${id}]`)], count);
        else add(stack(s), count, this.#labels.of(labelsOf?.(s)));
      }
    }
    const inner = this.#inner;
    const packed = this.#nested;
    for (const { locations, labels, count } of totals.values()) {
      packed.reset();
      for (const location of locations) packed.varint(location);
      inner.reset().message(1, packed.bytes());
      packed.reset().varint(count);
      inner.message(2, packed.bytes());
      if (labels !== undefined) putLabels(inner, labels, packed);
      this.#out.message(PROFILE.sample, inner.bytes());
    }
  }

  // A location that is no address: what stands for a stack that is empty or missing.
  #note(name: string): number {
    let location = this.#notes.get(name);
    if (location === undefined) {
      const named = this.#function(name, name, "");
      location = ++this.#locations;
      const inner = this.#inner.reset();
      inner.number(1, location);
      this.#nameLine(inner, named);
      this.#out.message(PROFILE.location, inner.bytes());
      this.#notes.set(name, location);
    }
    return location;
  }

  // The line of a location of which a function's name is all that is known.
  #nameLine(location: ProtoWriter, named: number): void {
    const line = this.#nested.reset();
    line.number(1, named);
    location.message(4, line.bytes());
  }

  #location(frame: number): number {
    const { idIndex, offsetHi, offsetLo, nameIndex } = this.#columns;
    const { resolved, depth, first } = this.#symbolized;
    const row = this.#distinct.row[frame];
    const at = this.#at[frame];
    const came = depth[at] === 0 ? cameName(this.#columns, row) : undefined;
    const isKernel = came !== undefined && isKernelAddress(offsetHi[row], offsetLo[row]);
    const mapping = idIndex[row] >= 0 || isKernel ? this.#mapping(idIndex[row], at) : undefined;
    let hi = mapping?.normalized ? resolved.addressHi[at] : offsetHi[row];
    let lo = mapping?.normalized ? resolved.addressLo[at] : offsetLo[row];
    if (this.#distinct.innermost[frame] === 0 && (hi !== 0 || lo !== 0)) {
      if (lo === 0) hi--;
      lo = (lo - 1) >>> 0;
    }
    const address = hi * TWO32 + lo;
    // Processes have different names at one address. The number stands for the name, which may be long.
    const key = came !== undefined
      ? `${hi},${lo},${nameIndex![row]}`
      : Number.isSafeInteger(address)
      ? address
      : `${hi},${lo}`;
    const known = mapping === undefined ? this.#bare : mapping.locations;
    let location = known.get(key);
    if (location !== undefined) return location;
    location = ++this.#locations;
    known.set(key, location);
    if (mapping !== undefined) {
      const page = pageOf(hi, lo);
      mapping.firstPage = Math.min(mapping.firstPage, page);
      mapping.lastPage = Math.max(mapping.lastPage, page);
    }
    // Functions are written before the location: both use the same scratch memory.
    for (let k = 0; k < depth[at]; k++) this.#functionAt(first[at] + k);
    const named = came === undefined ? 0 : this.#function(came, came, "");
    const inner = this.#inner.reset();
    inner.number(1, location);
    if (mapping !== undefined) inner.number(2, mapping.id);
    inner.u64(3, hi, lo);
    for (let k = 0; k < depth[at]; k++) this.#line(inner, first[at] + k, mapping);
    if (named > 0) {
      this.#nameLine(inner, named);
      if (mapping !== undefined) mapping.names = true;
    }
    this.#out.message(PROFILE.location, inner.bytes());
    return location;
  }

  #line(inner: ProtoWriter, row: number, mapping: Mapping | undefined): void {
    const symbolized = this.#symbolized;
    const line = symbolized.line(row) ?? 0;
    const nested = this.#nested.reset();
    nested.number(1, this.#functionAt(row));
    nested.number(2, line);
    nested.number(3, symbolized.column(row) ?? 0);
    inner.message(4, nested.bytes());
    if (mapping === undefined) return;
    mapping.names = true;
    if (symbolized.file(row) !== undefined) mapping.files = true;
    if (line > 0) mapping.lines = true;
    if (symbolized.inlined(row)) mapping.inlined = true;
  }

  #functionAt(row: number): number {
    let number = this.#functionOfRow[row];
    if (number === 0) {
      const symbolized = this.#symbolized;
      const linkage = symbolized.name(row) ?? "";
      const name = this.#options.demangle === false ? linkage : symbolized.demangled(row) ?? "";
      number = this.#function(name, linkage, symbolized.file(row) ?? "");
      this.#functionOfRow[row] = number;
    }
    return number;
  }

  #function(name: string, linkage: string, file: string): number {
    const numbers = [this.#string(name), this.#string(linkage), this.#string(file)];
    const key = numbers.join();
    let number = this.#functions.get(key);
    if (number === undefined) {
      number = this.#functions.size + 1;
      this.#functions.set(key, number);
      const inner = this.#inner.reset();
      inner.number(1, number);
      numbers.forEach((text, i) => inner.number(2 + i, text));
      this.#out.message(PROFILE.function, inner.bytes());
    }
    return number;
  }

  #mapping(idIndex: number, at: number): Mapping {
    const { resolved } = this.#symbolized;
    // What no segment maps has no address; address 0 is no code.
    const normalized = idIndex >= 0 && resolved.binary[at] >= 0 &&
      (resolved.addressLo[at] !== 0 || resolved.addressHi[at] !== 0);
    const key = idIndex < 0 ? KERNEL : 2 * idIndex + (normalized ? 1 : 0);
    let mapping = this.#mappings.get(key);
    if (mapping === undefined) {
      mapping = {
        id: this.#mappings.size + 1,
        idIndex,
        binary: resolved.binary[at],
        normalized,
        firstPage: Infinity,
        lastPage: 0,
        locations: new Map(),
        names: false,
        files: false,
        lines: false,
        inlined: false,
      };
      this.#mappings.set(key, mapping);
    }
    return mapping;
  }

  #writeMappings(): void {
    const { buildIds } = this.#columns;
    const { binaries, fileName } = this.#options;
    for (const mapping of this.#mappings.values()) {
      const { idIndex, normalized, firstPage, lastPage } = mapping;
      const isKernel = idIndex < 0;
      const padded = buildIds.slice(idIndex * BPF_BUILD_ID_SIZE, (idIndex + 1) * BPF_BUILD_ID_SIZE);
      const binary = binaries?.[mapping.binary];
      const known = isKernel ? "[kernel.kallsyms]" : binary?.name || undefined;
      const name = fileName === undefined || isKernel ? known : fileName(padded, known);
      const inner = this.#inner.reset();
      inner.number(1, mapping.id);
      if (normalized) {
        inner.u64(3, 0xffff_ffff, 0xffff_ffff);
      } else {
        putPage(inner, 2, firstPage);
        putPage(inner, 3, lastPage + 1);
        putPage(inner, 4, firstPage);
      }
      inner.number(5, this.#string(name ?? ""));
      inner.number(6, this.#string(isKernel ? "" : toHex(binary?.buildId ?? padded)));
      inner.flag(7, mapping.names);
      inner.flag(8, mapping.files);
      inner.flag(9, mapping.lines);
      inner.flag(10, mapping.inlined);
      this.#out.message(PROFILE.mapping, inner.bytes());
    }
  }
}

function checked(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${what} must be a whole number from 0 to 2^53 - 1, not ${value}`);
  }
  return value;
}
