// Owns GsymBuilder: functions by numbers in, for those that make very many; what GsymCreator is made of.
import type { Phdr } from "../elf/headers.ts";
import { PF_X, PT_LOAD } from "../uapi/elf.ts";
import { FunctionList } from "./creator_functions.ts";
import { type GsymLayout, planGsym, type PlannedGsym } from "./creator_write.ts";
import type { FunctionDraft } from "./encode_function.ts";
import { FilePool, StringPool } from "./encode_pool.ts";
import { GSYM_MAX_UUID_SIZE, GSYM_VERSION_1, GSYM_VERSION_2 } from "./format.ts";

/** What a {@linkcode GsymCreator} writes besides functions, and how. */
export interface GsymCreatorOptions {
  /** Version of the format: 1, which all readers know, or 2, which LLVM has since 23; 1 by default. */
  version?: 1 | 2;
  /** Byte order of the file; the program's own lets readers of its machine read faster. True by default. */
  littleEndian?: boolean;
  /** The program's build ID; version 1 has room for 20 bytes. None by default. */
  uuid?: Uint8Array;
  /**
   * The executable's PT_LOAD segments, so that the file alone can be asked for file offsets. Kept in the appendix,
   * which other readers pass over; none by default.
   */
  segments?: readonly Phdr[];
  /**
   * `ranged` puts what consecutive functions need of each table together, for readers that fetch pieces of the file;
   * strings and file entries are repeated for it. `compact` writes each once; a `ranged` file was 3 to 21 %
   * larger for programs in C, and 60 % for C++ with long names. `ranged` by default.
   */
  layout?: GsymLayout;
}

/** Collects functions whose strings and files are numbers of its pools. */
export class GsymBuilder {
  readonly strings: StringPool = new StringPool();
  readonly files: FilePool = new FilePool(this.strings);
  readonly #functions = new FunctionList();
  readonly #options: Required<GsymCreatorOptions>;

  /** @throws {RangeError} If an option is none that can be. */
  constructor(options: GsymCreatorOptions) {
    const { version = GSYM_VERSION_1, littleEndian = true, uuid = new Uint8Array(0), layout = "ranged" } = options;
    if (version !== GSYM_VERSION_1 && version !== GSYM_VERSION_2) {
      throw new RangeError(`version ${version} of GSYM`);
    }
    if (layout !== "ranged" && layout !== "compact") throw new RangeError(`layout ${layout}`);
    if (version === GSYM_VERSION_1 && uuid.length > GSYM_MAX_UUID_SIZE) {
      throw new RangeError(`version 1 has room for 20 bytes of a UUID, not ${uuid.length}`);
    }
    const segments = (options.segments ?? []).filter(({ p_type }) => p_type === PT_LOAD);
    this.#options = { version, littleEndian, uuid: uuid.slice(), segments, layout };
  }

  /** Functions so far. */
  get length(): number {
    return this.#functions.length;
  }

  /** Adds a function with the rows and inlined calls of a draft. */
  add(addressHi: number, addressLo: number, size: number, name: number, draft: FunctionDraft): void {
    this.#functions.add(addressHi, addressLo, size, name, draft);
  }

  /** Decides what is written, and where. */
  plan(): PlannedGsym {
    const { version, littleEndian, uuid, segments, layout } = this.#options;
    const settled = this.#functions.settle(this.strings, (hi, lo) => codeAfter(segments, hi, lo));
    return planGsym({
      version,
      littleEndian,
      uuid,
      segments,
      layout,
      functions: this.#functions,
      settled,
      strings: this.strings,
      files: this.files,
    });
  }
}

/** Bytes from an address to the end of the executable segment with it; 0 if none has it. */
function codeAfter(segments: readonly Phdr[], addressHi: number, addressLo: number): number {
  const address = (BigInt(addressHi) << 32n) | BigInt(addressLo);
  for (const { p_flags, p_vaddr, p_memsz } of segments) {
    if ((p_flags & PF_X) !== 0 && address >= p_vaddr && address - p_vaddr < p_memsz) {
      return Number(p_memsz - (address - p_vaddr));
    }
  }
  return 0;
}
