// Owns what may be asked of a store: which build IDs and items there are, and how they stand in paths and URLs.
import { fromHex, toHex } from "../base/bytes.ts";
import type { StoreItem } from "./store.ts";

/** Most bytes of a build ID: mold and some toolchains use SHA-256. */
const MOST_ID_BYTES = 32;
/** Most characters of a section's name; real ones have fewer than 40. */
const MOST_NAME = 128;
/** Printable ASCII but the slash, and not only dots, which would be a step in a path. */
const SECTION_NAME = /^(?!\.{1,2}$)[\x20-\x2e\x30-\x7e]+$/;

/**
 * Whether `text` is a build ID in hex: 2 to 64 digits of either case, an even number of them. Nothing else of what
 * a user sent may come near a store.
 *
 * @example
 * ```ts
 * import { assert, assertFalse } from "@std/assert";
 * import { isBuildId } from "@bpf/stackmap";
 *
 * assert(isBuildId("3600d3d18ee78cdf30232631c416dc65ddcac1ad"));
 * assertFalse(isBuildId("../../etc/passwd"));
 * ```
 */
export function isBuildId(text: string): boolean {
  return text.length >= 2 && text.length <= 2 * MOST_ID_BYTES && text.length % 2 === 0 &&
    /^[0-9a-fA-F]+$/.test(text);
}

/**
 * The bytes of a build ID in hex; `undefined` unless {@linkcode isBuildId}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseBuildId } from "@bpf/stackmap";
 *
 * assertEquals(parseBuildId("ABcd"), Uint8Array.of(0xab, 0xcd));
 * assertEquals(parseBuildId("abc"), undefined);
 * ```
 */
export function parseBuildId(text: string): Uint8Array | undefined {
  return isBuildId(text) ? fromHex(text) : undefined;
}

/**
 * `text` as an item of a store; `undefined` if it is none. Names of sections are 1 to 128 printable ASCII
 * characters, `/` not among them, and neither `.` nor `..`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseStoreItem } from "@bpf/stackmap";
 *
 * assertEquals(parseStoreItem("section/.text"), "section/.text");
 * assertEquals(parseStoreItem("section/.."), undefined);
 * ```
 */
export function parseStoreItem(text: string): StoreItem | undefined {
  if (text === "executable" || text === "debuginfo" || text === "gsym") return text;
  const name = text.startsWith("section/") ? text.slice(8) : "";
  return name.length <= MOST_NAME && SECTION_NAME.test(name) ? text as StoreItem : undefined;
}

/** The name of the section that `item` asks for; `undefined` if it asks for a file. */
export function sectionOf(item: StoreItem): string | undefined {
  return item.startsWith("section/") ? item.slice(8) : undefined;
}

/**
 * What a store was asked for, as text that is safe in a path.
 *
 * @returns `undefined` for a build ID of more than 32 bytes: no store has a file of that name.
 * @throws {RangeError} If the build ID is empty.
 * @throws {TypeError} If `item` is none; it may have come from outside of the program.
 */
export function checkedId(buildId: Uint8Array, item: StoreItem): string | undefined {
  if (buildId.length === 0) throw new RangeError("an empty build ID names no file");
  if (parseStoreItem(item) === undefined) throw new TypeError(`${JSON.stringify(item)} is no item of a store`);
  return buildId.length > MOST_ID_BYTES ? undefined : toHex(buildId);
}

/** `item` as it stands in a URL's path: its section's name percent-escaped. */
export function itemPath(item: StoreItem): string {
  const name = sectionOf(item);
  return name === undefined ? item : `section/${encodeURIComponent(name)}`;
}
