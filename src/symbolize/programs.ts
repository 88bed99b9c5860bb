// Owns Programs: the debug information of all binaries of a symbolizer, who used it last, and the limit on memory.
import type { IndexedBinary } from "./binary.ts";
import type { BuildIdIndex } from "./build_id_index.ts";
import type { FrameNames } from "./frame_rows.ts";
import { Program } from "./program.ts";

/** Adding that takes longer has ended without notice, as on Workers with the request that it was for. */
const LOST_AFTER_MS = 60_000;

function isBusy({ adding, addingSince }: Program): boolean {
  return adding > 0 && performance.now() - addingSince < LOST_AFTER_MS;
}

/** The programs of a {@linkcode BuildIdIndex}'s binaries, by the same numbers. */
export class Programs {
  readonly #index: BuildIdIndex;
  readonly #maxBytes: number;
  readonly #programs: (Program | undefined)[] = [];
  #calls = 0;

  /** @param maxBytes Most bytes to keep of everything; `Infinity` for no limit. */
  constructor(index: BuildIdIndex, maxBytes: number) {
    this.#index = index;
    this.#maxBytes = maxBytes;
  }

  /** The program of a binary, `undefined` if it has no debug information. */
  get(index: number): Program | undefined {
    return this.#programs[index];
  }

  /** The program of a binary that debug information is to be added to. */
  make(index: number): Program {
    return this.#programs[index] ??= new Program();
  }

  /** Begins a call; what it uses is let go of last. */
  begin(): number {
    return ++this.#calls;
  }

  /** What is known of a binary, for call number `call`, which uses it. */
  names(index: number, call: number): FrameNames {
    const program = this.#programs[index];
    if (program !== undefined) {
      program.lastUsed = call;
      program.gsym = program.gsym?.renewed();
    }
    return { symbols: this.#index.binaries[index].symbols, dwarf: program?.dwarf, gsym: program?.gsym };
  }

  /** Bytes kept of one binary. */
  bytesOf(binary: IndexedBinary): number {
    return binary.retainedBytes + (this.#programs[binary.index]?.retainedBytes ?? 0);
  }

  /** Bytes kept of all. */
  get retainedBytes(): number {
    let bytes = 0;
    for (const binary of this.#index.binaries) bytes += this.bytesOf(binary);
    return bytes;
  }

  /** Whether there is a limit at all. */
  get isLimited(): boolean {
    return this.#maxBytes !== Infinity;
  }

  /** Lets go of a binary; returns whether there was anything. */
  evict(buildId: Uint8Array): boolean {
    const index = this.#index.binary(buildId)?.index ?? -1;
    this.#programs[index] = undefined;
    return this.#index.evict(buildId);
  }

  /** Lets go of what was used least recently, until the limit is kept; never of what the last call used. */
  keepLimit(): void {
    if (!this.isLimited) return;
    let excess = this.retainedBytes - this.#maxBytes;
    if (excess <= 0) return;
    const byAge = this.#index.binaries
      .filter(({ evicted }) => !evicted)
      .sort((a, b) => (this.#programs[a.index]?.lastUsed ?? 0) - (this.#programs[b.index]?.lastUsed ?? 0));
    for (const binary of byAge) {
      if (excess <= 0) return;
      const program = this.#programs[binary.index];
      if (program?.lastUsed === this.#calls) return;
      if (program !== undefined && isBusy(program)) continue;
      excess -= this.bytesOf(binary);
      this.evict(binary.buildId);
    }
  }
}
