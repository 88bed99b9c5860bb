// Owns printing a failing case as a test that is ready to be added: the model alone, with the kernel's answers.
import { type AddressSpace, BPF_F_USER_STACK } from "../../mod.ts";
import { PERF_MAX_STACK_DEPTH } from "../../src/kernel/stack_map.ts";
import type { MappedFile } from "../../src/memory/mapped_file.ts";
import { toHex, viewOf } from "../../src/base/bytes.ts";
import { KERNEL_SITE, type ProofCase } from "./case.ts";
import { HostileFile } from "./hostile_file.ts";
import type { LiveCase, LiveOp, LiveRound } from "./live.ts";
import { RecordLayout } from "./probe.ts";
import type { Failure } from "./reduce.ts";
import { addressSpaceOf } from "./replay.ts";
import { provenProfile } from "./running.ts";

type LiveCall = Extract<LiveOp, { kind: "call" }>;

const hex = (value: number | bigint) => `0x${value.toString(16)}`;

/** Pages of a whole file to look for. */
const MOST_PAGES = 64;

/** Bytes as hexadecimal digits without the zeros at the end. */
function digits(bytes: Uint8Array): string {
  return JSON.stringify(toHex(bytes.subarray(0, used(bytes))));
}

class Printer {
  readonly #case: ProofCase;
  readonly #live: LiveCase;
  readonly #layout: RecordLayout;
  readonly #nrCpus: number;
  readonly lines: string[] = [];
  #cpu = 0;

  constructor({ proofCase, live }: Failure, nrCpus: number) {
    this.#case = proofCase;
    this.#live = live;
    this.#nrCpus = nrCpus;
    this.#layout = new RecordLayout(proofCase.sites);
  }

  print({ differences: [first] }: Failure): string {
    const title = `kernel and model agree on ${first.what}, seed ${this.#case.seed}`;
    const { maxStack } = this.#case;
    const limit = maxStack === PERF_MAX_STACK_DEPTH ? "" : `, perfEventMaxStack: ${maxStack}`;
    const options = `{ kernel: "${provenProfile()}", nrCpus: ${this.#nrCpus}${limit} }`;
    this.#case.maps.forEach((map, i) => {
      this.lines.push(
        `const map${i} = new StackMap(${JSON.stringify(map)}, ${options});`,
      );
    });
    this.#live.rounds.forEach((round, i) => this.#round(round, i));
    return [
      `// Kernel: ${first.kernel}. Model: ${first.model}.`,
      `Deno.test(${JSON.stringify(title)}, () => {`,
      `  const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));`,
      `  const file = (pages: Record<number, string>) => ({`,
      `    readPage(index: number) {`,
      `      if (!(index in pages)) return undefined;`,
      `      const page = new Uint8Array(4096);`,
      `      page.set(bytes(pages[index]));`,
      `      return page;`,
      `    },`,
      `  });`,
      ...this.lines.map((line) => `  ${line}`),
      `});`,
    ].join("\n");
  }

  #round(round: LiveRound, index: number): void {
    this.#space(round, index);
    for (const op of round.ops) {
      if (op.kind === "cpu") {
        if (op.result === 0) this.#cpu = op.cpu;
      } else if (op.kind === "call") {
        this.#call(op, index);
      } else {
        this.#command(op);
      }
    }
    round.dumps.forEach(({ ids, values }, map) => {
      const { valueSize } = this.#case.maps[map];
      ids.forEach((id, i) => {
        this.lines.push(`{`, `  const value = new Uint8Array(${valueSize});`);
        this.lines.push(`  assertEquals(map${map}.copy(${id}, value), 0);`);
        this.lines.push(`  assertEquals(value.slice(0, ${used(values[i])}), bytes(${digits(values[i])}));`, `}`);
      });
    });
  }

  // Mappings that a frame of the round falls into, or is given by find_vma().
  #space(round: LiveRound, index: number): void {
    const space = addressSpaceOf(this.#case, this.#live, round);
    const wanted = new Set<AddressSpace["vmas"][number]>();
    for (const op of round.ops) {
      if (op.kind !== "call") continue;
      for (const ip of [op.firstIp, ...op.op.chain]) {
        const vma = space.findVma(ip);
        if (vma !== undefined) wanted.add(vma);
      }
    }
    const names = new Map<object, string>();
    const mappings: string[] = [];
    for (const { start, end, pgoff, file } of wanted) {
      if (file !== undefined && !names.has(file)) {
        names.set(file, `file${index}_${names.size}`);
        this.lines.push(`const ${names.get(file)} = file({ ${this.#pages(file).join(", ")} });`);
      }
      const text = file === undefined ? "" : `, file: ${names.get(file)}`;
      mappings.push(`  { start: ${hex(start)}n, end: ${hex(end)}n, pgoff: ${hex(pgoff)}n${text} },`);
    }
    this.lines.push(`const space${index} = new AddressSpace([`, ...mappings);
    this.lines.push(`]);`);
  }

  // Pages that are in the page cache. Of a file that can't change, all.
  #pages(file: MappedFile): string[] {
    const indices = file instanceof HostileFile
      ? file.resident ?? []
      : Array.from({ length: MOST_PAGES }, (_, i) => i);
    return [...indices].flatMap((index) => {
      const page = file.readPage(index);
      return page === undefined ? [] : [`${index}: ${digits(page)}`];
    });
  }

  #call({ op, record, firstIp, interrupt }: LiveCall, round: number): void {
    const view = viewOf(record);
    op.flags.forEach((flags, i) => {
      const site = this.#case.sites[i];
      if (flags === undefined || i <= KERNEL_SITE || (site.kind === "stack" && op.sizes[i] > site.room)) return;
      const isUser = (flags & BigInt(BPF_F_USER_STACK)) !== 0n;
      const ips = isUser ? [firstIp, ...op.chain] : interrupt ? [] : this.#kernelStack(record, i);
      const stack = `new BigUint64Array([${ips.map((ip) => `${hex(ip)}n`).join(", ")}])`;
      const busy = interrupt?.busy[i] ? ", irqWorkBusy: true" : "";
      const context = `{ cpu: ${this.#cpu}, addressSpace: space${round}${busy} }`;
      const result = view.getBigInt64(this.#layout.result(i), true);
      if (site.kind === "stackid") {
        this.lines.push(`assertEquals(map${site.map}.getStackid(${stack}, ${hex(flags)}, ${context}), ${result});`);
        return;
      }
      const at = this.#layout.buffers[i];
      const bytes = record.subarray(at, at + op.sizes[i]);
      this.lines.push(`{`, `  const buffer = new Uint8Array(${op.sizes[i]});`);
      this.lines.push(`  assertEquals(getStack(${stack}, buffer, ${hex(flags)}, ${context}), ${result});`);
      this.lines.push(`  assertEquals(buffer.slice(0, ${used(bytes)}), bytes(${digits(bytes)}));`, `}`);
    });
  }

  #kernelStack(record: Uint8Array, site: number): bigint[] {
    const at = this.#layout.buffers[KERNEL_SITE];
    const bytes = Number(viewOf(record).getBigInt64(this.#layout.result(KERNEL_SITE), true));
    const frames = [...new BigUint64Array(record.slice(at, at + Math.max(8, bytes)).buffer)];
    frames[0] = this.#live.siteIps[site];
    return frames;
  }

  #command({ kind, map, id, result }: Exclude<LiveOp, { kind: "call" | "cpu" }>): void {
    const value = `new Uint8Array(${this.#case.maps[map].valueSize})`;
    const calls: Record<typeof kind, string> = {
      "delete": `delete(${id}, { cpu: ${this.#cpu} })`,
      "lookup": `copy(${id}, ${value})`,
      "lookup-and-delete": `lookupAndDelete(${id}, ${value}, { cpu: ${this.#cpu} })`,
      "next-key": `getNextKey(${id ?? ""})`,
      "update": `update(${id}, ${value})`,
    };
    if (kind === "next-key" && result === 0) return; // the dumps say as much
    this.lines.push(`assertEquals(map${map}.${calls[kind]}, ${result});`);
  }
}

/** Number of bytes up to the last that is not zero. */
function used(bytes: Uint8Array): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return length;
}

/** The text of a test for a failure. */
export function printTest(failure: Failure, nrCpus: number): string {
  return new Printer(failure, nrCpus).print(failure);
}
