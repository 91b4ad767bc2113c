import { only } from "../operands.js";
import type { Operator, Values } from "../operator.js";
import { lengthOf, type Tensor } from "../tensor.js";
import { multiply, subtract } from "./binary.js";
import { sum } from "./reduce.js";
import { at, filled } from "./strides.js";
import { exponential } from "./unary.js";

/** Over the last axis, from each row's largest element, so that nothing overflows. */
function rowwise(x: Values, rule: (shifted: number, total: number) => number): Values {
  const width = x.shape.at(-1) ?? 1;
  const rows = Array.from({ length: x.data.length / width }, (_, row) => {
    const part = x.data.subarray(row * width, (row + 1) * width);
    const top = part.reduce((a, b) => Math.max(a, b), -Infinity);
    return { top, total: part.reduce((total, one) => total + Math.exp(one - top), 0) };
  });
  return filled(x.shape, (i) => {
    const row = rows[Math.floor(i / width)] ?? { top: 0, total: 1 };
    return rule(at(x, i) - row.top, row.total);
  });
}

const softmaxOperator: Operator = {
  name: "softmax",
  infer(inputs) {
    const x = only(inputs);
    lengthOf(x, -1);
    return { shape: x.shape, type: x.type, batched: x.batched && x.shape.length > 1 };
  },
  // ∂x = p ∘ (∂p − ⟨∂p, p⟩)
  derivative(node, cotangent) {
    const mixed = sum(multiply(cotangent, node), [-1], { keep: true });
    return [multiply(node, subtract(cotangent, mixed))];
  },
  emit: (emitter, _, inputs) => emitter.node("Softmax", inputs, { axis: -1 }),
  evaluate: (values) => rowwise(only(values), (shifted, total) => Math.exp(shifted) / total),
};

const logSoftmaxOperator: Operator = {
  name: "log_softmax",
  infer(inputs) {
    const x = only(inputs);
    lengthOf(x, -1);
    return { shape: x.shape, type: x.type, batched: x.batched && x.shape.length > 1 };
  },
  // ∂x = ∂y − p Σ ∂y
  derivative(node, cotangent) {
    const total = sum(cotangent, [-1], { keep: true });
    return [subtract(cotangent, multiply(exponential(node), total))];
  },
  emit: (emitter, _, inputs) => emitter.node("LogSoftmax", inputs, { axis: -1 }),
  evaluate: (values) => rowwise(only(values), (shifted, total) => shifted - Math.log(total)),
};

/** e^xᵢ / Σ e^xⱼ over the last axis. */
export const softmax = (x: Tensor): Tensor => x.graph.apply(softmaxOperator, [x]);

/** xᵢ − ln Σ e^xⱼ over the last axis. */
export const logSoftmax = (x: Tensor): Tensor => x.graph.apply(logSoftmaxOperator, [x]);
