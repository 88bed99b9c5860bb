// Owns the store over HTTP with ranges: object storage, or any web server.
import { anySignal } from "../base/abort.ts";
import type { ByteSource } from "../base/byte_source.ts";
import { ChunkCollector, type ChunkReader } from "./chunks.ts";
import { withoutSecrets } from "./error_text.ts";
import { contentLength } from "./http_body.ts";
import { type HttpAnswer, HttpClient, type HttpOptions, refuseStatus } from "./http_client.ts";
import { checkedId } from "./identifiers.ts";
import { type BinaryStore, type StoredFile, StoreError, type StoreItem } from "./store.ts";
import { MemoryFile, RangedFile, StreamedFile } from "./stored_file.ts";
import { verifiedFile } from "./verified_store.ts";

/** Options of {@linkcode httpStore}. */
export interface HttpStoreOptions extends HttpOptions {
  /** URL of a file; `undefined` where there can be none. `buildId` is lowercase hex of 1 to 32 bytes. */
  url: (buildId: string, item: StoreItem) => string | undefined;
  /** Statuses that mean that there is no such file. By default 404 and 410; some buckets say 403. */
  absentStatuses?: readonly number[];
}

/** The first request asks for this much of a GSYM file's end, */
const TAIL_BYTES = 32 << 10;
/** and of the start of any other. */
const HEAD_BYTES = 4096;

/** What tells whether a file is still the same. */
interface Validator {
  etag: string | null;
  lastModified: string | null;
}

interface ContentRange {
  from: number;
  /** The first byte after it. */
  end: number;
  size: number;
}

/** A piece of the file that the first answer brought. */
interface Held {
  offset: number;
  bytes: Uint8Array;
}

function contentRange({ headers }: HttpAnswer): ContentRange | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(headers.get("content-range") ?? "");
  return match === null ? undefined : { from: Number(match[1]), end: Number(match[2]) + 1, size: Number(match[3]) };
}

function validatorOf({ headers }: HttpAnswer): Validator {
  return { etag: headers.get("etag"), lastModified: headers.get("last-modified") };
}

/** Headers that keep a server from mixing two versions of a file. A weak ETag is not allowed there. */
function ifRange({ etag, lastModified }: Validator): Record<string, string> {
  const text = etag !== null ? (etag.startsWith("W/") ? undefined : etag) : lastModified ?? undefined;
  return text === undefined ? {} : { "if-range": text };
}

async function refuse(answer: HttpAnswer, why: string): Promise<never> {
  await answer.body.cancel();
  throw new StoreError("refused", `${answer.name}: ${why}`, { status: answer.status });
}

/** A file that one server gives by ranges. */
class HttpSource implements ByteSource {
  readonly size: number;
  readonly #client: HttpClient;
  readonly #url: string;
  readonly #validator: Validator;
  readonly #held: Held;
  readonly #signal: AbortSignal | undefined;

  constructor(
    client: HttpClient,
    url: string,
    size: number,
    validator: Validator,
    held: Held,
    signal: AbortSignal | undefined,
  ) {
    this.size = size;
    this.#client = client;
    this.#url = url;
    this.#validator = validator;
    this.#held = held;
    this.#signal = signal;
  }

  async read(
    offset: number,
    length: number,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<Uint8Array> {
    const { size } = this;
    if (!(offset >= 0 && length >= 0 && length <= size - offset)) {
      throw new RangeError(`bytes ${offset} to ${offset + length} of ${size}`);
    }
    const joined = anySignal(this.#signal, signal);
    joined?.throwIfAborted();
    const collector = new ChunkCollector(length);
    const chunks = this.chunks(offset, length, joined);
    for (let chunk = await chunks.read(); chunk !== undefined; chunk = await chunks.read()) collector.append(chunk);
    return collector.whole();
  }

  /** A range in chunks; what is held of it at its start or end is not asked for. The caller has checked it. */
  chunks(offset: number, length: number, signal: AbortSignal | undefined): ChunkReader {
    const { offset: heldFrom, bytes } = this.#held;
    const end = offset + length;
    const heldEnd = heldFrom + bytes.length;
    let from = offset, to = end;
    let first: Uint8Array | undefined, last: Uint8Array | undefined;
    if (offset >= heldFrom && offset < heldEnd) {
      from = Math.min(end, heldEnd);
      first = bytes.slice(offset - heldFrom, from - heldFrom);
    } else if (end > heldFrom && end <= heldEnd) {
      to = heldFrom > offset ? heldFrom : offset;
      last = bytes.slice(to - heldFrom, end - heldFrom);
    }
    let body: ChunkReader | undefined;
    return {
      read: async (): Promise<Uint8Array | undefined> => {
        if (first !== undefined) {
          const chunk = first;
          first = undefined;
          return chunk;
        }
        if (from < to) {
          body ??= await this.#request(from, to, signal);
          const chunk = await body.read();
          if (chunk !== undefined) return chunk;
          from = to;
        }
        const chunk = last;
        last = undefined;
        return chunk;
      },
      cancel: async (): Promise<void> => {
        first = last = undefined;
        from = to;
        await body?.cancel();
      },
    };
  }

  /** The body of exactly this range. */
  async #request(from: number, end: number, signal: AbortSignal | undefined): Promise<ChunkReader> {
    const headers = {
      range: `bytes=${from}-${end - 1}`,
      "accept-encoding": "identity",
      ...ifRange(this.#validator),
    };
    const answer = await this.#client.get(this.#url, { headers, signal, maxBytes: end - from });
    const { status } = answer;
    if (status === 200 || status === 412 || status === 416) {
      return await refuse(answer, "the file has changed since its first bytes were read");
    }
    if (status !== 206) return await refuseStatus(answer);
    const { etag, lastModified } = validatorOf(answer);
    const range = contentRange(answer);
    if (range === undefined || range.from !== from || range.end !== end) {
      return await refuse(answer, `asked for ${headers.range}, got ${answer.headers.get("content-range")}`);
    }
    if (
      range.size !== this.size || etag !== this.#validator.etag || lastModified !== this.#validator.lastModified
    ) {
      return await refuse(answer, "the file has changed since its first bytes were read");
    }
    return exactly(answer, end - from);
  }
}

/** The body of an answer that has to have this many bytes; more are refused by the client. */
function exactly({ name, body, headers }: HttpAnswer, length: number): ChunkReader {
  let left = length;
  return {
    async read(): Promise<Uint8Array | undefined> {
      const encoding = headers.get("content-encoding");
      if (encoding !== null && encoding !== "identity") {
        await body.cancel();
        throw new StoreError("refused", `${name}: a range of the file as ${encoding}`);
      }
      const chunk = await body.read();
      if (chunk !== undefined) left -= chunk.length;
      else if (left > 0) throw new StoreError("cut-short", `${name}: ${length - left} of ${length} bytes came`);
      return chunk;
    },
    cancel: () => body.cancel(),
  };
}

/**
 * Files of an HTTP server by ranges: from object storage, or any web server.
 *
 * The first request asks for the last 32 KiB of a GSYM file, where ours keep what leads to the rest, or the first 4
 * KiB of any other. The answer tells the size, and its bytes serve later reads. Those send the first answer's
 * `ETag`, or else `Last-Modified`, as `If-Range`: of a file that has changed meanwhile nothing is given
 * (`refused`).
 *
 * A server without ranges sends the whole: `source` is `undefined`, and `bytes`, `head` and `stream` take from the
 * answer that is under way. Build IDs are checked as by {@linkcode verifiedStore}.
 *
 * @throws {StoreError} From `find` and from reading; see {@linkcode StoreErrorReason}.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { httpStore } from "@bpf/stackmap";
 *
 * const asked: string[] = [];
 * const store = httpStore({
 *   url: (buildId, item) => item === "gsym" ? `https://bucket.example/gsym/${buildId}` : undefined,
 *   fetch: (url) => {
 *     asked.push(url);
 *     return Promise.resolve(new Response(null, { status: 404 }));
 *   },
 * });
 * assertEquals(await store.find(Uint8Array.of(0xab, 0xcd), "gsym"), undefined);
 * assertEquals(asked, ["https://bucket.example/gsym/abcd"]);
 * ```
 */
export function httpStore(options: HttpStoreOptions): BinaryStore {
  const { absentStatuses = [404, 410], maxBytes } = options;
  const client = new HttpClient(options);

  /** The file that the answer to the first request begins; "again" if the server can't do a range like that. */
  async function begin(
    url: string,
    range: string | undefined,
    tail: boolean,
    signal: AbortSignal | undefined,
  ): Promise<StoredFile | undefined | "again"> {
    const headers: Record<string, string> = range === undefined ? {} : { range, "accept-encoding": "identity" };
    const answer = await client.get(url, { headers, signal });
    const { status, body } = answer;
    const name = withoutSecrets(url);
    if (absentStatuses.includes(status)) return void await body.cancel();
    if (status === 200) return new StreamedFile(name, contentLength(answer.headers), body);
    if (status === 416 && range !== undefined) {
      await body.cancel();
      const empty = /^bytes \*\/0$/.test(answer.headers.get("content-range") ?? "");
      return empty ? new MemoryFile(name, new Uint8Array(0), { signal }) : "again";
    }
    if (status !== 206) return await refuseStatus(answer);
    const got = contentRange(answer);
    const wanted = tail ? TAIL_BYTES : HEAD_BYTES;
    const from = got === undefined || !tail ? 0 : Math.max(0, got.size - wanted);
    if (
      range === undefined || got === undefined || got.from !== from || got.end !== Math.min(got.size, from + wanted)
    ) {
      return await refuse(answer, `asked for ${range}, got ${answer.headers.get("content-range")}`);
    }
    const chunks = exactly(answer, got.end - got.from);
    const collector = new ChunkCollector(got.end - got.from);
    for (let chunk = await chunks.read(); chunk !== undefined; chunk = await chunks.read()) {
      collector.append(chunk);
      if (collector.length > wanted) return await refuse(answer, `more bytes than ${range}`);
    }
    const held = { offset: got.from, bytes: collector.whole() };
    const source = new HttpSource(client, url, got.size, validatorOf(answer), held, signal);
    return new RangedFile(name, source, {
      signal,
      maxBytes,
      open: (readSignal) => source.chunks(0, source.size, readSignal),
    });
  }

  return {
    async find(buildId, item, { signal } = {}): Promise<StoredFile | undefined> {
      const hex = checkedId(buildId, item);
      const url = hex === undefined ? undefined : options.url(hex, item);
      if (url === undefined) return undefined;
      signal?.throwIfAborted();
      const tail = item === "gsym";
      let file = await begin(url, tail ? `bytes=-${TAIL_BYTES}` : `bytes=0-${HEAD_BYTES - 1}`, tail, signal);
      if (file === "again") file = await begin(url, undefined, false, signal);
      if (file === "again" || file === undefined) return undefined;
      return await verifiedFile(file, buildId, item);
    },
  };
}
