// Owns how readers of recordings take fields out of meta.json and files out of the archive, and what they say if
// not.
import { FormatError } from "../base/format_error.ts";

/** Fields of meta.json, and the archive's files. */
export interface RecordingFiles {
  meta: Record<string, unknown>;
  files: ReadonlyMap<string, Uint8Array>;
}

const MOST_NAME = 256;

/** A file of the archive. @throws {FormatError} If it is not there. */
export function fileOf({ files }: RecordingFiles, name: string): Uint8Array {
  const bytes = files.get(name);
  if (bytes === undefined) throw new FormatError("is missing", { offset: 0, field: name });
  return bytes;
}

/** What `read` returns; the field of a {@linkcode FormatError} that it throws gets the file's name. */
export function inFile<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FormatError) || error.field === name) throw error;
    const { offset, field, value } = error;
    const place = `at offset ${offset}: `;
    const problem = error.message.slice(error.message.indexOf(place) + place.length);
    throw new FormatError(problem, {
      offset,
      field: `${name} ${field}`,
      ...(value === undefined ? {} : { value }),
    });
  }
}

/** An error in meta.json. */
export function metaError(problem: string, key: string, value?: unknown): FormatError {
  return new FormatError(problem, {
    offset: 0,
    field: `meta.json ${key}`,
    ...(typeof value === "number" ? { value } : {}),
  });
}

/** A whole number of an object in meta.json. */
export function wholeNumber(
  object: Record<string, unknown>,
  key: string,
  least: number,
  most: number,
  field: string = key,
): number {
  const value = object[key];
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  throw metaError(`is not a whole number from ${least} to ${most}`, field, value);
}

/** A short text; what is over 256 characters is cut. */
export function shortText(value: unknown, field: string): string {
  if (typeof value !== "string") throw metaError("is not a string", field);
  return value.slice(0, MOST_NAME);
}

/** A value of meta.json that has to be an object with members. */
export function objectOf(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw metaError("is not an object", field);
  }
  return value as Record<string, unknown>;
}
