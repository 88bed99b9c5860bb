// Owns what all BPF objects share: descriptors that are closed once, names, pins, ids, infos.
import { viewOf } from "../base/bytes.ts";
import { BPF_OBJ_GET_INFO_BY_FD, BPF_OBJ_NAME_LEN, BPF_OBJ_PIN } from "../uapi/bpf.ts";
import { encodeGetIdAttr, encodeInfoAttr, encodeObjAttr } from "../uapi/bpf_obj_attr.ts";
import { ERRNO } from "../uapi/errno.ts";
import { linuxError } from "./errors.ts";
import { cMemory, cString } from "./host.ts";
import { addressOf, bpf, syscall } from "./syscall.ts";

/**
 * A file descriptor of the kernel: of a map, program, link or event. It closes at the end of the block with
 * `using`, or by `close()`; never by itself.
 */
export class Descriptor implements Disposable {
  #fd: number;

  /**
   * Takes over an open descriptor.
   *
   * @param fd The descriptor; the caller must not close it.
   */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The number; -1 once it is closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Closes it; the kernel drops the object unless something else holds it. Closing twice does nothing. */
  close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) syscall("close", fd);
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A {@linkcode Descriptor} of an object that can have a name in a bpf file system. */
export class PinnableDescriptor extends Descriptor {
  /**
   * Gives the object a name in a bpf file system (mounted at `/sys/fs/bpf` as a rule), which keeps it alive until
   * the name is removed.
   *
   * @throws {LinuxError} `EEXIST`, `ENOENT`, `EPERM` where that is no bpf file system, …
   */
  pin(path: string): void {
    const pathname = cString(path);
    const attr = encodeObjAttr({ pathname: addressOf(pathname), bpf_fd: openFd(this) });
    const result = bpf(BPF_OBJ_PIN, attr, pathname);
    if (result < 0) throw linuxError(result, `bpf(BPF_OBJ_PIN, ${path})`, PIN_ADVICE[-result]);
  }
}

const PIN_ADVICE: Readonly<Record<number, string>> = {
  [ERRNO.EPERM]: "not permitted, or the path is not in a bpf file system: mount -t bpf bpf /sys/fs/bpf",
  [ERRNO.EEXIST]: "there is a file of that name",
  [ERRNO.ENOENT]: "the folder does not exist",
};

/** The descriptor of an object that must be open: a closed one's number may belong to somebody else by now. */
export function openFd(object: Descriptor): number {
  if (object.fd < 0) throw linuxError(-ERRNO.EBADF, "bpf()", "it is closed");
  return object.fd;
}

/** A name as the kernel keeps it: 16 bytes, NUL-terminated; `RangeError` for one that it would refuse. */
export function objectName(name: string): Uint8Array {
  if (!/^[A-Za-z0-9_.]*$/.test(name) || name.length >= BPF_OBJ_NAME_LEN) {
    throw new RangeError(`${JSON.stringify(name)} is not a name of up to 15 letters, digits, _ and .`);
  }
  return new TextEncoder().encode(name);
}

/** The info of an open object, zero-extended to `size` bytes where the kernel knows less. */
export function infoBytes(fd: number, size: number): Uint8Array {
  if (fd < 0) throw linuxError(-ERRNO.EBADF, "bpf(BPF_OBJ_GET_INFO_BY_FD)");
  const info = cMemory(size);
  const attr = encodeInfoAttr({ bpf_fd: fd, info_len: size, info: addressOf(info) });
  const result = bpf(BPF_OBJ_GET_INFO_BY_FD, attr, info);
  if (result < 0) throw linuxError(result, "bpf(BPF_OBJ_GET_INFO_BY_FD)");
  return info;
}

/** The ids that `command` gives, ascending. */
export function objectIds(command: number, syscallName: string): number[] {
  const ids: number[] = [];
  for (let id = 0;;) {
    const attr = encodeGetIdAttr({ start_id: id });
    const result = bpf(command, attr);
    if (result === -ERRNO.ENOENT) return ids;
    if (result < 0) throw linuxError(result, syscallName);
    id = viewOf(attr).getUint32(4, true);
    ids.push(id);
  }
}
