// Owns the shape of sampled stacks: what a recorder took from its maps, and what was learnt of the processes
// meanwhile.

/**
 * Stacks as a recorder took them out of its maps. A count belongs to a process and to the numbers of two stacks;
 * where a number is negative, it is what `bpf_get_stackid()` answered instead: `-EEXIST`, `-ENOMEM`, or `-EFAULT`
 * where there was no such stack; or `-ENOSPC` where the recorder had no room for more.
 */
export interface SampledStacks {
  /** Most frames of a stack that the maps had room for. */
  depth: number;
  /** Frames of a value in `userStacks`: 1 to `depth`; those of the deepest stack suffice. */
  userDepth: number;
  /** The same for `kernelStacks`. */
  kernelDepth: number;
  /**
   * Distinct user stacks as `decodeStacks()` takes them: `u32` number, counted from 0, and the value of a map with
   * `BPF_F_STACK_BUILD_ID`, `32 * userDepth` bytes; little-endian.
   */
  userStacks: Uint8Array;
  /** Distinct kernel stacks: `u32` number and `8 * kernelDepth` bytes of addresses. */
  kernelStacks: Uint8Array;
  /** Process (thread group) of each count. */
  pid: Uint32Array;
  /** Number of its user stack, or `-errno`. */
  userStack: Int32Array;
  /** Number of its kernel stack, or `-errno`. */
  kernelStack: Int32Array;
  /** Samples of each count; whole numbers. */
  count: Float64Array;
  /** Samples that no map had room to count. */
  uncounted: number;
}

/** What is known of a process that was sampled. */
export interface SampledProcess {
  /** Process id, as in the recorder's PID namespace; 0 stands for all processes of others. */
  pid: number;
  /** Its name, that of its first thread: up to 15 bytes, `TASK_COMM_LEN`. */
  comm: string;
  /** Text of `/proc/PID/maps`, the latest that could be read; absent if the process was gone. */
  maps?: string;
  /** Text of its `perf-PID.map`: lines `START SIZE NAME`, both numbers hexadecimal. */
  perfMap?: string;
}

/** Sampled stacks, and what it takes to name their frames elsewhere. */
export interface SampleRecording {
  /** What was recorded: a command line, `pid 1234`, `all`. */
  name: string;
  /** Release of the kernel, as `uname -r` prints it. */
  kernel: string;
  /** Machine, as `uname -m` prints it. */
  machine: string;
  /** When it began: ISO 8601, UTC. */
  started: string;
  /** How long it was recorded, in seconds. */
  seconds: number;
  /** Samples a second and CPU that were asked for. */
  frequency: number;
  /** CPUs that were online. */
  nrCpus: number;
  /** The stacks and how often each occurred. */
  stacks: SampledStacks;
  /** The processes, in the order in which they were seen. */
  processes: SampledProcess[];
  /** Lines of `/proc/kallsyms`, all or those that the kernel stacks need. */
  kallsyms: string;
  /** Where the binaries of the user stacks were found: path by build ID, 40 hexadecimal digits, zero-padded. */
  binaries: Record<string, string>;
}
