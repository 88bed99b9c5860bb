// Owns archives in the format of an initial RAM disk: cpio, "newc".
import { concat } from "../elf_builder.ts";

/** One file of an archive, or a folder where `bytes` is undefined. */
export interface CpioEntry {
  path: string;
  mode: number;
  bytes?: Uint8Array;
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

function entry(number: number, path: string, mode: number, bytes: Uint8Array): Uint8Array[] {
  const name = new TextEncoder().encode(`${path}\0`);
  // ino, mode, uid, gid, nlink, mtime, filesize, four device numbers, namesize, check
  const fields = [number, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  const padding = (length: number) => new Uint8Array(-length & 3);
  return [
    new TextEncoder().encode(header),
    name,
    padding(header.length + name.length),
    bytes,
    padding(bytes.length),
  ];
}

/** Packs entries, folders before what is in them. */
export function packCpio(entries: CpioEntry[]): Uint8Array {
  const parts = entries.flatMap(({ path, mode, bytes }, index) =>
    entry(index + 1, path, mode | (bytes === undefined ? S_IFDIR : S_IFREG), bytes ?? new Uint8Array(0))
  );
  parts.push(...entry(0, "TRAILER!!!", 0, new Uint8Array(0)));
  return concat(...parts);
}
