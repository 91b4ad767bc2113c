import { formatTable } from "../report/table.js";
import { inOrder, nameOf } from "../study/names.js";
import type { ResultRow, StudyResults } from "../study/results.js";

/** The mean accuracy over the tasks, a line for each method and a column for each α, for a terminal. */
export function summaryTable({ rows, alphas, tasks }: StudyResults): string {
  const mean = (is: (row: ResultRow) => boolean): string => {
    const found = rows.filter((row) => tasks.includes(row.task) && is(row));
    const sum = found.reduce((total, { accuracy }) => total + accuracy, 0);
    return found.length === 0 ? "" : `${((100 * sum) / found.length).toFixed(1)}%`;
  };
  const lines = inOrder(rows.map(({ method }) => method)).map((method) => [
    nameOf(method),
    ...alphas.map((alpha) =>
      mean(
        (row) =>
          row.method === method &&
          // A model without α is the same in every column.
          (row.alpha ?? alpha) === alpha &&
          // Every expert on its own task alone: what merging is to keep.
          (row.expert ?? row.task) === row.task,
      ),
    ),
  ]);
  return formatTable(
    [
      { title: "α =", align: "left" },
      ...alphas.map((alpha) => ({ title: `${alpha}`, align: "right" as const })),
    ],
    lines,
  );
}
