// Owns reading pprof profiles in tests: protocol buffers field by field, every reference checked.
import { assert, assertEquals } from "@std/assert";

/** A message by field number. */
export type Message = Map<number, (bigint | Uint8Array)[]>;

/** A message of protocol buffers, field by field. */
function readMessage(bytes: Uint8Array): Message {
  const fields: Message = new Map();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      assert(at < bytes.length && shift < 70n, "varint is cut short or too long");
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    let value: bigint | Uint8Array;
    if ((key & 7) === 0) {
      value = varint();
      assert(value < 1n << 64n);
    } else {
      assertEquals(key & 7, 2);
      const length = Number(varint());
      assert(length <= bytes.length - at);
      value = bytes.subarray(at, at += length);
    }
    const list = fields.get(key >> 3) ?? [];
    fields.set(key >> 3, list);
    list.push(value);
  }
  return fields;
}

const messages = (message: Message, field: number) =>
  (message.get(field) ?? []).map((one) => readMessage(one as Uint8Array));
/** A number of a message; 0 where it is left out. */
export const number = (message: Message, field: number): bigint => (message.get(field)?.[0] ?? 0n) as bigint;

function packed(message: Message, field: number): number[] {
  const list: number[] = [];
  let value = 0;
  let shift = 1;
  for (const byte of message.get(field)![0] as Uint8Array) {
    value += (byte & 0x7f) * shift;
    shift *= 128;
    if (byte < 0x80) {
      list.push(value);
      [value, shift] = [0, 1];
    }
  }
  return list;
}

/** A function of a profile. */
export interface ProfileFunction {
  id: bigint;
  name: string;
  systemName: string;
  file: string;
}

/** A mapping of a profile; `has`: functions, file names, line numbers, inlined calls, 1 each. */
export interface ProfileMapping {
  id: bigint;
  start: bigint;
  limit: bigint;
  offset: bigint;
  file: string;
  buildId: string;
  has: number[];
}

/** A location of a profile. */
export interface ProfileLocation {
  id: bigint;
  mapping: ProfileMapping | undefined;
  address: bigint;
  lines: { function: ProfileFunction; line: number; column: number }[];
}

/** What {@linkcode readProfile} reads. */
export interface Profile {
  profile: Message;
  strings: string[];
  functions: Map<bigint, ProfileFunction>;
  mappings: Map<bigint, ProfileMapping>;
  locations: Map<bigint, ProfileLocation>;
  samples: { locations: ProfileLocation[]; value: number[]; labels: Record<string, string | number> }[];
  /** Type and unit of each value type in a field. */
  type(field: number): [type: string, unit: string][];
  comments: string[];
}

/** A profile with what its numbers stand for; every reference is checked. */
export function readProfile(bytes: Uint8Array): Profile {
  const profile = readMessage(bytes);
  const strings = profile.get(6)!.map((one) => new TextDecoder().decode(one as Uint8Array));
  assertEquals(strings[0], "");
  assertEquals(new Set(strings).size, strings.length);
  const string = (message: Message, field: number): string => {
    const text = strings[Number(number(message, field))];
    assert(text !== undefined);
    return text;
  };
  const byId = <T extends { id: bigint }>(list: T[]) => new Map(list.map((one) => [one.id, one]));
  const functions = byId(
    messages(profile, 5).map((one) => ({
      id: number(one, 1),
      name: string(one, 2),
      systemName: string(one, 3),
      file: string(one, 4),
    })),
  );
  const mappings = byId(
    messages(profile, 3).map((one) => ({
      id: number(one, 1),
      start: number(one, 2),
      limit: number(one, 3),
      offset: number(one, 4),
      file: string(one, 5),
      buildId: string(one, 6),
      has: [7, 8, 9, 10].map((field) => Number(number(one, field))),
    })),
  );
  const locations = byId(
    messages(profile, 4).map((one) => ({
      id: number(one, 1),
      mapping: number(one, 2) === 0n ? undefined : mappings.get(number(one, 2))!,
      address: number(one, 3),
      lines: messages(one, 4).map((line) => ({
        function: functions.get(number(line, 1))!,
        line: Number(number(line, 2)),
        column: Number(number(line, 3)),
      })),
    })),
  );
  for (const { id, mapping, address, lines } of locations.values()) {
    assert(id > 0n && lines.every((line) => line.function !== undefined));
    assert(mapping === undefined || (address >= mapping.start && address < mapping.limit), `location ${id}`);
  }
  const samples = messages(profile, 2).map((one) => ({
    locations: packed(one, 1).map((id) => locations.get(BigInt(id))!),
    value: packed(one, 2),
    labels: Object.fromEntries(
      messages(one, 3).map((label) => [string(label, 1), string(label, 2) || Number(number(label, 3))]),
    ),
  }));
  assert(samples.every((sample) => sample.locations.every((location) => location !== undefined)));
  const type = (field: number): [string, string][] =>
    messages(profile, field).map((one) => [string(one, 1), string(one, 2)]);
  const comments = (profile.get(13) ?? []).map((one) => strings[Number(one)]);
  return { profile, strings, functions, mappings, locations, samples, type, comments };
}
