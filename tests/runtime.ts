// Owns how Bun and Node run the test files written for `deno test`: a preload that supplies Deno.test.
//   bun test --preload ./tests/runtime.ts
//   node --import ./tests/runtime.ts --test 'tests/**/*_test.ts'        (Node 24 or later, which strips types)

/** What a test function is given; the part of Deno.TestContext that the tests use. */
interface TestContext {
  name: string;
  step(name: string, fn: (t: TestContext) => void | Promise<void>): Promise<boolean>;
}

type TestFunction = (t: TestContext) => void | Promise<void>;

interface TestDefinition {
  name: string;
  ignore?: boolean;
  fn: TestFunction;
}

type Register = (name: string, ignore: boolean, fn: () => void | Promise<void>) => void;

/** Milliseconds for one test: Bun's own limit of five seconds is too short for 100,000 mutations. */
const TIMEOUT = 300_000;

// Steps run where they stand, without a place in the report: neither Bun's node:test nor bun:test can nest them.
function context(name: string): TestContext {
  return {
    name,
    async step(step, fn) {
      try {
        await fn(context(step));
      } catch (error) {
        if (error instanceof Error) error.message = `${step}: ${error.message}`;
        throw error;
      }
      return true;
    },
  };
}

async function bunRegister(): Promise<Register> {
  const specifier = "bun:test"; // not a literal: only Bun knows it
  const { test } = await import(specifier);
  return (name, ignore, fn) => ignore ? test.skip(name, fn) : test(name, fn, TIMEOUT);
}

async function nodeRegister(): Promise<Register> {
  const { registerHooks } = await import("node:module");
  const aliases: Record<string, string> = {
    "@std/assert": new URL("./std_assert/mod.ts", import.meta.url).href,
    "@bpf/stackmap": new URL("../mod.ts", import.meta.url).href,
  };
  registerHooks({
    resolve(specifier, hookContext, nextResolve) {
      return nextResolve(aliases[specifier] ?? specifier, hookContext);
    },
  });
  const { test } = await import("node:test");
  return (name, ignore, fn) => void test(name, { skip: ignore, timeout: TIMEOUT }, fn);
}

if (!("Deno" in globalThis)) {
  const register = "Bun" in globalThis ? await bunRegister() : await nodeRegister();
  // Deno.test(name, fn), Deno.test(name, { ignore }, fn) and Deno.test({ name, ignore, fn }).
  const test = (...given: (string | Partial<TestDefinition> | TestFunction)[]): void => {
    const definition: Partial<TestDefinition> = {};
    for (const part of given) {
      if (typeof part === "string") definition.name = part;
      else if (typeof part === "function") definition.fn = part;
      else Object.assign(definition, part);
    }
    const { name, ignore = false, fn } = definition;
    if (name === undefined || fn === undefined) throw new TypeError("Deno.test() needs a name and a function");
    register(name, ignore, () => fn(context(name)));
  };
  Object.assign(globalThis, { Deno: { test } });
}
