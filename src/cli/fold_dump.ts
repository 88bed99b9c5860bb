// Owns the main job: decoded stacks and a symbolizer in, folded stacks and an account of the frames out.
import { BPF_STACK_BUILD_ID_IP } from "../uapi/bpf.ts";
import { cameName, type StackColumns } from "../dump/columns.ts";
import { parseEhdr } from "../elf/headers.ts";
import { type FoldedFrame, foldStacks, formatFolded, frameFallbackName } from "../profile/folded.ts";
import type { IndexedBinary } from "../symbolize/binary.ts";
import { RESOLVE_REASONS } from "../symbolize/resolution.ts";
import type { Symbolizer } from "../symbolize/symbolizer.ts";
import { percent } from "./command.ts";

/** What {@linkcode foldDump} made. */
export interface FoldedDump {
  /** Folded stacks with counts. */
  text: string;
  /** One line: how many frames were resolved, kept as IP and unknown, and why they are unknown. */
  summary: string;
}

/** What is known of a dump besides its frames. */
export interface FoldOptions {
  /** How often each id occurred; each stack of the dump counts 1 without them. */
  counts?: Map<number, number> | undefined;
  /** The helper skipped frames, so that even the first frame of a stack is a return address. */
  skipped?: boolean;
  /** Names as the linker has them, not demangled. */
  linkageNames?: boolean;
  /** Binaries of which the file at hand {@linkcode endsEarly}. */
  cut?: ReadonlySet<IndexedBinary>;
  /** What stands outermost, before the frames of a stack. */
  root?: (stack: number) => string | undefined;
}

/**
 * Folds the stacks of a dump, each frame named after its function and those it was inlined into, else after its binary
 * and offset.
 */
export function foldDump(columns: StackColumns, symbolizer: Symbolizer, options: FoldOptions): FoldedDump {
  const { counts, skipped = false, linkageNames = false, cut = new Set(), root } = options;
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
  return {
    text: formatFolded(foldStacks(columns, name, counts, root === undefined ? {} : { root })),
    summary: summarize(columns, symbolizer, skipped, cut),
  };
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

function summarize(
  columns: StackColumns,
  symbolizer: Symbolizer,
  skipped: boolean,
  cut: ReadonlySet<IndexedBinary>,
): string {
  const { reason, binary } = symbolizer.lookupColumns(
    skipped ? { ...columns, first: new Uint32Array(0) } : columns,
  ).resolved;
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
