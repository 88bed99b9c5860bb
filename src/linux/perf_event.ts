// Owns perf events of the running kernel: opening them on tasks and CPUs, and running programs at their samples.
import { viewOf } from "../base/bytes.ts";
import {
  encodePerfEventAttr,
  PERF_EVENT_IOC_DISABLE,
  PERF_EVENT_IOC_ENABLE,
  PERF_EVENT_IOC_ID,
  PERF_EVENT_IOC_RESET,
  PERF_EVENT_IOC_SET_BPF,
  PERF_FLAG_FD_CLOEXEC,
  type PerfEventAttr,
} from "../uapi/perf_event_attr.ts";
import { onlineCpus } from "./cpus.ts";
import { Descriptor, openFd } from "./descriptor.ts";
import { linuxError } from "./errors.ts";
import { cMemory } from "./host.ts";
import type { BpfProgram } from "./program.ts";
import { syscall } from "./syscall.ts";

/** Which tasks and CPUs an event is about. */
export interface PerfEventTarget {
  /** A thread's id; 0 for the calling one, -1 for all tasks of a CPU. 0 by default, -1 with `cpu`. */
  pid?: number;
  /** A CPU; -1 for whichever the task runs on, the default. */
  cpu?: number;
  /** An event to be counted together with. */
  group?: PerfEvent;
  /** `PERF_FLAG_FD_CLOEXEC` by default. */
  flags?: number;
}

/**
 * A perf event. It closes at the end of the block with `using`, or by `close()`, which also detaches its program.
 *
 * @example
 * ```ts ignore
 * // Not run: needs CAP_PERFMON, or kernel.perf_event_paranoid of 2 or less for a process of one's own.
 * import { PERF_COUNT_SW_TASK_CLOCK, PERF_TYPE_SOFTWARE, PerfEvent } from "@bpf/stackmap/linux";
 *
 * const clock = { type: PERF_TYPE_SOFTWARE, config: PERF_COUNT_SW_TASK_CLOCK, exclude_kernel: true };
 * using event = PerfEvent.open(clock);
 * console.log(event.read()); // nanoseconds that this thread ran since
 * ```
 */
export class PerfEvent extends Descriptor {
  /**
   * Opens an event.
   *
   * @throws {LinuxError} `EACCES` or `EPERM`; `ESRCH` if the thread has ended; `ENOENT` for an event that the
   *   machine does not have; `EINVAL`, `ENODEV` for a CPU that is not online, …
   */
  static open(attr: PerfEventAttr, target: PerfEventTarget = {}): PerfEvent {
    const { cpu = -1, pid = cpu < 0 ? 0 : -1, group, flags = PERF_FLAG_FD_CLOEXEC } = target;
    const groupFd = group === undefined ? -1 : openFd(group);
    const fd = syscall("perf_event_open", encodePerfEventAttr(attr), pid, cpu, groupFd, flags);
    if (fd < 0) throw linuxError(fd, "perf_event_open()");
    return new PerfEvent(fd);
  }

  /**
   * Makes an `ioctl()` of the event.
   *
   * @returns What it returned: 0 as a rule.
   * @throws {LinuxError} If it fails.
   */
  ioctl(request: number, argument: number | bigint | Uint8Array = 0): number {
    const result = syscall("ioctl", openFd(this), request, argument);
    if (result < 0) throw linuxError(result, `ioctl(perf event, 0x${request.toString(16)})`);
    return result;
  }

  /** Begins to count and to sample. */
  enable(): void {
    this.ioctl(PERF_EVENT_IOC_ENABLE);
  }

  /** Stops. Programs that run on other CPUs at that moment end in their own time. */
  disable(): void {
    this.ioctl(PERF_EVENT_IOC_DISABLE);
  }

  /** Counts from zero. */
  reset(): void {
    this.ioctl(PERF_EVENT_IOC_RESET);
  }

  /**
   * Runs a `BPF_PROG_TYPE_PERF_EVENT` program at each sample. One that returns 0 keeps the sample out of the
   * event's buffer.
   *
   * @throws {LinuxError} `EEXIST` if there is one already, `EINVAL` for another type of program or event; `EPROTO`
   *   if it asks for stacks that a precise event can't give.
   */
  setBpf(program: BpfProgram): void {
    this.ioctl(PERF_EVENT_IOC_SET_BPF, openFd(program));
  }

  /** The event's id, as samples name it. */
  id(): bigint {
    const id = cMemory(8);
    this.ioctl(PERF_EVENT_IOC_ID, id);
    return viewOf(id).getBigUint64(0, true);
  }

  /**
   * The count so far, without `read_format`.
   *
   * @throws {LinuxError} If it can't be read.
   */
  read(): bigint {
    const count = cMemory(8);
    const result = syscall("read", openFd(this), count, 8);
    if (result < 0) throw linuxError(result, "read(perf event)");
    return viewOf(count).getBigUint64(0, true);
  }
}

/**
 * Events that are switched together: one for each CPU, or for each thread.
 *
 * @example
 * ```ts ignore
 * // Not run: needs CAP_PERFMON.
 * import { PERF_COUNT_SW_CPU_CLOCK, PERF_TYPE_SOFTWARE, PerfEvents } from "@bpf/stackmap/linux";
 *
 * const clock = { type: PERF_TYPE_SOFTWARE, config: PERF_COUNT_SW_CPU_CLOCK, freq: true, sample_freq: 99 };
 * using events = PerfEvents.onCpus({ ...clock, disabled: true }); // the whole machine
 * events.enable();
 * ```
 */
export class PerfEvents implements Disposable {
  /** The events, in the order of their CPUs or threads. */
  readonly events: readonly PerfEvent[];

  /**
   * Takes over open events.
   *
   * @param events They close with it.
   */
  constructor(events: readonly PerfEvent[]) {
    this.events = events;
  }

  /**
   * Opens an event on each CPU.
   *
   * @param pid A thread to be sampled wherever it runs; all tasks by default.
   * @param cpus Those online by default.
   * @throws {LinuxError} As `PerfEvent.open()`; none stays open then.
   */
  static onCpus(attr: PerfEventAttr, pid: number = -1, cpus: readonly number[] = onlineCpus()): PerfEvents {
    return PerfEvents.#all(cpus.map((cpu) => () => PerfEvent.open(attr, { pid, cpu })));
  }

  /**
   * Opens an event on each thread. Those that have ended are left out.
   *
   * @param threads Thread ids; the names in `/proc/PID/task`. Later ones are sampled if the event inherits.
   * @throws {LinuxError} As `PerfEvent.open()`; `ESRCH` if all have ended.
   */
  static onThreads(attr: PerfEventAttr, threads: readonly number[]): PerfEvents {
    let ended: unknown;
    const events = PerfEvents.#all(threads.map((pid) => () => {
      try {
        return PerfEvent.open(attr, { pid });
      } catch (error) {
        if ((error as { code?: string }).code !== "ESRCH") throw error;
        ended = error;
        return undefined;
      }
    }));
    if (events.events.length === 0 && ended !== undefined) throw ended;
    return events;
  }

  static #all(openers: readonly (() => PerfEvent | undefined)[]): PerfEvents {
    const events: PerfEvent[] = [];
    try {
      for (const open of openers) {
        const event = open();
        if (event !== undefined) events.push(event);
      }
    } catch (error) {
      for (const event of events) event.close();
      throw error;
    }
    return new PerfEvents(events);
  }

  /** Runs a program at each sample of each event. */
  setBpf(program: BpfProgram): void {
    for (const event of this.events) event.setBpf(program);
  }

  /** Begins to count and to sample, one event after another. */
  enable(): void {
    for (const event of this.events) event.enable();
  }

  /** Stops. */
  disable(): void {
    for (const event of this.events) event.disable();
  }

  /** Closes all. */
  close(): void {
    for (const event of this.events) event.close();
  }

  /** Closes all. */
  [Symbol.dispose](): void {
    this.close();
  }
}
