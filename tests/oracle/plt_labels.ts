// Owns what objdump says of stubs of the procedure linkage table, which llvm-symbolizer 14 and addr2line don't know.

/** A stub, from its first byte to that of the next or the section's end. */
export interface Stub {
  start: bigint;
  end: bigint;
  /** With `@plt`. */
  name: string;
}

/** The sections that may have stubs, as options of objdump. */
const SECTIONS = [".plt", ".plt.got", ".plt.sec", ".plt.bnd", ".iplt"].flatMap((name) => ["-j", name]);

/** A command whose output {@linkcode readStubs} takes; its status says no more than that a section is missing. */
export function stubsCommand(path: string, objdump = "objdump"): string[] {
  return [objdump, "-h", "-d", "--no-show-raw-insn", ...SECTIONS, path];
}

/** What the stub is called that jumps by a slot, by the slot's address in hex. From the text of `readelf -rW`. */
export function readSlots(relocations: string): Map<string, string> {
  const slots = new Map<string, string>();
  for (const line of relocations.split("\n")) {
    const resolver = /^0*([0-9a-f]+)\s+\S+\s+R_\S+_IRELATIV\S*\s+([0-9a-f]+)$/.exec(line);
    if (resolver !== null) slots.set(resolver[1], `*ABS*+0x${resolver[2]}@plt`);
    const symbol = /^0*([0-9a-f]+)\s+\S+\s+R_\S+_(?:JU?MP_SLO|GLOB_DAT)\S*\s+\S+\s+([^\s@]+)/.exec(line);
    if (symbol !== null) slots.set(symbol[1], `${symbol[2]}@plt`);
  }
  return slots;
}

/**
 * Stubs by ascending address: what has a label that ends in `@plt`; and where objdump gives none (it asks for dynamic
 * symbols, which static programs lack, and knows neither `.iplt` nor retpolines), what goes by a slot of `slots`.
 */
export function readStubs(disassembly: string, slots: ReadonlyMap<string, string>): Stub[] {
  const stubs: Stub[] = [];
  const ends = new Map<string, bigint>();
  let section = "";
  let named = false;
  let landing = -1n;
  const close = (at: bigint): void => {
    const last = stubs[stubs.length - 1];
    if (last !== undefined && last.end < 0n) last.end = at;
  };
  for (const line of disassembly.split("\n")) {
    const header = /^\s*\d+\s+(\.\S+)\s+([0-9a-f]+)\s+([0-9a-f]+)\s/.exec(line);
    if (header !== null) ends.set(header[1], BigInt(`0x${header[2]}`) + BigInt(`0x${header[3]}`));
    const begin = /^Disassembly of section (\S+):$/.exec(line);
    if (begin !== null) {
      close(ends.get(section) ?? 0n);
      section = begin[1];
    }
    const label = /^([0-9a-f]+) <(.*)>:$/.exec(line);
    if (label !== null) {
      const start = BigInt(`0x${label[1]}`);
      close(start);
      named = label[2].endsWith("@plt");
      if (named) stubs.push({ start, end: -1n, name: label[2] });
    }
    const code = /^\s*([0-9a-f]+):\t(.*)$/.exec(line);
    if (code === null || named) continue;
    const at = BigInt(`0x${code[1]}`);
    const slot = /^(?:(?:bnd )?jmp\s+\*|mov\s+0x[0-9a-f]+\(%rip\),%r11).*# ([0-9a-f]+)\b/.exec(code[2])?.[1] ?? "";
    const name = slots.get(slot);
    if (name !== undefined) {
      const start = landing >= 0n ? landing : at;
      close(start);
      stubs.push({ start, end: -1n, name });
    }
    landing = code[2].startsWith("endbr") ? at : -1n;
  }
  close(ends.get(section) ?? 0n);
  return stubs.sort((a, b) => a.start < b.start ? -1 : 1);
}

/** The stub that an address is in. */
export function stubAt(stubs: readonly Stub[], address: bigint): Stub | undefined {
  let low = 0;
  let high = stubs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (stubs[middle].start <= address) low = middle + 1;
    else high = middle;
  }
  const stub = stubs[low - 1];
  return stub !== undefined && address < stub.end ? stub : undefined;
}
