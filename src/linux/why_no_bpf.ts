// Owns the question whether this process may use BPF at all.
import { BPF_MAP_CREATE, BPF_MAP_TYPE_STACK_TRACE } from "../uapi/bpf.ts";
import { encodeMapCreateAttr } from "../uapi/bpf_attr.ts";
import { LinuxError, linuxError } from "./errors.ts";
import { bpf, syscall } from "./syscall.ts";

/**
 * Why the running kernel can't be asked: for tests and command lines that go on without it.
 *
 * @returns `undefined` if `bpf()` can be called and answers.
 * @example
 * ```ts
 * import { whyNoBpf } from "@bpf/stackmap/linux";
 *
 * console.log(whyNoBpf() ?? "this process may use BPF");
 * ```
 */
export function whyNoBpf(): string | undefined {
  try {
    // The smallest stack map there is.
    const map = bpf(
      BPF_MAP_CREATE,
      encodeMapCreateAttr({ map_type: BPF_MAP_TYPE_STACK_TRACE, key_size: 4, value_size: 8, max_entries: 1 }),
    );
    if (map < 0) return linuxError(map, "bpf(BPF_MAP_CREATE)").message;
    syscall("close", map);
    return undefined;
  } catch (error) {
    if (!(error instanceof LinuxError)) throw error;
    return error.message;
  }
}
