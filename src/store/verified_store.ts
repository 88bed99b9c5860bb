// Owns the check that an answer is what was asked for: the build ID inside against the one that was asked for.
import type { ByteSource } from "../base/byte_source.ts";
import { bytesEqual, toHex } from "../base/bytes.ts";
import { attempt, FormatError } from "../base/format_error.ts";
import { readBuildId, readBuildIdFrom } from "../elf/build_id.ts";
import { sectionNotes } from "../elf/notes.ts";
import { appendixSize, decodeAppendix, SIZEOF_FOOTER } from "../gsym/appendix.ts";
import { NT_GNU_BUILD_ID } from "../uapi/elf.ts";
import { gsymIsLittleEndian, gsymUuidPlace } from "./gsym_uuid.ts";
import { checkedId } from "./identifiers.ts";
import { type BinaryStore, type StoredFile, StoreError, type StoreItem } from "./store.ts";
import { canPeek, type PeekableFile, streamChunks, StreamedFile } from "./stored_file.ts";

/** What is read of a stream to find the ID: a page has it in nearly every file. */
const HEAD_BYTES = 4096;
/** Reads that a search through a byte source may take. */
const MOST_READS = 32;
/** Largest appendix that is read for the head in it; a suffix of this size comes with a file's first range. */
const MOST_APPENDIX = 32 << 10;
const NOTE_SECTION = "section/.note.gnu.build-id";

/** A piece of the file that has to be read before the search can go on. */
class Missing extends Error {
  readonly offset: number;
  readonly length: number;

  constructor(offset: number, length: number) {
    super("a piece of the file is missing");
    this.offset = offset;
    this.length = length;
  }
}

/** The ID of an ELF file that is read by ranges; `undefined` if it has none. */
async function elfIdOf(source: ByteSource): Promise<Uint8Array | undefined> {
  const pieces = new Map<number, Uint8Array>();
  const readAt = (offset: number, length: number): Uint8Array => {
    const there = Math.max(0, Math.min(length, source.size - offset));
    if (there === 0) return new Uint8Array(0);
    const piece = pieces.get(offset);
    if (piece === undefined || piece.length < there) throw new Missing(offset, there);
    return piece;
  };
  // The search is synchronous: it is begun again with each piece that it lacked.
  for (let reads = 0;; reads++) {
    try {
      return readBuildIdFrom(readAt);
    } catch (error) {
      if (!(error instanceof Missing) || reads === MOST_READS) throw error;
      pieces.set(error.offset, await source.read(error.offset, error.length));
    }
  }
}

/** The UUID of a GSYM file that is read by ranges; `undefined` if it has none. */
async function gsymIdOf(source: ByteSource): Promise<Uint8Array | undefined> {
  // What was just fetched of a file that ends with an appendix is its end, and in that is a copy of its head.
  const end = await source.read(Math.max(0, source.size - SIZEOF_FOOTER), Math.min(SIZEOF_FOOTER, source.size));
  let head: Uint8Array | undefined;
  for (const littleEndian of [true, false]) {
    const size = appendixSize(end, littleEndian);
    if (size === 0 || size > Math.min(source.size, MOST_APPENDIX)) continue;
    const appendix = await source.read(source.size - size, size);
    try {
      head = decodeAppendix(appendix, littleEndian, source.size - size).head;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
  head ??= await source.read(0, Math.min(HEAD_BYTES, source.size));
  const place = gsymUuidPlace(head);
  if (place === undefined || place.size === 0 || place.size > HEAD_BYTES) return undefined;
  const { offset, size } = place;
  if (!(size <= source.size - offset)) return undefined;
  return size <= head.length - offset ? head.slice(offset, offset + size) : await source.read(offset, size);
}

/** The UUID in `head`; `undefined` if it is not in there. */
function gsymIdIn(head: Uint8Array): Uint8Array | undefined {
  gsymIsLittleEndian(head);
  const place = gsymUuidPlace(head);
  if (place === undefined || place.size === 0 || !(place.size <= head.length - place.offset)) return undefined;
  return head.slice(place.offset, place.offset + place.size);
}

/** The ID in a note section's contents, of whichever byte order; what is malformed in the other is no matter. */
function noteIdIn(bytes: Uint8Array): Uint8Array | undefined {
  for (const littleEndian of [true, false]) {
    const id = attempt([], () => {
      for (const { n_type, name, desc } of sectionNotes(bytes, littleEndian)) {
        if (n_type === NT_GNU_BUILD_ID && name === "GNU") return desc.slice();
      }
    });
    if (id !== undefined) return id;
  }
  return undefined;
}

/** The ID in the start of a file, or in all of it; `undefined` if it is not there. @throws {FormatError} */
function idIn(bytes: Uint8Array, item: StoreItem): Uint8Array | undefined {
  if (item === "gsym") return gsymIdIn(bytes);
  return item === NOTE_SECTION ? noteIdIn(bytes) : readBuildId(bytes);
}

function wrong(name: string, buildId: Uint8Array, found: Uint8Array | undefined, cause?: FormatError): StoreError {
  const what = cause?.message ?? (found === undefined ? "it has no build ID" : `its build ID is ${toHex(found)}`);
  return new StoreError("wrong-build-id", `${name}: asked for ${toHex(buildId)}, but ${what}`, { cause });
}

/** What `look` finds, which must be the ID asked for; `undefined` if `missing` and it found none. */
function checkId(
  name: string,
  buildId: Uint8Array,
  look: () => Uint8Array | undefined,
  missing: boolean,
): boolean {
  let found: Uint8Array | undefined;
  try {
    found = look();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw wrong(name, buildId, undefined, error);
  }
  if (found === undefined && missing) return false;
  if (found === undefined || !bytesEqual(found, buildId)) throw wrong(name, buildId, found);
  return true;
}

/** A file whose ID is not in its first bytes: `bytes()` looks through all of it. */
class UncheckedFile implements PeekableFile {
  readonly name: string;
  readonly size: number | undefined;
  readonly source = undefined;
  readonly #file: PeekableFile;
  readonly #check: (bytes: Uint8Array) => void;

  constructor(file: PeekableFile, check: (bytes: Uint8Array) => void) {
    this.name = file.name;
    this.size = file.size;
    this.#file = file;
    this.#check = check;
  }

  peek(length: number): Promise<Uint8Array> {
    return this.#file.peek(length);
  }

  head(length: number): Promise<Uint8Array> {
    return this.#file.head(length);
  }

  async bytes(options?: { maxBytes?: number }): Promise<Uint8Array> {
    const bytes = await this.#file.bytes(options);
    this.#check(bytes);
    return bytes;
  }

  stream(): ReadableStream<Uint8Array> {
    return this.#file.stream();
  }

  cancel(): Promise<void> {
    return this.#file.cancel();
  }
}

/** `file`, once as much of it is checked as can be without reading all; see {@linkcode verifiedStore}. */
export async function verifiedFile(file: StoredFile, buildId: Uint8Array, item: StoreItem): Promise<StoredFile> {
  if (item.startsWith("section/") && item !== NOTE_SECTION) return file;
  const { name, source } = file;
  try {
    if (source !== undefined && item !== NOTE_SECTION) {
      let found: Uint8Array | undefined;
      let problem: FormatError | undefined;
      try {
        found = item === "gsym" ? await gsymIdOf(source) : await elfIdOf(source);
      } catch (error) {
        if (error instanceof FormatError) problem = error;
        else if (!(error instanceof Missing)) throw error;
      }
      if (problem !== undefined || found === undefined || !bytesEqual(found, buildId)) {
        throw wrong(name, buildId, found, problem);
      }
      return file;
    }
    const streamed = canPeek(file) ? file : new StreamedFile(name, file.size, streamChunks(file));
    const head = await streamed.peek(HEAD_BYTES);
    const whole = head.length < HEAD_BYTES;
    if (checkId(name, buildId, () => idIn(head, item), !whole)) return streamed;
    return new UncheckedFile(
      streamed,
      (bytes) => void checkId(name, buildId, () => idIn(bytes, item), false),
    );
  } catch (error) {
    await file.cancel();
    throw error;
  }
}

/**
 * A store whose answers are checked: programs and debug files by their build ID note, GSYM files by their UUID. All
 * stores of this package that ask others do so themselves; this is for further ones.
 *
 * - A file that can be read by ranges is checked before it is handed out, wherever its note is.
 * - One that comes as a stream is checked by its first 4096 bytes before it is handed out. If the ID is not there,
 *   as in a debug file whose notes stand far behind, `bytes()` checks the whole; what `head()` and `stream()` then
 *   give is unchecked.
 * - Sections carry no ID: all but `section/.note.gnu.build-id` are taken on trust.
 *
 * @throws {StoreError} From `find` and `bytes`: `wrong-build-id`.
 * @example
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { memoryStore, StoreError, verifiedStore } from "@bpf/stackmap";
 *
 * const buildId = Uint8Array.of(0xab, 0xcd);
 * const store = verifiedStore(memoryStore([{ buildId, item: "executable", bytes: new Uint8Array(64) }]));
 * await assertRejects(() => store.find(buildId, "executable"), StoreError, "is not the ELF magic");
 * ```
 */
export function verifiedStore(store: BinaryStore): BinaryStore {
  return {
    async find(buildId, item, options): Promise<StoredFile | undefined> {
      if (checkedId(buildId, item) === undefined) return undefined;
      const file = await store.find(buildId, item, options);
      return file && await verifiedFile(file, buildId, item);
    },
  };
}
