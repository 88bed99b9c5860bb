// Owns the last line of .ci/run: tests passed, failed and skipped, summed over JUnit reports.
//   deno run --allow-read .ci/count.ts FAILED_STAGES DIRECTORY

const [stages, directory] = Deno.args;
const totals = { passed: 0, failed: 0, skipped: 0 };

for (const { name } of Deno.readDirSync(directory)) {
  if (!name.endsWith(".xml")) continue;
  const report = Deno.readTextFileSync(`${directory}/${name}`);
  // Attribute values may hold a bare ">", as in the name of a step.
  for (
    const [, , content = ""] of report.matchAll(
      /<testcase\b(?:"[^"]*"|[^">])*?(?:\/>|(>)([^]*?)<\/testcase>)/g,
    )
  ) {
    if (/<(?:failure|error)\b/.test(content)) totals.failed++;
    else if (/<skipped\b/.test(content)) totals.skipped++;
    else totals.passed++;
  }
}

// A failed stage without a failed test (a check, a crash) counts as one.
const failed = Math.max(totals.failed, Number(stages));
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
console.log(`${totals.passed} passed, ${failed} failed${skipped}`);
