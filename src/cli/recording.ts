// Owns the recording of a running kernel that testdata holds: its files, and replaying it through the model.
import { AddressSpace } from "../memory/address_space.ts";
import { mappedFile } from "../memory/mapped_file.ts";
import { CallTrace } from "../kernel/call_trace.ts";
import type { KernelRelease } from "../kernel/profile.ts";
import { PERF_MAX_STACK_DEPTH, StackMap, type StackMapOptions } from "../kernel/stack_map.ts";
import { BPF_F_STACK_BUILD_ID } from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { FormatError } from "../base/format_error.ts";
import { viewOf } from "../base/bytes.ts";
import { inFile } from "./command.ts";
import { parseMeta, type RecordingMeta } from "./recording_meta.ts";

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
/**
 * Most bytes of both maps' elements that a replay allocates, 200,000 elements of 127 frames. The model needs what the
 * kernel would, but a few bytes of JSON must not ask for any amount. No kernel refuses maps that fit.
 */
const MOST_MAP_BYTES = 2 ** 30;

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

/** One recorded helper call. */
export interface RecordedCall {
  cpu: number;
  /** The stack as bpf_get_stack gave it, empty where that failed; a copy of the recording's bytes. */
  ips: BigUint64Array;
  /** What bpf_get_stackid returned for the map of addresses. */
  idIp: number;
  /** What bpf_get_stackid returned for the map of build IDs. */
  idBuildId: number;
}

/**
 * The calls of a recording in order.
 *
 * @throws {FormatError} At a call that can't have been: a stack of no such size, a CPU that the machine has not.
 */
export function* recordedCalls(recording: Recording): Generator<RecordedCall> {
  const { nrCpus } = recording.meta;
  const events = recording.events.slice(); // so that the 64-bit view is aligned
  const view = viewOf(events);
  for (let at = 0; at < events.length; at += EVENT_BYTES) {
    // What bpf_get_stack returned: below 0 it is an errno, and there is no stack.
    const stackBytes = Math.max(0, Number(view.getBigInt64(at + 24, true)));
    if (stackBytes > EVENT_BYTES - 40 || stackBytes % 8 !== 0) {
      throw new FormatError("is no size of a stack", {
        offset: at + 24,
        field: "events.bin stack_bytes",
        value: view.getBigInt64(at + 24, true),
      });
    }
    const cpu = Number(view.getBigUint64(at + 32, true));
    if (cpu >= nrCpus) {
      throw new FormatError(`is not below nrCpus, ${nrCpus}`, {
        offset: at + 32,
        field: "events.bin cpu",
        value: view.getBigUint64(at + 32, true),
      });
    }
    yield {
      cpu,
      ips: new BigUint64Array(events.buffer, at + 40, stackBytes / 8),
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
 * @throws {FormatError} For calls or mappings that are malformed, and for maps too large.
 */
export function replay(
  recording: Recording,
  kernel: KernelRelease = recording.meta.kernel,
  explain: number = -1,
): ReplayResult {
  const { helperFlags } = recording.meta;
  const addressSpace = inFile("maps", () =>
    AddressSpace.fromProcMaps(recording.maps, (path) => {
      const bytes = recording.open(path);
      return bytes === undefined ? undefined : mappedFile(bytes);
    }));
  const { ipMap, buildIdMap } = makeMaps(recording.meta, kernel);
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

function makeMaps(meta: RecordingMeta, kernel: KernelRelease): { ipMap: StackMap; buildIdMap: StackMap } {
  const { nrCpus, maxEntries, depthIp, depthBuildId } = meta;
  const valueSizes = [8 * depthIp, SIZEOF_BPF_STACK_BUILD_ID * depthBuildId];
  const bytes = maxEntries * (valueSizes[0] + valueSizes[1]);
  if (bytes > MOST_MAP_BYTES) {
    throw new FormatError(`makes maps of ${bytes} bytes with these depths, over ${MOST_MAP_BYTES}`, {
      offset: 0,
      field: "meta.json maxEntries",
      value: maxEntries,
    });
  }
  // The recording machine's perf_event_max_stack isn't recorded; it allowed these depths, and a call holds 127.
  const perfEventMaxStack = Math.max(PERF_MAX_STACK_DEPTH, depthIp, depthBuildId);
  const options: StackMapOptions = { kernel, nrCpus, perfEventMaxStack };
  return {
    ipMap: new StackMap({ valueSize: valueSizes[0], maxEntries }, options),
    buildIdMap: new StackMap({ valueSize: valueSizes[1], maxEntries, mapFlags: BPF_F_STACK_BUILD_ID }, options),
  };
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
