// Owns BinaryLoader: what a symbolizer lacks for some build IDs, found in a store and added.
import { bytesEqual, fromHex, toHex } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import { orAborted, SharedCalls } from "../base/shared_calls.ts";
import { ElfFile } from "../elf/elf_file.ts";
import type { Phdr } from "../elf/headers.ts";
import { GsymReader } from "../gsym/gsym_reader.ts";
import { RangedGsym } from "../gsym/ranged_gsym.ts";
import { MAX_SEGMENTS } from "../symbolize/segments.ts";
import type { SymbolizerAddResult } from "../symbolize/symbolization.ts";
import type { Symbolizer } from "../symbolize/symbolizer.ts";
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";
import { PT_LOAD } from "../uapi/elf.ts";
import { ByteGate } from "./byte_gate.ts";
import { type BinaryStore, type StoredFile, StoreError, type StoreErrorReason, type StoreItem } from "./store.ts";

/** What a {@linkcode BinaryLoader} may be told. */
export interface BinaryLoaderOptions {
  /** Most bytes of a file that is taken in whole; 32 MiB by default. GSYM files read by ranges may have any size. */
  maxFileBytes?: number;
  /** Most build IDs that are looked for at a time; 6 by default, as many connections as edge platforms allow. */
  concurrency?: number;
  /** For how long a failure is remembered, in milliseconds; 10,000 by default. */
  retryAfterMs?: number;
}

/** Why one build ID could not be had, in whole or in part. */
export interface BinaryProblem {
  /** As it was asked for. */
  buildId: Uint8Array;
  /** `not-found`: no store has it. `malformed`: a file was found and can't be read. Else as in {@linkcode StoreError}. */
  reason: "not-found" | "malformed" | StoreErrorReason;
  /** The whole story, in one line. */
  message: string;
}

/** What is remembered of a build ID. */
interface Known {
  problem: BinaryProblem | undefined;
  /** When a failure is to be forgotten. */
  until: number;
}

/** Bytes that hold the ELF header and the program headers of nearly every executable; and of every one. */
const HEAD_BYTES = 4096;
const MOST_HEAD_BYTES = 1 << 18;
/** GSYM files of so many bytes are read whole: one request instead of five. */
const SMALL_GSYM = 1 << 17;
/** Failures that are remembered; of more the oldest are forgotten. */
const MOST_KNOWN = 10_000;
/** Lengths that build IDs have: SHA-1, MD5 or UUID, and lld's default. */
const ID_LENGTHS = [BPF_BUILD_ID_SIZE, 16, 8];

/**
 * Brings a {@linkcode Symbolizer} what it lacks, from a {@linkcode BinaryStore}: for each build ID a GSYM file, read by
 * ranges where the store can; else the separate debug file, with the head of the executable for its program headers;
 * else the executable. Whoever asks for an ID that is under way waits for it; failures of one ID are no failures of the
 * others.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BinaryLoader, memoryStore, Symbolizer } from "@bpf/stackmap";
 *
 * const loader = new BinaryLoader(new Symbolizer(), memoryStore([]));
 * const [problem] = await loader.load([Uint8Array.of(0xab, 0xcd)]);
 * assertEquals(problem.reason, "not-found");
 * ```
 */
export class BinaryLoader {
  readonly #symbolizer: Symbolizer;
  readonly #store: BinaryStore;
  readonly #maxFileBytes: number;
  readonly #concurrency: number;
  readonly #retryAfterMs: number;
  readonly #gate: ByteGate;
  readonly #calls = new SharedCalls<string, Known>();
  readonly #known = new Map<string, Known>();

  /** A loader of what `symbolizer` lacks from `store`. */
  constructor(symbolizer: Symbolizer, store: BinaryStore, options: BinaryLoaderOptions = {}) {
    this.#symbolizer = symbolizer;
    this.#store = store;
    const { maxFileBytes = 32 << 20, concurrency = 6, retryAfterMs = 10_000 } = options;
    this.#maxFileBytes = maxFileBytes;
    this.#concurrency = Math.max(1, concurrency);
    this.#retryAfterMs = retryAfterMs;
    this.#gate = new ByteGate(2 * maxFileBytes);
  }

  /**
   * Finds and adds what is missing for some build IDs, as in the file or zero-padded as the kernel has them.
   *
   * @param options `signal` ends it: the promise rejects with its reason.
   * @returns One problem for each ID of which not all could be had. Frames of those have a reason instead of names, or
   *   only the names that the rest gives.
   */
  async load(
    buildIds: Iterable<Uint8Array>,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<BinaryProblem[]> {
    const { signal } = options;
    signal?.throwIfAborted();
    const wanted = new Map<string, Uint8Array>();
    for (const id of buildIds) wanted.set(toHex(id), id);
    const queue = [...wanted].filter(([hex]) => !this.#isHere(hex));
    const next = async (): Promise<void> => {
      for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
        const [hex, id] = entry;
        const known = await this.#calls.ask(hex, (shared) => this.#find(id.slice(), shared), signal);
        this.#remember(hex, known);
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#concurrency, queue.length) }, next));
    return [...wanted.keys()].map((hex) => this.#known.get(hex)?.problem).filter((problem) =>
      problem !== undefined
    );
  }

  /** Whether nothing is to be done: it was added and is still there, or has failed a short while ago. */
  #isHere(hex: string): boolean {
    if (this.#calls.has(hex)) return false; // what is there may be a part only
    const known = this.#known.get(hex);
    if (known?.problem !== undefined && performance.now() >= known.until) return false;
    const binary = this.#symbolizer.binary(fromHex(hex)!);
    return binary === undefined ? known?.problem !== undefined : !binary.evicted;
  }

  #remember(hex: string, known: Known): void {
    this.#known.delete(hex);
    this.#known.set(hex, known);
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value!);
  }

  async #find(asked: Uint8Array, signal: AbortSignal): Promise<Known> {
    let problem: BinaryProblem | undefined;
    for (const id of candidates(asked)) {
      const search = new Search(this.#symbolizer, this.#store, id, this.#maxFileBytes, this.#gate, signal);
      const found = await search.run();
      signal.throwIfAborted();
      const [first] = search.problems;
      if (first !== undefined) problem ??= { buildId: asked, ...first };
      if (found) return { problem, until: performance.now() + this.#retryAfterMs };
    }
    const message = `no store has ${toHex(asked)}`;
    problem ??= { buildId: asked, reason: "not-found", message };
    return { problem, until: performance.now() + this.#retryAfterMs };
  }
}

/** The ids that one of the kernel's can stand for: itself, and shorter ones that it would be after zero-padding. */
function candidates(id: Uint8Array): Uint8Array[] {
  const used = id.findLastIndex((byte) => byte !== 0) + 1;
  if (id.length !== BPF_BUILD_ID_SIZE) return [id];
  return ID_LENGTHS.filter((length) => length === BPF_BUILD_ID_SIZE || length >= used)
    .filter((length) => length === BPF_BUILD_ID_SIZE || used > 0)
    .map((length) => id.slice(0, length));
}

/** The search for one build ID. */
class Search {
  /** What went wrong on the way, in order. */
  readonly problems: Omit<BinaryProblem, "buildId">[] = [];
  readonly #symbolizer: Symbolizer;
  readonly #store: BinaryStore;
  readonly #id: Uint8Array;
  readonly #maxFileBytes: number;
  readonly #gate: ByteGate;
  readonly #signal: AbortSignal;

  constructor(
    symbolizer: Symbolizer,
    store: BinaryStore,
    id: Uint8Array,
    maxFileBytes: number,
    gate: ByteGate,
    signal: AbortSignal,
  ) {
    this.#symbolizer = symbolizer;
    this.#store = store;
    this.#id = id;
    this.#maxFileBytes = maxFileBytes;
    this.#gate = gate;
    this.#signal = signal;
  }

  /** Adds what it finds; returns whether anything was. */
  async run(): Promise<boolean> {
    const gsym = await this.#attempt(() => this.#addGsym());
    if (gsym === "whole") return true;
    // Both at once: one round trip less.
    const [debug, head] = await Promise.all([
      gsym === "without segments" ? false : this.#attempt(() => this.#addWhole("debuginfo")),
      this.#attempt(() => this.#readSegments()),
    ]);
    if (head !== undefined && (debug === true || gsym !== undefined)) {
      this.#symbolizer.addSegments(head.segments, { buildId: this.#id, name: head.name });
    }
    if (debug === true || gsym !== undefined) return true;
    return await this.#attempt(() => this.#addWhole("executable")) === true;
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#signal.throwIfAborted();
      this.problems.push(problemOf(error));
      return undefined;
    }
  }

  /** Runs `use` on a file that the store has; what it left unread is let go of. */
  async #with<T>(item: StoreItem, use: (file: StoredFile) => Promise<T>): Promise<T | undefined> {
    // A GSYM file's source is kept, longer than the signal is good for.
    const file = item === "gsym"
      ? await orAborted(this.#store.find(this.#id, item), this.#signal)
      : await this.#store.find(this.#id, item, { signal: this.#signal });
    if (file === undefined) return undefined;
    try {
      return await use(file);
    } finally {
      if (file.source === undefined) await file.cancel();
    }
  }

  async #addGsym(): Promise<"whole" | "without segments" | undefined> {
    return await this.#with("gsym", async (file) => {
      const gsym = file.source === undefined || file.source.size <= SMALL_GSYM
        ? await this.#bytes(file)
        : await RangedGsym.open(file.source, { signal: this.#signal });
      await this.#add(gsym, file.name);
      const { segments } = gsym instanceof RangedGsym ? gsym : new GsymReader(gsym);
      return segments === undefined ? "without segments" : "whole";
    });
  }

  async #addWhole(item: "debuginfo" | "executable"): Promise<boolean> {
    const added = await this.#with(item, async (file) => {
      const bytes = await this.#bytes(file);
      const { debugAltLink } = await this.#add(bytes, file.name);
      if (debugAltLink !== undefined) {
        await this.#attempt(async () => {
          const alternate = await this.#alternate(debugAltLink.buildId);
          if (alternate !== undefined) await this.#add(bytes, file.name, alternate);
        });
      }
      return true;
    });
    return added === true;
  }

  /** The file that several debug files share (dwz). */
  async #alternate(buildId: Uint8Array): Promise<Uint8Array | undefined> {
    const file = await this.#store.find(buildId, "debuginfo", { signal: this.#signal });
    if (file === undefined) return undefined;
    try {
      return await this.#bytes(file);
    } finally {
      await file.cancel();
    }
  }

  async #bytes(file: StoredFile): Promise<Uint8Array> {
    const maxBytes = this.#maxFileBytes;
    // A size that is too large is refused at once, not after waiting for room.
    const room = file.size === undefined || file.size > maxBytes ? 0 : file.size;
    const read = () => file.bytes({ maxBytes });
    return await this.#gate.run(file.size === undefined ? maxBytes : room, read, this.#signal);
  }

  async #add(file: Uint8Array | RangedGsym, name: string, alternate?: Uint8Array): Promise<SymbolizerAddResult> {
    const result = await this.#symbolizer.add(file, {
      name,
      buildId: this.#id,
      ...(alternate === undefined ? {} : { alternate }),
    });
    if (result.status === "mismatch" || result.status === "conflict") {
      throw new StoreError("wrong-build-id", `${name} is another program than ${toHex(this.#id)}`);
    }
    for (const problem of result.problems) this.problems.push(problemOf(problem));
    return result;
  }

  /** The PT_LOAD segments of the executable, from as few of its bytes as hold them. */
  async #readSegments(): Promise<{ segments: Phdr[]; name: string } | undefined> {
    let length = HEAD_BYTES;
    for (;;) {
      const read = await this.#with(
        "executable",
        async (file) => ({ name: file.name, head: await file.head(length) }),
      );
      if (read === undefined) return undefined;
      const { name, head } = read;
      const file = new ElfFile(head);
      const { e_phoff, e_phnum, e_phentsize } = file.ehdr;
      const end = Number(e_phoff) + e_phnum * e_phentsize;
      if (end > head.length && head.length === length && end <= MOST_HEAD_BYTES) {
        length = end;
        continue;
      }
      const own = idOf(file);
      if (own !== undefined && !bytesEqual(own, this.#id)) {
        throw new StoreError("wrong-build-id", `${name} has the build ID ${toHex(own)}, not ${toHex(this.#id)}`);
      }
      return { segments: file.segments(PT_LOAD, MAX_SEGMENTS), name };
    }
  }
}

/** The build ID, where the part of the file at hand has it. */
function idOf(file: ElfFile): Uint8Array | undefined {
  try {
    return file.buildId;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function problemOf(error: unknown): Omit<BinaryProblem, "buildId"> {
  if (error instanceof StoreError) return { reason: error.reason, message: error.message };
  if (error instanceof FormatError) return { reason: "malformed", message: error.message };
  return { reason: "unreachable", message: error instanceof Error ? error.message : String(error) };
}
