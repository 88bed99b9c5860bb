// Owns `dump`: a stack map of the running kernel, whoever made it, to folded stacks or raw records.
import { viewOf } from "../../base/bytes.ts";
import type { StackColumns } from "../../dump/columns.ts";
import { decodeStacks } from "../../dump/decode.ts";
import { BpfMap, commOf, dumpStackMap, mapKeys, processMaps, whyNoBpf } from "../../linux/linux.ts";
import { BPF_F_STACK_BUILD_ID, BPF_MAP_TYPE_STACK_TRACE, BPF_STACK_BUILD_ID_IP } from "../../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../../uapi/bpf_stack_build_id.ts";
import { type Command, EXIT_FAILED, EXIT_OK, type ParsedArgs, UsageError, wholeNumber } from "../command.ts";
import type { Host } from "../host.ts";
import { checkOutputs, OUTPUT_OPTIONS, outputHelp, writeStacks } from "../outputs.ts";
import { LocalBinaries } from "./local_binaries.ts";
import { addBinaries, LocalSymbolizer } from "./record_result.ts";
import { translateAddresses } from "./translate.ts";
import { writeFile } from "../write_file.ts";

/** `dump [--map ID|PATH]`. */
export const command: Command = {
  summary: "read a stack map of the running kernel, whoever made it",
  help: `usage: stackmap dump [--map ID|PATH] [option]…

Prints the stacks that a map of the running kernel holds as folded stacks, or writes them, a pprof profile or a flame
graph to files, symbolized with the binaries of this machine's processes; without --map, prints which stack maps there
are. Needs Linux, root (or CAP_SYS_ADMIN; for a pinned map rights on it), and in Deno --allow-all.

  --map ID|PATH     the map, by its id ("bpftool map list" shows it as well) or where it is pinned
  --counts ID|PATH  a map that counts stacks: its keys hold the stack's id; each stack counts 1 without it
  --id-offset N     where in a key of that map the stack's id is: 4 bytes (0)
  --elf FILE|DIR    a binary, or a directory of such, for what no living process executes from; as often as needed
  --pid-offset N    where in it the process's id is: 4 bytes; stacks of addresses are symbolized with that process
  --pid N           the process that stacks of addresses are of; with --pid-offset only what was counted of it
${outputHelp(20)}  --raw FILE        write raw records instead, u32 id and the value, which symbolize --dump reads
  --skipped         the helper skipped frames: the first frame of a stack is a return address, too
  --debug-root DIR  where the .build-id tree of debug files is (/usr/lib/debug); as often as needed
  --linkage-names   names as the linker has them, not demangled

Kernel addresses are named by /proc/kallsyms, those of a process by its mappings and perf-PID.map.

exit code: 0, or 1 if there is no such map, it can't be read, or a file can't be written
`,
  flags: ["skipped", "linkage-names"],
  options: ["map", "counts", "id-offset", "pid-offset", "pid", "elf", "raw", "debug-root", ...OUTPUT_OPTIONS],
  run,
};

async function run(host: Host, parsed: ParsedArgs): Promise<number> {
  if (parsed.operands.length > 0) {
    throw new UsageError(`what is ${parsed.operands[0]}? The map is named with --map`);
  }
  const where = {
    id: wholeNumber(parsed, "id-offset", 0, 0),
    pid: wholeNumber(parsed, "pid-offset", 0, -1),
  };
  const pid = wholeNumber(parsed, "pid", 1, 0) || undefined;
  for (const name of ["id-offset", "pid-offset"]) {
    if (parsed.values.has(name) && !parsed.values.has("counts")) {
      throw new UsageError(`--${name} is about the map of --counts`);
    }
  }
  const name = parsed.values.get("map")?.at(-1);
  const output = [...OUTPUT_OPTIONS, "raw"].find((option) => parsed.values.has(option));
  if (name === undefined && output !== undefined) throw new UsageError(`--${output} needs --map`);
  if (output !== "raw" && output !== undefined && parsed.values.has("raw")) {
    throw new UsageError(`--raw writes records instead of what --${output} writes`);
  }
  await checkOutputs(parsed, { outputs: ["raw"], inputs: ["elf"] });
  const reason = whyNoBpf();
  if (reason !== undefined) throw new Error(reason);
  if (name === undefined) return list(host);
  using map = openMap(name);
  if (map.type !== BPF_MAP_TYPE_STACK_TRACE) {
    throw new Error(`map ${name} is no stack map; dump without --map lists those that are`);
  }
  const raw = parsed.values.get("raw")?.at(-1);
  const records = dumpStackMap(map);
  if (raw !== undefined) {
    await writeFile(raw, [records]);
    const flags = (map.mapFlags & BPF_F_STACK_BUILD_ID) === 0 ? " --addresses" : "";
    host.writeError(
      `${raw}: ${records.length} bytes: symbolize --dump ${raw} --value-size ${map.valueSize}${flags}\n`,
    );
    return EXIT_OK;
  }
  let columns = decodeStacks(records, map);
  const countsName = parsed.values.get("counts")?.at(-1);
  let counts: Map<number, number> | undefined;
  let pids: (number | undefined)[] = Array.from(columns.ids, () => pid);
  if (countsName !== undefined) {
    using counting = openMap(countsName);
    const counted = readCounts(counting, where).filter((one) => pid === undefined || (one.pid ?? pid) === pid);
    ({ columns, counts, pids } = byCount(columns, counted, pid));
  }
  using binaries = new LocalBinaries(host);
  for (const path of parsed.values.get("elf") ?? []) {
    if (!binaries.addPath(path)) throw new Error(`${path}: there is no such file or directory`);
  }
  for (const other of processIds(host)) {
    const maps = processMaps(other);
    if (maps !== undefined) binaries.add(other, maps);
  }
  columns = translateAddresses(columns, binaries, (s) => pids[s]);
  const local = new LocalSymbolizer(host, parsed.values.get("debug-root"));
  await addBinaries(local, binaries, columns);
  const comms = new Map<number, string | undefined>();
  const commBy = (pid: number): string | undefined => {
    if (!comms.has(pid)) comms.set(pid, commOf(pid));
    return comms.get(pid);
  };
  const isWhole = await writeStacks(host, parsed, {
    title: `map ${name}`,
    columns,
    counts,
    skipped: parsed.flags.has("skipped"),
    processOf: (s) => pids[s] === undefined ? undefined : { pid: pids[s], comm: commBy(pids[s]) },
  }, local.symbolizer);
  if (pid === undefined && where.pid < 0 && hasUserAddresses(columns)) {
    host.writeError("user addresses need the process that they are of: --pid N, or --pid-offset with --counts\n");
  }
  return isWhole ? EXIT_OK : EXIT_FAILED;
}

function openMap(name: string): BpfMap {
  if (!/^[0-9]+$/.test(name)) return BpfMap.openPinned(name);
  if (Number(name) > 0xffff_ffff) {
    throw new UsageError(`a map's id has 32 bits; a path that is a number is ./${name}`);
  }
  return BpfMap.openById(Number(name));
}

function list(host: Host): number {
  let text = "";
  for (const id of BpfMap.ids()) {
    let map: BpfMap;
    try {
      map = BpfMap.openById(id);
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") continue; // gone since
      throw error;
    }
    using open = map;
    if (open.type !== BPF_MAP_TYPE_STACK_TRACE) continue;
    const buildIds = (open.mapFlags & BPF_F_STACK_BUILD_ID) !== 0;
    const depth = open.valueSize / (buildIds ? SIZEOF_BPF_STACK_BUILD_ID : 8);
    const name = new TextDecoder().decode(open.info().name).replace(/\0.*/s, "");
    text += `${id}\t${name || "-"}\t${open.maxEntries} stacks of up to ${depth} frames, ` +
      `${buildIds ? "build IDs" : "addresses"}\n`;
  }
  host.write(text === "" ? "there is no stack map\n" : text);
  return EXIT_OK;
}

/** One entry of a counting map. */
interface Counted {
  id: number;
  pid: number | undefined;
  count: number;
}

function readCounts(map: BpfMap, where: { id: number; pid: number }): Counted[] {
  for (const [name, offset] of [["--id-offset", where.id], ["--pid-offset", where.pid]] as const) {
    if (offset + 4 > map.keySize) throw new UsageError(`${name} ${offset}: a key has ${map.keySize} bytes`);
  }
  if (map.valueSize !== 8 && map.valueSize !== 4) {
    throw new UsageError(`--counts: a count has 8 or 4 bytes, the map's values have ${map.valueSize}`);
  }
  const out: Counted[] = [];
  // One value for each CPU in maps that have that, each in 8 bytes.
  const step = map.lookupSize === map.valueSize ? map.valueSize : 8;
  for (const key of mapKeys(map)) {
    const value = map.lookup(key);
    if (value === undefined) continue;
    let count = 0;
    for (let at = 0; at < value.length; at += step) {
      count += map.valueSize === 4
        ? viewOf(value).getUint32(at, true)
        : Number(viewOf(value).getBigUint64(at, true));
    }
    const view = viewOf(key);
    out.push({
      id: view.getInt32(where.id, true),
      pid: where.pid < 0 ? undefined : view.getUint32(where.pid, true),
      count,
    });
  }
  return out;
}

/** Numbers that are no stack ids: those have 31 bits. */
const FIRST_NUMBER = 2 ** 31;

/** A stack for each count, numbered, so that one that several processes share can be symbolized for each of them. */
function byCount(
  columns: StackColumns,
  counted: readonly Counted[],
  pid: number | undefined,
): { columns: StackColumns; counts: Map<number, number>; pids: (number | undefined)[] } {
  const at = new Map<number, number>();
  columns.ids.forEach((id, s) => at.set(id, s));
  const counts = new Map<number, number>();
  const pids: (number | undefined)[] = [];
  const rows: number[] = [];
  const first = [0];
  for (const one of counted) {
    const s = at.get(one.id);
    if (s === undefined) {
      // Lost when it was taken, or not in the map any more.
      counts.set(one.id, (counts.get(one.id) ?? 0) + one.count);
      continue;
    }
    counts.set(FIRST_NUMBER + pids.length, one.count);
    pids.push(one.pid ?? pid);
    for (let row = columns.first[s]; row < columns.first[s + 1]; row++) rows.push(row);
    first.push(rows.length);
  }
  const otherStatus = new Map<number, number>();
  rows.forEach((row, i) => {
    const other = columns.otherStatus.get(row);
    if (other !== undefined) otherStatus.set(i, other);
  });
  return {
    columns: {
      ids: Uint32Array.from(pids, (_, i) => FIRST_NUMBER + i),
      first: Uint32Array.from(first),
      status: Uint8Array.from(rows, (row) => columns.status[row]),
      idIndex: Int32Array.from(rows, (row) => columns.idIndex[row]),
      offsetLo: Uint32Array.from(rows, (row) => columns.offsetLo[row]),
      offsetHi: Uint32Array.from(rows, (row) => columns.offsetHi[row]),
      buildIds: columns.buildIds,
      otherStatus,
    },
    counts,
    pids,
  };
}

function processIds(host: Host): number[] {
  return host.list("/proc").filter(({ name }) => /^[0-9]+$/.test(name)).map(({ name }) => Number(name));
}

function hasUserAddresses({ status, offsetHi }: StackColumns): boolean {
  return status.some((one, row) => one === BPF_STACK_BUILD_ID_IP && offsetHi[row] < 0x8000_0000);
}
