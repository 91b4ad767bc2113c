import { type Block, renderPage } from "../report/page.js";
import type { Diagnosis } from "./diagnosis.js";
import { shortNames } from "./names.js";
import { layerFigure, sweepFigure } from "./plots.js";
import { type DiagnosisTable, type DiagnosisTopic, diagnosisTables } from "./tables.js";

/** The diagnosis as a page that needs nothing else. */
export function diagnosisPage(diagnosis: Diagnosis): string {
  const { base, tasks, method, findings, warnings, gradmerge, recipe } = diagnosis;
  const tables = diagnosisTables(diagnosis);
  const of = (topic: DiagnosisTopic): readonly Block[] =>
    tables.filter((table) => table.topic === topic).map(blockOf);
  const section = (text: string, blocks: readonly Block[]): readonly Block[] =>
    blocks.length === 0 ? [] : [{ kind: "heading", text }, ...blocks];
  const names = shortNames(tasks.map(({ name }) => name));
  const list = tasks.map(({ name }) => names.get(name) ?? name).join(", ");
  const examples = tasks.flatMap(({ examples: count }) => count ?? []);
  return renderPage({
    title: "Diagnosis of a merge",
    subtitle: `${list}, merged into ${base} by ${method}. ${
      examples.length === 0
        ? "From weights and curvature alone: no training data was given."
        : `Gradients of ${examples.reduce((sum, count) => sum + count, 0)} training examples.`
    }`,
    blocks: [
      {
        kind: "text",
        text: "The gradient mismatch is what separates a merge from joint training on the data of all models together: where it vanishes, the merged weights are those of joint training.",
      },
      ...section(
        "What follows",
        warnings.length + findings.length === 0
          ? []
          : [
              {
                kind: "list",
                items: [
                  ...warnings.map((text) => `Warning: ${text}`),
                  ...findings.map(({ text }) => text),
                ],
              },
            ],
      ),
      ...section("Methods", of("methods")),
      ...section("Layers", [...layerFigure(diagnosis), ...of("layers")]),
      ...section("Weights", [...sweepFigure(diagnosis), ...of("weights")]),
      ...section("Tasks", [...of("tasks"), ...of("pairs")]),
    ],
    footer: `gradmerge ${gradmerge}${recipe === undefined ? "" : ` · ${recipe}`} · figures of every tensor in diagnosis.json`,
  });
}

/** In which direction figures are compared. */
const MARKED: Partial<Record<DiagnosisTopic, string>> = { methods: "column", layers: "layer" };

const blockOf = ({ topic, title, note, columns, rows }: DiagnosisTable): Block => {
  const across = MARKED[topic];
  return {
    kind: "table",
    title,
    note: across === undefined ? note : `${note} The smallest of each ${across} is bold.`,
    columns,
    rows,
  };
};
