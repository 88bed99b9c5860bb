// Owns HTTP as the stores speak it: time limits, retries, and which redirections are followed.
import { MOST_TIMER_MS, orAborted } from "../base/abort.ts";
import type { ChunkReader } from "./chunks.ts";
import { messageOf, withoutSecrets } from "./error_text.ts";
import { bodyOf, HttpBody } from "./http_body.ts";
import { StoreError } from "./store.ts";

/** A function like the platform's `fetch`, as far as the stores call it. */
export type FetchLike = (url: string, init: RequestInit) => Promise<Response>;

/** How a store speaks HTTP. Times are in milliseconds. */
export interface HttpOptions {
  /** Instead of the platform's `fetch`. */
  fetch?: FetchLike | undefined;
  /** Sent with every request, but not to another host that a redirection leads to. */
  headers?: Record<string, string> | undefined;
  /** For the first answer, redirections included. By default 10,000. */
  timeoutMs?: number | undefined;
  /** The longest silence within a body. By default 10,000. */
  stallMs?: number | undefined;
  /** Least average speed of a body, looked at once `stallMs` were spent waiting for it. By default 1024. */
  minBytesPerSecond?: number | undefined;
  /**
   * Times to ask again where no connection came about, or the status was 429, 500, 502, 503 or 504. By default 2.
   */
  retries?: number | undefined;
  /**
   * Pause before the first retry, by default 200. Each further one is twice as long, and each is shortened by up to
   * half at random.
   */
  backoffMs?: number | undefined;
  /** Longest pause that a `Retry-After` can ask for; if it asks for more, there is no retry. By default 5000. */
  maxRetryAfterMs?: number | undefined;
  /** Most bytes of a body, as it is after unpacking. No limit by default. */
  maxBytes?: number | undefined;
  /**
   * Whether a redirection is followed. It leads to http or https in any case, and never from https to http. By
   * default only those within a host are, between its http and its https too.
   */
  allowRedirect?: ((from: URL, to: URL) => boolean) | undefined;
  /** Instead of a pause by `setTimeout`. */
  sleep?: ((ms: number) => Promise<void>) | undefined;
  /** Instead of `Math.random`, for the pauses' random part. */
  random?: (() => number) | undefined;
}

/** An answer, whose body has to be read to its end or cancelled. */
export interface HttpAnswer {
  /** Its URL, without what is secret in it. */
  readonly name: string;
  readonly status: number;
  readonly headers: Headers;
  readonly body: ChunkReader;
}

/** One request. */
export interface HttpRequest {
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** Most bytes of the body, if fewer than the client's. */
  maxBytes?: number;
}

const MOST_REDIRECTS = 3;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const RETRIED: readonly number[] = [429, 500, 502, 503, 504];

function pause(ms: number): { done: Promise<void>; stop: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const done = new Promise<void>((resolve) => timer = setTimeout(resolve, Math.min(ms, MOST_TIMER_MS)));
  return { done, stop: () => clearTimeout(timer) };
}

function sameHost(from: URL, to: URL): boolean {
  return from.host === to.host || (from.hostname === to.hostname && from.port === "" && to.port === "");
}

/** Asks servers, by the rules of {@linkcode HttpOptions}. */
export class HttpClient {
  readonly #options: HttpOptions;
  readonly #timeoutMs: number;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
  }

  /**
   * The answer, of whatever status, once there are no more retries.
   *
   * @throws {StoreError} `unreachable`, `timeout`, or `refused` for a redirection that is not followed.
   */
  async get(url: string, request: HttpRequest = {}): Promise<HttpAnswer> {
    const { retries = 2, backoffMs = 200, maxRetryAfterMs = 5000, random = Math.random } = this.#options;
    for (let attempt = 0;; attempt++) {
      let wait = backoffMs * 2 ** attempt * (1 - random() / 2);
      try {
        const answer = await this.#follow(url, request);
        if (attempt >= retries || !RETRIED.includes(answer.status)) return answer;
        const asked = retryAfter(answer.headers);
        if (asked > maxRetryAfterMs) return answer;
        wait = Math.max(wait, asked);
        await answer.body.cancel();
      } catch (error) {
        if (attempt >= retries || !(error instanceof StoreError && error.reason === "unreachable")) throw error;
      }
      await this.#sleep(wait, request.signal);
    }
  }

  async #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { sleep } = this.#options;
    if (sleep !== undefined) return await orAborted(sleep(ms), signal);
    const { done, stop } = pause(ms);
    await orAborted(done, signal).finally(stop);
  }

  async #follow(url: string, request: HttpRequest): Promise<HttpAnswer> {
    const start = new URL(url);
    const own = { ...this.#options.headers, ...request.headers };
    const deadline = Date.now() + this.#timeoutMs;
    for (let from = start, hops = 0;; hops++) {
      const headers = sameHost(start, from) ? own : request.headers ?? {};
      const answer = await this.#once(from.href, headers, request, Math.max(1, deadline - Date.now()));
      const location = answer.headers.get("location");
      // A browser says of a redirection no more than that it is one: status 0.
      if (answer.status !== 0 && !(REDIRECTS.includes(answer.status) && location !== null)) return answer;
      await answer.body.cancel();
      const refuse = (why: string): never => {
        throw new StoreError("refused", `${withoutSecrets(from.href)}: a redirection ${why}`, {
          status: answer.status,
        });
      };
      if (location === null) refuse("that can't be seen here");
      if (hops === MOST_REDIRECTS) refuse(`after ${MOST_REDIRECTS} others`);
      const to = URL.parse(location!, from.href) ?? refuse("to no URL");
      if (to.protocol !== "https:" && to.protocol !== "http:") refuse(`to ${to.protocol}`);
      if (from.protocol === "https:" && to.protocol === "http:") refuse("from https to http");
      if (!(this.#options.allowRedirect ?? sameHost)(from, to)) refuse(`to another host, ${to.host}`);
      from = to;
    }
  }

  async #once(
    url: string,
    headers: Record<string, string>,
    { signal, maxBytes = Infinity }: HttpRequest,
    timeoutMs: number,
  ): Promise<HttpAnswer> {
    signal?.throwIfAborted();
    const { fetch: call = (to, init) => globalThis.fetch(to, init) } = this.#options;
    const name = withoutSecrets(url);
    const controller = new AbortController();
    const { done, stop } = pause(timeoutMs);
    const late = done.then(() => {
      throw new StoreError("timeout", `${name}: no answer within ${timeoutMs} ms`);
    });
    late.catch(() => {}); // told to whoever waits for the race, if anyone
    let asked: Promise<Response> | undefined;
    try {
      asked = call(url, { headers, redirect: "manual", signal: controller.signal });
      const response = await orAborted(Promise.race([asked, late]), signal);
      const limit = Math.min(maxBytes, this.#options.maxBytes ?? Infinity);
      const body = new HttpBody(name, response, controller, signal, { ...this.#options, maxBytes: limit });
      return { name, status: response.status, headers: response.headers, body };
    } catch (error) {
      // Should an answer come after all, nobody wants it.
      asked?.then((response) => bodyOf(response)?.cancel(), () => {});
      controller.abort(error);
      if (error instanceof StoreError || signal?.aborted) throw error;
      throw new StoreError("unreachable", `${name}: ${messageOf(error)}`, { cause: error });
    } finally {
      stop();
    }
  }
}

/** Milliseconds that a `Retry-After` asks for; 0 without one. */
function retryAfter(headers: Headers): number {
  const text = headers.get("retry-after")?.trim();
  if (text === undefined || text === "") return 0;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
}

/** Throws the StoreError for a status that is no answer; lets go of the body. */
export async function refuseStatus(answer: HttpAnswer): Promise<never> {
  await answer.body.cancel();
  throw new StoreError("status", `${answer.name}: status ${answer.status}`, { status: answer.status });
}
