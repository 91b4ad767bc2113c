import { formatTable, wrap } from "../report/table.js";
import type { DemoResults, DemoScore, Scores } from "./demo.js";

/** A table of texts, to be shown on a terminal or in a page. */
export interface DemoTable {
  readonly title: string;
  readonly note: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const percent = (x: number): string => `${(100 * x).toFixed(1)}%`;
const figure = (x: number): string => x.toFixed(3);

/** The results as tables, the most telling first. */
export function demoTables(results: DemoResults): DemoTable[] {
  const { merges, references } = results;
  const four = merges.filter(({ experiment }) => experiment === "four tasks");
  const alphas = [...new Set(four.flatMap(({ alpha }) => alpha ?? []))].sort((a, b) => a - b);
  const overAlpha = (show: (scores: Scores) => string): string[][] => [
    ...references
      .filter(({ experiment }) => experiment === "four tasks")
      .filter(({ row }) => !row.startsWith("expert"))
      .map((one) => [one.row, ...alphas.map(() => show(one))]),
    ...rowsOf(four).map(([row, scores]) => [
      row,
      ...alphas.map((alpha) => {
        const found = scores.find((one) => one.alpha === alpha || one.alpha === undefined);
        return found === undefined ? "" : show(found);
      }),
    ]),
  ];
  const plain = (experiment: DemoScore["experiment"], show: (scores: Scores) => string[]) => [
    ...references
      .filter((one) => one.experiment === experiment)
      .map((one) => [one.row, ...show(one)]),
    ...merges
      .filter((one) => one.experiment === experiment)
      .map((one) => [
        `${one.row}${one.alpha === undefined ? "" : `, −${one.alpha}`}`,
        ...show(one),
      ]),
  ];
  const header = ["method", ...alphas.map((alpha) => `α = ${alpha}`)];
  return [
    {
      title: "Four tasks: error on unseen texts, mean of the four",
      note: "Joint training has all the data at once; merging has none of it.",
      columns: header,
      rows: overAlpha(({ error }) => percent(error)),
    },
    {
      title: "Four tasks: distance to the jointly trained weights",
      note: "0 is the jointly trained model, 1 as far from it as the base.",
      columns: header,
      rows: overAlpha(({ distance }) => figure(distance)),
    },
    {
      title: "Two tasks, food and travel",
      note: "Distance and error as above; slerp takes exactly two models.",
      columns: ["method", "distance", "error"],
      rows: plain("two tasks", ({ distance, error }) => [figure(distance), percent(error)]),
    },
    {
      title: "Removal of what the base should not have learnt",
      note: "The target is the base trained again without those texts: low error on the general texts, high on the unwanted.",
      columns: ["method, weight", "distance", "general error", "unwanted error"],
      rows: plain("removal", ({ distance, error, unwantedError = NaN }) => [
        figure(distance),
        percent(error),
        percent(unwantedError),
      ]),
    },
  ];
}

/** The rows of a table with their merges, in the order of first appearance. */
export function rowsOf(merges: readonly DemoScore[]): [string, DemoScore[]][] {
  const rows = new Map<string, DemoScore[]>();
  for (const merge of merges) rows.set(merge.row, [...(rows.get(merge.row) ?? []), merge]);
  // Those that are set by α first.
  return [...rows].sort(
    ([, [a]], [, [b]]) => Number(a?.alpha === undefined) - Number(b?.alpha === undefined),
  );
}

export function describeTables(tables: readonly DemoTable[]): string {
  return tables
    .map(({ title, note, columns, rows }) => {
      const table = formatTable(
        columns.map((name, k) => ({ title: name, align: k === 0 ? "left" : "right" })),
        rows,
      );
      return `${title}\n${wrap(note, 80)}\n\n${table.replace(/^(?=.)/gm, "  ")}`;
    })
    .join("\n");
}
