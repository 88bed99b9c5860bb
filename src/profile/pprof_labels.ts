// Owns the labels of pprof samples: text and numbers by name, each distinct set once.
import { plainText } from "../base/plain_text.ts";
import type { ProtoWriter } from "./pprof_wire.ts";

/** What a sample is labelled with, and the number of that set. */
export interface Labels {
  readonly number: number;
  /** Names and texts as numbers of strings, 0 for none; and the value where it is a number. */
  readonly entries: readonly { name: number; text: number; value: number }[];
}

// Fields of Label in profile.proto, and of Sample.
const LABEL = { key: 1, str: 2, num: 3 } as const;
const SAMPLE_LABEL = 3;

/** Numbers the distinct sets of labels of a profile. */
export class LabelSets {
  readonly #string: (text: string) => number;
  readonly #sets = new Map<string, Labels>();

  /** @param string The number of a string in the profile's table. */
  constructor(string: (text: string) => number) {
    this.#string = string;
  }

  /**
   * The same object for equal labels; `undefined` for none, of which text of nothing is one, and 0: readers take these
   * for labels without a value.
   *
   * @throws {RangeError} For a number that is not whole, negative, or above 2^53 − 1.
   */
  of(given: Readonly<Record<string, string | number>> | undefined): Labels | undefined {
    if (given === undefined) return undefined;
    const entries: { name: number; text: number; value: number }[] = [];
    for (const [name, value] of Object.entries(given)) {
      if (value === "" || value === 0) continue;
      if (typeof value === "number" && !(Number.isSafeInteger(value) && value >= 0)) {
        throw new RangeError(`label ${name} must be a whole number from 0 to 2^53 - 1, not ${value}`);
      }
      const isText = typeof value === "string";
      entries.push({ name: this.#string(name), text: isText ? this.#string(value) : 0, value: isText ? 0 : value });
    }
    if (entries.length === 0) return undefined;
    const key = entries.map(({ name, text, value }) => `${name},${text},${value}`).join(";");
    let labels = this.#sets.get(key);
    if (labels === undefined) this.#sets.set(key, labels = { number: this.#sets.size, entries });
    return labels;
  }
}

/** The labels of a process, as perf's converter calls them; of its name without what terminals take for commands. */
export function processLabels(
  one: { pid?: number | undefined; comm?: string | undefined } | undefined,
): Record<string, string | number> {
  const labels: Record<string, string | number> = {};
  if (one?.comm !== undefined) labels.comm = plainText(one.comm);
  if (one?.pid !== undefined) labels.pid = one.pid;
  return labels;
}

/** Adds labels to a sample that is being written. */
export function putLabels(sample: ProtoWriter, { entries }: Labels, scratch: ProtoWriter): void {
  for (const { name, text, value } of entries) {
    scratch.reset().number(LABEL.key, name);
    scratch.number(LABEL.str, text);
    scratch.number(LABEL.num, value);
    sample.message(SAMPLE_LABEL, scratch.bytes());
  }
}
