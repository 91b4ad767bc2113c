import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { GradmergeError } from "../errors.js";

const commandLine = fileURLToPath(new URL("../cli/main.js", import.meta.url));

/**
 * `gradmerge merge recipe out --json`, in a process of its own as a user would start it. Gives the numbers of the method's report.
 * @throws GradmergeError with what the command said, where it fails.
 */
export function runMerge(recipe: string, out: string): Promise<Readonly<Record<string, number>>> {
  const args = [commandLine, "merge", recipe, out, "--workers", "1", "--json"];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, (error, stdout, stderr) => {
      if (error === null) resolve(reportOf(stdout));
      else {
        reject(
          new GradmergeError("output", {
            what: "A merge of the demo has failed",
            where: recipe,
            got: stderr.trim() || error.message,
          }),
        );
      }
    });
  });
}

/** The last event of a merge says what was written. */
function reportOf(stdout: string): Readonly<Record<string, number>> {
  const last: unknown = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  if (typeof last !== "object" || last === null || !("event" in last) || last.event !== "done") {
    throw new Error(`the merge ended without saying so: ${stdout.slice(-500)}`);
  }
  const report = "report" in last && typeof last.report === "object" ? last.report : {};
  return Object.fromEntries(
    Object.entries(report ?? {}).filter((entry): entry is [string, number] =>
      Number.isFinite(entry[1]),
    ),
  );
}

/** Carries out jobs, some of them at a time; gives their results in the order of the jobs. */
export async function inParallel<J, R>(
  jobs: readonly J[],
  workers: number,
  run: (job: J) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < jobs.length; index = next++) {
      const job = jobs[index];
      if (job !== undefined) results[index] = await run(job);
    }
  };
  await Promise.all(Array.from({ length: workers }, worker));
  return results;
}
