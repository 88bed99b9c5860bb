// Owns how text of others is shown: names cut to a length, and characters that a terminal obeys instead of showing.

/** Names over this are cut where they come in: hostile files make longer ones, which every frame would repeat. */
export const MOST_NAME = 4096;

/** A name of at most so many characters; different names stay different but for a hash's chance. */
export function cutName(name: string, most: number): string {
  if (name.length <= most) return name;
  let hash = 0x811c9dc5; // FNV-1a over UTF-16 code units
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x0100_0193);
  return `${name.slice(0, most - 24)}…${(hash >>> 0).toString(16).padStart(8, "0")}`;
}

/**
 * Control characters, those of C1 among them (U+009B begins sequences as ESC [ does); line and paragraph
 * separators; and marks, embeddings, overrides and isolates that change the direction of the text around them.
 */
// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** The same, as many as follow each other. */
const CONTROLS = new RegExp(`${CONTROL.source}+`, "g");

/** Text on one line, with a space for control characters. */
export function plainText(text: string): string {
  return text.replace(CONTROLS, " ");
}

/** Text as JSON, with escapes for all control characters: JSON itself asks for those below U+0020 only. */
export function jsonText(text: string): string {
  return JSON.stringify(text).replace(CONTROL, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
