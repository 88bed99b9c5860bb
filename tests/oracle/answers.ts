// Owns the other tools' answers: llvm-symbolizer and addr2line, in one shape with ours.
import { writeAddresses } from "./build.ts";
import type { Subject } from "./subject.ts";
import { findTool, type Workspace } from "./tools.ts";

/** One frame of an answer; what is not known is undefined. */
export interface Frame {
  name: string | undefined;
  file: string | undefined;
  line: number | undefined;
  column: number | undefined;
}

/** Innermost first; empty where nothing is known. */
export type Chain = readonly Frame[];

/**
 * How all sides are normalised: the texts "", "??" and "<invalid>" and the numbers 0 mean "not known"; a chain in
 * which no frame knows anything is empty. Nothing else is changed: paths are compared as they are.
 */
export function normalChain(frames: readonly Frame[]): Chain {
  const known = frames.map(({ name, file, line, column }) => ({
    name: text(name),
    file: text(file),
    line: line || undefined,
    column: column || undefined,
  }));
  return known.every((one) => one.name === undefined && one.file === undefined && one.line === undefined)
    ? []
    : known;
}

function text(value: string | undefined): string | undefined {
  return value === undefined || value === "" || value === "??" || value === "<invalid>" ? undefined : value;
}

interface LlvmLine {
  Address?: string;
  Symbol?: { FunctionName: string; FileName: string; Line: number; Column: number }[];
  Error?: { Message: string };
}

/** The command whose standard input takes addresses, a line each. */
export function llvmCommand(subject: Subject, demangle = false): string[] {
  const mangling = demangle ? "--demangle" : "--no-demangle";
  return ["llvm-symbolizer", `--obj=${subject.asked}`, mangling, "--output-style=JSON", ...subject.askedArgs ?? []];
}

/** What llvm-symbolizer says; an Error of it makes the whole subject fail. */
export async function askLlvm(
  ws: Workspace,
  subject: Subject,
  addresses: readonly bigint[],
  demangle = false,
): Promise<Chain[]> {
  const input = writeAddresses(ws, addresses);
  const options = { input, ...(subject.askedCwd === undefined ? {} : { cwd: subject.askedCwd }) };
  const chains: Chain[] = [];
  for await (const line of ws.lines(llvmCommand(subject, demangle), options)) {
    if (line === "") continue;
    const { Address, Symbol: symbols, Error: error } = JSON.parse(line) as LlvmLine;
    if (error !== undefined) throw new Error(`llvm-symbolizer: ${error.Message}`);
    if (BigInt(Address!) !== addresses[chains.length]) throw new Error(`llvm-symbolizer lost ${Address}`);
    const frames = symbols!.map((one) => ({
      name: one.FunctionName,
      file: one.FileName,
      line: one.Line,
      column: one.Column,
    }));
    chains.push(normalChain(frames));
  }
  if (chains.length !== addresses.length) {
    throw new Error(`llvm-symbolizer answered ${chains.length} of ${addresses.length} addresses`);
  }
  return chains;
}

/** A second opinion on some addresses; undefined where addr2line can't read the file. It knows no columns. */
export async function askGnu(
  ws: Workspace,
  subject: Subject,
  addresses: readonly bigint[],
): Promise<Chain[] | undefined> {
  if (findTool("addr2line") === undefined || addresses.length === 0) return undefined;
  const input = writeAddresses(ws, addresses);
  const command = ["addr2line", "-a", "-f", "-i", "-e", subject.askedGnu ?? subject.asked];
  const options = { input, ...(subject.askedCwd === undefined ? {} : { cwd: subject.askedCwd }) };
  const chains: Chain[] = [];
  let frames: Frame[] = [];
  let name: string | undefined;
  for await (const line of ws.lines(command, options)) {
    if (/^0x[0-9a-f]+$/.test(line)) {
      if (chains.length > 0 || frames.length > 0) chains[chains.length - 1] = normalChain(frames);
      chains.push([]);
      frames = [];
      name = undefined;
    } else if (name === undefined) {
      name = line;
    } else {
      const match = /^(.*):(\d+|\?)(?: \(discriminator \d+\))?$/.exec(line);
      const file = match?.[1] ?? line;
      frames.push({ name, file, line: Number(match?.[2]) || undefined, column: undefined });
      name = undefined;
    }
  }
  if (chains.length > 0) chains[chains.length - 1] = normalChain(frames);
  return chains.length === addresses.length ? chains : undefined;
}

/** A chain for people: innermost first. */
export function chainText(chain: Chain): string {
  if (chain.length === 0) return "(nothing)";
  return chain.map(({ name, file, line, column }) =>
    `${name ?? "?"} ${file ?? "?"}:${line ?? "?"}${column === undefined ? "" : `:${column}`}`
  ).join("  <  ");
}
