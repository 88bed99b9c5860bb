// Owns the machine code of the target: a static x86-64 program, without libc, that makes whatever system calls it
// is told to. Written as bytes, so that the proof needs no compiler.

/** Where the target maps the file that it shares with the proof, and how much of it. */
export const SHARED_BASE = 0x1000_0000;
/** Bytes of the shared file. */
export const SHARED_SIZE = 0x80_0000;

/** Bytes of one entry of a batch: `nr, a1 … a6, rbp, gadget, result`, 8 bytes each. */
export const ENTRY_SIZE = 80;
/** Offset of the result in an entry. */
export const ENTRY_RESULT = 72;

const TEXT = 0x40_0000;
const NOTE_AT = 64 + 3 * 56; // behind the ELF header and three program headers
const NOTE = [
  4,
  0,
  0,
  0,
  20,
  0,
  0,
  0,
  3,
  0,
  0,
  0,
  0x47,
  0x4e,
  0x55,
  0,
  ...Array.from({ length: 20 }, (_, i) => 0xe0 + i),
];
const CODE_AT = NOTE_AT + NOTE.length;
const DATA = 0x60_0000; // 16 bytes for a request; anonymous memory

const O_RDWR = 2;
const PROT_READ_WRITE = 3;
/** Locked, for frames that are paged out end a stack. */
const MAP_SHARED_FIXED_LOCKED_POPULATE = 0xa011;

const PT_LOAD = 1;
const PT_NOTE = 4;

/** Machine code with labels for 8-bit and 32-bit displacements, and absolute addresses of 32 bits. */
class Code {
  readonly bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: { at: number; size: 1 | 4; label: string; absolute: boolean }[] = [];

  /** Instruction bytes as they are. */
  put(...bytes: number[]): this {
    this.bytes.push(...bytes);
    return this;
  }

  /** A 32-bit immediate. */
  imm32(value: number): this {
    return this.put(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
  }

  label(name: string): this {
    this.#labels.set(name, this.bytes.length);
    return this;
  }

  /** A displacement to a label, relative to the byte behind it. */
  rel(size: 1 | 4, label: string): this {
    this.#fixups.push({ at: this.bytes.length, size, label, absolute: false });
    return this.put(...new Array(size).fill(0));
  }

  /** The 32-bit address of a label. */
  abs(label: string): this {
    this.#fixups.push({ at: this.bytes.length, size: 4, label, absolute: true });
    return this.put(0, 0, 0, 0);
  }

  addressOf(label: string): number {
    return TEXT + CODE_AT + this.#labels.get(label)!;
  }

  resolved(): Uint8Array {
    const bytes = Uint8Array.from(this.bytes);
    const view = new DataView(bytes.buffer);
    for (const { at, size, label, absolute } of this.#fixups) {
      const target = this.#labels.get(label)!;
      if (absolute) view.setUint32(at, this.addressOf(label), true);
      else if (size === 1) view.setInt8(at, target - at - 1);
      else view.setInt32(at, target - at - 4, true);
    }
    return bytes;
  }
}

const SYSCALL = [0x0f, 0x05];
const JMP_R15 = [0x41, 0xff, 0xe7];

/** `syscall; jmp *%r15`: what an entry's gadget must be. */
export const GADGET: Uint8Array = Uint8Array.from([...SYSCALL, ...JMP_R15]);
/** `jmp *%r15`: what stands behind a `syscall` at the end of another mapping. */
export const GADGET_END: Uint8Array = Uint8Array.from(JMP_R15);

function assemble(): Code {
  const code = new Code();
  // The shared file, named at `path`, to SHARED_BASE.
  code.put(0xb8).imm32(2); // mov eax, open
  code.put(0xbf).abs("path"); // mov edi, path
  code.put(0xbe).imm32(O_RDWR); // mov esi
  code.put(0x31, 0xd2, ...SYSCALL); // xor edx, edx
  code.put(0x49, 0x89, 0xc0); // mov r8, rax
  code.put(0xb8).imm32(9); // mov eax, mmap
  code.put(0xbf).imm32(SHARED_BASE); // mov edi
  code.put(0xbe).imm32(SHARED_SIZE); // mov esi
  code.put(0xba).imm32(PROT_READ_WRITE); // mov edx
  code.put(0x41, 0xba).imm32(MAP_SHARED_FIXED_LOCKED_POPULATE); // mov r10d
  code.put(0x45, 0x31, 0xc9, ...SYSCALL); // xor r9d, r9d
  // A request: address and number of entries. Anything but 16 bytes, such as the end of the pipe, ends the program.
  code.label("request");
  code.put(0x31, 0xc0, 0x31, 0xff); // xor eax, eax; xor edi, edi
  code.put(0xbe).imm32(DATA); // mov esi
  code.put(0xba).imm32(16); // mov edx
  code.put(...SYSCALL);
  code.put(0x48, 0x83, 0xf8, 16); // cmp rax, 16
  code.put(0x75).rel(1, "exit"); // jne
  code.put(0x4c, 0x8b, 0x24, 0x25).imm32(DATA); // mov r12, [DATA]
  code.put(0x4c, 0x8b, 0x2c, 0x25).imm32(DATA + 8); // mov r13, [DATA + 8]
  code.label("entry");
  code.put(0x4d, 0x85, 0xed); // test r13, r13
  code.put(0x74).rel(1, "done"); // jz
  code.put(0x49, 0x8b, 0x04, 0x24); // mov rax, [r12]
  code.put(0x49, 0x8b, 0x7c, 0x24, 8); // mov rdi
  code.put(0x49, 0x8b, 0x74, 0x24, 16); // mov rsi
  code.put(0x49, 0x8b, 0x54, 0x24, 24); // mov rdx
  code.put(0x4d, 0x8b, 0x54, 0x24, 32); // mov r10
  code.put(0x4d, 0x8b, 0x44, 0x24, 40); // mov r8
  code.put(0x4d, 0x8b, 0x4c, 0x24, 48); // mov r9
  code.put(0x49, 0x8b, 0x6c, 0x24, 56); // mov rbp
  code.put(0x4d, 0x8b, 0x74, 0x24, 64); // mov r14
  code.put(0x41, 0xbf).abs("back"); // mov r15d
  code.put(0x41, 0xff, 0xe6); // jmp r14
  code.label("back");
  code.put(0x49, 0x89, 0x44, 0x24, ENTRY_RESULT); // mov [r12 + 72], rax
  code.put(0x49, 0x83, 0xc4, ENTRY_SIZE); // add r12, 80
  code.put(0x49, 0xff, 0xcd); // dec r13
  code.put(0xeb).rel(1, "entry"); // jmp
  code.label("done");
  code.put(0xb8).imm32(1); // mov eax, write
  code.put(0xbf).imm32(1); // mov edi
  code.put(0xbe).imm32(DATA); // mov esi
  code.put(0xba).imm32(1); // mov edx
  code.put(...SYSCALL);
  code.put(0xe9).rel(4, "request"); // jmp
  code.label("exit");
  code.put(0xb8).imm32(60).put(0x31, 0xff, ...SYSCALL);
  code.label("gadget").put(...GADGET);
  // Counts rdi down in user mode, which gives a clock's interrupt something to interrupt.
  code.label("spin");
  code.put(0x48, 0xff, 0xcf); // dec rdi
  code.put(0x75).rel(1, "spin"); // jnz
  code.put(0x31, 0xc0, ...JMP_R15); // xor eax, eax
  code.label("path");
  return code;
}

/** The target's file and the addresses inside it that a batch uses. */
export interface TargetProgram {
  bytes: Uint8Array;
  /** Address of `syscall; jmp *%r15`. */
  gadget: number;
  /** Address of a loop that counts its first argument down to zero. */
  spin: number;
}

/** The target's ELF file; it maps the file at `sharedPath` when it starts. */
export function targetProgram(sharedPath: string): TargetProgram {
  const code = assemble();
  const path = new TextEncoder().encode(`${sharedPath}\0`);
  const text = code.resolved();
  const bytes = new Uint8Array(CODE_AT + text.length + path.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(TEXT + CODE_AT), true);
  view.setBigUint64(32, BigInt(64), true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 3, true);
  bytes.set(text, CODE_AT);
  bytes.set(path, CODE_AT + text.length);
  bytes.set(NOTE, NOTE_AT);
  const phdr = (at: number, flags: number, vaddr: number, filesz: number, memsz: number) => {
    view.setUint32(at, PT_LOAD, true);
    view.setUint32(at + 4, flags, true);
    view.setBigUint64(at + 16, BigInt(vaddr), true);
    view.setBigUint64(at + 24, BigInt(vaddr), true);
    view.setBigUint64(at + 32, BigInt(filesz), true);
    view.setBigUint64(at + 40, BigInt(memsz), true);
    view.setBigUint64(at + 48, 4096n, true);
  };
  phdr(64, 5, TEXT, bytes.length, bytes.length);
  phdr(120, 6, DATA, 0, 4096);
  view.setUint32(176, PT_NOTE, true);
  view.setUint32(184, NOTE_AT, true);
  view.setUint32(208, NOTE.length, true);
  return { bytes, gadget: code.addressOf("gadget"), spin: code.addressOf("spin") };
}
