import { expect, test } from "vitest";
import { roundToBFloat16 } from "../../src/dtypes/bfloat16.js";
import { PlanError } from "../../src/errors.js";
import { taskArithmetic } from "../../src/methods/task-arithmetic.js";
import { merged, type MergeCase, type Numbers } from "./merge-case.js";

const two = (
  first: number,
  second: number,
  parameters: Numbers = {},
  ofModel: Numbers = {},
): MergeCase => ({
  base: { theta: [1, 1] },
  models: [
    { theta: [2, 3], parameters: { weight: first, ...ofModel } },
    { theta: [0, 3], parameters: { weight: second } },
  ],
  parameters,
});

test("a negative weight takes a task vector away", () => {
  expect(merged(taskArithmetic, two(1, -1))).toEqual([3, 1]);
});

test("weights of 1/T give the arithmetic mean of the models", () => {
  expect(merged(taskArithmetic, two(0.5, 0.5))).toEqual([1, 3]);
});

test("lambda scales the sum", () => {
  expect(merged(taskArithmetic, two(1, 0.5, { lambda: 0.5 }))).toEqual([1.25, 2.5]);
});

test("normalize divides by the sum of the weights, unless that is next to nothing", () => {
  expect(merged(taskArithmetic, two(3, 1, { normalize: true }))).toEqual([1.5, 3]);
  expect(merged(taskArithmetic, two(1, -1, { normalize: true }))).toEqual([3, 1]);
});

test("a density or a rescale that mergekit would ignore is refused", () => {
  expect(() => merged(taskArithmetic, two(1, 1, {}, { density: 0.5 }))).toThrow(PlanError);
  expect(() => merged(taskArithmetic, two(1, 1, {}, { density: 0.5 }))).toThrow("ties");
  expect(() => merged(taskArithmetic, two(1, 1, { rescale: true }))).toThrow(PlanError);
  expect(merged(taskArithmetic, two(1, 0.5, { int8_mask: true }, { density: 1 }))).toEqual([
    1.5, 4,
  ]);
});

test("every operation is rounded to the working type", () => {
  const bf16 = roundToBFloat16;
  const [base, first, second] = [bf16(0.1), bf16(0.737), bf16(-1.21)];
  const weight = bf16(0.3);
  const sum = bf16(bf16(bf16(first - base) * weight) + bf16(bf16(second - base) * weight));
  const expected = bf16(base + bf16(sum * 0.7));
  const merge: MergeCase = {
    base: { theta: [base] },
    models: [first, second].map((theta) => ({ theta: [theta], parameters: { weight: 0.3 } })),
    parameters: { lambda: 0.7 },
    working: "BF16",
    output: "F32",
  };
  expect(merged(taskArithmetic, merge)).toEqual([expected]);
  const exact = base + 0.7 * 0.3 * (first - base + second - base);
  expect(bf16(exact)).not.toBe(expected);
});
