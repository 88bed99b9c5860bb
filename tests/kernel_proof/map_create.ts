// Owns BPF_MAP_CREATE over odd attributes: the kernel and the model must give the same answer to each.
import { BPF_MAP_TYPE_STACK_TRACE, errnoName, KernelError, kernelProfile, StackMap } from "../../mod.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { checkMapCreate, type StackMapAttr } from "../../src/kernel/map_create.ts";
import { BpfMap, Descriptor } from "../../src/linux/linux.ts";
import type { Coverage } from "./coverage.ts";
import { pick } from "./hostile_file.ts";
import { provenProfile } from "./running.ts";

/** A map that would take more is left out. */
const MOST_BYTES = 64 << 20;
/** Of those that take more than this, most are. */
const MANY_BYTES = 1 << 20;

const U32 = 2 ** 32;
const KEY_SIZES = [4, 4, 4, 4, 4, 4, 0, 1, 2, 3, 5, 8, 16, 0x80000000, U32 - 4, U32 - 1];
const VALUE_SIZES = [
  ...[0, 1, 4, 7, 8, 9, 12, 16, 24, 28, 31, 32, 33, 40, 63, 64, 96, 100, 128, 1000, 1008, 1016, 1024, 1032],
  ...[4032, 4064, 4072, 4096, 8128, 65536, 0x7ffffff8, 0x80000000, U32 - 32, U32 - 8, U32 - 4, U32 - 1],
];
const MAX_ENTRIES = [
  ...[0, 1, 2, 3, 5, 8, 100, 1000, 1023, 1024, 4096, 65535, 65536, 2 ** 20],
  ...[2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, U32 - 2, U32 - 1],
];

function attributes(random: SeededRandom): Required<StackMapAttr> {
  let mapFlags = pick(random, [0, 0, 0x20, 0x20, 4, 8, 0x10, 0x18, 0x24, 0x28, 0x30, 0x38, 0x3c]);
  if (random.chance(0.25)) mapFlags = (mapFlags | (1 << random.below(32))) >>> 0;
  return {
    keySize: pick(random, KEY_SIZES),
    valueSize: random.chance(0.8) ? pick(random, VALUE_SIZES) : random.below(5000),
    maxEntries: random.chance(0.8) ? pick(random, MAX_ENTRIES) : 1 + random.below(5000),
    mapFlags,
  };
}

/** What the model answers without allocating anything: 0 or -errno. */
function checked(attr: Required<StackMapAttr>, maxStack: number): number {
  try {
    checkMapCreate(attr, maxStack, kernelProfile(provenProfile()));
    return 0;
  } catch (error) {
    if (error instanceof KernelError) return -error.errno;
    throw error;
  }
}

/** What the model answers. */
function modelled(attr: StackMapAttr, maxStack: number): number {
  try {
    new StackMap(attr, { kernel: provenProfile(), perfEventMaxStack: maxStack });
    return 0;
  } catch (error) {
    if (error instanceof KernelError) return -error.errno;
    throw error;
  }
}

/** What the kernel answers. */
function asked({ keySize, valueSize, maxEntries, mapFlags }: Required<StackMapAttr>): number {
  const result = BpfMap.tryCreate({
    map_type: BPF_MAP_TYPE_STACK_TRACE,
    key_size: keySize,
    value_size: valueSize,
    max_entries: maxEntries,
    map_flags: mapFlags,
  });
  if (result < 0) return result;
  new Descriptor(result).close();
  return 0;
}

/** Asks for `count` maps; what was answered differently, a line each. */
export function compareMapCreate(seed: number, count: number, maxStack: number, coverage: Coverage): string[] {
  const random = new SeededRandom(seed);
  const differences: string[] = [];
  for (let i = 0; i < count; i++) {
    const attr = attributes(random);
    const bytes = attr.maxEntries * (attr.valueSize + 24);
    if (bytes > MANY_BYTES && checked(attr, maxStack) === 0 && (bytes > MOST_BYTES || random.chance(0.98))) {
      coverage.add("BPF_MAP_CREATE: left out, too large");
      continue;
    }
    const [kernel, model] = [asked(attr), modelled(attr, maxStack)];
    coverage.add(`BPF_MAP_CREATE: ${kernel === 0 ? "0" : `-${errnoName(kernel)}`}`);
    if (kernel !== model) differences.push(`${JSON.stringify(attr)}: kernel ${kernel}, model ${model}`);
  }
  return differences;
}
