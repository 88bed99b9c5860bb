// Owns BPF maps of the running kernel: creating and opening them, their elements, what they are.
import { viewOf } from "../base/bytes.ts";
import {
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_GET_FD_BY_ID,
  BPF_MAP_GET_NEXT_ID,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET,
} from "../uapi/bpf.ts";
import { encodeMapCreateAttr, encodeMapElemAttr, type MapCreateAttr } from "../uapi/bpf_attr.ts";
import { type BpfMapInfo, decodeMapInfo, encodeGetIdAttr, encodeObjAttr, MAP_INFO } from "../uapi/bpf_obj_attr.ts";
import { ERRNO } from "../uapi/errno.ts";
import { possibleCpuCount } from "./cpus.ts";
import { Descriptor, infoBytes, objectIds, objectName, openFd, PinnableDescriptor } from "./descriptor.ts";
import { linuxError } from "./errors.ts";
import { cMemory, cString, readText } from "./host.ts";
import { addressOf, bpf } from "./syscall.ts";

/** What a map is created with. */
export interface BpfMapOptions {
  /** One of `enum bpf_map_type`: `BPF_MAP_TYPE_STACK_TRACE`. */
  type: number;
  /** Size of a key in bytes; 4 by default. */
  keySize?: number;
  /** Size of a value in bytes; for each CPU, in a map with a value for each. */
  valueSize: number;
  /** Number of entries. */
  maxEntries: number;
  /** `BPF_F_STACK_BUILD_ID` and its like, or-ed. */
  mapFlags?: number;
  /** A name to find it by: up to 15 of `A-Za-z0-9_.`. */
  name?: string;
}

/** A key: its bytes, or the number of a 4-byte key, such as a stack id. */
export type BpfKey = number | Uint8Array;

/** Types whose elements have a value for each possible CPU. */
const PER_CPU: readonly number[] = [
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
];

/**
 * A BPF map of the running kernel. It closes its descriptor at the end of the block with `using`, or by `close()`;
 * the kernel keeps the map while a program, a pin or another descriptor holds it.
 *
 * The methods whose name ends in `Errno` return what the system call returned, 0 or `-errno`, as the model's
 * methods do; the others give `undefined` or `false` for what is not there, and throw a {@linkcode LinuxError} for
 * the rest.
 *
 * One map object serves one caller at a time: it keeps memory for one key and one value.
 *
 * @example
 * ```ts ignore
 * // Not run: needs CAP_BPF.
 * import { BPF_F_STACK_BUILD_ID, BPF_MAP_TYPE_STACK_TRACE, decodeStacks } from "@bpf/stackmap";
 * import { BpfMap, dumpStackMap } from "@bpf/stackmap/linux";
 *
 * using map = BpfMap.create({
 *   type: BPF_MAP_TYPE_STACK_TRACE,
 *   valueSize: 127 * 32,
 *   maxEntries: 16384,
 *   mapFlags: BPF_F_STACK_BUILD_ID,
 * });
 * const columns = decodeStacks(dumpStackMap(map), map);
 * ```
 */
export class BpfMap extends PinnableDescriptor {
  /** One of `enum bpf_map_type`. */
  readonly type: number;
  /** Size of a key in bytes. */
  readonly keySize: number;
  /** Size of a value in bytes; for each CPU, in a map with a value for each. */
  readonly valueSize: number;
  /** Number of entries. */
  readonly maxEntries: number;
  /** What it was created with. */
  readonly mapFlags: number;
  /** Bytes that a look-up gives: `valueSize`; with a value for each CPU all of them, each rounded up to 8 bytes. */
  readonly lookupSize: number;
  readonly #key: Uint8Array;
  readonly #keyView: DataView;
  readonly #next: Uint8Array;
  readonly #value: Uint8Array;
  readonly #elem: Uint8Array;
  readonly #elemView: DataView;
  readonly #deleted: Uint8Array;
  readonly #first: Uint8Array;
  readonly #following: Uint8Array;

  /**
   * Takes over an open descriptor of a map.
   *
   * @param fd The descriptor; the caller must not close it.
   * @param options What it was created with.
   */
  constructor(fd: number, options: BpfMapOptions) {
    super(fd);
    this.type = options.type;
    this.keySize = options.keySize ?? 4;
    this.valueSize = options.valueSize;
    this.maxEntries = options.maxEntries;
    this.mapFlags = options.mapFlags ?? 0;
    this.lookupSize = PER_CPU.includes(this.type)
      ? Math.ceil(this.valueSize / 8) * 8 * possibleCpuCount()
      : this.valueSize;
    // Made once, so that a look-up is a copy of the key, the call, and a copy of the value.
    this.#key = cMemory(Math.max(1, this.keySize));
    this.#keyView = viewOf(this.#key);
    this.#next = cMemory(Math.max(1, this.keySize));
    this.#value = cMemory(Math.max(1, this.lookupSize));
    const [key, next, value] = [this.#key, this.#next, this.#value].map(addressOf);
    this.#elem = encodeMapElemAttr({ map_fd: fd, key, value });
    this.#elemView = viewOf(this.#elem);
    // The kernel refuses a delete with any field behind the key set.
    this.#deleted = encodeMapElemAttr({ map_fd: fd, key });
    this.#first = encodeMapElemAttr({ map_fd: fd, key: 0n, value: next });
    this.#following = encodeMapElemAttr({ map_fd: fd, key, value: next });
  }

  /**
   * Creates a map. Needs CAP_BPF (CAP_SYS_ADMIN before Linux 5.8).
   *
   * @throws {LinuxError} `EPERM`; `EINVAL` if type, sizes and flags don't go together; `E2BIG`, `ENOMEM`.
   */
  static create(options: BpfMapOptions): BpfMap {
    const result = BpfMap.tryCreate({
      map_type: options.type,
      key_size: options.keySize ?? 4,
      value_size: options.valueSize,
      max_entries: options.maxEntries,
      map_flags: options.mapFlags ?? 0,
      map_name: objectName(options.name ?? ""),
    });
    if (result < 0) throw linuxError(result, "bpf(BPF_MAP_CREATE)");
    return adopt(result, () => new BpfMap(result, options));
  }

  /**
   * Asks the kernel for a map, whatever the attributes are.
   *
   * @returns A descriptor, which the caller must close, or `-errno`.
   * @throws {LinuxError} Only where no system call can be made.
   */
  static tryCreate(attr: MapCreateAttr): number {
    return bpf(BPF_MAP_CREATE, encodeMapCreateAttr(attr));
  }

  /**
   * Opens the map that has a name in a bpf file system.
   *
   * @throws {LinuxError} `ENOENT`, `EACCES`; `EINVAL` if it is a program or a link.
   */
  static openPinned(path: string): BpfMap {
    const pathname = cString(path);
    const fd = bpf(BPF_OBJ_GET, encodeObjAttr({ pathname: addressOf(pathname) }), pathname);
    if (fd < 0) throw linuxError(fd, `bpf(BPF_OBJ_GET, ${path})`);
    return adopt(fd, () => {
      // Without the right to read /proc the kernel's answers below have to do.
      const kind = readText(`/proc/self/fdinfo/${fd}`);
      if (kind !== undefined && !/^map_type:/m.test(kind)) {
        throw linuxError(-ERRNO.EINVAL, `bpf(BPF_OBJ_GET, ${path})`, "what is pinned there is not a map");
      }
      return fromInfo(fd);
    });
  }

  /**
   * Opens a map by its id, whoever made it. Needs CAP_SYS_ADMIN.
   *
   * @throws {LinuxError} `ENOENT` if there is none (any more), `EPERM`.
   */
  static openById(id: number): BpfMap {
    const fd = bpf(BPF_MAP_GET_FD_BY_ID, encodeGetIdAttr({ start_id: id }));
    if (fd < 0) throw linuxError(fd, "bpf(BPF_MAP_GET_FD_BY_ID)");
    return adopt(fd, () => fromInfo(fd));
  }

  /**
   * The ids of all maps, ascending. Needs CAP_SYS_ADMIN.
   *
   * @throws {LinuxError} `EPERM`.
   */
  static ids(): number[] {
    return objectIds(BPF_MAP_GET_NEXT_ID, "bpf(BPF_MAP_GET_NEXT_ID)");
  }

  /**
   * What the kernel says the map is; its name and id among it.
   *
   * @throws {LinuxError} `EBADF` if it is closed.
   */
  info(): BpfMapInfo {
    return decodeMapInfo(infoBytes(this.fd, MAP_INFO.size));
  }

  /**
   * Looks an element up.
   *
   * @param value Where to put it, at least `lookupSize` bytes; changed only on success.
   * @returns 0 or `-errno`.
   */
  lookupErrno(key: BpfKey, value: Uint8Array): number {
    return this.#take(BPF_MAP_LOOKUP_ELEM, key, value);
  }

  /**
   * The value of a key, or `undefined` if there is none.
   *
   * @param value Where to put it, at least `lookupSize` bytes; new memory by default.
   * @throws {LinuxError} `EBADF` if the map is closed, …
   */
  lookup(key: BpfKey, value: Uint8Array = new Uint8Array(this.lookupSize)): Uint8Array | undefined {
    const result = this.lookupErrno(key, value);
    if (result === -ERRNO.ENOENT) return undefined;
    if (result < 0) throw linuxError(result, "bpf(BPF_MAP_LOOKUP_ELEM)");
    return value;
  }

  /** Looks an element up and deletes it, as {@linkcode lookupErrno}. Hash maps since 5.14. */
  lookupAndDeleteErrno(key: BpfKey, value: Uint8Array): number {
    return this.#take(BPF_MAP_LOOKUP_AND_DELETE_ELEM, key, value);
  }

  /**
   * The value of a key, which is deleted, or `undefined` if there is none.
   *
   * @throws {LinuxError} `ENOTSUPP` or `EOPNOTSUPP` if maps of this type can't.
   */
  lookupAndDelete(key: BpfKey, value: Uint8Array = new Uint8Array(this.lookupSize)): Uint8Array | undefined {
    const result = this.lookupAndDeleteErrno(key, value);
    if (result === -ERRNO.ENOENT) return undefined;
    if (result < 0) throw linuxError(result, "bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM)");
    return value;
  }

  /**
   * Creates or replaces an element.
   *
   * @param flags `BPF_ANY`, `BPF_NOEXIST` or `BPF_EXIST`.
   * @returns 0 or `-errno`.
   */
  updateErrno(key: BpfKey, value: Uint8Array, flags: number = 0): number {
    this.#setKey(key);
    if (value.length !== this.lookupSize) {
      throw new RangeError(`a value has ${this.lookupSize} bytes, not ${value.length}`);
    }
    this.#value.set(value);
    return this.#call(BPF_MAP_UPDATE_ELEM, flags);
  }

  /**
   * Creates or replaces an element.
   *
   * @throws {LinuxError} `EEXIST` with `BPF_NOEXIST`, `ENOENT` with `BPF_EXIST`, `E2BIG` if the map is full,
   *   `EINVAL` in a stack map.
   */
  update(key: BpfKey, value: Uint8Array, flags: number = 0): void {
    const result = this.updateErrno(key, value, flags);
    if (result < 0) throw linuxError(result, "bpf(BPF_MAP_UPDATE_ELEM)");
  }

  /** Deletes an element: 0 or `-errno`. */
  deleteErrno(key: BpfKey): number {
    this.#setKey(key);
    return bpf(BPF_MAP_DELETE_ELEM, this.#checked(this.#deleted));
  }

  /**
   * Deletes an element; whether there was one.
   *
   * @throws {LinuxError} `EINVAL` in an array, …
   */
  delete(key: BpfKey): boolean {
    const result = this.deleteErrno(key);
    if (result < 0 && result !== -ERRNO.ENOENT) throw linuxError(result, "bpf(BPF_MAP_DELETE_ELEM)");
    return result === 0;
  }

  /**
   * The key after `key`, or the first.
   *
   * @param next Where to put it, `keySize` bytes; changed only on success.
   * @returns 0 or `-errno`; `-ENOENT` at the end.
   */
  nextKeyErrno(key: BpfKey | undefined, next: Uint8Array): number {
    if (next.length !== this.keySize) throw new RangeError(`a key has ${this.keySize} bytes, not ${next.length}`);
    if (key !== undefined) this.#setKey(key);
    const result = bpf(BPF_MAP_GET_NEXT_KEY, this.#checked(key === undefined ? this.#first : this.#following));
    if (result === 0) next.set(this.#next);
    return result;
  }

  /**
   * The key after `key`, or the first; `undefined` at the end. After a key that is not there (any more) the kernel
   * begins again with the first; {@linkcode mapKeys} takes care of that.
   *
   * @throws {LinuxError} `EBADF` if the map is closed, …
   */
  nextKey(key?: BpfKey): Uint8Array | undefined {
    const next = new Uint8Array(this.keySize);
    const result = this.nextKeyErrno(key, next);
    if (result === -ERRNO.ENOENT) return undefined;
    if (result < 0) throw linuxError(result, "bpf(BPF_MAP_GET_NEXT_KEY)");
    return next;
  }

  #take(command: number, key: BpfKey, value: Uint8Array): number {
    this.#setKey(key);
    if (value.length < this.lookupSize) {
      throw new RangeError(`a value has ${this.lookupSize} bytes, there is room for ${value.length}`);
    }
    const result = this.#call(command, 0);
    if (result === 0) value.set(this.#value);
    return result;
  }

  #call(command: number, flags: number): number {
    this.#elemView.setUint32(24, flags, true);
    return bpf(command, this.#checked(this.#elem));
  }

  #checked(attr: Uint8Array): Uint8Array {
    openFd(this);
    return attr;
  }

  #setKey(key: BpfKey): void {
    if (typeof key === "number") {
      if (this.keySize !== 4) throw new TypeError(`a key has ${this.keySize} bytes: give them, not a number`);
      this.#keyView.setUint32(0, key, true);
    } else {
      if (key.length !== this.keySize) throw new RangeError(`a key has ${this.keySize} bytes, not ${key.length}`);
      this.#key.set(key);
    }
  }
}

/** What `make` returns for an open descriptor, which is closed if it throws. */
function adopt(fd: number, make: () => BpfMap): BpfMap {
  try {
    return make();
  } catch (error) {
    new Descriptor(fd).close();
    throw error;
  }
}

function fromInfo(fd: number): BpfMap {
  const info = decodeMapInfo(infoBytes(fd, MAP_INFO.size));
  return new BpfMap(fd, {
    type: info.type,
    keySize: info.key_size,
    valueSize: info.value_size,
    maxEntries: info.max_entries,
    mapFlags: info.map_flags,
  });
}
