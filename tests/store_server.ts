// Owns the HTTP server of the stores' tests: it does what a test wants, and tells what was asked of it.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { assertEquals, assertInstanceOf } from "@std/assert";
import { StoreError, type StoreErrorReason } from "../mod.ts";
import { buildElf } from "./elf_builder.ts";

/** Answers one request; `n` counts from 0. */
export type Answer = (response: ServerResponse, request: IncomingMessage, n: number) => void;

/** A server on loopback. */
export interface TestServer {
  readonly url: string;
  /** What was asked, in order. */
  readonly requests: { path: string; headers: IncomingMessage["headers"] }[];
  /** Answers whose connection the other side closed before they were complete. */
  abandoned: number;
}

/** Runs `test` with a server that answers like this, and takes it down afterwards, whatever is still open. */
export async function withServer<T>(answer: Answer, test: (server: TestServer) => Promise<T>): Promise<T> {
  const requests: TestServer["requests"] = [];
  const server: Server = createServer((request, response) => {
    requests.push({ path: request.url ?? "", headers: request.headers });
    response.on("close", () => {
      if (!response.writableFinished) told.abandoned++;
    });
    response.on("error", () => {}); // whoever asked is gone
    answer(response, request, requests.length - 1);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const told: TestServer = { url, requests, abandoned: 0 };
  try {
    return await test(told);
  } finally {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }
}

/** A port on loopback where nobody listens. */
export async function deadUrl(): Promise<string> {
  return await withServer((response) => response.end(), (server) => Promise.resolve(server.url));
}

/** Waits until something is so, for a second at most. */
export async function until(so: () => boolean): Promise<boolean> {
  for (let i = 0; i < 100 && !so(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  return so();
}

/** Waits. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The build ID of {@linkcode program}. */
export const BUILD_ID: Uint8Array = Uint8Array.from({ length: 20 }, (_, i) => i * 11 + 3);
export const HEX: string = Array.from(BUILD_ID, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** An ELF file with this build ID in its first page, of at least `size` bytes. */
export function program(size: number = 0, buildId: Uint8Array = BUILD_ID): Uint8Array {
  const contents = Uint8Array.from({ length: size }, (_, i) => (i * 7) & 0xff);
  return buildElf({ buildId, sections: [{ name: ".text", sh_type: 1, contents }] });
}

/** Answers with ranges as a good server does. */
export function ranged(bytes: Uint8Array, headers: Record<string, string> = {}): Answer {
  return (response, request) => {
    const match = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "");
    const condition = request.headers["if-range"];
    if (
      match === null ||
      (condition !== undefined && ![headers.etag, headers["last-modified"]].includes(`${condition}`))
    ) {
      response.writeHead(200, { ...headers, "content-length": bytes.length });
      return void response.end(bytes);
    }
    const from = match[1] === "" ? Math.max(0, bytes.length - Number(match[2])) : Number(match[1]);
    const end = match[1] === "" || match[2] === "" ? bytes.length : Math.min(bytes.length, Number(match[2]) + 1);
    if (from >= bytes.length) {
      response.writeHead(416, { ...headers, "content-range": `bytes */${bytes.length}` });
      return void response.end();
    }
    response.writeHead(206, {
      ...headers,
      "content-range": `bytes ${from}-${end - 1}/${bytes.length}`,
      "content-length": end - from,
    });
    response.end(bytes.subarray(from, end));
  };
}

/** The StoreError that `run` ends with, which has to be of this reason. */
export async function fails(reason: StoreErrorReason, run: () => Promise<unknown>): Promise<StoreError> {
  try {
    await run();
  } catch (error) {
    assertInstanceOf(error, StoreError);
    assertEquals(error.reason, reason, error.message);
    return error;
  }
  throw new Error(`no StoreError ${reason}`);
}
