import { describe, expect, test } from "vitest";
import { methods } from "../../src/methods/index.js";
import { random } from "../random.js";
import { laws } from "./laws.js";
import { relativeError } from "./merge-case.js";

const TRIALS = 20;
const TOLERANCE = 1e-9;

describe.each(methods)("laws of $name", (method) => {
  const applicable = laws.filter((law) => law.appliesTo(method));

  test("are laws that exist and that apply to it", () => {
    const names = applicable.map((law) => law.name);
    expect(method.laws.filter((name) => !names.includes(name))).toEqual([]);
  });

  test.each(applicable.filter((law) => method.laws.includes(law.name)))(
    "$name, within 1e-9",
    (law) => {
      for (let seed = 1; seed <= TRIALS; seed++) {
        const { got, expected } = law.trial(method, random(seed));
        expect(relativeError(got, expected), `seed ${seed}`).toBeLessThan(TOLERANCE);
      }
    },
  );

  test("say everything that holds: what is not declared is broken by some random merge", () => {
    const undeclared = applicable.filter((law) => !method.laws.includes(law.name));
    const unbroken = undeclared.filter((law) => {
      for (let seed = 1; seed <= TRIALS; seed++) {
        const { got, expected } = law.trial(method, random(seed));
        if (relativeError(got, expected) > 1e-3) return false;
      }
      return true;
    });
    expect(unbroken.map((law) => law.name)).toEqual([]);
  });
});
