// Owns which command runs, and how its failures are shown.
import { type Command, EXIT_FAILED, EXIT_OK, EXIT_USAGE, parseOptions, UsageError } from "./command.ts";
import type { Host } from "./host.ts";

// Each command is loaded when it is asked for: a short one starts in the time that it needs itself.
const COMMANDS: Record<string, () => Promise<{ command: Command }>> = {
  symbolize: () => import("./symbolize.ts"),
  addr2line: () => import("./addr2line.ts"),
  buildid: () => import("./buildid.ts"),
  gsym: () => import("./gsym.ts"),
  survey: () => import("./survey.ts"),
  replay: () => import("./replay.ts"),
  record: () => import("./live/record.ts"),
  dump: () => import("./live/dump.ts"),
  demo: () => import("./demo.ts"),
};

async function main(host: Host): Promise<number> {
  const [name, ...args] = host.args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    host.write(await overview());
    return name === undefined ? EXIT_USAGE : EXIT_OK;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    throw new UsageError(
      `there is no command ${JSON.stringify(name)}: there are ${Object.keys(COMMANDS).join(", ")}`,
    );
  }
  const { command } = await COMMANDS[name]();
  const parsed = parseOptions(args, command);
  if (parsed !== undefined) return await command.run(host, parsed);
  host.write(command.help);
  return EXIT_OK;
}

async function overview(): Promise<string> {
  const lines = ["Linux BPF stack maps: decode, symbolize, model.", "", "usage: stackmap COMMAND …", ""];
  for (const [name, load] of Object.entries(COMMANDS)) {
    lines.push(`  ${name.padEnd(10)} ${(await load()).command.summary}`);
  }
  lines.push("", "stackmap COMMAND --help tells more of each.", "");
  return lines.join("\n");
}

/** Runs the command line that `host` has; returns the exit code. What fails is told on standard error. */
export async function runCli(host: Host): Promise<number> {
  try {
    return await main(host);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (isClosedPipe(error)) return EXIT_OK; // the reader, such as head, has all that it wanted
    const usage = error instanceof UsageError;
    host.writeError(`stackmap: ${error.message}${usage ? "\nTry --help." : ""}\n`);
    return usage ? EXIT_USAGE : EXIT_FAILED;
  }
}

function isClosedPipe(error: Error): boolean {
  return error.name === "BrokenPipe" || (error as { code?: string }).code === "EPIPE";
}
