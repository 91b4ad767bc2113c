import type { StudyResults } from "./results.js";
import {
  atLeastAsGood,
  best,
  correlation,
  curves,
  meanTasks,
  mismatchPoints,
  nameOf,
  references,
  removals,
  robustness,
  standardError,
} from "./statistics.js";

/** "85.6%" */
export const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
/** "0.5", "−0.5", or a dash for a method without α. */
export const alphaText = (alpha: number | null): string =>
  alpha === null ? "–" : `${alpha < 0 ? "−" : ""}${Math.abs(alpha)}`;
/** Kept on one line. */
const at = (alpha: number): string => `at α\u00a0=\u00a0${alphaText(alpha)}`;
/** "1.7 points" */
export const points = (difference: number): string => {
  const value = (100 * Math.abs(difference)).toFixed(1);
  return `${value} ${value === "1.0" ? "point" : "points"}`;
};

/** How much of what is kept may be lost for a removal to count. */
const LOSS = 0.02;

/** What a study found, in sentences. */
export function findings(results: StudyResults): readonly string[] {
  return [
    ...accuracies(results),
    ...comparisons(results),
    ...gaps(results),
    ...mismatches(results),
    ...removed(results),
    ...cautions(results),
  ];
}

function accuracies(results: StudyResults): readonly string[] {
  const tops = curves(results).flatMap((curve) => {
    const top = best(curve);
    return top === undefined
      ? []
      : [`${nameOf(curve.method)} ${percent(top.mean)} ${at(top.alpha)}`];
  });
  const plain = references(results)
    .filter(({ method }) => !["base", "joint", "expert"].includes(method))
    .map(({ name, mean }) => `${name} ${percent(mean)}`);
  const all = [...tops, ...plain];
  const tasks = meanTasks(results);
  return all.length === 0
    ? []
    : [
        `Best mean accuracy over ${tasks.length === 1 ? `the task ${tasks[0]}` : `the ${tasks.length} tasks`}: ${all.join("; ")}.`,
      ];
}

function comparisons(results: StudyResults): readonly string[] {
  const against = atLeastAsGood(results, "gradient_matching", "task_arithmetic");
  const stable = robustness(results).map(
    ({ method, within, alphas }) => `${nameOf(method)} at ${within} of ${alphas}`,
  );
  return [
    ...(against === undefined
      ? []
      : [
          `Gradient matching is at least as good as task arithmetic at ${against.count} of ${against.of} α.`,
        ]),
    ...(stable.length === 0 ? [] : [`Within one point of its own best: ${stable.join("; ")} α.`]),
  ];
}

function gaps(results: StudyResults): readonly string[] {
  const joint = references(results).find(({ method }) => method === "joint");
  const candidates = [
    ...curves(results).flatMap((curve) => {
      const top = best(curve);
      return top === undefined
        ? []
        : [{ name: `${nameOf(curve.method)} ${at(top.alpha)}`, mean: top.mean }];
    }),
    ...references(results).filter(({ method }) => !["base", "joint", "expert"].includes(method)),
  ];
  const top = candidates.toSorted((a, b) => b.mean - a.mean)[0];
  if (joint === undefined || top === undefined) return [];
  const difference = joint.mean - top.mean;
  return [
    `Joint training reaches ${percent(joint.mean)}: ${points(difference)} ${difference >= 0 ? "above" : "below"} the best merge, ${top.name}.`,
  ];
}

function mismatches(results: StudyResults): readonly string[] {
  const found = mismatchPoints(results);
  if (found.length === 0) return [];
  const smaller = atLeastAsGood(results, "gradient_matching", "task_arithmetic", "mismatch");
  const r = correlation(found.map(({ mismatch, error }) => [Math.log10(mismatch), error]));
  return [
    ...(smaller === undefined
      ? []
      : [
          `The gradient mismatch of gradient matching is smaller than that of task arithmetic at ${smaller.count} of ${smaller.of} α.`,
        ]),
    ...(r === undefined
      ? []
      : [
          `Over ${found.length} merges the logarithm of the mismatch and the test error have a correlation of ${r.toFixed(2)}.`,
        ]),
  ];
}

function removed(results: StudyResults): readonly string[] {
  return removals(results).map(({ task, base, curves: found }) => {
    const parts = found.map(({ method, points: all }) => {
      const kept = all.filter((point) => point.kept >= base.kept - LOSS);
      const lowest = kept.toSorted((a, b) => a.removed - b.removed)[0];
      return lowest === undefined
        ? `${nameOf(method)} loses more at every α`
        : `${nameOf(method)} ${percent(lowest.removed)} ${at(lowest.alpha)}`;
    });
    return `Removal of ${task}, on which the base has ${percent(base.removed)}: the lowest accuracy left of it where the other tests lose at most ${points(LOSS)}: ${parts.join("; ")}.`;
  });
}

function cautions(results: StudyResults): readonly string[] {
  const error = standardError(results);
  const failed = results.merges.filter(({ failure }) => failure !== null);
  const hasBest = curves(results).some(({ points: all }) => all.length > 1);
  return [
    ...(error === undefined
      ? []
      : [
          `By the number of test examples alone, a mean accuracy has a standard error of about ${points(error)}; models are tested on the same examples, so that differences between them are steadier than that.${hasBest ? " The best α is chosen on the test data and flatters every method a little." : ""}`,
        ]),
    ...(failed.length === 0
      ? []
      : [
          `${failed.length} ${failed.length === 1 ? "merge is" : "merges are"} missing, forbidden by numbers: ${failed.map(({ id }) => id).join(", ")}.`,
        ]),
  ];
}
