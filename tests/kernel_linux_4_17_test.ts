// The 4.17 profile against what the original patch's code computed: every page, every line of every sequence.
import { assertEquals } from "@std/assert";
import { AddressSpace, buildIdParse, type CallContext, mappedFile, StackMap, type Vma } from "../mod.ts";
import { toHex } from "../src/base/bytes.ts";
import { readTestdata, readTestdataLines } from "./fixtures.ts";

Deno.test("buildIdParse() of 4.17 answers for every fixture page what the patch's code answered", () => {
  const pages = readTestdata("linux-4.17/pages.bin.gz");
  const expected = readTestdataLines("linux-4.17/pages.expected.txt");
  assertEquals(expected.length, pages.length / 4096);
  for (const [i, line] of expected.entries()) {
    const id = new Uint8Array(20);
    const result = buildIdParse(mappedFile(pages.slice(4096 * i, 4096 * (i + 1))), id, "4.17");
    assertEquals(result === 0 ? `0 ${toHex(id)}` : `${result}`, line.trimEnd(), `page ${i}`);
  }
});

for (const name of ["00", "01", "02", "03", "04", "05", "06", "07"]) {
  Deno.test(`StackMap of 4.17 answers sequence ${name} line by line as the patch's code did`, () => {
    const { answers, expected } = runSequence(name);
    assertEquals(answers.length, expected.length);
    for (let i = 0; i < expected.length; i++) {
      if (answers[i] !== expected[i]) assertEquals(answers[i], expected[i], `line ${i + 1}`);
    }
  });
}

function runSequence(name: string): { answers: string[]; expected: string[] } {
  const pages = readTestdata(`linux-4.17/sequences/${name}.pages.gz`);
  const vmas: Vma[] = [];
  const answers: string[] = [];
  let nrCpus = 1;
  let map: StackMap | undefined;
  let space: AddressSpace | undefined;
  let value = new Uint8Array(0);
  let env: CallContext = {};
  for (const line of readTestdataLines(`linux-4.17/sequences/${name}.script.gz`)) {
    const [word, ...rest] = line.split(" ");
    const n = rest.map(Number);
    if (word === "cpus") {
      nrCpus = n[0];
    } else if (word === "map") {
      map = new StackMap({ valueSize: n[0], maxEntries: n[1], mapFlags: n[2] }, { kernel: "4.17", nrCpus });
      value = new Uint8Array(n[0]);
    } else if (word === "vma") {
      const vma: Vma = { start: BigInt(rest[0]), end: BigInt(rest[1]), pgoff: BigInt(rest[2]) };
      if (rest[3] === "x") vma.file = { readPage: () => undefined };
      else if (rest[3] !== "-") vma.file = mappedFile(pages.slice(4096 * n[3], 4096 * (n[3] + 1)));
      vmas.push(vma);
    } else if (word === "env") {
      space ??= new AddressSpace(vmas);
      env = { nmi: n[0] === 1, mmapLocked: n[1] === 1, ...(n[2] === 1 ? { addressSpace: space } : {}) };
    } else if (word === "get") {
      const ips = BigUint64Array.from(rest.slice(2), BigInt);
      answers.push(`${map!.getStackid(ips, n[1], { ...env, cpu: n[0] })}`);
    } else if (word === "copy") {
      const result = map!.copy(n[0], value);
      answers.push(result === 0 ? `0 ${toHex(value)}` : `${result}`);
    } else if (word === "del") {
      answers.push(`${map!.delete(n[1], { cpu: n[0] })}`);
    } else {
      throw new Error(`unknown operation in ${name}.script: ${line}`);
    }
  }
  return { answers, expected: readTestdataLines(`linux-4.17/sequences/${name}.expected.gz`) };
}
