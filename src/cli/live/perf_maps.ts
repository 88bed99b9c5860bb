// Owns how much of perf maps is read: all of one or nothing, and so much of all processes together.
import { statSync } from "node:fs";
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
   * @param read Reads it if it has no more than so many bytes.
   */
  read(pid: number, comm: string, read: (maxBytes: number) => string | undefined): string | undefined {
    const { perfMapBytes, allPerfMapsBytes } = this.#limits;
    const maxBytes = Math.min(perfMapBytes, this.#left);
    const text = read(maxBytes);
    if (text !== undefined) {
      this.#left -= text.length;
      return text;
    }
    const size = sizeOf(`/proc/${pid}/root/tmp/perf-${pid}.map`) ?? sizeOf(`/tmp/perf-${pid}.map`) ?? 0;
    if (size > maxBytes) {
      const limit = size > perfMapBytes
        ? `perf maps of more than ${sizeText(perfMapBytes)}`
        : `perf maps beyond ${sizeText(allPerfMapsBytes)} in all`;
      this.#leftOut.add(limit, `that of ${comm} (${pid}, ${sizeText(size)})`);
    }
    return undefined;
  }
}

/** Of a file that is only asked about for a message: what it leads to does not matter. */
function sizeOf(path: string): number | undefined {
  try {
    return statSync(path).size;
  } catch {
    return undefined;
  }
}
