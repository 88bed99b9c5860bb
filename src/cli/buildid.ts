// Owns `buildid`: the build IDs of files, as `readelf -n` knows them.
import { FormatError } from "../base/format_error.ts";
import { toHex } from "../base/bytes.ts";
import { readBuildIdFrom } from "../elf/build_id.ts";
import { type Command, EXIT_FAILED, EXIT_OK, type ParsedArgs, UsageError } from "./command.ts";
import { type Host, walk } from "./host.ts";

/** `buildid FILE|DIR…`. */
export const command: Command = {
  summary: "print the build IDs of ELF files",
  help: `usage: stackmap buildid FILE|DIR…

Prints "BUILDID  PATH" for each ELF file; below a directory, for each ELF file that has one. Reads program headers
and sections like readelf -n, and only as much of a file as it needs.

exit code: 0 if every file named has a build ID, 1 if one has not or can't be read, 2 for a wrong command line
`,
  run,
};

function run(host: Host, { operands }: ParsedArgs): number {
  if (operands.length === 0) throw new UsageError("buildid needs a file or directory");
  let code = EXIT_OK;
  const complain = (path: string, problem: string) => {
    host.writeError(`${path}: ${problem}\n`);
    code = EXIT_FAILED;
  };
  const lines: string[] = [];
  const flush = () => {
    host.write(lines.join(""));
    lines.length = 0;
  };
  const look = (path: string, named: boolean) => {
    try {
      const file = host.open(path);
      try {
        const buildId = readBuildIdFrom((offset, length) => file.read(offset, length));
        if (buildId !== undefined) lines.push(`${toHex(buildId)}  ${path}\n`);
        else if (named) complain(path, "no build ID");
        if (lines.length === 1024) flush();
      } finally {
        file.close();
      }
    } catch (error) {
      // Below a directory most files are no ELF files, and that is no failure.
      if (named || !(error instanceof FormatError)) complain(path, (error as Error).message);
    }
  };
  for (const operand of operands) {
    const kind = operands.length > 1000 ? "file" : host.kind(operand); // saves a system call for each of many
    if (kind === "directory") {
      for (const path of walk(host, operand, (at, error) => complain(at, error.message))) look(path, false);
    } else {
      look(operand, true);
    }
  }
  flush();
  return code;
}
