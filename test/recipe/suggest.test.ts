import { describe, expect, it } from "vitest";
import { didYouMean, nearest } from "../../src/recipe/suggest.js";

describe("nearest", () => {
  const names = ["weight", "density", "normalize", "t", "task_arithmetic"];

  it.each([
    ["wieght", "weight"],
    ["weights", "weight"],
    ["WEIGHT", "weight"],
    ["nomalize", "normalize"],
    ["Task-Arithmetic", "task_arithmetic"],
    ["T", "t"],
  ])("finds %s to be %s", (word, expected) => {
    expect(nearest(word, names)).toBe(expected);
    expect(didYouMean(word, names)).toBe(`Did you mean ${expected}?`);
  });

  it.each(["x", "", "length", "lambda", "arith"])("finds nothing near %j", (word) => {
    expect(nearest(word, names)).toBeUndefined();
    expect(didYouMean(word, names)).toBeUndefined();
  });

  it("takes the nearest of several, the first of equals", () => {
    expect(nearest("float61", ["float32", "float16", "bfloat16"])).toBe("float32");
    expect(nearest("bfloat1", ["float16", "bfloat16"])).toBe("bfloat16");
  });
});
