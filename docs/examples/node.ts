// A symbolization service on Node's HTTP server; Node 24 runs it as it is:
//
//   DEBUGINFOD_URLS="https://debuginfod.debian.net" PORT=8000 node docs/examples/node.ts
//
// Elsewhere import from "@bpf/stackmap".
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import process from "node:process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { cachedStore, debuginfodStore, symbolizeHandler } from "../../mod.ts";

const { DEBUGINFOD_URLS: servers, TOKEN: token, HOST = "127.0.0.1", PORT = "8000" } = process.env;
if (servers === undefined) throw new Error("DEBUGINFOD_URLS says which debuginfod servers to ask");

const handler = symbolizeHandler({
  store: cachedStore(debuginfodStore({ servers }), { maxBytes: 64 << 20 }),
  token, // without one everybody may ask
  onError: (error) => console.error(error),
});

/** Node's request as a web request; its signal is aborted when the client leaves. */
function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request {
  const { method = "GET", url = "/", headers } = incoming;
  const hasBody = method !== "GET" && method !== "HEAD";
  const init: RequestInit & { duplex?: "half" } = {
    method,
    headers: Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]),
    signal,
    ...(hasBody
      ? { body: Readable.toWeb(incoming) as ReadableStream<Uint8Array<ArrayBuffer>>, duplex: "half" }
      : {}),
  };
  return new Request(new URL(url, "http://localhost"), init);
}

async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const gone = new AbortController();
  outgoing.on("close", () => gone.abort());
  const response = await handler(toRequest(incoming, gone.signal));
  outgoing.writeHead(response.status, [...response.headers].flat());
  if (response.body === null) outgoing.end();
  else await pipeline(Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]), outgoing);
}

createServer((incoming, outgoing) => {
  answer(incoming, outgoing).catch((error) => {
    // Most often the client has left.
    if (!outgoing.destroyed) console.error(error);
    outgoing.destroy();
  });
}).listen(Number(PORT), HOST, () => console.log(`Listening on http://${HOST}:${PORT}/`));
