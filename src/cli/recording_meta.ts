// Owns meta.json of a recording: what it says, and that it says it.
import { FormatError } from "../base/format_error.ts";
import { KERNEL_RELEASES, type KernelRelease } from "../kernel/profile.ts";

/** What meta.json says. */
export interface RecordingMeta {
  name: string;
  kernel: KernelRelease;
  /** 1 to 8192. */
  nrCpus: number;
  /** Flags of every bpf_get_stackid call, 32 bits. */
  helperFlags: number;
  /** 1 to 2^32 − 1. */
  maxEntries: number;
  /** Depth of the map of addresses, in frames; 1 to 65536. */
  depthIp: number;
  /** Depth of the map of build IDs, in frames; likewise. */
  depthBuildId: number;
  /** Mapped path to the recording's copy of the file. */
  files: Record<string, string>;
}

const RANGES = {
  nrCpus: [1, 8192],
  helperFlags: [0, 0xffff_ffff],
  maxEntries: [1, 0xffff_ffff],
  depthIp: [1, 0x1_0000],
  depthBuildId: [1, 0x1_0000],
} as const;

/**
 * Parses meta.json. Offsets are those of the field's name in the text, 0 for a field that is not there.
 *
 * @throws {FormatError} If it is not JSON, or a field is missing or is nothing that a recording can have.
 */
export function parseMeta(text: string): RecordingMeta {
  let meta: Record<string, unknown>;
  try {
    meta = JSON.parse(text);
  } catch (error) {
    throw new FormatError(`is not JSON: ${(error as Error).message}`, { offset: 0, field: "meta.json" });
  }
  if (!isObject(meta)) throw new FormatError("is not an object", { offset: 0, field: "meta.json" });
  const refuse = (problem: string, field: string, value: unknown, key: string = field): FormatError => {
    const quoted = JSON.stringify(key);
    const at = Math.max(text.lastIndexOf(`${quoted}:`), text.lastIndexOf(`${quoted} :`), 0);
    return new FormatError(problem, { offset: at, field: `meta.json ${field}`, ...shown(value) });
  };
  for (const [key, [least, most]] of Object.entries(RANGES)) {
    const value = meta[key];
    if (!(Number.isInteger(value) && value as number >= least && value as number <= most)) {
      throw refuse(`is not a whole number from ${least} to ${most}`, key, value);
    }
  }
  const { name, kernel, files, pageSize = 4096 } = meta;
  if (typeof name !== "string") throw refuse("is not a string", "name", name);
  if (!KERNEL_RELEASES.includes(kernel as KernelRelease)) {
    throw refuse(`is not a modelled kernel: ${KERNEL_RELEASES.join(", ")}`, "kernel", kernel);
  }
  if (pageSize !== 4096) throw refuse("is not a modelled page size: 4096", "pageSize", pageSize);
  if (!isObject(files)) throw refuse("is not an object", "files", files);
  for (const [path, copy] of Object.entries(files)) {
    if (typeof copy !== "string") {
      throw refuse("is not a string", `files[${JSON.stringify(path.slice(0, 80))}]`, copy, path);
    }
  }
  return meta as unknown as RecordingMeta;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// A value of JSON for a message. What it nests is not walked: it may nest deeper than a call stack.
function shown(value: unknown): { value?: number | string } {
  if (value === undefined) return {};
  if (typeof value === "number") return { value };
  if (typeof value === "string") return { value: value.slice(0, 80) };
  return { value: Array.isArray(value) ? "[…]" : isObject(value) ? "{…}" : String(value) };
}
