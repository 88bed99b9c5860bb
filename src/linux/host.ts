// Owns what differs between Deno, Bun and Node as hosts: platform, small files, memory with an address.

// The part of Node's interfaces used here.
interface Process {
  platform: string;
  arch: string;
  getBuiltinModule(name: string): unknown;
}
interface Fs {
  readFileSync(path: string, encoding: "utf8"): string;
}

const scope = globalThis as { Deno?: typeof Deno; process?: Process };
// The test preload of other runtimes gives them a Deno with nothing but test().
const deno = scope.Deno?.build === undefined ? undefined : scope.Deno;

/** Operating system and processor, as Deno or Node call them. */
export function platform(): { os: string; arch: string } {
  if (deno !== undefined) return { os: deno.build.os, arch: deno.build.arch };
  return { os: scope.process?.platform ?? "unknown", arch: scope.process?.arch ?? "unknown" };
}

/** The text of a file; `undefined` if it can't be read, for whatever reason. */
export function readText(path: string): string | undefined {
  try {
    if (deno !== undefined) return deno.readTextFileSync(path);
    return (scope.process?.getBuiltinModule("node:fs") as Fs).readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * Memory whose address may be handed to the kernel: zeroed, and never moved while the array is reachable. Engines
 * keep short typed arrays inside their moving heap unless they are made over a buffer.
 */
export function cMemory(sizeBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(sizeBytes));
}

/** `text` in such memory, UTF-8 with a NUL at its end. */
export function cString(text: string): Uint8Array {
  if (text.includes("\0")) throw new TypeError(`${JSON.stringify(text)} has a NUL inside`);
  const utf8 = new TextEncoder().encode(text);
  const memory = cMemory(utf8.length + 1);
  memory.set(utf8);
  return memory;
}
