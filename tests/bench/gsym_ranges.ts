// Owns `deno task bench:ranges`: requests, bytes and memory of a large GSYM file that is read by ranges over HTTP.
import { spawn } from "node:child_process";
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { httpStore, RangedGsym, Symbolizer } from "../../mod.ts";
import { SeededRandom } from "../../src/base/random.ts";

const HELP = `usage: deno task bench:ranges FILE.gsym [--cold N] [--addresses N]

Serves the file over HTTP on loopback, reads it by ranges, and prints
  - requests and bytes of a first lookup, each on a file opened anew, for N random addresses (200);
  - the same of lookups on a file that has answered others before;
  - time and memory of N addresses (10,000) in one call, in a process of its own.
Make a file with: deno task cli gsym convert FILE --out FILE.gsym
`;

/** A static server for one file that knows single ranges. Returns its URL. */
async function serve(path: string): Promise<{ url: string; close(): void }> {
  const fd = openSync(path, "r");
  const { size } = fstatSync(fd);
  const server = createServer((request, response) => {
    const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "");
    let from = 0;
    let end = size;
    if (range !== null) {
      from = range[1] === "" ? Math.max(0, size - Number(range[2])) : Number(range[1]);
      end = range[1] === "" || range[2] === "" ? size : Math.min(size, Number(range[2]) + 1);
    }
    const bytes = new Uint8Array(end - from);
    readSync(fd, bytes, 0, bytes.length, from);
    const headers = { "content-length": bytes.length, "accept-ranges": "bytes", etag: '"1"' };
    response.writeHead(
      range === null ? 200 : 206,
      range === null ? headers : { ...headers, "content-range": `bytes ${from}-${end - 1}/${size}` },
    );
    response.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
      closeSync(fd);
    },
  };
}

/** Counts what goes over the wire. */
class Wire {
  requests = 0;
  bytes = 0;
  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    this.requests++;
    const response = await fetch(url, init);
    this.bytes += Number(response.headers.get("content-length"));
    return response;
  };
  take(): { requests: number; bytes: number } {
    const taken = { requests: this.requests, bytes: this.bytes };
    this.requests = this.bytes = 0;
    return taken;
  }
}

async function open(url: string, wire: Wire): Promise<RangedGsym> {
  const store = httpStore({ url: (_id, item) => item === "gsym" ? url : undefined, fetch: wire.fetch });
  const file = await store.find(await uuidOf(url), "gsym");
  return await RangedGsym.open(file!.source!);
}

let uuid: Uint8Array | undefined;
async function uuidOf(url: string): Promise<Uint8Array> {
  return uuid ??= (await RangedGsym.open({
    size: Number((await fetch(url, { method: "HEAD" })).headers.get("content-length")),
    async read(offset, length) {
      const response = await fetch(url, { headers: { range: `bytes=${offset}-${offset + length - 1}` } });
      return new Uint8Array(await response.arrayBuffer());
    },
  })).uuid;
}

const quantiles = (values: number[]): string => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return `p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, most ${at(1)}`;
};

/** Addresses inside segments that can be executed. */
function addressesOf(gsym: RangedGsym, count: number): bigint[] {
  const random = new SeededRandom(1);
  const code = gsym.segments!.filter(({ p_flags }) => (p_flags & 1) !== 0);
  const total = code.reduce((sum, { p_filesz }) => sum + Number(p_filesz), 0);
  return Array.from({ length: count }, () => {
    let at = random.below(total);
    for (const { p_vaddr, p_filesz } of code) {
      if (at < Number(p_filesz)) return p_vaddr + BigInt(at);
      at -= Number(p_filesz);
    }
    return code[0].p_vaddr;
  });
}

async function measureLookups(url: string, count: number): Promise<void> {
  const wire = new Wire();
  const first = await open(url, wire);
  const addresses = addressesOf(first, count);
  const cold: { requests: number; bytes: number }[] = [];
  let found = 0;
  wire.take();
  for (const address of addresses) {
    const gsym = await open(url, wire);
    if (await gsym.lookup(address) !== undefined) found++;
    cold.push(wire.take());
  }
  console.log(`${count} addresses, ${found} in functions`);
  console.log(`cold: requests ${quantiles(cold.map(({ requests }) => requests))}`);
  console.log(`cold: KiB ${quantiles(cold.map(({ bytes }) => Math.ceil(bytes / 1024)))}`);
  const within = cold.filter(({ requests, bytes }) => requests <= 5 && bytes <= 128 << 10).length;
  console.log(`cold: ${(100 * within / count).toFixed(1)} % within 5 requests and 128 KiB`);
  const warm: { requests: number; bytes: number }[] = [];
  for (const address of addresses) {
    await first.lookup(address);
    warm.push(wire.take());
  }
  const again: number[] = [];
  for (const address of addresses.slice(-20)) {
    await first.lookup(address);
    again.push(wire.take().requests);
  }
  console.log(`one file, one after the other: requests ${quantiles(warm.map(({ requests }) => requests))}`);
  console.log(`one file, one after the other: KiB ${quantiles(warm.map(({ bytes }) => Math.ceil(bytes / 1024)))}`);
  console.log(`the last 20 once more: requests ${quantiles(again)}`);
}

const peakKib = (): number => Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "latin1"))![1]);

/** Through the Symbolizer, as frames of a stack map. */
async function measureMany(url: string, count: number): Promise<void> {
  const wire = new Wire();
  const gsym = await open(url, wire);
  const symbolizer = new Symbolizer();
  await symbolizer.add(gsym);
  const addresses = addressesOf(gsym, count);
  const segment = (address: bigint) =>
    gsym.segments!.find(({ p_vaddr, p_memsz }) => address >= p_vaddr && address < p_vaddr + p_memsz)!;
  const offsets = addresses.map((address) => address - segment(address).p_vaddr + segment(address).p_offset);
  const buildIds = new Uint8Array(20);
  buildIds.set(gsym.uuid);
  const frames = {
    idIndex: new Int32Array(count),
    offsetHi: Uint32Array.from(offsets, (offset) => Number(offset >> 32n)),
    offsetLo: Uint32Array.from(offsets, (offset) => Number(offset & 0xffff_ffffn)),
    buildIds,
  };
  const before = peakKib();
  for (const name of ["cold", "warm"]) {
    wire.take();
    const start = performance.now();
    const answer = await symbolizer.symbolize(frames);
    const ms = performance.now() - start;
    const { requests, bytes } = wire.take();
    let named = 0;
    for (let i = 0; i < count; i++) if (answer.reason(i) === undefined) named++;
    console.log(
      `${count} addresses in one call, ${name}: ${named} named, ${requests} requests, ` +
        `${(bytes / 1048576).toFixed(1)} MiB, ${ms.toFixed(0)} ms`,
    );
  }
  console.log(
    `memory: ${((peakKib() - before) / 1024).toFixed(0)} MiB more than before, kept ` +
      `${(symbolizer.retainedBytes / 1048576).toFixed(1)} MiB`,
  );
}

const args = process.argv.slice(2);
const option = (name: string, fallback: number): number => {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(args.splice(at, 2)[1]);
};
const many = option("many", 0);
const count = option("cold", 200);
const addresses = option("addresses", 10_000);
if (args.length !== 1 || args[0].startsWith("--")) {
  console.log(HELP);
  process.exit(args.includes("--help") ? 0 : 2);
}
if (many > 0) {
  await measureMany(args[0], many);
} else {
  const server = await serve(args[0]);
  const { size } = fstatSync(openSync(args[0], "r"));
  console.log(`${args[0]}: ${(size / 1048576).toFixed(1)} MiB`);
  await measureLookups(server.url, count);
  // Its memory alone: the server stays here.
  const self = fileURLToPath(import.meta.url);
  await new Promise<void>((resolve) => {
    const child = spawn(process.execPath, ["run", "--allow-all", self, server.url, "--many", `${addresses}`], {
      stdio: "inherit",
    });
    child.on("close", () => resolve());
  });
  server.close();
}
