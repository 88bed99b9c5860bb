// Owns what becomes of samples: the binaries they need are found, addresses named while their process's mappings are
// known, and all of it is put together as a recording.
import { toHex } from "../../base/bytes.ts";
import type { StackColumns } from "../../dump/columns.ts";
import { decodeStacks } from "../../dump/decode.ts";
import { parsePerfMap } from "../../memory/address_names.ts";
import type { SampledProcess, SampledStacks } from "../../recording/sample_recording.ts";
import { Symbolizer } from "../../symbolize/symbolizer.ts";
import { BPF_BUILD_ID_SIZE, BPF_F_STACK_BUILD_ID, BPF_STACK_BUILD_ID_IP } from "../../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../../uapi/bpf_stack_build_id.ts";
import { addWithDebugFiles } from "../debug_files.ts";
import type { Host } from "../host.ts";
import { entriesOf, type LocalBinaries, type LocalBinary } from "./local_binaries.ts";

/** A symbolizer over files of this machine, each added when a frame asks for it. */
export class LocalSymbolizer {
  readonly symbolizer: Symbolizer = new Symbolizer();
  readonly #host: Host;
  readonly #roots: readonly string[] | undefined;
  readonly #added = new Map<LocalBinary, boolean>();

  constructor(host: Host, roots: readonly string[] | undefined) {
    this.#host = host;
    this.#roots = roots;
  }

  /** Adds a binary with its debug files, once; whether it could be. */
  async add(binary: LocalBinary): Promise<boolean> {
    const known = this.#added.get(binary);
    if (known !== undefined) return known;
    let added = false;
    try {
      const bytes = binary.read();
      // What is mapped need not be a program: shared memory, data.
      if (bytes !== undefined && isElf(bytes)) {
        const { name, buildId } = binary;
        const options = { roots: this.#roots, ...(binary.own ? {} : { buildId }) };
        const { status } = await addWithDebugFiles(this.#host, this.symbolizer, name, bytes, options);
        added = status !== "conflict" && status !== "no-build-id";
      }
    } catch (error) {
      this.#host.writeError(`${binary.name}: ${(error as Error).message}\n`);
    }
    this.#added.set(binary, added);
    return added;
  }
}

function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

/** User stacks of samples as columns. */
export function userColumns({ userStacks, depth }: SampledStacks): StackColumns {
  const layout = { valueSize: SIZEOF_BPF_STACK_BUILD_ID * depth, mapFlags: BPF_F_STACK_BUILD_ID };
  return decodeStacks(userStacks, layout);
}

/** Finds the binaries of user stacks, adds them, and gives their paths by build ID; looks further for those missing. */
export async function addBinaries(
  local: LocalSymbolizer,
  binaries: LocalBinaries,
  { buildIds, idIndex }: Pick<StackColumns, "buildIds" | "idIndex">,
): Promise<Record<string, string>> {
  const ids = Array.from(
    { length: buildIds.length / BPF_BUILD_ID_SIZE },
    (_, i) => buildIds.subarray(i * BPF_BUILD_ID_SIZE, (i + 1) * BPF_BUILD_ID_SIZE),
  );
  const isMissing = ids.map((id) => binaries.find(id) === undefined);
  const frames = idIndex.reduce((sum, id) => sum + (id >= 0 && isMissing[id] ? 1 : 0), 0);
  // Garbage leads into all kinds of files: a few frames are not worth some seconds.
  if (frames * 100 > idIndex.length) binaries.search(new Set(ids.filter((_, i) => isMissing[i]).map(toHex)));
  const paths: Record<string, string> = {};
  for (const id of ids) {
    const binary = binaries.find(id);
    if (binary === undefined) continue;
    paths[toHex(id)] = binary.name;
    await local.add(binary);
  }
  return paths;
}

/**
 * Names the addresses of a process that the kernel left as they are: those in files without a build ID, in the vDSO,
 * and in files whose build ID the kernel could not read just then. What its perf map names is left out.
 *
 * @param wanted Addresses; a return address stands for the call before it.
 * @returns Lines as a perf map has them, each for one byte.
 */
export async function nameAddresses(
  local: LocalSymbolizer,
  binaries: LocalBinaries,
  process: SampledProcess,
  wanted: Iterable<{ ip: bigint; returnAddress: boolean }>,
): Promise<string> {
  const entries = entriesOf(process.maps ?? "");
  const known = parsePerfMap(process.perfMap ?? "");
  const lines = new Map<bigint, string>();
  for (const { ip, returnAddress } of wanted) {
    const at = returnAddress ? ip - 1n : ip;
    if (lines.has(at) || known.lookup(Number(at >> 32n), Number(at & 0xffff_ffffn)) !== undefined) continue;
    const place = binaries.place(process.pid, entries, at);
    if (place === undefined || !await local.add(place.binary)) continue;
    const { frames } = local.symbolizer.lookup(place.binary.buildId, place.fileOffset);
    const { demangled, name } = frames.at(-1) ?? {};
    const text = (demangled ?? name ?? "").replace(/\s+/g, " ");
    if (text !== "") lines.set(at, `${at.toString(16)} 1 ${text}\n`);
  }
  return [...lines.values()].join("");
}

/** Addresses that the kernel left as they are, by process, each with whether it is a return address. */
export function untranslated(
  stacks: SampledStacks,
  columns: StackColumns,
): Map<number, { ip: bigint; returnAddress: boolean }[]> {
  const { first, status, offsetHi, offsetLo } = columns;
  const byPid = new Map<number, { ip: bigint; returnAddress: boolean }[]>();
  for (let i = 0; i < stacks.pid.length; i++) {
    const s = stacks.userStack[i];
    if (s < 0) continue;
    for (let row = first[s]; row < first[s + 1]; row++) {
      if (status[row] !== BPF_STACK_BUILD_ID_IP) continue;
      const ip = (BigInt(offsetHi[row]) << 32n) | BigInt(offsetLo[row]);
      const pid = stacks.pid[i];
      let list = byPid.get(pid);
      if (list === undefined) byPid.set(pid, list = []);
      list.push({ ip, returnAddress: row > first[s] });
    }
  }
  return byPid;
}
