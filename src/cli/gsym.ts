// Owns `gsym`: converting programs to GSYM files, telling what is in one, and looking addresses up in it.
import { toHex } from "../base/bytes.ts";
import { elfToGsym, type GsymConversion, type GsymConvertOptions } from "../convert/elf_to_gsym.ts";
import { GsymReader } from "../gsym/gsym_reader.ts";
import { Symbolizer } from "../symbolize/symbolizer.ts";
import { type Command, EXIT_FAILED, EXIT_OK, inFile, naming, type ParsedArgs, UsageError } from "./command.ts";
import { addWithDebugFiles, type FileTaker } from "./debug_files.ts";
import type { Host } from "./host.ts";
import { writeFile } from "./write_file.ts";

/** `gsym convert|dump|lookup FILE …`. */
export const command: Command = {
  summary: "convert programs to GSYM, the compact symbol format; dump and ask such files",
  help: `usage: stackmap gsym convert FILE [option]…
       stackmap gsym dump FILE
       stackmap gsym lookup FILE ADDRESS…

convert writes the functions, files, lines and inlined calls of an ELF file to a GSYM file, which is a fraction of
its size and can be read by ranges; llvm-gsymutil reads it as well. The separate debug file of FILE is found by
its build ID or .gnu_debuglink, and .dwo files where the compiler put them. dump tells what the header of a GSYM
file says. lookup prints for each hexadecimal ADDRESS of the program the functions that it is in, innermost first,
each with file and line on a line of its own, and an empty line after them; "??" stands for what is not known.

  --out GSYM        the file to write; FILE with .gsym behind it if not given
  --debug FILE      the separate debug file
  --debug-root DIR  where the .build-id tree of debug files is (/usr/lib/debug); as often as needed
  --version 1|2     of the format: 1, which all readers know, or 2, which LLVM has since 23; 1 if not given
  --compact         each string and file once: a tenth to a third smaller, but read by ranges it takes more requests
  --big-endian      write this byte order, whatever the program's is
  --little-endian   or this one

exit code: 0; 1 if a file can't be read or written, is not what it should be, or convert finds no function in it;
2 if the command line is not understood
`,
  flags: ["compact", "big-endian", "little-endian"],
  options: ["out", "debug", "debug-root", "version"],
  run,
};

/** Stands for the id of a file that has none: nobody asks for it by id here. */
const NO_ID = new Uint8Array(20).fill(0xff);

async function run(host: Host, parsed: ParsedArgs): Promise<number> {
  const [verb, path, ...rest] = parsed.operands;
  if (path === undefined) throw new UsageError("gsym needs convert, dump or lookup, and a file");
  if (verb === "lookup") {
    if (rest.length === 0) throw new UsageError("gsym lookup needs an address");
    return lookup(host, path, rest);
  }
  if (rest.length > 0) throw new UsageError(`gsym ${verb} takes one file, not ${rest.length + 1}`);
  if (verb === "dump") return dump(host, path);
  if (verb === "convert") return await convert(host, path, parsed);
  throw new UsageError(`gsym has convert, dump and lookup, not ${JSON.stringify(verb)}`);
}

async function convert(host: Host, path: string, parsed: ParsedArgs): Promise<number> {
  const out = parsed.values.get("out")?.at(-1) ?? `${path}.gsym`;
  const debug = parsed.values.get("debug")?.at(-1);
  if (out === path || out === debug) throw new UsageError(`--out is ${out}, which would be lost`);
  const version = parsed.values.get("version")?.at(-1) ?? "1";
  if (version !== "1" && version !== "2") {
    throw new UsageError(`--version is 1 or 2, not ${JSON.stringify(version)}`);
  }
  const big = parsed.flags.has("big-endian");
  if (big && parsed.flags.has("little-endian")) {
    throw new UsageError("--big-endian and --little-endian exclude each other");
  }
  const options: GsymConvertOptions = { version: version === "1" ? 1 : 2 };
  if (parsed.flags.has("compact")) options.layout = "compact";
  if (big || parsed.flags.has("little-endian")) options.littleEndian = !big;
  const start = Date.now();
  const input = await findInput(host, path, parsed);
  if (host.interactive()) {
    options.onProgress = (done, total) => host.writeError(`\r${Math.floor(100 * done / total)} %`);
  }
  let conversion: GsymConversion;
  try {
    conversion = await elfToGsym(input.bytes, { ...options, ...input.options });
    const splits = conversion.report.missingSplits.flatMap((dwo) =>
      host.kind(dwo) === "file" ? [host.readFile(dwo)] : []
    );
    if (splits.length > 0) conversion = await elfToGsym(input.bytes, { ...options, ...input.options, splits });
  } catch (error) {
    throw naming(path, error);
  } finally {
    if (host.interactive()) host.writeError("\r     \r");
  }
  const { report, size } = conversion;
  for (const { message } of report.problems) host.writeError(`${path}: ${message}\n`);
  for (const dwo of report.missingSplits) host.writeError(`${dwo}: not found: inlined calls are missing\n`);
  if (report.functions === 0) {
    host.writeError(`${path}: has neither symbols nor debug information of code; nothing is written\n`);
    return EXIT_FAILED;
  }
  await writeFile(out, conversion.chunks());
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  host.write(
    `${out}: ${report.functions} functions, ${report.fromSymbols} of them known by symbols alone; ` +
      `${size} bytes, ${seconds} s; from ${input.files.join(", ")}\n`,
  );
  return EXIT_OK;
}

/** What a file is converted from. */
interface Input {
  bytes: Uint8Array;
  options: Pick<GsymConvertOptions, "executable" | "alternate">;
  files: string[];
}

/**
 * Remembers which files were added, and what each brought: how debug files are found is told in one place alone.
 */
class Listener implements FileTaker {
  debug: Uint8Array | undefined = undefined;
  alternate: Uint8Array | undefined = undefined;
  readonly #symbolizer = new Symbolizer();

  async add(...[file, options = {}]: Parameters<Symbolizer["add"]>): ReturnType<Symbolizer["add"]> {
    const result = await this.#symbolizer.add(file, options);
    if (result.debugInfo && file instanceof Uint8Array) {
      this.debug = file;
      this.alternate = options.alternate;
    }
    return result;
  }
}

async function findInput(host: Host, path: string, parsed: ParsedArgs): Promise<Input> {
  const named = parsed.values.get("debug")?.at(-1);
  const roots = parsed.values.get("debug-root");
  const own = inFile(path, () => host.readFile(path));
  const from = named ?? path;
  const bytes = named === undefined ? own : inFile(named, () => host.readFile(named));
  const listener = new Listener();
  try {
    const { files } = await addWithDebugFiles(host, listener, from, bytes, { roots, buildId: NO_ID });
    const { debug, alternate } = listener;
    const source = named === undefined ? debug ?? own : bytes;
    return {
      bytes: source,
      options: {
        ...(source === own ? {} : { executable: own }),
        ...(alternate === undefined ? {} : { alternate }),
      },
      files: named === undefined ? files : [path, ...files],
    };
  } catch (error) {
    throw naming(from, error);
  }
}

function dump(host: Host, path: string): number {
  const bytes = inFile(path, () => host.readFile(path));
  const gsym = inFile(path, () => new GsymReader(bytes));
  const { version, littleEndian, uuid, baseAddress, functionCount, segments, problem } = gsym;
  host.write([
    `version    ${version}`,
    `bytes      ${bytes.length}, ${littleEndian ? "little" : "big"}-endian`,
    `UUID       ${uuid.length === 0 ? "none" : toHex(uuid)}`,
    `base       0x${baseAddress.toString(16)}`,
    `functions  ${functionCount}`,
    `segments   ${segments === undefined ? "none: file offsets need the program's own" : segments.length}`,
    ...(segments ?? []).map(({ p_vaddr, p_offset, p_filesz, p_flags }) =>
      `           0x${p_vaddr.toString(16)} is offset 0x${p_offset.toString(16)}, 0x${
        p_filesz.toString(16)
      } bytes` +
      `${(p_flags & 1) === 0 ? "" : ", executable"}`
    ),
    "",
  ].join("\n"));
  if (problem === undefined) return EXIT_OK;
  host.writeError(`${path}: ${problem.message}\n`);
  return EXIT_FAILED;
}

function lookup(host: Host, path: string, addresses: readonly string[]): number {
  const wanted = addresses.map((text) => {
    if (!/^(0x)?[0-9a-f]{1,16}$/i.test(text)) {
      throw new UsageError(`${JSON.stringify(text)} is no address: hexadecimal, 64 bits`);
    }
    return BigInt(`0x${text.replace(/^0x/i, "")}`);
  });
  const gsym = inFile(path, () => new GsymReader(host.readFile(path)));
  for (const address of wanted) {
    const frames = inFile(path, () => gsym.lookup(address))?.frames ?? [];
    if (frames.length === 0) host.write("??\n??:0\n");
    for (const { name, file, line } of frames) {
      host.write(`${name || "??"}\n${file ? `${file}:${line ?? 0}` : "??:0"}\n`);
    }
    host.write("\n");
  }
  return EXIT_OK;
}
