// Owns the JSON of `bpftool map dump -j`: to a raw dump and back.
import { FormatError } from "../base/format_error.ts";
import { viewOf } from "../base/bytes.ts";
import { JsonScanner } from "./json_scanner.ts";

/** What {@linkcode parseBpftoolDump} found. */
export interface BpftoolDump {
  /** The same as a raw dump, for {@linkcode decodeStacks}: `u32` key and value, repeated. */
  dump: Uint8Array;
  /** Size of each value in bytes; 0 if there is none. */
  valueSize: number;
  /** Keys that bpftool saw but could not look up: the bucket was emptied meanwhile. */
  missing: number[];
}

/**
 * Reads what `bpftool map dump -j` (or `-jp`, or `map lookup -j`) prints for a stack map.
 *
 * An entry's `key` and `value` are bytes in memory order: an array of strings such as `"0x1f"` or `"1f"`, an array
 * of numbers, or one hex string, with or without `0x` and spaces; `key` may also be one number, as in the form that
 * bpftool prints with BTF. Other members of an entry, such as `formatted`, are skipped. An entry whose value is an
 * object, which holds the error of a look-up, goes to `missing`. `null`, which a look-up that found nothing prints,
 * is an empty dump.
 *
 * Memory stays within a small multiple of the input; nothing recurses.
 *
 * @param json The text, or its UTF-8 bytes.
 * @param options `littleEndian`: byte order of the machine that bpftool ran on; little by default. It matters only
 * for `missing` and for keys that are one number.
 * @throws {FormatError} If the text is not such a dump, if values differ in size, or with bpftool's own message
 * where it printed an error. Offsets are in bytes.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeStacks, parseBpftoolDump } from "@bpf/stackmap";
 *
 * const value = `["0x36","0x11","0x40","0x00","0x00","0x00","0x00","0x00"]`;
 * const json = `[{"key":["0x03","0x00","0x00","0x00"],"value":${value}}]`;
 * const { dump, valueSize } = parseBpftoolDump(json);
 * const columns = decodeStacks(dump, { valueSize });
 * assertEquals([columns.ids[0], columns.offsetLo[0]], [3, 0x401136]);
 * ```
 */
export function parseBpftoolDump(
  json: string | Uint8Array,
  options: { littleEndian?: boolean } = {},
): BpftoolDump {
  const { littleEndian = true } = options;
  const scanner = new JsonScanner(typeof json === "string" ? new TextEncoder().encode(json) : json);
  const reader = new EntryReader(scanner, littleEndian);
  if (scanner.take("[")) {
    if (!scanner.take("]")) {
      do reader.entry(); while (scanner.take(","));
      scanner.expect("]", "entry");
    }
  } else if (scanner.peek() === "{") {
    reader.entry();
  } else if (!scanner.takeNull()) {
    throw scanner.error("is neither an array of entries nor an entry", "dump");
  }
  if (scanner.peek() !== "") throw scanner.error("follows the end of the dump", "dump");
  return reader.result();
}

/**
 * Writes a raw dump as `bpftool map dump -j` prints it, byte for byte: one line, with the line feed at its end.
 *
 * @throws {RangeError} If `valueSize` is not positive. @throws {FormatError} If the last record is cut short.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { formatBpftoolDump } from "@bpf/stackmap";
 *
 * const json = formatBpftoolDump(new Uint8Array([3, 0, 0, 0, 0xff]), 1);
 * assertEquals(json, '[{"key":["0x03","0x00","0x00","0x00"],"value":["0xff"]}]\n');
 * ```
 */
export function formatBpftoolDump(dump: Uint8Array, valueSize: number): string {
  if (!Number.isSafeInteger(valueSize) || valueSize <= 0) throw new RangeError(`valueSize is ${valueSize}`);
  const recordSize = 4 + valueSize;
  const rest = dump.length % recordSize;
  if (rest !== 0) {
    const detail = { offset: dump.length - rest, field: rest < 4 ? "key" : "value" };
    throw new FormatError(`the last record has ${rest} of ${recordSize} bytes`, detail);
  }
  const hex = (from: number, to: number) =>
    Array.from(dump.subarray(from, to), (byte) => `"0x${byte.toString(16).padStart(2, "0")}"`).join(",");
  const entries: string[] = [];
  for (let at = 0; at < dump.length; at += recordSize) {
    entries.push(`{"key":[${hex(at, at + 4)}],"value":[${hex(at + 4, at + recordSize)}]}`);
  }
  return `[${entries.join(",")}]\n`;
}

/** Reads entries one by one into the records of a raw dump. */
class EntryReader {
  readonly #scanner: JsonScanner;
  readonly #littleEndian: boolean;
  readonly #key = new Uint8Array(4);
  readonly #missing: number[] = [];
  #out = new Uint8Array(4096);
  #length = 0;
  #valueSize = 0;

  constructor(scanner: JsonScanner, littleEndian: boolean) {
    this.#scanner = scanner;
    this.#littleEndian = littleEndian;
  }

  result(): BpftoolDump {
    return {
      dump: this.#out.slice(0, this.#length),
      valueSize: this.#valueSize,
      missing: this.#missing,
    };
  }

  // One entry. bpftool before 5.0 printed an entry it could not look up without its braces.
  entry(): void {
    const scanner = this.#scanner;
    const start = scanner.at;
    const braces = scanner.peek() !== '"';
    if (braces) scanner.expect("{", "entry");
    let hasKey = false;
    let value: "none" | "bytes" | "missing" = "none";
    if (!(braces && scanner.take("}"))) {
      do {
        scanner.peek();
        const nameAt = scanner.at;
        const name = scanner.string("entry");
        scanner.expect(":", name);
        if ((name === "key" && hasKey) || (name === "value" && value !== "none")) {
          throw new FormatError("occurs twice in one entry", { offset: nameAt, field: name });
        }
        if (name === "key") {
          this.#readKey();
          hasKey = true;
        } else if (name === "value") {
          value = this.#readValue();
        } else if (name === "error") {
          throw new FormatError("bpftool reports an error", {
            offset: nameAt,
            field: name,
            value: scanner.string(name),
          });
        } else if (name === "values") {
          throw new FormatError("the dump is of a per-CPU map, not of a stack map", {
            offset: nameAt,
            field: name,
          });
        } else {
          scanner.skipValue(name);
        }
      } while ((braces || value === "none") && scanner.take(","));
      if (braces) scanner.expect("}", "entry");
    }
    if (!hasKey) throw new FormatError("is not in the entry", { offset: start, field: "key" });
    if (value === "none") throw new FormatError("is not in the entry", { offset: start, field: "value" });
    if (value === "missing") {
      this.#missing.push(viewOf(this.#key).getUint32(0, this.#littleEndian));
    } else {
      this.#out.set(this.#key, this.#length);
      this.#length += 4 + this.#valueSize;
    }
  }

  #readKey(): void {
    const scanner = this.#scanner;
    scanner.peek();
    const offset = scanner.at;
    if (scanner.atDigit()) {
      viewOf(this.#key).setUint32(0, scanner.integer("key", 0xffff_ffff), this.#littleEndian);
      return;
    }
    let size = 0;
    scanner.bytes("key", (byte) => {
      if (size < 4) this.#key[size] = byte;
      size++;
    });
    if (size !== 4) {
      throw new FormatError("a stack map's key has 4 bytes", { offset, field: "key size", value: size });
    }
  }

  #readValue(): "bytes" | "missing" {
    const scanner = this.#scanner;
    const mark = scanner.peek();
    const offset = scanner.at;
    if (mark === "{") {
      scanner.skipValue("value");
      return "missing";
    }
    const from = this.#length + 4;
    let to = from;
    scanner.bytes("value", (byte) => {
      if (to >= this.#out.length) {
        const grown = new Uint8Array(2 * this.#out.length);
        grown.set(this.#out);
        this.#out = grown;
      }
      this.#out[to++] = byte;
    });
    const size = to - from;
    if (size === 0) throw new FormatError("is empty", { offset, field: "value" });
    if (this.#valueSize === 0) this.#valueSize = size;
    if (size !== this.#valueSize) {
      throw new FormatError(`other values have ${this.#valueSize} bytes`, {
        offset,
        field: "value size",
        value: size,
      });
    }
    return "bytes";
  }
}
