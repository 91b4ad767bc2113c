import { GraphError } from "../../errors.js";
import { pair } from "../operands.js";
import type { Operator } from "../operator.js";
import { showShape, sizeOf, type Tensor } from "../tensor.js";
import { at } from "./strides.js";

/**
 * Σₙ Gₙ² with Gₙ = Leftₙᵀ Rightₙ, the squared weight gradients of a linear layer, summed over examples.
 *
 * Gₙ is as large as the weight. Written out at once for every example it would cost memory and time; so the graph goes through the
 * examples, and within a tile of the weight's rows that stays in cache while every example adds to it.
 */
const outerSquaresOperator: Operator = {
  name: "outer_squares",
  infer(inputs) {
    const [left, right] = pair(inputs);
    const fits =
      left.shape.length === 3 &&
      right.shape.length === 3 &&
      left.shape[0] === right.shape[0] &&
      left.shape[1] === right.shape[1];
    if (!fits) {
      throw new GraphError({
        what: "squared outer products need factors that agree on examples and places",
        got: `${showShape(left.shape)} and ${showShape(right.shape)}`,
        expected: "[B, T, M] and [B, T, K]",
      });
    }
    return { shape: [left.shape[2] ?? 1, right.shape[2] ?? 1], type: "float32", batched: false };
  },
  emit(emitter, node, inputs) {
    const [left, right] = pair(node.inputs);
    const [inputLeft, inputRight] = pair(inputs);
    const [examples = 1, places = 1, rows = 1] = left.shape;
    const columns = right.shape[2] ?? 1;
    const tiles = tileLengths(rows, columns, places);
    const leftTiles = split(inputLeft, 2, tiles);
    const rightParts = apart(inputRight, columns);
    return join(leftTiles.map((tile, t) => tileSum(apart(tile, tiles[t] ?? 1))));

    function split(from: string, axis: number, lengths: readonly number[]): string[] {
      if (lengths.length === 1) return [from];
      return emitter.nodes("Split", [from, emitter.integers(lengths)], lengths.length, { axis });
    }
    /** The examples of [B, T, width], each a matrix [T, width]. */
    function apart(from: string, width: number): string[] {
      const shape = emitter.integers([places, width]);
      return split(
        from,
        0,
        Array.from({ length: examples }, () => 1),
      ).map((one) => emitter.node("Reshape", [one, shape]));
    }
    function tileSum(lefts: readonly string[]): string {
      let total: string | undefined;
      lefts.forEach((one, n) => {
        const gradient = emitter.node("Gemm", [one, rightParts[n] ?? ""], { transA: 1 });
        const squared = emitter.node("Mul", [gradient, gradient]);
        total = total === undefined ? squared : emitter.node("Add", [total, squared]);
      });
      return total ?? "";
    }
    function join(parts: readonly string[]): string {
      return parts.length === 1 ? (parts[0] ?? "") : emitter.node("Concat", parts, { axis: 0 });
    }
  },
  evaluate(values, _, node) {
    const [left, right] = pair(values);
    const [examples = 1, places = 1, rows = 1] = left.shape;
    const columns = right.shape[2] ?? 1;
    const data = new Float64Array(sizeOf(node.shape));
    for (let n = 0; n < examples; n++) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          let gradient = 0;
          for (let t = n * places; t < (n + 1) * places; t++) {
            gradient += at(left, t * rows + i) * at(right, t * columns + j);
          }
          data[i * columns + j] = (data[i * columns + j] ?? 0) + gradient ** 2;
        }
      }
    }
    return { shape: node.shape, data };
  },
};

/** A tile with its square and its sum should lie in the second-level cache: 3 × 256 KB. */
const TILE_ELEMENTS = 65_536;
/** With many places the product dwarfs the passes over memory, and larger tiles multiply faster. */
const MANY_PLACES = 256;

function tileLengths(rows: number, columns: number, places: number): number[] {
  if (places >= MANY_PLACES || rows * columns <= 2 * TILE_ELEMENTS) return [rows];
  const count = Math.ceil((rows * columns) / TILE_ELEMENTS);
  const length = Math.ceil(rows / count);
  const whole = Math.floor(rows / length);
  const rest = rows - whole * length;
  return [...Array.from({ length: whole }, () => length), ...(rest > 0 ? [rest] : [])];
}

/** left [B, T, M], right [B, T, K] → Σₙ (leftₙᵀ rightₙ)², [M, K]. */
export const outerSquares = (left: Tensor, right: Tensor): Tensor =>
  left.graph.apply(outerSquaresOperator, [left, right]);
