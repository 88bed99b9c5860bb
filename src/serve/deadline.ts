// Owns Deadline: a signal for all the work of one request, that ends with the request or after a time.
import { MOST_TIMER_MS } from "../base/abort.ts";

/** When the work of a request has to end. */
export class Deadline {
  /** Aborted when the time is over, or the client is gone. */
  readonly signal: AbortSignal;
  /** Whether it was the time. */
  timedOut = false;
  readonly #end: () => void;

  /** @param milliseconds From now on. */
  constructor(request: Request, milliseconds: number) {
    const controller = new AbortController();
    this.signal = controller.signal;
    // Not every platform says when the client is gone.
    const client = request.signal as AbortSignal | undefined;
    const leave = () => controller.abort(client!.reason);
    if (client?.aborted) leave();
    else client?.addEventListener("abort", leave, { once: true });
    const timer = setTimeout(() => {
      this.timedOut = true;
      controller.abort(new DOMException(`not done after ${milliseconds} ms`, "TimeoutError"));
    }, Math.min(milliseconds, MOST_TIMER_MS));
    this.#end = () => {
      clearTimeout(timer);
      client?.removeEventListener("abort", leave);
    };
  }

  /** To be called when the work is done, once. */
  end(): void {
    this.#end();
  }
}
