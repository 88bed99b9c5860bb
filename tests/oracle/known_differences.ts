// Owns the list of differences that were looked at: each with its cause, whose fault it is, and what shows it.
import type { Chain, Frame } from "./answers.ts";
import { lookupText, symbolFacts } from "./elf_facts.ts";
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

function samePlace(a: Frame, b: Frame): boolean {
  return a.file === b.file && a.line === b.line && a.column === b.column;
}

/** A name without what compilers append to a clone's. */
function bare(name: string | undefined): string | undefined {
  return name?.replace(/\..*/, "");
}

/** Whether both are alike but for the outermost name. */
function onlyOutermostNameDiffers(ours: Chain, theirs: Chain): boolean {
  return ours.length === theirs.length && ours.length > 0 &&
    ours.every((one, i) => samePlace(one, theirs[i]) && (i === ours.length - 1 || one.name === theirs[i].name));
}

function linksAlternate(subject: Subject): boolean {
  return subject.files.some(({ path, alternate }) => alternate !== undefined && path === subject.asked);
}

/**
 * Whether `theirs` has no name, or a plain one where ours is a linkage name: what it takes for the DIE in the alternate file
 * is another ("__i") or only part of the chain ("end" of "…3endEv").
 */
function missesName(ours: Frame, theirs: Frame): boolean {
  if (ours.name === undefined) return false;
  return theirs.name === undefined || (ours.name.startsWith("_Z") && !theirs.name.startsWith("_Z"));
}

/** Whether a name is that of a symbol without size or code. */
function isLtoMark(subject: Subject, name: string | undefined): boolean {
  const facts = symbolFacts(subject.asked).get(name ?? "") ?? [];
  return facts.length > 0 && facts.every(({ size, executable }) => size === 0n && !executable);
}

/** Asked in this order; the first that matches takes the difference. */
export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    cause:
      "llvm-symbolizer 14 doesn't read alternate files (.gnu_debugaltlink): it has no name for a function there",
    fault: "oracle",
    evidence: "readelf -p .gnu_debugaltlink FILE; readelf --debug-dump=info FILE | grep alt",
    matches: ({ subject, ours, theirs, gnu }) =>
      linksAlternate(subject) && ours.length === theirs.length &&
      ours.every((one, i) =>
        samePlace(one, theirs[i]) &&
        (one.name === theirs[i].name || missesName(one, theirs[i]) ||
          (i === ours.length - 1 && isLtoMark(subject, theirs[i].name)))
      ) &&
      // addr2line reads them: where it was asked and has as many frames, its names must be ours; or the outermost one,
      // which it gives to frames whose name it does not know.
      (gnu === undefined || gnu.length !== ours.length ||
        ours.every((one, i) =>
          theirs[i].name !== undefined || gnu[i].name === undefined || gnu[i].name === one.name ||
          bare(gnu[i].name) === bare(gnu[gnu.length - 1].name)
        )),
  },
  {
    cause: "llvm-symbolizer takes a symbol without a size to reach beyond its section: .plt is called _init",
    fault: "oracle",
    evidence: "readelf -sW FILE; readelf -SW FILE; addr2line knows nothing there",
    matches: ({ subject, address, ours, theirs, gnu }) => {
      if (ours.length > 0 || theirs.length !== 1 || theirs[0].line !== undefined) return false;
      if (gnu !== undefined && gnu.length > 0) return false;
      const facts = symbolFacts(subject.asked).get(theirs[0].name ?? "") ?? [];
      return facts.length > 0 && facts.every(({ size, sectionEnd }) => size === 0n && sectionEnd <= address);
    },
  },
  {
    cause: "llvm-symbolizer takes marks of link-time optimisation, in a section without code, for functions",
    fault: "oracle",
    evidence: "readelf -sW FILE: NOTYPE, size 0, in a section that has no X in readelf -SW FILE",
    matches: ({ subject, ours, theirs }) =>
      theirs.length > 0 && isLtoMark(subject, theirs[theirs.length - 1].name) &&
      (onlyOutermostNameDiffers(ours, theirs) ||
        (ours.length === 0 && theirs.length === 1 && theirs[0].line === undefined)),
  },
  {
    cause: "llvm-symbolizer takes a symbol with an empty name for a function",
    fault: "oracle",
    evidence: "readelf -sW FILE; addr2line knows nothing there",
    matches: ({ ours, theirs, gnu }) =>
      ours.length === 0 && theirs.length === 1 && theirs[0].name === undefined && theirs[0].line === undefined &&
      (gnu === undefined || gnu.length === 0),
  },
  {
    cause:
      "llvm-symbolizer 14 shows no inlined calls of a unit in a .dwp file whose skeleton describes them as well",
    fault: "oracle",
    evidence: "llvm-dwarfdump --lookup=ADDRESS FILE shows a DW_TAG_inlined_subroutine there: asked at each",
    matches: ({ subject, address, ours, theirs }) =>
      subject.name.includes("fsplit-dwarf-inlining + dwp") && theirs.length > 0 && ours.length > theirs.length &&
      samePlace(ours[0], theirs[0]) && ours[ours.length - 1].name === theirs[theirs.length - 1].name &&
      lookupText(subject.asked, address).includes("DW_TAG_inlined_subroutine"),
  },
];
