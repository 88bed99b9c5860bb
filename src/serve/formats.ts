// Owns which form an answer has: by the query, else by the Accept header.
import { HttpProblem, shown } from "./http_problem.ts";

/** Forms of answers. */
export type AnswerFormat = "json" | "folded" | "pprof";

/** Types that are offered, in the order in which they are preferred. */
const TYPES: readonly (readonly [type: string, format: AnswerFormat])[] = [
  ["application/json", "json"],
  ["text/plain", "folded"],
  ["application/vnd.google.protobuf", "pprof"],
  ["application/x-protobuf", "pprof"],
  ["application/octet-stream", "pprof"],
];

/** Ranges of an Accept header that are looked at; browsers send fewer than 10. */
const MOST_RANGES = 32;

/** @throws {HttpProblem} 400 for an unknown `format`, 406 where nothing that is offered is accepted. */
export function answerFormat(request: Request, query: URLSearchParams): AnswerFormat {
  const asked = query.get("format");
  if (asked === "json" || asked === "folded" || asked === "pprof") return asked;
  if (asked !== null) {
    throw new HttpProblem(400, "malformed", `format=${shown(asked)} is none of json, folded, pprof`);
  }
  const accept = request.headers.get("accept");
  if (accept === null || accept.trim() === "") return "json";
  const ranges = accept.split(",", MOST_RANGES).map(mediaRange);
  let best: AnswerFormat | undefined;
  let bestQuality = 0;
  for (const [type, format] of TYPES) {
    // The most specific range counts.
    const major = `${type.split("/")[0]}/*`;
    const range = [type, major, "*/*"].map((name) => ranges.find((one) => one.type === name)).find((one) =>
      one !== undefined
    );
    if (range !== undefined && range.quality > bestQuality) {
      best = format;
      bestQuality = range.quality;
    }
  }
  if (best !== undefined) return best;
  const types = TYPES.map(([type]) => type).join(", ");
  throw new HttpProblem(406, "not-acceptable", `answers are ${types}`);
}

function mediaRange(text: string): { type: string; quality: number } {
  const [type, ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const q = parameters.find((parameter) => parameter.startsWith("q="));
  const quality = q === undefined ? 1 : Number(q.slice(2));
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 };
}
