// Owns answers as text: JSON and folded stacks, made piece by piece, and pieces as the body of a response.
import { toHex } from "../base/bytes.ts";
import { cutName, jsonText, MOST_NAME } from "../base/plain_text.ts";
import { buildIdAt, cameName, emptyName, STACK_STATUS_OTHER } from "../dump/columns.ts";
import { foldedName } from "../profile/folded.ts";
import type { DistinctFrames } from "../profile/pprof_frames.ts";
import type { BinaryProblem } from "../store/binary_loader.ts";
import type { IndexedBinary } from "../symbolize/binary.ts";
import type { SymbolizedColumns } from "../symbolize/symbolized_columns.ts";
import type { RequestStacks } from "./request_stacks.ts";

/** What an answer is made of. */
export interface Answer {
  stacks: RequestStacks;
  /** The distinct frames of the stacks, */
  distinct: DistinctFrames;
  /** and what they are, by their number. */
  symbolized: SymbolizedColumns;
  problems: readonly BinaryProblem[];
  binaries: readonly IndexedBinary[];
  demangle: boolean;
}

/** Characters of a piece: what is made at a time, and waits for whoever reads slowly. */
const PIECE = 1 << 16;
/**
 * Characters of names that came with the stacks, as often as frames repeat them, and the length to which they are
 * cut once that many were written: a recording names any number of frames with one line of text.
 */
const MOST_CAME = 1 << 24;
const SHORT_NAME = 256;

function hex64(hi: number, lo: number): string {
  return hi === 0 ? `0x${lo.toString(16)}` : `0x${hi.toString(16)}${lo.toString(16).padStart(8, "0")}`;
}

/**
 * The last part of a path or URL, of one with `#/` that of what follows: what the debuginfod server called the file.
 * `undefined` where that names no program: those of stores mostly do not.
 */
export function baseName(name: string = ""): string | undefined {
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(name);
  const path = isUrl && name.includes("#/")
    ? name.slice(name.indexOf("#/"))
    : isUrl
    ? name.replace(/[?#].*$/s, "")
    : name;
  const base = path.replace(/^.*[\\/]/s, "");
  const ofStore = /^(?:|executable|debuginfo|gsym|[0-9a-f]{8,}(?:\.\w+)?)$/i;
  return ofStore.test(base) ? undefined : base;
}

/** What a program or library is called: by the first of its files whose name tells. */
export function moduleName({ name, files }: IndexedBinary): string | undefined {
  for (const file of [name, ...files.slice(0, 8)]) {
    const base = baseName(file);
    if (base !== undefined) return base;
  }
  return undefined;
}

/** Characters of names, and of what is made of them, that are remembered at a time. */
const MOST_REMEMBERED = 1 << 22;

/** Frames of an answer, each made into text once. */
class Frames {
  readonly #answer: Answer;
  readonly #modules = new Map<number, string>();
  /** Members of JSON objects by function's linkage name, and by path. */
  readonly #functions = new Map<string, string>();
  readonly #files = new Map<string, string>();
  /** The same by name that came with the stacks. */
  readonly #came = new Map<string, string>();
  #cameLeft = MOST_CAME;
  #left = MOST_REMEMBERED;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  name(row: number): string | undefined {
    const { symbolized, demangle } = this.#answer;
    return demangle ? symbolized.demangled(row) : symbolized.name(row);
  }

  /** The members that all functions of one address share: where it is. */
  place(frame: number): string {
    const { stacks: { columns }, distinct, symbolized: { resolved } } = this.#answer;
    const row = distinct.row[frame];
    const offset = hex64(columns.offsetHi[row], columns.offsetLo[row]);
    const id = columns.idIndex[row];
    if (id < 0) return `"ip":"${offset}"`;
    let place = `${this.#module(id, resolved.binary[frame])},"offset":"${offset}"`;
    const hi = resolved.addressHi[frame], lo = resolved.addressLo[frame];
    if (hi !== 0 || lo !== 0) place += `,"address":"${hex64(hi, lo)}"`;
    if (columns.status[row] === STACK_STATUS_OTHER) place += `,"status":${columns.otherStatus.get(row)}`;
    return place;
  }

  #module(id: number, index: number): string {
    let text = this.#modules.get(id);
    if (text === undefined) {
      const binary = this.#answer.binaries[index];
      const module = binary && moduleName(binary);
      text = `"buildId":"${toHex(binary?.buildId ?? buildIdAt(this.#answer.stacks.columns, id))}"`;
      if (module !== undefined) text = `"module":${jsonText(cutName(module, MOST_NAME))},${text}`;
      this.#modules.set(id, text);
    }
    return text;
  }

  /** A frame as JSON objects, innermost first, with commas between. */
  json(frame: number): string {
    const { symbolized } = this.#answer;
    const place = this.place(frame);
    const depth = symbolized.depth[frame];
    if (depth === 0) {
      const came = cameName(this.#answer.stacks.columns, this.#answer.distinct.row[frame]);
      if (came !== undefined) return `{${this.#named(came)}${place}}`;
      return `{${place},"reason":"${symbolized.reason(frame) ?? "no-symbol-here"}"}`;
    }
    let text = "";
    for (let k = 0; k < depth; k++) {
      const r = symbolized.first[frame] + k;
      text += k === 0 ? "{" : ",{";
      const linkageName = symbolized.name(r);
      const file = symbolized.file(r);
      const line = symbolized.line(r) ?? 0;
      const column = symbolized.column(r) ?? 0;
      if (linkageName !== undefined) {
        text += this.#functions.get(linkageName) ?? this.#remember(this.#functions, linkageName, this.#function(r));
      }
      if (file !== undefined) {
        text += this.#files.get(file) ??
          this.#remember(this.#files, file, `"file":${jsonText(cutName(file, MOST_NAME))},`);
      }
      if (line > 0) text += `"line":${line},`;
      if (column > 0) text += `"column":${column},`;
      if (symbolized.inlined(r)) text += `"inlined":true,`;
      text += `${place}}`;
    }
    return text;
  }

  /** The member that tells a name that came with the stacks. */
  #named(came: string): string {
    const isOver = this.#cameLeft < 0;
    const text = this.#came.get(came) ??
      this.#remember(this.#came, came, `"function":${jsonText(cutName(came, isOver ? SHORT_NAME : MOST_NAME))},`);
    this.#cameLeft -= text.length;
    if (!isOver && this.#cameLeft < 0) this.#came.clear();
    return text;
  }

  /** The members that tell a function's name. */
  #function(row: number): string {
    const name = this.name(row)!;
    const linkageName = this.#answer.symbolized.name(row)!;
    const text = `"function":${jsonText(cutName(name, MOST_NAME))},`;
    if (linkageName === name) return text;
    return `${text}"linkageName":${jsonText(cutName(linkageName, MOST_NAME))},`;
  }

  /** Keeps a text for the next frame with that name; hostile files can have any number of long ones. */
  #remember(texts: Map<string, string>, name: string, text: string): string {
    this.#left -= name.length + text.length;
    if (this.#left < 0) {
      this.#functions.clear();
      this.#files.clear();
      this.#came.clear();
      this.#left = MOST_REMEMBERED;
    }
    texts.set(name, text);
    return text;
  }

  /** What a function is called in a folded stack. */
  label(row: number): string {
    return foldedName(this.name(row) || "[unknown]");
  }

  /** What a frame is called there that has no function: the same as frameFallbackName() says. */
  fallbackLabel(frame: number): string {
    const { stacks: { columns }, distinct } = this.#answer;
    const row = distinct.row[frame];
    const came = cameName(columns, row);
    if (came !== undefined) return foldedName(came);
    const offset = hex64(columns.offsetHi[row], columns.offsetLo[row]);
    if (columns.idIndex[row] < 0) return `${offset} [ip]`;
    const id = toHex(buildIdAt(columns, columns.idIndex[row]).subarray(0, 4));
    const other = columns.status[row] === STACK_STATUS_OTHER ? ` status ${columns.otherStatus.get(row)}` : "";
    return `${id}+${offset} [unknown${other}]`;
  }
}

/** Labels by number, and the numbers of each stack's labels. */
class Labels {
  readonly labels: string[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #frames: Frames;
  readonly #answer: Answer;
  /** Number + 1 of the label of each row that was symbolized, and of each frame that was not. */
  readonly #ofRow: Uint32Array;
  readonly #ofFrame: Uint32Array;
  /** Number + 1 of the label of each name that came with the stacks. */
  readonly #ofName: number[] = [];

  constructor(answer: Answer) {
    this.#answer = answer;
    this.#frames = new Frames(answer);
    this.#ofRow = new Uint32Array(answer.symbolized.length);
    this.#ofFrame = new Uint32Array(answer.distinct.row.length);
  }

  #number(label: string): number {
    let number = this.#numbers.get(label);
    if (number === undefined) {
      number = this.labels.push(label);
      this.#numbers.set(label, number);
    }
    return number;
  }

  /** Number + 1 of the label of a frame that has no function. */
  #fallback(frame: number): number {
    const { stacks: { columns }, distinct } = this.#answer;
    if (cameName(columns, distinct.row[frame]) === undefined) {
      return this.#number(this.#frames.fallbackLabel(frame));
    }
    return this.#ofName[columns.nameIndex![distinct.row[frame]]] ??= this.#number(
      this.#frames.fallbackLabel(frame),
    );
  }

  /** Calls `use` with the number of each label of a stack, outermost first: that of its process, then its frames'. */
  each(s: number, use: (number: number) => void): void {
    const { stacks: { columns, processOf }, distinct: { frame }, symbolized } = this.#answer;
    const { first } = columns;
    const comm = processOf?.(s)?.comm;
    if (comm !== undefined) use(this.#number(foldedName(comm)) - 1);
    if (first[s] === first[s + 1]) use(this.#number(foldedName(emptyName(columns, s))) - 1);
    for (let r = first[s + 1] - 1; r >= first[s]; r--) {
      const f = frame[r];
      const depth = symbolized.depth[f];
      if (depth === 0) use((this.#ofFrame[f] ||= this.#fallback(f)) - 1);
      for (let k = symbolized.first[f] + depth - 1; k >= symbolized.first[f]; k--) {
        use((this.#ofRow[k] ||= this.#number(this.#frames.label(k))) - 1);
      }
    }
  }
}

/** The count of each stack; of an id that is there twice the last stack counts, and of ids without a stack. */
function weights({ columns: { ids }, counts }: RequestStacks): {
  count: (s: number) => number;
  missing: [id: number, count: number][];
} {
  if (counts === undefined) return { count: () => 1, missing: [] };
  const last = new Map<number, number>();
  ids.forEach((id, s) => last.set(id, s));
  return {
    count: (s) => last.get(ids[s]) === s ? counts.get(ids[s]) ?? 0 : 0,
    missing: [...counts].filter(([id]) => !last.has(id)),
  };
}

/** The answer as JSON, in pieces; docs/handler.md has its shape. */
export function* jsonPieces(answer: Answer): Generator<string> {
  const { stacks, distinct: { frame, row }, symbolized, problems } = answer;
  const { columns } = stacks;
  const frames = new Frames(answer);
  let piece = '{"frames":[';
  // For each distinct frame the numbers of its functions, as text.
  const numbers: string[] = [];
  let next = 0;
  for (let i = 0; i < row.length; i++) {
    piece += (i === 0 ? "\n" : ",\n") + frames.json(i);
    let list = `${next++}`;
    for (let k = symbolized.depth[i]; k > 1; k--) list += `,${next++}`;
    numbers.push(list);
    if (piece.length >= PIECE) {
      yield piece;
      piece = "";
    }
  }
  piece += '],\n"stacks":[';
  const { count, missing } = weights(stacks);
  // Names of processes, each once, however many stacks it has.
  const comms = new Map<number, string>();
  for (let s = 0; s < columns.ids.length; s++) {
    piece += `${s === 0 ? "\n" : ",\n"}{"id":${columns.ids[s]},`;
    if (stacks.counts !== undefined) piece += `"count":${count(s)},`;
    const its = stacks.processOf?.(s);
    if (its !== undefined) {
      piece += `"pid":${its.pid},`;
      if (its.comm !== undefined) comms.set(its.pid, its.comm);
    }
    const isNamed = columns.emptyIndex !== undefined && columns.emptyIndex[s] >= 0;
    if (isNamed && columns.first[s] === columns.first[s + 1]) piece += `"name":${jsonText(emptyName(columns, s))},`;
    piece += '"frames":[';
    for (let r = columns.first[s]; r < columns.first[s + 1]; r++) {
      piece += r === columns.first[s] ? numbers[frame[r]] : "," + numbers[frame[r]];
    }
    piece += "]}";
    if (piece.length >= PIECE) {
      yield piece;
      piece = "";
    }
  }
  if (stacks.processOf !== undefined) {
    piece += '],\n"processes":[';
    let separator = "\n";
    for (const [pid, comm] of comms) {
      piece += `${separator}{"pid":${pid},"comm":${jsonText(comm)}}`;
      separator = ",\n";
      if (piece.length >= PIECE) {
        yield piece;
        piece = "";
      }
    }
  }
  piece += '],\n"missing":[';
  for (let i = 0; i < missing.length; i++) {
    piece += `${i === 0 ? "\n" : ",\n"}{"id":${missing[i][0]},"count":${missing[i][1]}}`;
    if (piece.length >= PIECE) {
      yield piece;
      piece = "";
    }
  }
  const told = problems.map(({ buildId, reason, message }) =>
    `\n{"buildId":"${toHex(buildId)}","reason":"${reason}","message":${jsonText(cutName(message, MOST_NAME))}}`
  );
  yield `${piece}],\n"problems":[${told.join()}]}\n`;
}

/** A character for a number below 1,000,000: none that is half of another. */
function character(number: number): string {
  return String.fromCodePoint(number < 0xd800 ? number : number + 0x800);
}

/** The answer as folded stacks, in pieces: a line for each distinct stack of names, in order of appearance. */
export function* foldedPieces(answer: Answer): Generator<string> {
  const { stacks } = answer;
  const { columns } = stacks;
  const labels = new Labels(answer);
  // Stacks are told apart by numbers: as text they could be far larger than all that came in.
  const totals = new Map<string, { stack: number; count: number }>();
  const { count, missing } = weights(stacks);
  for (let s = 0; s < columns.ids.length; s++) {
    const occurred = count(s);
    if (stacks.counts !== undefined && occurred === 0) continue;
    let key = "";
    labels.each(s, (number) => key += character(number));
    const total = totals.get(key);
    if (total === undefined) totals.set(key, { stack: s, count: occurred });
    else total.count += occurred;
  }
  let piece = "";
  for (const { stack, count } of totals.values()) {
    // One stack may be far more than a piece.
    const numbers: number[] = [];
    labels.each(stack, (number) => numbers.push(number));
    for (let i = 0; i < numbers.length; i++) {
      piece += (i === 0 ? "" : ";") + labels.labels[numbers[i]];
      if (piece.length >= PIECE) {
        yield piece;
        piece = "";
      }
    }
    piece += ` ${count}\n`;
  }
  for (const [id, count] of missing) piece += `[missing stack ${id}] ${count}\n`;
  yield piece;
}

/**
 * Pieces of text as the body of a response: bytes where there is one piece, a stream that makes the next piece when
 * the one before was taken where there are more.
 *
 * @param sent Told of the bytes of each piece.
 */
export function textBody(
  pieces: Iterator<string>,
  sent: (bytes: number) => void,
): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let next = pieces.next();
  const take = (): Uint8Array<ArrayBuffer> => {
    const bytes = encoder.encode(next.value);
    next = pieces.next();
    sent(bytes.length);
    return bytes;
  };
  const first = take();
  if (next.done === true) return first;
  let waiting: Uint8Array<ArrayBuffer> | undefined = first;
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(waiting ?? take());
      waiting = undefined;
      if (next.done === true) controller.close();
    },
    cancel() {
      pieces.return?.();
    },
  }, { highWaterMark: 0 });
}
