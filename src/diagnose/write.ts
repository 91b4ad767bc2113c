import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OutputError } from "../errors.js";
import type { Diagnosis } from "./diagnosis.js";

/** @throws OutputError where there is something of this name */
export function refuseExisting(out: string): void {
  if (!existsSync(out)) return;
  throw new OutputError({
    what: "the output is already there",
    where: out,
    hint: "choose another folder, or remove this one; nothing is overwritten",
  });
}

/**
 * Writes `diagnosis.json` and `report.html` into a new folder.
 * @returns the path of the report
 * @throws OutputError where the folder exists or cannot be written
 */
export async function writeDiagnosis(out: string, diagnosis: Diagnosis): Promise<string> {
  refuseExisting(out);
  const { diagnosisPage } = await import("./page.js");
  const page = diagnosisPage(diagnosis);
  const report = join(out, "report.html");
  try {
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, "diagnosis.json"), `${JSON.stringify(diagnosis, undefined, 1)}\n`);
    writeFileSync(report, page);
  } catch (error) {
    throw new OutputError({
      what: "the diagnosis cannot be written",
      where: out,
      got: error instanceof Error ? error.message : String(error),
    });
  }
  return report;
}
