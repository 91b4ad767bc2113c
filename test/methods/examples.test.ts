import { describe, expect, test } from "vitest";
import { methodNamed, methods } from "../../src/methods/index.js";
import { merged, relativeError } from "./merge-case.js";

describe.each(methods)("$name", (method) => {
  test("gives what its worked example says, within 1e-12", () => {
    const { base, models, parameters, theta } = method.example;
    const result = merged(method, {
      base,
      models: models.map((model) => ({ ...model, parameters: model.parameters ?? {} })),
      parameters: parameters ?? {},
    });
    expect(relativeError(result, theta)).toBeLessThan(1e-12);
  });

  test("is found by its name", () => {
    expect(methodNamed(method.name)).toBe(method);
  });
});

test("there is no method by another name", () => {
  expect(methodNamed("lineer")).toBeUndefined();
});
