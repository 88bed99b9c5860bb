// Owns the writing of raw ELF headers (Ehdr, Phdr, Shdr, Sym) of both classes and byte orders.
import { type StructLayout, writeStruct } from "../base/struct.ts";
import { viewOf } from "../base/bytes.ts";
import { type Ehdr, type ElfIdent, isLittleEndian, layoutsOf, type Phdr, type Shdr, type Sym } from "./headers.ts";

function encode(layout: StructLayout, value: object, littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  writeStruct(layout, value, viewOf(bytes), 0, littleEndian);
  return bytes;
}

/**
 * Writes an ELF header: 52 or 64 bytes, by the class in `e_ident`. Fields left out are 0; nothing is derived.
 *
 * @throws {RangeError} If a value does not fit its field.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ELFCLASS32, ELFDATA2MSB, encodeEhdr, ET_EXEC } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS32, ELFDATA2MSB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
 * assertEquals(encodeEhdr({ e_ident, e_type: ET_EXEC }).length, 52);
 * ```
 */
export function encodeEhdr(ehdr: ElfIdent & Partial<Ehdr>): Uint8Array {
  return encode(layoutsOf(ehdr).ehdr, ehdr, isLittleEndian(ehdr));
}

/**
 * Writes a program header: 32 or 56 bytes, by the class in `ident.e_ident`. Fields left out are 0.
 *
 * @throws {RangeError} If a value does not fit its field.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ELFCLASS64, ELFDATA2LSB, encodePhdr, PT_LOAD } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB);
 * assertEquals(encodePhdr({ p_type: PT_LOAD }, { e_ident }).length, 56);
 * ```
 */
export function encodePhdr(phdr: Partial<Phdr>, ident: ElfIdent): Uint8Array {
  return encode(layoutsOf(ident).phdr, phdr, isLittleEndian(ident));
}

/**
 * Writes a section header: 40 or 64 bytes, by the class in `ident.e_ident`. Fields left out are 0.
 *
 * @throws {RangeError} If a value does not fit its field.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ELFCLASS64, ELFDATA2LSB, encodeShdr, SHT_NOTE } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB);
 * assertEquals(encodeShdr({ sh_type: SHT_NOTE }, { e_ident }).length, 64);
 * ```
 */
export function encodeShdr(shdr: Partial<Shdr>, ident: ElfIdent): Uint8Array {
  return encode(layoutsOf(ident).shdr, shdr, isLittleEndian(ident));
}

/**
 * Writes a symbol: 16 or 24 bytes, by the class in `ident.e_ident`. Fields left out are 0.
 *
 * @throws {RangeError} If a value does not fit its field.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ELFCLASS64, ELFDATA2LSB, encodeSym } from "@bpf/stackmap";
 *
 * const e_ident = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB);
 * assertEquals(encodeSym({ st_value: 0x401000n, st_size: 16n }, { e_ident }).length, 24);
 * ```
 */
export function encodeSym(sym: Partial<Sym>, ident: ElfIdent): Uint8Array {
  return encode(layoutsOf(ident).sym, sym, isLittleEndian(ident));
}
