// Owns the test of clients that leave a worker mid-way: what their requests had begun ends without notice, and must not
// keep those who come after them from full answers.
import { assert, assertEquals, assertLess } from "@std/assert";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { SymbolizeAnswer } from "../../mod.ts";
import { type Answer, ranged, sleep, until, withServer } from "../store_server.ts";
import { makeId, makeProgram, OFFSET, type Program } from "./programs.ts";
import { RUNTIMES, type Server, startExample, startWorker } from "./servers.ts";

const isDeno = process.versions.deno !== undefined;
const why = !isDeno
  ? " (skipped: run from Deno)"
  : RUNTIMES.includes("workerd")
  ? ""
  : " (skipped: no workerd with Bun here)";

/** How the server treats a request: in time, so without ranges and length, never, with half the body, or slowly. */
type Manner = "well" | "whole" | "never" | "half" | "slowly";

/** Programs on a server whose manners the test sets by item. */
class Programs {
  readonly programs: Program[];
  readonly #by = new Map<string, Program>();
  manner: (item: string, program: number) => Manner = () => "well";
  /** Requests under way. */
  open = 0;
  asked = 0;

  constructor(from: number, count: number) {
    this.programs = Array.from({ length: count }, (_, i) => makeProgram(makeId(from + i), 300_000));
    for (const program of this.programs) this.#by.set(program.hex, program);
  }

  readonly answer: Answer = (response, request, n) => {
    this.asked++;
    this.open++;
    response.on("close", () => this.open--);
    const [, , hex, item] = request.url!.split("/");
    const program = this.#by.get(hex);
    const bytes = item === "gsym" ? program?.largeGsym : program?.[item as "debuginfo"];
    if (bytes === undefined) return void response.writeHead(404).end();
    const send = () => ranged(bytes, { etag: '"1"' })(response, request, n);
    switch (this.manner(item, this.programs.indexOf(program!))) {
      case "well":
        return send();
      case "whole":
        response.write(bytes.subarray(0, 6000));
        return void response.end(bytes.subarray(6000));
      case "never":
        return;
      case "slowly":
        return void setTimeout(send, 250);
      case "half":
        response.write(bytes.subarray(0, 6000)); // of unknown length
    }
  };

  get body(): string {
    return JSON.stringify({
      stacks: [{ frames: this.programs.map(({ hex }) => ({ buildId: hex, offset: OFFSET })) }],
    });
  }
}

async function ask({ url }: Server, body: string, signal: AbortSignal): Promise<SymbolizeAnswer> {
  const response = await fetch(`${url}/symbolize`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
    signal,
  });
  const text = await response.text();
  assertEquals(response.status, 200, text);
  return JSON.parse(text);
}

/**
 * A client that asks, and whose connection can be reset: workerd does not see one that is only closed, and goes on. It
 * is reset when closed with bytes unread: here those of an answer before.
 */
async function client({ url }: Server, body: string): Promise<() => void> {
  const { hostname, port } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const send = (text: string) => connection.write(new TextEncoder().encode(text));
  await send("GET /healthz HTTP/1.1\r\nhost: worker\r\n\r\n");
  await sleep(30);
  await send(
    `POST /symbolize HTTP/1.1\r\nhost: worker\r\ncontent-type: application/json\r\ncontent-length: ${body.length}` +
      `\r\n\r\n${body}`,
  );
  return () => connection.close();
}

/** Clients that ask at once and leave, one after the other. */
async function leave(server: Server, body: string, clients: number, after: () => Promise<unknown>): Promise<void> {
  const leaving = await Promise.all(Array.from({ length: clients }, () => client(server, body)));
  await after();
  for (const reset of leaving) {
    reset();
    await sleep(2);
  }
}

/** The answer has everything, soon. */
async function getsAll(server: Server, { body }: Programs, name: string, seconds: number = 4): Promise<void> {
  const start = performance.now();
  const signal = AbortSignal.timeout(8000);
  const { frames, problems } = await ask(server, body, signal).catch((error) => {
    throw new Error(`${error}\n${server.output()}`);
  });
  assertEquals(problems, []);
  assertEquals(new Set(frames.map((frame) => frame.function ?? frame.reason)), new Set([name]));
  assertLess(performance.now() - start, 1000 * seconds);
}

Deno.test({
  name: `Workers: clients that leave mid-way keep nobody from a full answer, nor from memory${why}`,
  ignore: why !== "",
  async fn(t) {
    let programs = new Programs(0, 1);
    await withServer((...args) => programs.answer(...args), async ({ url }) => {
      const [example, gsym] = await Promise.all([
        startExample("workerd", url),
        startWorker(fileURLToPath(new URL("gsym_worker.ts", import.meta.url)), url),
      ]);
      let from = 1;
      /** New programs, treated like this while some leave. */
      const among = async (
        server: Server,
        count: number,
        manner: Programs["manner"],
        clients: number,
      ): Promise<void> => {
        programs = new Programs(from, count);
        from += count;
        programs.manner = manner;
        await leave(server, programs.body, clients, async () => {
          assert(await until(() => programs.asked > 0));
          await sleep(50);
        });
        assert(
          await until(() => programs.open === 0),
          `${programs.open} requests of those who left are still open`,
        );
        programs.manner = () => "well";
      };
      try {
        await t.step("a debuginfod that answers slowly, by half, and never", async () => {
          await among(example, 6, (_, i) => (["never", "half", "slowly"] as const)[i % 3], 12);
          await Promise.all([1, 2, 3].map(() => getsAll(example, programs, "in_debuginfo")));
        });
        await t.step("what came of a debug file before they left is completed", async () => {
          await among(example, 2, (item) => item === "executable" ? "never" : "well", 3);
          const before = programs.asked;
          await getsAll(example, programs, "in_debuginfo");
          assertEquals(programs.asked, before + 2); // the head of each program
        });
        await t.step("who asks beside those that leave gets its answer", async () => {
          programs = new Programs(from, 4);
          from += 4;
          programs.manner = () => "slowly";
          const reset = await client(example, programs.body);
          await until(() => programs.asked > 0);
          const beside = getsAll(example, programs, "in_debuginfo");
          await sleep(50);
          reset();
          await beside;
        });
        await t.step("GSYM by ranges that come slowly, and never", async () => {
          await among(gsym, 4, (_, i) => (["never", "slowly"] as const)[i % 2], 8);
          await Promise.all([1, 2, 3].map(() => getsAll(gsym, programs, "in_gsym")));
          // Pages that one request brought, and the file that it opened, serve others.
          const before = programs.asked;
          await getsAll(gsym, programs, "in_gsym");
          assertEquals(programs.asked, before);
        });
        await t.step("50 who ask for the same at a time share one search", async () => {
          programs = new Programs(from, 2);
          from += 2;
          programs.manner = () => "slowly";
          await Promise.all(Array.from({ length: 50 }, () => getsAll(example, programs, "in_debuginfo")));
          assertLess(programs.asked, 10);
        });
        await t.step("room for bodies of unknown size is given back", async () => {
          await among(gsym, 3, () => "half", 4);
          programs.manner = () => "whole";
          await getsAll(gsym, programs, "in_gsym", 6);
        });
        const metrics = await (await fetch(`${example.url}/metrics`)).text();
        assert(!/ (?:-|NaN)/.test(metrics), metrics);
        for (const server of [example, gsym]) assert(!/rror|xception/.test(server.output()), server.output());
      } finally {
        await Promise.all([example.stop(), gsym.stop()]);
      }
    });
  },
});
