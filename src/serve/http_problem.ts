// Owns HttpProblem: what is wrong with a request, and the answer that says so.
import { jsonText } from "../base/plain_text.ts";

/** A request that is answered with an error. Thrown inside this room, never out of a handler. */
export class HttpProblem extends Error {
  override readonly name = "HttpProblem";
  /** The HTTP status. */
  readonly status: number;
  /** What is wrong, in a word or two with hyphens, for programs. */
  readonly code: string;
  /** Headers of the answer besides the usual. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }

  /** The answer as text, for programs that expect files. */
  textResponse(): Response {
    const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", ...this.headers };
    return new Response(`${this.message}\n`, { status: this.status, headers });
  }

  /** The answer: JSON `{"error": code, "detail": text}`. */
  response(): Response {
    return new Response(`{"error":${jsonText(this.code)},"detail":${jsonText(this.message)}}\n`, {
      status: this.status,
      headers: { "content-type": "application/json", "cache-control": "no-store", ...this.headers },
    });
  }
}

/** Text of a client's for an error message: short, on one line. */
export function shown(text: string): string {
  return jsonText(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
