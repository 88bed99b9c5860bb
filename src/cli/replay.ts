// Owns `replay`: a recording of a running kernel through the model, compared call by call and byte by byte.
import { KERNEL_RELEASES, type KernelRelease } from "../kernel/profile.ts";
import { errnoName } from "../uapi/errno.ts";
import { type Command, EXIT_FAILED, EXIT_OK, inFile, type ParsedArgs, UsageError, wholeNumber } from "./command.ts";
import type { Host } from "./host.ts";
import { loadRecording } from "./load_recording.ts";
import { type Recording, replay, type ReplayResult } from "./recording.ts";

/** `replay RECORDING…`. */
export const command: Command = {
  summary: "run a recording of a kernel through the model and compare",
  help: `usage: stackmap replay [--kernel RELEASE] [--explain CALL] DIR|FILE.tar.gz…

Runs every helper call of a recording through the model and compares each id, and what both maps hold afterwards,
with what the kernel did. testdata/README.md describes the files of a recording.

  --kernel RELEASE   model this release (${KERNEL_RELEASES.join(", ")}) instead of the one that was recorded
  --explain CALL     tell why the model answers call number CALL (from 0) what it does

exit code: 0 if all is identical, 1 if not or a recording can't be read
`,
  options: ["kernel", "explain"],
  run,
};

async function run(host: Host, parsed: ParsedArgs): Promise<number> {
  if (parsed.operands.length === 0) throw new UsageError("replay needs a recording");
  const kernel = parsed.values.get("kernel")?.at(-1) as KernelRelease | undefined;
  if (kernel !== undefined && !KERNEL_RELEASES.includes(kernel)) {
    throw new UsageError(`--kernel is one of ${KERNEL_RELEASES.join(", ")}, not ${kernel}`);
  }
  const explain = wholeNumber(parsed, "explain", 0, -1);
  let code = EXIT_OK;
  for (const operand of parsed.operands) {
    const recording = await loadRecording(host, operand);
    const result = inFile(operand, () => replay(recording, kernel, explain));
    host.write(report(recording, kernel ?? recording.meta.kernel, result));
    if (!identical(result)) code = EXIT_FAILED;
  }
  return code;
}

/** Whether the model did all that the kernel did. */
export function identical(result: ReplayResult): boolean {
  return result.equalCalls === result.calls && result.ipDump === true && result.buildIdDump === true;
}

function report(recording: Recording, kernel: KernelRelease, result: ReplayResult): string {
  const dump = (name: string, bytes: Uint8Array, same: true | number) =>
    `  ${name}: ${
      same === true ? `identical, ${bytes.length} bytes` : `differs from byte ${same} of ${bytes.length} on`
    }\n`;
  const id = (value: number) => value < 0 ? `-${errnoName(value) ?? -value}` : `${value}`;
  let text = `${recording.meta.name}, recorded on ${recording.meta.kernel}, modelled as ${kernel}\n`;
  text += `  ids: ${result.equalCalls} of ${result.calls} calls identical\n`;
  text += dump("map of addresses", recording.ip, result.ipDump);
  text += dump("map of build IDs", recording.bid, result.buildIdDump);
  const first = result.firstDifference;
  if (first !== undefined) {
    text += `  first difference: call ${first.call}, map of ${first.map}: ` +
      `recorded ${id(first.recorded)}, modelled ${id(first.modelled)} (--explain ${first.call} tells why)\n`;
  }
  if (result.explanation !== undefined) text += `${result.explanation.replace(/^/gm, "  ")}\n`;
  return text;
}
