import { only } from "../operands.js";
import type { Operator } from "../operator.js";
import type { Tensor } from "../tensor.js";
import { add, multiply, square } from "./binary.js";
import { erfOf } from "./error-function.js";
import { filled } from "./strides.js";
import { errorFunction, exponential, hyperbolicTangent, sigmoid } from "./unary.js";

/** The Gaussian error linear unit, x Φ(x) with Φ(x) = (1 + erf(x/√2))/2, in one pass of the runtime. */
const geluOperator: Operator = {
  name: "gelu",
  infer(inputs) {
    const x = only(inputs);
    return { shape: x.shape, type: x.type };
  },
  // (x Φ(x))′ = Φ(x) + x φ(x), φ(x) = e^(−x²/2)/√(2π)
  derivative(node, cotangent) {
    const x = only(node.inputs);
    const cumulative = multiply(add(errorFunction(multiply(x, Math.SQRT1_2)), 1), 0.5);
    const density = multiply(exponential(multiply(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return [multiply(cotangent, add(cumulative, multiply(x, density)))];
  },
  emit: (emitter, _, inputs) => emitter.node("Gelu", inputs),
  evaluate(values) {
    const x = only(values);
    return filled(x.shape, (i) => {
      const at = x.data[i] ?? Number.NaN;
      return 0.5 * at * (1 + erfOf(at * Math.SQRT1_2));
    });
  },
};

/** x Φ(x), exactly. */
export const gelu = (x: Tensor): Tensor => x.graph.apply(geluOperator, [x]);

/** The approximation of gelu by tanh: x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))). */
export function geluTanh(x: Tensor): Tensor {
  const cubic = multiply(multiply(square(x), x), 0.044715);
  const inner = multiply(add(x, cubic), Math.sqrt(2 / Math.PI));
  return multiply(multiply(x, 0.5), add(hyperbolicTangent(inner), 1));
}

/** x σ(1.702 x). */
export const quickGelu = (x: Tensor): Tensor => multiply(x, sigmoid(multiply(x, 1.702)));

/** x σ(x), also called swish. */
export const silu = (x: Tensor): Tensor => multiply(x, sigmoid(x));
