// Owns who may ask: bearer tokens compared in constant time, and pages of which origins (CORS).
import { HttpProblem } from "./http_problem.ts";

/** Options that both handlers have. */
export interface AccessOptions {
  /**
   * Origins whose pages may read the answers, such as `https://profiles.example`; `"*"` for all. None by default:
   * no CORS headers are sent.
   */
  cors?: "*" | readonly string[];
  /** Who knows one of these may ask (`Authorization: Bearer TOKEN`): visible ASCII. Without it everybody may. */
  token?: string | readonly string[] | undefined;
}

const encoder = new TextEncoder();

/** What can stand in the header behind `Bearer`. */
const TOKEN = /^[\x21-\x7e]+$/;
/** What browsers send as `Origin`: no path, not even a slash, and nothing in capitals. */
const ORIGIN = /^(?:null|[a-z][a-z\d+.-]*:\/\/[^\s/?#A-Z]+)$/;

/** Checks tokens and origins. */
export class Access {
  readonly #tokens: readonly string[] | undefined;
  /** Hashes of the tokens; made by the first request, since Workers hash in requests only. */
  #hashes: Uint8Array[] | undefined;
  readonly #cors: "*" | readonly string[] | undefined;

  /** @throws {RangeError} For tokens and origins that no request can have: they can't be meant. */
  constructor({ token, cors }: AccessOptions) {
    if (
      cors !== undefined && cors !== "*" && !(Array.isArray(cors) && cors.every((origin) => ORIGIN.test(origin)))
    ) {
      throw new RangeError(
        `cors must be "*" or a list of origins like "https://a.example", not ${JSON.stringify(cors)}`,
      );
    }
    this.#cors = cors;
    if (token === undefined) return;
    this.#tokens = typeof token === "string" ? [token] : [...token];
    if (this.#tokens.length === 0 || !this.#tokens.every((one) => TOKEN.test(one))) {
      throw new RangeError("token must not be empty, and of visible ASCII characters alone");
    }
  }

  /**
   * Lets a request pass that has a token.
   *
   * @throws {HttpProblem} 401.
   */
  async check(request: Request): Promise<void> {
    if (this.#tokens === undefined) return;
    const header = request.headers.get("authorization") ?? "";
    const given = /^bearer +(\S+) *$/i.exec(header)?.[1];
    // Hashes are compared, all bytes of all of them: time tells nothing about a token, nor about its length.
    const hash = await sha256(given ?? "");
    this.#hashes ??= await Promise.all(this.#tokens.map(sha256));
    let found = 0;
    for (const token of this.#hashes) {
      let different = 0;
      for (let i = 0; i < hash.length; i++) different |= hash[i] ^ token[i];
      found |= different === 0 ? 1 : 0;
    }
    if (found === 1) return;
    throw new HttpProblem(401, "unauthorized", "a valid bearer token is needed", {
      "www-authenticate": given === undefined ? "Bearer" : 'Bearer error="invalid_token"',
    });
  }

  /** The answer to a browser that asks whether it may ask; `undefined` if it doesn't, or CORS is off. */
  preflight(request: Request, methods: string): Response | undefined {
    if (this.#cors === undefined || request.method !== "OPTIONS") return undefined;
    const { headers } = request;
    if (!headers.has("origin") || !headers.has("access-control-request-method")) return undefined;
    return new Response(null, {
      status: 204,
      headers: {
        "access-control-allow-methods": methods,
        "access-control-allow-headers": "authorization, content-type, content-encoding, range",
        "access-control-max-age": "86400",
      },
    });
  }

  /** Adds the headers that let a page read the answer. */
  open(request: Request, response: Response): Response {
    if (this.#cors === undefined) return response;
    const origin = request.headers.get("origin");
    const { headers } = response;
    if (this.#cors === "*") {
      headers.set("access-control-allow-origin", "*");
    } else {
      headers.append("vary", "origin");
      if (origin !== null && this.#cors.includes(origin)) headers.set("access-control-allow-origin", origin);
    }
    headers.set(
      "access-control-expose-headers",
      "x-stackmap-problems, x-debuginfod-size, x-debuginfod-file, content-range, accept-ranges, retry-after",
    );
    return response;
  }
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
}

/** A prefix of paths as it is compared: `""`, or `/…` without a slash at the end. */
export function pathPrefix(prefix: string = ""): string {
  if (prefix !== "" && !/^\/[^?#]*[^/?#]$/.test(prefix)) {
    throw new RangeError(`prefix must begin with a slash and not end with one, not ${JSON.stringify(prefix)}`);
  }
  return prefix;
}

/** The path of a request below the prefix, beginning with a slash; `undefined` if it is not below it. */
export function pathBelow(prefix: string, url: URL): string | undefined {
  const { pathname } = url;
  if (!pathname.startsWith(prefix)) return undefined;
  const rest = pathname.slice(prefix.length);
  return rest.startsWith("/") ? rest : undefined;
}

/** @throws {HttpProblem} 405 unless the request's method is one of `methods`. */
export function requireMethod(request: Request, methods: readonly string[]): void {
  if (methods.includes(request.method)) return;
  const allow = methods.join(", ");
  throw new HttpProblem(405, "method-not-allowed", `only ${allow}`, { allow });
}
