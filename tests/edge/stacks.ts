// Owns the stacks that the edge measurements send: frames in the executable segments of real files, from a seed.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BPF_F_STACK_BUILD_ID, encodeStacks, PF_X, PT_LOAD, readBuildId } from "../../mod.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { ElfFile } from "../../src/elf/elf_file.ts";

/** Code of one file: where its executable segment lies. */
interface Code {
  buildId: Uint8Array;
  offset: number;
  size: number;
}

/** The executables of a directory, debug files left out. */
function codeOf(directory: string): Code[] {
  const codes: Code[] = [];
  for (const name of readdirSync(directory).sort()) {
    if (!/^(target|own|[^.]+\.so(\.\d+)*)$/.test(name)) continue;
    const bytes = new Uint8Array(readFileSync(join(directory, name)));
    const segment = new ElfFile(bytes).segments(PT_LOAD, 16).find(({ p_flags }) => (p_flags & PF_X) !== 0)!;
    const buildId = readBuildId(bytes)!;
    codes.push({ buildId, offset: Number(segment.p_offset), size: Number(segment.p_filesz) });
  }
  return codes;
}

/**
 * A raw dump of a map with `frames` frames in each of `stacks` stacks, out of `distinct` different ones.
 * Values are `32 * frames` bytes long.
 */
export function dumpOf(
  directory: string,
  { stacks, frames, distinct, seed }: { stacks: number; frames: number; distinct: number; seed: number },
): Uint8Array<ArrayBuffer> {
  const random = new SeededRandom(seed);
  const codes = codeOf(directory);
  const pool = Array.from({ length: distinct }, () => {
    const code = codes[random.below(codes.length)];
    const build_id = new Uint8Array(20);
    build_id.set(code.buildId);
    return { status: 1, build_id, offset: BigInt(code.offset + random.below(code.size)) };
  });
  const list = Array.from({ length: stacks }, (_, id) => ({
    id,
    frames: Array.from({ length: frames }, () => pool[random.below(distinct)]),
  }));
  return new Uint8Array(encodeStacks(list, { valueSize: 32 * frames, mapFlags: BPF_F_STACK_BUILD_ID }));
}
