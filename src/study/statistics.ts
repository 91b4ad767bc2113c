import type { MergeRecord, ResultRow, StudyResults } from "./results.js";

/** A figure for each seed, put together. */
export interface Spread {
  readonly mean: number;
  /** The smallest and the largest of the seeds. */
  readonly low: number;
  readonly high: number;
  /** s, over seeds; 0 for a single one. */
  readonly deviation: number;
}

/** A method at one α, over seeds. */
export interface AlphaPoint extends Spread {
  readonly alpha: number;
}

/** A method over its α, rising. */
export interface MethodCurve {
  readonly method: string;
  readonly points: readonly AlphaPoint[];
}

/** What stands beside the curves: models without α. */
export interface Reference extends Spread {
  readonly name: string;
  /** As in `ResultRow`. */
  readonly method: string;
}

/** In what order methods are shown, and which colour each has. */
export const METHOD_ORDER: readonly string[] = [
  "gradient_matching",
  "task_arithmetic",
  "fisher",
  "ties",
  "elastic_weight_removal",
  "linear",
  "fisher_without_base",
  "slerp",
];

const NAMES: Readonly<Record<string, string>> = {
  gradient_matching: "gradient matching",
  task_arithmetic: "task arithmetic",
  fisher: "Fisher, with base",
  fisher_without_base: "Fisher average",
  linear: "mean of experts",
  ties: "TIES",
  slerp: "slerp",
  elastic_weight_removal: "elastic weight removal",
  base: "base",
  joint: "joint training",
  expert: "each task's own expert",
};

/** A method in the words of tables and plots. */
export const nameOf = (method: string): string => NAMES[method] ?? method;

/** The test sets that count for a mean: those of the tasks, without the base's own. */
export function meanTasks({ tests, tasks }: StudyResults): readonly string[] {
  return tests.filter((test) => tasks.includes(test));
}

/** Rows of merges that put experts together, or of models without α; removals are apart. */
const isAddition = ({ removed }: ResultRow): boolean => removed === null;

/**
 * A metric over seeds, on one test set or as the mean over the tasks. Undefined where no seed has it on all of them.
 */
export function valueOf(
  results: StudyResults,
  of: (row: ResultRow) => boolean,
  metric: "accuracy" | "nll" | "mismatch" | "residual",
  task?: string,
): Spread | undefined {
  const tasks = task === undefined ? meanTasks(results) : [task];
  const values = results.seeds.flatMap((seed) => {
    const found = tasks.flatMap((one) => {
      const row = results.rows.find((r) => r.seed === seed && r.task === one && of(r));
      const value = row?.[metric];
      return typeof value === "number" ? [value] : [];
    });
    return found.length === tasks.length && found.length > 0 ? [mean(found)] : [];
  });
  return values.length === 0 ? undefined : spreadOf(values);
}

/** Every method with an α, in the order in which they are shown. */
export function curves(
  results: StudyResults,
  metric: "accuracy" | "nll" = "accuracy",
  task?: string,
): readonly MethodCurve[] {
  return methodsIn(results, (row) => isAddition(row) && row.alpha !== null).map((method) => ({
    method,
    points: alphasOf(results, method).flatMap((alpha) => {
      const is = (row: ResultRow) =>
        isAddition(row) && row.method === method && row.alpha === alpha;
      const value = valueOf(results, is, metric, task);
      return value === undefined ? [] : [{ alpha, ...value }];
    }),
  }));
}

/** Base, experts, joint target and methods without α. An expert counts on its own task. */
export function references(
  results: StudyResults,
  metric: "accuracy" | "nll" = "accuracy",
  task?: string,
): readonly Reference[] {
  const plain = methodsIn(results, (row) => isAddition(row) && row.alpha === null);
  const order = ["joint", "expert", ...METHOD_ORDER, "base"];
  return plain
    .toSorted((a, b) => order.indexOf(a) - order.indexOf(b))
    .flatMap((method) => {
      const is = (row: ResultRow) =>
        row.method === method &&
        row.alpha === null &&
        (method !== "expert" || row.expert === row.task);
      const value = valueOf(results, is, metric, task);
      return value === undefined ? [] : [{ name: nameOf(method), method, ...value }];
    });
}

/** The point of a curve with the largest mean. */
export function best(curve: MethodCurve): AlphaPoint | undefined {
  return curve.points.reduce<AlphaPoint | undefined>(
    (top, point) => (top === undefined || point.mean > top.mean ? point : top),
    undefined,
  );
}

/** How little a method depends on α. */
export interface Robustness {
  readonly method: string;
  readonly best: AlphaPoint;
  /** At how many α it is within a point, 0.01, of its own best; and of how many. */
  readonly within: number;
  readonly alphas: number;
  /** The difference between its best and its worst α. */
  readonly range: number;
}

export function robustness(results: StudyResults): readonly Robustness[] {
  return curves(results).flatMap((curve) => {
    const top = best(curve);
    if (top === undefined) return [];
    const values = curve.points.map((point) => point.mean);
    // 1e-9: a difference of exactly a point counts as within.
    const within = values.filter((value) => value >= top.mean - 0.01 - 1e-9).length;
    const range = top.mean - Math.min(...values);
    return [{ method: curve.method, best: top, within, alphas: values.length, range }];
  });
}

/** At how many of the α that both have one method is at least as good as another. */
export function atLeastAsGood(
  results: StudyResults,
  method: string,
  other: string,
  metric: "accuracy" | "mismatch" = "accuracy",
): { readonly count: number; readonly of: number } | undefined {
  const at = (which: string, alpha: number): number | undefined => {
    const is = (row: ResultRow) => isAddition(row) && row.method === which && row.alpha === alpha;
    return valueOf(results, is, metric)?.mean;
  };
  const pairs = alphasOf(results, method).flatMap((alpha) => {
    const [one, two] = [at(method, alpha), at(other, alpha)];
    return one === undefined || two === undefined ? [] : [[one, two] as const];
  });
  if (pairs.length === 0) return undefined;
  const wins = pairs.filter(([one, two]) => (metric === "mismatch" ? one < two : one >= two));
  return { count: wins.length, of: pairs.length };
}

/** A merge by its mismatch and its error, the mean over the tasks. */
export interface MismatchPoint {
  readonly method: string;
  readonly alpha: number | null;
  readonly seed: number;
  readonly mismatch: number;
  readonly error: number;
}

export function mismatchPoints(results: StudyResults): readonly MismatchPoint[] {
  const tasks = meanTasks(results);
  return results.merges.flatMap(({ method, alpha, seed, mismatch, removed }) => {
    if (mismatch === null || removed !== null || !(mismatch > 0)) return [];
    const found = results.rows.filter(
      (row) =>
        row.seed === seed &&
        row.method === method &&
        row.alpha === alpha &&
        row.removed === null &&
        tasks.includes(row.task),
    );
    if (found.length < tasks.length) return [];
    return [{ method, alpha, seed, mismatch, error: 1 - mean(found.map((row) => row.accuracy)) }];
  });
}

/** Pearson's r; undefined for fewer than three points, or where one of the two does not vary. */
export function correlation(pairs: readonly (readonly [number, number])[]): number | undefined {
  if (pairs.length < 3) return undefined;
  const mx = mean(pairs.map(([x]) => x));
  const my = mean(pairs.map(([, y]) => y));
  let [xx, yy, xy] = [0, 0, 0];
  for (const [x, y] of pairs) {
    xx += (x - mx) ** 2;
    yy += (y - my) ** 2;
    xy += (x - mx) * (y - my);
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : undefined;
}

/** A model with one task taken away: what is left of that task, and of the rest. */
export interface RemovalPoint {
  readonly alpha: number;
  /** Accuracy on the removed task. */
  readonly removed: number;
  /** Mean accuracy on every other test set, the base's own included. */
  readonly kept: number;
}

export interface RemovalCurve {
  readonly task: string;
  readonly method: string;
  /** By rising |α|. */
  readonly points: readonly RemovalPoint[];
}

export interface RemovalStudy {
  readonly task: string;
  /** The base itself: α = 0. */
  readonly base: RemovalPoint;
  readonly curves: readonly RemovalCurve[];
}

export function removals(results: StudyResults): readonly RemovalStudy[] {
  const tasks = [...new Set(results.rows.flatMap(({ removed }) => removed ?? []))];
  return tasks.flatMap((task) => {
    const others = results.tests.filter((test) => test !== task);
    const pointOf = (alpha: number, is: (row: ResultRow) => boolean): RemovalPoint[] => {
      const removed = valueOf(results, is, "accuracy", task);
      const kept = others.map((test) => valueOf(results, is, "accuracy", test));
      if (removed === undefined) return [];
      const means = kept.flatMap((value) => (value === undefined ? [] : [value.mean]));
      return means.length < others.length || means.length === 0
        ? []
        : [{ alpha, removed: removed.mean, kept: mean(means) }];
    };
    const [base] = pointOf(0, ({ method }) => method === "base");
    if (base === undefined) return [];
    const methods = methodsIn(results, (row) => row.removed === task);
    const found = methods.map((method) => ({
      task,
      method,
      points: [
        ...new Set(
          results.rows.flatMap((row) =>
            row.removed === task && row.method === method && row.alpha !== null ? [row.alpha] : [],
          ),
        ),
      ]
        .toSorted((a, b) => b - a)
        .flatMap((alpha) =>
          pointOf(
            alpha,
            (row) => row.removed === task && row.method === method && row.alpha === alpha,
          ),
        ),
    }));
    return [{ task, base, curves: found }];
  });
}

/** The merges whose mismatch is known by layer. */
export function layeredMerges(results: StudyResults): readonly MergeRecord[] {
  return results.merges.filter(
    ({ layers, removed }) => removed === null && Object.keys(layers).length > 0,
  );
}

/**
 * √(Σ p(1 − p)/n) / T: the standard error of a mean accuracy p over T test sets of n examples each, by chance of the examples alone.
 */
export function standardError(results: StudyResults): number | undefined {
  const tasks = meanTasks(results);
  const seed = results.seeds[0];
  const rows = results.rows.filter(
    (row) => row.method === "base" && row.seed === seed && tasks.includes(row.task),
  );
  if (rows.length === 0) return undefined;
  const variance = rows.reduce(
    (sum, { accuracy, examples }) => sum + (accuracy * (1 - accuracy)) / examples,
    0,
  );
  return Math.sqrt(variance) / rows.length;
}

export function methodsIn(
  { rows }: StudyResults,
  is: (row: ResultRow) => boolean,
): readonly string[] {
  return inOrder(rows.filter(is).map(({ method }) => method));
}

/** Each once, in the order in which methods are shown. */
export function inOrder(methods: readonly string[]): readonly string[] {
  const places = new Map(METHOD_ORDER.map((method, place) => [method, place]));
  return [...new Set(methods)].toSorted(
    (a, b) => (places.get(a) ?? places.size) - (places.get(b) ?? places.size),
  );
}

function alphasOf({ rows }: StudyResults, method: string): readonly number[] {
  const found = rows.flatMap((row) =>
    row.method === method && row.removed === null && row.alpha !== null ? [row.alpha] : [],
  );
  return [...new Set(found)].toSorted((a, b) => a - b);
}

function spreadOf(values: readonly number[]): Spread {
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return {
    mean: centre,
    low: Math.min(...values),
    high: Math.max(...values),
    deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0,
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
