// Owns walks over all keys of a map, while entries may come and vanish, and whole dumps of stack maps.
import { viewOf } from "../base/bytes.ts";
import { BPF_MAP_TYPE_STACK_TRACE } from "../uapi/bpf.ts";
import { ERRNO } from "../uapi/errno.ts";
import { linuxError } from "./errors.ts";
import type { BpfMap } from "./map.ts";

/** How often a walk begins again because entries vanished under it. */
const MOST_RESTARTS = 100;

/** Records that a dump has room for at first. */
const FIRST_RECORDS = 64;

/**
 * The ids in a stack map, ascending, each once. Of ids that come or vanish meanwhile some are given; all that stay
 * are.
 *
 * @throws {LinuxError} `EBADF` if the map is closed, …
 * @throws {TypeError} If it is no stack map.
 * @example
 * ```ts ignore
 * // Not run: needs CAP_SYS_ADMIN, and somebody's map.
 * import { BpfMap, stackIds } from "@bpf/stackmap/linux";
 *
 * using map = BpfMap.openById(17);
 * for (const id of stackIds(map)) console.log(id, map.lookup(id));
 * ```
 */
export function* stackIds(map: BpfMap): Generator<number, void, undefined> {
  if (map.type !== BPF_MAP_TYPE_STACK_TRACE) throw new TypeError(`map type ${map.type} is not a stack map`);
  // The kernel rounds the number of buckets up to a power of two.
  const buckets = 2 ** Math.ceil(Math.log2(map.maxEntries));
  const next = new Uint8Array(4);
  const view = viewOf(next);
  const value = new Uint8Array(map.lookupSize);
  for (let last = -1;;) {
    const result = map.nextKeyErrno(last < 0 ? undefined : last, next);
    if (result === -ERRNO.ENOENT) return;
    if (result < 0) throw linuxError(result, "bpf(BPF_MAP_GET_NEXT_KEY)");
    let id = view.getUint32(0, true);
    if (id <= last) {
      // The last one vanished, so that the kernel began again. Which is next is found by looking, then.
      id = last + 1;
      while (id < buckets && map.lookupErrno(id, value) < 0) id++;
      if (id >= buckets) return;
    }
    last = id;
    yield id;
  }
}

/**
 * The keys of a map, each once, in the kernel's order. Deleting the key that was just given is fine; of keys that
 * come or vanish meanwhile some are given; all that stay are. For that it remembers every key it gave.
 *
 * @returns Memory of its own for each key.
 * @throws {LinuxError} `EAGAIN` if entries vanish faster than the walk gets on; `EBADF` if the map is closed, …
 * @example
 * ```ts ignore
 * // Not run: needs CAP_SYS_ADMIN, and somebody's map.
 * import { BpfMap, mapKeys } from "@bpf/stackmap/linux";
 *
 * using map = BpfMap.openPinned("/sys/fs/bpf/counts");
 * for (const key of mapKeys(map)) console.log(key, map.lookupAndDelete(key));
 * ```
 */
export function* mapKeys(map: BpfMap): Generator<Uint8Array, void, undefined> {
  const seen = new Set<string>();
  let repeats = 0;
  let restarts = 0;
  let key = map.nextKey();
  while (key !== undefined) {
    // Asked for before the caller may delete the key: after a key that is gone the kernel begins with the first.
    const following: Uint8Array | undefined = map.nextKey(key);
    const text = String.fromCharCode(...key);
    if (!seen.has(text)) {
      seen.add(text);
      repeats = 0;
      yield key;
    } else if (repeats++ % seen.size === 0 && ++restarts > MOST_RESTARTS) {
      // A walk that began again repeats at most all keys seen before it meets a new one or the end.
      const advice = "entries vanish faster than they are read; stop what deletes them first";
      throw linuxError(-ERRNO.EAGAIN, "bpf(BPF_MAP_GET_NEXT_KEY)", advice);
    }
    key = following;
  }
}

/**
 * All stacks of a stack map as `decodeStacks()` takes them: `u32` id and value, repeated. Stacks that come or
 * vanish meanwhile may be in it or not.
 *
 * @throws {LinuxError} `EBADF` if the map is closed, …
 * @throws {TypeError} If it is no stack map.
 * @example
 * ```ts ignore
 * // Not run: needs CAP_SYS_ADMIN, and somebody's map.
 * import { decodeStacks, listStacks } from "@bpf/stackmap";
 * import { BpfMap, dumpStackMap } from "@bpf/stackmap/linux";
 *
 * using map = BpfMap.openById(17);
 * for (const { id, frames } of listStacks(decodeStacks(dumpStackMap(map), map))) console.log(id, frames.length);
 * ```
 */
export function dumpStackMap(map: BpfMap): Uint8Array {
  const recordSize = 4 + map.valueSize;
  const value = new Uint8Array(map.lookupSize);
  let dump = new Uint8Array(FIRST_RECORDS * recordSize);
  let used = 0;
  for (const id of stackIds(map)) {
    const result = map.lookupErrno(id, value);
    if (result === -ERRNO.ENOENT) continue;
    if (result < 0) throw linuxError(result, "bpf(BPF_MAP_LOOKUP_ELEM)");
    if (used === dump.length) {
      const larger = new Uint8Array(2 * dump.length);
      larger.set(dump);
      dump = larger;
    }
    viewOf(dump).setUint32(used, id, true);
    dump.set(value, used + 4);
    used += recordSize;
  }
  return dump.slice(0, used);
}
