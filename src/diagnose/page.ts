import { type Block, renderPage } from "../report/page.js";
import { drawLines } from "../report/plot.js";
import type { Diagnosis } from "./diagnosis.js";
import type { SchemeFigures } from "./figures.js";
import { diagnosisTables } from "./tables.js";

/** The diagnosis as a page that needs nothing else. */
export function diagnosisPage(diagnosis: Diagnosis): string {
  const { base, tasks, method, findings, warnings, gradmerge, recipe } = diagnosis;
  const tables = diagnosisTables(diagnosis).map(({ title, note, columns, rows }): Block => ({
    kind: "table",
    title,
    note,
    columns: columns.map((column) => column.title),
    rows,
  }));
  const [schemes, ...others] = tables;
  return renderPage({
    title: "Diagnosis of a merge",
    blocks: [
      {
        kind: "text",
        text: `${tasks.length} ${tasks.length === 1 ? "model is" : "models are"} merged into ${base} by ${method}. The gradient mismatch is what separates a merge from joint training on the data of all of them: where it vanishes, the merged weights are those of joint training.`,
      },
      ...[...warnings, ...findings.map(({ text }) => text)].map((text): Block => ({
        kind: "text",
        text: `• ${text}`,
      })),
      ...(schemes === undefined ? [] : [schemes]),
      ...layerFigure(diagnosis),
      ...sweepFigure(diagnosis),
      ...others,
    ],
    footer: `gradmerge ${gradmerge}${recipe === undefined ? "" : ` · ${recipe}`} · figures of every tensor in diagnosis.json`,
  });
}

/** The mismatch by layer, for each method. */
function layerFigure({ all, layers }: Diagnosis): readonly Block[] {
  const measured = all.schemes.some(({ mismatch }) => mismatch !== undefined);
  const valueOf = (figures: SchemeFigures | undefined): number | undefined =>
    measured ? figures?.mismatch : figures?.predicted_mismatch;
  const series = all.schemes.flatMap(({ scheme }, m) => {
    // Of gradient matching the predicted mismatch is zero, which has no logarithm.
    if (!measured && scheme === "gradient_matching") return [];
    const points = layers.flatMap((layer, k) => {
      const y = valueOf(layer.schemes[m]);
      return y === undefined || y <= 0 ? [] : [{ x: k + 1, y }];
    });
    return points.length === 0 ? [] : [{ name: scheme, points }];
  });
  if (series.length === 0 || layers.length < 2) return [];
  const list = layers.map(({ name }, k) => `${k + 1} ${name}`).join(", ");
  return [
    {
      kind: "figure",
      svg: drawLines({
        description: "The gradient mismatch of each method by layer",
        x: { label: "layer →" },
        y: { label: `↑ ${measured ? "measured" : "predicted"} mismatch`, logarithmic: true },
        series,
        references: [],
      }),
      caption: `The ${measured ? "measured" : "predicted"} gradient mismatch by layer: ${list}.`,
    },
  ];
}

/** The predicted rise of the losses by weight. */
function sweepFigure({ sweep, tasks }: Diagnosis): readonly Block[] {
  const base = sweep.find(({ factor }) => factor === 0);
  if (base === undefined) return [];
  const uniform = tasks.every(({ weight }) => weight === tasks[0]?.weight);
  const unit = uniform ? (tasks[0]?.weight ?? 1) : 1;
  // Closer ones have no room for their labels.
  const shown = sweep.filter(({ factor }) => Number.isInteger(Number((10 * factor).toFixed(6))));
  const names = ["gradient_matching", "task_arithmetic"] as const;
  return [
    {
      kind: "figure",
      svg: drawLines({
        description: "The predicted rise of the tasks' losses by the weight that they are given",
        x: { label: uniform ? "weight α →" : "factor of the weights →" },
        y: { label: "↑ predicted rise of the losses (1 = the base)", logarithmic: true },
        series: names.map((name) => ({
          name,
          points: shown.map((point) => ({ x: unit * point.factor, y: point[name] / base[name] })),
        })),
        references: [{ name: "base", y: 1 }],
      }),
      caption:
        "How far curvature predicts the losses of the tasks to be from their own optima, by the weight that all of them are given; below 1 it is better than the base.",
    },
  ];
}
