// Owns the last lines of .ci/run: what failed and why, then tests passed, failed and skipped, over all JUnit reports.
//   deno run --allow-read .ci/count.ts FAILED_STAGES DIRECTORY

const [stages, directory] = Deno.args;
const totals = { passed: 0, failed: 0, skipped: 0 };
/** What is said of failures, and of each. */
const [MOST_FAILURES, MOST_LINES] = [10, 40];

/** Text of a report without its tags; no more than the first lines. */
function plain(xml: string): string {
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&", "#10": "\n" };
  const text = xml.replace(/<(?:"[^"]*"|[^">])*>/g, "").replace(/&(#?\w+);/g, (all, name) => entities[name] ?? all);
  return text.trim().split("\n").slice(0, MOST_LINES).join("\n    ");
}

for (const { name } of Deno.readDirSync(directory)) {
  if (!name.endsWith(".xml")) continue;
  const report = Deno.readTextFileSync(`${directory}/${name}`);
  // Attribute values may hold a bare ">", as in the name of a step.
  for (
    const [, head, content = ""] of report.matchAll(
      /<testcase\b((?:"[^"]*"|[^">])*?)(?:\/>|>([^]*?)<\/testcase>)/g,
    )
  ) {
    if (/<(?:failure|error)\b/.test(content)) {
      if (++totals.failed > MOST_FAILURES) continue;
      const [runtime, test] = [name.replace(".xml", ""), /\bname="([^"]*)"/.exec(head)?.[1] ?? "?"];
      console.log(`FAILED in ${runtime}: ${plain(test)}\n    ${plain(content)}`);
    } else if (/<skipped\b/.test(content)) totals.skipped++;
    else totals.passed++;
  }
}

// A failed stage without a failed test (a check, a crash) counts as one.
const failed = Math.max(totals.failed, Number(stages));
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
console.log(`${totals.passed} passed, ${failed} failed${skipped}`);
