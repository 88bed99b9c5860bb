// Owns what becomes of samples: the binaries they need are found, and addresses named that the kernel left as they are.
import { toHex } from "../../base/bytes.ts";
import { plainText } from "../../base/plain_text.ts";
import type { StackColumns } from "../../dump/columns.ts";
import { decodeStacks } from "../../dump/decode.ts";
import { parsePerfMap } from "../../memory/address_names.ts";
import type { SampledProcess, SampledStacks } from "../../recording/sample_recording.ts";
import { Symbolizer } from "../../symbolize/symbolizer.ts";
import { BPF_BUILD_ID_SIZE, BPF_F_STACK_BUILD_ID, BPF_STACK_BUILD_ID_IP } from "../../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../../uapi/bpf_stack_build_id.ts";
import { addWithDebugFiles } from "../debug_files.ts";
import type { Host } from "../host.ts";
import { detached, eventLoopTurn } from "./limits.ts";
import type { LocalBinaries, LocalBinary } from "./local_binaries.ts";
import { Mappings } from "./mappings.ts";
import { PerfMaps } from "./perf_maps.ts";
import type { ProcessWatch } from "./process_watch.ts";

/** A symbolizer over files of this machine, each added when a frame asks for it. */
export class LocalSymbolizer {
  readonly symbolizer: Symbolizer = new Symbolizer();
  readonly host: Host;
  readonly #roots: readonly string[] | undefined;
  readonly #added = new Map<LocalBinary, boolean>();

  constructor(host: Host, roots: readonly string[] | undefined) {
    this.host = host;
    this.#roots = roots;
  }

  /** Whether a binary was added; `undefined`: not tried yet. */
  has(binary: LocalBinary): boolean | undefined {
    return this.#added.get(binary);
  }

  /** Adds a binary with its debug files, once; whether it could be. */
  async add(binary: LocalBinary): Promise<boolean> {
    const known = this.#added.get(binary);
    if (known !== undefined) return known;
    let added = false;
    try {
      const bytes = binary.read();
      if (bytes !== undefined) {
        const { name, id: buildId } = binary;
        const options = { roots: this.#roots, buildId };
        const { status } = await addWithDebugFiles(this.host, this.symbolizer, name, bytes, options);
        added = status !== "conflict" && status !== "no-build-id";
      }
    } catch (error) {
      this.host.writeError(`${plainText(binary.name)}: ${plainText((error as Error).message)}\n`);
    }
    this.#added.set(binary, added);
    return added;
  }
}

/** User stacks of samples as columns. */
export function userColumns({ userStacks, userDepth }: SampledStacks): StackColumns {
  const layout = { valueSize: SIZEOF_BPF_STACK_BUILD_ID * userDepth, mapFlags: BPF_F_STACK_BUILD_ID };
  return decodeStacks(userStacks, layout);
}

/**
 * Finds the binaries of user stacks, adds them, and gives their paths by build ID; looks further for those missing.
 *
 * @param isStopped Asked now and then: whether to be content with what was added.
 */
export async function addBinaries(
  local: LocalSymbolizer,
  binaries: LocalBinaries,
  { buildIds, idIndex }: Pick<StackColumns, "buildIds" | "idIndex">,
  isStopped: () => boolean = () => false,
): Promise<Record<string, string>> {
  const ids = Array.from(
    { length: buildIds.length / BPF_BUILD_ID_SIZE },
    (_, i) => buildIds.subarray(i * BPF_BUILD_ID_SIZE, (i + 1) * BPF_BUILD_ID_SIZE),
  );
  const isMissing = ids.map((id) => !(binaries.find(id)?.isThere() ?? false));
  const frames = idIndex.reduce((sum, id) => sum + (id >= 0 && isMissing[id] ? 1 : 0), 0);
  // Garbage leads into all kinds of files: a few frames are not worth some seconds.
  if (frames * 100 > idIndex.length) {
    await binaries.search(new Set(ids.filter((_, i) => isMissing[i]).map(toHex)), isStopped);
  }
  const paths: Record<string, string> = {};
  for (const id of ids) {
    const binary = binaries.find(id);
    if (binary === undefined) continue;
    paths[toHex(id)] = binary.name;
    await eventLoopTurn();
    if (!isStopped()) await local.add(binary);
  }
  binaries.leftOut.tell(local.host);
  return paths;
}

/**
 * Names the addresses of processes that the kernel left as they are: those in compiled code, which perf maps name,
 * in files without a build ID, in the vDSO, and in files whose build ID the kernel could not read just then. Sets
 * `perfMap` of the processes: the lines of the perf map that are needed, then a line for each byte that the files name.
 *
 * @param isStopped Asked now and then: whether to leave it at what was named.
 */
export async function nameProcesses(
  local: LocalSymbolizer,
  watch: ProcessWatch,
  stacks: SampledStacks,
  columns: StackColumns,
  isStopped: () => boolean,
): Promise<void> {
  const { binaries } = watch;
  const { limits, leftOut } = binaries;
  const byPid = untranslated(stacks, columns, limits.addresses);
  if (byPid.isCut) leftOut.add("names of addresses", `those beyond ${limits.addresses}`);
  const processes = watch.processes.filter(({ pid }) => byPid.addresses.has(pid));
  const perfMaps = new PerfMaps(binaries);
  // All perf maps first: those of a container are gone with its last process.
  for (const process of processes) {
    await eventLoopTurn();
    if (isStopped()) break;
    takePerfMap(perfMaps, watch, process, byPid.addresses.get(process.pid)!);
  }
  for (const process of processes) {
    if (isStopped()) break;
    const lines = await namesInFiles(local, binaries, process, byPid.addresses.get(process.pid)!, isStopped);
    if (lines !== "") process.perfMap = `${process.perfMap ?? ""}\n${lines}`;
  }
  leftOut.tell(local.host);
}

/** Takes of a process's perf map what names some addresses, and takes those away. */
function takePerfMap(maps: PerfMaps, watch: ProcessWatch, process: SampledProcess, addresses: Set<number>): void {
  const text = maps.read(
    process.pid,
    process.comm,
    (maxBytes, tooLarge) => watch.perfMapOf(process.pid, maxBytes, tooLarge),
  );
  if (text === undefined) return;
  const lines = parsePerfMap(text);
  const hi: number[] = [], lo: number[] = [];
  for (const at of addresses) {
    hi.push(Math.floor(at / 0x1_0000_0000));
    lo.push(at >>> 0);
    if (lines.find(hi[hi.length - 1], at >>> 0) >= 0) addresses.delete(at);
  }
  const needed = lines.subset({ hi, lo });
  if (needed !== "") process.perfMap = detached(needed);
}

/** Lines as a perf map has them, each for one byte, of what the mapped files call addresses of a process. */
async function namesInFiles(
  local: LocalSymbolizer,
  binaries: LocalBinaries,
  process: SampledProcess,
  addresses: Iterable<number>,
  isStopped: () => boolean,
): Promise<string> {
  const mappings = new Mappings(process.maps ?? "");
  const lines: string[] = [];
  let count = 0;
  for (const at of addresses) {
    if (count++ % 256 === 0) {
      await eventLoopTurn();
      if (isStopped()) break;
    }
    const place = binaries.place(process.pid, mappings, Math.floor(at / 0x1_0000_0000), at >>> 0);
    if (place === undefined) continue;
    const { binary, fileOffset } = place;
    if (!(local.has(binary) ?? await local.add(binary))) continue;
    const { demangled, name } = local.symbolizer.lookup(binary.id, fileOffset).frames.at(-1) ?? {};
    const text = (demangled ?? name ?? "").replace(/\s+/g, " ");
    if (text !== "") lines.push(`${at.toString(16)} 1 ${text}\n`);
  }
  return lines.join("");
}

/** Above this, numbers are not exact; processes have no memory there but where they ask for 57 bits. */
const MOST_HI = 0x20_0000;

/**
 * Addresses of each process that the kernel left as they are. A return address stands for the byte before it, which
 * belongs to the call.
 *
 * @param most Most addresses of all processes; `isCut`: there are more.
 */
function untranslated(
  stacks: SampledStacks,
  { first, status, offsetHi, offsetLo }: StackColumns,
  most: number,
): { addresses: Map<number, Set<number>>; isCut: boolean } {
  const addresses = new Map<number, Set<number>>();
  // A stack occurs in many counts: with other kernel stacks, and in other processes.
  const stacksOf = new Map<number, Set<number>>();
  for (let i = 0; i < stacks.pid.length; i++) {
    if (stacks.userStack[i] < 0) continue;
    const own = stacksOf.get(stacks.pid[i]);
    if (own === undefined) stacksOf.set(stacks.pid[i], new Set([stacks.userStack[i]]));
    else own.add(stacks.userStack[i]);
  }
  let count = 0;
  for (const [pid, own] of stacksOf) {
    const found = new Set<number>();
    for (const s of own) {
      for (let row = first[s]; row < first[s + 1]; row++) {
        if (status[row] !== BPF_STACK_BUILD_ID_IP || offsetHi[row] >= MOST_HI) continue;
        const at = offsetHi[row] * 0x1_0000_0000 + offsetLo[row] - (row > first[s] ? 1 : 0);
        if (at < 0 || found.has(at)) continue;
        if (count === most) {
          if (found.size > 0) addresses.set(pid, found);
          return { addresses, isCut: true };
        }
        found.add(at);
        count++;
      }
    }
    if (found.size > 0) addresses.set(pid, found);
  }
  return { addresses, isCut: false };
}
