// Owns the list of differences that were looked at: each with its cause, whose fault it is, and what shows it.
import type { Chain } from "./answers.ts";
import type { Subject } from "./subject.ts";

/** An address where the answers differ. */
export interface Difference {
  subject: Subject;
  address: bigint;
  ours: Chain;
  theirs: Chain;
  /** What addr2line says, where it was asked and could read the file. */
  gnu: Chain | undefined;
}

export interface KnownDifference {
  /** A sentence for the report. */
  cause: string;
  /**
   * "oracle": llvm-symbolizer is wrong, so the address counts for nobody. "choice": both can be defended, and
   * "ours": we are wrong; these two count against us.
   */
  fault: "oracle" | "choice" | "ours";
  /** A command, or a place in a specification, that shows the cause. */
  evidence: string;
  matches(difference: Difference): boolean;
}

/** Asked in this order; the first that matches takes the difference. */
export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    cause:
      "llvm-symbolizer 14 doesn't read alternate files (.gnu_debugaltlink): it has no name for a function there",
    fault: "oracle",
    evidence: "readelf -p .gnu_debugaltlink FILE; readelf --debug-dump=info FILE | grep alt",
    matches: ({ subject, ours, theirs, gnu }) =>
      subject.files.some(({ path, alternate }) => alternate !== undefined && path === subject.asked) &&
      ours.length === theirs.length &&
      ours.every((one, i) =>
        one.file === theirs[i].file && one.line === theirs[i].line &&
        (one.name === theirs[i].name || (theirs[i].name === undefined && one.name !== undefined))
      ) &&
      // addr2line reads them: where it was asked and has as many frames, its names must be ours.
      (gnu === undefined || gnu.length !== ours.length ||
        ours.every((one, i) =>
          theirs[i].name !== undefined || gnu[i].name === undefined || gnu[i].name === one.name
        )),
  },
];
