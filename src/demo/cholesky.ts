/**
 * Solves A·x = b for a symmetric positive definite matrix in row-major order, by A = L·Lᵀ. Only the lower triangle is read, and overwritten by L.
 * @throws RangeError where A is not positive definite.
 */
export function solvePositiveDefinite(a: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = at(a, i * n + j);
      for (let k = 0; k < j; k++) sum -= at(a, i * n + k) * at(a, j * n + k);
      if (i > j) a[i * n + j] = sum / at(a, j * n + j);
      else if (sum > 0) a[i * n + j] = Math.sqrt(sum);
      else throw new RangeError(`the matrix is not positive definite (pivot ${j} is ${sum})`);
    }
  }
  // L·y = b from the top, then Lᵀ·x = y from the bottom.
  const x = Float64Array.from(b);
  for (let i = 0; i < n; i++) {
    let sum = at(x, i);
    for (let k = 0; k < i; k++) sum -= at(a, i * n + k) * at(x, k);
    x[i] = sum / at(a, i * n + i);
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = at(x, i);
    for (let k = i + 1; k < n; k++) sum -= at(a, k * n + i) * at(x, k);
    x[i] = sum / at(a, i * n + i);
  }
  return x;
}

const at = (values: Float64Array, index: number): number => values[index] ?? NaN;
