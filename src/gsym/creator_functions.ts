// Owns FunctionList: the functions to be written, as columns and templates, and which of them stay.
import type { FunctionDraft } from "./encode_function.ts";
import { grown, type StringPool } from "./encode_pool.ts";

/** Templates are kept in pieces of this size, so that nothing large is ever copied. */
const SLAB = 1 << 20;

/** What a function has, for the choice between several: `inlined` calls count for more than lines. */
const HAS_LINES = 1;
const HAS_INLINED = 2;

/** Functions in the order of addition. */
export class FunctionList {
  length = 0;
  /** Bytes of all templates. */
  templateBytes = 0;
  addressHi: Uint32Array = new Uint32Array(1024);
  addressLo: Uint32Array = new Uint32Array(1024);
  size: Uint32Array = new Uint32Array(1024);
  /** Number of the name. */
  name: Uint32Array = new Uint32Array(1024);
  #slab: Uint32Array = new Uint32Array(1024);
  #at: Uint32Array = new Uint32Array(1024);
  #richness: Uint32Array = new Uint32Array(1024);
  readonly #slabs: Uint8Array[] = [];
  #used = SLAB;

  /** Adds a function with what a draft says. */
  add(addressHi: number, addressLo: number, size: number, name: number, draft: FunctionDraft): void {
    const template = draft.encode(name, size);
    const index = this.length;
    if (index === this.size.length) this.#grow();
    let slab = this.#slabs.length - 1;
    if (slab < 0 || template.length > this.#slabs[slab].length - this.#used) {
      slab = this.#slabs.push(new Uint8Array(Math.max(SLAB, template.length))) - 1;
      this.#used = 0;
    }
    this.#slabs[slab].set(template, this.#used);
    this.addressHi[index] = addressHi;
    this.addressLo[index] = addressLo;
    this.size[index] = size;
    this.name[index] = name;
    this.#slab[index] = slab;
    this.#at[index] = this.#used;
    this.#richness[index] = (draft.rows > 0 ? HAS_LINES : 0) | (draft.inlined.length > 0 ? HAS_INLINED : 0);
    this.#used += template.length;
    this.templateBytes += template.length;
    this.length++;
  }

  #grow(): void {
    this.addressHi = grown(this.addressHi);
    this.addressLo = grown(this.addressLo);
    this.size = grown(this.size);
    this.name = grown(this.name);
    this.#slab = grown(this.#slab);
    this.#at = grown(this.#at);
    this.#richness = grown(this.#richness);
  }

  /** The piece of memory with a function's template, */
  slab(index: number): Uint8Array {
    return this.#slabs[this.#slab[index]];
  }

  /** and where in it the template begins. */
  templateAt(index: number): number {
    return this.#at[index];
  }

  /** Distance in bytes of a function from another that does not begin later; exact below 2^53. */
  distance(index: number, base: number): number {
    return (this.addressHi[index] - this.addressHi[base]) * 0x1_0000_0000 +
      (this.addressLo[index] - this.addressLo[base]);
  }

  /**
   * Which functions are written, by ascending address, and the names and sizes that they then have. The rules are
   * those of LLVM's GsymCreator: of equal ranges the one that knows more, of those the last; with the other's
   * mangled name where its own is not; of others that overlap all; of one without a size nothing where the next
   * one holds its address.
   *
   * @param endOf End of the code around an address, as a distance from it; for a last function without a size.
   */
  settle(strings: StringPool, endOf: (addressHi: number, addressLo: number) => number): SettledFunctions {
    const { length, addressHi, addressLo, size, name } = this;
    const richness = this.#richness;
    const order = new Uint32Array(length);
    let ascending = true;
    for (let i = 0; i < length; i++) {
      order[i] = i;
      if (i > 0 && ascending) {
        ascending = addressHi[i] > addressHi[i - 1] ||
          (addressHi[i] === addressHi[i - 1] && addressLo[i] > addressLo[i - 1]);
      }
    }
    if (!ascending) {
      order.sort((a, b) =>
        addressHi[a] - addressHi[b] || addressLo[a] - addressLo[b] || size[a] - size[b] ||
        richness[a] - richness[b] || a - b
      );
    }
    const out: SettledFunctions = { order, names: name.slice(0, length), sizes: size.slice(0, length), dropped: 0 };
    let count = 0;
    for (const one of order) {
      if (count > 0) {
        const last = order[count - 1];
        const apart = this.distance(one, last);
        if (apart === 0 && size[last] === size[one]) {
          // The later in this order knows as much or more.
          if (!strings.isMangled(out.names[one]) && strings.isMangled(out.names[last])) {
            out.names[one] = out.names[last];
          }
          count--;
        } else if (apart === 0 && size[last] === 0) count--;
      }
      order[count++] = one;
    }
    if (count > 0) {
      const last = order[count - 1];
      if (size[last] === 0) out.sizes[last] = Math.min(endOf(addressHi[last], addressLo[last]), 0xffff_ffff);
    }
    out.order = order.subarray(0, count);
    out.dropped = length - count;
    return out;
  }
}

/** What {@linkcode FunctionList.settle} decided. */
export interface SettledFunctions {
  /** Positions of the functions that are written, by ascending address. */
  order: Uint32Array;
  /** Numbers of names, and sizes, by position. */
  names: Uint32Array;
  sizes: Uint32Array;
  /** How many functions are not written, since others have their addresses. */
  dropped: number;
}
