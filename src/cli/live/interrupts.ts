// Owns Ctrl-C and SIGTERM while a command works: what they ask for, by what it is at.
import process from "node:process";

/** Signals, and the exit codes that shells give for them. */
const SIGNALS = [["SIGINT", 130], ["SIGTERM", 143]] as const;

/** Listens to interrupts until it is disposed of. One that nobody listens to ends the process. */
export class Interrupts implements Disposable {
  #listener: (() => void) | undefined;
  readonly #handlers: [name: "SIGINT" | "SIGTERM", handler: () => void][];

  constructor() {
    this.#handlers = SIGNALS.map(([name, code]) => [name, () => {
      const listener = this.#listener;
      if (listener === undefined) process.exit(code);
      this.#listener = undefined;
      listener();
    }]);
    for (const [name, handler] of this.#handlers) process.on(name, handler);
  }

  /** Calls `listener` at the next one, instead of the listener before; the one after that ends the process. */
  next(listener: () => void): void {
    this.#listener = listener;
  }

  /** Lets signals do again what they do. */
  [Symbol.dispose](): void {
    for (const [name, handler] of this.#handlers) process.off(name, handler);
  }
}
