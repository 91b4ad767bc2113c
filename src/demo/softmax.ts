import { solvePositiveDefinite } from "./cholesky.js";
import type { Features } from "./network.js";

/** Texts and their classes. */
export interface Examples {
  readonly features: readonly Features[];
  readonly labels: readonly number[];
}

/**
 * p(c | φ) ∝ exp(Σ_f φ_f·θ_fc): the classes of a text. With the summed loss ℓ(θ) = −Σ log p(yᵢ | φᵢ), gradient and Hessian below are those of
 * softmax regression, in closed form.
 */
export function probabilities(theta: Float64Array, text: Features, classes: number): Float64Array {
  const p = new Float64Array(classes);
  for (let k = 0; k < text.indices.length; k++) {
    const begin = (text.indices[k] ?? 0) * classes;
    const times = text.counts[k] ?? 0;
    for (let c = 0; c < classes; c++) p[c] = (p[c] ?? 0) + times * (theta[begin + c] ?? NaN);
  }
  const largest = p.reduce((x, y) => Math.max(x, y));
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += p[c] = Math.exp(at(p, c) - largest);
  for (let c = 0; c < classes; c++) p[c] = at(p, c) / sum;
  return p;
}

/** ℓ(θ), summed over the examples. */
export function loss(theta: Float64Array, { features, labels }: Examples, classes: number): number {
  return features.reduce(
    (sum, text, i) => sum - Math.log(at(probabilities(theta, text, classes), labels[i] ?? -1)),
    0,
  );
}

/** The share of examples whose label is the likeliest class. */
export function accuracy(
  theta: Float64Array,
  { features, labels }: Examples,
  classes: number,
): number {
  const hits = features.filter((text, i) => {
    const p = probabilities(theta, text, classes);
    return p.indexOf(Math.max(...p)) === labels[i];
  });
  return hits.length / features.length;
}

/** ∇ℓ(θ) = Σ φ ⊗ (p − onehot(y)). */
export function gradient(
  theta: Float64Array,
  { features, labels }: Examples,
  classes: number,
): Float64Array {
  const g = new Float64Array(theta.length);
  features.forEach((text, i) => {
    const p = probabilities(theta, text, classes);
    text.indices.forEach((feature, k) => {
      for (let c = 0; c < classes; c++) {
        const residual = at(p, c) - (labels[i] === c ? 1 : 0);
        const index = feature * classes + c;
        g[index] = at(g, index) + at(text.counts, k) * residual;
      }
    });
  });
  return g;
}

/** ∇²ℓ(θ) = Σ φ·φᵀ ⊗ (diag(p) − p·pᵀ), the lower triangle, in row-major order. It does not depend on the labels. */
export function hessian(
  theta: Float64Array,
  features: readonly Features[],
  classes: number,
): Float64Array {
  const n = theta.length;
  const h = new Float64Array(n * n);
  const block = new Float64Array(classes * classes);
  for (const { indices, counts } of features) {
    const p = probabilities(theta, { indices, counts }, classes);
    for (let c = 0; c < classes; c++) {
      for (let d = 0; d < classes; d++) {
        block[c * classes + d] = at(p, c) * ((c === d ? 1 : 0) - at(p, d));
      }
    }
    // This loop is nearly all of the demo's work: plain indices, nothing called.
    for (let k = 0; k < indices.length; k++) {
      const row = (indices[k] ?? 0) * classes;
      for (let l = 0; l < indices.length; l++) {
        const column = (indices[l] ?? 0) * classes;
        if (column > row) continue;
        const weight = (counts[k] ?? 0) * (counts[l] ?? 0);
        for (let c = 0; c < classes; c++) {
          const begin = (row + c) * n + column;
          for (let d = 0; d < classes; d++) {
            h[begin + d] = (h[begin + d] ?? 0) + weight * (block[c * classes + d] ?? 0);
          }
        }
      }
    }
  }
  return h;
}

/**
 * The diagonal Fisher information, exact over the labels: F = mean of φ²·p(1 − p). For softmax regression it is also the mean of the
 * Hessian's diagonal.
 */
export function fisher(
  theta: Float64Array,
  features: readonly Features[],
  classes: number,
): Float64Array {
  const f = new Float64Array(theta.length);
  for (const text of features) {
    const p = probabilities(theta, text, classes);
    text.indices.forEach((feature, k) => {
      for (let c = 0; c < classes; c++) {
        const index = feature * classes + c;
        f[index] =
          at(f, index) + (at(text.counts, k) ** 2 * at(p, c) * (1 - at(p, c))) / features.length;
      }
    });
  }
  return f;
}

/** Σₜ αₜ·ℓₜ(θ) + ½·Σᵢ precisionᵢ·(θᵢ − centreᵢ)², with all precisions above 0. */
export interface Objective {
  readonly classes: number;
  readonly terms: readonly { readonly examples: Examples; readonly weight: number }[];
  readonly centre: Float64Array;
  readonly precision: Float64Array;
}

export function objectiveGradient(objective: Objective, theta: Float64Array): Float64Array {
  const { terms, centre, precision, classes } = objective;
  const g = theta.map((x, i) => at(precision, i) * (x - at(centre, i)));
  for (const { examples, weight } of terms) {
    gradient(theta, examples, classes).forEach((x, i) => (g[i] = at(g, i) + weight * x));
  }
  return g;
}

/**
 * The minimum of a strictly convex objective, by Newton's method with step halving, to the last digits of float64.
 * @throws RangeError where the Hessian is not positive definite on the way, or the steps do not come to an end.
 */
export function minimise(objective: Objective): Float64Array {
  const { terms, centre, precision, classes } = objective;
  const n = centre.length;
  const value = (theta: Float64Array) =>
    terms.reduce((sum, term) => sum + term.weight * loss(theta, term.examples, classes), 0) +
    theta.reduce((sum, x, i) => sum + 0.5 * at(precision, i) * (x - at(centre, i)) ** 2, 0);

  let theta: Float64Array = Float64Array.from(centre);
  for (let iteration = 0; iteration < 100; iteration++) {
    const g = objectiveGradient(objective, theta);
    const h = new Float64Array(n * n);
    for (const { examples, weight } of terms) {
      hessian(theta, examples.features, classes).forEach((x, i) => (h[i] = at(h, i) + weight * x));
    }
    for (let i = 0; i < n; i++) h[i * n + i] = at(h, i * n + i) + at(precision, i);
    const step = solvePositiveDefinite(h, g);
    const decrement = step.reduce((sum, x, i) => sum + x * at(g, i), 0);
    const current = value(theta);
    let size = 1;
    // Once the objective is flat to its last digits, halving could not tell better from worse.
    if (decrement > 1e-9 * Math.abs(current)) {
      while (size > 1e-6 && value(moved(theta, step, size)) > current - 0.25 * size * decrement) {
        size /= 2;
      }
    }
    theta = moved(theta, step, size);
    if (decrement < 1e-22 * (1 + Math.abs(current))) return theta;
  }
  throw new RangeError("Newton's method did not come to an end");
}

function moved(theta: Float64Array, step: Float64Array, size: number): Float64Array {
  return theta.map((x, i) => x - size * at(step, i));
}

const at = (values: ArrayLike<number>, index: number): number => values[index] ?? NaN;
