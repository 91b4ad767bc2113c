import { type Cell, cellText, leastOf } from "../report/cell.js";
import type { Column } from "../report/table.js";
import type { Diagnosis } from "./diagnosis.js";
import type { PartFigures, SchemeFigures } from "./figures.js";
import { shortNames } from "./names.js";

/** A table of a diagnosis, for a terminal and for a page alike. */
export interface DiagnosisTable {
  readonly topic: DiagnosisTopic;
  readonly title: string;
  readonly note: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
}

export type DiagnosisTopic = "methods" | "tasks" | "losses" | "pairs" | "layers" | "weights";

/** The diagnosis as tables, without columns for which nothing is known. */
export function diagnosisTables(diagnosis: Diagnosis): readonly DiagnosisTable[] {
  return [
    schemeTable(diagnosis),
    taskTable(diagnosis),
    lossTable(diagnosis),
    pairTable(diagnosis),
    layerTable(diagnosis),
    sweepTable(diagnosis),
  ]
    .map(withoutEmptyColumns)
    .filter(({ rows }) => rows.length > 0);
}

function schemeTable({ all, schemes }: Diagnosis): DiagnosisTable {
  const means = all.schemes.map((_, m) => {
    const losses = (schemes[m]?.losses ?? []).filter((loss) => loss !== undefined);
    return losses.length > 0 && losses.length === all.tasks.length
      ? losses.reduce((sum, loss) => sum + loss, 0) / losses.length
      : undefined;
  });
  const leastMismatch = leastOf(all.schemes.map(({ mismatch }) => mismatch));
  const leastResidual = leastOf(all.schemes.map(({ residual }) => residual));
  const leastScaled = leastOf(all.schemes.map(({ residual_scaled: scaled }) => scaled));
  const leastLoss = leastOf(means);
  return {
    topic: "methods",
    title: "Methods, with the weights of the recipe",
    note: "Mismatch and residual of the joint objective at the merged point; predicted: by curvature alone, relative to gradient matching. Losses in nats for each training example.",
    columns: [
      { title: "method" },
      right("distance"),
      right("predicted mismatch"),
      right("mismatch"),
      right("agreement"),
      right("residual"),
      right("scaled residual"),
      right("mean loss"),
    ],
    rows: all.schemes.map((figures, m): Cell[] => [
      figures.scheme,
      number(figures.distance),
      // Of gradient matching it is the rounding of its weights.
      figures.scheme === "gradient_matching" && figures.predicted_mismatch !== undefined
        ? "0"
        : number(figures.predicted_mismatch),
      marked(figures.mismatch, leastMismatch, number),
      decimal(figures.agreement),
      marked(figures.residual, leastResidual, number),
      marked(figures.residual_scaled, leastScaled, number),
      marked(means[m], leastLoss, decimal),
    ]),
  };
}

/** A figure, marked where it is the best of its column. */
const marked = (
  value: number | undefined,
  isBest: (value: number | undefined) => boolean,
  show: (value: number | undefined) => string,
): Cell => (value === undefined ? "" : { text: show(value), best: isBest(value) });

function taskTable({ all, tasks }: Diagnosis): DiagnosisTable {
  const names = shortNames(tasks.map(({ name }) => name));
  return {
    topic: "tasks",
    title: "Each task",
    note: "Gain: the part of its own step that gradient matching takes. Share: its part of the merged weights. Anchor defect: 0 for an optimum anchored at the base, as gradient matching assumes it.",
    columns: [
      { title: "task" },
      right("weight"),
      right("N"),
      right("distance"),
      right("curvature"),
      right("gain"),
      right("share"),
      right("anchor defect"),
    ],
    rows: all.tasks.map((figures, t) => {
      const task = tasks[t];
      return [
        names.get(figures.task) ?? figures.task,
        task?.weight === undefined ? "by tensor" : number(task.weight),
        task?.train_size === undefined ? "" : String(task.train_size),
        number(figures.distance),
        percent(figures.curvature_share),
        percent(figures.gain),
        percent(all.schemes[0]?.shares[t]),
        decimal(figures.anchor_defect),
      ];
    }),
  };
}

function lossTable({ all, tasks, schemes }: Diagnosis): DiagnosisTable {
  const names = shortNames(tasks.map(({ name }) => name));
  return {
    topic: "losses",
    title: "Loss of each task",
    note: "Mean training losses in nats for each example: of the task's own model, and of each merge.",
    columns: [{ title: "task" }, right("own"), ...schemes.map(({ method }) => right(method))],
    rows: all.tasks.flatMap(({ task }, t): Cell[][] => {
      const values = schemes.map(({ losses }) => losses[t]);
      const isLeast = leastOf(values);
      const own = tasks[t]?.loss;
      return own === undefined && values.every((value) => value === undefined)
        ? []
        : [
            [
              names.get(task) ?? task,
              decimal(own),
              ...values.map((value) => marked(value, isLeast, decimal)),
            ],
          ];
    }),
  };
}

function pairTable({ all, tasks }: Diagnosis): DiagnosisTable {
  const names = shortNames(tasks.map(({ name }) => name));
  return {
    topic: "pairs",
    title: "Pairs of tasks",
    note: "Cosines of the task vectors, plain and in the metric of the joint curvature; overlap: the cosine of their curvatures; conflict: opposite signs among what both depend on, 50% for unrelated tasks.",
    columns: [
      { title: "pair" },
      right("cosine"),
      right("in curvature"),
      right("overlap"),
      right("conflict"),
    ],
    rows: all.pairs.map((pair) => [
      pair.tasks.map((task) => names.get(task) ?? task).join(", "),
      decimal(pair.cosine),
      decimal(pair.curvature_cosine),
      decimal(pair.curvature_overlap),
      percent(pair.conflict),
    ]),
  };
}

function layerTable({ layers, all }: Diagnosis): DiagnosisTable {
  const measuredAt = (figures: SchemeFigures): number | undefined =>
    figures.mismatch ?? figures.gradient_change;
  const measured = all.schemes.some((figures) => measuredAt(figures) !== undefined);
  const value = measured
    ? measuredAt
    : (figures: SchemeFigures) =>
        figures.scheme === "gradient_matching" ? undefined : figures.predicted_mismatch;
  return {
    topic: "layers",
    title: "Mismatch by layer",
    note: measured
      ? "The measured mismatch of each method."
      : "The mismatch of each method that curvature predicts.",
    columns: [
      { title: "layer", flexible: true },
      right("elements"),
      right("conflict"),
      right("saturated"),
      ...all.schemes.map(({ scheme }) => right(scheme)),
    ],
    rows: layers.map((layer): Cell[] => {
      const values = layer.schemes.map(value);
      const isLeast = leastOf(values);
      return [
        layer.name,
        percent(layer.elements / all.elements),
        percent(largestConflict(layer)),
        percent(layer.curvature?.saturated),
        ...values.map((one) => marked(one, isLeast, number)),
      ];
    }),
  };
}

function sweepTable({ sweep, tasks }: Diagnosis): DiagnosisTable {
  const uniform = tasks.every(({ weight }) => weight === tasks[0]?.weight);
  const unit = uniform ? (tasks[0]?.weight ?? 1) : 1;
  return {
    topic: "weights",
    title: "Predicted rise by weight",
    note: "The mean rise of the tasks' losses from their own optima that curvature predicts, as a share of that at the base: 100% is no better than the base.",
    columns: [
      { title: uniform ? "weight" : "factor", align: "right" },
      right("gradient_matching"),
      right("task_arithmetic"),
    ],
    rows: sweep.map((point) => {
      const base = sweep.find(({ factor }) => factor === 0);
      return [
        number(unit * point.factor),
        percent(base && point.gradient_matching / base.gradient_matching),
        percent(base && point.task_arithmetic / base.task_arithmetic),
      ];
    }),
  };
}

function largestConflict({ pairs }: PartFigures): number | undefined {
  const known = pairs.flatMap(({ conflict }) => (conflict === undefined ? [] : [conflict]));
  return known.length === 0 ? undefined : Math.max(...known);
}

function withoutEmptyColumns(table: DiagnosisTable): DiagnosisTable {
  const kept = table.columns.map((_, k) => table.rows.some((row) => cellText(row[k] ?? "") !== ""));
  return {
    ...table,
    columns: table.columns.filter((_, k) => kept[k] === true),
    rows: table.rows.map((row) => row.filter((_, k) => kept[k] === true)),
  };
}

const right = (title: string): Column => ({ title, align: "right" });

/** Three digits: 0.00123, 12.3, 1230, 8.42e5. */
function number(value: number | undefined): string {
  return value === undefined ? "" : String(Number(value.toPrecision(3)));
}

function decimal(value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(3);
}

function percent(share: number | undefined): string {
  if (share === undefined) return "";
  return `${(100 * share).toFixed(Math.abs(share) < 0.0995 ? 1 : 0)}%`;
}
