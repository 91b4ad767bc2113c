import { alphaText, percent } from "./findings.js";
import type { StudyResults } from "./results.js";
import {
  best,
  curves,
  inOrder,
  layeredMerges,
  meanTasks,
  mismatchPoints,
  nameOf,
  references,
  removals,
  robustness,
  type Spread,
} from "./statistics.js";

/** Figures as text, in rows; the first column names the row. */
export interface StudyTable {
  readonly title: string;
  readonly note: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** "85.3" or, over seeds, "85.3 ± 0.4" */
function points(value: Spread | undefined, seeds: number): string {
  if (value === undefined) return "–";
  const mean = (100 * value.mean).toFixed(1);
  return seeds > 1 ? `${mean} ± ${(100 * value.deviation).toFixed(1)}` : mean;
}

/** The table per task: every method at α = 1 and at its best α, with the distance to joint training. */
export function taskTable(results: StudyResults): StudyTable {
  const { tests, seeds } = results;
  const joint = references(results).find(({ method }) => method === "joint");
  const rowOf = (name: string, of: (task: string | undefined) => Spread | undefined): string[] => {
    const mean = of(undefined);
    const gap =
      joint === undefined || mean === undefined ? [] : [signed(100 * (mean.mean - joint.mean))];
    return [
      name,
      ...tests.map((task) => points(of(task), seeds.length)),
      points(mean, seeds.length),
      ...(joint === undefined ? [] : gap.length > 0 ? gap : ["–"]),
    ];
  };
  const plain = references(results).map(({ name, method }) =>
    rowOf(name, (task) =>
      references(results, "accuracy", task).find((one) => one.method === method),
    ),
  );
  const atAlpha = curves(results).flatMap((curve) => {
    const one = curve.points.some(({ alpha }) => alpha === 1) ? [1] : [];
    const top = best(curve)?.alpha;
    return [...new Set(top === undefined ? one : [...one, top])].map((alpha) =>
      rowOf(`${nameOf(curve.method)}, α = ${alpha}${alpha === top ? " (best)" : ""}`, (task) =>
        curves(results, "accuracy", task)
          .find(({ method }) => method === curve.method)
          ?.points.find((point) => point.alpha === alpha),
      ),
    );
  });
  return {
    title: "Accuracy by task",
    note: `In percent${seeds.length > 1 ? `, mean and standard deviation over ${seeds.length} seeds` : ""}. The mean is over ${meanTasks(results).join(", ")}.${joint === undefined ? "" : " The last column is the distance to joint training, in points."} Each method at α = 1 and at the α that is best on these test sets.`,
    columns: ["model", ...tests, "mean", ...(joint === undefined ? [] : ["to joint"])],
    rows: [...plain, ...atAlpha],
  };
}

const signed = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;

/** Mean accuracy by method and α. */
export function alphaTable(results: StudyResults): StudyTable {
  const all = curves(results);
  const alphas = [
    ...new Set(all.flatMap(({ points: some }) => some.map(({ alpha }) => alpha))),
  ].toSorted((a, b) => a - b);
  return {
    title: "Mean accuracy by α",
    note: `In percent, the mean over ${meanTasks(results).join(", ")}.`,
    columns: ["method", ...alphas.map((alpha) => `α ${alpha}`)],
    rows: all.map(({ method, points: some }) => [
      nameOf(method),
      ...alphas.map((alpha) =>
        points(
          some.find((point) => point.alpha === alpha),
          results.seeds.length,
        ),
      ),
    ]),
  };
}

export function robustnessTable(results: StudyResults): StudyTable {
  return {
    title: "How much a method depends on α",
    note: "At how many of the α it is within one point of its own best, and how far its worst α lies below its best.",
    columns: ["method", "best", "at α", "within a point", "share", "best to worst"],
    rows: robustness(results).map(({ method, best: top, within, alphas, range }) => [
      nameOf(method),
      percent(top.mean),
      String(top.alpha),
      `${within} of ${alphas}`,
      `${Math.round((100 * within) / alphas)}%`,
      `${(100 * range).toFixed(1)} points`,
    ]),
  };
}

export function mismatchTable(results: StudyResults): StudyTable | undefined {
  const found = mismatchPoints(results);
  if (found.length === 0) return undefined;
  const seed = results.seeds[0];
  return {
    title: "Gradient mismatch by merge",
    note: `The norm of Σ αₜ [∇ℓₜ(θ̄) − ∇ℓₜ(θₜ)] + H₀(θ̄ − θ_TA), of losses summed over the training examples; θ_TA is task arithmetic’s point. The residual is the gradient of the joint objective at the merged point${results.seeds.length > 1 ? `. Seed ${seed}` : ""}.`,
    columns: ["method", "α", "mismatch", "residual", "test error"],
    rows: found
      .filter((point) => point.seed === seed)
      .map(({ method, alpha, mismatch, error }) => {
        const residual = results.merges.find(
          (one) =>
            one.seed === seed &&
            one.removed === null &&
            one.method === method &&
            one.alpha === alpha,
        )?.residual;
        return [
          nameOf(method),
          alphaText(alpha),
          mismatch.toPrecision(3),
          typeof residual === "number" ? residual.toPrecision(3) : "–",
          percent(error),
        ];
      }),
  };
}

/** The methods whose mismatch is known by layer. */
export function layeredMethods(results: StudyResults): readonly string[] {
  const merges = layeredMerges(results).filter(({ alpha }) => alpha !== null);
  return inOrder(merges.map(({ method }) => method));
}

export function removalTables(results: StudyResults): readonly StudyTable[] {
  return removals(results).map(({ task, base, curves: found }) => ({
    title: `Removal of ${task}`,
    note: `Accuracy on ${task}, and the mean accuracy on every other test set.`,
    columns: ["method", "α", `${task} (removed)`, "everything else", "lost"],
    rows: [
      ["base", "0", percent(base.removed), percent(base.kept), "–"],
      ...found.flatMap(({ method, points: all }) =>
        all.map(({ alpha, removed, kept }) => [
          nameOf(method),
          alphaText(alpha),
          percent(removed),
          percent(kept),
          `${(100 * (base.kept - kept)).toFixed(1)} points`,
        ]),
      ),
    ],
  }));
}

/** What took part: the models, their Fishers and scales. */
export function modelTable(results: StudyResults): StudyTable {
  return {
    title: "Models",
    note: "Paths as seen from the folder of this report. The curvature of a model is its scale times its Fisher.",
    columns: ["model", "seed", "weights", "Fisher", "scale"],
    rows: results.models.map(({ name, seed, path, trained, fisher, fisher_estimated, scale }) => [
      name,
      String(seed),
      `${path}${trained ? " (trained)" : ""}`,
      fisher === null ? "–" : `${fisher}${fisher_estimated ? " (estimated)" : ""}`,
      scale === null ? "–" : String(scale),
    ]),
  };
}
