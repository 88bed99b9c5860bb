// Owns BinaryFinder: the search of a BinaryLoader for one build ID, item after item, and adding what it finds.
import { orAborted } from "../base/abort.ts";
import { bytesEqual, toHex } from "../base/bytes.ts";
import { FormatError } from "../base/format_error.ts";
import { ElfFile } from "../elf/elf_file.ts";
import type { Phdr } from "../elf/headers.ts";
import { GsymReader } from "../gsym/gsym_reader.ts";
import { RangedGsym } from "../gsym/ranged_gsym.ts";
import type { AddResult } from "../symbolize/build_id_index.ts";
import { MAX_SEGMENTS, SegmentTable } from "../symbolize/segments.ts";
import type { SymbolizerAddResult } from "../symbolize/symbolization.ts";
import type { Symbolizer } from "../symbolize/symbolizer.ts";
import { PT_LOAD, PT_NOTE } from "../uapi/elf.ts";
import type { ByteGate } from "./byte_gate.ts";
import { messageOf } from "./error_text.ts";
import { type BinaryStore, type StoredFile, StoreError, type StoreErrorReason, type StoreItem } from "./store.ts";

/** Bytes that hold the ELF header and the program headers of nearly every executable; and of every one. */
const HEAD_BYTES = 4096;
const MOST_HEAD_BYTES = 1 << 18;
/** GSYM files of so many bytes are read whole: one request instead of five. */
const SMALL_GSYM = 1 << 17;

/** What went wrong on the way. */
export interface FindProblem {
  reason: "not-found" | "malformed" | StoreErrorReason;
  message: string;
}

/** What a search needs. */
export interface Surroundings {
  symbolizer: Symbolizer;
  store: BinaryStore;
  maxFileBytes: number;
  /** Bounds the bytes that all searches take in. */
  gate: ByteGate;
  /** Ends it. */
  signal: AbortSignal;
}

/** The start of an executable. */
interface Head {
  name: string;
  segments: Phdr[];
}

/** The search for one build ID. */
export class BinaryFinder {
  /** What went wrong, in order. */
  readonly problems: FindProblem[] = [];
  readonly #id: Uint8Array;
  readonly #from: Surroundings;

  constructor(id: Uint8Array, from: Surroundings) {
    this.#id = id;
    this.#from = from;
  }

  /** Adds what it finds; returns whether anything was. Rejects only when the signal is aborted. */
  async run(): Promise<boolean> {
    const gsym = await this.#attempt(() => this.#addGsym());
    if (gsym === "whole") return true;
    if (gsym === "rebuilt segments") {
      // Those of a debug file serve; the executable's are better.
      const head = await this.#attempt(() => this.#readHead());
      if (isHead(head)) await this.#attempt(() => this.#addSegments(head));
      return true;
    }
    // Both at once: one round trip less.
    const [debug, head] = await Promise.all([
      gsym === "without segments" ? undefined : this.#attempt(() => this.#addWhole("debuginfo")),
      this.#attempt(() => this.#readHead()),
    ]);
    if (gsym === "without segments" || debug === true) {
      const hasSegments = isHead(head) && await this.#attempt(() => this.#addSegments(head)) === true;
      if (debug === true || hasSegments) return true;
      // A debug file has segments of a kind; without any the GSYM file can't be used.
      if (await this.#attempt(() => this.#addWhole("debuginfo")) !== true && head === undefined) {
        const message = `no store has the executable ${toHex(this.#id)}, whose segments its GSYM file lacks`;
        this.problems.push({ reason: "not-found", message });
      }
      return true;
    }
    // All of it is asked for if its head came, or was no good: it may have symbols.
    if (!isHead(head) && head !== "malformed") return false;
    return await this.#attempt(() => this.#addWhole("executable")) === true;
  }

  /** What `work` gives, or why it failed. */
  async #attempt<T>(work: () => Promise<T>): Promise<T | FindProblem["reason"]> {
    try {
      this.#from.signal.throwIfAborted();
      return await work();
    } catch (error) {
      this.#from.signal.throwIfAborted();
      const problem = problemOf(error);
      this.problems.push(problem);
      return problem.reason;
    }
  }

  /** Runs `use` on a file that the store has; what it left unread is let go of, but the source can still be read. */
  async #with<T>(
    item: StoreItem,
    use: (file: StoredFile) => Promise<T>,
    id: Uint8Array = this.#id,
  ): Promise<T | undefined> {
    const { signal, store } = this.#from;
    // Not the signal itself: a GSYM file's source is kept for longer than this search, and must not end with it.
    const own = new AbortController();
    const stop = () => own.abort(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      const file = await store.find(id, item, { signal: own.signal });
      if (file === undefined) return undefined;
      try {
        signal.throwIfAborted();
        return await use(file);
      } finally {
        await letGo(file, signal);
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  async #addGsym(): Promise<"whole" | "rebuilt segments" | "without segments" | undefined> {
    return await this.#with("gsym", async (file) => {
      const gsym = file.source === undefined || file.source.size <= SMALL_GSYM
        ? await this.#bytes(file)
        : await RangedGsym.open(file.source, { signal: this.#from.signal });
      await this.#add(gsym, file.name);
      const { segments } = gsym instanceof RangedGsym ? gsym : new GsymReader(gsym);
      if (segments === undefined) return "without segments";
      return SegmentTable.fromPhdrs(segments).reconstructed ? "rebuilt segments" : "whole";
    });
  }

  async #addWhole(item: "debuginfo" | "executable"): Promise<boolean> {
    const added = await this.#with(item, async (file) => {
      const bytes = await this.#bytes(file);
      const { debugAltLink } = await this.#add(bytes, file.name);
      if (debugAltLink !== undefined) {
        await this.#attempt(() => this.#addAlternate(debugAltLink.buildId, bytes, file.name));
      }
      return true;
    });
    return added === true;
  }

  /** Adds a debug file again, with the file that it shares with others (dwz). */
  async #addAlternate(buildId: Uint8Array, bytes: Uint8Array, name: string): Promise<void> {
    const alternate = await this.#with("debuginfo", (file) => this.#bytes(file), buildId);
    if (alternate !== undefined) return void await this.#add(bytes, name, alternate);
    const message = `no store has ${toHex(buildId)}, which ${name} shares with others`;
    this.problems.push({ reason: "not-found", message });
  }

  async #bytes(file: StoredFile): Promise<Uint8Array> {
    const { maxFileBytes: maxBytes, gate, signal } = this.#from;
    const { size = maxBytes } = file;
    // A size that is too large is refused at once, not after waiting for room.
    return await gate.run(size > maxBytes ? 0 : size, () => file.bytes({ maxBytes }), signal);
  }

  async #add(file: Uint8Array | RangedGsym, name: string, alternate?: Uint8Array): Promise<SymbolizerAddResult> {
    const options = { name, buildId: this.#id, ...(alternate === undefined ? {} : { alternate }) };
    const result = await this.#from.symbolizer.add(file, options);
    this.#check(result, name);
    return result;
  }

  async #addSegments({ segments, name }: Head): Promise<true> {
    this.#check(await this.#from.symbolizer.addSegments(segments, { buildId: this.#id, name }), name);
    return true;
  }

  #check({ status, problems }: AddResult, name: string): void {
    if (status === "mismatch" || status === "conflict") {
      throw new StoreError("wrong-build-id", `${name} is another program than ${toHex(this.#id)}`);
    }
    for (const problem of problems) this.problems.push(problemOf(problem));
  }

  /** The PT_LOAD segments of the executable, from as few of its bytes as hold them and its build ID. */
  async #readHead(): Promise<Head | undefined> {
    let length = HEAD_BYTES;
    for (;;) {
      const asked = length;
      const read = await this.#with(
        "executable",
        async (file) => ({ name: file.name, head: await file.head(asked) }),
      );
      if (read === undefined) return undefined;
      const { name, head } = read;
      const file = new ElfFile(head);
      const { e_phoff, e_phnum, e_phentsize } = file.ehdr;
      const end = Number(e_phoff) + e_phnum * e_phentsize;
      const longer = head.length < asked ? 0 : end > asked ? end : notesEnd(file, asked);
      if (longer > asked && longer <= MOST_HEAD_BYTES) {
        length = longer;
        continue;
      }
      const own = idOf(file);
      if (own === undefined || !bytesEqual(own, this.#id)) {
        const has = own === undefined
          ? `no build ID in its first ${head.length} bytes`
          : `the build ID ${toHex(own)}`;
        throw new StoreError("wrong-build-id", `${name} has ${has}, not ${toHex(this.#id)}`);
      }
      return { segments: file.segments(PT_LOAD, MAX_SEGMENTS), name };
    }
  }
}

/** Cancels a file; that of a store of one's own may fail at it, or never end. */
async function letGo(file: StoredFile, signal: AbortSignal): Promise<void> {
  try {
    await orAborted(file.cancel(), signal);
  } catch { // nothing more can be done
  }
}

function isHead(head: Head | string | undefined): head is Head {
  return typeof head === "object";
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

/** End of the notes of a file whose first `length` bytes have no build ID but all program headers; 0 if it has one. */
function notesEnd(file: ElfFile, length: number): number {
  if (idOf(file) !== undefined) return 0;
  let end = 0;
  for (const { p_offset, p_filesz } of file.segments(PT_NOTE, MAX_SEGMENTS)) {
    if (p_offset + p_filesz > length) end = Math.max(end, Number(p_offset + p_filesz));
  }
  return end;
}

function problemOf(error: unknown): FindProblem {
  if (error instanceof StoreError) return { reason: error.reason, message: error.message };
  if (error instanceof FormatError) return { reason: "malformed", message: error.message };
  return { reason: "unreachable", message: messageOf(error) };
}
