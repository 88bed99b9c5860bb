// Owns buildIdHandler: a debuginfod over any store; and ranges of files.
import { fromHex } from "../base/bytes.ts";
import type { ByteSource } from "../base/byte_source.ts";
import { checkLimits } from "../base/limits.ts";
import { isBuildId, parseStoreItem } from "../store/identifiers.ts";
import { type BinaryStore, type StoredFile, StoreError, type StoreItem } from "../store/store.ts";
import { Access, type AccessOptions, pathBelow, pathPrefix, requireMethod } from "./access.ts";
import { baseName } from "./answer.ts";
import { Deadline } from "./deadline.ts";
import { HttpProblem } from "./http_problem.ts";

/** Options of {@linkcode buildIdHandler}. */
export interface BuildIdHandlerOptions extends AccessOptions {
  /** Where files come from. */
  store: BinaryStore;
  /** What stands before the paths; nothing by default. */
  prefix?: string;
  /** Milliseconds until the store has to have said whether it has the file; 25,000 by default. */
  maxMilliseconds?: number;
  /** Told of what the store could not do, and of errors that nobody expected. */
  onError?: (error: unknown, request: Request) => void;
}

/** Bytes of a range that are read at a time. */
const PIECE = 1 << 18;

/** Answers of a file's head. */
interface Found {
  file: StoredFile;
  headers: Record<string, string>;
}

/**
 * A handler that serves the files of a store as a debuginfod server does, read-only:
 * `GET` or `HEAD /buildid/HEX/executable`, `/debuginfo`, `/section/NAME`, and beyond what debuginfod has, `/gsym`.
 *
 * Answers have the size as `X-DEBUGINFOD-SIZE` and the file's name, without its directory, as `X-DEBUGINFOD-FILE`.
 * One range may be asked for (206, 416) where the store reads by ranges. Ids and names are validated before
 * anything reaches the store. Statuses: 400 for what is no build ID, 404 for what the store has not (`/source/…`
 * among it), 502 where it could not tell, 504 where that took too long; the body of these is a line of text.
 *
 * @throws {RangeError} If an option is none that can be.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { buildIdHandler, memoryStore } from "@bpf/stackmap";
 *
 * const handler = buildIdHandler({ store: memoryStore([]) });
 * // Deno.serve(handler), and DEBUGINFOD_URLS=http://localhost:8000 for gdb, perf and others
 * const response = await handler(new Request("http://localhost/buildid/abcd/debuginfo"));
 * assertEquals(response.status, 404);
 * ```
 */
export function buildIdHandler(options: BuildIdHandlerOptions): (request: Request) => Promise<Response> {
  const { store, maxMilliseconds = 25_000, onError = () => {} } = options;
  checkLimits({ maxMilliseconds });
  const access = new Access(options);
  const prefix = pathPrefix(options.prefix);

  const answer = async (request: Request): Promise<Response> => {
    await access.check(request);
    requireMethod(request, ["GET", "HEAD"]);
    const { id, item } = parsePath(pathBelow(prefix, new URL(request.url)));
    const deadline = new Deadline(request, maxMilliseconds);
    try {
      const file = await store.find(id, item, { signal: deadline.signal });
      if (file === undefined) throw new HttpProblem(404, "not-found", "not found");
      return await respond(request, { file, headers: headersOf(file) });
    } catch (error) {
      if (error instanceof HttpProblem) throw error;
      if (deadline.signal.aborted && !deadline.timedOut) {
        throw new HttpProblem(499, "cancelled", "the client is gone");
      }
      onError(error, request);
      const late = deadline.timedOut || (error instanceof StoreError && error.reason === "timeout");
      if (late) throw new HttpProblem(504, "timeout", "the store did not answer in time");
      if (!(error instanceof StoreError)) throw new HttpProblem(500, "internal", "something went wrong");
      throw new HttpProblem(502, "store", `the store could not answer: ${error.reason}`);
    } finally {
      deadline.end();
    }
  };

  return async (request) => {
    const preflight = access.preflight(request, "GET, HEAD");
    if (preflight !== undefined) return access.open(request, preflight);
    let response: Response;
    try {
      response = await answer(request);
    } catch (error) {
      if (!(error instanceof HttpProblem)) onError(error, request);
      const problem = error instanceof HttpProblem
        ? error
        : new HttpProblem(500, "internal", "something went wrong");
      response = problem.textResponse();
      if (request.method === "HEAD") response = new Response(null, response);
    }
    return access.open(request, response);
  };
}

function parsePath(path: string | undefined): { id: Uint8Array; item: StoreItem } {
  const parts = (path ?? "").split("/");
  const none = () =>
    new HttpProblem(404, "not-found", "there are /buildid/ID/executable, debuginfo, gsym, section/NAME");
  if (parts[0] !== "" || parts[1] !== "buildid" || parts.length < 4 || parts.length > 5) throw none();
  const hex = parts[2];
  if (!isBuildId(hex)) throw new HttpProblem(400, "malformed", "that is no build ID: 2 to 64 hex digits");
  let name = parts[3];
  if (parts.length === 5) {
    try {
      name += `/${decodeURIComponent(parts[4])}`;
    } catch {
      throw new HttpProblem(400, "malformed", "that is no percent-encoded name");
    }
  }
  const item = parseStoreItem(name);
  if (item === undefined) throw none();
  return { id: fromHex(hex)!, item };
}

function headersOf({ name, size, source }: StoredFile): Record<string, string> {
  const headers: Record<string, string> = { "content-type": "application/octet-stream" };
  if (size !== undefined) headers["x-debuginfod-size"] = `${size}`;
  const base = baseName(name)?.replace(/[^\x20-\x7e]/g, "?").slice(0, 255).trim();
  if (base) headers["x-debuginfod-file"] = base;
  if (source !== undefined) headers["accept-ranges"] = "bytes";
  return headers;
}

async function respond(request: Request, { file, headers }: Found): Promise<Response> {
  const { source, size } = file;
  // Answers have no validator, so that none of an `If-Range` is still the file's.
  const asked = request.headers.has("if-range") ? null : request.headers.get("range");
  const range = source === undefined ? undefined : parseRange(asked, source.size);
  if (request.method === "HEAD") {
    await file.cancel();
    // Ranges are for GET.
    return new Response(null, {
      headers: { ...headers, ...(size === undefined ? {} : { "content-length": `${size}` }) },
    });
  }
  if (range === "unsatisfiable") {
    await file.cancel();
    throw new HttpProblem(416, "range", `the file has ${source!.size} bytes`, {
      "content-range": `bytes */${source!.size}`,
    });
  }
  if (range === undefined) {
    const length = size === undefined ? {} : { "content-length": `${size}` };
    return new Response(file.stream() as ReadableStream<Uint8Array<ArrayBuffer>>, {
      headers: { ...headers, ...length },
    });
  }
  const { start, end } = range;
  return new Response(rangeBody(file, source!, start, end, request.signal), {
    status: 206,
    headers: {
      ...headers,
      "content-length": `${end - start}`,
      "content-range": `bytes ${start}-${end - 1}/${source!.size}`,
    },
  });
}

/** A range of bytes, `end` not in it; `undefined` for what is to be answered with the whole file. */
function parseRange(
  header: string | null,
  size: number,
): { start: number; end: number } | "unsatisfiable" | undefined {
  // Several ranges, other units and what is malformed are passed over, as HTTP allows.
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec((header ?? "").replaceAll(" ", ""));
  if (match === null || (match[1] === "" && match[2] === "")) return undefined;
  if (match[1] === "") {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size };
  }
  const start = Number(match[1]);
  const last = match[2] === "" ? Infinity : Number(match[2]);
  if (last < start) return undefined;
  return start >= size ? "unsatisfiable" : { start, end: Math.min(last + 1, size) };
}

function rangeBody(
  file: StoredFile,
  source: ByteSource,
  start: number,
  end: number,
  client: AbortSignal | undefined,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const leave = new AbortController();
  const signal = client === undefined ? leave.signal : AbortSignal.any([client, leave.signal]);
  let at = start;
  return new ReadableStream({
    async pull(controller) {
      const length = Math.min(PIECE, end - at);
      controller.enqueue(await source.read(at, length, { signal }) as Uint8Array<ArrayBuffer>);
      at += length;
      if (at === end) {
        controller.close();
        await file.cancel();
      }
    },
    async cancel(reason) {
      leave.abort(reason);
      await file.cancel();
    },
  }, { highWaterMark: 0 });
}
