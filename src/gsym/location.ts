// Owns GsymLocation: what a lookup found, as objects.
import type { GsymLookup } from "./lookup.ts";

/** One function that an address is in: the innermost is the one whose code it is. */
export interface GsymFrame {
  /** Linkage name; "" if it can't be read. */
  name: string;
  /** Path of the source file; `undefined` if not known. */
  file: string | undefined;
  /** Line in it, of every frame but the innermost that of the call; `undefined` if not known. */
  line: number | undefined;
  /** Bytes to the address from where the function's code begins, here. */
  offset: number;
}

/** Where an address is. */
export interface GsymLocation {
  /** Virtual address of the function's first byte. */
  start: bigint;
  /** Its size in bytes; 0 where it reaches up to the next function. */
  size: number;
  /** At least one; innermost first. */
  frames: GsymFrame[];
}

/** What the last lookup, of this address, has found; `undefined` if no frame. */
export function locationOf(lookup: GsymLookup, address: bigint): GsymLocation | undefined {
  if (lookup.length === 0) return undefined;
  const { header: { baseHi, baseLo }, search } = lookup;
  const base = (BigInt(baseHi) << 32n) | BigInt(baseLo);
  const start = BigInt.asUintN(64, base + ((BigInt(search.entryHi) << 32n) | BigInt(search.entryLo)));
  const distance = Number(address - start);
  const frames: GsymFrame[] = [];
  for (let i = 0; i < lookup.length; i++) {
    const line = lookup.line(i);
    frames.push({
      name: lookup.functions.names[lookup.name(i)],
      file: lookup.file(i) === 0 ? undefined : lookup.files.names[lookup.file(i)],
      line: line < 0 ? undefined : line,
      offset: distance - lookup.start(i),
    });
  }
  return { start, size: lookup.sizeBytes, frames };
}
