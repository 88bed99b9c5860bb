// Owns the recording of hostile and odd files: they are the proof's, mapped into the proof's target.
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { BPF_F_USER_STACK } from "../../mod.ts";
import { GADGETS, type Mapping, type ProofCase } from "../kernel_proof/case.ts";
import { makeCase } from "../kernel_proof/generate.ts";
import { maxStackDepth } from "../kernel_proof/proof.ts";
import {
  type Batch,
  END_OF_CHAIN,
  MAP_ANONYMOUS,
  MAP_PRIVATE_FIXED,
  MAP_SHARED_FIXED,
  NR,
  O_RDWR,
  PAGE,
  Target,
} from "../kernel_proof/target.ts";
import type { HelperParameters } from "./helper_recorder.ts";
import { observe, type Observed } from "./observe.ts";

const SEED = 618;
const FILES = 260;
const CALLS = 120;
/** A recording holds whole files: larger ones are left out. */
const MOST_FILE_BYTES = 16384;

/** What the helpers are called with. */
export const CRAFTED: HelperParameters = {
  helperFlags: BPF_F_USER_STACK,
  maxEntries: 256,
  depthIp: 127,
  depthBuildId: 127,
};

/** Writes the files into `directory`, maps them into a target and records its calls. */
export async function recordCrafted(directory: string, nrCpus: number, cpu: number): Promise<Observed> {
  using target = new Target(directory);
  const around = { nrCpus, maxStack: maxStackDepth(), addresses: addressesAround(target.maps()) };
  const proofCase = makeCase(SEED, { rounds: 1, files: FILES, calls: CALLS }, around);
  const files = await openFiles(target, proofCase, `${directory}/files`);
  const [round] = proofCase.rounds;
  const setUp = target.batch();
  const mask = new Uint8Array(128);
  mask[cpu >> 3] = 1 << (cpu & 7);
  setUp.add(NR.sched_setaffinity, [0, mask.length, setUp.put(mask)]);
  for (const mapping of round.mappings) addMapping(setUp, mapping, files);
  await target.run(setUp);
  const batch = target.batch();
  for (const op of round.ops) {
    if (op.kind !== "call") continue;
    const gadget = GADGETS[op.gadget] || BigInt(target.gadget);
    batch.add(NR.getppid, [], { rbp: putChain(batch, op.chain), gadget });
  }
  const observed = await observe(target.pid, CRAFTED, () => target.run(batch));
  // The target's own files are in a directory with a name by chance, and go with it.
  cpSync(target.directory, `${directory}/proof`, { recursive: true });
  return { ...observed, maps: observed.maps.replaceAll(target.directory, `${directory}/proof`) };
}

// Files are written out with their holes, so that all of each is in the page cache.
async function openFiles(target: Target, proofCase: ProofCase, directory: string): Promise<Map<number, number>> {
  mkdirSync(directory);
  const opening = target.batch();
  const opened: number[] = [];
  proofCase.files.forEach(({ file }, i) => {
    if (file.size > MOST_FILE_BYTES) return;
    const bytes = new Uint8Array(file.size);
    for (const [first, count] of file.ranges()) bytes.set(file.bytesOf(first, count), first * PAGE);
    const path = `${directory}/${String(i).padStart(4, "0")}`;
    writeFileSync(path, bytes);
    opened.push(i);
    opening.add(NR.open, [opening.text(path), O_RDWR]);
  });
  const fds = await target.run(opening);
  return new Map(opened.map((file, i) => [file, Number(fds[i])]));
}

// A mapping that the kernel refuses is not there: /proc/PID/maps says which are.
function addMapping(batch: Batch, mapping: Mapping, files: ReadonlyMap<number, number>): void {
  const { address, pages, file, pgoff, prot, shared } = mapping;
  const fd = file === undefined ? -1 : files.get(file);
  if (fd === undefined) return;
  const kind = (shared ? MAP_SHARED_FIXED : MAP_PRIVATE_FIXED) | (file === undefined ? MAP_ANONYMOUS : 0);
  batch.add(NR.mmap, [address, pages * PAGE, prot, kind, fd, pgoff * 4096n]);
}

// Frame records {next, return address}, one after another; the address of the first. The walk ends at an address
// that no user space has. Address 0 becomes 1: in a map of addresses no reader could tell it from the stack's end.
function putChain(batch: Batch, chain: BigUint64Array): bigint {
  if (chain.length === 0) return END_OF_CHAIN;
  const words = new BigUint64Array(2 * chain.length);
  const address = batch.take(words.byteLength);
  for (let i = 0; i < chain.length; i++) {
    words[2 * i] = i + 1 < chain.length ? BigInt(address + 16 * (i + 1)) : END_OF_CHAIN;
    words[2 * i + 1] = chain[i] || 1n;
  }
  batch.write(address, new Uint8Array(words.buffer));
  return BigInt(address);
}

/** Addresses around the mappings that every process has. */
function addressesAround(maps: string): bigint[] {
  const addresses: bigint[] = [];
  for (const [, start, end] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) .*\[(?:v|stack)/gm)) {
    const [first, last] = [BigInt(`0x${start}`), BigInt(`0x${end}`)];
    addresses.push(first - 1n, first, last - 1n, last);
  }
  return addresses;
}
