// Owns the snapshot of the public surface: testdata/api.txt against what `deno doc` sees in mod.ts.
//   deno task api        rewrites the snapshot
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ENTRY = fileURLToPath(new URL("../mod.ts", import.meta.url));
const SNAPSHOT = new URL("../testdata/api.txt", import.meta.url);
/** `version` of the JSON that `deno doc` writes, as this file reads it. */
const DOC_VERSION = 2;

// The shapes of `deno doc --json`, as far as they are read here.
interface DocType {
  kind: string;
  value: unknown;
  repr?: string;
}
interface Param {
  kind: string;
  name?: string;
  optional?: boolean;
  tsType?: DocType;
  arg?: Param;
  left?: Param;
}
interface TypeParam {
  name: string;
  constraint?: DocType;
  default?: DocType;
}
interface Signature {
  params: Param[];
  typeParams?: TypeParam[];
  returnType?: DocType;
  tsType?: DocType;
  isAsync?: boolean;
  isGenerator?: boolean;
}
interface Member {
  name: string;
  kind?: string;
  accessibility?: string;
  isStatic?: boolean;
  isAbstract?: boolean;
  readonly?: boolean;
  optional?: boolean;
  tsType?: DocType;
  functionDef?: Signature;
}
interface Members {
  constructors?: (Signature & { accessibility?: string })[];
  properties?: Member[];
  methods?: (Member & Partial<Signature>)[];
  callSignatures?: Signature[];
  indexSignatures?: (Signature & { readonly?: boolean })[];
}
interface Definition extends Members, Partial<Signature> {
  kind?: string;
  isAbstract?: boolean;
  extends?: string | DocType[];
  superTypeParams?: DocType[];
  implements?: DocType[];
}
interface Doc {
  version: number;
  nodes: Record<string, { symbols: { name: string; declarations: { kind: string; def: Definition }[] }[] }>;
}

function typeParams(params: readonly TypeParam[] | undefined): string {
  if (params === undefined || params.length === 0) return "";
  const shown = params.map(({ name, constraint, default: fallback }) =>
    name + (constraint ? ` extends ${type(constraint)}` : "") + (fallback ? ` = ${type(fallback)}` : "")
  );
  return `<${shown.join(", ")}>`;
}

function param({ kind, name, optional, tsType, arg, left }: Param): string {
  if (kind === "rest") return `...${arg?.name}: ${type(tsType ?? arg?.tsType)}`;
  // A default value makes a parameter optional; the value itself is not part of the type.
  if (kind === "assign") return `${left?.name ?? "{}"}?: ${type(left?.tsType)}`;
  return `${name ?? "{}"}${optional ? "?" : ""}: ${type(tsType)}`;
}

function signature({ params, typeParams: generic, returnType, tsType }: Signature, arrow: string): string {
  return `${typeParams(generic)}(${params.map(param).join(", ")})${arrow}${type(returnType ?? tsType)}`;
}

/** A type as TypeScript. Kinds not spelled out here keep the short form that `deno doc` gives. */
function type(given: DocType | undefined): string {
  if (given === undefined) return "(inferred)";
  const { kind, repr } = given;
  // deno-lint-ignore no-explicit-any
  const value = given.value as any;
  switch (kind) {
    case "keyword":
      return value;
    case "this":
      return "this";
    case "typeRef":
      return value.typeName + (value.typeParams ? `<${value.typeParams.map(type).join(", ")}>` : "");
    case "union":
      return value.map(type).join(" | ");
    case "intersection":
      return value.map(type).join(" & ");
    case "array":
      return value.kind === "union" || value.kind === "fnOrConstructor" ? `(${type(value)})[]` : `${type(value)}[]`;
    case "tuple":
      return `[${value.map(type).join(", ")}]`;
    case "parenthesized":
      return `(${type(value)})`;
    case "typeOperator":
      return `${value.operator} ${type(value.tsType)}`;
    case "optional":
      return `${type(value)}?`;
    case "rest":
      return `...${type(value)}`;
    case "indexedAccess":
      return `${type(value.objType)}[${type(value.indexType)}]`;
    case "typeQuery":
      return `typeof ${value}`;
    case "fnOrConstructor":
      return `${value.constructor === true ? "new " : ""}${signature(value, " => ")}`;
    case "typeLiteral":
      return `{ ${members(value).join(" ")} }`;
    case "typePredicate":
      return `${value.asserts ? "asserts " : ""}${value.param.name ?? "this"}${
        value.type ? ` is ${type(value.type)}` : ""
      }`;
    case "literal":
      if (value.kind === "string") return JSON.stringify(value.string);
      if (value.kind === "template") {
        return `\`${
          value.tsTypes.map((part: DocType, i: number) =>
            i % 2 === 0 ? (part.value as { string: string }).string : `\${${type(part)}}`
          ).join("")
        }\``;
      }
      return `${value.number ?? value.boolean ?? value.bigInt ?? repr}`;
    default:
      return repr !== undefined && repr !== "" ? repr : `(${kind})`;
  }
}

function members(def: Members): string[] {
  const lines: string[] = [];
  for (const made of def.constructors ?? []) {
    if (made.accessibility !== "private") {
      lines.push(`new ${signature(made, made.returnType ? ": " : "").replace("(inferred)", "")};`);
    }
  }
  for (const call of def.callSignatures ?? []) lines.push(`${signature(call, ": ")};`);
  for (const { params, readonly, tsType } of def.indexSignatures ?? []) {
    lines.push(`${readonly ? "readonly " : ""}[${params.map(param).join(", ")}]: ${type(tsType)};`);
  }
  for (const member of [...(def.properties ?? []), ...(def.methods ?? [])]) {
    if (member.accessibility === "private") continue;
    const words = [
      member.accessibility === "protected" && "protected",
      member.isStatic && "static",
      member.isAbstract && "abstract",
      member.readonly && "readonly",
      member.kind === "getter" && "get",
      member.kind === "setter" && "set",
    ].filter(Boolean).map((word) => `${word} `).join("");
    const name = `${words}${member.name}${member.optional ? "?" : ""}`;
    const called = member.functionDef ?? ("params" in member ? member as Signature : undefined);
    lines.push(called === undefined ? `${name}: ${type(member.tsType)};` : `${name}${signature(called, ": ")};`);
  }
  return lines;
}

function declaration(name: string, kind: string, def: Definition): string {
  const generic = typeParams(def.typeParams);
  switch (kind) {
    case "function":
      return `${def.isAsync ? "async " : ""}function${def.isGenerator ? "*" : ""} ${name}${
        signature(def as Signature, ": ")
      };`;
    case "variable":
      return `${def.kind} ${name}: ${type(def.tsType)};`;
    case "typeAlias":
      // A long union gets a line for each alternative, so that a diff shows the one that changed.
      return `type ${name}${generic} = ${type(def.tsType)};`.replace(
        /^.{117,}$/,
        (line) => def.tsType?.kind === "union" ? line.replaceAll(" | ", "\n  | ") : line,
      );
    case "class":
    case "interface": {
      const parents = typeof def.extends === "string"
        ? [def.extends + (def.superTypeParams?.length ? `<${def.superTypeParams.map(type).join(", ")}>` : "")]
        : (def.extends ?? []).map(type);
      const heading = `${def.isAbstract ? "abstract " : ""}${kind} ${name}${generic}` +
        (parents.length > 0 ? ` extends ${parents.join(", ")}` : "") +
        (def.implements?.length ? ` implements ${def.implements.map(type).join(", ")}` : "");
      return [`${heading} {`, ...members(def).map((line) => `  ${line}`), "}"].join("\n");
    }
    default:
      return `${kind} ${name};`;
  }
}

/** The exports of the module at `path`, one declaration each, by name; `undefined` if `deno doc` speaks differently. */
function surfaceOf(path: string): string | undefined {
  const json = execFileSync(Deno.execPath(), ["doc", "--json", path], {
    encoding: "utf8",
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const doc: Doc = JSON.parse(json);
  if (doc.version !== DOC_VERSION) return undefined;
  const symbols = Object.values(doc.nodes).flatMap((node) => node.symbols);
  const lines = symbols.sort((a, b) => a.name < b.name ? -1 : 1)
    .map(({ name, declarations }) => declarations.map(({ kind, def }) => declaration(name, kind, def)).join("\n"));
  return `${lines.join("\n")}\n`;
}

/** Lines of one text that the other lacks, each with its declaration's first line; a whole diff would be pages. */
function changes(before: string, after: string): string[] {
  const linesOf = (text: string): string[] => {
    let heading = "";
    return text.split("\n").map((line) => {
      if (/^\w/.test(line)) heading = line;
      return !line.startsWith("  ") ? line : `${heading} … ${line.trim()}`;
    });
  };
  const [old, now] = [linesOf(before), linesOf(after)];
  const [had, has] = [new Set(old), new Set(now)];
  return [
    ...old.filter((line) => !has.has(line)).map((line) => `- ${line}`),
    ...now.filter((line) => !had.has(line)).map((line) => `+ ${line}`),
  ];
}

// Bun and Node run this file through tests/runtime.ts, whose Deno has tests and nothing else.
const isDeno = "version" in Deno;
const why = isDeno ? "" : " (skipped: needs `deno doc`)";

if (isDeno && import.meta.main) {
  const surface = surfaceOf(ENTRY);
  if (surface === undefined) throw new Error(`this Deno's \`deno doc --json\` is not version ${DOC_VERSION}`);
  writeFileSync(SNAPSHOT, surface);
  console.log(`testdata/api.txt: ${surface.split("\n").length - 1} lines`);
}

Deno.test({
  name: `the public surface is the one in testdata/api.txt${why}`,
  ignore: !isDeno,
  fn() {
    const surface = surfaceOf(ENTRY);
    if (surface === undefined) {
      console.log(`not compared: this Deno's \`deno doc --json\` is not version ${DOC_VERSION}`);
      return;
    }
    const snapshot = readFileSync(SNAPSHOT, "utf8");
    assertEquals(
      changes(snapshot, surface),
      [],
      "the public surface changed; if that is meant, run `deno task api` and commit testdata/api.txt",
    );
    assertEquals(surface, snapshot);
  },
});

Deno.test({
  name: `the surface shows kinds, members and signatures, and hides what is private${why}`,
  ignore: !isDeno,
  fn() {
    const directory = mkdtempSync(join(tmpdir(), "api-"));
    try {
      const path = join(directory, "a.ts");
      writeFileSync(
        path,
        `export const LIMIT = 20;
export type Id<T extends string = "x"> = { readonly a?: T; f(x: number): void } | readonly T[] | [number, \`v\${number}\`];
export interface Shape extends Other { size?: number; [key: string]: unknown }
export interface Other {}
export function read(bytes: Uint8Array, at: number = 0, ...rest: string[]): asserts bytes is Uint8Array<ArrayBuffer> {}
export class Box<T> extends Error { #a = 1; private b = 2; static of(): Box<number> { throw 1; }
  constructor(x: T, y?: () => void) { super(); } get length(): number { return 1; } }
`,
      );
      const surface = surfaceOf(path);
      if (surface === undefined) return;
      assertEquals(
        surface,
        `class Box<T> extends Error {
  new (x: T, y?: () => void);
  static of(): Box<number>;
  get length(): number;
}
type Id<T extends string = "x"> = { readonly a?: T; f(x: number): void; } | readonly T[] | [number, \`v\${number}\`];
const LIMIT: 20;
interface Other {
}
interface Shape extends Other {
  [key: string]: unknown;
  size?: number;
}
function read(bytes: Uint8Array, at?: number, ...rest: string[]): asserts bytes is Uint8Array<ArrayBuffer>;
`,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
});

Deno.test("testdata/api.txt holds one surface, sorted", () => {
  const text = readFileSync(SNAPSHOT, "utf8");
  assertStringIncludes(text, "const BPF_BUILD_ID_SIZE: 20;");
  const names = [...text.matchAll(/^(?:async |abstract )?(?:class|interface|type|const|function\*?) (\w+)/gm)].map((
    m,
  ) => m[1]);
  assert(names.length > 20);
  assertEquals(names, [...names].sort((a, b) => a < b ? -1 : a > b ? 1 : 0));
});
