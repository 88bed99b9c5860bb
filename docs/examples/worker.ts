// A symbolization service on Cloudflare Workers. DEBUGINFOD_URLS and TOKEN are variables of the worker;
// without TOKEN everybody may ask. With GSYM files in
// an R2 bucket (`ID.gsym`, written by `gsym convert`), bind it as SYMBOLS: a lookup then reads some ten kilobytes of them.
//
// Elsewhere import from "@bpf/stackmap".
import {
  type BinaryStore,
  cachedStore,
  debuginfodStore,
  inOrderStore,
  storedFile,
  symbolizeHandler,
} from "../../mod.ts";

/** What this worker uses of an R2 bucket. */
interface Bucket {
  head(key: string): Promise<{ size: number; etag: string } | null>;
  get(
    key: string,
    options: { range: { offset: number; length: number }; onlyIf: { etagMatches: string } },
  ): Promise<{ arrayBuffer?(): Promise<ArrayBuffer> } | null>;
}

interface Env {
  DEBUGINFOD_URLS?: string;
  TOKEN?: string;
  SYMBOLS?: Bucket;
}

/** The GSYM files of a bucket, by ranges. */
function bucketStore(bucket: Bucket): BinaryStore {
  return {
    async find(buildId, item) {
      if (item !== "gsym") return undefined;
      const key = `${Array.from(buildId, (byte) => byte.toString(16).padStart(2, "0")).join("")}.gsym`;
      const object = await bucket.head(key);
      if (object === null) return undefined;
      return storedFile(key, {
        size: object.size,
        async read(offset: number, length: number) {
          const onlyIf = { etagMatches: object.etag };
          const part = await bucket.get(key, { range: { offset, length }, onlyIf });
          if (part?.arrayBuffer === undefined) throw new Error(`${key} was replaced`);
          return new Uint8Array(await part.arrayBuffer());
        },
      });
    },
  };
}

function makeHandler({ DEBUGINFOD_URLS, TOKEN, SYMBOLS }: Env): (request: Request) => Promise<Response> {
  const stores: BinaryStore[] = [];
  if (SYMBOLS !== undefined) stores.push(bucketStore(SYMBOLS));
  if (DEBUGINFOD_URLS !== undefined) {
    stores.push(cachedStore(debuginfodStore({ servers: DEBUGINFOD_URLS }), { maxBytes: 16 << 20 }));
  }
  return symbolizeHandler({ store: inOrderStore(...stores), token: TOKEN });
}

let handler: ((request: Request) => Promise<Response>) | undefined;

export default {
  fetch(request: Request, env: Env): Promise<Response> {
    // Made once for each isolate: what it has loaded serves the requests that follow.
    handler ??= makeHandler(env);
    return handler(request);
  },
};
