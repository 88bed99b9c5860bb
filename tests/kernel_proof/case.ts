// Owns what a case is: maps, call sites, and rounds of files, mappings and operations, as plain data that a reducer
// can take apart.
import type { HostileFile } from "./hostile_file.ts";

/** A stack map. */
export interface MapSpec {
  valueSize: number;
  maxEntries: number;
  mapFlags: number;
}

/** A helper call in the program: of `bpf_get_stackid` on a map, or of `bpf_get_stack` into `room` bytes. */
export type Site = { kind: "stackid"; map: number } | { kind: "stack"; room: number };

/** A file, and the ranges of pages `[first, number]` that are evicted before the first round that has it. */
export interface FileUse {
  file: HostileFile;
  drop: [number, number][];
}

/** An `mmap()` at a fixed address. */
export interface Mapping {
  address: bigint;
  pages: number;
  /** Index into the files of the case; anonymous memory without. */
  file?: number;
  pgoff: bigint;
  /** `PROT_*`. */
  prot: number;
  shared: boolean;
  /** Whether all of it is read into the page cache, holes and what the kernel reads ahead included. */
  populate: boolean;
}

/** A range of pages to be unmapped. */
export interface Unmapping {
  address: bigint;
  pages: number;
}

/** Pages of a file to be evicted, later than when it was made. */
export interface Eviction {
  file: number;
  first: number;
  pages: number;
}

/** A stack id; or one of those that are in use when the round begins. */
export type IdChoice = number | { present: number };

/** A system call on a crafted chain, at which the program calls the helpers. */
export interface CallOp {
  kind: "call";
  /** Which `syscall` instruction makes the call: its address is the innermost frame. */
  gadget: number;
  /** The frames behind it. */
  chain: BigUint64Array;
  /** Flags for each site; `undefined` leaves the site out. */
  flags: (bigint | undefined)[];
  /** Size for each site of `bpf_get_stack`. */
  sizes: number[];
}

/** A map command. */
export interface MapOp {
  kind: "delete" | "lookup" | "lookup-and-delete" | "next-key" | "update";
  map: number;
  /** Absent for the first key. */
  id?: IdChoice;
}

/** The target goes on on another CPU. */
export interface CpuOp {
  kind: "cpu";
  cpu: number;
}

/** One thing that the target does. */
export type Op = CallOp | MapOp | CpuOp;

/** Changes of files and mappings, then operations in one go. */
export interface Round {
  /** Number of files of the case, from the first, that exist in this round. */
  files: number;
  evictions: Eviction[];
  unmappings: Unmapping[];
  mappings: Mapping[];
  ops: Op[];
}

/** All of it. */
export interface ProofCase {
  seed: number;
  /** `kernel.perf_event_max_stack`: as many frames the kernel walks at most. */
  maxStack: number;
  maps: MapSpec[];
  sites: Site[];
  files: FileUse[];
  rounds: Round[];
}

/** The first two sites say what the stack is: all of the user's, all of the kernel's, as addresses. */
export const USER_SITE = 0;
/** See {@linkcode USER_SITE}. */
export const KERNEL_SITE = 1;

/** Where the gadget file is mapped: its third page, then its second. */
export const GADGET_AT = 0x1f00_0000n;
/** `syscall` instructions: the target's own, the last of a mapping, one inside a mapping with a build ID. */
export const GADGETS: readonly bigint[] = [0n, GADGET_AT + 0xffen, GADGET_AT + 0x1100n];

/** Sets and sizes for the maker of cases. */
export interface CaseSize {
  rounds: number;
  files: number;
  calls: number;
}

/** How many calls a case makes. */
export function callsOf(proofCase: ProofCase): number {
  return proofCase.rounds.reduce((sum, round) => sum + round.ops.filter((op) => op.kind === "call").length, 0);
}
