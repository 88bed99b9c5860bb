// Owns the main job: decoded stacks and a symbolizer in, folded stacks and an account of the frames out.
import { BPF_STACK_BUILD_ID_IP } from "../uapi/bpf.ts";
import { cameName, type StackColumns } from "../dump/columns.ts";
import { parseEhdr } from "../elf/headers.ts";
import { type FoldedFrame, type FoldedStacks, foldStacks, frameFallbackName } from "../profile/folded.ts";
import type { SamplingInfo } from "../recording/recording.ts";
import type { IndexedBinary } from "../symbolize/binary.ts";
import { RESOLVE_REASONS } from "../symbolize/resolution.ts";
import type { SymbolizedColumns } from "../symbolize/symbolized_columns.ts";
import type { Symbolizer } from "../symbolize/symbolizer.ts";
import { percent } from "./command.ts";

/** Stacks, and what is known of them besides their frames. */
export interface DumpedStacks {
  /** What they are of, in a word or two. */
  title: string;
  columns: StackColumns;
  /** How often each id occurred; each stack of the dump counts 1 without them. */
  counts?: ReadonlyMap<number, number> | undefined;
  /** The helper skipped frames, so that even the first frame of a stack is a return address. */
  skipped?: boolean;
  /** The process of a stack, by the stack's position. */
  processOf?: (stack: number) => { pid?: number | undefined; comm?: string | undefined } | undefined;
  /** How they were sampled. */
  sampling?: SamplingInfo | undefined;
}

/**
 * Folds the stacks of a dump, each below the name of its process where that is known, each frame named after its
 * function and those it was inlined into, else after its binary and offset.
 *
 * @param linkageNames Names as the linker has them, not demangled.
 */
export function foldDump(
  stacks: DumpedStacks,
  symbolizer: Symbolizer,
  linkageNames: boolean = false,
): FoldedStacks {
  const { columns, counts, skipped = false, processOf } = stacks;
  const name = (frame: FoldedFrame): string | string[] => {
    if (frame.status === BPF_STACK_BUILD_ID_IP) return frameFallbackName(frame);
    const returnAddress = skipped || !frame.innermost;
    const { frames, binary } = symbolizer.lookup(frame.build_id, frame.offset, { returnAddress });
    const unknown = binary === undefined || binary.name === ""
      ? frameFallbackName(frame)
      : `${binary.name.replace(/.*\//, "")}+0x${frame.offset.toString(16)} [unknown]`;
    if (frames.length === 0) return unknown;
    return frames.map((one) => (linkageNames ? one.name : one.demangled) ?? unknown);
  };
  return foldStacks(columns, name, counts, processOf === undefined ? {} : { root: (s) => processOf(s)?.comm });
}

/**
 * Whether an ELF file ends before its section headers, and so before what they lead to: the first pages of a file are
 * all that there is of it. `bytes` must have a valid ELF header.
 */
export function endsEarly(bytes: Uint8Array): boolean {
  return parseEhdr(bytes).e_shoff >= bytes.length;
}

/** Names that only tell where an address is: `[heap]`, `libfoo.so+0x1234`. */
const PLACE = /^\[|\+0x[0-9a-f]+$/;

/** Symbolizes all frames of a dump. */
export function lookupStacks({ columns, skipped }: DumpedStacks, symbolizer: Symbolizer): SymbolizedColumns {
  // Without stacks no frame is the innermost of one.
  return symbolizer.lookupColumns(skipped ? { ...columns, first: new Uint32Array(0) } : columns);
}

/**
 * One line: how many frames were resolved, kept as IP and unknown, and why they are unknown.
 *
 * @param symbolized What {@linkcode lookupStacks} gave.
 * @param cut Binaries of which the file at hand {@linkcode endsEarly}.
 */
export function summarize(
  { columns }: DumpedStacks,
  symbolizer: Symbolizer,
  symbolized: SymbolizedColumns,
  cut: ReadonlySet<IndexedBinary> = new Set(),
): string {
  const { reason, binary } = symbolized.resolved;
  const isPlace = (columns.names ?? []).map((name) => PLACE.test(name));
  const reasons = new Map<string, number>();
  let named = 0;
  let kept = 0;
  for (let row = 0; row < reason.length; row++) {
    const came = cameName(columns, row);
    if (came !== undefined && !isPlace[columns.nameIndex![row]]) {
      named++;
    } else if (columns.status[row] === BPF_STACK_BUILD_ID_IP) {
      kept++;
    } else if (reason[row] === 0) {
      named++;
    } else {
      let text: string = RESOLVE_REASONS[reason[row]];
      // Nothing is wrong with symbols that the file at hand was cut off before.
      if (text === "malformed-symbols" && cut.has(symbolizer.binaries[binary[row]])) {
        text = "in a file cut before its symbols";
      }
      reasons.set(text, (reasons.get(text) ?? 0) + 1);
    }
  }
  const total = reason.length;
  const unknown = total - named - kept;
  const why = [...reasons].sort((a, b) => b[1] - a[1]).map(([text, count]) => `${count} ${text}`).join(", ");
  const lost = columns.emptyIndex?.reduce((sum, index) => sum + (index < 0 ? 0 : 1), 0) ?? 0;
  return `${total} frames in ${columns.ids.length - lost} stacks: ${named} resolved (${percent(named, total)}), ` +
    `${kept} kept as IP, ${unknown} unknown${why === "" ? "" : ` (${why})`}\n`;
}
