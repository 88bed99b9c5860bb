// Owns the command line that records testdata of the running kernel anew: deno task record-testdata --help.
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { NEUTRAL_DIRECTORY, RECORDABLE, recordAndPack, whyNoRecording } from "./recordings.ts";

const HELP = `Records testdata of the running kernel anew (x86-64, root, gcc; interpreter: npm ci --prefix .ci).

deno task record-testdata [NAME…] [--out DIR]

  NAME         which recordings, all by default
  --out DIR    where NAME.tar.gz is written, a new directory for temporary files by default
  --list       what can be recorded
  -h, --help   this

Programs run in ${NEUTRAL_DIRECTORY}, which is made and removed. Each recording is replayed through the model
before it is written; one that comes out differently is written as NAME.differs.tar.gz, and the exit status is 1.
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: "string" },
      list: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.list) {
    for (const [name, { about }] of RECORDABLE) process.stdout.write(`${name.padEnd(12)} ${about}\n`);
    return 0;
  }
  const unknown = positionals.find((name) => !RECORDABLE.has(name));
  if (unknown !== undefined) {
    process.stderr.write(`no recording is named ${unknown}: --list shows which are\n`);
    return 2;
  }
  const reason = whyNoRecording();
  if (reason !== undefined) {
    process.stderr.write(`nothing is recorded: ${reason}\n`);
    return 2;
  }
  const out = values.out ?? mkdtempSync(join(tmpdir(), "stackmap-testdata-"));
  mkdirSync(out, { recursive: true });
  let failed = 0;
  for (const name of positionals.length === 0 ? RECORDABLE.keys() : new Set(positionals)) {
    const { archive, summary, difference } = await recordAndPack(name, NEUTRAL_DIRECTORY);
    const path = join(out, difference === undefined ? `${name}.tar.gz` : `${name}.differs.tar.gz`);
    writeFileSync(path, archive);
    process.stdout.write(`${path}\n  ${summary}\n`);
    if (difference !== undefined) {
      process.stdout.write(`  the model differs: ${difference}\n`);
      failed++;
    } else {
      process.stdout.write("  the model gives every id and both dumps\n");
    }
  }
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
