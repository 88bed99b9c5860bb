// Owns how much of what other processes say is taken in, and the account of what was not.
import { plainText } from "../../base/plain_text.ts";
import type { Host } from "../host.ts";

/** Bounds of what processes can make a recording read and keep: their files are as large as they like. */
export interface LiveLimits {
  /** Most bytes of the mappings of one process. */
  mapsBytes: number;
  /** Most characters of mappings that are kept of all processes. */
  allMapsBytes: number;
  /** Most bytes of one perf map. */
  perfMapBytes: number;
  /** Most bytes of the perf maps of all processes. */
  allPerfMapsBytes: number;
  /** Most bytes of one binary. */
  fileBytes: number;
  /** Most bytes of all binaries that are read. */
  allFilesBytes: number;
  /** Most binaries that are known. */
  files: number;
  /** Most binaries that are kept open, so that they are there when they have been deleted. */
  openFiles: number;
  /** Most distinct addresses that are looked up one by one. */
  addresses: number;
}

export const LIVE_LIMITS: Readonly<LiveLimits> = {
  mapsBytes: 1 << 24,
  allMapsBytes: 1 << 26,
  perfMapBytes: 1 << 26,
  allPerfMapsBytes: 1 << 27,
  fileBytes: 1 << 30,
  allFilesBytes: 2 ** 31,
  files: 50_000,
  openFiles: 256,
  addresses: 1_000_000,
};

/** Names of things that are shown, and most that are counted. */
const SHOWN = 5;
const COUNTED = 10_000;

/** What was left out, told in one line for each limit. */
export class LeftOut {
  readonly #things = new Map<string, Set<string>>();

  /**
   * Notes a thing that was left out, once.
   *
   * @param limit Why, as the line begins: `files beyond 2 GiB in all`.
   */
  add(limit: string, name: string): void {
    let names = this.#things.get(limit);
    if (names === undefined) this.#things.set(limit, names = new Set());
    if (names.size < COUNTED) names.add(detached(plainText(name)));
  }

  /** Writes to standard error what was noted since the last call. */
  tell(host: Host): void {
    for (const [limit, names] of this.#things) {
      const more = names.size > SHOWN ? `, and ${names.size - SHOWN} more` : "";
      host.writeError(`left out, ${limit}: ${[...names].slice(0, SHOWN).join(", ")}${more}\n`);
    }
    this.#things.clear();
  }
}

/** Bytes as a person reads them. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const power = Math.min(3, Math.floor(Math.log2(bytes) / 10));
  return `${Number((bytes / 1024 ** power).toFixed(1))} ${["", "KiB", "MiB", "GiB"][power]}`;
}

/** A copy of a text whose parts may belong to a much larger one, which they would keep in memory. */
export function detached(text: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}

let lastTurn = 0;

/** Lets signals and timers have their turn, if they had none for a while. */
export async function eventLoopTurn(): Promise<void> {
  if (performance.now() - lastTurn < 20) return;
  await new Promise((resolve) => setTimeout(resolve, 0));
  lastTurn = performance.now();
}
