// The profile of the running kernel beside it: hostile files, crafted stacks, all flags. KERNEL_PROOF_SECONDS and
// KERNEL_PROOF_SEED choose how much and what; deno task kernel-proof goes on for longer.
import {
  assert,
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import process from "node:process";
import { AddressSpace, BPF_MAP_TYPE_STACK_TRACE, getStack, StackMap } from "../mod.ts";
import {
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BpfAssembler,
  BpfMap,
  BpfProgram,
  VerifierError,
} from "../src/linux/linux.ts";
import { Coverage } from "./kernel_proof/coverage.ts";
import { compareMapCreate } from "./kernel_proof/map_create.ts";
import { helperResults, hostileFiles, maxStackDepth, prove, whyNoProof } from "./kernel_proof/proof.ts";
import { provenProfile } from "./kernel_proof/running.ts";

const reason = whyNoProof();
const ignore = reason !== undefined;
const why = ignore ? ` (skipped: ${reason})` : "";
const SECONDS = Number(process.env.KERNEL_PROOF_SECONDS ?? ("Bun" in globalThis ? 2 : 9));
const SEED = Number(process.env.KERNEL_PROOF_SEED ?? 1);

Deno.test({
  name: `the kernel and the model answer every helper call and map command alike${why}`,
  ignore,
  async fn() {
    const { found, coverage, cases } = await prove({ seconds: SECONDS, seed: SEED, reduceSeconds: 30 });
    const [results, files] = [helperResults(coverage), hostileFiles(coverage)];
    console.log(`seeds ${SEED} to ${SEED + cases - 1}: ${results} helper results, ${files} hostile files`);
    if (found !== undefined) {
      throw new Error(`seed ${found.seed}: ${JSON.stringify(found.differences[0])}\n${found.test}`);
    }
    assertGreater(results, 1000);
    const met = ["id", "-EEXIST", "-ENOMEM", "-EFAULT", "-EINVAL"].map((each) => `bpf_get_stackid: ${each}`);
    met.push("bpf_get_stack: bytes", "bpf_get_stack: -EFAULT", "bpf_get_stack: -EINVAL");
    met.push("evicted files: wholly", "evicted files: in part", "frames of bpf_get_stack: VALID");
    for (const name of met) assertGreater(coverage.get(name), 0, name);
  },
});

Deno.test({
  name: `a difference is found, reduced to a few calls and printed as a test${why}`,
  ignore,
  async fn() {
    const size = { rounds: 2, files: 20, calls: 40 };
    const { found } = await prove({ seconds: 2, seed: SEED * 8 + 1, kernel: "4.17", size, reduceSeconds: 30 });
    assert(found !== undefined, "the 4.17 profile must differ");
    assertLessOrEqual(found.calls, 5);
    // What is printed: with the profile that is right it passes, with the other it fails.
    const run = (text: string) => {
      const code = text.replace(/: (string|number|Record<number, string>)(?=[,)])/g, "");
      const define = new Function("Deno", "assertEquals", "AddressSpace", "StackMap", "getStack", code);
      define({ test: (_: string, fn: () => void) => fn() }, assertEquals, AddressSpace, StackMap, getStack);
    };
    run(found.test);
    assertThrows(() => run(found.test.replaceAll(`kernel: "${provenProfile()}"`, `kernel: "4.17"`)));
  },
});

Deno.test({
  name: `the kernel and new StackMap() take the same attributes${why}`,
  ignore,
  fn() {
    const coverage = new Coverage();
    const seed = SEED;
    assertEquals(compareMapCreate(seed, 1500, maxStackDepth(), coverage), [], `seed ${seed}`);
    for (const answer of ["0", "-EINVAL", "-E2BIG"]) assertGreater(coverage.get(`BPF_MAP_CREATE: ${answer}`), 0);
  },
});

Deno.test({
  name: `no program gets to look into a stack map: the verifier refuses it before the helper can${why}`,
  ignore,
  fn() {
    using map = BpfMap.create({ type: BPF_MAP_TYPE_STACK_TRACE, valueSize: 8, maxEntries: 1 });
    for (const helper of [BPF_FUNC_map_lookup_elem, BPF_FUNC_map_delete_elem]) {
      const insns = new BpfAssembler()
        .store(64, "r10", -8, 0)
        .loadMapFd("r1", map.fd)
        .alu("mov", "r2", "r10")
        .alu("add", "r2", -8)
        .call(helper)
        .alu("mov", "r0", 0)
        .exit()
        .bytes();
      const error = assertThrows(
        () => BpfProgram.load({ type: BPF_PROG_TYPE_RAW_TRACEPOINT, insns }),
        VerifierError,
      );
      assertStringIncludes(error.message, "cannot pass map_type 7 into func");
    }
    // What the helper would answer, which nothing can ask the kernel.
    assertEquals(new StackMap({ valueSize: 8, maxEntries: 1 }).lookup(0), -95);
  },
});
