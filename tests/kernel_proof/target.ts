// Owns the target process: starting and ending it, batches of system calls, the file that it shares with the proof.
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ENTRY_RESULT, ENTRY_SIZE, SHARED_BASE, SHARED_SIZE, targetProgram } from "./target_elf.ts";

/** System calls of x86-64 that the target makes. */
export const NR = {
  open: 2,
  close: 3,
  mmap: 9,
  munmap: 11,
  mincore: 27,
  getppid: 110,
  sched_setaffinity: 203,
  fadvise64: 221,
  sync_file_range: 277,
  bpf: 321,
  close_range: 436,
} as const;

/** Arguments of those calls. */
export const PAGE = 4096;
export const MAP_SHARED_FIXED = 0x11;
export const MAP_PRIVATE_FIXED = 0x12;
export const MAP_ANONYMOUS = 0x20;
export const O_RDWR = 2;
/** A frame pointer at which the kernel ends its walk. */
export const END_OF_CHAIN: bigint = 1n << 63n;

/** Most entries of one batch. */
export const MOST_ENTRIES = 12000;
const ARENA = Math.ceil(MOST_ENTRIES * ENTRY_SIZE / 4096) * 4096;

/** Longest time for a batch. */
const MOST_MILLISECONDS = 60_000;

/** How the entry calls, where that matters. */
export interface CallOptions {
  /** rbp during the call, where the walk over frames begins. */
  rbp?: bigint;
  /** Address of the `syscall` instruction. */
  gadget?: bigint;
}

/** System calls to be made one after another, and memory of the target that they use. */
export class Batch {
  readonly #gadget: bigint;
  readonly entries: DataView = new DataView(new ArrayBuffer(MOST_ENTRIES * ENTRY_SIZE));
  count = 0;
  readonly arena: Uint8Array = new Uint8Array(SHARED_SIZE - ARENA);
  used = 0;

  constructor(gadget: number) {
    this.#gadget = BigInt(gadget);
  }

  /** Empties it for the next use: its memory is large. */
  reset(): this {
    this.count = this.used = 0;
    return this;
  }

  /** Adds a system call; returns its place among the results. */
  add(nr: number, args: readonly (number | bigint)[], options: CallOptions = {}): number {
    if (this.count === MOST_ENTRIES) throw new RangeError("the batch is full");
    const at = ENTRY_SIZE * this.count;
    this.entries.setBigUint64(at, BigInt(nr), true);
    for (let i = 0; i < 6; i++) this.entries.setBigInt64(at + 8 + 8 * i, BigInt(args[i] ?? 0), true);
    this.entries.setBigUint64(at + 56, options.rbp ?? 0n, true);
    this.entries.setBigUint64(at + 64, options.gadget ?? this.#gadget, true);
    return this.count++;
  }

  /** Takes `size` bytes of the target's memory, 8-aligned; the address in the target. */
  take(size: number): number {
    const at = this.used;
    this.used += (size + 7) & ~7;
    if (this.used > this.arena.length) throw new RangeError("the batch's memory is full");
    return SHARED_BASE + ARENA + at;
  }

  /** Puts bytes into the target's memory. */
  put(bytes: Uint8Array): number {
    const address = this.take(bytes.length);
    this.write(address, bytes);
    return address;
  }

  /** Fills memory that was taken. */
  write(address: number, bytes: Uint8Array): void {
    this.arena.set(bytes, address - SHARED_BASE - ARENA);
  }

  /** Puts a string with its NUL. */
  text(text: string): number {
    return this.put(new TextEncoder().encode(`${text}\0`));
  }
}

/** The target process. Dispose of it; it also ends when the proof does, whose pipe it reads. */
export class Target implements Disposable {
  readonly directory: string;
  readonly pid: number;
  readonly gadget: number;
  readonly spin: number;
  /** Its file, `target` in its directory: with a build ID, and in the page cache while it runs. */
  readonly program: Uint8Array;
  readonly #process: ChildProcess;
  readonly #shared: number;
  readonly #batch: Batch;
  #waiting: { resolve: () => void; reject: (reason: Error) => void } | undefined;
  #ended = false;

  /** Starts a target, with a directory of its own below `parent`. */
  constructor(parent: string) {
    this.directory = mkdtempSync(join(parent, "stackmap-proof-"));
    try {
      const sharedPath = join(this.directory, "shared");
      writeFileSync(sharedPath, new Uint8Array(SHARED_SIZE));
      this.#shared = openSync(sharedPath, "r+");
      const program = targetProgram(sharedPath);
      this.gadget = program.gadget;
      this.spin = program.spin;
      this.program = program.bytes;
      this.#batch = new Batch(program.gadget);
      const path = join(this.directory, "target");
      writeFileSync(path, program.bytes);
      chmodSync(path, 0o755);
      // Detached: Ctrl-C is for the proof, which then ends it.
      this.#process = spawn(path, [], { stdio: ["pipe", "pipe", "inherit"], detached: true });
      this.pid = this.#process.pid!;
    } catch (error) {
      rmSync(this.directory, { recursive: true, force: true });
      throw error;
    }
    this.#process.stdout!.on("data", () => {
      this.#waiting?.resolve();
      this.#waiting = undefined;
    });
    const fail = (problem: string) => {
      this.#ended = true;
      this.#waiting?.reject(new Error(problem));
      this.#waiting = undefined;
    };
    this.#process.on("error", (error) => fail(`the target: ${error.message}`));
    this.#process.stdin!.on("error", () => {});
    this.#process.on("exit", (code, signal) => fail(`the target ended: ${signal ?? code}`));
  }

  /** An empty batch; the one before can't be used any more. */
  batch(): Batch {
    return this.#batch.reset();
  }

  /** Makes the calls of a batch; what each returned. */
  async run(batch: Batch): Promise<BigInt64Array> {
    if (this.#ended) throw new Error("the target has ended");
    if (batch.count === 0) return new BigInt64Array(0);
    const entries = new Uint8Array(batch.entries.buffer, 0, batch.count * ENTRY_SIZE);
    writeSync(this.#shared, entries, 0, entries.length, 0);
    if (batch.used > 0) writeSync(this.#shared, batch.arena, 0, batch.used, ARENA);
    const request = new Uint8Array(16);
    const view = new DataView(request.buffer);
    view.setUint32(0, SHARED_BASE, true);
    view.setUint32(8, batch.count, true);
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      timer = setTimeout(() => reject(new Error("the target does not answer")), MOST_MILLISECONDS);
      this.#process.stdin!.write(request);
    }).finally(() => clearTimeout(timer));
    readSync(this.#shared, entries, 0, entries.length, 0);
    const results = new BigInt64Array(batch.count);
    for (let i = 0; i < batch.count; i++) {
      results[i] = batch.entries.getBigInt64(ENTRY_SIZE * i + ENTRY_RESULT, true);
    }
    return results;
  }

  /** Bytes of the target's shared memory, after a batch. */
  read(address: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    readSync(this.#shared, bytes, 0, size, address - SHARED_BASE);
    return bytes;
  }

  /** The text of its /proc/PID/maps. */
  maps(): string {
    return readFileSync(`/proc/${this.pid}/maps`, "utf8");
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#process.kill("SIGKILL");
    this.#process.stdin!.destroy();
    this.#process.stdout!.destroy();
    closeSync(this.#shared);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
