// Owns the operators of mangled C++ names: their two letters, how they are written, and what stands around them.

/** How an operator's operands follow in an expression. */
export const BINARY = 0;
export const PREFIX = 1;
/** `++` and `--`: on the left with `_` behind the letters, else on the right. */
export const STEP = 2;
/** `.`, `->`, `.*`. */
export const MEMBER = 3;
/** `new`, `delete`, calls and the like, which have rules of their own. */
export const OTHER = 4;

/** An operator. */
export interface Operator {
  /** What stands between operands. */
  readonly sign: string;
  readonly form: number;
  /** The function's name. */
  readonly name: string;
}

const TABLE: readonly (readonly [letters: string, form: number, sign: string])[] = [
  ["aa", BINARY, "&&"],
  ["ad", PREFIX, "&"],
  ["an", BINARY, "&"],
  ["aN", BINARY, "&="],
  ["aS", BINARY, "="],
  ["aw", OTHER, " co_await"],
  ["cl", OTHER, "()"],
  ["cm", BINARY, ","],
  ["co", PREFIX, "~"],
  ["da", OTHER, " delete[]"],
  ["de", PREFIX, "*"],
  ["dl", OTHER, " delete"],
  ["ds", MEMBER, ".*"],
  ["dt", MEMBER, "."],
  ["dv", BINARY, "/"],
  ["dV", BINARY, "/="],
  ["eo", BINARY, "^"],
  ["eO", BINARY, "^="],
  ["eq", BINARY, "=="],
  ["ge", BINARY, ">="],
  ["gt", BINARY, ">"],
  ["ix", OTHER, "[]"],
  ["le", BINARY, "<="],
  ["ls", BINARY, "<<"],
  ["lS", BINARY, "<<="],
  ["lt", BINARY, "<"],
  ["mi", BINARY, "-"],
  ["mI", BINARY, "-="],
  ["ml", BINARY, "*"],
  ["mL", BINARY, "*="],
  ["mm", STEP, "--"],
  ["na", OTHER, " new[]"],
  ["ne", BINARY, "!="],
  ["ng", PREFIX, "-"],
  ["nt", PREFIX, "!"],
  ["nw", OTHER, " new"],
  ["oo", BINARY, "||"],
  ["or", BINARY, "|"],
  ["oR", BINARY, "|="],
  ["pl", BINARY, "+"],
  ["pL", BINARY, "+="],
  ["pm", BINARY, "->*"],
  ["pp", STEP, "++"],
  ["ps", PREFIX, "+"],
  ["pt", MEMBER, "->"],
  ["qu", OTHER, "?"],
  ["rm", BINARY, "%"],
  ["rM", BINARY, "%="],
  ["rs", BINARY, ">>"],
  ["rS", BINARY, ">>="],
  ["ss", BINARY, "<=>"],
];

/** Operators by their letters, as `letters(first, second)`. */
const OPERATORS: (Operator | undefined)[] = [];
for (const [pair, form, sign] of TABLE) {
  OPERATORS[letters(pair.charCodeAt(0), pair.charCodeAt(1))] = {
    sign: sign.trimStart(),
    form,
    name: `operator${sign}`,
  };
}

function letters(first: number, second: number): number {
  return ((first & 31) << 6) | (second & 63);
}

/** The operator whose two letters have these codes. The first is always a small letter. */
export function operatorOf(first: number, second: number): Operator | undefined {
  if (first < 0x61 || first > 0x7a || second < 0x41 || second > 0x7a) return undefined;
  return OPERATORS[letters(first, second)];
}
