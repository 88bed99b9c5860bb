// Owns several stores as one: asked one after the other, or all at once.
import { anySignal, orAborted } from "../base/abort.ts";
import { messageOf } from "./error_text.ts";
import { type BinaryStore, type StoredFile, StoreError } from "./store.ts";

/** The one error, or one that stands for several. */
function together(errors: readonly unknown[]): unknown {
  if (errors.length === 1) return errors[0];
  const messages = errors.map(messageOf);
  const first = errors.find((error) => error instanceof StoreError);
  return new StoreError(first?.reason ?? "unreachable", messages.join("; "), {
    ...(first?.status === undefined ? {} : { status: first.status }),
    cause: new AggregateError(errors, `${errors.length} stores could not answer`),
  });
}

/**
 * Asks one store after the other, until one has the file. One that could not answer, or whose answer has another
 * build ID, is passed over; its error is thrown only if no later store has the file.
 *
 * @throws {StoreError} From `find`: where several could not answer, with the first one's reason, all messages, and
 *   as its `cause` an `AggregateError`.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { inOrderStore, memoryStore } from "@bpf/stackmap";
 *
 * const buildId = Uint8Array.of(0xab, 0xcd);
 * const full = memoryStore([{ buildId, item: "executable", bytes: new Uint8Array(9), name: "full" }]);
 * const file = await inOrderStore(memoryStore(), full).find(buildId, "executable");
 * assertEquals(file?.name, "full");
 * ```
 */
export function inOrderStore(...stores: readonly BinaryStore[]): BinaryStore {
  return {
    async find(buildId, item, { signal } = {}): Promise<StoredFile | undefined> {
      const errors: unknown[] = [];
      for (const store of stores) {
        try {
          const file = await store.find(buildId, item, { signal });
          if (file !== undefined) return file;
        } catch (error) {
          if (!(error instanceof StoreError) || signal?.aborted) throw error;
          errors.push(error);
        }
      }
      if (errors.length > 0) throw together(errors);
      return undefined;
    },
  };
}

/**
 * Asks all stores at once; the first that has the file wins, and the others are cancelled. Errors count as in
 * {@linkcode inOrderStore}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryStore, racedStore } from "@bpf/stackmap";
 *
 * const buildId = Uint8Array.of(0xab, 0xcd);
 * const full = memoryStore([{ buildId, item: "executable", bytes: new Uint8Array(9), name: "full" }]);
 * const file = await racedStore(memoryStore(), full).find(buildId, "executable");
 * assertEquals(file?.name, "full");
 * ```
 */
export function racedStore(...stores: readonly BinaryStore[]): BinaryStore {
  return {
    async find(buildId, item, { signal } = {}): Promise<StoredFile | undefined> {
      signal?.throwIfAborted();
      const controllers = stores.map(() => new AbortController());
      const lost = new DOMException("another store was faster", "AbortError");
      const errors: unknown[] = [];
      let winner = -1;
      const runs = stores.map(async (store, index) => {
        try {
          const file = await store.find(buildId, item, { signal: anySignal(signal, controllers[index].signal) });
          if (file === undefined) return undefined;
          if (winner < 0 && !signal?.aborted) {
            winner = index;
            controllers.forEach((controller, other) => other !== index && controller.abort(lost));
            return file;
          }
          await file.cancel();
        } catch (error) {
          if (winner < 0) errors.push(error);
        }
        return undefined;
      });
      // The winner's answer, or what is left when all have answered.
      const first = Promise.any(runs.map(async (run) => await run ?? Promise.reject()));
      const found = await orAborted(first.catch(() => undefined), signal);
      if (found !== undefined) return found;
      const broken = errors.find((error) => !(error instanceof StoreError));
      if (broken !== undefined) throw broken;
      if (errors.length > 0) throw together(errors);
      return undefined;
    },
  };
}
