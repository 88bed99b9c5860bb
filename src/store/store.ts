// Owns what a store is: build ID in, a file of that binary out, its size known before its bytes are read.
import type { ByteSource } from "../base/byte_source.ts";

/**
 * What can be asked for of one build ID, in debuginfod's words: the program itself, its separate debug file, its GSYM
 * file, or the contents of one section, such as `section/.note.gnu.build-id`.
 */
export type StoreItem = "executable" | "debuginfo" | "gsym" | `section/${string}`;

/** A file that a store has. Nobody has to read it; one that is not read to its end has to be cancelled. */
export interface StoredFile {
  /** Where it is from, for reports: a path, a URL. */
  readonly name: string;
  /** Its size in bytes, before any are read; `undefined` where the other side does not say. */
  readonly size: number | undefined;
  /** The file by ranges, where reading a few bytes does not mean reading all; else `undefined`. */
  readonly source: ByteSource | undefined;
  /**
   * Its first `length` bytes, fewer of a shorter file. The rest is not fetched, and what is under way is cancelled:
   * afterwards only `source` can be read.
   */
  head(length: number): Promise<Uint8Array>;
  /**
   * All bytes; once.
   *
   * @param options `maxBytes`: most bytes to take; no limit by default.
   * @throws {StoreError} `too-large`, before any byte is read where the size is known; `cut-short` where fewer came
   *   than were announced.
   */
  bytes(options?: { maxBytes?: number }): Promise<Uint8Array>;
  /** All bytes as they come; once. Cancelling the stream cancels what is under way. */
  stream(): ReadableStream<Uint8Array>;
  /** Lets go of what is under way. Can be called at any time, more than once; `source` can be read afterwards. */
  cancel(): Promise<void>;
}

/** Where binaries come from. */
export interface BinaryStore {
  /**
   * The file, or `undefined` if this store has none.
   *
   * @param buildId 1 byte or more, as in the file, not padded.
   * @param options `signal` ends the search, and reading what it found.
   * @throws {StoreError} If it can't be said whether there is one.
   */
  find(
    buildId: Uint8Array,
    item: StoreItem,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<StoredFile | undefined>;
}

/**
 * Why a store could not answer.
 *
 * - `unreachable`: no connection, or it broke before an answer.
 * - `timeout`: no answer in time, or too few bytes in time.
 * - `status`: the server answered with a status that is neither "here it is" nor "there is none".
 * - `too-large`: more bytes than are allowed; also what unpacks to more.
 * - `cut-short`: fewer bytes came than were announced.
 * - `wrong-build-id`: what came has another build ID, or none, or is no such file.
 * - `refused`: the answer is none that is followed: a redirection to elsewhere, a range that was not asked for.
 */
export type StoreErrorReason =
  | "unreachable"
  | "timeout"
  | "status"
  | "too-large"
  | "cut-short"
  | "wrong-build-id"
  | "refused";

/** A store could not answer; `reason` tells why, the message tells all of it, with the file's name or URL. */
export class StoreError extends Error {
  /** Always `"StoreError"`. */
  override readonly name = "StoreError";
  /** Why. */
  readonly reason: StoreErrorReason;
  /** The HTTP status, where one came. */
  readonly status: number | undefined;

  /** An error with a message that stands alone. */
  constructor(reason: StoreErrorReason, message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.status = options.status;
  }
}
