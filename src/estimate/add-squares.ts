import { NumericError } from "../errors.js";
import type { FeedData } from "../runtime/session.js";
import { OUTPUTS } from "./fisher-graph.js";

/** Adds a parameter's squares of one run, in whichever form they come, to its sums. */
export function addSquares(
  outputs: Readonly<Record<string, FeedData>>,
  name: string,
  total: Float64Array,
  sides: readonly [number, number] | undefined,
): void {
  const dense = outputs[OUTPUTS.dense(name)];
  if (dense instanceof Float32Array) {
    if (sides === undefined) addDense(total, dense);
    else addTransposed(total, dense, sides);
  }
  const rows = outputs[OUTPUTS.rows(name)];
  const ids = outputs[OUTPUTS.ids(name)];
  if (rows instanceof Float32Array && ids instanceof BigInt64Array) addRows(total, rows, ids);
}

/** Adds an array to sums, element by element. */
export function addDense(total: Float64Array, more: Float32Array): void {
  for (let i = 0; i < total.length; i++) total[i] = (total[i] ?? 0) + (more[i] ?? 0);
}

/** Adds the transpose of [K, M] to [M, K], in squares that stay in cache. */
function addTransposed(
  total: Float64Array,
  more: Float32Array,
  [rows, columns]: readonly [number, number],
): void {
  const side = 64;
  for (let top = 0; top < rows; top += side) {
    const bottom = Math.min(rows, top + side);
    for (let left = 0; left < columns; left += side) {
      const right = Math.min(columns, left + side);
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) {
          const at = i * columns + j;
          total[at] = (total[at] ?? 0) + (more[j * rows + i] ?? 0);
        }
      }
    }
  }
}

/** Adds rows [L, H] to the rows `ids` of a table. */
export function addRows(total: Float64Array, rows: Float32Array, ids: BigInt64Array): void {
  const width = rows.length / ids.length;
  for (let l = 0; l < ids.length; l++) {
    const base = Number(ids[l] ?? 0n) * width;
    const from = l * width;
    for (let i = 0; i < width; i++) {
      total[base + i] = (total[base + i] ?? 0) + (rows[from + i] ?? 0);
    }
  }
}

/** @throws NumericError that names the example whose logits are not finite */
export function checkFinite(watch: FeedData | undefined, where: readonly string[]): void {
  if (!(watch instanceof Float32Array)) return;
  const bad = where.findIndex((_, n) => !Number.isFinite(watch[n]));
  if (bad < 0) return;
  throw new NumericError({
    what: "the model gives no finite prediction",
    where: where[bad],
    got: String(watch[bad]),
    hint: "the weights may have diverged, or overflow float32",
  });
}
