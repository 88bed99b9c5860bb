// Owns RangedGsym: a GSYM file that is read by ranges, few bytes for each address.
import type { ByteSource } from "../base/byte_source.ts";
import { attempt, type FormatError } from "../base/format_error.ts";
import { ENDS_WITH_REQUEST } from "../base/platform.ts";
import type { Phdr } from "../elf/headers.ts";
import { appendixSize, decodeAppendix, type GsymAppendix } from "./appendix.ts";
import { baseAddressOf, checkAppendix } from "./gsym_reader.ts";
import { type GsymHeader, MOST_HEADER, parseGsymHeader } from "./header.ts";
import { type GsymLocation, locationOf } from "./location.ts";
import { GSYM_MISS, GsymLookup, keepLookup } from "./lookup.ts";
import { PageCache } from "./page_cache.ts";
import { Window } from "./window.ts";

/** Bytes of the file's end that opening reads. */
const END_BYTES = 1 << 15;
/** Lookups that run at a time; each may hold on to a hint's bytes, which are 96 KiB. */
const MOST_LOOKUPS = 64;

/** How a {@linkcode RangedGsym} reads. */
export interface RangedGsymOptions {
  /** Bytes of pages that are kept, about; 16 MiB by default. Names may take as much again. */
  maxBytes?: number;
  /** Bytes of a page, a power of two from 512 on; 4,096 by default. */
  pageSize?: number;
  /** Ends opening. */
  signal?: AbortSignal | undefined;
}

/**
 * A GSYM file that is read by ranges. A lookup fetches the pages that it needs and others can use.
 *
 * Opening reads the file's end. If it has an appendix, as files of {@linkcode GsymCreator} do, the first lookup
 * needs one more round of four reads; else the file's head is read as well, and a lookup takes several rounds.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { byteSource, GsymCreator, RangedGsym } from "@bpf/stackmap";
 *
 * const creator = new GsymCreator();
 * creator.add({ address: 0x1000n, size: 32, name: "main" });
 * const gsym = await RangedGsym.open(byteSource(creator.toBytes()));
 * assertEquals((await gsym.lookup(0x1004n))?.frames[0].name, "main");
 * assertEquals(gsym.requests, 1);
 * ```
 */
export class RangedGsym {
  /** 1 or 2. */
  readonly version: number;
  /** Byte order of the file. */
  readonly littleEndian: boolean;
  /** Address that all others are told relative to: at most that of the first function. */
  readonly baseAddress: bigint;
  /** Number of functions. */
  readonly functionCount: number;
  /** The program's build ID, as it is in the file; empty if there is none. */
  readonly uuid: Uint8Array;
  /** The program's PT_LOAD segments, from the file's appendix; `undefined` if it has none. */
  readonly segments: Phdr[] | undefined;
  /** Why the file's appendix can't be read; all else can. */
  readonly problem: FormatError | undefined;
  readonly #pages: PageCache;
  #lookup: GsymLookup;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  private constructor(pages: PageCache, header: GsymHeader, uuid: Uint8Array, opened: Opened) {
    this.version = header.version;
    this.littleEndian = header.littleEndian;
    this.baseAddress = baseAddressOf(header);
    this.functionCount = header.count;
    this.uuid = uuid;
    this.segments = opened.appendix.segments;
    this.problem = opened.problem;
    this.#pages = pages;
    this.#lookup = new GsymLookup(new Window(pages), header, opened.appendix.blocks);
    keepLookup(this, this.#lookup);
  }

  /**
   * Opens a file.
   *
   * @throws {FormatError} If it is no GSYM file, of a version not known, or its tables pass its end.
   * @throws Whatever the source throws; the signal's reason.
   * @throws {RangeError} If an option is none that can be.
   */
  static async open(source: ByteSource, options: RangedGsymOptions = {}): Promise<RangedGsym> {
    const { maxBytes = 1 << 24, pageSize = 4096, signal } = options;
    if (!(pageSize >= 512 && Number.isInteger(Math.log2(pageSize)))) {
      throw new RangeError(`pageSize ${pageSize} is no power of two from 512 on`);
    }
    if (!(maxBytes >= 0)) throw new RangeError(`maxBytes ${maxBytes} is no size`);
    const pages = new PageCache(source, pageSize, maxBytes);
    const opened = await readEnds(pages, signal);
    const { header, headBytes } = opened;
    const from = header.uuid;
    const end = from + header.uuidSize;
    let uuid = headBytes.slice(from, end);
    // In version 2 it may be anywhere.
    if (uuid.length < header.uuidSize) {
      const window = new Window(pages);
      let at = window.at(from, header.uuidSize, "UUID");
      if (at < 0) {
        await pages.load(window.wanted, signal);
        at = window.at(from, header.uuidSize, "UUID");
      }
      uuid = window.bytes.slice(at, at + header.uuidSize);
    }
    return new RangedGsym(pages, header, uuid, opened);
  }

  /**
   * Looks up a virtual address.
   *
   * @param options `signal` ends waiting; a read that other lookups wait for goes on.
   * @returns `undefined` if no function is there.
   * @throws {FormatError} If what the file tells of the function is malformed.
   * @throws Whatever the source throws; the signal's reason.
   */
  async lookup(
    address: bigint,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<GsymLocation | undefined> {
    await this.#enter(signal);
    try {
      for (;;) {
        let found = 0;
        const missing = this.#run([address], (answer) => found = answer);
        if (found !== GSYM_MISS) {
          const { problem } = this.#lookup;
          if (problem !== undefined) throw problem;
          return locationOf(this.#lookup, BigInt.asUintN(64, address));
        }
        await this.#pages.load(missing, signal);
      }
    } finally {
      this.#leave();
    }
  }

  /**
   * Looks up many virtual addresses, in as few reads as that takes.
   *
   * @returns For each address, in their order, where it is; `undefined` if no function is there. Where what the
   *   file tells of a function is malformed, frames or lines may be missing.
   * @throws Whatever the source throws; the signal's reason.
   */
  async lookupAll(
    addresses: BigUint64Array | readonly bigint[],
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<(GsymLocation | undefined)[]> {
    const answers: (GsymLocation | undefined)[] = new Array(addresses.length).fill(undefined);
    let left = Array.from(addresses, (_, index) => index);
    await this.#enter(signal);
    try {
      while (left.length > 0) {
        const asked = left;
        const again: number[] = [];
        const missing = this.#run(asked.map((index) => addresses[index]), (found, i) => {
          if (found === GSYM_MISS) again.push(asked[i]);
          else answers[asked[i]] = locationOf(this.#lookup, BigInt.asUintN(64, addresses[asked[i]]));
        });
        left = again;
        if (missing.size > 0) await this.#pages.load(missing, signal);
      }
      return answers;
    } finally {
      this.#leave();
    }
  }

  /** Runs lookups; returns the pages that they miss, apart from what others have missed before. */
  #run(addresses: readonly bigint[], each: (found: number, index: number) => void): Set<number> {
    const lookup = this.#lookup.renewed();
    if (lookup !== this.#lookup) keepLookup(this, this.#lookup = lookup);
    const { window } = lookup;
    const others = window.wanted;
    const own = new Set<number>();
    window.wanted = own;
    try {
      addresses.forEach((address, index) => {
        const hi = Number(BigInt.asUintN(32, address >> 32n));
        each(lookup.lookup(hi, Number(BigInt.asUintN(32, address))), index);
      });
    } finally {
      window.wanted = others;
    }
    return own;
  }

  /** Waits for a place among those that run. */
  #enter(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    // A lookup that ends without notice would keep its place for ever.
    if (ENDS_WITH_REQUEST || this.#running < MOST_LOOKUPS) {
      this.#running++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        reject(signal!.reason);
      };
      this.#waiting.push(go);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }

  /** Whoever waits takes the place; if nobody does, it is free. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }

  /** Reads made so far. */
  get requests(): number {
    return this.#pages.requests;
  }

  /** Bytes they brought. */
  get bytesRead(): number {
    return this.#pages.bytesRead;
  }

  /** Bytes of the pages that are kept. */
  get cachedBytes(): number {
    return this.#pages.cachedBytes;
  }
}

/** What is known of a file after its ends were read. */
interface Opened {
  header: GsymHeader;
  /** The file's first bytes, or their copy. */
  headBytes: Uint8Array;
  appendix: GsymAppendix;
  problem: FormatError | undefined;
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

async function readEnds(pages: PageCache, signal: AbortSignal | undefined): Promise<Opened> {
  const { source: { size }, pageSize } = pages;
  // No more than END_BYTES: stores have them from opening the file.
  let endAt = alignUp(Math.max(0, size - END_BYTES), pageSize);
  if (endAt >= size) endAt = Math.floor(Math.max(0, size - 1) / pageSize) * pageSize;
  let end = await pages.readNow(endAt, size - endAt, signal);
  const readHead = (): Promise<Uint8Array> =>
    endAt === 0 ? Promise.resolve(end) : pages.readNow(0, Math.min(size, alignUp(MOST_HEADER, pageSize)), signal);
  let headBytes: Uint8Array | undefined;
  // The byte order is that of the appendix if its size, read so, is one that can be.
  let littleEndian = true;
  let length = appendixSize(end, true);
  if (length === 0) length = appendixSize(end, littleEndian = false);
  let appendix: GsymAppendix = {};
  const problems: FormatError[] = [];
  if (length > 0) {
    if (length > end.length && length <= size && length <= Math.max(pages.maxBytes / 4, 1 << 20)) {
      endAt = Math.floor((size - length) / pageSize) * pageSize;
      end = await pages.readNow(endAt, size - endAt, signal);
    }
    const at = size - length;
    appendix = attempt(problems, () => {
      checkAppendix(Math.min(size, end.length), length);
      return decodeAppendix(end.subarray(at - endAt), littleEndian, at);
    }) ?? {};
    headBytes = appendix.head;
  }
  headBytes ??= await readHead();
  const header = parseGsymHeader(headBytes.subarray(0, MOST_HEADER), size);
  return { header, headBytes, appendix, problem: problems[0] };
}
