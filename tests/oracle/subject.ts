// Owns what a comparison is about: files for us, the file the other tools are asked about, and how each was made.

/** One thing to symbolize. */
export interface Subject {
  name: string;
  /** What we are given, in this order, under one build ID. */
  files: { path: string; alternate?: string }[];
  /** What llvm-symbolizer is asked about: the same code; it may be an uncompressed or unsplit copy. */
  asked: string;
  askedArgs?: string[];
  askedCwd?: string;
  /** Where addr2line finds the same, if not in `asked`. */
  askedGnu?: string;
  /** Has the program headers as mapped, so that file offsets can be looked up as well. */
  mapped?: string;
  /** The names' mangling differs from C: a demangled pass is worth it. */
  demangled?: boolean;
  note?: string;
}

/** How to get a subject; `make` throws where this machine can't. */
export interface Recipe {
  name: string;
  /** Programs it needs. */
  tools: readonly string[];
  /** More than one where one build gives several. */
  make(): Promise<Subject[]>;
}
