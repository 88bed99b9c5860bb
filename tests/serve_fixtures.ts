// Owns what the tests of handlers share: a recording in three forms, its program in a store that remembers.
import {
  type BinaryStore,
  decodeStacks,
  encodeStacks,
  listStacks,
  memoryStore,
  readBuildId,
  readRecording,
  type StackColumns,
  type StackRecording,
} from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";
import { readTar } from "../src/recording/tar.ts";
import { readFileSync } from "node:fs";
import { readTestdata } from "./fixtures.ts";

/** The bytes of a recording of testdata, as they lie there. */
export function archive(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../testdata/linux-6.18/${name}.tar.gz`, import.meta.url)));
}

/** The files of one. */
export function recordedFiles(name: string): Map<string, Uint8Array> {
  return readTar(readTestdata(`linux-6.18/${name}.tar.gz`));
}

/** One question that a store was asked. */
export interface Asked {
  id: string;
  item: string;
}

/** A store that remembers what it was asked for. */
export function remembering(store: BinaryStore): { store: BinaryStore; asked: Asked[] } {
  const asked: Asked[] = [];
  return {
    asked,
    store: {
      find(buildId, item, options) {
        asked.push({ id: toHex(buildId), item });
        return store.find(buildId, item, options);
      },
    },
  };
}

/** The program that the recordings are of, and its build ID. */
export function targetProgram(): { bytes: Uint8Array; buildId: Uint8Array } {
  const bytes = recordedFiles("basic").get("files/0000")!.slice();
  return { bytes, buildId: readBuildId(bytes)! };
}

/** A store with that program alone. */
export function targetStore(): BinaryStore {
  const { bytes, buildId } = targetProgram();
  return memoryStore([{ buildId, item: "executable", bytes, name: "/opt/demo/target" }]);
}

/** The stacks of a recording as the body of a request in JSON. */
export function asJson({ stacks, counts }: StackRecording): string {
  return JSON.stringify({
    stacks: listStacks(stacks).map(({ id, frames }) => ({
      id,
      count: counts.get(id) ?? 0,
      frames: frames.map(({ status, build_id, offset }) =>
        status === 1
          ? { buildId: toHex(build_id), offset: `0x${offset.toString(16)}` }
          : { ip: `0x${offset.toString(16)}` }
      ),
    })),
  });
}

/** The stacks of a recording as a raw dump in the other byte order. */
export function asBigEndian({ stacks, layout }: StackRecording): Uint8Array {
  return encodeStacks(stacks, { ...layout, littleEndian: false });
}

/** A recording, read. */
export async function recording(name: string): Promise<StackRecording> {
  return await readRecording(archive(name));
}

/** Stacks of many frames: `count` of `depth`, of a few hundred distinct frames in the program's text. */
export function manyStacks(count: number, depth: number): { dump: Uint8Array; columns: StackColumns } {
  const { buildId } = targetProgram();
  const layout = { valueSize: 127 * 32, mapFlags: 32 };
  const stacks = Array.from({ length: count }, (_, id) => ({
    id,
    frames: Array.from({ length: depth }, (_, f) => ({
      status: 1,
      build_id: buildId,
      offset: BigInt(0x10a0 + (id * 7 + f * 31) % 0x320),
    })),
  }));
  const dump = encodeStacks(stacks, layout);
  return { dump, columns: decodeStacks(dump, layout) };
}

/** A request to `POST /symbolize`. */
export function post(
  body: Uint8Array | string | ReadableStream,
  type: string,
  options: { query?: string; headers?: Record<string, string>; signal?: AbortSignal } = {},
): Request {
  const { query = "", headers = {}, signal } = options;
  return new Request(`http://stackmap.test/symbolize${query}`, {
    method: "POST",
    headers: { "content-type": type, ...headers },
    body: body as BodyInit,
    ...(signal === undefined ? {} : { signal }),
    ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
  } as RequestInit);
}
