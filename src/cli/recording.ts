// Owns the recording of a running kernel that testdata holds: its files, and replaying it through the model.
import { AddressSpace } from "../memory/address_space.ts";
import { mappedFile } from "../memory/mapped_file.ts";
import { CallTrace } from "../kernel/call_trace.ts";
import { kernelProfile, type KernelRelease } from "../kernel/profile.ts";
import { StackMap } from "../kernel/stack_map.ts";
import { BPF_F_STACK_BUILD_ID } from "../uapi/bpf.ts";
import { FormatError } from "../base/format_error.ts";
import { viewOf } from "../base/bytes.ts";

/** What meta.json says. */
export interface RecordingMeta {
  name: string;
  kernel: KernelRelease;
  nrCpus: number;
  /** Flags of every bpf_get_stackid call. */
  helperFlags: number;
  maxEntries: number;
  /** Depth of the map of addresses, in frames. */
  depthIp: number;
  /** Depth of the map of build IDs, in frames. */
  depthBuildId: number;
  /** Mapped path to the recording's copy of the file. */
  files: Record<string, string>;
}

/** A recording: helper calls in order, what they returned, and what the maps held afterwards. */
export interface Recording {
  meta: RecordingMeta;
  /** Text of /proc/PID/maps. */
  maps: string;
  /** 1056 bytes a call: u64 pid_tgid, s64 id_ip, id_bid, stack_bytes, u64 cpu, u64 ips[127]. */
  events: Uint8Array;
  /** Dump of the map of addresses: u32 id, then the value, for each id. */
  ip: Uint8Array;
  /** Dump of the map of build IDs, likewise. */
  bid: Uint8Array;
  /** A copy of a mapped file, by its mapped path. */
  open(path: string): Uint8Array | undefined;
}

const EVENT_BYTES = 1056;
const META_NUMBERS = ["nrCpus", "helperFlags", "maxEntries", "depthIp", "depthBuildId"] as const;

/**
 * Puts a recording together from its files.
 *
 * @throws {FormatError} If one is missing or malformed; the message names it.
 */
export function readRecording(read: (name: string) => Uint8Array | undefined): Recording {
  const need = (name: string): Uint8Array => {
    const bytes = read(name);
    if (bytes === undefined) throw new FormatError("is missing", { offset: 0, field: name });
    return bytes;
  };
  const meta = parseMeta(new TextDecoder().decode(need("meta.json")));
  const events = need("events.bin");
  if (events.length % EVENT_BYTES !== 0) {
    throw new FormatError(`is no whole number of ${EVENT_BYTES}-byte records`, {
      offset: events.length - (events.length % EVENT_BYTES),
      field: "events.bin",
      value: events.length,
    });
  }
  return {
    meta,
    maps: new TextDecoder().decode(need("maps")),
    events,
    ip: need("ip.bin"),
    bid: need("bid.bin"),
    open: (path) => Object.hasOwn(meta.files, path) ? read(meta.files[path]) : undefined,
  };
}

function parseMeta(text: string): RecordingMeta {
  let meta: RecordingMeta;
  try {
    meta = JSON.parse(text);
  } catch (error) {
    throw new FormatError(`is not JSON: ${(error as Error).message}`, { offset: 0, field: "meta.json" });
  }
  for (const key of META_NUMBERS) {
    if (!Number.isInteger(meta?.[key])) {
      throw new FormatError("is not a whole number", {
        offset: 0,
        field: `meta.json ${key}`,
        value: `${meta?.[key]}`,
      });
    }
  }
  if (typeof meta.files !== "object" || meta.files === null) {
    throw new FormatError("is not an object", { offset: 0, field: "meta.json files" });
  }
  try {
    kernelProfile(meta.kernel);
  } catch {
    throw new FormatError("is not a modelled kernel", {
      offset: 0,
      field: "meta.json kernel",
      value: `${meta.kernel}`,
    });
  }
  return meta;
}

/** One recorded helper call. */
export interface RecordedCall {
  cpu: number;
  /** The stack as bpf_get_stack gave it; a view of the recording. */
  ips: BigUint64Array;
  /** What bpf_get_stackid returned for the map of addresses. */
  idIp: number;
  /** What bpf_get_stackid returned for the map of build IDs. */
  idBuildId: number;
}

/** The calls of a recording in order. */
export function* recordedCalls(recording: Recording): Generator<RecordedCall> {
  const events = recording.events.slice(); // so that the 64-bit view is aligned
  const view = viewOf(events);
  for (let at = 0; at < events.length; at += EVENT_BYTES) {
    const stackBytes = Number(view.getBigInt64(at + 24, true));
    if (stackBytes > EVENT_BYTES - 40 || stackBytes % 8 !== 0) {
      throw new FormatError("is no size of a stack", { offset: at + 24, field: "stack_bytes", value: stackBytes });
    }
    yield {
      cpu: Number(view.getBigUint64(at + 32, true)),
      ips: new BigUint64Array(events.buffer, at + 40, Math.max(0, stackBytes) / 8),
      idIp: Number(view.getBigInt64(at + 8, true)),
      idBuildId: Number(view.getBigInt64(at + 16, true)),
    };
  }
}

/** What {@linkcode replay} found. */
export interface ReplayResult {
  calls: number;
  /** Calls whose two ids came out equal. */
  equalCalls: number;
  /** The first call that differs. */
  firstDifference?: { call: number; map: "ip" | "build id"; recorded: number; modelled: number };
  /** Whether the dump of the map of addresses is byte-identical; else the first byte that differs. */
  ipDump: true | number;
  /** Likewise for the map of build IDs. */
  buildIdDump: true | number;
  /** Why the call that was asked for came out as it did, on the map of build IDs. */
  explanation?: string;
}

/**
 * Runs every recorded call through the model, as `kernel` if given, and compares ids and both dumps.
 *
 * @param explain Number of a call to trace, −1 for none.
 */
export function replay(
  recording: Recording,
  kernel: KernelRelease = recording.meta.kernel,
  explain: number = -1,
): ReplayResult {
  const { nrCpus, helperFlags, maxEntries, depthIp, depthBuildId } = recording.meta;
  const addressSpace = AddressSpace.fromProcMaps(recording.maps, (path) => {
    const bytes = recording.open(path);
    return bytes === undefined ? undefined : mappedFile(bytes);
  });
  const options = { kernel, nrCpus };
  const ipMap = new StackMap({ valueSize: 8 * depthIp, maxEntries }, options);
  const buildIdMap = new StackMap(
    { valueSize: 32 * depthBuildId, maxEntries, mapFlags: BPF_F_STACK_BUILD_ID },
    options,
  );
  const result: ReplayResult = { calls: 0, equalCalls: 0, ipDump: true, buildIdDump: true };
  for (const { cpu, ips, idIp, idBuildId } of recordedCalls(recording)) {
    const context = { cpu, addressSpace };
    const trace = result.calls === explain ? new CallTrace() : undefined;
    const gotIp = ipMap.getStackid(ips, helperFlags, context);
    const gotBuildId = buildIdMap.getStackid(
      ips,
      helperFlags,
      trace === undefined ? context : { ...context, trace },
    );
    if (trace !== undefined) result.explanation = trace.toString();
    if (gotIp === idIp && gotBuildId === idBuildId) {
      result.equalCalls++;
    } else {
      result.firstDifference ??= gotIp !== idIp
        ? { call: result.calls, map: "ip", recorded: idIp, modelled: gotIp }
        : { call: result.calls, map: "build id", recorded: idBuildId, modelled: gotBuildId };
    }
    result.calls++;
  }
  result.ipDump = compareDump(ipMap, recording.ip);
  result.buildIdDump = compareDump(buildIdMap, recording.bid);
  return result;
}

// Compares what the map holds with a raw dump; the offset of the first difference, or true.
function compareDump(map: StackMap, dump: Uint8Array): true | number {
  const record = new Uint8Array(4 + map.valueSize);
  const view = viewOf(record);
  let at = 0;
  for (let id = map.getNextKey(); id >= 0; id = map.getNextKey(id)) {
    view.setUint32(0, id, true);
    map.copy(id, record.subarray(4));
    for (let i = 0; i < record.length; i++) if (dump[at + i] !== record[i]) return at + i;
    at += record.length;
  }
  return at === dump.length ? true : at;
}
