import { formatTable } from "../report/table.js";
import type { ResultRow, StudyResults } from "../study/results.js";

/** The mean accuracy over the tasks, a line for each method and a column for each α: what the report begins with, for a terminal. */
export function summaryTable({ rows, alphas, tasks }: StudyResults): string {
  const mean = (is: (row: ResultRow) => boolean): string => {
    const found = rows.filter((row) => tasks.includes(row.task) && is(row));
    const sum = found.reduce((total, { accuracy }) => total + accuracy, 0);
    return found.length === 0 ? "" : `${((100 * sum) / found.length).toFixed(1)}%`;
  };
  const withAlpha = [...new Set(rows.flatMap((row) => (row.alpha === null ? [] : [row.method])))];
  const lines = [
    // Every expert on its own task alone: what merging is to keep.
    ["experts, own task", mean((row) => row.method === "expert" && row.expert === row.task)],
    ["joint training", mean((row) => row.method === "joint")],
    ["base", mean((row) => row.method === "base")],
    ["mean of experts", mean((row) => row.method === "linear")],
  ].map(([name = "", figure = ""]) => [name, ...alphas.map(() => figure)]);
  const methods = withAlpha.map((method) => [
    method,
    ...alphas.map((alpha) => mean((row) => row.method === method && row.alpha === alpha)),
  ]);
  return formatTable(
    [
      { title: "", align: "left" },
      ...alphas.map((alpha) => ({ title: `α = ${alpha}`, align: "right" as const })),
    ],
    [...lines, ...methods],
  );
}
