// Owns small x86-64 files with stubs, laid out as GNU ld does, for the tests of the procedure linkage table.
import { buildElf, concat, type ElfSpec, makeIdent, type SectionSpec, stringTable } from "./elf_builder.ts";
import { encodeSym } from "../mod.ts";

/** Where the section with stubs and the slots lie. */
export const X86_LAZY = { address: 0x1020n, slots: 0x4000n, stubSize: 16 };

/** What {@linkcode pltElf} makes. */
export interface PltSpec {
  /** Symbols, each with a stub and a relocation. */
  names?: readonly string[];
  /** Of the relocations; 0 by default. */
  addends?: readonly bigint[];
  /** A static program's: no dynamic symbols, and each slot takes what the resolver at its addend returns. */
  isStatic?: boolean;
  /** How many of them there are, if fewer. */
  relocations?: number;
  /** How many stubs there are; those past the symbols jump by the first slot. */
  stubs?: number;
  /** The string that symbol i names from byte i on. */
  overlapping?: string;
  /** Relocations of another section that only move addresses, */
  relative?: number;
  /** and how many sections name them. */
  copies?: number;
  /** Header fields of the sections. */
  plt?: Partial<SectionSpec>;
  rela?: Partial<SectionSpec>;
  ehdr?: ElfSpec["ehdr"];
  /** Besides: segments, a symbol table, a build ID. */
  more?: Pick<ElfSpec, "segments" | "symbols" | "buildId" | "dynamic">;
}

const LE64 = { e_ident: makeIdent(true, true) };

function relocation(offset: bigint, symbol: number, type: number, addend: bigint): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, offset, true);
  view.setUint32(8, type, true);
  view.setUint32(12, symbol, true);
  view.setBigInt64(16, addend, true);
  return bytes;
}

/** A stub that jumps by `slot`, pushes its index, and jumps to the first entry. */
function stub(at: bigint, slot: bigint, index: number): Uint8Array {
  const bytes = Uint8Array.of(0xff, 0x25, 0, 0, 0, 0, 0x68, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0);
  const view = new DataView(bytes.buffer);
  view.setInt32(2, Number(slot - at) - 6, true);
  view.setInt32(7, index, true);
  view.setInt32(12, Number(X86_LAZY.address - at) - 16, true);
  return bytes;
}

/** A shared library: `.dynsym`, `.dynstr`, `.rela.plt`, `.plt`, from section 1 on. */
export function pltElf(spec: PltSpec): Uint8Array {
  const { names = [], addends = [], overlapping } = spec;
  const { address, slots, stubSize } = X86_LAZY;
  const strings = overlapping === undefined
    ? stringTable([...names])
    : { bytes: new TextEncoder().encode(overlapping), offsets: names.map((_, i) => i) };
  const symbols = names.map((_, i) => encodeSym({ st_name: strings.offsets[i], st_info: 0x12 }, LE64));
  const slotOf = (i: number): bigint => slots + 8n * BigInt(i);
  const relocations = names.slice(0, spec.relocations ?? names.length)
    .map((_, i) => relocation(slotOf(i), spec.isStatic ? 0 : i + 1, spec.isStatic ? 37 : 7, addends[i] ?? 0n));
  const count = spec.stubs ?? names.length;
  // push, jmp to what the dynamic linker has put into the second and third slot before.
  const first = Uint8Array.of(0xff, 0x35, 0, 0, 0, 0, 0xff, 0x25, 0, 0, 0, 0, 0x0f, 0x1f, 0x40, 0);
  const stubs = Array.from({ length: count }, (_, i) => {
    const at = address + BigInt(stubSize * (i + 1));
    return stub(at, slotOf(i < names.length ? i : 0), i);
  });
  const relative = concat(
    ...Array.from({ length: spec.relative ?? 0 }, (_, i) => relocation(8n * BigInt(i), 0, 8, 1n)),
  );
  const sections: SectionSpec[] = [
    {
      name: ".dynsym",
      sh_type: spec.isStatic ? 1 : 11,
      sh_link: 2,
      contents: concat(encodeSym({}, LE64), ...symbols),
    },
    { name: ".dynstr", sh_type: 3, contents: strings.bytes },
    { name: ".rela.plt", sh_type: 4, sh_flags: 2n, sh_link: 1, contents: concat(...relocations), ...spec.rela },
    {
      name: ".plt",
      sh_type: 1,
      sh_flags: 6n,
      sh_addr: address,
      contents: concat(first, ...stubs),
      ...spec.plt,
    },
  ];
  if (spec.relative !== undefined) {
    // The first has the bytes, which lie behind those of the sections before; the others name them again.
    sections.push({ name: ".rela.dyn", sh_type: 4, sh_flags: 2n, contents: relative });
  }
  const bytes = buildElf({ sections, ehdr: spec.ehdr ?? {}, ...spec.more });
  if (spec.copies === undefined) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = Number(view.getBigUint64(40, true)) + 64 * sections.length;
  const place = { sh_offset: view.getBigUint64(header + 24, true), sh_size: view.getBigUint64(header + 32, true) };
  const copy: SectionSpec = { name: ".rela.dyn", sh_type: 4, sh_flags: 2n, ...place };
  const copies = Array.from({ length: spec.copies }, () => copy);
  return buildElf({ sections: [...sections, ...copies], ehdr: spec.ehdr ?? {}, ...spec.more });
}
