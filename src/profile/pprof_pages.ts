// Owns addresses by page, as mappings of pprof profiles need them: page numbers, and which addresses are the
// kernel's.
import type { ProtoWriter } from "./pprof_wire.ts";

const PAGE_BITS = 12;
/** Pages of the lower half of an address. */
const PAGES_TO_HIGH = 2 ** 20;

/** The page of an address: 52 bits, exact. */
export function pageOf(hi: number, lo: number): number {
  return hi * PAGES_TO_HIGH + (lo >>> PAGE_BITS);
}

/** Writes the address of a page. After the last of all comes none: the end of that is taken to be its last byte. */
export function putPage(writer: ProtoWriter, field: number, page: number): void {
  if (page === 2 ** 52) return writer.u64(field, 0xffff_ffff, 0xffff_ffff);
  writer.u64(field, Math.floor(page / PAGES_TO_HIGH), (page % PAGES_TO_HIGH) * 2 ** PAGE_BITS);
}

/** Addresses of the upper half are the kernel's, but for the page of vsyscall, which belongs to the process. */
export function isKernelAddress(hi: number, lo: number): boolean {
  return hi >= 0x8000_0000 && !(hi === 0xffff_ffff && lo >>> PAGE_BITS === 0xff600);
}
