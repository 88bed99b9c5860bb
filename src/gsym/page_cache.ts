// Owns PageCache: pages of a file that is read by ranges: which are here, which are on their way, and for whom.
import { viewOf } from "../base/bytes.ts";
import type { ByteSource } from "../base/byte_source.ts";
import { ENDS_WITH_REQUEST } from "../base/platform.ts";

/** Room for one page; of the file's last there may be more than the file has. */
export interface Page {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The generation that last used it. */
  used: number;
}

/** One caller who waits for pages. */
interface Ticket {
  readonly generation: number;
  /** When it began to wait. */
  readonly since: number;
  readonly slots: Set<Slot>;
  settle(failure?: { error: unknown }): void;
}

/** A page that somebody waits for, or that comes along in a read for others. */
interface Slot {
  readonly page: number;
  readonly tickets: Set<Ticket>;
  read: Read | undefined;
}

interface Read {
  readonly slots: Slot[];
  readonly controller: AbortController;
}

/** Pages that room is made for at a time. */
const PAGES_OF_SLAB = 16;
/** Missing pages that are this many pages apart are read together, with what is between. */
const MOST_GAP = 1;
/**
 * For who waits longer pages are not kept: it has ended without notice, see {@linkcode ENDS_WITH_REQUEST}, or its read
 * hangs, and all that others use meanwhile would stay. If it does go on, it fetches again what it lacks.
 */
const LOST_AFTER_MS = 10_000;

/** First and last of pages that are read together. @param pages Ascending. */
function runsOf(pages: readonly number[]): [number, number][] {
  const runs: [number, number][] = [];
  for (const page of pages) {
    const run = runs.at(-1);
    if (run === undefined || page - run[1] - 1 > MOST_GAP) runs.push([page, page]);
    else run[1] = page;
  }
  return runs;
}

/**
 * Pages of a file. A generation begins with each wait for pages. When there are too many bytes, those not used for
 * the longest time go, but none that a caller had used when it began to wait, or waited for: whoever waits finds
 * everything it needs when it tries again. That is why there may be more than `maxBytes` for a while.
 */
export class PageCache {
  readonly source: ByteSource;
  readonly pageSize: number;
  readonly maxBytes: number;
  requests = 0;
  bytesRead = 0;
  cachedBytes = 0;
  /** Bytes that there is room for, used or not. */
  roomBytes = 0;
  readonly #pages = new Map<number, Page>();
  /** Room that is not used. Given out again: pages come and go, and their memory would be freed late. */
  readonly #free: Page[] = [];
  readonly #slots = new Map<number, Slot>();
  readonly #tickets = new Set<Ticket>();
  #queue: Slot[] = [];
  #generation = 0;

  constructor(source: ByteSource, pageSize: number, maxBytes: number) {
    this.source = source;
    this.pageSize = pageSize;
    this.maxBytes = maxBytes;
  }

  /** A page that is here. */
  get(page: number): Page | undefined {
    const found = this.#pages.get(page);
    if (found !== undefined) found.used = this.#generation;
    return found;
  }

  /** Reads bytes from a page's start on, outside all queues, and keeps them as pages too. */
  async readNow(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = await this.#fetch(offset, length, signal);
    this.#insert(offset / this.pageSize, bytes);
    return bytes;
  }

  /**
   * Resolves when all of these pages are here. Pages asked for before the next microtask, by anybody, are fetched
   * together: neighbours in one read.
   *
   * @throws What the read failed with; the signal's reason.
   */
  load(pages: Iterable<number>, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const generation = ++this.#generation;
    if (ENDS_WITH_REQUEST) return this.#loadAlone(pages, generation, signal);
    const slots = new Set<Slot>();
    for (const page of pages) {
      if (this.get(page) !== undefined) continue;
      let slot = this.#slots.get(page);
      if (slot === undefined) {
        slot = { page, tickets: new Set(), read: undefined };
        this.#slots.set(page, slot);
        if (this.#queue.length === 0) queueMicrotask(() => this.#flush());
        this.#queue.push(slot);
      }
      slots.add(slot);
    }
    if (slots.size === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const leave = (): void => ticket.settle({ error: signal!.reason });
      const ticket: Ticket = {
        generation,
        since: performance.now(),
        slots,
        settle: (failure) => {
          signal?.removeEventListener("abort", leave);
          this.#tickets.delete(ticket);
          if (failure === undefined) return resolve();
          for (const slot of slots) this.#desert(slot, ticket, failure.error);
          reject(failure.error);
        },
      };
      for (const slot of slots) slot.tickets.add(ticket);
      this.#tickets.add(ticket);
      signal?.addEventListener("abort", leave);
    });
  }

  /** Pages for one caller alone, who depends on no read that another began. */
  async #loadAlone(pages: Iterable<number>, generation: number, signal?: AbortSignal): Promise<void> {
    const missing = [...pages].filter((page) => this.get(page) === undefined).sort((a, b) => a - b);
    const ticket: Ticket = { generation, since: performance.now(), slots: new Set(), settle() {} };
    this.#tickets.add(ticket);
    try {
      await Promise.all(
        runsOf(missing).map(async ([first, last]) => {
          const offset = first * this.pageSize;
          const end = Math.min(this.source.size, (last + 1) * this.pageSize);
          this.#insert(first, await this.#fetch(offset, end - offset, signal));
        }),
      );
    } finally {
      this.#tickets.delete(ticket);
    }
  }

  /** A ticket waits for a slot no more; a read that nobody waits for is ended. */
  #desert(slot: Slot, ticket: Ticket, reason: unknown): void {
    slot.tickets.delete(ticket);
    const { read } = slot;
    if (read === undefined || read.slots.some(({ tickets }) => tickets.size > 0)) return;
    for (const one of read.slots) if (this.#slots.get(one.page) === one) this.#slots.delete(one.page);
    read.controller.abort(reason);
  }

  #flush(): void {
    const queue = this.#queue.sort((a, b) => a.page - b.page);
    this.#queue = [];
    let run: Slot[] = [];
    for (const slot of queue) {
      if (slot.tickets.size === 0) { // whoever asked for it has left
        this.#slots.delete(slot.page);
        continue;
      }
      const previous = run.at(-1)?.page ?? slot.page - 1;
      if (slot.page - previous - 1 > MOST_GAP) {
        this.#start(run);
        run = [];
      } else {
        for (let page = previous + 1; page < slot.page; page++) {
          const between: Slot = { page, tickets: new Set(), read: undefined };
          run.push(between);
          if (!this.#pages.has(page) && !this.#slots.has(page)) this.#slots.set(page, between);
        }
      }
      run.push(slot);
    }
    this.#start(run);
  }

  /** Reads consecutive pages. */
  #start(slots: Slot[]): void {
    if (slots.length === 0) return;
    const read: Read = { slots, controller: new AbortController() };
    for (const slot of slots) slot.read = read;
    const offset = slots[0].page * this.pageSize;
    const end = Math.min(this.source.size, (slots[slots.length - 1].page + 1) * this.pageSize);
    const over = (): Ticket[] => {
      const waiting = new Set<Ticket>();
      for (const slot of slots) {
        if (this.#slots.get(slot.page) === slot) this.#slots.delete(slot.page);
        for (const ticket of slot.tickets) waiting.add(ticket);
      }
      return [...waiting];
    };
    this.#fetch(offset, end - offset, read.controller.signal).then((bytes) =>
      // There may be no memory for them: that, too, is told to those who wait.
      this.#insert(slots[0].page, bytes)
    ).then(
      () => {
        for (const ticket of over()) {
          for (const slot of slots) ticket.slots.delete(slot);
          if (ticket.slots.size === 0) ticket.settle();
        }
      },
      (error) => {
        for (const ticket of over()) ticket.settle({ error });
      },
    );
  }

  async #fetch(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    this.requests++;
    const bytes = await this.source.read(offset, length, { signal });
    if (!(bytes instanceof Uint8Array)) throw new TypeError("the source gave no Uint8Array");
    if (bytes.length !== length) {
      throw new RangeError(`the source gave ${bytes.length} bytes where ${length} at ${offset} were asked for`);
    }
    this.bytesRead += length;
    return bytes;
  }

  #insert(first: number, bytes: Uint8Array): void {
    const { pageSize } = this;
    for (let at = 0, number = first; at < bytes.length; at += pageSize, number++) {
      if (this.#pages.has(number)) continue;
      const page = this.#free.pop() ?? this.#allocate();
      page.bytes.set(bytes.subarray(at, at + pageSize));
      page.used = this.#generation;
      this.#pages.set(number, page);
      this.cachedBytes += pageSize;
    }
    if (this.cachedBytes > this.maxBytes) this.#evict();
  }

  /** Room for several pages; returns one of them. */
  #allocate(): Page {
    const { pageSize } = this;
    const slab = new Uint8Array(pageSize * PAGES_OF_SLAB);
    this.roomBytes += slab.length;
    for (let at = 0; at < slab.length; at += pageSize) {
      const bytes = slab.subarray(at, at + pageSize);
      this.#free.push({ bytes, view: viewOf(bytes), used: 0 });
    }
    return this.#free.pop()!;
  }

  /** Lets go of an eighth more than it has to, so that not every page that comes has to look for another. */
  #evict(): void {
    let pinned = this.#generation - 1;
    const lost = performance.now() - LOST_AFTER_MS;
    for (const ticket of this.#tickets) {
      if (ticket.since < lost) this.#tickets.delete(ticket);
      else pinned = Math.min(pinned, ticket.generation - 1);
    }
    const loose = [...this.#pages].filter(([, { used }]) => used < pinned).sort((a, b) => a[1].used - b[1].used);
    for (const [number, page] of loose) {
      if (this.cachedBytes <= this.maxBytes - this.maxBytes / 8) break;
      this.#pages.delete(number);
      this.#free.push(page);
      this.cachedBytes -= page.bytes.length;
    }
    // What many callers at once needed is not kept for the next few.
    const room = Math.max(0, this.maxBytes - this.cachedBytes) / this.pageSize + PAGES_OF_SLAB;
    if (this.#free.length > room) {
      const dropped = this.#free.splice(0, this.#free.length - Math.floor(room));
      this.roomBytes -= dropped.length * this.pageSize;
    }
  }
}
