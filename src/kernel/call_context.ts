// Owns the situation a helper is called in.
import type { AddressSpace } from "../memory/address_space.ts";
import type { CallTrace } from "./call_trace.ts";

/**
 * The situation of one call. What is absent is drawn from the map's {@linkcode CpuSchedule} (whose rates are 0 unless
 * set) or, outside a map, is CPU 0 and nothing special.
 */
export interface CallContext {
  /** The CPU the call runs on, from 0. */
  cpu?: number;
  /** The mappings of the current task; absent for a task without `mm`, such as a kernel thread. */
  addressSpace?: AddressSpace;
  /** The call runs in NMI. */
  nmi?: boolean;
  /** The task's mmap lock is taken: `mmap_read_trylock()` fails. */
  mmapLocked?: boolean;
  /**
   * Interrupts are off and this CPU's irq_work still waits to unlock for an earlier call, as in the second call within
   * one NMI. Matters where the release translates in NMI.
   */
  irqWorkBusy?: boolean;
  /** Collects why the call answers what it does. */
  trace?: CallTrace;
}
