// Owns what differs between kernel releases: one record per release, one field per difference. Algorithms read
// these fields and never compare release numbers.

/** A modelled kernel release. */
export type KernelRelease = "4.17" | "6.1" | "6.12" | "6.18";

/** Which code may find a per-CPU list's lock taken, and what it does then. */
export type FreelistLocks = "spin" | "trylock-in-nmi" | "resilient";

/** How one release behaves; each field cites the commit or the release that made the difference. */
export interface KernelProfile {
  /** The release. */
  readonly release: KernelRelease;

  // bpf_map_create()
  /**
   * What is too big (-E2BIG): a charge within a page of 4 GiB (4.17), or more than 2^31 entries (7a4b21250bf7, 6.9,
   * and 6.1 since March 2024; the charge went in 5.11, 370868107bf6).
   */
  readonly createLimit: "charge-of-4GiB" | "entries-over-2^31";
  /**
   * What `memlock` in /proc/PID/fdinfo counts. Until 5.11 it is charged to RLIMIT_MEMLOCK: whole pages for as many
   * elements as buckets (4.17). Later it is only shown: whole pages for `max_entries` keys and values, whatever else the
   * map takes (bpf_map_memory_footprint(), 80ee81e0403c, 5.11), or the bytes of `max_entries` elements
   * (stack_map_mem_usage(), cbb9b6068c68, 6.4).
   */
  readonly memUsage: "pages-of-buckets" | "pages-of-entries" | "bytes-of-entries";
  /**
   * `sizeof(struct bpf_stack_map)` in bytes on x86-64; 0 in 6.1, which does not count it. It depends on the kernel's
   * configuration: 192 is counted from the 4.17 headers without debug options, 288 and 320 are read off a running 6.12
   * and 6.18 (`memlock` in /proc/PID/fdinfo).
   */
  readonly sizeofStackMap: number;

  // pcpu_freelist
  /** How elements are spread: `n / cpus + 1` to each CPU until none is left, or evenly, remainder first (4b45cd81f737, 6.1). */
  readonly freelistFill: "n-over-cpus-plus-1" | "even";
  /** Locks of the per-CPU lists (39d8f0d1026a, 5.10, of empty ones not since 54a9c3a42d92, 6.0; f2ac0e5d1c4d, 6.15). */
  readonly freelistLocks: FreelistLocks;

  // bpf_get_stackid(), bpf_get_stack()
  /** Whether a trace is cut to the map's depth and then skipped, or the depth is extended by the skip (ee2a098851bf, 5.18). */
  readonly skip: "after-cut" | "extends-depth";
  /** Whether the helper bpf_get_stack exists (c195651e565a, 4.18). */
  readonly getStack: boolean;

  // stack_map_get_build_id_offset()
  /** Translation in NMI: never, or unless the irq_work that unlocks the mmap lock is still busy (bae77c5eb5b2, 4.18). */
  readonly translateInNmi: "never" | "unless-irq-work-busy";
  /** `build_id` of a frame kept as IP: the element's old bytes, or zero (4af396ae4836, 5.0). */
  readonly fallbackBuildId: "stale" | "zero";
  /** Whether the VMA of the last translated frame is tried first, its end address included (ceac059ed4fd, 5.18). */
  readonly reusePreviousVma: boolean;

  // build_id_parse()
  /**
   * Where program headers are read: right behind the ELF header; there, and a file that has them elsewhere is refused
   * (961a28513245, 6.11, and 6.1.113); or at `e_phoff` (d4deb8242341, 6.12).
   */
  readonly phdrTable: "behind-ehdr" | "only-behind-ehdr" | "e_phoff";
  /** Most program headers: what fits the first page, else the file is refused; or a number, the rest ignored (4e9d360c4cdf, 6.12). */
  readonly phdrLimit: "first-page" | number;
  /** PT_NOTE segments looked at: the first only, or each in turn (b33164f2bd1c, 5.10). */
  readonly noteSegments: "first" | "each";
  /** What may be read: the first page, or any page that is in the page cache (de3ec364c3c3, 4e9d360c4cdf; 6.12). */
  readonly fileRange: "first-page" | "page-cache";
  /** How a note's name is checked: its size 4, or also its bytes "GNU\0" (5.14). */
  readonly noteName: "size" | "GNU";
  /** What must lie in the segment: a note's header and one byte more, or the note with its padding (905415ff3ffb, 6.12, and 6.1.113). */
  readonly noteInSegment: "header" | "whole";
  /**
   * In what the padded sizes of a note's name and descriptor are computed: in `u32`, where 2^32 - 3 and above become 0,
   * or in `u64` (905415ff3ffb, 6.12, and 6.1.113; `u32` again since de3ec364c3c3, 6.12).
   */
  readonly noteSizes: "u32" | "u64";
  /** Shortest descriptor taken, in bytes: 20, or 1 (0b698005a9d1, 5.0); the longest is 20. */
  readonly descszMin: number;

  // map commands
  /** What bpf_map_lookup_elem() from a program finds: NULL, or an error (3b4a63f674e9, 4.20). */
  readonly lookupFromBpf: "NULL" | "EOPNOTSUPP";
  /**
   * Whether BPF_MAP_LOOKUP_AND_DELETE_ELEM works (17f0d1f6321c, 6.18). In 4.17 the command is unknown: -EINVAL; since
   * 4.20 (bd513cd08f10) it is known, but not for stack maps: -ENOTSUPP.
   */
  readonly lookupAndDelete: "works" | "EINVAL" | "ENOTSUPP";
}

const PROFILES: Readonly<Record<KernelRelease, KernelProfile>> = {
  "4.17": Object.freeze({
    release: "4.17",
    createLimit: "charge-of-4GiB",
    memUsage: "pages-of-buckets",
    sizeofStackMap: 192,
    freelistFill: "n-over-cpus-plus-1",
    freelistLocks: "spin",
    skip: "after-cut",
    getStack: false,
    translateInNmi: "never",
    fallbackBuildId: "stale",
    reusePreviousVma: false,
    phdrTable: "behind-ehdr",
    phdrLimit: "first-page",
    noteSegments: "first",
    fileRange: "first-page",
    noteName: "size",
    noteInSegment: "header",
    noteSizes: "u32",
    descszMin: 20,
    lookupFromBpf: "NULL",
    lookupAndDelete: "EINVAL",
  }),
  "6.1": Object.freeze({
    release: "6.1",
    createLimit: "entries-over-2^31",
    memUsage: "pages-of-entries",
    sizeofStackMap: 0,
    freelistFill: "even",
    freelistLocks: "trylock-in-nmi",
    skip: "extends-depth",
    getStack: true,
    translateInNmi: "unless-irq-work-busy",
    fallbackBuildId: "zero",
    reusePreviousVma: true,
    phdrTable: "only-behind-ehdr",
    phdrLimit: "first-page",
    noteSegments: "each",
    fileRange: "first-page",
    noteName: "GNU",
    noteInSegment: "whole",
    noteSizes: "u64",
    descszMin: 1,
    lookupFromBpf: "EOPNOTSUPP",
    lookupAndDelete: "ENOTSUPP",
  }),
  "6.12": Object.freeze({
    release: "6.12",
    createLimit: "entries-over-2^31",
    memUsage: "bytes-of-entries",
    sizeofStackMap: 288,
    freelistFill: "even",
    freelistLocks: "trylock-in-nmi",
    skip: "extends-depth",
    getStack: true,
    translateInNmi: "unless-irq-work-busy",
    fallbackBuildId: "zero",
    reusePreviousVma: true,
    phdrTable: "e_phoff",
    phdrLimit: 256,
    noteSegments: "each",
    fileRange: "page-cache",
    noteName: "GNU",
    noteInSegment: "whole",
    noteSizes: "u32",
    descszMin: 1,
    lookupFromBpf: "EOPNOTSUPP",
    lookupAndDelete: "ENOTSUPP",
  }),
  "6.18": Object.freeze({
    release: "6.18",
    createLimit: "entries-over-2^31",
    memUsage: "bytes-of-entries",
    sizeofStackMap: 320,
    freelistFill: "even",
    freelistLocks: "resilient",
    skip: "extends-depth",
    getStack: true,
    translateInNmi: "unless-irq-work-busy",
    fallbackBuildId: "zero",
    reusePreviousVma: true,
    phdrTable: "e_phoff",
    phdrLimit: 256,
    noteSegments: "each",
    fileRange: "page-cache",
    noteName: "GNU",
    noteInSegment: "whole",
    noteSizes: "u32",
    descszMin: 1,
    lookupFromBpf: "EOPNOTSUPP",
    lookupAndDelete: "works",
  }),
};

/** The releases that are modelled, oldest first. */
export const KERNEL_RELEASES: readonly KernelRelease[] = Object.freeze(["4.17", "6.1", "6.12", "6.18"] as const);

/** The release a model has where its user names none. */
export const DEFAULT_KERNEL: KernelRelease = "6.18";

/**
 * How `release` behaves.
 *
 * @throws {RangeError} For a release that is not modelled.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { kernelProfile } from "@bpf/stackmap";
 *
 * assertEquals(kernelProfile("4.17").fallbackBuildId, "stale");
 * ```
 */
export function kernelProfile(release: KernelRelease): KernelProfile {
  if (!Object.hasOwn(PROFILES, release)) {
    throw new RangeError(`no profile for kernel ${release}: there are ${KERNEL_RELEASES.join(", ")}`);
  }
  return PROFILES[release];
}
