// Owns what a request's body is, by its content type and query, and the stacks in it.
import { FormatError } from "../base/format_error.ts";
import type { StackColumns } from "../dump/columns.ts";
import { decodeStacks } from "../dump/decode.ts";
import { readRecording } from "../recording/recording.ts";
import { BPF_BUILD_ID_SIZE, BPF_F_STACK_BUILD_ID } from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { HttpProblem, shown } from "./http_problem.ts";
import { overLimit, parseJsonStacks, type StackLimits } from "./json_stacks.ts";

/** Stacks of a request. */
export interface RequestStacks {
  columns: StackColumns;
  /** How often each stack id occurred; `undefined`: not known, each counts 1. */
  counts: ReadonlyMap<number, number> | undefined;
  /** Whether even the first frame of a stack is a return address. */
  skipped: boolean;
  /** The process of a stack, by the stack's position; a recording tells it. */
  processOf?: (stack: number) => { pid: number; comm?: string } | undefined;
}

/** Kinds of bodies. */
export type BodyKind = "dump" | "json" | "recording";

const KINDS: Readonly<Record<string, BodyKind>> = {
  "application/octet-stream": "dump",
  "application/json": "json",
  "application/gzip": "recording",
  "application/x-gzip": "recording",
  "application/x-tar": "recording",
};

/** Value size of a map with build IDs and the usual depth, 127. */
const USUAL_VALUE_SIZE = 127 * SIZEOF_BPF_STACK_BUILD_ID;
/** The depth that the kernel's highest perf_event_max_stack allows is below this. */
const MOST_VALUE_SIZE = 1 << 24;

/** The kind of a request's body. @throws {HttpProblem} 415 */
export function bodyKind(request: Request): BodyKind {
  const type = (request.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  if (Object.hasOwn(KINDS, type)) return KINDS[type];
  throw new HttpProblem(
    415,
    "unsupported-type",
    `content-type ${shown(type)} is none of ${Object.keys(KINDS).join(", ")}`,
    { "accept-post": Object.keys(KINDS).join(", ") },
  );
}

/** What the query says of a dump. */
interface DumpQuery {
  valueSize: number;
  mapFlags: number;
  littleEndian: boolean;
  skipped: boolean;
}

/** @throws {HttpProblem} 400 */
export function dumpQuery(query: URLSearchParams): DumpQuery {
  const number = (name: string, fallback: number, most: number): number => {
    const text = query.get(name);
    if (text === null) return fallback;
    const value = /^(?:\d{1,10}|0x[0-9a-f]{1,8})$/i.test(text) ? Number(text) : -1;
    if (value >= 0 && value <= most) return value;
    throw new HttpProblem(400, "malformed", `${name}=${shown(text)} is not a whole number up to ${most}`);
  };
  const mapFlags = number("flags", BPF_F_STACK_BUILD_ID, 0xffff_ffff);
  const frameSize = (mapFlags & BPF_F_STACK_BUILD_ID) === 0 ? 8 : SIZEOF_BPF_STACK_BUILD_ID;
  const valueSize = number(
    "valueSize",
    (USUAL_VALUE_SIZE / SIZEOF_BPF_STACK_BUILD_ID) * frameSize,
    MOST_VALUE_SIZE,
  );
  if (valueSize === 0 || valueSize % frameSize !== 0) {
    throw new HttpProblem(400, "malformed", `valueSize=${valueSize} is not a positive multiple of ${frameSize}`);
  }
  return {
    valueSize,
    mapFlags,
    littleEndian: flag(query, "littleEndian", true),
    skipped: flag(query, "skipped", false),
  };
}

/** A yes or no of the query: 1, true or nothing at all after the name; 0 or false. @throws {HttpProblem} 400 */
export function flag(query: URLSearchParams, name: string, fallback: boolean): boolean {
  const text = query.get(name);
  if (text === null) return fallback;
  if (text === "1" || text === "true" || text === "") return true;
  if (text === "0" || text === "false") return false;
  throw new HttpProblem(400, "malformed", `${name}=${shown(text)} is neither 0 nor 1`);
}

/**
 * The stacks of a body.
 *
 * @throws {HttpProblem} 400 where it is malformed, saying where; 413 over a limit.
 */
export async function readStacks(
  kind: BodyKind,
  body: Uint8Array,
  query: URLSearchParams,
  limits: StackLimits & { maxBodyBytes: number },
): Promise<RequestStacks> {
  let stacks: RequestStacks;
  try {
    if (kind === "json") {
      stacks = { ...parseJsonStacks(decodeText(body), limits), skipped: flag(query, "skipped", false) };
    } else if (kind === "dump") {
      stacks = readDump(body, dumpQuery(query), limits);
    } else {
      const { stacks: columns, counts, skipped, pids, processes } = await readRecording(body, {
        maxBytes: limits.maxBodyBytes,
        maxFrames: limits.maxFrames,
      });
      stacks = { columns, counts, skipped: skipped > 0 };
      if (pids.length > 0) stacks.processOf = (s) => ({ pid: pids[s], ...processes.get(pids[s]) });
    }
  } catch (error) {
    if (error instanceof FormatError) throw new HttpProblem(400, "malformed", error.message);
    if (kind === "recording" && error instanceof RangeError) {
      throw new HttpProblem(413, "too-large", `the recording ${error.message}`);
    }
    throw error;
  }
  const { columns } = stacks;
  if (columns.ids.length > limits.maxStacks) throw overLimit("stacks", limits.maxStacks);
  if (columns.status.length > limits.maxFrames) throw overLimit("frames", limits.maxFrames);
  if (columns.buildIds.length > limits.maxBuildIds * BPF_BUILD_ID_SIZE) {
    throw overLimit("build IDs", limits.maxBuildIds);
  }
  return stacks;
}

function readDump(body: Uint8Array, query: DumpQuery, { maxStacks }: StackLimits): RequestStacks {
  // The decoder makes room by the size of the dump, which is bounded; a stack costs more than its record.
  if (body.length / (4 + query.valueSize) > maxStacks) throw overLimit("stacks", maxStacks);
  return { columns: decodeStacks(body, query), counts: undefined, skipped: query.skipped };
}

function decodeText(body: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw new HttpProblem(400, "malformed", "the body is not UTF-8");
  }
}
