// Owns `addr2line`: addresses or file offsets of one binary to functions, files and lines.
import type { FrameColumns } from "../symbolize/resolution.ts";
import { Symbolizer } from "../symbolize/symbolizer.ts";
import type { SymbolizedColumns } from "../symbolize/symbolized_columns.ts";
import { BPF_BUILD_ID_SIZE } from "../uapi/bpf.ts";
import { type Command, EXIT_FAILED, EXIT_OK, naming, type ParsedArgs, UsageError } from "./command.ts";
import { type AddedFiles, addMissingSplits, addWithDebugFiles } from "./debug_files.ts";
import type { Host } from "./host.ts";

/** `addr2line --elf FILE [ADDRESS…]`. */
export const command: Command = {
  summary: "addresses or file offsets of a binary to functions, files and lines",
  help: `usage: stackmap addr2line --elf FILE [option]… [ADDRESS…]

Prints for each address the functions that it is in, innermost first, each with file, line and column on a line of its
own, and an empty line after them; "??" stands for what is not known. Without addresses they are read from standard
input, one a line. ADDRESS is hexadecimal, with or without 0x. The separate debug file of FILE is found by its build ID or
.gnu_debuglink, and .dwo files where the compiler put them; --dwo names others, or a .dwp package.

  --elf FILE          the binary or debug file
  --offsets           ADDRESS is an offset in the file, as the kernel reports it with a build ID, not an address in
                      memory as nm prints it
  --return-addresses  look one byte earlier: what comes from a stack, but for its innermost frame
  --linkage-names     names as the linker has them, not demangled
  --no-inlines        the outermost function alone, with the line of the innermost
  --dwo FILE          a .dwo file or .dwp package of FILE; as often as needed
  --debug-root DIR    where the .build-id tree of debug files is (/usr/lib/debug); as often as needed
  --why               on standard error: the files used, and why an address has no answer

exit code: 0; 1 if a file can't be read or is not what it should be; 2 if the command line is not understood
`,
  flags: ["offsets", "return-addresses", "linkage-names", "no-inlines", "why"],
  options: ["elf", "dwo", "debug-root"],
  run,
};

/** Stands for the id of a file that has none: nobody asks for it by id here. */
const NO_ID = new Uint8Array(20).fill(0xff);

async function run(host: Host, parsed: ParsedArgs): Promise<number> {
  const files = parsed.values.get("elf") ?? [];
  if (files.length !== 1) throw new UsageError("addr2line needs one --elf");
  const offsets = parsed.flags.has("offsets");
  const addresses = parseAddresses(parsed.operands.length > 0 ? parsed.operands.join("\n") : host.readInput());
  const symbolizer = new Symbolizer();
  const [path] = files;
  let added: AddedFiles;
  try {
    const roots = parsed.values.get("debug-root");
    added = await addWithDebugFiles(host, symbolizer, path, host.readFile(path), { roots, buildId: NO_ID });
  } catch (error) {
    throw naming(path, error);
  }
  const { buildId } = added;
  for (const problem of added.problems) host.writeError(`${path}: ${problem.message}\n`);
  if (buildId === undefined || added.binary === undefined) return EXIT_FAILED;
  for (const dwo of parsed.values.get("dwo") ?? []) {
    try {
      const { debugInfo, problems } = await symbolizer.add(host.readFile(dwo), { name: dwo, buildId });
      if (!debugInfo) host.writeError(`${dwo}: has no split DWARF\n`);
      for (const problem of problems) host.writeError(`${dwo}: ${problem.message}\n`);
      added.files.push(dwo);
    } catch (error) {
      throw naming(dwo, error);
    }
  }
  const returnAddress = parsed.flags.has("return-addresses");
  const lookUp = () =>
    offsets && buildId.length <= BPF_BUILD_ID_SIZE
      ? symbolizer.lookupColumns(frameColumns(buildId, addresses, returnAddress))
      : symbolizer.lookupAddresses(buildId, offsets ? addressesOf(symbolizer, buildId, addresses) : addresses, {
        returnAddress,
      });
  let answer = lookUp();
  if (await addMissingSplits(host, symbolizer, buildId, added.files)) answer = lookUp();
  const why = parsed.flags.has("why");
  if (why) host.writeError(`files: ${added.files.join(", ")}\n`);
  host.write(format(answer, addresses.lo.length, parsed));
  if (why) {
    addresses.lo.forEach((lo, i) => {
      const reason = answer.reason(i);
      const address = (BigInt(addresses.hi[i]) << 32n) | BigInt(lo);
      const problem = answer.problem(i);
      if (reason === undefined && problem === undefined) return;
      const text = [reason, problem?.message].filter((one) => one !== undefined).join(": ");
      host.writeError(`0x${address.toString(16)}: ${text}\n`);
    });
  }
  return EXIT_OK;
}

interface Addresses {
  hi: Uint32Array;
  lo: Uint32Array;
}

/** Addresses, a line each; empty lines count for nothing. Read digit by digit: there may be very many. */
function parseAddresses(text: string): Addresses {
  const hi: number[] = [];
  const lo: number[] = [];
  for (let at = 0, end = 0; at < text.length; at = end + 1) {
    end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    let from = at;
    let to = end;
    while (from < to && text.charCodeAt(from) <= 0x20) from++;
    while (to > from && text.charCodeAt(to - 1) <= 0x20) to--;
    if (from === to) continue;
    const fail = () =>
      new UsageError(`${JSON.stringify(text.slice(from, to))} is no address: hexadecimal, 64 bits`);
    const digits = text.charCodeAt(from) === 0x30 && (text.charCodeAt(from + 1) | 0x20) === 0x78 ? from + 2 : from;
    if (to - digits < 1 || to - digits > 16) throw fail();
    let high = 0;
    let low = 0;
    for (let i = digits; i < to; i++) {
      const code = text.charCodeAt(i);
      const letter = (code | 0x20) - 0x57;
      const digit = code >= 0x30 && code <= 0x39 ? code - 0x30 : letter >= 10 && letter <= 15 ? letter : -1;
      if (digit < 0) throw fail();
      high = ((high << 4) | (low >>> 28)) >>> 0;
      low = ((low << 4) | digit) >>> 0;
    }
    hi.push(high);
    lo.push(low);
  }
  return { hi: Uint32Array.from(hi), lo: Uint32Array.from(lo) };
}

function frameColumns(buildId: Uint8Array, { hi, lo }: Addresses, returnAddress: boolean): FrameColumns {
  const buildIds = new Uint8Array(BPF_BUILD_ID_SIZE);
  buildIds.set(buildId);
  const columns = { idIndex: new Int32Array(lo.length), offsetHi: hi, offsetLo: lo, buildIds };
  return returnAddress ? { ...columns, first: new Uint32Array(0) } : columns;
}

/** The addresses of file offsets, for ids that columns have no room for; all ones where no segment maps one. */
function addressesOf(symbolizer: Symbolizer, buildId: Uint8Array, offsets: Addresses): Addresses {
  const out = { hi: offsets.hi.slice(), lo: offsets.lo.slice() };
  offsets.lo.forEach((lo, i) => {
    const { address = 2n ** 64n - 1n } = symbolizer.lookup(buildId, (BigInt(offsets.hi[i]) << 32n) | BigInt(lo));
    out.hi[i] = Number(address >> 32n);
    out.lo[i] = Number(address & 0xffff_ffffn);
  });
  return out;
}

function format(answer: SymbolizedColumns, count: number, parsed: ParsedArgs): string {
  const linkage = parsed.flags.has("linkage-names");
  const outermostOnly = parsed.flags.has("no-inlines");
  // Equal addresses share rows, and one row's text is made once.
  const texts = new Map<number, string>();
  const place = (row: number): string => {
    const file = answer.file(row);
    return file === undefined ? "??:0:0" : `${file}:${answer.line(row) ?? 0}:${answer.column(row) ?? 0}`;
  };
  const name = (row: number): string => (linkage ? answer.name(row) : answer.demangled(row)) ?? "??";
  let out = "";
  for (let i = 0; i < count; i++) {
    const first = answer.first[i];
    const depth = answer.depth[i];
    if (depth === 0) {
      out += "??\n??:0:0\n\n";
      continue;
    }
    let text = texts.get(first);
    if (text === undefined) {
      text = "";
      if (outermostOnly) text = `${name(first + depth - 1)}\n${place(first)}\n`;
      else for (let row = first; row < first + depth; row++) text += `${name(row)}\n${place(row)}\n`;
      texts.set(first, text += "\n");
    }
    out += text;
  }
  return out;
}
