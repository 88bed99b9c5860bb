// Owns what a handler counts, and how Prometheus reads it.
import { cameName } from "../dump/columns.ts";
import { type BinaryStore, StoreError } from "../store/store.ts";
import { RESOLVE_REASONS } from "../symbolize/resolution.ts";
import type { Answer } from "./answer.ts";

/** Upper bounds of the latency histogram, in seconds. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

type Labels = Readonly<Record<string, string | number>>;

/** A counter by labels. Label values come from fixed lists, so that nobody can make any number of them. */
class Counter {
  readonly #values = new Map<string, number>();

  add(labels: Labels, by: number = 1): void {
    const key = Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join();
    this.#values.set(key, (this.#values.get(key) ?? 0) + by);
  }

  text(name: string, help: string): string {
    const lines = [...this.#values].map(([labels, value]) =>
      `${name}${labels === "" ? "" : `{${labels}}`} ${value}\n`
    );
    return `# HELP ${name} ${help}\n# TYPE ${name} counter\n${lines.join("")}`;
  }
}

/** Counts of one handler, since it was made. */
export class Metrics {
  readonly #requests = new Counter();
  readonly #frames = new Counter();
  readonly #bytes = new Counter();
  readonly #store = new Counter();
  readonly #buckets = new Float64Array(BOUNDS.length);
  #seconds = 0;
  #measured = 0;

  /** Counts a request that was answered; `route` is one of the handler's, or "other". */
  request(route: string, status: number, milliseconds: number): void {
    this.#requests.add({ route, status });
    if (route !== "/symbolize") return;
    const seconds = milliseconds / 1000;
    this.#seconds += seconds;
    this.#measured++;
    for (let i = 0; i < BOUNDS.length; i++) if (seconds <= BOUNDS[i]) this.#buckets[i]++;
  }

  /** Counts bytes of bodies, unpacked. */
  bytes(direction: "in" | "out", count: number): void {
    this.#bytes.add({ direction }, count);
  }

  /** Counts frames by what came of them. One that brought its name is resolved. */
  frames({ stacks, distinct, symbolized }: Pick<Answer, "stacks" | "distinct" | "symbolized">): void {
    const counts = new Uint32Array(RESOLVE_REASONS.length);
    const { frame } = distinct;
    const { reason } = symbolized.resolved;
    for (let row = 0; row < frame.length; row++) {
      const code = reason[frame[row]];
      counts[code !== 0 && cameName(stacks.columns, row) !== undefined ? 0 : code]++;
    }
    RESOLVE_REASONS.forEach((result, code) => counts[code] > 0 && this.#frames.add({ result }, counts[code]));
  }

  /** A store that is counted: questions by item and result. */
  counted(store: BinaryStore): BinaryStore {
    return {
      find: async (buildId, item, options) => {
        const name = item.startsWith("section/") ? "section" : item;
        try {
          const file = await store.find(buildId, item, options);
          this.#store.add({ item: name, result: file === undefined ? "none" : "found" });
          return file;
        } catch (error) {
          const aborted = options?.signal?.aborted === true;
          const result = error instanceof StoreError ? error.reason : aborted ? "cancelled" : "failed";
          this.#store.add({ item: name, result });
          throw error;
        }
      },
    };
  }

  /** Everything in Prometheus' text format. */
  text(retainedBytes: number): string {
    let latency = "# HELP stackmap_request_seconds Time until the head of the answer, of POST /symbolize.\n" +
      "# TYPE stackmap_request_seconds histogram\n";
    BOUNDS.forEach((bound, i) => latency += `stackmap_request_seconds_bucket{le="${bound}"} ${this.#buckets[i]}\n`);
    latency += `stackmap_request_seconds_bucket{le="+Inf"} ${this.#measured}\n` +
      `stackmap_request_seconds_sum ${this.#seconds}\nstackmap_request_seconds_count ${this.#measured}\n`;
    return this.#requests.text("stackmap_requests_total", "Requests answered, by route and status.") +
      this.#frames.text("stackmap_frames_total", "Frames looked up: resolved, or why not.") +
      this.#bytes.text("stackmap_bytes_total", "Bytes of stacks in (unpacked) and of answers out (not packed).") +
      this.#store.text("stackmap_store_requests_total", "Questions to the store, by item and result.") +
      "# HELP stackmap_retained_bytes Bytes that the symbolizer keeps.\n# TYPE stackmap_retained_bytes gauge\n" +
      `stackmap_retained_bytes ${retainedBytes}\n${latency}`;
  }
}
