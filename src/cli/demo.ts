// Owns `demo`: the main job on a recording of a real kernel that comes with the source.
import { decodeStacks } from "../dump/decode.ts";
import { BuildIdIndex } from "../symbolize/build_id_index.ts";
import { BPF_F_SKIP_FIELD_MASK, BPF_F_STACK_BUILD_ID } from "../uapi/bpf.ts";
import { errnoName } from "../uapi/errno.ts";
import { type Command, EXIT_OK, parseOptions, UsageError } from "./command.ts";
import { foldDump } from "./fold_dump.ts";
import type { Host } from "./host.ts";
import { loadRecording } from "./load_recording.ts";
import { recordedCalls } from "./recording.ts";

const RECORDING = new URL("../../testdata/linux-6.18/basic.tar.gz", import.meta.url);

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

async function run(host: Host, args: string[]): Promise<number> {
  const { operands } = parseOptions(args, [], []);
  if (operands.length > 1) throw new UsageError("demo takes one recording");
  const recording = await loadRecording(host, operands[0] ?? decodeURIComponent(RECORDING.pathname));
  const { meta, bid } = recording;
  const index = new BuildIdIndex();
  for (const path of Object.keys(meta.files)) {
    const bytes = recording.open(path);
    // A recording of hostile files has some that are not ELF at all.
    if (bytes !== undefined && bytes.length >= 4 && bytes[0] === 0x7f) {
      try {
        index.add(bytes, { name: path });
      } catch (error) {
        host.writeError(`${path}: ${(error as Error).message}\n`);
      }
    }
  }
  const columns = decodeStacks(bid, { valueSize: 32 * meta.depthBuildId, mapFlags: BPF_F_STACK_BUILD_ID });
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
  const { text, summary } = foldDump(columns, index, counts, skipped);
  const why = [...lost].map(([code, count]) => `${count} calls lost with ${code}\n`).join("");
  host.write(text + why + summary);
  return EXIT_OK;
}
