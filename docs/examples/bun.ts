// A symbolization service on Bun.serve:
//
//   DEBUGINFOD_URLS="https://debuginfod.debian.net" PORT=8000 bun docs/examples/bun.ts
//
// Elsewhere import from "@bpf/stackmap".
import { cachedStore, debuginfodStore, symbolizeHandler } from "../../mod.ts";

declare const Bun: {
  env: Record<string, string | undefined>;
  serve(
    options: {
      hostname: string;
      port: number;
      idleTimeout: number;
      fetch: (request: Request) => Promise<Response>;
    },
  ): {
    url: URL;
  };
};

const { DEBUGINFOD_URLS: servers, TOKEN: token, HOST = "127.0.0.1", PORT = "8000" } = Bun.env;
if (servers === undefined) throw new Error("DEBUGINFOD_URLS says which debuginfod servers to ask");

const handler = symbolizeHandler({
  store: cachedStore(debuginfodStore({ servers }), { maxBytes: 64 << 20 }),
  token, // without one everybody may ask
  onError: (error) => console.error(error),
});

// A request may wait for a debug file longer than Bun's 10 seconds.
const { url } = Bun.serve({ hostname: HOST, port: Number(PORT), idleTimeout: 60, fetch: handler });
console.log(`Listening on ${url}`);
