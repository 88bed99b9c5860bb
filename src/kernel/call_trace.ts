// Owns the readable account of one helper call: which check decided what, frame by frame.

/** One step of a {@linkcode CallTrace}. */
export interface TraceStep {
  /** The kernel function or structure that the step is about. */
  where: string;
  /** What happened there, as a sentence without a full stop. */
  text: string;
  /** Index of the frame the step is about, after skipping; absent for steps about the whole call. */
  frame?: number;
}

/**
 * Collects why a call answered what it did: "why did this frame fall back?", "why -EEXIST?". Pass one as `trace` of
 * the {@linkcode CallContext}; calls without one pay nothing for it.
 *
 * @example
 * ```ts
 * import { assertStringIncludes } from "@std/assert";
 * import { BPF_F_USER_STACK, CallTrace, StackMap } from "@bpf/stackmap";
 *
 * const map = new StackMap({ valueSize: 8, maxEntries: 1 });
 * map.getStackid(new BigUint64Array([0x401136n]), BPF_F_USER_STACK);
 * const trace = new CallTrace();
 * map.getStackid(new BigUint64Array([0x402000n]), BPF_F_USER_STACK, { trace });
 * assertStringIncludes(trace.toString(), "-EEXIST");
 * ```
 */
export class CallTrace {
  /** The steps in order. */
  readonly steps: TraceStep[] = [];

  /** Adds a step. */
  add(where: string, text: string, frame?: number): void {
    this.steps.push(frame === undefined ? { where, text } : { where, text, frame });
  }

  /** One line a step. */
  toString(): string {
    return this.steps
      .map(({ where, text, frame }) => `${where}: ${frame === undefined ? "" : `frame ${frame}: `}${text}`)
      .join("\n");
  }
}
