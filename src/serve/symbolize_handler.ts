// Owns symbolizeHandler: requests with stacks in, responses with functions, files and lines out.
import { toHex } from "../base/bytes.ts";
import { ENDS_WITH_REQUEST } from "../base/platform.ts";
import { checkLimits } from "../base/limits.ts";
import { buildIdAt } from "../dump/columns.ts";
import { encodePprofOfDistinct } from "../profile/pprof.ts";
import { processLabels } from "../profile/pprof_labels.ts";
import { type DistinctFrames, distinctFrames, rowsOf } from "../profile/pprof_frames.ts";
import { BinaryLoader, type BinaryProblem, knownProblems } from "../store/binary_loader.ts";
import { ByteGate } from "../store/byte_gate.ts";
import { messageOf } from "../store/error_text.ts";
import { type BinaryStore, StoreError } from "../store/store.ts";
import { RESOLVE_REASONS } from "../symbolize/resolution.ts";
import type { SymbolizedColumns } from "../symbolize/symbolized_columns.ts";
import { Symbolizer } from "../symbolize/symbolizer.ts";
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";
import { Access, type AccessOptions, pathBelow, pathPrefix, requireMethod } from "./access.ts";
import { type Answer, foldedPieces, jsonPieces, moduleName, textBody } from "./answer.ts";
import { announcedLength, isGzipEncoded, readBody } from "./body.ts";
import { Deadline } from "./deadline.ts";
import { type AnswerFormat, answerFormat } from "./formats.ts";
import { HttpProblem } from "./http_problem.ts";
import type { StackLimits } from "./json_stacks.ts";
import { Metrics } from "./metrics.ts";
import { bodyKind, dumpQuery, flag, readStacks, type RequestStacks } from "./request_stacks.ts";
import { UnreadAnswers } from "./unread_answers.ts";

/** How much one request may ask for; more is answered with 413, or as said here. */
export interface HandlerLimits {
  /** Bytes of a body, also unpacked; 4 MiB by default. */
  maxBodyBytes?: number;
  /**
   * Bytes of all bodies that are worked on; 4 times as many by default. Further requests wait; 429 if for too long.
   */
  maxBodiesBytes?: number;
  /** Stacks; 65,536 by default. */
  maxStacks?: number;
  /** Frames of all stacks; 262,144 by default, and 1,048,576 at most. With inlined calls, 4 times as many. */
  maxFrames?: number;
  /** Distinct build IDs; 1,024 by default. */
  maxBuildIds?: number;
  /**
   * Milliseconds from the request to the head of the answer; 25,000 by default. A body that is not there by then is
   * answered with 408. Build IDs that were not found by then are problems in an answer that has the rest.
   */
  maxMilliseconds?: number;
}

/** Options of {@linkcode symbolizeHandler}. */
export interface SymbolizeHandlerOptions extends AccessOptions {
  /** Where binaries come from. */
  store: BinaryStore;
  /**
   * What keeps them, shared by all requests. By default one that keeps 48 MiB and unpacks sections up to as much,
   * which leaves half of an edge function's memory.
   */
  symbolizer?: Symbolizer;
  /**
   * Most bytes of a file that is taken in whole; 24 MiB by default. GSYM files that are read by ranges may have any
   * size.
   */
  maxFileBytes?: number;
  /** Most build IDs that are looked for at a time; 6 by default. */
  concurrency?: number;
  /** Limits of a request. */
  limits?: HandlerLimits;
  /** What stands before the paths: with `/bpf`, stacks go to `/bpf/symbolize`. Nothing by default. */
  prefix?: string;
  /** Told of errors that nobody expected, which the client sees as 500 without any detail. */
  onError?: (error: unknown, request: Request) => void;
}

const SYMBOLIZER_BYTES = 48 << 20;
const FILE_BYTES = 24 << 20;
const BODY_BYTES = 4 << 20;
/** Labels of folded stacks have to fit a character each. */
const MOST_FRAMES = 1 << 20;
/** How many times as many functions as frames an answer may have. */
const MOST_INLINED = 4;
/** How many times the bytes of its body an answer holds while it is streamed: measured with 4 MiB of dump. */
const UNREAD_TO_BODY = 3;

const NO_STORE = { "cache-control": "no-store" };

/**
 * A handler for `Deno.serve`, `Bun.serve`, Workers' `fetch` and whatever else takes web requests: stacks as a raw
 * dump, JSON or a recording in, frames as JSON, folded stacks or pprof out. docs/handler.md has routes, shapes and
 * statuses.
 *
 * - `POST /symbolize`
 * - `GET /healthz`: 200 while it can answer; asks for no token.
 * - `GET /metrics`: in Prometheus' text format.
 *
 * Whatever a client sends is answered with a status below 500, and with a JSON object `{"error", "detail"}` where
 * it is not 200. A build ID that can't be had fails alone: its frames have a reason, and `problems` of the answer
 * tells the whole story. When the client leaves, work for it ends.
 *
 * @throws {RangeError} If an option is none that can be.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryStore, symbolizeHandler } from "@bpf/stackmap";
 *
 * const handler = symbolizeHandler({ store: memoryStore([]), token: "secret" });
 * // Deno.serve(handler);
 * const response = await handler(
 *   new Request("http://localhost/symbolize", {
 *     method: "POST",
 *     headers: { "content-type": "application/json", authorization: "Bearer secret" },
 *     body: '{"stacks": [{"frames": [{"buildId": "4c5f9a01", "offset": "0x1136"}, {"ip": "0x7f0000001000"}]}]}',
 *   }),
 * );
 * const { frames, stacks, problems } = await response.json();
 * assertEquals(stacks, [{ id: 0, frames: [0, 1] }]);
 * assertEquals(frames[1], { ip: "0x7f0000001000", reason: "no-build-id" });
 * assertEquals(problems[0].reason, "not-found");
 * ```
 */
export function symbolizeHandler(options: SymbolizeHandlerOptions): (request: Request) => Promise<Response> {
  const handler = new SymbolizeHandler(options);
  return (request) => handler.answer(request);
}

const ROUTES: Readonly<Record<string, readonly string[]>> = {
  "/symbolize": ["POST"],
  "/healthz": ["GET", "HEAD"],
  "/metrics": ["GET", "HEAD"],
};

class SymbolizeHandler {
  readonly #access: Access;
  readonly #prefix: string;
  readonly #limits: Required<HandlerLimits> & StackLimits;
  readonly #symbolizer: Symbolizer;
  readonly #loader: BinaryLoader;
  readonly #gate: ByteGate;
  readonly #unread: UnreadAnswers;
  readonly #metrics = new Metrics();
  readonly #onError: (error: unknown, request: Request) => void;

  constructor(options: SymbolizeHandlerOptions) {
    const { store, limits = {}, prefix, onError = () => {} } = options;
    const { maxFileBytes = FILE_BYTES, concurrency = 6 } = options;
    const { maxBodyBytes = BODY_BYTES } = limits;
    this.#limits = {
      maxBodyBytes,
      maxBodiesBytes: limits.maxBodiesBytes ?? 4 * maxBodyBytes,
      maxStacks: limits.maxStacks ?? 65_536,
      maxFrames: limits.maxFrames ?? 262_144,
      maxBuildIds: limits.maxBuildIds ?? 1024,
      maxMilliseconds: limits.maxMilliseconds ?? 25_000,
    };
    checkLimits({ ...this.#limits, maxFileBytes, concurrency });
    if (this.#limits.maxFrames > MOST_FRAMES) throw new RangeError(`maxFrames must be ${MOST_FRAMES} at most`);
    this.#access = new Access(options);
    this.#prefix = pathPrefix(prefix);
    this.#onError = onError;
    this.#symbolizer = options.symbolizer ??
      new Symbolizer({ maxBytes: SYMBOLIZER_BYTES, maxSectionBytes: SYMBOLIZER_BYTES });
    this.#loader = new BinaryLoader(this.#symbolizer, this.#metrics.counted(store), { maxFileBytes, concurrency });
    this.#gate = new ByteGate(this.#limits.maxBodiesBytes);
    this.#unread = new UnreadAnswers(UNREAD_TO_BODY * this.#limits.maxBodiesBytes);
  }

  async answer(request: Request): Promise<Response> {
    const start = performance.now();
    const url = new URL(request.url);
    const path = pathBelow(this.#prefix, url) ?? "";
    const route = Object.hasOwn(ROUTES, path) ? path : "other";
    let response: Response;
    try {
      response = this.#access.preflight(request, (ROUTES[route] ?? []).join(", ")) ??
        await this.#route(request, route, url);
    } catch (error) {
      response = this.#failure(error, request);
    }
    this.#metrics.request(route, response.status, performance.now() - start);
    return this.#access.open(request, response);
  }

  #failure(error: unknown, request: Request): Response {
    if (error instanceof HttpProblem) return error.response();
    this.#onError(error, request);
    return new HttpProblem(500, "internal", "something went wrong that is not the request's fault").response();
  }

  async #route(request: Request, route: string, url: URL): Promise<Response> {
    if (route !== "/healthz") await this.#access.check(request);
    if (route === "other") {
      throw new HttpProblem(
        404,
        "not-found",
        `there are ${Object.keys(ROUTES).map((p) => this.#prefix + p).join(", ")}`,
      );
    }
    requireMethod(request, ROUTES[route]);
    if (route === "/symbolize") return await this.#symbolize(request, url.searchParams);
    const text = route === "/healthz" ? "ok\n" : this.#metrics.text(this.#symbolizer.retainedBytes);
    const type = route === "/healthz" ? "text/plain; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
    return new Response(request.method === "HEAD" ? null : text, {
      headers: { "content-type": type, ...NO_STORE },
    });
  }

  async #symbolize(request: Request, query: URLSearchParams): Promise<Response> {
    // Whatever is wrong with the head of the request is said before its body is read.
    const format = answerFormat(request, query);
    const kind = bodyKind(request);
    if (kind === "dump") dumpQuery(query);
    const demangle = flag(query, "demangle", true);
    const packed = flag(query, "gzip", true);
    const gzip = isGzipEncoded(request);
    const { maxBodyBytes, maxMilliseconds } = this.#limits;
    const room = gzip || kind === "recording"
      ? maxBodyBytes
      : Math.min(announcedLength(request) ?? Infinity, maxBodyBytes);
    const deadline = new Deadline(request, maxMilliseconds);
    let readingBody = false;
    try {
      return await this.#enter(room, async () => {
        readingBody = true;
        const body = await readBody(request, maxBodyBytes, deadline.signal);
        this.#metrics.bytes("in", body.length);
        readingBody = false;
        const stacks = await readStacks(kind, body, query, this.#limits);
        const distinct = distinctFrames(stacks.columns, stacks.skipped);
        const found = await this.#lookUp(stacks, distinct, deadline);
        const answer = { stacks, distinct, ...found, binaries: this.#symbolizer.binaries, demangle };
        this.#metrics.frames(answer);
        return await this.#encode(format, answer, packed, UNREAD_TO_BODY * body.length);
      }, deadline.signal);
    } catch (error) {
      if (!deadline.signal.aborted || error instanceof HttpProblem) throw error;
      if (!deadline.timedOut) throw new HttpProblem(499, "cancelled", "the client is gone");
      if (readingBody) throw new HttpProblem(408, "timeout", `the body took over ${maxMilliseconds} ms`);
      throw new HttpProblem(429, "busy", `no answer within ${maxMilliseconds} ms`, { "retry-after": "5" });
    } finally {
      deadline.end();
    }
  }

  // On Workers room is handed on by timers: too slowly for what lasts milliseconds.
  #enter<T>(room: number, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return ENDS_WITH_REQUEST ? work() : this.#gate.run(room, work, signal);
  }

  async #lookUp(
    { columns }: RequestStacks,
    distinct: DistinctFrames,
    deadline: Deadline,
  ): Promise<{ symbolized: SymbolizedColumns; problems: BinaryProblem[] }> {
    const ids: Uint8Array[] = [];
    for (let i = 0; i < columns.buildIds.length / BPF_BUILD_ID_SIZE; i++) ids.push(buildIdAt(columns, i));
    const rows = rowsOf(columns, distinct);
    let problems: BinaryProblem[] = [];
    let symbolized: SymbolizedColumns;
    // Other requests may have pushed out what this one brought, before it was looked at; or a file was replaced.
    for (let again = 0;; again++) {
      try {
        problems = await this.#loader.load(ids, { signal: deadline.signal });
        symbolized = await this.#symbolizer.symbolize(rows, { signal: deadline.signal });
      } catch (error) {
        if (!deadline.timedOut) throw error;
        symbolized = this.#symbolizer.lookupColumns(rows);
        problems = this.#unfinished(ids, symbolized);
        break;
      }
      if (again > 0 || !(this.#letGoOfChanged(symbolized) || symbolized.resolved.reason.includes(EVICTED))) break;
    }
    if (symbolized.length > MOST_INLINED * this.#limits.maxFrames) {
      throw new HttpProblem(413, "too-large", `more than ${MOST_INLINED * this.#limits.maxFrames} functions`);
    }
    return {
      symbolized,
      problems: [...problems, ...this.#failures(symbolized), ...this.#evicted(ids, symbolized)],
    };
  }

  // When the time is over: what is known to have failed, and all that is still under way.
  #unfinished(
    ids: readonly Uint8Array[],
    { resolved: { reason, binary } }: SymbolizedColumns,
  ): BinaryProblem[] {
    const notLoaded = new Set<number>();
    reason.forEach((code, i) => code === NOT_LOADED && notLoaded.add(binary[i]));
    const known = knownProblems(this.#loader, ids);
    return ids.flatMap((buildId) => {
      const hex = toHex(buildId);
      const problem = known.get(hex);
      if (problem !== undefined) return [problem];
      if (known.has(hex) && !notLoaded.has(this.#symbolizer.binary(buildId)?.index ?? -1)) return [];
      const message = `was not had within ${this.#limits.maxMilliseconds} ms`;
      return [{ buildId, reason: "timeout", message }];
    });
  }

  // GSYM files that are not any more what was opened: as they are now they can be opened anew.
  #letGoOfChanged({ failures }: SymbolizedColumns): boolean {
    let changed = false;
    for (const [index, error] of failures) {
      if (!(error instanceof StoreError) || !(error.reason === "refused" || GONE.includes(error.status ?? 0))) {
        continue;
      }
      changed = this.#symbolizer.evict(this.#symbolizer.binaries[index].buildId) || changed;
    }
    return changed;
  }

  // What had to be let go of before it was looked at, twice: the symbolizer can't keep all that one request needs.
  #evicted(ids: readonly Uint8Array[], { resolved: { reason } }: SymbolizedColumns): BinaryProblem[] {
    if (!reason.includes(EVICTED)) return [];
    return ids.filter((id) => this.#symbolizer.binary(id)?.evicted).map((buildId) => ({
      buildId,
      reason: "too-large",
      message: "what the request needs is more than the symbolizer keeps: ask for fewer build IDs at a time",
    }));
  }

  // What GSYM files read by ranges could not bring.
  #failures({ failures }: SymbolizedColumns): BinaryProblem[] {
    return [...failures].map(([index, error]) => ({
      buildId: this.#symbolizer.binaries[index].buildId,
      reason: error instanceof StoreError ? error.reason : "unreachable",
      message: messageOf(error),
    }));
  }

  #held(body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>, bytes: number): BodyInit {
    return body instanceof ReadableStream ? this.#unread.hold(body, bytes) : body;
  }

  /** @param bytes What the answer holds, about, while it is not read. */
  async #encode(format: AnswerFormat, answer: Answer, packed: boolean, bytes: number): Promise<Response> {
    const { stacks: { columns, counts, processOf }, distinct, symbolized, problems, binaries, demangle } = answer;
    const headers = { ...NO_STORE, "x-stackmap-problems": `${problems.length}` };
    const sent = (bytes: number) => this.#metrics.bytes("out", bytes);
    if (format === "json") {
      const body = this.#held(textBody(jsonPieces(answer), sent), bytes);
      return new Response(body, { headers: { ...headers, "content-type": "application/json" } });
    }
    if (format === "folded") {
      const body = this.#held(textBody(foldedPieces(answer), sent), bytes);
      return new Response(body, { headers: { ...headers, "content-type": "text/plain; charset=utf-8" } });
    }
    const profile = encodePprofOfDistinct(columns, distinct, symbolized, {
      ...(counts === undefined ? {} : { counts: counts.entries() }),
      ...(processOf === undefined ? {} : { labels: (s) => processLabels(processOf(s)) }),
      binaries: binaries.map((binary) => ({ buildId: binary.buildId, name: moduleName(binary) ?? "" })),
      demangle,
      comments: problems.map(({ message }) => message),
    });
    sent(profile.length);
    const body = packed ? await gzipped(profile) : profile as Uint8Array<ArrayBuffer>;
    return new Response(body, {
      headers: {
        ...headers,
        "content-type": "application/octet-stream",
        "content-disposition": `attachment; filename="profile.pb${packed ? ".gz" : ""}"`,
      },
    });
  }
}

const EVICTED = RESOLVE_REASONS.indexOf("evicted");
const NOT_LOADED = RESOLVE_REASONS.indexOf("not-loaded");
/** Statuses of a file that was there before. */
const GONE: readonly number[] = [404, 410];

async function gzipped(bytes: Uint8Array): Promise<ArrayBuffer> {
  const stream = new Response(bytes as Uint8Array<ArrayBuffer>).body!.pipeThrough(new CompressionStream("gzip"));
  return await new Response(stream).arrayBuffer();
}
