// Owns the worker of the Workers test that reads GSYM files by ranges, and bodies of unknown size whole.
import { httpStore, symbolizeHandler } from "../../mod.ts";

let handler: ((request: Request) => Promise<Response>) | undefined;

export default {
  fetch(request: Request, { DEBUGINFOD_URLS }: { DEBUGINFOD_URLS: string }): Promise<Response> {
    const store = httpStore({ url: (id, item) => `${DEBUGINFOD_URLS}/buildid/${id}/${item}` });
    handler ??= symbolizeHandler({ store, onError: (error) => console.log(error) });
    return handler(request);
  },
};
