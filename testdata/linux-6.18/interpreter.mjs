// A small Lisp on Node.js, as a program that a recording is of: it evaluates a program that walks through files.
// Warmed up, its functions are compiled; then it waits for a byte, runs once more, and waits for another.
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

const SOURCE = `
(define (size name) (let ((file (open name))) (let ((bytes (length file))) (begin (close file) bytes))))
(define (sum list) (if (empty list) 0 (+ (exists (first list)) (sum (rest list)))))
(define (total list) (fold (lambda (all name) (+ all (size name))) 0 list))
(define (smaller a b) (< (exists a) (exists b)))
(define (count text n) (if (= n 0) (words text) (count text (- n 1))))
(define (deep n list) (if (= n 0) (sum list) (+ 1 (deep (- n 1) list))))
(define (main list)
  (begin (sum list) (total list) (sort smaller list) (each (lambda (n) (deep n list)) (numbers 20))
    (each (lambda (name) (count name 2)) list)))
`;

/** Text to nested arrays of numbers and names. */
function parse(text) {
  const tokens = text.match(/[()]|[^\s()]+/g);
  let at = 0;
  const read = () => {
    const token = tokens[at++];
    if (token !== "(") return /^[0-9]/.test(token) ? Number(token) : token;
    const list = [];
    while (tokens[at] !== ")") list.push(read());
    at++;
    return list;
  };
  const all = [];
  while (at < tokens.length) all.push(read());
  return all;
}

/** Names and their values, and the scope around it. */
class Scope {
  constructor(names, values, outer) {
    this.values = new Map(names.map((name, i) => [name, values[i]]));
    this.outer = outer;
  }

  get(name) {
    return this.values.has(name) ? this.values.get(name) : this.outer.get(name);
  }
}

function evaluate(form, scope) {
  if (typeof form === "number") return form;
  if (typeof form === "string") return scope.get(form);
  const [head, ...tail] = form;
  const special = typeof head === "string" ? SPECIAL[head] : undefined;
  if (special !== undefined) return special(tail, scope);
  const callee = evaluate(head, scope);
  return callee(...tail.map((each) => evaluate(each, scope)));
}

const SPECIAL = {
  if: ([condition, yes, no], scope) => evaluate(evaluate(condition, scope) ? yes : no, scope),
  begin: (forms, scope) => forms.reduce((_, form) => evaluate(form, scope), 0),
  lambda: ([names, body], scope) => (...values) => evaluate(body, new Scope(names, values, scope)),
  let: ([[[name, form]], body], scope) => evaluate(body, new Scope([name], [evaluate(form, scope)], scope)),
  define: ([[name, ...names], body], scope) => void scope.values.set(name, SPECIAL.lambda([names, body], scope)),
};

const bytes = new Uint8Array(512);
const decoder = new TextDecoder();

const GLOBAL = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "<": (a, b) => a < b,
  "=": (a, b) => a === b,
  empty: (list) => list.length === 0,
  first: (list) => list[0],
  rest: (list) => list.slice(1),
  fold: (callee, start, list) => list.reduce((all, each) => callee(all, each), start),
  each: (callee, list) => list.forEach((value) => void callee(value)),
  numbers: (n) => Array.from({ length: n }, (_, i) => i),
  sort: (before, list) => list.toSorted((a, b) => before(a, b) ? -1 : 1),
  open: (name) => openSync(name),
  close: (file) => closeSync(file),
  length: (file) => fstatSync(file).size,
  exists: (name) => Number(statSync(name, { throwIfNoEntry: false }) !== undefined),
  words(name) {
    const file = openSync(name);
    const text = decoder.decode(bytes.subarray(0, readSync(file, bytes)));
    closeSync(file);
    return [...text.matchAll(/[a-z]+/g)].length;
  },
};

const scope = new Scope(Object.keys(GLOBAL), Object.values(GLOBAL), undefined);
for (const form of parse(SOURCE)) evaluate(form, scope);
const files = process.argv.slice(2);
const run = () => evaluate(["main", "files"], new Scope(["files"], [files], scope));
for (let i = 0; i < 400; i++) run();
globalThis.gc?.();
readSync(0, bytes, 0, 1);
run();
readSync(0, bytes, 0, 1);
