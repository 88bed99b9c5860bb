// Owns `demo`: the main job on a recording of a real kernel that comes with the source.
import { decodeStacks } from "../dump/decode.ts";
import { formatFolded } from "../profile/folded.ts";
import type { IndexedBinary } from "../symbolize/binary.ts";
import { Symbolizer } from "../symbolize/symbolizer.ts";
import { BPF_F_SKIP_FIELD_MASK, BPF_F_STACK_BUILD_ID } from "../uapi/bpf.ts";
import { SIZEOF_BPF_STACK_BUILD_ID } from "../uapi/bpf_stack_build_id.ts";
import { errnoName } from "../uapi/errno.ts";
import { type Command, EXIT_OK, inFile, naming, type ParsedArgs, UsageError } from "./command.ts";
import { endsEarly, foldDump, lookupStacks, summarize } from "./fold_dump.ts";
import type { Host } from "./host.ts";
import { loadRecording } from "./load_recording.ts";
import { recordedCalls, type Recording } from "./recording.ts";

// Read as a URL: what its path is on this system need not be found out.
const RECORDING = new URL("../../testdata/linux-6.18/basic.tar.gz", import.meta.url);
const MOST_NAMES = 3;

/** `demo [RECORDING]`. */
export const command: Command = {
  summary: "the main job on a recording of a real kernel",
  help: `usage: stackmap demo [DIR|FILE.tar.gz]

Takes a recording of a running Linux 6.18 (the one in testdata, or another), decodes the stack map with build IDs that
the kernel wrote, resolves its frames through the recorded binaries, and prints folded stacks with how often each
occurred. The recording holds the program whole, but of system libraries only the first 8192 bytes: their frames are
placed, but have no names.

exit code: 0, or 1 if the recording can't be read
`,
  run,
};

async function run(host: Host, { operands }: ParsedArgs): Promise<number> {
  if (operands.length > 1) throw new UsageError("demo takes one recording");
  const path = operands[0] ?? RECORDING;
  const recording = await loadRecording(host, path);
  try {
    host.write(await fold(host, `${path}`, recording));
  } catch (error) {
    throw naming(`${path}`, error);
  }
  return EXIT_OK;
}

async function fold(host: Host, path: string, recording: Recording): Promise<string> {
  const { meta, bid } = recording;
  const symbolizer = new Symbolizer();
  const cut = new Map<IndexedBinary, number>();
  for (const [mapped, copy] of Object.entries(meta.files)) {
    const bytes = recording.open(mapped);
    // A recording of hostile files has some that are not ELF at all.
    if (bytes === undefined || bytes.length < 4 || bytes[0] !== 0x7f) continue;
    try {
      const { status, binary } = await symbolizer.add(bytes, { name: mapped });
      if (binary !== undefined && status !== "conflict" && endsEarly(bytes)) cut.set(binary, bytes.length);
    } catch (error) {
      host.writeError(`${path}: ${copy}: ${(error as Error).message}\n`);
    }
  }
  const valueSize = SIZEOF_BPF_STACK_BUILD_ID * meta.depthBuildId;
  const columns = inFile("bid.bin", () => decodeStacks(bid, { valueSize, mapFlags: BPF_F_STACK_BUILD_ID }));
  const counts = new Map<number, number>();
  const lost = new Map<string, number>();
  for (const { idBuildId } of recordedCalls(recording)) {
    if (idBuildId >= 0) {
      counts.set(idBuildId, (counts.get(idBuildId) ?? 0) + 1);
    } else {
      const code = `-${errnoName(idBuildId) ?? -idBuildId}`;
      lost.set(code, (lost.get(code) ?? 0) + 1);
    }
  }
  const skipped = (meta.helperFlags & BPF_F_SKIP_FIELD_MASK) > 0;
  const stacks = { title: path, columns, counts, skipped };
  const text = formatFolded(foldDump(stacks, symbolizer));
  const summary = summarize(stacks, symbolizer, lookupStacks(stacks, symbolizer), new Set(cut.keys()));
  const why = [...lost].map(([code, count]) => `${count} calls lost with ${code}\n`).join("");
  return text + why + cutNote(cut) + summary;
}

// Why whole libraries have no names, so that nobody takes it for damage.
function cutNote(cut: ReadonlyMap<IndexedBinary, number>): string {
  if (cut.size === 0) return "";
  const names = [...cut].slice(0, MOST_NAMES).map(([{ name }, size]) =>
    `${name.replace(/.*\//, "")} (${size} bytes)`
  );
  if (cut.size > MOST_NAMES) names.push(`${cut.size - MOST_NAMES} more`);
  return `the recording holds only the start of some files, without their symbols: ${names.join(", ")}\n`;
}
