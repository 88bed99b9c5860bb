// Owns a recording as the archive that testdata holds: its files, and that the model replays it before it is kept.
import { readFileSync } from "node:fs";
import { buildIdParse, type KernelRelease, mappedFile } from "../../mod.ts";
import { readRecording, recordedCalls, replay } from "../../src/cli/recording.ts";
import type { RecordingMeta } from "../../src/cli/recording_meta.ts";
import { parseProcMaps } from "../../src/memory/proc_maps.ts";
import { gzip, writeTar } from "../../src/recording/tar_writer.ts";
import type { HelperParameters } from "./helper_recorder.ts";
import type { Observed } from "./observe.ts";

/** Of a file that is cut, so many bytes stay at least. */
const CUT_BYTES = 8192;
const PAGE = 4096;

/** Where a recording was made, and what its archive says besides what was observed. */
export interface Surroundings {
  name: string;
  kernel: KernelRelease;
  nrCpus: number;
}

/** A recording that is ready to be kept, or to be looked at. */
export interface Packed {
  archive: Uint8Array;
  /** What it holds, in a few words. */
  summary: string;
  /** How the model's replay differs; `undefined` for identical. */
  difference: string | undefined;
}

/**
 * The files of a recording, in the order of the archive.
 *
 * @param whole Whether the file of a path is kept whole; of others only the start is.
 */
export function recordingFiles(
  surroundings: Surroundings,
  parameters: HelperParameters,
  observed: Observed,
  whole: (path: string) => boolean,
): Map<string, Uint8Array> {
  const { name, kernel, nrCpus } = surroundings;
  const { helperFlags, maxEntries, depthIp, depthBuildId } = parameters;
  const copies = new Map<string, Uint8Array>();
  const named: Record<string, string> = {};
  for (const { path, deleted } of parseProcMaps(observed.maps)) {
    if (!path.startsWith("/") || deleted || Object.hasOwn(named, path)) continue;
    const bytes = new Uint8Array(readFileSync(path));
    named[path] = `files/${String(copies.size).padStart(4, "0")}`;
    copies.set(named[path], whole(path) ? bytes : start(bytes, kernel));
  }
  const numbers = { nrCpus, helperFlags, maxEntries, depthIp, depthBuildId };
  const meta: RecordingMeta & { pageSize: number } = { name, kernel, pageSize: PAGE, ...numbers, files: named };
  return new Map([
    ["meta.json", new TextEncoder().encode(JSON.stringify(meta, undefined, 1))],
    ["maps", new TextEncoder().encode(observed.maps)],
    ["events.bin", observed.events],
    ["ip.bin", observed.ip],
    ["bid.bin", observed.bid],
    ...copies,
  ]);
}

// As many bytes as the kernel's search for a build ID needs to come out as it does for the whole file.
function start(bytes: Uint8Array, kernel: KernelRelease): Uint8Array {
  const answer = (part: Uint8Array) => {
    const buildId = new Uint8Array(20);
    return `${buildIdParse(mappedFile(part), buildId, kernel)} ${buildId}`;
  };
  const wanted = answer(bytes);
  for (let size = CUT_BYTES; size < bytes.length; size += PAGE) {
    if (answer(bytes.subarray(0, size)) === wanted) return bytes.slice(0, size);
  }
  return bytes;
}

/** Packs a recording's files and replays it. */
export async function pack(files: ReadonlyMap<string, Uint8Array>): Promise<Packed> {
  const archive = await gzip(writeTar(files, 0));
  const recording = readRecording((name) => files.get(name));
  const { meta } = recording;
  const result = replay(recording);
  const stacks = new Set<string>();
  const answers = { ids: 0, errors: new Map<number, number>() };
  let frames = 0;
  for (const { ips, idBuildId } of recordedCalls(recording)) {
    frames += ips.length;
    stacks.add(ips.join());
    if (idBuildId >= 0) answers.ids++;
    else answers.errors.set(idBuildId, (answers.errors.get(idBuildId) ?? 0) + 1);
  }
  const errors = [...answers.errors].map(([errno, count]) => `${count} × ${errno}`);
  const summary = [
    `${result.calls} calls`,
    `${stacks.size} distinct stacks of ${(frames / Math.max(1, result.calls)).toFixed(1)} frames`,
    `${answers.ids} ids${errors.length === 0 ? "" : `, ${errors.join(", ")}`} for build IDs`,
    `frames in its map: ${statuses(recording.bid, meta.depthBuildId)}`,
    `${Object.keys(meta.files).length} files`,
    `${archive.length} bytes packed`,
  ].join("; ");
  const differs: string[] = [];
  const first = result.firstDifference;
  if (first !== undefined) {
    const { call, map, recorded, modelled } = first;
    differs.push(`call ${call}, map of ${map}: recorded ${recorded}, modelled ${modelled}`);
  }
  if (result.ipDump !== true) differs.push(`the map of addresses from byte ${result.ipDump} on`);
  if (result.buildIdDump !== true) differs.push(`the map of build IDs from byte ${result.buildIdDump} on`);
  return { archive, summary, difference: differs.length === 0 ? undefined : differs.join("; ") };
}

/** How many frames of each status a dump has: VALID, IP. */
function statuses(dump: Uint8Array, depth: number): string {
  const counts = [0, 0, 0];
  for (let at = 0; at < dump.length; at += 4 + 32 * depth) {
    for (let frame = 0; frame < depth; frame++) counts[dump[at + 4 + 32 * frame]]++;
  }
  return `${counts[1]} VALID, ${counts[2]} IP`;
}
