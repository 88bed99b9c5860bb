// Owns our side: loads the symbolizer, gives it a subject's files, and puts its answers into the common shape.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Chain, normalChain } from "./answers.ts";
import type { Subject } from "./subject.ts";

/** What the comparison needs of a symbolizer. */
export interface SymbolizerLike {
  add(
    bytes: Uint8Array<ArrayBuffer>,
    options?: { name?: string; buildId?: Uint8Array<ArrayBuffer>; alternate?: Uint8Array<ArrayBuffer> },
  ): Promise<{ status: string; buildId?: Uint8Array; problems: readonly Error[] }>;
  lookup(buildId: Uint8Array, fileOffset: bigint): Answer;
  lookupAddress(buildId: Uint8Array, address: bigint): Answer;
}

/** What it answers. */
export interface Answer {
  frames: readonly {
    name?: string | undefined;
    demangled?: string | undefined;
    file?: string | undefined;
    line?: number | undefined;
    column?: number | undefined;
    inlined: boolean;
    source: string;
  }[];
  reason?: string;
  address?: bigint;
  reconstructed?: boolean;
}

export type SymbolizerClass = new () => SymbolizerLike;

/** The class of src/symbolize/symbolizer.ts, or of another module with the same interface. */
export async function loadSymbolizer(specifier = "../../src/symbolize/symbolizer.ts"): Promise<SymbolizerClass> {
  const module = await import(new URL(specifier, import.meta.url).href) as { Symbolizer: SymbolizerClass };
  return module.Symbolizer;
}

/** A subject that is loaded. */
export interface Loaded {
  symbolizer: SymbolizerLike;
  buildId: Uint8Array;
  /** What add() said of each file that isn't flawless. */
  problems: string[];
  milliseconds: number;
}

/** Gives the files of a subject to a new symbolizer, the same build ID with all that have none of their own. */
export async function loadSubject(Symbolizer: SymbolizerClass, subject: Subject): Promise<Loaded> {
  const symbolizer = new Symbolizer();
  const problems: string[] = [];
  const start = performance.now();
  let buildId: Uint8Array<ArrayBuffer> | undefined;
  for (const { path, alternate } of subject.files) {
    const bytes = new Uint8Array(readFileSync(path));
    buildId ??= noteBuildId(bytes) ??
      new Uint8Array(createHash("sha1").update(subject.name).digest());
    const added = await symbolizer.add(bytes, {
      name: path,
      buildId,
      ...(alternate === undefined ? {} : { alternate: new Uint8Array(readFileSync(alternate)) }),
    });
    for (const problem of added.problems) problems.push(`${added.status}: ${problem.message}`);
  }
  return { symbolizer, buildId: buildId!, problems, milliseconds: performance.now() - start };
}

export function ourChain(answer: Answer): Chain {
  return normalChain(answer.frames.map(({ name, file, line, column }) => ({ name, file, line, column })));
}

/** The descriptor of a GNU build-ID note near the file's start, by its bytes: not our reader. */
export function noteBuildId(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const end = Math.min(bytes.length, 1 << 16) - 16;
  const big = bytes[5] === 2;
  for (let at = 0; at < end; at += 4) {
    // "GNU\0" after namesz 4, descsz 8 to 20, type 3.
    if (bytes[at + 12] !== 0x47 || bytes[at + 13] !== 0x4e || bytes[at + 14] !== 0x55 || bytes[at + 15] !== 0) {
      continue;
    }
    const word = (from: number): number => {
      const [a, b, c, d] = bytes.subarray(from, from + 4);
      return big ? a << 24 | b << 16 | c << 8 | d : d << 24 | c << 16 | b << 8 | a;
    };
    const size = word(at + 4);
    if (word(at) === 4 && word(at + 8) === 3 && size >= 8 && size <= 20) {
      return bytes.slice(at + 16, at + 16 + size);
    }
  }
  return undefined;
}
