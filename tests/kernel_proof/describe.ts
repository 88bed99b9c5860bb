// Owns short names of what a proof met: flags, frames, reasons.
import {
  BPF_F_FAST_STACK_CMP,
  BPF_F_REUSE_STACKID,
  BPF_F_SKIP_FIELD_MASK,
  BPF_F_USER_BUILD_ID,
  BPF_F_USER_STACK,
  BPF_STACK_BUILD_ID_VALID,
  type TraceStep,
} from "../../mod.ts";
import { viewOf } from "../../src/base/bytes.ts";

const NAMES: readonly [number, string][] = [
  [BPF_F_USER_STACK, "USER_STACK"],
  [BPF_F_FAST_STACK_CMP, "FAST_STACK_CMP"],
  [BPF_F_REUSE_STACKID, "REUSE_STACKID"],
  [BPF_F_USER_BUILD_ID, "USER_BUILD_ID"],
];

/** Flags in words. */
export function flagsName(flags: bigint): string {
  const words: string[] = [];
  let rest = flags & ~BigInt(BPF_F_SKIP_FIELD_MASK);
  if (rest !== flags) words.push("skip");
  for (const [bit, name] of NAMES) {
    if ((rest & BigInt(bit)) !== 0n) words.push(name);
    rest &= ~BigInt(bit);
  }
  if (rest !== 0n) words.push("unknown");
  return words.length === 0 ? "none" : words.join("+");
}

/** How many frames of a buffer of build IDs were translated. */
export function frameStatuses(buffer: Uint8Array, flags: bigint, bytes: number): [string, number][] {
  if ((flags & BigInt(BPF_F_USER_BUILD_ID)) === 0n || bytes <= 0) return [];
  const view = viewOf(buffer);
  let valid = 0;
  for (let at = 0; at < bytes; at += 32) if (view.getInt32(at, true) === BPF_STACK_BUILD_ID_VALID) valid++;
  return [["frames of bpf_get_stack: VALID", valid], ["frames of bpf_get_stack: IP", bytes / 32 - valid]];
}

/** A step of a trace without its numbers: a counter's name. */
export function reasonOf({ where, text }: TraceStep): string {
  const short = text
    .replace(/mapping [0-9a-f]+-[0-9a-f]+/, "mapping")
    .replace(/0x[0-9a-f]+/g, "…")
    .replace(/\(\d+\)/g, "(…)")
    .replace(/bucket \d+/, "bucket")
    .replace(/\b\d+ frames/g, "n frames")
    .replace(/: \d+$/, ": id")
    .replace(/of \d+ after/, "of n after");
  return `reasons, of one call in twenty: ${where} ${short}`;
}
