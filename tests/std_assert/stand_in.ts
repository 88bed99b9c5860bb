// Owns the stand-in for @std/assert where JSR can't be reached: the same names and meaning, over node:assert.
import nodeAssert, { AssertionError } from "node:assert";
import { inspect } from "node:util";

export { AssertionError };

/** Any class, for `assertThrows` and `assertInstanceOf`; constructors may be private or abstract. */
// deno-lint-ignore no-explicit-any
export type Class<T = Error> = abstract new (...args: any[]) => T;

/** `assertArrayIncludes` takes strings, arrays and typed arrays. */
export interface ArrayLikeOf<T> {
  readonly length: number;
  readonly [index: number]: T;
}

function because(message: string, given: string | undefined): AssertionError {
  return new AssertionError({ message: given === undefined ? `${message}.` : `${message}: ${given}` });
}

function show(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : inspect(value, { depth: 6, maxArrayLength: 64 });
  return text.length > 4000 ? `${text.slice(0, 4000)}…` : text;
}

// node:assert walks typed arrays and long arrays element by element with boxed values; equal bytes need no walk.
function sameBytes(a: unknown, b: unknown): boolean {
  if (!(a instanceof Uint8Array && b instanceof Uint8Array) || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function deepEqual(actual: unknown, expected: unknown): boolean {
  if (Object.is(actual, expected) || actual === expected || sameBytes(actual, expected)) return true;
  try {
    nodeAssert.deepStrictEqual(actual, expected);
    return true;
  } catch (error) {
    if (error instanceof AssertionError) return false;
    throw error;
  }
}

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg: string = ""): asserts expr {
  if (!expr) throw new AssertionError({ message: msg });
}

/** Fails unless `expr` is falsy. */
export function assertFalse(expr: unknown, msg: string = ""): void {
  if (expr) throw new AssertionError({ message: msg });
}

/** Fails unless both are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (deepEqual(actual, expected)) return;
  throw because(`Values are not equal\n  actual:   ${show(actual)}\n  expected: ${show(expected)}\n`, msg);
}

/** Fails if both are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (deepEqual(actual, expected)) throw because(`Expected actual: ${show(actual)} not to be equal`, msg);
}

/** Fails unless both are the same value, by `Object.is`. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (!Object.is(actual, expected)) {
    throw because(
      `Values are not strictly equal\n  actual:   ${show(actual)}\n  expected: ${show(expected)}\n`,
      msg,
    );
  }
}

/** Fails if both are the same value, by `Object.is`. */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void {
  if (Object.is(actual, expected)) throw because(`Values are strictly equal: ${show(actual)}`, msg);
}

/** Fails unless the numbers differ by at most `tolerance` (1e-7 of `expected` by default). */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const difference = Math.abs(expected - actual);
  if (!(difference <= allowed)) {
    throw because(`Expected actual: ${actual} to be close to ${expected}: delta ${difference} > ${allowed}`, msg);
  }
}

/** Fails for `null` and `undefined`. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) throw because(`Expected actual: ${actual} to exist`, msg);
}

/** Fails unless `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) throw because(`Expect ${show(actual)} > ${show(expected)}`, msg);
}

/** Fails unless `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) throw because(`Expect ${show(actual)} >= ${show(expected)}`, msg);
}

/** Fails unless `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) throw because(`Expect ${show(actual)} < ${show(expected)}`, msg);
}

/** Fails unless `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) throw because(`Expect ${show(actual)} <= ${show(expected)}`, msg);
}

/** Fails unless `actual` is an instance of `expectedType`. */
export function assertInstanceOf<T extends Class<unknown>>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is InstanceType<T> {
  if (!(actual instanceof expectedType)) {
    throw because(`Expected object to be an instance of "${expectedType.name}" but was ${show(actual)}`, msg);
  }
}

/** Fails unless the text matches. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) throw because(`Expected actual: ${show(actual)} to match: ${expected}`, msg);
}

/** Fails if the text matches. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) throw because(`Expected actual: ${show(actual)} to not match: ${expected}`, msg);
}

/** Fails unless the text contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) {
    throw because(`Expected actual: ${show(actual)} to contain: ${show(expected)}`, msg);
  }
}

/** Fails unless `actual` contains every element of `expected`. */
export function assertArrayIncludes<T>(actual: ArrayLikeOf<T>, expected: ArrayLikeOf<T>, msg?: string): void {
  const missing = Array.from(expected).filter((item) => !Array.from(actual).some((have) => deepEqual(have, item)));
  if (missing.length > 0) {
    throw because(`Expected actual: ${show(actual)} to include missing: ${show(missing)}`, msg);
  }
}

/** Fails unless `actual` has at least what `expected` has. */
export function assertObjectMatch(
  actual: Record<PropertyKey, unknown>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  const matches = (have: unknown, want: unknown): boolean => {
    if (typeof want !== "object" || want === null || ArrayBuffer.isView(want)) return deepEqual(have, want);
    if (typeof have !== "object" || have === null) return false;
    return Reflect.ownKeys(want).every((key) => matches(Reflect.get(have, key), Reflect.get(want, key)));
  };
  if (!matches(actual, expected)) {
    throw because(`Object does not match\n  actual:   ${show(actual)}\n  expected: ${show(expected)}\n`, msg);
  }
}

/** Fails if `error` is not an `ErrorClass`, or its message lacks `msgIncludes`. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: Class<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) {
    throw because(`Expected "error" to be an Error object but was ${show(error)}`, msg);
  }
  if (ErrorClass !== undefined && !(error instanceof ErrorClass)) {
    throw because(
      `Expected error to be instance of "${ErrorClass.name}", but was "${error.constructor.name}": ${error.message}`,
      msg,
    );
  }
  const found = msgMatches === undefined ||
    (typeof msgMatches === "string" ? error.message.includes(msgMatches) : msgMatches.test(error.message));
  if (!found) throw because(`Expected error message to include ${msgMatches}, but got ${show(error.message)}`, msg);
}

/** Fails unless `fn` throws; returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Fails unless `fn` throws an `ErrorClass` whose message includes `msgIncludes`; returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  classOrMessage?: Class<Error> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const ErrorClass = typeof classOrMessage === "string" ? undefined : classOrMessage;
  const suffix = typeof classOrMessage === "string" ? classOrMessage : msg;
  let thrown: unknown;
  try {
    fn();
  } catch (error) {
    thrown = error;
    if (ErrorClass !== undefined) assertIsError(thrown, ErrorClass, msgIncludes, suffix);
    return thrown;
  }
  throw because("Expected function to throw", suffix);
}

/** Fails unless the promise that `fn` returns is rejected; gives what it was rejected with. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Fails unless `fn` rejects with an `ErrorClass` whose message includes `msgIncludes`; gives the error. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  classOrMessage?: Class<Error> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const ErrorClass = typeof classOrMessage === "string" ? undefined : classOrMessage;
  const suffix = typeof classOrMessage === "string" ? classOrMessage : msg;
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (error) {
    throw because(`Function threw when expected to reject: ${show(error)}`, suffix);
  }
  try {
    await promise;
  } catch (error) {
    if (ErrorClass !== undefined) assertIsError(error, ErrorClass, msgIncludes, suffix);
    return error;
  }
  throw because("Expected function to reject", suffix);
}

/** Fails. */
export function fail(msg?: string): never {
  throw because("Failed assertion", msg);
}

/** Fails: this line should never run. */
export function unreachable(reason?: string): never {
  throw because("Unreachable", reason);
}
