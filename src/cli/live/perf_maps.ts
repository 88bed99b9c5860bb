// Owns how much of perf maps is read: all of one or nothing, and so much of all processes together.
import { sizeText } from "./limits.ts";
import type { LocalBinaries } from "./local_binaries.ts";

/** Reads perf maps until their bytes are used up. */
export class PerfMaps {
  readonly #limits: LocalBinaries["limits"];
  readonly #leftOut: LocalBinaries["leftOut"];
  #left: number;

  constructor({ limits, leftOut }: Pick<LocalBinaries, "limits" | "leftOut">) {
    this.#limits = limits;
    this.#leftOut = leftOut;
    this.#left = limits.allPerfMapsBytes;
  }

  /**
   * The text of a process's perf map; `undefined` if there is none, or it is left out.
   *
   * @param read Reads it if it has no more than so many bytes, and else tells how many it has.
   */
  read(
    pid: number,
    comm: string,
    read: (maxBytes: number, tooLarge: (sizeBytes: number) => void) => string | undefined,
  ): string | undefined {
    const { perfMapBytes, allPerfMapsBytes } = this.#limits;
    const text = read(Math.min(perfMapBytes, this.#left), (size) => {
      const limit = size > perfMapBytes
        ? `perf maps of more than ${sizeText(perfMapBytes)}`
        : `perf maps beyond ${sizeText(allPerfMapsBytes)} in all`;
      this.#leftOut.add(limit, `that of ${comm} (${pid}, ${sizeText(size)})`);
    });
    if (text !== undefined) this.#left -= text.length;
    return text;
  }
}
