// Owns what all commands share: option parsing, usage errors, exit codes, errors that name their file.
import { FormatError } from "../base/format_error.ts";
import type { Host } from "./host.ts";

/** Exit codes: 0 all is well; 1 the answer is "no" or a file failed; 2 the command was not understood. */
export const EXIT_OK = 0;
/** Some of the work failed, or the answer is "no". */
export const EXIT_FAILED = 1;
/** The command line was not understood. */
export const EXIT_USAGE = 2;

/** A command line that is not understood; the message says what would be. */
export class UsageError extends Error {
  /** Always `"UsageError"`. */
  override readonly name = "UsageError";
}

/** A subcommand. */
export interface Command {
  /** One line for the list of commands. */
  summary: string;
  /** The text of `--help`. */
  help: string;
  /** Options that stand alone, without dashes. */
  flags?: readonly string[];
  /** Options that take a value, without dashes. */
  options?: readonly string[];
  /** Runs it; returns the exit code. */
  run(host: Host, parsed: ParsedArgs): number | Promise<number>;
}

/** Options by name without dashes: `true` where one stands alone, else its values in order. */
export interface ParsedArgs {
  operands: string[];
  flags: Set<string>;
  values: Map<string, string[]>;
}

/**
 * Parses `--flag`, `--option VALUE`, `--option=VALUE` and operands; `--` ends options, and `-` alone is an operand.
 * Throws `UsageError` for an option that the command has not. `undefined` if help is asked for.
 */
export function parseOptions(
  args: string[],
  { flags = [], options = [] }: Pick<Command, "flags" | "options">,
): ParsedArgs | undefined {
  const parsed: ParsedArgs = { operands: [], flags: new Set(), values: new Map() };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === "--") {
      parsed.operands.push(...args.slice(i + 1));
      break;
    }
    // Here only: the value of an option and an operand after "--" may read so, too.
    if (arg === "--help" || arg === "-h") return undefined;
    if (!arg.startsWith("-") || arg === "-") {
      parsed.operands.push(arg);
      continue;
    }
    if (!arg.startsWith("--")) {
      throw new UsageError(`there is no option ${arg}; a file of that name is ./${arg}`);
    }
    const equals = arg.indexOf("=");
    const name = arg.slice(2, equals < 0 ? undefined : equals);
    if (flags.includes(name)) {
      if (equals >= 0) throw new UsageError(`--${name} takes no value`);
      parsed.flags.add(name);
    } else if (options.includes(name)) {
      const value = equals >= 0 ? arg.slice(equals + 1) : args[++i];
      if (value === undefined) throw new UsageError(`--${name} needs a value`);
      parsed.values.set(name, [...(parsed.values.get(name) ?? []), value]);
    } else {
      throw new UsageError(`there is no option --${name}`);
    }
  }
  return parsed;
}

/** The last value of an option, as a whole number from `least`; `fallback` where it is absent. */
export function wholeNumber(parsed: ParsedArgs, name: string, least: number, fallback: number): number {
  const text = parsed.values.get(name)?.at(-1);
  if (text === undefined) return fallback;
  const value = /^(0x[0-9a-fA-F]+|[0-9]+)$/.test(text) ? Number(text) : NaN;
  if (!(Number.isSafeInteger(value) && value >= least)) {
    throw new UsageError(`--${name} is a whole number from ${least}, not ${JSON.stringify(text)}`);
  }
  return value;
}

/** Runs `work`; what it throws names the file. */
export function inFile<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw naming(name, error);
  }
}

/** `error` with the file's name before its message. A `FormatError` stays one, with its offset and field. */
export function naming(name: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (!(error instanceof FormatError)) return new Error(`${name}: ${error.message}`, { cause: error });
  error.message = `${name}: ${error.message}`;
  return error;
}

/** `count` of `total` as a percentage, with one decimal. */
export function percent(count: number, total: number): string {
  return total === 0 ? "–" : `${(100 * count / total).toFixed(1)} %`;
}
