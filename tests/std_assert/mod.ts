// Owns what `@std/assert` means to this repository's tests: the real package wherever JSR answers, else stand_in.ts.
import * as standIn from "./stand_in.ts";

type Assertions = typeof standIn;

/** Milliseconds that JSR gets to answer; a network that accepts and stays silent must not hang the tests. */
const PATIENCE = 3000;
/** Set in the process once known, so that the next test file (a new isolate of one process) need not ask again. */
const MEMORY = "STACKMAP_STD_ASSERT";

// Not a literal at the import: Deno fetches those before it runs anything, and then no timeout could help.
const PACKAGE = "jsr:@std/assert@^1";

const env: { get(name: string): string | undefined; set(name: string, value: string): void } = {
  get(name) {
    try {
      return Deno.env.get(name);
    } catch { // no permission
      return undefined;
    }
  },
  set(name, value) {
    try {
      Deno.env.set(name, value);
    } catch { // no permission: each test file asks for itself
    }
  },
};

async function fromJsr(): Promise<Assertions> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE} ms`)), PATIENCE);
  });
  const asked: Promise<Assertions> = import(PACKAGE);
  asked.catch(() => {}); // a rejection after the timeout is nobody's problem
  try {
    return await Promise.race([asked, silence]);
  } finally {
    clearTimeout(timer);
  }
}

async function choose(): Promise<Assertions> {
  // Bun and Node have no jsr: imports; the preload that lets them run these files sets no Deno.version.
  if (Deno.version === undefined) return standIn;
  const known = env.get(MEMORY);
  if (known === "stand-in") return standIn;
  try {
    const real = await fromJsr();
    if (known === undefined) {
      console.log("Assertions: @std/assert from JSR");
      env.set(MEMORY, "jsr");
    }
    return real;
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split("\n", 1)[0];
    console.log(`Assertions: the stand-in over node:assert, because JSR can't be reached (${reason})`);
    env.set(MEMORY, "stand-in");
    return standIn;
  }
}

const chosen: Assertions = await choose();

/** Thrown by every assertion. */
export const AssertionError: Assertions["AssertionError"] = chosen.AssertionError;
export const assert: Assertions["assert"] = chosen.assert;
export const assertAlmostEquals: Assertions["assertAlmostEquals"] = chosen.assertAlmostEquals;
export const assertArrayIncludes: Assertions["assertArrayIncludes"] = chosen.assertArrayIncludes;
export const assertEquals: Assertions["assertEquals"] = chosen.assertEquals;
export const assertExists: Assertions["assertExists"] = chosen.assertExists;
export const assertFalse: Assertions["assertFalse"] = chosen.assertFalse;
export const assertGreater: Assertions["assertGreater"] = chosen.assertGreater;
export const assertGreaterOrEqual: Assertions["assertGreaterOrEqual"] = chosen.assertGreaterOrEqual;
export const assertInstanceOf: Assertions["assertInstanceOf"] = chosen.assertInstanceOf;
export const assertIsError: Assertions["assertIsError"] = chosen.assertIsError;
export const assertLess: Assertions["assertLess"] = chosen.assertLess;
export const assertLessOrEqual: Assertions["assertLessOrEqual"] = chosen.assertLessOrEqual;
export const assertMatch: Assertions["assertMatch"] = chosen.assertMatch;
export const assertNotEquals: Assertions["assertNotEquals"] = chosen.assertNotEquals;
export const assertNotMatch: Assertions["assertNotMatch"] = chosen.assertNotMatch;
export const assertNotStrictEquals: Assertions["assertNotStrictEquals"] = chosen.assertNotStrictEquals;
export const assertObjectMatch: Assertions["assertObjectMatch"] = chosen.assertObjectMatch;
export const assertRejects: Assertions["assertRejects"] = chosen.assertRejects;
export const assertStrictEquals: Assertions["assertStrictEquals"] = chosen.assertStrictEquals;
export const assertStringIncludes: Assertions["assertStringIncludes"] = chosen.assertStringIncludes;
export const assertThrows: Assertions["assertThrows"] = chosen.assertThrows;
export const fail: Assertions["fail"] = chosen.fail;
export const unreachable: Assertions["unreachable"] = chosen.unreachable;
