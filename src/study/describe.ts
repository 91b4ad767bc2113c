import { formatTable, wrap } from "../report/table.js";
import { formatSeconds } from "../report/units.js";
import type { StudySummary } from "./events.js";
import { findings } from "./findings.js";
import type { StudyResults } from "./results.js";
import { alphaTable, removalTables, type StudyTable, taskTable } from "./tables.js";

/** What a person wants to know at the end of a study. */
export function describeStudy(study: StudyResults, summary: StudySummary, report: string): string {
  const tables = [alphaTable(study), taskTable(study), ...removalTables(study)]
    .filter(({ rows }) => rows.length > 0)
    .map(describeTable);
  const said = findings(study).map((text) => wrap(`- ${text}`, 80).replaceAll("\n", "\n  "));
  // Merges are made for tests and are no stages of their own.
  const count = ({ merge: _merge, ...counts }: StudySummary["done"]): number =>
    Object.values(counts).reduce((sum, one) => sum + one, 0);
  return `${[...tables, `${said.join("\n")}\n`].join("\n")}
${count(summary.done)} stages done, ${count(summary.reused)} reused, ${formatSeconds(summary.seconds)}. Open ${report}
`;
}

function describeTable({ title, columns, rows }: StudyTable): string {
  const table = formatTable(
    columns.map((name, k) => ({ title: name, align: k === 0 ? "left" : "right" })),
    rows,
  );
  return `${title}\n\n${table.replace(/^(?=.)/gm, "  ")}`;
}
