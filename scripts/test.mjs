/**
 * `npm test [-- ARGUMENTS OF VITEST]`: sets up what is missing; checks types, lint and format; runs the demo in its quick form; then every test.
 * The last line counts tests and checks together. Exits non-zero where one failed.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandLine, root, setUp } from "./setup.mjs";

setUp();
const scratch = mkdtempSync(join(tmpdir(), "gradmerge-test-"));
const results = { passed: 0, failed: 0, skipped: 0 };

const checks = {
  types: ["node_modules/typescript/bin/tsc", "--noEmit"],
  lint: ["node_modules/oxlint/bin/oxlint", "--deny-warnings"],
  format: ["node_modules/oxfmt/bin/oxfmt", "--check", "."],
  demo: [commandLine, "demo", "--quick", "--out", join(scratch, "demo")],
};
for (const [name, args] of Object.entries(checks)) {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const passed = status === 0;
  results[passed ? "passed" : "failed"]++;
  if (!passed) console.log(stdout + stderr);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${passed ? "passed" : "FAILED"}  ${name} (${seconds} s)`);
}

const report = join(scratch, "vitest.json");
const vitest = spawnSync(
  process.execPath,
  [
    "node_modules/vitest/vitest.mjs",
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: "inherit" },
);
countTests();
rmSync(scratch, { recursive: true, force: true });
console.log(`${results.passed} passed, ${results.failed} failed, ${results.skipped} skipped`);
process.exit(results.failed === 0 ? 0 : 1);

function countTests() {
  let failed = 0;
  try {
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } =
      JSON.parse(readFileSync(report, "utf8"));
    // A file that fails before its first test counts as one.
    const broken = testResults.filter(
      (file) =>
        file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
    );
    failed = numFailedTests + broken.length;
    results.passed += numPassedTests;
    results.skipped += numPendingTests + numTodoTests;
  } catch {
    // No report: vitest itself broke, which its exit status tells.
  }
  // An error outside every test is a failure too.
  results.failed += vitest.status === 0 ? failed : Math.max(failed, 1);
}
