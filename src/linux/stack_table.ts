// Owns distinct stacks: values of a stack map, each kept once, by content, and numbered as they come.
import { universalHash, universalMultipliers } from "../base/universal_hash.ts";
import { ERRNO } from "../uapi/errno.ts";

/** Words of memory for stacks at first. */
const FIRST_WORDS = 1 << 14;

/**
 * Most bytes of a dump, unless the caller says otherwise. What is kept meanwhile is less; it is programs that are
 * sampled who choose how many different stacks they have.
 */
export const MOST_STACK_BYTES: number = 512 * 2 ** 20;

/** Most stacks, however small they are: the tables beside the words take about 100 bytes for each. */
const MOST_STACKS = 1 << 22;

/**
 * Distinct values of stack maps of one layout. What follows a stack's last frame is not kept.
 *
 * For hosts that store integers little-endian, as those that src/linux knows do.
 */
export class StackTable {
  /** Words of a value. */
  readonly valueWords: number;
  readonly #frameWords: number;
  readonly #mostWords: number;
  readonly #multipliers: Uint32Array;
  /** The number of the stack that was added last, by hash. */
  readonly #last = new Map<number, number>();
  /** The number of the one before it with the same hash, by number; -1: there is none. */
  readonly #before: number[] = [];
  /** Where each stack begins in `#words`, and where the last one ends. */
  readonly #start: number[] = [0];
  #words = new Int32Array(FIRST_WORDS);
  /** Words of a value in a dump: those of the deepest stack, and a frame at least. */
  #dumpWords: number;

  /**
   * A table without stacks.
   *
   * @param depth Frames of a value.
   * @param buildId Whether frames are `struct bpf_stack_build_id`, or addresses.
   * @param mostBytes Most bytes of a dump.
   */
  constructor(depth: number, buildId: boolean, mostBytes: number = MOST_STACK_BYTES) {
    this.#frameWords = buildId ? 8 : 2;
    this.#dumpWords = this.#frameWords;
    this.#mostWords = Math.floor(mostBytes / 4);
    this.valueWords = depth * this.#frameWords;
    // Programs choose their stacks; they shall not choose who shares a hash.
    this.#multipliers = universalMultipliers(this.valueWords);
  }

  /** Number of distinct stacks. */
  get size(): number {
    return this.#before.length;
  }

  /** Frames of a value in a dump: those of the deepest stack, 1 at least. */
  get dumpDepth(): number {
    return this.#dumpWords / this.#frameWords;
  }

  /**
   * The number of a stack, a new one if it was not there; `-ENOSPC` if it was not there and a dump with it would be
   * too large. A deep stack may be too much where a shallow one is not: each lengthens all values of a dump.
   *
   * @param value `valueWords` words; the build IDs of frames that have none are set to zero in it: old kernels leave
   *   in them what was there before.
   */
  add(value: Int32Array): number {
    const length = this.#used(value);
    const hash = universalHash(this.#multipliers.subarray(0, 4 * length), value, 0);
    const last = this.#last.get(hash) ?? -1;
    for (let number = last; number >= 0; number = this.#before[number]) {
      if (this.#equals(number, value, length)) return number;
    }
    const number = this.size;
    const dumpWords = Math.max(this.#dumpWords, length);
    if (number >= MOST_STACKS || (number + 1) * (1 + dumpWords) > this.#mostWords) return -ERRNO.ENOSPC;
    this.#dumpWords = dumpWords;
    const start = this.#start[number];
    if (start + length > this.#words.length) {
      const twice = Math.min(2 * this.#words.length, this.#mostWords);
      const larger = new Int32Array(Math.max(twice, start + length));
      larger.set(this.#words);
      this.#words = larger;
    }
    for (let i = 0; i < length; i++) this.#words[start + i] = value[i];
    this.#start.push(start + length);
    this.#before.push(last);
    this.#last.set(hash, number);
    return number;
  }

  /** All stacks as `decodeStacks()` takes them: `u32` number and value, of `dumpDepth` frames, repeated. */
  dump(): Uint8Array {
    const dump = new Int32Array(this.size * (1 + this.#dumpWords));
    for (let number = 0, at = 0; number < this.size; number++, at += 1 + this.#dumpWords) {
      dump[at] = number;
      dump.set(this.#words.subarray(this.#start[number], this.#start[number + 1]), at + 1);
    }
    return new Uint8Array(dump.buffer);
  }

  /** Words up to the end of the trace. */
  #used(value: Int32Array): number {
    if (this.#frameWords === 2) {
      let at = 0;
      while (at < this.valueWords && (value[at] | value[at + 1]) !== 0) at += 2;
      return at;
    }
    let at = 0;
    for (; at < this.valueWords && value[at] !== 0; at += 8) {
      if (value[at] !== 1) value.fill(0, at + 1, at + 6);
    }
    return at;
  }

  #equals(number: number, value: Int32Array, length: number): boolean {
    const start = this.#start[number];
    if (this.#start[number + 1] - start !== length) return false;
    for (let i = 0; i < length; i++) if (this.#words[start + i] !== value[i]) return false;
    return true;
  }
}
