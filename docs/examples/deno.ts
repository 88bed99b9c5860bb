// A symbolization service on Deno.serve, for a machine of one's own as for Deno Deploy:
//
//   DEBUGINFOD_URLS="https://debuginfod.debian.net" PORT=8000 deno run --allow-net --allow-env docs/examples/deno.ts
//
// Elsewhere import from "jsr:@bpf/stackmap".
import { cachedStore, debuginfodStore, symbolizeHandler } from "../../mod.ts";

const servers = Deno.env.get("DEBUGINFOD_URLS");
if (servers === undefined) throw new Error("DEBUGINFOD_URLS says which debuginfod servers to ask");
const token = Deno.env.get("TOKEN");

const handler = symbolizeHandler({
  store: cachedStore(debuginfodStore({ servers }), { maxBytes: 64 << 20 }),
  token, // without one everybody may ask
  onError: (error) => console.error(error),
});

Deno.serve({ hostname: Deno.env.get("HOST") ?? "127.0.0.1", port: Number(Deno.env.get("PORT") ?? 8000) }, handler);
