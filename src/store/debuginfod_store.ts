// Owns the store over debuginfod servers.
import { byteSource } from "../base/byte_source.ts";
import { sectionOfFiles } from "./elf_section_range.ts";
import { contentLength } from "./http_body.ts";
import { type HttpAnswer, HttpClient, type HttpOptions, refuseStatus } from "./http_client.ts";
import { checkedId, itemPath, sectionOf } from "./identifiers.ts";
import { MissingFiles } from "./missing_files.ts";
import { SharedFiles } from "./shared_files.ts";
import { type BinaryStore, type StoredFile, StoreError, type StoreItem } from "./store.ts";
import { inOrderStore, racedStore } from "./store_order.ts";
import { StreamedFile } from "./stored_file.ts";
import { verifiedFile } from "./verified_store.ts";

/** Options of {@linkcode debuginfodStore}. */
export interface DebuginfodOptions extends HttpOptions {
  /** URLs of servers, or a text of them with spaces between, as in the environment variable `DEBUGINFOD_URLS`. */
  servers: readonly string[] | string;
  /** Whether each server is asked once the one before had no answer, or all at once. By default `in-order`. */
  mode?: "in-order" | "race";
  /** How long it is remembered that no server had a file, in milliseconds. By default 600,000, as in elfutils. */
  negativeTtlMs?: number;
  /**
   * Whether a section that a server doesn't give is taken from the whole debug file, or else the program, each of
   * up to `maxBytes`: for servers before elfutils 0.188, at the price of loading all. By default not.
   */
  sectionsFromFiles?: boolean;
}

/** Statuses of a server that doesn't know sections; 404 is also that of one that has no such section. */
const NO_SECTIONS: readonly number[] = [400, 404, 501];

/** The server's URL with a slash at the end. */
function baseOf(server: string): string {
  const url = URL.parse(server);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new TypeError(`${JSON.stringify(server)} is no URL of a debuginfod server`);
  }
  return server.endsWith("/") ? server : `${server}/`;
}

/** One server. */
function serverStore(base: string, options: DebuginfodOptions): BinaryStore {
  const { maxBytes, sectionsFromFiles = false } = options;
  const client = new HttpClient(options);
  const headers: Record<string, string> = maxBytes === undefined ? {} : { "x-debuginfod-maxsize": `${maxBytes}` };

  async function ask(
    buildId: Uint8Array,
    item: StoreItem,
    hex: string,
    signal: AbortSignal | undefined,
  ): Promise<StoredFile | undefined> {
    const url = `${base}buildid/${hex}/${itemPath(item)}`;
    const answer = await client.get(url, { headers, signal });
    const { name, status, body } = answer;
    if (status === 200) {
      const told = answer.headers.get("x-debuginfod-size") ?? "";
      const size = contentLength(answer.headers) ?? (/^\d{1,15}$/.test(told) ? Number(told) : undefined);
      if (size !== undefined && size > (maxBytes ?? Infinity)) {
        await body.cancel();
        throw new StoreError("too-large", `${name}: ${size} bytes, ${maxBytes} are allowed`);
      }
      return await verifiedFile(new StreamedFile(nameOf(answer), size, body), buildId, item);
    }
    const section = sectionOf(item);
    if (section !== undefined && NO_SECTIONS.includes(status)) {
      await body.cancel();
      if (sectionsFromFiles) return await fromFiles(buildId, section, hex, signal);
      if (status === 400) throw new StoreError("status", `${name}: status 400`, { status });
      return undefined;
    }
    if (status === 404) return void await body.cancel();
    // What a server says to X-DEBUGINFOD-MAXSIZE.
    if (status === 406 && maxBytes !== undefined) {
      await body.cancel();
      throw new StoreError("too-large", `${name}: larger than the ${maxBytes} bytes that are allowed`, { status });
    }
    return await refuseStatus(answer);
  }

  async function fromFiles(
    buildId: Uint8Array,
    section: string,
    hex: string,
    signal: AbortSignal | undefined,
  ): Promise<StoredFile | undefined> {
    const open = async (whole: "debuginfo" | "executable") => {
      const file = await ask(buildId, whole, hex, signal);
      return file && { name: file.name, source: byteSource(await file.bytes()) };
    };
    return await sectionOfFiles(open, section, { signal });
  }

  return {
    async find(buildId, item, { signal } = {}): Promise<StoredFile | undefined> {
      return await ask(buildId, item, checkedId(buildId, item)!, signal);
    },
  };
}

/** The URL, and behind `#/` the name that the file has on the server's side or in its package, where that is told. */
function nameOf({ name, headers }: HttpAnswer): string {
  const file = headers.get("x-debuginfod-file") ?? "";
  return /^[\x21-\x7e]{1,256}$/.test(file) ? `${name}#/${file.replace(/^\/+/, "")}` : name;
}

/**
 * Files from debuginfod servers: `GET /buildid/HEX/executable`, `debuginfo` or `section/NAME`. They have no GSYM
 * files, so that for `gsym` none is asked.
 *
 * - Who asks for what is under way joins: one request is sent (on Workers, where it would end with the request that
 *   began it, everybody has one). All bytes are read once, and are the same array for
 *   all who join, which must not change it. Streams of files over 8 MiB have a request each; `head` reads no more than the head and cancels the rest.
 * - 404 from all servers is `undefined`, which is remembered for `negativeTtlMs`, for 4096 files at most.
 * - Build IDs are checked as by {@linkcode verifiedStore}: a server that sends something else is passed over, and
 *   reported if no other has the file.
 * - A section comes as it stands in the file, compressed or not, from the debug file or else the program.
 * - Sizes are those of `Content-Length`, or where the body is compressed of `X-DEBUGINFOD-SIZE`. The servers know
 *   no ranges: `source` is `undefined`.
 *
 * A file's `name` is its URL and, behind `#`, what the server calls it: `…/buildid/HEX/executable#/bash`.
 *
 * Source of the protocol: elfutils 0.188, doc/debuginfod.8.
 *
 * @throws {TypeError} If a server is no http or https URL.
 * @throws {StoreError} From `find` and from reading; see {@linkcode StoreErrorReason}.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { debuginfodStore } from "@bpf/stackmap";
 *
 * const store = debuginfodStore({
 *   servers: "https://debuginfod.example https://other.example",
 *   fetch: (url) => Promise.resolve(new Response(url, { status: url.includes("other") ? 200 : 404 })),
 * });
 * const file = await store.find(Uint8Array.of(0xab, 0xcd), "section/.text");
 * assertEquals(file?.name, "https://other.example/buildid/abcd/section/.text");
 * ```
 */
export function debuginfodStore(options: DebuginfodOptions): BinaryStore {
  const { servers, mode = "in-order", negativeTtlMs = 600_000 } = options;
  const urls = typeof servers === "string" ? servers.split(/\s+/).filter((url) => url !== "") : servers;
  const stores = urls.map((url) => serverStore(baseOf(url), options));
  const all = mode === "race" ? racedStore(...stores) : inOrderStore(...stores);
  const missing = new MissingFiles(negativeTtlMs);
  const shared = new SharedFiles();
  return {
    async find(buildId, item, { signal } = {}): Promise<StoredFile | undefined> {
      const hex = checkedId(buildId, item);
      if (hex === undefined || item === "gsym" || urls.length === 0) return undefined;
      const key = `${hex}/${item}`;
      if (missing.has(key)) return undefined;
      return await shared.find(key, signal, async (sharedSignal) => {
        const file = await all.find(buildId, item, { signal: sharedSignal });
        if (file === undefined) missing.add(key);
        return file;
      });
    },
  };
}
